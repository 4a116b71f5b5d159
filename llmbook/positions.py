"""Positions: telling attention where each token stands.

Attention sees a set: permute its input and its output is permuted alike. Four ways to give it
an order, by where they act: added to the embedding (sinusoidal, learned), turned into queries
and keys (RoPE), or added to the scores (ALiBi).

Notation: ``B`` batch, ``T`` length, ``S`` source length, ``H`` heads, ``D`` dimension of a
head, ``d_model`` width of the model. Positions count from 0; ``offset`` is the position of the
first token, which is not 0 when earlier tokens are in a cache.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llmbook._checks import (
    check_at_least_one,
    check_even,
    check_offset,
    check_positive,
    check_sequence,
    check_source_length,
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

# Cosine and sine of the angle of each dimension, shapes (..., T, D). The sine of the first half is
# negative, as in the formula of a rotation.
Rotation = tuple[Tensor, Tensor]


def sinusoidal_positions(
    length: int, d_model: int, *, base: float = 10000.0, offset: int = 0
) -> Tensor:
    r"""Encode each position by sines and cosines of geometrically growing wavelengths.

    $$\mathrm{PE}_{t, 2i} = \sin(t / 10000^{2i / d_\text{model}}), \quad
    \mathrm{PE}_{t, 2i+1} = \cos(t / 10000^{2i / d_\text{model}})$$

    See [sinusoidal encoding][sinusoidal]. Source: Vaswani et al. (2017, section 3.5).

    Args:
        length: Number of positions ``T``.
        d_model: Width; if it is odd, the last sine has no cosine beside it.
        base: The longest wavelength is just under ``2π · base``.
        offset: The first position.

    Returns:
        The encodings, shape ``(T, d_model)``.

    Raises:
        ValueError: If ``length`` or ``d_model`` is below 1, ``base`` is not positive, or
            ``offset`` is negative.

    Examples:
        ```python
        from llmbook.positions import sinusoidal_positions

        print(sinusoidal_positions(2, 4))
        ```

        ``` {.text .output}
        tensor([[0.0000, 1.0000, 0.0000, 1.0000],
                [0.8415, 0.5403, 0.0100, 0.9999]])
        ```
    """
    check_at_least_one("d_model", d_model)
    angles = _angles(length, d_model, base, offset)  # (T, ceil(d_model / 2))
    waves = torch.stack((angles.sin(), angles.cos()), dim=-1)  # (T, ceil(d_model / 2), 2)
    return waves.flatten(-2)[:, :d_model].to(torch.get_default_dtype())


class SinusoidalEncoding(nn.Module):
    """Add [`sinusoidal_positions`][llmbook.positions.sinusoidal_positions] to the embeddings.

    The encodings are computed when needed, so no length is too long for the table: there is
    none. Source: Vaswani et al. (2017, section 3.5).

    Args:
        d_model: Width of the embeddings.
        base: The longest wavelength is just under ``2π · base``.

    Raises:
        ValueError: If ``d_model`` is below 1 or ``base`` is not positive.
    """

    def __init__(self, d_model: int, *, base: float = 10000.0) -> None:
        super().__init__()
        check_at_least_one("d_model", d_model)
        check_positive("base", base)
        self.d_model = d_model
        self.base = base

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """Return ``x`` plus the encoding of its positions.

        Args:
            x: Embeddings, shape ``(B, T, d_model)``.
            offset: Position of the first token.

        Returns:
            Shape ``(B, T, d_model)``, in the type of ``x``.

        Raises:
            ValueError: If ``x`` has another shape, or ``offset`` is negative.
        """
        check_sequence("x", x, self.d_model)
        encoding = sinusoidal_positions(x.size(1), self.d_model, base=self.base, offset=offset)
        return x + encoding.to(x)


class LearnedPositions(nn.Module):
    """Add a learned vector for each position, from a table that ends.

    See [learned positions][learned-positions]. Source: Gehring et al. (2017, section 3.1).

    Args:
        max_length: Number of positions in the table.
        d_model: Width of the embeddings.

    Raises:
        ValueError: If ``max_length`` or ``d_model`` is below 1.
    """

    def __init__(self, max_length: int, d_model: int) -> None:
        super().__init__()
        check_at_least_one("max_length", max_length)
        check_at_least_one("d_model", d_model)
        self.max_length = max_length
        self.d_model = d_model
        self.weight = nn.Parameter(torch.empty(max_length, d_model))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """Return ``x`` plus the learned vectors of its positions.

        Args:
            x: Embeddings, shape ``(B, T, d_model)``.
            offset: Position of the first token.

        Returns:
            Shape ``(B, T, d_model)``.

        Raises:
            ValueError: If ``x`` has another shape, ``offset`` is negative, or the last
                position is beyond the table.
        """
        check_sequence("x", x, self.d_model)
        check_offset(offset)
        end = offset + x.size(1)
        if end > self.max_length:
            raise ValueError(
                f"x must end within max_length ({self.max_length}) positions, "
                f"got {x.size(1)} positions from offset {offset}, which end at {end}"
            )
        return x + self.weight[offset:end]


def rotary_angles(length: int, head_dim: int, *, base: float = 10000.0, offset: int = 0) -> Tensor:
    r"""Angle by which each pair of dimensions turns at each position: $t\,\theta_i$.

    $$\theta_i = 10000^{-2i / D}, \quad 0 \le i < D / 2$$

    See [rotary position embedding][rotary]. Source: Su et al. (2024, section 3.2.2).

    Args:
        length: Number of positions ``T``.
        head_dim: Dimension ``D`` of a head; even.
        base: The slowest pair turns once in just under ``2π · base`` positions.
        offset: The first position.

    Returns:
        Angles in radians, shape ``(T, D / 2)``, in float64: far into a sequence the angle of
        the first pair is large, and float32 would round away what matters of it.

    Raises:
        ValueError: If ``head_dim`` is odd or below 2, ``length`` is below 1, ``base`` is not
            positive, or ``offset`` is negative.
    """
    check_even("head_dim", head_dim)
    return _angles(length, head_dim, base, offset)


@dataclass(frozen=True)
class RopeScaling:
    """How Llama 3.1 and later stretch rotary positions beyond the length of their first training.

    Pairs that turn slowly turn ``factor`` times more slowly, those that turn fast stay as they
    were, and those between are mixed. Source: Grattafiori et al., "The Llama 3 Herd of Models"
    (2024), and the configuration of its weights.

    Raises:
        ValueError: If a number is not positive, or ``high_freq_factor`` is not the greater one.
    """

    factor: float = 8.0
    low_freq_factor: float = 1.0  # turns in the original length below which a pair is slow
    high_freq_factor: float = 4.0  # turns above which it is fast
    original_max_length: int = 8192

    def __post_init__(self) -> None:
        for name in ("factor", "low_freq_factor", "high_freq_factor", "original_max_length"):
            check_positive(name, getattr(self, name))
        if self.high_freq_factor <= self.low_freq_factor:
            raise ValueError(
                f"high_freq_factor must exceed low_freq_factor ({self.low_freq_factor}), "
                f"got {self.high_freq_factor}"
            )

    def stretch(self, frequencies: Tensor) -> Tensor:
        """The frequencies to turn by, in place of the given ones, radians a position."""
        turns = self.original_max_length * frequencies / (2 * math.pi)
        span = self.high_freq_factor - self.low_freq_factor
        kept = ((turns - self.low_freq_factor) / span).clamp(0, 1)  # 1: fast, 0: slow
        return kept * frequencies + (1 - kept) * frequencies / self.factor


def apply_rotary(x: Tensor, angles: Tensor) -> Tensor:
    r"""Turn each pair of dimensions of ``x`` by its angle.

    Dimension ``i`` is paired with ``i + D / 2``, as in transformers, whose Llama weights are
    reordered for it; the paper and Meta's own release pair ``2i`` with ``2i + 1``. The two
    differ by a fixed order of the dimensions, which the projections before absorb. See
    [rotary position embedding][rotary]. Source: Su et al. (2024, equation 34).

    Args:
        x: Queries or keys, shape ``(..., T, D)``.
        angles: From [`rotary_angles`][llmbook.positions.rotary_angles], shape ``(T, D / 2)``.

    Returns:
        Shape ``(..., T, D)``, in the type of ``x``. Lengths of vectors do not change.

    Raises:
        ValueError: If ``D`` is odd, or ``angles`` does not fit ``x``.
    """
    if x.dim() < 2:
        raise ValueError(f"x must have shape (..., length, head_dim), got {tuple(x.shape)}")
    check_even("the last dimension of x", x.size(-1))
    if angles.shape != (x.size(-2), x.size(-1) // 2):
        raise ValueError(
            f"angles must have shape {(x.size(-2), x.size(-1) // 2)} to fit x of shape "
            f"{tuple(x.shape)}, got {tuple(angles.shape)}"
        )
    return turn(x, _rotation(angles, x))


def turn(x: Tensor, rotation: Rotation) -> Tensor:
    r"""Turn each pair of dimensions of ``x``, shape ``(..., T, D)``, by cosines and sines at hand.

    The pair $(a, b)$ becomes $(a \cos - b \sin,\; b \cos + a \sin)$: each number times the cosine,
    plus its partner times the sine, which a rotation holds with its sign.
    """
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)  # each (..., T, D / 2)
    return torch.addcmul(x * cos, torch.cat((second, first), dim=-1), sin)


class RotaryEmbedding(nn.Module):
    """Rotary position embedding (RoPE): turn queries and keys by their position.

    The dot product of a turned query and a turned key depends on their positions only through
    the difference. See [rotary position embedding][rotary]. Source: Su et al. (2024).

    Args:
        head_dim: Dimension ``D`` of a head; even.
        base: The slowest pair turns once in just under ``2π · base`` positions.
        scaling: How the angles are stretched, if at all.

    Raises:
        ValueError: If ``head_dim`` is odd or below 2, or ``base`` is not positive.
    """

    def __init__(
        self, head_dim: int, *, base: float = 10000.0, scaling: RopeScaling | None = None
    ) -> None:
        super().__init__()
        check_even("head_dim", head_dim)
        check_positive("base", base)
        self.head_dim = head_dim
        self.base = base
        self.scaling = scaling
        self._table: Rotation | None = None  # made when first needed, where it is needed

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """Turn ``x`` by its positions.

        Args:
            x: Queries or keys, shape ``(..., T, D)``.
            offset: Position of the first one.

        Returns:
            Shape ``(..., T, D)``.

        Raises:
            ValueError: If ``x`` has another last dimension, or ``offset`` is negative.
        """
        if x.dim() < 2 or x.size(-1) != self.head_dim:
            raise ValueError(
                f"x must have shape (..., length, {self.head_dim}), got {tuple(x.shape)}"
            )
        angles = rotary_angles(x.size(-2), self.head_dim, base=self.base, offset=offset)
        return apply_rotary(x, self._stretched(angles).to(x.device))

    def rotation(self, x: Tensor, offset: int | Sequence[int] = 0) -> Rotation:
        """The cosines and sines of the positions of ``x``: made once, they serve every layer.

        Args:
            x: Input of the layers, shape ``(B, T, d_model)``.
            offset: Position of the first one, or of the first one of each row.

        Returns:
            Cosines and sines, each of shape ``(T, D)``, or ``(B, 1, T, D)``, which fits all heads,
            if there is an offset for each row.
        """
        T = x.size(-2)
        if isinstance(offset, int):
            positions, end = torch.arange(offset, offset + T), offset + T  # (T,)
        else:
            positions = torch.tensor(offset)[:, None, None] + torch.arange(T)  # (B, 1, T)
            end = max(offset) + T
        cos, sin = self._rows(end, x)
        return cos[positions], sin[positions]

    def _rows(self, length: int, like: Tensor) -> Rotation:
        """Cosines and sines of all positions below ``length`` and more, each of shape (_, D)."""
        table = self._table
        kind = (like.device, like.dtype)
        if table is None or len(table[0]) < length or (table[0].device, table[0].dtype) != kind:
            # Twice as many as needed, so that over a long text the table is seldom made anew.
            angles = rotary_angles(2 * length, self.head_dim, base=self.base)
            table = self._table = _rotation(self._stretched(angles), like)
        return table

    def _stretched(self, angles: Tensor) -> Tensor:
        """Angles after scaling, which stretches frequencies: those of position 1."""
        if self.scaling is None:
            return angles
        frequencies = rotary_angles(1, self.head_dim, base=self.base, offset=1)  # (1, D / 2)
        return angles * (self.scaling.stretch(frequencies) / frequencies)


def alibi_slopes(num_heads: int) -> Tensor:
    r"""How steeply each head discounts distance: $m_h = 2^{-8h/H}$ for $h = 1, \dots, H$.

    That is the rule for a power of two. For any other number the paper's authors take the
    slopes of the next lower power of two, and fill up with every other slope of the next
    higher one. See [ALiBi][alibi]. Source: Press et al. (2022, section 3), and their code.

    Args:
        num_heads: Number of heads ``H``.

    Returns:
        Slopes, shape ``(H,)``.

    Raises:
        ValueError: If ``num_heads`` is below 1.

    Examples:
        ```python
        from llmbook.positions import alibi_slopes

        print(alibi_slopes(4))
        ```

        ``` {.text .output}
        tensor([0.2500, 0.0625, 0.0156, 0.0039])
        ```
    """
    check_at_least_one("num_heads", num_heads)

    def geometric(n: int) -> list[float]:
        return [2.0 ** (-8.0 * h / n) for h in range(1, n + 1)]

    power = 1 << (num_heads.bit_length() - 1)  # largest power of two <= num_heads
    slopes = geometric(power) + geometric(2 * power)[::2][: num_heads - power]
    return torch.tensor(slopes)


def alibi_bias(num_heads: int, target_length: int, source_length: int | None = None) -> Tensor:
    """Bias on the scores that grows with distance: attention with linear biases (ALiBi).

    Pass it as ``mask`` to [`scaled_dot_product_attention`]
    [llmbook.attention.scaled_dot_product_attention], with ``is_causal=True``. See
    [ALiBi][alibi]. Source: Press et al. (2022, section 3).

    Args:
        num_heads: Number of heads ``H``.
        target_length: Number of queries, ``T``.
        source_length: Number of keys, ``S``; ``T`` when left out. The queries are the last
            positions of the source.

    Returns:
        Shape ``(H, T, S)``; minus slope times distance.

    Raises:
        ValueError: If a size is below 1, or ``source_length < target_length``.
    """
    if source_length is None:
        source_length = target_length
    check_source_length(target_length, source_length)
    query_position = torch.arange(source_length - target_length, source_length)[:, None]
    key_position = torch.arange(source_length)
    distance = (query_position - key_position).abs()  # (T, S)
    return -alibi_slopes(num_heads)[:, None, None] * distance


def _angles(length: int, width: int, base: float, offset: int) -> Tensor:
    """Position times frequency, shape ``(T, ceil(width / 2))``, in float64."""
    check_at_least_one("length", length)
    check_positive("base", base)
    check_offset(offset)
    exponent = torch.arange(0, width, 2, dtype=torch.float64) / width
    positions = torch.arange(offset, offset + length, dtype=torch.float64)
    return torch.outer(positions, base**-exponent)


def _rotation(angles: Tensor, like: Tensor) -> Rotation:
    """Cosines and sines of both halves of a head, shape ``(..., T, D)``, from one angle a pair."""
    cos, sin = angles.cos().to(like), angles.sin().to(like)  # (..., T, D / 2)
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)
