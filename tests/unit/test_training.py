"""The training loop, the loss, the batches, and the numerals that the first model reads."""

import json
import math
import os
import random
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from llmbook import _progress
from llmbook._progress import progress
from llmbook.book import numerals
from llmbook.decoding import greedy_decode
from llmbook.training import (
    TokenBatches,
    TrainingConfig,
    decay_groups,
    learning_rate_at,
    next_token_loss,
    train,
)
from llmbook.training.loop import _moved
from llmbook.transformer import Transformer

ROOT = Path(__file__).parents[2]
CONFIG = TrainingConfig(steps=12, warmup_steps=3, learning_rate=0.05, checkpoint_every=4)
IDS = torch.randint(11, (300,), generator=torch.Generator().manual_seed(3))
BATCHES = TokenBatches(IDS, batch_size=3, length=4)


class StoppedError(Exception):
    """A run that breaks off."""


class BigramModel(nn.Module):
    """The next token from the last one, with dropout: it depends on the state of the random."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, width)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(width, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.dropout(self.embedding(tokens)))


def new_model() -> BigramModel:
    torch.manual_seed(5)
    return BigramModel()


def loss_of(model: nn.Module, tokens: Tensor) -> Tensor:
    return next_token_loss(model(tokens[:, :-1]), tokens)


def log_of(out: Path) -> list[dict[str, float]]:
    """The lines of a log, but for the time, which no two runs share."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert all(line.pop("seconds") > 0 for line in lines)
    return lines


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def stops_after(count: int) -> Iterator[Tensor]:
    yield from islice(BATCHES, count)
    raise StoppedError


def test_the_learning_rate_rises_then_falls_to_nearly_nothing():
    config = TrainingConfig(steps=200, warmup_steps=20, learning_rate=0.5)
    rates = [learning_rate_at(step, config) for step in range(200)]
    assert rates[0] == pytest.approx(0.5 / 20)
    assert rates[19] == pytest.approx(0.5)
    assert rates[:20] == sorted(rates[:20])
    assert rates[19:] == sorted(rates[19:], reverse=True)
    assert 0 < rates[-1] < 1e-3


def test_the_learning_rate_falls_towards_the_final_one():
    config = TrainingConfig(steps=200, warmup_steps=20, learning_rate=0.5, final_learning_rate=0.1)
    rates = [learning_rate_at(step, config) for step in range(200)]
    assert rates[19] == pytest.approx(0.5)
    assert rates[19:] == sorted(rates[19:], reverse=True)
    assert 0.1 < rates[-1] < 0.1001


