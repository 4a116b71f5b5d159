r"""Prompts for word problems that are told out of order, in the forms that are compared.

A story tells of people in any order, and of some whom the question does not need, so that one must
find out whom it depends on before anything can be added up. Every form has the same three stories
as exemplars, with two and three sums, and shows them solved with the same care: what is looked up
stands in the words of the story, from the question down to a number that is told, and the sums go
up again.
"""

import re
from dataclasses import replace
from functools import partial

from llmbook import tasks
from llmbook.book.prompted.forms import BETWEEN, Shown
from llmbook.tasks import word_problems
from llmbook.tasks._language import Language
from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.sentences import split_sentences
from llmbook.tasks.task import Task

__all__ = ["needed", "person", "read_plan", "read_step", "shown", "summed", "task"]

_DISTRACTORS = 2
_KNOWN = {"en": "Known.", "zh": "已知。"}  # what a plan ends in
_SO = {"en": "So ", "zh": "所以"}
_FIRST = "，先求"  # from what is told of a person to the one who is needed before


def _solved(
    story: str, ask: str, sums: str, says: str, *, language: Language, linked: bool
) -> Shown:
    """A story solved in each form, from its sums: ``"Eve 6; Finn 6 * 2 = 12"``."""
    between = BETWEEN[language]
    people = [part.strip().partition(" ")[::2] for part in sums.split(";")]
    facts = split_sentences(story)
    # What the story says of each person of the chain, from the one whose number it tells.
    told = [next(fact for fact in facts if fact.startswith(name)) for name, _ in people]
    results = [says.format(name, result) for name, result in people]
    questions = [ask.format(name) for name, _ in people]
    answers = [told[0], *(between.join(pair) for pair in zip(told[1:], results[1:], strict=True))]
    if linked:  # written in Chinese alone
        *compared, last = (fact.rstrip("。") for fact in told[::-1])
        known = f"{last}，{_KNOWN[language]}"
        links = [*zip(compared, people[-2::-1], questions[-2::-1], strict=True)]
        down = "".join(f"{fact}{_FIRST}{name}。" for fact, (name, _), _ in links) + known
        asked = [questions[-1], *(f"{fact}{_FIRST}{question}" for fact, _, question in links)]
        plan = "\n".join([*asked, known])
    else:
        down = between.join(told[::-1])
        asked = [*map(between.join, zip(questions[::-1], told[::-1], strict=True))]
        plan = "\n".join(asked) + between + _KNOWN[language]
    up = f"{between}{_SO[language]}"
    exemplar = Exemplar(
        questions[-1],
        people[-1][1].rpartition(" ")[2],
        rationale=f"{down}{up}{between.join(results[1:])}",
        steps=tuple(map(Step, questions, answers)),
        context=story,
    )
    return Shown(exemplar, plan, retold=f"{down}{up}{between.join(answers)}")


