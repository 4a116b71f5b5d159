"""Figures: one SVG a figure and language, inlined so that it follows the theme.

Each `<img>` of `assets/figures/x.svg` becomes the drawing itself, as `docs/assets/figures/<lang>/`
holds it: its palette colours turn into the CSS variables that `docs/assets/styles/figures.css`
defines for light and dark, and its text takes the font of the page.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import cache
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

from extensions.base import ROOT, BookExtension, Page, PageError

log = logging.getLogger("mkdocs.extensions.figures")  # below MkDocs', whose strict builds count

FIGURES = ROOT / "docs" / "assets" / "figures"
STYLE = ROOT / "docs" / "assets" / "styles" / "figures.css"
IMAGE = re.compile(r"<img\b(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
SOURCE = re.compile(r"(?:^|/)assets/figures/([^/?#]+\.svg)$")
VARIABLE = re.compile(r"(--figure-[\w-]+)\s*:\s*(#[0-9a-fA-F]{6})\b")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}(?![0-9a-zA-Z_-])")
FONT = re.compile(r"font-family:\s*(?:[^;\"']|'[^']*')*;?\s*")
RULE = re.compile(r"\s*\*\s*\{([^{}]*)\}\s*")
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)


def read_palette(css: str) -> dict[str, str]:
    """The light theme's colours, `{"#1f2430": "--figure-ink", …}`, from the `:root` rule."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    root = re.search(r":root[^{}]*\{([^}]*)\}", css)
    pairs = VARIABLE.findall(root[1]) if root else []
    if not pairs:
        raise PageError("docs/assets/styles/figures.css: no --figure-…: #rrggbb under :root")
    return {value.lower(): name for name, value in pairs}


@cache
def palette() -> dict[str, str]:
    """The palette of the book, which llmbook.plots draws with (tests/unit/test_plots.py)."""
    try:
        return read_palette(STYLE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PageError("docs/assets/styles/figures.css: not found; figures need it") from None


def inline(svg: str, *, alt: str, prefix: str, palette: Mapping[str, str]) -> str:
    """Make an SVG file fit to stand inside a page.

    Args:
        svg: The file's text.
        alt: What a screen reader says in its place.
        prefix: Put before every id, so that two figures of a page do not share one.
        palette: Hex colours and the CSS variables that take their place.

    Raises:
        ValueError: If it is not an SVG with a viewBox.
    """
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        raise ValueError(f"expected an SVG: {error}") from None
    if root.tag != f"{{{SVG}}}svg" or not root.get("viewBox"):
        raise ValueError("expected an <svg> element with a viewBox")
    # matplotlib's own rule for `*` would reach the whole page; the root can hand it down.
    styles = [style.text or "" for style in root.iter(f"{{{SVG}}}style")]
    rules = [match[1].strip() for text in styles if (match := RULE.fullmatch(text))]
    for parent in [*root.iter()]:
        for child in [*parent]:
            kind = child.tag.removeprefix(f"{{{SVG}}}")
            if kind in ("metadata", "style") or (
                kind == "defs" and {c.tag for c in child} <= {f"{{{SVG}}}style"}
            ):
                parent.remove(child)
    for element in root.iter():
        for name, value in element.items():
            element.set(name, _attribute(name, value, prefix, palette))
        element.attrib.pop("font-family", None)

    style = "; ".join(["height: auto; max-width: 100%", *rules])
    box, width = root.get("viewBox", ""), root.get("width")
    root.attrib.clear()
    root.attrib |= {"class": "figure", "role": "img", "aria-label": alt, "viewBox": box}
    root.attrib |= {"width": width} if width else {}
    root.set("style", style)
    return ElementTree.tostring(root, encoding="unicode")


def _attribute(name: str, value: str, prefix: str, palette: Mapping[str, str]) -> str:
    """A value as it is on a page: names with their prefix, colours as variables, no fonts."""
    if name == "id":
        return prefix + value
    if name in ("href", f"{{{XLINK}}}href"):
        return f"#{prefix}{value[1:]}" if value.startswith("#") else "".join(value.split())
    if name == "style":
        value = FONT.sub("", value)
    value = re.sub(r"url\(\s*['\"]?#", f"url(#{prefix}", value)
    return COLOUR.sub(
        lambda m: f"var({palette[m[0].lower()]})" if m[0].lower() in palette else m[0], value
    )


class _Attributes(HTMLParser):
    """The attributes of a single tag."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.feed(tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.values = {name: value or "" for name, value in attrs}


class Figures(BookExtension):
    """The extension."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.folder = FIGURES / self.language

    def finish(self, html: str, page: Page) -> str:
        """Put the drawings into a page."""
        count = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal count
            attributes = _Attributes(match[0]).values
            source = SOURCE.search(attributes.get("src", ""))
            if not source:
                return match[0]
            path = self.folder / source[1]
            if not path.is_file():
                wanted = f"docs/assets/figures/{self.language}/{path.name}"
                log.warning(
                    f"{page.place(source[0])}: figure {path.name}: expected {wanted} "
                    "(run `make outputs`)"
                )
                return match[0]
            count += 1
            try:
                return inline(
                    path.read_text(encoding="utf-8"),
                    alt=attributes.get("alt", ""),
                    prefix=f"figure-{count}-",
                    palette=palette(),
                )
            except ValueError as error:
                where = page.place(source[0])
                raise PageError(f"{where}: figure {path.name}: {error}") from None

        return IMAGE.sub(replace, html)


def makeExtension(**options: Any) -> Figures:  # noqa: N802
    """What Markdown looks for in a module."""
    return Figures(**options)
