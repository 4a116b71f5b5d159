"""The commands that solve problems, with the real small models of the book."""

import json
import re

import pytest
from typer.testing import CliRunner

from llmbook import tasks
from llmbook.cli import app, solving
from llmbook.evaluation import read_transcript
from llmbook.lm import ScriptedModel
from llmbook.prompting import LeastToMost, Trace
from tests.support.server import Sent, chatting, serving

STORY = " bo ann +3 ; dot 4 ; ann 7 ; cy bo -2 ;"
CHINESE_STORY = " 小红 小明 +3 ; 豆豆 4 ; 小明 7 ; 小刚 小红 -2 ;"


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


def test_a_story_in_chinese_is_solved_by_the_model_that_learned_from_such():
    done = run("solve", "小刚", "--model", "chains-tiny-zh", "--context", CHINESE_STORY)
    assert done.exit_code == 0, done.output
    assert "小红 → 10" in done.stdout and done.stdout.endswith("right; 答案是 8\n")
    done = run("solve", "小刚", "--model", "chains-tiny-zh", "--context", CHINESE_STORY,
               "--strategy", "chain-of-thought", "--json")  # fmt: skip
    trace = Trace.from_json(done.stdout)
    assert trace.answer == "8" and "小红 是 小明 加 +3" in trace.calls[0].reply.text


def test_the_help_names_every_task():
    told = " ".join(run("solve", "--help").stdout.replace("-\n", "- ").split()).replace("- ", "-")
    assert all(f" {name}" in told for name in tasks.NAMES)


@pytest.mark.model
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
    assert both.exit_code == 1
    assert "FIRST and SECOND must be of the same problems in the same order" in both.stderr
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
        ((file, file, "--task", "scan"), f"--task must be chains for {file}, got scan"),
        ((bare, bare), f"--task must be given: neither {bare} nor"),
        ((file, bare, "--task", "sums"), "--task must be chains for"),
        ((bare, bare, "--task", "sums"), "--task must be one of last-letters"),
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
        ("chains-tiny-zh", None, ("chains-tiny-zh", "least-to-most", "chains-zh")),
        ("chains-tiny-zh", "chain-of-thought",
         ("chains-tiny-zh-chain-of-thought", "chain-of-thought", "chains-zh")),
    ],
)  # fmt: skip
def test_a_model_of_the_book_is_asked_what_it_has_learned(model, strategy, asked):
    setup = solving.prepare(model, strategy, None, chat=None, max_new_tokens=None)
    assert setup.trained
    assert (setup.model.name, setup.strategy.name, setup.task.name) == asked
    [problem] = setup.task.problems(1, size=4)
    assert setup.task.grade(problem, setup.strategy.solve(problem, setup.model).answer)


@pytest.mark.parametrize(
    ("options", "chat"), [([], None), (["--chat"], True), (["--no-chat"], False)]
)
def test_whether_to_chat_is_for_the_model_to_say_unless_it_is_told(options, chat, monkeypatch):
    given = []
    reply = ScriptedModel({"walk\nA:": " WALK"})

    def load(name, *, chat, options):
        given.append((name, chat))
        return reply

    monkeypatch.setattr(solving, "load", load)
    done = run("solve", "walk", "--model", "http://host/v1#m", "--strategy", "few-shot",
               "--task", "scan", *options)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert given == [("http://host/v1#m", chat)]


@pytest.mark.model
def test_a_verdict_is_given_where_the_task_knows_the_answer():
    few_shot = ("--model", "smollm2-135m", "--strategy", "few-shot", "--max-new-tokens", 4)
    done = run("solve", "walk", "--task", "last-letters", *few_shot)
    assert done.exit_code == 0 and not done.stdout.splitlines()[-1].startswith(("right", "wrong"))
    done = run("solve", "walk", "--task", "scan", *few_shot)
    assert done.stdout.splitlines()[-1].endswith("; the 1 actions are WALK")
    done = run("solve", "cy", "--model", "chains-tiny", "--context", STORY)
    assert done.stdout.splitlines()[-1] == "right; the answer is 8"


