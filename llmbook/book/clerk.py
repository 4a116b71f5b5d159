r"""A clerk: a small language model that reads and writes numerals on request, to be fine-tuned.

Asked ``读三百零五`` (read 305) it answers ``305``; asked ``写305`` (write 305), or ``写1,305``, it
answers with the numeral. It has learned so from plain text, a long record of such conversations,
by predicting every token, questions included: like a model after pre-training it knows its trade,
but not how *you* would like to have it done.

``python -m llmbook.book.clerk --out FOLDER`` trains a model like the one that
[`load_model`][llmbook.book.clerk.load_model] loads, in about three minutes on one core.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from llmbook.book import numerals
from llmbook.book.cards import DATA, write_card
from llmbook.finetuning.instructions import CHAT_TOKENS, Example, chat_example
from llmbook.gpt import GPT, GPTConfig
from llmbook.pretrained import Pretrained, from_pretrained
from llmbook.tokenizer import Tokenizer
from llmbook.training import TokenBatches, TrainingConfig, language_model_loss, train

__all__ = [
    "CONFIG",
    "LINEAR_MAPS",
    "TOKENIZER",
    "load_model",
    "read",
    "read_grouped",
    "sample_numbers",
    "write",
]

TOKENIZER = Tokenizer.train(
    ["".join(numerals.VOCABULARY[3:]) + "读写,"],
    vocab_size=400,
    pattern=r"(?s:.)",  # a character is a word, so none of the tokens is longer
    special_tokens=CHAT_TOKENS,
)
CONFIG = GPTConfig.llama(
    vocab_size=TOKENIZER.vocab_size,
    max_length=64,
    d_model=64,
    num_layers=3,
    num_heads=4,
    d_ff=128,
    tie_weights=False,
)
LINEAR_MAPS = (
    *("query_proj", "key_proj", "value_proj", "output_proj"),
    *("gate_proj", "up_proj", "down_proj"),
)
"""The linear maps of a block: what LoRA may stand beside."""

_LIMIT = 10**5
_FOLDER = DATA / "clerk"


def sample_numbers(count: int, seed: int, *, least: int = 0) -> list[int]:
    """Random numbers, long ones more often than short ones, but each length quite often.

    Args:
        count: How many.
        seed: Decides which.
        least: The smallest number wanted.

    Returns:
        Numbers from ``least`` to 99,999.

    Raises:
        ValueError: If ``least`` is outside that range.
    """
    if not 0 <= least < _LIMIT:
        raise ValueError(f"least must lie between 0 and {_LIMIT - 1}, got {least}")
    generator, numbers = torch.Generator().manual_seed(seed), list[int]()
    while len(numbers) < count:
        drawn = [number % _LIMIT for number in numerals.sample_numbers(count, generator)]
        numbers += [number for number in drawn if number >= least]
    return numbers[:count]


def read(number: int) -> Example:
    """A conversation in which the clerk reads a numeral: the digits are its answer.

    Args:
        number: From 0 to 99,999.

    Returns:
        The conversation, to learn the answer from.
    """
    return _conversation(f"读{numerals.to_chinese(number)}", str(number))


def read_grouped(number: int) -> Example:
    """The same in another style, which the clerk has not learned: 12,305 and not 12305.

    Args:
        number: From 0 to 99,999.

    Returns:
        The conversation, to learn the answer from.
    """
    return _conversation(f"读{numerals.to_chinese(number)}", f"{number:,}")


def write(number: int, *, grouped: bool = False) -> Example:
    """A conversation in which the clerk writes a numeral.

    Args:
        number: From 0 to 99,999.
        grouped: Whether the user writes 12,305 and not 12305.

    Returns:
        The conversation, to learn the answer from.
    """
    return _conversation(f"写{number:,}" if grouped else f"写{number}", numerals.to_chinese(number))


def _conversation(prompt: str, answer: str) -> Example:
    return chat_example(TOKENIZER, [(prompt, answer)])


def load_model() -> GPT:
    """The trained model that comes with the book.

    Returns:
        The model; see [fine-tuning][finetuning].
    """
    return from_pretrained(_FOLDER).model


def _make(folder: Path) -> None:
    """Train the model and write it."""
    torch.set_num_threads(1)  # so small a model gains nothing from a second one
    torch.manual_seed(0)
    kinds: list[Callable[[int], Example]] = [read, write, partial(write, grouped=True)]
    numbers = sample_numbers(60_000, 0)
    ids = [i for n, number in enumerate(numbers) for i in kinds[n % 3](number).ids]

    batches = TokenBatches(torch.tensor(ids), 16, 64)
    model = GPT(CONFIG)
    config = TrainingConfig(steps=6000, learning_rate=4e-3, betas=(0.9, 0.98))
    losses = train(model, batches, language_model_loss, config, progress=True)
    print(f"loss {losses[0]:.2f} -> {sum(losses[-100:]) / 100:.4f}")
    Pretrained(model.half(), TOKENIZER, end_ids=(TOKENIZER.special_tokens["<|end|>"],)).save(folder)
    write_card(
        folder,
        model,
        name="clerk",
        task="numerals",
        data="conversations of llmbook.book.clerk: made by rules, nothing else",
        made_by="python -m llmbook.book.clerk --out llmbook/book/data/clerk",
    )


if __name__ == "__main__":
    from llmbook._console import output_folder

    _make(output_folder("llmbook.book.clerk", "Train the clerk: three minutes."))