def test_a_warm_up_longer_than_the_run_is_no_fault():
    config = TrainingConfig(steps=5, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate_at(step, config) for step in range(5)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@given(
    seed=st.integers(0, 99),
    T=st.integers(1, 6),
    pad_id=st.sampled_from([None, 0, 3]),
    with_counted=st.booleans(),
)
def test_the_loss_is_the_mean_surprise_of_what_counts(seed, T, pad_id, with_counted):
    torch.manual_seed(seed)
    logits, tokens = torch.randn(3, T, 7, dtype=torch.float64), torch.randint(7, (3, T + 1))
    tokens[0, 1] = 5  # something counts
    counted = torch.rand(3, T + 1) < 0.6
    counted[0, 1] = True
    surprises = [
        -math.log(logits[b, t].softmax(dim=0)[tokens[b, t + 1]].item())
        for b in range(3)
        for t in range(T)
        if tokens[b, t + 1] != pad_id and (counted[b, t + 1] or not with_counted)
    ]
    loss = next_token_loss(logits, tokens, pad_id=pad_id, counted=counted if with_counted else None)
    assert loss.item() == pytest.approx(sum(surprises) / len(surprises))


def test_what_does_not_count_has_no_gradient():
    logits = torch.randn(2, 3, 7, requires_grad=True)
    tokens = torch.tensor([[1, 2, 3, 0], [1, 2, 0, 0]], dtype=torch.int32)
    counted = torch.tensor([[True, False, True, True], [False, True, True, True]])
    next_token_loss(logits, tokens, pad_id=0, counted=counted).backward()
    touched = logits.grad.abs().sum(dim=-1) > 0
    assert touched.tolist() == [[False, True, False], [True, False, False]]


@given(N=st.integers(2, 40), length=st.integers(1, 39), B=st.integers(1, 5), seed=st.integers(0, 9))
def test_batches_are_windows_of_the_text(N, length, B, seed):
    length = min(length, N - 1)
    batches = TokenBatches(torch.arange(N, dtype=torch.int32) * 2, B, length, seed=seed)
    some = list(islice(batches, 3))
    for batch in some:
        assert batch.shape == (B, length + 1) and batch.dtype == torch.int64
        assert (batch.diff(dim=1) == 2).all() and batch.min() >= 0 and batch.max() <= 2 * (N - 1)
    assert all(map(torch.equal, some, batches))  # every iteration begins the same


def test_every_window_comes_and_the_seed_decides_when():
    batches = TokenBatches(torch.arange(10), 4, 7)
    starts = torch.cat([batch[:, 0] for batch in islice(batches, 50)])
    assert set(starts.tolist()) == {0, 1, 2}
    other = torch.cat([b[:, 0] for b in islice(TokenBatches(torch.arange(10), 4, 7, seed=1), 50)])
    assert not torch.equal(starts, other)


def test_matrices_decay_and_vectors_do_not():
    model = BigramModel()
    model.tied = model.embedding  # the same table by a second name
    matrices, vectors = decay_groups(model, 0.1)
    assert [id(p) for p in matrices["params"]] == [
        id(model.embedding.weight),
        id(model.head.weight),
    ]
    assert [id(p) for p in vectors["params"]] == [id(model.head.bias)]
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
    model.head.requires_grad_(False)
    [only] = decay_groups(model, 0.1)
    assert [id(p) for p in only["params"]] == [id(model.embedding.weight)]


def test_frozen_parameters_stay_as_they_are():
    model = new_model()
    model.embedding.requires_grad_(False)
    train(model, BATCHES, loss_of, CONFIG)
    assert torch.equal(model.embedding.weight, new_model().embedding.weight)
    assert not torch.equal(model.head.weight, new_model().head.weight)


def test_batches_that_make_one_step_are_averaged(tmp_path):
    twice = TokenBatches(IDS, batch_size=6, length=4)
    halves = (half for batch in twice for half in batch.split(3))
    config = replace(CONFIG, clip_norm=0.1)  # so low that the size of the gradients matters
    models = [new_model().double() for _ in range(2)]
    for model in models:
        model.dropout.p = 0.0
    train(models[0], twice, loss_of, config, out=tmp_path / "whole")
    train(models[1], halves, loss_of, replace(config, accumulation=2), out=tmp_path / "halves")
    whole, parts = log_of(tmp_path / "whole"), log_of(tmp_path / "halves")
    for one, two in zip(whole, parts, strict=True):
        assert two == pytest.approx(one, rel=1e-9)  # the norm of the gradients too
    for one, two in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_the_log_tells_every_step(tmp_path):
    losses = train(new_model(), BATCHES, loss_of, CONFIG, out=tmp_path)
    log = log_of(tmp_path)
    assert [line["loss"] for line in log] == losses
    assert [line["step"] for line in log] == list(range(12))
    assert [line["learning_rate"] for line in log] == [
        learning_rate_at(step, CONFIG) for step in range(12)
    ]
    assert [line["tokens"] for line in log] == [15 * (step + 1) for step in range(12)]
    model = new_model()
    tokens = next(iter(BATCHES))
    loss_of(model, tokens).backward()
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()
    assert log[0]["gradient_norm"] == pytest.approx(norm)


@settings(max_examples=15)
@given(
    stops=st.lists(st.integers(1, 24), max_size=3),
    checkpoint_every=st.integers(1, 7),
    accumulation=st.sampled_from([1, 2]),
)
def test_a_run_goes_on_as_if_it_had_never_stopped(stops, checkpoint_every, accumulation):
    config = replace(CONFIG, accumulation=accumulation)
    undisturbed = new_model()
    with tempfile.TemporaryDirectory() as name:
        whole, broken = Path(name, "whole"), Path(name, "broken")
        losses = train(undisturbed, BATCHES, loss_of, config, out=whole)
        config = replace(config, checkpoint_every=checkpoint_every)
        for stop in stops:
            with suppress(StoppedError):
                train(new_model(), stops_after(stop), loss_of, config, out=broken)
        model = new_model()
        if (broken / "checkpoint.pt").exists():
            # All of this comes from the checkpoint.
            torch.manual_seed(99)
            nn.init.normal_(model.head.weight)
        assert train(model, BATCHES, loss_of, config, out=broken) == losses
        assert log_of(broken) == log_of(whole)
        assert same_weights(model, undisturbed)
        assert not list(broken.glob("*.part"))


def test_batches_may_take_random_numbers_from_where_the_model_does(tmp_path):
    def batches() -> Iterator[Tensor]:
        while True:
            yield torch.randint(11, (3, 5))

    def stop(done: int) -> None:
        if done == 6:
            raise StoppedError

    losses = train(new_model(), batches(), loss_of, CONFIG, out=tmp_path / "whole")
    with pytest.raises(StoppedError):
        train(new_model(), batches(), loss_of, CONFIG, out=tmp_path / "broken", after_step=stop)
    assert train(new_model(), batches(), loss_of, CONFIG, out=tmp_path / "broken") == losses


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
import torch._dynamo  # as the optimizers do: once here, and not again in every child
from torch import nn
from llmbook.training import TokenBatches, TrainingConfig, next_token_loss, train

def run(out):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Embedding(11, 32), nn.Dropout(0.3), nn.Linear(32, 11))
    loss_of = lambda model, tokens: next_token_loss(model(tokens[:, :-1]), tokens)
    batches = TokenBatches(torch.arange(500) % 11, 4, 8)
    train(model, batches, loss_of, TrainingConfig(steps=100, checkpoint_every=5), out=out)

