"""Configurations: what the ``config.json`` of other people's models says, in our words.

What it asks for and our [`GPT`][llmbook.gpt.GPT] does not do is an error. The keys are those of the
models in transformers (Wolf et al., 2020).
"""

import math
from collections.abc import Mapping
from typing import Any

from llmbook._files import reading
from llmbook.errors import UnsupportedError
from llmbook.gpt import GPTConfig
from llmbook.gpt.config import Bias
from llmbook.positions import RopeScaling
from llmbook.pretrained.layouts import Layout

__all__ = ["read_config"]


def read_config(data: Mapping[str, Any]) -> tuple[GPTConfig, Layout]:
    """What the ``config.json`` of a model says, in our words.

    Args:
        data: Its content; ``model_type`` is ``"gpt2"``, ``"llama"``, ``"mistral"``, ``"qwen2"``
            or ``"qwen3"``.

    Returns:
        The shape of the model, and how its weights are named and kept.

    Raises:
        ValueError: If it asks for what our model does not do: the error gives key and value.
    """
    with reading("config.json"):
        return _read_config(data)


def _read_config(data: Mapping[str, Any]) -> tuple[GPTConfig, Layout]:
    """`read_config`, whose errors do not name the file yet."""
    kind = data.get("model_type")
    if kind not in ("gpt2", "llama", "mistral", "qwen2", "qwen3"):
        raise UnsupportedError(
            "model_type must be 'gpt2', 'llama', 'mistral', 'qwen2', 'qwen3' or "
            f"'llmbook', got {kind!r}: not supported"
        )
    _require(data, "quantization_config", None)
    return _gpt2(data) if kind == "gpt2" else _llama(data)


def _gpt2(data: Mapping[str, Any]) -> tuple[GPTConfig, Layout]:
    """The configuration of a GPT-2."""
    _require(data, "activation_function", "gelu_new", "gelu_pytorch_tanh")
    _require(data, "scale_attn_weights", True)
    _require(data, "scale_attn_by_inverse_layer_idx", False)
    _require(data, "add_cross_attention", False)
    config = GPTConfig(
        vocab_size=_need(data, "vocab_size"),
        max_length=_need(data, "n_positions"),
        d_model=_need(data, "n_embd"),
        num_layers=_need(data, "n_layer"),
        num_heads=_need(data, "n_head"),
        d_ff=_get(data, "n_inner", int, None),
        norm_eps=_get(data, "layer_norm_epsilon", float, 1e-5),
        tie_weights=_get(data, "tie_word_embeddings", bool, True),
    )
    return config, Layout("gpt2", transposed=True)


def _llama(data: Mapping[str, Any]) -> tuple[GPTConfig, Layout]:
    """The configuration of a Llama, or of a model of its kind: Mistral, Qwen2, Qwen3."""
    kind = data["model_type"]
    _require(data, "hidden_act", "silu")
    rope = data.get("rope_parameters") or data.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise ValueError(f"rope_parameters must be an object, got {rope!r}")
    for settings in (data, rope):
        _require(settings, "partial_rotary_factor", 1.0)
    attention = kind in ("llama", "qwen3") and _get(data, "attention_bias", bool, False)
    feed_forward = kind == "llama" and _get(data, "mlp_bias", bool, False)
    bias: Bias = "all" if attention or feed_forward else "qkv" if kind == "qwen2" else "none"
    no_bias = None
    if bias == "all" and not (attention and feed_forward):
        no_bias = "feed_forward" if attention else "attention"
    max_length = _need(data, "max_position_embeddings")
    window = _get(data, "sliding_window", int, None)
    if kind == "mistral" and "sliding_window" not in data:
        window = 4096  # where null is written, there is none
    if window is not None and (kind == "mistral" or _get(data, "use_sliding_window", bool, False)):
        max_length = min(max_length, window)  # up to its width, a window hides nothing
    num_heads = _need(data, "num_attention_heads")
    config = GPTConfig.llama(
        vocab_size=_need(data, "vocab_size"),
        max_length=max_length,
        d_model=_need(data, "hidden_size"),
        num_layers=_need(data, "num_hidden_layers"),
        num_heads=num_heads,
        num_kv_heads=_get(data, "num_key_value_heads", int, num_heads),
        head_dim=_get(data, "head_dim", int, 128 if kind == "qwen3" else None),
        d_ff=_need(data, "intermediate_size"),
        rope_base=_get(rope, "rope_theta", float, _get(data, "rope_theta", float, 10_000.0)),
        rope_scaling=_rope_scaling(rope),
        norm_eps=_get(data, "rms_norm_eps", float, 1e-6),
        bias=bias,
        qk_norm=kind == "qwen3",
        tie_weights=_get(data, "tie_word_embeddings", bool, False),
    )
    return config, Layout("llama", no_bias=no_bias)


def _rope_scaling(rope: Mapping[str, Any]) -> RopeScaling | None:
    """How rotary positions are stretched; any other way than that of Llama 3 is refused."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind != "llama3":
        raise UnsupportedError(
            f"rope_type must be 'default' or 'llama3', got {kind!r}: not supported"
        )
    return RopeScaling(
        factor=_need(rope, "factor", float),
        low_freq_factor=_need(rope, "low_freq_factor", float),
        high_freq_factor=_need(rope, "high_freq_factor", float),
        original_max_length=_need(rope, "original_max_position_embeddings"),
    )


_KINDS: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false"}


def _need(data: Mapping[str, Any], key: str, kind: type = int) -> Any:
    """A value of a kind that must be there."""
    if (value := _get(data, key, kind, None)) is None:
        raise ValueError(f"{key} must be {_KINDS[kind]}: it is missing")
    return value


def _get(data: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    """A value of a kind; without one, or with ``null``, the default."""
    value = data.get(key)
    if value is None:
        return default
    # A float may be written as a whole number; to Python, ``true`` is one too.
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits or not math.isfinite(value):
        raise ValueError(f"{key} must be {_KINDS[kind]}, got {value!r}")
    return value


def _require(data: Mapping[str, Any], key: str, *allowed: object) -> None:
    """Require one of the values allowed; the first holds where none is given."""
    value = data.get(key)
    if (allowed[0] if value is None else value) not in allowed:
        either = " or ".join(map(repr, allowed))
        raise UnsupportedError(f"{key} must be {either}, got {value!r}: not supported")
