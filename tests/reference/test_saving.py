"""What we save for transformers: it reads the same logits, ids and prompts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from llmbook.errors import UnsupportedError
from llmbook.finetuning import add_lora, merge_lora, remove_lora
from llmbook.gpt import GPT, GPTConfig
from llmbook.pretrained import Pretrained, from_pretrained
from llmbook.tokenizer import Tokenizer
from tests.support.transformers_models import CASES, V, difference, random_model, saved

PARTS = ("query_proj", "value_proj", "down_proj")


def read_by_transformers(folder: Path):
    loading: Any = {"output_loading_info": True}
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, **loading)
    model, found = loaded
    assert not any(found.values()), found  # no tensor is missing, and none is left over
    return model.eval()


@pytest.mark.parametrize("case", [case for case in CASES if case != "qwen3 attention bias"])
def test_what_came_from_transformers_goes_back(case, tmp_path):
    theirs = random_model(case)
    loaded = from_pretrained(saved(theirs, tmp_path / "from"))
    again = read_by_transformers(loaded.save_transformers(tmp_path / "to"))
    assert difference(loaded.model, again) <= 1e-5
    assert again.generation_config.eos_token_id == [7]
    back = from_pretrained(tmp_path / "to")
    head_dim = again.model.layers[0].self_attn.head_dim if case[:4] != "gpt2" else None
    assert back.model.config == replace(loaded.model.config, head_dim=head_dim)
    assert back.end_ids == loaded.end_ids
    for name, weight in loaded.model.state_dict().items():
        assert torch.equal(back.model.state_dict()[name], weight), name
    if "bias" not in case and "Mistral" not in CASES[case][0]:
        assert type(again) is type(theirs)
        written, original = (load_file(tmp_path / n / "model.safetensors") for n in ("to", "from"))
        assert written.keys() == original.keys()
        assert all(torch.equal(written[name], original[name]) for name in written)


@pytest.mark.parametrize("case", ["gpt2", "llama tied", "qwen2"])
def test_a_model_with_adapters_goes_back_once_they_are_merged(case, tmp_path):
    loaded = from_pretrained(saved(random_model(case), tmp_path / "from"))
    before = difference(loaded.model, random_model(case))
    torch.manual_seed(1)
    add_lora(loaded.model, rank=2, alpha=4, targets=PARTS)
    for parameter in loaded.model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.5)
    with pytest.raises(ValueError, match="model must have the parameters of a GPT"):
        loaded.save_transformers(tmp_path / "to")
    merge_lora(loaded.model)
    remove_lora(loaded.model)
    again = read_by_transformers(loaded.save_transformers(tmp_path / "to"))
    assert before <= 1e-5 and difference(loaded.model, again) <= 1e-5
    assert difference(loaded.model, random_model(case)) > 0.1


def test_the_type_of_the_weights_is_kept(tmp_path):
    loaded = from_pretrained(saved(random_model("llama"), tmp_path / "from"), dtype=torch.bfloat16)
    again = read_by_transformers(loaded.save_transformers(tmp_path / "to"))
    assert {parameter.dtype for parameter in again.parameters()} == {torch.bfloat16}


def test_the_tokenizer_and_the_template_go_back_too(tmp_path):
    tokenizer = Tokenizer.train(["the theme of them all"] * 3, V, special_tokens=["<s>", "</s>"])
    begin, end = (tokenizer.special_tokens[name] for name in ("<s>", "</s>"))
    template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    model = from_pretrained(saved(random_model("qwen2"), tmp_path / "from")).model
    loaded = Pretrained(model, tokenizer, (begin,), (end,), template)
    folder = loaded.save_transformers(tmp_path / "to")
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for text in ("the theme", "注意 then", "<s> and </s>"):
        expected = [begin, *tokenizer.encode(text, allowed_special="all")]
        assert theirs.encode(text) == expected
    assert (theirs.bos_token, theirs.eos_token) == ("<s>", "</s>")
    messages = [{"role": "user", "content": "the theme"}]
    back = from_pretrained(folder)
    expected = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert back.chat_prompt(messages) == expected == "<s>the theme</s>"
    assert (back.begin_ids, back.end_ids) == ((begin,), (end,))
    with pytest.raises(ValueError, match="begin_ids must be special tokens, got 5"):
        Pretrained(model, tokenizer, (5,)).save_transformers(tmp_path / "other")


@pytest.mark.parametrize(
    "choices",
    [
        {"token_shift": True},
        {"positions": "rotary"},
        {"bias": "none"},
        {"norm": "rms"},
        {"num_kv_heads": 1},
        {"head_dim": 6},
        {"positions": "rotary", "norm": "rms", "activation": "swiglu", "qk_norm": True},
    ],
)
def test_what_no_family_computes_is_refused(choices, tmp_path):
    model = GPT(GPTConfig(vocab_size=V, d_model=8, num_layers=1, num_heads=2, **choices))
    with pytest.raises(UnsupportedError, match="model must be of the build of GPT-2, Llama, Qwen2"):
        Pretrained(model, Tokenizer([])).save_transformers(tmp_path)
    assert not [*tmp_path.iterdir()]
