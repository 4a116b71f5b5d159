"""Compares a page in Chinese with the same page in English: all but the words must agree."""

from __future__ import annotations

import ast
import re
from collections import Counter
from typing import Any

from tests.docs.blocks import Fence, fences

CJK = re.compile(r"[\u4e00-\u9fff]")
FULL_WIDTH = re.compile(r"[：，。；（）、？！“”]")
HEADING = re.compile(r"^(#{1,6}) .*?(?:\{ ?#([\w-]+) ?\})?[ ]*$", re.MULTILINE)
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$((?:[^$\n]|\n(?![ \t]*\n))+?)\$", re.DOTALL)
CITATION = re.compile(r"\[(@[^\]]+)\]")
KEY = re.compile(r"@([\w:-]+)")
LINK = re.compile(r"(!?)\[(?:[^\[\]]|\[[^\]]*\])*\](?:\(([^)\s]+)[^)]*\)|\[([\w.-]+)\])")
FOOTNOTE = re.compile(r"\[\^[\w-]+\]:?")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
SCORE = re.compile(r"\d+\.\d% \[\d+\.\d%, \d+\.\d%\]")  # as `llmbook.evaluation.Score` is shown
PARTS = re.compile(
    r"(?P<indent>[ ]*)(?:(?P<box>(?:!!!|\?\?\?\+?|///) ?[\w-]*)|(?P<tab>===) |(?P<row>\|.*\|)$"
    r"|(?P<item>[-*+]|\d+\.) |(?P<comment><!--.*-->)|(?P<formula>\$\$))"
)


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


def _unmeasured(text: str) -> str:
    """The page without the rows of a table that quote a score which one of its blocks prints.

    Models that were trained on either language do not score alike.
    """
    printed = {
        score for fence in fences(text) if fence.is_output for score in SCORE.findall(fence.content)
    }
    return "\n".join(
        "" if line.startswith("|") and printed & {*SCORE.findall(line)} else line
        for line in text.split("\n")
    )


def _words(text: str) -> str:
    text = FORMULA.sub(" ", text)
    text = re.sub(r"`[^`]*`", " ", text)
    text = re.sub(r"\{ ?#[\w-]+ ?\}", " ", text)
    text = FOOTNOTE.sub(" ", CITATION.sub(" ", text))
    return re.sub(r"\]\([^)]*\)|\]\[[\w.-]+\]", "]", text)


def faults(zh: str, en: str) -> list[str]:
    """Every way in which the two pages differ, other than in words."""
    found = []
    for name, part in (
        ("headings", _headings),
        ("structures", _structure),
        ("formulas", _formulas),
        ("links", _links),
        ("footnotes", lambda text: sorted(FOOTNOTE.findall(without_code(text)))),
        ("citations", _citations),
    ):
        ours, theirs = part(zh), part(en)
        if ours != theirs:
            found.append(f"{name} differ: {_first(ours, theirs)}")
    if "headings differ" not in " ".join(found):
        numbers, others = (
            {k: Counter(NUMBER.findall(v)) for k, v in sections(_unmeasured(text)).items()}
            for text in (zh, en)
        )
        for anchor in numbers.keys() | others.keys():
            mine, yours = numbers.get(anchor, Counter()), others.get(anchor, Counter())
            if mine != yours:
                only = f"zh {dict(mine - yours)}, en {dict(yours - mine)}"
                found.append(f"#{anchor}: numbers differ: only in {only}")
    return found + block_faults(zh, en)


def block_faults(zh: str, en: str) -> list[str]:
    """Every way in which the fences of the two pages differ, other than in words."""
    ours, theirs = fences(zh), fences(en)
    if (kinds := [f.info for f in ours]) != (others := [f.info for f in theirs]):
        return [f"fences differ: {_first(kinds, others)}"]
    found = []
    for one, other in zip(ours, theirs, strict=True):
        where = f"lines {one.start + 1} (zh), {other.start + 1} (en)"
        if one.is_python:
            if message := code_difference(one.content, other.content):
                found.append(f"code differs at {where}: {message}")
        elif one.language == "mermaid":
            if _diagram(one) != _diagram(other):
                found.append(f"diagrams differ at {where}")
        elif not one.is_output and (message := _commands_differ(_commands(one), _commands(other))):
            found.append(f"fences differ at {where}: {message}")
    return found


