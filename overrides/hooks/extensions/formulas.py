"""Formulas, drawn by KaTeX while the site is built, so that a page needs no script for them.

The Markdown extension arithmatex marks each formula; this one replaces it, when the page is
finished, by KaTeX's HTML with MathML beside it for screen readers. A formula that KaTeX does not
understand stops the build.
"""

from __future__ import annotations

import json
import re
from functools import cache
from html import unescape
from typing import Any

import quickjs

from extensions.base import BookExtension, Page, PageError
from extensions.wheels import KATEX

LONG = 24  # characters of TeX
MARK = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\s*\\[(\[](?P<tex>.*?)\\[)\]]\s*</(?P=tag)>'
    r"(?P<stop>[,.;:!?)\]，。；：、！？）]*)",
    re.DOTALL,
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


class Formulas(BookExtension):
    """The extension."""

    def finish(self, html: str, page: Page) -> str:
        """Replace the marked formulas of a page."""

        def replace(match: re.Match[str]) -> str:
            tag, tex, stop = match["tag"], unescape(match["tex"]).strip(), match["stop"]
            try:
                drawn = draw(tex, tag == "div")
            except quickjs.JSException as error:
                message = str(error).splitlines()[0]
                raise PageError(f"{page.place(tex)}: formula {tex!r}: {message}") from None
            formula = f'<{tag} class="arithmatex">{drawn}</{tag}>'
            # Or the full stop may begin the next line. A long one must be free to break, though.
            if tag == "span" and stop and len(tex) <= LONG:
                return f'<span class="formula-stop">{formula}{stop}</span>'
            return formula + stop

        return MARK.sub(replace, html)


def makeExtension(**options: Any) -> Formulas:  # noqa: N802
    """What Markdown looks for in a module."""
    return Formulas(**options)
