"""A quiet note under an output whose numbers may differ on the reader's machine.

Such an output says so in its fence, ``{.text .output data-tol="2%"}``: the tests compare its
numbers within that tolerance, so the reader may expect no more.
"""

from __future__ import annotations

import re
from typing import Any

from mkdocs.utils import get_relative_url

OUTPUT = re.compile(
    r'<div class="(?=[^"]*\boutput\b)[^"]*" data-tol="([^"]+)">.*?</pre></div>', re.DOTALL
)
NOTES = {
    "zh": '在你的机器上，这些数可能<a href="{url}">相差 {tolerance}</a>。',
    "en": 'On your machine these numbers may <a href="{url}">differ by {tolerance}</a>.',
}


def on_post_page(output: str, *, page: Any, config: Any) -> str:
    """Put the notes into a page."""
    url = get_relative_url("start/tested/", page.url) + "#tolerance"

    def note(match: re.Match[str]) -> str:
        text = NOTES[config.extra["lang"]].format(url=url, tolerance=match[1])
        return f'{match[0]}<p class="tolerance">{text}</p>'

    return OUTPUT.sub(note, output)
