"""Saving: a model as files, in our own words or in those of transformers.

What [`from_pretrained`][llmbook.pretrained.from_pretrained] does is done the other way round: our
names of weights become those of a family, and our configuration becomes its ``config.json``.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from llmbook._files import read_json, write_json
from llmbook.errors import UnsupportedError
from llmbook.gpt import GPT, GPTConfig
from llmbook.pretrained.layouts import Layout, is_transposed
from llmbook.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llmbook.pretrained.model import Pretrained

# Where these are, they are read in place of what is written.
_OVERRIDING = ("model.safetensors.index.json", "chat_template.jinja")


class Files(NamedTuple):
    """What a folder shall hold, by the names of its files."""

    weights: Mapping[str, Tensor]  # model.safetensors
    tokenizer: Tokenizer  # tokenizer.json
    begin_ids: tuple[int, ...]  # what tokenizer.json puts before a text
    settings: Mapping[str, Any]  # JSON; config.json, the last one, is what makes it a model


def write_folder(folder: str | os.PathLike[str], files: Files) -> Path:
    """Write all files beside the old ones, then let them take their places."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(dir=folder) as unfinished:
            parts = Path(unfinished)
            save_file(dict(files.weights), parts / "model.safetensors", {"format": "pt"})
            (parts / "model.safetensors").chmod(0o644)  # others may read it too
            files.tokenizer.save(parts / "tokenizer.json")
            if files.begin_ids:
                _put_before_texts(parts / "tokenizer.json", files.tokenizer, files.begin_ids)
            for name, data in files.settings.items():
                write_json(parts / name, data)
            for name in ("model.safetensors", "tokenizer.json", *files.settings):
                (parts / name).replace(folder / name)
        for name in _OVERRIDING:
            (folder / name).unlink(missing_ok=True)
    except SafetensorError as error:  # so it tells of a full disk
        raise OSError(f"{folder / 'model.safetensors'} could not be written: {error}") from None
    except OSError as error:  # of a folder that is gone by now
        raise OSError(error.errno, error.strerror, str(folder)) from None
    return folder


def own_files(loaded: "Pretrained") -> Files:
    """All of a model in our own words."""
    config = {
        "model_type": "llmbook",
        **asdict(loaded.model.config),
        "begin_ids": list(loaded.begin_ids),
        "end_ids": list(loaded.end_ids),
        "chat_template": loaded.chat_template,
        "named_tokens": dict(loaded.named_tokens),
    }
    weights = named_weights(loaded.model, Layout("llmbook"))
    return Files(weights, loaded.tokenizer, (), {"config.json": config})


def transformers_files(loaded: "Pretrained") -> Files:
    """All of a model in the words of the family that computes the same."""
    model, tokenizer = loaded.model, loaded.tokenizer
    config, layout = transformers_config(model.config)
    names = {i: name for name, i in tokenizer.special_tokens.items()}
    begin, end = loaded.begin_ids, loaded.end_ids
    ids = {"bos_token_id": begin[0] if begin else None, "eos_token_id": list(end) or None}
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    named = dict(loaded.named_tokens)
    for name, of in (("bos_token", begin), ("eos_token", end)):
        if of and of[0] in names:
            named.setdefault(name, names[of[0]])
    about_tokens = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.config.max_length,
        **named,
        **({"chat_template": loaded.chat_template} if loaded.chat_template is not None else {}),
    }
    settings = {
        "tokenizer_config.json": about_tokens,
        "generation_config.json": ids,
        "config.json": config | ids | {"dtype": dtype},
    }
    return Files(named_weights(model, layout), tokenizer, begin, settings)


