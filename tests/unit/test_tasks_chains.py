"""Chains: the two languages; over several days, who is carried over, and that every day counts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook.tasks import chains
from llmbook.tasks.problem import Problem, Step

CHINESE = dict(zip(chains.NAMES["en"], chains.NAMES["zh"], strict=True))


def in_chinese(problem: Problem) -> Problem:
    """An English problem with the Chinese names in the place of the English ones."""
    lines = (" ".join(CHINESE.get(word, word) for word in line.split(" "))
             for line in problem.context.split("\n"))  # fmt: skip
    steps = tuple(Step(CHINESE[step.question], step.answer) for step in problem.steps)
    question = CHINESE[problem.question]
    return Problem(question, problem.answer, problem.size, steps, "\n".join(lines))


@given(seed=st.integers(), size=st.integers(1, chains.PEOPLE), days=st.integers(1, 4))
def test_with_one_seed_the_languages_differ_in_the_names_alone(seed, size, days):
    english = chains.problems(3, size=size, seed=seed)
    english += chains.diaries(2, days=days, seed=seed)
    chinese = chains.problems(3, size=size, seed=seed, language="zh")
    chinese += chains.diaries(2, days=days, seed=seed, language="zh")
    assert chinese == [in_chinese(problem) for problem in english]


def test_names_differ_and_are_in_their_language():
    english, chinese = chains.NAMES["en"], chains.NAMES["zh"]
    assert len({*english, *chinese}) == len(english) + len(chinese)
    assert all(name.isascii() for name in english)
    assert all("\u4e00" <= character <= "\u9fff" for name in chinese for character in name)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_story_is_read_as_it_was_told(language):
    story, _ = chains.make_story(random.Random(0), [4, 3, 1], language=language)
    assert chains.read_story(story.text, language=language) == story
    other = "zh" if language == "en" else "en"
    with pytest.raises(ValueError, match="text must be a story such as"):
        chains.read_story(story.text, language=other)


def test_what_is_typed_in_chinese_is_posed_and_refused_by_a_chinese_example():
    problem = chains.pose("小刚", "小红 小明 +3 ; 小明 7 ; 小刚 小红 -2 ;", language="zh")
    assert (problem.answer, problem.size) == ("8", 3)
    with pytest.raises(ValueError, match='as "小刚" with the context " 小红 小明'):
        chains.pose("cy", problem.context, language="zh")


def carried(day: str) -> set[str]:
    """Who is named on a day that says nothing of them."""
    facts = [fact.split() for fact in day.split(" ;")[:-1]]
    return {fact[1] for fact in facts if len(fact) == 3} - {fact[0] for fact in facts}


def solve(problem: Problem) -> tuple[int, int]:
    """The answer, day by day from the last one, and how many people that takes."""
    days, name, people, change = problem.context.split("\n"), problem.question, 0, 0
    for day in reversed(days):
        facts = {fact.split()[0]: fact.split()[1:] for fact in day.split(" ;")[:-1]}
        people += 1
        while len(facts.get(name, ())) == 2:
            name, difference = facts[name]
            change, people = change + int(difference), people + 1
        if name in facts:
            return change + int(facts[name][0]), people
    raise AssertionError(f"{name} has no number")


@pytest.mark.parametrize("days", [1, 2, 5])
def test_a_diary_is_answered_day_by_day(days):
    problems = chains.diaries(5, days=days, seed=2)
    for problem in problems:
        lines = problem.context.split("\n")
        assert [len(carried(line)) for line in lines] == [0] + [1] * (days - 1)
        assert solve(problem) == (int(problem.answer), problem.size)
    assert problems[:3] == chains.diaries(3, days=days, seed=2)
    assert problems != chains.diaries(5, days=days, seed=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0, "days": 1}, "count must be at least 1, got 0"),
        ({"count": 1, "days": 0}, "days must be at least 1, got 0"),
        ({"count": 1, "days": 1, "deepest": 1}, "deepest must be at least 2, got 1"),
        ({"count": 1, "days": 1, "language": "fr"}, "language must be 'en' or 'zh', got 'fr'"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        chains.diaries(**options)
