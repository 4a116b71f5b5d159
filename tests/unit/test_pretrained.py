"""Pretrained models: what is kept by saving, what fetching does, and every file that is refused."""

import copy
import dataclasses
import hashlib
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tokenizers
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from llmbook.gpt import GPT, GPTConfig
from llmbook.positions import RopeScaling
from llmbook.pretrained import Pretrained, from_pretrained, save
from llmbook.pretrained.gguf import read_gguf
from llmbook.pretrained.layouts import Layout, StoredTensor, build, read_config
from llmbook.tokenizer import Tokenizer

V = 260
TINY = GPTConfig(vocab_size=V, max_length=16, d_model=8, num_layers=2, num_heads=2)
LLAMA = {
    "model_type": "llama",
    "vocab_size": V,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
}
GPT2 = {
    "model_type": "gpt2",
    "vocab_size": V,
    "n_positions": 16,
    "n_embd": 8,
    "n_layer": 2,
    "n_head": 2,
}


@st.composite
def configs(draw) -> GPTConfig:
    rotary = draw(st.booleans())
    return GPTConfig(
        vocab_size=V,
        max_length=16,
        d_model=8,
        num_layers=draw(st.integers(1, 2)),
        num_heads=2,
        num_kv_heads=draw(st.sampled_from([None, 1])),
        head_dim=draw(st.sampled_from([None, 6])),
        d_ff=draw(st.sampled_from([None, 12])),
        positions="rotary" if rotary else "learned",
        rope_scaling=draw(st.sampled_from([None, RopeScaling(4.0)])) if rotary else None,
        norm=draw(st.sampled_from(["layer", "rms"])),
        norm_eps=draw(st.sampled_from([1e-5, 1e-6])),
        activation=draw(st.sampled_from(["gelu_tanh", "swiglu"])),
        bias=draw(st.sampled_from(["all", "qkv", "none"])),
        qk_norm=draw(st.booleans()),
        tie_weights=draw(st.booleans()),
        token_shift=draw(st.booleans()),
    )


@given(config=configs(), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_saved_comes_back_exactly(config, dtype, tmp_path):
    model = GPT(config).to(dtype).eval()
    tokenizer = Tokenizer.train(["the theme, then the theme"], 258, special_tokens=["<end>"])
    kept = {
        "begin_ids": (1,),
        "end_ids": (3, 257),
        "chat_template": "{{ bos_token }}",
        "named_tokens": {"bos_token": "<end>"},
    }
    back = from_pretrained(save(model, tokenizer, tmp_path, **kept), dtype=dtype)
    assert back.model.config == config and not back.model.training
    assert {name: getattr(back, name) for name in kept} == kept
    theirs, ours = dict(model.named_parameters()), dict(back.model.named_parameters())
    assert theirs.keys() == ours.keys()
    for name, weight in theirs.items():
        assert ours[name].dtype == dtype and torch.equal(ours[name], weight)
        assert ours[name].requires_grad
    tokens = torch.randint(V, (2, 5))
    assert torch.equal(back.model(tokens), model(tokens))
    assert back.tokenizer.vocabulary == tokenizer.vocabulary
    assert back.tokenizer.encode("the theme") == tokenizer.encode("the theme")
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }


def test_what_is_loaded_can_be_trained_and_saved_over_itself(tmp_path):
    save(GPT(TINY), Tokenizer([]), tmp_path)
    model = from_pretrained(tmp_path).model
    before = load_file(tmp_path / "model.safetensors")["token_embedding.weight"].clone()
    assert model.output_head.weight is model.token_embedding.weight
    model(torch.tensor([[1, 2]])).sum().backward()
    with torch.no_grad():
        model.token_embedding.weight += 1
    on_disk = load_file(tmp_path / "model.safetensors")["token_embedding.weight"]
    assert torch.equal(on_disk, before)
    save(model, Tokenizer([]), tmp_path)
    again = from_pretrained(tmp_path).model.token_embedding.weight
    assert torch.equal(again, before + 1) and model.token_embedding.weight.grad is not None


