r"""The layers of the Transformer: normalization, the feed-forward network, encoder and decoder.

Every part of a Transformer reads from the *residual stream*, computes something, and adds it
back: ``x + sublayer(x)``. What is left to decide is where to normalize. Vaswani et al. (2017,
section 5.4) do it after the sum, which is called post-norm; most models since do it before the
sublayer, which is called pre-norm (Xiong et al., "On Layer Normalization in the Transformer
Architecture", 2020).

The formulas of normalization stand at the classes; torch's kernels compute them, in one pass over
the numbers and, in half precision, with sums in float32.

Notation: ``B`` batch, ``T`` target length, ``S`` source length, ``d_model`` width of the
stream, ``d_ff`` width inside the feed-forward network.
"""

from collections.abc import Callable
from typing import Literal, TypedDict, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook._checks import check_at_least_one, check_positive, check_probability, check_width
from llmbook.attention import MultiHeadAttention
from llmbook.cache import KVCache

__all__ = ["DecoderLayer", "EncoderLayer", "FeedForward", "LayerNorm", "RMSNorm"]

Activation = Literal["relu", "gelu", "gelu_tanh", "swiglu"]


class LayerOptions(TypedDict, total=False):
    """What [`EncoderLayer`][llmbook.layers.EncoderLayer]s and decoder layers may be told."""

    dropout: float
    activation: Activation
    norm_first: bool


class LayerNorm(nn.Module):
    r"""Shift and scale each position to mean 0 and variance 1, then by learned amounts.

    $$\operatorname{LayerNorm}(x) =
    \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} \odot \gamma + \beta$$

    Mean and variance run over the ``d_model`` numbers of *one* position. The variance is the
    biased one, divided by ``d_model`` and not by ``d_model - 1``. See
    [normalization][normalization]. Source: Ba et al., "Layer Normalization" (2016, equations
    3 and 4).

    Args:
        d_model: Number of features of a position.
        eps: Added to the variance, so that a constant input does not divide by zero.

    Raises:
        ValueError: If ``d_model`` is below 1 or ``eps`` is not positive.
    """

    def __init__(self, d_model: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        check_at_least_one("d_model", d_model)
        check_positive("eps", eps)
        self.d_model = d_model
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))  # γ
        self.bias = nn.Parameter(torch.zeros(d_model))  # β

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension.

        Args:
            x: Shape ``(..., d_model)``.

        Returns:
            Shape ``(..., d_model)``.

        Raises:
            ValueError: If the last dimension is not ``d_model``.
        """
        check_width("x", x, self.d_model)
        return F.layer_norm(x, (self.d_model,), self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    r"""Scale each position to a root mean square of 1, then by learned amounts.

    $$\operatorname{RMSNorm}(x) =
    \frac{x}{\sqrt{\tfrac{1}{d_\text{model}} \sum_i x_i^2 + \varepsilon}} \odot \gamma$$

    [`LayerNorm`][llmbook.layers.LayerNorm] without the mean and without the shift. See
    [normalization][normalization]. Source: Zhang and Sennrich, "Root Mean Square Layer
    Normalization" (2019, equation 4).

    Args:
        d_model: Number of features of a position.
        eps: Added to the mean square, so that a zero input does not divide by zero.

    Raises:
        ValueError: If ``d_model`` is below 1 or ``eps`` is not positive.
    """

    def __init__(self, d_model: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        check_at_least_one("d_model", d_model)
        check_positive("eps", eps)
        self.d_model = d_model
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))  # γ

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension.

        Args:
            x: Shape ``(..., d_model)``.

        Returns:
            Shape ``(..., d_model)``, in the type of ``x``.

        Raises:
            ValueError: If the last dimension is not ``d_model``.
        """
        check_width("x", x, self.d_model)
        return F.rms_norm(x, (self.d_model,), self.weight, self.eps)


