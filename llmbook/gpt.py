r"""GPT: one stack of blocks that reads a text from left to right and says what comes next.

A decoder without an encoder. A table turns tokens into vectors, every block lets each position
look back and then think by itself, and a second table turns vectors into logits. One
configuration covers the two families of choices in use: GPT-2's (learned positions, LayerNorm,
GELU, biases, tied tables) and that of Llama and Qwen (rotary positions, RMSNorm, SwiGLU, shared
key and value heads, few biases or none). Sources: Radford et al., "Improving Language
Understanding by Generative Pre-Training" (2018) and "Language Models are Unsupervised Multitask
Learners" (2019); Touvron et al., "LLaMA" (2023); Qwen Team, "Qwen3 Technical Report" (2025).

Attention and normalization are those of the earlier pages, but here PyTorch's own kernels do the
work: a whole model is trained and read with them, and they are equal to ours and faster.

Notation: ``B`` batch, ``T`` length of the tokens given, ``S`` length with those in the cache,
``H`` query heads, ``H_kv`` key and value heads, ``D`` dimension of a head, ``V`` vocabulary,
``d_model`` width of the stream, ``d_ff`` width inside the feed-forward network.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook._checks import (
    check_at_least_one,
    check_even,
    check_positive,
    check_probability,
    check_sequence,
    check_tokens,
)
from llmbook.cache import RaggedCache
from llmbook.positions import rotary_angles

__all__ = ["GPT", "CausalSelfAttention", "GPTBlock", "GPTConfig", "RopeScaling"]

Positions = Literal["learned", "rotary"]
Norm = Literal["layer", "rms"]
Activation = Literal["gelu_tanh", "swiglu"]
Bias = Literal["all", "qkv", "none"]
Rotation = tuple[Tensor, Tensor]  # cosine and sine of the angle of each dimension
Store = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # keeps keys and values, gives all


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


@dataclass(frozen=True)
class GPTConfig:
    """Everything that decides the shape of a [`GPT`][llmbook.gpt.GPT].

    The defaults are the smallest GPT-2. What the choices are good for is told on the page on
    [GPT][gpt-choices]. Parameters and operations are counted from the configuration alone, so
    that of the largest model costs nothing to ask.

    Raises:
        ValueError: If a size is below 1, sizes do not fit together, or a choice is unknown.

    Examples:
        ```python
        from llmbook.gpt import GPTConfig

        gpt3 = GPTConfig(d_model=12288, num_layers=96, num_heads=96, max_length=2048)
        print(f"{GPTConfig().num_parameters():,} and {gpt3.num_parameters():,}")
        ```

        ``` {.text .output}
        124,439,808 and 174,604,259,328
        ```
    """

    vocab_size: int = 50_257
    max_length: int = 1024  # the most tokens that the model reads
    d_model: int = 768
    num_layers: int = 12
    num_heads: int = 12
    num_kv_heads: int | None = None  # None: num_heads
    head_dim: int | None = None  # None: d_model / num_heads
    d_ff: int | None = None  # None: 4 · d_model
    positions: Positions = "learned"
    rope_base: float = 10_000.0  # of rotary positions
    rope_scaling: RopeScaling | None = None  # of rotary positions
    norm: Norm = "layer"
    norm_eps: float = 1e-5
    activation: Activation = "gelu_tanh"
    bias: Bias = "all"  # in all linear maps but the head, in queries, keys and values, or nowhere
    qk_norm: bool = False  # normalize each query and key head, as Qwen3 does
    tie_weights: bool = True  # one table for the embedding and the output head
    token_shift: bool = False  # add a map of the embedding before, so that each token knows it
    dropout: float = 0.0

    def __post_init__(self) -> None:
        counts = ("vocab_size", "max_length", "d_model", "num_layers", "num_heads")
        for name in (*counts, "num_kv_heads", "head_dim", "d_ff"):
            if getattr(self, name) is not None:
                check_at_least_one(name, getattr(self, name))
        if self.head_dim is None and self.d_model % self.num_heads:
            raise ValueError(
                f"num_heads must divide d_model ({self.d_model}) unless head_dim is given, "
                f"got {self.num_heads}"
            )
        if self.num_kv_heads is not None and self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_kv_heads must divide num_heads ({self.num_heads}), got {self.num_kv_heads}"
            )
        kinds = {"positions": Positions, "norm": Norm, "activation": Activation, "bias": Bias}
        for name, kind in kinds.items():
            if (choice := getattr(self, name)) not in get_args(kind):
                raise ValueError(f"{name} must be one of {get_args(kind)}, got {choice!r}")
        if self.positions == "rotary":
            check_even("head_dim", self.sizes[2])
        check_positive("rope_base", self.rope_base)
        check_positive("norm_eps", self.norm_eps)
        check_probability("dropout", self.dropout)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """``(H, H_kv, D, d_ff)``, with what was left out filled in."""
        H = self.num_heads
        D = self.head_dim or self.d_model // H
        return H, self.num_kv_heads or H, D, self.d_ff or 4 * self.d_model

    def parameters_by_part(self) -> dict[str, int]:
        """Number of parameters in each part of the model. See [the count][gpt-parameters]."""
        H, H_kv, D, d_ff = self.sizes
        d, L, V = self.d_model, self.num_layers, self.vocab_size
        qkv, maps = (H + 2 * H_kv) * D, 2 if self.activation == "swiglu" else 1  # maps up to d_ff
        at_qkv, everywhere = self.bias != "none", self.bias == "all"
        attention = d * qkv + at_qkv * qkv + H * D * d + everywhere * d
        feed_forward = (maps + 1) * d * d_ff + everywhere * (maps * d_ff + d)
        normalized = (2 * L + 1) * d + (2 * L * D if self.qk_norm else 0)
        shift = {"token shift": d * d} if self.token_shift else {}
        return {
            "token embedding": V * d,
            **shift,
            "position embedding": self.max_length * d if self.positions == "learned" else 0,
            "attention": L * attention,
            "feed-forward": L * feed_forward,
            "normalization": normalized * (2 if self.norm == "layer" else 1),
            "output head": 0 if self.tie_weights else V * d,
        }

    def num_parameters(self) -> int:
        """Number of parameters of the model, a tied table counted once."""
        return sum(self.parameters_by_part().values())

    def flops_by_part(self, length: int, cached: int = 0) -> dict[str, int]:
        """Operations of one forward pass in each part. See [the count][gpt-flops].

        Only products of matrices are counted, a multiplication and an addition as two. Of the
        scores the hidden half is counted too, since plain kernels compute it.

        Args:
            length: Number of tokens ``T`` of one sequence.
            cached: Number of tokens before them whose keys and values are in the cache.

        Raises:
            ValueError: If ``length`` is below 1 or ``cached`` is negative.
        """
        check_at_least_one("length", length)
        if cached < 0:
            raise ValueError(f"cached must not be negative, got {cached}")
        H, H_kv, D, d_ff = self.sizes
        T, S, d, L = length, cached + length, self.d_model, self.num_layers
        matrices = 3 if self.activation == "swiglu" else 2
        shift = {"token shift": 2 * T * d * d} if self.token_shift else {}
        return {
            **shift,
            "projections": L * 2 * T * d * (2 * H + 2 * H_kv) * D,
            "scores and averages": L * 4 * T * S * H * D,
            "feed-forward": L * 2 * T * d * d_ff * matrices,
            "output head": 2 * T * d * self.vocab_size,
        }

    def forward_flops(self, length: int, cached: int = 0) -> int:
        """Operations of one forward pass; arguments as in ``flops_by_part``."""
        return sum(self.flops_by_part(length, cached).values())


class CausalSelfAttention(nn.Module):
    """Every position looks back: multi-head attention with all the choices of a GPT.

    Beyond [`MultiHeadAttention`][llmbook.attention.MultiHeadAttention] it knows heads of any
    dimension, biases on queries, keys and values alone, normalized queries and keys, and rotary
    angles of each row's own. See [the block][gpt-attention]. Sources: Ainslie et al. (2023) for
    shared heads, Su et al. (2024) for angles, Qwen Team (2025, section 2) for the normalization.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        H, H_kv, D, _ = config.sizes
        d, bias = config.d_model, config.bias != "none"
        self.num_heads = H
        self.group_size = H // H_kv  # query heads that share a key and value head
        self.head_dim = D
        self.dropout = config.dropout
        self.query_proj = nn.Linear(d, H * D, bias=bias)
        self.key_proj = nn.Linear(d, H_kv * D, bias=bias)
        self.value_proj = nn.Linear(d, H_kv * D, bias=bias)
        self.output_proj = nn.Linear(H * D, d, bias=config.bias == "all")
        self.query_norm = _norm(config, D) if config.qk_norm else nn.Identity()
        self.key_norm = _norm(config, D) if config.qk_norm else nn.Identity()

    def extra_repr(self) -> str:
        heads = f"num_heads={self.num_heads}, num_kv_heads={self.num_heads // self.group_size}"
        return f"{heads}, head_dim={self.head_dim}"

    def forward(
        self,
        x: Tensor,
        *,
        rotation: Rotation | None = None,
        store: Store | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Let every position attend to itself and to those before it.

        Args:
            x: Shape ``(B, T, d_model)``.
            rotation: Cosine and sine by which queries and keys turn, each of shape ``(T, D)`` or
                ``(B, 1, T, D)``.
            store: Takes the keys and values of ``x``, each of shape ``(B, H_kv, T, D)``, and
                gives those of all positions so far, shape ``(B, H_kv, S, D)``.
            mask: Added to the scores, broadcastable to ``(B, 1, T, S)``; without it the future
                is hidden from each of the last ``T`` positions.

        Returns:
            Shape ``(B, T, d_model)``.

        Raises:
            ValueError: If ``x`` has another shape.
        """
        check_sequence("x", x, self.query_proj.in_features)
        B, T, _ = x.shape
        query = self.query_norm(self._split_heads(self.query_proj(x)))  # (B, H, T, D)
        key = self.key_norm(self._split_heads(self.key_proj(x)))  # (B, H_kv, T, D)
        value = self._split_heads(self.value_proj(x))  # (B, H_kv, T, D)
        if rotation is not None:
            query, key = _turn(query, rotation), _turn(key, rotation)
        if store is not None:
            key, value = store(key, value)  # (B, H_kv, S, D)
        if T == 1:
            # From the last position nothing is hidden, and no query stands before another: those
            # that share a key go through as rows of one matrix, (B, H, 1, D) -> (B, H_kv, G, D).
            query = query.view(B, -1, self.group_size, self.head_dim)
        elif self.group_size > 1:  # (B, H_kv, S, D) -> (B, H, S, D)
            key = key.repeat_interleave(self.group_size, dim=1)
            value = value.repeat_interleave(self.group_size, dim=1)
        dropout = self.dropout if self.training else 0.0
        is_causal = mask is None and T > 1
        heads = F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal)
        # (B, H, T, D) -> (B, T, H, D) -> (B, T, H * D) -> (B, T, d_model)
        heads = heads.view(B, -1, T, self.head_dim).transpose(1, 2).flatten(2)
        return cast(Tensor, self.output_proj(heads))

    def _split_heads(self, x: Tensor) -> Tensor:
        # (B, T, heads * D) -> (B, T, heads, D) -> (B, heads, T, D)
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)


class GPTBlock(nn.Module):
    """Attention, then a feed-forward network; each reads the normalized stream and adds to it.

    See [the block][gpt-picture]. Source: Radford et al. (2019, section 2.3).
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_norm = _norm(config, config.d_model)
        self.attention = CausalSelfAttention(config)
        self.feed_forward_norm = _norm(config, config.d_model)
        self.feed_forward = _FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)  # on what a sublayer adds

    def forward(
        self,
        x: Tensor,
        *,
        rotation: Rotation | None = None,
        store: Store | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Pass the stream through the block; arguments as in its ``attention``."""
        attended = self.attention(self.attention_norm(x), rotation=rotation, store=store, mask=mask)
        x = x + self.dropout(attended)
        return cast(Tensor, x + self.dropout(self.feed_forward(self.feed_forward_norm(x))))


class GPT(nn.Module):
    """The model: from token ids to the logits of the token that follows each of them.

    Built up on the page on [GPT][gpt]. Weights begin as in GPT-2: normal with a standard
    deviation of 0.02, divided by the root of the number of sublayers where a sublayer writes
    into the stream; biases are zero. Sources: Radford et al. (2018, section 4.1) and (2019, section
    2.3); Peng et al., "RWKV" (2023), for the idea of token shift.

    Args:
        config: The shape of the model.

    Examples:
        ```python
        import torch
        from llmbook.gpt import GPT, GPTConfig

        torch.manual_seed(0)
        model = GPT(GPTConfig(vocab_size=20, d_model=16, num_layers=2, num_heads=2))
        print(tuple(model(torch.randint(20, (2, 5))).shape))
        ```

        ``` {.text .output}
        (2, 5, 20)
        ```
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        c = self.config = config
        self.token_embedding = nn.Embedding(c.vocab_size, c.d_model)
        learned = c.positions == "learned"
        self.position_embedding = nn.Embedding(c.max_length, c.d_model) if learned else None
        self.shift_proj = nn.Linear(c.d_model, c.d_model, bias=False) if c.token_shift else None
        self.dropout = nn.Dropout(c.dropout)
        self.blocks = nn.ModuleList(GPTBlock(c) for _ in range(c.num_layers))
        self.final_norm = _norm(c, c.d_model)
        self.output_head = nn.Linear(c.d_model, c.vocab_size, bias=False)
        if c.tie_weights:
            self.output_head.weight = self.token_embedding.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                writes = name.endswith(("output_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * c.num_layers) ** (0.5 * writes))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        if self.shift_proj is not None:  # the embedding before counts as much as the token's own
            nn.init.normal_(self.shift_proj.weight, std=c.d_model**-0.5)
        self._rotations: Rotation | None = None  # made when first needed, where it is needed

    def new_cache(self, batch_size: int = 1, capacity: int = 64) -> RaggedCache:
        """An empty cache for the keys and values of all blocks.

        Args:
            batch_size: Number of rows, ``B``.
            capacity: Positions to set memory aside for; more are added when they run out.
        """
        weight, (_, H_kv, D, _) = self.token_embedding.weight, self.config.sizes
        shape = (self.config.num_layers, batch_size, H_kv, capacity, D)
        return RaggedCache(shape, dtype=weight.dtype, device=weight.device)

    def forward(
        self,
        tokens: Tensor,
        *,
        cache: RaggedCache | None = None,
        counts: Sequence[int] | None = None,
    ) -> Tensor:
        """Logits of the token that follows each position.

        Args:
            tokens: Token ids, shape ``(B, T)``; with a cache, those that follow the ones in it.
                Shorter rows are padded at their *end* with any ids: no real token looks ahead,
                so padding needs no mask. Logits at padding mean nothing.
            cache: From [`new_cache`][llmbook.gpt.GPT.new_cache], to go on step by step. It is
                extended by the real tokens of each row.
            counts: Number of real tokens of each row, when a cache must know; ``T`` when left
                out.

        Returns:
            Logits, shape ``(B, T, V)``.

        Raises:
            ValueError: If a shape, a type, a token id, the cache or ``counts`` does not fit, or
                the tokens end beyond ``max_length``.
        """
        return cast(Tensor, self.output_head(self.hidden(tokens, cache=cache, counts=counts)))

    def hidden(
        self,
        tokens: Tensor,
        *,
        cache: RaggedCache | None = None,
        counts: Sequence[int] | None = None,
    ) -> Tensor:
        """The stream that the output head reads; arguments as in ``forward``.

        To write the next token one needs the logits of the last position only, and the head is
        the widest matrix of all: take the position first, then apply ``output_head``.

        Returns:
            Shape ``(B, T, d_model)``.
        """
        if tokens.device.type == "cpu" and not torch.compiler.is_compiling():  # elsewhere it waits
            check_tokens("tokens", tokens, self.config.vocab_size)
        B, T = tokens.shape
        starts = [0] * B if cache is None else list(cache.lengths)
        counts = [T] * B if counts is None else list(counts)
        if len(starts) != B or len(counts) != B or not all(1 <= count <= T for count in counts):
            raise ValueError(
                f"cache and counts must have {B} rows, each count from 1 to {T}, "
                f"got {len(starts)} rows and counts {counts}"
            )
        c, S = self.config, max(starts) + T
        longest = max(start + count for start, count in zip(starts, counts, strict=True))
        if longest > c.max_length:
            raise ValueError(
                f"tokens must end within max_length ({c.max_length}), got {longest} positions"
            )
        positions = torch.arange(T, device=tokens.device) + starts[0]  # (T,)
        ragged = any(start != starts[0] for start in starts)
        if ragged:
            begins = torch.tensor(starts, device=tokens.device)[:, None]  # (B, 1)
            positions = begins + torch.arange(T, device=tokens.device)  # (B, T)

        x, rotation, mask = self.token_embedding(tokens), None, None  # (B, T, d_model)
        if self.position_embedding is not None:
            x = x + self.position_embedding(positions.clamp(max=c.max_length - 1))
        else:
            cos, sin = self._rotation_table(S, x)
            shape = (B, 1, T, -1) if ragged else (T, -1)
            rotation = cos[positions].view(shape), sin[positions].view(shape)
        if ragged or (starts[0] > 0 and T > 1):  # keys that a query must not see stand among S
            hidden = torch.arange(S, device=x.device) > positions[..., None]  # ([B,] T, S)
            mask = torch.zeros_like(hidden, dtype=x.dtype).masked_fill_(hidden, float("-inf"))
            mask = mask.view(-1, 1, T, S)
        if cache is not None:
            cache.begin(positions, S)
        if self.shift_proj is not None:
            x = x + self._before(tokens, cache)
        x = self.dropout(x)
        for layer, block in enumerate(self.blocks):
            store = None if cache is None else partial(cache.append, layer)
            x = block(x, rotation=rotation, store=store, mask=mask)
        if cache is not None:
            cache.end(counts)
        return cast(Tensor, self.final_norm(x))

    def _before(self, tokens: Tensor, cache: RaggedCache | None) -> Tensor:
        """What each token is told of the one before it, shape ``(B, T, d_model)``."""
        last = tokens.new_full((len(tokens),), -1) if cache is None else cache.follow(tokens)
        before = torch.cat((last[:, None], tokens[:, :-1]), dim=1)  # (B, T); -1: there is none
        shift = cast(nn.Linear, self.shift_proj)
        told = shift(self.token_embedding(before.clamp(min=0)))
        return cast(Tensor, told * (before >= 0).to(told.dtype)[..., None])

    def _rotation_table(self, length: int, like: Tensor) -> Rotation:
        """Cosine and sine for all positions below ``length``, each of shape ``(_, D)``."""
        table = self._rotations
        if (
            table is None
            or len(table[0]) < length
            or (table[0].device, table[0].dtype) != (like.device, like.dtype)
        ):
            c = self.config
            angles = rotary_angles(1, c.sizes[2], base=c.rope_base, offset=1)
            if c.rope_scaling is not None:
                angles = c.rope_scaling.stretch(angles)
            places = torch.arange(2 * length, dtype=torch.float64)  # room for steps to come
            angles = places[:, None] * angles  # of one position times positions
            cos, sin = angles.cos(), angles.sin()
            table = torch.cat((cos, cos), 1).to(like), torch.cat((-sin, sin), 1).to(like)
            self._rotations = table
        return table


class _FeedForward(nn.Module):
    """[`FeedForward`][llmbook.layers.FeedForward] with GPT-2's GELU, and biases by choice."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        d, d_ff, bias = config.d_model, config.sizes[3], config.bias == "all"
        gated = config.activation == "swiglu"
        self.gate_proj = nn.Linear(d, d_ff, bias=bias) if gated else None
        self.up_proj = nn.Linear(d, d_ff, bias=bias)
        self.down_proj = nn.Linear(d_ff, d, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.up_proj(x)  # (B, T, d_ff)
        if self.gate_proj is None:
            hidden = F.gelu(hidden, approximate="tanh")
        else:
            hidden = F.silu(self.gate_proj(x)) * hidden
        return cast(Tensor, self.down_proj(hidden))


def _norm(config: GPTConfig, width: int) -> nn.LayerNorm | nn.RMSNorm:
    return (nn.LayerNorm if config.norm == "layer" else nn.RMSNorm)(width, eps=config.norm_eps)


def _turn(x: Tensor, rotation: Rotation) -> Tensor:
    """[`apply_rotary`][llmbook.positions.apply_rotary], its cosines and sines made before."""
    cos, sin = rotation  # the sine of the first half is negative
    first, second = x.chunk(2, dim=-1)
    return torch.addcmul(x * cos, torch.cat((second, first), dim=-1), sin)
