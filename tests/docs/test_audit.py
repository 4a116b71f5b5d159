"""The counting audit: every Python block that the built site shows is one that ran.

Last of all tests, since it counts what the others ran.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import LANGUAGES, fences
from tests.docs.built import blocks
from tests.docs.plugin import AUDIT, RAN
from tests.support.website import Site

ROOT = Path(__file__).parents[2]


def shown(html: str) -> tuple[int, list[str]]:
    """Number of Python blocks on a built page, and what else there is that should not be."""
    count, strange = 0, []
    for block in blocks(html):
        if block.kind == "python":
            count += 1
        elif block.kind not in LANGUAGES or (
            block.kind == "text" and "output" not in block.classes
        ):
            strange.append(f"{block.kind or 'unmarked'}: {block.text[:60]!r}")
    return count, strange


def sources(page: Path) -> list[Path]:
    """The files whose blocks a page shows: itself, and the modules that it documents."""
    modules = re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    found = [page]
    for module in modules:
        path = ROOT.joinpath(*module.split("."))
        found += sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return found


@pytest.mark.last
@pytest.mark.parametrize("language", ["zh", "en"])
def test_blocks_built_are_blocks_run(site: Site, language: str) -> None:
    built_in_all = ran_in_all = 0
    faults = []
    folder = ROOT / "docs" / language
    # The site has been built, and with it the pages of the API reference have been written.
    made = ROOT / ".cache" / "reference" / language
    for page in sorted([*folder.rglob("*.md"), *made.rglob("*.md")]):
        under = folder if page.is_relative_to(folder) else made
        uri = page.relative_to(under).with_suffix("")
        address = uri.parent if uri.name == "index" else uri
        html = (site.folder / language / address / "index.html").read_text(encoding="utf-8")
        built, strange = shown(html)
        ran = sum(RAN[source.relative_to(ROOT).as_posix()] for source in sources(page))
        written = len([f for f in fences(page.read_text(encoding="utf-8")) if f.is_python])
        if built != ran:
            faults.append(f"{uri}: {built} blocks shown, {ran} ran and passed, {written} written")
        faults += [f"{uri}: a block of another kind, {text}" for text in strange]
        built_in_all, ran_in_all = built_in_all + built, ran_in_all + ran
    notest = sum(
        "notest" in fence.info
        for page in folder.rglob("*.md")
        for fence in fences(page.read_text(encoding="utf-8"))
    )
    AUDIT[language] = f"{built_in_all} built = {ran_in_all} run, {notest} notest"
    assert not faults, "run the whole suite, the audit counts what it ran:\n" + "\n".join(faults)
    assert built_in_all == ran_in_all and notest == 0 and built_in_all > 0
