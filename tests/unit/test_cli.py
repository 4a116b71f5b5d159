"""The command line: runs that are stopped and go on, what is printed where, and every exit code."""

import inspect
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from llmbook.book import corpus
from llmbook.cli import app
from llmbook.generation import TextGenerator
from llmbook.gpt import GPT, GPTConfig
from llmbook.pretrained import Pretrained, from_pretrained
from llmbook.tokenizer import Tokenizer

TEXT = "The cat sat on the mat. The dog sat on the log.\n" * 60
SMALL = ["--d-model", "16", "--num-layers", "1", "--length", "16", "--vocab-size", "280"]


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(text, tmp_path_factory) -> Path:
    """The folder of a small run that is finished."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    done = run("train", text, "--out", out, *SMALL, "--steps", 100, "--learning-rate", 0.02)
    assert done.exit_code == 0, done.output
    return out


def run(*arguments: object, given: str | None = None):
    return CliRunner().invoke(app, [str(each) for each in arguments], input=given)


def heed_ctrl_c() -> None:
    """Tests that a shell runs in the background ignore Ctrl-C, and so does all they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(
    *arguments: object, preexec: Callable[[], object] | None = None, **variables: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "llmbook", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        preexec_fn=None if os.name == "nt" else preexec or heed_ctrl_c,
    )


def wait_for(process: subprocess.Popen[str], path: Path, lines: int = 1) -> None:
    """Wait until a process has written so many lines."""
    deadline = time.monotonic() + 120
    while not path.exists() or len(path.read_bytes().splitlines()) < lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path} has not come"
        time.sleep(0.01)


def log(out: Path) -> list[dict[str, float]]:
    lines = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def numbers(text: str) -> list[int]:
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", text)]


# Training


def test_a_run_killed_twice_goes_on_to_the_end(text, tmp_path):
    out, whole = tmp_path / "killed", tmp_path / "whole"
    options = [*SMALL, "--steps", 200, "--dropout", 0.1]
    for file, lines in ((out / "run.json", 1), (out / "checkpoint.pt", 1)):
        process = start("train", text, "--out", out, *options)
        wait_for(process, file, lines)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()
    before = torch.load(out / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < before < 200
    done = run("train", text, "--out", out, *options)
    assert done.exit_code == 0, done.output
    assert "going on from its last checkpoint" in done.stdout
    assert "held out: loss" in done.stdout
    assert run("train", text, "--out", whole, *options).exit_code == 0
    assert [line["step"] for line in log(out)] == [*range(200)]
    losses, expected = ([line["loss"] for line in log(folder)] for folder in (out, whole))
    assert losses == pytest.approx(expected, rel=1e-4)
    assert losses[-1] < losses[0] - 1
    assert run("generate", out, "The cat", "--max-new-tokens", 8).stdout.strip()


def test_ctrl_c_saves_and_the_same_command_goes_on(text, tmp_path):
    out = tmp_path / "stopped"
    command = ["train", text, "--out", out, *SMALL, "--steps", 200]
    process = start(*command)
    wait_for(process, out / "log.jsonl", 3)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    done = len(log(out))
    assert f"stopped after {done} of 200 steps; the same command goes on" in stdout
    assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] == done < 200
    # What was saved is the model of that step.
    weights = torch.load(out / "checkpoint.pt", weights_only=True)["model"]
    model = from_pretrained(out).model
    assert torch.equal(model.token_embedding.weight, weights["token_embedding.weight"])
    again = run(*command)
    assert again.exit_code == 0, again.output
    assert len(log(out)) == 200


def test_the_steps_that_fit_into_the_minutes_are_chosen_once(text, tmp_path):
    out = tmp_path / "timed"
    command = ["train", text, "--out", out, *SMALL, "--minutes", 0.01]
    first = run(*command)
    assert first.exit_code == 0, first.output
    kept = json.loads((out / "run.json").read_text())
    assert kept["steps"] == len(log(out)) >= 1
    held_out = kept.pop("held_out")
    # As if it had been killed just before it was measured, and another number would fit today.
    kept["steps"] = kept["steps"] + 2
    (out / "run.json").write_text(json.dumps(kept))
    (out / "checkpoint.pt").unlink()
    second = run(*command)
    assert "going on from its beginning" in second.stdout
    assert len(log(out)) == kept["steps"]
    assert json.loads((out / "run.json").read_text())["held_out"] != held_out


