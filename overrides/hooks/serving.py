"""Both languages while `mkdocs serve` runs: a page that is saved is built alone, at once.

Each language is kept by a process of its own (writer.py). A saved page is built by that process;
then a successor builds the whole language anew in the background and takes its place, so that the
search and the lists follow. Whatever else changes, everything is built anew, as MkDocs does.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WATCHED = ("docs", "overrides", "llmbook")


class Writer:
    """The process that builds one language into a folder, and then single pages below `served`."""

    def __init__(
        self, language: str, url: str, folder: Path, *, served: Path | None = None, strict: bool
    ) -> None:
        self.folder = folder
        order = {
            "config": f"mkdocs.{language}.yml",
            "folder": str(folder),
            "served": str(served or folder),
            "strict": strict,
            "level": logging.getLogger("mkdocs").getEffectiveLevel(),
        }
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("writer.py")), json.dumps(order)],
            cwd=ROOT,
            env=os.environ | {"SITE_URL": f"{url}{language}/" if url else ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def built(self) -> bool:
        """Wait for the build that was asked for last, and tell whether it went well."""
        assert self.process.stdout
        answers = (line for line in self.process.stdout if line in ("ready\n", "failed\n"))
        return next(answers, "ended\n") == "ready\n"

    def build_page(self, uri: str) -> bool:
        """Build one page anew."""
        assert self.process.stdin
        try:
            self.process.stdin.write(f"{uri}\n")
            self.process.stdin.flush()
        except OSError:
            return False
        return self.built()

    def end(self) -> None:
        """End the process, in the middle of a build too."""
        self.process.kill()
        self.process.wait()


class Language:
    """One language as it is served: the process that keeps it, and the one that will."""

    def __init__(self, language: str, url: str, site: Path) -> None:
        self.language, self.url, self.site = language, url, site
        self.writer: Writer | None = None
        self.successor: Writer | None = None
        self.saved: set[str] = set()  # pages that the successor may have read too early
        self.lock = threading.Lock()

    def renew(self) -> threading.Thread:
        """Begin to build the whole language anew."""
        folder = Path(tempfile.mkdtemp(dir=self.site, prefix=f".{self.language}-"))
        with self.lock:
            if self.successor:
                self.successor.end()
            self.saved.clear()
            self.successor = Writer(
                self.language, self.url, folder, served=self.site / self.language, strict=False
            )
            thread = threading.Thread(target=self._take_over, args=[self.successor], daemon=True)
        thread.start()
        return thread

    def _take_over(self, successor: Writer) -> None:
        ready = successor.built()
        with self.lock:
            if ready and successor is self.successor:
                # File by file, so that there is no moment without the site.
                for path in filter(Path.is_file, sorted(successor.folder.rglob("*"))):
                    target = self.site / self.language / path.relative_to(successor.folder)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    path.replace(target)
                for uri in sorted(self.saved):
                    successor.build_page(uri)
                if self.writer:
                    self.writer.end()
                self.writer, self.successor = successor, None
            else:
                successor.end()
            shutil.rmtree(successor.folder, ignore_errors=True)

    def save(self, uri: str) -> None:
        """Build a page, and if that goes well all that depends on it."""
        with self.lock:
            done = self.writer is not None and self.writer.build_page(uri)
            self.saved.add(uri)
        if done:
            self.renew()

    def end(self) -> None:
        """End the processes."""
        with self.lock:
            for writer in (self.writer, self.successor):
                if writer:
                    writer.end()


def complain_if_in_use(host: str, port: int) -> str | None:
    """What to do if another program listens at the address, or None if none does."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((host, port)):
            return None
    return (
        f"port {port} is in use, by another program or an earlier `make serve`: "
        f"stop that, or choose another port with `make serve PORT={port + 1}`"
    )


def times() -> dict[Path, int]:
    """When each file that the site is made from was changed."""
    files = [path for name in WATCHED for path in (ROOT / name).rglob("*") if path.is_file()]
    files = [path for path in files if path.suffix != ".pyc"] + list(ROOT.glob("mkdocs*.yml"))
    return {path: path.stat().st_mtime_ns for path in files}


class Rebuilder:
    """What the server calls after a change."""

    def __init__(self, languages: dict[str, Language], build_all: Callable[[], Any]) -> None:
        self.languages, self.build_all = languages, build_all
        self.seen = times()

    def __call__(self) -> None:
        before, self.seen = self.seen, times()
        pages = set()
        changed = {path for path, _ in before.items() ^ self.seen.items()}
        for path in changed:
            language, _, uri = (
                path.relative_to(ROOT).as_posix().removeprefix("docs/").partition("/")
            )
            known = path in before and path in self.seen
            if not (known and path.suffix == ".md" and path.is_relative_to(ROOT / "docs")):
                self.build_all()
                return
            pages.add((language, uri))
        for language, uri in sorted(pages):
            if language in self.languages:  # or it is not served now
                self.languages[language].save(uri)
