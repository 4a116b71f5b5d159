"""What the commands `solve`, `evaluate` and `compare` do."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from llmbook._transcript import parse
from llmbook.evaluation import (
    Grade,
    cost,
    evaluate,
    mcnemar,
    plan_score,
    score,
    scores_by_size,
    step_score,
)
from llmbook.models import LanguageModel, load
from llmbook.prompting import Strategy, Trace, count_issues, strategy_for
from llmbook.tasks import chains, scan, task
from llmbook.tasks.problem import Problem

_TINY = ("scan-tiny", "chains-tiny")  # how the names of the book's own models begin


@dataclass(frozen=True)
class Asking:
    """A model, the strategy to ask it with, and how answers are graded."""

    model: LanguageModel
    strategy: Strategy
    grade: Grade
    task: str


def asking(
    model: str,
    strategy: str | None,
    task_name: str | None,
    *,
    chat: bool | None,
    max_new_tokens: int | None,
) -> Asking:
    """Load a model and find the strategy for it.

    Args:
        model: The model.
        strategy: Name of the strategy; none: that of a model which was trained for one, otherwise
            least-to-most.
        task_name: The task; none: that of a model which was trained for one, otherwise word
            problems.
        chat: As for [`load`][llmbook.models.load].
        max_new_tokens: Most tokens for each answer; none: 256.

    Returns:
        All that is needed to ask.

    Raises:
        ValueError: If there is no such model, strategy or task, or they do not go together.
    """
    if model.startswith(_TINY) and model in _shipped():
        if chat is not None or max_new_tokens is not None:
            name = "max_new_tokens" if chat is None else "chat"
            raise ValueError(f"{name} must not be given: {model} is asked as it was trained to be")
        return _asking_shipped(model, strategy, task_name)
    if task_name == "chains":
        raise ValueError(f"task must be one with exemplars, as {model} was not trained on chains")
    chosen = task.get(task_name or "word-problems")
    made = strategy_for(chosen, strategy or "least-to-most", max_new_tokens=max_new_tokens or 256)
    return Asking(load(model, chat=chat), made, chosen.grade, chosen.name)


def _asking_shipped(model: str, strategy: str | None, task_name: str | None) -> Asking:
    """A model that comes with the book: each has learned one strategy for one task.

    ``scan-tiny`` stands for all models of its task, and the strategy picks one of them.
    """
    shipped = _shipped()
    family, own = shipped[model]
    if task_name not in (None, family):
        raise ValueError(f"task must be {family} for the model {model}, got {task_name}")
    offered = {
        learned.name: name
        for name, (of, learned) in shipped.items()
        if of == family and model in (name, f"{family}-tiny")
    }
    if strategy is not None and strategy not in offered:
        raise ValueError(f"strategy must be {' or '.join(offered)} for {model}, got {strategy}")
    name = offered[strategy or own.name]
    return Asking(load(name), shipped[name][1], grade_of(family), family)


def _shipped() -> dict[str, tuple[str, Strategy]]:
    """The models that come with the book: the task and the strategy that each has learned."""
    # Loads torch, for which a server's model or a comparison of files need not wait.
    from llmbook.experiment import chains_strategies, scan_strategies
    from llmbook.experiment.ship import SHIPPED

    made = {"scan": scan_strategies(), "chains": chains_strategies()}
    shipped = {}
    for name, folder in SHIPPED.items():
        task_name, _, form = folder.rpartition("-")[0].partition("-")
        shipped[name] = task_name, made[task_name][form]
    return shipped


def grade_of(task_name: str) -> Grade:
    """How answers to a task are graded."""
    if task_name == "chains":
        return chains.grade
    return task.get(task_name).grade


def draw(task_name: str, count: int, size: int | None, seed: int) -> list[Problem]:
    """Problems of a task."""
    if task_name == "chains":
        if size is not None and size > chains.PEOPLE:
            raise ValueError(f"size must be at most {chains.PEOPLE} for chains, got {size}")
        return chains.draw_problems(count, size or 8, seed=seed)
    return task.get(task_name).problems(count, size=size, seed=seed)


def posed(question: str, context: str, task_name: str) -> Problem:
    """A question of the user's; a command of SCAN comes with its answer, so that it is graded."""
    answer = ""
    if task_name == "scan":
        with suppress(ValueError):  # what is no command has no answer that we know
            answer = scan.express(question)
    return Problem(question, answer, context=context)


def report(traces: list[Trace], grade: Grade, write: Callable[[str], object]) -> None:
    """What an evaluation found, line by line."""
    write(f"{'right':16}{score(traces, grade)}")
    sizes = scores_by_size(traces, grade)
    if len(sizes) > 1:
        for size, value in sizes.items():
            write(f"  size {size:<9}{value}")
    if any(trace.steps for trace in traces):
        write(f"{'plans':16}{plan_score(traces)}")
        write(f"{'single steps':16}{step_score(traces, grade)}")
    mean = cost(traces)
    write(
        f"{'a problem costs':16}{mean.calls:.1f} calls, {mean.prompt_tokens:,.0f} tokens read "
        f"({mean.reused_tokens:,.0f} of them reused), {mean.completion_tokens:,.0f} written, "
        f"{mean.seconds:.2f} s"
    )
    for kind, count in sorted(count_issues(traces).items()):
        write(f"{'went wrong':16}{kind} × {count:,}")


def run(
    asked: Asking,
    problems: list[Problem],
    out: Path | None,
    batch_size: int,
    write: Callable[[str], object],
) -> None:
    """Evaluate, and say what was found."""
    traces = evaluate(
        asked.strategy,
        asked.model,
        problems,
        transcript=out,
        task=asked.task,
        batch_size=batch_size,
        progress=True,
    )
    report(traces, asked.grade, write)


def compare(
    first: Path, second: Path, task_name: str | None, write: Callable[[str], object]
) -> None:
    """Set two transcripts side by side."""
    read = {path: parse(path, path.read_bytes()) for path in (first, second)}
    for path, (header, _) in read.items():
        if named := header.task:
            if task_name not in (None, named):
                raise ValueError(f"task must be {named} for {path}, got {task_name}")
            task_name = named
    if task_name is None:
        raise ValueError(f"task must be given: neither {first} nor {second} names it")
    grade, one, other = grade_of(task_name), read[first][1], read[second][1]
    only_first, only_second, p = mcnemar(one, other, grade)
    scores = score(one, grade), score(other, grade)
    for path, value in zip((first, second), scores, strict=True):
        write(f"{path}: {value}")
    both = scores[0].right - only_first
    write(f"both right: {both:,}; neither: {len(one) - both - only_first - only_second:,}")
    write(f"only the first right: {only_first:,}; only the second: {only_second:,}; p = {p:.3g}")
