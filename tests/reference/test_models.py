"""The library's models behind our protocol, and its server, write what ours do."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest
import tokenizers
import torch
import transformers

from llmbook import lm
from llmbook.lm import EndpointModel, OwnModel, TransformersModel
from llmbook.tokenizer import Tokenizer
from tests.support.transformers_models import random_model, write_gguf

PROMPTS = ["the the", "a longer prompt than that", "x"]


def save_tiny(folder, kind: str) -> str:
    """A random model with a byte tokenizer, in the library's format."""
    torch.manual_seed(0)
    Tokenizer([], special_tokens=["<end>"]).save(folder / "tokenizer.json")
    common = {
        "vocab_size": 257, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "eos_token_id": 256, "bos_token_id": None, "initializer_range": 0.3,
    }  # fmt: skip
    config = {"llama": transformers.LlamaConfig, "gemma": transformers.GemmaConfig}[kind]
    model = transformers.AutoModelForCausalLM.from_config(config(**common))
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        eos_token="<end>",
        chat_template="{% for message in messages %}{{ message.content }}{% endfor %}",
    ).save_pretrained(folder)
    return str(folder)


def test_the_two_backends_write_the_same(tmp_path):
    folder = save_tiny(tmp_path, "llama")
    ours, theirs = lm.load(folder), lm.load(folder, backend="transformers")
    assert isinstance(ours, OwnModel) and isinstance(theirs, TransformersModel)
    options = {"max_new_tokens": 20, "logprobs": True}
    [full] = ours.complete(PROMPTS[:1], **options)
    for stop in ([], [full.text[3:6]]):
        for one, other in zip(
            ours.complete(PROMPTS, stop=stop, **options),
            theirs.complete(PROMPTS, stop=stop, **options),
            strict=True,
        ):
            assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
            assert (one.prompt_tokens, one.completion_tokens) == (
                other.prompt_tokens,
                other.completion_tokens,
            )
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_the_librarys_draws_depend_on_prompt_and_seed_alone(tmp_path):
    model = TransformersModel(save_tiny(tmp_path, "llama"))
    options = {"max_new_tokens": 8, "temperature": 1.0}
    [alone] = model.complete(["a b"], seed=4, **options)
    batch = model.complete(["another one", "a b", "a b"], seed=[1, 4, 5], **options)
    assert batch[1].text == alone.text != batch[2].text


def test_of_stop_strings_that_end_together_the_first_cuts_for_both_backends(tmp_path):
    folder = save_tiny(tmp_path, "llama")
    for model in (lm.load(folder), lm.load(folder, backend="transformers")):
        [full] = model.complete(PROMPTS[:1], max_new_tokens=20)
        begin = full.text.index(full.text[3:8])
        for stop in ([full.text[3:8], full.text[5:8]], [full.text[5:8], full.text[3:8]]):
            [reply] = model.complete(PROMPTS[:1], max_new_tokens=20, stop=stop)
            assert reply.text == full.text[: min(begin, full.text.index(full.text[5:8]))]


@pytest.mark.parametrize("temperature", [1e-38, 5e-324])
def test_a_temperature_as_good_as_0_is_greedy_for_both_backends(tmp_path, temperature):
    folder = save_tiny(tmp_path, "llama")
    for model in (lm.load(folder), lm.load(folder, backend="transformers")):
        greedy, found = (
            model.complete(PROMPTS, max_new_tokens=12, temperature=t) for t in (0.0, temperature)
        )
        assert [reply.text for reply in found] == [reply.text for reply in greedy]


def test_what_ours_does_not_know_goes_to_the_library(tmp_path):
    folder = save_tiny(tmp_path, "gemma")
    assert isinstance(lm.load(folder), TransformersModel)
    with pytest.raises(ValueError, match="model_type must be"):
        lm.load(folder, backend="own")


def test_both_read_the_same_file_of_gguf(tmp_path):
    write_gguf(random_model("llama"), path := tmp_path / "model.gguf")
    ours, theirs = lm.load(str(path)), lm.load(str(path), backend="transformers")
    assert isinstance(ours, OwnModel) and isinstance(theirs, TransformersModel)
    texts = [
        [reply.text for reply in model.complete(["the theme", "then"], max_new_tokens=8)]
        for model in (ours, theirs)
    ]
    assert texts[0] == texts[1]


