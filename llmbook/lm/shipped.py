"""The models that come with the book: where they are, and what their cards say of them."""

import re
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from llmbook._files import read_json

__all__ = ["DATA", "Card", "folder_of", "trained"]

DATA = Path(str(files("llmbook") / "book" / "data"))
"""Where the book's own data and models are, a folder for each model."""


class Card(NamedTuple):
    """What a model was trained for, and nothing else."""

    task: str  # as in `llmbook.tasks.NAMES`
    strategy: str  # as in `llmbook.prompting.shipped`


def folder_of(name: str) -> Path | None:
    """Where a model that comes with the book is; none, if there is none of that name."""
    folder = DATA / name
    return folder if re.fullmatch(r"[\w-]+", name) and (folder / "config.json").exists() else None


def trained() -> dict[str, Card]:
    """The models that come with the book, trained for one strategy on one task, by their names."""
    cards = {path.parent.name: read_json(path) for path in sorted(DATA.glob("*/card.json"))}
    return {
        name: Card(card["task"], card["strategy"])
        for name, card in cards.items()
        if card.get("task") and card.get("strategy")
    }
