"""Byte-pair encoding by hand, against the naive loops, and what must hold for any text."""

import copy
import json
import pickle
import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook.book import corpus
from llmbook.tokenizer import GPT2_PATTERN, Tokenizer, from_letters

texts = st.text(max_size=60)
few = st.text(alphabet="ab ", max_size=20)  # so that pairs repeat, overlap and tie
BOOK = Tokenizer.train([corpus.load("en"), corpus.load("zh")], 700, special_tokens=["<|end|>"])


def tokens(tokenizer: Tokenizer, text: str) -> list[bytes]:
    return [tokenizer.vocabulary[i] for i in tokenizer.encode(text)]


def naive_encode(tokenizer: Tokenizer, word: bytes) -> list[bytes]:
    """Find the pair of lowest rank, put it together once, start over."""
    ranks = {pair: rank for rank, pair in enumerate(tokenizer.merges)}
    parts = [bytes([byte]) for byte in word]
    while len(parts) > 1:
        rank, i = min((ranks.get(pair, len(ranks)), i) for i, pair in enumerate(pairwise(parts)))
        if rank == len(ranks):
            break
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


def naive_train(words: Counter[str], num_merges: int) -> list[tuple[bytes, bytes]]:
    """Count every pair anew for every merge."""
    ids = {token: i for i, token in Tokenizer([]).vocabulary.items()}
    sequences = [([bytes([b]) for b in word.encode()], n) for word, n in words.items()]
    merges = []
    while len(ids) < 256 + num_merges:
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for parts, n in sequences:
            for pair in pairwise(parts):
                counts[pair] += n
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], ids[pair[0]], ids[pair[1]]))
        ids.setdefault(best[0] + best[1], len(ids))
        merges.append(best)
        for parts, _ in sequences:
            for i in range(len(parts)):  # parts grows shorter, and i then runs past its end
                if tuple(parts[i : i + 2]) == best:
                    parts[i : i + 2] = [best[0] + best[1]]
    return merges


# -- By hand -----------------------------------------------------------------------------------


def test_merges_go_by_rank_and_not_from_the_left():
    merges = [(b"b", b"c"), (b"a", b"b"), (b"a", b"bc")]
    assert tokens(Tokenizer(merges), "abc abab") == [b"abc", b" ", b"ab", b"ab"]
    assert tokens(Tokenizer(merges[1:2] + merges[:1]), "abc") == [b"ab", b"c"]


def test_of_overlapping_pairs_the_leftmost_wins():
    assert tokens(Tokenizer([(b"a", b"a")]), "aaa") == [b"aa", b"a"]
    assert tokens(Tokenizer([(b"a", b"a"), (b"aa", b"aa")]), "aaaaaaa") == [b"aaaa", b"aa", b"a"]


def test_training_by_hand():
    # hu 5, ug 5, gs 2, pu 4, un 4: both ties go to the lower id on the left.
    words = ["hug"] * 3 + ["hugs"] * 2 + ["pun"] * 4
    trained = Tokenizer.train(words, 260)
    assert trained.merges == [(b"h", b"u"), (b"hu", b"g"), (b"p", b"u"), (b"pu", b"n")]
    assert tokens(trained, "hugs pun") == [b"hug", b"s", b" ", b"pun"]
    assert Tokenizer.train(words, 999).merges[4:] == [(b"hug", b"s")]  # nothing left to merge


def test_the_ids_are_those_of_gpt2():
    plain = Tokenizer([], special_tokens=["<|end|>"])
    assert plain.encode("!A ~") == [0, 32, 220, 93]
    assert plain.encode("\n\x00") == [198, 188]
    assert plain.special_tokens == {"<|end|>": 256} and plain.vocab_size == 257
    assert BOOK.vocab_size == 700 and BOOK.special_tokens == {"<|end|>": 699}
    assert [b"".join(pair) for pair in BOOK.merges] == [BOOK.vocabulary[i] for i in range(256, 699)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("We're here, isn't it?", ["We", "'re", " here", ",", " isn", "'t", " it", "?"]),
        ("in 2024x", ["in", " 2024", "x"]),
        ("a  b\n\n c ", ["a", " ", " b", "\n\n", " c", " "]),
        ("注意力 RNN。", ["注意力", " RNN", "。"]),
        ("", []),
    ],
)
def test_the_pattern_of_gpt2(text, words):
    assert BOOK._cut(text) == words


