"""Masks: which positions each query may attend to.

Notation: ``B`` batch, ``T`` target length (queries), ``S`` source length (keys).
"""

import torch
from torch import Tensor

from llmbook._checks import check_at_least_one, check_source_length

__all__ = ["causal_mask", "padding_mask", "sliding_window_mask"]


def causal_mask(
    target_length: int,
    source_length: int | None = None,
    *,
    device: torch.device | str | None = None,
) -> Tensor:
    """Mask that lets each position attend to itself and to what came before.

    With more keys than queries, the queries are the *last* ones of the sequence, as when
    earlier keys come from a cache. See [masks][masks].

    Args:
        target_length: Number of queries, ``T``.
        source_length: Number of keys, ``S``; ``T`` when left out.
        device: Where the mask is made.

    Returns:
        Boolean mask, shape ``(T, S)``; ``True`` at ``(t, s)`` if ``s <= t + S - T``.

    Raises:
        ValueError: If a length is below 1, or ``source_length < target_length``.

    Examples:
        ```python
        from llmbook.attention import causal_mask

        print(causal_mask(3).int())
        print(causal_mask(1, 3).int())
        ```

        ``` {.text .output}
        tensor([[1, 0, 0],
                [1, 1, 0],
                [1, 1, 1]], dtype=torch.int32)
        tensor([[1, 1, 1]], dtype=torch.int32)
        ```
    """
    if source_length is None:
        source_length = target_length
    check_source_length(target_length, source_length)
    allowed = torch.ones(target_length, source_length, dtype=torch.bool, device=device)
    return allowed.tril(source_length - target_length)


def sliding_window_mask(
    target_length: int, window: int, *, device: torch.device | str | None = None
) -> Tensor:
    """Causal mask that reaches back over ``window`` positions only, itself included.

    With a kernel that skips what is hidden, the cost of a step no longer grows with the
    sequence; a dense mask saves nothing. See [cost][attention-cost]. Source: Beltagy et al.,
    "Longformer" (2020, section 3.1).

    Args:
        target_length: Number of queries and keys, ``T``.
        window: How many positions each query sees, at least 1.
        device: Where the mask is made.

    Returns:
        Boolean mask, shape ``(T, T)``; ``True`` at ``(t, s)`` if ``t - window < s <= t``.

    Raises:
        ValueError: If ``target_length`` or ``window`` is below 1.
    """
    check_at_least_one("window", window)
    causal = causal_mask(target_length, device=device)
    return causal.triu(1 - window)


def padding_mask(lengths: Tensor, source_length: int | None = None) -> Tensor:
    """Mask that hides the padding behind sequences of unequal length. See [masks][masks].

    Args:
        lengths: Number of real positions of each sequence, integers, shape ``(B,)``.
        source_length: Padded length ``S``; the longest sequence when left out.

    Returns:
        Boolean mask, shape ``(B, 1, 1, S)``, ready to broadcast over heads and queries.

    Raises:
        ValueError: If ``lengths`` is not a vector of integers, or one of them lies outside
            ``0 … source_length``.
    """
    if lengths.dim() != 1 or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise ValueError(
            "lengths must be a vector of integers, shape (B,), "
            f"got shape {tuple(lengths.shape)} of {lengths.dtype}"
        )
    longest = int(lengths.max()) if len(lengths) else 0
    if source_length is None:
        source_length = longest
    if longest > source_length or (len(lengths) and int(lengths.min()) < 0):
        raise ValueError(
            f"lengths must lie between 0 and source_length ({source_length}), "
            f"got {lengths.tolist()}"
        )
    positions = torch.arange(source_length, device=lengths.device)
    return (positions < lengths[:, None])[:, None, None, :]  # (B, 1, 1, S)
