"""Models behind the one protocol: our own, that of transformers, the script; and how they load."""

import subprocess
import sys
from dataclasses import asdict
from importlib.resources import files

import pytest
import torch

from llmbook import lm, tasks
from llmbook.generation import Completion, GenerationConfig
from llmbook.gpt import GPT, GPTConfig
from llmbook.lm import LanguageModel, OwnModel, Reply, ScriptedModel
from llmbook.lm.requests import cut_at_stop
from llmbook.lm.shipped import trained
from llmbook.pretrained import Pretrained
from llmbook.prompting import shipped
from llmbook.tokenizer import Tokenizer

DATA = files("llmbook") / "book" / "data"


def tiny(**options) -> OwnModel:
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=256, max_length=40, d_model=16, num_layers=2, num_heads=2)
    return OwnModel(Pretrained(GPT(config), Tokenizer([])), "tiny", **options)


def test_importing_models_and_prompting_loads_nothing_heavy():
    code = (
        "import sys, llmbook.lm, llmbook.prompting, llmbook.evaluation, llmbook.tasks\n"
        "import llmbook.cli.solving, llmbook.cli.evaluating\n"
        "assert not {'torch', 'transformers', 'openai'} & sys.modules.keys(), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_own_model_writes_what_the_generator_writes():
    model = tiny(batch_size=2)
    prompts = ["one", "two, which is longer", "three", "one"]
    replies = model.complete(prompts, max_new_tokens=6, logprobs=True)
    assert isinstance(model, LanguageModel)
    for prompt, reply in zip(prompts, replies, strict=True):
        [alone] = tiny().generator.generate([prompt], GenerationConfig(max_new_tokens=6))
        assert (reply.text, reply.completion_tokens) == (alone.text, 6)
        assert reply.prompt_tokens == len(prompt) and reply.finish_reason == "length"
        tokens = torch.tensor([Tokenizer([]).encode(prompt) + alone.tokens])
        with torch.no_grad():
            rows = model.loaded.model(tokens).log_softmax(-1)[0, len(prompt) - 1 : -1]
        expected = rows.gather(1, torch.tensor(alone.tokens)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(reply.logprobs), expected, atol=1e-5, rtol=1e-4)


def test_a_draw_depends_on_the_prompt_and_its_seed_alone():
    alone = [tiny().complete(["a b"], temperature=1.0, max_new_tokens=8, seed=s)[0] for s in (4, 5)]
    batch = tiny().complete(
        ["other", "a b", "a b"], temperature=1.0, max_new_tokens=8, seed=[1, 4, 5]
    )
    assert [reply.text for reply in batch[1:]] == [reply.text for reply in alone]
    assert alone[0].text != alone[1].text


@pytest.mark.parametrize(
    ("written", "thought", "text", "stopped"),
    [
        ("14\n\nQ: next", "", "14", True),
        ("14", "", "14", False),
        ("<think>\nHm.\n\nWell.\n</think>\n\n14\n\nQ: next", "Hm.\n\nWell.", "\n\n14", True),
        ("Hm.\n\nWell.</think>14", "Hm.\n\nWell.", "14", False),  # the template had begun it
        ("<think>\nHm.\n\nWell.", "Hm.\n\nWell.", "", False),  # and was cut off in it
        ("<think></think>14", "", "14", False),
        ("<think>a</think>b</think>", "a", "b</think>", False),  # an answer may speak of thoughts
    ],
)
def test_a_stop_string_does_not_end_a_thought_which_is_no_part_of_the_text(
    written, thought, text, stopped
):
    whole, was_stopped = cut_at_stop(written, ("\n\n", "\nQ:"))
    reply = Reply(whole, "end", 1, 1)
    assert (reply.thought, reply.text, was_stopped) == (thought, text, stopped)
    assert Reply(**asdict(reply)) == reply


@pytest.mark.parametrize(
    ("stop", "shown"),
    [
        (["\n\nQ:", "\nQ:", "Q:"], "14"),
        (["Q:", "\nQ:", "\n\nQ:"], "14"),
        (["next", "Q: next"], "14\n\n"),
        (["14\n", "4"], ""),
    ],
)
@pytest.mark.parametrize("chat", [True, False])
def test_a_text_is_cut_at_the_first_of_its_stop_strings(stop, shown, chat):
    assert cut_at_stop("14\n\nQ: next", stop, chat=chat) == (shown, True)


def test_a_chat_may_think_in_paragraphs():
    model = tiny(chat=False)
    model.chat = True
    model._ids = lambda prompt: [1, 2, 3]
    seen = []

    def generate(rows, config):
        seen.append(config.stop)
        text = "<think>a\n\nb</think>\n\n7\n\nmore"
        return [Completion(text, [1], "end", 3, 0, None) for _ in rows]

    model.generator.generate = generate
    [reply] = model.complete(["?"], stop=["\n\n"])
    assert seen == [()] and reply.finish_reason == "stop"
    assert (reply.thought, reply.text) == ("a\n\nb", "\n\n7")


def test_what_has_been_read_is_not_read_again():
    model = tiny()
    model.complete(["A question. "], max_new_tokens=4)
    [reply] = model.complete(["A question. And another."], max_new_tokens=4)
    assert reply.reused_tokens == 12


def test_a_prompt_too_long_spoils_no_other():
    long, good = tiny().complete(["x" * 40, "ok"], max_new_tokens=3)
    assert long.finish_reason == "error" and "40 tokens" in long.error
    assert good.finish_reason == "length"


def test_the_script_obeys_its_limits():
    model = ScriptedModel({"a": "one two three. four", "aa": "longest"})
    [cut] = model.complete(["a"], max_new_tokens=2)
    assert (cut.text, cut.finish_reason, cut.completion_tokens) == ("one two", "length", 2)
    [stopped] = model.complete(["ba"], stop=["."], logprobs=True)
    assert (stopped.text, stopped.finish_reason) == ("one two three", "stop")
    assert stopped.logprobs == (0.0, 0.0, 0.0)
    assert model.complete(["aa"])[0].text == "longest"
    assert ScriptedModel(str.upper).complete(["x y"])[0].text == "X Y"


@pytest.mark.parametrize("make", [tiny, lambda: ScriptedModel({"": "x"})])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": "abc"}, "prompts must be several prompts"),
        ({"prompts": [3]}, r"prompts\[0\] must be a string"),
        ({"prompts": ["a", "b\udcff"]}, r"prompts\[1\] must be text that UTF-8 can hold"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ({"temperature": -1}, "temperature must be"),
        ({"temperature": float("nan")}, "temperature must be"),
        ({"stop": "x"}, "stop must be several strings"),
        ({"stop": [""]}, "stop must be several strings"),
        ({"seed": [1, 2]}, "seed must be one number, or one for each of 1 prompts, got 2"),
    ],
)
def test_bad_requests_are_named(make, options, message):
    with pytest.raises(ValueError, match=message):
        make().complete(**({"prompts": ["a"]} | options))


