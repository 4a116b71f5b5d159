"""What the commands print, in the words of whoever typed them."""

import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from typer.core import TyperArgument

_OTHER_NAMES = {"source": "model", "transcript": "out"}  # what functions call what is typed
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
    names |= {other: names[name] for other, name in _OTHER_NAMES.items() if name in names}
    subject = "|".join(map(re.escape, names))
    anywhere = "|".join(re.escape(name) for name in names if "_" in name)
    text = re.sub(rf"^({subject})(?=(\[\d+\])? must\b)", lambda m: names[m[1]], text)
    return re.sub(rf"\b({anywhere})\b", lambda m: names[m[1]], text) if anywhere else text


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
