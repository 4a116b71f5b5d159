"""Evaluation: figures that can be checked by hand, and files that survive a break."""

import json
import lzma
import math
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook.evaluation import (
    Score,
    cost,
    evaluate,
    mcnemar,
    mean_interval,
    plan_score,
    read_transcript,
    score,
    scores_by_size,
    step_score,
)
from llmbook.lm import EndpointModel
from llmbook.lm.protocol import Reply
from llmbook.prompting import (
    Call,
    FewShot,
    LeastToMost,
    ProgramPlanner,
    PromptTemplate,
    Trace,
    ZeroShot,
    read_sentence,
)  # fmt: skip
from llmbook.tasks.problem import Exemplar, Problem, Step
from tests.support.models import Recorder
from tests.support.server import serving


def same(problem, answer):
    return problem.answer == answer


def solved(right: bool, size: int = 1, steps=(), known=()) -> Trace:
    problem = Problem("q", "a", size, tuple(known))
    return Trace(problem, "s", "m", steps=list(steps), answer="a" if right else "b")


def test_wilson_by_hand():
    # z = 1.959964 put into the formula, with six digits.
    low, high = Score(8, 10).interval()
    assert (low, high) == (pytest.approx(0.490162, abs=1e-6), pytest.approx(0.943318, abs=1e-6))
    assert Score(0, 10).interval() == (0.0, pytest.approx(0.277533, abs=1e-6))
    assert Score(0, 0).interval() == (0.0, 1.0) and math.isnan(Score(0, 0).accuracy)
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 1"):
        Score(1, 2).interval(1)


@pytest.mark.parametrize(
    ("count", "t"), [(2, 12.7062), (3, 4.3027), (5, 2.7764), (10, 2.2622), (31, 2.0423)]
)
def test_the_interval_of_a_mean_is_students(count, t):
    """The quantiles of Student's distribution, as tables have them."""
    values = [float(i % 2) for i in range(count)]
    low, high = mean_interval(values)
    error = statistics.stdev(values) / math.sqrt(count)
    assert (low + high) / 2 == pytest.approx(statistics.fmean(values))
    assert (high - low) / 2 == pytest.approx(t * error, rel=1e-4)


def test_an_interval_of_a_mean_needs_two_values():
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5)
    with pytest.raises(ValueError, match="values must be at least two, got 1"):
        mean_interval([0.5])
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 1"):
        mean_interval([0.5, 0.6], level=1)


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(right, total, low, high):
    """The examples of Newcombe (1998), the score method without continuity correction."""
    assert Score(right, total).interval() == pytest.approx((low, high), abs=5e-5)


@given(total=st.integers(1, 5000), share=st.floats(0, 1), level=st.floats(0.01, 0.999))
def test_wilson_solves_its_equation(total, share, level):
    """The ends are the p from which the accuracy is just z standard errors away."""
    from statistics import NormalDist

    value = Score(round(share * total), total)
    low, high = value.interval(level)
    assert 0 <= low <= value.accuracy <= high <= 1
    z = NormalDist().inv_cdf((1 + level) / 2)
    for p in (low, high):
        distance = abs(value.accuracy - p)
        assert distance == pytest.approx(z * math.sqrt(p * (1 - p) / total), abs=1e-9)


@pytest.mark.parametrize("make", [lambda: Score(3, 2), lambda: Score(-1, 2)])
def test_a_score_is_a_part_of_the_whole(make):
    with pytest.raises(ValueError, match=r"right must lie between 0 and total \(2\)"):
        make()


def test_scores_count_what_was_right():
    traces = [solved(True, 2), solved(False, 2), solved(True, 1)]
    assert score(traces, same) == Score(2, 3)
    assert [*scores_by_size(traces, same).items()] == [(1, Score(1, 1)), (2, Score(1, 2))]


