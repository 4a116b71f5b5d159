r"""What the small models of the experiment read: short problems, written out in a format.

A *row* is a text of which some pieces are learned and the others only read, as a prompt is. Three
formats answer the same problems:

- *direct*: the question, then the answer;
- *chain of thought*: the question, then a derivation in one go, then the answer;
- *least-to-most*: on some rows the question and its plan, on others the sub-problems of the plan
  with their answers, one after the other, as the [strategy][llmbook.prompting.LeastToMost] will
  ask them.

A *counterfactual* row replaces the answers that were given by random ones, which are read and not
learned, and has what follows from them learned: who is to answer must look up what was answered,
and cannot recite it. No row holds a problem longer than those that may be learned from, nor the
true answer to one; answers that are made up may be longer.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from llmbook._checks import check_at_least_one, check_positive
from llmbook.tasks import chains, scan
from llmbook.tokenizer import Tokenizer

__all__ = ["DEEPEST", "WORDS", "Piece", "Recipe", "batches", "row", "tokenizer"]

Task = Literal["scan", "chains"]
Format = Literal["direct", "chain-of-thought", "least-to-most"]
Row = list["Piece"]

DEEPEST = 4
"""The greatest depth of a question about a chain that is learned from."""

_ACTIONS = ("LEFT", "RIGHT", "WALK", "LOOK", "RUN", "JUMP")
_MARKS = ("\nQ:", "\nA:", "\nPlan:", "\nThink:", "\n")
WORDS: dict[Task, str] = {
    "scan": " walk look run jump turn left right opposite around twice thrice and after"
    " LEFT RIGHT WALK LOOK RUN JUMP ( ) + * 2 3 4 ; . gives so",
    "chains": " ; : = and is given "
    + " ".join(
        [
            *chains.NAMES,
            *map(str, range(chains.LARGEST + 1)),
            *(f"{n:+d}" for n in range(-chains.LARGEST_CHANGE, chains.LARGEST_CHANGE + 1) if n),
        ]
    ),
}
"""The words of each task."""


@dataclass(frozen=True)
class Recipe:
    """What a model is trained on, and for how long.

    Raises:
        ValueError: If a choice is unknown or a number is out of range.
    """

    task: Task
    format: Format
    token_shift: bool = True
    # In SCAN, of two thirds of the histories, which is about half of the rows of least-to-most, and
    # of 0.4 of the thoughts that join two clauses. A direct answer has none.
    counterfactual: bool = True
    expressions: bool = True  # in SCAN: "( WALK ) * 2", otherwise "WALK WALK"
    short_contexts: bool = True  # in chains: a step sees only the one before it, otherwise all
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
        check_at_least_one("steps", self.steps)
        check_at_least_one("tokens_per_step", self.tokens_per_step)
        check_positive("learning_rate", self.learning_rate)


class Piece(NamedTuple):
    """A part of a row."""

    text: str
    in_loss: bool  # whether it is learned, and not only read


def _read(text: str) -> Piece:
    """A piece that is only read."""
    return Piece(text, False)


def _learned(text: str) -> Piece:
    """A piece that is learned."""
    return Piece(text, True)


@cache
def tokenizer(task: Task) -> Tokenizer:
    """A tokenizer with a token for each word, with the blank before it, and for each mark."""
    texts = [*_MARKS, *(f" {word}" for word in WORDS[task].split())]
    return Tokenizer.train(texts, 10_000, pattern=r"\s?\S+|\s")


def row(recipe: Recipe, problem: str, generator: random.Random) -> Row:
    """A row of SCAN for a command.

    Args:
        recipe: Its format and options.
        problem: The command.
        generator: Where the randomness comes from.

    Returns:
        The pieces of the row.
    """
    answers = {step: scan.express(step) for step in scan.decompose(problem)}
    if recipe.format == "direct":
        answer = _write(recipe, answers[problem])
        return [_read(f"\nQ: {problem}\nA:"), _learned(f" {answer}\n")]
    if recipe.format == "chain-of-thought":
        return _thought(recipe, problem, answers, generator)
    if generator.random() < 0.3:
        return [_read(f"\nQ: {problem}\nPlan:"), _learned(f"{_plan(problem)}\n")]
    return _history(recipe, problem, answers, generator)


def _write(recipe: Recipe, expression: str) -> str:
    """An answer as the recipe has it: the expression, or the actions one by one."""
    return expression if recipe.expressions else " ".join(scan.expand(expression))


def _plan(problem: str) -> str:
    """The sub-problems from the most to the least: each is the one before with a word less.

    Of a pair the plan begins with its clauses, as the paper's does: the pair itself is asked last
    anyway.
    """
    steps = scan.decompose(problem)[::-1]
    return " ;".join(f" {step}" for step in steps[len(scan.parts(problem)) == 2 :])


def _history(
    recipe: Recipe, problem: str, answers: Mapping[str, str], generator: random.Random
) -> Row:
    """Sub-problems with answers; the mark that follows an answer is learned with it."""
    steps = list(dict.fromkeys(scan.decompose(problem)))  # the strategy asks nothing twice
    # Only the simple steps are made up and not learned. What follows from them is learned, though
    # it is wrong: it is what a model must answer to that history.
    made_up: set[str] = set()
    if recipe.counterfactual and generator.random() < 2 / 3:
        made_up = {step for step in steps if not scan.parts(step)}
        answers = _made_up(recipe, steps, generator)
    pieces: Row = []
    for step in steps:
        in_loss = step not in made_up
        pieces += [_read(f" {step}\nA:"), Piece(f" {_write(recipe, answers[step])}", in_loss)]
        pieces.append(Piece("\nQ:", in_loss))
    # After the last answer comes the end of the row in place of another question.
    return [_read("\nQ:"), *pieces[:-1], Piece("\n", pieces[-1].in_loss)]


def _thought(
    recipe: Recipe, problem: str, answers: Mapping[str, str], generator: random.Random
) -> Row:
    """The clauses with what they give, then all of it, as the paper's chain of thought has it."""
    clauses = scan.parts(problem) if len(scan.parts(problem)) == 2 else []
    made_up = recipe.counterfactual and len(clauses) > 0 and generator.random() < 0.4
    if made_up:
        answers = _made_up(recipe, [*clauses, problem], generator)
    given = "".join(f" {each} gives {_write(recipe, answers[each])} ." for each in clauses)
    end = f" so {_write(recipe, answers[problem])}\n"
    return [_read(f"\nQ: {problem}\nThink:"), Piece(given, not made_up), _learned(end)]


