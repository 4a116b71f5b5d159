"""The commands that solve problems, with the real small models of the book."""

import json
import re

import pytest
from typer.testing import CliRunner

from llmbook import _solving
from llmbook.cli import app
from llmbook.evaluation import read_transcript
from llmbook.models import ScriptedModel
from llmbook.prompting import LeastToMost, Trace
from llmbook.tasks import scan

STORY = " bo ann +3 ; dot 4 ; ann 7 ; cy bo -2 ;"


def run(*arguments: object):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_solve_shows_every_step_and_the_verdict():
    done = run("solve", "jump around left thrice and walk around right thrice")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "jump around left thrice and walk around right thrice"
    assert "├─ jump left → LEFT + JUMP" in done.stdout and lines[-1].startswith(
        "right; the 48 actions are LEFT"
    )
    assert "least-to-most, scan-tiny: 8 calls" in done.stdout


def test_solve_can_be_brief_or_complete():
    done = run("solve", "cy", "--model", "chains-tiny", "--context", STORY, "--no-trace")
    assert done.stdout == "8\n"
    done = run("solve", "cy", "--model", "chains-tiny", "--context", STORY, "--json")
    trace = Trace.from_json(done.stdout)
    assert trace.answer == "8" and trace.problem.context == STORY and trace.num_calls == 4


