"""Finding a model by its name: one of the book's, a folder, an id on the hub, a server."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from llmbook.lm.protocol import LanguageModel
from llmbook.lm.shipped import folder_of

if TYPE_CHECKING:
    import torch

    from llmbook.lm.endpoint import EndpointModel

__all__ = ["load"]

Backend = Literal["own", "transformers", "endpoint"]


def load(
    name: str,
    *,
    chat: bool | None = None,
    device: "torch.device | str | None" = None,
    backend: Backend | None = None,
    options: Mapping[str, object] | None = None,
) -> LanguageModel:
    """Load a model by its name.

    Args:
        name: One of

            - ``"smollm2-135m"``, the real model that the book uses, fetched on first use;
            - a model that comes with the book, such as ``"scan-tiny"`` or ``"bookmodel"``;
            - a folder, a ``.gguf`` file, or an id on the hub of Hugging Face, such as
              ``"Qwen/Qwen3-0.6B"``;
            - the address of a server that speaks OpenAI's protocol, and after ``#`` the name of
              a model there: ``"http://127.0.0.1:8000/v1#qwen3"``.
        chat: Put prompts as what a user says in a conversation; with False, models go on with
            the text, for which a server must offer completions. If not given, servers are asked
            as in a conversation, and other models go on with the text.
        device: Where to compute; a GPU of CUDA if there is one, otherwise the processor.
        backend: What runs it: ``"own"``, our GPT; ``"transformers"``, that library; or
            ``"endpoint"``, a server. If not given, our GPT where it can, otherwise the library.
        options: Further fields of each request to a server, or None for one to leave out: see
            [`EndpointModel`][llmbook.lm.endpoint.EndpointModel].

    Returns:
        The model.

    Raises:
        ValueError: If there is no such model here, or it cannot be read; the error names the
            reason.
        OSError: If it cannot be fetched; the error says what to do.
    """
    backends = (None, "own", "transformers", "endpoint")
    if backend not in backends:
        raise ValueError(f"backend must be one of {backends}, got {backend!r}")
    address = re.match(r"https?://", name) is not None
    if backend is not None and address != (backend == "endpoint"):
        raise ValueError("backend must be 'endpoint' for an address, and only there")
    if address:
        return _behind_server(name, chat is not False, options)
    if options:
        raise ValueError(f"options must be left out: only a server takes them, and {name} is none")
    return _local_or_hub(name, bool(chat), device, backend)


def _behind_server(
    address: str, chat: bool, options: Mapping[str, object] | None
) -> "EndpointModel":
    from llmbook.lm.endpoint import EndpointModel

    base_url, _, model = address.partition("#")
    if not model:
        raise ValueError("name must tell a model after the address, as in http://HOST/v1#MODEL")
    return EndpointModel(model, base_url, chat=chat, options=options)


def _local_or_hub(
    name: str, chat: bool, device: "torch.device | str | None", backend: Backend | None
) -> LanguageModel:
    """A model on this machine, or from the hub."""
    import torch

    from llmbook import pretrained
    from llmbook.errors import UnsupportedError
    from llmbook.lm.gpt import OwnModel

    source, batch_size = name, 32
    if (folder := folder_of(name)) is not None:
        if backend == "transformers":
            raise ValueError(f"backend must be 'own' for {name!r}, a model made for the book")
        source, batch_size = str(folder), 256  # so small that many texts fit side by side
    elif (path := pretrained.fetched(name)) is not None:
        source = str(path)
    if backend != "transformers":
        place = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            loaded = pretrained.from_pretrained(source, device=place)
            return OwnModel(loaded, name, chat=chat, batch_size=batch_size)
        except UnsupportedError:
            # Only this is a case for the library: if a file is damaged, it would draw the
            # missing weights at random.
            if backend == "own":
                raise
    from llmbook.lm.huggingface import TransformersModel

    return TransformersModel(source, name=name, chat=chat, device=device)
