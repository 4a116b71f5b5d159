"""Positions: telling attention where each token stands.

Attention sees a set: permute its input and its output is permuted alike. Four ways to give it
an order, by where they act: added to the embedding (sinusoidal, learned), turned into queries
and keys (RoPE), or added to the scores (ALiBi).

Notation: ``B`` batch, ``T`` length, ``S`` source length, ``H`` heads, ``D`` dimension of a
head, ``d_model`` width of the model. Positions count from 0; ``offset`` is the position of the
first token, which is not 0 when earlier tokens are in a cache.
"""

from typing import TYPE_CHECKING

from llmbook._lazy import lazily

if TYPE_CHECKING:
    from llmbook.positions.absolute import (
        LearnedPositions,
        SinusoidalEncoding,
        sinusoidal_positions,
    )
    from llmbook.positions.alibi import alibi_bias, alibi_slopes
    from llmbook.positions.rotary import RopeScaling, RotaryEmbedding, apply_rotary, rotary_angles
else:  # a model has one way of the four
    __getattr__, __dir__ = lazily(
        __name__,
        absolute=("LearnedPositions", "SinusoidalEncoding", "sinusoidal_positions"),
        alibi=("alibi_bias", "alibi_slopes"),
        rotary=("RopeScaling", "RotaryEmbedding", "apply_rotary", "rotary_angles"),
    )

__all__ = [
    "LearnedPositions",
    "RopeScaling",
    "RotaryEmbedding",
    "SinusoidalEncoding",
    "alibi_bias",
    "alibi_slopes",
    "apply_rotary",
    "rotary_angles",
    "sinusoidal_positions",
]
