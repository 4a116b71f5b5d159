"""LoRA: what it changes, what it leaves alone, and that it can be taken out and kept."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from llmbook.finetuning import (
    LoRALinear,
    add_lora,
    load_lora,
    lora_parameters,
    merge_lora,
    remove_lora,
    save_lora,
    train_only,
    unmerge_lora,
)
from llmbook.gpt import GPT, GPTConfig
from llmbook.training import TrainingConfig, next_token_loss, train

CONFIG = GPTConfig(
    vocab_size=11, max_length=16, d_model=12, num_layers=2, num_heads=2, tie_weights=False
)
EVERY_MAP = ("query_proj", "key_proj", "value_proj", "output_proj", "up_proj", "down_proj")
TOKENS = torch.randint(11, (3, 7), generator=torch.Generator().manual_seed(1))


def new_model(seed: int = 0, dtype: torch.dtype = torch.float64) -> GPT:
    torch.manual_seed(seed)
    return GPT(CONFIG).to(dtype)


def adapted(seed: int = 0, *, rank: int = 3, alpha: float = 5.0, **options: object) -> GPT:
    """A model whose adapters do something."""
    model = new_model(seed)
    add_lora(model, rank=rank, alpha=alpha, **options)
    for parameter in lora_parameters(model).values():
        nn.init.normal_(parameter)
    return model


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@given(
    seed=st.integers(0, 99),
    sides=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    alpha=st.floats(0.1, 40.0),
    bias=st.booleans(),
    data=st.data(),
)
def test_it_computes_the_formula(seed, sides, alpha, bias, data):
    rank = data.draw(st.integers(1, min(sides)))
    torch.manual_seed(seed)
    linear = nn.Linear(*sides, bias=bias).double()
    weight, x = linear.weight.clone(), torch.randn(4, 2, sides[0], dtype=torch.float64)
    adapter = LoRALinear(linear, rank, alpha)
    nn.init.normal_(adapter.lora_B)
    change = alpha / rank * torch.einsum("or,ri->oi", adapter.lora_B, adapter.lora_A)
    expected = torch.einsum("oi,bti->bto", weight + change, x)
    expected = expected + linear.bias if bias else expected
    torch.testing.assert_close(adapter(x), expected)
    torch.testing.assert_close(adapter.change(), change)
    assert (adapter.in_features, adapter.out_features) == sides
    trained = [name for name, p in adapter.named_parameters() if p.requires_grad]
    assert trained == ["lora_A", "lora_B"]


@given(seed=st.integers(0, 99), rank=st.integers(1, 12))
@settings(max_examples=15)
def test_at_first_nothing_changes_but_it_can_be_trained(seed, rank):
    model = new_model(seed)
    before = model(TOKENS)
    add_lora(model, rank=rank, alpha=2.0 * rank, targets=EVERY_MAP)
    assert torch.equal(model(TOKENS), before)
    next_token_loss(model(TOKENS[:, :-1]), TOKENS).backward()
    for name, parameter in lora_parameters(model).items():
        # While B is zero no gradient reaches A; B gets one at once.
        assert parameter.grad.any() == name.endswith("lora_B"), name


def test_a_starts_small_and_even():
    torch.manual_seed(0)
    lora_A = LoRALinear(nn.Linear(64, 400), 60, 1.0).lora_A
    assert lora_A.abs().max() <= 1 / 8
    assert lora_A.std().item() == pytest.approx(1 / 8 / 3**0.5, rel=0.05)  # of an even distribution


def test_only_adapters_get_gradients_and_only_they_are_trained():
    model = new_model()
    add_lora(model, rank=2, alpha=4.0, dropout=0.1)
    before = weights(model)
    config = TrainingConfig(steps=3, warmup_steps=0, learning_rate=0.1, weight_decay=0.1)
    train(model, iter([TOKENS] * 3), lambda m, b: next_token_loss(m(b[:, :-1]), b), config)
    for name, tensor in model.state_dict().items():
        is_adapter = name in lora_parameters(model)
        assert torch.equal(tensor, before[name]) != is_adapter, name
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name in lora_parameters(model)), name


def test_the_targets_are_those_named_and_no_others():
    model = adapted(targets=("query_proj", "blocks.1.feed_forward.up_proj"))
    found = {name for name, module in model.named_modules() if isinstance(module, LoRALinear)}
    assert found == {
        "blocks.0.attention.query_proj",
        "blocks.1.attention.query_proj",
        "blocks.1.feed_forward.up_proj",
    }
    assert list(lora_parameters(model))[:2] == [
        "blocks.0.attention.query_proj.lora_A",
        "blocks.0.attention.query_proj.lora_B",
    ]
    alone = nn.ModuleDict({"proj": nn.Linear(2, 2), "query_proj": nn.Linear(2, 2)})
    add_lora(alone, rank=1, alpha=1.0, targets=["proj"])  # a name, not just any ending
    assert isinstance(alone["proj"], LoRALinear) and isinstance(alone["query_proj"], nn.Linear)


@given(seed=st.integers(0, 99), rank=st.integers(1, 6), alpha=st.floats(0.5, 8.0))
@settings(max_examples=15)
def test_merged_and_unmerged_compute_the_same_and_merging_can_be_undone(seed, rank, alpha):
    model = adapted(seed, rank=rank, alpha=alpha, targets=EVERY_MAP, dropout=0.3)
    model.eval()
    before, apart = weights(model), model(TOKENS)
    merge_lora(model)
    torch.testing.assert_close(model(TOKENS), apart, rtol=1e-9, atol=1e-9)
    assert not torch.equal(weights(model)["blocks.0.attention.query_proj.linear.weight"],
                           before["blocks.0.attention.query_proj.linear.weight"])  # fmt: skip
    unmerge_lora(model)
    torch.testing.assert_close(model(TOKENS), apart, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(weights(model), before, rtol=1e-12, atol=1e-12)


def test_an_adapter_is_in_the_mode_of_its_map():
    model = new_model().train()
    model.blocks[0].eval()
    add_lora(model, rank=1, alpha=1.0, targets=["query_proj"])
    adapters = [block.attention.query_proj for block in model.blocks]
    assert [adapter.training for adapter in adapters] == [False] + [True] * (len(adapters) - 1)


def test_merged_it_is_the_plain_model_and_no_dropout_is_left():
    model = adapted(targets=EVERY_MAP, dropout=0.9).eval()
    apart = model(TOKENS)
    merge_lora(model)
    remove_lora(model)
    plain = new_model(seed=9)
    plain.load_state_dict(model.state_dict())  # the names of a plain model, no others
    torch.testing.assert_close(plain.train()(TOKENS), apart)


def test_taken_off_unmerged_the_model_is_what_it_was():
    model = new_model()
    before = weights(model)
    add_lora(model, rank=2, alpha=4.0)
    for parameter in lora_parameters(model).values():
        nn.init.normal_(parameter)
    remove_lora(model)
    assert not any(isinstance(module, LoRALinear) for module in model.modules())
    assert list(before) == list(model.state_dict())
    assert all(map(torch.equal, before.values(), model.state_dict().values()))


def test_dropout_is_of_the_narrow_map_alone_and_in_training_alone():
    torch.manual_seed(0)
    adapter = LoRALinear(nn.Linear(50, 50, bias=False), 4, 4.0, dropout=0.5)
    x = torch.randn(1, 50)
    assert torch.equal(adapter(x), adapter.linear(x))  # B is zero: nothing of W x was dropped
    nn.init.normal_(adapter.lora_B)
    assert not torch.equal(adapter(x), adapter(x))
    adapter.eval()
    assert torch.equal(adapter(x), adapter(x))
    model = new_model().eval()
    add_lora(model, rank=2, alpha=4.0, dropout=0.5)
    assert not any(module.training for module in model.modules())


@given(seed=st.integers(0, 99), rank=st.integers(1, 6), alpha=st.floats(0.5, 50.0))
@settings(max_examples=10)
def test_kept_and_loaded_it_is_exactly_the_same(seed, rank, alpha, tmp_path_factory):
    path = tmp_path_factory.mktemp("adapters") / "adapter.safetensors"
    model = adapted(seed, rank=rank, alpha=alpha, targets=("value_proj", "down_proj"))
    assert save_lora(model, path) == path
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert load_file(path).keys() == lora_parameters(model).keys()  # and nothing of the model
    other = new_model(seed)
    load_lora(other, path)
    assert torch.equal(other(TOKENS), model(TOKENS))
    assert not any(p.requires_grad for n, p in other.named_parameters() if "lora" not in n)
    merge_lora(model)
    save_lora(model, path)  # merged or not, the adapters are the same
    again = new_model(seed)
    load_lora(again, path)
    assert torch.equal(again(TOKENS), other(TOKENS))


def test_a_file_that_does_not_fit_changes_nothing(tmp_path: Path):
    path = tmp_path / "adapter.safetensors"
    save_lora(adapted(), path)
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        about = file.metadata()
    name = "blocks.1.attention.value_proj.lora_B"
    wrong = {
        f"{name} must have shape .12, 3., got None": {
            n: t for n, t in tensors.items() if n != name
        },
        f"{name} must have shape .12, 3., got .3, 12.": tensors
        | {name: tensors[name].T.contiguous()},
        "head.lora_A must have shape None, got .1,.": tensors | {"head.lora_A": torch.zeros(1)},
    }
    model = new_model()
    before = weights(model)
    for message, held in wrong.items():
        save_file(held, path, about)
        with pytest.raises(ValueError, match=message):
            load_lora(model, path)
    save_file(tensors, path)
    with pytest.raises(ValueError, match="must hold adapters written by save_lora"):
        load_lora(model, path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="damaged or truncated"):
        load_lora(model, path)
    elsewhere = json.loads(about["lora"]) | {"targets": ["blocks.7.attention.query_proj"]}
    save_file(tensors, path, {"lora": json.dumps(elsewhere)})
    with pytest.raises(ValueError, match=r"got 'blocks\.7\.attention\.query_proj'"):
        load_lora(model, path)
    assert list(before) == list(model.state_dict())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_an_adapter_of_a_wider_model_is_refused(tmp_path: Path):
    save_lora(adapted(), tmp_path / "adapter.safetensors")
    wider = GPT(GPTConfig(vocab_size=11, max_length=16, d_model=16, num_layers=2, num_heads=2))
    with pytest.raises(
        ValueError, match=r"shape \(3, 16\), got \(3, 12\)|\(16, 3\), got \(12, 3\)"
    ):
        load_lora(wider, tmp_path / "adapter.safetensors")


def test_what_was_there_survives_a_failed_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "adapter.safetensors"
    save_lora(adapted(), path)
    before = path.read_bytes()
    kept = tmp_path / "kept"
    kept.hardlink_to(path)
    save_lora(adapted(2), path)  # takes the place of the old file, does not write into it
    assert kept.read_bytes() == before != path.read_bytes()
    kept.replace(path)

    def fails(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str]) -> None:
        Path(file).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("llmbook.finetuning.lora.save_file", fails)
    with pytest.raises(OSError, match="no space"):
        save_lora(adapted(1), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_head_alone_is_trained():
    model = new_model()
    train_only(model, "output_head", "blocks.1.attention_norm")
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {
        "output_head.weight", "blocks.1.attention_norm.weight", "blocks.1.attention_norm.bias"
    }  # fmt: skip
    train_only(model, "final_norm")  # and what was chosen before no longer
    assert not model.output_head.weight.requires_grad
    train_only(model)
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    "message, wrong",
    [
        ("rank must be at least 1, got 0", lambda: adapted(rank=0)),
        ("rank must not exceed the sides of the matrix, 12 and 12, got 13",
         lambda: adapted(rank=13)),
        ("alpha must be positive, got 0", lambda: adapted(alpha=0)),
        ("dropout must lie between 0 and 1, got 2", lambda: adapted(dropout=2)),
        ("such as query_proj, key_proj, value_proj, output_proj, up_proj, down_proj, output_head; "
         "got 'q_proj'", lambda: adapted(targets=("query_proj", "q_proj"))),
        ("targets must be names of linear maps, got 'query_proj'",
         lambda: adapted(targets="query_proj")),
        ("targets must be names of linear maps, got ()", lambda: adapted(targets=())),
        ("final_norm is a LayerNorm", lambda: adapted(targets=("final_norm",))),
        ("model must have no adapters yet, got one at blocks.0.attention.query_proj",
         lambda: add_lora(adapted(), rank=1, alpha=1.0)),
        ("must not share their weight with another part, as output_head does",
         lambda: add_lora(GPT(GPTConfig(vocab_size=8, d_model=4, num_layers=1, num_heads=1)),
                          rank=1, alpha=1.0, targets=("output_head",))),
        ("model must have adapters, got none", lambda: merge_lora(new_model())),
        ("model must have adapters, got none", lambda: unmerge_lora(new_model())),
        ("model must have adapters, got none", lambda: remove_lora(new_model())),
        ("model must have adapters, got none", lambda: lora_parameters(new_model())),
        ("model must have adapters, got none", lambda: save_lora(new_model(), "a.safetensors")),
        ("must be merged, but that of blocks.0.attention.query_proj is not",
         lambda: unmerge_lora(adapted())),
        ("such as token_embedding, position_embedding, dropout, blocks, final_norm, output_head; "
         "got 'head'",
         lambda: train_only(new_model(), "head")),
        ("parts must have parameters, got 'dropout'", lambda: train_only(new_model(), "dropout")),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(message, wrong):
    with pytest.raises(ValueError) as error:
        wrong()
    assert message in str(error.value)


def test_merging_twice_is_refused():
    model = adapted()
    merge_lora(model)
    with pytest.raises(ValueError, match=r"must not be merged, but that of .*query_proj is"):
        merge_lora(model)


def test_adapters_that_differ_cannot_be_kept_in_one_file(tmp_path: Path):
    model = adapted()
    model.output_head = LoRALinear(model.output_head, 1, 1.0)
    with pytest.raises(
        ValueError, match=r"agree in rank and alpha, got \[\(1, 1.0\), \(3, 5.0\)\]"
    ):
        save_lora(model, tmp_path / "adapter.safetensors")
