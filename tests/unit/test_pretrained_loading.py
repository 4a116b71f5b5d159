"""Folders with pretrained models: what is read of them, and every one that is refused."""

import copy
import json
import pickle
import re
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from safetensors.torch import save_file

from llmbook.gpt import GPT
from llmbook.pretrained import from_pretrained
from llmbook.pretrained.configs import read_config
from llmbook.pretrained.layouts import Layout, StoredTensor, build
from llmbook.tokenizer import Tokenizer
from tests.support.folders import LLAMA, TINY, Bomb, V, llama_folder

GPT2 = {
    "model_type": "gpt2",
    "vocab_size": V,
    "n_positions": 16,
    "n_embd": 8,
    "n_layer": 2,
    "n_head": 2,
}


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


def test_sources_that_are_nowhere(tmp_path):
    for source in (tmp_path / "none", str(tmp_path / "none"), "runs/a.gguf", "a/b/c", "a b"):
        with pytest.raises(ValueError, match=r"source must be a folder, a file or a name"):
            from_pretrained(source)
