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

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook._checks import (
    check_at_least_one,
    check_attention_inputs,
    check_mask,
    check_probability,
    check_sequence,
    check_source_length,
)
from llmbook.cache import KVCache
from llmbook.positions import Rotation, turn

__all__ = [
    "MultiHeadAttention",
    "attention_weights",
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
    return _attend(query, key, value, mask, is_causal, dropout_p, scale=scale)


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
        num_heads: Number of query heads ``H``.
        num_kv_heads: Number of key and value heads; must divide ``num_heads``. ``num_heads``
            when left out; 1 is multi-query attention.
        head_dim: Dimension ``D`` of a head; ``d_model / num_heads`` when left out.
        d_source: Width of the source; ``d_model`` when left out.
        bias: Whether the projections to queries, keys and values add a bias.
        output_bias: Whether the output projection adds one; as ``bias`` when left out.
        query_norm: Applied to each query head, shape ``(B, H, T, D)``, as Qwen3 does.
        key_norm: Applied to each key head.
        dropout: Probability of dropping an attention weight in training.

    Raises:
        ValueError: If ``d_model``, ``num_heads`` and ``num_kv_heads`` do not divide, or
            ``dropout`` is outside [0, 1].

    Examples:
        ```python
        import torch
        from llmbook.attention import MultiHeadAttention

        torch.manual_seed(0)
        attention, x = MultiHeadAttention(d_model=8, num_heads=2), torch.randn(1, 3, 8)
        print(tuple(attention(x).shape), tuple(attention.weights(x).shape))
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
        head_dim: int | None = None,
        d_source: int | None = None,
        bias: bool = True,
        output_bias: bool | None = None,
        query_norm: nn.Module | None = None,
        key_norm: nn.Module | None = None,
        dropout: float = 0.0,
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
        if head_dim is None:
            if d_model % num_heads:
                raise ValueError(
                    f"d_model must be divisible by num_heads ({num_heads}), got {d_model}"
                )
            head_dim = d_model // num_heads
        check_at_least_one("head_dim", head_dim)
        if num_heads % num_kv_heads:
            raise ValueError(
                f"num_kv_heads must divide num_heads ({num_heads}), got {num_kv_heads}"
            )
        check_probability("dropout", dropout)
        self.d_model = d_model
        self.d_source = d_source
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = head_dim
        self.dropout = dropout
        output_bias = bias if output_bias is None else output_bias
        self.query_proj = nn.Linear(d_model, num_heads * head_dim, bias=bias)
        self.key_proj = nn.Linear(d_source, num_kv_heads * head_dim, bias=bias)
        self.value_proj = nn.Linear(d_source, num_kv_heads * head_dim, bias=bias)
        self.output_proj = nn.Linear(num_heads * head_dim, d_model, bias=output_bias)
        self.query_norm = query_norm or nn.Identity()
        self.key_norm = key_norm or nn.Identity()

    def extra_repr(self) -> str:
        heads = f"num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}"
        return f"{heads}, head_dim={self.head_dim}"

    def forward(
        self,
        x: Tensor,
        source: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        is_causal: bool = False,
        rotation: Rotation | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Let every position of ``x`` attend to ``source``, or to ``x`` itself.

        Args:
            x: Where the queries come from, shape ``(B, T, d_model)``.
            source: Where keys and values come from, shape ``(B, S, d_source)``; ``x`` when
                left out.
            mask: Boolean (``True`` = may attend) or floating point (added to the scores),
                broadcastable to ``(B, H, T, S)``.
            is_causal: Also hide the future.
            rotation: Turns queries and keys by their positions, from [`RotaryEmbedding.rotation`]
                [llmbook.positions.RotaryEmbedding.rotation]; in self-attention only.
            cache: Keeps keys and values from call to call. In self-attention ``x`` holds the
                positions after those kept. In cross-attention the first call keeps those of
                ``source``, and later calls do not compute them again.

        Returns:
            Shape ``(B, T, d_model)``.

        Raises:
            ValueError: If ``x``, ``source`` or ``mask`` has the wrong shape or type, or both a
                source and a rotation are given.
        """
        query, key, value = self._project(x, source, rotation, cache)
        B, H, T, D = query.shape
        H_kv, S = self.num_kv_heads, key.size(-2)
        if mask is not None:
            check_mask(mask, (B, H, T, S))
        past_mask = cache.past_mask if is_causal and cache is not None else None
        if T == 1:
            # Nothing stands after the last position, and no query before another. So those that
            # share a key can go through as rows of one matrix: 1.05 to 2 times as fast as below.
            is_causal = False
            query = query.view(B, H_kv, H // H_kv, D)  # (B, H, 1, D) -> (B, H_kv, H / H_kv, D)
            if mask is not None and mask.dim() > 2 and mask.size(-3) > 1:  # one for each head
                mask = mask.reshape(*mask.shape[:-3], H_kv, H // H_kv, mask.size(-1))
        heads = _attend(
            query,
            key,
            value,
            mask,
            is_causal,
            self.dropout if self.training else 0.0,
            past_mask=past_mask,
            is_grouped=T > 1 and H_kv < H,  # 1.7 to 15 times as fast as copies of the keys
        )
        # (B, H, T, D) -> (B, T, H, D) -> (B, T, H * D) -> (B, T, d_model)
        heads = heads.reshape(B, H, T, D).transpose(1, 2).reshape(B, T, H * D)
        output: Tensor = self.output_proj(heads)
        return output

    def weights(
        self,
        x: Tensor,
        source: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        is_causal: bool = False,
        rotation: Rotation | None = None,
    ) -> Tensor:
        """How much each position takes of each other one: a map for each head.

        Arguments as in ``forward``.

        Returns:
            Shape ``(B, H, T, S)``; nothing is dropped.
        """
        query, key, _ = self._project(x, source, rotation, None)
        key = key.repeat_interleave(self.num_heads // self.num_kv_heads, dim=1)  # (B, H, S, D)
        return attention_weights(query, key, mask, is_causal=is_causal)

    def _project(
        self, x: Tensor, source: Tensor | None, rotation: Rotation | None, cache: KVCache | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of ``x``, shape (B, H, T, D), and all keys and values, (B, H_kv, S, D)."""
        check_sequence("x", x, self.d_model)
        if source is not None:
            check_sequence("source", source, self.d_source)
        elif self.d_source != self.d_model:
            check_sequence("x", x, self.d_source)
        if source is not None and source.size(0) != x.size(0):
            raise ValueError(
                f"source must have the batch size of x ({x.size(0)}), got {source.size(0)}"
            )
        if source is not None and rotation is not None:
            raise ValueError(
                "source must be None with a rotation, got a tensor of shape "
                f"{tuple(source.shape)}: rotary positions compare places of one sequence"
            )
        query = self.query_norm(self._split_heads(self.query_proj(x)))  # (B, H, T, D)
        if source is None:
            source = x
        elif cache is not None and cache.key is not None and cache.value is not None:
            return query, cache.key, cache.value  # of the same source as at the first call
        key = self.key_norm(self._split_heads(self.key_proj(source)))  # (B, H_kv, S, D)
        value = self._split_heads(self.value_proj(source))  # (B, H_kv, S, D)
        if rotation is not None:
            query, key = turn(query, rotation), turn(key, rotation)
        if cache is not None:
            key, value = cache.append(key, value)  # of all positions so far
        return query, key, value

    def _split_heads(self, x: Tensor) -> Tensor:
        # (B, T, heads * D) -> (B, T, heads, D) -> (B, heads, T, D)
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)


def _attend(
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
