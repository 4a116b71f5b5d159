"""Prompts for SCAN, with as many exemplars as in the paper, in our words.

Eight commands show how to plan, fourteen how to solve, as in the paper (appendix 3.2), which also
writes repetitions as expressions. None has more than 22 actions, as the commands that may be
learned from in the length split. A plan goes from the command down, and each of its lines names
what is needed next; a step names the parts whose answers it puts together. For least-to-most the
fourteen are the steps of four commands, one after the other as it will be asked.
"""

import re

from llmbook.book.prompted.forms import Shown
from llmbook.tasks.problem import Exemplar, Step
from llmbook.tasks.scan import decompose, explain, express, parts
from llmbook.tasks.sentences import split_sentences

__all__ = ["planning", "read_plan", "shown", "stepping"]

_PLANNED = (
    "turn left",
    "look opposite right",
    "walk thrice",
    "run left twice",
    "jump around left twice",
    "turn around right thrice",
    "look right thrice after walk",
    "walk around right twice and run twice",
)
_SOLVED = (
    "look left thrice",
    "jump around right twice",
    "run opposite left after walk twice",
    "turn around left thrice and walk right",
)


def _shown(command: str) -> Shown:
    """A command, solved with all its sub-commands."""
    steps, rationale = decompose(command), explain(command)
    exemplar = Exemplar(
        command,
        express(command),
        rationale=rationale,
        steps=tuple(Step(*one) for one in zip(steps, split_sentences(rationale), strict=True)),
    )
    return Shown(exemplar, "\n".join(map(_needs, reversed(steps))))


def _needs(command: str) -> str:
    below = parts(command)
    needed = " and ".join(f'"{part}"' for part in below) or "nothing"
    return f'"{command}" needs {needed}.'


def stepping() -> tuple[Shown, ...]:
    """Four commands that take fourteen steps to solve."""
    return tuple(map(_shown, _SOLVED))


def shown() -> tuple[Shown, ...]:
    """These fourteen, each as a command of its own."""
    return tuple(_shown(step) for command in _SOLVED for step in decompose(command))


def planning() -> tuple[Shown, ...]:
    """Eight commands to plan with."""
    return tuple(map(_shown, _PLANNED))


def read_plan(text: str) -> list[str]:
    """The commands with which the lines of a plan begin."""
    return re.findall('^"(.*?)"', text, re.MULTILINE)
