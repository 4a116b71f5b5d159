r"""Readers: what is taken from a model's text, as an answer or as a plan.

A reader of answers gives a string, or ``None`` where the text holds no answer; a reader of plans
gives the sub-problems in the order in which they are written. Either may be replaced by a
function of one's own, and one that raises ``ValueError`` has found nothing.
"""

import re
from collections.abc import Callable

from llmbook.tasks.answers import marked
from llmbook.tasks.sentences import first_sentence

__all__ = ["read_after", "read_list", "read_quoted", "read_sentence", "read_text"]

_BULLET = re.compile(
    r"""
      [(（]?[0-9]{1,3}\s*(?:[、．)）]|[.](?![0-9]))                             # 1. 1) (1) 1、
    | (?:step|sub-?(?:problem|question|task)|question|q|步骤|子问题|问题)\s*[0-9]{1,3}\s*[:：.)、]
    | (?:第[一二三四五六七八九十]+步\s*[:：，,、]?|[一二三四五六七八九十]+、)
    | [①-⑳]
    | [-*•](?=\s)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def read_text(text: str) -> str:
    """All of a text, without blanks around it."""
    return text.strip()


def read_sentence(text: str) -> str:
    """A text up to where its first line or sentence ends."""
    line = text.strip().lstrip(":：").strip().split("\n", 1)[0]
    return first_sentence(line).rstrip(" .。")


def read_after(marker: str | None = None) -> Callable[[str], str | None]:
    """A reader of what follows the last mark of an answer, up to the end of the sentence.

    Args:
        marker: Such as ``"The answer is"``; capitals or not, but as whole words. If not given,
            all the [marks][llmbook.tasks.answers.marked] that models use count.

    Returns:
        The reader; it gives ``None`` where there is no mark.

    Raises:
        ValueError: If the marker is blank.

    Examples:
        ```python
        from llmbook.prompting import read_after

        read = read_after("The answer is")
        print(read("3 cars and 2 more make 5. The answer is 5. Next question"))
        print(read("It cannot be known."))
        print(read_after()("3 加 2 等于 5，所以答案是 5。"))
        ```

        ``` {.text .output}
        5
        None
        5
        ```
    """
    marked("", marker)  # says so if the marker is blank

    def read(text: str) -> str | None:
        pieces = marked(text, marker)
        return pieces[-1] if pieces else None

    return read


def read_list(text: str, separator: str = ";") -> list[str]:
    r"""A plan written as a list: parted by ``;`` or line breaks, numbered or not.

    Args:
        text: Any text.
        separator: What parts the items of a line; ``;`` and the Chinese ``；`` stand for each
            other.

    Returns:
        The items, without numbers, bullets, bold and quotation marks around them. Where there are
        lines with numbers or bullets, what stands around them is no item, nor what is indented
        below.

    Examples:
        ```python
        from llmbook.prompting import read_list

        print(read_list(" jump left ; jump left twice "))
        print(read_list("We ask:\n1. How old is Ann?\n2. **How old is Bo?**\nThen we know."))
        print(read_list("1. How old is Ann? 2. How old is Bo?"))
        ```

        ``` {.text .output}
        ['jump left', 'jump left twice']
        ['How old is Ann?', 'How old is Bo?']
        ['How old is Ann?', 'How old is Bo?']
        ```
    """
    signs = ";；" if separator in ";；" else None
    parting = re.compile(f"[{signs}]" if signs else re.escape(separator))
    items = (item.strip() for line in _items(text) for item in parting.split(line))
    bare = (_BULLET.sub("", item, count=1) if _BULLET.match(item) else item for item in items)
    return [item for words in bare if (item := words.strip('"“”* ').strip())]


def _items(text: str) -> list[str]:
    """The lines that are items of a list, or, where there is no list, all."""
    lines = text.expandtabs().split("\n")
    if sum(bool(_BULLET.match(line.lstrip())) for line in lines) == 1:
        lines = [item for line in lines for item in _numbered(line)]
    bullets = [_BULLET.match(line.lstrip()) for line in lines]
    places = [place for place, bullet in enumerate(bullets) if bullet]
    if not places:
        return lines
    depths = [len(line) - len(line.lstrip()) for line in lines]
    items = [lines[place] for place in places if depths[place] <= depths[places[0]]]
    # A prompt that ends in "1." leaves the first item without its number.
    first = bullets[places[0]]
    if first and re.findall("[0-9]+", first[0]) == ["2"]:
        items[:0] = [line for line in lines[: places[0]] if line.strip()][-1:]
    return items


def _numbered(line: str) -> list[str]:
    """The items of a line that counts them: "1. How old is Ann? 2. How old is Bo?"."""
    items = [line]
    # Only the next number begins an item: any other belongs to the question that it stands in.
    if re.match(r"\s*[(（]?1[.)、．）]", line):
        while following := re.search(
            rf"(?:\s|(?<=[?？!。；;]))[(（]?{len(items) + 1}(?:[.)]\s|[、．）])", items[-1]
        ):
            place = following.start()
            items[-1:] = [items[-1][:place], items[-1][place:].lstrip()]
    return items


def read_quoted(text: str) -> list[str]:
    """A plan written in sentences: everything that stands in quotation marks.

    Args:
        text: Any text.

    Returns:
        The items, each on one line.
    """
    quotations = re.findall(r'"([^"]*)"|“([^“”]*)”', text)
    items = (" ".join((straight or curly).split()) for straight, curly in quotations)
    return [item for item in items if item]
