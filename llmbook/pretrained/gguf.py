"""GGUF: a whole model in one file, as llama.cpp reads it, its weights packed into a few bits.

The file begins with metadata, names and values, which hold the sizes, the tokens and the chat
template; then it lists the tensors; then come their bytes. Most tensors are *quantized*: a block
of 32 weights shares a scale, and each weight is an integer of 4 or 8 bits. Here the file is read
and unpacked, and put into our own words; [`from_pretrained`][llmbook.pretrained.from_pretrained]
makes a model of it. Source: the specification "GGUF" of ggml-org.

The file is parsed here because ``gguf.GGUFReader`` takes 2.4 s for the 49,152 tokens of SmolLM2,
and this 0.1 s; and a file cut short is told of as such, not as a failed reshape.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llmbook._files import reading
from llmbook.errors import UnsupportedError
from llmbook.gpt import GPTConfig
from llmbook.gpt.config import Bias
from llmbook.positions import RopeScaling, rotary_angles
from llmbook.pretrained.gguf_file import PackedTensor, read_file
from llmbook.tokenizer import GPT2_PATTERN, Tokenizer, from_letters

__all__ = ["GGUF", "PackedTensor", "read_gguf"]


@dataclass(frozen=True)
class GGUF:
    """A file read: what it says of the model, and its tensors by name.

    Attributes:
        path: Where the file lies.
        metadata: Such as ``"general.architecture"``, ``"llama.block_count"``.
        tensors: By name; unpacked one by one, when asked.
    """

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, PackedTensor]

    @property
    def architecture(self) -> str:
        """The family of the model."""
        return str(self.metadata.get("general.architecture"))

    def config(self) -> GPTConfig:
        """The shape of the model in our words.

        Returns:
            The configuration.

        Raises:
            ValueError: If the file asks for what our model does not do; the error says for what.
        """
        with reading(self.path):
            return self._config()

    def _config(self) -> GPTConfig:
        kind, family = self.architecture, _KEYS.get(self.architecture)
        if family is None:
            raise UnsupportedError(
                f"general.architecture must be one of {sorted(_KEYS)}, got {kind!r}: not supported"
            )
        values = {
            key.removeprefix(f"{kind}."): value
            for key, value in self.metadata.items()
            if key.startswith(f"{kind}.")
        }
        for key, value in values.items():
            harmless = key in _HARMLESS or (key == "rope.scaling.type" and value == "none")
            number = (int, float) if family.get(key) in ("rope_base", "norm_eps") else int
            if not harmless and (key not in family or not isinstance(value, number)):
                got = f"{kind}.{key} = {value!r}"
                raise UnsupportedError(f"{got}: not supported")
        if missing := [key for key in family if key not in values and key not in _OPTIONAL]:
            raise ValueError(f"{kind}.{missing[0]} must be there: it is missing")
        if "token_embd.weight" not in self.tensors:
            raise ValueError("it must hold the tensor 'token_embd.weight': it is missing")
        sizes: dict[str, Any] = {family[key]: values[key] for key in family if key in values}
        head_dim = values.get("attention.key_length", sizes["d_model"] // sizes["num_heads"])
        for key in ("attention.value_length", "rope.dimension_count"):
            if values.get(key, head_dim) != head_dim:
                raise UnsupportedError(
                    f"{kind}.{key} must be the dimension of a head ({head_dim}), "
                    f"got {values[key]}: not supported"
                )
        if "attention.sliding_window" in values:  # up to its width, a window hides nothing
            sizes["max_length"] = min(sizes["max_length"], values["attention.sliding_window"])
        make_config = GPTConfig if kind == "gpt2" else GPTConfig.llama
        config = make_config(
            vocab_size=self.tensors["token_embd.weight"].shape[0],
            tie_weights="output.weight" not in self.tensors,
            bias=self._bias(),
            qk_norm=kind == "qwen3",
            **sizes,
        )
        return self._with_rope_scaling(config)

    def _bias(self) -> Bias:
        if {"blk.0.attn_output.bias", "blk.0.ffn_up.bias"} & self.tensors.keys():
            return "all"
        return "qkv" if "blk.0.attn_q.bias" in self.tensors else "none"

    def no_bias(self) -> str | None:
        """The part of each block without biases, where the other part has them."""
        if self._bias() != "all":
            return None
        if "blk.0.ffn_up.bias" not in self.tensors:
            return "feed_forward"
        return None if "blk.0.attn_output.bias" in self.tensors else "attention"

    def _with_rope_scaling(self, config: GPTConfig) -> GPTConfig:
        """Llama 3's rule leaves no number in the file, only what it divides each frequency by."""
        packed = self.tensors.get("rope_freqs.weight")
        if packed is None:
            return config
        divisors = packed.unpack()
        scaling = RopeScaling(factor=float(divisors.max()))
        frequencies = rotary_angles(2, config.head_size, base=config.rope_base)[1].float()
        expected = frequencies / scaling.stretch(frequencies)
        if divisors.shape != expected.shape or not torch.allclose(divisors, expected, rtol=1e-3):
            raise UnsupportedError(
                f"rope_freqs.weight must follow Llama 3's rule, "
                f"got {[round(x, 3) for x in divisors.tolist()]}: not supported"
            )
        return GPTConfig(**{**vars(config), "rope_scaling": scaling})

    def tokenizer(self) -> Tokenizer:
        """The tokenizer in the file.

        Returns:
            The tokenizer, control tokens and user-defined ones as special tokens.

        Raises:
            ValueError: If it is not byte-level BPE, or cuts words in a way not known here.
        """
        with reading(self.path):
            return self._tokenizer()

    def _tokenizer(self) -> Tokenizer:
        data = {
            key.removeprefix("tokenizer.ggml."): value
            for key, value in self.metadata.items()
            if key.startswith("tokenizer.ggml.")
        }
        if data.get("model") != "gpt2":
            raise UnsupportedError(
                f"tokenizer.ggml.model must be 'gpt2', that is byte-level BPE, "
                f"got {data.get('model')!r}: not supported"
            )
        if (pre := data.get("pre")) not in _CUTS:
            raise UnsupportedError(
                f"tokenizer.ggml.pre must be one of {sorted(_CUTS)}, got {pre!r}: not supported"
            )
        for key in ("tokens", "token_type", "merges"):
            if not isinstance(data.get(key), list):
                raise ValueError(f"tokenizer.ggml.{key} must be a list, got {data.get(key)!r}")
        special: dict[str, int] = {}
        ordinary: dict[bytes, int] = {}
        for i, (token, kind) in enumerate(zip(data["tokens"], data["token_type"], strict=True)):
            if kind in (3, 4):  # control, user-defined
                special[token] = i
            elif kind == 1:  # the rest only fills up rows of the embedding
                ordinary[from_letters(token)] = i
        merges = [merge.split(" ") for merge in data["merges"]]
        return Tokenizer(
            [(from_letters(left), from_letters(right)) for left, right in merges],
            special_tokens=special,
            vocabulary=ordinary,
            **_CUTS[pre],
        )

    def named_tokens(self) -> dict[str, str]:
        """What the chat template calls ``bos_token`` and so on, as text."""
        names = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
        tokens = self.metadata.get("tokenizer.ggml.tokens", [])
        ids = {ours: self._id(theirs) for theirs, ours in names.items()}
        return {f"{name}_token": tokens[i] for name, i in ids.items() if i is not None}

    def begin_ids(self) -> tuple[int, ...]:
        """What the model expects before a text: one token, or none."""
        by_default = self.metadata.get("tokenizer.ggml.pre") == "llama-bpe"
        wanted = self.metadata.get("tokenizer.ggml.add_bos_token", by_default)
        begin = self._id("bos") if wanted else None
        return () if begin is None else (begin,)

    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end a text, a turn, or a message that calls a tool."""
        ids = [self._id(name) for name in ("eos", "eot", "eom")]
        return tuple(dict.fromkeys(i for i in ids if i is not None))

    def _id(self, name: str) -> int | None:
        return self.metadata.get(f"tokenizer.ggml.{name}_token_id")


# What a family calls each of our sizes.
_COMMON = {
    "context_length": "max_length",
    "embedding_length": "d_model",
    "block_count": "num_layers",
    "attention.head_count": "num_heads",
    "feed_forward_length": "d_ff",
}
_LLAMA = _COMMON | {
    "attention.head_count_kv": "num_kv_heads",
    "attention.key_length": "head_dim",
    "rope.freq_base": "rope_base",
    "attention.layer_norm_rms_epsilon": "norm_eps",
}
_KEYS: dict[str, dict[str, str]] = {
    "gpt2": _COMMON | {"attention.layer_norm_epsilon": "norm_eps"},
    **dict.fromkeys(("llama", "qwen2", "qwen3"), _LLAMA),
}
_OPTIONAL = {"attention.head_count_kv", "attention.key_length", "rope.freq_base"}
_HARMLESS = {  # checked above, or of no consequence
    "vocab_size",
    "attention.value_length",
    "attention.sliding_window",
    "rope.dimension_count",
}

# How words are cut, by the name the file gives. Llama 3 and Qwen2 differ in digits only: up to
# three of them make a word, or each its own.
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CUTS: dict[str, dict[str, Any]] = {
    "gpt-2": {},
    "smollm": {"pattern": [r"\p{N}", GPT2_PATTERN]},
    "llama-bpe": {"pattern": rf"{_LETTERS}|\p{{N}}{{1,3}}|{_REST}", "ignore_merges": True},
    "qwen2": {"pattern": rf"{_LETTERS}|\p{{N}}|{_REST}", "nfc": True},
}


def read_gguf(path: str | os.PathLike[str]) -> GGUF:
    """Read a GGUF file; the weights stay where they are until they are unpacked.

    Args:
        path: The file.

    Returns:
        Its metadata and tensors.

    Raises:
        ValueError: If the file is not GGUF, of another version, or shorter than it says.
    """
    path = Path(path)
    with reading(path):
        return GGUF(path, *read_file(path))
