"""What `make outputs` writes into pages and docstrings, and what a block cannot get away with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import fresh
from tests.docs.test_machinery import ROOT, page


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree whose outputs were written by --update-outputs."""
    root = tmp_path_factory.mktemp("outputs")
    (root / "pytest.ini").write_text("[pytest]\naddopts = --markdown-docs\n")
    (root / "docs" / "en").mkdir(parents=True)
    (root / "llmbook").mkdir()
    quotes = page("import llmbook\nprint('```')\n", "")
    nothing = page("import llmbook\n", "gone\n")
    boxed = page(before='??? note "N"\n\n    === "T"\n\n', indent="        ", output="")
    text = boxed + "\n" + nothing + "\n" + page(output="7\n") + "\n" + quotes
    (root / "docs" / "en" / "page.md").write_text(text, encoding="utf-8")
    example = page("import llmbook\nprint(1)\n", "2\n", indent="    ")
    source = f'def f():\n    """F.\n\n{example}    """\n'
    (root / "llmbook" / "module.py").write_text(source, encoding="utf-8")
    return root


@pytest.mark.slow
def test_outputs_are_written_where_they_belong(fixed: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.docs.plugin", "-p"]
    command += ["no:cacheprovider", "--rootdir", str(fixed), "-c", str(fixed / "pytest.ini")]
    command += [str(fixed / "docs"), str(fixed / "llmbook")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    at = fixed / "docs" / "en" / "page.md"
    before = at.read_text(encoding="utf-8")

    def run(*more: str) -> int:
        done = subprocess.run([*command, *more], env=environment, capture_output=True, check=False)
        return done.returncode

    assert run() == 1
    assert at.read_text(encoding="utf-8") == before, "a normal run never writes"
    assert run("--update-outputs") == 0
    after = at.read_text(encoding="utf-8")
    assert "        ``` {.text .output}\n        6\n        ```\n" in after
    assert "gone" not in after
    assert "\n7\n" not in after
    assert "\n```` {.text .output}\n```\n````\n" in after
    assert "    1\n" in (fixed / "llmbook" / "module.py").read_text(encoding="utf-8")
    assert run() == 0, "what was written is what is wanted"


@pytest.mark.slow
def test_a_block_that_hangs_is_ended() -> None:
    assert "still running" in fresh.run("import time; time.sleep(60)", "page.md", 2).error
    thread = "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()"
    assert "still running" in fresh.run(thread, "page.md", 2).error


def test_a_warning_is_seen() -> None:
    assert "look out" in fresh.run("import warnings; warnings.warn('look out')", "page.md").stderr
