r"""Readers: what is taken from a model's text, as an answer or as a plan.

A reader of answers gives a string, or ``None`` where the text holds no answer; a reader of plans
gives the sub-problems in the order in which they are written. Either may be replaced by a
function of one's own, and one that raises ``ValueError`` has found nothing.
"""

import re
from collections.abc import Callable

__all__ = ["read_after", "read_list", "read_quoted", "read_sentence", "read_text"]

_BULLET = re.compile(r"(?:\d{1,3}(?:[、．]|[.)](?!\d))|[-*•](?=\s))\s*")
_SENTENCE_END = re.compile(r"\n|[.](?=\s|$)|。")


def read_text(text: str) -> str:
    """All of a text, without blanks around it."""
    return text.strip()


def read_sentence(text: str) -> str:
    """A text up to where its first line or sentence ends."""
    sentence = _SENTENCE_END.split(text.strip().lstrip(":：").strip(), maxsplit=1)[0]
    return sentence.strip()


def read_after(marker: str = "The answer is") -> Callable[[str], str | None]:
    """A reader of what follows the last marker in a text, up to the end of the sentence.

    Args:
        marker: Such as ``"The answer is"``; capitals or not, but as whole words.

    Returns:
        The reader; it gives ``None`` where there is no marker.

    Raises:
        ValueError: If the marker is blank.

    Examples:
        ```python
        from llmbook.prompting import read_after

        read = read_after("The answer is")
        print(read("3 cars and 2 more make 5. The answer is 5. Next question"))
        print(read("It cannot be known."))
        ```

        ``` {.text .output}
        5
        None
        ```
    """
    if not marker.strip():
        raise ValueError(f"marker must hold words, got {marker!r}")
    words = r"\s+".join(re.escape(word) for word in marker.split())
    # Chinese has no blanks between words: only Latin letters can go on with a word.
    start = r"(?<![a-zA-Z0-9])" if re.match(r"[a-zA-Z0-9]", marker.strip()) else ""
    end = r"(?![a-zA-Z0-9])" if re.search(r"[a-zA-Z0-9]$", marker.strip()) else ""
    pattern = re.compile(start + words + end, re.IGNORECASE)

    def read(text: str) -> str | None:
        found = [*pattern.finditer(text)]
        return read_sentence(text[found[-1].end() :]) if found else None

    return read


def read_list(text: str) -> list[str]:
    r"""A plan written as a list: parted by ``;`` or line breaks, numbered or not.

    Args:
        text: Any text.

    Returns:
        The items, without numbers, bullets and quotation marks around them.

    Examples:
        ```python
        from llmbook.prompting import read_list

        print(read_list(" jump left ; jump left twice "))
        print(read_list("1. How old is Ann?\n2. How old is Bo?"))
        ```

        ``` {.text .output}
        ['jump left', 'jump left twice']
        ['How old is Ann?', 'How old is Bo?']
        ```
    """
    found = []
    for item in re.split(r"[;；\n]", text):
        bullet = _BULLET.match(item.strip())
        item = item.strip()[bullet.end() if bullet else 0 :].strip('"“” ')
        if item:
            found.append(item)
    return found


def read_quoted(text: str) -> list[str]:
    """A plan written in sentences: everything that stands in quotation marks.

    Args:
        text: Any text.

    Returns:
        The items, each on one line.
    """
    found = re.findall(r'"([^"]*)"|“([^“”]*)”', text)
    return [item for one, other in found if (item := " ".join((one or other).split()))]
