"""Figures hook: one SVG a figure and language, inlined so that it follows the theme.

`docs/assets/figures/<lang>/x.svg` becomes `assets/figures/x.svg` of that language's site, and
each `<img>` of it becomes the drawing itself: its palette colours turn into the CSS variables
that `docs/assets/styles/figures.css` defines for light and dark, and its text takes the font
of the page.
"""

from __future__ import annotations

import logging
import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from places import place

log = logging.getLogger("mkdocs.hooks.figures")

IMAGE = re.compile(r"<img\b(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
SOURCE = re.compile(r"(?:^|/)assets/figures/([^/?#]+\.svg)$")
VARIABLE = re.compile(r"(--figure-[\w-]+)\s*:\s*(#[0-9a-fA-F]{6})\b")


def read_palette(css: str) -> dict[str, str]:
    """The light theme's colours, `{"#1f2430": "--figure-ink", …}`, from the `:root` rule."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    root = re.search(r":root[^{}]*\{([^}]*)\}", css)
    pairs = VARIABLE.findall(root[1]) if root else []
    if not pairs:
        raise PluginError("docs/assets/styles/figures.css: no --figure-…: #rrggbb under :root")
    return {value.lower(): name for name, value in pairs}


def inline(svg: str, *, alt: str, prefix: str, palette: dict[str, str]) -> str:
    """Make the text of an SVG file fit to stand inside a page.

    Args:
        svg: The file's text.
        alt: What a screen reader says in its place.
        prefix: Put before every id, so that two figures of a page do not share one.
        palette: Hex colours and the CSS variables that take their place.
    """
    svg = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # matplotlib's own rule for `*` would reach the whole page; the root can hand it down.
    rules = re.findall(r"<style[^>]*>\s*\*\s*\{([^{}]*)\}\s*</style>", svg)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*</defs>", "", svg)

    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', svg)
    svg = re.sub(r'\b((?:xlink:)?href)="#', rf'\1="#{prefix}', svg)
    svg = re.sub(r"url\(\s*['\"]?#", f"url(#{prefix}", svg)
    svg = re.sub(
        r"#[0-9a-fA-F]{6}(?![0-9a-zA-Z_-])",
        lambda m: f"var({palette[m[0].lower()]})" if m[0].lower() in palette else m[0],
        svg,
    )
    svg = re.sub(r"font-family:\s*(?:[^;\"']|'[^']*')*;?\s*", "", svg)
    svg = re.sub(r'\sfont-family="[^"]*"', "", svg)

    opening = re.search(r"<svg\b[^>]*>", svg)
    if not opening or not (box := re.search(r'viewBox="([^"]+)"', opening[0])):
        raise ValueError("expected an <svg> element with a viewBox")
    width = re.search(r'\bwidth="([^"]+)"', opening[0])
    style = "; ".join(["height: auto; max-width: 100%", *(rule.strip() for rule in rules)])
    root = (
        f'<svg class="figure" role="img" aria-label="{escape(alt)}" viewBox="{box[1]}"'
        f"{f' width={chr(34)}{width[1]}{chr(34)}' if width else ''}"
        ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' style="{style}">'
    )
    return (root + svg[opening.end() :]).strip()


class _Attributes(HTMLParser):
    """The attributes of a single tag."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.feed(tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.values = {name: value or "" for name, value in attrs}


# -- MkDocs events ---------------------------------------------------------------------------

_palette: dict[str, str] = {}
_folder = Path()


def on_config(config: Any) -> Any:
    global _palette, _folder
    language = str(config.extra.get("lang") or config.theme["language"])
    assets = Path(config.config_file_path).parent / "docs" / "assets"
    try:
        css = (assets / "styles" / "figures.css").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PluginError("docs/assets/styles/figures.css: not found; figures need it") from None
    _palette = read_palette(css)
    _folder = assets / "figures" / language
    return config


def on_serve(server: Any, config: Any, builder: Any) -> Any:
    if _folder.is_dir():
        server.watch(str(_folder))
    return server


def on_files(files: Any, config: Any) -> Any:
    for path in sorted(_folder.glob("*.svg")):
        uri = f"assets/figures/{path.name}"
        if (old := files.get_file_from_path(uri)) is not None:
            files.remove(old)
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_post_page(output: str, page: Any, config: Any) -> str:
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        attributes = _Attributes(match[0]).values
        source = SOURCE.search(attributes.get("src", ""))
        if not source:
            return match[0]
        path = _folder / source[1]
        if not path.is_file():
            log.warning(
                "%s: figure %s: expected docs/assets/figures/%s/%s (run `make outputs`)",
                place(page, source[0]), source[1], _folder.name, source[1],
            )  # fmt: skip
            return match[0]
        count += 1
        try:
            return inline(
                path.read_text(encoding="utf-8"),
                alt=attributes.get("alt", ""),
                prefix=f"figure-{count}-",
                palette=_palette,
            )
        except ValueError as error:
            raise PluginError(f"{place(page, source[0])}: figure {source[1]}: {error}") from None

    return IMAGE.sub(replace, output)
