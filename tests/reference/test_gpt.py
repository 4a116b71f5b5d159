"""GPT against transformers' models, tiny and random, weights copied: logits, steps, gradients.

The two functions that rename weights, and the one that reads a configuration, are what a loader
of pretrained weights needs.
"""

import re
from collections.abc import Mapping

import pytest
import torch
import transformers
from torch import Tensor, nn

from llmbook.gpt import GPT, GPTConfig
from llmbook.positions import RopeScaling

# Of the parts of a block: ours on the right.
GPT2_NAMES = {
    "ln_1": "attention_norm",
    "attn.c_proj": "attention.output_proj",
    "ln_2": "feed_forward_norm",
    "mlp.c_fc": "feed_forward.up_proj",
    "mlp.c_proj": "feed_forward.down_proj",
}
LLAMA_NAMES = {
    "input_layernorm": "attention_norm",
    "self_attn.q_proj": "attention.query_proj",
    "self_attn.k_proj": "attention.key_proj",
    "self_attn.v_proj": "attention.value_proj",
    "self_attn.o_proj": "attention.output_proj",
    "self_attn.q_norm": "attention.query_norm",
    "self_attn.k_norm": "attention.key_norm",
    "post_attention_layernorm": "feed_forward_norm",
    "mlp.gate_proj": "feed_forward.gate_proj",
    "mlp.up_proj": "feed_forward.up_proj",
    "mlp.down_proj": "feed_forward.down_proj",
}
ENDS = {
    "transformer.wte": "token_embedding",
    "transformer.wpe": "position_embedding",
    "transformer.ln_f": "final_norm",
    "model.embed_tokens": "token_embedding",
    "model.norm": "final_norm",
    "lm_head": "output_head",
}


def renamed(name: str) -> str:
    """Our name of a parameter of transformers' GPT-2, Llama, Mistral, Qwen2 or Qwen3."""
    part, kind = name.rsplit(".", 1)
    if part in ENDS:
        return f"{ENDS[part]}.{kind}"
    block = re.fullmatch(r"(transformer\.h|model\.layers)\.(\d+)\.(.+)", part)
    if block is None:
        raise ValueError(f"name must be that of a known parameter, got {name!r}")
    names = GPT2_NAMES if block[1] == "transformer.h" else LLAMA_NAMES
    return f"blocks.{block[2]}.{names[block[3]]}.{kind}"


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of transformers' model under our names and in our shapes."""
    ours: dict[str, Tensor] = {}
    for name, weight in state.items():
        # GPT-2 keeps its matrices as (in, out), the transpose of nn.Linear's, and those of
        # queries, keys and values side by side.
        if re.search(r"\.c_\w+\.weight$", name):
            weight = weight.T
        if ".attn.c_attn." in name:
            for part, third in zip(("query", "key", "value"), weight.chunk(3), strict=True):
                block, kind = name.split(".")[2], name.rsplit(".", 1)[1]
                ours[f"blocks.{block}.attention.{part}_proj.{kind}"] = third
        else:
            ours[renamed(name)] = weight
    return ours


def our_config(c: transformers.PreTrainedConfig) -> GPTConfig:
    """The configuration of transformers' model in our words."""
    if c.model_type == "gpt2":
        return GPTConfig(
            vocab_size=c.vocab_size,
            max_length=c.n_positions,
            d_model=c.n_embd,
            num_layers=c.n_layer,
            num_heads=c.n_head,
            d_ff=c.n_inner,
            norm_eps=c.layer_norm_epsilon,
            tie_weights=c.tie_word_embeddings,
        )
    return GPTConfig(
        vocab_size=c.vocab_size,
        max_length=c.max_position_embeddings,
        d_model=c.hidden_size,
        num_layers=c.num_hidden_layers,
        num_heads=c.num_attention_heads,
        num_kv_heads=c.num_key_value_heads,
        head_dim=getattr(c, "head_dim", None),
        d_ff=c.intermediate_size,
        positions="rotary",
        rope_base=c.rope_parameters["rope_theta"],
        rope_scaling=our_scaling(c.rope_parameters),
        norm="rms",
        norm_eps=c.rms_norm_eps,
        activation="swiglu",
        bias="qkv" if c.model_type == "qwen2" else "none",
        qk_norm=c.model_type == "qwen3",
        tie_weights=c.tie_word_embeddings,
    )


def our_scaling(rule: Mapping[str, float]) -> RopeScaling | None:
    if rule["rope_type"] == "default":
        return None
    names = ("factor", "low_freq_factor", "high_freq_factor")
    original = rule["original_max_position_embeddings"]
    return RopeScaling(**{name: rule[name] for name in names}, original_max_length=original)


def rope(base: float) -> dict[str, object]:
    return {"rope_type": "default", "rope_theta": base}


V = 61
SIZES = {"vocab_size": V, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3}
SIZES |= {"num_attention_heads": 4, "max_position_embeddings": 64}
CONFIGS: dict[str, transformers.PreTrainedConfig] = {
    "GPT-2": transformers.GPT2Config(
        vocab_size=V, n_positions=32, n_embd=24, n_layer=3, n_head=4, layer_norm_epsilon=1e-3
    ),
    "GPT-2, wide and not tied": transformers.GPT2Config(
        vocab_size=V, n_positions=32, n_embd=8, n_layer=1, n_head=1, n_inner=50,
        tie_word_embeddings=False,
    ),
    "Llama": transformers.LlamaConfig(**SIZES, rms_norm_eps=1e-3),
    "Llama 3": transformers.LlamaConfig(
        **SIZES, num_key_value_heads=2, rope_parameters=rope(500_000.0), tie_word_embeddings=True
    ),
    "Llama 3.2": transformers.LlamaConfig(
        **SIZES, num_key_value_heads=2,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
        },
    ),
    "Mistral": transformers.MistralConfig(**SIZES, num_key_value_heads=1, sliding_window=None),
    "Qwen2": transformers.Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
    "Qwen3": transformers.Qwen3Config(
        **SIZES, num_key_value_heads=2, head_dim=10, rope_parameters=rope(1e6)
    ),
}  # fmt: skip
MODELS = pytest.mark.parametrize("name", CONFIGS)