def _made_up(recipe: Recipe, steps: Sequence[str], generator: random.Random) -> dict[str, str]:
    """Random answers to the simple steps, and what follows from them.

    They may ask for more actions than may be learned from: nobody could know them, only copy them.
    Written out, they must be short, for a plan repeats them up to twelve times.
    """
    longest = 4 if recipe.format == "least-to-most" else 48
    answers: dict[str, str] = {}
    for step in steps:
        below = scan.parts(step)
        # A chain of thought gives its clauses first, without what they are made of in turn: these
        # are drawn as if they were simple.
        if below and all(part in answers for part in below):
            answers[step] = scan.combine(step, answers)
        else:
            drawn = _random_expression(generator)
            while not recipe.expressions and len(scan.expand(drawn)) > longest:
                drawn = _random_expression(generator)
            answers.setdefault(step, drawn)  # a clause may stand twice: it has one answer
    return answers


def _random_expression(generator: random.Random) -> str:
    """Some actions, at times some of them repeated, and at times all of that again."""
    actions = generator.choices(_ACTIONS, k=generator.randint(1, generator.choice((1, 2, 5))))
    expression = " + ".join(actions)
    for _ in range(generator.choice((0, 0, 0, 1, 1, 2))):
        expression = f"( {expression} ) * {generator.randint(2, 4)}"
    more = " + ".join(generator.choices(_ACTIONS, k=generator.choice((0, 0, 0, 1, 2))))
    both = [part for part in (expression, more) if part]
    return " + ".join(both if generator.random() < 0.5 else both[::-1])


def _story(recipe: Recipe, people: int, deepest: int, generator: random.Random) -> Row:
    """A story of some people, and questions about it."""
    # The story may go deeper than the questions: a chain is cut off at a depth that may be learned.
    depths = chains.sample_depths(generator, people, DEEPEST)
    story, last = chains.make_story(generator, depths)
    pieces = [_read(story.text)]
    for _ in range(24 if recipe.format == "direct" else 8):  # a direct answer is a single word
        chain = story.chain(generator.choice(last))
        asked = chain[: generator.randint(1, min(len(chain), deepest))]
        pieces += _QUESTIONS[recipe.format](recipe, story, asked, generator)
    return pieces


def _ask_directly(
    recipe: Recipe, story: chains.Story, chain: list[str], generator: random.Random
) -> Row:
    """The number alone."""
    return [_read(f"\nQ: {chain[-1]}\nA:"), _learned(f" {story.numbers[chain[-1]]}\n")]


def _ask_for_thought(
    recipe: Recipe, story: chains.Story, chain: list[str], generator: random.Random
) -> Row:
    """Down to what is given, then up again, all in one go."""
    down = [
        f" {name} is {story.before[name]} and {story.changes[name]:+d} ;" for name in chain[:0:-1]
    ]
    up = [f" {chain[0]} is {story.numbers[chain[0]]}"]
    up += [f" {name} is {_sum(story, name)}" for name in chain[1:]]
    return [
        _read(f"\nQ: {chain[-1]}\nThink:"),
        _learned("".join(down) + " ;".join(up) + "\n"),
    ]