def test_a_finished_run_is_only_told_of(trained, text):
    before = {path.name: path.stat().st_mtime_ns for path in trained.iterdir()}
    assert before.keys() == {
        "checkpoint.pt",
        "config.json",
        "log.jsonl",
        "model.safetensors",
        "run.json",
        "tokenizer.json",
    }
    command = ["train", text, "--out", trained, *SMALL, "--steps", 100, "--learning-rate", 0.02]
    done = run(*command)
    assert done.exit_code == 0
    assert "finished: all 100 steps" in done.stdout
    assert before == {path.name: path.stat().st_mtime_ns for path in trained.iterdir()}


def test_the_held_out_text_is_measured_as_said(trained):
    loaded = from_pretrained(trained)
    held_out = TEXT[len(TEXT) - len(TEXT) // 10 :]
    ids = torch.tensor(loaded.tokenizer.encode(held_out))
    total = 0.0
    for start_at in range(0, len(ids) - 1, 16):
        window = ids[start_at : start_at + 17]
        scores = loaded.model(window[None, :-1])[0].log_softmax(-1)
        total -= scores[range(len(window) - 1), window[1:]].sum().item()
    bits = total / torch.log(torch.tensor(2.0)).item()
    measured = json.loads((trained / "run.json").read_text())["held_out"]
    assert measured["loss"] == pytest.approx(total / (len(ids) - 1), rel=1e-4)
    first = len(loaded.tokenizer.decode_bytes(ids[:1].tolist()))
    size = len(held_out.encode()) - first
    assert measured["bits_per_byte"] == pytest.approx(bits / size, rel=1e-4)


def test_nothing_of_the_held_out_text_is_read(tmp_path):
    # Its words are none of the tokens.
    path = tmp_path / "parts.txt"
    path.write_text("one and two " * 90 + "zebra " * 20, encoding="utf-8")
    done = run("train", path, "--out", tmp_path / "r", *SMALL, "--steps", 1)
    assert done.exit_code == 0, done.output
    tokens = Tokenizer.load(tmp_path / "r" / "tokenizer.json").vocabulary.values()
    assert b" two" in tokens
    assert not any(b"z" in token for token in tokens if len(token) > 1)


def test_several_texts_each_end_and_lose_their_last_tenth(text, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("\ufeff猫坐在垫子上。" * 100, encoding="utf-8")
    done = run("train", text, other, "--out", tmp_path / "r", *SMALL, "--steps", 2)
    assert done.exit_code == 0, done.output
    loaded = from_pretrained(tmp_path / "r")
    [end] = loaded.end_ids
    assert loaded.tokenizer.vocabulary[end] == b"<|endoftext|>"
    read, kept = numbers(next(line for line in done.stdout.splitlines() if "held" in line))[2:4]
    parts = [TEXT[: -(len(TEXT) // 10)], "猫坐在垫子上。" * 90]
    assert read == sum(len(loaded.tokenizer.encode(part)) + 1 for part in parts)
    assert kept < read / 5


def test_the_book_can_be_read(tmp_path):
    done = run("train", "--book", "--out", tmp_path / "r", *SMALL, "--steps", 1)
    assert done.exit_code == 0, done.output
    size = sum(len(corpus.load(language).encode()) for language in ("en", "zh"))
    assert f"text: {size:,} bytes" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--seed", 1], "--seed must be that of the run in {out}, 0, got 1"),
        (["--d-model", 32], "--d-model must be that of the run in {out}, 16, got 32"),
        (["--minutes", 3], "--minutes must be that of the run in {out}, none, got 3.0"),
        (["--steps", 99], "--steps must be that of the run in {out}, 100, got 99"),
        (["--num-heads", 2], "--num-heads must be that of the run in {out}, none, got 2"),
    ],
)
def test_another_run_needs_another_folder(trained, text, change, message):
    given = ["--steps", 100] * (change[0] not in ("--steps", "--minutes"))
    command = ["train", text, "--out", trained, *SMALL, "--learning-rate", 0.02, *given, *change]
    done = run(*command)
    assert done.exit_code == 1
    assert done.stderr == (
        f"llmbook: {message.format(out=trained)}: choose another folder for another run\n"
    )


def test_a_changed_text_needs_another_folder(trained, tmp_path):
    other = tmp_path / "text.txt"
    other.write_text(TEXT + "More.", encoding="utf-8")
    command = ["train", other, "--out", trained, *SMALL, "--steps", 100, "--learning-rate", 0.02]
    done = run(*command)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"llmbook: text must be that of the run in {trained}: choose")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"", "must hold text, got none"),
        (b" \n", "must hold text, got none"),
        (b"caf\xe9 au lait", "must be text in UTF-8, got the byte 0xe9 at 3"),
        (b"short", "--length must be less than the number of tokens, 2 without those held out"),
    ],
)
def test_texts_that_will_not_do(tmp_path, content, message):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    done = run("train", path, "--out", tmp_path / "r")
    assert done.exit_code == 1
    assert done.stderr.startswith("llmbook: ") and done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not [*tmp_path.glob("r/*")]


