"""Compares a page in Chinese with the same page in English: all but the words must agree."""

from __future__ import annotations

import ast
import re
from collections import Counter
from typing import TypeGuard

from tests.docs.blocks import Fence, fences

CJK = re.compile(r"[\u4e00-\u9fff]")
HEADING = re.compile(r"^(#{1,6}) .*?(?:\{ ?#([\w-]+) ?\})?[ ]*$", re.MULTILINE)
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
CITATION = re.compile(r"\[(@[^\]]+)\]")
KEY = re.compile(r"@([\w:-]+)")
LINK = re.compile(r"(!?)\[(?:[^\[\]]|\[[^\]]*\])*\](?:\(([^)\s]+)[^)]*\)|\[([\w.-]+)\])")
ADMONITION = re.compile(r"^[ ]*(!!!|\?\?\?\+?|===|///) ?([\w-]*)", re.MULTILINE)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def without_code(text: str) -> str:
    """The page with every fence and the front matter emptied, lines kept."""
    lines = text.split("\n")
    for fence in fences(text):
        lines[fence.start : fence.end] = [""] * (fence.end - fence.start)
    if lines[0] == "---":
        end = lines.index("---", 1)
        lines[: end + 1] = [""] * (end + 1)
    return "\n".join(lines)


def sections(text: str) -> dict[str, str]:
    """Prose by anchor of its heading, without code, formulas, links' targets and anchors."""
    body = without_code(text)
    found: dict[str, str] = {}
    anchor, start = "", 0
    for match in [*HEADING.finditer(body), None]:
        end = match.start() if match else len(body)
        found[anchor] = found.get(anchor, "") + _words(body[start:end])
        if match:
            anchor, start = match[2] or "", match.start()
    return found


def _words(text: str) -> str:
    text = FORMULA.sub(" ", text)
    text = re.sub(r"`[^`]*`", " ", text)
    text = re.sub(r"\{ ?#[\w-]+ ?\}", " ", text)
    text = CITATION.sub(" ", text)
    return re.sub(r"\]\([^)]*\)|\]\[[\w.-]+\]", "]", text)


def faults(zh: str, en: str) -> list[str]:
    """Every way in which the two pages differ, other than in words."""
    found = []
    for name, part in (
        ("headings", _headings),
        ("formulas", _formulas),
        ("links", _links),
        ("citations", _citations),
        ("admonitions, tabs and captions", _admonitions),
        ("fences", _languages),
    ):
        ours, theirs = part(zh), part(en)
        if ours != theirs:
            found.append(f"{name} differ: {_first(ours, theirs)}")
    if "headings differ" not in " ".join(found):
        numbers = {k: Counter(NUMBER.findall(v)) for k, v in sections(zh).items()}
        others = {k: Counter(NUMBER.findall(v)) for k, v in sections(en).items()}
        for anchor in numbers.keys() | others.keys():
            mine, yours = numbers.get(anchor, Counter()), others.get(anchor, Counter())
            if mine != yours:
                only = f"zh {dict(mine - yours)}, en {dict(yours - mine)}"
                found.append(f"#{anchor}: numbers differ: only in {only}")
    blocks = zip(_of(zh, "python"), _of(en, "python"), strict=False)
    for ours_, theirs_ in blocks:
        if message := code_difference(ours_.content, theirs_.content):
            found.append(
                f"code differs at lines {ours_.start + 1} (zh), {theirs_.start + 1}: {message}"
            )
    for ours_, theirs_ in zip(_of(zh, "mermaid"), _of(en, "mermaid"), strict=False):
        if _structure(ours_.content) != _structure(theirs_.content):
            found.append(f"diagrams differ at lines {ours_.start + 1} (zh), {theirs_.start + 1}")
    return found


def code_difference(zh: str, en: str) -> str | None:
    """How two blocks differ, comments and natural-language strings aside."""
    try:
        ours, theirs = ast.parse(zh), ast.parse(en)
    except SyntaxError as error:
        return f"not Python: {error}"
    for node, other in zip(ast.walk(ours), ast.walk(theirs), strict=False):
        if isinstance(node, ast.JoinedStr) and isinstance(other, ast.JoinedStr):
            if any(_is_chinese(part) for part in node.values):
                # The words around the values are the language's own, the values are not.
                node.values = [v for v in node.values if isinstance(v, ast.FormattedValue)]
                other.values = [v for v in other.values if isinstance(v, ast.FormattedValue)]
        elif (
            _is_string(node)
            and _is_string(other)
            and (_is_chinese(node) or _bare(node.value) == _bare(other.value))
        ):
            node.value = other.value = ""
    if ast.dump(ours) == ast.dump(theirs):
        return None
    before, after = ast.unparse(ours).splitlines(), ast.unparse(theirs).splitlines()
    return _first(before, after)


def _is_string(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_chinese(node: ast.AST) -> bool:
    return _is_string(node) and bool(CJK.search(node.value))


def _bare(text: str) -> str:
    """A string without the blanks and the punctuation that differ between the languages."""
    return re.sub(r"[\s:,.;：，。；（）()]", "", text)


def _of(text: str, language: str) -> list[Fence]:
    return [fence for fence in fences(text) if fence.language == language]


def _headings(text: str) -> list[tuple[int, str]]:
    return [(len(m[1]), m[2] or m[0]) for m in HEADING.finditer(without_code(text))]


def _formulas(text: str) -> list[str]:
    body = re.sub(r"`[^`]*`", " ", without_code(text))
    found = [m[1] or m[2] for m in FORMULA.finditer(body)]
    plain = [re.sub(r"\s+", " ", re.sub(r"\\text\{[^}]*\}", r"\\text{}", f)).strip() for f in found]
    return sorted(plain)  # word order may move a formula within its sentence


def _links(text: str) -> list[tuple[str, str]]:
    body = re.sub(r"(?<!\[)`[^`]*`(?!\])", " ", without_code(text))
    return sorted((m[1], m[2] or m[3]) for m in LINK.finditer(body))


def _citations(text: str) -> list[str]:
    return sorted(k for m in CITATION.finditer(without_code(text)) for k in KEY.findall(m[1]))


def _admonitions(text: str) -> list[str]:
    return [
        f"{m[1]} {m[2]}" if m[1] != "===" else "==="
        for m in ADMONITION.finditer(without_code(text))
    ]


def _languages(text: str) -> list[str]:
    return [fence.info for fence in fences(text)]


def _structure(diagram: str) -> str:
    return re.sub(r'"[^"]*"|\|[^|]*\|', '""', diagram)


def _first(ours: list[object] | list[str], theirs: list[object] | list[str]) -> str:
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            return f"{one!r} in zh, {other!r} in en"
    rest = (ours + theirs)[min(len(ours), len(theirs)) :]  # type: ignore[operator]
    return f"{len(ours)} in zh, {len(theirs)} in en" + (f", as {rest[-1]!r}" if rest else "")