class ExactNorm(nn.Module):
    """RMSNorm in the type of its input: transformers computes it in float32 in any case."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight, norm.variance_epsilon

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * self.weight


class ExactAngles(nn.Module):
    """Cosine and sine in float64, where transformers computes them in float32."""

    def __init__(self, config: transformers.PreTrainedConfig) -> None:
        super().__init__()
        ours = our_config(config)
        self.base, self.D, self.scaling = ours.rope_base, ours.head_size, ours.rope_scaling

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        frequency = self.base ** (-torch.arange(0, self.D, 2, dtype=torch.float64) / self.D)
        if self.scaling:
            frequency = self.scaling.stretch(frequency)
        angles = (position_ids[..., None] * frequency).repeat(1, 1, 2)
        return angles.cos(), angles.sin()


def pair(name: str, dtype: torch.dtype) -> tuple[nn.Module, GPT]:
    """transformers' model and ours with the same weights, all of them random."""
    torch.manual_seed(0)
    config = CONFIGS[name]
    theirs = transformers.AutoModelForCausalLM.from_config(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # norms begin at 1 and 0, which would hide swaps
            parameter.add_(0.2 * torch.randn_like(parameter))
    ours = GPT(our_config(config)).to(dtype).eval()
    ours.load_state_dict(from_transformers(theirs.state_dict()))
    if dtype == torch.float64:
        for place, module in list(theirs.named_modules()):
            if "RMSNorm" in type(module).__name__:
                theirs.set_submodule(place, ExactNorm(module))
            elif "RotaryEmbedding" in type(module).__name__:
                theirs.set_submodule(place, ExactAngles(config))
    return theirs, ours


def difference(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return (a - b).abs().max().item()


@MODELS
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)], ids=str
)
def test_logits(name, dtype, tolerance):
    theirs, ours = pair(name, dtype)
    tokens = torch.randint(V, (2, 29))
    expected = theirs(tokens).logits
    assert expected.std() > 0.1  # or anything would agree
    assert difference(ours(tokens), expected) <= tolerance


@MODELS
def test_gradients(name):
    theirs, ours = pair(name, torch.float64)
    tokens = torch.randint(V, (2, 17))
    for model in (theirs, ours):
        logits = model(tokens)
        logits = logits if isinstance(logits, Tensor) else logits.logits
        nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()
        ).backward()
    expected = from_transformers({n: p.grad for n, p in theirs.named_parameters()})
    found = {n: p.grad for n, p in ours.named_parameters()}
    assert found.keys() == expected.keys()
    for n, gradient in found.items():
        assert difference(gradient, expected[n]) <= 1e-10, n


@MODELS
def test_steps_with_caches(name):
    theirs, ours = pair(name, torch.float64)
    tokens = torch.randint(V, (2, 9))
    cache, past = ours.new_cache(2), None
    for start, end in ((0, 4), (4, 5), (5, 9)):
        step = tokens[:, start:end]
        output = theirs(step, past_key_values=past, use_cache=True)
        past = output.past_key_values
        assert difference(ours(step, cache=cache), output.logits) <= 1e-10


@MODELS
def test_padding(name):
    """Rows of unequal length, in two steps; theirs get padding and a mask, ours none."""
    theirs, ours = pair(name, torch.float64)
    tokens, lengths = torch.randint(V, (3, 8)), [8, 3, 5]
    real = torch.arange(8) < torch.tensor(lengths)[:, None]
    expected = theirs(tokens, attention_mask=real.long()).logits
    cache = ours.new_cache(3)
    first = ours(tokens[:, :2], cache=cache)
    second = ours(tokens[:, 2:], cache=cache, counts=[n - 2 for n in lengths])
    for found in (ours(tokens), torch.cat((first, second), dim=1)):
        assert difference(found[real], expected[real]) <= 1e-10
    following = torch.randint(V, (3, 1))
    step = ours(following, cache=cache)
    for row, n in enumerate(lengths):
        whole = torch.cat((tokens[row, :n], following[row]))[None]
        assert difference(step[row], theirs(whole).logits[0, -1:]) <= 1e-10


@MODELS
def test_counts_of_parameters(name):
    theirs, ours = pair(name, torch.float32)
    expected = sum(parameter.numel() for parameter in theirs.parameters())
    assert ours.config.num_parameters() == expected


PUBLISHED = {
    "GPT-2": (GPTConfig(), transformers.GPT2Config(), 124_439_808),
    "GPT-2 XL": (
        GPTConfig(d_model=1600, num_layers=48, num_heads=25),
        transformers.GPT2Config(n_embd=1600, n_layer=48, n_head=25),
        1_557_611_200,
    ),
    "LLaMA-7B": (None, transformers.LlamaConfig(), 6_738_415_616),
    "Mistral 7B": (None, transformers.MistralConfig(), 7_241_732_096),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_of_published_models(name):
    ours, theirs, count = PUBLISHED[name]
    assert our_config(theirs).num_parameters() == count
    assert ours is None or ours.num_parameters() == count
    with torch.device("meta"):
        reference = transformers.AutoModelForCausalLM.from_config(theirs)
    assert sum(parameter.numel() for parameter in reference.parameters()) == count
