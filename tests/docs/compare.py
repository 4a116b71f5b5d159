"""Compares what a block prints with what its page says it prints.

Exactly, with doctest's ``...`` for what truly varies; but the last of three or more decimals may
differ by one, as another processor's rounding may fall on the other side. Or, where a page says
``data-tol="2%"`` of an output, number by number within that tolerance, and everything else exactly.
"""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable
from functools import partial

EXACTLY = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1 | doctest.DONT_ACCEPT_BLANKLINE
# Not the 2 of "fc2" or "v0.2": what belongs to a name is no number.
NUMBER = re.compile(
    r"(?<![\w.])(?<!\w[-+])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?(?:e[-+]?\d+)?(?![\w,]*[A-Za-z_])"
)
TOLERANCE = re.compile(r"(\d+(?:\.\d+)?)(%?)")


def visible(text: str) -> list[str]:
    """The lines of an output, without the blanks at their ends that no reader sees."""
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n").splitlines()


def agree(expected: str, printed: str, tolerance: str | None = None) -> bool:
    """Whether a block printed what its page says.

    Args:
        expected: What the page says.
        printed: What the block printed.
        tolerance: By how much numbers may differ: ``"2%"`` of the larger one, or ``"0.5"``. One
            unit of the last digit that is shown is allowed too, as rounding may need it.

    Raises:
        ValueError: If the tolerance is neither.
    """
    near = _same_but_for_rounding if tolerance is None else _within(tolerance)
    expected, printed = ("\n".join(visible(text)) + "\n" for text in (expected, printed))
    if tolerance is None and doctest.OutputChecker().check_output(expected, printed, EXACTLY):
        return True
    if _words(expected) != _words(printed):
        return False
    numbers = zip(NUMBER.findall(expected), NUMBER.findall(printed), strict=True)
    return all(one == other or near(one, other) for one, other in numbers)


def _within(tolerance: str) -> Callable[[str, str], bool]:
    """Whether two numbers are as near as a page allows."""
    match = TOLERANCE.fullmatch(tolerance)
    if not match or not float(match[1]):
        raise ValueError(f'data-tol must be such as "2%" or "0.5", got {tolerance!r}')
    return partial(_near, tolerance=float(match[1]), percent=bool(match[2]))


def _words(text: str) -> list[str]:
    """Each line with a mark for each number and no blanks around it: columns may grow."""
    return [re.sub(r"\s*#\s*", "#", NUMBER.sub("#", line)) for line in text.splitlines()]


def _near(one: str, other: str, tolerance: float, percent: bool) -> bool:
    a, b = (float(number.replace(",", "")) for number in (one, other))
    allowed = tolerance / 100 * max(abs(a), abs(b)) if percent else tolerance
    return abs(a - b) <= (allowed + max(_unit(one), _unit(other))) * (1 + 1e-9)


def _same_but_for_rounding(one: str, other: str) -> bool:
    mantissas = [number.partition("e")[0] for number in (one, other)]
    if min(len(mantissa.partition(".")[2]) for mantissa in mantissas) < 3:
        return False
    return _near(one, other, 0.0, percent=False)


def _unit(number: str) -> float:
    """One unit of the last digit shown; none of a count, whose digits are all meant."""
    mantissa, _, exponent = number.partition("e")
    decimals = len(mantissa.partition(".")[2])
    return float(10.0 ** (int(exponent or 0) - decimals)) if decimals or exponent else 0.0
