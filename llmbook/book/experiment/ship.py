"""The models of the experiment that come with the book: six, in half precision.

``python -m llmbook.book.experiment.ship runs/shipped --out llmbook/book/data`` trains and asks
them, and puts them in place of those that are there. Each has a card, ``card.json``: how it was
made, from what, and what it did. Their recipes differ a little from those of the table: they were
found before it was made, and much on the pages is shown with them.
"""

import argparse
import os
from pathlib import Path

import torch

from llmbook._files import read_json
from llmbook.book.cards import write_card
from llmbook.book.experiment.recipe import Recipe
from llmbook.book.experiment.run import Sizes, name_of, run_experiment
from llmbook.book.experiment.table import read_results
from llmbook.pretrained import from_pretrained

__all__ = ["SHIPPED", "ship"]

SHIPPED = {
    "scan-tiny": Recipe(
        "scan", "least-to-most", long_made_up=True, steps=10_000, learning_rate=2e-3
    ),
    "scan-tiny-direct": Recipe("scan", "direct", steps=10_000, learning_rate=4e-3),
    "chains-tiny": Recipe("chains", "least-to-most", steps=4000, learning_rate=3e-3),
    "chains-tiny-chain-of-thought": Recipe(
        "chains", "chain-of-thought", steps=4000, learning_rate=3e-3
    ),
    "chains-tiny-zh": Recipe(
        "chains", "least-to-most", language="zh", steps=4000, learning_rate=3e-3
    ),
    "chains-tiny-zh-chain-of-thought": Recipe(
        "chains", "chain-of-thought", language="zh", steps=4000, learning_rate=3e-3
    ),
}
"""Names of models for [`load`][llmbook.lm.load], and their recipes."""


def ship(
    out: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    sizes: Sizes | None = None,
    progress: bool = False,
    only: str = "",
) -> None:
    """Train and ask the models that are not there yet, and take all of them over into the book.

    Args:
        out: Gets a folder for each model.
        data: Where to: of a checkout, ``llmbook/book/data``.
        sizes: How many problems are put.
        progress: Show how many are done.
        only: Leave out models whose name does not begin so.
    """
    out, data = Path(out), Path(data)
    wanted = {name: recipe for name, recipe in SHIPPED.items() if name.startswith(only)}
    run_experiment(wanted.values(), out, sizes=sizes, progress=progress)
    results = read_results(out)
    for name, recipe in wanted.items():
        folder = name_of(recipe)
        loaded, result = from_pretrained(out / folder, dtype=torch.float16), results[folder]
        loaded.save(data / name)
        write_card(
            data / name,
            loaded.model,
            name=name,
            task=recipe.task_name,
            strategy=recipe.format,
            seed=recipe.seed,
            data="llmbook.book.experiment.rows: made by the recipe, nothing else",
            made_by="python -m llmbook.book.experiment.ship runs/shipped --out llmbook/book/data",
            **read_json(out / folder / "recipe.json"),
            right_on_short=str(result.short),  # problems like those learned from
            right_on_long=str(result.long),
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m llmbook.book.experiment.ship",
        description="Train the models of the experiment that come with the book.",
    )
    parser.add_argument("folder", type=Path, help="gets a folder for each model")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to")
    parser.add_argument("--only", default="", help="models whose name begins so")
    arguments = parser.parse_args()
    ship(arguments.folder, arguments.out, progress=True, only=arguments.only)
