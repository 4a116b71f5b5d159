"""Citations: `[@key, §3.2]` becomes an author–year link into the list of references.

`docs/references.bib` is the one source, read by pybtex. The marks are taken by an inline
processor, so that code, at any indentation, is left alone by Markdown itself; docstrings may
cite too. `<!-- sources -->` lists what its page cites. `<!-- references -->`, on a line of its own,
lists everything; the pages that cite a work can be added behind its `<!-- cited: key -->`, by
whoever knows all pages (`with_backlinks`).
"""

from __future__ import annotations

import posixpath
import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from markdown import Markdown
from markdown.inlinepatterns import InlineProcessor
from markdown.postprocessors import Postprocessor
from markdown.preprocessors import Preprocessor
from pybtex.database import BibliographyData, Entry, Person, parse_file
from pybtex.exceptions import PybtexError
from pybtex.richtext import Text

from extensions.base import ROOT, BookExtension, Page, PageError, in_docstring, page_of

REFERENCES_PAGE = "appendix/references.md"
SOURCES_MARKER = "<!-- sources -->"
REFERENCES_MARKER = "<!-- references -->"
CITED = re.compile(r"<!-- cited: (\S+) -->")
CITATION = r"\[(@[^\[\]]+)\](?![(\[])"
ITEM = re.compile(r"@([A-Za-z0-9][\w:./+-]*)\s*(?:[,，]\s*(.+))?")


@dataclass(frozen=True)
class Words:
    """What differs between the languages in a citation and an entry."""

    open: str
    close: str
    comma: str
    semicolon: str
    pair: str  # between two authors
    others: str  # after the first of three or more
    names: str  # between the authors of a full entry
    stop: str
    cited_in: str


WORDS = {
    "en": Words("(", ")", ", ", "; ", " and ", " et al.", ", ", ". ", "Cited in: "),
    "zh": Words("（", "）", "，", "；", " 和 ", " 等", "，", "。", "引用于："),
}


@dataclass
class Work:
    """One entry of the bibliography, ready to be shown."""

    key: str
    authors: list[str]
    surnames: list[str]
    year: str
    title: str
    venue: str
    url: str
    suffix: str = ""  # the a in 2017a, where author and year do not tell two works apart

    def label(self, words: Words) -> str:
        """The author–year label, without brackets."""
        names = self.surnames
        who = names[0] + words.others if len(names) > 2 else words.pair.join(names)
        return f"{who}{words.comma}{self.year}{self.suffix}"

    def entry_html(self, words: Words) -> str:
        """The full entry: authors, year, title, venue, link."""
        shown = self.authors if len(self.authors) <= 12 else [*self.authors[:10], "…"]
        parts = [f"{escape(words.names.join(shown))}", f"{escape(self.year + self.suffix)}"]
        parts.append(f"<cite>{escape(self.title)}</cite>")
        if self.venue:
            parts.append(escape(self.venue))
        text = words.stop.join(parts) + words.stop.rstrip()
        if self.url:
            text += f' <a href="{escape(self.url)}">{escape(_short_url(self.url))}</a>'
        return text


def _short_url(url: str) -> str:
    if match := re.match(r"https?://arxiv\.org/abs/(.+)", url):
        return f"arXiv:{match[1]}"
    if match := re.match(r"https?://(?:dx\.)?doi\.org/(.+)", url):
        return f"doi:{match[1]}"
    return re.sub(r"^https?://(www\.)?", "", url).rstrip("/")


def _plain(tex: str) -> str:
    return re.sub(r"\s+", " ", str(Text.from_latex(tex))).strip()


def _surname(person: Person) -> str:
    return _plain(" ".join([*person.prelast_names, *person.last_names]))


def _full_name(person: Person) -> str:
    parts = [*person.first_names, *person.middle_names, *person.prelast_names]
    return _plain(" ".join([*parts, *person.last_names, *person.lineage_names]))


def _url(fields: Any) -> str:
    if url := fields.get("url"):
        return str(url)
    if doi := fields.get("doi"):
        return f"https://doi.org/{doi}"
    if eprint := fields.get("eprint"):
        return f"https://arxiv.org/abs/{eprint}"
    return ""


def _venue(fields: Any) -> str:
    for name in ("journal", "booktitle", "howpublished", "publisher", "school", "institution"):
        if value := fields.get(name):
            venue = _plain(value)
            break
    else:
        venue = "arXiv" if fields.get("eprint") else ""
    if name == "journal" and (volume := fields.get("volume")):
        number = f"({_plain(fields['number'])})" if fields.get("number") else ""
        venue += f" {_plain(volume)}{number}"
    if pages := fields.get("pages"):
        venue += ", " + re.sub(r"-+", "–", _plain(pages))
    return venue


def _work(key: str, entry: Entry) -> Work:
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    missing = [name for name in ("title", "year") if not entry.fields.get(name)]
    if not people:
        missing.insert(0, "author or editor")
    if missing:
        raise PageError(f"docs/references.bib: {key}: missing {', '.join(missing)}")
    fields = entry.fields
    authors, surnames = [_full_name(p) for p in people], [_surname(p) for p in people]
    title = _plain(fields["title"])
    return Work(key, authors, surnames, fields["year"], title, _venue(fields), _url(fields))


def load(path: Path) -> dict[str, Work]:
    """Read a bibliography; two works alike in author and year get suffixes a, b, …"""
    try:
        data: BibliographyData = parse_file(str(path), bib_format="bibtex")
    except (PybtexError, OSError) as error:
        raise PageError(f"docs/references.bib: {error}") from None
    works = {key: _work(key, entry) for key, entry in data.entries.items()}
    alike: dict[str, list[Work]] = defaultdict(list)
    for work in works.values():
        alike[work.label(WORDS["en"])].append(work)
    for group in alike.values():
        if len(group) > 1:
            for letter, work in zip("abcdefghijklmnopqrstuvwxyz", group, strict=False):
                work.suffix = letter
    return works


