"""The list of all pages on the home page, made from the navigation, so that it is never stale.

Each page is named as in the navigation and told in the words of its own ``description``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.utils.meta import get_data

MARKER = "<!-- contents -->"


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Put the list in place of its marker."""
    if MARKER not in markdown:
        return markdown
    return markdown.replace(MARKER, contents(config, page.file.src_uri))


def contents(config: Any, home: str) -> str:
    """The pages of the navigation, part by part, as Markdown, without the home page."""
    parts = []
    for part in config.nav:
        [(title, entries)] = part.items()
        lines = [*_entries(entries, config, home)]
        parts.append("\n".join([f"**{title}**", "", *lines, ""]))
    return "\n".join(parts)


def _entries(entries: list[Any], config: Any, home: str) -> Iterator[str]:
    for entry in entries:
        if entry == home:
            continue
        if not isinstance(entry, dict):
            raise PluginError(f"nav: {entry} must have a title, as the list of pages shows it")
        [(title, target)] = entry.items()
        if isinstance(target, list):  # a part of a part: its names are enough
            colon, comma = ("：", "、") if config.extra["lang"] == "zh" else (": ", ", ")
            links = (f"[{name}]({uri})" for each in target for name, uri in each.items())
            yield f"- {title}{colon}{comma.join(links)}"
        else:
            page = Path(config.docs_dir, target)
            _, meta = get_data(page.read_text(encoding="utf-8-sig"))
            if not meta.get("description"):
                raise PluginError(f"{target}: a description is needed, for the list of pages")
            yield f"- [{title}]({target}){{ .page-title }}<br>{meta['description']}"
