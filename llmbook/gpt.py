r"""GPT: one stack of blocks that reads a text from left to right and says what comes next.

A decoder without an encoder. A table turns tokens into vectors, every block lets each position
look back and then think by itself, and a second table turns vectors into logits. One
configuration covers the two families of choices in use: GPT-2's (learned positions, LayerNorm,
GELU, biases, tied tables) and that of Llama and Qwen (rotary positions, RMSNorm, SwiGLU, shared
key and value heads, few biases or none). Sources: Radford et al., "Improving Language
Understanding by Generative Pre-Training" (2018) and "Language Models are Unsupervised Multitask
Learners" (2019); Touvron et al., "LLaMA" (2023); Qwen Team, "Qwen3 Technical Report" (2025).

Attention, feed-forward network, normalization and positions are those of the earlier chapters; what
this module adds is how they are put together, and counted.

Notation: ``B`` batch, ``T`` length of the tokens given, ``S`` length with those in the cache,
``H`` query heads, ``H_kv`` key and value heads, ``D`` dimension of a head, ``V`` vocabulary,
``d_model`` width of the stream, ``d_ff`` width inside the feed-forward network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from llmbook._checks import (
    check_at_least_one,
    check_counts,
    check_even,
    check_positive,
    check_probability,
    check_tokens,
)
from llmbook.attention import MultiHeadAttention
from llmbook.cache import KVCache, RaggedCache, Step
from llmbook.layers import FeedForward, LayerNorm, RMSNorm
from llmbook.positions.rotary import RopeScaling, RotaryEmbedding, Rotation

__all__ = ["GPT", "GPTBlock", "GPTConfig"]

Positions = Literal["learned", "rotary"]
Norm = Literal["layer", "rms"]
Activation = Literal["gelu_tanh", "swiglu"]
Bias = Literal["all", "qkv", "none"]


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
            check_even("head_dim", self.head_size)
        check_positive("rope_base", self.rope_base)
        check_positive("norm_eps", self.norm_eps)
        check_probability("dropout", self.dropout)

    @classmethod
    def llama(cls, **choices: Any) -> "GPTConfig":
        """The choices of Llama, where no others are given: RoPE, RMSNorm, SwiGLU, no biases.

        Args:
            **choices: Fields of the configuration.
        """
        family = {"positions": "rotary", "norm": "rms", "activation": "swiglu", "bias": "none"}
        return cls(**family | choices)

    @property
    def kv_heads(self) -> int:
        """Number of key and value heads, ``H_kv``."""
        return self.num_kv_heads or self.num_heads

    @property
    def head_size(self) -> int:
        """Dimension of a head, ``D``."""
        return self.head_dim or self.d_model // self.num_heads

    @property
    def ff_size(self) -> int:
        """Width inside the feed-forward network, ``d_ff``."""
        return self.d_ff or 4 * self.d_model

    def parameters_by_part(self) -> dict[str, int]:
        """Number of parameters in each part of the model. See [the count][gpt-parameters]."""
        H, H_kv, D, d_ff = self.num_heads, self.kv_heads, self.head_size, self.ff_size
        d, L, V = self.d_model, self.num_layers, self.vocab_size
        maps_up = 2 if self.activation == "swiglu" else 1
        attention = d * (H + 2 * H_kv) * D + H * D * d  # in each block, and so is feed_forward
        feed_forward = (maps_up + 1) * d * d_ff
        if self.bias != "none":
            attention += (H + 2 * H_kv) * D
        if self.bias == "all":
            attention += d
            feed_forward += maps_up * d_ff + d
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
        H, H_kv, D, d_ff = self.num_heads, self.kv_heads, self.head_size, self.ff_size
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


class GPTBlock(nn.Module):
    """Attention, then a feed-forward network; each reads the normalized stream and adds to it.

    See [the block][gpt-picture]. Sources: Radford et al. (2019, section 2.3); Qwen Team (2025,
    section 2) for the normalization of queries and keys.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        c = config
        self.attention_norm = _norm(c, c.d_model)
        self.attention = MultiHeadAttention(
            c.d_model,
            c.num_heads,
            num_kv_heads=c.num_kv_heads,
            head_dim=c.head_dim,
            bias=c.bias != "none",
            output_bias=c.bias == "all",
            query_norm=_norm(c, c.head_size) if c.qk_norm else None,
            key_norm=_norm(c, c.head_size) if c.qk_norm else None,
            dropout=c.dropout,
        )
        self.feed_forward_norm = _norm(c, c.d_model)
        self.feed_forward = FeedForward(
            c.d_model, c.ff_size, activation=c.activation, bias=c.bias == "all"
        )
        self.dropout = nn.Dropout(c.dropout)  # on what a sublayer adds

    def forward(
        self,
        x: Tensor,
        *,
        rotation: Rotation | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Pass the stream through the block; no position sees those after it.

        Args:
            x: The stream, shape ``(B, T, d_model)``.
            rotation: As in [`MultiHeadAttention`][llmbook.attention.MultiHeadAttention].
            cache: As in ``MultiHeadAttention``.

        Returns:
            The stream, shape ``(B, T, d_model)``.

        Raises:
            ValueError: If ``x`` has another shape.
        """
        attended = self.attention(
            self.attention_norm(x), is_causal=True, rotation=rotation, cache=cache
        )
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
        self.position_embedding = self.rotary = None
        if c.positions == "learned":
            self.position_embedding = nn.Embedding(c.max_length, c.d_model)
        else:
            self.rotary = RotaryEmbedding(c.head_size, base=c.rope_base, scaling=c.rope_scaling)
        self.shift_proj = nn.Linear(c.d_model, c.d_model, bias=False) if c.token_shift else None
        self.dropout = nn.Dropout(c.dropout)
        self.blocks = nn.ModuleList(GPTBlock(c) for _ in range(c.num_layers))
        self.final_norm = _norm(c, c.d_model)
        self.output_head = nn.Linear(c.d_model, c.vocab_size, bias=False)
        if c.tie_weights:
            self.output_head.weight = self.token_embedding.weight
        writing = 0.02 / (2 * c.num_layers) ** 0.5  # two sublayers a block write into the stream
        for name, parameter in self.named_parameters():
            if name.endswith(("output_proj.weight", "down_proj.weight")):
                nn.init.normal_(parameter, std=writing)
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        if self.shift_proj is not None:  # the embedding before counts as much as the token's own
            nn.init.normal_(self.shift_proj.weight, std=c.d_model**-0.5)

    def new_cache(self, batch_size: int = 1, capacity: int = 64) -> RaggedCache:
        """An empty cache for the keys and values of all blocks.

        Args:
            batch_size: Number of rows, ``B``.
            capacity: Positions to set memory aside for; more are added when they run out.
        """
        weight, c = self.token_embedding.weight, self.config
        shape = (c.num_layers, batch_size, c.kv_heads, capacity, c.head_size)
        return RaggedCache(
            shape, dtype=weight.dtype, device=weight.device, keep_tokens=c.token_shift
        )

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
        starts = [0] * len(tokens) if cache is None else cache.lengths
        counts = check_counts(counts, tokens, len(starts))
        longest = max(start + count for start, count in zip(starts, counts, strict=True))
        if longest > self.config.max_length:
            raise ValueError(
                f"tokens must end within max_length ({self.config.max_length}), "
                f"got {longest} positions"
            )
        if cache is not None:
            with cache.step(tokens, counts) as step:
                return self._read(tokens, step)
        return self._read(tokens, Step(0, [None] * len(self.blocks)))

    def _read(self, tokens: Tensor, step: Step) -> Tensor:
        """From ids, shape ``(B, T)``, to the normalized stream, shape ``(B, T, d_model)``."""
        T, x = tokens.size(1), self.token_embedding(tokens)  # (B, T, d_model)
        if self.position_embedding is not None:
            begins = torch.tensor(step.offset, device=tokens.device)  # one, or (B,)
            positions = begins[..., None] + torch.arange(T, device=tokens.device)  # (T,) or (B, T)
            # Padding may stand beyond the table. What is added to it does not matter.
            x = x + self.position_embedding(positions.clamp(max=self.config.max_length - 1))
        rotation = None if self.rotary is None else self.rotary.rotation(x, step.offset)
        if self.shift_proj is not None:
            x = x + self._shifted(tokens, step.before)
        x = self.dropout(x)
        for block, cache in zip(self.blocks, step.layers, strict=True):
            x = block(x, rotation=rotation, cache=cache)
        return cast(Tensor, self.final_norm(x))

    def _shifted(self, tokens: Tensor, before: Tensor | None) -> Tensor:
        """A map of the embedding before each token, zeros where there is none: (B, T, d_model)."""
        if before is None:
            before = tokens.new_full((len(tokens),), -1)
        previous = torch.cat((before[:, None], tokens[:, :-1]), dim=1)  # (B, T); -1: there is none
        shift_proj = cast(nn.Linear, self.shift_proj)
        shifted = shift_proj(self.token_embedding(previous.clamp(min=0)))
        return cast(Tensor, shifted * (previous >= 0).to(shifted.dtype)[..., None])


def _norm(config: GPTConfig, width: int) -> LayerNorm | RMSNorm:
    if config.norm == "layer":
        return LayerNorm(width, eps=config.norm_eps)
    return RMSNorm(width, eps=config.norm_eps)
