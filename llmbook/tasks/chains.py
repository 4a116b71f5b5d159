r"""Chains: who has how many, told in an order that helps nobody.

`bo ann +3 ; ann 7 ;` tells that bo has 3 more than ann, who has 7, and the question is how many
*bo* has. How long the text is and how much the answer takes are two things: of thirteen people
is told, in random order, and the *depth* of a question is the number of people that must be
worked out, the one asked for included. So one can learn from shallow questions and be tested on
deep ones with texts that look the same. Numbers stay between 0 and 20.

The task is ours, in the manner of the word problems of Zhou et al., "Least-to-Most Prompting"
(2023, section 3.3), reduced to what has to be composed.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from llmbook._checks import check_at_least_one
from llmbook.tasks.problem import Problem, Step

__all__ = [
    "LARGEST",
    "LARGEST_CHANGE",
    "NAMES",
    "PEOPLE",
    "Story",
    "draw",
    "draw_depths",
    "draw_problems",
    "grade",
]

NAMES = (
    "ann", "bo", "cy", "dot", "eve", "gus", "ivy", "kim",
    "lee", "max", "ned", "pam", "ray", "sue", "tom", "val",
)  # fmt: skip
"""The people who may occur."""

LARGEST = 20
"""The largest number that anybody has."""

PEOPLE = 13
"""How many people a story tells of."""

LARGEST_CHANGE = 9
"""The largest difference between a person and the next."""


@dataclass(frozen=True)
class Story:
    """What is told: of each person a number, or the difference to another."""

    changes: dict[str, int]  # in the order of the text; of the first in a chain, the number itself
    before: dict[str, str]  # on whom a person depends; the first of a chain is missing

    @cached_property
    def numbers(self) -> dict[str, int]:
        """What each person has."""
        return {name: sum(self.changes[each] for each in self.chain(name)) for name in self.changes}

    def chain(self, name: str) -> list[str]:
        """Who has to be worked out to know what a person has, that person last."""
        people = [name]
        while people[-1] in self.before:
            people.append(self.before[people[-1]])
        return people[::-1]

    @property
    def text(self) -> str:
        """The story, each word and mark after a blank."""
        facts = []
        for name, change in self.changes.items():
            if name in self.before:
                facts.append(f" {name} {self.before[name]} {change:+d} ;")
            else:
                facts.append(f" {name} {change} ;")
        return "".join(facts)

    def problem(self, name: str) -> Problem:
        """The question how many a person has, with the steps that answer it."""
        steps = tuple(Step(each, str(self.numbers[each])) for each in self.chain(name))
        return Problem(name, steps[-1].answer, len(steps), steps, self.text)


def draw(generator: random.Random, depths: Sequence[int]) -> tuple[Story, list[str]]:
    """Make up a story.

    Args:
        generator: Where the randomness comes from.
        depths: The number of people in each chain, 16 at most in all.

    Returns:
        The story, and the last person of each chain.

    Raises:
        ValueError: If there are too many people, or a chain has none.

    Examples:
        ```python
        import random
        from llmbook.tasks import chains

        story, (deepest, _) = chains.draw(random.Random(0), [3, 1])
        print(story.text)
        for step in story.problem(deepest).steps:
            print(step.question, step.answer)
        ```

        ``` {.text .output}
         ivy val -2 ; val ray +9 ; ann 12 ; ray 8 ;
        ray 8
        val 17
        ivy 15
        ```
    """
    for depth in depths:
        check_at_least_one("depths", depth)
    if sum(depths) > len(NAMES):
        raise ValueError(f"depths must add up to at most {len(NAMES)} people, got {sum(depths)}")
    names = iter(generator.sample(NAMES, sum(depths)))
    changes: dict[str, int] = {}
    before: dict[str, str] = {}
    last = []
    for depth in depths:
        name = next(names)
        number = changes[name] = generator.randint(0, LARGEST)
        for _ in range(depth - 1):
            other, name = name, next(names)
            before[name] = other
            changes[name] = generator.choice(
                [
                    change
                    for change in range(-LARGEST_CHANGE, LARGEST_CHANGE + 1)
                    if change and 0 <= number + change <= LARGEST
                ]
            )
            number += changes[name]
        last.append(name)
    order = generator.sample([*changes], len(changes))
    return Story({name: changes[name] for name in order}, before), last


def draw_depths(generator: random.Random, people: int, deepest: int) -> list[int]:
    """Depths of chains that add up to a number of people, none above the deepest."""
    depths = []
    while people:
        depths.append(generator.randint(1, min(deepest, people)))
        people -= depths[-1]
    return depths


def draw_problems(
    count: int, depth: int, *, deepest: int = 4, people: int = PEOPLE, seed: int = 0
) -> list[Problem]:
    """Problems of one depth, each with a story of its own.

    Args:
        count: How many.
        depth: People to be worked out, from 1 to ``people``.
        deepest: Most people in any other chain of the story.
        people: People in the story.
        seed: The same seed gives the same problems.

    Returns:
        The problems; ``size`` is the depth.

    Raises:
        ValueError: If a number is below 1, or ``depth`` exceeds ``people``.
    """
    check_at_least_one("count", count)
    check_at_least_one("depth", depth)
    check_at_least_one("deepest", deepest)
    if depth > people:
        raise ValueError(f"depth must be at most people ({people}), got {depth}")
    generator = random.Random(f"{seed} {depth} {deepest} {people}")
    problems = []
    for _ in range(count):
        others = draw_depths(generator, people - depth, deepest)
        story, (asked, *_) = draw(generator, [depth, *others])
        problems.append(story.problem(asked))
    return problems


def grade(problem: Problem | Step, answer: str | None) -> bool:
    """Whether an answer is the number that it should be."""
    return answer == problem.answer
