"""Finds terms translated two ways, with docs/glossary.yml as the judge."""

from __future__ import annotations

import re
from typing import Any

from tests.docs.parity import sections, without_code

FIRST_USE = re.compile(r"\*([^*\n]*[\u4e00-\u9fff][^*\n]*)\*\(([A-Za-z][\w .-]*)\)")
Term = dict[str, Any]


def faults(terms: list[Term], zh: str, en: str) -> list[str]:
    """Every term of two pages that is not rendered as the glossary has it."""
    found = [*_avoided(terms, zh, "zh"), *_avoided(terms, en, "en"), *_first_uses(terms, zh)]
    ours, theirs = sections(zh), sections(en)
    for anchor in ours.keys() & theirs.keys():
        chinese, english = _plain(ours[anchor]), _plain(theirs[anchor])
        for term in terms:
            if term.get("lint") is False:
                continue
            count = _count_english(term, english)
            if count and not _has_chinese(term, chinese):
                found.append(f"#{anchor}: {term['en']!r} in English, no {term['zh']!r} in Chinese")
    return found


def _avoided(terms: list[Term], text: str, language: str) -> list[str]:
    prose = without_code(text)
    return [
        f"{language}: {wrong!r} stands for {term[language]!r}"
        for term in terms
        for wrong in term.get("avoid", {}).get(language, ())
        if (wrong in prose if language == "zh" else re.search(rf"\b{re.escape(wrong)}\b", prose))
    ]


def _first_uses(terms: list[Term], zh: str) -> list[str]:
    names = {form.lower(): term for term in terms for form in _english(term)}
    return [
        f"zh: {chinese!r}({english}) should be {names[english.lower()]['zh']!r}"
        for chinese, english in FIRST_USE.findall(without_code(zh))
        if english.lower() in names and chinese not in _chinese(names[english.lower()])
    ]


def _plain(text: str) -> str:
    return text.replace("*", "")


def _english(term: Term) -> list[str]:
    forms = [term["en"], *term.get("forms", {}).get("en", ())]
    return [*forms, term["abbr"]] if term.get("abbr") else forms


def _chinese(term: Term) -> list[str]:
    return [term["zh"], *term.get("forms", {}).get("zh", ())]


def _count_english(term: Term, text: str) -> int:
    forms = "|".join(re.escape(form) for form in _english(term))
    return len(re.findall(rf"(?<![\w-])(?:{forms})s?(?![\w-])", text, re.IGNORECASE))


def _has_chinese(term: Term, text: str) -> bool:
    return any(form in text for form in _chinese(term)) or any(
        re.search(rf"(?<![\w-]){re.escape(form)}", text, re.IGNORECASE) for form in _english(term)
    )