def test_a_model_of_others_is_not_trained_over(trained, text, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    done = run("train", text, "--out", tmp_path)
    assert done.exit_code == 1
    assert done.stderr == (
        f"llmbook: --out must be a new folder or that of a run, {tmp_path} holds a model\n"
    )


def test_sizes_that_do_not_fit_are_named(text, tmp_path):
    done = run("train", text, "--out", tmp_path / "r", "--d-model", 100, "--num-heads", 3)
    assert done.exit_code == 1
    assert "--num-heads must divide --d-model (100)" in done.stderr


def test_the_same_command_twice_at_once(text, tmp_path):
    out = tmp_path / "r"
    command = ["train", text, "--out", out, *SMALL, "--steps", 1000]
    first = start(*command)
    wait_for(first, out / "log.jsonl", 3)
    second = run(*command)
    assert second.exit_code == 1 and second.stdout == ""
    assert second.stderr.startswith(
        f"llmbook: {out / 'run.json'} must be written by one program at a time, and another is at"
    )
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=120)
    assert first.returncode == 130
    assert [line["step"] for line in log(out)] == [*range(len(log(out)))]
    assert not [*out.glob("*.lock")]


@pytest.mark.parametrize(
    ("most", "name"),  # bytes that a file may hold, and which one is the first to hold more
    [
        (2_000, "tokenizer.json"),
        (25_000, "model.safetensors"),
        (60_000, "checkpoint.pt"),
    ],
)
def test_a_full_disk_stops_a_run_which_then_goes_on(text, tmp_path, most, name):
    out = tmp_path / "r"
    command = ["train", text, "--out", out, *SMALL, "--steps", 20]
    process = start(
        *command, preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most,) * 2)
    )
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1, stderr
    last = stderr.splitlines()[-1]
    assert last.startswith(f"llmbook: {out / name}") and "File too large" in last, stderr
    assert "Traceback" not in stderr
    assert not [path for path in out.glob("*.*") if path.name.count(".") > 1]  # nothing half made
    again = run(*command)
    assert again.exit_code == 0, again.output
    assert [line["step"] for line in log(out)] == [*range(20)]


# Each file of a run, what is wrong with it, and what is said of it.
DAMAGED = [
    ("run.json", b"", "run.json must be JSON: Expecting value"),
    ("run.json", b"\xff\xfe", "run.json must be JSON: 'utf-8' codec"),
    ("run.json", b"[1, 2]", "run.json must hold a JSON object, got list"),
    ("run.json", b"{}", "run.json must hold the settings and the steps of a run, got {}"),
    ("run.json", b'{"settings": 1, "steps": 5}', "run.json must hold the settings and the steps"),
    ("run.json", b'{"settings": {}, "steps": "5"}', "run.json must hold the settings and the"),
    ("log.jsonl", b"{}\n", "log.jsonl, line 1 must hold step, loss, tokens, seconds of a step"),
    ("log.jsonl", b"{\n", "log.jsonl, line 1 must hold step, loss, tokens, seconds of a step"),
    ("log.jsonl", b"[1, 2]\n", "log.jsonl, line 1 must hold step, loss, tokens, seconds of a"),
    ("log.jsonl", b"\0\0\n", "log.jsonl, line 1 must hold step, loss, tokens, seconds of a"),
    ("tokenizer.json", b"", "tokenizer.json must be JSON: Expecting value"),
    ("tokenizer.json", b"{}", "tokenizer.json: model must be an object, got None: this is no"),
    ("tokenizer.json", b'{"model": {"vocab": {}}}', "tokenizer.json: model.merges must be a list"),
    ("tokenizer.json", b'{"model": {"merges": []}}', "tokenizer.json: model.vocab must be an obj"),
    ("config.json", b"{", "config.json must be JSON: Expecting property name"),
    ("config.json", b'{"model_type": "llmbook", "d_model": "x"}', "config.json is malformed: Typ"),
    ("config.json", b'{"model_type": "llmbook", "d_model": 2.5}', "config.json: d_model must be a"),
    ("model.safetensors", b"", "model.safetensors is damaged or truncated"),
]


