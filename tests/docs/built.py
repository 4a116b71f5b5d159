"""The code blocks of a built page, as a reader sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import html
from lxml.html import HtmlElement

# The signature and the source of an object: they are to be read, and are no examples.
NO_EXAMPLES = ("doc-signature", "mkdocstrings-source")


@dataclass(frozen=True)
class Block:
    """A `pre` of a page, in the box that highlighting puts around it."""

    kind: str  # the language, empty if there is none
    text: str
    box: HtmlElement | None

    @property
    def classes(self) -> set[str]:
        """What the box says about it."""
        return set() if self.box is None else set(self.box.classes)


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page's article, in their order."""
    article = html.document_fromstring(page).find(".//article")
    assert article is not None
    for pre in article.iter("pre"):
        around = [*pre.iterancestors()]
        if any(name in element.classes for element in around for name in NO_EXAMPLES):
            continue
        box = next((element for element in around if "highlight" in element.classes), None)
        classes = () if box is None else box.classes
        kind = next((c.removeprefix("language-") for c in classes if c.startswith("language-")), "")
        yield Block(kind, pre.text_content(), box)
