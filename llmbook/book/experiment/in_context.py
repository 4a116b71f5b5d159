"""The strategies put to a model that was trained by others, which is only shown how, in its prompt.

``python -m llmbook.book.experiment.in_context`` asks the model that comes with the book;
``--model`` names any other. The sizes go beyond those that the exemplars show. Every prompt and
reply is in a transcript, and a run that was stopped goes on where it was.
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from llmbook import tasks
from llmbook._checks import check_at_least_one
from llmbook.book.cards import DATA
from llmbook.book.experiment._kept import keep
from llmbook.book.experiment._kept import load as load_kept
from llmbook.evaluation import Score, evaluate, plan_score, scores_by_size, step_score
from llmbook.lm import LanguageModel, load
from llmbook.prompting import LeastToMost, ProgramPlanner, Strategy, strategy_for

__all__ = ["SIZES", "Measured", "load_measured", "measure", "strategies"]

SIZES = {
    "calendar": (2, 4, 6, 8, 10),
    "last-letters": (2, 3, 4),
    "last-letters-spelled": (2, 3, 4),
    "scan": (2, 4, 8),
    "word-problems": (1, 2, 3),
}
"""The sizes of the problems of each task."""

_KEPT = DATA / "in-context.json"


class Measured(NamedTuple):
    """What came of one strategy on one task."""

    sizes: dict[int, Score]  # how many problems of each size were right
    plans: Score  # and of the plans: of least-to-most alone
    steps: Score  # and of single steps, where all before them were right


def strategies(name: str) -> dict[str, Strategy]:
    """The strategies for a task.

    Args:
        name: The task.

    Returns:
        Few-shot, chain of thought and least-to-most, and, where a program can plan, least-to-most
        with its plans.
    """
    task = tasks.get(name)
    strategies: dict[str, Strategy] = {
        strategy: strategy_for(task, strategy, max_new_tokens=100)
        for strategy in ("few-shot", "chain-of-thought", "least-to-most")
    }
    least_to_most = strategies["least-to-most"]
    if task.decompose is not None and isinstance(least_to_most, LeastToMost):
        planner = ProgramPlanner(task.decompose)
        strategies["least-to-most, planned"] = replace(least_to_most, planner=planner)
    return strategies


def measure(
    model: LanguageModel, out: str | os.PathLike[str], *, count: int = 10, progress: bool = False
) -> Iterator[tuple[str, str, Measured]]:
    """Put problems of every task to a model, by every strategy.

    Args:
        model: The model.
        out: Gets a transcript for each task and strategy.
        count: Problems of each size.
        progress: Show how many are done.

    Yields:
        A task, a strategy, and what came of both.

    Raises:
        ValueError: If ``count`` is below 1, or there are not so many problems of a size.
    """
    check_at_least_one("count", count)
    for name, sizes in SIZES.items():
        task = tasks.get(name)
        problems = [problem for size in sizes for problem in task.problems(count, size=size)]
        for asked, strategy in strategies(name).items():
            transcript = Path(out) / f"{name}-{asked.replace(', ', '-')}.jsonl"
            traces = evaluate(strategy, model, problems, transcript=transcript, progress=progress)
            planned = traces if isinstance(strategy, LeastToMost) else []
            yield (
                name,
                asked,
                Measured(
                    scores_by_size(traces, task.grade),
                    plan_score(planned),
                    step_score(planned, task.grade),
                ),
            )


def load_measured(path: str | os.PathLike[str] = _KEPT) -> dict[str, dict[str, Measured]]:
    """What the book's own run found, or that of a file that the command wrote.

    Args:
        path: The file.

    Returns:
        For each task, what came of each strategy.
    """
    return {
        name: {asked: Measured(**row) for asked, row in rows.items()}
        for name, rows in load_kept(path).items()
    }


def main(argv: list[str] | None = None) -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m llmbook.book.experiment.in_context",
        description="Put every task to a model by every strategy, and print what came of it.",
    )
    parser.add_argument("--model", default="smollm2-135m", help="as for llmbook solve")
    parser.add_argument("--chat", action="store_true", help="put prompts as turns of a chat")
    parser.add_argument("--out", type=Path, default=Path("runs/in-context"), help="folder")
    parser.add_argument("--count", type=int, default=10, help="problems of each size (default 10)")
    arguments = parser.parse_args(argv)
    out = arguments.out / (arguments.model.replace("/", "-") + ("-chat" if arguments.chat else ""))
    model = load(arguments.model, chat=arguments.chat or None)  # a server is asked so anyway
    figures: dict[str, dict[str, object]] = {}
    for name, asked, measured in measure(model, out, count=arguments.count, progress=True):
        figures.setdefault(name, {})[asked] = measured._asdict()
        right = "  ".join(f"{size}: {score.accuracy:.0%}" for size, score in measured.sizes.items())
        print(f"{name:21} {asked:23} {right}")
        if measured.steps.total:
            print(f"{'':21} plans {measured.plans}; steps {measured.steps}")
    keep(figures, out / "results.json")


if __name__ == "__main__":
    main()