def test_plans_and_steps_are_scored_by_what_is_known():
    known = (Step("x", "1"), Step("y", "2"), Step("q", "a"))
    good = solved(True, steps=known, known=known)
    other = solved(True, steps=(known[1], known[0], known[2]), known=known)
    short = solved(True, steps=known[1:], known=known)
    unknown = solved(True, steps=known)
    early = solved(True, steps=known[::-1], known=known)  # the problem is not its last step
    none = solved(True, known=known)
    assert plan_score([good, other, short, unknown]) == Score(2, 3)
    assert plan_score([early, none]) == Score(0, 2)
    wrong = solved(False, steps=(Step("x", "9"), Step("y", "2"), Step("q", "b")), known=known)
    late = solved(False, steps=(Step("z", "?"), Step("x", "1"), Step("q", "b")), known=known)
    assert step_score([wrong], same) == Score(0, 1)
    assert step_score([wrong], same, after_right=False) == Score(1, 3)
    assert step_score([late], same) == Score(1, 2)  # of z nothing is known


def test_cost_is_a_mean():
    call = Call("answer", "q", "p", Reply("t", "end", 6, 2, 4), seconds=0.5)
    some = Trace(Problem("q", "a"), "s", "m", calls=[call, call])
    none = Trace(Problem("q", "a"), "s", "m")
    mean = cost([some, none])
    assert (mean.calls, mean.prompt_tokens, mean.reused_tokens) == (1, 6, 4)
    assert (mean.completion_tokens, mean.seconds) == (2, 0.5)
    with pytest.raises(ValueError, match="at least one, got none"):
        cost([])


def test_mcnemar_counts_what_only_one_solved():
    pairs = [(True, True)] * 5 + [(True, False)] * 7 + [(False, True)] + [(False, False)] * 2
    first, second = ([solved(side) for side in sides] for sides in zip(*pairs, strict=True))
    only_first, only_second, p = mcnemar(first, second, same)
    assert (only_first, only_second) == (7, 1)
    assert p == pytest.approx(2 * (1 + 8) / 2**8)
    assert mcnemar(first[:5], second[:5], same) == (0, 0, 1.0)
    with pytest.raises(ValueError, match="same problems"):
        mcnemar(first, second[1:], same)


@given(only_first=st.integers(0, 40), only_second=st.integers(0, 40))
def test_mcnemar_adds_up_every_split_as_uneven(only_first, only_second):
    """Two-sided and exact: each way to divide the n pairs that is no more likely than this one."""
    pairs = [(True, False)] * only_first + [(False, True)] * only_second + [(True, True)]
    first, second = ([solved(side) for side in sides] for sides in zip(*pairs, strict=True))
    n = only_first + only_second
    ways = [math.comb(n, k) for k in range(n + 1)]
    p = sum(way for way in ways if way <= ways[only_first]) / sum(ways)
    assert mcnemar(first, second, same) == (only_first, only_second, pytest.approx(p))


PROBLEMS = [Problem(f"{i} + 1", str(i + 1)) for i in range(10)]


def plus_one(prompt: str) -> str:
    return " " + str(int(prompt.split()[1]) + 1)


class Killed(Recorder):
    """Stops the program at its third call."""

    def complete(self, prompts, **options):
        if len(self.calls) == 2:
            raise KeyboardInterrupt
        return super().complete(prompts, **options)


@pytest.mark.parametrize("task", ["", "sums"])
@pytest.mark.parametrize("damage", ["", "{", '{"problem": {"quest'])
def test_after_a_break_nothing_is_asked_twice(tmp_path, damage, task):
    file, first = tmp_path / "new" / "t.jsonl", Killed(plus_one)
    with pytest.raises(KeyboardInterrupt):
        evaluate(ZeroShot(), first, PROBLEMS, transcript=file, task=task, batch_size=3)
    assert len(read_transcript(file)) == 6
    with file.open("a") as lines:
        lines.write(damage)  # as if the power had failed in the middle of a line
    second = Recorder(plus_one)
    traces = evaluate(ZeroShot(), second, PROBLEMS, transcript=file, task=task, batch_size=3)
    asked = [
        prompt for model in (first, second) for prompts, _ in model.calls for prompt in prompts
    ]
    assert len(asked) == len(set(asked)) == 10
    assert [trace.problem for trace in traces] == PROBLEMS
    assert score(traces, same) == Score(10, 10)
    assert read_transcript(file) == traces
    packed = tmp_path / "packed.jsonl.xz"
    packed.write_bytes(lzma.compress(file.read_bytes()))
    assert read_transcript(packed) == traces
    third = Recorder(plus_one)
    assert evaluate(ZeroShot(), third, PROBLEMS, transcript=file) == traces and not third.calls
    assert len(file.read_text().splitlines()) == 11  # with that of task and settings
    assert [path.name for path in file.parent.iterdir()] == [file.name]


