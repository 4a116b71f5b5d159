"""The numerals that the first model reads, and the model that comes with the book."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmbook.book import numerals
from llmbook.decoding import greedy_decode
from llmbook.training import TrainingConfig


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
    numbers = numerals.sample_numbers(8000, torch.Generator().manual_seed(0))
    lengths = [len(str(number)) for number in numbers]
    # A tenth of the numbers below 10^n have fewer digits, so length 1 gets a little more.
    assert all(800 < lengths.count(length) < 1300 for length in range(1, 9))
    assert numbers == numerals.sample_numbers(8000, torch.Generator().manual_seed(0))


def test_the_model_that_comes_with_the_book_reads_numerals():
    model = numerals.load_model()
    numbers = numerals.sample_numbers(500, torch.Generator().manual_seed(12345))
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
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
