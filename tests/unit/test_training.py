"""What training is made of: the learning rate, the loss, the batches, the groups of parameters."""

import math
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from llmbook.training import (
    TokenBatches,
    TrainingConfig,
    decay_groups,
    language_model_loss,
    learning_rate_at,
    next_token_loss,
    train,
)
from tests.support.training import BATCHES, CONFIG, IDS, BigramModel, new_model


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
    with_mask=st.booleans(),
)
def test_the_loss_is_the_mean_surprise_of_what_counts(seed, T, pad_id, with_mask):
    torch.manual_seed(seed)
    logits, tokens = torch.randn(3, T, 7, dtype=torch.float64), torch.randint(7, (3, T + 1))
    tokens[0, 1] = 5  # something counts
    loss_mask = torch.rand(3, T + 1) < 0.6
    loss_mask[0, 1] = True
    surprises = [
        -math.log(logits[b, t].softmax(dim=0)[tokens[b, t + 1]].item())
        for b in range(3)
        for t in range(T)
        if tokens[b, t + 1] != pad_id and (loss_mask[b, t + 1] or not with_mask)
    ]
    mask = loss_mask if with_mask else None
    loss = next_token_loss(logits, tokens, pad_id=pad_id, loss_mask=mask)
    assert loss.item() == pytest.approx(sum(surprises) / len(surprises))


def test_what_does_not_count_has_no_gradient():
    logits = torch.randn(2, 3, 7, requires_grad=True)
    tokens = torch.tensor([[1, 2, 3, 0], [1, 2, 0, 0]], dtype=torch.int32)
    loss_mask = torch.tensor([[True, False, True, True], [False, True, True, True]])
    next_token_loss(logits, tokens, pad_id=0, loss_mask=loss_mask).backward()
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: next_token_loss(torch.zeros(2, 3, 5), torch.zeros(2, 3, dtype=torch.long)),
            r"tokens must be one longer than logits.*\(2, 3\) and \(2, 3, 5\)",
        ),
        (
            lambda: next_token_loss(
                torch.zeros(2, 3, 5),
                torch.zeros(2, 4, dtype=torch.long),
                loss_mask=torch.ones(2, 4),
            ),
            r"loss_mask must be boolean of the shape of tokens \(2, 4\), got .* torch.float32",
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
            lambda: train(
                nn.Linear(1, 1).requires_grad_(False), BATCHES, language_model_loss, CONFIG
            ),
            "model must have a parameter that requires a gradient, got none",
        ),
        (
            lambda: train(new_model(), list(islice(BATCHES, 3)), language_model_loss, CONFIG),
            "batches must last for 12 steps, got fewer",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
