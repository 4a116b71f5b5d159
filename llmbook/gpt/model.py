"""The model: a block, and the stack of them between a table of tokens and a head.

Notation: ``B`` batch, ``T`` length of the tokens given, ``V`` vocabulary, ``d_model`` width of the
stream.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from llmbook._checks import check_counts, check_tokens
from llmbook.attention import MultiHeadAttention
from llmbook.cache import KVCache, RaggedCache, Step
from llmbook.gpt.config import GPTConfig
from llmbook.layers import FeedForward, LayerNorm, RMSNorm
from llmbook.positions import RotaryEmbedding
from llmbook.positions.rotary import Rotation

__all__ = ["GPT", "GPTBlock"]


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
        max_length = self.config.max_length
        if cache is None:
            check_counts(counts, tokens, [0] * len(tokens), max_length)
            # A step from nothing: position 0, nothing kept of any block, no token before.
            return self._read(tokens, Step(0, [None] * len(self.blocks)))
        if self.shift_proj is not None and not cache.keeps_tokens:
            raise ValueError(
                "cache must keep the tokens for a model with token_shift, as that of "
                "new_cache does, got one without keep_tokens"
            )
        # It checks the counts. The lengths grow when the block ends: after an error none of the
        # tokens count.
        with cache.step(tokens, counts, max_length=max_length) as step:
            return self._read(tokens, step)

    def _read(self, tokens: Tensor, step: Step) -> Tensor:
        """From ids, shape ``(B, T)``, to the normalized stream, shape ``(B, T, d_model)``."""
        T, x = tokens.size(1), self.token_embedding(tokens)  # (B, T, d_model)
        if self.position_embedding is not None:
            begins = torch.tensor(step.offset, device=tokens.device)  # one, or (B,)
            positions = begins[..., None] + torch.arange(T, device=tokens.device)  # (T,) or (B, T)
            # Padding may stand beyond the table. What is added to it does not matter.
            # (T, d_model), the same for all rows, or (B, T, d_model).
            x = x + self.position_embedding(positions.clamp(max=self.config.max_length - 1))
        # Rotary positions enter in every block instead, where queries meet keys; the angles are the
        # same for all. Of ``x`` only the length, type and device are asked.
        rotation = None if self.rotary is None else self.rotary.rotation(x, step.offset)
        if self.shift_proj is not None:
            # From the ids, and not from ``x`` moved by one: the first token of a step needs the
            # last of the step before, of which the cache keeps the id.
            x = x + self._shifted(tokens, step.before)
        x = self.dropout(x)
        # Every block adds to the stream and normalizes only what it reads itself, so the sum is
        # normalized once more for the head.
        for block, cache in zip(self.blocks, step.layers, strict=True):
            x = block(x, rotation=rotation, cache=cache)
        return cast(Tensor, self.final_norm(x))

    def _shifted(self, tokens: Tensor, before: Tensor | None) -> Tensor:
        """A map of the embedding before each token, zeros where there is none: (B, T, d_model)."""
        if before is None:
            before = tokens.new_full((len(tokens),), -1)
        previous = torch.cat((before[:, None], tokens[:, :-1]), dim=1)  # (B, T); -1: there is none
        shift_proj = cast(nn.Linear, self.shift_proj)
        # -1 is no row of the table: any row is looked up in its place, and taken out again below.
        shifted = shift_proj(self.token_embedding(previous.clamp(min=0)))
        # (B, T, d_model) · (B, T, 1). The zeros also keep that row free of a gradient.
        return cast(Tensor, shifted * (previous >= 0).to(shifted.dtype)[..., None])


def _norm(config: GPTConfig, width: int) -> LayerNorm | RMSNorm:
    """A normalization of the kind that the configuration asks for."""
    if config.norm == "layer":
        return LayerNorm(width, eps=config.norm_eps)
    return RMSNorm(width, eps=config.norm_eps)
