"""Sentences: where one ends and the next begins, in English and Chinese.

A point is no full stop in "Mr. Benson" or "$2.50", and in Chinese no blank follows one.
"""

import re
from collections.abc import Iterator

__all__ = ["first_sentence", "split_sentences", "split_story"]

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
_ASKS = tuple("?？") + tuple(f"{mark}{close}" for mark in "?？" for close in "\"'”’)）」")
_TOLD_AND_ASKED = re.compile(
    r"(?P<told>.+)[,，]\s*"
    r"(?P<asked>(?:(?:and|then)\s+)?(?:how|what|who|whose|which|when|where|why)\b[^,]*"
    r"|[^，]*(?:多少|几|谁|哪|什么|怎)[^，]*)",
    re.IGNORECASE | re.DOTALL,
)
_NUMBER = re.compile(
    r"[0-9０-９一二两三四五六七八九十百千半]"
    r"|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twice|half)\b",
    re.IGNORECASE,
)
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


def split_story(text: str) -> tuple[str, str]:
    """A problem as people state it: what it tells, and what it asks at its end.

    Args:
        text: Any text, English or Chinese.

    Returns:
        What stands before the question, and the question: the last sentence, or what follows the
        last comma in it if numbers stand before that. ``""`` and the whole text if nothing stands
        before it, or the last sentence asks nothing.

    Examples:
        ```python
        from llmbook.tasks.sentences import split_story

        print(split_story("Ann has 3 pens. Bo has 2 more. How many have they together?"))
        print(split_story("小明有 3 支笔，小红比他多 2 支，两人一共有多少支？"))
        print(split_story("What is 3 + 2?"))
        ```

        ``` {.text .output}
        ('Ann has 3 pens. Bo has 2 more.', 'How many have they together?')
        ('小明有 3 支笔，小红比他多 2 支', '两人一共有多少支？')
        ('', 'What is 3 + 2?')
        ```
    """
    sentences = split_sentences(text)
    question = sentences[-1] if sentences else ""
    if not question.endswith(_ASKS):
        return "", text
    # "If Bo has 2 more, how many has he?" tells and asks in one sentence.
    parts = _TOLD_AND_ASKED.fullmatch(question)
    if parts and _NUMBER.search(parts["told"]):
        question = parts["asked"]
    story = text.strip().removesuffix(question).strip().rstrip(",，")
    return (story, question) if story else ("", text)


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
