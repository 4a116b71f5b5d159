"""Every page keeps to its form, and its two languages say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from extensions.glossary import load
from tests.docs import diagrams, form, glossary, parity
from tests.docs.blocks import docstrings, fences, pages

ROOT = Path(__file__).parents[2]
ENGLISH = sorted((ROOT / "docs" / "en").rglob("*.md"))
CHINESE = [*sorted((ROOT / "docs" / "zh").rglob("*.md")), ROOT / "README.zh.md"]
MODULES = sorted((ROOT / "llmbook").rglob("*.py"))
TERMS = load()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def chinese(page: Path) -> Path:
    return ROOT / "docs" / "zh" / page.relative_to(ROOT / "docs" / "en")


def test_both_languages_have_the_same_pages() -> None:
    zh, en = (
        {p.relative_to(ROOT / "docs" / language) for p in (ROOT / "docs" / language).rglob("*.md")}
        for language in ("zh", "en")
    )
    assert zh == en and en


@pytest.mark.parametrize("page", ENGLISH, ids=name)
def test_the_languages_agree(page: Path) -> None:
    faults = parity.faults(read(chinese(page)), read(page))
    assert not faults, f"{name(page)}:\n" + "\n".join(faults)


def test_the_readmes_agree() -> None:
    faults = parity.block_faults(read(ROOT / "README.zh.md"), read(ROOT / "README.md"))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("page", ENGLISH, ids=name)
def test_terms_are_translated_one_way(page: Path) -> None:
    faults = glossary.faults(TERMS, read(chinese(page)), read(page))
    assert not faults, f"{name(page)}:\n" + "\n".join(faults)


@pytest.mark.parametrize("page", [*pages(ROOT)], ids=name)
def test_form(page: Path) -> None:
    # Only the site has a use for anchors: a README is read where they show as text.
    faults = form.faults(read(page), anchors=page.parent != ROOT)
    assert not faults, f"{name(page)}:\n" + "\n".join(faults)


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_form_of_docstrings(module: Path) -> None:
    found = []
    for owner, text, line in docstrings(read(module)):
        found += [f"{name(module)}:{line}, {owner}: {fault}" for fault in form.faults(text)]
        if control := re.search(r"[\x00-\x08\x0b-\x1f]", text):
            found.append(f"{name(module)}:{line}, {owner}: {control[0]!r} shows as nothing")
        if ">>>" in text:
            found.append(f"{name(module)}:{line}, {owner}: >>> is not run, write a python fence")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", CHINESE, ids=name)
def test_chinese_typography(page: Path) -> None:
    faults = form.typography_faults(read(page))
    assert not faults, f"{name(page)}:\n" + "\n".join(faults)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_work_is_cited_and_every_citation_has_its_work(language: str) -> None:
    texts = [parity.without_code(read(page)) for page in (ROOT / "docs" / language).rglob("*.md")]
    marks = [mark for text in texts for mark in parity.CITATION.findall(text)]
    works = set(re.findall(r"^@\w+\{([^,]+),", read(ROOT / "docs/references.bib"), re.MULTILINE))
    assert works == {key for mark in marks for key in parity.KEY.findall(mark)}


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_figure_kept_is_shown(language: str) -> None:
    texts = [read(page) for page in (ROOT / "docs" / language).rglob("*.md")]
    shown = set().union(*(form.figures(text)[0] for text in texts))
    assert shown == {p.name for p in (ROOT / "docs/assets/figures" / language).glob("*.svg")}


def test_every_diagram_is_drawn() -> None:
    assert diagrams.faults() == [], "run `make outputs`"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_table_of_votes_quotes_its_blocks(language: str) -> None:
    # No block can measure all of it in time, so each row is copied by hand from one.
    text = read(ROOT / "docs" / language / "least-to-most" / "beyond.md")
    printed = [f"{line} " for f in fences(text) if f.is_output for line in f.content.split("\n")]
    rows = [line for line in text.split("\n") if line.startswith("|") and parity.SCORE.search(line)]
    assert len(rows) == 11
    for row in rows:
        score, calls = (cell.strip() for cell in row.split("|")[2:4])
        assert any(score in line and f" {calls} " in line for line in printed), row
