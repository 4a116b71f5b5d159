"""Scaled dot-product attention: the weights, and the averages that they give.

Notation: ``T`` target length (queries), ``S`` source length (keys and values), ``D`` dimension of
a head.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from llmbook._checks import check_attention_inputs
from llmbook.attention.masks import causal_mask

__all__ = ["attention_weights", "scaled_dot_product_attention"]


def attention_weights(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    r"""How much each query takes of each value: the softmax of the scores.

    $$\operatorname{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}} + M\right)$$

    [`scaled_dot_product_attention`][llmbook.attention.scaled_dot_product_attention] averages by
    these weights without keeping them; here they are kept, to be looked at. Built up step by step
    on the page on [self-attention][self-attention].

    Args:
        query: Shape ``(..., T, D)``.
        key: Shape ``(..., S, D)``.
        mask: Boolean (``True`` = may attend) or floating point (added to the scores),
            broadcastable to ``(..., T, S)``.
        is_causal: Also hide the future, as ``causal_mask(T, S)`` does.
        scale: Factor on the scores; ``1 / sqrt(D)`` when left out.

    Returns:
        Shape ``(..., T, S)``. Each row sums to 1, or is all zeros if its query may attend to
        nothing.

    Raises:
        ValueError: If shapes or types do not fit together.

    Examples:
        ```python
        import torch
        from llmbook.attention import attention_weights, scaled_dot_product_attention

        query = torch.tensor([[2.0, 0.0]])
        key = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        value = torch.tensor([[1.0], [0.0]])
        print(attention_weights(query, key))
        print(scaled_dot_product_attention(query, key, value))
        ```

        ``` {.text .output}
        tensor([[0.9442, 0.0558]])
        tensor([[0.9442]])
        ```
    """
    check_attention_inputs(query, key, key, mask, 0.0)
    allowed = None
    if is_causal:
        allowed = causal_mask(query.size(-2), key.size(-2), device=query.device)
    mask, empty = _complete(mask, allowed)
    if scale is None:
        scale = query.size(-1) ** -0.5
    scores = (query * scale) @ key.transpose(-2, -1)  # (..., T, S)
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, float("-inf"))
        else:
            scores = scores + mask.to(scores.dtype)
    weights = scores.softmax(dim=-1)
    return weights if empty is None else weights.masked_fill(empty, 0.0)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
) -> Tensor:
    r"""Average the values, weighted by how well each key answers the query.

    $$\operatorname{Attention}(Q, K, V) =
    \operatorname{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}} + M\right) V$$

    Torch's fused kernel does it without ever storing the weights; for a look at them there is
    [`attention_weights`][llmbook.attention.attention_weights]. Source: Vaswani et al. (2017,
    section 3.2.1, equation 1).

    Args:
        query: Shape ``(..., T, D)``.
        key: Shape ``(..., S, D)``.
        value: Shape ``(..., S, D_v)``.
        mask: Boolean (``True`` = may attend) or floating point (added to the scores),
            broadcastable to ``(..., T, S)``.
        is_causal: Also hide the future, as ``causal_mask(T, S)`` does.
        scale: Factor on the scores; ``1 / sqrt(D)`` when left out.
        dropout_p: Probability of dropping a weight; give 0 when not training.

    Returns:
        Shape ``(..., T, D_v)``; zeros where a query may attend to nothing.

    Raises:
        ValueError: If shapes or types do not fit together, or ``dropout_p`` is outside [0, 1].
    """
    check_attention_inputs(query, key, value, mask, dropout_p)
    return attend(query, key, value, mask, is_causal, dropout_p, scale=scale)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    dropout_p: float,
    *,
    scale: float | None = None,
    past_mask: Tensor | None = None,
    is_grouped: bool = False,
) -> Tensor:
    """[`scaled_dot_product_attention`][llmbook.attention.scaled_dot_product_attention], unchecked.

    With ``past_mask``, additive and without empty rows, ``is_causal`` hides what it hides and not a
    triangle. With ``is_grouped`` several query heads share a key and value head.
    """
    T, S = query.size(-2), key.size(-2)
    # The kernel can hide the future by itself, faster than by a mask. But with more keys than
    # queries it takes the queries for the first positions, where ours are the last.
    is_square = is_causal and mask is None and past_mask is None and T == S
    empty = None
    if mask is None and past_mask is not None:
        mask = past_mask  # the way of every step: as it is, the same for all layers
    elif not is_square:
        allowed = None
        if past_mask is not None:
            allowed = past_mask == 0
        elif is_causal:
            allowed = causal_mask(T, S, device=query.device)
        mask, empty = _complete(mask, allowed)
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(query.dtype)
    output = F.scaled_dot_product_attention(
        query, key, value, mask, dropout_p, is_square, scale=scale, enable_gqa=is_grouped
    )
    return output if empty is None else output.masked_fill(empty, 0.0)


def _complete(mask: Tensor | None, allowed: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """A mask that forbids what another one forbids too, and the queries left with nothing.

    The softmax of a row without a key is 0 / 0. Its result is replaced by zeros afterwards, but a
    NaN on the way would still poison the gradients, so an empty row is opened to every key.

    Args:
        mask: Boolean or additive, broadcastable to ``(..., T, S)``.
        allowed: Boolean; no row of it is empty.

    Returns:
        The mask, and which of its rows are empty, broadcastable to ``(..., T, 1)``; ``None`` where
        nothing is hidden and where no row can be empty.
    """
    if mask is None:
        return allowed, None
    if mask.dtype == torch.bool:
        mask = mask if allowed is None else mask & allowed
        empty = ~mask.any(dim=-1, keepdim=True)
        return mask | empty, empty
    if allowed is not None:
        mask = mask.masked_fill(~allowed, float("-inf"))
    empty = (mask == float("-inf")).all(dim=-1, keepdim=True)
    return mask.masked_fill(empty, 0.0), empty
