"""Where a text about chains first goes wrong, compared with the one that would have been right."""

import re
from collections import Counter
from collections.abc import Iterable

from llmbook.book.experiment.chain_rows import right_text
from llmbook.book.experiment.recipe import Recipe
from llmbook.prompting.shipped import MARKS
from llmbook.prompting.trace import Trace

__all__ = ["FAULTS", "count_faults", "first_fault"]

FAULTS = ("none", "way down", "stops early", "who is next", "sum", "runs on")
"""What can come first: nothing wrong; a wrong piece of the way down or of the plan; an end before
the last person; a wrong person on the way up; a wrong number or difference; no end."""

_PIECES = re.compile(r" ;|\n+")  # what parts one piece of a text from the next


def first_fault(recipe: Recipe, trace: Trace) -> str:
    """What went wrong first in a text that was written in one go.

    Args:
        recipe: The recipe of the model that wrote it; its format is a chain of thought, bottom-up
            or one-pass.
        trace: What it was asked and what it wrote.

    Returns:
        One of [`FAULTS`][llmbook.book.experiment.faults.FAULTS].
    """
    right = _pieces(right_text(recipe, trace.problem))
    written = _pieces(trace.calls[0].reply.text)
    # The way down has a piece for each person but the last; a plan names each, and ends in a mark.
    depth, marks = len(trace.problem.steps), MARKS[recipe.language]
    down = {"chain-of-thought": depth - 1, "one-pass": depth + 1}.get(recipe.format, 0)
    for number, (expected, found) in enumerate(zip(right, written, strict=False)):
        if expected != found:
            if number < down:
                return "way down"
            # "Q: cy" and "cy is 7 +3 = 10" both begin with who it is about.
            subject = slice(0, 2 if expected[0] == marks.question else 1)
            question = expected[subject] != found[subject] and expected[0] != marks.answer
            return "who is next" if question else "sum"
    if len(written) < len(right):
        return "stops early"
    return "runs on" if len(written) > len(right) else "none"


def count_faults(recipe: Recipe, traces: Iterable[Trace]) -> dict[int, dict[str, int]]:
    """How often each fault came first, by the size of the problem."""
    counts: dict[int, Counter[str]] = {}
    for trace in traces:
        counts.setdefault(trace.problem.size, Counter())[first_fault(recipe, trace)] += 1
    return {size: dict(counts[size]) for size in sorted(counts)}


def _pieces(text: str) -> list[list[str]]:
    """The pieces of a text, each as its words."""
    return [words for piece in _PIECES.split(text) if (words := piece.split())]
