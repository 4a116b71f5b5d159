"""The clerk: what it is asked, and that the one that comes with the book knows its trade."""

import pytest

from llmbook.book import clerk
from llmbook.finetuning.instructions import answer_accuracy, answer_batch, chat_example


def test_every_character_is_one_token():
    text = "读写零一二三四五六七八九十百千万0123456789,"
    assert len(clerk.TOKENIZER.encode(text)) == len(text)
    assert clerk.TOKENIZER.vocab_size == clerk.CONFIG.vocab_size


def test_numbers_are_drawn_as_asked():
    numbers = clerk.sample_numbers(2000, 3, least=1000)
    assert len(numbers) == 2000 and min(numbers) >= 1000 and max(numbers) < 100_000
    assert numbers == clerk.sample_numbers(2000, 3, least=1000)
    assert numbers != clerk.sample_numbers(2000, 4, least=1000)
    assert {len(str(number)) for number in clerk.sample_numbers(500, 0)} == {1, 2, 3, 4, 5}
    for least in (-1, 100_000):
        with pytest.raises(ValueError, match=f"least must lie between 0 and 99999, got {least}"):
            clerk.sample_numbers(1, 0, least=least)


def test_the_conversations_are_as_described():
    def said(prompt: str, answer: str):
        return chat_example(clerk.TOKENIZER, [(prompt, answer)])

    assert clerk.read(12305) == said("读一万二千三百零五", "12305")
    assert clerk.read_grouped(12305) == said("读一万二千三百零五", "12,305")
    assert clerk.write(12305) == said("写12305", "一万二千三百零五")
    assert clerk.write(12305, grouped=True) == said("写12,305", "一万二千三百零五")


def test_it_knows_its_trade_and_not_the_other_style():
    model = clerk.load_model()
    assert not model.training
    numbers = clerk.sample_numbers(200, 1, least=1000)

    def share(kind) -> float:
        return answer_accuracy(model, answer_batch([kind(n) for n in numbers], max_length=64))

    assert share(clerk.read) > 0.95
    assert share(clerk.write) > 0.9
    assert share(clerk.read_grouped) == 0
