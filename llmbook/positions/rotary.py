"""Rotary positions: queries and keys turned by where they stand, before they are compared.

Notation: ``B`` batch, ``T`` length, ``D`` dimension of a head, ``d_model`` width of the model.
Positions count from 0; ``offset`` is the position of the first token.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llmbook._checks import check_even, check_positive
from llmbook.positions._angles import position_angles

__all__ = ["RopeScaling", "RotaryEmbedding", "apply_rotary", "rotary_angles"]

# Cosine and sine of the angle of each dimension, shapes (..., T, D). The sine of the first half is
# negative, as in the formula of a rotation.
Rotation = tuple[Tensor, Tensor]


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
    return position_angles(length, head_dim, base, offset)


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


def _rotation(angles: Tensor, like: Tensor) -> Rotation:
    """Cosines and sines of both halves of a head, shape ``(..., T, D)``, from one angle a pair."""
    cos, sin = angles.cos().to(like), angles.sin().to(like)  # (..., T, D / 2)
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)