class Sums:
    """Adds in two calls, and gives errors or breaks off when it is told to."""

    name = "sums"

    def __init__(self, stop_at=None, broken=()):
        self.asked, self.stop_at, self.broken = [], stop_at, broken

    def complete(self, prompts, **options):
        replies = []
        for prompt in prompts:
            if len(self.asked) == self.stop_at:
                raise KeyboardInterrupt
            self.asked.append(prompt)
            if any(part in prompt for part in self.broken):
                replies.append(Reply("", "error", 0, 0, error="out of order"))
            else:
                replies.append(Reply(f"{len(prompt)}", "end", 5, 1))
        return replies


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_rounds_that_were_answered_before_a_break_are_not_asked_again(tmp_path, rounds):
    file, strategy = (
        tmp_path / "t.jsonl",
        LeastToMost(planner=ProgramPlanner(lambda _: ["a", "b", "c"])),
    )
    first = Sums(stop_at=10 * rounds)
    with pytest.raises(KeyboardInterrupt):
        evaluate(strategy, first, PROBLEMS, transcript=file)
    assert read_transcript(file) == []
    replies = tmp_path / "t.jsonl.replies"
    with replies.open("a") as lines:
        lines.write('{"key": "half a l')  # stopped in the middle of a line
    second = Sums()
    traces = evaluate(strategy, second, PROBLEMS, transcript=file)
    whole = Sums()
    expected = strategy.solve_all(PROBLEMS, whole)
    assert first.asked + second.asked == whole.asked
    assert read_transcript(file) == traces and not replies.exists()
    assert [trace.steps for trace in traces] == [trace.steps for trace in expected]


@pytest.mark.parametrize("batch_size", [3, 10])
def test_nothing_is_asked_again_where_fewer_problems_are_under_way_after_a_break(
    tmp_path, batch_size
):
    planner = ProgramPlanner(lambda question: [f"half of {question}", question])
    file, strategy = tmp_path / "t.jsonl", LeastToMost(planner=planner)
    first, second, whole = Sums(stop_at=10), Sums(), Sums()
    with pytest.raises(KeyboardInterrupt):
        evaluate(strategy, first, PROBLEMS, transcript=file)
    traces = evaluate(strategy, second, PROBLEMS, transcript=file, batch_size=batch_size)
    strategy.solve_all(PROBLEMS, whole)
    assert sorted(first.asked + second.asked) == sorted(whole.asked)
    assert read_transcript(file) == traces
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_what_failed_is_asked_again_and_nothing_else(tmp_path):
    file = tmp_path / "t.jsonl"
    first = Sums(broken=("3 + 1", "7 + 1"))
    traces = evaluate(ZeroShot(), first, PROBLEMS[:8], transcript=file, task="sums")
    assert sum(bool(trace.issues) for trace in traces) == 2
    second = Sums()
    traces = evaluate(ZeroShot(), second, PROBLEMS, transcript=file, batch_size=3)
    assert [prompt.split()[1] for prompt in second.asked] == ["3", "7", "8", "9"]
    assert [trace.problem for trace in traces] == PROBLEMS
    assert not any(trace.issues for trace in traces) and read_transcript(file) == traces
    assert json.loads(file.read_text().splitlines()[0])["task"] == "sums"


@pytest.mark.parametrize("form", [str, Path])
def test_a_transcript_may_be_any_path(tmp_path, form):
    file = form(tmp_path / "t.jsonl")
    traces = evaluate(ZeroShot(), Recorder(plus_one), PROBLEMS, transcript=file)
    assert read_transcript(file) == traces