@pytest.mark.parametrize("strategy", ["zero-shot", "few-shot", "chain-of-thought", "least-to-most"])
def test_a_pretrained_model_is_asked_by_exemplars(strategy):
    done = run("solve", "walk twice", "--model", "smollm2-135m", "--task", "scan",
               "--strategy", strategy, "--max-new-tokens", 8, "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    first = Trace.from_json(done.stdout).calls[0].prompt
    assert first.rstrip().endswith(("walk twice\nA:", "walk twice\nPlan:"))
    assert ("twice" in first[: -len("walk twice\nA:")]) == (strategy != "zero-shot")


def test_evaluate_goes_on_and_compare_reads_its_files(tmp_path):
    files = {}
    for strategy in ("least-to-most", "chain-of-thought"):
        files[strategy] = tmp_path / f"{strategy}.jsonl"
        done = run("evaluate", "--model", "chains-tiny", "--strategy", strategy, "--count", 20,
                   "--size", 10, "--out", files[strategy])  # fmt: skip
        assert done.exit_code == 0, done.output
        assert "of 20" in done.stdout and "a problem costs" in done.stdout
    assert "single steps" not in done.stdout
    assert len(read_transcript(files["least-to-most"])) == 20
    more = run("evaluate", "--model", "chains-tiny", "--count", 25, "--size", 10,
               "--out", files["least-to-most"])  # fmt: skip
    assert "of 25" in more.stdout and "single steps" in more.stdout
    both = run("compare", *files.values(), "--task", "chains")
    assert both.exit_code == 1 and "same problems" in both.stderr
    run("evaluate", "--model", "chains-tiny", "--strategy", "chain-of-thought", "--count", 25,
        "--size", 10, "--out", files["chain-of-thought"])  # fmt: skip
    both = run("compare", *files.values())
    assert both.exit_code == 0, both.output
    figures = re.search(
        r"both right: (\d+); neither: (\d+)\n"
        r"only the first right: (\d+); only the second: (\d+); p = \S+\n$",
        both.stdout,
    )
    right, neither, first, second = map(int, figures.groups())
    traces = {strategy: read_transcript(file) for strategy, file in files.items()}
    totals = [sum(t.answer == t.problem.answer for t in one) for one in traces.values()]
    assert [right + first, right + second, right + neither + first + second] == [*totals, 25]
    assert totals[0] > totals[1]


def test_a_transcript_says_by_which_rules_it_is_graded(tmp_path):
    file, bare = tmp_path / "t.jsonl", tmp_path / "bare.jsonl"
    run("evaluate", "--model", "chains-tiny", "--count", 3, "--size", 2, "--out", file)
    first, *lines = file.read_text().splitlines()
    assert json.loads(first)["task"] == "chains" and len(lines) == 3
    bare.write_text("".join(f"{line}\n" for line in lines))
    done = run("compare", file, bare).stdout.splitlines()
    assert done[2:] == [
        "both right: 3; neither: 0",
        "only the first right: 0; only the second: 0; p = 1",
    ]
    assert run("compare", bare, file).stdout.splitlines() == [done[1], done[0], *done[2:]]
    for arguments, message in (
        ((file, file, "--task", "scan"), f"task must be chains for {file}, got scan"),
        ((bare, bare), f"task must be given: neither {bare} nor"),
    ):
        done = run("compare", *arguments)
        assert done.exit_code == 1 and message in done.stderr
    done = run("compare", bare, bare, "--task", "chains")
    assert "both right: 3; neither: 0" in done.stdout and "p = 1" in done.stdout


def test_what_was_answered_is_kept_batch_by_batch(tmp_path, monkeypatch):
    """A run that is stopped in its third batch has the two before it, and goes on from there."""
    file = tmp_path / "t.jsonl"
    command = ("evaluate", "--model", "chains-tiny", "--count", 10, "--size", 2,
               "--batch-size", 3, "--out", file)  # fmt: skip
    whole, calls = LeastToMost.solve_all, []

    def stopped(self, problems, model, **options):
        calls.append(len(problems))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(self, problems, model, **options)

    monkeypatch.setattr(LeastToMost, "solve_all", stopped)
    assert run(*command).exit_code == 130 and len(read_transcript(file)) == 6
    assert run(*command).exit_code == 0 and len(read_transcript(file)) == 10
    assert calls == [3, 3, 3, 3, 1]


@pytest.mark.parametrize(
    ("model", "strategy", "asked"),
    [
        ("scan-tiny", None, ("scan-tiny", "least-to-most", "scan")),
        ("scan-tiny", "zero-shot", ("scan-tiny-direct", "zero-shot", "scan")),
        ("scan-tiny-direct", None, ("scan-tiny-direct", "zero-shot", "scan")),
        ("chains-tiny", None, ("chains-tiny", "least-to-most", "chains")),
        ("chains-tiny-chain-of-thought", None,
         ("chains-tiny-chain-of-thought", "chain-of-thought", "chains")),
    ],
)  # fmt: skip
def test_a_model_of_the_book_is_asked_what_it_has_learned(model, strategy, asked):
    found = _solving.asking(model, strategy, None, chat=None, max_new_tokens=None)
    assert (found.model.name, found.strategy.name, found.task) == asked
    [problem] = _solving.draw(found.task, 1, 4, 0)
    assert found.grade(problem, found.strategy.solve(problem, found.model).answer)


@pytest.mark.parametrize(
    ("options", "chat"), [([], None), (["--chat"], True), (["--no-chat"], False)]
)
def test_whether_to_chat_is_for_the_model_to_say_unless_it_is_told(options, chat, monkeypatch):
    given = []
    reply = ScriptedModel({"walk\nA:": " WALK"})
    monkeypatch.setattr(_solving, "load", lambda name, *, chat: given.append((name, chat)) or reply)
    done = run("solve", "walk", "--model", "http://host/v1#m", "--strategy", "few-shot",
               "--task", "scan", *options)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert given == [("http://host/v1#m", chat)]


def test_a_verdict_is_given_on_commands_alone():
    done = run("solve", "walk", "--model", "smollm2-135m", "--task", "last-letters",
               "--strategy", "few-shot", "--max-new-tokens", 4)  # fmt: skip
    assert done.exit_code == 0 and "actions" not in done.stdout


def test_the_same_answer_is_graded_alike_by_both_commands():
    asked = _solving.asking("smollm2-135m", "few-shot", "scan", chat=False, max_new_tokens=8)
    [problem] = _solving.draw("scan", 1, None, 0)
    for answer in (problem.answer, " ".join(scan.interpret(problem.question)), "WALK", ""):
        assert asked.grade(problem, answer) == _solving.grade_of("scan")(problem, answer)
    assert asked.grade(problem, problem.answer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["solve", "x", "--strategy", "guess"], "strategy must be least-to-most or zero-shot for "),
        (["solve", "x", "--strategy", "few-shot"], "scan-tiny, got few-shot"),
        (["solve", "x", "--strategy", "chain-of-thought"], "scan-tiny, got chain-of-thought"),
        (["solve", "x", "--model", "chains-tiny", "--strategy", "zero-shot"],
         "strategy must be least-to-most or chain-of-thought for chains-tiny, got zero-shot"),
        (["solve", "x", "--model", "scan-tiny-direct", "--strategy", "least-to-most"],
         "strategy must be zero-shot for scan-tiny-direct, got least-to-most"),
        (["solve", "x", "--model", "scan-tiny-direct", "--task", "word-problems"],
         "task must be scan for the model scan-tiny-direct"),
        (["solve", "x", "--max-new-tokens", "8"], "max_new_tokens must not be given: scan-tiny is"),
        (["solve", "x", "--model", "chains-tiny", "--chat"], "chat must not be given: chains-tiny"),
        (["evaluate", "--no-chat"], "chat must not be given: scan-tiny is asked as it was trained"),
        (["solve", "x", "--task", "chains"], "task must be scan for the model scan-tiny"),
        (["solve", "x", "--model", "smollm2-135m", "--strategy", "guess"], "name must be one of"),
        (["solve", "x", "--model", "smollm2-135m", "--task", "sums"], "name must be one of"),
        (["solve", "x", "--model", "smollm2-135m", "--task", "chains"], "task must be one with"),
        (["evaluate", "--model", "none/some-tiny", "--count", "1"], "'none/some-tiny' is neither"),
        (["evaluate", "--model", "chains-tiny", "--size", "14"], "size must be at most 13 for "),
        (["compare", "none.jsonl", "none.jsonl", "--task", "scan"], "none.jsonl: No such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_in_a_line(arguments, message):
    done = run(*arguments)
    assert done.exit_code == 1 and done.stderr.startswith("llmbook: ")
    assert message in done.stderr and done.stderr.count("\n") == 1