def test_patterns_cut_one_after_another_and_keep_what_lies_between():
    both = Tokenizer([], pattern=[r"\p{N}", r" ?\p{L}+"])
    assert both._cut("ab12 cd!?") == ["ab", "1", "2", " cd", "!?"]
    assert Tokenizer([], pattern=())._cut("ab 12") == ["ab 12"]


# -- Against the naive loops -------------------------------------------------------------------


@given(st.lists(few, max_size=8), st.integers(0, 12))
def test_training_counts_as_the_naive_loop_does(some, num_merges):
    trained = Tokenizer.train(some, 256 + num_merges, pattern=r"\S+")
    words = Counter(word for text in some for word in Tokenizer([], pattern=r"\S+")._cut(text))
    assert trained.merges == naive_train(words, num_merges)


def test_training_on_the_book_counts_as_the_naive_loop_does():
    text = corpus.load("zh")[:3000] + corpus.load("en")[:3000]
    trained = Tokenizer.train([text], 400)
    assert trained.merges == naive_train(Counter(trained._cut(text)), 400 - 256)


@given(texts | few)
def test_encoding_is_the_naive_loop(text):
    expected = [part for word in BOOK._cut(text) for part in naive_encode(BOOK, word.encode())]
    assert tokens(BOOK, text) == expected


@given(st.lists(few, max_size=8), few)
def test_encoding_is_the_naive_loop_for_any_merges(some, text):
    trained = Tokenizer.train(some, 280)
    expected = [p for word in trained._cut(text) for p in naive_encode(trained, word.encode())]
    assert tokens(trained, text) == expected


def test_ranks_need_not_follow_the_order_in_which_tokens_can_arise():
    merges = [(b"ab", b"c"), (b"a", b"b"), (b"c", b"d"), (b"abc", b"d")]
    random.seed(0)
    for _ in range(50):
        random.shuffle(merges)
        shuffled = Tokenizer(merges)
        for word in ("abcd", "ababcdcd", "cdabc", "abab"):
            assert tokens(shuffled, word) == naive_encode(shuffled, word.encode())


def test_a_long_word_takes_no_longer_than_many_short_ones():
    # The naive loop would look at 10 ** 10 pairs.
    assert BOOK.decode(BOOK.encode("ab" * 100_000)) == "ab" * 100_000


# -- What must hold ----------------------------------------------------------------------------


@given(texts)
def test_a_text_comes_back(text):
    ids = BOOK.encode(text)
    assert BOOK.decode(ids) == text
    assert ids == BOOK.encode(text) == BOOK.encode_bytes(text.encode())
    assert BOOK.special_tokens["<|end|>"] not in ids


@given(st.binary(max_size=60))
def test_any_bytes_come_back(data):
    assert BOOK.decode_bytes(BOOK.encode_bytes(data)) == data


@given(st.lists(st.integers(0, 699), max_size=20))
def test_any_ids_can_be_decoded(ids):
    data = b"".join(BOOK.vocabulary[i] for i in ids)
    assert BOOK.decode_bytes(ids) == data
    assert BOOK.decode(ids) == data.decode("utf-8", "replace")


@given(texts, texts)
def test_a_special_token_is_text_unless_asked_for(left, right):
    text = f"{left}<|end|>{right}"
    assert BOOK.special_tokens["<|end|>"] not in BOOK.encode(text)
    expected = [*BOOK.encode(left), 699, *BOOK.encode(right)]
    for allowed in ("all", {"<|end|>"}, ["<|end|>"]):
        assert BOOK.encode(text, allowed_special=allowed) == expected
    assert BOOK.decode(expected) == BOOK.decode(BOOK.encode(text)) == text


def test_the_longest_special_token_wins_and_only_those_allowed_count():
    special = Tokenizer([], special_tokens=["<a>", "<a><b>", "<b>", "<a>"])
    assert special.special_tokens == {"<a>": 256, "<a><b>": 257, "<b>": 258}
    assert special.encode("<a><b><b><a>", allowed_special="all") == [257, 258, 256]
    assert special.encode("<b><a>", allowed_special=["<a>"]) == [*special.encode("<b>"), 256]


def test_what_was_encoded_before_makes_no_difference():
    fresh = Tokenizer(BOOK.merges)
    first = fresh.encode("attention attention")
    first[:] = [0]  # must not reach into what the tokenizer remembers
    assert fresh.encode("attention attention") == BOOK.encode("attention attention")


def test_the_memory_for_words_is_bounded(monkeypatch):
    monkeypatch.setattr("llmbook.tokenizer.bpe._CACHED_WORDS", 3)
    fresh = Tokenizer([])
    assert fresh.decode(fresh.encode("a b c d e f")) == "a b c d e f"
    assert len(fresh._cache) == 3