@pytest.mark.model
def test_any_model_can_be_asked_about_chains():
    done = run("solve", "cy", "--model", "smollm2-135m", "--task", "chains", "--context", STORY,
               "--strategy", "few-shot", "--max-new-tokens", 4, "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    trace = Trace.from_json(done.stdout)
    assert trace.calls[0].prompt.endswith(f"{STORY}\n\nQ: cy\nA:") and trace.problem.answer == "8"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["solve", "x", "--strategy", "guess"], "--strategy must be least-to-most or zero-shot "),
        (["solve", "x", "--strategy", "few-shot"], "scan-tiny, got few-shot"),
        (["solve", "x", "--strategy", "chain-of-thought"], "scan-tiny, got chain-of-thought"),
        (["solve", "x", "--model", "chains-tiny", "--strategy", "zero-shot"],
         "--strategy must be least-to-most or chain-of-thought for chains-tiny, got zero-shot"),
        (["solve", "x", "--model", "scan-tiny-direct", "--strategy", "least-to-most"],
         "--strategy must be zero-shot for scan-tiny-direct, got least-to-most"),
        (["solve", "x", "--model", "scan-tiny-direct", "--task", "word-problems"],
         "--task must be scan for the model scan-tiny-direct"),
        (["solve", "x", "--max-new-tokens", "8"], "--max-new-tokens must not be given: scan-tiny"),
        (["solve", "x", "--model", "chains-tiny", "--chat"], "--chat must not be given: chains-t"),
        (["evaluate", "--no-chat"], "--chat must not be given: scan-tiny is asked as it was trai"),
        (["solve", "walk", "--option", "top_p=1"], "--option must not be given: scan-tiny is ask"),
        (["solve", "x", "--option", "top_p"], "--option must be NAME=VALUE, got 'top_p'"),
        (["solve", "x", "--task", "chains"], "--task must be scan for the model scan-tiny"),
        (["solve", "x", "--model", "smollm2-135m", "--strategy", "cot"], "--strategy must be one"),
        (["solve", "x", "--model", "smollm2-135m", "--task", "sums"], "--task must be one of "),
        (["solve", " ", "--model", "http://127.0.0.1:9/v1#m"], "QUESTION must have a question"),
        (["solve", "x", "--model", "http://127.0.0.1:9/v1"], "--model must tell a model after the"),
        (["evaluate", "--model", "none/some-tiny", "--count", "1"], "'none/some-tiny' is neither"),
        (["evaluate", "--model", "chains-tiny", "--size", "14"], "--size must be at most 13 "),
        (["evaluate", "--count", "99999", "--size", "2"], "--count must be 1 to "),
        (["compare", "none.jsonl", "none.jsonl", "--task", "scan"], "none.jsonl: No such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_in_a_line(arguments, message):
    done = run(*arguments)
    assert done.exit_code == 1 and done.stderr.startswith("llmbook: ")
    assert message in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("model", "question", "context"),
    [
        ("scan-tiny", "fly left", ""),
        ("scan-tiny", "Anna has 3 apples. She buys 2 bags with 4 each. How many has she?", ""),
        ("scan-tiny", "jump twice and walk and run", ""),
        ("scan-tiny", "walk", STORY),
        ("scan-tiny-direct", "who are you?", ""),
        ("chains-tiny", "x", ""),
        ("chains-tiny", "cy", ""),
        ("chains-tiny", "eve", STORY),  # of whom nothing is told
        ("chains-tiny", "How many has cy?", STORY),
        ("chains-tiny", "cy", "bo has 3 more than ann, who has 7; cy has 2 less than bo."),
        ("chains-tiny", "cy", f"{STORY} eve"),
        ("chains-tiny", "cy", " cy bo -2 ; bo cy +2 ;"),  # a circle
        ("chains-tiny", "cy", " cy bo -2 ;"),
        ("chains-tiny", "cy", " cy 3 ; cy 4 ;"),
        ("chains-tiny", "cy", " cy 300 ;"),
        ("chains-tiny", "cy", " cy bo +12 ; bo 1 ;"),
        ("chains-tiny", "cy", " cy bo -2 ; bo 1 ;"),
        ("chains-tiny-chain-of-thought", "x", ""),
        ("chains-tiny-zh", "cy", STORY),
        ("chains-tiny", "小刚", CHINESE_STORY),
    ],
)
def test_a_model_made_for_one_task_refuses_another(model, question, context):
    done = run("solve", question, "--model", model, "--context", context)
    assert done.exit_code == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert f"QUESTION must be of the kind that {model} was trained for" in done.stderr
    assert "--model smollm2-135m" in done.stderr and "server" in done.stderr


