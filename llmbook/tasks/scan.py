r"""SCAN: commands in a tiny English, and the actions that they ask for.

`jump around left twice and walk` asks for a turn and a jump, four times over, all of it twice,
then one step. The grammar is small enough to write down whole: it has 20,910 commands. In the
*length split* all commands of at most 22 actions may be learned from, and the others, of 24 to
48 actions, are the test. Nothing in them is new but their length. Sources: Lake and Baroni,
"Generalization without Systematicity" (2018, section 2, figures 6 and 7, and experiment 2) for
commands, meaning and split; Zhou et al., "Least-to-Most Prompting" (2023, section 3.2) for
expressions such as `( LEFT + JUMP ) * 4` in place of actions, and for the plan.

A *clause* is a command without `and` and `after`.
"""

import random
import re
from collections.abc import Mapping
from functools import cache
from itertools import product

from llmbook.tasks.answers import find
from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.task import Task

__all__ = [
    "EXEMPLARS",
    "LONGEST_TO_LEARN",
    "TASKS",
    "combine",
    "commands",
    "decompose",
    "describe",
    "expand",
    "explain",
    "express",
    "grade",
    "interpret",
    "length_split",
    "parse",
    "parts",
    "pose",
    "problems",
]

LONGEST_TO_LEARN = 22
"""The most actions of a command that may be learned from in the length split."""

_VERBS = {"walk": "WALK", "look": "LOOK", "run": "RUN", "jump": "JUMP"}
_SIDES = {"left": "LEFT", "right": "RIGHT"}
_TIMES = {"twice": 2, "thrice": 3}
_ACTIONS = {*_VERBS.values(), *_SIDES.values()}
_LONGEST_EXPANSION = 100_000  # what a model writes may ask for more than memory holds

_VERB, _SIDE = "|".join(_VERBS), "|".join(_SIDES)
_MOVE = rf"(?:{_VERB}|(?:{_VERB}|turn) (?:(?:opposite|around) )?(?:{_SIDE}))"
_CLAUSE = rf"{_MOVE}(?: (?:twice|thrice))?"
_COMMAND = re.compile(rf"{_CLAUSE}(?: (?:and|after) {_CLAUSE})?")


def _clauses() -> list[str]:
    moves = [*_VERBS]
    for verb, way, side in product([*_VERBS, "turn"], ("", "opposite ", "around "), _SIDES):
        moves.append(f"{verb} {way}{side}")
    return [f"{move}{times}" for move in moves for times in ("", " twice", " thrice")]


def commands() -> list[str]:
    """All 20,910 commands of the grammar, clauses first."""
    clauses = _clauses()
    pairs = product(clauses, ("and", "after"), clauses)
    return clauses + [" ".join(pair) for pair in pairs]


def _read(command: str) -> tuple[str, ...]:
    """The words of a command, checked."""
    words = tuple(command.split())
    if not _COMMAND.fullmatch(" ".join(words)):
        example = '"jump around left thrice and walk"'
        raise ValueError(f"command must be one of SCAN's, such as {example}, got {command!r}")
    return words


def parts(command: str) -> list[str]:
    """The commands that a command is made of directly; none, if it is simple.

    Args:
        command: The command.

    Returns:
        The two clauses of a pair, the clause that is repeated, or, if it goes around, the same
        without `around`; one that only turns, or turns first, is simple.

    Raises:
        ValueError: If it is not a command of SCAN.

    Examples:
        ```python
        from llmbook.tasks import scan

        for command in "walk after jump", "jump around left twice", "jump around left":
            print(scan.parts(command))
        ```

        ``` {.text .output}
        ['walk', 'jump']
        ['jump around left']
        ['jump left']
        ```
    """
    words = _read(command)
    for word in ("and", "after"):
        if word in words:
            middle = words.index(word)
            return [" ".join(words[:middle]), " ".join(words[middle + 1 :])]
    if words[-1] in _TIMES:
        return [" ".join(words[:-1])]
    if "around" in words:
        return [f"{words[0]} {words[2]}"]
    return []


def combine(command: str, answers: Mapping[str, str]) -> str:
    """The expression of a command, from those of its parts: one step of solving it.

    Args:
        command: The command.
        answers: The expression of each of its [`parts`][llmbook.tasks.scan.parts], right or
            wrong.

    Returns:
        The expression.

    Raises:
        ValueError: If it is not a command of SCAN.
    """
    words, below = _read(command), parts(command)
    if not below:
        turns = [_SIDES[word] for word in words if word in _SIDES]
        steps = turns * (2 if "opposite" in words else 1)
        return " + ".join(steps + [_VERBS[word] for word in words if word in _VERBS])
    if len(below) == 2:
        first, second = below if "and" in words else reversed(below)
        return f"{answers[first]} + {answers[second]}"
    times = _TIMES.get(words[-1], 4)
    return f"( {answers[below[0]]} ) * {times}"