def test_a_defective_save_leaves_the_old_files(tmp_path):
    save(model := GPT(TINY), Tokenizer([]), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    model.blocks[0].attention.adapter = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"model must .* 'blocks.0.attention.adapter.bias'"):
        save(model, Tokenizer([]), tmp_path)
    with pytest.raises(ValueError, match=r"tokenizer must have ids below .* \(260\), got .* 299"):
        save(GPT(TINY), Tokenizer([], special_tokens={"<a>": 299}), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# Configurations.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gemma"}, r"model_type must be .*, got 'gemma': not supported"),
        ({"model_type": None}, "model_type must be .*, got None"),
        ({"hidden_act": "gelu"}, "hidden_act must be 'silu', got 'gelu': not supported"),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, "rope_type .* got 'linear'"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type must .* got 'yarn': not supported"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "factor must be a number: it is missing"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor must be 1.0, got 0.5"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor .* got 0.5"),
        ({"quantization_config": {"bits": 4}}, "quantization_config must be None, got {'bits': 4}"),
        ({"hidden_size": None}, "hidden_size must be a whole number: it is missing"),
        ({"num_key_value_heads": 3}, r"num_kv_heads must divide num_heads \(2\), got 3"),
        (GPT2 | {"activation_function": "relu"}, "activation_function must be .* got 'relu'"),
        (GPT2 | {"scale_attn_weights": False}, "scale_attn_weights must be True, got False"),
        (
            GPT2 | {"scale_attn_by_inverse_layer_idx": True},
            "scale_attn_by_inverse_layer_idx must be False, got True",
        ),
        (GPT2 | {"add_cross_attention": True}, "add_cross_attention must be False, got True"),
    ],
)
def test_a_config_beyond_our_model_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        read_config(LLAMA | change)


@pytest.mark.parametrize(
    ("change", "base"),
    [
        ({}, 10_000.0),
        ({"rope_theta": None}, 10_000.0),  # as if it was not there
        ({"rope_theta": 500}, 500),
        ({"rope_theta": 500.0, "rope_parameters": None}, 500.0),
        ({"rope_theta": 500.0, "rope_parameters": {"rope_theta": None}}, 500.0),
        ({"rope_theta": 500.0, "rope_parameters": {"rope_theta": 700.0}}, 700.0),
    ],
)
def test_null_is_as_if_it_was_not_there(change, base):
    assert read_config(LLAMA | change)[0].rope_base == base


@pytest.mark.parametrize(
    ("change", "max_length"),
    [
        ({}, 16),
        ({"sliding_window": 4}, 16),  # Llama has none
        ({"model_type": "mistral", "sliding_window": 4}, 4),
        ({"model_type": "mistral", "sliding_window": None}, 16),
        ({"model_type": "qwen2", "sliding_window": 4, "use_sliding_window": True}, 4),
        ({"model_type": "qwen2", "sliding_window": 4, "use_sliding_window": False}, 16),
    ],
)
def test_a_sliding_window_ends_the_text(change, max_length):
    assert read_config(LLAMA | change)[0].max_length == max_length


# Weights.


def llama_folder(folder: Path, **changes: object) -> dict[str, torch.Tensor]:
    """A folder as on the hub; gives its tensors."""
    config, layout = read_config(LLAMA | changes)
    layout = dataclasses.replace(layout, prefix="model.")
    weights = {layout.name(k): w.detach() for k, w in GPT(config).named_parameters()}
    (folder / "config.json").write_text(json.dumps(LLAMA | changes))
    save_file(weights, folder / "model.safetensors")
    Tokenizer([]).save(folder / "tokenizer.json")
    return weights


