"""The language: commands, the expressions that they come to, and the actions of an expression.

A *clause* is a command without `and` and `after`.
"""

import re
from collections.abc import Mapping
from itertools import product

__all__ = ["combine", "commands", "decompose", "expand", "express", "interpret", "parts"]

_VERBS = {"walk": "WALK", "look": "LOOK", "run": "RUN", "jump": "JUMP"}
_SIDES = {"left": "LEFT", "right": "RIGHT"}
_TIMES = {"twice": 2, "thrice": 3}
ACTIONS = {*_VERBS.values(), *_SIDES.values()}
_DEEPEST_BRACKETS = 50  # a model may open brackets without end
_LONGEST_EXPANSION = 100_000  # what a model writes may ask for more than memory holds

_VERB, _SIDE = "|".join(_VERBS), "|".join(_SIDES)
_MOVE = rf"(?:{_VERB}|(?:{_VERB}|turn) (?:(?:opposite|around) )?(?:{_SIDE}))"
_CLAUSE = rf"{_MOVE}(?: (?:twice|thrice))?"
_COMMAND = re.compile(rf"{_CLAUSE}(?: (?:and|after) {_CLAUSE})?")


def every_clause() -> list[str]:
    """All commands without `and` and `after`."""
    moves = [*_VERBS]
    for verb, way, side in product([*_VERBS, "turn"], ("", "opposite ", "around "), _SIDES):
        moves.append(f"{verb} {way}{side}")
    return [f"{move}{times}" for move in moves for times in ("", " twice", " thrice")]


def commands() -> list[str]:
    """All 20,910 commands of the grammar, clauses first."""
    clauses = every_clause()
    pairs = product(clauses, ("and", "after"), clauses)
    return clauses + [" ".join(pair) for pair in pairs]


def words_of(command: str) -> tuple[str, ...]:
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
    words = words_of(command)
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
    words, below = words_of(command), parts(command)
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
    # Each reads as much as belongs to it and leaves place behind that. At the end of the text a
    # slice is empty, where an index would fail.
    tokens, place = expression.split(), 0

    def fail(message: str) -> ValueError:
        return ValueError(f"expression {message}, got {expression!r}")

    # Lengths are checked all along, so no list on the way is longer than twice the limit.
    def check(length: int) -> None:
        if length > _LONGEST_EXPANSION:
            raise fail(f"must ask for at most {_LONGEST_EXPANSION:,} actions")

    def read_sum(depth: int) -> list[str]:
        nonlocal place
        actions = read_product(depth)
        while tokens[place : place + 1] == ["+"]:
            place += 1
            # Added in place, as a sum of n terms would otherwise take n² steps; the list is new, so
            # no other part holds it.
            actions += read_product(depth)
            check(len(actions))
        return actions

    def read_product(depth: int) -> list[str]:
        nonlocal place
        token = tokens[place] if place < len(tokens) else "nothing"
        place += 1  # from here on also the number of the word, counted from 1, for the errors
        if token in ACTIONS:
            actions = [token]
        elif token == "(":
            if depth == _DEEPEST_BRACKETS:
                raise fail(f"must have at most {_DEEPEST_BRACKETS} brackets in each other")
            actions = read_sum(depth + 1)
            if tokens[place : place + 1] != [")"]:
                raise fail("must close its brackets")
            place += 1
        else:
            raise fail(f"must have an action at word {place}, not {token}")
        # Within the product, before any "+" is seen: this is what binds "*" more tightly. Several
        # in a row multiply from the left.
        while tokens[place : place + 1] == ["*"]:
            number = tokens[place + 1] if place + 1 < len(tokens) else "nothing"
            # Five digits at most: int() of a number without end takes long or fails.
            if not re.fullmatch("[1-9][0-9]{0,4}", number):
                raise fail(f"must have a number from 1 to 99,999 after *, not {number}")
            check(len(actions) * int(number))  # before the list is made, unlike in a sum
            actions = actions * int(number)
            place += 2
        return actions

    actions = read_sum(0)
    # A sum ends at whatever does not continue it: a lost sign or bracket is noticed only here.
    if place != len(tokens):
        raise fail(f"must end after word {place}")
    return actions
