"""Checks of what callers pass in: each raises a ValueError that names the argument."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # most checks are of numbers, in modules that can do without torch
    from torch import Tensor


@cache
def _tensor_type() -> type:
    from torch import Tensor

    return Tensor


def check_tensor(name: str, value: object) -> None:
    """Require a tensor, and not a list of numbers."""
    if not isinstance(value, _tensor_type()):
        raise ValueError(
            f"{name} must be a tensor, got {type(value).__name__}: torch.tensor makes one"
        )


def check_attention_inputs(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout_p: float
) -> None:
    """Require query, key, value and mask whose shapes and types fit together."""
    import torch

    for name, tensor in (("query", query), ("key", key), ("value", value)):
        check_tensor(name, tensor)
        if tensor.dim() < 2 or not tensor.is_floating_point():
            raise ValueError(
                f"{name} must be floating point of shape (..., length, dimension), "
                f"got shape {tuple(tensor.shape)} of {tensor.dtype}"
            )
    if key.size(-1) != query.size(-1):
        raise ValueError(
            f"key must have the dimension of query ({query.size(-1)}), got {key.size(-1)}"
        )
    if value.size(-2) != key.size(-2):
        raise ValueError(
            f"value must have the length of key ({key.size(-2)}), got {value.size(-2)}"
        )
    if query.size(-1) == 0 or key.size(-2) == 0 or query.size(-2) == 0:
        raise ValueError(
            "query and key must have at least one position and one dimension, "
            f"got shapes {tuple(query.shape)} and {tuple(key.shape)}"
        )
    try:
        batch = torch.broadcast_shapes(  # type: ignore[no-untyped-call]
            query.shape[:-2], key.shape[:-2], value.shape[:-2]
        )
    except RuntimeError:
        raise ValueError(
            "query, key and value must agree in all but their last two dimensions, got shapes "
            f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}"
        ) from None
    check_probability("dropout_p", dropout_p)
    if mask is not None:
        check_mask(mask, (*batch, query.size(-2), key.size(-2)))


def check_mask(mask: Tensor, shape: tuple[int, ...]) -> None:
    """Require a boolean or additive mask that broadcasts to the shape of the scores."""
    import torch

    check_tensor("mask", mask)
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise ValueError(
            "mask must be boolean (True = may attend) or floating point (added to the scores), "
            f"got {mask.dtype}"
        )
    # Its own sizes must be 1 or those of the scores: it may be stretched, but never stretch them.
    fits = mask.dim() <= len(shape) and all(
        size in (1, wanted)
        for size, wanted in zip(reversed(mask.shape), reversed(shape), strict=False)
    )
    if not fits:
        hint = ""
        if len(shape) > 2 and mask.shape == (shape[0], shape[-1]):
            ones = ", ".join(["1"] * (len(shape) - 2))
            hint = f": for a mask of the keys of each row give shape (B, {ones}, S)"
        raise ValueError(f"mask must broadcast to {shape}, got shape {tuple(mask.shape)}{hint}")


def check_sequence(name: str, tensor: Tensor, width: int) -> None:
    """Require shape ``(B, T, width)``."""
    check_tensor(name, tensor)
    if tensor.dim() != 3 or tensor.size(-1) != width:
        raise ValueError(
            f"{name} must have shape (batch, length, {width}), got {tuple(tensor.shape)}"
        )


def check_width(name: str, tensor: Tensor, width: int) -> None:
    """Require shape ``(..., width)``."""
    check_tensor(name, tensor)
    if tensor.shape[-1:] != (width,):
        raise ValueError(f"{name} must have shape (..., {width}), got {tuple(tensor.shape)}")


def check_at_least_one(name: str, size: int) -> None:
    """Require a size or a count of at least 1."""
    if size < 1:
        raise ValueError(f"{name} must be at least 1, got {size}")


def check_probability(name: str, probability: float) -> None:
    """Require a number between 0 and 1."""
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"{name} must lie between 0 and 1, got {probability}")


def check_temperature(temperature: float) -> None:
    """Require a temperature: 0, or how flat the distribution is that tokens are drawn from."""
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be a number from 0 up, got {temperature}")


def check_even(name: str, size: int) -> None:
    """Require pairs of dimensions."""
    if size < 2 or size % 2:
        raise ValueError(f"{name} must be even and at least 2, got {size}: RoPE turns pairs")


def check_positive(name: str, number: float) -> None:
    """Require a number above zero."""
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {number}")


def check_offset(offset: int) -> None:
    """Require a position to start from."""
    if offset < 0:
        raise ValueError(f"offset must not be negative, got {offset}")


def check_source_length(target_length: int, source_length: int) -> None:
    """Require lengths whose queries are the last positions of the source."""
    check_at_least_one("target_length", target_length)
    if source_length < target_length:
        raise ValueError(
            f"source_length must be at least target_length ({target_length}), "
            f"got {source_length}: the queries are the last positions of the source"
        )


def check_tokens(name: str, tokens: Tensor, vocab_size: int) -> None:
    """Require token ids of shape ``(B, T)`` below the size of the vocabulary."""
    import torch

    check_tensor(name, tokens)
    if tokens.dim() != 2 or tokens.size(-1) == 0 or tokens.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            f"{name} must be integers of shape (batch, length), length at least 1, "
            f"got shape {tuple(tokens.shape)} of {tokens.dtype}"
        )
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < vocab_size:
        raise ValueError(
            f"{name} must hold ids from 0 to {vocab_size - 1}, "
            f"got ids from {int(tokens.min())} to {int(tokens.max())}"
        )


def check_counts(
    counts: Sequence[int] | None, tokens: Tensor, starts: Sequence[int], max_length: int | None
) -> list[int]:
    """Require as many rows of tokens as there are starts, and a count of real ones for each.

    Only real tokens must end within ``max_length``, if there is one: padding may reach beyond it.

    Returns:
        The counts; without any, all tokens are real.
    """
    B, T = tokens.shape
    counts = [T] * B if counts is None else list(counts)
    if len(starts) != B or len(counts) != B or not all(1 <= count <= T for count in counts):
        raise ValueError(
            f"cache and counts must have {B} rows, each count from 1 to {T}, "
            f"got {len(starts)} rows and counts {counts}"
        )
    longest = max(start + count for start, count in zip(starts, counts, strict=True))
    if max_length is not None and longest > max_length:
        raise ValueError(
            f"tokens must end within max_length ({max_length}), got {longest} positions"
        )
    return counts