def test_tensors_missing_too_many_or_of_the_wrong_shape(tmp_path):
    weights = llama_folder(tmp_path)
    query = "model.layers.1.self_attn.q_proj.weight"
    path = tmp_path / "model.safetensors"
    assert query in weights and from_pretrained(tmp_path)
    save_file({name: weight for name, weight in weights.items() if name != query}, path)
    with pytest.raises(ValueError, match=rf"hold the tensor '{query}' of shape \(8, 8\): .*miss"):
        from_pretrained(tmp_path)
    save_file(weights | {query: torch.zeros(8, 9)}, path)
    with pytest.raises(ValueError, match=rf"'{query}' must have shape \(8, 8\), got \(8, 9\)"):
        from_pretrained(tmp_path)
    save_file(weights | {"model.layers.2.x.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"must hold nothing but .*'model.layers.2.x.weight'"):
        from_pretrained(tmp_path)
    save_file(weights | {"model.layers.0.self_attn.q_proj.bias": torch.zeros(8)}, path)
    with pytest.raises(ValueError, match=r"nothing but .*'model.layers.0.self_attn.q_proj.bias'"):
        from_pretrained(tmp_path)


def test_a_tied_head_that_stands_in_the_file_must_be_the_embedding(tmp_path):
    weights = llama_folder(tmp_path, tie_word_embeddings=True)
    assert "lm_head.weight" not in weights
    table = weights["model.embed_tokens.weight"]
    path = tmp_path / "model.safetensors"
    save_file(weights | {"lm_head.weight": table.clone()}, path)
    model = from_pretrained(tmp_path).model
    assert model.output_head.weight is model.token_embedding.weight
    save_file(weights | {"lm_head.weight": table + 1}, path)
    with pytest.raises(ValueError, match=r"'lm_head.weight' must equal the embedding"):
        from_pretrained(tmp_path)
    save_file(weights | {"lm_head.weight": torch.zeros(3, 8)}, path)
    with pytest.raises(ValueError, match=r"'lm_head.weight' must have shape \(260, 8\), got"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 40, 1000, -1])
def test_a_truncated_safetensors_file(keep, tmp_path):
    llama_folder(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model.safetensors is damaged or truncated"):
        from_pretrained(tmp_path)


def test_shards(tmp_path):
    weights = llama_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    names = sorted(weights)
    files = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in {*files.values()}:
        save_file({k: w for k, w in weights.items() if files[k] == file}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": files}))
    assert from_pretrained(tmp_path)
    index.write_text(json.dumps({"weight_map": files | {"model.x": files[names[0]]}}))
    with pytest.raises(ValueError, match=r"model-00001-of-.* must hold the tensor 'model.x'"):
        from_pretrained(tmp_path)
    (tmp_path / files[names[0]]).unlink()
    with pytest.raises(ValueError, match=r"must hold model-00001-of-00002.*: it is missing"):
        from_pretrained(tmp_path)


class Bomb:
    def __reduce__(self):
        return exec, ("raise RuntimeError('the pickle was read')",)


def test_a_pickle_is_never_read(tmp_path):
    llama_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"must hold model.safetensors: it is missing"):
        from_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"got 'pytorch_model.bin', a pickle, which may run any"):
        from_pretrained(tmp_path)


def test_what_lies_beside_the_weights(tmp_path):
    llama_folder(tmp_path, eos_token_id=[5, 6])
    assert from_pretrained(tmp_path).end_ids == (5, 6)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 9}')
    options = {
        "eos_token": {"content": "<end>"},
        "bos_token": "<s>",
        "chat_template": [{"name": "default", "template": "A"}, {"name": "tools", "template": "B"}],
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(options))
    found = from_pretrained(tmp_path)
    assert found.end_ids == (9,) and found.chat_template == "A"
    assert found.named_tokens == {"eos_token": "<end>", "bos_token": "<s>"}
    (tmp_path / "chat_template.jinja").write_text("C")
    assert from_pretrained(tmp_path).chat_template == "C"
    (tmp_path / "generation_config.json").write_text("{}")
    llama_folder(tmp_path)  # no end in the settings: then the tokenizer's
    Tokenizer([], special_tokens=["<end>"]).save(tmp_path / "tokenizer.json")
    assert from_pretrained(tmp_path).end_ids == (256,)
    (tmp_path / "generation_config.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"generation_config.json must hold a JSON object, got li"):
        from_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"generation_config.json must be JSON"):
        from_pretrained(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    Tokenizer([], special_tokens={"<a>": 299}).save(tmp_path / "tokenizer.json")
    with pytest.raises(ValueError, match=r"tokenizer must have ids below .* \(260\), got .* 299"):
        from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"must hold tokenizer.json: it is missing"):
        from_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"must hold config.json: it is missing"):
        from_pretrained(tmp_path)


def test_our_own_settings_are_read_strictly(tmp_path):
    save(GPT(TINY), Tokenizer([]), tmp_path)
    path = tmp_path / "config.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"num_experts": 8}))
    with pytest.raises(ValueError, match=r"must hold fields of GPTConfig, got 'num_experts'"):
        from_pretrained(tmp_path)
    path.write_text(json.dumps(data | {"d_model": 16}))
    with pytest.raises(ValueError, match=r"'token_embedding.weight' must have shape \(260, 16\)"):
        from_pretrained(tmp_path)


