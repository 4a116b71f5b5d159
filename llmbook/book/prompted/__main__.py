"""`python -m llmbook.book.prompted`: put the suite to a model, and print what came of it."""

import argparse
from pathlib import Path

from llmbook.book.prompted.run import ask, cells, load_cells
from llmbook.book.prompted.table import table
from llmbook.lm import load


def main(argv: list[str] | None = None) -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m llmbook.book.prompted", description=__doc__.split("`: ")[1]
    )
    parser.add_argument("--model", required=True, help="as for llmbook solve")
    parser.add_argument("--out", type=Path, default=Path("runs/prompted"), help="folder")
    parser.add_argument("--only", default="", help="cells whose name begins so, as stories-4")
    parser.add_argument("--count", type=int, default=100, help="problems of each (default 100)")
    parser.add_argument("--batch-size", type=int, default=8, help="problems at once (default 8)")
    arguments = parser.parse_args(argv)
    if not (asked := [*cells(arguments.only)]):
        parser.error(f"--only must be what a cell begins with, got {arguments.only!r}")
    model = load(arguments.model, chat=False)
    out = arguments.out / arguments.model.rpartition("#")[2].replace("/", "-")
    out.mkdir(parents=True, exist_ok=True)
    for cell in asked:
        print(cell.stem)
        ask(model, cell, out, count=arguments.count, batch_size=arguments.batch_size, progress=True)
    print(table(load_cells(arguments.only, folder=out)))


if __name__ == "__main__":
    main()
