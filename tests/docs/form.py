"""What every page must keep to, whatever it says: blocks that run, anchors, typography."""

from __future__ import annotations

import ast
import json
import re

import autocorrect_py

from tests.docs import parity
from tests.docs.blocks import LANGUAGES, Fence, fences

SHOWN = re.compile(r"assets/figures/([\w.-]+\.svg)\)")
LIST_FENCE = re.compile(r"^[ >]*(?:[-*+]|\d+\.)[ ]+(?:`{3,}|~{3,})")
# Half-width brackets stand around shapes and English terms, without blanks: our style.
CONFIG = json.dumps({"rules": {"space-bracket": 0}})
autocorrect_py.load_config(CONFIG)  # type: ignore[attr-defined]  # its stub lacks it
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff)][,;:?!][ ]?(?=[\u4e00-\u9fff])")


def faults(text: str, *, anchors: bool = True) -> list[str]:
    """Everything on a page that would let a block go unrun or a section go unlinked."""
    try:
        blocks = fences(text)
    except ValueError as error:
        return [str(error)]
    found = [fault for fence in blocks for fault in _fence_faults(fence, blocks)]
    body = parity.without_code(text)
    if "<pre" in body:
        found.append("raw <pre> on the page")
    for i, line in enumerate(body.split("\n")):
        if LIST_FENCE.match(line):
            found.append(f"line {i + 1}: a fence on the line of a list's mark, which stays text")
    seen: set[str] = set()
    for match in parity.HEADING.finditer(body) if anchors else ():
        if not match[2]:
            found.append(f"a heading without an anchor: {match[0]!r}")
        elif match[2] in seen:
            found.append(f"two headings with the anchor {match[2]!r}")
        seen.add(match[2])
    return found + figure_faults(text)


def _fence_faults(fence: Fence, blocks: list[Fence]) -> list[str]:
    where, found = f"line {fence.start + 1}", []
    if fence.language not in LANGUAGES:
        expected = sorted(LANGUAGES)
        found.append(f"{where}: a fence of kind {fence.info!r}, expected one of {expected}")
    if fence.is_python and fence.info != "python":
        found.append(f"{where}: {fence.info!r} has options, expected plain python")
    if fence.is_python and not _imports_llmbook(fence.content):
        found.append(f"{where}: the block does not import llmbook")
    if fence.is_python and "# fmt: skip" in fence.content:
        found.append(f"{where}: a reader has no use for '# fmt: skip'")
    if fence.language == "text" and not any(b.output is fence for b in blocks):
        found.append(f"{where}: an output that is not directly under a Python block")
    if fence.is_output and not any(line.strip(" .") for line in fence.content.split("\n")):
        found.append(f"{where}: an output of nothing but dots allows anything")
    return found


def _tree(code: str) -> list[ast.AST]:
    try:
        return [*ast.walk(ast.parse(code))]
    except SyntaxError:
        return []  # running it says where


def _imports_llmbook(code: str) -> bool:
    names = [
        name
        for node in _tree(code)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    ]
    return any(name.split(".")[0] == "llmbook" for name in names)


def figures(text: str) -> tuple[set[str], set[str]]:
    """Names of the figures that a page shows, and of those that its blocks save."""
    saved = {
        argument.value
        for fence in fences(text)
        if fence.is_python
        for node in _tree(fence.content)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
        if (node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id) == "save"
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    return set(SHOWN.findall(parity.without_code(text))), saved


def figure_faults(text: str) -> list[str]:
    """Figures shown that no block of the page saves. (The runner finds those not shown.)"""
    shown, saved = figures(text)
    return [f"{name} is shown, but no block of the page saves it" for name in sorted(shown - saved)]


def typography_faults(text: str) -> list[str]:
    """Chinese prose that is not set as Chinese is."""
    body = parity.without_code(text)
    body = re.sub(r"\$\$.*?\$\$", lambda m: "\n" * m[0].count("\n"), body, flags=re.DOTALL)
    found = [
        f"line {line.line}: {line.old.strip()!r} should be {line.new.strip()!r}"
        for line in autocorrect_py.lint_for(body, "markdown").lines
    ]
    for i, line in enumerate(body.split("\n")):
        for match in HALF_WIDTH.finditer(re.sub(r"`[^`]*`|\$[^$]*\$", "·", line)):
            found.append(f"line {i + 1}: half-width punctuation in {match[0]!r}")
    return found
