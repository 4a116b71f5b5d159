"""A folder as on the hub, with a small Llama in it."""

import dataclasses
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from llmbook.gpt import GPT, GPTConfig
from llmbook.pretrained.configs import read_config
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


def llama_folder(folder: Path, **changes: object) -> dict[str, torch.Tensor]:
    """A folder as on the hub; gives its tensors."""
    config, layout = read_config(LLAMA | changes)
    layout = dataclasses.replace(layout, prefix="model.")
    weights = {layout.name(k): w.detach() for k, w in GPT(config).named_parameters()}
    (folder / "config.json").write_text(json.dumps(LLAMA | changes))
    save_file(weights, folder / "model.safetensors")
    Tokenizer([]).save(folder / "tokenizer.json")
    return weights


class Bomb:
    def __reduce__(self):
        return exec, ("raise RuntimeError('the pickle was read')",)
