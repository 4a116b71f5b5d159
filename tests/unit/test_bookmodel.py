"""The book's model: what it learned from, and that it is what its record says."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from llmbook.book import bookmodel, clerk, corpus, numerals
from llmbook.generation import GenerationConfig, generate
from llmbook.gpt import GPT
from llmbook.ngram import KneserNey
from llmbook.pretrained import from_pretrained
from llmbook.tokenizer import Tokenizer
from llmbook.training import (
    END,
    TrainingConfig,
    bits_per_byte,
    count_bytes,
    stream,
    text_nll,
)

LANGUAGES = ("en", "zh")
SMALL = replace(
    bookmodel.CONFIG, vocab_size=257, max_length=64, d_model=16, num_layers=2, num_heads=2, d_ff=24
)


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer([], special_tokens=[END])


@pytest.fixture
def model() -> GPT:
    torch.manual_seed(3)
    model = GPT(SMALL)
    for weight in model.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    return model


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_paragraph_is_for_one_thing(language):
    lines = corpus.load(language).splitlines()
    parts = bookmodel.paragraphs(language)
    assert parts.test == [line for i, line in enumerate(lines) if i % 10 == 0]
    fives = [line for i, line in enumerate(lines) if i % 10 == 5]
    assert parts.validation == [line for line in fives if line not in parts.test]
    assert {*parts.training, *parts.validation, *parts.test} == {*lines}
    assert len(parts.training) > 0.78 * len(lines)
    assert not {*parts.training} & {*parts.test, *parts.validation}
    assert not {*parts.validation} & {*parts.test}


def test_what_ships_was_made_from_the_training_paragraphs_of_today():
    tokenizer, record = bookmodel.load_tokenizer(), bookmodel.load_record()
    texts = [text for language in LANGUAGES for text in bookmodel.paragraphs(language).training]
    again = Tokenizer.train(texts, bookmodel.CONFIG.vocab_size, special_tokens=[END])
    command = "python -m llmbook.book.bookmodel --out llmbook/book/data/bookmodel"
    advice = f"the corpus has changed: run {command}, then make outputs"
    assert tokenizer.vocabulary == again.vocabulary, advice
    assert record.tokens == len(stream(again, texts)), advice


def test_the_record_is_that_of_the_run():
    record = bookmodel.load_record()
    steps = [each.step for each in record.milestones]
    assert len(record.losses) == bookmodel.TRAINING.steps == steps[-1]
    assert steps == sorted({*steps}) and steps[0] == 0
    assert record.losses[0] == pytest.approx(math.log(bookmodel.CONFIG.vocab_size), abs=0.1)
    best = min(record.milestones, key=lambda each: each.validation_loss)
    assert record.kept_step == best.step
    assert best.training_loss < best.validation_loss < record.milestones[0].validation_loss - 2
    for each in record.milestones:
        assert {*each.texts} == {*each.bits_per_byte} == {*LANGUAGES}


def test_the_weights_are_those_of_the_step_that_was_kept():
    model, tokenizer = bookmodel.load_model(), bookmodel.load_tokenizer()
    record = bookmodel.load_record()
    [kept] = [each for each in record.milestones if each.step == record.kept_step]
    assert model.config == bookmodel.CONFIG and not model.training
    assert next(model.parameters()).dtype == torch.float32
    for language in LANGUAGES:
        texts = bookmodel.paragraphs(language).validation
        bits = bits_per_byte(text_nll(model, tokenizer, texts), count_bytes(texts))
        assert bits == pytest.approx(kept.bits_per_byte[language], abs=2e-3)  # rounded to fp16


def test_it_is_small_and_loads_like_any_other_model():
    folder = bookmodel._FOLDER
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2 * 2**20
    loaded = from_pretrained(folder)
    end = loaded.tokenizer.special_tokens[END]
    assert loaded.begin_ids == loaded.end_ids == (end,)


def test_it_knows_more_than_which_token_follows_which():
    model, tokenizer = bookmodel.load_model(), bookmodel.load_tokenizer()

    def split(texts):
        return [[str(i) for i in tokenizer.encode(text)] for text in texts]

    parts = {language: bookmodel.paragraphs(language) for language in LANGUAGES}
    pairs = KneserNey([ids for some in parts.values() for ids in split(some.training)], order=2)
    for language, some in parts.items():
        counted = -sum(map(pairs.log_probability, split(some.test)))
        assert text_nll(model, tokenizer, some.test) < 0.97 * counted, language


def test_it_ends_what_it_writes():
    model, tokenizer = bookmodel.load_model(), bookmodel.load_tokenizer()
    end = tokenizer.special_tokens[END]
    config = GenerationConfig(max_new_tokens=200, temperature=1.0, end_ids=(end,))
    written = generate(model, tokenizer, [[end]] * 4, config)
    assert any(each.finish_reason == "end" for each in written)


def test_a_run_keeps_the_best_of_what_it_saw(tmp_path, monkeypatch):
    few = bookmodel.Paragraphs(["one two three four"] * 20, ["one two"], ["one"])
    monkeypatch.setattr(bookmodel, "CONFIG", SMALL)
    monkeypatch.setattr(bookmodel, "paragraphs", lambda language: few)
    look, seen = bookmodel._look, {}

    def look_and_judge(model, tokenizer, texts, step):
        seen[step] = {name: weight.clone() for name, weight in model.state_dict().items()}
        seen_loss = {0: 5.0, 2: 1.0, 4: 3.0, 5: 1.0}[step]
        return replace(look(model, tokenizer, texts, step), validation_loss=seen_loss)

    monkeypatch.setattr(bookmodel, "_look", look_and_judge)
    training = replace(bookmodel.TRAINING, steps=5, warmup_steps=1)
    made = bookmodel._make(tmp_path, training, every=2)
    record = bookmodel._read(tmp_path)
    assert record == made
    assert [each.step for each in record.milestones] == [0, 2, 4, 5] == [*seen]
    assert len(record.losses) == 5 and record.kept_step == 2
    assert record.seconds > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "card.json",
        "config.json",
        "model.safetensors",
        "record.json",
        "tokenizer.json",
    ]
    loaded = from_pretrained(tmp_path)
    assert loaded.model.config == SMALL
    for name, weight in loaded.model.state_dict().items():
        assert torch.equal(weight, seen[2][name].half().float()), name
        assert "proj" not in name or not torch.equal(weight, seen[5][name].half().float()), name


@pytest.mark.parametrize(
    "module", ["bookmodel", "clerk", "corpus", "experiment", "experiment.in_context",
               "experiment.ship", "numerals"],
)  # fmt: skip
def test_what_makes_something_explains_itself_and_asks_where_to(module, tmp_path):
    data = Path(bookmodel.__file__).parent / "data"
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    command = [sys.executable, "-m", f"llmbook.book.{module}"]
    options = {"capture_output": True, "text": True, "cwd": tmp_path, "timeout": 120}
    done = subprocess.run([*command, "--help"], **options)
    assert done.returncode == 0 and f"usage: python -m llmbook.book.{module} " in done.stdout
    if "experiment" not in module or module.endswith("ship"):  # the others say where by default
        done = subprocess.run(command, **options)
        assert done.returncode == 2 and "--out" in done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("module", [numerals, clerk])
def test_a_model_is_made_where_it_is_told(module, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TrainingConfig", lambda **_: TrainingConfig(steps=2))
    monkeypatch.setattr(clerk, "sample_numbers", lambda count, seed: [*range(300)])
    shipped = {path.name: path.read_bytes() for path in module._FOLDER.iterdir()}
    module._make(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == shipped.keys()
    assert (tmp_path / "card.json").read_bytes() == shipped["card.json"]
    made = load((tmp_path / "model.safetensors").read_bytes())
    assert made.keys() == load(shipped["model.safetensors"]).keys()
    assert shipped == {path.name: path.read_bytes() for path in module._FOLDER.iterdir()}


def test_the_record_is_short_at_the_prompt():
    assert len(repr(bookmodel.load_record())) < 200


def test_a_milestone_measures_what_it_says(tokenizer, model):
    texts = {"en": bookmodel.Paragraphs(["abc"] * 9, ["ab", "b"], ["z"])}
    texts["zh"] = bookmodel.Paragraphs(["注"], ["意力"], ["z"])
    milestone = bookmodel._look(model, tokenizer, texts, 7)
    assert milestone.step == 7

    def loss(some):
        tokens = sum(len(text.encode()) + 1 for text in some)
        return text_nll(model, tokenizer, some) / tokens

    assert milestone.training_loss == pytest.approx(loss(["abc", "abc", "注"]), abs=1e-4)
    assert milestone.validation_loss == pytest.approx(loss(["ab", "b", "意力"]), abs=1e-4)
    bits = loss(["意力"]) / math.log(2)
    assert milestone.bits_per_byte["zh"] == pytest.approx(bits, abs=1e-4)
    assert {*milestone.texts} == {"en", "zh"}
