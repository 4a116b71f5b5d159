"""Every task: problems that are new, solvable and reproducible; exemplars that are right."""

import re
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook import tasks
from llmbook.tasks import benchmarks, calendar, last_characters, last_letters, scan
from llmbook.tasks.problem import Problem, Step

TASKS = [tasks.get(name) for name in tasks.NAMES]
SIZES = {
    "last-letters": 5, "last-letters-spelled": 5, "scan": 30, "word-problems": 4, "calendar": 7,
    "chains": 6, "chains-zh": 6, "last-characters": 5, "last-characters-spelled": 5,
    "word-problems-zh": 4,
}  # fmt: skip
MOST = {"calendar": 19}  # problems of a size, where there are not hundreds
SHOWN = {each.name: each.exemplars for each in TASKS} | {
    "gsm8k": benchmarks.GSM8K_EXEMPLARS,
    "drop": benchmarks.DROP_EXEMPLARS,
}
NUMBERS = tasks.get("word-problems")
TOOLS = {each.name: (each.parse, each.grade) for each in TASKS} | {
    "gsm8k": (NUMBERS.parse, NUMBERS.grade),
    "drop": (NUMBERS.parse, benchmarks.grade_passage),
}
every_task = pytest.mark.parametrize("of", TASKS, ids=tasks.NAMES)
every_exemplar = pytest.mark.parametrize(
    ("name", "exemplar"), [(name, each) for name, shown in SHOWN.items() for each in shown]
)
NUMBER = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?")


def test_names_are_looked_up():
    assert tasks.NAMES == (
        "last-letters", "last-letters-spelled", "last-characters", "last-characters-spelled",
        "scan", "word-problems", "word-problems-zh", "calendar", "chains", "chains-zh",
    )  # fmt: skip
    assert tasks.get("scan").name == "scan"
    with pytest.raises(ValueError, match=r"name must be one of last-letters, .*, got 'chess'"):
        tasks.get("chess")


@every_task
@pytest.mark.parametrize("sized", [True, False])
def test_problems_are_all_new_and_the_same_for_the_same_seed(of, sized):
    size = SIZES[of.name] if sized else None
    count = MOST.get(of.name, 200) if sized else 4 * MOST.get(of.name, 50)
    fewer = min(20, count - 1)
    problems = of.problems(count, size=size, seed=3)
    assert len({(problem.context, problem.question) for problem in problems}) == count
    assert problems == of.problems(count, size=size, seed=3)
    assert problems[:fewer] == of.problems(fewer, size=size, seed=3)
    assert problems != of.problems(count, size=size, seed=4)
    if sized:
        assert {problem.size for problem in problems} == {size}
    else:
        assert len({problem.size for problem in problems}) >= (
            1 if of.name.startswith("chains") else 5
        )


@every_task
def test_problems_are_solved_by_their_steps(of):
    for problem in of.problems(40):
        assert problem.steps[-1] == Step(problem.question, problem.answer)
        questions = [step.question for step in problem.steps]
        assert of.decompose is None or of.decompose(problem.question) == questions
        for text in (problem.answer, f" {problem.answer}.", f"So the answer is {problem.answer}."):
            assert of.grade(problem, of.parse(text)), text
        assert not any(of.separator.strip() in question for question in questions)
        assert all(of.grade(step, of.parse(step.answer)) for step in problem.steps)


@every_task
def test_the_answer_to_another_problem_is_wrong(of):
    problems = of.problems(MOST.get(of.name, 100), size=SIZES[of.name])
    for problem, other in pairwise(problems):
        same = problem.answer == other.answer or (
            of.name == "scan" and scan.expand(problem.answer) == scan.expand(other.answer)
        )
        assert of.grade(problem, other.answer) == same
        assert not of.grade(problem, None)


