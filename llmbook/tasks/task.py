"""A task: what strategies and their evaluation need to know of it, and nothing of any model.

`get` gives the tasks that make their own problems; `llmbook.tasks.benchmarks` makes tasks of
files that the reader brings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from llmbook.tasks import answers, calendar, last_letters, scan, word_problems
from llmbook.tasks.problem import Exemplar, Problem, Step

__all__ = ["NAMES", "Task", "get"]


class Draw(Protocol):
    """Makes problems: as many, of that size, the same for the same seed, none of them twice."""

    def __call__(self, count: int, *, size: int | None = None, seed: int = 0) -> list[Problem]: ...


@dataclass(frozen=True)
class Task:
    """Problems, exemplars and a grader.

    Every exemplar serves every way of prompting. Few-shot shows its question and answer, chain of
    thought its rationale too, without the sentence that names the answer. Least-to-most plans
    with the questions of its steps, joined by ``separator``, which occurs in no question; it
    solves with the questions and answers of its steps. A step's answer in an exemplar is what a
    model is to write: it may be a sentence that ends in the answer, which ``parse`` finds. In a
    problem it is the bare answer, so that a model's steps can be graded too.

    Examples:
        Problems can be made harder than they come:

        ```python
        import textwrap
        from dataclasses import replace
        from functools import partial

        from llmbook.tasks import task, word_problems

        easy = task.get("word-problems")
        hard = replace(
            easy, draw=partial(word_problems.problems, distractors=2, order="shuffled")
        )
        [problem] = hard.problems(1, size=3, seed=5)
        print(textwrap.fill(problem.context, 80))
        print(problem.question)
        answer = hard.parse("Bo scored 14 * 3 = 42 goals. The answer is 42.")
        print(answer, hard.grade(problem, answer))
        ```

        ``` {.text .output}
        Wes scored 4 more goals than Quinn. Iris scored twice as many goals as Wes. Bo
        scored 3 times as many goals as Iris. Quinn scored 3 goals. Ella scored 12
        goals. Pam scored twice as many goals as Wes.
        How many goals did Bo score?
        42 True
        ```
    """

    name: str
    instruction: str  # what is asked, in a sentence, for prompts without exemplars
    exemplars: tuple[Exemplar, ...]
    draw: Draw
    parse: Callable[[str], str | None]  # what a model wrote -> its answer, or none
    grade: Callable[[Problem | Step, str | None], bool]  # is the answer, as parsed, right?
    separator: str = " ; "  # between the sub-problems of a plan
    decompose: Callable[[str], list[str]] | None = None  # a question's plan, where a program has it

    def problems(self, count: int, *, size: int | None = None, seed: int = 0) -> list[Problem]:
        """Problems of the task.

        Args:
            count: How many.
            size: Their length or depth; none: the sizes that the task is usually tested with.
            seed: Where the randomness comes from.

        Returns:
            The problems; none of them occurs twice, and fewer are the beginning of more.

        Raises:
            ValueError: If there are no problems of that size, or fewer than ``count``.
        """
        return self.draw(count, size=size, seed=seed)


_LAST_LETTERS = Task(
    name="last-letters",
    instruction="Join the last letters of the words, in their order.",
    exemplars=last_letters.EXEMPLARS,
    draw=last_letters.problems,
    parse=answers.read_letters,
    grade=last_letters.grade,
    decompose=last_letters.decompose,
)
_SPELLED = Task(
    name="last-letters-spelled",
    instruction=_LAST_LETTERS.instruction,
    exemplars=last_letters.SPELLED_EXEMPLARS,
    draw=last_letters.spelled_problems,
    parse=answers.read_letters,
    grade=last_letters.grade,
    decompose=last_letters.decompose,
)
_SCAN = Task(
    name="scan",
    instruction=(
        "Write the actions of the command as an expression of LEFT, RIGHT, WALK, LOOK, RUN and "
        "JUMP, with + between actions and * for repetition."
    ),
    exemplars=scan.EXEMPLARS,
    draw=scan.problems,
    parse=scan.parse,
    grade=scan.grade,
    decompose=scan.decompose,
)
_WORD_PROBLEMS = Task(
    name="word-problems",
    instruction="Answer the question with a number.",
    exemplars=word_problems.EXEMPLARS,
    draw=word_problems.problems,
    parse=answers.read_number,
    grade=word_problems.grade,
)
_CALENDAR = Task(
    name="calendar",
    instruction="Answer with a day or a month.",
    exemplars=calendar.EXEMPLARS,
    draw=calendar.problems,
    parse=calendar.parse,
    grade=calendar.grade,
    decompose=calendar.decompose,
)
_TASKS = {task.name: task for task in (_LAST_LETTERS, _SPELLED, _SCAN, _WORD_PROBLEMS, _CALENDAR)}

NAMES = tuple(_TASKS)
"""The names of the tasks."""


def get(name: str) -> Task:
    """The task of that name: one of [`NAMES`][llmbook.tasks.task.NAMES].

    Args:
        name: ``"last-letters"``, ``"last-letters-spelled"``, ``"scan"``, ``"word-problems"`` or
            ``"calendar"``.

    Returns:
        The task.

    Raises:
        ValueError: If there is none of that name.

    Examples:
        ```python
        from llmbook.tasks import task

        scan = task.get("scan")
        [problem] = scan.problems(1, size=12)
        print(problem.question)
        print(problem.answer)
        print(scan.grade(problem, scan.parse(f"So the answer is {problem.answer}.")))
        ```

        ``` {.text .output}
        walk left thrice and walk opposite right twice
        ( LEFT + WALK ) * 3 + ( RIGHT + RIGHT + WALK ) * 2
        True
        ```
    """
    if name not in _TASKS:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    return _TASKS[name]
