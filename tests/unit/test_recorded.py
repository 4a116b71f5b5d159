"""The recorded replies of a real model: they answer the prompts that the book shows."""

import re
from pathlib import Path

import pytest

from llmbook.book.cards import DATA
from llmbook.lm import ScriptedModel
from llmbook.prompting import Trace

PAGES = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_recorded_prompts_are_those_of_the_page(language):
    page = (PAGES / language / "least-to-most" / "idea.md").read_text(encoding="utf-8")
    [block] = [
        block
        for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
        if "planning = PromptTemplate" in block
    ]
    line = (DATA / f"recorded-{language}.json").read_text(encoding="utf-8")
    recorded = Trace.from_json(line)
    replies = {call.prompt: call.reply.text for call in recorded.calls}
    # The block's own script gives way to the recorded replies.
    asked = block.replace("ScriptedModel(", "recorded_model(")
    names = {"recorded_model": lambda script: ScriptedModel(lambda prompt: replies[prompt])}
    exec(asked, names)
    again = names["trace"]
    assert [call.prompt for call in again.calls] == [call.prompt for call in recorded.calls]
    assert again.answer == recorded.answer
    assert recorded.model == "qwen2.5-coder-1.5b-instruct"