def test_models_are_loaded_by_name(tmp_path):
    model = tiny()
    folder = model.loaded.save(tmp_path / "m")
    loaded = lm.load(str(folder))
    assert loaded.name == str(folder)
    assert loaded.complete(["ab"], max_new_tokens=5) == model.complete(["ab"], max_new_tokens=5)
    assert lm.load("bookmodel").name == "bookmodel"
    endpoint = lm.load("http://127.0.0.1:9/v1#some/model")
    assert (endpoint.name, endpoint.base_url) == ("some/model", "http://127.0.0.1:9/v1")
    for chat, expected in ((None, True), (True, True), (False, False)):
        assert lm.load("http://127.0.0.1:9/v1#some/model", chat=chat).chat is expected


def test_each_model_that_comes_with_the_book_is_loaded_by_name():
    folders = sorted(path.parent for path in DATA.glob("*/config.json"))
    assert "bookmodel" in [folder.name for folder in folders]
    for folder in folders:
        model = lm.load(folder.name, device="cpu")
        assert isinstance(model, OwnModel) and model.name == folder.name
        with pytest.raises(ValueError, match="backend must be 'own' for"):
            lm.load(folder.name, backend="transformers")
    with pytest.raises(RuntimeError):  # the device is passed on, and this is none
        lm.load("bookmodel", device="nowhere")


def test_cards_tell_what_each_model_was_trained_for():
    cards = trained()
    assert cards == {
        "chains-tiny": ("chains", "least-to-most"),
        "chains-tiny-chain-of-thought": ("chains", "chain-of-thought"),
        "chains-tiny-zh": ("chains-zh", "least-to-most"),
        "chains-tiny-zh-chain-of-thought": ("chains-zh", "chain-of-thought"),
        "scan-tiny": ("scan", "least-to-most"),
        "scan-tiny-direct": ("scan", "direct"),
    }
    for card in cards.values():
        assert card.task in tasks.NAMES and card.strategy in shipped.strategies(card.task)
    with pytest.raises(ValueError, match="task must be 'scan', 'chains' or 'chains-zh', got 'c"):
        shipped.strategies("calendar")


def test_a_damaged_folder_is_no_case_for_the_library(tmp_path):
    folder = tiny().loaded.save(tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"must hold tokenizer\.json: it is missing"):
        lm.load(str(folder))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("http://127.0.0.1:9/v1", {}, "name must tell a model after the address"),
        ("x", {"backend": "cloud"}, "backend must be one of"),
        ("x", {"backend": "endpoint"}, "backend must be 'endpoint' for an address"),
        ("http://h/v1#m", {"backend": "own"}, "backend must be 'endpoint' for an address"),
        ("no such/place/at all", {}, "source must be a folder, a file or a name"),
        ("bookmodel", {"chat": True}, "chat must be False: bookmodel has no chat template"),
    ],
)
def test_what_cannot_be_loaded_is_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        lm.load(name, **options)
