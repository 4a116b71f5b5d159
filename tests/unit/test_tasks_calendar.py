"""Calendar: checked against the calendar of the standard library, and against bad input."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook.tasks import calendar


@given(size=st.integers(4, 500), seed=st.integers(0, 10**6))
def test_answers_agree_with_real_dates(size, seed):
    for problem in calendar.problems(19, size=size, seed=seed):
        start = problem.question.removesuffix("?").split()[-1]
        if start in calendar.DAYS:
            monday = datetime.date(2024, 1, 1)
            day = monday + datetime.timedelta(calendar.DAYS.index(start) + size)
            assert problem.answer == f"{day:%A}"
        else:
            years, month = divmod(calendar.MONTHS.index(start) + size, 12)
            assert problem.answer == f"{datetime.date(2024 + years, month + 1, 1):%B}"
        assert [step.question for step in problem.steps] == calendar.decompose(problem.question)
        assert len(problem.steps) == problem.size == size


def test_no_exemplar_and_none_of_its_steps_is_asked():
    shown = {step.question for exemplar in calendar.EXEMPLARS for step in exemplar.steps}
    for size in range(1, 5):
        known = sum(f" {size} " in question for question in shown)
        assert (known > 0) == (size < 4)
        problems = calendar.problems(19 - known, size=size)
        assert not shown & {problem.question for problem in problems}
        message = f"count must be 1 to {19 - known}, as many questions of size {size} no exemplar "
        with pytest.raises(ValueError, match=f"{message}shows, got 20"):
            calendar.problems(20, size=size)


def test_there_are_as_many_questions_as_the_docstring_says():
    said = "Of a size from 4 up there are 19, one for each day and month; of sizes 1, 2 and 3, "
    said += "of which exemplars show some, there are 11, 12 and 15."
    assert said in " ".join(calendar.problems.__doc__.split())
    for size, most in enumerate((11, 12, 15, 19, 19), start=1):
        assert len(calendar.problems(most, size=size)) == most
        with pytest.raises(ValueError, match=f"count must be 1 to {most}, as many"):
            calendar.problems(most + 1, size=size)
    with pytest.raises(ValueError, match="count must be 1 to 88, as many questions no exemplar"):
        calendar.problems(89)


@pytest.mark.parametrize(
    "question", ["", "Which day is 2 day after Monday?", "Which day is 2 days after May?",
                 "Which day is 0 days after Monday?", "Which day is 2 days after Mai?"],
)  # fmt: skip
def test_what_is_no_question_is_refused(question):
    with pytest.raises(ValueError, match="question must be such as 'Which day is 3 days after"):
        calendar.decompose(question)


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        calendar.problems(1, size=0)


def test_days_and_months_are_found_in_a_models_text():
    assert calendar.parse("After Monday comes Tuesday, as one may say.") == "Tuesday"
    assert calendar.parse("答案是June。") == "June"
    assert calendar.parse("Mondays and nothing else") is None
