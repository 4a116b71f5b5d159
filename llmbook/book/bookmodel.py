r"""The book's own language model: it has read this book and nothing else, in both languages.

A model small enough to be made while one waits, and honest about how it was made. ``python -m
llmbook.book.bookmodel --out FOLDER`` trains a tokenizer, then a GPT from random weights, and writes
both next to a record of that run: the loss of every step, what the model was measured at on the
way, and what it wrote there. What ships is what one such run has left.

The text is the [frozen corpus][llmbook.book.corpus.load]. The number of a paragraph decides what
it is for: those that end in 0 are the test, which no part of the training reads; those that end in
5 are for choosing among steps, sizes and rates; the model learns from the others. Two models are
compared by the bits that each needs for a byte of the test, whatever their tokens are.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from llmbook._files import read_json, write_json
from llmbook.book import corpus
from llmbook.book.cards import DATA, write_card
from llmbook.generation import GenerationConfig, generate
from llmbook.gpt import GPT, GPTConfig
from llmbook.pretrained import Pretrained, from_pretrained
from llmbook.tokenizer import Tokenizer
from llmbook.training import (
    END,
    TokenBatches,
    TrainingConfig,
    bits_per_byte,
    count_bytes,
    language_model_loss,
    stream,
    text_nll,
    train,
)

__all__ = [
    "BATCH_SIZE",
    "CONFIG",
    "PROMPTS",
    "TRAINING",
    "Milestone",
    "Paragraphs",
    "Record",
    "load_model",
    "load_record",
    "load_tokenizer",
    "paragraphs",
]

CONFIG = GPTConfig.llama(
    vocab_size=1024,
    max_length=256,
    d_model=128,
    num_layers=3,
    num_heads=4,
    d_ff=344,  # the 8/3 of d_model that SwiGLU takes in place of 4, rounded
    tie_weights=False,  # of so few texts a tied model learns much more slowly
    dropout=0.15,
)
"""The shape of the model: a small Llama."""

TRAINING = TrainingConfig(
    steps=6000,
    learning_rate=4e-3,
    warmup_steps=200,
    betas=(0.9, 0.99),
    weight_decay=0.1,
)
"""How it was trained."""

BATCH_SIZE = 2
"""Windows in a batch, each as long as the model can read."""

PROMPTS: dict[corpus.Language, str] = {"en": "The model", "zh": "模型"}
"""What it was given to go on from, on the way."""

_EVERY = 250  # steps from one milestone to the next
_FOLDER = DATA / "bookmodel"


class Paragraphs(NamedTuple):
    """The text in one language, by what it is for."""

    training: list[str]
    validation: list[str]  # to choose by
    test: list[str]  # to report, once all is chosen


@dataclass(frozen=True)
class Milestone:
    """What was seen at a step of the run.

    The losses are in nats a token, measured without dropout and paragraph by paragraph.
    """

    step: int
    training_loss: float  # on every eighth paragraph that the model learns from
    validation_loss: float  # on as many that it does not
    bits_per_byte: dict[corpus.Language, float]  # of the validation paragraphs, by language
    texts: dict[corpus.Language, str]  # how it went on from `PROMPTS`


@dataclass(frozen=True)
class Record:
    """How the model that ships came about, as the run wrote it down."""

    losses: list[float] = field(repr=False)  # of every step, with dropout, in nats a token
    milestones: list[Milestone] = field(repr=False)
    kept_step: int  # the milestone with the lowest validation loss, whose weights ship
    tokens: int  # of the text to learn from; the run reads it again and again
    seconds: float  # of one processor core


def paragraphs(language: corpus.Language) -> Paragraphs:
    """The paragraphs of the book in one language, in three parts that have none in common.

    Args:
        language: ``"en"`` or ``"zh"``.

    Returns:
        Eight tenths of them to learn from, a tenth to choose by, a tenth for the test.

    Raises:
        ValueError: If ``language`` is another one.

    Examples:
        ```python
        from llmbook.book.bookmodel import paragraphs

        parts = paragraphs("en")
        print(len(parts.training) > 7 * len(parts.test), {*parts.training} & {*parts.test})
        ```

        ``` {.text .output}
        True set()
        ```
    """
    lines = corpus.load(language).splitlines()
    test, rest = lines[::10], lines[5::10]
    validation = [line for line in rest if line not in test]  # a few short ones come twice
    kept_apart = {*test, *validation}
    return Paragraphs([line for line in lines if line not in kept_apart], validation, test)


def load_model() -> GPT:
    """The trained model that comes with the book.

    Returns:
        The model, ready to read; see [the run that made it][pretraining-run].
    """
    return from_pretrained(_FOLDER).model


def load_tokenizer() -> Tokenizer:
    """The tokenizer of that model.

    Returns:
        The tokenizer, trained on the paragraphs that the model learned from.
    """
    return Tokenizer.load(_FOLDER / "tokenizer.json")


def load_record() -> Record:
    """The record of the run that trained it.

    Returns:
        The record.
    """
    return _read(_FOLDER)


def _read(folder: Path) -> Record:
    data = read_json(folder / "record.json")
    return Record(
        **data | {"milestones": [Milestone(**milestone) for milestone in data["milestones"]]}
    )


def _make(folder: Path, training: TrainingConfig, every: int) -> Record:
    """Train a tokenizer and a model, and write both with the record of the run."""
    torch.manual_seed(0)
    texts = {language: paragraphs(language) for language in PROMPTS}
    to_learn = [text for parts in texts.values() for text in parts.training]
    tokenizer = Tokenizer.train(to_learn, CONFIG.vocab_size, special_tokens=[END])
    ids = stream(tokenizer, to_learn)
    batches = TokenBatches(ids, BATCH_SIZE, CONFIG.max_length)
    model, kept = GPT(CONFIG), {}
    milestones: list[Milestone] = []

    def look(step: int) -> None:
        if step % every and step != training.steps:
            return
        milestone = _look(model, tokenizer, texts, step)
        if all(milestone.validation_loss < earlier.validation_loss for earlier in milestones):
            kept.update({name: weight.clone() for name, weight in model.state_dict().items()})
        milestones.append(milestone)
        print(
            f"step {step}: {milestone.validation_loss:.3f}",
            *milestone.texts.values(),
            sep="\n ",
            flush=True,
        )

    start = time.process_time()
    look(0)
    losses = train(model, batches, language_model_loss, training, after_step=look, progress=True)
    seconds = time.process_time() - start
    best = min(milestones, key=lambda milestone: milestone.validation_loss)
    model.load_state_dict(kept)
    end = tokenizer.special_tokens[END]
    Pretrained(model.half(), tokenizer, begin_ids=(end,), end_ids=(end,)).save(folder)
    write_card(
        folder,
        model,
        name="bookmodel",
        data="llmbook.book.corpus: the prose of this book, CC-BY-4.0",
        made_by="python -m llmbook.book.bookmodel --out llmbook/book/data/bookmodel",
    )

    rounded = [round(loss, 4) for loss in losses]
    record = Record(rounded, milestones, best.step, len(ids), round(seconds, 1))
    write_json(folder / "record.json", asdict(record), indent=None)
    return record


def _look(
    model: GPT, tokenizer: Tokenizer, texts: dict[corpus.Language, Paragraphs], step: int
) -> Milestone:
    """What is to be seen at a step."""

    def loss(nats: float, texts: Sequence[str]) -> float:
        return round(nats / (len(stream(tokenizer, texts)) - 1), 4)

    known = [text for parts in texts.values() for text in parts.training[::8]]
    new = {language: parts.validation for language, parts in texts.items()}
    nats = {language: text_nll(model, tokenizer, lines) for language, lines in new.items()}
    bits = {name: bits_per_byte(nats[name], count_bytes(lines)) for name, lines in new.items()}
    end_ids = (tokenizer.special_tokens[END],)
    config = GenerationConfig(max_new_tokens=40, temperature=0.7, end_ids=end_ids)
    prompts = [[*end_ids, *tokenizer.encode(prompt)] for prompt in PROMPTS.values()]
    written = generate(model, tokenizer, prompts, config)
    return Milestone(
        step,
        training_loss=loss(text_nll(model, tokenizer, known), known),
        validation_loss=loss(
            sum(nats.values()), [line for lines in new.values() for line in lines]
        ),
        bits_per_byte={language: round(value, 4) for language, value in bits.items()},
        texts={name: completion.text for name, completion in zip(texts, written, strict=True)},
    )


if __name__ == "__main__":
    from llmbook._console import output_folder

    folder = output_folder(
        "llmbook.book.bookmodel", "Train the book's own language model: seven minutes."
    )
    torch.set_num_threads(1)  # so small a model gains nothing from a second one
    print(f"{_make(folder, TRAINING, _EVERY).seconds:.0f} seconds")
