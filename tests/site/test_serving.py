"""`mkdocs serve`, run on a copy of the book: what a writer sees after saving."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.support.website import ROOT

PAGE, PATH = "docs/en/attention/positions.md", "en/attention/positions/"


def start(folder: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "mkdocs", "serve", "--dev-addr", f"127.0.0.1:{port}"],
        cwd=folder,
        env=os.environ | {"ONLY": "en", "NO_MKDOCS_2_WARNING": "1"},
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
    )


@dataclass
class Served:
    """A copy of the book that is being served."""

    folder: Path
    port: int
    log: Path
    seconds: float  # that the first build took

    def html(self, path: str) -> str:
        with urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=300) as answer:
            return str(answer.read().decode())

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")


def wait(condition: object, seconds: float) -> float:
    """How long it took until `condition()` held; fails where it took longer than `seconds`."""
    assert callable(condition)
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() < begin + seconds, f"not within {seconds:.0f} s"
        time.sleep(0.05)
    return time.monotonic() - begin


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("serve") / "book"
    for name in ("docs", "overrides", "llmbook", ".cache"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.glob("mkdocs*.yml"):
        shutil.copy(path, folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log.txt"
    process = start(folder, port, log)
    result = Served(folder, port, log, 0.0)

    def ready() -> bool:
        assert process.poll() is None, result.said()
        try:
            return bool(result.html("en/"))
        except URLError:
            return False

    try:
        result.seconds = wait(ready, 600)
        yield result
    finally:
        process.terminate()
        process.wait()


def test_a_saved_page_is_seen_at_once_and_the_rest_follows(served: Served) -> None:
    page = served.folder / PAGE
    text = page.read_text(encoding="utf-8")
    page.write_text(text + "\nA sentence just written [@vaswani2017attention].\n", encoding="utf-8")
    seconds = wait(lambda: "A sentence just written" in served.html(PATH), served.seconds)
    # On an idle machine 1 s and 15 s; the ratio holds on a busy one too.
    assert seconds < served.seconds / 3
    assert ">Vaswani et al., 2017</a>)</span>.</p>" in served.html(PATH)
    wait(lambda: "just written" in served.html("en/search/search_index.json"), 600)
    assert "A sentence just written" in served.html(PATH)


def test_a_fault_names_language_file_and_line_and_the_page_stays(served: Served) -> None:
    page = served.folder / PAGE
    text = page.read_text(encoding="utf-8")
    page.write_text(text + "\nA formula: $\\sqrrt{2}$.\n", encoding="utf-8")
    line = len(text.splitlines()) + 2
    wait(lambda: f"{PAGE}:{line}: formula" in served.said(), 600)
    assert "Traceback" not in served.said()
    assert "\\sqrrt" not in served.html(PATH)
    page.write_text(text + "\nA formula: $\\sqrt{41}$.\n", encoding="utf-8")
    wait(lambda: "\\sqrt{41}" in served.html(PATH), 600)


def test_a_port_in_use_is_noticed_before_the_build(served: Served, tmp_path: Path) -> None:
    process = start(served.folder, served.port, tmp_path / "log.txt")
    assert process.wait(timeout=120) == 1
    said = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert f"port {served.port} is in use" in said
    assert f"make serve PORT={served.port + 1}" in said
    assert "Traceback" not in said and "Cleaning" not in said
