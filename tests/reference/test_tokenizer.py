"""Ids, merges and files against the tokenizers library, on any Unicode."""

import json
import tempfile
import unicodedata
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers import Tokenizer as Reference
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX as QWEN2

from llmbook.book import corpus
from llmbook.tokenizer import Tokenizer

LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
SPECIAL = ["<|end|>", "<|im_start|>", "<|im_end|>", "<|\uff5cmark|>"]
STYLES = ["gpt2", "qwen2", "llama3", "digits"]

# Which characters are letters depends on the version of Unicode, and the two libraries need not
# have the same: so any character that was known long ago, and by hand some that came later.
known = st.characters(exclude_categories=["Cs"]).filter(
    lambda c: unicodedata.ucd_3_2_0.category(c) != "Cn"
)
pieces = st.sampled_from(
    [
        *("attention", " the", "Self-attention", "'s", "'LL", "'\u017f", " 2024", "3.14", "\u00b2"),
        *("注意力", "模型", "。", "，", "𠮷", "한국어", "ไทย", "हिन्दी", "العربية", "\u0130"),
        *("👍🏽", "👩‍👩‍👧", "🇨🇳", "e\u0301", "a\u0323\u0307", "\u2126", "\ufb01", "\u0958"),
        *("  ", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", "\u200b", "\x00", "\x85", "<|", "end|>"),
    ]
)
texts = st.lists(known | pieces | st.text(known, max_size=9), max_size=12).map("".join)
with_special = st.lists(texts | st.sampled_from(SPECIAL), max_size=6).map("".join)


def build(style: str) -> Reference:
    """A tokenizer cut as in the model named, not yet trained."""
    made = Reference(models.BPE(ignore_merges=style == "llama3"))
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False)
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if style == "gpt2":
        made.pre_tokenizer = whole
        made.post_processor = processors.ByteLevel(trim_offsets=False)
    elif style == "digits":  # SmolLM
        digits = pre_tokenizers.Digits(individual_digits=True)
        made.pre_tokenizer = pre_tokenizers.Sequence([digits, whole])
    else:
        cut = pre_tokenizers.Split(Regex(LLAMA3 if style == "llama3" else QWEN2), "isolated")
        made.pre_tokenizer = pre_tokenizers.Sequence([cut, spell])
    if style == "qwen2":
        made.normalizer = normalizers.NFC()
    made.decoder = decoders.ByteLevel()
    return made


def train(reference: Reference, some: list[str], vocab_size: int, special: list[str] = ()) -> None:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=alphabet,
        special_tokens=list(special),
        show_progress=False,
    )
    reference.train_from_iterator(some, trainer)


def merges_of(reference: Reference) -> list[tuple[str, str]]:
    return [tuple(pair) for pair in json.loads(reference.to_str())["model"]["merges"]]


def letters(merges: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """As the files spell bytes: through the pre-tokenizer of the library."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer([]).vocabulary
    spelled = {plain[i][0]: letter for i, letter in enumerate(alphabet)}
    return [("".join(map(spelled.get, a)), "".join(map(spelled.get, b))) for a, b in merges]


@cache
def book(style: str) -> Reference:
    """Trained on the book, with special tokens as in the published files."""
    reference = build(style)
    first = SPECIAL[:1] if style == "gpt2" else []  # inside the vocabulary; the others after it
    train(reference, [corpus.load("en"), corpus.load("zh")], 1500, first)
    if style == "llama3":  # tokens that no merge makes, as ignore_merges is for
        data = json.loads(reference.to_str())
        for word in ("Ġscaled", "Ġabcxyz", "ĠÃ©"):
            data["model"]["vocab"][word] = len(data["model"]["vocab"])
        reference = Reference.from_str(json.dumps(data))
    reference.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    return reference


@cache
def ours(style: str) -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        book(style).save(str(path))
        return Tokenizer.load(path)


@cache
def saved_by_us(style: str) -> Reference:
    with tempfile.TemporaryDirectory() as folder:
        return Reference.from_file(str(ours(style).save(Path(folder) / "tokenizer.json")))


def ids_of(reference: Reference, text: str) -> list[int]:
    return reference.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("style", STYLES)
@given(text=with_special)
def test_a_file_gives_the_same_ids_on_any_text(style, text):
    expected = ids_of(book(style), text)
    assert ours(style).encode(text, allowed_special="all") == expected
    assert ids_of(saved_by_us(style), text) == expected


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_file_gives_the_same_ids_on_the_book(style, language):
    text = corpus.load(language)
    assert ours(style).encode(text) == ids_of(book(style), text)
    assert len(ours(style).encode(text)) < len(text.encode()) / 2


def test_llama3_has_words_that_no_merge_makes():
    text = "a scaled é abcxyz"
    assert ours("llama3").ignore_merges and len(ours("llama3").encode(text)) == 4
    without = Tokenizer(ours("llama3").merges, pattern=LLAMA3)
    assert len(without.encode(text)) > 4


@pytest.mark.parametrize("style", STYLES)
@given(data=st.data())
def test_any_ids_are_decoded_alike(style, data):
    ids = data.draw(st.lists(st.sampled_from(sorted(ours(style).vocabulary)), max_size=20))
    ordinary = [i for i in ids if i not in ours(style).special_tokens.values()]
    expected = book(style).decode(ordinary, skip_special_tokens=False)
    assert ours(style).decode(ordinary) == expected


@given(some=st.lists(texts | st.text("ab ", max_size=30), max_size=6), extra=st.integers(0, 40))
def test_training_learns_the_same_merges_on_any_texts(some, extra):
    reference = build("gpt2")
    train(reference, some, 256 + extra)
    trained = Tokenizer.train(some, 256 + extra)
    assert letters(trained.merges) == merges_of(reference)
    assert trained.vocab_size == reference.get_vocab_size()
    for text in some:
        assert trained.encode(text) == ids_of(reference, text)


@pytest.mark.parametrize("pattern", [None, QWEN2, LLAMA3])
def test_training_on_the_book_learns_the_same_merges(pattern):
    some = [*corpus.load("en").splitlines(), *corpus.load("zh").splitlines()]
    reference = build({None: "gpt2", QWEN2: "qwen2", LLAMA3: "llama3"}[pattern])
    train(reference, some, 4000, SPECIAL)
    options = {} if pattern is None else {"pattern": pattern}
    trained = Tokenizer.train(some, 4000, special_tokens=SPECIAL, **options)
    assert letters(trained.merges) == merges_of(reference)
    # The special tokens come last here, and first there.
    text = corpus.load("zh")
    assert trained.encode(text) == [i - len(SPECIAL) for i in ids_of(reference, text)]