def test_only_one_evaluation_at_a_time_writes_to_a_transcript(tmp_path):
    file, begun, second = tmp_path / "t.jsonl", threading.Event(), []

    def wait(prompt, attempt):
        begun.set()
        while not second and attempt == 1:
            time.sleep(0.01)

    with serving(wait) as server, ThreadPoolExecutor(1) as thread:
        model = EndpointModel("m", server.url, chat=False)
        first = thread.submit(evaluate, ZeroShot(), model, PROBLEMS, transcript=file)
        assert begun.wait(60)
        before = file.read_bytes()
        try:
            evaluate(ZeroShot(), Recorder(plus_one), PROBLEMS, transcript=file)
        except ValueError as error:
            second.append(str(error))
        finally:
            second.append("over")
        assert first.result() == read_transcript(file) and len(first.result()) == 10
    assert "t.jsonl must be written by one program at a time" in second[0]
    assert before.count(b"\n") == 1  # the settings
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


@pytest.mark.parametrize(
    "line", ["[1, 2]", "{", '{"key": "a"}', '{"key": "a", "reply": {"text": 1}}', "3"]
)
def test_replies_that_cannot_be_read_are_named(tmp_path, line):
    file = tmp_path / "t.jsonl"
    (tmp_path / "t.jsonl.replies").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"t\.jsonl\.replies, line 1: reply.* must be "):
        evaluate(ZeroShot(), Recorder(plus_one), PROBLEMS, transcript=file)


def test_what_is_asked_of_a_server_is_a_setting_but_no_secret_is_kept(tmp_path):
    file, secret = tmp_path / "t.jsonl", "sk-in-a-field"
    with serving() as server:
        options = {"top_p": 0.5, "max_tokens": None, "api_key": secret, "more": {"Secret": secret}}
        model = EndpointModel("m", server.url, chat=False, options=options)
        evaluate(ZeroShot(), model, PROBLEMS[:1], transcript=file)
        assert secret not in file.read_text()
        evaluate(ZeroShot(), model, PROBLEMS[:2], transcript=file)
        other = EndpointModel("m", server.url, chat=False, options=options | {"top_p": 1})
        with pytest.raises(ValueError, match="the options of the model is"):
            evaluate(ZeroShot(), other, PROBLEMS, transcript=file)


CHILD = """
import sys
from llmbook.evaluation import evaluate
from llmbook.lm import EndpointModel
from llmbook.prompting import ZeroShot
from llmbook.tasks.problem import Problem

problems = [Problem(f"{i} + 1", str(i + 1)) for i in range(1000)]
model = EndpointModel("m", sys.argv[1], chat=False)
evaluate(ZeroShot(), model, problems, transcript=__import__("pathlib").Path(sys.argv[2]))
"""


def test_a_program_that_was_killed_asks_again_only_what_was_under_way(tmp_path):
    file, problems = tmp_path / "t.jsonl", [Problem(f"{i} + 1", str(i + 1)) for i in range(1000)]
    enough = threading.Event()

    def slowly(prompt, attempt):
        time.sleep(0.01)
        if len(server.seen) > 400:  # in the middle of the second batch
            enough.set()

    with serving(slowly) as server:
        child = subprocess.Popen([sys.executable, "-c", CHILD, server.url, str(file)])
        assert enough.wait(60)
        child.kill()
        child.wait()
        assert len(read_transcript(file)) == 256
        model = EndpointModel("m", server.url, chat=False)
        traces = evaluate(ZeroShot(), model, problems, transcript=file)
    assert [trace.answer for trace in traces] == [problem.answer for problem in problems]
    assert sum(server.seen.values()) <= 1000 + model.concurrency


def test_a_transcript_keeps_to_its_settings(tmp_path):
    file, model = tmp_path / "t.jsonl", Recorder(plus_one)
    evaluate(ZeroShot(), model, PROBLEMS[:2], transcript=file)
    before = file.read_bytes()
    for other in (
        ZeroShot(max_new_tokens=7),
        ZeroShot(template=PromptTemplate(instruction="Add. ")),
        ZeroShot(parse_answer=read_sentence),
    ):
        with pytest.raises(ValueError, match=r"same settings: the \w+ of the strategy is"):
            evaluate(other, model, PROBLEMS, transcript=file)
    model.chat = True
    with pytest.raises(ValueError, match=r"the chat of the model is None in .*, got True"):
        evaluate(ZeroShot(), model, PROBLEMS, transcript=file)
    assert file.read_bytes() == before


