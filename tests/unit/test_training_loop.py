"""The training loop: what a step does, what it refuses, and what it tells of itself."""

import math
import sys
from dataclasses import replace
from itertools import repeat

import pytest
import torch
from torch import Tensor, nn

from llmbook import _progress
from llmbook._progress import progress
from llmbook.book import numerals
from llmbook.decoding import greedy_decode
from llmbook.training import (
    TokenBatches,
    TrainingConfig,
    language_model_loss,
    learning_rate_at,
    next_token_loss,
    train,
)
from llmbook.training.loop import _moved
from llmbook.transformer import Transformer
from tests.support.training import BATCHES, CONFIG, IDS, log_of, new_model, same_weights


def test_frozen_parameters_stay_as_they_are():
    model = new_model()
    model.embedding.requires_grad_(False)
    train(model, BATCHES, language_model_loss, CONFIG)
    assert torch.equal(model.embedding.weight, new_model().embedding.weight)
    assert not torch.equal(model.head.weight, new_model().head.weight)


def test_batches_that_make_one_step_are_averaged(tmp_path):
    twice = TokenBatches(IDS, batch_size=6, length=4)
    halves = (half for batch in twice for half in batch.split(3))
    config = replace(CONFIG, clip_norm=0.1)  # so low that the size of the gradients matters
    models = [new_model().double() for _ in range(2)]
    for model in models:
        model.dropout.p = 0.0
    train(models[0], twice, language_model_loss, config, out=tmp_path / "whole")
    train(
        models[1],
        halves,
        language_model_loss,
        replace(config, accumulation=2),
        out=tmp_path / "halves",
    )
    whole, parts = log_of(tmp_path / "whole"), log_of(tmp_path / "halves")
    for one, two in zip(whole, parts, strict=True):
        assert two == pytest.approx(one, rel=1e-9)  # the norm of the gradients too
    for one, two in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_the_log_tells_every_step(tmp_path):
    losses = train(new_model(), BATCHES, language_model_loss, CONFIG, out=tmp_path)
    log = log_of(tmp_path)
    assert [line["loss"] for line in log] == losses
    assert [line["step"] for line in log] == list(range(12))
    assert [line["learning_rate"] for line in log] == [
        learning_rate_at(step, CONFIG) for step in range(12)
    ]
    assert [line["tokens"] for line in log] == [15 * (step + 1) for step in range(12)]
    model = new_model()
    tokens = next(iter(BATCHES))
    language_model_loss(model, tokens).backward()
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()
    assert log[0]["gradient_norm"] == pytest.approx(norm)


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
    losses = train(new_model(), BATCHES, language_model_loss, CONFIG)
    assert not graphs
    again = train(new_model(), BATCHES, language_model_loss, replace(CONFIG, compile=True))
    assert graphs and again == pytest.approx(losses, abs=1e-6)


def test_progress_is_shown_on_the_error_stream_if_asked_for(capsys):
    train(new_model(), BATCHES, language_model_loss, CONFIG)
    assert capsys.readouterr() == ("", "")
    losses = train(new_model(), BATCHES, language_model_loss, CONFIG, progress=True)
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
    train(model, BATCHES, language_model_loss, CONFIG, out=tmp_path, after_step=look)
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
        train(model, BATCHES, lambda m, b: language_model_loss(m, b) * math.nan, CONFIG)
    assert same_weights(model, new_model())


def test_a_gradient_that_is_no_number_is_noticed_too():
    model = new_model()
    nn.init.zeros_(model.head.bias)  # where the square root is infinitely steep
    before = model.head.weight.clone()
    with pytest.raises(ValueError, match="gradient norm must be a finite number, got inf"):
        train(
            model,
            BATCHES,
            lambda m, b: language_model_loss(m, b) + m.head.bias.sqrt().sum(),
            CONFIG,
        )
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
