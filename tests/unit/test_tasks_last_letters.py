"""Last letters: right answers at any length, and readers that find them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook.tasks import last_letters
from llmbook.tasks.problem import Problem

lists = st.lists(st.sampled_from(last_letters.WORDS), min_size=1, max_size=15)


def test_the_words_are_many_plain_and_end_in_many_letters():
    words = last_letters.WORDS
    assert len(words) == len(set(words)) >= 200
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
    ends = [word[-1] for word in words]
    assert len(set(ends)) >= 20
    assert max(map(ends.count, ends)) < len(words) / 4  # always saying one letter is no good


@given(lists)
def test_the_answer_is_the_last_letters_spelled_or_not(words):
    letters = [word[-1] for word in words]
    assert last_letters.solve(", ".join(words)) == "".join(letters)
    spelled = ", ".join("-".join(word) for word in words)
    assert last_letters.solve(spelled) == "-".join(letters)


@given(lists)
def test_each_sub_problem_adds_one_word_to_the_last(words):
    plan = [step.split(", ") for step in last_letters.decompose(", ".join(words))]
    assert plan[-1] == words
    assert len(plan[0]) == min(2, len(words))
    for before, after in pairwise(plan):
        assert after[:-1] == before


@pytest.mark.parametrize("size", [1, 2, 7, 40])
@pytest.mark.parametrize("spell", [False, True])
def test_problems_have_their_size_and_no_word_twice(size, spell):
    for problem in last_letters.problems(20, size=size, spell=spell):
        words = problem.question.split(", ")
        assert len(set(words)) == len(words) == problem.size == size
        assert all(("-" in word) == spell for word in words)
        assert {word.replace("-", "") for word in words} <= set(last_letters.WORDS)
        assert problem.answer.replace("-", "") == "".join(word[-1] for word in words)


def test_spelled_problems_are_the_same_problems():
    plain, spelled = last_letters.problems(5), last_letters.spelled_problems(5)
    assert [p.question for p in plain] == [s.question.replace("-", "") for s in spelled]
    assert [problem.size for problem in plain] == [4, 6, 8, 10, 12]


def test_all_lists_there_are_can_be_drawn_and_no_more():
    count = len(last_letters.WORDS)
    drawn = last_letters.problems(count, size=1)
    assert {problem.question for problem in drawn} == set(last_letters.WORDS)
    with pytest.raises(ValueError, match=f"count must be 1 to {count}"):
        last_letters.problems(count + 1, size=1)
    for size in (0, count + 1):
        with pytest.raises(ValueError, match=f"size must be 1 to {count}, .*, got {size}"):
            last_letters.problems(1, size=size)


@pytest.mark.parametrize("question", ["", "river,stone", "river, ", "4, 5"])
def test_what_is_no_list_of_words_is_refused(question):
    for function in (last_letters.solve, last_letters.decompose):
        with pytest.raises(ValueError, match="question must be words with commas between"):
            function(question)


def test_the_grader_minds_letters_and_their_order_and_nothing_else():
    problem = Problem("music, planet, winter", "ctr")
    assert last_letters.grade(problem, "ctr")
    assert last_letters.grade(problem, "C-T-R")
    for wrong in ("ct", "ctrr", "crt", "", None):
        assert not last_letters.grade(problem, wrong)


def test_exemplars_have_two_and_three_words():
    for exemplars in (last_letters.EXEMPLARS, last_letters.SPELLED_EXEMPLARS):
        assert [exemplar.question.count(",") + 1 for exemplar in exemplars] == [2, 3]
        for exemplar in exemplars:
            assert exemplar.answer == last_letters.solve(exemplar.question)
            *_, last = exemplar.steps
            if len(exemplar.steps) > 1:  # it says what was found before, and adds a letter to it
                before = exemplar.steps[-2].question
                assert f'"{before}" gives "{last_letters.solve(before)}"' in last.answer