def start(name):
    if child := os.fork():  # this process itself computes nothing, so that it can be forked
        return child
    try:
        run(out / name)
        os._exit(0)
    finally:
        os._exit(1)

out, chance, kills, code = Path(sys.argv[1]), random.Random(int(sys.argv[2])), 0, None
log = out / "killed" / "log.jsonl"
whole = start("whole")
while code != 0:
    before = log.stat().st_size if log.exists() else 0
    child = start("killed")
    patience, wait = 130 * chance.randint(1, 40), chance.random() / 200  # bytes, seconds
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if log.exists() and log.stat().st_size > before + patience:
            time.sleep(wait)
            os.kill(child, signal.SIGKILL)
            ended = os.waitpid(child, 0)
            break
        time.sleep(0.0005)
    code = os.waitstatus_to_exitcode(ended[1])
    assert code in (0, -signal.SIGKILL), code
    kills += code < 0
assert os.waitpid(whole, 0)[1] == 0
one, two = (torch.load(out / name / "checkpoint.pt") for name in ("whole", "killed"))
for name, tensor in one["model"].items():
    assert torch.equal(tensor, two["model"][name]), name
print(kills)
"""


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    seed = random.randrange(10**6)  # other moments every time
    done = run_python("-c", KILLED, str(tmp_path), str(seed))
    assert done.returncode == 0, (seed, done.stderr)
    assert int(done.stdout) >= 2, seed
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole"), seed


SPREAD = """
import os, signal, sys
from pathlib import Path
import torch
from llmbook.gpt import GPT, GPTConfig
from llmbook.training import TokenBatches, TrainingConfig, next_token_loss, train

