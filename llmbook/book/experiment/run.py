"""The whole experiment: train every model, put the questions, and read the table off the answers.

Each model is a folder: its weights, the recipe, the losses, and a transcript of everything that
was asked and answered; last comes ``done.json``, how many problems of each part were put. The
table is made from the transcripts alone. What is there already is not made again, so that the same
command goes on after a break.
"""

import multiprocessing
import os
import random
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from llmbook._checks import check_at_least_one
from llmbook._files import write_json
from llmbook._progress import progress as progress_of
from llmbook.book.experiment.recipe import DEEPEST, FORMATS, Format, Recipe, Task
from llmbook.book.experiment.training import train_model
from llmbook.evaluation import evaluate
from llmbook.lm.gpt import OwnModel
from llmbook.pretrained import from_pretrained
from llmbook.prompting import LeastToMost, Strategy
from llmbook.prompting.shipped import strategies
from llmbook.tasks import chains, scan
from llmbook.tasks.problem import Problem, Step

__all__ = [
    "DEPTHS",
    "Sizes",
    "controls",
    "grade_answer",
    "name_of",
    "plan",
    "problems",
    "run_experiment",
    "search",
    "strategy_of",
]

DEPTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12)
"""Depths of the questions about chains; those up to 4 were learned from."""

Part = Literal["short", "choice", "long"]


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
    formats: tuple[Format, ...] = ("direct", "chain-of-thought", "least-to-most")
    first = seeds[0]
    return [
        *(_recipe(task, form, seed=seed) for task in FORMATS for form in formats for seed in seeds),
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


def controls(seeds: Sequence[int] = (0, 1, 2, 3, 4)) -> list[Recipe]:
    """The models that tell apart what least-to-most has at once and chain of thought has not.

    Plan and answers in one text, without asking anew; a chain of thought whose end is looked up, as
    that of a plan is; one that goes only up. And on SCAN the three formats that read made-up
    answers with none of more than 22 actions, as direct answers must do.

    Args:
        seeds: One model of each kind for each.

    Returns:
        Their recipes, those of one seed together.
    """
    kinds: list[tuple[Task, Format, dict[str, bool]]] = [
        ("chains", "chain-of-thought", {"marked_end": True}),
        ("chains", "bottom-up", {"marked_end": True}),
        ("chains", "one-pass", {}),
        *(
            ("scan", form, {"short_made_up": True})
            for form in ("chain-of-thought", "one-pass", "least-to-most")
        ),
    ]
    return [_recipe(task, form, seed=seed, **kind) for seed in seeds for task, form, kind in kinds]


def search(seed: int = 0) -> list[Recipe]:
    """What else was tried for the formats that least-to-most is compared with.

    Each is trained at the learning rates that the plan does not take, with one seed, and judged
    by the problems of ``"choice"``, none of which is in the table. Direct answers on chains are
    left out: no rate helped them.

    Args:
        seed: Of each model.

    Returns:
        The recipes.
    """
    tried: list[tuple[Task, Format, tuple[float, ...]]] = [
        ("scan", "direct", (1e-3, 2e-3)),
        ("scan", "chain-of-thought", (1e-3, 2e-3)),
        ("chains", "chain-of-thought", (1.5e-3, 6e-3)),
    ]
    return [
        _recipe(task, form, seed=seed, learning_rate=rate)
        for task, form, rates in tried
        for rate in rates
    ]


_STEPS: dict[Task, dict[Format, int]] = {
    # The others get at least what least-to-most gets.
    "scan": dict.fromkeys(FORMATS["scan"], 10_000),
    # A first word that hides a search is learned as slowly as an answer that does.
    "chains": dict.fromkeys(FORMATS["chains"], 4000) | {"direct": 10_000, "bottom-up": 10_000},
}
_LEARNING_RATE: dict[Task, dict[Format, float]] = {
    "scan": {"direct": 4e-3, "chain-of-thought": 4e-3, "one-pass": 2e-3, "least-to-most": 2e-3},
    "chains": dict.fromkeys(FORMATS["chains"], 3e-3),
}


def _recipe(task: Task, form: Format, **options: Any) -> Recipe:
    options.setdefault("learning_rate", _LEARNING_RATE[task][form])
    return Recipe(task, form, steps=_STEPS[task][form], **options)


_UNUSUAL = {
    "token_shift": "no-shift",
    "counterfactual": "no-counterfactuals",
    "expressions": "raw-actions",
    "short_contexts": "long-contexts",
    "short_made_up": "short-made-up",
    "marked_end": "marked-end",
}
_USUAL = {field.name: field.default for field in fields(Recipe)}


def name_of(recipe: Recipe) -> str:
    """Name of the folder of a recipe, such as ``scan-direct-no-shift-0``."""
    parts = [short for name, short in _UNUSUAL.items() if getattr(recipe, name) != _USUAL[name]]
    if recipe.learning_rate != _LEARNING_RATE[recipe.task][recipe.format]:
        parts.append(f"rate-{recipe.learning_rate:g}")
    return "-".join([recipe.task, recipe.format, *parts, str(recipe.seed)])


def problems(recipe: Recipe, part: Part, sizes: Sizes) -> list[Problem]:
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
            for problem in chains.problems(
                sizes.chains, size=depth, deepest=DEEPEST, seed=1 + (part == "choice")
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


def grade_answer(problem: Problem | Step, answer: str) -> bool:
    """Whether an answer is right: of a command, whether it asks for the same actions.

    A model that learned without expressions writes a row of actions, such as ``WALK WALK``, which
    the grader of the task itself refuses.
    """
    if problem.answer.isdigit():
        return chains.grade(problem, answer)
    if not set("+(*") & set(answer):
        answer = " + ".join(answer.split())  # a row of actions
    return scan.grade(problem, answer)


def strategy_of(recipe: Recipe) -> Strategy:
    """How a model of a recipe is asked."""
    strategy = strategies(recipe.task)[recipe.format]
    if isinstance(strategy, LeastToMost) and not recipe.short_contexts:
        return replace(strategy, history=None)
    return strategy


def run_experiment(
    recipes: Iterable[Recipe],
    out: str | os.PathLike[str],
    *,
    sizes: Sizes | None = None,
    processes: int = 1,
    progress: bool = False,
    only: str = "",
) -> None:
    """Train and ask every model that is not there yet.

    Args:
        recipes: Its recipes; see [`plan`][llmbook.book.experiment.run.plan].
        out: Gets a folder for each model.
        sizes: How many problems are put.
        processes: Models that are trained side by side, each on one core.
        progress: Show how many are done.
        only: Leave out models whose name does not begin so.

    Raises:
        ValueError: If that leaves none, or ``processes`` is below 1.
        BrokenProcessPool: If one of several processes was killed.
    """
    check_at_least_one("processes", processes)
    recipes = [recipe for recipe in recipes if name_of(recipe).startswith(only)]
    if not recipes:
        raise ValueError(f"only must be how the name of a model begins, got {only!r}")
    work = partial(
        _one, out=Path(out), sizes=sizes or Sizes(), progress=progress and processes == 1
    )
    with progress_of(total=len(recipes), unit="model", disable=not progress) as bar:
        if processes == 1:
            for recipe in recipes:
                work(recipe)
                bar.update()
            return
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=spawn, max_tasks_per_child=1) as pool:
            # As many as there are processes are handed over at a time: if one of them fails, no
            # other is begun.
            left = iter(recipes)
            under_way = {pool.submit(work, recipe) for recipe in islice(left, processes)}
            while under_way:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    bar.update()
                under_way |= {pool.submit(work, recipe) for recipe in islice(left, len(done))}


def _one(recipe: Recipe, *, out: Path, sizes: Sizes, progress: bool) -> None:
    torch.set_num_threads(1)  # so small a model gains nothing from a second one
    folder = out / name_of(recipe)
    train_model(recipe, folder, progress=progress)
    model = OwnModel(from_pretrained(folder), name_of(recipe), batch_size=256)
    done = folder / "done.json"
    done.unlink(missing_ok=True)  # there may be more to ask than the last time
    counts = {}
    for part in get_args(Part):
        asked = problems(recipe, part, sizes)
        transcript = folder / f"{part}.jsonl"
        evaluate(strategy_of(recipe), model, asked, transcript=transcript, progress=progress)
        counts[part] = len(asked)
    write_json(done, counts)