# What a Chinese page names in place of an English thing: tasks whose problems are Chinese, and the
# models that were trained on them.
_COUNTERPARTS = {
    "en": "zh",
    "word-problems": "word-problems-zh",
    "last-letters": "last-characters",
    "last_letters": "last_characters",
    "letters-spelled": "characters-spelled",
    "stories": "stories-zh",
    "stories-4": "stories-zh-4",
    "chains": "chains-zh",
    "chains-tiny": "chains-tiny-zh",
    "chains-tiny-chain-of-thought": "chains-tiny-zh-chain-of-thought",
}


def code_difference(zh: str, en: str) -> str | None:
    """How two blocks differ, comments and natural-language strings aside."""
    try:
        ours, theirs = ast.parse(zh), ast.parse(en)
    except SyntaxError as error:
        return f"not Python: {error}"
    return _differ(ours, theirs)


def _differ(zh: Any, en: Any) -> str | None:
    """The first difference of two syntax trees, or of two lists or values in them."""
    if isinstance(zh, list) and isinstance(en, list):
        if len(zh) != len(en):
            return f"{len(zh)} parts in zh, {len(en)} in en: {_code(zh)!r}, {_code(en)!r}"
        return next((m for pair in zip(zh, en, strict=True) if (m := _differ(*pair))), None)
    if type(zh) is not type(en) or not isinstance(zh, ast.AST):
        same = type(zh) is type(en) and (zh == en or _COUNTERPARTS.get(en) == zh)
        return None if same else f"{_code(zh)} in zh, {_code(en)} in en"
    if isinstance(zh, ast.JoinedStr):
        # The words around the values are the language's own, the values are not.
        words, others = _literal(zh), _literal(en)
        if not _may_stand_for(words, others):
            return f"{words!r} in zh, {others!r} in en"
        return _differ(_values(zh), _values(en))
    if isinstance(zh, ast.Constant) and isinstance(en, ast.Constant):
        both = isinstance(zh.value, str) and isinstance(en.value, str)
        if both and _may_stand_for(str(zh.value), str(en.value)):
            return None
    if isinstance(zh, ast.Call) and isinstance(en, ast.Call):
        # English is the usual language, which an English page need not name.
        named = {keyword.arg for keyword in en.keywords}
        zh = ast.Call(zh.func, zh.args, [k for k in zh.keywords if _is_usual(k, named)])
    for name in zh._fields:
        message = _differ(getattr(zh, name, None), getattr(en, name, None))
        if message:
            whole = isinstance(zh, (ast.stmt, ast.expr)) and " in zh, " not in message
            return f"{_code(zh)} in zh, {_code(en)} in en" if whole else message
    return None


def _is_usual(keyword: ast.keyword, named: set[str | None]) -> bool:
    """Whether an argument of a Chinese page is no addition to what the English one has named."""
    return keyword.arg in named or ast.unparse(keyword) != "language='zh'"


def _may_stand_for(zh: str, en: str) -> bool:
    """Whether a string may be the other in Chinese: it has Chinese in it, and no other number."""
    if zh.split() == en.split():  # blanks align columns, which differ in width
        return True
    if CJK.search(zh):
        ours, theirs = Counter(NUMBER.findall(zh)), Counter(NUMBER.findall(en))
        return not (ours - theirs and theirs - ours)  # one may say more, neither something else
    return bool(FULL_WIDTH.search(zh)) and _bare(zh) == _bare(en)


def _literal(node: ast.JoinedStr) -> str:
    return " ".join(str(v.value) for v in node.values if isinstance(v, ast.Constant))


def _values(node: ast.JoinedStr) -> list[ast.expr]:
    return [v for v in node.values if isinstance(v, ast.FormattedValue)]


