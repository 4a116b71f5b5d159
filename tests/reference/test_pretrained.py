"""Pretrained weights against transformers: the same files, the same logits."""

import json

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from llmbook.pretrained import from_pretrained
from llmbook.pretrained.gguf import read_gguf
from tests.support.transformers_models import (
    CASES,
    LLAMA,
    LLAMA3,
    V,
    difference,
    random_model,
    saved,
    write_gguf,
)


@pytest.mark.parametrize("case", CASES)
def test_the_logits_of_every_family(case, tmp_path):
    theirs = random_model(case)
    ours = from_pretrained(saved(theirs, tmp_path))
    assert difference(ours.model, theirs) <= 1e-5
    assert ours.end_ids == (7,) and not ours.model.training
    assert sum(p.numel() for p in ours.model.parameters()) == ours.model.config.num_parameters()


@pytest.mark.parametrize("case", ["gpt2", "llama", "llama 3"])
def test_files_of_older_and_other_makers(case, tmp_path):
    """Several files, masks beside the weights, no prefix, rope's settings in their old places."""
    theirs = random_model(case)
    saved(theirs, tmp_path, max_shard_size="20KB")
    assert len([*tmp_path.glob("model-*.safetensors")]) > 2
    assert difference(from_pretrained(tmp_path).model, theirs) <= 1e-5

    settings = json.loads((tmp_path / "config.json").read_text())
    if case != "gpt2":
        rope = settings.pop("rope_parameters")
        settings |= {"rope_theta": rope.pop("rope_theta")}
        settings["rope_scaling"] = rope if case == "llama 3" else None
    (tmp_path / "config.json").write_text(json.dumps(settings))
    body = "transformer." if case == "gpt2" else "model."
    weights = {
        name.removeprefix(body): weight.clone()
        for name, weight in theirs.state_dict().items()
        if name != "lm_head.weight" or case != "gpt2"
    }
    extra = "h.0.attn.bias" if case == "gpt2" else "layers.0.self_attn.rotary_emb.inv_freq"
    (tmp_path / "model.safetensors.index.json").unlink()
    save_file(weights | {extra: torch.ones(3)}, tmp_path / "model.safetensors")
    assert difference(from_pretrained(tmp_path).model, theirs) <= 1e-5


def test_other_types(tmp_path):
    theirs = random_model("qwen2")
    with torch.no_grad():  # the weights only: their model would round its angles too
        for parameter in theirs.parameters():
            parameter.copy_(parameter.bfloat16())
    saved(theirs, tmp_path)
    weights = {name: weight.bfloat16() for name, weight in theirs.state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors")
    ours = from_pretrained(tmp_path)
    assert {p.dtype for p in ours.model.parameters()} == {torch.float32}
    assert difference(ours.model, theirs) <= 1e-5
    half = from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in half.model.parameters()} == {torch.bfloat16}


GGUF_CASES = ["gpt2", "llama", "llama tied", "llama 3", "llama attention bias", "llama biases"]
GGUF_CASES += ["mistral window", "qwen2", "qwen2 tied", "qwen3"]


@pytest.mark.parametrize("case", GGUF_CASES)
def test_the_logits_of_gguf_files(case, tmp_path, monkeypatch):
    if case == "llama 3":  # the file leaves no number but the factor: those of Llama 3 are known
        rope = LLAMA3 | {"original_max_position_embeddings": 8192, "rope_theta": 5e5}
        longer = {"max_position_embeddings": 131_072, "rope_parameters": rope}
        monkeypatch.setitem(CASES, case, ("Llama", LLAMA | longer))
    theirs = random_model(case)
    write_gguf(theirs, path := tmp_path / "model.gguf")
    ours = from_pretrained(path)
    assert difference(ours.model, theirs) <= 1e-5
    assert ours.end_ids == (V - 1,) and ours.begin_ids == ()
    assert ours.chat_prompt([{"role": "user", "content": "hi "}]) == "hi <end>"


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_what_is_packed_unpacks_to_the_same_weights(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(CASES, "rows of 64", ("Qwen2", LLAMA | {"intermediate_size": 64}))
    theirs = random_model("rows of 64")
    path = tmp_path / "model.gguf"
    expected = write_gguf(theirs, path, getattr(gguf.GGMLQuantizationType, kind))
    tensors = read_gguf(path).tensors
    assert len(expected) > 10
    for name, weights in expected.items():
        assert np.array_equal(tensors[name].unpack().numpy(), weights), name
