"""The languages in which problems are told."""

import re
from typing import Literal, get_args

Language = Literal["en", "zh"]

_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def language_of(text: str) -> Language:
    """That of a text: Chinese, if it has a Chinese character."""
    return "zh" if _CHINESE.search(text) else "en"


def check_language(language: str) -> None:
    """Require a language that problems are told in."""
    if language not in get_args(Language):
        raise ValueError(f"language must be 'en' or 'zh', got {language!r}")