def _bare(text: str) -> str:
    """A string without the blanks and the punctuation that differ between the languages."""
    return re.sub(r"[\s:,.;?!\"：，。；（）()、？！“”]", "", text)


def _code(node: Any) -> str:
    if isinstance(node, list):
        return ", ".join(map(_code, node))
    return ast.unparse(node) if isinstance(node, ast.AST) else repr(node)


def _headings(text: str) -> list[tuple[int, str]]:
    return [(len(m[1]), m[2] or m[0]) for m in HEADING.finditer(without_code(text))]


def _structure(text: str) -> list[str]:
    """Everything on a page that is not a paragraph, in order, with its depth."""
    fence_at = {fence.start: fence for fence in fences(text)}
    found, paragraph, listing = [], False, False
    for i, line in enumerate(without_code(text).split("\n")):
        if not line.strip():
            paragraph = listing = False
        if fence := fence_at.get(i):
            found.append(f"fence {fence.info} at depth {len(fence.indent) // 4}")
        elif heading := HEADING.match(line):
            found.append(f"heading {heading[2]}")
        elif part := PARTS.match(line):
            kind = part.lastgroup or ""
            listing = listing or (kind == "item" and not paragraph)
            if kind == "item" and not listing:
                continue  # a line that happens to begin with a number
            what = {"row": f"row of {line.count('|') - 1}", "item": "item"}.get(kind)
            what = what or part[kind].strip()
            found.append(f"{what} at depth {len(part['indent']) // 4}")
        elif line.strip():
            paragraph = True
    return found


def _formulas(text: str) -> list[str]:
    body = re.sub(r"`[^`]*`", " ", without_code(text))
    found = [m[1] or m[2] for m in FORMULA.finditer(body)]
    plain = [re.sub(r"\s+", " ", re.sub(r"\\text\{[^}]*\}", r"\\text{}", f)).strip() for f in found]
    return sorted(plain)  # word order may move a formula within its sentence


def _links(text: str) -> list[tuple[str, str]]:
    body = re.sub(r"(?<!\[)`[^`]*`(?!\])", " ", without_code(text))
    return sorted((m[1], m[2] or m[3]) for m in LINK.finditer(body))


def _citations(text: str) -> list[tuple[str, ...]]:
    """Keys with the numbers of what is pointed at: Table 3 is 表 3, and neither is 表 4."""
    parts = [
        part for m in CITATION.finditer(without_code(text)) for part in re.split(r"[;；]", m[1])
    ]
    return sorted(
        (*KEY.findall(part), *NUMBER.findall(KEY.sub("", part))) for part in parts if "@" in part
    )


def _commands(fence: Fence) -> list[str]:
    """The lines of a fence that is not run, without comments and blanks.

    Of what a command printed, the words alone: another model has other numbers.
    """
    lines = (re.sub(r"(^|\s)#.*", "", line).rstrip() for line in fence.content.split("\n"))
    printed = fence.language == "console"
    return [
        NUMBER.sub("0", line) if printed and not line.startswith("$ ") else line
        for line in lines
        if line and not CJK.search(line)
    ]


def _commands_differ(zh: list[str], en: list[str]) -> str | None:
    """The first difference of two lists of commands, counterparts aside."""
    if len(zh) == len(en):
        pairs = [(ours, theirs) for ours, theirs in zip(zh, en, strict=True) if ours != theirs]
        words = ((ours.split(), theirs.split()) for ours, theirs in pairs)
        if all(
            ours == [_COUNTERPARTS.get(word, word) for word in theirs] for ours, theirs in words
        ):
            return None
    return _first(zh, en)


def _diagram(fence: Fence) -> str:
    return re.sub(r'"[^"]*"|\|[^|]*\|', '""', fence.content)


def _first(ours: list[Any], theirs: list[Any]) -> str:
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            return f"{one!r} in zh, {other!r} in en"
    rest = (ours + theirs)[min(len(ours), len(theirs)) :]
    return f"{len(ours)} in zh, {len(theirs)} in en" + (f", as {rest[-1]!r}" if rest else "")