@every_task
@given(text=st.text() | st.text('LEFT JUMP+*()0123456789.,-$"answer is\n', max_size=40))
def test_any_text_is_read_and_graded_without_a_crash(of, text):
    answer = of.parse(text)
    problem = of.problems(1)[0]
    assert of.grade(problem, text) in (True, False)
    if answer is not None:
        assert of.parse(answer) == answer
        assert of.grade(Problem("", problem.answer), answer) == of.grade(problem, answer)


@every_exemplar
def test_exemplars_are_right_in_every_format(name, exemplar):
    parse, grade = TOOLS[name]
    problem = Problem(exemplar.question, exemplar.answer)
    assert grade(problem, parse(exemplar.answer))
    assert grade(problem, parse(f"{exemplar.rationale} So the answer is {exemplar.answer}."))
    assert exemplar.rationale.endswith((".", "。"))
    assert exemplar.steps[-1].question == exemplar.question  # the plan ends in the question
    assert grade(problem, parse(exemplar.steps[-1].answer))
    questions = [step.question for step in exemplar.steps]
    assert len(set(questions)) == len(questions)


@every_exemplar
def test_steps_of_exemplars_follow_from_each_other(name, exemplar):
    if name == "scan":
        answers: dict[str, str] = {}
        for step in exemplar.steps:
            assert step.answer == scan.combine(step.question, answers)
            answers[step.question] = step.answer
    elif name.startswith("last-letters"):
        for step in exemplar.steps:
            assert last_letters.grade(
                Problem(step.question, last_letters.solve(step.question)), step.answer
            )
        assert [step.question for step in exemplar.steps] == last_letters.decompose(
            exemplar.question
        )
    elif name.startswith("last-characters"):
        for step in exemplar.steps:
            assert last_characters.grade(
                Problem(step.question, last_characters.solve(step.question)), step.answer
            )
        assert [step.question for step in exemplar.steps] == last_characters.decompose(
            exemplar.question
        )
    elif name == "calendar":
        assert [step.question for step in exemplar.steps] == calendar.decompose(exemplar.question)
        for step, following in pairwise(exemplar.steps):
            assert f" after {calendar.parse(step.answer)} is " in following.answer
        assert calendar.parse(exemplar.rationale) == exemplar.answer
    else:
        known = {number.replace(",", "") for number in NUMBER.findall(exemplar.context)}
        known |= {"2"} if "twice" in exemplar.context else set()
        known |= {"100"} if "percent" in exemplar.question else set()
        for step in exemplar.steps:
            parse, _ = TOOLS[name]
            words, _, last = re.split("( The answer is |答案是 )", step.answer)
            used = {number.replace(",", "") for number in NUMBER.findall(words)}
            result = last.rstrip(".。")
            for sum_, value in re.findall(r"([0-9.]+(?: [-+*/] [0-9.]+)+) = ([0-9.]+)", words):
                assert eval(sum_) == float(value), step
                assert value == result, step
                used -= {value}
            assert used <= known, step  # told, or worked out before
            assert parse(step.answer) == result
            assert result in words.replace(",", "")
            known.add(result)


def test_exemplars_are_easier_than_the_problems():
    """What least-to-most is for: the test is harder than what is shown."""
    for of in TASKS:
        if of.name != "scan":
            shown = max(len(exemplar.steps) for exemplar in of.exemplars)
            assert shown < len(of.problems(1, size=SIZES[of.name])[0].steps)


@pytest.mark.parametrize(("name", "mark"), [("last-letters", ", "), ("last-characters", "、")])
@pytest.mark.parametrize("spelled", [False, True])
def test_exemplars_are_spelled_as_the_problems_are(name, mark, spelled):
    of = tasks.get(f"{name}-spelled" if spelled else name)
    for each in (*of.exemplars, *of.problems(5)):
        assert all(("-" in word) == spelled for word in each.question.split(mark))


def test_tasks_load_no_model_and_no_torch():
    code = (
        "import sys; from llmbook import tasks; from llmbook.tasks import benchmarks; "
        "[tasks.get(name) for name in tasks.NAMES]; "
        "print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
