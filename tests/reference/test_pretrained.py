"""Pretrained weights against transformers: the same files, the same logits, ids and prompts."""

import copy
import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, pre_tokenizers, processors
from tokenizers import Tokenizer as TheirTokenizer
from torch import Tensor
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX as QWEN2

from llmbook.gpt import GPT
from llmbook.pretrained import Pretrained, download, from_pretrained
from llmbook.pretrained.gguf import read_gguf
from llmbook.tokenizer import GPT2_PATTERN, Tokenizer

V = 260
GPT2 = {"vocab_size": V, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
LLAMA = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
QWEN3 = LLAMA | {"head_dim": 16, "num_key_value_heads": 1}
CASES = {
    "gpt2": ("GPT2", GPT2),
    "gpt2 wide": ("GPT2", GPT2 | {"n_inner": 40, "tie_word_embeddings": False}),
    "llama": ("Llama", LLAMA),
    "llama all heads": ("Llama", LLAMA | {"num_key_value_heads": 4, "rms_norm_eps": 1e-3}),
    "llama tied": ("Llama", LLAMA | {"tie_word_embeddings": True}),
    "llama 3": ("Llama", LLAMA | {"rope_parameters": LLAMA3}),
    "llama attention bias": ("Llama", LLAMA | {"attention_bias": True}),
    "llama mlp bias": ("Llama", LLAMA | {"mlp_bias": True}),
    "llama biases": ("Llama", LLAMA | {"attention_bias": True, "mlp_bias": True}),
    "mistral": ("Mistral", LLAMA | {"sliding_window": None}),
    "mistral window": ("Mistral", LLAMA | {"sliding_window": 16, "head_dim": 16}),
    "qwen2": ("Qwen2", LLAMA),
    "qwen2 tied": ("Qwen2", LLAMA | {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", QWEN3 | {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}),
    "qwen3 attention bias": ("Qwen3", QWEN3 | {"attention_bias": True}),
}


def random_model(case: str) -> transformers.PreTrainedModel:
    family, options = CASES[case]
    config = getattr(transformers, f"{family}Config")(**options, eos_token_id=7)
    torch.manual_seed(0)
    name = "GPT2LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():  # as initialized, positions hardly matter and biases are zero
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def saved(model: transformers.PreTrainedModel, folder: Path, **options: object) -> Path:
    model.save_pretrained(folder, **options)
    Tokenizer([], special_tokens=["<end>"]).save(folder / "tokenizer.json")
    return folder


def difference(ours: GPT, theirs: transformers.PreTrainedModel) -> float:
    """Largest difference of logits, for a batch whose rows are padded at their ends."""
    tokens, lengths = torch.randint(V, (3, 16)), [16, 5, 9]
    real = torch.arange(16) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        expected = theirs(tokens, attention_mask=real.long()).logits
        found = ours(tokens)
    assert expected[real].std() > 0.1
    return (found - expected)[real].abs().max().item()


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


# GGUF files, written as llama.cpp's converter writes them.

GGUF_PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
GGUF_ENDS = {
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "lm_head": "output",
}


def paired_with_neighbours(weight: Tensor, heads: int) -> Tensor:
    """Rows i and i + D/2 of each head side by side, as llama.cpp turns Llama's."""
    halves = weight.reshape(heads, 2, -1, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape)


def write_gguf(
    theirs: transformers.PreTrainedModel,
    path: Path,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    pre: str = "gpt-2",
) -> dict[str, np.ndarray]:
    """Write the model; give the matrices as the file's type leaves them."""
    c = theirs.config
    family = "llama" if c.model_type in ("llama", "mistral") else c.model_type
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_head_count(c.num_attention_heads)
    if family == "gpt2":
        writer.add_feed_forward_length(4 * c.n_embd)
        writer.add_layer_norm_eps(c.layer_norm_epsilon)
    else:
        writer.add_feed_forward_length(c.intermediate_size)
        writer.add_head_count_kv(c.num_key_value_heads)
        writer.add_layer_norm_rms_eps(c.rms_norm_eps)
        writer.add_rope_freq_base(c.rope_parameters["rope_theta"])
        writer.add_rope_dimension_count(getattr(c, "head_dim", None) or 8)
        writer.add_vocab_size(V)
        if getattr(c, "head_dim", None):
            writer.add_key_length(c.head_dim)
            writer.add_value_length(c.head_dim)
    if c.model_type == "llama" and c.rope_parameters["rope_type"] == "llama3":
        plain = c.rope_parameters["rope_theta"] ** (-torch.arange(0, 8, 2) / 8)
        stretched, _ = ROPE_INIT_FUNCTIONS["llama3"](c, torch.device("cpu"))
        writer.add_tensor("rope_freqs.weight", (plain / stretched).numpy().astype(np.float32))
    ours = Tokenizer.train(["the theme of them all, then and there"] * 3, V - 1)
    letters = json.loads(ours.save(path.with_suffix(".json")).read_text(encoding="utf-8"))["model"]
    tokens = [*letters["vocab"], *["<unused>"] * (V - 1 - ours.vocab_size), "<end>"]
    assert len(tokens) == V
    kinds = [1] * ours.vocab_size + [5] * (V - 1 - ours.vocab_size) + [3]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(letters["merges"])
    writer.add_eos_token_id(V - 1)
    writer.add_chat_template("{{ messages[0]['content'] + eos_token }}")
    left = {}
    for name, weight in theirs.state_dict().items():
        if name == "lm_head.weight" and c.tie_word_embeddings:
            continue
        part, end = name.removeprefix("transformer.").removeprefix("model.").rsplit(".", 1)
        head, *rest = part.split(".", 2)
        if rest:
            if family == "gpt2" and weight.dim() == 2:
                weight = weight.T
            if family == "llama" and rest[1].endswith(("q_proj", "k_proj")):
                q = rest[1].endswith("q_proj")
                heads = c.num_attention_heads if q else c.num_key_value_heads
                weight = paired_with_neighbours(weight, heads)
            new = f"blk.{rest[0]}.{GGUF_PARTS[rest[1]]}.{end}"
        else:
            new = f"{GGUF_ENDS[head]}.{end}"
        array = weight.contiguous().numpy()
        if array.ndim == 2 and new != "position_embd.weight":
            packed = gguf.quants.quantize(array, kind)
            left[new] = gguf.quants.dequantize(packed, kind)
            writer.add_tensor(new, packed, raw_dtype=kind)
        else:
            writer.add_tensor(new, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return left


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


# Tokenizers and chat templates.

TEXTS = [
    "",
    "Hello, world! It's 2024-05-17, isn't it?",
    "  several   blanks\n\n\tand\ttabs \r\n",
    "def f(x):\n    return x**2  # 12345.678",
    "注意力机制 Transformer 的 1234 个词元，naïve café ½ Ⅷ ²",
    "🙂👩‍👩‍👧 é e\u0301 \u200b\u00a0",
    "DON'T you'll We'Ve",
    "<|im_start|>user\nhi<|im_end|>",
]


@pytest.fixture(scope="module")
def smollm() -> Pretrained:
    return from_pretrained("smollm2-135m")


@pytest.fixture(scope="module")
def smollm_reference() -> tuple[object, object]:
    """The file as transformers reads it, by a way of its own."""
    path = download("smollm2-135m")
    where = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(**where)


def test_the_real_model_reads_like_transformers(smollm, smollm_reference):
    theirs, _ = smollm_reference
    text = "Attention is all you need, said the paper. " * 3
    tokens = torch.tensor([smollm.tokenizer.encode(text)])
    with torch.no_grad():
        expected, found = theirs(tokens).logits, smollm.model(tokens)
    # Deep models round differently by more than shallow ones: a share of what the logits span.
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert torch.equal(found.argmax(-1), expected.argmax(-1))


def test_the_real_weights_in_transformers_model(smollm):
    c = smollm.model.config
    config = transformers.LlamaConfig(
        vocab_size=c.vocab_size,
        hidden_size=c.d_model,
        intermediate_size=c.d_ff,
        num_hidden_layers=c.num_layers,
        num_attention_heads=c.num_heads,
        num_key_value_heads=c.num_kv_heads,
        max_position_embeddings=c.max_length,
        rms_norm_eps=c.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_base},
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        theirs = transformers.LlamaForCausalLM(config)
    names = {
        "token_embedding": "model.embed_tokens",
        "blocks": "model.layers",
        "final_norm": "model.norm",
        "output_head": "lm_head",
        "attention_norm": "input_layernorm",
        "feed_forward_norm": "post_attention_layernorm",
        "attention": "self_attn",
        "feed_forward": "mlp",
        "query_proj": "q_proj",
        "key_proj": "k_proj",
        "value_proj": "v_proj",
        "output_proj": "o_proj",
    }
    state = {
        ".".join(names.get(part, part) for part in name.split(".")): weight
        for name, weight in smollm.model.state_dict().items()
    }
    theirs.load_state_dict(state, assign=True)
    theirs.model.rotary_emb = type(theirs.model.rotary_emb)(config)  # was made on meta
    tokens = torch.randint(c.vocab_size, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = theirs.eval()(tokens).logits, smollm.model(tokens)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("cut", ["as read", "as made"])
@pytest.mark.parametrize("text", TEXTS)
def test_the_real_tokenizer_gives_the_same_ids(text, cut, smollm, smollm_reference):
    """Transformers cuts all but digits outside ASCII; the model's own tokenizer cuts these too."""
    theirs = copy.deepcopy(smollm_reference[1].backend_tokenizer)
    if cut == "as made":
        theirs.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
    elif "½" in text:
        text = text.translate(dict.fromkeys(map(ord, "½Ⅷ²")))
    expected = theirs.encode(text, add_special_tokens=False).ids
    assert smollm.tokenizer.encode(text, allowed_special="all") == expected
    assert smollm.tokenizer.decode(expected) == text


@pytest.mark.parametrize("pre", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
@pytest.mark.parametrize("text", TEXTS)
def test_words_are_cut_as_the_names_of_gguf_say(pre, text, tmp_path):
    """Against the pre-tokenizers that the models' own files give to tokenizers."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre in ("gpt-2", "smollm"))
    first = {
        "gpt-2": [],
        "smollm": [pre_tokenizers.Digits(individual_digits=True)],
        "qwen2": [pre_tokenizers.Split(Regex(QWEN2), "isolated")],
        "llama-bpe": [
            pre_tokenizers.Split(Regex(QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")), "isolated")
        ],
    }[pre]
    theirs = pre_tokenizers.Sequence([*first, level])
    write_gguf(random_model("qwen2"), path := tmp_path / "model.gguf", pre=pre)
    ours = read_gguf(path).tokenizer()
    assert (ours.nfc, ours.ignore_merges) == (pre == "qwen2", pre == "llama-bpe")
    words = [word for word, _ in theirs.pre_tokenize_str(text)]
    to_letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    cut = [to_letters.pre_tokenize_str(word)[0][0] for word in ours._cut(text)]
    assert cut == words


CONVERSATIONS = [
    [{"role": "user", "content": "What is 2 + 2?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "你好 <|im_end|>"}],
    [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": " two "},
        {"role": "user", "content": "three\n"},
    ],
]
TEMPLATES = {
    "llama": (
        "{{- bos_token }}\n{%- for message in messages %}\n"
        "    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}\n"
        "    {{- message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n    {{- '<|start_header_id|>assistant' }}\n{%- endif %}\n"
    ),
    "odd": (
        "{% set seen = namespace(count=0) %}\n{% for message in messages %}\n"
        "  {% if message.role == 'system' %}{% continue %}{% endif %}\n"
        "  {% set seen.count = seen.count + 1 %}\n"
        "{{ loop.index0 }}: {{ message | tojson }}{{ tools is none }}{{ missing is defined }}\n"
        "{% endfor %}\n{{ seen.count }}{{ eos_token }}\n"
        "{%- if think is defined %}{{ think }}{% endif %}"
    ),
}


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_the_prompt_of_the_real_template(messages, smollm, smollm_reference):
    _, theirs = smollm_reference
    expected = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert smollm.chat_prompt(messages) == expected


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_prompts_of_folders(name, messages, tmp_path):
    """The folder holds tokens to begin with, a template and names for tokens."""
    inner = TheirTokenizer.from_str((Tokenizer([]).save(tmp_path / "t.json")).read_text())
    inner.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    begin = inner.token_to_id("<s>")
    inner.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)]),
        ]
    )
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", chat_template=TEMPLATES[name]
    )
    random_model("llama").save_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path)
    ours = from_pretrained(tmp_path)
    options = {"think": "hm"} if len(messages) == 1 else {}
    expected = theirs.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, **options
    )
    assert ours.chat_prompt(messages, **options) == expected
    text = "a text"
    assert [*ours.begin_ids, *ours.tokenizer.encode(text)] == theirs.encode(text)
    assert ours.begin_ids == (begin,)


def test_the_pattern_for_smollm_is_the_one_in_its_tokenizer(smollm):
    assert smollm.tokenizer.patterns == (r"\p{N}", GPT2_PATTERN)
    assert smollm.tokenizer.encode("1234") == [
        token for digit in "1234" for token in smollm.tokenizer.encode(digit)
    ]
