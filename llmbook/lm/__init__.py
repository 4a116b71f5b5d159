"""Language models, all used in one way: a batch of prompts in, as many replies out.

[`LanguageModel`][llmbook.lm.protocol.LanguageModel] says what that way is. Behind it stand our
own GPT, the models of the library transformers, models behind a server, and a script for
demonstrations. [`load`][llmbook.lm.load] finds the right one for a name.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llmbook.lm.loading import load
from llmbook.lm.protocol import LanguageModel, Reply

if TYPE_CHECKING:
    from llmbook.lm.endpoint import EndpointModel
    from llmbook.lm.gpt import OwnModel
    from llmbook.lm.huggingface import TransformersModel
    from llmbook.lm.scripted import ScriptedModel

__all__ = [
    "EndpointModel",
    "LanguageModel",
    "OwnModel",
    "Reply",
    "ScriptedModel",
    "TransformersModel",
    "load",
]

_LAZY = {
    "EndpointModel": "endpoint",
    "OwnModel": "gpt",
    "ScriptedModel": "scripted",
    "TransformersModel": "huggingface",
}


def __getattr__(name: str) -> Any:
    # Each is imported when it is asked for: only one is, and most need torch or more.
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