def test_normalizing_makes_one_of_two_spellings():
    nfc = Tokenizer([], nfc=True)
    assert nfc.encode("e\u0301") == nfc.encode("\u00e9") == Tokenizer([]).encode("\u00e9")
    assert Tokenizer([]).encode("e\u0301") != Tokenizer([]).encode("\u00e9")


def test_ignoring_merges_takes_whole_words():
    plain = {token: i for i, token in Tokenizer([]).vocabulary.items()}
    merges, vocabulary = [(b"a", b"b")], plain | {b"ab": 300, b"abc": 301, b" b": 302}
    for ignore, expected in ((False, [b"ab", b"c", b" ", b"b"]), (True, [b"abc", b" b"])):
        made = Tokenizer(merges, vocabulary=vocabulary, ignore_merges=ignore)
        assert tokens(made, "abc b") == expected
        assert made.vocab_size == 303


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_tokenizer_can_be_copied_to_another_process(clone):
    assert clone(BOOK).encode("Attention 注意力") == BOOK.encode("Attention 注意力")


def test_training_reads_texts_once_and_apart():
    trained = Tokenizer.train((text for text in ["ab", "ba", "ab"]), 300)
    assert trained.merges == [(b"a", b"b"), (b"b", b"a")]
    assert Tokenizer.train([], 300).merges == []


# -- Files -------------------------------------------------------------------------------------


