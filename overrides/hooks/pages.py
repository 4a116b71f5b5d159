"""Hands the pages to the book's own Markdown extensions, and finishes them after the search.

What the extensions cannot know of a page alone is added here: the pages that cite a work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

from extensions import citations, diagrams, figures, formulas, glossary, prompt, tolerance
from extensions.base import BookExtension, Page

MODULES = (glossary, citations, figures, diagrams, formulas, tolerance, prompt)


@event_priority(100)  # before mkdocstrings takes its copy of the extensions
def on_config(config: MkDocsConfig) -> None:
    """Add the extensions; the root of the site has no pages."""
    if language := config.extra.get("lang"):
        made: Any = [module.makeExtension(language=language, finish=False) for module in MODULES]
        config.markdown_extensions += made


def on_env(env: Any, *, config: MkDocsConfig, files: Files) -> Any:
    """Every page has been converted, so who cites what is known."""
    pages = files.documentation_pages()
    titles = {_page(file): str(file.page.title) for file in pages if file.page}
    references = files.get_file_from_path(citations.REFERENCES_PAGE)
    if references and references.page:
        [extension] = (e for e in _extensions(config) if isinstance(e, citations.Citations))
        html = references.page.content or ""
        references.page.content = extension.with_backlinks(html, _page(references), titles)
    return env


def on_page_context(context: Any, *, page: Any, config: MkDocsConfig, **_: Any) -> Any:
    """Finish a page. Hooks run after the plugins, so that the search has its text by now."""
    for extension in _extensions(config):
        page.content = extension.finish(page.content, _page(page.file))
    return context


def _extensions(config: MkDocsConfig) -> list[BookExtension]:
    listed: list[Any] = config.markdown_extensions  # of names and, by us, of extensions
    return [each for each in listed if isinstance(each, BookExtension)]


def _page(file: File) -> Page:
    return Page(Path(str(file.abs_src_path)), file.src_uri, file.url)
