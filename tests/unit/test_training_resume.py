"""A run in a folder: stopped or killed, it goes on as if nothing had been; damaged, it says so."""

import json
import random
import resource
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from llmbook.training import language_model_loss, train
from tests.support.training import (
    BATCHES,
    CONFIG,
    ROOT,
    BigramModel,
    StoppedError,
    log_of,
    new_model,
    run_python,
    same_weights,
    stops_after,
)


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
        losses = train(undisturbed, BATCHES, language_model_loss, config, out=whole)
        config = replace(config, checkpoint_every=checkpoint_every)
        for stop in stops:
            with suppress(StoppedError):
                train(new_model(), stops_after(stop), language_model_loss, config, out=broken)
        model = new_model()
        if (broken / "checkpoint.pt").exists():
            # All of this comes from the checkpoint.
            torch.manual_seed(99)
            nn.init.normal_(model.head.weight)
        assert train(model, BATCHES, language_model_loss, config, out=broken) == losses
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

    losses = train(new_model(), batches(), language_model_loss, CONFIG, out=tmp_path / "whole")
    with pytest.raises(StoppedError):
        train(
            new_model(),
            batches(),
            language_model_loss,
            CONFIG,
            out=tmp_path / "broken",
            after_step=stop,
        )
    assert (
        train(new_model(), batches(), language_model_loss, CONFIG, out=tmp_path / "broken")
        == losses
    )


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    seed = random.randrange(10**6)  # other moments every time
    done = run_python(str(ROOT / "tests/support/killed.py"), str(tmp_path), str(seed))
    assert done.returncode == 0, (seed, done.stderr)
    assert int(done.stdout) >= 2, seed
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole"), seed


def test_ctrl_c_saves_first(tmp_path):
    def batches() -> Iterator[Tensor]:
        for i, batch in enumerate(BATCHES):
            if i == 5:
                signal.raise_signal(signal.SIGINT)
            yield batch

    handler = signal.getsignal(signal.SIGINT)
    config = replace(CONFIG, checkpoint_every=100)
    losses = train(new_model(), BATCHES, language_model_loss, CONFIG)
    with pytest.raises(KeyboardInterrupt):
        train(new_model(), batches(), language_model_loss, config, out=tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    assert torch.load(tmp_path / "checkpoint.pt")["step"] == 6  # the sixth batch was still used
    assert train(new_model(), BATCHES, language_model_loss, config, out=tmp_path) == losses


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    def batches() -> Iterator[Tensor]:
        for i, batch in enumerate(BATCHES):
            for _ in range(2 * (i == 5)):
                signal.raise_signal(signal.SIGINT)
            yield batch

    with pytest.raises(KeyboardInterrupt):
        train(new_model(), batches(), language_model_loss, CONFIG, out=tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt")["step"] == 4


def test_a_model_with_gradients_goes_on_too(tmp_path):
    losses = train(new_model(), BATCHES, language_model_loss, CONFIG)
    with pytest.raises(StoppedError):
        train(new_model(), stops_after(8), language_model_loss, CONFIG, out=tmp_path)
    model = new_model()
    language_model_loss(model, next(iter(BATCHES))).backward()
    assert train(model, BATCHES, language_model_loss, CONFIG, out=tmp_path) == losses


def test_a_run_that_is_over_is_only_read(tmp_path):
    model = new_model()
    losses = train(model, BATCHES, language_model_loss, CONFIG, out=tmp_path)
    before = (tmp_path / "checkpoint.pt").stat().st_mtime_ns
    again = BigramModel()
    assert train(again, BATCHES, language_model_loss, CONFIG, out=tmp_path) == losses
    assert same_weights(again, model)
    assert (tmp_path / "checkpoint.pt").stat().st_mtime_ns == before


def test_what_decides_no_loss_may_change_on_the_way(tmp_path):
    with pytest.raises(StoppedError):
        train(new_model(), stops_after(8), language_model_loss, CONFIG, out=tmp_path)
    config = replace(CONFIG, checkpoint_every=3, compile=False, shard=True, precision="float32")
    losses = train(new_model(), BATCHES, language_model_loss, config, out=tmp_path)
    assert losses == train(new_model(), BATCHES, language_model_loss, CONFIG)


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
    train(new_model(), BATCHES, language_model_loss, CONFIG, out=tmp_path)
    with pytest.raises(ValueError, match=message):
        train(new_model(), BATCHES, language_model_loss, replace(CONFIG, **change), out=tmp_path)


def test_another_model_cannot_go_on(tmp_path):
    train(new_model(), BATCHES, language_model_loss, CONFIG, out=tmp_path)
    message = (
        r"model must be that of the run in .*embedding.weight has shape \(11, 6\), got \(11, 7\)"
    )
    with pytest.raises(ValueError, match=message):
        train(BigramModel(7), BATCHES, language_model_loss, CONFIG, out=tmp_path)
    larger = new_model()
    larger.extra = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"its extra\.\w+ has shape None, got \(1"):
        train(larger, BATCHES, language_model_loss, CONFIG, out=tmp_path)
    frozen = new_model()
    frozen.head.requires_grad_(False)
    with pytest.raises(ValueError, match="model must train the parameters of the run in"):
        train(frozen, BATCHES, language_model_loss, CONFIG, out=tmp_path)


def test_a_damaged_run_is_named(tmp_path):
    train(new_model(), BATCHES, language_model_loss, CONFIG, out=tmp_path)
    log, checkpoint = tmp_path / "log.jsonl", tmp_path / "checkpoint.pt"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(ValueError, match=r"log.jsonl must hold 12 steps, got 10"):
        train(new_model(), BATCHES, language_model_loss, CONFIG, out=tmp_path)
    whole = [{"step": i, "loss": 1.0, "tokens": 2, "seconds": 0.1} for i in range(12)]
    for wrong in (b"{", b"[1, 2]", b'{"step": 3}', b'{"loss": "low"}', b"\xff", b"\0"):
        lines = [json.dumps(step).encode() for step in whole]
        lines[3] = wrong
        log.write_bytes(b"\n".join(lines) + b"\n")
        with pytest.raises(ValueError, match=r"log.jsonl, line 4 must hold step, loss, tokens, s"):
            train(new_model(), BATCHES, language_model_loss, CONFIG, out=tmp_path)
    content = checkpoint.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"nothing of the kind"):
        checkpoint.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"checkpoint.pt must be a whole checkpoint"):
            train(new_model(), BATCHES, language_model_loss, CONFIG, out=tmp_path)


