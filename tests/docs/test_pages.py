"""What every page must keep to, and what its two languages must share."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.docs import glossary, parity
from tests.docs.blocks import fences, pages

ROOT = Path(__file__).parents[2]
ALLOWED = {"python", "text", "bash", "powershell", "toml", "yaml", "markdown", "bibtex", "mermaid"}
ENGLISH = sorted((ROOT / "docs" / "en").rglob("*.md"))
TERMS = yaml.safe_load((ROOT / "docs" / "glossary.yml").read_text(encoding="utf-8"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def chinese(page: Path) -> Path:
    return ROOT / "docs" / "zh" / page.relative_to(ROOT / "docs" / "en")


def test_both_languages_have_the_same_pages():
    trees = ({p.relative_to(ROOT / "docs" / lang) for p in (ROOT / "docs" / lang).rglob("*.md")}
             for lang in ("zh", "en"))  # fmt: skip
    zh, en = trees
    assert zh == en


@pytest.mark.parametrize("page", ENGLISH, ids=name)
def test_the_languages_agree(page):
    zh, en = chinese(page).read_text(encoding="utf-8"), page.read_text(encoding="utf-8")
    assert not parity.faults(zh, en), f"{name(page)}:\n" + "\n".join(parity.faults(zh, en))


@pytest.mark.parametrize("page", ENGLISH, ids=name)
def test_terms_are_translated_one_way(page):
    zh, en = chinese(page).read_text(encoding="utf-8"), page.read_text(encoding="utf-8")
    faults = glossary.faults(TERMS, zh, en)
    assert not faults, f"{name(page)}:\n" + "\n".join(faults)


@pytest.mark.parametrize("page", [*pages(ROOT)], ids=name)
def test_form(page):
    # Only the site has a use for anchors: a README is read where they show as text.
    faults = form_faults(page.read_text(encoding="utf-8"), anchors=page.parent != ROOT)
    assert not faults, f"{name(page)}:\n" + "\n".join(faults)


def form_faults(text: str, *, anchors: bool = True) -> list[str]:
    """Everything on a page that would let a block go unrun or a section go unlinked."""
    try:
        blocks = fences(text)
    except ValueError as error:
        return [str(error)]
    found = []
    for fence in blocks:
        where = f"line {fence.start + 1}"
        if fence.language not in ALLOWED:
            found.append(
                f"{where}: a fence of kind {fence.info!r}, expected one of {sorted(ALLOWED)}"
            )
        if fence.is_python and fence.info != "python":
            found.append(f"{where}: {fence.info!r} has options, expected plain python")
        if fence.is_python and not re.search(
            r"^\s*(from|import) llmbook\b", fence.content, re.MULTILINE
        ):
            found.append(f"{where}: the block does not import llmbook")
        if fence.language == "text" and not any(b.output is fence for b in blocks):
            found.append(f"{where}: an output that is not directly under a Python block")
    body = parity.without_code(text)
    if "<pre" in body:
        found.append("raw <pre> on the page")
    for match in parity.HEADING.finditer(body):
        if anchors and not match[2]:
            found.append(f"a heading without an anchor: {match[0]!r}")
    return found


def test_every_public_name_is_used_on_a_page():
    import importlib

    text = "".join(
        page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "en").rglob("*.md")
    )
    for module in ("attention", "positions", "plots"):
        for public in importlib.import_module(f"llmbook.{module}").__all__:
            assert re.search(rf"\b{public}\b", text), f"llmbook.{module}.{public} is on no page"


def test_every_figure_is_shown():
    for language in ("zh", "en"):
        text = "".join(
            p.read_text(encoding="utf-8") for p in (ROOT / "docs" / language).rglob("*.md")
        )
        shown = set(re.findall(r"assets/figures/([\w-]+\.svg)\)", text))
        kept = {path.name for path in (ROOT / "docs/assets/figures" / language).glob("*.svg")}
        assert kept == shown
        made = set(re.findall(r"plots\.save\([^)]*\"([\w-]+\.svg)\"", text))
        assert made == shown, "each figure is made by a block"


def test_every_diagram_is_drawn():
    import subprocess
    import sys

    command = [sys.executable, str(ROOT / "overrides/hooks/diagrams.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
