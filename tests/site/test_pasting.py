"""What a reader copies from a page can be pasted at the classic prompt, classes and all."""

from __future__ import annotations

import pytest

from tests.docs.built import blocks
from tests.docs.prompt import fault
from tests.site.browser import Tab
from tests.support.website import LANGUAGES, Site, page_paths

# By the button and by hand, with what is on the clipboard or selected then.
WAYS = {
    "button": "navigator.clipboard.readText()",
    "selection": "getSelection().toString()",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_block_as_built_can_be_pasted(site: Site, language: str) -> None:
    faults, count = [], 0
    for path in page_paths():
        for block in blocks(site.html(language, path)):
            if block.kind == "python":
                count += 1
                if message := fault(block.text):
                    faults.append(f"{language}/{path}: {message} of {block.text[:60]!r}")
    assert count and not faults, "\n".join(faults)


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_of_a_class_can_be_pasted(site: Site, fresh: Tab, way: str) -> None:
    fresh.open(site.page_url("en", "models/gpt/"))
    blocks = fresh.page.locator("div.language-python:visible").all()
    texts = [block.locator("code").evaluate("e => e.textContent") for block in blocks]
    number = next(i for i, text in enumerate(texts) if text.count("    def ") > 1)
    blocks[number].scroll_into_view_if_needed()
    if way == "button":
        blocks[number].hover()
        blocks[number].locator("button[data-clipboard-target], button[data-md-type=copy]").click()
        fresh.settled("async () => (await navigator.clipboard.readText()).length > 0")
    else:
        blocks[number].locator("code").evaluate("e => getSelection().selectAllChildren(e)")
    copied = fresh.page.evaluate(WAYS[way])
    assert "\n    \n" in copied and fault(copied) is None
    assert copied.rstrip("\n") == texts[number].rstrip("\n")
