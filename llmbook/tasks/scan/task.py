"""The task: commands as problems, what a model's text is taken to say, and how it is graded."""

import random
import re
from functools import cache
from itertools import product

from llmbook.tasks.answers import find
from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.scan.language import (
    ACTIONS,
    decompose,
    every_clause,
    expand,
    express,
    interpret,
    parts,
    words_of,
)
from llmbook.tasks.task import Task

__all__ = [
    "EXEMPLARS",
    "LONGEST_TO_LEARN",
    "TASKS",
    "describe",
    "explain",
    "grade",
    "length_split",
    "parse",
    "pose",
    "problems",
]

LONGEST_TO_LEARN = 22
"""The most actions of a command that may be learned from in the length split."""


@cache
def _lengths() -> dict[str, int]:
    """The number of actions of every command: that of a pair is the sum of its clauses'."""
    of_clause = {clause: len(interpret(clause)) for clause in every_clause()}
    pairs = product(of_clause, ("and", "after"), of_clause)
    return of_clause | {
        f"{first} {word} {second}": of_clause[first] + of_clause[second]
        for first, word, second in pairs
    }


def length_split() -> tuple[list[str], list[str]]:
    """The commands to learn from, at most 22 actions long, and those of the test, longer."""
    lengths = _lengths()
    short = [command for command, length in lengths.items() if length <= LONGEST_TO_LEARN]
    long = [command for command, length in lengths.items() if length > LONGEST_TO_LEARN]
    return short, long


def problems(count: int, *, size: int | None = None, seed: int = 0) -> list[Problem]:
    """Commands as problems, none of them twice; the answers are expressions.

    Args:
        count: How many.
        size: Number of actions; none: any command of the test of the length split.
        seed: Where the randomness comes from.

    Returns:
        The problems, with the commands of [`decompose`][llmbook.tasks.scan.decompose] as steps.
        Fewer are the beginning of more.

    Raises:
        ValueError: If there are no such commands, or fewer than ``count``.

    Examples:
        ```python
        from llmbook.tasks import scan

        [problem] = scan.problems(1, size=12)
        print(problem.question)
        print(problem.answer)
        ```

        ``` {.text .output}
        walk left thrice and walk opposite right twice
        ( LEFT + WALK ) * 3 + ( RIGHT + RIGHT + WALK ) * 2
        ```
    """
    _, commands = length_split()
    if size is not None:
        commands = [command for command, length in _lengths().items() if length == size]
    if not commands:
        raise ValueError(f"size must be the number of actions of a command, got {size}")
    if not 1 <= count <= len(commands):
        kind = "long commands" if size is None else f"commands of {size} actions"
        raise ValueError(
            f"count must be 1 to {len(commands)}, as many {kind} are there, got {count}"
        )
    random.Random(seed).shuffle(commands)
    return [pose(command) for command in commands[:count]]


def pose(command: str, context: str = "") -> Problem:
    """A command as a problem: its expression, its number of actions, and its steps.

    Args:
        command: The command.
        context: Nothing: a command stands by itself.

    Raises:
        ValueError: If it is not a command of SCAN, or there is a context.
    """
    if context:
        raise ValueError(f"context must be empty for a command of SCAN, got {context!r}")
    command = " ".join(words_of(command))  # a blank between its words
    steps = _steps(command)
    return Problem(command, steps[-1].answer, len(interpret(command)), steps)


def _steps(command: str) -> tuple[Step, ...]:
    return tuple(Step(part, express(part)) for part in decompose(command))


def parse(completion: str) -> str | None:
    """The expression that a model's text ends in.

    Args:
        completion: What the model wrote: an expression, or words with expressions among them.

    Returns:
        A stretch of actions, signs and numbers that holds an action, its parts set apart by
        spaces: the first after "answer is" and [its like][llmbook.tasks.answers.marked], or else
        the last of all. It may be malformed. None, if there is no action.
    """
    return find(
        completion,
        lambda text: next(iter(_expressions(text)), None),
        lambda text: next(reversed(_expressions(text)), None),
    )


def _expressions(text: str) -> list[str]:
    """Every stretch of a text that could be an expression."""
    runs: list[list[str]] = [[]]
    text = text.replace("**", " ").translate(str.maketrans("×（）", "*()"))  # ** prints in bold
    for token in re.findall(r"[A-Za-z]+|[0-9]+|[^\s\"'`]", text):
        if token in ACTIONS or token in "+*()" or token.isdigit():
            runs[-1].append(token)
        else:
            runs.append([])
    return [" ".join(run) for run in runs if not ACTIONS.isdisjoint(run)]


def grade(problem: Problem | Step, answer: str | None) -> bool:
    """Whether an answer asks for the actions that it should, in whatever way it is written.

    Args:
        problem: A command with its expression.
        answer: An expression; one that cannot be read is wrong, and so is none.
    """
    try:
        return answer is not None and expand(answer) == expand(problem.answer)
    except ValueError:
        return False


def describe(expression: str) -> str:
    """What an expression asks for, in words: its actions, counted and written out.

    Raises:
        ValueError: As by [`expand`][llmbook.tasks.scan.expand].
    """
    actions = expand(expression)
    return f"the {len(actions)} actions are {' '.join(actions)}"


def explain(command: str) -> str:
    """How the expression of a command comes about, in words: a chain of thought.

    Args:
        command: The command.

    Returns:
        A sentence for each command of [`decompose`][llmbook.tasks.scan.decompose].

    Raises:
        ValueError: If it is not a command of SCAN.

    Examples:
        ```python
        from llmbook.tasks import scan

        print(scan.explain("look twice"))
        ```

        ``` {.text .output}
        "look" is LOOK. "look twice" does "look" two times: ( LOOK ) * 2.
        ```
    """
    sentences = []
    for step in decompose(command):
        below = parts(step)
        if not below:
            way = "is"
        elif len(below) == 2:
            first, second = below if " and " in step else reversed(below)
            way = f'does "{first}" and then "{second}":'
        else:
            way = f'does "{below[0]}" {_how_often(step)} times:'
        sentences.append(f'"{step}" {way} {express(step)}.')
    return " ".join(sentences)


def _how_often(command: str) -> str:
    """How many times a command repeats its one part, in words."""
    return {"twice": "two", "thrice": "three"}.get(command.split()[-1], "four")


EXEMPLARS = tuple(
    Exemplar(command, express(command), rationale=explain(command), steps=_steps(command))
    for command in (
        "turn left",
        "look opposite right",
        "jump thrice",
        "run left twice",
        "jump around left twice",
        "walk and run twice",
        "look right thrice after walk",
        "turn around right after look opposite left",
    )
)
"""Short commands, solved, in which every word of the grammar occurs. The paper shows eight to
plan with and fourteen others to solve with; here both stages show the same eight, which have
their steps with them."""

TASKS = (
    Task(
        name="scan",
        instruction=(
            "Write the actions of the command as an expression of LEFT, RIGHT, WALK, LOOK, RUN "
            "and JUMP, with + between actions and * for repetition."
        ),
        exemplars=EXEMPLARS,
        sample=problems,
        parse=parse,
        grade=grade,
        decompose=decompose,
        pose=pose,
        describe=describe,
    ),
)
"""The task."""
