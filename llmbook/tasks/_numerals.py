r"""Numbers in a text, in digits and in Chinese numerals.

A number is more than a run of digits: it has a sign, which is not the minus of a subtraction,
separators between its thousands, and perhaps a unit that multiplies it, as in 1.2万 or 3 million.
And some digits and numerals are no number of things: 3/4, 12:30, 第三, 一共.
"""

import math
import re
from collections.abc import Callable
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, localcontext
from typing import NamedTuple

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)  # no digit is rounded away

_DIGITS = dict(zip("零一二三四五六七八九", range(10), strict=True)) | {"〇": 0, "两": 2}
_SMALL = {"十": 10, "百": 100, "千": 1000}
_LARGE = {"万": 10**4, "亿": 10**8}
_WORDS = {
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
# Numerals that make fraud hard, and traditional signs, as plain ones.
_PLAIN_NUMERALS = str.maketrans(
    "壹贰叁肆伍陆柒捌玖拾佰仟兩萬億點負", "一二三四五六七八九十百千两万亿点负"
)
_FULL_WIDTH = str.maketrans({chr(0xFF01 + i): chr(0x21 + i) for i in range(94)})
_DASHES = str.maketrans(dict.fromkeys("\N{MINUS SIGN}－﹣–‑", "-"))

_REWRITTEN: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [  # in this order
    (r"[０-９]+(?:[．，][０-９]+)*", lambda match: match[0].translate(_FULL_WIDTH)),
    (r"[＋＝％＄￥]", lambda match: match[0].translate(_FULL_WIDTH)),
    (r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2"),
    (r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}", r" \1 "),
    (r"\\(?:times|cdot)(?![a-zA-Z])", "×"),
    (r"\\([$%])", r"\1"),
    # Between thousands: {,} and \, of TeX, blanks that do not break, apostrophes.
    (r"(?<=[0-9])(?:\{,\}|,?\\[,!;: ]|[\u00a0\u2007\u2009\u202f'’])(?=[0-9]{3}(?![0-9]))", ","),
    (r"\\[()\[\]]|\$\$", " "),
    (r"(?<=[0-9])\s*[×x*]\s*10\s*\^\s*\{?([+-]?[0-9]{1,2})(?![0-9])\}?", r"e\1"),
    (r"(?<![A-Za-z])(?:US|USD|RMB|CNY|EUR|GBP)(?=\s?[$€£¥]?-?[0-9])", " "),
    (r"(?i)(?<![a-z])(?:negative|minus)\s+(?=[$€£¥]?[0-9])", "-"),
    (r"负\s*(?=[$€£¥]?[0-9])", "-"),
]
_REWRITES = [(re.compile(pattern), new) for pattern, new in _REWRITTEN]


def plain(text: str) -> str:
    """A text with digits, signs and separators as on a keyboard, and TeX's taken out."""
    text = text.translate(_DASHES)
    for pattern, new in _REWRITES:
        text = pattern.sub(new, text)
    return text


class Number(NamedTuple):
    """A number, and where it stands in a text."""

    value: str  # such as "-1234.5": no needless zero, no separator
    start: int
    end: int


_UNIT = r"(?:万亿|[万亿]|千(?![克米瓦卡焦帕伏赫字])|百(?!分))"
_ARABIC = (
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,3}(?:,[0-9]{2})+,[0-9]{3}(?![0-9])|[0-9]+)"
    r"(?:\.[0-9]+)?"
)
_NUMBER = rf"(?:{_ARABIC}|(?<![A-Za-z0-9.])\.[0-9]+)(?:[eE][+-]?[0-9]{{1,2}}(?![0-9]))?"
_IN_DIGITS = re.compile(
    # Not in a word, a power, a time or a fraction; ".5" begins with its point.
    rf"(?<![A-Za-z0-9^])(?<![A-Za-z]_)(?<![0-9][.:/]){_NUMBER}(?![0-9]|[.:/][0-9])"
    rf"(?P<units>\s?{_UNIT}(?:零?(?:{_ARABIC}|[零〇一二两三四五六七八九]){_UNIT}?)*)?"
    rf"(?:\s(?P<word>{'|'.join(_WORDS)})(?![a-z]))?",
)
# A minus after a number, a word or a bracket is a subtraction or a hyphen; so it is after "9元".
_COUNTED = "[0-9][\u4e00-\u9fff]"
_SIGN = re.compile(
    rf"(?<![A-Za-z0-9)\]%-])(?<![0-9)] )(?<!{_COUNTED})(?<!{_COUNTED}[\u4e00-\u9fff])"
    r"(?:-[$€£¥]?|[$€£¥]-)$"
)

