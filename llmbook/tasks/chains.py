r"""Chains: who has how many, told in an order that helps nobody.

`bo ann +3 ; ann 7 ;` tells that bo has 3 more than ann, who has 7, and the question is how many
*bo* has. How long the text is and how much the answer takes are two things: of thirteen people is
told, in random order, and the *depth* of a question is the number of people that must be worked
out, the one asked for included. So one can learn from shallow questions and be tested on deep ones
with texts that look the same. Numbers stay between 0 and 20. With the same seed, stories in English
and in Chinese differ in the names alone.

The task is ours, in the manner of the word problems of Zhou et al., "Least-to-Most Prompting"
(2023, section 3.3), reduced to what has to be composed.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import accumulate

from llmbook._checks import check_at_least_one
from llmbook.tasks._chain_words import exemplar, words_of
from llmbook.tasks._language import Language, check_language
from llmbook.tasks.answers import read_number
from llmbook.tasks.problem import Problem, Step
from llmbook.tasks.task import Task

__all__ = [
    "CHINESE_EXEMPLARS",
    "EXEMPLARS",
    "LARGEST",
    "LARGEST_CHANGE",
    "NAMES",
    "PEOPLE",
    "TASKS",
    "Story",
    "diaries",
    "grade",
    "make_story",
    "pose",
    "problems",
    "read_story",
    "sample_depths",
]

NAMES: dict[Language, tuple[str, ...]] = {
    "en": ("ann", "bo", "cy", "dot", "eve", "gus", "ivy", "kim",
           "lee", "max", "ned", "pam", "ray", "sue", "tom", "val"),
    "zh": ("小明", "小红", "小刚", "豆豆", "小丽", "阿福", "阿珍", "佳佳",
           "乐乐", "强强", "晓东", "晓玲", "小龙", "小雪", "小军", "婷婷"),
}  # fmt: skip
"""The people who may occur, in each language."""

LARGEST = 20
"""The largest number that anybody has."""

PEOPLE = 13
"""How many people a story tells of."""

LARGEST_CHANGE = 9
"""The largest difference between a person and the next."""

_USUAL_SIZE = 8
_FACTS: dict[Language, re.Pattern[str]] = {  # of a story
    language: re.compile(rf" ({person}) (?:(\d+)|({person}) ([+-]\d+)) ;")
    for language, person in ((language, "|".join(names)) for language, names in NAMES.items())
}


@dataclass(frozen=True)
class Story:
    """What is told: of each person a number, or the difference to another."""

    changes: dict[str, int]  # in the order of the text; of the first in a chain, the number itself
    before: dict[str, str]  # on whom a person depends; the first of a chain is missing

    @cached_property
    def numbers(self) -> dict[str, int]:
        """What each person has."""
        return {
            name: sum(self.changes[person] for person in self.chain(name)) for name in self.changes
        }

    def chain(self, name: str) -> list[str]:
        """Who has to be worked out to know what a person has, that person last.

        Raises:
            ValueError: If the story does not say what the person has: it leaves somebody out, or
                goes round in a circle.
        """
        people = [name]
        while people[-1] in self.before and len(people) <= len(self.before):  # no circle
            people.append(self.before[people[-1]])
        if people[-1] not in self.changes or people[-1] in self.before:
            raise ValueError(f"name must be somebody whose number the story tells, got {name!r}")
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
        people = self.chain(name)
        numbers = accumulate(self.changes[person] for person in people)
        steps = tuple(
            Step(person, str(number)) for person, number in zip(people, numbers, strict=True)
        )
        return Problem(name, steps[-1].answer, len(steps), steps, self.text)


def make_story(
    generator: random.Random, depths: Sequence[int], *, language: Language = "en"
) -> tuple[Story, list[str]]:
    """Make up a story.

    Args:
        generator: Where the randomness comes from.
        depths: The number of people in each chain, 16 at most in all.
        language: ``"en"`` or ``"zh"``: whose names the people have.

    Returns:
        The story, and the last person of each chain.

    Raises:
        ValueError: If there are too many people, or a chain has none, or ``language`` is another.

    Examples:
        ```python
        import random
        from llmbook.tasks import chains

        story, (deepest, _) = chains.make_story(random.Random(0), [3, 1])
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
    if sum(depths) > (most := len(NAMES["en"])):
        raise ValueError(f"depths must add up to at most {most} people, got {sum(depths)}")
    check_language(language)
    names = iter(generator.sample(NAMES[language], sum(depths)))
    changes: dict[str, int] = {}
    before: dict[str, str] = {}
    last = []
    for depth in depths:
        name = next(names)
        number = changes[name] = generator.randint(0, LARGEST)
        for _ in range(depth - 1):
            previous, name = name, next(names)
            before[name] = previous
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


def read_story(text: str, *, language: Language = "en") -> Story:
    """A story in a language from its text, whatever the blanks between its words.

    Raises:
        ValueError: If it is not one, or tells of somebody twice.
    """
    text = "".join(f" {word}" for word in text.split())
    example, fact = words_of(language).story, _FACTS[language]
    facts = fact.findall(text)
    changes = {name: int(number or change) for name, number, _, change in facts}
    if fact.sub("", text) or len(changes) < len(facts):
        raise ValueError(f"text must be a story such as {example!r}, got {text!r}")
    return Story(changes, {name: previous for name, _, previous, _ in facts if previous})


def sample_depths(generator: random.Random, people: int, deepest: int) -> list[int]:
    """Depths of chains that add up to a number of people, none above the deepest."""
    depths = []
    while people:
        depths.append(generator.randint(1, min(deepest, people)))
        people -= depths[-1]
    return depths


def problems(
    count: int,
    *,
    size: int | None = None,
    seed: int = 0,
    deepest: int = 4,
    people: int = PEOPLE,
    language: Language = "en",
) -> list[Problem]:
    """Problems of one depth, each with a story of its own.

    Args:
        count: How many.
        size: The depth, people to be worked out, from 1 to ``people``; none: 8.
        seed: The same seed gives the same problems.
        deepest: Most people in any other chain of the story.
        people: People in the story.
        language: ``"en"`` or ``"zh"``: whose names the people have.

    Returns:
        The problems. Fewer of them are the beginning of more.

    Raises:
        ValueError: If a number is below 1, ``size`` exceeds ``people``, or ``language`` is another.
    """
    depth = _USUAL_SIZE if size is None else size
    check_at_least_one("count", count)
    check_at_least_one("size", depth)
    check_at_least_one("deepest", deepest)
    if depth > people:
        raise ValueError(f"size must be at most {people} for so many people, got {depth}")
    generator = random.Random(f"{seed} {depth} {deepest} {people}")
    problems = []
    for _ in range(count):
        others = sample_depths(generator, people - depth, deepest)
        story, (person, *_) = make_story(generator, [depth, *others], language=language)
        problems.append(story.problem(person))
    return problems


def diaries(
    count: int, *, days: int, seed: int = 0, deepest: int = 4, language: Language = "en"
) -> list[Problem]:
    """Problems told over several days: a line of text for each, and a question about the last one.

    Each day is a story of its own, but one person depends on somebody of whom that day says
    nothing, and who still has what the day before left. So every day counts for the answer, though
    of the day before only that one number is needed.

    Args:
        count: How many.
        days: Days of each.
        seed: The same seed gives the same problems.
        deepest: Most people in a chain of one day.
        language: ``"en"`` or ``"zh"``: whose names the people have.

    Returns:
        The problems; their size is the number of people to be worked out on all days.

    Raises:
        ValueError: If a number is below 1, ``deepest`` below 2, or ``language`` is another.

    Examples:
        ```python
        from llmbook.tasks import chains

        [problem] = chains.diaries(1, days=2)
        for day in problem.context.splitlines():
            print(day[:54], "...")

        print(problem.question, problem.answer)
        ```

        ``` {.text .output}
         lee 6 ; ned lee -1 ; bo gus -7 ; dot 12 ; eve cy -8 ; ...
         bo 9 ; pam eve -5 ; max ann -6 ; eve ray -1 ; gus 16  ...
        cy 7
        ```
    """
    check_at_least_one("count", count)
    check_at_least_one("days", days)
    if deepest < 2:
        raise ValueError(f"deepest must be at least 2, got {deepest}")
    generator = random.Random(f"{seed} {days} {deepest}")
    problems = []
    for _ in range(count):
        # From the last day backwards: the day before must leave a person what was carried over.
        story = _day(generator, deepest, None, None, language)
        name = next(reversed(story.before))
        question, answer, size, lines = name, str(story.numbers[name]), 0, list[str]()
        for day in range(days, 0, -1):
            people = story.chain(name)
            size += len(people)
            if day == 1:
                lines.append(story.text)
                break
            name, number = people[0], story.changes[people[0]]
            told = {person: change for person, change in story.changes.items() if person != name}
            lines.append(Story(told, story.before).text)
            story = _day(generator, deepest, name, number, language)
        problems.append(Problem(question, answer, size, (), "\n".join(lines[::-1])))
    return problems


def _day(
    generator: random.Random, deepest: int, name: str | None, number: int | None, language: Language
) -> Story:
    """A story in which somebody depends on somebody else: the person named, with that number."""
    while True:
        depths = sample_depths(generator, PEOPLE, deepest)
        story, _ = make_story(generator, depths, language=language)
        if story.before if name is None else name in story.before and story.numbers[name] == number:
            return story


def pose(name: str, context: str, *, language: Language = "en") -> Problem:
    """The question how many somebody has, of a story that somebody types.

    Args:
        name: Who.
        context: The text of the story.
        language: That of the story.

    Raises:
        ValueError: If it is no story, or does not say what the person has, in numbers and
            differences as large as those of the task.
    """
    words = words_of(language)
    try:
        story = read_story(context, language=language)
        problem = story.problem(name)
    except ValueError as error:
        raise ValueError(
            f'question must be how many somebody has, as "{words.person}" with the '
            f'context "{words.story}": {error}'
        ) from None
    differences = [abs(story.changes[step.question]) for step in problem.steps[1:]]
    if max(differences, default=0) > LARGEST_CHANGE or any(
        not 0 <= int(step.answer) <= LARGEST for step in problem.steps
    ):
        raise ValueError(
            f"context must keep to numbers up to {LARGEST} and differences up to "
            f"{LARGEST_CHANGE}, got {context!r}"
        )
    return problem


def grade(problem: Problem | Step, answer: str | None) -> bool:
    """Whether an answer is the number that it should be."""
    return answer == problem.answer


EXEMPLARS = (
    exemplar(pose("bo", "bo ann +3 ; cy 4 ; ann 7 ;")),
    exemplar(pose("gus", "gus ivy -2 ; dot 5 ; ivy eve +6 ; eve 8 ; kim dot +1 ;")),
)
"""Two stories with somebody too many, of depths 2 and 3; the chains of problems are longer."""

_in_chinese = partial(pose, language="zh")
CHINESE_EXEMPLARS = (
    exemplar(_in_chinese("小红", "小红 小明 +3 ; 小刚 4 ; 小明 7 ;"), "zh"),
    exemplar(
        _in_chinese("阿福", "阿福 阿珍 -2 ; 豆豆 5 ; 阿珍 小丽 +6 ; 小丽 8 ; 佳佳 豆豆 +1 ;"), "zh"
    ),
)
"""The same in Chinese."""

_ENGLISH = Task(
    name="chains",
    instruction=(
        "The text says how many each person has: a number, or how many more (+) or fewer (-) "
        "than somebody else. Answer with the number of the person asked for."
    ),
    exemplars=EXEMPLARS,
    sample=problems,
    parse=read_number,
    grade=grade,
    pose=pose,
)
TASKS = (
    _ENGLISH,
    replace(
        _ENGLISH,
        name="chains-zh",
        instruction="文中说每个人有多少，或者比谁多(+)多少、少(-)多少。请回答所问的人有多少。",
        exemplars=CHINESE_EXEMPLARS,
        sample=partial(problems, language="zh"),
        pose=_in_chinese,
        describe="答案是 {}".format,
        language="zh",
    ),
)
"""In English and in Chinese."""
