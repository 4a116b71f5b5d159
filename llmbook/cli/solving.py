"""What the commands `solve`, `evaluate` and `compare` do."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

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
from llmbook.lm import LanguageModel, load
from llmbook.prompting import Strategy, Trace, count_issues, strategy_for
from llmbook.tasks import chains, scan, task
from llmbook.tasks.problem import Problem

_TINY = ("scan-tiny", "chains-tiny")  # how the names of the book's own models begin
_PERSON = "|".join(chains.NAMES)
_FACT = re.compile(rf" ({_PERSON}) (?:(\d+)|({_PERSON}) ([+-]\d+)) ;")  # of a story
# What errors name, and what the user has typed for it.
_TYPED = {
    "strategy": "--strategy",
    "task": "--task",
    "chat": "--chat",
    "max_new_tokens": "--max-new-tokens",
    "size": "--size",
    "count": "--count",
    "transcript": "--out",
    "options": "--option",
    "source": "--model",
    "base_url": "--model",
    "model or base_url": "--model",
    "api_key": "OPENAI_API_KEY",
    "api_key, model or base_url": "OPENAI_API_KEY or --model",
    "problems[0]": "QUESTION",
    "prompts[0]": "QUESTION",
    "first and second": "FIRST and SECOND",
}


@contextmanager
def as_typed(**names: str) -> Iterator[None]:
    """Let errors speak of what the user has typed, not of the arguments of functions.

    Args:
        names: What stands for an argument whose name alone does not say it.
    """
    try:
        yield
    except ValueError as error:
        named, must, rest = str(error).partition(" must ")
        typed = (_TYPED | names).get(named, named)
        rest = re.sub(r"options=\{'(\w+)': None\}", r"--option \1=null", rest)
        raise ValueError(f"{typed}{must}{rest}") from None


@dataclass(frozen=True)
class Asking:
    """A model, the strategy to ask it with, and how answers are graded."""

    model: LanguageModel
    strategy: Strategy
    grade: Grade
    task: str
    trained: bool = False  # it has learned this task, and nothing else


def asking(
    model: str,
    strategy: str | None,
    task_name: str | None,
    *,
    chat: bool | None,
    max_new_tokens: int | None,
    options: Mapping[str, object] | None = None,
) -> Asking:
    """Load a model and find the strategy for it.

    Args:
        model: The model.
        strategy: Name of the strategy; none: that of a model which was trained for one, otherwise
            least-to-most.
        task_name: The task; none: that of a model which was trained for one, otherwise word
            problems.
        chat: As for [`load`][llmbook.lm.load].
        max_new_tokens: Most tokens for each answer; none: 256.
        options: As for [`load`][llmbook.lm.load].

    Returns:
        All that is needed to ask.

    Raises:
        ValueError: If there is no such model, strategy or task, or they do not go together.
    """
    if model.startswith(_TINY) and model in _shipped():
        given = {"chat": chat, "max_new_tokens": max_new_tokens, "options": options or None}
        if name := next((name for name, value in given.items() if value is not None), None):
            raise ValueError(f"{name} must not be given: {model} is asked as it was trained to be")
        return _asking_shipped(model, strategy, task_name)
    if task_name == "chains":
        raise ValueError(f"task must be one with exemplars, as {model} was not trained on chains")
    with as_typed(name="--task"):
        chosen = task.get(task_name or "word-problems")
    with as_typed(name="--strategy"):
        limit = max_new_tokens or 256
        made = strategy_for(chosen, strategy or "least-to-most", max_new_tokens=limit)
    with as_typed(name="--model"):
        loaded = load(model, chat=chat, options=options)
    return Asking(loaded, made, chosen.grade, chosen.name)


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
    return Asking(load(name), shipped[name][1], grade_of(family), family, trained=True)


def _shipped() -> dict[str, tuple[str, Strategy]]:
    """The models that come with the book: the task and the strategy that each has learned."""
    # Loads torch, for which a server's model or a comparison of files need not wait.
    from llmbook.book.experiment import chains_strategies, scan_strategies
    from llmbook.book.experiment.ship import SHIPPED

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
    with as_typed(name="--task"):
        return task.get(task_name).grade


def draw(task_name: str, count: int, size: int | None, seed: int) -> list[Problem]:
    """Problems of a task."""
    if task_name == "chains":
        if size is not None and size > chains.PEOPLE:
            raise ValueError(f"size must be at most {chains.PEOPLE} for chains, got {size}")
        return chains.draw_problems(count, size or 8, seed=seed)
    return task.get(task_name).problems(count, size=size, seed=seed)


def posed(question: str, context: str, asked: Asking) -> Problem:
    """A question of the user's; a command of SCAN comes with its answer, so that it is graded.

    Raises:
        ValueError: If the model was made for one task, and this is another.
    """
    answer = ""
    if asked.task == "scan":
        with suppress(ValueError):  # what is no command has no answer that we know
            answer = scan.express(question)
        if asked.trained and (not answer or context):
            example = '"jump around left thrice and walk"'
            raise _not_learned(asked, f"commands of SCAN, such as {example}, without a context")
    if asked.task == "chains" and asked.trained:
        context = "".join(f" {word}" for word in context.split())
        if not _tells(context, question):
            example = '"cy" with --context " bo ann +3 ; ann 7 ; cy bo -2 ;"'
            raise _not_learned(asked, f"how many somebody in a story has, such as {example}")
    return Problem(question, answer, context=context)


def _not_learned(asked: Asking, learned: str) -> ValueError:
    return ValueError(
        f"QUESTION must be of the kind that {asked.model.name} was trained for, and it knows no "
        f"other: {learned}. For other questions, give a model that was trained on much text: "
        "--model smollm2-135m (small, often wrong), a folder, an id on the hub, or the address "
        "of a server with #MODEL behind it"
    )


def _tells(context: str, name: str) -> bool:
    """Whether a story of chains, in numbers that the model knows, tells how many somebody has."""
    facts = _FACT.findall(context)
    if "".join(match[0] for match in _FACT.finditer(context)) != context:
        return False
    changes = {person: int(number or change) for person, number, _, change in facts}
    before = {person: other for person, _, other, _ in facts if other}
    people = [name]
    while people[-1] in before and len(people) <= len(facts):  # a circle is longer than that
        people.append(before[people[-1]])
    if len(changes) < len(facts) or people[-1] in before or not {*people} <= changes.keys():
        return False
    numbers = [sum(changes[each] for each in people[i:]) for i in range(len(people))]
    steps = [abs(changes[each]) for each in people[:-1]]
    return max(steps, default=0) <= chains.LARGEST_CHANGE and all(
        0 <= number <= chains.LARGEST for number in numbers
    )


def fields(given: Sequence[str]) -> dict[str, object]:
    """Fields of a request, from ``NAME=VALUE``: the value is JSON, or else a text."""
    found: dict[str, object] = {}
    for each in given:
        name, is_there, value = each.partition("=")
        if not name or not is_there:
            raise ValueError(f"--option must be NAME=VALUE, got {each!r}")
        found[name] = value
        with suppress(ValueError):
            found[name] = json.loads(value)
    return found


def reasons(traces: Sequence[Trace]) -> list[str]:
    """Why problems were not answered: of each in which the model gave an error, the first one."""
    found = []
    for trace in traces:
        issues = [issue for one in trace.walk() for issue in one.issues]
        found += [issue.detail for issue in issues if issue.kind == "model-error"][:1]
    return found


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
    """Evaluate, and say what was found.

    Raises:
        ValueError: If the model gave errors; what it did answer is reported before.
    """
    traces = evaluate(
        asked.strategy,
        asked.model,
        problems,
        transcript=out,
        task=asked.task,
        batch_size=batch_size,
        progress=True,
    )
    errors = reasons(traces)
    if len(errors) < len(traces):
        report(traces, asked.grade, write)
    if errors:
        again = "; the same command asks them again" if out else ""
        raise ValueError(
            f"the model gave an error in {len(errors):,} of {len(traces):,} problems, which say "
            f"nothing about what it can do: {errors[0]}{again}"
        )


def compare(
    first: Path, second: Path, task_name: str | None, write: Callable[[str], object]
) -> None:
    """Set two transcripts side by side."""
    read = {path: parse(path, path.read_bytes()) for path in (first, second)}
    for path, (_, traces) in read.items():
        seen: set[Problem] = set()
        for trace in traces:
            if trace.problem in seen:  # counted twice, it would make chance look like a finding
                question = trace.problem.question
                raise ValueError(f"{path} must hold each problem once, got {question!r} again")
            seen.add(trace.problem)
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
