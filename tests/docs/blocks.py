"""Finds the code blocks of a page: every fence, at any indentation, with the output under it.

CommonMark does not see a fence that is indented under ``!!!``, ``???`` or ``===``, but the site
does. So the fences are found line by line, the way the site's own extension finds them.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

OPEN = re.compile(r"^(?P<indent>[ \t>]*)(?P<ticks>`{3,}|~{3,})[ ]*(?P<info>[^`]*)$")
OUTPUT_INFO = "{.text .output}"
OUTPUT = re.compile(r"\{\.text \.output(?: data-tol=\"(?P<tolerance>[^\"]*)\")?\}")
LANGUAGES = {
    "python", "text", "bash", "console", "powershell", "toml", "yaml", "markdown", "bibtex",
    "mermaid",
}  # fmt: skip


@dataclass
class Fence:
    """One fenced block."""

    info: str
    indent: str
    content: str  # dedented
    start: int  # line of the opening fence, from 0
    end: int  # line after the closing fence
    output: Fence | None = None  # what stands directly under a Python block

    @property
    def language(self) -> str:
        """First word of the info string, without braces and dots."""
        words = self.info.strip("{} ").split()
        return words[0].lstrip(".") if words else ""

    @property
    def is_python(self) -> bool:
        """Whether this block is run."""
        return self.language == "python"

    @property
    def is_output(self) -> bool:
        """Whether this block shows what another prints."""
        return OUTPUT.fullmatch(self.info.strip()) is not None

    @property
    def tolerance(self) -> str | None:
        """By how much the numbers of an output may differ, such as ``"2%"``; none: not at all."""
        match = OUTPUT.fullmatch(self.info.strip())
        return match["tolerance"] if match else None


@dataclass
class Token:
    """A fence as pytest-markdown-docs wants it."""

    info: str
    content: str
    map: tuple[int, int]
    type: str = field(default="fence")


def fences(text: str) -> list[Fence]:
    """All fences of a text, in order.

    Raises:
        ValueError: If a fence is not closed.
    """
    lines = text.split("\n")
    found: list[Fence] = []
    i = 0
    while i < len(lines):
        match = OPEN.match(lines[i])
        if not match:
            i += 1
            continue
        indent, ticks = match["indent"], match["ticks"]
        close = next((j for j in range(i + 1, len(lines)) if _closes(lines[j], ticks)), None)
        if close is None:
            raise ValueError(f"line {i + 1}: the fence {ticks}{match['info']} is never closed")
        content = "".join(_dedent(line, indent) + "\n" for line in lines[i + 1 : close])
        found.append(Fence(match["info"].strip(), indent, content, i, close + 1))
        i = close + 1
    for before, after in itertools.pairwise(found):
        between = lines[before.end : after.start]
        if before.is_python and after.is_output and not any(line.strip(" \t>") for line in between):
            before.output = after
    return found


def _closes(line: str, ticks: str) -> bool:
    return line.strip(" \t>") == ticks


def _dedent(line: str, indent: str) -> str:
    # An empty line of a quotation is a lone ">", without the blank that ends the indentation.
    return "" if line.rstrip() == indent.rstrip() else line.removeprefix(indent)


class Parser:
    """Stands in for markdown-it in pytest-markdown-docs."""

    def parse(self, text: str) -> list[Token]:
        """The fences of a text as tokens."""
        return [Token(f.info, f.content, (f.start, f.end)) for f in fences(text)]


def pages(root: Path) -> Iterator[Path]:
    """Every page of the book and the READMEs."""
    for language in ("zh", "en"):
        yield from sorted((root / "docs" / language).rglob("*.md"))
    yield from (root / name for name in ("README.md", "README.zh.md") if (root / name).exists())


def docstrings(source: str) -> Iterator[tuple[str, str, int]]:
    """Name, text and first line of every docstring of a module, read without importing it."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, kinds) or ast.get_docstring(node) is None:
            continue
        expression = node.body[0]
        assert isinstance(expression, ast.Expr) and isinstance(expression.value, ast.Constant)
        text = expression.value.value
        assert isinstance(text, str)
        yield getattr(node, "name", "module"), text, expression.value.lineno