@pytest.mark.parametrize(("name", "content", "message"), DAMAGED)
def test_a_damaged_file_of_a_run_is_named(trained, tmp_path, name, content, message):
    folder = shutil.copytree(trained, tmp_path / "r")
    (folder / name).write_bytes(content)
    done = run("info", folder)
    assert done.exit_code == 1 and done.stderr.count("\n") == 1
    assert message in done.stderr


@pytest.mark.parametrize(
    ("log", "told"),
    [(b"", "0 of 100 steps"), (b'{"step": 0, "lo', "0 of 100 steps")],  # it is being written
)
def test_a_log_that_has_hardly_begun(trained, tmp_path, log, told):
    folder = shutil.copytree(trained, tmp_path / "r")
    (folder / "log.jsonl").write_bytes(log)
    done = run("info", folder)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"run          {told}"


# Writing


def test_one_prompt_is_gone_on_with(trained):
    done = run("generate", trained, "The cat", "--temperature", 0, "--max-new-tokens", 6)
    assert done.exit_code == 0
    assert done.stdout.startswith(" sat on the ")
    assert done.stdout.endswith("\n")
    assert done.stderr == ""


def test_a_prompt_can_come_from_the_input(trained):
    options = ["--max-new-tokens", 5, "--seed", 3]
    piped = run("generate", trained, *options, given="The cat\n")
    assert piped.stdout == run("generate", trained, "The cat", *options).stdout
    empty = run("generate", trained, given="")
    assert empty.exit_code == 1
    assert "must hold from 1 to 15 tokens, got 0" in empty.stderr


def test_json_has_a_line_for_each_prompt(trained):
    command = ["generate", trained, "The cat", "The dog", "--max-new-tokens", 4]
    lines = [json.loads(line) for line in run(*command, "--json").stdout.splitlines()]
    assert [line["prompt"] for line in lines] == ["The cat", "The dog"]
    tokenizer = from_pretrained(trained).tokenizer
    for line in lines:
        assert line.keys() == {"prompt", "text", "tokens", "finish_reason"}
        assert tokenizer.decode(line["tokens"]) == line["text"]
        assert line["finish_reason"] == "length" and len(line["tokens"]) == 4
    assert run(*command).stdout == f"{lines[0]['text']}\n\n{lines[1]['text']}\n"
    one = run("generate", trained, "The cat", "--max-new-tokens", 4, "--json")
    assert json.loads(one.stdout) == lines[0]


def test_choices_of_drawing_are_passed_on(trained):
    def written(*options: object) -> str:
        return run("generate", trained, "The", "--max-new-tokens", 12, *options).stdout

    greedy = written("--temperature", 0)
    hot = ["--temperature", 50, "--min-p", 0]
    assert written(*hot) != greedy
    assert written(*hot) == written(*hot) != written(*hot, "--seed", 1)
    for narrow in (["--top-k", 1], ["--top-p", 0], ["--min-p", 1]):
        assert written(*hot, *narrow) == greedy
    assert written("--temperature", 0, "--stop", "sat", "--stop", "xyz") == (
        greedy.split("sat")[0] + "\n"
    )


