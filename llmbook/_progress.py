"""Progress, told on the error stream: as a bar that moves, or in a file by a line now and then."""

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from tqdm import tqdm  # type: ignore[import-untyped]

_SECONDS = 30  # from one line in a file to the next
_LINE = "{desc}{percentage:3.0f}%, {n_fmt}/{total_fmt}, {elapsed} so far, {remaining} left{postfix}"


def progress(items: Iterable[Any] | None = None, **options: Any) -> Any:
    """As ``tqdm``, but where nobody sees it move, it writes a line in place of a bar.

    Args:
        items: What to go through; none, if ``update`` is called instead.
        options: As for ``tqdm``.

    Returns:
        The items, which is a context too.
    """
    if sys.stderr.isatty() or _in_notebook():  # a notebook moves its bars as well
        return tqdm(items, **options)
    lines = {"mininterval": _SECONDS, "maxinterval": _SECONDS, "bar_format": _LINE}
    return tqdm(items, file=_Lines(sys.stderr), **lines, **options)


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this; that its modules are loaded does not say so."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class _Lines:
    """A stream on which a bar that goes back to the beginning of its line begins another."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        if line := text.strip():
            self._stream.write(f"{line}\n")

    def flush(self) -> None:
        self._stream.flush()
