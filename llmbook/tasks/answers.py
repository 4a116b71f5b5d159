r"""Answers: what a text says in the end, be it a number, a name, letters or words.

A model writes "The answer is 42, not 7.", "答案是 42。", "#### 42" or "\boxed{42}", and often goes
on. All readers here look for the answer in the same places, in this order:

1. after the last *mark*: "answer is", "答案是", "答：", "####", "\boxed{…}" and their like. What
   follows the mark is meant, to the end of its sentence: the first thing there that can be an
   answer, or, of a sum, what stands after its equals sign;
2. in the rest of the text after the last mark;
3. where there is no mark: the last number or name printed in bold, or else the last of the text.

A question that the model adds by itself ("Q: …", "问：…") ends its answer. What a reader does not
find it does not guess: it gives ``None``.
"""

import re
from collections.abc import Callable, Iterable

from llmbook.tasks._numerals import Number, in_digits, in_numerals, plain
from llmbook.tasks.sentences import first_sentence

__all__ = [
    "find",
    "marked",
    "read_letters",
    "read_name",
    "read_number",
    "read_words",
]

_MARK = re.compile(
    r"""
      (?<![a-z])(?:answer|final\ result)s?[*_]*
      (?:\s+(?:to|for|of)\s[^.!?\n]{1,60}?)?  # "the answer to question 3 is"
      \s+(?:is|are|would\ be|will\ be|must\ be|should\ be|equals)(?![a-z'’])
    | (?<![a-z])answer[*_]*\s*[:：=]
    | (?:答案|最终结果|最后结果)[*_]*\s*(?:应该|应当|应|就|便|也|将|只能)?(?:是|为|等于|[:：=])
    | (?<!问)答[*_]*\s*[:：]
    # A title of Markdown has these signs, too, but words after them.
    | \#{4}(?=[-+$€£¥*“"\s]*[0-9.零〇一二两三四五六七八九十负](?!(?:[.)][ \t]+|[、:：]\s*)\w))
    | \\boxed\s*(?=\{)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_NEXT_QUESTION = re.compile(
    r"^[ \t>*#]*(?:q|question|problem|exercise|example|user|human|问题?|题目|例题?)"
    r"\s*[0-9]*[*_]*\s*[:：]",
    re.IGNORECASE | re.MULTILINE,
)
_BOLD = re.compile(r"\*\*([^*\n]{1,40})\*\*")  # short: a number in a bold sentence is one of many
_TITLE = re.compile(
    r"\s*(?:[0-9]+\s*[.)、:：](?![0-9])|(?:step|part|case|day|week|question)\s*[0-9]|第)|.*[:：]\s*$",
    re.IGNORECASE,
)
_LEAD = re.compile(r"(?:[\s:：=>]|(?:\*\*|__)(?=\s))*")  # "**Answer:** 5"
# Latin letters alone make another word of one: Chinese has no blanks, and \w counts its signs.
_CLAUSE = re.compile(
    r"[,;](?=\s|$)|[，；、。！？（]|(?<=\S)\s\(|因为|由于|其中"
    r"|(?<![a-z])(?:because|since|which|where|when|if)(?![a-z])",
    re.IGNORECASE,
)
_EQUALS = re.compile(r"[=≈]|(?<![a-z])(?:equals|makes?)(?![a-z])|等于|得到?", re.IGNORECASE)
_NEGATED = re.compile(
    r"(?:(?<![a-z])not|n't|不是|并非|不等于)\s*(?:\w+\s)?[$€£¥-]?$", re.IGNORECASE
)


def marked(text: str, marker: str | None = None) -> list[str]:
    r"""What stands after each mark of an answer: to the end of the sentence, or in the box.

    Args:
        text: Any text.
        marker: Words to look for in place of the marks above; capitals or not, as whole words.

    Returns:
        The pieces, in their order, without the full stop.

    Raises:
        ValueError: If the marker is blank.

    Examples:
        ```python
        from llmbook.tasks.answers import marked

        print(marked("So the answer is 6 pens. Or not? Then **Answer:** 5."))
        print(marked(r"\boxed{7}, also: 答案是 7 支。好。"))
        print(marked("In all: 7 pens, or so.", "in all:"))
        ```

        ``` {.text .output}
        ['6 pens', '5']
        ['7', '7 支']
        ['7 pens, or so']
        ```
    """
    marks = _MARK if marker is None else _words(marker)
    text = _own(text, marks)
    pieces = [_piece(text, mark) for mark in marks.finditer(text)]
    return [_BOLD.sub(r"\1", piece).strip("* ") for piece in pieces]


def _words(marker: str) -> re.Pattern[str]:
    """Where a marker stands in a text as whole words, whatever the blanks between them."""
    if not marker.strip():
        raise ValueError(f"marker must hold words, got {marker!r}")
    words = r"\s+".join(re.escape(word) for word in marker.split())
    # Chinese has no blanks between words: only Latin letters can go on with a word.
    start = r"(?<![a-zA-Z0-9])" if re.match(r"[a-zA-Z0-9]", marker.strip()) else ""
    end = r"(?![a-zA-Z0-9])" if re.search(r"[a-zA-Z0-9]$", marker.strip()) else ""
    return re.compile(start + words + end, re.IGNORECASE)


def _own(text: str, marks: re.Pattern[str]) -> str:
    """A text without the questions that follow the first mark."""
    first = marks.search(text)
    further = _NEXT_QUESTION.search(text, first.end()) if first else None
    return text[: further.start()] if further else text


def _piece(text: str, mark: re.Match[str]) -> str:
    """What a mark marks: what is in the box, or the sentence after it."""
    after = text[mark.end() :]
    if mark[0].startswith("\\boxed"):
        depth = 0
        for place, sign in enumerate(after):
            depth += (sign == "{") - (sign == "}")
            if depth == 0 and sign == "}":
                return after[1:place].strip()
        return after[1:].strip()
    line, *rest = _LEAD.sub("", after, count=1).split("\n")
    while line.rstrip().endswith((":", "：", "=")) and rest:  # it is on the next line
        line = f"{line} {rest.pop(0)}"
    return first_sentence(line).rstrip(" .。")


def find(
    text: str,
    first: Callable[[str], str | None],
    last: Callable[[str], str | None],
    *,
    bold: bool = False,
) -> str | None:
    """Look for an answer of any kind, where the readers of this module look.

    Args:
        text: What a model or a person wrote.
        first: Finds the first answer in a piece of text, such as that after a mark.
        last: Finds the last answer in a text without marks.
        bold: What is printed in bold counts more than what is not.

    Returns:
        The answer; none, if there is none.
    """
    text = _own(plain(text), _MARK)
    marks = [*_MARK.finditer(text)]
    for mark in reversed(marks):
        if (answer := first(_piece(text, mark))) is not None:
            return answer
    if marks:
        return last(text[marks[-1].end() :])
    for question in _NEXT_QUESTION.finditer(text):
        if last(text[: question.start()]) is not None:
            text = text[: question.start()]
            break
    for piece in reversed(_BOLD.findall(text) if bold else []):
        if not _TITLE.match(piece) and (answer := last(piece)) is not None:
            return answer
    return last(text)


def read_number(text: str) -> str | None:
    r"""The number that a text gives for an answer.

    Args:
        text: What a model or a person wrote, in English or Chinese.

    Returns:
        The number without sign of currency or percent, separators and needless zeros, such as
        ``"-1234.5"``; none, if there is no number. Numerals, as in 三万五千, are read where there
        are no digits. Fractions such as 3/4 and English words such as "twelve" are not read.

    Examples:
        ```python
        from llmbook.tasks.answers import read_number

        for text in (
            "3 pens at $2 make $6. The answer is $6.00, not 5.",
            "所以一共需要1,200元。",
            "答案是三万五千，其中两千是去年的。",
            r"\boxed{1{,}234}",
            "#### 18\n\nQuestion: A robe takes 2 bolts",
            "It cannot be known.",
        ):
            print(read_number(text))
        ```

        ``` {.text .output}
        6
        1200
        35000
        1234
        18
        None
        ```
    """
    return find(text, _first_number, _last_number, bold=True)


def _numbers(text: str) -> list[Number]:
    """The numbers in digits, or, where there are none, those in numerals."""
    return in_digits(text) or in_numerals(text)


def _last_number(text: str) -> str | None:
    numbers = _numbers(text)
    # 一个 is "a" as often as "one".
    counted = [number for number in numbers if text[number.start : number.end] != "一"]
    return (counted or numbers)[-1].value if numbers else None


def _first_number(piece: str) -> str | None:
    """The number that a piece gives: of a sum the result, and none that is denied."""
    for clause in _CLAUSE.split(piece):
        equals = [match.end() for match in _EQUALS.finditer(clause)]
        for part in [clause[place:] for place in equals[-1:]] + [clause]:
            for number in _numbers(part):
                if not _NEGATED.search(part[: number.start]):
                    return number.value
    return None


def read_name(text: str, names: Iterable[str]) -> str | None:
    """The name, out of some, that a text gives for an answer.

    Args:
        text: What a model or a person wrote.
        names: What may be the answer, with the capitals that it must have.

    Returns:
        The name; none, if the text has none of them as a whole word.

    Examples:
        ```python
        from llmbook.tasks.answers import read_name

        print(read_name("After May comes June. 答案是June。", ["May", "June"]))
        ```

        ``` {.text .output}
        June
        ```
    """
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    name = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(longest_first)})(?![A-Za-z])")

    def first(piece: str) -> str | None:
        for match in name.finditer(piece):
            before = piece[: match.start()]
            # "two days after Monday, Wednesday"
            if not _NEGATED.search(before) and not re.search(r"\b(?:after|before|from) $", before):
                return match[0]
        return None

    return find(text, first, lambda text: (name.findall(text) or [None])[-1], bold=True)


_LETTERS = re.compile(
    r"""
      ["“‘「`*]{1,3}(?P<quoted>[A-Za-z][-\sA-Za-z]*)["”’」`*]+
    | (?<![A-Za-z])[A-Za-z](?:(?:-|,?\ )[A-Za-z](?![A-Za-z]))+  # l-e-e and l, e, e
    | [A-Za-z]+
    """,
    re.VERBOSE,
)


def read_letters(text: str) -> str | None:
    """The letters that a text gives for an answer: a word, or one spelled with hyphens.

    Args:
        text: What a model or a person wrote.

    Returns:
        What is in quotation marks or bold after the mark, or else the first word there; without a
        mark the last of all. Small letters, nothing between them; none, if there is no letter.

    Examples:
        ```python
        from llmbook.tasks.answers import read_letters

        print(read_letters('"music" ends in "c". So it is "C-T-R".'))
        print(read_letters("答案是lee"))
        ```

        ``` {.text .output}
        ctr
        lee
        ```
    """

    def first(piece: str) -> str | None:
        words = [*_LETTERS.finditer(piece)]
        quoted = [match for match in words if match["quoted"]]
        return _letters((quoted or words)[0][0]) if words else None

    def last(text: str) -> str | None:
        words = [*_LETTERS.finditer(text)]
        return _letters(words[-1][0]) if words else None

    return find(text, first, last)


def _letters(word: str) -> str:
    return re.sub("[^a-z]", "", word.lower())


def read_words(text: str) -> str | None:
    """The words that a text gives for an answer.

    Args:
        text: What a model or a person wrote.

    Returns:
        The rest of the sentence after the last mark, or, where there is none, the last line,
        without quotation marks and full stop; none, if there is nothing in it.

    Examples:
        ```python
        from llmbook.tasks.answers import read_words

        print(read_words('He was called so. The answer is "St. John of York". Next question'))
        ```

        ``` {.text .output}
        St. John of York
        ```
    """
    pieces = marked(text)
    piece = pieces[-1] if pieces else (text.strip().splitlines() or [""])[-1]
    return re.sub(r'["“”*]', "", piece).strip(" .。'") or None
