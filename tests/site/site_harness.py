"""What the tests of the built site share: its pages, a server, a tab of a real Chromium.

Each page is loaded once for a language and a width; the colour schemes are switched on the
loaded page. Every host but 127.0.0.1 is blocked in the browser, and a request to one is noted.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import sysconfig
import threading
import tomllib
import venv
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import Distribution, distributions
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("zh", "en")
HTML_LANG = {"zh": r"zh(-.+)?", "en": r"en(-.+)?"}
WIDTHS = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
SCHEMES = {"light": "default", "dark": "slate"}
PATIENCE = 60  # seconds, on a busy machine; where all is well, nothing takes as long
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INSTALLED = {canonicalize_name(found.metadata["Name"]): found for found in distributions()}


def page_paths() -> list[str]:
    """The address of every page below a language: ``""`` for home, ``attention/positions/``."""
    found = set()
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


def load_hook(name: str) -> ModuleType:
    """Import a hook by its path, as MkDocs does."""
    spec = importlib.util.spec_from_file_location(
        f"hook_{name}", ROOT / "overrides" / "hooks" / f"{name}.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


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


@dataclass
class Tab:
    """A page of the browser, with a note of all that went wrong on it."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        self.page.on("request", self._request)
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console {message.type}: {message.text}")

    def _request(self, request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.netloc != urlsplit(self.url).netloc:
            self.problems.append(f"request to a foreign host: {request.url}")

    def _failed(self, request: Any) -> None:
        # A page left while it loads aborts its requests: the reader sees no fault in that.
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"failed request: {request.url}: {request.failure}")

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self.problems.append(f"status {response.status}: {response.url}")

    def open(self, url: str) -> None:
        self.problems.clear()
        self.page.goto(url, wait_until="load")
        self.page.evaluate("document.fonts.ready.then(() => 0)")

    def scheme(self) -> str:
        return str(self.page.evaluate("document.body.dataset.mdColorScheme"))

    def set_scheme(self, scheme: str) -> None:
        """Show the page in a colour scheme, at once rather than in a transition."""
        self.page.evaluate("s => { document.body.dataset.mdColorScheme = s }", scheme)

    def settled(self, script: str, argument: Any = None) -> None:
        self.page.wait_for_function(script, arg=argument, timeout=PATIENCE * 1000)


def new_context(browser: Browser, width: str, url: str) -> BrowserContext:
    context = browser.new_context(
        viewport=WIDTHS[width],  # type: ignore[arg-type]
        reduced_motion="reduce",
        color_scheme="light",
        is_mobile=False,
    )
    context.set_default_timeout(PATIENCE * 1000)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url.rstrip("/"))
    return context
