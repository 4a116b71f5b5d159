"""Sentences: where one ends and the next begins, in English and Chinese.

A point is no full stop in "Mr. Benson" or "$2.50", and in Chinese no blank follows one.
"""

import re
from collections.abc import Iterator

__all__ = ["first_sentence", "split_sentences"]

# Where a full stop ends no sentence; where only a new sentence tells ("Main St. How far …?"); and
# where a capital does ("at 7 a.m. Tom …").
_GOES_ON = re.compile(
    r"(?<![A-Za-z])(?:Mrs?|Ms|Dr|Prof|Mt|Gen|Capt|Lt|Sgt|Rev|Gov|Sen|vs|approx|e\.g|i\.e|cf)\.$",
    re.IGNORECASE,
)
_MAY_GO_ON = re.compile(r"(?<![A-Za-z])(?:St|Jr|Sr|No|[A-Z])\.$")
_MAY_END = re.compile(
    r"(?<![A-Za-z])(?:[ap]\.m|etc|inc|co|corp|ltd|ave|blvd|rd|ft|in|lbs?|oz|yd|hrs?|min|sec"
    r"|U\.S|U\.K|D\.C)\.$",
    re.IGNORECASE,
)
_BEGINS = re.compile(
    r"\s+(?:How|What|Who|Whose|When|Where|Which|Why|If|In|At|After|The|He|She|They|It)\b|\s*$"
)
_CAPITAL = re.compile(r"\s+[A-Z\u4e00-\u9fff]|\s*$")
_SMALL_LETTER = re.compile(r"\s+[a-z]")
_STOP = re.compile(r"""[.!?]+["'”’)\]*]*(?=\s|$)|[!?]+(?=[\u4e00-\u9fff])|[。！？]+[”’」』）"]*""")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, English or Chinese.

    Args:
        text: Any text.

    Returns:
        The sentences, with the signs that end them. "Mr. Benson", "7 a.m." and "3.5" end none,
        unless a new one plainly begins: "at 7 a.m. How many are there?"

    Examples:
        ```python
        from llmbook.tasks.sentences import split_sentences

        text = "Mr. Li pays $2.50 at 7 a.m. on Monday. 他买了3支笔。一共多少钱？"
        for sentence in split_sentences(text):
            print(sentence)
        ```

        ``` {.text .output}
        Mr. Li pays $2.50 at 7 a.m. on Monday.
        他买了3支笔。
        一共多少钱？
        ```
    """
    return [*_sentences(text)]


def first_sentence(text: str) -> str:
    """The first of the sentences of a text; ``""`` if there is none."""
    return next(_sentences(text), "")


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for stop in _STOP.finditer(text):
        end = stop.end()
        before = text[max(0, end - 10) : end]  # longer than any abbreviation
        goes_on = (
            _GOES_ON.search(before)
            or (_MAY_GO_ON.search(before) and not _BEGINS.match(text, end))
            or (_MAY_END.search(before) and not _CAPITAL.match(text, end))
            # "Why?" he asked. And then ... nothing.
            or (len(stop[0]) > 1 and _SMALL_LETTER.match(text, end))
        )
        if not goes_on:
            yield text[start:end].strip()
            start = end
    if rest := text[start:].strip():
        yield rest
