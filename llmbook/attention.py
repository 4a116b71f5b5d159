"""Attention: each position asks a question and averages the answers of the others.

A query is compared with every key; the softmax of the scores says how much of every value
goes into the answer. That is all of scaled dot-product attention; multi-head attention runs
several of them side by side, each on its own projection of the input. Both come from Vaswani
et al., "Attention Is All You Need" (2017, section 3.2); heads that share keys and values are
from Ainslie et al., "GQA" (2023).

Notation: ``B`` batch, ``T`` target length (queries), ``S`` source length (keys and values),
``H`` query heads, ``D`` dimension of a head, ``d_model`` width of the model.

A mask is either boolean, where ``True`` means *may attend*, or floating point, added to the
scores. A query that may attend to nothing gets zeros: it has nothing to average.
"""

from typing import Literal, overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook._checks import (
    check_at_least_one,
    check_attention_inputs,
    check_probability,
    check_sequence,
    check_source_length,
)
from llmbook.cache import KVCache

__all__ = [
    "MultiHeadAttention",
    "causal_mask",
    "padding_mask",
    "scaled_dot_product_attention",
    "sliding_window_mask",
]


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


@overload
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = ...,
    *,
    is_causal: bool = ...,
    scale: float | None = ...,
    dropout_p: float = ...,
    return_weights: Literal[False] = ...,
) -> Tensor: ...
@overload
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = ...,
    *,
    is_causal: bool = ...,
    scale: float | None = ...,
    dropout_p: float = ...,
    return_weights: Literal[True],
) -> tuple[Tensor, Tensor]: ...
@overload
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = ...,
    *,
    is_causal: bool = ...,
    scale: float | None = ...,
    dropout_p: float = ...,
    return_weights: bool,
) -> Tensor | tuple[Tensor, Tensor]: ...
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    return_weights: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Average the values, weighted by how well each key answers the query.

    $$\operatorname{Attention}(Q, K, V) =
    \operatorname{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}} + M\right) V$$

    Built up step by step on the page on [self-attention][self-attention]. Without
    ``return_weights`` the work goes to torch's fused kernel, which never stores the weights.
    Source: Vaswani et al. (2017, section 3.2.1, equation 1).

    Args:
        query: Shape ``(..., T, D)``.
        key: Shape ``(..., S, D)``.
        value: Shape ``(..., S, D_v)``.
        mask: Boolean (``True`` = may attend) or floating point (added to the scores),
            broadcastable to ``(..., T, S)``.
        is_causal: Also hide the future, as ``causal_mask(T, S)`` does.
        scale: Factor on the scores; ``1 / sqrt(D)`` when left out.
        dropout_p: Probability of dropping a weight; give 0 when not training.
        return_weights: Return ``(output, weights)``, weights of shape ``(..., T, S)``.

    Returns:
        The output, shape ``(..., T, D_v)``, and the weights if asked for. Each row of the
        weights sums to 1 (before dropout), or is all zeros if its query may attend to nothing.

    Raises:
        ValueError: If shapes or types do not fit together, or ``dropout_p`` is outside [0, 1].

    Examples:
        ```python
        import torch
        from llmbook.attention import scaled_dot_product_attention

        query = torch.tensor([[2.0, 0.0]])
        key = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        value = torch.tensor([[1.0], [0.0]])
        output, weights = scaled_dot_product_attention(query, key, value, return_weights=True)
        print(weights)
        print(output)
        ```

        ``` {.text .output}
        tensor([[0.9442, 0.0558]])
        tensor([[0.9442]])
        ```
    """
    check_attention_inputs(query, key, value, mask, dropout_p)
    T, S = query.size(-2), key.size(-2)
    if is_causal:
        causal = causal_mask(T, S, device=query.device)
        mask = causal if mask is None else _restrict(mask, causal)

    empty = None
    if mask is not None:
        mask, empty = _open_empty_rows(mask)
    if not return_weights:
        output = F.scaled_dot_product_attention(
            query, key, value, None if mask is None else _match(mask, query), dropout_p, scale=scale
        )
        return output if empty is None else output.masked_fill(empty, 0.0)

    if scale is None:
        scale = query.size(-1) ** -0.5
    scores = (query * scale) @ key.transpose(-2, -1)  # (..., T, S)
    if mask is not None:
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, float("-inf"))
        else:
            scores = scores + _match(mask, query)
    weights = scores.softmax(dim=-1)
    if empty is not None:
        weights = weights.masked_fill(empty, 0.0)
    weights = F.dropout(weights, dropout_p)
    return weights @ value, weights  # (..., T, D_v), (..., T, S)


class MultiHeadAttention(nn.Module):
    r"""Several attentions side by side, each on its own projection of the input.

    $$\operatorname{MultiHead}(X, Y) =
    \operatorname{Concat}(\mathrm{head}_1, \dots, \mathrm{head}_H)\, W^O$$

    Self-attention when only ``x`` is given, cross-attention when a ``source`` is given too.
    With ``num_kv_heads`` below ``num_heads``, groups of query heads share one key and value
    head. Built up on the page on [multi-head attention][multi-head]. Sources: Vaswani et al.
    (2017, section 3.2.2); for shared heads, Ainslie et al. (2023, section 2.2).

    Args:
        d_model: Width of the input and of the output.
        num_heads: Number of query heads ``H``; must divide ``d_model``.
        num_kv_heads: Number of key and value heads; must divide ``num_heads``. ``num_heads``
            when left out; 1 is multi-query attention.
        d_source: Width of the source; ``d_model`` when left out.
        bias: Whether the four projections add a bias.
        dropout: Probability of dropping an attention weight in training.
        rotary: Applied to queries and keys of shape ``(B, H, T, D)`` before they meet, such as
            [`RotaryEmbedding`][llmbook.positions.RotaryEmbedding]; for self-attention only.

    Raises:
        ValueError: If ``d_model``, ``num_heads`` and ``num_kv_heads`` do not divide, or
            ``dropout`` is outside [0, 1].

    Examples:
        ```python
        import torch
        from llmbook.attention import MultiHeadAttention

        torch.manual_seed(0)
        attention = MultiHeadAttention(d_model=8, num_heads=2)
        output, weights = attention(torch.randn(1, 3, 8), return_weights=True)
        print(tuple(output.shape), tuple(weights.shape))
        ```

        ``` {.text .output}
        (1, 3, 8) (1, 2, 3, 3)
        ```
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        d_source: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        rotary: nn.Module | None = None,
    ) -> None:
        super().__init__()
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        d_source = d_model if d_source is None else d_source
        for name, size in (
            ("d_model", d_model),
            ("num_heads", num_heads),
            ("num_kv_heads", num_kv_heads),
            ("d_source", d_source),
        ):
            check_at_least_one(name, size)
        if d_model % num_heads:
            raise ValueError(f"d_model must be divisible by num_heads ({num_heads}), got {d_model}")
        if num_heads % num_kv_heads:
            raise ValueError(
                f"num_kv_heads must divide num_heads ({num_heads}), got {num_kv_heads}"
            )
        check_probability("dropout", dropout)
        self.d_model = d_model
        self.d_source = d_source
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = d_model // num_heads
        self.dropout = dropout
        self.rotary = rotary
        d_kv = num_kv_heads * self.head_dim
        self.query_proj = nn.Linear(d_model, d_model, bias=bias)
        self.key_proj = nn.Linear(d_source, d_kv, bias=bias)
        self.value_proj = nn.Linear(d_source, d_kv, bias=bias)
        self.output_proj = nn.Linear(d_model, d_model, bias=bias)

    def extra_repr(self) -> str:
        heads = f"num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}"
        return f"{heads}, head_dim={self.head_dim}"

    @overload
    def forward(
        self,
        x: Tensor,
        source: Tensor | None = ...,
        *,
        mask: Tensor | None = ...,
        is_causal: bool = ...,
        cache: KVCache | None = ...,
        return_weights: Literal[False] = ...,
    ) -> Tensor: ...
    @overload
    def forward(
        self,
        x: Tensor,
        source: Tensor | None = ...,
        *,
        mask: Tensor | None = ...,
        is_causal: bool = ...,
        cache: KVCache | None = ...,
        return_weights: Literal[True],
    ) -> tuple[Tensor, Tensor]: ...
    def forward(
        self,
        x: Tensor,
        source: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        is_causal: bool = False,
        cache: KVCache | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Let every position of ``x`` attend to ``source``, or to ``x`` itself.

        Args:
            x: Where the queries come from, shape ``(B, T, d_model)``.
            source: Where keys and values come from, shape ``(B, S, d_source)``; ``x`` when
                left out.
            mask: Boolean (``True`` = may attend) or floating point (added to the scores),
                broadcastable to ``(B, H, T, S)``.
            is_causal: Also hide the future.
            cache: Keeps keys and values from call to call. In self-attention ``x`` holds the
                positions after those kept. In cross-attention the first call keeps those of
                ``source``, and later calls do not compute them again.
            return_weights: Return ``(output, weights)``, weights of shape ``(B, H, T, S)``.

        Returns:
            The output, shape ``(B, T, d_model)``, and the weights if asked for.

        Raises:
            ValueError: If ``x``, ``source`` or ``mask`` has the wrong shape or type, or a
                source is given to a layer with ``rotary``.
        """
        if source is not None and self.rotary is not None:
            raise ValueError(
                "source must be None in a layer with rotary, got a tensor of shape "
                f"{tuple(source.shape)}: rotary positions compare places of one sequence"
            )
        source_name = "x" if source is None else "source"
        is_cross, source = source is not None, x if source is None else source
        check_sequence("x", x, self.d_model)
        check_sequence(source_name, source, self.d_source)
        if source.size(0) != x.size(0):
            raise ValueError(
                f"source must have the batch size of x ({x.size(0)}), got {source.size(0)}"
            )
        query = self._split_heads(self.query_proj(x), self.num_heads)  # (B, H, T, D)
        if is_cross and cache is not None and cache.key is not None and cache.value is not None:
            key, value = cache.key, cache.value
        else:
            key = self._split_heads(self.key_proj(source), self.num_kv_heads)
            value = self._split_heads(self.value_proj(source), self.num_kv_heads)
            if self.rotary is not None:
                offset = 0 if cache is None else len(cache)
                query, key = self.rotary(query, offset), self.rotary(key, offset)
            if cache is not None:
                key, value = cache.append(key, value)
        if self.num_kv_heads < self.num_heads:  # (B, H_kv, S, D) -> (B, H, S, D)
            group_size = self.num_heads // self.num_kv_heads
            key = key.repeat_interleave(group_size, dim=1)
            value = value.repeat_interleave(group_size, dim=1)

        attended = scaled_dot_product_attention(
            query,
            key,
            value,
            mask,
            is_causal=is_causal,
            dropout_p=self.dropout if self.training else 0.0,
            return_weights=return_weights,
        )
        heads, weights = attended if isinstance(attended, tuple) else (attended, None)
        B, T, _ = x.shape
        # (B, H, T, D) -> (B, T, H, D) -> (B, T, d_model)
        output: Tensor = self.output_proj(heads.transpose(1, 2).reshape(B, T, self.d_model))
        return output if weights is None else (output, weights)

    def _split_heads(self, x: Tensor, num_heads: int) -> Tensor:
        B, T, _ = x.shape
        # (B, T, num_heads * D) -> (B, T, num_heads, D) -> (B, num_heads, T, D)
        return x.view(B, T, num_heads, self.head_dim).transpose(1, 2)


def _open_empty_rows(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Let each query that may attend to nothing attend to everything, and say which it was.

    The softmax of a row without a key is 0 / 0. Its result is replaced by zeros afterwards, but
    a NaN on the way would still poison the gradients, so the row must be a sound one first.
    """
    if mask.dtype == torch.bool:
        empty = ~mask.any(dim=-1, keepdim=True)
        return mask | empty, empty
    empty = (mask == float("-inf")).all(dim=-1, keepdim=True)
    return mask.masked_fill(empty, 0.0), empty


def _match(mask: Tensor, query: Tensor) -> Tensor:
    """An additive mask in the type of the scores; a boolean one as it is."""
    return mask if mask.dtype == torch.bool else mask.to(query.dtype)


def _restrict(mask: Tensor, allowed: Tensor) -> Tensor:
    """Forbid in ``mask``, boolean or additive, whatever ``allowed`` forbids."""
    if mask.dtype == torch.bool:
        return mask & allowed
    return mask.masked_fill(~allowed, float("-inf"))