def test_what_is_piped_may_be_read_in_part(trained):
    process = start("generate", trained, "The", "The", "--json")
    process.stdout.close()
    assert process.wait(timeout=120) == 1
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["generate", "{run}", "The " * 40], "prompts[0] must hold from 1 to 15 tokens, got"),
        (["generate", "{run}", "The", "--top-p", "2"], "--top-p must lie between 0 and 1, got 2.0"),
        (["generate", "{run}", "The", "--stop", ""], "--stop must be"),
        (["generate", "nobody/nothing", "The"], "'nobody/nothing' is neither a file or folder"),
        (["generate", "missing.gguf", "The"], "found none: missing.gguf"),
        (["info", "a b"], "MODEL must be a folder, a file or a name, found none: a b"),
        (["chat", "{run}"], "MODEL must have a chat template, {run} has none"),
        (["download", "gpt-9"], "name must be one of ['smollm2-135m'], got 'gpt-9'"),
    ],
)
def test_errors_take_one_line(trained, command, message):
    done = run(*[part.format(run=trained) for part in command])
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("llmbook: ") and done.stderr.count("\n") == 1
    assert message.format(run=trained) in done.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["train", "text.txt"], "Missing option '--out'"),
        (["train", "--out", "r"], "give either text files or --book"),
        (["train", "text.txt", "--book", "--out", "r"], "give either text files or --book"),
        (["train", "t", "--out", "r", "--steps", "1", "--minutes", "1"], "--steps or --minutes"),
        (["train", "t", "--out", "r", "--steps", "0"], "--steps"),
        (["generate"], "Missing argument 'MODEL'"),
        (["generate", "m", "--max-new-tokens", "few"], "Invalid value for '--max-new-tokens'"),
        (["sing"], "No such command 'sing'"),
    ],
)
def test_wrong_usage(command, message):
    done = run(*command)
    assert done.exit_code == 2
    assert message in done.stderr and "Usage: " in done.stderr
    assert done.stdout == ""


def test_a_run_without_a_model_is_told_from_a_model(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    done = run("info", tmp_path)
    assert done.exit_code == 1
    assert f"{tmp_path} is a run without a model as yet" in done.stderr


# Looking inside, talking, help


def test_info_counts_what_the_model_holds(trained):
    done = run("info", trained, "--length", 10)
    assert done.exit_code == 0
    model = from_pretrained(trained).model
    rows = dict(re.findall(r"^(?:  )?(\w[\w -]*?)  +(\S.*)$", done.stdout, re.MULTILINE))
    count = sum(parameter.numel() for parameter in model.parameters())
    totals = [numbers(line)[0] for line in done.stdout.splitlines() if "  together" in line]
    assert totals == [count, model.config.forward_flops(10)]
    assert numbers(rows["token embedding"])[0] == model.token_embedding.weight.numel()
    assert rows["blocks"] == "1, d_model 16, d_ff 42"
    assert rows["tokenizer"] == "276 tokens, 1 special"  # the text ran out of pairs
    assert rows["ends with"] == "275 <|endoftext|>"
    assert rows["run"] == f"100 of 100 steps, loss {log(trained)[-1]['loss']:.3f}"
    assert "operations for 16 tokens" in run("info", trained).stdout


@pytest.mark.model
def test_a_conversation_with_a_real_model():
    turns = "What is the capital of France?\n\nAnd of Italy?\n/reset\nAnd of Italy?\n/exit\nHi\n"
    done = run("chat", "smollm2-135m", "--temperature", 0, "--max-new-tokens", 12, given=turns)
    assert done.exit_code == 0, done.output
    france, italy, reset = done.stdout.splitlines()  # nothing after /exit
    assert "Paris" in france and "Rome" in italy
    assert reset != italy  # the question before is forgotten
    assert done.stderr == ""


@pytest.fixture(scope="module")
def talker(tmp_path_factory) -> Path:
    """A model that babbles, but knows how a conversation is written."""
    torch.manual_seed(0)
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    config = GPTConfig(vocab_size=256, max_length=4096, d_model=8, num_layers=1, num_heads=1)
    folder = tmp_path_factory.mktemp("talker")
    return Pretrained(GPT(config), Tokenizer([]), chat_template=template).save(folder)


def test_turns_and_the_system_text_are_read(talker, monkeypatch):
    prompts = []
    stream = TextGenerator.stream
    monkeypatch.setattr(
        TextGenerator,
        "stream",
        lambda self, ids, config: (
            prompts.append(bytes(self.tokenizer.decode_bytes(ids))) or stream(self, ids, config)
        ),
    )
    options = ["--system", "Be brief.", "--max-new-tokens", 1]
    done = run("chat", talker, *options, given="One\n Two \n/reset\nThree")
    assert done.exit_code == 0
    first = done.stdout.splitlines()[0].encode()
    opening = b"<system>Be brief.<user>"
    assert prompts[0] == opening + b"One"
    assert prompts[1].startswith(opening + b"One<assistant>" + first[:1])
    assert prompts[1].endswith(b"<user>Two")
    assert prompts[2] == opening + b"Three"


def test_a_conversation_that_grows_too_long_can_go_on(talker):
    done = run("chat", talker, "--max-new-tokens", 1, given=f"{'word ' * 900}\nHello\n")
    assert done.exit_code == 0
    assert "has grown too long" in done.stderr
    assert done.stdout.count("\n") == 1


def test_ctrl_c_stops_an_answer(talker):
    process = start("chat", talker, "--max-new-tokens", 4000)
    process.stdin.write("Hello\n/exit\n")
    process.stdin.flush()
    process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    answer, errors = process.communicate(timeout=120)
    assert process.returncode == 0 and errors == ""  # it came to /exit
    assert answer.endswith("\n") and len(answer) < 3000


def test_ctrl_c_between_answers_ends_the_conversation(talker, monkeypatch):
    def interrupted(mark: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    done = run("chat", talker)
    assert done.exit_code == 130
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("line", "said", "noted"),
    [
        ("/help", 0, "/reset begins anew, /exit or Ctrl-D ends"),
        ("/hlep", 0, "/hlep is no command. /reset begins anew"),
        ("/reset now", 0, "/reset now is no command"),
        ("/", 0, "/ is no command"),
        (" /hlep", 1, ""),  # meant as it stands
        ("/usr/bin holds programs", 1, ""),
        ("1/2", 1, ""),
    ],
)
def test_what_begins_like_a_command_is_not_said(talker, line, said, noted):
    done = run("chat", talker, "--max-new-tokens", 1, given=f"{line}\n")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") == said
    assert noted in done.stderr and bool(noted) == bool(done.stderr)


@pytest.mark.parametrize("charset", ["latin-1", "cp1252", "gbk"])
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["solve", "walk twice"], "answer: ( WALK ) * 2"),
        (["solve", "walk twice", "--json"], '"question": "walk twice"'),
        (["evaluate", "--count", 2, "--size", 3], "a problem costs"),
        (["generate", "{model}", "猫", "--max-new-tokens", 9], ""),
        (["generate", "{model}", "猫 →", "--json", "--max-new-tokens", 9], ""),
        (["chat", "{model}", "--max-new-tokens", 9], ""),
        (["info", "{model}"], "converses"),
        (["--help"], "Commands:"),
    ],
)
def test_signs_that_the_output_lacks_do_not_cut_it_off(talker, charset, command, expected):
    arguments = [str(each).format(model=talker) for each in command]
    done = CliRunner(charset=charset).invoke(app, arguments, input="Hello\n")
    assert done.exit_code == 0, done.output
    assert done.stdout and expected in done.stdout
    if "--json" in command and "generate" in command:  # nothing of it is lost
        assert json.loads(done.stdout)["prompt"] == "猫 →"


