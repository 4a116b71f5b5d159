"""Words: how a text is cut, before any of its bytes are put together."""

from typing import Any

import regex  # type: ignore[import-untyped]

__all__ = ["GPT2_PATTERN"]

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""How GPT-2 cuts a text: English endings, letters, digits, other marks, each of the last three
with at most one blank before it, and blanks."""


def compile_pattern(pattern: str) -> Any:
    """The pattern as one group, so that splitting by it keeps its matches."""
    try:
        cutter = regex.compile(f"({pattern})")
    except regex.error as error:
        raise ValueError(f"pattern must be a regular expression, got {pattern!r}") from error
    if cutter.groups > 1:
        raise ValueError(f"pattern must group by (?:...) instead of (...), got {pattern!r}")
    return cutter
