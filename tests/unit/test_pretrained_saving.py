"""What is kept by saving."""

import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from llmbook.gpt import GPT, GPTConfig
from llmbook.positions import RopeScaling
from llmbook.pretrained import Pretrained, from_pretrained
from llmbook.tokenizer import Tokenizer
from tests.support.folders import TINY, V, llama_folder


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
    back = from_pretrained(Pretrained(model, tokenizer, **kept).save(tmp_path), dtype=dtype)
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
    Pretrained(GPT(TINY), Tokenizer([])).save(tmp_path)
    loaded = from_pretrained(tmp_path)
    model = loaded.model
    before = load_file(tmp_path / "model.safetensors")["token_embedding.weight"].clone()
    assert model.output_head.weight is model.token_embedding.weight
    model(torch.tensor([[1, 2]])).sum().backward()
    with torch.no_grad():
        model.token_embedding.weight += 1
    on_disk = load_file(tmp_path / "model.safetensors")["token_embedding.weight"]
    assert torch.equal(on_disk, before)
    loaded.save(tmp_path)
    again = from_pretrained(tmp_path).model.token_embedding.weight
    assert torch.equal(again, before + 1) and model.token_embedding.weight.grad is not None


def test_a_defective_save_leaves_the_old_files(tmp_path):
    loaded = Pretrained(model := GPT(TINY), Tokenizer([]))
    loaded.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    model.blocks[0].attention.adapter = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"model must .* 'blocks.0.attention.adapter.bias'"):
        loaded.save(tmp_path)
    with pytest.raises(ValueError, match=r"tokenizer must have ids below .* \(260\), got .* 299"):
        Pretrained(GPT(TINY), Tokenizer([], special_tokens={"<a>": 299}))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_our_own_settings_are_read_strictly(tmp_path):
    Pretrained(GPT(TINY), Tokenizer([])).save(tmp_path)
    path = tmp_path / "config.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"num_experts": 8}))
    with pytest.raises(ValueError, match=r"must hold fields of GPTConfig, got 'num_experts'"):
        from_pretrained(tmp_path)
    path.write_text(json.dumps(data | {"d_model": 16}))
    with pytest.raises(ValueError, match=r"'token_embedding.weight' must have shape \(260, 16\)"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("save", ["save", "save_transformers"])
def test_what_is_saved_takes_the_place_of_what_was_loaded(save, tmp_path):
    """An index of several files, or a template in its own, would be read in its place."""
    weights = llama_folder(tmp_path)
    loaded = from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00001.safetensors")
    files = dict.fromkeys(weights, "model-00001-of-00001.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    (tmp_path / "chat_template.jinja").write_text("old")
    assert from_pretrained(tmp_path).chat_template == "old"
    with torch.no_grad():
        loaded.model.output_head.weight += 1
    back = from_pretrained(getattr(loaded, save)(tmp_path))
    assert torch.equal(back.model.output_head.weight, loaded.model.output_head.weight)
    assert back.chat_template is None