class FeedForward(nn.Module):
    r"""Two linear maps with an activation between, applied to each position on its own.

    $$\operatorname{FFN}(x) = \operatorname{activation}(x W_\text{up} + b_\text{up})\,
    W_\text{down} + b_\text{down}$$

    With ``"swiglu"`` a third map opens and closes the hidden units, and by default no bias is
    added: $(\operatorname{SiLU}(x W_\text{gate}) \odot x W_\text{up})\, W_\text{down}$. See
    [feed-forward][feed-forward]. Sources: Vaswani et al. (2017, section 3.3, equation 2) for
    ReLU; Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016, section 2) for GELU and its
    approximation by a hyperbolic tangent, which GPT-2 has; Shazeer, "GLU Variants Improve
    Transformer" (2020, equation 6) for SwiGLU.

    Args:
        d_model: Width of input and output.
        d_ff: Width of the hidden layer.
        activation: ``"relu"``, ``"gelu"``, ``"gelu_tanh"`` or ``"swiglu"``.
        bias: Whether the maps add biases; left out, all do but those of SwiGLU.
        dropout: Probability of dropping a hidden unit in training.

    Raises:
        ValueError: If a width is below 1, ``activation`` is unknown, or ``dropout`` is outside
            [0, 1].
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        *,
        activation: Activation = "relu",
        bias: bool | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_at_least_one("d_model", d_model)
        check_at_least_one("d_ff", d_ff)
        check_probability("dropout", dropout)
        if activation not in get_args(Activation):
            raise ValueError(
                f"activation must be one of {get_args(Activation)}, got {activation!r}"
            )
        is_gated = activation == "swiglu"
        bias = not is_gated if bias is None else bias
        self.activation = activation
        self.dropout = dropout
        self.gate_proj = nn.Linear(d_model, d_ff, bias=bias) if is_gated else None
        self.up_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.down_proj = nn.Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network to each position.

        Args:
            x: Shape ``(..., d_model)``.

        Returns:
            Shape ``(..., d_model)``.

        Raises:
            ValueError: If the last dimension is not ``d_model``.
        """
        check_width("x", x, self.up_proj.in_features)
        hidden = self.up_proj(x)  # (..., d_ff)
        if self.gate_proj is not None:
            hidden = F.silu(self.gate_proj(x)) * hidden
        elif self.activation == "relu":
            hidden = F.relu(hidden)
        else:
            hidden = F.gelu(
                hidden, approximate="tanh" if self.activation == "gelu_tanh" else "none"
            )
        if self.training:
            hidden = F.dropout(hidden, self.dropout)
        output: Tensor = self.down_proj(hidden)
        return output


