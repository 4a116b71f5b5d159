"""The measures of a language model: its loss, its negative log-likelihood, its bits per byte."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmbook.gpt import GPT, GPTConfig
from llmbook.tokenizer import Tokenizer
from llmbook.training import (
    END,
    bits_per_byte,
    count_bytes,
    language_model_loss,
    sequence_nll,
    stream,
    text_nll,
)

TEXTS = ["It isn't.", "注意力。", "", "一 one"]
SMALL = GPTConfig(
    vocab_size=257,
    max_length=64,
    d_model=16,
    num_layers=2,
    num_heads=2,
    dropout=0.15,
)


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer([], special_tokens=[END])


@pytest.fixture
def model() -> GPT:
    torch.manual_seed(3)
    model = GPT(SMALL)
    for weight in model.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    return model


def test_a_stream_has_a_mark_before_each_text_and_after_it(tokenizer):
    ids = stream(tokenizer, TEXTS)
    end = tokenizer.special_tokens[END]
    marks = (ids == end).nonzero().flatten().tolist()
    assert len(marks) == len(TEXTS) + 1
    assert (marks[0], marks[-1]) == (0, len(ids) - 1)
    between = [ids[i + 1 : j].tolist() for i, j in pairwise(marks)]
    assert [tokenizer.decode(part) for part in between] == TEXTS
    assert stream(tokenizer, []).tolist() == [end]


def test_a_mark_in_a_text_is_only_letters(tokenizer):
    end = tokenizer.special_tokens[END]
    assert stream(tokenizer, [END])[1:-1].tolist().count(end) == 0


def test_the_negative_log_likelihood_of_a_text_includes_its_end(tokenizer, model):
    expected = 0.0
    for text in TEXTS:
        ids = stream(tokenizer, [text])
        for t in range(1, len(ids)):
            with torch.inference_mode():
                logits = model.eval()(ids[None, :t])[0, -1]
            expected -= logits.log_softmax(-1)[ids[t]].item()
    assert expected > 50
    model.train().final_norm.eval()  # dropout must be off all the same
    before = [module.training for module in model.modules()]
    assert text_nll(model, tokenizer, TEXTS) == pytest.approx(expected, rel=1e-5)
    assert [module.training for module in model.modules()] == before
    model.eval()
    text_nll(model, tokenizer, TEXTS)
    assert not model.training
    assert text_nll(model, tokenizer, []) == 0


@settings(max_examples=20)
@given(st.lists(st.text(max_size=8), max_size=4), st.lists(st.text(max_size=8), max_size=4))
def test_each_text_is_read_by_itself(one, other):
    torch.manual_seed(0)
    tokenizer, model = Tokenizer([], special_tokens=[END]), GPT(SMALL)
    apart = sum(text_nll(model, tokenizer, texts) for texts in (one, other))
    together = text_nll(model, tokenizer, other + one)
    assert together == pytest.approx(apart, rel=1e-5)


def test_an_even_guess_costs_the_logarithm_of_the_vocabulary(tokenizer, model):
    for weight in model.parameters():
        weight.data.zero_()
    nats = text_nll(model, tokenizer, TEXTS)
    # A token is a byte here, and so is the end: as many tokens as bytes.
    assert bits_per_byte(nats, count_bytes(TEXTS)) == pytest.approx(math.log2(257), rel=1e-5)


def test_a_byte_is_one_of_utf_8():
    assert count_bytes(["注意", "abcd"]) == 12
    assert bits_per_byte(math.log(2) * 12, 12) == pytest.approx(1)
    with pytest.raises(ValueError, match="num_bytes must be at least 1, got 0"):
        bits_per_byte(1.0, count_bytes([]))


def test_the_loss_is_a_mean_and_the_likelihood_a_sum(tokenizer, model):
    ids = stream(tokenizer, TEXTS)
    model.eval()
    loss = language_model_loss(model, ids[None])
    assert sequence_nll(model, ids) == pytest.approx(loss.item() * (len(ids) - 1), rel=1e-6)
    loss_mask = torch.zeros(1, len(ids), dtype=torch.bool)
    loss_mask[0, 3] = True
    expected = -model(ids[None, :-1])[0, 2].log_softmax(-1)[ids[3]]
    torch.testing.assert_close(language_model_loss(model, ids[None], loss_mask), expected)


def test_a_text_longer_than_the_model_reads_is_read_in_pieces(tokenizer, model):
    text = "x" * 64 + "y" * 64 + "z"  # END and 63 letters are read, then 64, then the rest
    end, x, y, z = stream(tokenizer, ["xyz"])[:4].tolist()
    pieces = [[end] + [x] * 64, [x] + [y] * 64, [y, z, end]]
    expected = 0.0
    with torch.inference_mode():
        for piece in pieces:
            logits = model.eval()(torch.tensor([piece[:-1]]))[0].log_softmax(-1)
            expected -= sum(logits[t, i].item() for t, i in enumerate(piece[1:]))
    assert text_nll(model, tokenizer, [text]) == pytest.approx(expected, rel=1e-5)
