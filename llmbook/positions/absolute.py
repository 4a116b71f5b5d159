"""Positions added to the embedding: sinusoidal, and learned.

Notation: ``B`` batch, ``T`` length, ``d_model`` width of the model. Positions count from 0;
``offset`` is the position of the first token.
"""

import torch
from torch import Tensor, nn

from llmbook._checks import check_at_least_one, check_offset, check_positive, check_sequence
from llmbook.positions._angles import position_angles

__all__ = ["LearnedPositions", "SinusoidalEncoding", "sinusoidal_positions"]


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
    angles = position_angles(length, d_model, base, offset)  # (T, ceil(d_model / 2))
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
