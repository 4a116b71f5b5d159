"""What the extensions share: the page at hand, where a fault stands, and finishing a page.

Some of them can do their work only on the finished HTML of a page, and best after a search has
read it: a formula is found by its TeX, not by what it is drawn as. Those have a `finish`, called
at the end of the conversion or, with the option ``finish: False``, by whoever builds the site.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown import Extension, Markdown
from markdown.postprocessors import Postprocessor

try:  # MkDocs ends a build with the words of this kind of error alone, without a traceback
    from mkdocs.exceptions import PluginError as _BuildError
except ImportError:
    _BuildError = ValueError  # type: ignore[assignment,misc]

ROOT = Path(__file__).parents[3]


class PageError(_BuildError):
    """Something on a page is wrong: the build must end."""


@dataclass(frozen=True)
class Page:
    """A page that is being built."""

    path: Path  # its Markdown
    uri: str  # of the Markdown, below the folder of its language: attention/positions.md
    url: str  # of the page, likewise: attention/positions/

    def place(self, text: str) -> str:
        """File and line, `docs/en/attention/positions.md:12`, of a text as its author wrote it.

        A page of the API reference shows docstrings: the text may stand in the package instead.
        Where it is not found, for example because Markdown has changed it, the page stands without
        a line.
        """
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        for path in (self.path, *sorted((ROOT / "llmbook").rglob("*.py"))):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if first and first in line:
                    return f"{_short(path)}:{number}"
        return _short(self.path)

    def link(self, url: str) -> str:
        """The address of another page, as seen from this one."""
        return posixpath.relpath(url, self.url or ".") + "/"


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def page_of(md: Markdown, language: str) -> Page:
    """The page that a Markdown converts, or a docstring that the page shows.

    MkDocs and Zensical each tell the page to a processor of their own.

    Raises:
        LookupError: If neither has.
    """
    if "relpath" in md.treeprocessors:
        file: Any = md.treeprocessors["relpath"]
        return Page(Path(file.file.abs_src_path), file.file.src_uri, file.file.url)
    for processor in md.preprocessors:
        if page := getattr(processor, "page", None):
            return Page(ROOT / "docs" / language / page.path, page.path, page.url)
    raise LookupError("the extensions of the book are for MkDocs and Zensical")


def in_docstring(md: Markdown) -> bool:
    """Whether a Markdown converts a docstring, on its way into a page; known when it does so."""
    return "mkdocstrings_ids" in md.treeprocessors


class BookExtension(Extension):
    """An extension that knows the language of the pages and may finish their HTML."""

    def __init__(self, **options: Any) -> None:
        self.config = {
            "language": ["en", "the language of the pages, en or zh"],
            "finish": [True, "whether to finish pages; False: it is done after the conversion"],
        }
        super().__init__(**options)
        self.language: str = self.getConfig("language")

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        if self.getConfig("finish"):
            md.postprocessors.register(_Finisher(md, self), type(self).__name__, -100)

    def finish(self, html: str, page: Page) -> str:
        """Change the HTML of a page; left as it is by those who do their work before."""
        return html


class _Finisher(Postprocessor):
    def __init__(self, md: Markdown, extension: BookExtension) -> None:
        super().__init__(md)
        self.extension = extension

    def run(self, text: str) -> str:
        if in_docstring(self.md):  # it will be a part of a page
            return text
        return self.extension.finish(text, page_of(self.md, self.extension.language))