def named_weights(model: GPT, layout: Layout) -> dict[str, Tensor]:
    """The weights of a model under the names of a layout, and as it keeps them.

    Raises:
        ValueError: If the model has not just the parameters of a GPT.
    """
    with torch.device("meta"):
        expected = {name for name, _ in GPT(model.config).named_parameters()}
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    if different := sorted(expected ^ weights.keys()):
        raise ValueError(
            f"model must have the parameters of a GPT, got a difference: {different[0]!r}"
        )
    kept_in: dict[str, list[Tensor]] = {}  # name in the file -> our parameters, in its order
    for ours, weight in weights.items():
        turned = weight.T if is_transposed(ours, weight, layout) else weight
        kept_in.setdefault(layout.name(ours), []).append(turned)
    return {  # several only of GPT-2, which keeps queries, keys and values side by side
        name: parts[0].contiguous() if len(parts) == 1 else torch.cat(parts, dim=-1)
        for name, parts in kept_in.items()
    }


def transformers_config(config: GPTConfig) -> tuple[dict[str, Any], Layout]:
    """What ``config.json`` says of a model, and how its weights are named and kept.

    Raises:
        UnsupportedError: If no family in transformers computes what the model does.
    """
    c = config
    gpt2 = ("learned", "layer", "gelu_tanh", "all")
    choices = (c.positions, c.norm, c.activation, c.bias)
    heads = (c.num_kv_heads or c.num_heads, (c.head_dim or 0) * c.num_heads or c.d_model)
    if choices == gpt2 and heads == (c.num_heads, c.d_model) and not (c.qk_norm or c.token_shift):
        return _gpt2(c), Layout("gpt2", prefix="transformer.", transposed=True)
    llama = choices[:3] == ("rotary", "rms", "swiglu") and not c.token_shift
    if llama and not (c.qk_norm and c.bias != "none"):
        return _llama(c), Layout("llama", prefix="model.")
    raise UnsupportedError(
        "model must be of the build of GPT-2, Llama, Qwen2 or Qwen3, for transformers to read it, "
        f"got {config}"
    )


def _gpt2(c: GPTConfig) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": c.vocab_size,
        "n_positions": c.max_length,
        "n_embd": c.d_model,
        "n_layer": c.num_layers,
        "n_head": c.num_heads,
        "n_inner": c.d_ff,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": c.norm_eps,
        **dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), c.dropout),
        "tie_word_embeddings": c.tie_weights,
    }


def _llama(c: GPTConfig) -> dict[str, Any]:
    family = "Qwen3" if c.qk_norm else "Qwen2" if c.bias == "qkv" else "Llama"
    biases = {"attention_bias": c.bias == "all", "mlp_bias": c.bias == "all"}
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": c.rope_base}
    if (scaling := c.rope_scaling) is not None:
        rope |= {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_max_length,
        }
    return {
        "model_type": family.lower(),
        "architectures": [f"{family}ForCausalLM"],
        "vocab_size": c.vocab_size,
        "max_position_embeddings": c.max_length,
        "hidden_size": c.d_model,
        "num_hidden_layers": c.num_layers,
        "num_attention_heads": c.num_heads,
        "num_key_value_heads": c.num_kv_heads or c.num_heads,
        "head_dim": c.head_dim or c.d_model // c.num_heads,
        "intermediate_size": c.d_ff or 4 * c.d_model,
        "hidden_act": "silu",
        "rms_norm_eps": c.norm_eps,
        "rope_parameters": rope,
        "tie_word_embeddings": c.tie_weights,
        **(biases if family == "Llama" else {}),
    }


def _put_before_texts(path: Path, tokenizer: Tokenizer, begin_ids: tuple[int, ...]) -> None:
    """Let ``tokenizer.json`` put tokens before a text, which must be special ones."""
    names = {i: name for name, i in tokenizer.special_tokens.items()}
    if unnamed := [i for i in begin_ids if i not in names]:
        raise ValueError(f"begin_ids must be special tokens, got {unnamed[0]}")
    text = {"Sequence": {"id": "A", "type_id": 0}}
    before = [{"SpecialToken": {"id": names[i], "type_id": 0}} for i in begin_ids]
    data = read_json(path)
    data["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [*before, text],
        "pair": [*before, text, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {
            names[i]: {"id": names[i], "ids": [i], "tokens": [names[i]]} for i in begin_ids
        },
    }
    write_json(path, data, indent=1)
