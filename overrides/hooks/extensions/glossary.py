"""The glossary: tooltips on first use, and the list on the glossary page.

`docs/glossary.yml` is the one source, and `load` its one reader. On each page the first occurrence
of a term becomes `<abbr title="definition">`, outside headings, code, links and formulas. The page
that holds `<!-- glossary -->`, on a line of its own, has the whole list instead.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from html import escape
from typing import Any

import yaml
from markdown import Markdown
from markdown.postprocessors import Postprocessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor

from extensions.base import ROOT, BookExtension, PageError, in_docstring

MARKER = "<!-- glossary -->"
LANGUAGES = ("en", "zh")
SKIPPED_TAGS = {
    "a", "abbr", "autoref", "button", "cite", "code", "dt", "figcaption", "h1", "h2", "h3", "h4",
    "h5", "h6", "kbd", "label", "math", "pre", "script", "style", "summary", "svg", "textarea",
}  # fmt: skip
SKIPPED_CLASSES = {"admonition-title", "arithmatex", "highlight", "katex", "mermaid"}
GLOSSARY = '<dl class="glossary">'
MARK = re.compile(
    r'<abbr data-term="(?P<term>[^"]*)" title="(?P<title>[^"]*)">(?P<text>[^<]*)</abbr>'
)
STASHED = re.compile("\x02[^\x03]*\x03")  # what Markdown has put aside, such as raw HTML


@dataclass(frozen=True)
class Term:
    """One entry of the glossary."""

    id: str
    name: dict[str, str]
    definition: dict[str, str]
    abbr: str | None = None
    forms: dict[str, list[str]] = field(default_factory=dict)
    avoid: dict[str, list[str]] = field(default_factory=dict)  # renderings that are wrong
    lint: bool = True  # whether a page that uses it must use it in both languages

    def surfaces(self, language: str) -> list[str]:
        """Every spelling that counts as this term on a page in `language`."""
        return list(dict.fromkeys([*self.names(language), *filter(None, [self.abbr])]))

    def names(self, language: str) -> list[str]:
        """Its name and the other forms of it, without the abbreviation."""
        return [self.name[language], *self.forms.get(language, [])]


def parse(entries: Any, source: str = "glossary.yml") -> list[Term]:
    """Check the entries of a glossary and return them as terms.

    Raises:
        PageError: With every fault found, each naming its entry and what was expected.
    """
    if not isinstance(entries, list):
        raise PageError(f"{source}: expected a list of entries, got {type(entries).__name__}")
    faults: list[str] = []
    terms: list[Term] = []
    for number, entry in enumerate(entries, 1):
        where = f"entry {number}"
        if not isinstance(entry, dict):
            faults.append(f"{where}: expected a mapping, got {entry!r}")
            continue
        where += f" ({entry.get('id') or entry.get('en') or '?'})"
        missing = [key for key in ("id", *LANGUAGES) if not _is_text(entry.get(key))]
        definition = entry.get("definition")
        definition = definition if isinstance(definition, dict) else {}
        missing += [f"definition.{k}" for k in LANGUAGES if not _is_text(definition.get(k))]
        if missing:
            faults.append(f"{where}: missing or not text: {', '.join(missing)}")
            continue
        unknown = set(entry) - {"id", "en", "zh", "abbr", "forms", "avoid", "lint", "definition"}
        if unknown:
            faults.append(f"{where}: unknown field: {', '.join(sorted(map(str, unknown)))}")
        faults += [
            f"{where}: {name} must map en, zh to lists of text, got {entry[name]!r}"
            for name in ("forms", "avoid")
            if not _are_lists(entry.get(name) or {})
        ]
        abbr, lint = entry.get("abbr"), entry.get("lint", True)
        if abbr is not None and not _is_text(abbr):
            faults.append(f"{where}: abbr must be text, got {abbr!r}")
        if not isinstance(lint, bool):
            faults.append(f"{where}: lint must be true or false, got {lint!r}")
        names = {language: entry[language] for language in LANGUAGES}
        lists = (entry.get("forms") or {}, entry.get("avoid") or {})
        terms.append(Term(entry["id"], names, definition, abbr, *lists, lint))
    if faults := faults or _duplicates(terms):
        raise PageError(f"{source}:\n  " + "\n  ".join(faults))
    return terms


def load() -> list[Term]:
    """The terms of the book.

    Raises:
        PageError: If there is no glossary, or something in it is wrong.
    """
    try:
        text = (ROOT / "docs" / "glossary.yml").read_text(encoding="utf-8")
        entries = yaml.safe_load(text)
    except (OSError, yaml.YAMLError) as error:
        raise PageError(f"docs/glossary.yml: {error}") from None
    return parse(entries, "docs/glossary.yml")


def _are_lists(value: Any) -> bool:
    """Whether a field maps languages to lists of text."""
    return isinstance(value, dict) and all(
        key in LANGUAGES and isinstance(texts, list) and all(map(_is_text, texts))
        for key, texts in value.items()
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _duplicates(terms: list[Term]) -> list[str]:
    faults = []
    ids: set[str] = set()
    for term in terms:
        if term.id in ids:
            faults.append(f"{term.id}: duplicate id")
        ids.add(term.id)
    for language in LANGUAGES:
        owner: dict[str, str] = {}
        for term in terms:
            for surface in term.surfaces(language):
                other = owner.setdefault(surface.lower(), term.id)
                if other != term.id:
                    faults.append(
                        f"{term.id}: duplicate {language} term {surface!r}, already in {other}"
                    )
    return faults


class Matcher:
    """Finds the terms of one language in plain text, the longest first."""

    def __init__(self, terms: list[Term], language: str) -> None:
        self.owners = {s: term for term in terms for s in term.surfaces(language)}
        for surface in list(self.owners):  # "Softmax" opens a sentence, see `find`
            self.owners.setdefault(surface[0].upper() + surface[1:], self.owners[surface])
        patterns = (_pattern(s) for s in sorted(self.owners, key=len, reverse=True))
        self.regex = re.compile("|".join(patterns) or r"(?!)")

    def find(self, text: str) -> list[tuple[int, int, Term]]:
        """Start, end and term of each occurrence in `text`."""
        found = []
        for match in self.regex.finditer(text):
            surface = " ".join(match[0].split())
            term = self.owners[surface]
            lower = surface[0].lower() + surface[1:]
            raised = surface[0].isupper() and self.owners.get(lower) is term
            before = text[: match.start()].rstrip()
            if not raised or not before or before[-1] in ".!?:。！？：":
                found.append((match.start(), match.end(), term))
        return found


def _pattern(surface: str) -> str:
    # A Latin edge needs a boundary; a Chinese one has none. \w would count 字 as a letter
    # and miss "RoPE是", hence the ASCII classes. The hyphen keeps "key" out of "key-value".
    body = r"\s+".join(re.escape(part) for part in surface.split())
    left = r"(?<![A-Za-z0-9_-])" if surface[0].isascii() else ""
    right = r"(?![A-Za-z0-9_-])" if surface[-1].isascii() else ""
    return left + body + right


def render_list(terms: list[Term], language: str) -> str:
    """The glossary page's definition list."""
    other = "zh" if language == "en" else "en"
    # GB 18030 keeps the common characters in the order of their pinyin.
    order = sorted(terms, key=lambda t: t.name[language].lower().encode("gb18030"))
    rows = []
    for term in order:
        abbr = f' <span class="glossary-abbr">{escape(term.abbr)}</span>' if term.abbr else ""
        rows.append(
            f'<dt id="{escape(term.id)}"><strong>{escape(term.name[language])}</strong>'
            f' <span class="glossary-other" lang="{other}">{escape(term.name[other])}</span>'
            f"{abbr}</dt>\n<dd>{escape(term.definition[language])}</dd>"
        )
    return f"{GLOSSARY}\n" + "\n".join(rows) + "\n</dl>"


