"""What must hold of positions for any input, and clear errors."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmbook.attention import MultiHeadAttention
from llmbook.positions import (
    LearnedPositions,
    RopeScaling,
    RotaryEmbedding,
    SinusoidalEncoding,
    alibi_bias,
    alibi_slopes,
    apply_rotary,
    rotary_angles,
    sinusoidal_positions,
)
from llmbook.positions.rotary import turn

seeds = st.integers(0, 2**32 - 1)


@given(offset=st.integers(0, 10_000), length=st.integers(1, 20), d_model=st.integers(1, 33))
def test_offset_continues_the_sequence(offset, length, d_model):
    whole = sinusoidal_positions(offset + length, d_model)
    assert torch.equal(whole[offset:], sinusoidal_positions(length, d_model, offset=offset))


@given(shift=st.integers(0, 1000), half=st.integers(1, 8))
def test_a_shift_of_sinusoids_is_a_rotation(shift, half):
    waves = sinusoidal_positions(8, 2 * half).double()
    shifted = sinusoidal_positions(8, 2 * half, offset=shift).double()
    angle = shift * 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    sine, cosine = waves[:, 0::2], waves[:, 1::2]
    expected = torch.stack(
        (sine * angle.cos() + cosine * angle.sin(), cosine * angle.cos() - sine * angle.sin()), -1
    ).flatten(-2)
    torch.testing.assert_close(shifted, expected, rtol=0, atol=1e-6)


@given(seed=seeds, shift=st.integers(0, 5000), half=st.integers(1, 8))
def test_rotary_scores_depend_on_the_distance_alone(seed, shift, half):
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, 6, 2 * half, generator=generator, dtype=torch.float64).unbind()
    rotary = RotaryEmbedding(2 * half)
    near = rotary(query) @ rotary(key).T
    far = rotary(query, shift) @ rotary(key, shift).T
    torch.testing.assert_close(near, far, rtol=0, atol=1e-9)


@given(seed=seeds, half=st.integers(1, 8))
def test_rotary_keeps_lengths_and_leaves_position_0(seed, half):
    x = torch.randn(5, 2 * half, generator=torch.Generator().manual_seed(seed))
    turned = RotaryEmbedding(2 * half)(x)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[0], x[0])


@given(num_heads=st.integers(1, 64))
def test_alibi_slopes_are_distinct_and_between_0_and_1(num_heads):
    slopes = alibi_slopes(num_heads)
    assert slopes.shape == (num_heads,)
    assert ((slopes > 0) & (slopes < 1)).all() and len(set(slopes.tolist())) == num_heads


def test_alibi_works_as_a_mask():
    torch.manual_seed(0)
    layer = MultiHeadAttention(8, 2)
    weights = layer.weights(torch.zeros(1, 4, 8), mask=alibi_bias(2, 4), is_causal=True)
    rows = weights[0, 0, 3]  # equal scores, so the bias alone decides
    torch.testing.assert_close(rows.log().diff(), alibi_slopes(2)[:1].expand(3))


def test_stretched_rotary_positions():
    """Fast pairs stay, slow ones turn factor times more slowly, and nothing jumps between."""
    scaling = RopeScaling(factor=4.0, original_max_length=1000)
    frequencies = torch.logspace(0, -5, 200, dtype=torch.float64)
    ratio = scaling.stretch(frequencies) / frequencies
    turns = 1000 * frequencies / (2 * math.pi)
    assert (ratio[turns >= 4] == 1).all() and (turns >= 4).any()
    torch.testing.assert_close(ratio[turns <= 1], torch.full_like(ratio[turns <= 1], 0.25))
    steps = ratio[:-1] - ratio[1:]
    assert ((steps > -1e-12) & (steps < 0.1)).all()


def test_a_layer_may_turn_each_row_by_places_of_its_own():
    rotary, x = RotaryEmbedding(4, scaling=RopeScaling(4.0)), torch.randn(2, 3, 5, 4)
    expected = torch.stack((rotary(x[0]), rotary(x[1], offset=7)))  # (B, H, T, D)
    torch.testing.assert_close(turn(x, rotary.rotation(x[:, 0], offset=[0, 7])), expected)
    torch.testing.assert_close(turn(x[1], rotary.rotation(x[1], offset=7)), expected[1])
    with torch.inference_mode():  # what was made here serves training too
        rotary.rotation(x, offset=100)
    learned = x.clone().requires_grad_()
    turn(learned, rotary.rotation(x)).sum().backward()
    assert rotary.rotation(x.double())[0].dtype == torch.float64


def test_modules_add_their_encoding():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6)
    encoded = SinusoidalEncoding(6)(x, offset=4)
    torch.testing.assert_close(encoded - x, sinusoidal_positions(3, 6, offset=4).expand(2, 3, 6))
    assert SinusoidalEncoding(6)(x.half()).dtype == torch.float16
    learned = LearnedPositions(10, 6)
    torch.testing.assert_close(learned(x, offset=7) - x, learned.weight[7:].expand(2, 3, 6))


ERRORS = {
    "d_model must be at least 1, got 0": lambda: sinusoidal_positions(3, 0),
    "length must be at least 1, got 0": lambda: sinusoidal_positions(0, 4),
    "base must be positive, got 0": lambda: sinusoidal_positions(3, 4, base=0),
    "offset must not be negative, got -1": lambda: sinusoidal_positions(3, 4, offset=-1),
    "x must have shape (batch, length, 4), got (3, 4)": lambda: SinusoidalEncoding(4)(
        torch.zeros(3, 4)
    ),
    "x must end within max_length (4) positions, got 3 positions from offset 2, which end at 5": (
        lambda: LearnedPositions(4, 2)(torch.zeros(1, 3, 2), offset=2)
    ),
    "max_length must be at least 1, got 0": lambda: LearnedPositions(0, 2),
    "head_dim must be even and at least 2, got 5": lambda: RotaryEmbedding(5),
    "head_dim must be even and at least 2, got 0": lambda: rotary_angles(3, 0),
    "x must have shape (..., length, 4), got (3, 6)": lambda: RotaryEmbedding(4)(torch.zeros(3, 6)),
    "angles must have shape (3, 2) to fit x of shape (3, 4), got (2, 2)": lambda: apply_rotary(
        torch.zeros(3, 4), torch.zeros(2, 2)
    ),
    "the last dimension of x must be even": lambda: apply_rotary(
        torch.zeros(3, 5), torch.zeros(3, 2)
    ),
    "offset must not be negative, got -2": lambda: RotaryEmbedding(4)(torch.zeros(3, 4), -2),
    "factor must be positive, got 0.0": lambda: RopeScaling(factor=0.0),
    "high_freq_factor must exceed low_freq_factor (1.0), got 1.0": lambda: RopeScaling(
        high_freq_factor=1.0
    ),
    "num_heads must be at least 1, got 0": lambda: alibi_slopes(0),
    "source_length must be at least target_length (4), got 3": lambda: alibi_bias(2, 4, 3),
}


@pytest.mark.parametrize("message", ERRORS)
def test_bad_input_is_named(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert message in str(error.value)
