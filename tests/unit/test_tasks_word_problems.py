"""Word problems: the text itself, solved by reading it, gives the answers and the plan."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook.tasks import word_problems
from llmbook.tasks.answers import read_number
from llmbook.tasks.problem import Problem

OF_ONES_OWN = re.compile(r"(\w+) (\w+) (\d+) (\w+)")
COMPARED = [
    (re.compile(r"(\w+) (\w+) (\d+) more (\w+) than (\w+)"), lambda base, n: base + n),
    (re.compile(r"(\w+) (\w+) (\d+) fewer (\w+) than (\w+)"), lambda base, n: base - n),
    (re.compile(r"(\w+) (\w+) (\d+) times as many (\w+) as (\w+)"), lambda base, n: base * n),
]


CHINESE_OF_ONES_OWN = re.compile(r"(..)(?:有|.了) (\d+) .+")
CHINESE_COMPARED = [
    (re.compile(r"(..).?的.+比(..)多 (\d+) ."), lambda base, n: base + n),
    (re.compile(r"(..).?的.+比(..)少 (\d+) ."), lambda base, n: base - n),
    (re.compile(r"(..).?的.+是(..)的 (\d) 倍"), lambda base, n: base * n),
]


def read(context):
    """Each person's number and whom it comes from, read from the sentences of a story."""
    own, compared = {}, {}
    chinese = context.endswith("。")
    sentences = context.removesuffix("。").split("。") if chinese else context[:-1].split(". ")
    for sentence in sentences:
        sentence = sentence.replace("twice as", "2 times as")
        if found := (CHINESE_OF_ONES_OWN if chinese else OF_ONES_OWN).fullmatch(sentence):
            own[found[1]] = int(found[2 if chinese else 3])
            continue
        forms = CHINESE_COMPARED if chinese else COMPARED
        [(found, rule)] = [(m, rule) for r, rule in forms if (m := r.fullmatch(sentence))]
        base, n = (found[2], found[3]) if chinese else (found[5], found[3])
        compared[found[1]] = (base, int(n), rule)
    assert not own.keys() & compared.keys()

    def number(name):
        if name in own:
            return own[name]
        base, n, rule = compared[name]
        return rule(number(base), n)

    numbers = {name: number(name) for name in [*own, *compared]}
    return numbers, {name: base for name, (base, *_) in compared.items()}


def person(question):
    if question.endswith("？"):
        return re.fullmatch(r"(..)(?:有|.了)多少.+？", question)[1]
    return re.fullmatch(r"How many \w+ (?:does|did) (\w+) \w+\?", question)[1]


@given(size=st.integers(1, 12), seed=st.integers(0, 10**6), distractors=st.integers(0, 9),
       order=st.sampled_from(["told", "reversed", "shuffled"]),
       language=st.sampled_from(["en", "zh"]))  # fmt: skip
def test_the_story_gives_the_answers_the_plan_and_its_order(
    size, seed, distractors, order, language
):
    for problem in word_problems.problems(
        2, size=size, seed=seed, distractors=distractors, order=order, language=language
    ):
        numbers, base = read(problem.context)
        assert len(numbers) == size + 1 + distractors
        assert all(2 <= number <= 60 for number in numbers.values())
        chain = [person(problem.question)]
        while chain[-1] in base:
            chain.append(base[chain[-1]])
        assert len(chain) == problem.size + 1 == size + 1
        plan = [person(step.question) for step in problem.steps]
        assert plan == chain[-2::-1]  # what is given is not asked for
        for step in problem.steps:
            assert step.answer == str(numbers[person(step.question)])
        last = problem.steps[-1]
        assert (last.question, last.answer) == (problem.question, problem.answer)
        told = re.findall(r"(?:^|。)(\w\w)" if language == "zh" else r"(?:^|\. )(\w+)",
                          problem.context)  # fmt: skip
        for name, other in base.items():
            if order != "shuffled":
                assert (told.index(other) < told.index(name)) == (order == "told")


def test_stories_vary():
    problems = word_problems.problems(300, size=2)
    things = {problem.question.split()[2] for problem in problems}
    assert len(things) == 10
    assert len({person(problem.question) for problem in problems}) == len(word_problems.NAMES)
    text = " ".join(problem.context for problem in problems)
    for words in (" more ", " fewer ", " twice as many ", " 3 times as many "):
        assert words in text
    shuffled = word_problems.problems(300, size=2, order="shuffled")
    told = sum(read_in_order(problem.context) for problem in shuffled)
    assert 30 < told < 80  # one order of six


def read_in_order(context):
    _, base = read(context)
    told = re.findall(r"(?:^|\. )(\w+)", context)
    return all(told.index(other) < told.index(name) for name, other in base.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count must be 1 to 100,000, got 0"),
        ({"size": 0}, "size must be at least 1.*got 0 and 0"),
        ({"distractors": -1}, "distractors at least 0.*and -1"),
        ({"size": 30, "distractors": 10}, "together at most 39, got 30 and 10"),
        ({"order": "backwards"}, "order must be .*, got 'backwards'"),
        ({"language": "de"}, "language must be 'en' or 'zh', got 'de'"),
    ],
)
def test_what_cannot_be_told_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        word_problems.problems(**{"count": 1, **options})


@given(st.integers(), st.sampled_from(["{}", "{:,}", "{}.0", "{:,}.00", "so: {}.", "= {} km"]))
def test_a_number_is_right_however_it_is_written(number, form):
    assert word_problems.grade(Problem("?", str(number)), form.format(number))
    assert not word_problems.grade(Problem("?", str(number + 1)), form.format(number))


def test_no_answer_is_wrong():
    assert not word_problems.grade(Problem("?", "4"), None)
    assert not word_problems.grade(Problem("?", "4"), "four")


def test_exemplars_are_solved_by_reading_them():
    for exemplar in word_problems.EXEMPLARS + word_problems.CHINESE_EXEMPLARS:
        numbers, base = read(exemplar.context)
        assert exemplar.answer == str(numbers[person(exemplar.question)])
        for step in exemplar.steps:
            assert read_number(step.answer) == str(numbers[person(step.question)])
            assert person(step.question) in base
    assert any(not read_in_order(exemplar.context) for exemplar in word_problems.EXEMPLARS)
