"""Attention against torch, weights copied: outputs, weights and gradients."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook.attention import (
    MultiHeadAttention,
    attention_weights,
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
)
from llmbook.cache import KVCache

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
SIZES = [(2, 3, 7, 7, 8), (1, 1, 1, 1, 4), (3, 5, 9, 4, 6), (1, 2, 1, 11, 10), (2, 1, 13, 13, 2)]


def assert_equal(ours: Tensor, reference: Tensor) -> None:
    assert ours.shape == reference.shape
    assert (ours - reference).abs().max().item() <= TOLERANCE[ours.dtype]


def gradients(output: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    direction = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return list(torch.autograd.grad((output * direction).sum(), inputs, retain_graph=True))


def some_mask(kind: str, T: int, S: int, dtype: torch.dtype) -> Tensor | None:
    if kind == "none":
        return None
    if kind == "boolean":
        mask = torch.rand(T, S) < 0.6
        mask[:, 0] = True
        return mask
    if kind == "additive":
        return torch.randn(T, S, dtype=dtype)
    mask = torch.randn(T, S, dtype=dtype)
    mask[torch.rand(T, S) < 0.3] = float("-inf")
    mask[:, 0] = 0.0
    return mask


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("kind", ["none", "boolean", "additive", "additive with -inf"])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("B", "H", "T", "S", "D"), SIZES)
def test_scaled_dot_product_attention(B, H, T, S, D, fused, kind, dtype):
    torch.manual_seed(0)
    shapes = ((B, H, T, D), (B, H, S, D), (B, H, S, D + 1))
    inputs = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]
    mask = some_mask(kind, T, S, dtype)
    if fused:
        output = scaled_dot_product_attention(*inputs, mask)
    else:
        output = attention_weights(*inputs[:2], mask) @ inputs[2]
    reference = F.scaled_dot_product_attention(*inputs, attn_mask=mask)
    assert_equal(output, reference)
    for mine, theirs in zip(gradients(output, inputs), gradients(reference, inputs), strict=True):
        assert_equal(mine, theirs)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("scale", [None, 0.3])
def test_causal_and_scale(dtype, scale):
    torch.manual_seed(1)
    query, key, value = torch.randn(3, 2, 4, 6, 8, dtype=dtype).unbind()
    options = {"is_causal": True, "scale": scale}
    reference = F.scaled_dot_product_attention(query, key, value, **options)
    assert_equal(scaled_dot_product_attention(query, key, value, **options), reference)
    assert_equal(attention_weights(query, key, **options) @ value, reference)


def pair(
    d_model: int, num_heads: int, dtype: torch.dtype, *, bias: bool, d_source: int | None = None
) -> tuple[MultiHeadAttention, nn.MultiheadAttention]:
    """Our layer and torch's with the same random weights."""
    reference = nn.MultiheadAttention(
        d_model, num_heads, bias=bias, kdim=d_source, vdim=d_source, batch_first=True, dtype=dtype
    )
    ours = MultiHeadAttention(d_model, num_heads, bias=bias, d_source=d_source).to(dtype)
    if d_source is None or d_source == d_model:
        weights = reference.in_proj_weight.chunk(3)
    else:
        weights = (
            reference.q_proj_weight,
            reference.k_proj_weight,
            reference.v_proj_weight,
        )
    projections = (ours.query_proj, ours.key_proj, ours.value_proj)
    with torch.no_grad():
        for projection, weight in zip(projections, weights, strict=True):
            projection.weight.copy_(weight)
        ours.output_proj.weight.copy_(reference.out_proj.weight)
        if bias:
            nn.init.normal_(reference.in_proj_bias)
            nn.init.normal_(reference.out_proj.bias)
            for projection, part in zip(projections, reference.in_proj_bias.chunk(3), strict=True):
                projection.bias.copy_(part)
            ours.output_proj.bias.copy_(reference.out_proj.bias)
    return ours, reference