ODD_VALUES = (None, True, -1, 2.5, "odd", [], [1, [2]], {}, {"a": None})


def damaged(data: object) -> Iterator[object]:
    """JSON with one value in it, at any depth, taken out or replaced by an odd one."""
    if isinstance(data, dict | list):
        for key in [*data][:20] if isinstance(data, dict) else range(min(3, len(data))):
            changed = copy.copy(data)
            del changed[key]
            yield changed
            for value in (*ODD_VALUES, *damaged(data[key])):
                changed = copy.copy(data)
                changed[key] = value
                yield changed


FILES = {
    "config.json": LLAMA
    | {
        "num_key_value_heads": 2,
        "rope_theta": 10_000.0,
        "rope_parameters": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8,
        },
        "sliding_window": 4,
        "eos_token_id": [1, 2],
    },
    "generation_config.json": {"eos_token_id": [1, 2]},
    "tokenizer_config.json": {
        "bos_token": {"content": "<s>"},
        "eos_token": "</s>",
        "chat_template": [{"name": "default", "template": "A"}],
    },
    "tokenizer.json": {
        "added_tokens": [{"id": 4, "content": "<s>", "lstrip": False}],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "behavior": "Isolated",
                    "invert": False,
                    "pattern": {"Regex": "a"},
                },
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
            "special_tokens": {"<s>": {"ids": [4]}},
        },
        "model": {
            "type": "BPE",
            "vocab": {"a": 0, "b": 1, "ab": 2},
            "merges": ["a b"],
            "ignore_merges": False,
        },
    },
}


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_read_or_named(name, tmp_path):
    llama_folder(tmp_path)
    for each, data in FILES.items():
        (tmp_path / each).write_text(json.dumps(data))
    assert from_pretrained(tmp_path).begin_ids == (4,)
    refused = 0
    for data in damaged(FILES[name]):
        (tmp_path / name).write_text(json.dumps(data))
        try:
            from_pretrained(tmp_path)
        except ValueError as error:
            assert re.search(name + r"|safetensors|tensor .* must have shape", str(error)), data
            refused += 1
    assert refused
    for content in (b"", b"{", b"[1, 2]", b"\xff", b"[" * 100_000):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} must (be JSON|hold a JSON object)"):
            from_pretrained(tmp_path)


def test_names_and_layouts():
    llama, gpt2 = Layout("llama", "model."), Layout("gpt2", transposed=True)
    assert llama.name("final_norm.weight") == "model.norm.weight"
    assert llama.name("output_head.weight") == "lm_head.weight"
    names = {gpt2.name(f"blocks.10.attention.{part}_proj.bias") for part in ("query", "key")}
    assert names == {"h.10.attn.c_attn.bias"}
    model = GPT(TINY)
    ours = Layout("llmbook")
    assert all(ours.name(name) == name for name, _ in model.named_parameters())
    stored = {
        name: StoredTensor(tuple(weight.shape), partial(torch.clone, weight))
        for name, weight in model.named_parameters()
    }
    tokens = torch.tensor([[1, 2, 3]])
    again = build(TINY, stored, ours, where="here")
    assert torch.equal(again(tokens), model.eval()(tokens))


# GGUF files, written byte by byte.


def gguf_string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_value(value: object) -> bytes:
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