_NUMERAL = "[零〇一二两三四五六七八九十百千万亿]"
_NO_NUMBER = (  # ordinals, dates, fractions, and words that hold a numeral
    f"第{_NUMERAL}+|(?:星期|周|礼拜){_NUMERAL}|{_NUMERAL}+月|(?!百分之){_NUMERAL}+分之{_NUMERAL}*"
    f"|几{_NUMERAL}+|数[十百千万亿]+|[每另某哪这那同任之统唯其单]一|万一|[两二]者|百万富翁"
    "|一[共起样些定直旦般边切致律下会]|万分|千万|十分(?![钟钱])|十足|三角|四边|四周|四舍五入|五角|六边"
)
_IN_NUMERALS = re.compile(
    f"{_NO_NUMBER}|(?:百分之)?(?P<sign>负?)(?P<whole>{_NUMERAL}++)(?![几月])"
    f"(?:点(?P<fraction>[零〇一二三四五六七八九]++)(?P<unit>[万亿]*))?"
)


def in_digits(text: str) -> list[Number]:
    """The numbers of a plain text that are written in digits."""
    numbers = []
    for match in _IN_DIGITS.finditer(text):
        word = match["word"] or ""
        number = match[0].removesuffix(word).strip()
        with localcontext(_EXACT):
            value = _value(_tokens(number)) if match["units"] else Decimal(number.replace(",", ""))
            value = value and value * _WORDS.get(word, 1)
        if value is not None:
            before = text[max(0, match.start() - 8) : match.start()]
            numbers.append(Number(_write(value, bool(_SIGN.search(before))), *match.span()))
    return numbers


def in_numerals(text: str) -> list[Number]:
    """The numbers of a plain text that are written in Chinese numerals."""
    numbers = []
    for match in _IN_NUMERALS.finditer(text.translate(_PLAIN_NUMERALS)):
        with localcontext(_EXACT):
            value = _value(_tokens(match["whole"])) if match["whole"] else None
            if value is not None and match["fraction"]:
                value += Decimal("." + "".join(str(_DIGITS[sign]) for sign in match["fraction"]))
                value *= math.prod(_LARGE[sign] for sign in match["unit"])
        if value is not None:
            numbers.append(Number(_write(value, bool(match["sign"])), *match.span()))
    return numbers


def _tokens(numeral: str) -> list[Decimal | str]:
    """Its numbers and units, in order: "1.2万" gives 1.2 and "万"."""
    parts: list[str] = re.findall(rf"{_NUMBER}|\S", numeral)
    return [
        part
        if part in _SMALL or part in _LARGE
        else Decimal(_DIGITS[part] if part in _DIGITS else part.replace(",", ""))
        for part in parts
    ]


def _value(tokens: list[Decimal | str]) -> Decimal | None:
    """What numbers and units stand for; none, if they are not put together as they should be.

    A Chinese numeral counts in sections of four digits: 三万五千 is 3 times 万 (10,000) and 5 times
    千 (1,000). ``digit`` waits for its unit, ``section`` for its 万 or 亿, and ``total`` is done.
    """
    if len(tokens) > 2 and all(isinstance(token, Decimal) for token in tokens):
        return Decimal("".join(map(str, tokens)))  # read out digit by digit: 二〇二六
    total, section, digit = Decimal(0), Decimal(0), None
    unit = below = 0  # the last unit, and what the next before 万 or 亿 must stay below
    for token in tokens:
        if isinstance(token, Decimal):
            if digit:  # two numbers and no unit between
                return None
            digit = token
            unit = unit if token else 0
        elif token in _SMALL:
            unit = _SMALL[token]
            if not digit and unit == 10:
                digit = Decimal(1)  # 十二, 一百十二
            if not digit or 0 < below <= unit:
                return None
            section, digit, below = section + digit * unit, None, unit
        else:
            unit = _LARGE[token]
            section += digit or 0
            if not section and not (token == "亿" and total):
                return None
            total = (total + section) * unit if token == "亿" else total + section * unit
            section, digit, below = Decimal(0), None, 0
    if digit and digit < 10 and unit >= 100:
        digit *= unit // 10  # 三万五 is 35,000, as people say it
    return total + section + (digit or 0)


def _write(value: Decimal, negative: bool) -> str:
    digits = format(value, "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return f"-{digits}" if negative and digits != "0" else digits
