"""Chat templates: a conversation as the text that a model has learned to read."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


def render(
    template: str, messages: Sequence[Mapping[str, str]], variables: Mapping[str, object]
) -> str:
    """Write a conversation, up to the turn of the model.

    Args:
        template: The template. It comes with the weights, so it runs in Jinja's sandbox.
        messages: As for [`Pretrained.chat_prompt`][llmbook.pretrained.Pretrained.chat_prompt].
        variables: What else the template asks for.

    Returns:
        The text.

    Raises:
        ValueError: If a message is none, or the template refuses.
    """
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
        return environment.from_string(template).render(
            messages=[dict(message) for message in messages],
            add_generation_prompt=True,
            **{"tools": None, "documents": None, **variables},
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
