"""The configuration: every choice in the shape of a GPT, and what follows from it by counting.

Notation: ``T`` length of the tokens given, ``S`` length with those in the cache, ``L`` blocks,
``H`` query heads, ``H_kv`` key and value heads, ``D`` dimension of a head, ``V`` vocabulary,
``d_model`` width of the stream, ``d_ff`` width inside the feed-forward network.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from llmbook._checks import check_at_least_one, check_even, check_positive, check_probability
from llmbook.positions import RopeScaling

__all__ = ["GPTConfig"]

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
