"""Language models, all used in one way: a batch of prompts in, as many replies out.

[`LanguageModel`][llmbook.lm.protocol.LanguageModel] says what that way is. Behind it stand our
own GPT, the models of the library transformers, models behind a server, and a script for
demonstrations. [`load`][llmbook.lm.load] finds the right one for a name.
"""

from typing import TYPE_CHECKING

from llmbook._lazy import lazily
from llmbook.lm.loading import load
from llmbook.lm.protocol import LanguageModel, Reply

if TYPE_CHECKING:
    from llmbook.lm.endpoint import EndpointModel
    from llmbook.lm.gpt import OwnModel
    from llmbook.lm.huggingface import TransformersModel
    from llmbook.lm.scripted import ScriptedModel
else:  # only one of them is asked for, and most need torch or more
    __getattr__, __dir__ = lazily(
        __name__,
        endpoint=["EndpointModel"],
        gpt=["OwnModel"],
        huggingface=["TransformersModel"],
        scripted=["ScriptedModel"],
    )

__all__ = [
    "EndpointModel",
    "LanguageModel",
    "OwnModel",
    "Reply",
    "ScriptedModel",
    "TransformersModel",
    "load",
]
