"""What holds for all tests: plugins, threads, and marks that follow from the fixtures used."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings
from pytest_markdown_docs.plugin import MarkdownInlinePythonItem

# The tests are small: more threads gain them nothing, and on a busy machine cost them minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
pytest_plugins = ["tests.docs.plugin", "tests.support.website"]
# The first example pays for what torch sets up, and a busy machine is slow: neither is a fault.
settings.register_profile("book", deadline=None)
settings.load_profile("book")
MODEL = "smollm2-135m"
MARKS = {
    "browser": "browser",
    "failures": "slow",  # of tests/docs/test_machinery.py: pytest run on three dozen pages
    "served": "slow",
    "site": "slow",
    "smollm": "model",
}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark tests by the fixtures they use, and blocks by the model they name."""
    for fixture in MARKS.keys() & getattr(item, "fixturenames", ()):
        item.add_marker(MARKS[fixture])
    if isinstance(item, MarkdownInlinePythonItem) and MODEL in item.test_definition.source:
        item.add_marker("model")
