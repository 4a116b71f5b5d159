"""The languages in which a generator tells its problems."""

from typing import Literal, get_args

Language = Literal["en", "zh"]


def check_language(language: str) -> None:
    """Require a language that problems are told in."""
    if language not in get_args(Language):
        raise ValueError(f"language must be 'en' or 'zh', got {language!r}")
