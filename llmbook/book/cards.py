"""The models that come with the book: where they are, and the card that tells how each was made."""

import os
from pathlib import Path
from typing import Any

from torch import nn

from llmbook._files import write_json
from llmbook.lm.shipped import DATA

__all__ = ["DATA", "write_card"]


def write_card(
    folder: str | os.PathLike[str],
    model: nn.Module,
    *,
    name: str,
    data: str,
    made_by: str,
    task: str | None = None,
    strategy: str | None = None,
    seed: int = 0,
    **more: Any,
) -> None:
    """Write ``card.json`` beside the weights of a model.

    Args:
        folder: Of the model.
        model: The model.
        name: What it is called, which is the name of its folder in ``DATA``.
        data: What it learned from.
        made_by: The command that makes it again.
        task: The task that it was trained for, if it was for one.
        strategy: The strategy that it was trained to be asked by, if it was for one.
        seed: Of its weights and its batches.
        more: What else there is to tell.
    """
    parameters = list(model.parameters())
    dtype = str(parameters[0].dtype).removeprefix("torch.")
    card = {
        "name": name,
        "task": task,
        "strategy": strategy,
        "format": f"safetensors, {dtype}",
        "data": data,
        "seed": seed,
        "license": "Apache-2.0",
        "made_by": made_by,
        "parameters": sum(parameter.numel() for parameter in parameters),
    }
    write_json(Path(folder) / "card.json", card | more)
