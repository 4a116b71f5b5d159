"""LoRA against peft, weights copied: outputs, merged weights, gradients, a few steps."""

import copy

import peft
import pytest
import torch
import transformers
from torch import Tensor, nn

from llmbook.finetuning import add_lora, lora_parameters, merge_lora, unmerge_lora
from llmbook.gpt import GPT, GPTConfig

GPTS = {
    "GPT-2's choices": GPTConfig(
        vocab_size=17, max_length=16, d_model=12, num_layers=2, num_heads=2
    ),
    "Llama's choices": GPTConfig(
        vocab_size=17, max_length=16, d_model=12, num_layers=2, num_heads=2, num_kv_heads=1,
        positions="rotary", norm="rms", activation="swiglu", bias="none", tie_weights=False,
    ),
}  # fmt: skip
SIZES = {
    "vocab_size": 17, "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1,
}  # fmt: skip
TOKENS = torch.randint(17, (2, 6), generator=torch.Generator().manual_seed(0))
CASES = [
    *((name, ("query_proj", "value_proj")) for name in GPTS),
    *((name, ("query_proj", "output_proj", "up_proj", "down_proj")) for name in GPTS),
    ("transformers' Llama", ("q_proj", "v_proj")),
    ("transformers' Qwen3", ("k_proj", "o_proj", "gate_proj")),
]


def new_model(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name in GPTS:
        return GPT(GPTS[name]).double()
    if name == "transformers' Llama":
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    else:
        model = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**SIZES, head_dim=6))
    return model.double()


def logits(model: nn.Module, tokens: Tensor) -> Tensor:
    output = model(tokens)
    return output if isinstance(output, Tensor) else output.logits


def loss(model: nn.Module) -> Tensor:
    guesses = logits(model, TOKENS[:, :-1])
    return nn.functional.cross_entropy(guesses.flatten(0, 1), TOKENS[:, 1:].flatten())


def both(
    name: str, targets: tuple[str, ...], rank: int = 3, alpha: int = 5
) -> tuple[nn.Module, nn.Module, list[tuple[Tensor, Tensor]]]:
    """Ours, peft's with the same weights, and their matrices in pairs."""
    ours = new_model(name)
    theirs = copy.deepcopy(ours)
    add_lora(ours, rank=rank, alpha=alpha, targets=targets)
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets))
    theirs = peft.inject_adapter_in_model(config, theirs)
    named = dict(theirs.named_parameters())
    pairs = []
    for name, parameter in lora_parameters(ours).items():
        nn.init.normal_(parameter)
        other = named[f"{name}.default.weight"]
        other.data.copy_(parameter)
        pairs.append((parameter, other))
    assert sum("lora" in name for name in named) == len(pairs)  # peft has adapted the same maps
    return ours.eval(), theirs.eval(), pairs


@pytest.mark.parametrize("name, targets", CASES)
@pytest.mark.parametrize("rank, alpha", [(1, 1), (3, 5), (4, 16)])
def test_outputs_and_gradients_equal_peft(name, targets, rank, alpha):
    ours, theirs, pairs = both(name, targets, rank, alpha)
    torch.testing.assert_close(logits(ours, TOKENS), logits(theirs, TOKENS))
    loss(ours).backward()
    loss(theirs).backward()
    for mine, other in pairs:
        assert mine.grad.any()
        torch.testing.assert_close(mine.grad, other.grad)
    frozen = [p for n, p in ours.named_parameters() if n not in lora_parameters(ours)]
    assert not any(parameter.requires_grad for parameter in frozen)


@pytest.mark.parametrize("name, targets", CASES)
def test_merged_weights_equal_peft(name, targets):
    ours, theirs, _ = both(name, targets)
    plain = logits(theirs, TOKENS)
    merge_lora(ours)
    for module in theirs.modules():
        if isinstance(module, peft.tuners.lora.LoraLayer):
            module.merge()
    torch.testing.assert_close(logits(ours, TOKENS), plain)
    others = {n.replace(".base_layer.", ".linear."): t for n, t in theirs.state_dict().items()}
    mine = {n: t for n, t in ours.state_dict().items() if "lora" not in n}
    assert mine.keys() <= others.keys()
    for key, tensor in mine.items():
        torch.testing.assert_close(tensor, others[key])
    unmerge_lora(ours)
    torch.testing.assert_close(logits(ours, TOKENS), plain)


def test_trained_side_by_side_they_stay_equal():
    ours, theirs, pairs = both("Llama's choices", ("query_proj", "value_proj", "down_proj"))
    steps = [
        torch.optim.AdamW([pair[i] for pair in pairs], lr=0.01, weight_decay=0.1) for i in (0, 1)
    ]
    for _ in range(5):
        for model, optimizer in zip((ours, theirs), steps, strict=True):
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
    torch.testing.assert_close(logits(ours, TOKENS), logits(theirs, TOKENS))


def test_a_fresh_adapter_is_drawn_as_peft_draws_it():
    ours, theirs = (
        nn.ModuleDict({"proj": nn.Linear(30, 40)}),
        nn.ModuleDict({"proj": nn.Linear(30, 40)}),
    )
    torch.manual_seed(3)
    add_lora(ours, rank=8, alpha=8, targets=("proj",))
    torch.manual_seed(3)
    # peft makes A as a linear map first, which takes numbers of its own: compare the range.
    peft.inject_adapter_in_model(peft.LoraConfig(r=8, target_modules=["proj"]), theirs)
    mine, other = ours["proj"].lora_A, theirs["proj"].lora_A["default"].weight
    assert mine.abs().max().item() == pytest.approx(other.abs().max().item(), rel=0.03)
    assert mine.std().item() == pytest.approx(other.std().item(), rel=0.15)
    assert not ours["proj"].lora_B.any() and not theirs["proj"].lora_B["default"].weight.any()
