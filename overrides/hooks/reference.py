"""The API reference: a page for each room of the package, made from `docs/reference.yml`.

The pages are written to `.cache/reference/`, so that every other hook meets them as files like any
other, and take the place of `appendix/api` in the navigation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

FOLDER = "appendix/api"
# How a page is described; the sentence on the pages that explain it, one or several; their list.
TEXTS = {
    "en": {
        "description": "Reference of {0}: {1}.",
        "one": "The code of the page {0}.",
        "several": "The code of the pages {0}.",
        "comma": ", ",
        "and": " and ",
    },
    "zh": {
        "description": "{0} 的参考：{1}。",
        "one": "{0}一页的代码。说明文字写在代码里，用英文。",
        "several": "{0}几页的代码。说明文字写在代码里，用英文。",
        "comma": "、",
        "and": "和",
    },
}


def on_config(config: Any) -> None:
    """Put the pages into the navigation."""
    if "lang" in config.extra:
        root = Path(config.config_file_path).parent
        pages = [{room: f"{FOLDER}/{room}.md"} for room in rooms(root)]
        if not fill(config.nav, pages):
            raise PluginError(f"nav: {FOLDER} must be the place of the API reference")


def fill(entries: Any, pages: list[dict[str, str]]) -> bool:
    """Put the pages in place of the folder; whether it was there."""
    found = False
    for entry in entries:
        for title, target in entry.items() if isinstance(entry, dict) else ():
            if target == FOLDER:
                entry[title], found = pages, True
            elif isinstance(target, list):
                found = fill(target, pages) or found
    return found


def on_files(files: Files, *, config: Any) -> Files:
    """Write the pages, and add them to the others."""
    if "lang" not in config.extra:
        return files
    root = Path(config.config_file_path).parent
    language = config.extra["lang"]
    folder = root / ".cache" / "reference" / language
    titles = dict(titles_of(config.nav))
    for room, facts in rooms(root).items():
        uri = f"{FOLDER}/{room}.md"
        path, text = folder / uri, page(room, facts, language, titles)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Only what changed: `serve` looks at the times of files.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        files.append(File(uri, str(folder), config.site_dir, config.use_directory_urls))
    return files


def rooms(root: Path) -> dict[str, dict[str, Any]]:
    """What `docs/reference.yml` tells of each room."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(
        (root / "docs" / "reference.yml").read_text(encoding="utf-8")
    )
    return found


def modules(room: str, facts: dict[str, Any]) -> list[str]:
    """The modules that the page of a room documents, with their full names."""
    inner = facts.get("modules")
    return [f"llmbook.{room}.{name}" for name in inner] if inner else [f"llmbook.{room}"]


def page(room: str, facts: dict[str, Any], language: str, titles: dict[str, str]) -> str:
    """The page of a room, as Markdown."""
    texts = TEXTS[language]
    links = [f"[{titles[uri.partition('#')[0]]}](../../{uri})" for uri in facts["of"]]
    lines = [
        "---",
        'description: "' + texts["description"].format(f"llmbook.{room}", facts[language]) + '"',
        "search: {boost: 0.5}",  # who looks for a subject looks for the page that explains it
        "---",
        "",
        f"# llmbook.{room} {{ #api-{room} }}",
    ]
    if links:
        listed = texts["and"].join(filter(None, [texts["comma"].join(links[:-1]), links[-1]]))
        lines += ["", texts["several" if len(links) > 1 else "one"].format(listed)]
    for module in modules(room, facts):
        if facts.get("modules"):
            anchor = f"api-{module.removeprefix('llmbook.').replace('.', '-').replace('_', '-')}"
            lines += ["", f"## {module} {{ #{anchor} }}"]
            lines += ["", f"::: {module}", "    options: {heading_level: 3}"]
        else:
            lines += ["", f"::: {module}"]
    return "\n".join(lines) + "\n"


def titles_of(entries: Any) -> Iterator[tuple[str, str]]:
    """Each page of a navigation, and its title there."""
    for entry in entries:
        for title, target in entry.items() if isinstance(entry, dict) else ():
            if isinstance(target, list):
                yield from titles_of(target)
            else:
                yield target, title
