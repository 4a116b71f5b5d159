"""Diagrams, drawn by Mermaid before the build, so that a page needs no script for them.

`python -m tests.docs.diagrams` draws every Mermaid fence of the book in a real browser into
`docs/assets/diagrams/`, under a name that is the hash of its source and of all settings: a drawing
is fresh if it is there. This extension puts the drawings into the pages. While writing, what is not
drawn yet is shown by Mermaid itself, from this site; a strict build fails instead.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from html import escape, unescape
from typing import Any

from extensions.base import ROOT, BookExtension, Page
from extensions.figures import palette
from extensions.wheels import MERMAID

log = logging.getLogger("mkdocs.extensions.diagrams")  # below MkDocs', whose strict builds count

DRAWINGS = ROOT / "docs" / "assets" / "diagrams"
MARK = re.compile(r'<pre class="mermaid"><code>(.*?)</code></pre>', re.DOTALL)
COLOURS = {name: colour for colour, name in palette().items()}
INK, MUTED, BLUE = (COLOURS[f"--figure-{name}"] for name in ("ink", "muted", "blue"))
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


def name_of(source: str) -> str:
    """File name of the drawing of a diagram: a hash of all that decides how it looks."""
    parts = (source.strip(), json.dumps(SETTINGS, sort_keys=True), MERMAID.sha256)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16] + ".svg"


class Diagrams(BookExtension):
    """The extension; `undrawn` tells whether a page needs Mermaid itself."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.undrawn = False

    def finish(self, html: str, page: Page) -> str:
        """Put the drawings into a page."""
        count = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal count
            source = unescape(match[1]).strip()
            path = DRAWINGS / name_of(source)
            if not path.exists():
                where = page.place(source)
                log.warning(f"{where}: a diagram is not drawn yet, run `make outputs`")
                self.undrawn = True
                return match[0]
            count += 1
            label = escape(", ".join(re.findall(r'"([^"]+)"', source)))
            drawing = path.read_text(encoding="utf-8").replace("diagram-id", f"diagram-{count}")
            # Its natural width, for the style sheet to work with.
            drawing = drawing.replace('style="max-width: ', 'style="--diagram-width: ', 1)
            # Names of nodes and edges: nothing refers to them, and two diagrams have the same ones.
            drawing = re.sub(r' id="(?!diagram-)[^"]*"', "", drawing)
            return f'<div class="diagram" role="img" aria-label="{label}">{drawing}</div>'

        return MARK.sub(replace, html)


def makeExtension(**options: Any) -> Diagrams:  # noqa: N802
    """What Markdown looks for in a module."""
    return Diagrams(**options)
