"""The whole experiment: train every model, put the questions, and read the table off the answers.

Each model is a folder: its weights, the recipe, the losses, and a transcript of everything that
was asked and answered. The table is made from the transcripts alone. What is there already is
not made again, so that the same command goes on after a break.
"""

import multiprocessing
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from tqdm import tqdm  # type: ignore[import-untyped]

from llmbook._checks import check_at_least_one
from llmbook.evaluation import evaluate
from llmbook.experiment.rows import DEEPEST, Format, Recipe, Task
from llmbook.experiment.strategies import chains_strategies, scan_strategies
from llmbook.experiment.training import train_model
from llmbook.models.own import OwnModel
from llmbook.pretrained import from_pretrained
from llmbook.prompting import LeastToMost, Strategy
from llmbook.tasks import chains, scan
from llmbook.tasks.problem import Problem, Step

__all__ = ["DEPTHS", "Sizes", "grade", "name_of", "plan", "problems", "run", "strategy_of"]

DEPTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12)
"""Depths of the questions about chains; those up to 4 were learned from."""

Set = Literal["short", "choice", "long"]


@dataclass(frozen=True)
class Sizes:
    """How many problems are put."""

    short: int = 200  # commands like those learned from
    choice: int = 300  # long commands by which recipes were chosen, and nothing is reported
    long: int | None = None  # of the other long commands; None: all
    chains: int = 200  # questions of each depth


def plan(seeds: Sequence[int] = (0, 1, 2)) -> list[Recipe]:
    """All models of the experiment: each format with its best recipe, then the ablations.

    Args:
        seeds: One model of each format for each.

    Returns:
        Their recipes.
    """
    formats = get_args(Format)
    first = seeds[0]
    return [
        *(_recipe(task, form, seed=seed) for task in _STEPS for form in formats for seed in seeds),
        *(_recipe("scan", form, seed=first, expressions=False) for form in formats),
        *(
            _recipe("scan", form, seed=first, **{part: False})
            for part in ("counterfactual", "token_shift")
            for form in ("least-to-most", "chain-of-thought")
        ),
        *(
            _recipe("chains", "least-to-most", seed=first, **{part: False})
            for part in ("token_shift", "short_contexts")
        ),
    ]


_STEPS: dict[Task, dict[Format, int]] = {
    # The others get at least what least-to-most gets.
    "scan": {"direct": 10_000, "chain-of-thought": 10_000, "least-to-most": 10_000},
    "chains": {"direct": 10_000, "chain-of-thought": 4000, "least-to-most": 4000},
}
_LEARNING_RATE: dict[Task, float] = {"scan": 2e-3, "chains": 3e-3}


def _recipe(task: Task, form: Format, **options: Any) -> Recipe:
    steps, rate = _STEPS[task][form], _LEARNING_RATE[task]
    return Recipe(task, form, steps=steps, learning_rate=rate, **options)


_WITHOUT = {
    "token_shift": "no-shift",
    "counterfactual": "no-counterfactuals",
    "expressions": "raw-actions",
    "short_contexts": "long-contexts",
}


def name_of(recipe: Recipe) -> str:
    """Name of the folder of a recipe, such as ``scan-direct-no-shift-0``."""
    missing = [short for name, short in _WITHOUT.items() if not getattr(recipe, name)]
    return "-".join([recipe.task, recipe.format, *missing, str(recipe.seed)])


def problems(recipe: Recipe, part: Set, sizes: Sizes) -> list[Problem]:
    """What a model is asked.

    Args:
        recipe: Its recipe.
        part: ``"short"`` problems are like those learned from, ``"long"`` ones make the table,
            and by those of ``"choice"`` the recipes were chosen.
        sizes: How many.

    Returns:
        The problems.
    """
    if recipe.task == "chains":
        return [
            problem
            for depth in DEPTHS
            if (depth > DEEPEST) == (part != "short")
            for problem in chains.draw_problems(
                sizes.chains, depth, deepest=DEEPEST, seed=1 + (part == "choice")
            )
        ]
    short, long = scan.length_split()
    generator = random.Random(0)
    if part == "short":
        commands = generator.sample(short, sizes.short)
    else:
        generator.shuffle(long)
        chosen, rest = long[: sizes.choice], long[sizes.choice :]
        commands = chosen if part == "choice" else rest[: sizes.long]
    return [scan.pose(command) for command in commands]


def grade(problem: Problem | Step, answer: str) -> bool:
    """Whether an answer is right: of a command, whether it asks for the same actions."""
    if problem.answer.isdigit():
        return chains.grade(problem, answer)
    if "+" not in answer and "(" not in answer:
        answer = " + ".join(answer.split())  # a row of actions
    return scan.grade(problem, answer)


def strategy_of(recipe: Recipe) -> Strategy:
    """How a model of a recipe is asked."""
    made = scan_strategies() if recipe.task == "scan" else chains_strategies()
    strategy = made[recipe.format]
    if isinstance(strategy, LeastToMost) and not recipe.short_contexts:
        return replace(strategy, history=None)
    return strategy


def run(
    recipes: Iterable[Recipe],
    out: Path,
    *,
    sizes: Sizes | None = None,
    processes: int = 1,
    progress: bool = False,
    only: str = "",
) -> None:
    """Train and ask every model that is not there yet.

    Args:
        recipes: Its recipes; see [`plan`][llmbook.experiment.run.plan].
        out: Gets a folder for each model.
        sizes: How many problems are put.
        processes: Models that are trained side by side, each on one core.
        progress: Show how many are done.
        only: Leave out models whose name does not begin so.

    Raises:
        ValueError: If that leaves none, or ``processes`` is below 1.
    """
    check_at_least_one("processes", processes)
    recipes = [recipe for recipe in recipes if name_of(recipe).startswith(only)]
    if not recipes:
        raise ValueError(f"only must be how the name of a model begins, got {only!r}")
    work = partial(_one, out=out, sizes=sizes or Sizes(), progress=progress and processes == 1)
    with tqdm(total=len(recipes), unit="model", disable=not progress) as bar:
        if processes == 1:
            for recipe in recipes:
                work(recipe)
                bar.update()
            return
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes, maxtasksperchild=1) as pool:
            for _ in pool.imap_unordered(work, recipes):
                bar.update()


def _one(recipe: Recipe, *, out: Path, sizes: Sizes, progress: bool) -> None:
    torch.set_num_threads(1)  # so small a model gains nothing from a second one
    folder = out / name_of(recipe)
    train_model(recipe, folder, progress=progress)
    model = OwnModel(from_pretrained(folder), name_of(recipe), batch_size=256)
    for part in ("short", "choice", "long"):
        asked = problems(recipe, part, sizes)
        transcript = folder / f"{part}.jsonl"
        evaluate(strategy_of(recipe), model, asked, transcript=transcript, progress=progress)
