"""What must hold of attention for any input: masks, empty rows, and clear errors."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmbook.attention import (
    MultiHeadAttention,
    attention_weights,
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
    sliding_window_mask,
)

sizes = st.integers(1, 8)
seeds = st.integers(0, 2**32 - 1)


@given(T=sizes, extra=st.integers(0, 5))
def test_causal_mask(T, extra):
    mask = causal_mask(T, T + extra)
    for t in range(T):
        assert mask[t].tolist() == [s <= t + extra for s in range(T + extra)]


@given(T=sizes, window=st.integers(1, 10))
def test_sliding_window_mask(T, window):
    mask = sliding_window_mask(T, window)
    for t in range(T):
        assert mask[t].tolist() == [t - window < s <= t for s in range(T)]


@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4), extra=st.integers(0, 3))
def test_padding_mask(lengths, extra):
    S = max(lengths) + extra
    mask = padding_mask(torch.tensor(lengths), S)
    assert mask.shape == (len(lengths), 1, 1, S)
    for row, length in zip(mask[:, 0, 0], lengths, strict=True):
        assert row.tolist() == [s < length for s in range(S)]


@given(T=sizes, S=sizes, D=sizes, seed=seeds)
def test_each_row_of_weights_sums_to_one_or_zero(T, S, D, seed):
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (
        torch.randn(2, n, D, generator=generator, dtype=torch.float64) for n in (T, S, S)
    )
    mask = torch.rand(2, T, S, generator=generator) < 0.5
    weights = attention_weights(query, key, mask)
    fused = scaled_dot_product_attention(query, key, value, mask)
    assert (weights >= 0).all() and (weights[~mask] == 0).all()
    torch.testing.assert_close(weights.sum(-1), mask.any(-1).double())
    torch.testing.assert_close(weights @ value, fused, rtol=0, atol=1e-12)
    assert (weights[~mask.any(-1)] == 0).all() and (fused[~mask.any(-1)] == 0).all()


@given(T=st.integers(2, 8), changed=st.integers(1, 7), seed=seeds)
def test_nothing_leaks_from_the_future(T, changed, seed):
    torch.manual_seed(seed)
    changed = min(changed, T - 1)
    layer = MultiHeadAttention(8, 2)
    x = torch.randn(1, T, 8)
    other = x.clone()
    other[:, changed:] += torch.randn(1, T - changed, 8)
    before, after = layer(x, is_causal=True), layer(other, is_causal=True)
    torch.testing.assert_close(before[:, :changed], after[:, :changed])
    assert not torch.allclose(before[:, changed:], after[:, changed:])


@given(seed=seeds)
def test_padding_changes_nothing(seed):
    torch.manual_seed(seed)
    layer = MultiHeadAttention(8, 2)
    x = torch.randn(2, 6, 8)
    mask = padding_mask(torch.tensor([4, 6]))
    padded = layer(x, mask=mask)
    torch.testing.assert_close(padded[:1, :4], layer(x[:1, :4]))
    torch.testing.assert_close(padded[1:], layer(x[1:]))


@given(T=sizes, seed=seeds)
def test_permutation_equivariance(T, seed):
    torch.manual_seed(seed)
    layer = MultiHeadAttention(8, 2).double()
    x = torch.randn(1, T, 8, dtype=torch.float64)
    order = torch.randperm(T)
    torch.testing.assert_close(layer(x[:, order]), layer(x)[:, order], rtol=0, atol=1e-12)


@given(T=st.integers(1, 6), new=st.integers(1, 3), seed=seeds)
def test_last_queries_alone_give_the_same(T, new, seed):
    """What a KV cache relies on: causal rows do not depend on the queries before them."""
    generator = torch.Generator().manual_seed(seed)
    q, k, v = torch.randn(3, 1, T + new, 4, generator=generator, dtype=torch.float64).unbind()
    whole = scaled_dot_product_attention(q, k, v, is_causal=True)
    last = scaled_dot_product_attention(q[:, T:], k, v, is_causal=True)
    torch.testing.assert_close(whole[:, T:], last, rtol=0, atol=1e-12)


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_a_fully_masked_row_gives_zeros_and_sound_gradients(additive, fused):
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 3, 4, requires_grad=True) for _ in range(3))
    mask = torch.tensor([[True, False, True], [False] * 3, [True] * 3])
    if additive:
        mask = torch.zeros(3, 3).masked_fill(~mask, float("-inf"))
    if fused:
        output = scaled_dot_product_attention(query, key, value, mask)
    else:
        output = attention_weights(query, key, mask) @ value
    assert (output[:, :, 1] == 0).all()
    assert output[:, :, [0, 2]].abs().min() > 0
    for gradient in torch.autograd.grad(output.sum(), (query, key, value)):
        assert gradient.isfinite().all()


def test_a_learned_additive_mask_gets_a_gradient():
    torch.manual_seed(0)
    bias = torch.zeros(3, 3, requires_grad=True)
    q, k, v = torch.randn(3, 1, 3, 4).unbind()
    output = scaled_dot_product_attention(q, k, v, bias)
    assert torch.autograd.grad(output.square().sum(), bias)[0].abs().sum() > 0


def x(*shape: int) -> torch.Tensor:
    return torch.zeros(shape)


ERRORS = {
    "d_model must be divisible by num_heads (3), got 10": lambda: MultiHeadAttention(10, 3),
    "num_kv_heads must divide num_heads (4), got 3": lambda: MultiHeadAttention(
        8, 4, num_kv_heads=3
    ),
    "num_heads must be at least 1, got 0": lambda: MultiHeadAttention(8, 0),
    "d_source must be at least 1, got -1": lambda: MultiHeadAttention(8, 2, d_source=-1),
    "dropout must lie between 0 and 1, got 1.5": lambda: MultiHeadAttention(8, 2, dropout=1.5),
    "x must have shape (batch, length, 8), got (2, 8)": lambda: MultiHeadAttention(8, 2)(x(2, 8)),
    "x must have shape (batch, length, 8), got (1, 2, 9)": lambda: MultiHeadAttention(8, 2)(
        x(1, 2, 9)
    ),
    "source must have shape (batch, length, 8), got (1, 2, 9)": lambda: MultiHeadAttention(8, 2)(
        x(1, 2, 8), x(1, 2, 9)
    ),
    "source must have the batch size of x (1), got 2": lambda: MultiHeadAttention(8, 2)(
        x(1, 2, 8), x(2, 2, 8)
    ),
    "source must be None with a rotation": lambda: MultiHeadAttention(8, 2)(
        x(1, 2, 8), x(1, 2, 8), rotation=(x(2, 4), x(2, 4))
    ),
    "x must have shape (batch, length, 6), got (1, 2, 8)": lambda: MultiHeadAttention(
        8, 2, d_source=6
    )(x(1, 2, 8)),
    "head_dim must be at least 1, got 0": lambda: MultiHeadAttention(8, 2, head_dim=0),
    "mask must broadcast to (1, 3, 3), got shape (3, 4)": lambda: attention_weights(
        x(1, 3, 8), x(1, 3, 8), x(3, 4)
    ),
    "mask must broadcast to (1, 2, 3, 3), got shape (3, 4)": lambda: MultiHeadAttention(8, 2)(
        x(1, 3, 8), mask=torch.ones(3, 4, dtype=torch.bool)
    ),
    "got shape (2, 3): for a mask of the keys of each row give shape (B, 1, 1, S)": lambda: (
        MultiHeadAttention(8, 2)(x(2, 3, 8), mask=torch.ones(2, 3, dtype=torch.bool))
    ),
    "got shape (2, 4): for a mask of the keys of each row give shape (B, 1, S)": lambda: (
        scaled_dot_product_attention(x(2, 3, 4), x(2, 4, 4), x(2, 4, 4), x(2, 4))
    ),
    "mask must be a tensor, got list": lambda: MultiHeadAttention(8, 2)(
        x(1, 3, 8), mask=[[True] * 3] * 3
    ),
    "x must be a tensor, got list": lambda: MultiHeadAttention(8, 2)([[[0.0] * 8]]),
    "query must be a tensor, got list": lambda: scaled_dot_product_attention(
        [[0.0]], x(1, 1), x(1, 1)
    ),
    "mask must broadcast to (1, 3), got shape (2, 1, 3)": lambda: scaled_dot_product_attention(
        x(1, 4), x(3, 4), x(3, 4), x(2, 1, 3)
    ),
    "mask must be boolean (True = may attend) or floating point (added to the scores), "
    "got torch.int64": lambda: MultiHeadAttention(8, 2)(
        x(1, 3, 8), mask=torch.ones(3, 3, dtype=torch.long)
    ),
    "query must be floating point of shape (..., length, dimension), got shape (3,)": lambda: (
        scaled_dot_product_attention(x(3), x(3, 4), x(3, 4))
    ),
    "key must be floating point of shape (..., length, dimension), got shape (3, 4) of "
    "torch.int64": lambda: scaled_dot_product_attention(x(3, 4), x(3, 4).long(), x(3, 4)),
    "key must have the dimension of query (4), got 5": lambda: scaled_dot_product_attention(
        x(3, 4), x(3, 5), x(3, 4)
    ),
    "value must have the length of key (3), got 2": lambda: scaled_dot_product_attention(
        x(3, 4), x(3, 4), x(2, 4)
    ),
    "query, key and value must agree in all but their last two dimensions": lambda: (
        scaled_dot_product_attention(x(2, 3, 4), x(5, 3, 4), x(2, 3, 4))
    ),
    "query and key must have at least one position": lambda: scaled_dot_product_attention(
        x(3, 4), x(0, 4), x(0, 4)
    ),
    "dropout_p must lie between 0 and 1, got -0.1": lambda: scaled_dot_product_attention(
        x(3, 4), x(3, 4), x(3, 4), dropout_p=-0.1
    ),
    "target_length must be at least 1, got 0": lambda: causal_mask(0),
    "source_length must be at least target_length (4), got 3": lambda: causal_mask(4, 3),
    "window must be at least 1, got 0": lambda: sliding_window_mask(4, 0),
    "lengths must be a vector of integers, shape (B,), got shape (2,) of torch.float32": lambda: (
        padding_mask(x(2))
    ),
    "lengths must lie between 0 and source_length (2), got [3, 1]": lambda: padding_mask(
        torch.tensor([3, 1]), 2
    ),
}


@pytest.mark.parametrize("message", ERRORS)
def test_bad_input_is_named(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert message in str(error.value)


def test_a_layer_shows_its_heads():
    shown = repr(MultiHeadAttention(16, 4, num_kv_heads=2))
    assert shown.startswith("MultiHeadAttention(\n  num_heads=4, num_kv_heads=2, head_dim=4\n")
