"""Everything in the source article has a place in the book, and every mistake in it an entry.

The article is not part of the repository: its table of contents is written out here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs import parity

DOCS = Path(__file__).parents[2] / "docs"
LANGUAGES = ["zh", "en"]

# Sections with the number of formulas (F), diagrams (D), listings (L) and examples (E) in each.
SECTIONS: dict[str, dict[str, int]] = {
    "0": {},  # the title
    **{"1.1": {}, "1.2": {}, "1.3": {}},
    **{"2.1": {}, "2.2": {"D": 1}, "2.3": {}, "2.4": {}},
    **{"3.1": {"F": 3}, "3.2": {"F": 2}, "3.3": {"F": 3}},
    **{"4.1": {"F": 3, "E": 1}, "4.2": {"F": 1}, "4.3": {"F": 1}},
    "5": {"L": 2, "E": 1},
    **{f"6.{number}": {} for number in range(1, 7)},
}
PARTS = [
    part
    for section, counts in SECTIONS.items()
    for part in (
        section,
        *(f"{section}-{kind}{n + 1}" for kind, count in counts.items() for n in range(count)),
    )
]
PLANNED = {f"6.{number}" for number in range(1, 7)}
PLANNED_WORD = {"zh": "计划中", "en": "planned"}

ROW = re.compile(r"^\| (\d[\d.]*(?:-[A-Z]\d+)?) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
TARGET = re.compile(r"\]\(([^)\s]+)\)")


def page(language: str, name: str) -> str:
    return (DOCS / language / "appendix" / f"{name}.md").read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    text = parity.without_code(path.read_text(encoding="utf-8"))
    return {match[2] for match in parity.HEADING.finditer(text) if match[2]}


def link_faults(language: str, target: str) -> list[str]:
    """Why a link of a page of the appendix leads to no section."""
    file, _, anchor = target.partition("#")
    path = (DOCS / language / "appendix" / file).resolve()
    if not path.is_relative_to(DOCS / language) or path.suffix != ".md" or not path.is_file():
        return [f"no page {target}"]
    return [] if anchor in anchors(path) else [f"no section {target}"]


def map_faults(language: str, text: str) -> list[str]:
    """Everything that the map leaves out, or sends nowhere."""
    rows = ROW.findall(text)
    found = [number for number, *_ in rows]
    faults = [f"no row for {part}" for part in PARTS if part not in found]
    faults += [f"{n} is not in the article, or a second time here" for n in found if n not in PARTS]
    faults += [f"two rows for {n}" for n in PARTS if found.count(n) > 1]
    if not faults and found != PARTS:
        faults.append("the rows are not in the order of the article")
    word = PLANNED_WORD[language]
    for number, what, where, change in rows:
        if "-F" in number and not parity.FORMULA.search(what):
            faults.append(f"{number}: the row does not show the formula")
        if number in PLANNED:
            faults += [] if where == word else [f"{number}: {where!r}, expected {word!r}"]
        elif not TARGET.search(where):
            faults.append(f"{number}: leads nowhere, {where!r}")
        faults += [
            f"{number}: {fault}"
            for target in TARGET.findall(where + change)
            for fault in link_faults(language, target)
        ]
    if text.lower().count(word) != len(PLANNED):
        faults.append(f"{word!r} stands elsewhere than in the rows of {sorted(PLANNED)}")
    return faults


def errata_faults(errata: str, map_text: str) -> list[str]:
    """Every erratum without a link from the map, and a count that is not theirs."""
    headings = parity.HEADING.finditer(parity.without_code(errata))
    entries = [match[2] for match in headings if len(match[1]) == 3]
    count = re.search(r"\*\*(\d+)\*\*", errata)
    faults = [f"{e} is not an anchor of an erratum" for e in entries if "erratum-" not in (e or "")]
    if count is None or int(count[1]) != len(entries):
        faults.append(f"{len(entries)} errata, the head says {count and count[1]}")
    linked = set(re.findall(r"\(errata\.md#([\w-]+)\)", map_text))
    return faults + [
        f"the map does not link to {entry}" for entry in entries if entry not in linked
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_in_the_article_has_its_place(language: str) -> None:
    faults = map_faults(language, page(language, "article-map"))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_erratum_is_counted_and_on_the_map(language: str) -> None:
    faults = errata_faults(page(language, "errata"), page(language, "article-map"))
    assert not faults, "\n".join(faults)


def without_row(number: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"^\| {re.escape(number)} \|.*\n", "", text, flags=re.MULTILINE)


def without_target(number: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"(\| {re.escape(number)} \|.*?\|).*?\|", r"\1 planned |", text)


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        *((without_row(part), f"no row for {part}") for part in PARTS),
        (replaced("| 2.4 |", "| 2.5 |"), "2.5 is not in the article"),
        (replaced("| 2.4 |", "| 2.3 |"), "two rows for 2.3"),
        (replaced("#matrix-form", "#matrix-from"), "3.1-F1: no section"),
        (replaced("history.md", "histories.md"), "0: no page"),
        (replaced("self-attention.md#matrix-form", "self-attention.md"), "3.1-F1: no section"),
        (replaced("| $Z = SV$ |", "| Z |"), "3.1-F3: the row does not show the formula"),
        (replaced("| planned |", "| later |"), "6.1: 'later', expected 'planned'"),
        (
            lambda text: re.sub(r"(\| 1\.2 \|.*?\|).*?\|", r"\1 planned |", text),
            "1.2: leads nowhere",
        ),
        (lambda text: text + "\nMore is planned.\n", "stands elsewhere"),
        (lambda text: re.sub(r"(\| 4\.2 .*\n)((?:.*\n)?)", r"\2\1", text), "not in the order"),
    ],
)
def test_a_damaged_map_is_noticed(damage: Callable[[str], str], complaint: str) -> None:
    text = page("en", "article-map")
    damaged = damage(text)
    assert damaged != text
    assert complaint in "\n".join(map_faults("en", damaged))


def test_damaged_errata_are_noticed() -> None:
    errata, map_text = page("en", "errata"), page("en", "article-map")
    more = errata.replace("### ", "### One more { #erratum-new }\n\n### ", 1)
    assert len(errata_faults(more, map_text)) == 2  # neither counted nor linked
    assert errata_faults(errata.replace("{ #erratum-title }", "{ #title }"), map_text)
    assert errata_faults(errata, map_text.replace("#erratum-batch-first", "#erratum"))
