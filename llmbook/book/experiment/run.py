"""The whole experiment: train every model, put the questions, and read the table off the answers.

Each model is a folder: its weights, the recipe, the losses, and a transcript of everything that
was asked and answered; last comes ``done.json``, how many problems of each part were put. The
table is made from the transcripts alone. What is there already is not made again, so that the same
command goes on after a break.
"""

import multiprocessing
import os
import random
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch

from llmbook._checks import check_at_least_one
from llmbook._files import write_json
from llmbook._progress import progress as progress_of
from llmbook.book.experiment.recipe import DEEPEST, FORMATS, USUAL, Format, Recipe, Task
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
    "grade_answer",
    "name_of",
    "plan",
    "problems",
    "run_experiment",
    "search",
    "strategy_of",
]

_LOOKED_AT = 300  # long commands, when the texts were designed; they are not asked

DEPTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12)
"""Depths of the questions about chains; those up to 4 were learned from."""

Part = Literal["short", "long"]


@dataclass(frozen=True)
class Sizes:
    """How many problems are put."""

    short: int = 200  # commands like those learned from
    long: int | None = None  # of the long commands; None: all
    held_out: int = 400  # of those held out to choose a recipe by
    chains: int = 200  # questions of each depth


class Kind(NamedTuple):
    """What a model is but for its seed and its learning rate."""

    task: Task
    format: Format
    options: Mapping[str, Any]


_FORMATS = [
    *(Kind("scan", form, {}) for form in FORMATS["scan"]),
    Kind("chains", "direct", {}),
    Kind("chains", "chain-of-thought", {}),
    Kind("chains", "chain-of-thought", {"marked_end": True}),
    Kind("chains", "bottom-up", {"marked_end": True}),
    Kind("chains", "one-pass", {}),
    Kind("chains", "least-to-most", {}),
]
_ABLATIONS = [
    *(
        Kind("scan", form, {"expressions": False})
        for form in ("direct", "chain-of-thought", "least-to-most")
    ),
    *(
        Kind("scan", form, {"counterfactual": False})
        for form in ("chain-of-thought", "least-to-most")
    ),
    Kind("scan", "least-to-most", {"long_made_up": True}),
    Kind("chains", "chain-of-thought", {"marked_end": True, "token_shift": False}),
    Kind("chains", "least-to-most", {"token_shift": False}),
    Kind("chains", "least-to-most", {"short_contexts": False}),
]


def plan(seeds: int = 5, ablation_seeds: int = 3) -> list[Recipe]:
    """All models of the experiment: every format, then what becomes of it if a part is left out.

    Args:
        seeds: Models of each format.
        ablation_seeds: Models of each format that lacks a part.

    Returns:
        Their recipes, those of one seed together, so that a run that is cut short is a fair one.
    """
    return [
        _recipe(kind, seed)
        for kinds, count in ((_FORMATS, seeds), (_ABLATIONS, ablation_seeds))
        for seed in range(count)
        for kind in kinds
    ]


_RATES = (2e-3, 4e-3)
_SEARCH_STEPS = 2000


def search(seeds: int = 1) -> list[Recipe]:
    """The models by which each format's learning rate was chosen.

    Each format is trained at each rate on shorter problems than those of the plan, and asked for
    those that the plan will learn from: commands of 13 to 22 actions, questions of depth 4. No
    problem of the test plays a part.

    Args:
        seeds: Models of each format and rate.

    Returns:
        The recipes, those of one seed together.
    """
    return [
        replace(
            _recipe(kind, seed),
            held_out=True,
            learning_rate=rate,
            steps=_SEARCH_STEPS,
        )
        for seed in range(seeds)
        for kind in _FORMATS
        for rate in _RATES
    ]


_STEPS: dict[Task, int] = {"scan": 6000, "chains": 4000}
# As the models of `search` came out.
_LEARNING_RATE: dict[Task, dict[Format, float]] = {
    "scan": dict.fromkeys(FORMATS["scan"], 2e-3),
    "chains": dict.fromkeys(FORMATS["chains"], 2e-3),
}


def _recipe(kind: Kind, seed: int) -> Recipe:
    task, form, options = kind
    return Recipe(
        task, form, steps=_STEPS[task], learning_rate=_LEARNING_RATE[task][form],
        seed=seed, **options,
    )  # fmt: skip


_UNUSUAL = {
    "language": "zh",
    "token_shift": "no-shift",
    "counterfactual": "no-counterfactuals",
    "expressions": "raw-actions",
    "short_contexts": "long-contexts",
    "long_made_up": "long-made-up",
    "marked_end": "marked-end",
}


def name_of(recipe: Recipe) -> str:
    """Name of the folder of a recipe, such as ``scan-direct-no-shift-0``."""
    parts = [short for name, short in _UNUSUAL.items() if getattr(recipe, name) != USUAL[name]]
    if recipe.held_out:
        parts.append(f"held-out-{recipe.learning_rate:g}")
    return "-".join([recipe.task, recipe.format, *parts, str(recipe.seed)])


def problems(recipe: Recipe, part: Part, sizes: Sizes) -> list[Problem]:
    """What a model is asked.

    Args:
        recipe: Its recipe.
        part: ``"short"`` problems are like those learned from, ``"long"`` ones are longer than any
            of them.
        sizes: How many.

    Returns:
        The problems.
    """
    if recipe.task == "chains":
        depths = (*range(1, DEEPEST + 1),) if recipe.held_out else DEPTHS
        return [
            problem
            for depth in depths
            if (depth > recipe.deepest) == (part == "long")
            for problem in chains.problems(
                sizes.chains, size=depth, deepest=recipe.deepest, seed=1, language=recipe.language
            )
        ]
    generator = random.Random(0)
    short, long = scan.length_split()
    if recipe.held_out:
        lengths = {command: len(scan.interpret(command)) for command in short}
        short = [command for command in lengths if lengths[command] <= recipe.longest]
        long = [command for command in lengths if lengths[command] > recipe.longest]
    if part == "short":
        commands = generator.sample(short, sizes.short)
    elif recipe.held_out:
        commands = generator.sample(long, sizes.held_out)
    else:
        generator.shuffle(long)
        commands = long[_LOOKED_AT:][: sizes.long]
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
    strategy = strategies(recipe.task_name)[recipe.format]
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
