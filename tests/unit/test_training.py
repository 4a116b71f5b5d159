"""The training loop and the numerals that the first model reads."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from llmbook import numerals
from llmbook.decoding import greedy_decode
from llmbook.training import TrainingConfig, learning_rate_at, next_token_loss, train
from llmbook.transformer import Transformer


def test_the_learning_rate_rises_then_falls_to_nearly_nothing():
    config = TrainingConfig(steps=200, warmup_steps=20, learning_rate=0.5)
    rates = [learning_rate_at(step, config) for step in range(200)]
    assert rates[0] == pytest.approx(0.5 / 20)
    assert rates[19] == pytest.approx(0.5)
    assert rates[:20] == sorted(rates[:20])
    assert rates[19:] == sorted(rates[19:], reverse=True)
    assert 0 < rates[-1] < 1e-3


def test_a_warm_up_longer_than_the_run_is_no_fault():
    config = TrainingConfig(steps=5, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate_at(step, config) for step in range(5)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@given(seed=st.integers(0, 99), T=st.integers(1, 6))
def test_the_loss_is_the_mean_surprise_of_what_is_not_padding(seed, T):
    torch.manual_seed(seed)
    logits, tokens = torch.randn(3, T, 7, dtype=torch.float64), torch.randint(1, 7, (3, T + 1))
    tokens[0, 1 + T // 2 :] = 0
    surprises = [
        -math.log(logits[b, t].softmax(dim=0)[tokens[b, t + 1]].item())
        for b in range(3)
        for t in range(T)
        if tokens[b, t + 1] != 0
    ]
    loss = next_token_loss(logits, tokens).item()
    assert loss == pytest.approx(sum(surprises) / len(surprises))


def test_training_does_what_adamw_by_hand_does():
    def model() -> nn.Module:
        torch.manual_seed(0)
        return nn.Linear(4, 3).double()

    torch.manual_seed(1)
    x, answers = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    config = TrainingConfig(steps=7, warmup_steps=2, learning_rate=0.1, clip_norm=0.05)
    ours, theirs = model(), model()
    losses = train(ours, lambda: F.cross_entropy(ours(x), answers), config)

    optimizer = torch.optim.AdamW(theirs.parameters(), weight_decay=config.weight_decay)
    expected = []
    for step in range(7):
        optimizer.param_groups[0]["lr"] = learning_rate_at(step, config)
        loss = F.cross_entropy(theirs(x), answers)
        expected.append(loss.item())
        gradients = torch.autograd.grad(loss, list(theirs.parameters()))
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        for parameter, gradient in zip(theirs.parameters(), gradients, strict=True):
            parameter.grad = gradient * min(1.0, config.clip_norm / (norm.item() + 1e-6))
        optimizer.step()
    assert losses == pytest.approx(expected, abs=1e-12)
    for mine, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, their)


def test_a_transformer_learns_a_batch_by_heart():
    torch.manual_seed(0)
    model = Transformer(numerals.CONFIG)
    numbers = [305, 1050, 12, 90_000_001]
    source, target = numerals.batch(numbers)
    config = TrainingConfig(steps=80, warmup_steps=10)
    losses = train(model, lambda: next_token_loss(model(source, target[:, :-1]), target), config)
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
            lambda: train(nn.Linear(1, 1), lambda: torch.zeros(()), TrainingConfig(steps=0)),
            "steps must be at least 1, got 0",
        ),
        (
            lambda: train(
                nn.Linear(1, 1), lambda: torch.zeros(()), TrainingConfig(learning_rate=0.0)
            ),
            "learning_rate must be positive, got 0.0",
        ),
        (
            lambda: train(nn.Linear(1, 1), lambda: torch.tensor(float("nan")), TrainingConfig()),
            "loss must be a finite number, got nan at step 0: lower learning_rate",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
