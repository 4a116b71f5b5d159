"""Opens the built site in a real Chromium, or says that there is none."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route

from tests.site.browser import WIDTHS, Tab, new_context
from tests.support import machine
from tests.support.chromium import chromium
from tests.support.website import LANGUAGES, Site

NOT_RUN = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a browser run what needs none, and fail at the end."""
    needing = [item for item in items if "browser" in getattr(item, "fixturenames", ())]
    if needing and machine.chromium() is None:
        config.stash[NOT_RUN] = len(needing)
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if NOT_RUN in session.config.stash:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Say so in the last line."""
    if count := config.stash.get(NOT_RUN, 0):
        print(f"NOT RUN: {count} tests in a browser: {machine.NO_CHROMIUM}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def _answer(route: Route, body: str) -> None:
    route.fulfill(body=body, content_type="application/json")


@pytest.fixture(scope="session")
def tabs(browser: Browser, site: Site) -> Iterator[dict[str, Tab]]:
    """One tab a width, and one that changes its width, kept for the whole session."""
    contexts = {width: new_context(browser, width, site.url) for width in WIDTHS}
    contexts["turning"] = new_context(browser, "desktop", site.url)
    # Each page would read all texts of its language for the search, half of what its loading costs.
    for language in LANGUAGES:
        path = f"{language}/search/search_index.json"
        index = json.loads((site.folder / path).read_text(encoding="utf-8"))
        empty = json.dumps(index | {"docs": []})
        contexts["turning"].route(site.url + path, functools.partial(_answer, body=empty))
    result = {width: Tab(context.new_page(), site.url) for width, context in contexts.items()}
    for tab in result.values():
        tab.watch()
    yield result
    for context in contexts.values():
        context.close()


@pytest.fixture
def fresh(browser: Browser, site: Site) -> Iterator[Tab]:
    """A tab with nothing remembered, for tests that change what the site stores."""
    context = new_context(browser, "desktop", site.url)
    tab = Tab(context.new_page(), site.url)
    tab.watch()
    yield tab
    context.close()
