"""Small random models of transformers, as folders, and as GGUF files of llama.cpp's library."""

import json
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from torch import Tensor
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from llmbook.gpt import GPT
from llmbook.tokenizer import Tokenizer

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