def test_a_gguf_file(tmp_path):
    found = from_pretrained(gguf_file(tmp_path / "a.gguf", {}))
    assert found.model.config.vocab_size == 5 and found.end_ids == (3,) and not found.begin_ids
    assert found.tokenizer.encode("ab<end>", allowed_special="all") == [2, 3]
    assert 4 not in found.tokenizer.vocabulary  # a row that only fills up the embedding
    assert found.named_tokens == {"eos_token": "<end>"} and found.chat_template is None
    more = {"tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eot_token_id": 2}
    found = from_pretrained(gguf_file(tmp_path / "a.gguf", more))
    assert (found.begin_ids, found.end_ids) == ((), (3, 2))
    more |= {"tokenizer.ggml.add_bos_token": True}
    assert from_pretrained(gguf_file(tmp_path / "a.gguf", more)).begin_ids == (0,)
    more |= {"tokenizer.ggml.add_bos_token": None, "tokenizer.ggml.pre": "llama-bpe"}
    assert from_pretrained(gguf_file(tmp_path / "a.gguf", more)).begin_ids == (0,)
    kinds = {"tokenizer.ggml.token_type": [1, 1, 1, 3, 4]}  # the last one defined by the user
    tokenizer = read_gguf(gguf_file(tmp_path / "a.gguf", kinds)).tokenizer()
    assert tokenizer.encode("a[PAD]", allowed_special=["[PAD]"]) == [0, 4]
    window = {"qwen2.attention.sliding_window": 4, "qwen2.rope.scaling.type": "none"}
    assert read_gguf(gguf_file(tmp_path / "a.gguf", window)).config().max_length == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"general.architecture": "gemma"}, "general.architecture must be one of .* got 'gemma'"),
        ({"qwen2.expert_count": 8}, "qwen2.expert_count = 8: not supported"),
        ({"qwen2.rope.scaling.type": "yarn"}, "qwen2.rope.scaling.type = 'yarn': not supported"),
        ({"qwen2.attention.head_count": [2, 2]}, r"qwen2.attention.head_count = \[2, 2\]: not sup"),
        ({"qwen2.block_count": None}, "qwen2.block_count must be there: it is missing"),
        ({"qwen2.rope.dimension_count": 2}, r"dimension of a head \(4\), got 2: not supported"),
        ({"qwen2.attention.value_length": 2}, r"dimension of a head \(4\), got 2: not supported"),
        ({"tokenizer.ggml.model": "llama"}, "model must be 'gpt2', .* got 'llama': not supp"),
        ({"tokenizer.ggml.model": None}, "tokenizer.ggml.model must be 'gpt2', .* got None"),
        ({"tokenizer.ggml.pre": "tekken"}, "tokenizer.ggml.pre must be one of .* got 'tekken'"),
        ({"tokenizer.ggml.pre": None}, "tokenizer.ggml.pre must be one of .* got None"),
        ({"tokenizer.ggml.token_type": None}, "a.gguf: tokenizer.ggml.token_type must be a list"),
        ({"tokenizer.ggml.merges": None}, "a.gguf: tokenizer.ggml.merges must be a list, got None"),
        ({"tokenizer.ggml.tokens": "abc"}, "a.gguf: tokenizer.ggml.tokens must be a list, got 'a"),
        ({"tokenizer.ggml.token_type": [1, 1]}, "a.gguf: zip"),
        ({"tokenizer.ggml.merges": ["ab"]}, "a.gguf: not enough values to unpack"),
        ({"tokenizer.ggml.eos_token_id": "end"}, "a.gguf: ids of tokens must be whole numbers"),
        ({"tokenizer.ggml.eos_token_id": 99}, "a.gguf is malformed: IndexError"),
        ({"tokenizer.chat_template": 5}, "a.gguf: chat_template must be text, got 5"),
        ({"general.alignment": 0}, "a.gguf is malformed: ZeroDivisionError"),
        ({"qwen2.attention.head_count": 0}, "a.gguf is malformed: ZeroDivisionError"),
        ({"qwen2.embedding_length": 8.5}, "qwen2.embedding_length = 8.5: not supported"),
        ({"qwen2.embedding_length": 16}, r"'token_embd.weight' must have shape \(5, 16\), got"),
        ({"qwen2.block_count": 2}, r"must hold the tensor 'blk.1.attn_norm.weight' of shape"),
    ],
)
def test_a_gguf_file_beyond_our_model_is_refused(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        from_pretrained(gguf_file(tmp_path / "a.gguf", changes))


def test_a_rule_for_rotary_positions_that_is_not_llama_3s(tmp_path):
    metadata = METADATA | {"general.architecture": "qwen2"}
    tensors = {
        "token_embd.weight": (0, (5, 8), bytes(160)),
        "rope_freqs.weight": (0, (2,), struct.pack("<ff", 3.0, 8.0)),
    }
    with pytest.raises(ValueError, match=r"rope_freqs.weight must follow Llama 3's rule, got"):
        read_gguf(gguf_file(tmp_path / "a.gguf", metadata, tensors)).config()
    with pytest.raises(ValueError, match=r"must hold the tensor 'token_embd.weight'"):
        read_gguf(gguf_file(tmp_path / "a.gguf", {}, {})).config()


def test_types_of_gguf(tmp_path):
    block = struct.pack("<ee", 0.5, -1.0) + bytes(range(16))
    tensors = {
        "q4_1": (3, (1, 32), block),
        "q8_0": (8, (1, 32), struct.pack("<e", 0.25) + struct.pack("32b", *range(-16, 16))),
        "f16": (1, (2,), struct.pack("<ee", 1.5, -2.0)),
        "q4_0": (2, (1, 32), struct.pack("<e", 2.0) + bytes([0x80]) * 16),
    }
    found = read_gguf(gguf_file(tmp_path / "a.gguf", {}, tensors)).tensors
    q4_1 = found["q4_1"].unpack()[0]
    assert q4_1[:16].tolist() == [0.5 * i - 1.0 for i in range(16)]  # the low halves first
    assert q4_1[16:].tolist() == [-1.0] * 16
    assert found["q8_0"].unpack().tolist() == [[0.25 * i for i in range(-16, 16)]]
    assert found["f16"].unpack().tolist() == [1.5, -2.0]
    assert found["q4_0"].unpack().tolist() == [[-16.0] * 16 + [0.0] * 16]  # by ggml's library
    with pytest.raises(ValueError, match=r"'x' is packed in the unknown type 999"):
        read_gguf(gguf_file(tmp_path / "a.gguf", {}, {"x": (999, (32,), bytes(32))}))
    with pytest.raises(ValueError, match=r"'x' must have rows of a multiple of 32 weights, got"):
        read_gguf(gguf_file(tmp_path / "a.gguf", {}, {"x": (8, (2, 16), bytes(34))}))


def test_a_gguf_file_that_is_none_or_too_short(tmp_path):
    path = gguf_file(tmp_path / "a.gguf", {})
    whole = path.read_bytes()
    listed = whole.index(b"token_embd.weight")
    for end in [*range(0, listed, 97), listed + 20]:
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=rf"a.gguf: it is truncated, and ends at byte {end}"):
            read_gguf(path)
    path.write_bytes(whole[:-64])
    message = rf"truncated: the tensor 'blk.0.ffn_down.weight' ends at .* at {len(whole) - 64}"
    with pytest.raises(ValueError, match=message):
        read_gguf(path)
    path.write_bytes(b"ggjt" + whole[4:])
    with pytest.raises(ValueError, match=r"must be a GGUF file, got one that begins with b'ggjt'"):
        read_gguf(path)
    path.write_bytes(whole[:4] + struct.pack("<I", 1) + whole[8:])
    with pytest.raises(ValueError, match=r"must be GGUF version 2 or 3, got 1"):
        read_gguf(path)
    path.write_bytes(
        whole.replace(
            gguf_string("qwen2.block_count") + b"\4", gguf_string("qwen2.block_count") + b"\x63"
        )
    )
    with pytest.raises(ValueError, match=r"must hold known types, got a value of type 99"):
        read_gguf(path)


