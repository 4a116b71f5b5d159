"""`python -m llmbook.book.experiment`: train and ask all models, and print what came of it."""

import argparse
from pathlib import Path

import torch

from llmbook.book.experiment.run import Sizes, plan, run_experiment, search
from llmbook.book.experiment.table import (
    KEPT,
    keep_results,
    load_results,
    read_results,
    table,
)


def main(argv: list[str] | None = None) -> None:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m llmbook.book.experiment", description=__doc__.split("`: ")[1]
    )
    parser.add_argument("--out", type=Path, default=Path("runs/experiment"), help="folder")
    parser.add_argument("--seeds", type=int, default=5, help="models of each format (default 5)")
    parser.add_argument(
        "--ablation-seeds", type=int, default=3, help="of each that lacks a part (default 3)"
    )
    parser.add_argument("--processes", type=int, help="models trained side by side, a core each")
    parser.add_argument("--only", default="", help="models whose name begins so")
    parser.add_argument(
        "--search", action="store_true", help="the models by which the learning rates were chosen"
    )
    parser.add_argument(
        "--keep", type=Path, nargs="?", const=KEPT, metavar="FILE",
        help="add what came of them to the results in FILE, or to those of the book",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    if arguments.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {arguments.seeds}")
    if arguments.ablation_seeds < 0:
        parser.error(f"--ablation-seeds must not be negative, got {arguments.ablation_seeds}")
    processes = arguments.processes or max(1, torch.get_num_threads())
    recipes = search() if arguments.search else plan(arguments.seeds, arguments.ablation_seeds)
    run_experiment(
        recipes, arguments.out, sizes=Sizes(), processes=processes, progress=True,
        only=arguments.only,
    )  # fmt: skip
    results = read_results(arguments.out)
    keep_results(results, arguments.out / "results.json")
    if arguments.keep:
        before = load_results(arguments.keep) if arguments.keep.exists() else {}
        keep_results(before | results, arguments.keep)
    print(table(results))


if __name__ == "__main__":
    main()
