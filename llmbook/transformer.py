r"""The Transformer: an encoder reads a sequence, a decoder writes another one.

The encoder turns the source into one vector for each of its positions, the *memory*. The decoder
writes the target token by token; each new token looks back at those before it and across at the
memory. Training needs no loop over tokens: the whole target goes in at once, shifted by one, and
the causal mask keeps every position from seeing its own answer. Source: Vaswani et al.,
"Attention Is All You Need" (2017).

Notation: ``B`` batch, ``T`` target length, ``S`` source length, ``V`` vocabulary, ``d_model``
width of the stream.
"""

from dataclasses import dataclass
from typing import Unpack

from torch import Tensor, nn

from llmbook._checks import check_at_least_one, check_tokens
from llmbook.cache import KVCache
from llmbook.layers import Activation, DecoderLayer, EncoderLayer, LayerNorm, LayerOptions
from llmbook.positions import SinusoidalEncoding

__all__ = [
    "Transformer",
    "TransformerConfig",
    "TransformerDecoder",
    "TransformerEncoder",
]


@dataclass(frozen=True)
class TransformerConfig:
    """Everything that decides the shape of a [`Transformer`][llmbook.transformer.Transformer].

    The defaults are the base model of Vaswani et al. (2017, table 3), whose vocabulary of about
    37,000 tokens is shared by both languages.
    """

    source_vocab_size: int = 37_000
    target_vocab_size: int = 37_000
    d_model: int = 512
    num_heads: int = 8
    d_ff: int = 2048
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    dropout: float = 0.1
    activation: Activation = "relu"
    norm_first: bool = False  # False: post-norm, as in the paper; True: pre-norm
    tie_weights: bool = True  # one matrix for both embeddings and the output head
    pad_id: int = 0
    bos_id: int = 1  # begins every target
    eos_id: int = 2  # ends every target