@given(texts)
def test_a_saved_tokenizer_gives_the_same_ids(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("saved") / "tokenizer.json"
    assert BOOK.save(path) == path
    loaded = Tokenizer.load(path)
    assert loaded.encode(text, allowed_special="all") == BOOK.encode(text, allowed_special="all")


def test_everything_is_kept_in_the_file(tmp_path):
    plain = {token: i + 7 for i, token in Tokenizer([]).vocabulary.items()}
    made = Tokenizer(
        [(b"a", b" "), (b"\xe4", b"\xb8")],
        vocabulary=plain | {b"a ": 3, b"\xe4\xb8": 500},
        special_tokens={"<|\u4e2d|>": 2, "<|b|>": 900},
        pattern=[r"\d", '[^\\s"]+'],
        nfc=True,
        ignore_merges=True,
    )
    loaded = Tokenizer.load(made.save(tmp_path / "a.json"))
    assert vars(loaded) == vars(made)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


def test_a_file_may_split_at_a_plain_string(tmp_path):
    data = json.loads(Tokenizer([]).save(tmp_path / "a.json").read_text(encoding="utf-8"))
    step = {"type": "Split", "pattern": {"String": "."}, "behavior": "Isolated", "invert": False}
    set_step({"type": "Sequence", "pretokenizers": [step, BYTE_LEVEL]})(data)
    (tmp_path / "b.json").write_text(json.dumps(data), encoding="utf-8")
    assert Tokenizer.load(tmp_path / "b.json")._cut("a .b..") == ["a", " ", ".", "b", ".", "."]


def test_saving_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = BOOK.save(tmp_path / "tokenizer.json")
    before = path.read_bytes()

    def break_down(data, file, **options):
        file.write("{")
        raise OSError("the disk is full")

    monkeypatch.setattr(json, "dump", break_down)
    with pytest.raises(OSError, match="the disk is full"):
        BOOK.save(path)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def set_model(key, value):
    return lambda data: data["model"].update({key: value})


def set_step(step):
    return lambda data: data.update(pre_tokenizer=step)


def set_flag(flag):
    return lambda data: data["added_tokens"][0].update({flag: True})


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: data.pop("model"),
            "model must be an object, got None: this is no tokenizer.json",
        ),
        (set_model("type", "Unigram"), "model.type must be 'BPE', got 'Unigram'"),
        (set_model("byte_fallback", True), "model.byte_fallback must be False"),
        (set_model("dropout", 0.1), "model.dropout must be None, got 0.1"),
        (set_model("end_of_word_suffix", "</w>"), "model.end_of_word_suffix .* got '</w>'"),
        (set_model("continuing_subword_prefix", "##"), "continuing_subword_prefix .* got '##'"),
        (
            lambda d: d.update(normalizer={"type": "Lowercase"}),
            "normalizer.type .* got 'Lowercase'",
        ),
        (lambda d: d["model"]["vocab"].update({"\u2581a": 999}), "GPT-2's letters, got '\u2581a'"),
        (lambda d: d["model"]["merges"].append("z z"), r"merges\[443\] must .* got b'zz'"),
        (
            lambda d: (d.update(normalizer={"type": "NFC"}), set_flag("normalized")(d)),
            r"normalized of the token '<\|end\|>' must be False",
        ),
        (set_flag("lstrip"), r"lstrip of the token '<\|end\|>' must be False"),
        (set_step(None), "pre_tokenizer must not have the step None"),
        (set_step({"type": "Metaspace"}), "pre_tokenizer must not have the step .*Metaspace"),
        (set_step({"type": "ByteLevel", "add_prefix_space": True}), "must not have .* True"),
        (set_step({"type": "Sequence", "pretokenizers": []}), "must end in ByteLevel"),
        (set_step({"type": "Sequence", "pretokenizers": [BYTE_LEVEL] * 2}), "must not have"),
        (
            set_step(
                {
                    "type": "Sequence",
                    "pretokenizers": [{"type": "Digits", "individual_digits": True}],
                }
            ),
            "must end in ByteLevel, got .*Digits",
        ),
    ],
)
def test_files_that_ask_for_something_else_are_refused(tmp_path, change, message):
    path = BOOK.save(tmp_path / "tokenizer.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        Tokenizer.load(path)


def test_it_shows_its_sizes():
    tokenizer = Tokenizer([(b"l", b"o")], special_tokens=["<end>"])
    assert repr(tokenizer) == "Tokenizer(vocab_size=258, merges=1, special_tokens=1)"


def test_letters_are_those_of_the_file(tmp_path):
    data = json.loads(BOOK.save(tmp_path / "a.json").read_text(encoding="utf-8"))
    for token, i in data["model"]["vocab"].items():
        assert i in BOOK.special_tokens.values() or from_letters(token) == BOOK.vocabulary[i]
    assert (
        from_letters("\u0120\u00e6\u00b3\u00a8") == " \u6ce8".encode() and from_letters("") == b""
    )
    with pytest.raises(ValueError, match="spelled in GPT-2's letters, got 'a b'"):
        from_letters("a b")


def test_a_vocabulary_may_lack_bytes_that_no_text_holds(tmp_path):
    path = Tokenizer([(b"a", b"b")]).save(tmp_path / "a.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    del data["model"]["vocab"]["\u00f1"]  # the first byte of a character beyond U+3FFFF
    path.write_text(json.dumps(data), encoding="utf-8")
    gap = Tokenizer.load(path)
    assert gap.decode(gap.encode("ab 注")) == "ab 注"
    with pytest.raises(ValueError, match="no token for the byte 0xf1 of"):
        gap.encode("ab \U00050000")


# -- Errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tokenizer.train("one text", 300), "texts must be several texts, got the string"),
        (lambda: Tokenizer.train([], 255), "vocab_size must be at least 256, got 255"),
        (lambda: Tokenizer.train([], 257, special_tokens="ab"), "must be at least 258, got 257"),
        (lambda: Tokenizer.train(["a\ud800"], 300), "texts must be Unicode, got a lone surrogate"),
        (lambda: Tokenizer([(b"a", b"b"), (b"abc", b"d")]), r"merges\[1\] must .* got b'abc'"),
        (lambda: Tokenizer([], special_tokens=[""]), "must not be empty or ordinary, got ''"),
        (lambda: Tokenizer([], special_tokens=["a"]), "must not be empty or ordinary, got 'a'"),
        (lambda: Tokenizer([], special_tokens={"<a>": 0}), "must use each id once"),
        (lambda: Tokenizer([], vocabulary={}).encode("a"), "no token for the byte 0x61 of b'a'"),
        (lambda: Tokenizer([], vocabulary={}).encode_bytes(b"\xff"), "no token for the byte 0xff"),
        (lambda: Tokenizer([], pattern="("), r"pattern must be a regular expression, got '\('"),
        (lambda: Tokenizer([], pattern="(a)"), r"pattern must group by \(\?:...\)"),
        (lambda: BOOK.encode("a\udcff"), "text must be Unicode, got a lone surrogate"),
        (lambda: BOOK.encode("a", allowed_special=["<x>"]), r"special tokens, got \['<x>'\]"),
        (lambda: BOOK.decode([0, 700]), "ids must be in the vocabulary, got 700"),
        (lambda: BOOK.decode_bytes([-1]), "ids must be in the vocabulary, got -1"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_pattern_covers_every_text():
    assert Tokenizer([]).patterns == (GPT2_PATTERN,)
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    assert "".join(BOOK._cut(every)) == every
    assert BOOK._cutters[0].sub("", every) == ""
