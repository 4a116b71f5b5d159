"""What of the experiment comes with the book: four models in half precision, and all figures.

``python -m llmbook.book.experiment.ship runs/experiment --out llmbook/book/data`` puts them in
place of those that are there. Each model has a card, ``card.json``: how it was made, from what,
and what it did.
"""

import argparse
import json
import os
from pathlib import Path

from llmbook._files import replacing
from llmbook.book.experiment.table import keep_results, read_results
from llmbook.pretrained import from_pretrained, save

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
        loaded = from_pretrained(out / folder)
        save(loaded.model.half(), loaded.tokenizer, data / name)
        facts = json.loads((out / folder / "recipe.json").read_text(encoding="utf-8"))
        found = results[folder]
        recipe = facts["recipe"]
        card = (
            {"task": recipe["task"], "strategy": recipe["format"]}
            | facts
            | {
                "data": "llmbook.book.experiment.rows: made by the recipe, nothing else",
                "made by": "python -m llmbook.book.experiment, then llmbook.book.experiment.ship",
                "right on problems like those learned from": str(found.short),
                "right on longer ones": str(found.long),
            }
        )
        with replacing(data / name / "card.json") as part:
            part.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    keep_results(results, data / "experiment.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m llmbook.book.experiment.ship",
        description="Take models and figures of the experiment over into the book.",
    )
    parser.add_argument("folder", type=Path, help="of the experiment, finished")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to")
    given = parser.parse_args()
    ship(given.folder, given.out)
