"""Training and evaluation: a model looked at without dropout, and left as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["evaluation_mode"]


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch dropout off; then put every module back in its own mode, also after an error."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        # Not by train(), which would set the modules below as well: part of a model that is being
        # trained may be in evaluation, such as one that shall not change.
        for module, training in modes:
            module.training = training