def _ask_step_by_step(
    recipe: Recipe, story: chains.Story, chain: list[str], generator: random.Random
) -> Row:
    """The plan, from the problem down, or one step after the one before."""
    if generator.random() < 0.3:
        plan = "".join(f" {name} ;" for name in reversed(chain))
        return [_read(f"\nQ: {chain[-1]}\nPlan:"), _learned(f"{plan} given\n")]
    shown = chain[-2:-1] if recipe.short_contexts else chain[:-1]
    history = "".join(f"\nQ: {name}\nA: {story.numbers[name]}" for name in shown)
    return [
        _read(f"{history}\nQ: {chain[-1]}\nA:"),
        _learned(f" {_worked_out(story, chain[-1])}\n"),
    ]


def _worked_out(story: chains.Story, name: str) -> str:
    """How a number follows from the one before: `ann and +3 : 7 +3 = 10`; `7` if it is given."""
    if name not in story.before:
        return str(story.numbers[name])
    return f"{story.before[name]} and {story.changes[name]:+d} : {_sum(story, name)}"


def _sum(story: chains.Story, name: str) -> str:
    """The sum that gives a number: `7 +3 = 10`."""
    number = story.numbers[story.before[name]]
    return f"{number} {story.changes[name]:+d} = {story.numbers[name]}"


_Question = Callable[[Recipe, chains.Story, list[str], random.Random], Row]
_QUESTIONS: dict[Format, _Question] = {
    "direct": _ask_directly,
    "chain-of-thought": _ask_for_thought,
    "least-to-most": _ask_step_by_step,
}


def batches(recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of rows without end, the same for the same recipe.

    Rows of like length go together, so that little is padded, and each batch holds about
    ``tokens_per_step`` tokens.

    Args:
        recipe: The recipe.

    Yields:
        Token ids, shape ``(B, T + 1)``, and their loss mask, boolean of the same shape.
    """
    # A stream of its own, so that rows depend on nothing else that is drawn with this seed: a run
    # that goes on skips the batches it has read, which must come again as they were.
    generator = random.Random(f"rows {recipe.seed}")
    forms = _forms() if recipe.task == "scan" else []
    # Short rows teach to look up; of the pairs alone it would take longer.
    clauses = [form for form in forms if len(scan.parts(form[0])) < 2]
    made = 0  # batches, each of them a step, so that ``made / recipe.steps`` is how far training is
    while True:
        # Rows are sorted within a pool: of one batch there would be none of like length to choose,
        # and of all rows the stream, which has no end, could not begin.
        encoded = []
        for _ in range(500):
            if recipe.task == "scan":
                form = generator.choice(clauses if generator.random() < 0.4 else forms)
                pieces = row(recipe, generator.choice(form), generator)
            else:
                # One learns to look up in small stories: they grow in the first half.
                most = 3 + round((chains.PEOPLE - 3) * min(1, 2 * made / recipe.steps))
                # And to answer directly, from shallow questions: they grow deeper one by one.
                deepest = DEEPEST
                if recipe.format == "direct":
                    deepest = min(DEEPEST, 1 + made * 5 // recipe.steps)
                pieces = _story(recipe, generator.randint(2, most), deepest, generator)
            encoded.append(_encode(recipe.task, pieces))
        # From short to long, so the row that comes next is the longest of its batch: its length
        # times the number of rows is what the batch will hold, padding included.
        encoded.sort(key=lambda pair: len(pair[0]))
        together: list[list[tuple[list[int], list[bool]]]] = [[]]
        for pair in encoded:
            if (len(together[-1]) + 1) * len(pair[0]) > recipe.tokens_per_step and together[-1]:
                together.append([])
            together[-1].append(pair)
        generator.shuffle(together)  # or each pool would be learned from short to long
        made += len(together)
        # Both are padded at the end by zeros, (B, T + 1): what is not real is not learned either,
        # and no real token looks at it, so no mask is needed and 0 may be the id of any token.
        for pairs in together:
            yield (
                pad_sequence([torch.tensor(ids) for ids, _ in pairs], batch_first=True),
                pad_sequence([torch.tensor(loss_mask) for _, loss_mask in pairs], batch_first=True),
            )


@cache
def _forms() -> list[list[str]]:
    """The commands that may be learned from, those alike but for verbs and sides together.

    Each form comes equally often. Otherwise a form such as "around … twice and around … thrice",
    which is short only where both clauses turn on the spot, would hardly ever be seen.
    """
    # Commands of a form have the same length and parts, so the first one speaks for all of them.
    forms: dict[str, list[str]] = {}
    for command in scan.length_split()[0]:
        form = re.sub("walk|look|run|jump|turn", "verb", re.sub("left|right", "side", command))
        forms.setdefault(form, []).append(command)
    return list(forms.values())


def _encode(task: Task, pieces: Row) -> tuple[list[int], list[bool]]:
    """The ids of a row, and its loss mask: for each id whether it is learned."""
    # Piece by piece, so that no token lies half in what is learned. The ids are those of the whole
    # text, which a model will be asked in: each piece begins with a blank or a mark, where a word
    # begins anyway.
    ids: list[int] = []
    loss_mask: list[bool] = []
    for piece in pieces:
        new = tokenizer(task).encode(piece.text)
        ids += new
        loss_mask += [piece.in_loss] * len(new)
    return ids, loss_mask
