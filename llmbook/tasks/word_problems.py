"""Word problems: who has how many, told in plain English, and asked about the last of a chain.

"Ann has 7 marbles. Bo has 3 more marbles than Ann. How many marbles does Bo have?" Each person's
number comes from that of another, so that the *size* of a problem, the number of sums that lead to
its answer, can be chosen freely: more than the exemplars show is the test. One can also choose how
the story is told, in the order in which it is solved or in another, and how many people in it have
nothing to do with the question. The numbers stay small, for the arithmetic is not the point. The
stories are ours, in the manner of the problems in Zhou et al., "Least-to-Most Prompting" (2023,
section 3.3); real ones are read by `llmbook.tasks.benchmarks`.
"""

import random
from dataclasses import dataclass
from typing import Literal

from llmbook.tasks.answers import read_number
from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.task import Task

__all__ = ["EXEMPLARS", "NAMES", "TASKS", "grade", "problems"]

_TYPED = """
Ann Bo Cy Dora Eve Finn Gus Hal Ida Jon Kim Leo Mia Ned Olga Pam Quinn Ray Sue Tom Uma Val
Wes Xia Yan Zoe Ben Cora Dan Ella Fay Gil Hugo Iris Jack Kay Lou Max Nora Otto
"""
NAMES = tuple(_TYPED.split())
"""The people of the stories."""

_SCENES = (  # what is counted, what one does with it, and how one asks for it
    ("marbles", "has", "does {} have"),
    ("apples", "picked", "did {} pick"),
    ("pages", "read", "did {} read"),
    ("letters", "wrote", "did {} write"),
    ("shells", "found", "did {} find"),
    ("pies", "baked", "did {} bake"),
    ("stamps", "owns", "does {} own"),
    ("tickets", "sold", "did {} sell"),
    ("trees", "planted", "did {} plant"),
    ("goals", "scored", "did {} score"),
)
_SIZES = (2, 3, 4, 5, 6)
_MOST = 100_000  # problems in a draw: there are many more, even of size 1
_LARGEST = 60  # number that anybody has

Order = Literal["told", "reversed", "shuffled"]


@dataclass(frozen=True)
class _Fact:
    """What the story says of a person, and what follows from it."""

    name: str
    number: int
    sentence: str


def problems(
    count: int,
    *,
    size: int | None = None,
    seed: int = 0,
    distractors: int = 0,
    order: Order = "told",
) -> list[Problem]:
    """Stories with a question, none of them twice.

    Args:
        count: How many, at most 100,000.
        size: Sums that lead to the answer; none: 2, 3, 4, 5 and 6 in turn.
        seed: Where the randomness comes from.
        distractors: People whom the answer does not depend on.
        order: ``"told"``: everybody comes after the person whom they are compared with;
            ``"reversed"``: before; ``"shuffled"``: anywhere.

    Returns:
        The problems, with the story as context and a step for each sum. Fewer of them are the
        beginning of more.

    Raises:
        ValueError: If ``count``, ``size``, ``distractors`` or ``order`` is out of range, or there
            are more people than names.

    Examples:
        ```python
        import textwrap

        from llmbook.tasks import word_problems

        [problem] = word_problems.problems(1, size=2, distractors=1, order="shuffled")
        print(textwrap.fill(problem.context, 80))
        for step in problem.steps:
            print(step.question, step.answer)
        ```

        ``` {.text .output}
        Hugo owns 6 stamps. Quinn owns twice as many stamps as Cy. Ben owns 10 stamps.
        Cy owns twice as many stamps as Ben.
        How many stamps does Cy own? 20
        How many stamps does Quinn own? 40
        ```
    """
    if not 1 <= count <= _MOST:
        raise ValueError(f"count must be 1 to {_MOST:,}, got {count:,}")
    sizes = _SIZES if size is None else (size,)
    if min(sizes) < 1 or distractors < 0 or max(sizes) + 1 + distractors > len(NAMES):
        raise ValueError(
            f"size must be at least 1, distractors at least 0, and both together at most "
            f"{len(NAMES) - 1}, got {size} and {distractors}"
        )
    if order not in ("told", "reversed", "shuffled"):
        raise ValueError(f"order must be 'told', 'reversed' or 'shuffled', got {order!r}")
    generator = random.Random(seed)
    drawn: dict[tuple[str, str], Problem] = {}
    while len(drawn) < count:
        problem = _make_problem(generator, sizes[len(drawn) % len(sizes)], distractors, order)
        drawn[problem.context, problem.question] = problem
    return list(drawn.values())


