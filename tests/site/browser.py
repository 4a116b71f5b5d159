"""A tab of a real Chromium, and what the tests ask of it.

Each page is loaded once for a language and a width; the colour schemes are switched on the
loaded page. Every host but 127.0.0.1 is blocked in the browser, and a request to one is noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

WIDTHS: dict[str, ViewportSize] = {
    "desktop": {"width": 1280, "height": 900},
    "phone": {"width": 390, "height": 844},
}
SCHEMES = {"light": "default", "dark": "slate"}
PATIENCE = 60  # seconds, on a busy machine; where all is well, nothing takes as long


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
        viewport=WIDTHS[width],
        reduced_motion="reduce",
        color_scheme="light",
        is_mobile=False,
    )
    context.set_default_timeout(PATIENCE * 1000)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url.rstrip("/"))
    return context