class TransformerEncoder(nn.Module):
    """A stack of [`EncoderLayer`][llmbook.layers.EncoderLayer]s.

    Equal to ``nn.TransformerEncoder`` with the same weights. See [the encoder][encoder].

    Args:
        num_layers: Number of layers.
        d_model: Width of the stream.
        num_heads: Number of attention heads; must divide ``d_model``.
        d_ff: Width inside the feed-forward networks.
        **options: ``dropout``, ``activation`` and ``norm_first`` of the layers, as in
            [`EncoderLayer`][llmbook.layers.EncoderLayer]. With pre-norm the stream itself is never
            normalized, so one more normalization stands at its end.

    Raises:
        ValueError: If a size is below 1, sizes do not fit together, or ``dropout`` is outside
            [0, 1].
    """

    def __init__(
        self,
        num_layers: int,
        d_model: int,
        num_heads: int,
        d_ff: int,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__()
        check_at_least_one("num_layers", num_layers)
        self.layers = nn.ModuleList(
            EncoderLayer(d_model, num_heads, d_ff, **options) for _ in range(num_layers)
        )
        self.final_norm = LayerNorm(d_model) if options.get("norm_first") else nn.Identity()

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Pass the stream through every layer.

        Args:
            x: The stream, shape ``(B, S, d_model)``.
            mask: Who may attend to whom, broadcastable to ``(B, H, S, S)``.

        Returns:
            The stream, shape ``(B, S, d_model)``.

        Raises:
            ValueError: If ``x`` or ``mask`` has the wrong shape or type.
        """
        for layer in self.layers:
            x = layer(x, mask=mask)
        output: Tensor = self.final_norm(x)
        return output


class TransformerDecoder(nn.Module):
    """A stack of [`DecoderLayer`][llmbook.layers.DecoderLayer]s.

    Equal to ``nn.TransformerDecoder`` with the same weights and a causal mask. See
    [the decoder][decoder].

    Args:
        num_layers: Number of layers.
        d_model: Width of the stream.
        num_heads: Number of attention heads; must divide ``d_model``.
        d_ff: Width inside the feed-forward networks.
        **options: As in [`TransformerEncoder`][llmbook.transformer.TransformerEncoder].

    Raises:
        ValueError: If a size is below 1, sizes do not fit together, or ``dropout`` is outside
            [0, 1].
    """

    def __init__(
        self,
        num_layers: int,
        d_model: int,
        num_heads: int,
        d_ff: int,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__()
        check_at_least_one("num_layers", num_layers)
        self.layers = nn.ModuleList(
            DecoderLayer(d_model, num_heads, d_ff, **options) for _ in range(num_layers)
        )
        self.final_norm = LayerNorm(d_model) if options.get("norm_first") else nn.Identity()

    def new_caches(self) -> list[tuple[KVCache, KVCache]]:
        """Empty caches of every layer, for self-attention and for cross-attention."""
        return [(KVCache(), KVCache()) for _ in self.layers]

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        *,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        caches: list[tuple[KVCache, KVCache]] | None = None,
    ) -> Tensor:
        """Pass the stream through every layer.

        Args:
            x: The stream, shape ``(B, T, d_model)``.
            memory: The encoder's output, shape ``(B, S, d_model)``.
            mask: Who may attend to whom within ``x``, broadcastable to ``(B, H, T, T)``; the
                future is hidden in any case.
            memory_mask: Who may attend to what in ``memory``, broadcastable to ``(B, H, T, S)``.
            caches: From [`new_caches`][llmbook.transformer.TransformerDecoder.new_caches]; ``x``
                then holds the new positions only.

        Returns:
            The stream, shape ``(B, T, d_model)``.

        Raises:
            ValueError: If ``x``, ``memory`` or a mask has the wrong shape or type.
        """
        for i, layer in enumerate(self.layers):
            x = layer(
                x,
                memory,
                mask=mask,
                memory_mask=memory_mask,
                caches=None if caches is None else caches[i],
            )
        output: Tensor = self.final_norm(x)
        return output


class Transformer(nn.Module):
    """Embeddings, encoder, decoder and output head: from token ids to logits.

    Put together on the page on [the architecture][architecture].

    Args:
        config: The shape of the model.

    Raises:
        ValueError: If sizes do not fit together, or weights are tied between vocabularies of
            different size.

    Examples:
        ```python
        import torch
        from llmbook.transformer import Transformer, TransformerConfig

        torch.manual_seed(0)
        config = TransformerConfig(
            source_vocab_size=20, target_vocab_size=20, d_model=16, num_heads=2, d_ff=32
        )
        model = Transformer(config)
        source, target = torch.randint(3, 20, (2, 7)), torch.randint(3, 20, (2, 5))
        print(tuple(model(source, target).shape))
        ```

        ``` {.text .output}
        (2, 5, 20)
        ```
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        c = self.config = config
        check_at_least_one("source_vocab_size", c.source_vocab_size)
        check_at_least_one("target_vocab_size", c.target_vocab_size)
        if c.tie_weights and c.source_vocab_size != c.target_vocab_size:
            raise ValueError(
                "tie_weights needs one vocabulary for source and target, got "
                f"source_vocab_size {c.source_vocab_size} and "
                f"target_vocab_size {c.target_vocab_size}"
            )
        sizes = (c.d_model, c.num_heads, c.d_ff)
        options = LayerOptions(dropout=c.dropout, activation=c.activation, norm_first=c.norm_first)
        self.source_embedding = nn.Embedding(c.source_vocab_size, c.d_model)
        self.target_embedding = nn.Embedding(c.target_vocab_size, c.d_model)
        self.positions = SinusoidalEncoding(c.d_model)
        self.dropout = nn.Dropout(c.dropout)
        self.encoder = TransformerEncoder(c.num_encoder_layers, *sizes, **options)
        self.decoder = TransformerDecoder(c.num_decoder_layers, *sizes, **options)
        self.output_head = nn.Linear(c.d_model, c.target_vocab_size, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for embedding in (self.source_embedding, self.target_embedding):
            # Multiplied by sqrt(d_model) on the way in, as the head needs small numbers.
            nn.init.normal_(embedding.weight, std=c.d_model**-0.5)
        if c.tie_weights:
            self.source_embedding.weight = self.target_embedding.weight
            self.output_head.weight = self.target_embedding.weight

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits of the token that follows each position of the target.

        Args:
            source: Token ids, padded with ``pad_id``, shape ``(B, S)``.
            target: Token ids beginning with ``bos_id``, shape ``(B, T)``.

        Returns:
            Logits, shape ``(B, T, target_vocab_size)``.

        Raises:
            ValueError: If a shape, a type or a token id does not fit.
        """
        memory, memory_mask = self.encode(source)
        return self.decode(target, memory, memory_mask)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Read the source.

        Args:
            source: Token ids, padded with ``pad_id``, shape ``(B, S)``.

        Returns:
            The memory, shape ``(B, S, d_model)``, and its mask, ``True`` where a token is not
            padding, shape ``(B, 1, 1, S)``.

        Raises:
            ValueError: If the shape, the type or a token id does not fit.
        """
        check_tokens("source", source, self.config.source_vocab_size)
        mask = (source != self.config.pad_id)[:, None, None, :]  # (B, 1, 1, S)
        x = self._embed(source, self.source_embedding, offset=0)
        return self.encoder(x, mask=mask), mask

    def decode(
        self,
        target: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None = None,
        *,
        caches: list[tuple[KVCache, KVCache]] | None = None,
    ) -> Tensor:
        """Logits of the token that follows each position of the target, given the memory.

        Padding at the end of a target needs no mask: the causal mask hides it from all that
        comes before, and what is computed at the padding itself is for nobody.

        Args:
            target: Token ids, shape ``(B, T)``; with ``caches``, those not yet seen.
            memory: From [`encode`][llmbook.transformer.Transformer.encode], shape
                ``(B, S, d_model)``.
            memory_mask: From the same, shape ``(B, 1, 1, S)``.
            caches: From ``decoder.new_caches()``, to decode step by step.

        Returns:
            Logits, shape ``(B, T, target_vocab_size)``.

        Raises:
            ValueError: If a shape, a type or a token id does not fit.
        """
        check_tokens("target", target, self.config.target_vocab_size)
        offset = 0 if caches is None else len(caches[0][0])
        x = self._embed(target, self.target_embedding, offset)
        x = self.decoder(x, memory, memory_mask=memory_mask, caches=caches)
        logits: Tensor = self.output_head(x)
        return logits

    def _embed(self, tokens: Tensor, embedding: nn.Embedding, offset: int) -> Tensor:
        x = embedding(tokens) * self.config.d_model**0.5  # section 3.4
        embedded: Tensor = self.dropout(self.positions(x, offset))
        return embedded