# Prompts.


def test_prompts():
    def prompt(template: str | None, *messages: dict[str, str]) -> str:
        return Pretrained(GPT(TINY), Tokenizer([]), chat_template=template).chat_prompt(messages)

    with pytest.raises(ValueError, match=r"chat_template is missing: .* not learned to converse"):
        prompt(None)
    with pytest.raises(ValueError, match=r"must have text as 'role' and 'content', got {'role':"):
        prompt("A", {"role": "user"})
    with pytest.raises(ValueError, match=r"messages must suit .* says: no system, please"):
        prompt("{{ raise_exception('no system, please') }}")
    with pytest.raises(ValueError, match=r"messages must suit .*SecurityError|access to attribute"):
        prompt("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(ValueError, match=r"messages must suit"):
        prompt("{{ messages.append(1) }}")
    with pytest.raises(ValueError, match=r"messages must suit"):
        prompt("{% for %}")
    assert prompt("{{ strftime_now('%Y') | length }}") == "4"


HELLO = {"role": "user", "content": "<héllo>"}


@pytest.mark.parametrize(
    ("template", "written"),
    [
        ("{{ messages[0].content | tojson }}", '"<héllo>"'),
        ("{{ messages[0].content | tojson(ensure_ascii=False) }}", '"<héllo>"'),
        ("{{ messages[0].content | tojson(ensure_ascii=True) }}", r'"<h\u00e9llo>"'),
        ("{{ messages[0] | tojson(indent=1) }}", json.dumps(HELLO, indent=1, ensure_ascii=False)),
        ("{{ {'b': 1, 'a': 2} | tojson(separators=(',', ':')) }}", '{"b":1,"a":2}'),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=True) }}", '{"a": 2, "b": 1}'),
        ("A{% generation %}{{ messages[0].role }}{% endgeneration %}B", "AuserB"),
        ("{% for m in messages %}{% break %}{% endfor %}C", "C"),
    ],
)
def test_templates_are_written_out_as_by_transformers(template, written):
    model = Pretrained(GPT(TINY), Tokenizer([]), chat_template=template)
    assert model.chat_prompt([HELLO]) == written
    theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizers.Tokenizer(BPE()))
    theirs.chat_template = template
    assert theirs.apply_chat_template([HELLO], tokenize=False) == written