def test_blanks_around_the_words_of_a_story_do_not_count():
    done = run("solve", "cy", "--model", "chains-tiny", "--context", STORY.strip(), "--no-trace")
    assert (done.exit_code, done.stdout) == (0, "8\n")


AT_A_SERVER = ("--task", "scan", "--strategy", "few-shot")


@pytest.mark.parametrize("options", [[], ["--no-trace"], ["--json"]])
def test_where_no_server_is_solve_says_so_soon(options):
    with serving() as server:
        url = server.url
    done = run("solve", "walk", "--model", f"{url}#m", *AT_A_SERVER, *options)
    assert done.exit_code == 1 and done.stdout == ""
    assert f"llmbook: --model must be where a server answers, got {url}: no conn" in done.stderr


def test_where_no_server_is_evaluate_says_so_and_finds_nothing_right(tmp_path):
    with serving() as server:
        url = server.url
    done = run("evaluate", "--model", f"{url}#m", *AT_A_SERVER, "--out", tmp_path / "t.jsonl")
    assert done.exit_code == 1 and "right" not in done.stdout
    assert f"llmbook: --model must be where a server answers, got {url}: no conn" in done.stderr


LONG = Sent({"error": {"message": "prompt is too long"}}, 400)


@pytest.mark.parametrize("options", [[], ["--no-trace"], ["--json"]])
def test_an_error_in_place_of_an_answer_is_no_success(options):
    with serving(lambda prompt, attempt: LONG) as server:
        done = run("solve", "walk", "--model", f"{server.url}#m", *AT_A_SERVER, *options)
    assert done.exit_code == 1 and bool(done.stdout) == (options != ["--no-trace"])
    assert "gave no answer but an error: 400: prompt is too long" in done.stderr


@pytest.mark.parametrize("every", [True, False])
def test_an_evaluation_with_errors_is_no_success(tmp_path, every):
    file, failing = tmp_path / "t.jsonl", {"left": True}

    def fault(prompt, attempt):
        wrong = failing["left"] and (every or len(server.seen) == 1)
        return LONG if wrong else chatting("WALK")

    with serving(fault) as server:
        command = ("evaluate", "--model", f"{server.url}#m", *AT_A_SERVER, "--count", 3,
                   "--batch-size", 1, "--out", file)  # fmt: skip
        done = run(*command)
        assert done.exit_code == 1 and ("of 3" in done.stdout) == (not every)
        assert f"an error in {3 if every else 1} of 3 problems" in done.stderr
        assert "prompt is too long; the same command asks them again" in done.stderr
        failing["left"] = False
        done = run(*command)
        assert done.exit_code == 0, done.output


def test_fields_of_a_request_can_be_left_out_and_added(tmp_path):
    refusing = Sent({"error": {"message": "Unsupported parameter: 'max_tokens'"}}, 400)
    with serving(
        lambda prompt, attempt: refusing if "max_tokens" in server.requests[-1] else chatting("x")
    ) as server:
        command = ("solve", "walk", "--model", f"{server.url}#m", *AT_A_SERVER)
        done = run(*command)
        assert done.exit_code == 1
        assert "a field is left out by --option max_tokens=null" in done.stderr
        done = run(*command, "--option", "max_tokens=null", "--option", "max_completion_tokens=9",
                   "--option", "stop=null", "--option", "reasoning_effort=low")  # fmt: skip
        assert done.exit_code == 0, done.output
    body = server.requests[-1]
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (9, "low")
    assert not {"max_tokens", "stop"} & body.keys()


def test_a_key_that_is_refused_is_not_shown(monkeypatch):
    key = "sk-a-key-of-some-length"
    monkeypatch.setenv("OPENAI_API_KEY", f"{key}\n")
    wrong = Sent({"error": {"message": f"Incorrect API key {key}"}}, 401)
    with serving(lambda prompt, attempt: wrong) as server:
        done = run("solve", "walk", "--model", f"{server.url}#m", *AT_A_SERVER)
    assert done.exit_code == 1 and key not in done.output
    assert "OPENAI_API_KEY must be one that the server accepts, got 401: Incorrect" in done.stderr