def test_a_run_goes_on_whatever_lies_beyond_its_checkpoint(tmp_path):
    losses = train(new_model(), BATCHES, language_model_loss, CONFIG, out=tmp_path)
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"step": 12, "lo')  # as a power cut may leave it
    assert train(new_model(), BATCHES, language_model_loss, CONFIG, out=str(tmp_path)) == losses
    assert [line["step"] for line in log_of(tmp_path)] == [*range(12)]


def test_a_full_disk_is_told_of_and_the_run_goes_on(tmp_path):
    config = replace(CONFIG, steps=200, checkpoint_every=100)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (10_000, 25_000):  # before the first checkpoint, and after it
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large") as error:
                train(new_model(), BATCHES, language_model_loss, config, out=tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert error.value.filename == str(tmp_path / "log.jsonl")
        assert {path.name for path in tmp_path.iterdir()} <= {"log.jsonl", "checkpoint.pt"}
    losses = train(new_model(), BATCHES, language_model_loss, config, out=tmp_path)
    assert losses == train(new_model(), BATCHES, language_model_loss, config)
    assert len(log_of(tmp_path)) == 200


def test_a_folder_is_trained_in_once_at_a_time(tmp_path):
    another = new_model()

    def again(step: int) -> None:
        if step == 6:
            before = (tmp_path / "log.jsonl").read_bytes()
            with pytest.raises(ValueError, match=r"log.jsonl must be written by one program at a"):
                train(another, BATCHES, language_model_loss, CONFIG, out=tmp_path)
            assert (tmp_path / "log.jsonl").read_bytes() == before

    losses = train(
        new_model(), BATCHES, language_model_loss, CONFIG, out=tmp_path, after_step=again
    )
    assert losses == train(new_model(), BATCHES, language_model_loss, CONFIG)
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "checkpoint.pt"}