def test_a_tokenizer_that_ours_does_not_know_goes_to_the_library_too(tmp_path):
    """As in Llama 2 and Mistral: words that begin with a mark, and a token for each odd byte."""
    folder = save_tiny(tmp_path, "llama")
    odd = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True, unk_token="<unk>"))
    odd.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    odd.decoder = tokenizers.decoders.Sequence([
        tokenizers.decoders.ByteFallback(), tokenizers.decoders.Metaspace(),
    ])  # fmt: skip
    bytes_ = [f"<0x{byte:02X}>" for byte in range(200)]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=256, special_tokens=["<unk>", "<end>", *bytes_], show_progress=False
    )
    odd.train_from_iterator(["the theme of them all"] * 9, trainer)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=odd, eos_token="<end>", unk_token="<unk>"
    ).save_pretrained(folder)
    model = lm.load(folder)
    assert isinstance(model, TransformersModel)
    [reply] = model.complete(["the theme"], max_new_tokens=8)
    assert reply.completion_tokens == 8 and reply.text
    with pytest.raises(ValueError, match="not supported"):
        lm.load(folder, backend="own")


@contextmanager
def served(folder: str):
    """The address of `transformers serve` with a model, on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What the command `transformers` runs.
    command = "from transformers.cli.transformers import main; main()"
    options = ["serve", folder, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    server = subprocess.Popen(
        [sys.executable, "-c", command, *options, "--dtype", "float32"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        until = time.monotonic() + 120
        while True:
            assert server.poll() is None and time.monotonic() < until, "it does not start"
            try:
                direct.open(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def test_a_real_server_writes_what_ours_writes(tmp_path):
    folder = save_tiny(tmp_path, "llama")
    ours = lm.load(folder)
    prompts = [f"problem {i}" for i in range(100)]
    expected = ours.complete(prompts, max_new_tokens=6)
    with served(folder) as address:
        for chat in (False, True):
            theirs = lm.load(f"{address}#{folder}", chat=chat)
            assert isinstance(theirs, EndpointModel)
            found = theirs.complete(prompts[: 20 if chat else None], max_new_tokens=6)
            for one, other in zip(expected, found, strict=not chat):
                assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
                assert (one.prompt_tokens, one.completion_tokens) == (
                    other.prompt_tokens,
                    other.completion_tokens,
                )
        nobody = EndpointModel("no/such-model", address, chat=False, max_retries=0)
        with pytest.raises(ValueError, match="must be one that the server accepts"):
            nobody.complete(["a"])


def test_stop_strings_do_not_end_a_chat_while_it_is_written(tmp_path):
    """A thought may hold them, also one that the template has begun."""
    folder = save_tiny(tmp_path, "llama")
    for backend in ("own", "transformers"):
        chat = lm.load(folder, backend=backend, chat=True)
        [whole] = chat.complete(PROMPTS[:1], max_new_tokens=20)
        stop = whole.text.strip()[3]
        [cut] = chat.complete(PROMPTS[:1], max_new_tokens=20, stop=[stop])
        assert (cut.completion_tokens, cut.finish_reason) == (whole.completion_tokens, "stop")
        assert stop not in cut.text.strip() and whole.text.startswith(cut.text)


@pytest.mark.parametrize("name", ["config", "tokenizer_config"])
def test_code_that_comes_with_a_model_is_not_run(tmp_path, name):
    folder, ran = save_tiny(tmp_path, "llama"), tmp_path / "ran"
    config = json.loads((tmp_path / f"{name}.json").read_text())
    if name == "config":
        config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.C"}}
    else:
        config |= {"tokenizer_class": "C", "auto_map": {"AutoTokenizer": [None, "theirs.C"]}}
    (tmp_path / f"{name}.json").write_text(json.dumps(config))
    (tmp_path / "theirs.py").write_text(f"open({str(ran)!r}, 'w')\n")
    code = f"from llmbook.lm import TransformersModel\nTransformersModel({folder!r})"
    done = subprocess.run([sys.executable, "-c", code], input="y\n" * 5, text=True, check=False)
    assert done.returncode and not ran.exists()
