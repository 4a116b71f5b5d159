"""One's own problems, from a file: read as they are written, and refused where they are wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook import tasks
from llmbook.prompting import strategy_for
from llmbook.tasks import own
from llmbook.tasks.problem import Exemplar, Problem, Step

TOLD = "Ann has 3 pens and Bo has 5 more than Ann. How many does Bo have?"
FULL = {
    "question": "Where is it?",
    "answer": "Paris",
    "context": "The tower stands in Paris.",
    "steps": [{"question": "Which tower?", "answer": "the tower"}],
    "others": ["in France"],
    "rationale": "It stands in Paris.",
    "id": 7,
}


def written(path, *lines):
    text = "".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path):
    return tmp_path / "own.jsonl"


def test_problems_are_read_as_they_are_written(file):
    gsm8k = {"question": f"If so. {TOLD}", "answer": "3 + 5 = 8\n#### 8"}
    assert own.read_problems(written(file, {"question": TOLD, "answer": 8}, "", FULL, gsm8k)) == [
        Problem(
            "How many does Bo have?", "8", context="Ann has 3 pens and Bo has 5 more than Ann."
        ),
        Problem(
            "Where is it?",
            "Paris",
            size=1,
            steps=(Step("Which tower?", "the tower"),),
            context="The tower stands in Paris.",
            others=("in France",),
        ),
        Problem("How many does Bo have?", "8", size=1, context=f"If so. {TOLD}"),
    ]


@given(
    st.lists(
        st.tuples(st.text(min_size=1).filter(str.strip), st.integers() | st.text("ab", min_size=1)),
        min_size=1,
        unique=True,
    )
)
def test_whatever_is_asked_comes_back(tmp_path_factory, pairs):
    lines = [{"question": q, "answer": a, "context": "told"} for q, a in pairs]
    path = written(tmp_path_factory.mktemp("own") / "own.jsonl", *lines)
    problems = own.read_problems(path)
    assert [(one.question, one.answer) for one in problems] == [(q, str(a)) for q, a in pairs]
    assert all(own.grade(one, one.answer) for one in problems)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"own\.jsonl must hold a JSON object on each line, got nothing"),
        (["", "{"], r"own\.jsonl, line 2 must be JSON"),
        (["[1]"], r"own\.jsonl, line 1 must be"),
        ([{"answer": "8"}], r"line 1\.question must be there"),
        ([{"question": "x", "answer": None}], r"line 1\.answer"),
        ([{"question": "x", "answer": True}], r"line 1\.answer"),
        ([{"question": " ", "answer": "8"}], r"line 1 must have a question and an answer"),
        ([{"question": "x", "answer": ""}], r"line 1 must have a question and an answer"),
        (
            [{"question": "x", "answer": 1, "steps": [{"question": "y"}]}],
            r"steps\[0\]\.answer must",
        ),
        ([{"question": "x", "answer": "#### none"}], r"line 1: 'answer' must end in ####"),
        ([FULL, "", FULL], r"line 3 must be a new problem, got that of line 1"),
    ],
)
def test_a_line_that_is_wrong_is_named(file, lines, message):
    with pytest.raises(ValueError, match=message):
        own.read_problems(written(file, *lines))


def test_text_that_is_no_utf_8_is_named(file):
    file.write_bytes(b'{"question": "x", "answer": "1"}\n\xff\n')
    with pytest.raises(ValueError, match=r"own\.jsonl, line 2 must be UTF-8 text"):
        own.task(file)


def test_numbers_are_asked_for_with_the_exemplars_of_word_problems(file):
    ours = own.task(written(file, {"question": TOLD, "answer": "1,200.0"}))
    assert ours.exemplars == tasks.get("word-problems").exemplars and ours.language == "en"
    [problem] = ours.problems(1, seed=3)
    assert ours.grade(problem, ours.parse("So 1200. The answer is 1200 pens."))
    assert not ours.grade(problem, None) and not ours.grade(problem, ours.parse("12 pens."))
    chinese = {"question": "小明有 3 支笔，小红有 5 支，两人一共有多少支？", "answer": 8}
    ours = own.task(written(file, chinese))
    assert ours.exemplars == tasks.get("word-problems-zh").exemplars and ours.language == "zh"
    assert ours.grade(ours.problems(1)[0], ours.parse("3 + 5 = 8。答案是 8 支。"))


def test_words_need_exemplars_of_their_own(tmp_path, file):
    ours = own.task(written(file, FULL))
    assert not ours.exemplars
    assert strategy_for(ours, "zero-shot").template.instruction == "Answer the question.\n\n"
    [problem] = ours.problems(1)
    for text in ("It is there. The answer is Paris.", "in France", "The answer is: the Paris!"):
        assert ours.grade(problem, ours.parse(text))
    assert not ours.grade(problem, ours.parse("London"))
    shown = written(tmp_path / "shown.jsonl", {k: v for k, v in FULL.items() if k != "rationale"})
    ours = own.task(file, exemplars=shown)
    assert ours.exemplars == (
        Exemplar(
            "Where is it?",
            "Paris",
            rationale="the tower",
            steps=(Step("Which tower?", "the tower"),),
            context="The tower stands in Paris.",
        ),
    )
    for name in ("few-shot", "chain-of-thought", "least-to-most"):
        assert strategy_for(ours, name).name == name
    with pytest.raises(ValueError, match="like must not be given with exemplars, got 'scan'"):
        own.task(file, exemplars=shown, like="scan")
    assert own.task(file, like="calendar").exemplars == tasks.get("calendar").exemplars


def test_the_first_problems_are_taken_in_their_order(file):
    ours = own.task(written(file, FULL, *({"question": f"{n}?", "answer": n} for n in range(4))))
    assert [one.question for one in ours.problems(3, seed=5)] == ["Where is it?", "0?", "1?"]
    assert [one.question for one in ours.problems(3, size=0)] == ["0?", "1?", "2?"]
    with pytest.raises(ValueError, match=r"count must be 1 to the 5 problems of .*, got 6"):
        ours.problems(6)
    with pytest.raises(
        ValueError, match=r"count must be 1 to the 1 problems with 1 steps of .*got 2"
    ):
        ours.problems(2, size=1)