class _ResidualLayer(nn.Module):
    """What encoder and decoder layers share: how a sublayer is added to the stream."""

    def __init__(self, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)  # on what a sublayer adds
        self.norm_first = norm_first

    def _add(self, x: Tensor, norm: LayerNorm, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """Add what the sublayer computes; normalize before it, or after the sum."""
        added: Tensor = x + self.dropout(sublayer(norm(x) if self.norm_first else x))
        return added if self.norm_first else cast(Tensor, norm(added))


class EncoderLayer(_ResidualLayer):
    """Self-attention, then a feed-forward network, each added to the stream and normalized.

    Built up on the page on [the encoder][encoder]. Equal to ``nn.TransformerEncoderLayer`` with
    the same weights. Source: Vaswani et al. (2017, section 3.1).

    Args:
        d_model: Width of the stream.
        num_heads: Number of attention heads; must divide ``d_model``.
        d_ff: Width inside the feed-forward network.
        dropout: Probability of dropping an attention weight, a hidden unit, or a number that a
            sublayer adds, in training.
        activation: As in [`FeedForward`][llmbook.layers.FeedForward].
        norm_first: Normalize before each sublayer (pre-norm), not after the sum (post-norm).

    Raises:
        ValueError: If the sizes do not fit together or ``dropout`` is outside [0, 1].
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        *,
        dropout: float = 0.0,
        activation: Activation = "relu",
        norm_first: bool = False,
    ) -> None:
        check_probability("dropout", dropout)
        super().__init__(dropout, norm_first)
        self.self_attention = MultiHeadAttention(d_model, num_heads, dropout=dropout)
        self.feed_forward = FeedForward(d_model, d_ff, activation=activation, dropout=dropout)
        self.self_attention_norm = LayerNorm(d_model)
        self.feed_forward_norm = LayerNorm(d_model)

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Let every position look at the others, then at itself.

        Args:
            x: The stream, shape ``(B, T, d_model)``.
            mask: Who may attend to whom, broadcastable to ``(B, H, T, T)``, as in
                [`MultiHeadAttention`][llmbook.attention.MultiHeadAttention].

        Returns:
            The stream, shape ``(B, T, d_model)``.

        Raises:
            ValueError: If ``x`` or ``mask`` has the wrong shape or type.
        """
        x = self._add(x, self.self_attention_norm, lambda x: self.self_attention(x, mask=mask))
        return self._add(x, self.feed_forward_norm, self.feed_forward)


class DecoderLayer(_ResidualLayer):
    """Causal self-attention, attention to the source, then a feed-forward network.

    Built up on the page on [the decoder][decoder]. Equal to ``nn.TransformerDecoderLayer`` with
    the same weights and a causal mask. Source: Vaswani et al. (2017, section 3.1).

    Args:
        d_model: Width of the stream.
        num_heads: Number of attention heads; must divide ``d_model``.
        d_ff: Width inside the feed-forward network.
        dropout: As in [`EncoderLayer`][llmbook.layers.EncoderLayer].
        activation: As in ``EncoderLayer``.
        norm_first: As in ``EncoderLayer``.

    Raises:
        ValueError: If the sizes do not fit together or ``dropout`` is outside [0, 1].
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        *,
        dropout: float = 0.0,
        activation: Activation = "relu",
        norm_first: bool = False,
    ) -> None:
        check_probability("dropout", dropout)
        super().__init__(dropout, norm_first)
        self.self_attention = MultiHeadAttention(d_model, num_heads, dropout=dropout)
        self.cross_attention = MultiHeadAttention(d_model, num_heads, dropout=dropout)
        self.feed_forward = FeedForward(d_model, d_ff, activation=activation, dropout=dropout)
        self.self_attention_norm = LayerNorm(d_model)
        self.cross_attention_norm = LayerNorm(d_model)
        self.feed_forward_norm = LayerNorm(d_model)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        *,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        caches: tuple[KVCache, KVCache] | None = None,
    ) -> Tensor:
        """Let every position look back, then at the source, then at itself.

        Args:
            x: The stream, shape ``(B, T, d_model)``.
            memory: The encoder's output, shape ``(B, S, d_model)``.
            mask: Who may attend to whom within ``x``, broadcastable to ``(B, H, T, T)``. The
                future is hidden in any case.
            memory_mask: Who may attend to what in ``memory``, broadcastable to ``(B, H, T, S)``.
            caches: Keys and values of self-attention and of cross-attention, kept from step to
                step; ``x`` then holds the new positions only.

        Returns:
            The stream, shape ``(B, T, d_model)``.

        Raises:
            ValueError: If ``x``, ``memory`` or a mask has the wrong shape or type.
        """
        self_cache, cross_cache = caches or (None, None)
        x = self._add(
            x,
            self.self_attention_norm,
            lambda x: self.self_attention(x, mask=mask, is_causal=True, cache=self_cache),
        )
        x = self._add(
            x,
            self.cross_attention_norm,
            lambda x: self.cross_attention(x, memory, mask=memory_mask, cache=cross_cache),
        )
        return self._add(x, self.feed_forward_norm, self.feed_forward)
