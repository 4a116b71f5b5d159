"""`python -m llmbook.book.experiment`: train and ask all models, and print what came of it."""

import argparse
from pathlib import Path

import torch

from llmbook.book.experiment.run import Sizes, controls, plan, run_experiment, search
from llmbook.book.experiment.table import keep_results, read_results, table


def main(argv: list[str] | None = None) -> None:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m llmbook.book.experiment", description=__doc__.split("`: ")[1]
    )
    parser.add_argument("--out", type=Path, default=Path("runs/experiment"), help="folder")
    parser.add_argument("--seeds", type=int, default=3, help="models of each format (default 3)")
    parser.add_argument("--processes", type=int, help="models trained side by side, a core each")
    parser.add_argument("--only", default="", help="models whose name begins so")
    parser.add_argument(
        "--search", action="store_true", help="other learning rates instead of the plan"
    )
    parser.add_argument(
        "--controls", action="store_true", help="the controls instead of the plan, five seeds each"
    )
    arguments = parser.parse_args(argv)
    if arguments.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {arguments.seeds}")
    processes = arguments.processes or max(1, torch.get_num_threads())
    recipes = search() if arguments.search else plan(range(arguments.seeds))
    run_experiment(
        controls() if arguments.controls else recipes, arguments.out,
        sizes=Sizes(), processes=processes, progress=True, only=arguments.only,
    )  # fmt: skip
    results = read_results(arguments.out)
    keep_results(results, arguments.out / "results.json")
    print(table(results))


if __name__ == "__main__":
    main()
