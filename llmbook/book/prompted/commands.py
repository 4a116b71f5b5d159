"""Prompts for SCAN, with as many exemplars as in the paper, in our words.

Eight commands show how to plan, fourteen others how to solve, as in the paper (appendix 3.2), which
also writes repetitions as expressions. A step names the parts whose answers it puts together.
"""

from llmbook.book.prompted.forms import Shown, numbered
from llmbook.tasks import scan
from llmbook.tasks.problem import Exemplar, Step
from llmbook.tasks.scan import decompose, explain, express, parts
from llmbook.tasks.scan.task import how_often

__all__ = ["planning", "shown"]

_SOLVED = (
    "turn left",
    "look right",
    "run twice",
    "turn opposite right",
    "jump opposite left",
    "turn around left",
    "walk around right",
    "walk left twice",
    "look around left thrice",
    "run opposite right twice",
    "jump and walk right",
    "look left after run thrice",
    "turn right twice and jump around left",
    "walk opposite left after turn around right twice",
)


def _shown(command: str, *, whole: bool) -> Shown:
    """A command, solved with all its sub-commands, or by itself."""
    steps = decompose(command) if whole else [command]
    exemplar = Exemplar(
        command,
        express(command),
        rationale=explain(command),
        steps=tuple(Step(step, _sentence(step)) for step in steps),
    )
    return Shown(exemplar, numbered(decompose(command)))


def _sentence(command: str) -> str:
    """How the expression of a command comes from those of its parts, which are told again."""
    below = parts(command)
    if not below:
        return f'"{command}" is {express(command)}.'
    if len(below) == 1:
        times = how_often(command)
        return f'"{below[0]}" is {express(below[0])}, {times} times that is {express(command)}.'
    first, then = below if " and " in command else reversed(below)
    return f"First {express(first)}, then {express(then)}, together {express(command)}."


def shown() -> tuple[Shown, ...]:
    """Fourteen commands to solve with."""
    return tuple(_shown(command, whole=False) for command in _SOLVED)


def planning() -> tuple[Shown, ...]:
    """Eight commands to plan with."""
    return tuple(_shown(exemplar.question, whole=True) for exemplar in scan.EXEMPLARS)