class Citations(BookExtension):
    """The extension; `cited` tells what each page converted so far cites."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.works = load(ROOT / "docs" / "references.bib")
        self.words = WORDS[self.language]
        self.cited: dict[str, list[str]] = defaultdict(list)  # page: keys

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        # After code (190) and escapes (180), before links (170 and less).
        md.inlinePatterns.register(_Mark(CITATION, md, self), "citation", 175)
        # After fences are taken out (25), before raw HTML is (20), whose anchors MkDocs reads.
        md.preprocessors.register(_Begin(md, self), "citations_begin", 24)
        md.postprocessors.register(_Sources(md, self), "sources", 0)

    def references_html(self) -> str:
        """The list of all works."""
        rows = [
            f'<li id="{escape(work.key)}">{work.entry_html(self.words)}'
            f"<!-- cited: {work.key} --></li>"
            for work in _by_author([*self.works.values()])
        ]
        return '<ul class="references">\n' + "\n".join(rows) + "\n</ul>"

    def sources_html(self, page: Page) -> str:
        """The list of the works that a page cites.

        Raises:
            PageError: If it cites none.
        """
        if not self.cited[page.uri]:
            marker = page.place(SOURCES_MARKER)
            raise PageError(f"{marker}: {SOURCES_MARKER}, but the page cites nothing")
        stop, to = self.words.stop.rstrip(), page.link(REFERENCES_PAGE.removesuffix(".md"))
        rows = [
            f'<li><a href="{to}#{work.key}">{escape(work.label(self.words))}</a>{stop}'
            f" <cite>{escape(work.title)}</cite></li>"
            for work in _by_author([self.works[key] for key in self.cited[page.uri]])
        ]
        return '<ul class="sources">\n' + "\n".join(rows) + "\n</ul>"

    def with_backlinks(self, html: str, page: Page, titles: Mapping[Page, str]) -> str:
        """The page of the references, with links from each work to the pages that cite it.

        Args:
            html: The page.
            page: Which page it is.
            titles: Every page with its title, in the order in which they are to be named.
        """

        def back(match: re.Match[str]) -> str:
            links = [
                f'<a href="{page.link(other.url)}">{escape(title)}</a>'
                for other, title in titles.items()
                if match[1] in self.cited.get(other.uri, ())
            ]
            note = f"{self.words.cited_in}{self.words.names.join(links)}"
            return f'<br><small class="cited-in">{note}</small>' if links else ""

        return CITED.sub(back, html)


class _Begin(Preprocessor):
    """Forgets what an earlier conversion of the page found, and writes the references."""

    def __init__(self, md: Markdown, extension: Citations) -> None:
        super().__init__(md)
        self.extension = extension

    def run(self, lines: list[str]) -> list[str]:
        if in_docstring(self.md):
            return lines
        self.extension.cited.pop(page_of(self.md, self.extension.language).uri, None)
        return [
            self.extension.references_html() if line == REFERENCES_MARKER else line
            for line in lines
        ]


class _Mark(InlineProcessor):
    """Makes a mark a group of links."""

    def __init__(self, pattern: str, md: Markdown, extension: Citations) -> None:
        super().__init__(pattern, md)
        self.extension = extension

    def handleMatch(  # type: ignore[override]  # noqa: N802
        self, m: re.Match[str], data: str
    ) -> tuple[ET.Element, int, int]:
        words, page = self.extension.words, page_of(self.md, self.extension.language)
        # Whoever builds the site resolves and checks the link, as one that an author wrote.
        to = posixpath.relpath(REFERENCES_PAGE, posixpath.dirname(page.uri) or ".")
        root = ET.Element("span", {"class": "citation"})
        root.text = words.open
        for item in re.split(r"[;；]", m[1]):
            parsed = ITEM.fullmatch(item.strip())
            if not parsed:
                raise PageError(
                    f"{page.place(m[0])}: {m[0]}: expected [@key, locator; @key], got {item!r}"
                )
            key, locator = parsed.groups()
            work = self.extension.works.get(key)
            if work is None:
                raise PageError(
                    f"{page.place(m[0])}: {m[0]}: no entry {key!r} in docs/references.bib"
                )
            if key not in (keys := self.extension.cited[page.uri]):
                keys.append(key)
            if len(root):
                root[-1].tail = words.semicolon
            link = ET.SubElement(root, "a", href=f"{to}#{key}", title=work.title)
            link.text = work.label(words) + (words.comma + locator if locator else "")
        root[-1].tail = words.close
        return root, m.start(0), m.end(0)


class _Sources(Postprocessor):
    """Writes what the page cites, when all of it has been converted."""

    def __init__(self, md: Markdown, extension: Citations) -> None:
        super().__init__(md)
        self.extension = extension

    def run(self, text: str) -> str:
        if SOURCES_MARKER not in text:  # inside code it would be escaped
            return text
        page = page_of(self.md, self.extension.language)
        return text.replace(SOURCES_MARKER, self.extension.sources_html(page))


def _by_author(works: list[Work]) -> list[Work]:
    return sorted(works, key=lambda w: ([s.casefold() for s in w.surnames], w.year, w.suffix))


def makeExtension(**options: Any) -> Citations:  # noqa: N802
    """What Markdown looks for in a module."""
    return Citations(**options)
