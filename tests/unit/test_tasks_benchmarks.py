"""Files of GSM8K and DROP: read as they are published, and refused with the place that is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook.tasks import benchmarks
from llmbook.tasks.answers import read_words
from llmbook.tasks.benchmarks import grade_passage
from llmbook.tasks.problem import Problem

PENS = {
    "question": "A pen costs 3 dollars.\u2028Mr. Ito buys 4. How much does he pay?",
    "answer": "Four pens cost 3 * 4 = $<<3*4=12>>12.\n#### 12",
}
ROPE = {
    "question": "If 2 ropes make 2,500 meters, how long is one?",
    "answer": "Both make 2,500.\nOne makes 2,500 / 2 = <<2500/2=1250>>1,250.\n#### 1,250",
}


def none():
    return {"number": "", "date": {"day": "", "month": "", "year": ""}, "spans": []}


def pair(question, answer, *validated):
    return {
        "question": question,
        "answer": none() | answer,
        "query_id": "x",
        "validated_answers": [none() | each for each in validated],
    }


DROP = {
    "history_1": {
        "passage": "In May 1911, 30 men and 12 women came. ",
        "qa_pairs": [
            pair("How many came?", {"number": "42"}, {"number": "42"}, {"number": "43"}),
            pair("Who came?", {"spans": ["30 men", "12 women"]}, {"spans": ["men"]}),
            pair("When?", {"date": {"day": "", "month": "May", "year": "1911"}}),
            pair("Why?", {}),
        ],
    },
    "history_2": {
        "passage": "Of all, 16.7% stayed.",
        "qa_pairs": [{"question": "How many percent?", "answer": none() | {"number": "16.7"}}],
    },
}


@pytest.fixture
def gsm8k_file(tmp_path):
    path = tmp_path / "gsm8k.jsonl"
    lines = [json.dumps(PENS, ensure_ascii=False), json.dumps(ROPE), ""]
    path.write_text("\r\n".join(lines), encoding="utf-8-sig", newline="")
    return path


@pytest.fixture
def drop_file(tmp_path):
    path = tmp_path / "drop.json"
    path.write_text(json.dumps(DROP))
    return path


def test_gsm8k_is_read(gsm8k_file):
    pens, rope = benchmarks.read_gsm8k(gsm8k_file)
    assert pens == Problem("How much does he pay?", "12", size=1, context=PENS["question"])
    assert (rope.question, rope.answer, rope.size) == (ROPE["question"], "1250", 2)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Pens cost $2.50. How much did Mr. Benson pay in all?",
         "How much did Mr. Benson pay in all?"),
        ("It opens at 7 a.m. How long is it open?", "How long is it open?"),
        ("He has 3. How many of them are on Main St. in the end?",
         "How many of them are on Main St. in the end?"),
        ("How many pens did St. Mary's Dr. Li buy?", "How many pens did St. Mary's Dr. Li buy?"),
        ("小红有3支笔，又买了2.5元的纸。一共花了多少钱？", "一共花了多少钱？"),
        ("小红有3支笔！她把2支给了小明，还剩几支", "她把2支给了小明，还剩几支"),
    ],
)  # fmt: skip
def test_the_question_of_gsm8k_is_the_whole_last_sentence(tmp_path, text, question):
    path = tmp_path / "gsm8k.jsonl"
    path.write_text(json.dumps({"question": text, "answer": "#### 3"}), encoding="utf-8")
    [problem] = benchmarks.read_gsm8k(path)
    assert (problem.question, problem.context) == (question, text)


def test_gsm8k_is_a_task(gsm8k_file):
    task = benchmarks.gsm8k(gsm8k_file)
    assert {problem.answer for problem in task.problems(2)} == {"12", "1250"}
    [rope] = task.problems(1, size=2, seed=1)
    assert task.grade(rope, task.parse("2,500 / 2 = 1,250. The answer is $1250.00."))
    assert not task.grade(rope, task.parse("The answer is 1249."))
    with pytest.raises(ValueError, match="the 2 problems, got 3"):
        task.problems(3)
    with pytest.raises(ValueError, match="the 1 problems of size 2, got 2"):
        task.problems(2, size=2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "must be a JSON object: Expecting"),
        ("[1]", "must have 'question' of type str, got a list around it"),
        ('{"question": "?"}', "must have 'answer' of type str, got nothing"),
        ('{"question": 3, "answer": "#### 3"}', "must have 'question' of type str, got int"),
        ('{"question": "?", "answer": "12"}', "'answer' must end in #### and a number, got '12'"),
        ('{"question": "?", "answer": "#### many"}', "and a number, got ' many'"),
    ],
)
def test_a_faulty_line_is_named(gsm8k_file, line, message):
    good = gsm8k_file.read_text("utf-8-sig")
    gsm8k_file.write_text(good + line + "\n" + good)
    with pytest.raises(ValueError, match=r"gsm8k\.jsonl, line 3") as caught:
        benchmarks.read_gsm8k(gsm8k_file)
    assert message in str(caught.value)


def test_files_without_problems_are_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"{}\n\n\xff")
    for read in (benchmarks.read_gsm8k, benchmarks.read_drop):
        with pytest.raises(ValueError, match="file, line 3 must be UTF-8 text"):
            read(path)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "missing")
    path.write_text("\n")
    with pytest.raises(ValueError, match="file must hold problems, got none"):
        benchmarks.read_gsm8k(path)


def test_drop_is_read(drop_file):
    came, percent = benchmarks.read_drop(drop_file)
    passage = DROP["history_1"]["passage"].strip()
    assert came == Problem("How many came?", "42", context=passage, others=("43",))
    assert (percent.question, percent.answer, percent.others) == ("How many percent?", "16.7", ())


def test_drop_is_read_with_words_and_dates(drop_file):
    problems = benchmarks.read_drop(drop_file, kinds=("number", "date", "spans"))
    assert [problem.answer for problem in problems] == [
        "42", "30 men, 12 women", "May 1911", "16.7",
    ]  # fmt: skip
    [who] = benchmarks.read_drop(drop_file, kinds=["spans"])
    assert who.others == ("men",)


def test_drop_is_a_task(drop_file):
    numbers = benchmarks.drop(drop_file)
    assert len(numbers.problems(2)) == 2
    everything = benchmarks.drop(drop_file, kinds=("number", "date", "spans"))
    said = {
        "How many came?": 'The text says "30 men and 12 women". So 43 came. The answer is 43.',
        "Who came?": "The answer is: the 12 women and the 30 men.",
        "When?": "In the spring.\nMay 1911",
        "How many percent?": "1 / 6 = 16.666. The answer is 16.666%.",
    }
    for problem in everything.problems(4):
        assert everything.grade(problem, everything.parse(said[problem.question])), problem
        assert not everything.grade(problem, everything.parse("The answer is nobody."))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"passage"', '"text"', 1),
         "passage 'history_1' must have 'passage' of type str, got nothing"),
        (lambda text: text.replace('"question"', '"q"', 1),
         "passage 'history_1', question 1 must have 'question' of type str, got nothing"),
        (lambda text: text.replace('"spans": []', '"spans": 5', 1),
         "question 1 must have 'spans' of type list, got int"),
        (lambda text: text.replace("}", "},\n\n}", 1), "line 3 must be JSON: Expecting"),
        (lambda text: "[]", "must be a JSON object of passages, got a list"),
        (lambda text: "{}", "must hold questions of the kinds ['number'], got none"),
    ],
)  # fmt: skip
def test_a_faulty_passage_is_named(drop_file, change, message):
    drop_file.write_text(change(drop_file.read_text()))
    with pytest.raises(ValueError, match=r"drop\.json") as caught:
        benchmarks.read_drop(drop_file)
    assert message in str(caught.value)


@pytest.mark.parametrize("kinds", [(), "number", ("numbers",)])
def test_unknown_kinds_are_refused(drop_file, kinds):
    with pytest.raises(ValueError, match="kinds must be some of 'number', 'date' and 'spans'"):
        benchmarks.read_drop(drop_file, kinds=kinds)


@pytest.mark.parametrize(
    ("right", "answer", "same"),
    [
        ("16.7", "16.666", True),
        ("16.7", "16.6", False),
        ("7552", "7,552", True),
        ("7552", "7552 more", True),
        ("7552", "7551.4", False),
        ("1,000", "1000", True),
        ("4", "9" * 2000, False),
        ("4", "many", False),
        ("4", None, False),
        ("30 men", "The 30 Men.", True),
        ("30 men", "30", False),
        ("red, blue", "blue and red", True),
        ("red, blue", "blue", False),
        ("红狐，蓝鸟", "蓝鸟、红狐", True),
        ("42", "四十二", True),
    ],
)
def test_answers_are_compared_as_numbers_or_as_things(right, answer, same):
    assert grade_passage(Problem("?", right), answer) == same


@given(st.text(), st.text())
def test_any_answer_is_graded_without_a_crash(right, answer):
    parsed = read_words(answer)
    assert grade_passage(Problem("?", right, others=(answer,)), parsed) in (True, False)


def test_contexts_of_exemplars_end_as_those_that_are_read_do():
    for exemplar in benchmarks.GSM8K_EXEMPLARS:
        assert exemplar.context.endswith(f" {exemplar.question}")
    for exemplar in benchmarks.DROP_EXEMPLARS:
        assert exemplar.question not in exemplar.context
