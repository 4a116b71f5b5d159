r"""What a model of the experiment is trained on: a task, a format, options, and a budget.

Five formats answer the same problems:

- *direct*: the question, then the answer;
- *chain of thought*: the question, then a derivation in one go, then the answer. On chains it goes
  down to what is given and up again;
- *bottom-up*, on chains: the derivation goes up only, as people write it who see the end at once;
- *one-pass* least-to-most: plan, sub-problems and answers in one text that is written in one go;
- *least-to-most*: on some rows the question and its plan, on others the sub-problems of the plan
  with their answers, one after the other, as the [strategy][llmbook.prompting.LeastToMost] asks
  them.

One-pass least-to-most is the control that tells *decomposing* from *asking anew*: it has the same
plan and the same steps, but no step is a prompt of its own.
"""

import re
from dataclasses import dataclass, fields
from functools import cache
from typing import Literal, NamedTuple, get_args

from llmbook._checks import check_at_least_one, check_positive
from llmbook.prompting.shipped import MARKS
from llmbook.tasks import chains, scan
from llmbook.tasks._language import Language
from llmbook.tokenizer import Tokenizer

__all__ = ["DEEPEST", "FORMATS", "USUAL", "Piece", "Recipe", "tokenizer"]

Task = Literal["scan", "chains"]
Format = Literal["direct", "chain-of-thought", "bottom-up", "one-pass", "least-to-most"]
Row = list["Piece"]

FORMATS: dict[Task, tuple[Format, ...]] = {
    # The chain of thought of SCAN goes bottom-up already: clauses first, then their pair.
    "scan": ("direct", "chain-of-thought", "one-pass", "least-to-most"),
    "chains": get_args(Format),
}
"""The formats of each task."""

DEEPEST = 4
"""The greatest depth of a question about a chain that is learned from."""

_DEEPEST_HELD_OUT = 3
_LONGEST_HELD_OUT = 12  # actions

_MARKS = ("\nQ:", "\nA:", "\nPlan:", "\nThink:", "\n")
_WORDS: dict[Task, str] = {
    "scan": " walk look run jump turn left right opposite around twice thrice and after"
    " LEFT RIGHT WALK LOOK RUN JUMP ( ) + * 2 3 4 ; . gives so",
    "chains": " ; : = and is given",  # and names and numbers
}
# Rows of chains are written with these words, and put into Chinese word by word.
_CHINESE = dict(zip(MARKS["en"], MARKS["zh"], strict=True)) | {"is": "是", "and": "加"}


@dataclass(frozen=True)
class Recipe:
    """What a model is trained on, and for how long.

    Raises:
        ValueError: If a choice is unknown or a number is out of range.
    """

    task: Task
    format: Format
    language: Language = "en"  # of chains; SCAN is English
    token_shift: bool = True
    # In SCAN, of two thirds of the histories, which is about half of the rows of least-to-most, and
    # of 0.4 of the thoughts that join two clauses; a direct answer has none. In chains, where texts
    # look up their end, the last one of each row has a detour.
    counterfactual: bool = True
    long_made_up: bool = False  # in SCAN: what is made up may have more than 22 actions
    expressions: bool = True  # in SCAN: "( WALK ) * 2", otherwise "WALK WALK"
    short_contexts: bool = True  # in chains: a step sees only the one before it, otherwise all
    marked_end: bool = False  # in chains of thought about chains: the end is looked up, not counted
    held_out: bool = False  # the longest of the short problems are not learned but asked for
    steps: int = 5000
    tokens_per_step: int = 1024
    learning_rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in ("task", Task), ("format", Format):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"{name} must be one of {get_args(kind)}, got {getattr(self, name)!r}"
                )
        if self.format not in FORMATS[self.task]:
            raise ValueError(
                f"format must be one of {FORMATS[self.task]} in {self.task}, got {self.format!r}"
            )
        if self.language not in (known := ("en", "zh") if self.task == "chains" else ("en",)):
            raise ValueError(
                f"language must be one of {known} in {self.task}, got {self.language!r}"
            )
        check_at_least_one("steps", self.steps)
        check_at_least_one("tokens_per_step", self.tokens_per_step)
        check_positive("learning_rate", self.learning_rate)

    @property
    def task_name(self) -> str:
        """The name of its task in [`tasks.NAMES`][llmbook.tasks.registry.NAMES]."""
        return self.task if self.language == "en" else f"{self.task}-{self.language}"

    @property
    def deepest(self) -> int:
        """The greatest depth of a question about a chain that is learned from."""
        return _DEEPEST_HELD_OUT if self.held_out else DEEPEST

    @property
    def longest(self) -> int:
        """The most actions of a command of SCAN that is learned from."""
        return _LONGEST_HELD_OUT if self.held_out else scan.LONGEST_TO_LEARN


USUAL = {field.name: field.default for field in fields(Recipe)}
"""What each choice of a recipe is if it is not named."""


class Piece(NamedTuple):
    """A part of a row."""

    text: str
    in_loss: bool  # it is learned; otherwise it is only read, as a prompt is


def prompt(text: str) -> Piece:
    """A piece that is only read."""
    return Piece(text, in_loss=False)


def target(text: str) -> Piece:
    """A piece that is learned."""
    return Piece(text, in_loss=True)


def in_language(row: Row, language: Language) -> Row:
    """A row in a language, from its English words; the names in it are in that language already."""
    return [Piece(_translated(piece.text, language), piece.in_loss) for piece in row]


def _translated(text: str, language: Language) -> str:
    if language == "en":
        return text
    return re.sub(r"[A-Za-z]+:?", lambda match: _CHINESE[match[0]], text)


@cache
def tokenizer(task: Task, language: Language = "en") -> Tokenizer:
    """A tokenizer with a token for each word, with the blank before it, and for each mark."""
    words = _WORDS[task].split()
    if task == "chains":
        changes = range(-chains.LARGEST_CHANGE, chains.LARGEST_CHANGE + 1)
        words = [_translated(word, language) for word in words]
        words += chains.NAMES[language]
        words += [*map(str, range(chains.LARGEST + 1)), *(f"{n:+d}" for n in changes if n)]
    texts = [*(_translated(mark, language) for mark in _MARKS), *(f" {word}" for word in words)]
    return Tokenizer.train(texts, 10_000, pattern=r"\s?\S+|\s")
