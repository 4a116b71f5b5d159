"""What the commands print, in the words of whoever typed them."""

import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from typer.core import TyperArgument

_PARAMETERS = {  # what functions call a parameter of a command, and its name there
    "source": "model",
    "base_url": "model",
    "model or base_url": "model",
    "transcript": "out",
    "options": "option",
    "problems[0]": "question",
    "prompts[0]": "question",
}
_IN_WORDS = {  # and what no single parameter stands for
    "api_key": "OPENAI_API_KEY",
    "api_key, model or base_url": "OPENAI_API_KEY or --model",
    "first and second": "FIRST and SECOND",
}
_EXAMPLES = re.compile(r"^(Examples:)\n+ *```bash\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def in_json(value: object) -> str:
    """JSON in which all that the output has no sign for is escaped, and nothing is lost."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def as_typed(text: str, parameters: Sequence[Any]) -> str:
    """A message about the arguments of a function, about the options of a command instead.

    Args:
        text: The message, which begins with the name of the argument, as all of ours do. Other
            names are told from words by their underscore.
        parameters: Those of the command.

    Returns:
        The message.
    """
    names = {parameter.name: _typed(parameter) for parameter in parameters if parameter.name}
    called = {argument: names[name] for argument, name in _PARAMETERS.items() if name in names}
    subjects = names | called | _IN_WORDS
    subject = "|".join(map(re.escape, subjects))
    anywhere = "|".join(re.escape(name) for name in names if "_" in name)
    text = re.sub(rf"^({subject})(?=(\[\d+\])? must\b)", lambda m: subjects[m[1]], text)
    if "option" in names:  # the hint of a server's error, as one may type it
        text = re.sub(r"options=\{'(\w+)': None\}", r"--option \1=null", text)
    return re.sub(rf"\b({anywhere})\b", lambda m: names[m[1]], text) if anywhere else text


@contextmanager
def naming(**parameters: str) -> Iterator[None]:
    """Let errors speak of a parameter of the command where their own word does not tell which.

    Args:
        parameters: For an argument that many functions have, such as ``name``, the parameter that
            it stands for here.
    """
    try:
        yield
    except ValueError as error:
        subject, must, rest = str(error).partition(" must ")
        raise ValueError(f"{parameters.get(subject, subject)}{must}{rest}") from None


def _typed(parameter: Any) -> str:
    """What the user types for a parameter: its option in full, or the name of its place."""
    if isinstance(parameter, TyperArgument):
        return str(parameter.metavar or parameter.name)
    return str(max(parameter.opts, key=len))


def help_of(command: Callable[..., Any]) -> str:
    """The help of a command: its docstring, with the examples as they stand, line by line."""

    def as_is(match: re.Match[str]) -> str:
        lines = textwrap.indent(textwrap.dedent(match[2]), "  ")
        return f"\b\n{match[1]}\n{lines}"  # after \b a paragraph keeps its lines

    return _EXAMPLES.sub(as_is, inspect.getdoc(command) or "")