def test_a_tree_is_drawn_in_the_signs_that_there_are(tmp_path):
    path = tmp_path / "f"
    with path.open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "llmbook", "solve", "walk twice"],
            stdout=file,
            env=os.environ | {"PYTHONIOENCODING": "cp1252"},
            check=True,
        )
    assert path.read_bytes().decode("cp1252").splitlines()[:7] == [
        "walk twice",
        "|- plan",
        "|  |- walk twice",
        "|  `- walk",
        "|- walk -> WALK",
        "|- walk twice -> ( WALK ) * 2",
        "`- answer: ( WALK ) * 2",
    ]


@pytest.mark.parametrize("command", [each.callback for each in app.registered_commands])
def test_help_shows_each_example_on_a_line_of_its_own(command):
    shown = run(command.__name__, "--help").stdout
    examples = re.findall(r"^ +(llmbook \w+ .*)$", inspect.getdoc(command), re.MULTILINE)
    assert examples
    assert "\n  Examples:\n" + "".join(f"    {each}\n" for each in examples) in shown
    assert "```" not in shown and "\b" not in shown


@pytest.mark.model
def test_what_is_here_is_not_fetched_again():
    done = run("download", "smollm2-135m")
    assert done.exit_code == 0 and done.stderr == ""
    assert Path(done.stdout.removesuffix("\n")).is_file()


COMMANDS = ["train", "generate", "chat", "solve", "evaluate", "compare", "info", "download"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_how(command):
    done = run(command, "--help")
    assert done.exit_code == 0
    assert re.search(rf"\n  Examples?:\n    llmbook {command} ", done.stdout)


def test_help_needs_no_torch():
    code = (
        "import sys; from llmbook.cli import app; app(['train', '--help'], standalone_mode=False);"
        "assert not {'torch', 'numpy', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert run().exit_code == 2
    _, commands = run("--help").stdout.split("Commands:")
    assert re.findall(r"^  (\w+)", commands, re.MULTILINE) == COMMANDS
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", run("--version").stdout)
