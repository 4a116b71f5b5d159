"""JSON read as a type: every field is checked, and an error names the one that is wrong."""

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

_Type = TypeVar("_Type")
_RULES = {  # what pydantic says, in our words
    "Input should": "must",
    "Field required": "must be there",
    "Invalid JSON:": "must be JSON:",
}


def read_as(kind: type[_Type], text: str | bytes, name: str) -> _Type:
    """A value of a type, dataclasses included, from JSON.

    Args:
        kind: The type.
        text: The JSON.
        name: What the value is called in errors.

    Returns:
        The value.

    Raises:
        ValueError: If the text is no JSON, or not that of the type; the error names the first
            field that is wrong.
    """
    try:
        value: _Type = _adapter(cast(Hashable, kind)).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"])
        rule = first["msg"]
        for theirs, ours in _RULES.items():
            rule = rule.replace(theirs, ours)
        raise ValueError(f"{name}{field} {rule}, got {str(first['input'])[:60]!r}") from None
    return value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """What checks a type: it takes long to make, and no time to use."""
    return TypeAdapter(kind)
