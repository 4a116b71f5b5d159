"""Python blocks that can be pasted at the prompt of Python 3.11 and 3.12.

That prompt takes an empty line for the end of a class or function, even between two methods; a
line of blanks it passes over. So the empty lines inside a body are filled with its indentation,
in what the page shows and therefore in what its reader copies. Newer prompts take both.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from html import unescape
from typing import Any

from extensions.base import BookExtension, Page

BLOCK = re.compile(
    r'(?P<start><div class="language-python highlight"><pre>(?:<span></span>)?<code>)'
    r"(?P<code>.*?)(?=</code></pre>)",
    re.DOTALL,
)


def pad(source: str) -> str:
    """Fill the empty lines inside the classes, functions and loops of a block.

    Args:
        source: The block. One that is no Python, such as a signature, comes back as it is.
    """
    try:
        body = ast.parse(source).body
        tokens = [*tokenize.generate_tokens(io.StringIO(source).readline)]
    except (SyntaxError, tokenize.TokenError):
        return source
    lines = source.split("\n")
    # A text over several lines means what it says, empty lines included.
    kept = {line for token in tokens for line in range(token.start[0], token.end[0])}
    for statement in body:
        last = statement.end_lineno or statement.lineno
        indentation = ""
        for number in range(last, statement.lineno, -1):  # from below: the line after decides
            line = lines[number - 1]
            if line.strip():
                indentation = line[: len(line) - len(line.lstrip())] or "    "
            elif not line and number not in kept:
                lines[number - 1] = indentation
    return "\n".join(lines)


class Prompt(BookExtension):
    """The extension."""

    def finish(self, html: str, page: Page) -> str:
        """Fill the empty lines of the blocks of a page."""

        def fill(match: re.Match[str]) -> str:
            shown = match["code"].split("\n")  # highlighting adds tags, but no lines
            source = unescape(re.sub(r"<[^>]*>", "", match["code"]))
            filled = zip(shown, pad(source).split("\n"), strict=True)
            lines = (line + new if new and not new.strip() else line for line, new in filled)
            return match["start"] + "\n".join(lines)

        return BLOCK.sub(fill, html)


def makeExtension(**options: Any) -> Prompt:  # noqa: N802
    """What Markdown looks for in a module."""
    return Prompt(**options)
