"""Last letters: join the last letter of each word of a list, however long the list is.

`river, stone, cloud` gives `red`. Nothing could be easier for a child, and models fail at it for
two reasons that it pays to keep apart. The list may be longer than those of the exemplars: that
is what the task was made to test. And a model reads tokens, in which letters cannot be seen: with
``spell=True`` the words are spelled out, `r-i-v-e-r`, which takes this second reason away.
Sources: Wei et al., "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models" (2022,
section 5) for the task; Zhou et al., "Least-to-Most Prompting" (2023, section 3.1) for lists of any
length, and for sub-problems that are the beginnings of the list. The words are ours.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

from llmbook.tasks.answers import read_letters
from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.task import Task

__all__ = [
    "EXEMPLARS",
    "SPELLED_EXEMPLARS",
    "TASKS",
    "WORDS",
    "decompose",
    "grade",
    "problems",
    "sample_lists",
    "solve",
    "spelled_problems",
]

_TYPED = """
acid album alarm angel apple april arrow atlas autumn bacon basket beach bell bench bird blue
board boat book bottle box branch bread bridge brush bucket bulb bus button cabin cake camel
camera candle canvas carpet castle cat chair chalk cheese cherry circus clock cloud club coat
cocoa coffee coin comb copper corn cotton cow crab cradle crew crown cup curtain deck desk
diamond dish doctor dog donkey door dream drum duck eagle echo egg engine evening fabric family
farm feather field film finger fish flag flask flower flute forest fork fox garden gate ghost
gift girl glass glove goat gold grass guitar hammer harbor hat hill honey hotel igloo ink iron
island ivory jacket jam jazz jelly job jungle kettle kick kitchen kiwi knee knife lake lamp
leaf lemon letter lion logo magic map market mask menu metal milk mirror moon motor mouse
mud music nail napkin needle nest night north notebook novel ocean olive onion orchid oven owl
paint palm panda paper park pasta peach pencil piano pillow pilot planet plum pocket pond radio
rain ribbon river rocket roof rope salad salt school scarf sheep shelf ski snow sofa spider
spoon spring stone storm street sugar swim table taxi tea tent tiger tomato topic train tree
trick truck tulip turnip vase video violin wagon wall water wave web wheel whip window wolf
wood yacht yard zebra zero
"""
WORDS = tuple(_TYPED.split())
"""Common English words."""

_SIZES = (4, 6, 8, 10, 12)  # of the paper's table 4


def _spell(word: str) -> str:
    return "-".join(word)


def _words(question: str) -> list[str]:
    words = question.replace("-", "").split(", ")
    if not all(word.isalpha() for word in words):
        raise ValueError(f"question must be words with commas between, got {question!r}")
    return words


def solve(question: str) -> str:
    """The last letters of the words, spelled as the words are.

    Args:
        question: Words, with a comma and a space between any two; all or none of them spelled.

    Returns:
        The letters, with hyphens between if the words have them.

    Raises:
        ValueError: If it is no list of words.

    Examples:
        ```python
        from llmbook.tasks import last_letters

        print(last_letters.solve("river, stone, cloud"))
        print(last_letters.solve("r-i-v-e-r, s-t-o-n-e, c-l-o-u-d"))
        ```

        ``` {.text .output}
        red
        r-e-d
        ```
    """
    letters = "".join(word[-1] for word in _words(question))
    return _spell(letters) if "-" in question else letters


def decompose(question: str) -> list[str]:
    """The sub-problems of a list, from least to most; the last is the list.

    Args:
        question: Words, with a comma and a space between any two.

    Returns:
        The beginnings of the list, from two words on; a single word is its own sub-problem.

    Raises:
        ValueError: If it is no list of words.

    Examples:
        ```python
        from llmbook.tasks import last_letters

        print(last_letters.decompose("river, stone, cloud, tree"))
        ```

        ``` {.text .output}
        ['river, stone', 'river, stone, cloud', 'river, stone, cloud, tree']
        ```
    """
    _words(question)
    words = question.split(", ")
    shortest = min(2, len(words))
    return [", ".join(words[:length]) for length in range(shortest, len(words) + 1)]


def problems(
    count: int, *, size: int | None = None, seed: int = 0, spell: bool = False
) -> list[Problem]:
    """Lists of words as problems, none of them twice, and no word twice in a list.

    Args:
        count: How many.
        size: Words in each list; none: 4, 6, 8, 10 and 12 in turn.
        seed: Where the randomness comes from.
        spell: Spell the words, and the answers, with hyphens between the letters.

    Returns:
        The problems. Fewer of them are the beginning of more.

    Raises:
        ValueError: If there are no such lists, or fewer than ``count``.

    Examples:
        ```python
        from llmbook.tasks import last_letters

        [problem] = last_letters.problems(1, size=4)
        for step in problem.steps:
            print(step.question, "->", step.answer)
        ```

        ``` {.text .output}
        wall, glove -> le
        wall, glove, stone -> lee
        wall, glove, stone, zebra -> leea
        ```
    """
    lists = sample_lists(WORDS, count, size, seed)
    return [_problem(", ".join(map(_spell, words) if spell else words)) for words in lists]


def sample_lists(
    words: Sequence[str], count: int, size: int | None, seed: int
) -> list[tuple[str, ...]]:
    """Lists of words, none of them twice, and no word twice in a list.

    Args:
        words: The words.
        count: How many lists.
        size: Words in each list; none: 4, 6, 8, 10 and 12 in turn.
        seed: Where the randomness comes from.

    Returns:
        The lists. Fewer of them are the beginning of more.

    Raises:
        ValueError: If there are no such lists, or fewer than ``count``.
    """
    if size is not None and not 1 <= size <= len(words):
        raise ValueError(f"size must be 1 to {len(words)}, the number of words, got {size}")
    sizes = _SIZES if size is None else (size,)
    most = math.perm(len(words), min(sizes))
    if not 1 <= count <= most:
        raise ValueError(f"count must be 1 to {most}, the number of lists, got {count}")
    generator = random.Random(seed)
    sampled: dict[tuple[str, ...], None] = {}  # in the order in which they were sampled
    while len(sampled) < count:
        sampled[tuple(generator.sample(words, sizes[len(sampled) % len(sizes)]))] = None
    return list(sampled)


def _problem(question: str) -> Problem:
    steps = tuple(Step(part, solve(part)) for part in decompose(question))
    return Problem(question, solve(question), size=len(_words(question)), steps=steps)


def spelled_problems(count: int, *, size: int | None = None, seed: int = 0) -> list[Problem]:
    """[`problems`][llmbook.tasks.last_letters.problems] whose words are spelled out."""
    return problems(count, size=size, seed=seed, spell=True)


def grade(problem: Problem | Step, answer: str | None) -> bool:
    """Whether the letters are the right ones; hyphens and capitals are no mistake.

    Args:
        problem: A list of words with its letters.
        answer: The letters; none is wrong.
    """
    return answer is not None and read_letters(answer) == read_letters(problem.answer)


def _step(question: str) -> Step:
    """A sub-problem, and what is written to solve it: one letter is added to what was found."""
    *before, last = question.split(", ")
    if len(before) < 2:
        return Step(question, f'{_ends(question)} Joined: "{solve(question)}".')
    known = ", ".join(before)
    known_part = f'"{known}" gives "{solve(known)}".'
    return Step(question, f'{known_part} {_ends(last)} Joined: "{solve(question)}".')


def _ends(question: str) -> str:
    return " ".join(f'"{word}" ends in "{word[-1]}".' for word in question.split(", "))


def _exemplar(question: str) -> Exemplar:
    return Exemplar(
        question,
        solve(question),
        rationale=_ends(question),
        steps=tuple(_step(part) for part in decompose(question)),
    )


_SHOWN = (("garden", "pocket"), ("music", "planet", "winter"))
EXEMPLARS = tuple(_exemplar(", ".join(words)) for words in _SHOWN)
"""A list of two words and one of three, solved. The last step of the second adds one letter to
what the step before has found."""
SPELLED_EXEMPLARS = tuple(_exemplar(", ".join(map(_spell, words))) for words in _SHOWN)
"""The same with the words spelled."""


_JOIN = Task(
    name="last-letters",
    instruction="Join the last letters of the words, in their order.",
    exemplars=EXEMPLARS,
    sample=problems,
    parse=read_letters,
    grade=grade,
    decompose=decompose,
)
TASKS = (
    _JOIN,
    replace(
        _JOIN, name="last-letters-spelled", exemplars=SPELLED_EXEMPLARS, sample=spelled_problems
    ),
)
"""With the words as they are, and spelled."""