# Each story, what is asked, the sums that lead to the answer, and how a result is told.
_STORIES: dict[Language, tuple[tuple[str, str, str, str], ...]] = {
    "en": (
        (
            "Finn picked twice as many apples as Eve. Gus picked 4 fewer apples than Finn. Eve "
            "picked 6 apples. Ray picked 5 apples.",
            "How many apples did {} pick?",
            "Eve 6; Finn 6 * 2 = 12; Gus 12 - 4 = 8",
            "{} picked {} apples.",
        ),
        (
            "Ida wrote 2 fewer letters than Hal. Jon wrote 9 letters. Kim wrote 4 letters. Hal "
            "wrote 3 times as many letters as Kim.",
            "How many letters did {} write?",
            "Kim 4; Hal 4 * 3 = 12; Ida 12 - 2 = 10",
            "{} wrote {} letters.",
        ),
        (
            "Ned has twice as many marbles as Mia. Leo has 5 marbles. Olga has 3 fewer marbles "
            "than Ned. Tom has 2 more marbles than Leo. Mia has 4 more marbles than Leo.",
            "How many marbles does {} have?",
            "Leo 5; Mia 5 + 4 = 9; Ned 9 * 2 = 18; Olga 18 - 3 = 15",
            "{} has {} marbles.",
        ),
    ),
    "zh": (
        (
            "小强摘的苹果是小华的 2 倍。小芳摘的苹果比小强少 4 个。小华摘了 6 个苹果。"
            "小杰摘了 5 个苹果。",
            "{}摘了多少个苹果？",
            "小华 6; 小强 6 * 2 = 12; 小芳 12 - 4 = 8",
            "{}摘了 {} 个苹果。",
        ),
        (
            "小雪写的信比小雨少 2 封。小文写了 9 封信。小武写了 4 封信。小雨写的信是小武的 3 倍。",
            "{}写了多少封信？",
            "小武 4; 小雨 4 * 3 = 12; 小雪 12 - 2 = 10",
            "{}写了 {} 封信。",
        ),
        (
            "小刚的弹珠是小红的 2 倍。小明有 5 颗弹珠。小丽的弹珠比小刚少 3 颗。"
            "小梅的弹珠比小明多 2 颗。小红的弹珠比小明多 4 颗。",
            "{}有多少颗弹珠？",
            "小明 5; 小红 5 + 4 = 9; 小刚 9 * 2 = 18; 小丽 18 - 3 = 15",
            "{}有 {} 颗弹珠。",
        ),
    ),
}


def task(language: Language) -> Task:
    """The task: stories in any order, with people whom the question does not need.

    Args:
        language: ``"en"`` or ``"zh"``.

    Returns:
        The task.
    """
    usual = tasks.get("word-problems" if language == "en" else "word-problems-zh")
    return replace(usual, sample=partial(_sample, language=language))


def shown(language: Language, *, linked: bool = False) -> tuple[Shown, ...]:
    """The exemplars.

    Args:
        language: ``"en"`` or ``"zh"``.
        linked: Whether plans and chains of thought name who is needed next after each sentence of
            the story, in Chinese. A Chinese question begins with a name, as the sentences of a
            story do: if each line of a plan begins with its question, a small model goes on after
            the name as the story does.

    Returns:
        Three stories.
    """
    return tuple(_solved(*told, language=language, linked=linked) for told in _STORIES[language])


def read_step(text: str) -> str | None:
    """The number that a step ends in."""
    return next(reversed(_NUMBER.findall(text)), None)


def read_plan(text: str) -> list[str]:
    """The questions of a plan, each of which stands beside a sentence of the story."""
    parts = [part.rpartition(_FIRST)[2] for part in split_sentences(text)]
    return [part for part in parts if part.endswith(("?", "？"))]


def needed(problem: Problem) -> list[str]:
    """The sentences of a story that the answer depends on, from the number that is told up."""
    facts = split_sentences(problem.context)
    return [
        fact
        for step in problem.steps
        for fact in facts
        if person(fact) == person(step.question, place=-2)
    ]


def summed(text: str) -> list[str]:
    """The people whose numbers a text calculates, in the order in which it does."""
    up = text.replace(_SO["en"], "")
    return [person(one.removeprefix(_SO["zh"])) for one in split_sentences(up) if " = " in one]


def person(sentence: str, *, place: int = 0) -> str:
    """The name in a sentence: a word at that place, and in Chinese the first two characters."""
    return sentence.split()[place] if sentence.isascii() else sentence[:2]


def _sample(
    count: int, *, size: int | None = None, seed: int = 0, language: Language = "en"
) -> list[Problem]:
    """Problems of the task."""
    drawn = word_problems.problems(
        count if language == "zh" else 10 * count + 100,  # three of ten verbs are kept
        size=size,
        seed=seed,
        distractors=_DISTRACTORS,
        order="shuffled",
        told_step=True,
        language=language,
    )
    # Of the English verbs those that are the same in a story and in a question: a small model asks
    # "How many did Bo found?", which it can answer, but a comparison of plans would not count it.
    kept = [p for p in drawn if language == "zh" or _SAME_VERB.search(p.context)]
    return kept[:count]


_SAME_VERB = re.compile(r"\b(has|owns|read)\b")
_NUMBER = re.compile("[0-9]+")
