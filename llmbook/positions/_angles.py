"""Angles that grow with the position: sinusoidal and rotary positions share them."""

import torch
from torch import Tensor

from llmbook._checks import check_at_least_one, check_offset, check_positive


def position_angles(length: int, width: int, base: float, offset: int) -> Tensor:
    """Position times frequency, shape ``(T, ceil(width / 2))``, in float64."""
    check_at_least_one("length", length)
    check_positive("base", base)
    check_offset(offset)
    exponent = torch.arange(0, width, 2, dtype=torch.float64) / width
    positions = torch.arange(offset, offset + length, dtype=torch.float64)
    return torch.outer(positions, base**-exponent)
