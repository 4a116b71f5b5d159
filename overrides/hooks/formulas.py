"""Formulas, drawn by KaTeX while the site is built, so that a page needs no script for them.

The Markdown extension arithmatex marks each formula; this hook replaces it by KaTeX's HTML with
MathML beside it for screen readers. It does so after the search has read the page, so that the
search holds plain TeX. A formula that KaTeX does not understand stops the build.
"""

from __future__ import annotations

import json
import re
from functools import cache
from html import unescape
from typing import Any

import quickjs
from mkdocs.exceptions import PluginError

from assets import KATEX
from places import place

LONG = 24  # characters of TeX
MARK = re.compile(
    r'<(span|div) class="arithmatex">(.*?)</\1>(?P<stop>[,.;:!?)\]，。；：、！？）]*)', re.DOTALL
)


@cache
def _engine() -> Any:
    context = quickjs.Context()
    context.eval(KATEX.read("/katex.min.js").decode())
    context.eval(
        "function draw(tex, displayMode) { return katex.renderToString(tex, {displayMode,"
        ' output: "htmlAndMathml", throwOnError: true, strict: "error"}) }'
    )
    return context


@cache
def draw(tex: str, display: bool) -> str:
    """HTML and MathML of one formula.

    Raises:
        quickjs.JSException: If KaTeX does not understand it.
    """
    call = f"JSON.stringify(draw({json.dumps(tex)}, {json.dumps(display)}))"
    return str(json.loads(_engine().eval(call)))


def on_post_page(output: str, *, page: Any, config: Any) -> str:
    """Replace the marked formulas of a page."""

    def replace(match: re.Match[str]) -> str:
        tag, marked = match[1], unescape(match[2]).strip()
        tex = marked[2:-2].strip()  # without \( \) or \[ \]
        try:
            drawn = draw(tex, tag == "div")
        except quickjs.JSException as error:
            message = str(error).splitlines()[0]
            raise PluginError(f"{place(page, tex)}: formula {tex!r}: {message}") from None
        formula = f'<{tag} class="arithmatex">{drawn}</{tag}>'
        # Or the full stop may begin the next line. A long formula must be free to break, though.
        if tag == "span" and match["stop"] and len(tex) <= LONG:
            return f'<span class="formula-stop">{formula}{match["stop"]}</span>'
        return formula + match["stop"]

    return MARK.sub(replace, output)
