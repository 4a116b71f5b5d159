"""A quiet note under an output whose numbers may differ on the reader's machine.

Such an output says so in its fence, ``{.text .output data-tol="2%"}``: the tests compare its
numbers within that tolerance, so the reader may expect no more.
"""

from __future__ import annotations

import re
from typing import Any

from extensions.base import BookExtension, Page

OUTPUT = re.compile(
    r'<div class="(?=[^"]*\boutput\b)[^"]*" data-tol="([^"]+)">.*?</pre></div>', re.DOTALL
)
NOTES = {
    "zh": '在你的机器上，这些数可能<a href="{url}">相差 {tolerance}</a>。',
    "en": 'On your machine these numbers may <a href="{url}">differ by {tolerance}</a>.',
}


class Tolerance(BookExtension):
    """The extension."""

    def finish(self, html: str, page: Page) -> str:
        """Put the notes into a page."""
        url = page.link("start/tested") + "#tolerance"

        def note(match: re.Match[str]) -> str:
            text = NOTES[self.language].format(url=url, tolerance=match[1])
            return f'{match[0]}<p class="tolerance">{text}</p>'

        return OUTPUT.sub(note, html)


def makeExtension(**options: Any) -> Tolerance:  # noqa: N802
    """What Markdown looks for in a module."""
    return Tolerance(**options)
