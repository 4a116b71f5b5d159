"""What the commands `evaluate` and `compare` do."""

from collections.abc import Callable
from pathlib import Path

from llmbook import tasks
from llmbook.cli.console import naming
from llmbook.cli.solving import Setup, model_errors
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
from llmbook.evaluation.transcript import parse
from llmbook.prompting import Trace, count_issues
from llmbook.tasks import Problem, Task, benchmarks, own, word_problems

_GRADES: dict[str, Grade] = {  # of tasks whose problems come from files
    own.NAME: own.grade,
    "gsm8k": word_problems.grade,
    "drop": benchmarks.grade_passage,
}


def find_task(
    problems: Path | None, exemplars: Path | None, task: str | None, strategy: str | None
) -> Task | str | None:
    """The task of the user's own problems, if they are given; else the name that was given."""
    if problems is None:
        if exemplars is not None:
            raise ValueError(f"exemplars must be given with --problems, got {exemplars} alone")
        return task
    if exemplars is not None and task is not None:
        raise ValueError(f"task must not be given with --exemplars, got {task}")
    with naming(name="task"):
        found = own.task(problems, exemplars=exemplars, like=task)
    if not found.exemplars and strategy != "zero-shot":
        raise ValueError(
            f"exemplars must be given for {strategy or 'least-to-most'}: those of word problems "
            "end in numbers, and not all answers of yours are such"
        )
    return found


def choose(
    task: Task, own_problems: Path | None, count: int | None, size: int | None, seed: int
) -> list[Problem]:
    """The problems to put: so many of a task, or of a file all, if no number is given."""
    if count is None:
        count = 100
        if own_problems is not None:
            count = sum(size in (None, one.size) for one in own.read_problems(own_problems))
    return task.problems(count, size=size, seed=seed)


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


def evaluate_and_report(
    setup: Setup,
    problems: list[Problem],
    out: Path | None,
    batch_size: int,
    write: Callable[[str], object],
) -> None:
    """Evaluate, and say what was found.

    Raises:
        ValueError: If the model gave errors; what it did answer is reported before.
    """
    traces = evaluate(
        setup.strategy,
        setup.model,
        problems,
        transcript=out,
        task=setup.task.name,
        batch_size=batch_size,
        progress=True,
    )
    errors = model_errors(traces)
    if len(errors) < len(traces):
        report(traces, setup.task.grade, write)
    if errors:
        again = "; the same command asks them again" if out else ""
        raise ValueError(
            f"the model gave an error in {len(errors):,} of {len(traces):,} problems, which say "
            f"nothing about what it can do: {errors[0]}{again}"
        )


def compare(first: Path, second: Path, task: str | None, write: Callable[[str], object]) -> None:
    """Set two transcripts side by side."""
    transcripts = {path: parse(path, path.read_bytes()) for path in (first, second)}
    for path, (_, traces) in transcripts.items():
        seen: set[Problem] = set()
        for trace in traces:
            if trace.problem in seen:  # counted twice, it would make chance look like a finding
                question = trace.problem.question
                raise ValueError(f"{path} must hold each problem once, got {question!r} again")
            seen.add(trace.problem)
    for path, (header, _) in transcripts.items():
        if named := header.task:
            if task not in (None, named):
                raise ValueError(f"task must be {named} for {path}, got {task}")
            task = named
    if task is None:
        raise ValueError(f"task must be given: neither {first} nor {second} names it")
    if (grade := _GRADES.get(task)) is None:
        with naming(name="task"):
            grade = tasks.get(task).grade
    traces_of_first, traces_of_second = transcripts[first][1], transcripts[second][1]
    only_first, only_second, p = mcnemar(traces_of_first, traces_of_second, grade)
    scores = score(traces_of_first, grade), score(traces_of_second, grade)
    for path, value in zip((first, second), scores, strict=True):
        write(f"{path}: {value}")
    both = scores[0].right - only_first
    neither = scores[0].total - both - only_first - only_second
    write(f"both right: {both:,}; neither: {neither:,}")
    write(f"only the first right: {only_first:,}; only the second: {only_second:,}; p = {p:.3g}")
