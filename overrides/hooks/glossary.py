"""Glossary hook: hover tooltips on first use, and the glossary page's list.

`docs/glossary.yml` is the one source. On each page the first occurrence of a term becomes
`<abbr title="definition">`; the page that holds `<!-- glossary -->` gets the whole list instead.

The work is done on the page's HTML rather than on its Markdown, since only there is it plain
what is a heading, code, a link or a formula. Tooltips are put in after the search index has
been filled; the list before, so that a search finds it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import yaml
from mkdocs.exceptions import PluginError

MARKER = "<!-- glossary -->"
LANGUAGES = ("en", "zh")
SKIPPED_TAGS = frozenset(
    {
        "a",
        "abbr",
        "button",
        "cite",
        "code",
        "dt",
        "figcaption",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "kbd",
        "label",
        "math",
        "pre",
        "script",
        "style",
        "summary",
        "svg",
        "textarea",
    }
)
SKIPPED_CLASSES = frozenset({"admonition-title", "arithmatex", "highlight", "katex", "mermaid"})
VOID_TAGS = frozenset(
    {
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "source",
        "track",
        "wbr",
    }
)


@dataclass(frozen=True)
class Term:
    """One entry of the glossary."""

    id: str
    name: dict[str, str]
    definition: dict[str, str]
    abbr: str | None = None
    forms: dict[str, list[str]] = field(default_factory=dict)

    def surfaces(self, language: str) -> list[str]:
        """Every spelling that counts as this term on a page in `language`."""
        names = [self.name[language], *self.forms.get(language, [])]
        if self.abbr:
            names.append(self.abbr)
        return list(dict.fromkeys(names))


def parse(entries: Any, source: str = "glossary.yml") -> list[Term]:
    """Check the entries of a glossary and return them as terms.

    Raises:
        PluginError: With every fault found, each naming its entry and what was expected.
    """
    if not isinstance(entries, list):
        raise PluginError(f"{source}: expected a list of entries, got {type(entries).__name__}")
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
        forms = entry.get("forms") or {}
        if not isinstance(forms, dict) or not all(
            key in LANGUAGES and isinstance(value, list) and all(map(_is_text, value))
            for key, value in forms.items()
        ):
            faults.append(f"{where}: forms must map en, zh to lists of text, got {forms!r}")
            forms = {}
        abbr = entry.get("abbr")
        if abbr is not None and not _is_text(abbr):
            faults.append(f"{where}: abbr must be text, got {abbr!r}")
            abbr = None
        terms.append(Term(entry["id"], {k: entry[k] for k in LANGUAGES}, definition, abbr, forms))
    faults += _duplicates(terms)
    if faults:
        raise PluginError(f"{source}:\n  " + "\n  ".join(faults))
    return terms


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
        """Start, end and term of each occurrence in `text` (HTML-escaped, no tags)."""
        found = []
        for match in self.regex.finditer(text):
            surface = " ".join(match[0].replace("&amp;", "&").split())
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
    body = r"\s+".join(re.escape(escape(part, quote=False)) for part in surface.split())
    left = r"(?<![A-Za-z0-9_-])" if surface[0].isascii() else ""
    right = r"(?![A-Za-z0-9_-])" if surface[-1].isascii() else ""
    return left + body + right


class _TextFinder(HTMLParser):
    """Collects the pieces of running text of a page, with their places in the source."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=False)
        self.pieces: list[tuple[int, str]] = []
        self._open: list[tuple[str, bool]] = []  # tag, and whether its text is skipped
        self._lines = [0, *(m.end() for m in re.finditer("\n", html))]
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID_TAGS:
            classes = set((dict(attrs).get("class") or "").split())
            skipped = tag in SKIPPED_TAGS or bool(classes & SKIPPED_CLASSES)
            self._open.append((tag, skipped or bool(self._open and self._open[-1][1])))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """`<path/>` opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self._open) - 1, -1, -1):
            if self._open[depth][0] == tag:
                del self._open[depth:]
                break

    def handle_data(self, data: str) -> None:
        if not (self._open and self._open[-1][1]):
            line, column = self.getpos()
            self.pieces.append((self._lines[line - 1] + column, data))


def add_tooltips(html: str, matcher: Matcher, language: str) -> str:
    """Mark the first occurrence of each term in the running text of `html`."""
    seen: set[str] = set()
    result, done = [], 0
    for offset, text in _TextFinder(html).pieces:
        for start, end, term in matcher.find(text):
            if term.id in seen:
                continue
            seen.add(term.id)
            title = escape(term.definition[language], quote=True)
            result += [html[done : offset + start], f'<abbr title="{title}">']
            result += [text[start:end], "</abbr>"]
            done = offset + end
    return "".join([*result, html[done:]])


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
    return '<dl class="glossary">\n' + "\n".join(rows) + "\n</dl>"


# -- MkDocs events ---------------------------------------------------------------------------

_terms: list[Term] = []
_language = "en"
_matcher = Matcher([], "en")
_list_pages: set[str] = set()


def on_config(config: Any) -> Any:
    global _terms, _language, _matcher
    if "lang" not in config.extra:
        return config  # the root of the site, which has no pages
    _language = str(config.extra["lang"])
    path = Path(config.config_file_path).parent / "docs" / "glossary.yml"
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PluginError("docs/glossary.yml: not found; the glossary hook needs it") from None
    except yaml.YAMLError as error:
        raise PluginError(f"docs/glossary.yml: {error}") from None
    _terms = parse(entries, "docs/glossary.yml")
    _matcher = Matcher(_terms, _language) if _language in LANGUAGES else Matcher([], "en")
    _list_pages.clear()
    return config


def on_serve(server: Any, config: Any, builder: Any) -> Any:
    server.watch(str(Path(config.config_file_path).parent / "docs" / "glossary.yml"))
    return server


def on_page_content(html: str, page: Any, **_: Any) -> str:
    if MARKER in html:  # inside code it would be escaped
        html = html.replace(MARKER, render_list(_terms, _language))
        page.present_anchor_ids = (page.present_anchor_ids or set()) | {t.id for t in _terms}
        _list_pages.add(page.file.src_uri)
    return html


def on_page_context(context: Any, page: Any, **_: Any) -> Any:
    # Hooks run after the plugins, so the search index has its text by now.
    if page.file.src_uri not in _list_pages:
        page.content = add_tooltips(page.content, _matcher, _language)
    return context
