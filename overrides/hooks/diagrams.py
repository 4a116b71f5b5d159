"""Diagrams, drawn by Mermaid before the build, so that a page needs no script for them.

`python overrides/hooks/diagrams.py` draws every Mermaid fence of the book in a real browser into
`docs/assets/diagrams/`, under a name that is the hash of its source and of all settings: a
drawing is fresh if it is there. With `--check` it draws nothing and fails if one is missing or
stale. The build puts the drawings into the pages. While writing, `mkdocs serve` shows what is
not drawn yet with Mermaid itself, from this site; a strict build fails instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path
from typing import Any

from mkdocs.plugins import get_plugin_logger
from mkdocs.utils import write_file

import machine
from assets import MERMAID
from places import place

ROOT = Path(__file__).parents[2]
DRAWINGS = ROOT / "docs" / "assets" / "diagrams"
FENCE = re.compile(r"^([ \t]*)(`{3,})[ ]*mermaid[ ]*\n(.*?)^\1\2[ ]*$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r'<pre class="mermaid"><code>(.*?)</code></pre>', re.DOTALL)
CDN = "https://unpkg.com/mermaid@11/dist/mermaid.min.js"
SCRIPT = "assets/javascripts/mermaid.min.js"
INK, MUTED, GRID, BLUE = "#1f2430", "#6b7280", "#d9dce3", "#3b6fd4"
SETTINGS: dict[str, Any] = {
    "startOnLoad": False,
    "securityLevel": "strict",
    "htmlLabels": False,
    "flowchart": {"htmlLabels": False, "curve": "basis", "padding": 14},
    "theme": "base",
    "themeVariables": {
        "fontFamily": "system-ui, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif",
        "fontSize": "15px",
        "background": "transparent",
        "primaryColor": "transparent",
        "primaryTextColor": INK,
        "primaryBorderColor": BLUE,
        "lineColor": MUTED,
        "textColor": INK,
        "edgeLabelBackground": "transparent",
    },
    # What the theme variables leave open.
    "themeCSS": f".node rect, .node polygon {{ fill: {BLUE}; fill-opacity: 0.08; "
    f"stroke: {BLUE}; }} text, tspan {{ fill: {INK}; }} .marker {{ fill: {MUTED}; }}",
}
log = get_plugin_logger(__name__)
_undrawn: set[str] = set()  # languages with a page that needs Mermaid itself


def name_of(source: str) -> str:
    """File name of the drawing of a diagram: a hash of all that decides how it looks."""
    parts = (source.strip(), json.dumps(SETTINGS, sort_keys=True), MERMAID.sha256)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16] + ".svg"


def sources() -> Iterator[str]:
    """The source of every Mermaid fence of the book."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for match in FENCE.finditer(page.read_text(encoding="utf-8")):
            indent = match[1]
            yield "\n".join(line.removeprefix(indent) for line in match[3].splitlines()).strip()


def on_post_page(output: str, *, page: Any, config: Any) -> str:
    """Put the drawings into a page."""
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        source = unescape(match[1]).strip()
        path = DRAWINGS / name_of(source)
        if not path.exists():
            log.warning(f"{place(page, source)}: a diagram is not drawn yet, run `make outputs`")
            _undrawn.add(config.extra["lang"])
            return match[0]
        count += 1
        label = escape(", ".join(re.findall(r'"([^"]+)"', source)))
        drawing = path.read_text(encoding="utf-8").replace("diagram-id", f"diagram-{count}")
        # Its natural width, for the style sheet to work with.
        drawing = drawing.replace('style="max-width: ', 'style="--diagram-width: ', 1)
        # Names of nodes and edges: nothing refers to them, and two diagrams have the same ones.
        drawing = re.sub(r' id="(?!diagram-)[^"]*"', "", drawing)
        return f'<div class="diagram" role="img" aria-label="{label}">{drawing}</div>'

    return MARK.sub(replace, output)


def on_post_build(*, config: Any) -> None:
    """Name our own copy of Mermaid in the theme's script, instead of a third party's."""
    if "lang" not in config.extra:
        return
    site = Path(config.site_dir)
    (bundle,) = site.glob("assets/javascripts/bundle.*.min.js")
    script = bundle.read_text(encoding="utf-8")
    if script.count(CDN) != 1:
        raise RuntimeError(f"{bundle.name} should name {CDN} once, found {script.count(CDN)}")
    prefix = f"/{config.extra['lang']}/"  # the script knows no relative addresses
    bundle.write_text(script.replace(CDN, prefix + SCRIPT), encoding="utf-8")
    if config.extra["lang"] in _undrawn:
        write_file(MERMAID.read("/mermaid.min.js"), str(site / SCRIPT))
        _undrawn.discard(config.extra["lang"])


def clean(svg: str) -> str:
    """The drawing as it is kept: no fixed width, colours as variables."""
    css = (ROOT / "docs/assets/styles/figures.css").read_text(encoding="utf-8").split("}")[0]
    for name, colour in re.findall(r"(--figure-[a-z]+):\s*(#[0-9a-f]{6})", css):
        svg = re.sub(colour, f"var({name})", svg, flags=re.IGNORECASE)
    red, green, blue = (int(INK[i : i + 2], 16) for i in (1, 3, 5))
    svg = svg.replace(f"rgb({red}, {green}, {blue})", "var(--figure-ink)")
    return svg.replace('width="100%"', "", 1)


def draw(missing: list[str]) -> None:
    """Draw diagrams in a browser, each into its file."""
    from playwright.sync_api import sync_playwright

    browser_path = machine.chromium()
    if browser_path is None:
        sys.exit(machine.NO_CHROMIUM)
    DRAWINGS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        browser = playwright.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox"] if root else []
        )
        page = browser.new_page(viewport={"width": 900, "height": 900})
        page.set_content("<!doctype html><meta charset=utf-8><body></body>")
        page.add_script_tag(content=MERMAID.read("/mermaid.min.js").decode())
        page.evaluate("settings => mermaid.initialize(settings)", SETTINGS)
        for source in missing:
            svg = page.evaluate(
                "async source => (await mermaid.render('diagram-id', source)).svg", source
            )
            path = DRAWINGS / name_of(source)
            temporary = path.with_suffix(".part")
            temporary.write_text(clean(svg) + "\n", encoding="utf-8")
            temporary.replace(path)
        browser.close()


def main() -> int:
    """Draw what is missing and delete what is stale, or only say so."""
    wanted = {name_of(source): source for source in sources()}
    there = {path.name for path in DRAWINGS.glob("*.svg")}
    missing, stale = sorted(wanted.keys() - there), sorted(there - wanted.keys())
    if "--check" in sys.argv[1:]:
        for what, names in (("missing", missing), ("stale", stale)):
            for name in names:
                print(f"{what}: docs/assets/diagrams/{name}")
        return int(bool(missing or stale))
    if missing:
        draw([wanted[name] for name in missing])
    for name in stale:
        (DRAWINGS / name).unlink()
    print(f"diagrams: {len(missing)} drawn, {len(stale)} deleted, {len(wanted)} in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
