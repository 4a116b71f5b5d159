"""Citations hook: `[@key, §3.2]` becomes an author–year link into the list of references.

`docs/references.bib` is the one source, read by pybtex. The marks are taken by a Markdown inline
processor, so that code, at any indentation, is left alone by Markdown itself; docstrings may
cite too. `<!-- sources -->` lists what its page cites, `<!-- references -->` lists everything
and links back to the pages that cite it.
"""

from __future__ import annotations

import posixpath
import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.utils import get_relative_url
from pybtex.database import BibliographyData, Entry, Person, parse_file
from pybtex.exceptions import PybtexError
from pybtex.richtext import Text

from places import place

REFERENCES_PAGE = "appendix/references.md"
SOURCES_MARKER = "<!-- sources -->"
REFERENCES_MARKER = "<!-- references -->"
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
        raise PluginError(f"docs/references.bib: {key}: missing {', '.join(missing)}")
    fields = entry.fields
    authors, surnames = [_full_name(p) for p in people], [_surname(p) for p in people]
    title = _plain(fields["title"])
    return Work(key, authors, surnames, fields["year"], title, _venue(fields), _url(fields))


def load(path: Path) -> dict[str, Work]:
    """Read a bibliography; two works alike in author and year get suffixes a, b, …"""
    try:
        data: BibliographyData = parse_file(str(path), bib_format="bibtex")
    except (PybtexError, OSError) as error:
        raise PluginError(f"docs/references.bib: {error}") from None
    works = {key: _work(key, entry) for key, entry in data.entries.items()}
    alike: dict[str, list[Work]] = defaultdict(list)
    for work in works.values():
        alike[work.label(WORDS["en"])].append(work)
    for group in alike.values():
        if len(group) > 1:
            for letter, work in zip("abcdefghijklmnopqrstuvwxyz", group, strict=False):
                work.suffix = letter
    return works


@dataclass
class _State:
    works: dict[str, Work] = field(default_factory=dict)
    words: Words = WORDS["en"]
    page: Any = None
    target: Any = None  # the File of the references page
    cited: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # page: keys
    with_references: list[Any] = field(default_factory=list)


_state = _State()


class _CitationProcessor(InlineProcessor):
    def handleMatch(  # type: ignore[override]  # noqa: N802
        self, m: re.Match[str], data: str
    ) -> tuple[ET.Element, int, int]:
        words, page = _state.words, _state.page
        where = page.file.src_uri
        root = ET.Element("span", {"class": "citation"})
        root.text = words.open
        for item in re.split(r"[;；]", m[1]):
            parsed = ITEM.fullmatch(item.strip())
            if not parsed:
                raise PluginError(
                    f"{place(page, m[0])}: {m[0]}: expected [@key, locator; @key], got {item!r}"
                )
            key, locator = parsed.groups()
            work = _state.works.get(key)
            if work is None:
                raise PluginError(
                    f"{place(page, m[0])}: {m[0]}: no entry {key!r} in docs/references.bib"
                )
            if key not in (keys := _state.cited[where]):
                keys.append(key)
            if len(root):
                root[-1].tail = words.semicolon
            link = ET.SubElement(root, "a", href=self._href(key), title=work.title)
            link.text = work.label(words) + (words.comma + locator if locator else "")
        root[-1].tail = words.close
        return root, m.start(0), m.end(0)

    def _href(self, key: str) -> str:
        page, target = _state.page, _state.target
        if target is None or page is None:
            return f"#{key}"
        if "relpath" in self.md.treeprocessors:  # MkDocs resolves and checks the link itself
            start = posixpath.dirname(page.file.src_uri) or "."
            return posixpath.relpath(target.src_uri, start) + f"#{key}"
        return _link(key)  # in a docstring nobody does


class _CitationExtension(Extension):
    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        # After code (190) and escapes (180), before links (170 and less).
        md.inlinePatterns.register(_CitationProcessor(CITATION, md), "citation", 175)


def _link(key: str) -> str:
    return get_relative_url(_state.target.url, _state.page.url) + f"#{key}"


def _by_author(works: list[Work]) -> list[Work]:
    return sorted(works, key=lambda w: ([s.casefold() for s in w.surnames], w.year, w.suffix))


def _sources_html(keys: list[str]) -> str:
    words = _state.words
    rows = []
    for work in _by_author([_state.works[key] for key in keys]):
        rows.append(f'<li><a href="{_link(work.key)}">{escape(work.label(words))}</a>'
                    f"{words.stop.rstrip()} <cite>{escape(work.title)}</cite></li>")  # fmt: skip
    return '<ul class="sources">\n' + "\n".join(rows) + "\n</ul>"


def _references_html(page: Any, pages: dict[str, Any]) -> str:
    words = _state.words
    rows = []
    for work in _by_author(list(_state.works.values())):
        back = [
            f'<a href="{get_relative_url(other.url, page.url)}">{escape(str(other.title))}</a>'
            for uri, other in pages.items()
            if work.key in _state.cited.get(uri, [])
        ]
        note = f'<br><small class="cited-in">{words.cited_in}{words.names.join(back)}</small>'
        rows.append(
            f'<li id="{escape(work.key)}">{work.entry_html(words)}{note if back else ""}</li>'
        )
    return '<ul class="references">\n' + "\n".join(rows) + "\n</ul>"


# -- MkDocs events ---------------------------------------------------------------------------


@event_priority(100)  # before mkdocstrings takes its copy of the extensions
def on_config(config: Any) -> Any:
    global _state
    if "lang" not in config.extra:
        return config  # the root of the site, which has no pages
    language = str(config.extra["lang"])
    _state = _State(words=WORDS.get(language, WORDS["en"]))
    _state.works = load(Path(config.config_file_path).parent / "docs" / "references.bib")
    config.markdown_extensions.append(_CitationExtension())
    return config


def on_serve(server: Any, config: Any, builder: Any) -> Any:
    server.watch(str(Path(config.config_file_path).parent / "docs" / "references.bib"))
    return server


def on_files(files: Any, config: Any) -> Any:
    _state.target = files.get_file_from_path(REFERENCES_PAGE)
    _state.cited.clear()
    _state.with_references.clear()
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    _state.page = page
    _state.cited.pop(page.file.src_uri, None)  # of an earlier build of this page alone
    return markdown


def on_page_content(html: str, page: Any, **_: Any) -> str:
    keys = _state.cited.get(page.file.src_uri, [])
    if keys and _state.target is None:
        raise PluginError(f"{place(page, keys[0])}: {REFERENCES_PAGE} is missing")
    if SOURCES_MARKER in html:
        if not keys:
            marker = place(page, SOURCES_MARKER)
            raise PluginError(f"{marker}: {SOURCES_MARKER}, but the page cites nothing")
        html = html.replace(SOURCES_MARKER, _sources_html(keys))
    if REFERENCES_MARKER in html:
        page.present_anchor_ids = (page.present_anchor_ids or set()) | set(_state.works)
        _state.with_references.append(page)
    return html


def on_env(env: Any, config: Any, files: Any) -> Any:
    # Now every page has been rendered, so who cites what is known.
    pages = {f.src_uri: f.page for f in files.documentation_pages() if f.page is not None}
    for page in _state.with_references:
        page.content = page.content.replace(REFERENCES_MARKER, _references_html(page, pages))
    return env