def test_a_file_that_holds_problems_twice_is_not_compared(tmp_path):
    file, twice = tmp_path / "t.jsonl", tmp_path / "twice.jsonl"
    run("evaluate", "--model", "chains-tiny", "--count", 3, "--size", 2, "--out", file)
    first, *lines = file.read_text().splitlines()
    twice.write_text("".join(f"{line}\n" for line in [first, *lines, *lines]))
    done = run("compare", twice, twice)
    assert done.exit_code == 1 and f"{twice} must hold each problem once, got " in done.stderr


TOLD = [
    {"question": f"Ann has {n} pens, Bo 5. How many have both?", "answer": n + 5} for n in (1, 2, 3)
]


@pytest.fixture
def own_file(tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in TOLD))
    return file


def test_own_problems_are_put_all_and_compared(tmp_path, own_file):
    outs = tmp_path / "few.jsonl", tmp_path / "thought.jsonl"
    with serving(lambda prompt, attempt: chatting("The answer is 6.")) as server:
        for out, strategy in zip(outs, ("few-shot", "chain-of-thought"), strict=True):
            done = run("evaluate", "--model", f"{server.url}#m", "--problems", own_file,
                       "--strategy", strategy, "--out", out)  # fmt: skip
            assert done.exit_code == 0, done.output
            assert "33.3%" in done.stdout and "of 3\n" in done.stdout
            last = "Ann has 3 pens, Bo 5.\n\nQ: How many have both?\nA:"
            assert sum(prompt.endswith(last) for prompt in server.seen) == 1 + (
                strategy != "few-shot"
            )
        asked = len(server.seen)
        with own_file.open("a") as more:  # what is put to the end is asked, and nothing else
            more.write(json.dumps({"question": "How many has Bo?", "answer": 6}) + "\n")
        for out, strategy in zip(outs, ("few-shot", "chain-of-thought"), strict=True):
            done = run("evaluate", "--model", f"{server.url}#m", "--problems", own_file,
                       "--strategy", strategy, "--out", out)  # fmt: skip
            assert done.exit_code == 0 and "50.0%" in done.stdout and "of 4\n" in done.stdout
        assert len(server.seen) == asked + 2
    done = run("compare", *outs)
    assert done.exit_code == 0, done.output
    assert "both right: 2; neither: 2" in done.stdout


def test_own_exemplars_are_shown(tmp_path, own_file):
    shown = tmp_path / "shown.jsonl"
    shown.write_text(json.dumps({"question": "1 + 1", "answer": 2, "rationale": "So it is."}))
    with serving(lambda prompt, attempt: chatting("The answer is 6.")) as server:
        command = ("evaluate", "--model", f"{server.url}#m", "--problems", own_file, "--count", 1)
        done = run(*command, "--exemplars", shown, "--strategy", "chain-of-thought")
        assert done.exit_code == 0 and "of 1\n" in done.stdout
        [prompt] = server.seen
        assert prompt.startswith("Q: 1 + 1\nA: So it is. The answer is 2.\n\nAnn has 1 pens")
        for options, message in (
            ((), "--exemplars[0] must have steps"),
            (("--strategy", "few-shot", "--task", "scan"), "--task must not be given with --exem"),
        ):
            done = run(*command, "--exemplars", shown, *options)
            assert done.exit_code == 1 and message in done.stderr


def test_own_problems_are_refused_where_they_cannot_be_put(tmp_path, own_file):
    words = tmp_path / "words.jsonl"
    words.write_text(json.dumps({"question": "Where is it?", "answer": "Paris"}))
    url = "http://127.0.0.1:9/v1#m"
    for options, message in (
        (("--problems", own_file), "--problems must not be given: scan-tiny was trained for one"),
        (("--exemplars", own_file), "--exemplars must be given with --problems"),
        (("--model", url, "--problems", own_file, "--count", 4), "--count must be 1 to the 3"),
        (("--model", url, "--problems", own_file, "--task", "sums"), "--task must be one of"),
        (("--model", url, "--problems", tmp_path / "no.jsonl"), "no.jsonl: No such file"),
        (("--model", url, "--problems", words), "--exemplars must be given for least-to-most: "),
    ):
        done = run("evaluate", *options)
        assert done.exit_code == 1 and message in done.stderr, (options, done.stderr)
        assert done.stderr.count("\n") == 1