def _make_problem(generator: random.Random, size: int, distractors: int, order: Order) -> Problem:
    """A story of a chain of people, each compared with the one before, and others among them."""
    scene = generator.choice(_SCENES)
    names = generator.sample(NAMES, size + 1 + distractors)
    chain = [_first(generator, scene, names[0])]
    for name in names[1 : size + 1]:
        chain.append(_compared(generator, scene, name, chain[-1]))
    facts = list(chain)
    for name in names[size + 1 :]:
        # One half hangs on somebody of the chain; the other has a number of its own.
        base = generator.choice(chain) if generator.random() < 0.5 else None
        after = facts.index(base) + 1 if base else 0
        fact = _compared(generator, scene, name, base) if base else _first(generator, scene, name)
        facts.insert(generator.randint(after, len(facts)), fact)
    if order == "reversed":
        facts.reverse()
    elif order == "shuffled":
        generator.shuffle(facts)
    steps = tuple(Step(_ask(scene, fact.name), str(fact.number)) for fact in chain[1:])
    context = " ".join(fact.sentence for fact in facts)
    return Problem(steps[-1].question, steps[-1].answer, size=size, steps=steps, context=context)


def _ask(scene: tuple[str, str, str], name: str) -> str:
    return f"How many {scene[0]} {scene[2].format(name)}?"


def _first(generator: random.Random, scene: tuple[str, str, str], name: str) -> _Fact:
    things, verb, _ = scene
    number = generator.randint(3, 12)
    return _Fact(name, number, f"{name} {verb} {number} {things}.")


def _compared(
    generator: random.Random, scene: tuple[str, str, str], name: str, base: _Fact
) -> _Fact:
    """A person whose number is said by comparing it with another's; it stays in 2 to 60."""
    things, verb, _ = scene
    difference = generator.randint(2, 9)
    choices = [
        (base.number + difference, f"{difference} more {things} than"),
        (base.number - difference, f"{difference} fewer {things} than"),
        (base.number * 2, f"twice as many {things} as"),
        (base.number * 3, f"3 times as many {things} as"),
    ]
    number, words = generator.choice([choice for choice in choices if 2 <= choice[0] <= _LARGEST])
    return _Fact(name, number, f"{name} {verb} {words} {base.name}.")


def grade(problem: Problem | Step, answer: str | None) -> bool:
    """Whether the number is the right one, however it is written.

    Args:
        problem: A question whose answer is a number.
        answer: The number; none is wrong.
    """
    return answer is not None and read_number(answer) == read_number(problem.answer)


EXEMPLARS = (
    Exemplar(
        context="Ann has 7 marbles. Bo has 3 more marbles than Ann.",
        question="How many marbles does Bo have?",
        rationale="Ann has 7 marbles. Bo has 3 more, so Bo has 7 + 3 = 10 marbles.",
        answer="10",
        steps=(
            Step(
                "How many marbles does Bo have?",
                "Ann has 7 marbles. Bo has 3 more, so Bo has 7 + 3 = 10 marbles. The answer is 10.",
            ),
        ),
    ),
    Exemplar(
        context=(
            "Eve picked 6 apples. Finn picked twice as many apples as Eve. Gus picked 4 fewer "
            "apples than Finn."
        ),
        question="How many apples did Gus pick?",
        rationale=(
            "Eve picked 6 apples. Finn picked twice as many, so Finn picked 6 * 2 = 12 apples. "
            "Gus picked 4 fewer, so Gus picked 12 - 4 = 8 apples."
        ),
        answer="8",
        steps=(
            Step(
                "How many apples did Finn pick?",
                "Eve picked 6 apples. Finn picked twice as many, so Finn picked 6 * 2 = 12 "
                "apples. The answer is 12.",
            ),
            Step(
                "How many apples did Gus pick?",
                "Finn picked 12 apples. Gus picked 4 fewer, so Gus picked 12 - 4 = 8 apples. "
                "The answer is 8.",
            ),
        ),
    ),
    Exemplar(
        context=(
            "Ida wrote 2 fewer letters than Hal. Jon wrote 9 letters. Kim wrote 4 letters. Hal "
            "wrote 3 times as many letters as Kim."
        ),
        question="How many letters did Ida write?",
        rationale=(
            "Kim wrote 4 letters. Hal wrote 3 times as many, so Hal wrote 4 * 3 = 12 letters. "
            "Ida wrote 2 fewer, so Ida wrote 12 - 2 = 10 letters."
        ),
        answer="10",
        steps=(
            Step(
                "How many letters did Hal write?",
                "Kim wrote 4 letters. Hal wrote 3 times as many, so Hal wrote 4 * 3 = 12 "
                "letters. The answer is 12.",
            ),
            Step(
                "How many letters did Ida write?",
                "Hal wrote 12 letters. Ida wrote 2 fewer, so Ida wrote 12 - 2 = 10 letters. "
                "The answer is 10.",
            ),
        ),
    ),
)
"""Stories with one sum and with two, one of them out of order and with somebody too many."""

TASKS = (
    Task(
        name="word-problems",
        instruction="Answer the question with a number.",
        exemplars=EXEMPLARS,
        sample=problems,
        parse=read_number,
        grade=grade,
    ),
)
"""The task."""