@pytest.mark.parametrize("content", [None, ["a"], [{"type": "text", "text": "a"}], 5, b"a"])
def test_what_is_said_is_text(content):
    model = Pretrained(GPT(TINY), Tokenizer([]), chat_template="{{ messages[0].content + '' }}")
    with pytest.raises(ValueError, match=r"messages must have text as 'role' and 'content', got"):
        model.chat_prompt([{"role": "user", "content": content}])


@pytest.mark.parametrize(
    "template",
    [
        "{{ 1 / 0 }}",
        "{{ 'a' + 1 }}",
        "{{ [][3].x }}",
        "{{ missing.x }}",
        "{{ 1 | tojson(wide=5) }}",
    ],
)
def test_whatever_goes_wrong_in_a_template_is_told(template):
    model = Pretrained(GPT(TINY), Tokenizer([]), chat_template=template)
    with pytest.raises(ValueError, match="messages must suit the chat template, which says: "):
        model.chat_prompt([HELLO])


# Sources and fetching.


def test_sources_that_are_nowhere(tmp_path):
    for source in (tmp_path / "none", str(tmp_path / "none"), "runs/a.gguf", "a/b/c", "a b"):
        with pytest.raises(ValueError, match=r"source must be a folder, a file or a name"):
            from_pretrained(source)


class Hub(SimpleHTTPRequestHandler):
    """Enough of the hub for one model, its files in a folder."""

    asked: list[str]

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0]
        folder = Path(self.directory)
        files = sorted(each.name for each in folder.iterdir())
        headers = {}
        if path.startswith("/api/models/me/tiny/revision/"):
            siblings = [{"rfilename": name} for name in files]
            data = json.dumps({"id": "me/tiny", "sha": "0" * 40, "siblings": siblings}).encode()
        elif path.startswith("/api/models/me/tiny/tree/"):
            tree = [
                {
                    "type": "file",
                    "path": name,
                    "size": (folder / name).stat().st_size,
                    "oid": hashlib.sha1(name.encode()).hexdigest(),
                }
                for name in files
            ]
            data = json.dumps(tree).encode()
        elif path.startswith("/me/tiny/resolve/"):
            name = path.rsplit("/", 1)[1]
            type(self).asked.append(name)
            data = (folder / name).read_bytes()
            etag = hashlib.sha1(name.encode()).hexdigest()
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": "0" * 40}
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


ASK = """
import sys
from llmbook.pretrained import from_pretrained
for name in sys.argv[1:]:
    try:
        print(from_pretrained(name).model.config.d_model)
    except OSError as error:
        print("OSError", error)
"""


def test_models_of_the_hub(tmp_path):
    """A fresh process each: the hub's client reads its settings once."""
    (tmp_path / "repo").mkdir()
    llama_folder(tmp_path / "repo")
    (tmp_path / "repo" / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "repo" / "consolidated.safetensors").write_bytes(b"a second copy")
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(tmp_path / "repo")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = f"http://127.0.0.1:{server.server_port}"
    environment = os.environ | {"HF_ENDPOINT": where, "HF_HOME": str(tmp_path / "home")}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}

    def ask(*names: str, **changes: str) -> list[str]:
        command = [sys.executable, "-c", ASK, *names]
        done = subprocess.run(
            command, env=environment | changes, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    found, missing = ask("me/tiny", "me/other")
    server.shutdown()
    server.server_close()
    assert found == "8"
    assert "OSError 'me/other' is neither a file or folder here nor" in missing
    assert {*Hub.asked} == {"config.json", "model.safetensors", "tokenizer.json"}
    found, missing = ask("me/tiny", "me/other", HF_HUB_OFFLINE="1")
    assert found == "8" and "set HF_ENDPOINT to a mirror" in missing
