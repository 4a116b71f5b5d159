"""Chains told over several days: who is carried over, and that every day counts."""

import pytest

from llmbook.tasks import chains
from llmbook.tasks.problem import Problem


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
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        chains.diaries(**options)