class Glossary(BookExtension):
    """The extension."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.terms = load()
        self.matcher = Matcher(self.terms, self.language)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        # After fences are taken out (25), before raw HTML is (20), whose anchors MkDocs reads.
        md.preprocessors.register(_List(md, self), "glossary", 24)
        # After everything else, so that links and headings are what they will be.
        md.treeprocessors.register(_Marks(md, self), "glossary", -10)
        md.postprocessors.register(_FirstMarks(md), "glossary", 0)


class _List(Preprocessor):
    """Writes the list where it belongs."""

    def __init__(self, md: Markdown, extension: Glossary) -> None:
        super().__init__(md)
        self.extension = extension

    def run(self, lines: list[str]) -> list[str]:
        html = render_list(self.extension.terms, self.extension.language)
        return [html if line == MARKER else line for line in lines]


class _Marks(Treeprocessor):
    """Marks every occurrence of a term in running text."""

    def __init__(self, md: Markdown, extension: Glossary) -> None:
        super().__init__(md)
        self.extension = extension

    def run(self, root: ET.Element) -> None:
        skipped = root.tag in SKIPPED_TAGS or SKIPPED_CLASSES & {*root.get("class", "").split()}
        if skipped or not isinstance(root.tag, str):  # a comment's tag is a function
            return
        children = list(root)
        root.text, root[:] = self._marked(root.text or "")
        for child in children:
            self.run(child)
            child.tail, marks = self._marked(child.tail or "")
            root.extend([child, *marks])

    def _marked(self, text: str) -> tuple[str, list[ET.Element]]:
        """A text up to its first mark, and the marks, each with the text up to the next."""
        head, marks = text, list[ET.Element]()
        for start, end, term in reversed(self._find(text)):
            title = term.definition[self.extension.language]
            mark = ET.Element("abbr", {"data-term": term.id, "title": title})
            mark.text, mark.tail, head = head[start:end], head[end:], head[:start]
            marks.insert(0, mark)
        return head, marks

    def _find(self, text: str) -> list[tuple[int, int, Term]]:
        """Where terms stand in a text, between what Markdown has put aside."""
        begins = [0, *(stashed.end() for stashed in STASHED.finditer(text))]
        pieces = STASHED.split(text)
        return [
            (begin + start, begin + end, term)
            for begin, piece in zip(begins, pieces, strict=True)
            for start, end, term in self.extension.matcher.find(piece)
        ]


class _FirstMarks(Postprocessor):
    """Keeps the first mark of each term on a page, and none on the page of the glossary.

    Only at the end: a docstring is converted before the text in front of it.
    """

    def run(self, text: str) -> str:
        if in_docstring(self.md):
            return text
        seen: set[str] = set()

        def first(match: re.Match[str]) -> str:
            if match["term"] in seen or GLOSSARY in text:
                return match["text"]
            seen.add(match["term"])
            return f'<abbr title="{match["title"]}">{match["text"]}</abbr>'

        return MARK.sub(first, text)


def makeExtension(**options: Any) -> Glossary:  # noqa: N802
    """What Markdown looks for in a module."""
    return Glossary(**options)
