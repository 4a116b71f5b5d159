"""GGUF files, written byte by byte."""

import struct
from pathlib import Path
from typing import Any

from llmbook.gpt import GPT, GPTConfig
from llmbook.pretrained.layouts import Layout


def gguf_string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + gguf_string(value)
    inner, form = (8, None) if isinstance(value[0], str) else (5, "i")
    head = struct.pack("<IIQ", 9, inner, len(value))
    items = [gguf_string(x) if form is None else struct.pack("<i", x) for x in value]
    return head + b"".join(items)


METADATA = {
    "general.architecture": "qwen2",
    "qwen2.block_count": 1,
    "qwen2.context_length": 16,
    "qwen2.embedding_length": 8,
    "qwen2.attention.head_count": 2,
    "qwen2.feed_forward_length": 12,
    "qwen2.attention.layer_norm_rms_epsilon": 1e-6,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": ["a", "b", "ab", "<end>", "[PAD]"],
    "tokenizer.ggml.token_type": [1, 1, 1, 3, 5],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.eos_token_id": 3,
}
Tensors = dict[str, tuple[int, tuple[int, ...], bytes]]


def gguf_file(path: Path, changes: dict[str, object], tensors: Tensors | None = None) -> Path:
    metadata = {k: v for k, v in (METADATA | changes).items() if v is not None}
    if tensors is None:
        config = GPTConfig(
            vocab_size=5,
            d_model=8,
            num_layers=1,
            num_heads=2,
            d_ff=12,
            positions="rotary",
            norm="rms",
            activation="swiglu",
            bias="qkv",
        )
        weights = {Layout("gguf").name(name): w for name, w in GPT(config).named_parameters()}
        tensors = {
            name: (0, tuple(w.shape), w.detach().numpy().tobytes()) for name, w in weights.items()
        }
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        head += gguf_string(key) + gguf_value(value)
    offset, body = 0, b""
    for name, (kind, shape, data) in tensors.items():
        sizes = struct.pack(f"<{len(shape)}Q", *reversed(shape))
        head += gguf_string(name) + struct.pack("<I", len(shape)) + sizes
        head += struct.pack("<IQ", kind, offset)
        body += data + bytes(-len(data) % 32)
        offset = len(body)
    path.write_bytes(head + bytes(-len(head) % 32) + body)
    return path