out = Path(sys.argv[1])
rank, processes = (int(os.environ.get(name, 0)) for name in ("RANK", "WORLD_SIZE"))

def loss_of(model, tokens):
    return next_token_loss(model(tokens[:, :-1]), tokens)

def run(name, stops=False, **options):
    torch.manual_seed(rank)  # the weights of the first process are the ones that count
    model = GPT(GPTConfig(vocab_size=11, d_model=8, num_layers=2, num_heads=2, max_length=8))
    config = TrainingConfig(steps=12, warmup_steps=2, accumulation=4 // (processes or 1), **options)
    batches = TokenBatches(torch.arange(500) ** 2 % 11, 4, 8)

    def interrupt(done):  # Ctrl-C reaches one process only
        if stops and done == 6 and rank == 1:
            signal.raise_signal(signal.SIGINT)

    try:
        train(model, batches, loss_of, config, out=out / name, after_step=interrupt)
    except KeyboardInterrupt:
        (out / f"{name} {rank}").write_text(str(stops))

if processes:
    run("copies", stops=True)
    run("copies", shard=True)  # goes on with slices
    run("slices", stops=True, shard=True)
    os._exit(0)  # torch's threads of gloo outlive the group and now and then abort a usual end
run("whole")
run("slices")  # goes on alone
"""


def test_two_processes_do_what_one_does(tmp_path, monkeypatch):
    script = tmp_path / "spread.py"
    script.write_text(SPREAD)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = run_python(*torchrun, str(script), str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / "slices" / "checkpoint.pt")["step"] == 7
    assert len(list(tmp_path.glob("* *"))) == 4  # both were interrupted, both times
    monkeypatch.setattr(sys, "argv", ["spread.py", str(tmp_path)])
    runpy.run_path(str(script))
    whole = log_of(tmp_path / "whole")
    assert whole[0]["loss"] - whole[-1]["loss"] > 0.1
    weights = torch.load(tmp_path / "whole" / "checkpoint.pt")["model"]
    for name in ("copies", "slices"):
        for one, other in zip(whole, log_of(tmp_path / name), strict=True):
            assert other == pytest.approx(one, abs=1e-5), name
        theirs = torch.load(tmp_path / name / "checkpoint.pt")["model"]
        for key, tensor in weights.items():
            torch.testing.assert_close(theirs[key], tensor, rtol=0, atol=1e-4)


def test_ctrl_c_saves_first(tmp_path):
    def batches() -> Iterator[Tensor]:
        for i, batch in enumerate(BATCHES):
            if i == 5:
                signal.raise_signal(signal.SIGINT)
            yield batch

    handler = signal.getsignal(signal.SIGINT)
    config = replace(CONFIG, checkpoint_every=100)
    losses = train(new_model(), BATCHES, loss_of, CONFIG)
    with pytest.raises(KeyboardInterrupt):
        train(new_model(), batches(), loss_of, config, out=tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    assert torch.load(tmp_path / "checkpoint.pt")["step"] == 6  # the sixth batch was still used
    assert train(new_model(), BATCHES, loss_of, config, out=tmp_path) == losses


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    def batches() -> Iterator[Tensor]:
        for i, batch in enumerate(BATCHES):
            for _ in range(2 * (i == 5)):
                signal.raise_signal(signal.SIGINT)
            yield batch

    with pytest.raises(KeyboardInterrupt):
        train(new_model(), batches(), loss_of, CONFIG, out=tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt")["step"] == 4


def test_a_run_that_is_over_is_only_read(tmp_path):
    model = new_model()
    losses = train(model, BATCHES, loss_of, CONFIG, out=tmp_path)
    before = (tmp_path / "checkpoint.pt").stat().st_mtime_ns
    again = BigramModel()
    assert train(again, BATCHES, loss_of, CONFIG, out=tmp_path) == losses
    assert same_weights(again, model)
    assert (tmp_path / "checkpoint.pt").stat().st_mtime_ns == before


def test_what_decides_no_loss_may_change_on_the_way(tmp_path):
    with pytest.raises(StoppedError):
        train(new_model(), stops_after(8), loss_of, CONFIG, out=tmp_path)
    config = replace(CONFIG, checkpoint_every=3, compile=False, shard=True, precision="float32")
    losses = train(new_model(), BATCHES, loss_of, config, out=tmp_path)
    assert losses == train(new_model(), BATCHES, loss_of, CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.1}, r"learning_rate must be that of the run in .*, 0.05, got 0.1"),
        ({"steps": 24}, "steps must be that of the run in .*, 12, got 24: choose another folder"),
        ({"accumulation": 2}, "accumulation.* must be that of the run in .*, 1, got 2"),
        (
            {"precision": "bfloat16"},
            "precision must be that of the run in .*, float32, got bfloat16",
        ),
    ],
)
def test_another_configuration_cannot_go_on(tmp_path, change, message):
    train(new_model(), BATCHES, loss_of, CONFIG, out=tmp_path)
    with pytest.raises(ValueError, match=message):
        train(new_model(), BATCHES, loss_of, replace(CONFIG, **change), out=tmp_path)


def test_another_model_cannot_go_on(tmp_path):
    train(new_model(), BATCHES, loss_of, CONFIG, out=tmp_path)
    message = (
        r"model must be that of the run in .*embedding.weight has shape \(11, 6\), got \(11, 7\)"
    )
    with pytest.raises(ValueError, match=message):
        train(BigramModel(7), BATCHES, loss_of, CONFIG, out=tmp_path)
    larger = new_model()
    larger.extra = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"its extra\.\w+ has shape None, got \(1"):
        train(larger, BATCHES, loss_of, CONFIG, out=tmp_path)
    frozen = new_model()
    frozen.head.requires_grad_(False)
    with pytest.raises(ValueError, match="model must train the parameters of the run in"):
        train(frozen, BATCHES, loss_of, CONFIG, out=tmp_path)


def test_a_damaged_run_is_named(tmp_path):
    train(new_model(), BATCHES, loss_of, CONFIG, out=tmp_path)
    log, checkpoint = tmp_path / "log.jsonl", tmp_path / "checkpoint.pt"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(ValueError, match=r"log.jsonl must hold 12 steps, got 10"):
        train(new_model(), BATCHES, loss_of, CONFIG, out=tmp_path)
    whole = [{"step": i, "loss": 1.0, "tokens": 2, "seconds": 0.1} for i in range(12)]
    for wrong in (b"{", b"[1, 2]", b'{"step": 3}', b'{"loss": "low"}', b"\xff", b"\0"):
        lines = [json.dumps(step).encode() for step in whole]
        lines[3] = wrong
        log.write_bytes(b"\n".join(lines) + b"\n")
        with pytest.raises(ValueError, match=r"log.jsonl, line 4 must hold step, loss, tokens, s"):
            train(new_model(), BATCHES, loss_of, CONFIG, out=tmp_path)
    content = checkpoint.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"nothing of the kind"):
        checkpoint.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"checkpoint.pt must be a whole checkpoint"):
            train(new_model(), BATCHES, loss_of, CONFIG, out=tmp_path)


def test_a_run_goes_on_whatever_lies_beyond_its_checkpoint(tmp_path):
    losses = train(new_model(), BATCHES, loss_of, CONFIG, out=tmp_path)
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"step": 12, "lo')  # as a power cut may leave it
    assert train(new_model(), BATCHES, loss_of, CONFIG, out=str(tmp_path)) == losses
    assert [line["step"] for line in log_of(tmp_path)] == [*range(12)]


def test_a_full_disk_is_told_of_and_the_run_goes_on(tmp_path):
    config = replace(CONFIG, steps=200, checkpoint_every=100)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (10_000, 25_000):  # before the first checkpoint, and after it
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large") as error:
                train(new_model(), BATCHES, loss_of, config, out=tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert error.value.filename == str(tmp_path / "log.jsonl")
        assert {path.name for path in tmp_path.iterdir()} <= {"log.jsonl", "checkpoint.pt"}
    losses = train(new_model(), BATCHES, loss_of, config, out=tmp_path)
    assert losses == train(new_model(), BATCHES, loss_of, config)
    assert len(log_of(tmp_path)) == 200


def test_a_folder_is_trained_in_once_at_a_time(tmp_path):
    another = new_model()

    def again(step: int) -> None:
        if step == 6:
            before = (tmp_path / "log.jsonl").read_bytes()
            with pytest.raises(ValueError, match=r"log.jsonl must be written by one program at a"):
                train(another, BATCHES, loss_of, CONFIG, out=tmp_path)
            assert (tmp_path / "log.jsonl").read_bytes() == before

    losses = train(new_model(), BATCHES, loss_of, CONFIG, out=tmp_path, after_step=again)
    assert losses == train(new_model(), BATCHES, loss_of, CONFIG)
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "checkpoint.pt"}


def test_bfloat16_computes_products_and_leaves_weights_alone():
    seen = []

    def watched(model: nn.Module, tokens: Tensor) -> Tensor:
        logits = model(tokens[:, :-1])
        seen.append(logits.dtype)
        return next_token_loss(logits, tokens)

    model, other = new_model(), new_model()
    model.dropout.p = other.dropout.p = 0.0  # it draws other random numbers in bfloat16
    full = train(other, BATCHES, watched, CONFIG)
    half = train(model, BATCHES, watched, replace(CONFIG, precision="bfloat16"))
    assert seen == [torch.float32] * 12 + [torch.bfloat16] * 12
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert half == pytest.approx(full, abs=0.02) and half != full


def test_a_compiled_run_has_the_same_losses(monkeypatch):
    compiled, graphs = torch.compile, []

    def count(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    # All but the last part, the compiler of the generated C++, which takes a minute.
    monkeypatch.setattr(torch, "compile", lambda function: compiled(function, backend=count))
    losses = train(new_model(), BATCHES, loss_of, CONFIG)
    assert not graphs
    again = train(new_model(), BATCHES, loss_of, replace(CONFIG, compile=True))
    assert graphs and again == pytest.approx(losses, abs=1e-6)


def test_progress_is_shown_on_the_error_stream_if_asked_for(capsys):
    train(new_model(), BATCHES, loss_of, CONFIG)
    assert capsys.readouterr() == ("", "")
    losses = train(new_model(), BATCHES, loss_of, CONFIG, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    first, last = shown.err.splitlines()  # into a file, a line now and then
    assert "0/12" in first and "\r" not in shown.err
    assert f"loss {losses[-1]:.3f}" in last and "tokens/s" in last and "12/12" in last


def test_progress_moves_on_a_screen_and_is_a_line_now_and_then_in_a_file(capsys, monkeypatch):
    def shown(steps: int) -> str:
        for _ in progress(range(steps)):
            pass
        return capsys.readouterr().err

    monkeypatch.setattr(_progress, "_SECONDS", 0)  # a line each time
    assert shown(300).count("\n") > 300
    monkeypatch.setattr(_progress, "_SECONDS", 30)
    assert shown(300).count("\n") == 2
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    moved = shown(300)
    assert "\r" in moved and moved.count("\n") == 1


def test_after_each_step_one_may_look_at_the_model(tmp_path):
    seen = []

    def look(done: int) -> None:
        assert model.training
        seen.append((done, len(log_of(tmp_path))))
        model.eval()

    model = new_model()
    train(model, BATCHES, loss_of, CONFIG, out=tmp_path, after_step=look)
    assert seen == [(done, done) for done in range(1, 13)]
    assert model.training


def test_batches_are_moved_to_the_model_however_they_hold_tensors():
    tensor = torch.zeros(2)
    moved = _moved({"a": tensor, "b": (tensor, [tensor, "text"], 1)}, torch.device("meta"))
    assert moved["a"].is_meta and moved["b"][0].is_meta and moved["b"][1][0].is_meta
    assert moved["b"][1][1:] == ["text"] and moved["b"][2] == 1


def test_weights_are_left_alone_when_the_loss_is_no_number():
    model = new_model()
    with pytest.raises(ValueError, match="loss must be a finite number, got nan at step 0: lower"):
        train(model, BATCHES, lambda m, b: loss_of(m, b) * math.nan, CONFIG)
    assert same_weights(model, new_model())


def test_a_gradient_that_is_no_number_is_noticed_too():
    model = new_model()
    nn.init.zeros_(model.head.bias)  # where the square root is infinitely steep
    before = model.head.weight.clone()
    with pytest.raises(ValueError, match="gradient norm must be a finite number, got inf"):
        train(model, BATCHES, lambda m, b: loss_of(m, b) + m.head.bias.sqrt().sum(), CONFIG)
    assert torch.equal(model.head.weight, before)


def test_a_transformer_learns_a_batch_by_heart():
    torch.manual_seed(0)
    model = Transformer(numerals.CONFIG)
    numbers = [305, 1050, 12, 90_000_001]
    source, target = numerals.batch(numbers)
    config = TrainingConfig(steps=80, warmup_steps=10)

    def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        source, target = batch
        return next_token_loss(model(source, target[:, :-1]), target, pad_id=numerals.PAD_ID)

    losses = train(model, repeat((source, target)), loss_of, config)
    assert losses[-1] < 0.01 < losses[0]
    assert [numerals.text(ids) for ids in greedy_decode(model, source, 9)] == list(
        map(str, numbers)
    )


@pytest.mark.parametrize(
    ("number", "numeral"),
    [
        (0, "零"),
        (9, "九"),
        (10, "十"),
        (11, "十一"),
        (20, "二十"),
        (100, "一百"),
        (101, "一百零一"),
        (110, "一百一十"),
        (1001, "一千零一"),
        (1010, "一千零一十"),
        (10_000, "一万"),
        (10_010, "一万零一十"),
        (100_000, "十万"),
        (110_001, "十一万零一"),
        (10_305, "一万零三百零五"),
        (1_002_000, "一百万二千"),
        (10_010_010, "一千零一万零一十"),
        (99_999_999, "九千九百九十九万九千九百九十九"),
    ],
)
def test_numerals_as_one_says_them(number, numeral):
    assert numerals.to_chinese(number) == numeral
    assert numerals.from_chinese(numeral) == number


@given(st.integers(0, 10**8 - 1))
def test_numerals_can_be_read_back(number):
    assert numerals.from_chinese(numerals.to_chinese(number)) == number


@given(st.lists(st.integers(0, 10**8 - 1), min_size=1, max_size=8))
def test_batches_hold_what_went_in(numbers):
    source, target = numerals.batch(numbers)
    assert [numerals.text(row) for row in source.tolist()] == [
        numerals.to_chinese(number) for number in numbers
    ]
    assert [numerals.text(row) for row in target.tolist()] == [str(number) for number in numbers]
    assert (target[:, 0] == numerals.CONFIG.bos_id).all()
    assert ((source == numerals.CONFIG.eos_id).sum(dim=1) == 1).all()


def test_numbers_are_drawn_from_every_length():
    numbers = numerals.draw(8000, torch.Generator().manual_seed(0))
    lengths = [len(str(number)) for number in numbers]
    # A tenth of the numbers below 10^n have fewer digits, so length 1 gets a little more.
    assert all(800 < lengths.count(length) < 1300 for length in range(1, 9))
    assert numbers == numerals.draw(8000, torch.Generator().manual_seed(0))


def test_the_model_that_comes_with_the_book_reads_numerals():
    model = numerals.load_model()
    numbers = numerals.draw(500, torch.Generator().manual_seed(12345))
    source, _ = numerals.batch(numbers)
    answers = [numerals.text(ids) for ids in greedy_decode(model, source, 9)]
    right = sum(answer == str(number) for answer, number in zip(answers, numbers, strict=True))
    assert right >= 0.98 * len(numbers)
    losses = numerals.load_losses()
    assert len(losses) == TrainingConfig().steps
    assert losses[0] > math.log(len(numerals.VOCABULARY)) > 0.01 > sum(losses[-100:]) / 100


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: numerals.to_chinese(-1), "number must lie between 0 and 99999999, got -1"),
        (lambda: numerals.to_chinese(10**8), "number must lie between 0 and 99999999"),
        (
            lambda: numerals.from_chinese("三亿"),
            "numeral must hold only numeral characters, got '亿'",
        ),
        (lambda: numerals.from_chinese("一十"), "numeral must be in the usual form, got '一十'"),
        (lambda: numerals.from_chinese(""), "numeral must be in the usual form, got ''"),
        (lambda: numerals.batch([]), "numbers must hold at least one number"),
        (
            lambda: next_token_loss(torch.zeros(2, 3, 5), torch.zeros(2, 3, dtype=torch.long)),
            r"tokens must be one longer than logits.*\(2, 3\) and \(2, 3, 5\)",
        ),
        (
            lambda: next_token_loss(
                torch.zeros(2, 3, 5), torch.zeros(2, 4, dtype=torch.long), counted=torch.ones(2, 4)
            ),
            r"counted must be boolean of the shape of tokens \(2, 4\), got .* torch.float32",
        ),
        (lambda: TrainingConfig(steps=0), "steps must be at least 1, got 0"),
        (lambda: TrainingConfig(accumulation=0), "accumulation must be at least 1, got 0"),
        (lambda: TrainingConfig(checkpoint_every=0), "checkpoint_every must be at least 1, got 0"),
        (lambda: TrainingConfig(learning_rate=0.0), "learning_rate must be positive, got 0.0"),
        (lambda: TrainingConfig(clip_norm=0.0), "clip_norm must be positive, got 0.0"),
        (lambda: TrainingConfig(warmup_steps=-1), "warmup_steps must not be negative, got -1"),
        (lambda: TrainingConfig(weight_decay=-0.1), "weight_decay must not be negative, got -0.1"),
        (
            lambda: TrainingConfig(final_learning_rate=1.0),
            r"final_learning_rate must lie between 0 and learning_rate \(0.003\), got 1.0",
        ),
        (lambda: TrainingConfig(betas=(0.9, 1.0)), "betas must be two numbers from 0 to below 1"),
        (
            lambda: TrainingConfig(precision="float16"),
            r"precision must be one of \('float32', 'bfloat16', None\), got 'float16'",
        ),
        (
            lambda: TokenBatches(IDS, 0, 4),
            "batch_size must be at least 1, got 0",
        ),
        (lambda: TokenBatches(IDS, 1, 0), "length must be at least 1, got 0"),
        (
            lambda: TokenBatches(torch.arange(4), 1, 4),
            r"ids must be a sequence of more than length \(4\) integers, got shape \(4,\)",
        ),
        (lambda: TokenBatches([1, 2], 1, 1), "ids must be a tensor, got list: torch.tensor makes"),
        (lambda: TokenBatches(torch.ones(9), 1, 4), "ids must be .* integers, .* torch.float32"),
        (lambda: TokenBatches(torch.ones(9, 9).long(), 1, 4), r"ids must be .* shape \(9, 9\)"),
        (
            lambda: train(nn.Linear(1, 1).requires_grad_(False), BATCHES, loss_of, CONFIG),
            "model must have a parameter that requires a gradient, got none",
        ),
        (
            lambda: train(new_model(), list(islice(BATCHES, 3)), loss_of, CONFIG),
            "batches must last for 12 steps, got fewer",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
