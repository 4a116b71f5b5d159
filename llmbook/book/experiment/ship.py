"""What of the experiment comes with the book: four models in half precision, and all figures.

``python -m llmbook.book.experiment.ship runs/experiment --out llmbook/book/data`` puts them in
place of those that are there. Each model has a card, ``card.json``: how it was made, from what,
and what it did.
"""

import argparse
import os
from pathlib import Path

import torch

from llmbook._files import read_json
from llmbook.book.cards import write_card
from llmbook.book.experiment.table import keep_results, read_results
from llmbook.pretrained import from_pretrained

__all__ = ["SHIPPED", "ship"]

SHIPPED = {
    "scan-tiny": "scan-least-to-most-0",
    "scan-tiny-direct": "scan-direct-0",
    "chains-tiny": "chains-least-to-most-0",
    "chains-tiny-chain-of-thought": "chains-chain-of-thought-0",
}
"""Names of models for [`load`][llmbook.lm.load], and the folders that they come from."""


def ship(out: str | os.PathLike[str], data: str | os.PathLike[str]) -> None:
    """Take models and figures of the experiment over into the book.

    Args:
        out: Folder of the experiment, finished.
        data: Where to: of a checkout, ``llmbook/book/data``.

    Raises:
        ValueError: If a model is missing.
    """
    out, data = Path(out), Path(data)
    results = read_results(out)
    if missing := [folder for folder in SHIPPED.values() if folder not in results]:
        raise ValueError(f"out must hold all models to ship, {out} lacks {missing[0]}")
    for name, folder in SHIPPED.items():
        loaded, result = from_pretrained(out / folder, dtype=torch.float16), results[folder]
        facts = read_json(out / folder / "recipe.json")
        loaded.save(data / name)
        write_card(
            data / name,
            loaded.model,
            name=name,
            task=facts["recipe"]["task"],
            strategy=facts["recipe"]["format"],
            seed=facts["recipe"]["seed"],
            data="llmbook.book.experiment.rows: made by the recipe, nothing else",
            made_by="python -m llmbook.book.experiment --out runs/experiment && "
            "python -m llmbook.book.experiment.ship runs/experiment --out llmbook/book/data",
            **facts,
            right_on_short=str(result.short),  # problems like those learned from
            right_on_long=str(result.long),
        )
    keep_results(results, data / "experiment.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m llmbook.book.experiment.ship",
        description="Take models and figures of the experiment over into the book.",
    )
    parser.add_argument("folder", type=Path, help="of the experiment, finished")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to")
    arguments = parser.parse_args()
    ship(arguments.folder, arguments.out)
