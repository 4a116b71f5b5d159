"""The built site: its pages, and a server that hands them out. For a browser see `tests.site`."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import sysconfig
import threading
import tomllib
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LANGUAGES = ("zh", "en")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INSTALLED = {canonicalize_name(found.metadata["Name"]): found for found in distributions()}


def page_paths() -> list[str]:
    """The address of every page below a language: ``""`` for home, ``attention/positions/``."""
    reference = yaml.safe_load((ROOT / "docs" / "reference.yml").read_text(encoding="utf-8"))
    found = {f"appendix/api/{room}/" for room in reference}
    for language in LANGUAGES:
        folder = ROOT / "docs" / language
        for file in folder.rglob("*.md"):
            parts = file.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "index" else parts
            found.add("".join(f"{part}/" for part in parts))
    return sorted(found)


def closure(requirements: list[str]) -> dict[str, Distribution]:
    """The installed packages that these requirements bring along, themselves included."""
    result: dict[str, Distribution] = {}
    pending = [Requirement(line) for line in requirements]
    while pending:
        wanted = pending.pop()
        name = canonicalize_name(wanted.name)
        extras = wanted.extras or {""}
        if wanted.marker and not wanted.marker.evaluate():
            continue
        if name in result and not wanted.extras:
            continue
        result[name] = INSTALLED[name]
        for line in INSTALLED[name].requires or ():
            below = Requirement(line)
            if below.marker is None or any(below.marker.evaluate({"extra": e}) for e in extras):
                below.marker = None
                pending.append(below)
    return result


def readers_python(folder: Path) -> Path:
    """A Python that finds what `make serve` installs, pip included, and no more.

    Args:
        folder: Where to make its virtual environment.
    """
    venv.create(folder, symlinks=os.name != "nt")
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    # pip: with nothing in `.cache`, the build downloads KaTeX with it.
    for package in closure([*PROJECT["optional-dependencies"]["site"], "pip"]).values():
        for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            (packages / top).symlink_to(Path(str(package.locate_file(top))))
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


class StaticHandler(SimpleHTTPRequestHandler):
    """Static files; an unknown address gets the root 404.html, as on GitHub Pages."""

    def send_error(self, code: int, message: Any = None, explain: Any = None) -> None:
        page = Path(self.directory) / "404.html"
        if code != 404 or not page.is_file():
            return super().send_error(code, message, explain)
        body = page.read_bytes()
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        return None

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a failed request is the browser test's to report."""


@dataclass(frozen=True)
class Site:
    """The built site: where its files lie and where it is served."""

    folder: Path
    url: str

    def page_url(self, language: str, path: str = "") -> str:
        return f"{self.url}{language}/{path}"

    def html(self, language: str, path: str = "") -> str:
        return (self.folder / language / path / "index.html").read_text(encoding="utf-8")


def serve(folder: Path) -> ThreadingHTTPServer:
    """Serve `folder` on a free port of the loopback, from a thread of its own."""
    handler = functools.partial(StaticHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, built strictly as readers build it, and served while the tests run.

    With SITE_DIR set, that built site is served and nothing is built: for work on the tests.
    """
    folder = Path(os.environ.get("SITE_DIR") or tmp_path_factory.mktemp("site"))
    server = serve(folder)
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    if "SITE_DIR" not in os.environ:
        python = readers_python(tmp_path_factory.mktemp("reader"))
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # for ruff
        build = subprocess.run(
            [str(python), "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
            cwd=ROOT,
            env=os.environ | {"PATH": path, "SITE_URL": url, "NO_MKDOCS_2_WARNING": "1"},
            capture_output=True,
            text=True,
        )
        if build.returncode:
            pytest.fail(f"mkdocs build --strict failed:\n{build.stdout}{build.stderr}", False)
    yield Site(folder, url)
    server.shutdown()
    server.server_close()
