"""Draws the diagrams of the book in a real browser, for the build to put into the pages.

    PYTHONPATH=overrides/hooks python -m tests.docs.diagrams

What the drawings look like, and why their names tell which are fresh, is said in
overrides/hooks/extensions/diagrams.py.
"""

from __future__ import annotations

import re
import sys

from extensions.base import ROOT
from extensions.diagrams import DRAWINGS, INK, SETTINGS, name_of
from extensions.figures import palette
from extensions.wheels import MERMAID
from tests.docs.blocks import fences, pages


def wanted() -> dict[str, str]:
    """File name and source of every Mermaid fence of the book."""
    blocks = (fence for page in pages(ROOT) for fence in fences(page.read_text(encoding="utf-8")))
    sources = (block.content for block in blocks if block.language == "mermaid")
    return {name_of(source): source.strip() for source in sources}


def faults() -> list[str]:
    """The drawings that are missing, and those that no page shows any more."""
    names, there = wanted().keys(), {path.name for path in DRAWINGS.glob("*.svg")}
    return [f"missing: {name}" for name in sorted(names - there)] + [
        f"stale: {name}" for name in sorted(there - names)
    ]


def clean(svg: str) -> str:
    """The drawing as it is kept: no fixed width, colours as variables."""
    for colour, name in palette().items():
        svg = re.sub(colour, f"var({name})", svg, flags=re.IGNORECASE)
    red, green, blue = (int(INK[i : i + 2], 16) for i in (1, 3, 5))
    svg = svg.replace(f"rgb({red}, {green}, {blue})", "var(--figure-ink)")
    return svg.replace('width="100%"', "", 1)


def draw(sources: list[str]) -> None:
    """Draw diagrams in a browser, each into its file."""
    from tests.support.chromium import chromium

    DRAWINGS.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 900, "height": 900})
        page.set_content("<!doctype html><meta charset=utf-8><body></body>")
        page.add_script_tag(content=MERMAID.read("/mermaid.min.js").decode())
        page.evaluate("settings => mermaid.initialize(settings)", SETTINGS)
        for source in sources:
            svg = page.evaluate(
                "async source => (await mermaid.render('diagram-id', source)).svg", source
            )
            path = DRAWINGS / name_of(source)
            temporary = path.with_suffix(".part")
            temporary.write_text(clean(svg) + "\n", encoding="utf-8")
            temporary.replace(path)


def main() -> int:
    """Draw what is missing and delete what is stale."""
    there, sources = {path.name for path in DRAWINGS.glob("*.svg")}, wanted()
    missing, stale = sorted(sources.keys() - there), sorted(there - sources.keys())
    if missing:
        try:
            draw([sources[name] for name in missing])
        except FileNotFoundError as error:
            sys.exit(str(error))
    for name in stale:
        (DRAWINGS / name).unlink()
    print(f"diagrams: {len(missing)} drawn, {len(stale)} deleted, {len(sources)} in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
