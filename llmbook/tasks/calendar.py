"""Calendar: which day or month comes a number of days or months after another.

"Which day is 5 days after Friday?" A step of one day is a thing that even a small language model
has read thousands of times, and the way is as long as one likes: a task for looking at how single
steps, plans and whole problems go together in a model that was trained on nothing of the kind. Days
and months go round, so that a long way leads through no number that is larger than the number
asked for. The task is ours.
"""

import random
import re

from llmbook.tasks.answers import read_name
from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.task import Task

__all__ = ["DAYS", "EXEMPLARS", "MONTHS", "TASKS", "decompose", "grade", "parse", "problems"]

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
"""The days, in order."""
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
"""The months, in order."""

_STARTS = (*DAYS, *MONTHS)
_SIZES = (2, 4, 6, 8, 10)
_QUESTION = re.compile(r"Which (day|month) is ([1-9][0-9]*) \1s? after ([A-Z][a-z]+)\?")


def _after(start: str, size: int) -> str:
    """The day or month so many after another."""
    cycle = DAYS if start in DAYS else MONTHS
    return cycle[(cycle.index(start) + size) % len(cycle)]


def _ask(start: str, size: int) -> str:
    unit = "day" if start in DAYS else "month"
    return f"Which {unit} is {size} {unit}{'s' if size > 1 else ''} after {start}?"


def _read(question: str) -> tuple[str, int]:
    """Where a question starts, and how many days or months it goes on."""
    match = _QUESTION.fullmatch(question)
    if not match or _ask(match[3], int(match[2])) != question or match[3] not in _STARTS:
        raise ValueError(f"question must be such as {_ask('Monday', 3)!r}, got {question!r}")
    return match[3], int(match[2])


def decompose(question: str) -> list[str]:
    """The sub-problems of a question, from least to most; the last is the question.

    Args:
        question: As [`problems`][llmbook.tasks.calendar.problems] ask it.

    Returns:
        The same question for one day or month, for two, and so on.

    Raises:
        ValueError: If it is no such question.

    Examples:
        ```python
        from llmbook.tasks import calendar

        for question in calendar.decompose("Which month is 3 months after October?"):
            print(question)
        ```

        ``` {.text .output}
        Which month is 1 month after October?
        Which month is 2 months after October?
        Which month is 3 months after October?
        ```
    """
    start, size = _read(question)
    return [_ask(start, n) for n in range(1, size + 1)]


def problems(count: int, *, size: int | None = None, seed: int = 0) -> list[Problem]:
    """Questions, none of them twice, and none that an exemplar shows.

    Args:
        count: How many. Of a size from 4 up there are 19, one for each day and month; of sizes
            1, 2 and 3, of which exemplars show some, there are 11, 12 and 15.
        size: Days or months to go on; none: 2, 4, 6, 8 and 10 in turn.
        seed: Where the randomness comes from.

    Returns:
        The problems, with a step for each day or month. Fewer of them are the beginning of more.

    Raises:
        ValueError: If ``size`` is below 1, or there are fewer problems than ``count``.
    """
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    generator = random.Random(seed)
    sizes = _SIZES if size is None else (size,)
    columns = []
    for length in sizes:
        starts = [start for start in _STARTS if _ask(start, length) not in _SHOWN]
        columns.append([(start, length) for start in generator.sample(starts, len(starts))])
    rows = max(map(len, columns))
    candidates = [column[row] for row in range(rows) for column in columns if row < len(column)]
    if not 1 <= count <= len(candidates):
        kind = "questions" if size is None else f"questions of size {size}"
        raise ValueError(
            f"count must be 1 to {len(candidates)}, as many {kind} no exemplar shows, got {count}"
        )
    return [_problem(start, length) for start, length in candidates[:count]]


def _problem(start: str, size: int) -> Problem:
    steps = tuple(Step(_ask(start, n), _after(start, n)) for n in range(1, size + 1))
    return Problem(steps[-1].question, steps[-1].answer, size=size, steps=steps)


def parse(completion: str) -> str | None:
    """The day or month that a model's text gives for an answer, or None if it names none.

    Capitals are as they are: *may* is not *May*. See [`answers`][llmbook.tasks.answers.marked].
    """
    return read_name(completion, _STARTS)


def grade(problem: Problem | Step, answer: str | None) -> bool:
    """Whether the day or month is the right one; none is wrong."""
    return answer is not None and parse(answer) == problem.answer


def _exemplar(start: str, size: int) -> Exemplar:
    unit = "day" if start in DAYS else "month"
    steps = tuple(
        Step(_ask(start, n), f"The {unit} after {_after(start, n - 1)} is {_after(start, n)}.")
        for n in range(1, size + 1)
    )
    rationale = " ".join(step.answer for step in steps)
    return Exemplar(_ask(start, size), _after(start, size), rationale=rationale, steps=steps)


EXEMPLARS = tuple(
    _exemplar(start, size)
    for start, size in (
        ("Wednesday", 2), ("October", 3), ("Saturday", 3), ("February", 2),
        ("Monday", 2), ("May", 3), ("Thursday", 1), ("July", 3),
    )
)  # fmt: skip
"""Eight questions of one to three steps, solved."""

_SHOWN = {step.question for exemplar in EXEMPLARS for step in exemplar.steps}

TASKS = (
    Task(
        name="calendar",
        instruction="Answer with a day or a month.",
        exemplars=EXEMPLARS,
        sample=problems,
        parse=parse,
        grade=grade,
        decompose=decompose,
    ),
)
"""The task."""
