"""A corpus that ships with the book: its own prose, frozen.

A language model needs text, and a page that runs without a network needs text that is already
here. So the book counts its own words. The text is a snapshot on purpose: what a page prints
must not change whenever a sentence of another page does. This one was taken when the book went
as far as its page on prompts, before it had a part on language models: the pages of all other
parts and the appendix, some 23,500 English words and 32,000 Chinese characters. From a checkout
of the repository, ``python -m llmbook.book.corpus --out llmbook/book/data`` takes a new one, of
every page there is then; the outputs of the pages change with it.

Only running prose is kept. Code, outputs, tables, headings, formulas on their own line and
comments are left out, and so is every sentence that would be left with a hole, because it
holds a formula.
"""

import re
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from llmbook._files import replacing

__all__ = ["load"]

Language = Literal["en", "zh"]

_BLOCKS = re.compile(
    r"\A---\n.*?\n---\n"  # front matter
    r"|^[ ]*(?P<fence>`{3,}|~{3,}).*?^[ ]*(?P=fence)[ ]*$"  # code and outputs
    r"|\$\$.*?\$\$"  # formulas on their own line
    r"|<!--.*?-->"
    r"|^[ ]*(?:#{1,6} |\||!\[|:::|///|!!!|\?\?\?|===).*?$",  # headings, tables, figures, boxes
    re.DOTALL | re.MULTILINE,
)
_INLINE = [  # what stands for what, in this order
    (re.compile(r"\s*\[@[^\]]*\]"), ""),  # citations
    (re.compile(r"\[([^\[\]]*(?:`[^`]*`)?[^\[\]]*)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),  # links
    (re.compile(r"`([^`]*)`"), r"\1"),
    (re.compile(r"\*+([^*]+)\*+"), r"\1"),
    (re.compile(r"\s*\{ ?[#.:][^}]*\}"), ""),  # anchors and attributes
    (re.compile(r"\s+"), " "),
]
# Stars before a blank close a sentence in bold: "**Add k.** Pretend ..." is two sentences.
_SENTENCE = re.compile(
    r".+?(?:[.!?][\"')*]*(?=\s|$)|[。！？][”』」）]*(?:\*+(?!\S))?|$)", re.DOTALL
)
_MARK = re.compile(r"^[ ]*(?:[-*+]|\d+\.|:)[ ]+", re.MULTILINE)


def load(language: Language) -> str:
    """Give the prose of the book in one language, as frozen in ``llmbook/book/data``.

    Args:
        language: ``"en"`` or ``"zh"``.

    Returns:
        The text, one paragraph a line.

    Raises:
        ValueError: If ``language`` is another one.

    Examples:
        ```python
        from llmbook.book import corpus

        print(len(corpus.load("en").splitlines()) > 100)
        ```

        ``` {.text .output}
        True
        ```
    """
    if language not in get_args(Language):
        raise ValueError(f"language must be one of {get_args(Language)}, got {language!r}")
    file = resources.files("llmbook").joinpath("book", "data", f"book.{language}.txt")
    return file.read_text(encoding="utf-8")


def _paragraphs(page: str) -> list[str]:
    """The prose of a Markdown page, a string for each paragraph."""
    body = _MARK.sub("\n", _BLOCKS.sub("\n", page))  # an item of a list is a paragraph
    paragraphs = []
    for block in re.split(r"\n[ ]*\n", body):
        whole = [s for s in _SENTENCE.findall(block) if "$" not in s]
        text = "".join(whole)
        for pattern, replacement in _INLINE:
            text = pattern.sub(replacement, text)
        paragraphs.append(text.strip())
    return [text for text in paragraphs if re.search(r"\w", text)]


def _write(docs: Path, data: Path) -> None:
    """Take the snapshot of both languages; the reference of the code is not prose."""
    for language in get_args(Language):
        pages = sorted((docs / language).rglob("*.md"))
        if not pages:
            raise ValueError(f"docs must hold pages in {language}/, got none in {docs}")
        prose = [p for p in pages if "api" not in p.relative_to(docs).parts]
        lines = [line for p in prose for line in _paragraphs(p.read_text(encoding="utf-8"))]
        with replacing(data / f"book.{language}.txt") as part:
            part.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    from llmbook._console import output_folder

    folder = output_folder("llmbook.book.corpus", "Take the prose of the pages in docs.")
    _write(Path("docs"), folder)