MASKS = ["none", "causal", "padding", "causal and padding", "boolean", "additive", "per head"]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize(
    ("B", "T", "S", "d_model", "num_heads", "bias"),
    [
        (2, 5, 5, 12, 3, True),
        (1, 1, 1, 4, 2, True),
        (3, 7, 7, 10, 1, False),
        (1, 9, 9, 14, 7, True),
    ],
)
def test_multi_head_attention(B, T, S, d_model, num_heads, bias, kind, cross, dtype):
    torch.manual_seed(2)
    d_source = d_model + 3 if cross else None
    if cross and "causal" not in kind:
        S = S + 4
    ours, reference = pair(d_model, num_heads, dtype, bias=bias, d_source=d_source)
    x = torch.randn(B, T, d_model, dtype=dtype, requires_grad=True)
    source = torch.randn(B, S, d_source, dtype=dtype, requires_grad=True) if cross else x
    lengths = torch.randint(1, S + 1, (B,))
    padding = padding_mask(lengths, S)

    # torch's convention is the inverse of ours: True means blocked.
    attn_mask = key_padding_mask = mask = None
    if kind in ("boolean", "additive"):
        mask = some_mask(kind, T, S, dtype)
        attn_mask = ~mask if kind == "boolean" else mask
    elif kind == "per head":
        mask = torch.randn(B, num_heads, T, S, dtype=dtype)
        attn_mask = mask.flatten(0, 1)
    if "causal" in kind:
        attn_mask = ~causal_mask(T, S)
    if "padding" in kind:
        mask, key_padding_mask = padding, ~padding[:, 0, 0]

    arguments = {"mask": mask, "is_causal": "causal" in kind}
    output = ours(x, source if cross else None, **arguments)
    weights = ours.weights(x, source if cross else None, **arguments)
    expected, expected_weights = reference(
        x,
        source,
        source,
        attn_mask=attn_mask,
        key_padding_mask=key_padding_mask,
        average_attn_weights=False,
    )
    assert_equal(output, expected)
    assert_equal(weights, expected_weights)

    inputs = [x, source] if cross else [x]
    for mine, theirs in zip(gradients(output, inputs), gradients(expected, inputs), strict=True):
        assert_equal(mine, theirs)
    mine = gradients(output, [ours.query_proj.weight, ours.key_proj.weight, ours.value_proj.weight])
    if d_source is None:
        theirs = gradients(expected, [reference.in_proj_weight])[0].chunk(3)
    else:
        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
        theirs = gradients(expected, [getattr(reference, name) for name in names])
    for one, other in zip(mine, theirs, strict=True):
        # Weight gradients sum over B · T terms of either sign; compare relative to their size.
        assert_equal(one / other.abs().max().clamp(min=1), other / other.abs().max().clamp(min=1))


@pytest.mark.parametrize("num_kv_heads", [1, 2, 3, 6])
def test_grouped_queries_against_torch(num_kv_heads):
    torch.manual_seed(3)
    layer = MultiHeadAttention(24, 6, num_kv_heads=num_kv_heads).double()
    x = torch.randn(2, 5, 24, dtype=torch.float64)
    query = layer.query_proj(x).unflatten(-1, (6, 4)).transpose(1, 2)
    key = layer.key_proj(x).unflatten(-1, (num_kv_heads, 4)).transpose(1, 2)
    value = layer.value_proj(x).unflatten(-1, (num_kv_heads, 4)).transpose(1, 2)
    heads = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    expected = layer.output_proj(heads.transpose(1, 2).flatten(2))
    assert_equal(layer(x, is_causal=True), expected)
    average = layer.weights(x, is_causal=True) @ value.repeat_interleave(6 // num_kv_heads, dim=1)
    assert_equal(average, heads)
    # One query, whose heads go through in groups, each with a mask of its own.
    mask = torch.randn(2, 6, 1, 5, dtype=torch.float64)
    heads = F.scaled_dot_product_attention(query[:, :, 4:], key, value, mask, enable_gqa=True)
    cache = KVCache()
    layer(x[:, :4], is_causal=True, cache=cache)
    expected = layer.output_proj(heads.transpose(1, 2).flatten(2))
    assert_equal(layer(x[:, 4:], mask=mask, is_causal=True, cache=cache), expected)


def test_dropout_in_training_only():
    torch.manual_seed(4)
    query, key = torch.randn(2, 4, 6, 8).unbind()
    value = torch.eye(6).expand(4, 6, 6)  # the output is the weights themselves
    weights = scaled_dot_product_attention(query, key, value, dropout_p=0.5)
    assert (weights == 0).float().mean() == pytest.approx(0.5, abs=0.15)
    assert_equal(weights[weights > 0], attention_weights(query, key)[weights > 0] / 0.5)
    layer, x = MultiHeadAttention(8, 2, dropout=0.5), torch.randn(4, 6, 8)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
