"""Positions against transformers' Llama (RoPE), torch's sine and cosine, and published slopes."""

import math

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from llmbook.positions import (
    RotaryEmbedding,
    alibi_bias,
    alibi_slopes,
    apply_rotary,
    rotary_angles,
    sinusoidal_positions,
)


@pytest.mark.parametrize("base", [10000.0, 500000.0])
@pytest.mark.parametrize(("T", "D"), [(1, 2), (7, 8), (33, 64)])
def test_rotary_equals_llama(T, D, base):
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=2 * D,
        num_attention_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": base},
    )
    query, key = torch.randn(2, 3, 2, T, D, requires_grad=True).unbind()
    cos, sin = LlamaRotaryEmbedding(config)(query, torch.arange(T)[None])
    expected_query, expected_key = apply_rotary_pos_emb(query, key, cos, sin)
    ours = RotaryEmbedding(D, base=base)
    assert (ours(query) - expected_query).abs().max() <= 1e-5
    assert (ours(key) - expected_key).abs().max() <= 1e-5
    direction = torch.randn_like(query)
    (mine,) = torch.autograd.grad((ours(query) * direction).sum(), query)
    (theirs,) = torch.autograd.grad((expected_query * direction).sum(), query)
    assert (mine - theirs).abs().max() <= 1e-5


@pytest.mark.parametrize(("T", "D"), [(1, 2), (40, 16)])
def test_rotary_equals_complex_multiplication(T, D):
    """The paper's own form (Su et al., 2024, equation 13), in float64."""
    torch.manual_seed(1)
    x = torch.randn(2, T, D, dtype=torch.float64)
    pairs = torch.complex(x[..., : D // 2], x[..., D // 2 :])
    theta = 10000.0 ** (-2 * torch.arange(D // 2, dtype=torch.float64) / D)
    angle = torch.arange(T, dtype=torch.float64)[:, None] * theta
    turned = pairs * torch.polar(torch.ones_like(angle), angle)
    expected = torch.cat((turned.real, turned.imag), dim=-1)
    assert (apply_rotary(x, rotary_angles(T, D)) - expected).abs().max() <= 1e-12


@pytest.mark.parametrize("d_model", [1, 2, 5, 64])
def test_sinusoidal_equals_the_formula(d_model):
    torch.set_default_dtype(torch.float64)
    try:
        encoding = sinusoidal_positions(50, d_model, offset=3)
    finally:
        torch.set_default_dtype(torch.float32)
    for row in (0, 1, 49):
        for column in range(d_model):
            angle = (row + 3) / 10000 ** (2 * (column // 2) / d_model)
            expected = math.sin(angle) if column % 2 == 0 else math.cos(angle)
            assert abs(encoding[row, column].item() - expected) <= 1e-12


def test_alibi_slopes_as_published():
    # Press et al. (2022, section 3): for 8 heads 1/2, 1/4 … 1/256; for 16, 2^-0.5 … 2^-8.
    assert alibi_slopes(8).tolist() == [2.0**-h for h in range(1, 9)]
    expected = torch.tensor([2 ** (-h / 2) for h in range(1, 17)])
    assert torch.equal(alibi_slopes(16), expected)


def test_alibi_slopes_of_12_heads():
    # The rule of the authors' code for heads that are no power of two.
    expected = [2.0**-h for h in range(1, 9)] + [2.0 ** -(h + 0.5) for h in range(4)]
    assert torch.equal(alibi_slopes(12), torch.tensor(expected))


def test_alibi_bias_is_slope_times_distance():
    bias = alibi_bias(2, 3, 5)
    assert bias.shape == (2, 3, 5)
    for h, slope in enumerate(alibi_slopes(2).tolist()):
        for t in range(3):
            for s in range(5):
                assert bias[h, t, s].item() == pytest.approx(-slope * abs(t + 2 - s))