def test_answers_that_count_beside_the_first_survive_a_transcript(tmp_path):
    file, problem = tmp_path / "t.jsonl", Problem("1 + 1", "2", others=("two",))
    [trace] = evaluate(ZeroShot(), Recorder(plus_one), [problem], transcript=file)
    assert read_transcript(file) == [trace] and trace.problem.others == ("two",)
    assert evaluate(ZeroShot(), Recorder(plus_one), [problem], transcript=file) == [trace]
    line = json.loads(file.read_text().splitlines()[1])
    del line["problem"]["others"]  # as before there were any
    file.write_text(json.dumps(line) + "\n")
    assert read_transcript(file)[0].problem == Problem("1 + 1", "2")


def test_a_transcript_names_its_task_once_and_keeps_to_it(tmp_path):
    file, model = tmp_path / "t.jsonl", Recorder(plus_one)
    file.write_text('{"task": "su')  # stopped while the first line was written
    for count in (0, 2, 3):
        evaluate(ZeroShot(), model, PROBLEMS[:count], transcript=file, task="sums")
    lines = file.read_text().splitlines()
    assert json.loads(lines[0])["task"] == "sums" and len(lines) == 4
    with pytest.raises(ValueError, match=r"task must be sums for the transcript .*, got products"):
        evaluate(ZeroShot(), model, PROBLEMS, transcript=file, task="products")
    with pytest.raises(ValueError, match=r"line 2 of .* has .*'0 . 1', expected .*'1 . 1'"):
        evaluate(ZeroShot(), model, PROBLEMS[1:], transcript=file)
    file.write_text("".join(f"{line}\n" for line in lines[1:]))  # as if it never had one
    assert len(evaluate(ZeroShot(), model, PROBLEMS[:4], transcript=file, task="sums")) == 4
    assert file.read_text().splitlines()[0] == lines[1]


def test_a_transcript_of_something_else_is_refused(tmp_path):
    file, model = tmp_path / "t.jsonl", Recorder(plus_one)
    evaluate(ZeroShot(), model, PROBLEMS[:2], transcript=file)
    with pytest.raises(ValueError, match=r"line 2 of .* has .*'0 . 1', expected .*'1 . 1'"):
        evaluate(ZeroShot(), model, PROBLEMS[1:], transcript=file)
    with pytest.raises(ValueError, match=r"line 3 of .*no more problems"):
        evaluate(ZeroShot(), model, PROBLEMS[:1], transcript=file)
    with file.open("a") as lines:
        lines.write('{"problem"')
    before = file.read_bytes()
    other = Recorder(plus_one)
    other.name = "another"
    with pytest.raises(ValueError, match=r"has .*'recorder'.*expected .*'another'"):
        evaluate(ZeroShot(), other, PROBLEMS, transcript=file)
    with pytest.raises(ValueError, match=r"has .*'zero-shot'.*expected .*'few-shot'"):
        evaluate(FewShot(exemplars=[Exemplar("1 + 1", "2")]), model, PROBLEMS, transcript=file)
    assert file.read_bytes() == before
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        evaluate(ZeroShot(), model, PROBLEMS, batch_size=0)
    for line in (b"{}\n", b'{"task": \n', b"\xff\n"):
        file.write_bytes(line)
        with pytest.raises(ValueError, match=r"t\.jsonl, line 1: "):
            read_transcript(file)
    file.write_text('{"task": "sums"}\n{"task": "sums"}\n')  # of two files that were joined
    with pytest.raises(ValueError, match=r"t\.jsonl, line 2: "):
        read_transcript(file)


@pytest.mark.parametrize("text", ["my notes", "notes\nmore, without an end", "notes\n", '{"a": 1}'])
def test_a_file_that_is_no_transcript_is_left_alone(tmp_path, text):
    file, model = tmp_path / "notes.txt", Recorder(plus_one)
    file.write_text(text)
    with pytest.raises(ValueError, match=r"notes\.txt"):
        evaluate(ZeroShot(), model, PROBLEMS, transcript=file, task="sums")
    assert file.read_text() == text and not model.calls


def test_a_transcript_that_lacks_settings_is_of_other_settings(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps({"task": "", "settings": {}}) + "\n")
    with pytest.raises(ValueError, match="same settings"):
        evaluate(ZeroShot(), Recorder(plus_one), PROBLEMS[:2], transcript=file)
