"""Finds terms translated two ways, with docs/glossary.yml as the judge."""

from __future__ import annotations

import re

from extensions.glossary import Term
from tests.docs.parity import sections, without_code

FIRST_USE = re.compile(r"\*([^*\n]*[\u4e00-\u9fff][^*\n]*)\*\(([A-Za-z][\w .-]*)\)")


def faults(terms: list[Term], zh: str, en: str) -> list[str]:
    """Every term of two pages that is not rendered as the glossary has it."""
    found = [*_avoided(terms, zh, "zh"), *_avoided(terms, en, "en"), *_first_uses(terms, zh)]
    ours, theirs = sections(zh), sections(en)
    for anchor in [key for key in ours if key in theirs]:
        chinese, english = _plain(ours[anchor]), _plain(theirs[anchor])
        for term in terms:
            if not term.lint:
                continue
            if _occurs(terms, term, "en", english) and not _rendered(term, "zh", chinese):
                found.append(
                    f"#{anchor}: {term.name['en']!r} in English, no {term.name['zh']!r} in Chinese"
                )
    # The other way round by page, and content with the noun: English says "it", or "the weights"
    # of an attention weight, or "scaled" of scaling, where Chinese repeats the term.
    chinese, english = (_plain(" ".join(part.values())) for part in (ours, theirs))
    for term in terms:
        nouns = [form.split()[-1] for form in _forms(term, "en")]
        stems = [noun[: max(4, len(noun) - 3)].lower() for noun in nouns]
        if (
            term.lint
            and _occurs(terms, term, "zh", chinese)
            and not any(stem in english.lower() for stem in stems)
            and not _rendered(term, "zh", english)  # a Chinese name quoted as it is
        ):
            found.append(
                f"{term.name['zh']!r} in Chinese, no {term.name['en']!r} on the page in English"
            )
    return found


def _avoided(terms: list[Term], text: str, language: str) -> list[str]:
    prose = "".join(sections(text).values())
    return [
        f"{language}: {wrong!r} stands for {term.name[language]!r}"
        for term in terms
        for wrong in term.avoid.get(language, ())
        if re.search(_pattern(wrong, language), prose, re.IGNORECASE)
    ]


def _first_uses(terms: list[Term], zh: str) -> list[str]:
    names = {form.lower(): term for term in terms for form in _forms(term, "en")}
    return [
        f"zh: {chinese!r}({english}) should be {names[english.lower()].name['zh']!r}"
        for chinese, english in FIRST_USE.findall(without_code(zh))
        if english.lower() in names and chinese not in _forms(names[english.lower()], "zh")
    ]


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("*", ""))


def _forms(term: Term, language: str) -> list[str]:
    return term.surfaces("en") if language == "en" else term.names("zh")


def _pattern(form: str, language: str) -> str:
    # An English word stands alone, also in a Chinese sentence; a Chinese one has no blanks around.
    if language == "zh" and not form.isascii():
        return re.escape(form)
    return rf"(?<![A-Za-z0-9_-]){re.escape(form)}s?(?![A-Za-z0-9_-])"


def _occurs(terms: list[Term], term: Term, language: str, text: str) -> bool:
    """Whether a text uses a term by itself, not as a part of a longer term."""
    forms = _forms(term, language)
    for other in terms:
        if other is term:
            continue
        for longer in _forms(other, language):
            if any(form.lower() in longer.lower() and form != longer for form in forms):
                text = re.sub(_pattern(longer, language), " · ", text, flags=re.IGNORECASE)
    return any(re.search(_pattern(form, language), text, re.IGNORECASE) for form in forms)


def _rendered(term: Term, language: str, text: str) -> bool:
    """Whether a text has a term, if only as a part of a longer one, or in its English form."""
    forms = {*_forms(term, language), *_forms(term, "en")}
    return any(form.lower() in text.lower() for form in forms)