def decompose(command: str) -> list[str]:
    """The sub-problems of a command, from least to most; the last is the command.

    Args:
        command: The command.

    Returns:
        Every command that has to be solved on the way, after its parts.

    Raises:
        ValueError: If it is not a command of SCAN.

    Examples:
        ```python
        from llmbook.tasks import scan

        answers = {}
        for command in scan.decompose("jump around left twice and walk"):
            answers[command] = scan.combine(command, answers)
            print(f"{command:33}{answers[command]}")
        ```

        ``` {.text .output}
        jump left                        LEFT + JUMP
        jump around left                 ( LEFT + JUMP ) * 4
        jump around left twice           ( ( LEFT + JUMP ) * 4 ) * 2
        walk                             WALK
        jump around left twice and walk  ( ( LEFT + JUMP ) * 4 ) * 2 + WALK
        ```
    """
    return [step for part in parts(command) for step in decompose(part)] + [command]


def express(command: str) -> str:
    """The expression of a command, in which a repetition is written once."""
    return combine(command, {part: express(part) for part in parts(command)})


def interpret(command: str) -> list[str]:
    """The actions of a command: `LEFT`, `RIGHT`, `WALK`, `LOOK`, `RUN` and `JUMP`.

    Raises:
        ValueError: If it is not a command of SCAN.
    """
    return expand(express(command))


def expand(expression: str) -> list[str]:
    """The actions that an expression stands for.

    Args:
        expression: Actions, joined by `+`, in brackets, and repeated by `*` and a number, which
            binds more tightly. Words and signs must stand apart.

    Returns:
        The actions.

    Raises:
        ValueError: If it cannot be read, or asks for more than 100,000 actions.
    """
    # Recursive descent, a function for each rule of the grammar; place is that of the next token.
    #     sum     = product { "+" product }
    #     product = ( action | "(" sum ")" ) { "*" number }
    tokens, place = expression.split(), 0

    def fail(message: str) -> ValueError:
        return ValueError(f"expression {message}, got {expression!r}")

    def check(length: int) -> None:
        if length > _LONGEST_EXPANSION:
            raise fail(f"must ask for at most {_LONGEST_EXPANSION:,} actions")

    def read_sum(depth: int) -> list[str]:
        nonlocal place
        actions = read_product(depth)
        while tokens[place : place + 1] == ["+"]:
            place += 1
            actions += read_product(depth)
            check(len(actions))
        return actions

    def read_product(depth: int) -> list[str]:
        nonlocal place
        token = tokens[place] if place < len(tokens) else "nothing"
        place += 1
        if token in _ACTIONS:
            actions = [token]
        elif token == "(" and depth < 50:  # a model may open brackets without end
            actions = read_sum(depth + 1)
            if tokens[place : place + 1] != [")"]:
                raise fail("must close its brackets")
            place += 1
        else:
            raise fail(f"must have an action at word {place}, not {token}")
        while tokens[place : place + 1] == ["*"]:
            number = tokens[place + 1] if place + 1 < len(tokens) else "nothing"
            if not re.fullmatch("[1-9][0-9]{0,4}", number):
                raise fail(f"must have a number after *, not {number}")
            check(len(actions) * int(number))
            actions = actions * int(number)
            place += 2
        return actions

    actions = read_sum(0)
    if place != len(tokens):
        raise fail(f"must end after word {place}")
    return actions


@cache
def _lengths() -> dict[str, int]:
    """The number of actions of every command: that of a pair is the sum of its clauses'."""
    of_clause = {clause: len(interpret(clause)) for clause in _clauses()}
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
    _, chosen = length_split()
    if size is not None:
        chosen = [command for command, length in _lengths().items() if length == size]
    if not chosen:
        raise ValueError(f"size must be the number of actions of a command, got {size}")
    if not 1 <= count <= len(chosen):
        kind = "long commands" if size is None else f"commands of {size} actions"
        raise ValueError(f"count must be 1 to {len(chosen)}, as many {kind} are there, got {count}")
    random.Random(seed).shuffle(chosen)
    return [pose(command) for command in chosen[:count]]


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
    command = " ".join(_read(command))  # a blank between its words
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
        if token in _ACTIONS or token in "+*()" or token.isdigit():
            runs[-1].append(token)
        else:
            runs.append([])
    return [" ".join(run) for run in runs if not _ACTIONS.isdisjoint(run)]


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
            times = {"twice": "two", "thrice": "three"}.get(step.split()[-1], "four")
            way = f'does "{below[0]}" {times} times:'
        sentences.append(f'"{step}" {way} {express(step)}.')
    return " ".join(sentences)


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
