"""Sums: whether those that a model has written out are right, as a calculator sees it."""

import re
from fractions import Fraction

__all__ = ["sums_are_right"]

_NUMBER = r"[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?"
_SUM = re.compile(
    rf"(?<![\w.)])(?P<terms>-?{_NUMBER}(?:\s*[-+*/×÷]\s*{_NUMBER})+)"
    rf"\s*=\s*[$€£¥]?(?P<result>-?{_NUMBER})(?![0-9]*\s*[-+*/×÷]\s*[0-9])"
)


def sums_are_right(text: str) -> bool:
    """Whether a text has no wrong sum such as `7 + 3 = 11`: a calculator as a check.

    Args:
        text: What a model wrote. Sums have numbers, `+ - * / × ÷`, an equals sign and a number,
            which may be rounded; with brackets or words in between, they are passed over.

    Returns:
        ``False`` if one is wrong; ``True`` too where there is none.

    Examples:
        ```python
        from llmbook.tasks.sums import sums_are_right

        print(sums_are_right("Bo has 7 + 3 = 10 marbles, twice that is 10 * 2 = 20."))
        print(sums_are_right("小红有 7 + 3 = 11 颗弹珠。"))
        ```

        ``` {.text .output}
        True
        False
        ```
    """
    return all(_is_right(found["terms"], found["result"]) for found in _SUM.finditer(text))


def _is_right(terms: str, result: str) -> bool:
    """Whether terms come to a result, as far as it is written out."""
    total, product = Fraction(0), Fraction(0)
    pieces = re.findall(rf"([-+*/×÷]?)\s*({_NUMBER})", terms)
    for sign, digits in pieces:
        number = Fraction(digits.replace(",", ""))
        if sign in ("*", "×"):
            product *= number
        elif sign in ("/", "÷"):
            if not number:
                return False
            product /= number
        else:  # the product before it is complete
            total, product = total + product, -number if sign == "-" else number
    decimals = len(result.partition(".")[2])
    error = abs(total + product - Fraction(result.replace(",", "")))
    return error <= (Fraction(1, 2 * 10**decimals) if decimals else 0)
