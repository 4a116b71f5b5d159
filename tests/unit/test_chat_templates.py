"""Chat templates: how a conversation is written, and what goes wrong in one."""

import json

import pytest
import tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from llmbook.gpt import GPT
from llmbook.pretrained import Pretrained
from llmbook.tokenizer import Tokenizer
from tests.support.folders import TINY


def test_prompts():
    def prompt(template: str | None, *messages: dict[str, str]) -> str:
        return Pretrained(GPT(TINY), Tokenizer([]), chat_template=template).chat_prompt(messages)

    with pytest.raises(ValueError, match=r"chat_template is missing: .* not learned to converse"):
        prompt(None)
    with pytest.raises(ValueError, match=r"must have text as 'role' and 'content', got {'role':"):
        prompt("A", {"role": "user"})
    with pytest.raises(ValueError, match=r"messages must suit .* says: no system, please"):
        prompt("{{ raise_exception('no system, please') }}")
    with pytest.raises(ValueError, match=r"messages must suit .*SecurityError|access to attribute"):
        prompt("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(ValueError, match=r"messages must suit"):
        prompt("{{ messages.append(1) }}")
    with pytest.raises(ValueError, match=r"messages must suit"):
        prompt("{% for %}")
    assert prompt("{{ strftime_now('%Y') | length }}") == "4"


HELLO = {"role": "user", "content": "<héllo>"}


@pytest.mark.parametrize(
    ("template", "written"),
    [
        ("{{ messages[0].content | tojson }}", '"<héllo>"'),
        ("{{ messages[0].content | tojson(ensure_ascii=False) }}", '"<héllo>"'),
        ("{{ messages[0].content | tojson(ensure_ascii=True) }}", r'"<h\u00e9llo>"'),
        ("{{ messages[0] | tojson(indent=1) }}", json.dumps(HELLO, indent=1, ensure_ascii=False)),
        ("{{ {'b': 1, 'a': 2} | tojson(separators=(',', ':')) }}", '{"b":1,"a":2}'),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=True) }}", '{"a": 2, "b": 1}'),
        ("A{% generation %}{{ messages[0].role }}{% endgeneration %}B", "AuserB"),
        ("{% for m in messages %}{% break %}{% endfor %}C", "C"),
    ],
)
def test_templates_are_written_out_as_by_transformers(template, written):
    model = Pretrained(GPT(TINY), Tokenizer([]), chat_template=template)
    assert model.chat_prompt([HELLO]) == written
    theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizers.Tokenizer(BPE()))
    theirs.chat_template = template
    assert theirs.apply_chat_template([HELLO], tokenize=False) == written


@pytest.mark.parametrize("content", [None, ["a"], [{"type": "text", "text": "a"}], 5, b"a"])
def test_what_is_said_is_text(content):
    model = Pretrained(GPT(TINY), Tokenizer([]), chat_template="{{ messages[0].content + '' }}")
    with pytest.raises(ValueError, match=r"messages must have text as 'role' and 'content', got"):
        model.chat_prompt([{"role": "user", "content": content}])


@pytest.mark.parametrize(
    "template",
    [
        "{{ 1 / 0 }}",
        "{{ 'a' + 1 }}",
        "{{ [][3].x }}",
        "{{ missing.x }}",
        "{{ 1 | tojson(wide=5) }}",
    ],
)
def test_whatever_goes_wrong_in_a_template_is_told(template):
    model = Pretrained(GPT(TINY), Tokenizer([]), chat_template=template)
    with pytest.raises(ValueError, match="messages must suit the chat template, which says: "):
        model.chat_prompt([HELLO])
