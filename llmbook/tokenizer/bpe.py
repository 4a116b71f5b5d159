"""Byte-level byte-pair encoding: a text to ids by the merges, and ids to text."""

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import count, pairwise
from pathlib import Path
from typing import Literal, Self

from llmbook._files import read_json, reading, replacing
from llmbook.tokenizer.file import from_json, to_json
from llmbook.tokenizer.letters import BYTE_OF, BYTES, from_letters
from llmbook.tokenizer.merges import Pair, learn_merges
from llmbook.tokenizer.words import GPT2_PATTERN, compile_pattern

__all__ = ["Tokenizer"]

_CACHED_WORDS = 2**17


class Tokenizer:
    r"""Byte-level byte-pair encoding: from text to ids and back, without loss.

    Usually a tokenizer is trained or loaded. Given merges alone, the ids of the bytes come
    first, in GPT-2's order, then those of the merges, then those of the special tokens. Worked
    by hand on the page on [tokens][tokenizer].

    Args:
        merges: Pairs of tokens to put together, the first learned first.
        special_tokens: Tokens that no text turns into unless asked to: names, or names with
            their ids.
        vocabulary: Id of each ordinary token, where it is not as said above.
        pattern: Regular expression, in the syntax of ``regex``, whose matches are the words, as
            is whatever stands between them. With several, each cuts what the last one left.
        nfc: Normalize to NFC first; the normalized text is then what comes back.
        ignore_merges: Take a word that is a token as it is, whatever the merges, as Llama 3.

    Raises:
        ValueError: If the vocabulary uses an id twice, a merge uses or makes an unknown token, a
            special token is empty or an ordinary token too, or a pattern is wrong.

    Examples:
        ```python
        from llmbook.tokenizer import Tokenizer

        tokenizer = Tokenizer([(b"l", b"o"), (b"lo", b"w")])
        ids = tokenizer.encode("low é")
        print(ids, [tokenizer.vocabulary[i] for i in ids])
        print(tokenizer.decode(ids))
        ```

        ``` {.text .output}
        [257, 220, 127, 102] [b'low', b' ', b'\xc3', b'\xa9']
        low é
        ```
    """

    merges: list[tuple[bytes, bytes]]
    vocabulary: dict[int, bytes]  # what each id stands for, special tokens included
    special_tokens: dict[str, int]

    def __init__(
        self,
        merges: Iterable[tuple[bytes, bytes]],
        *,
        special_tokens: Iterable[str] | Mapping[str, int] = (),
        vocabulary: Mapping[bytes, int] | None = None,
        pattern: str | Sequence[str] = GPT2_PATTERN,
        nfc: bool = False,
        ignore_merges: bool = False,
    ) -> None:
        self.merges = list(merges)
        self.patterns = (pattern,) if isinstance(pattern, str) else tuple(pattern)
        self.nfc, self.ignore_merges = nfc, ignore_merges
        self._cutters = [compile_pattern(expression) for expression in self.patterns]
        if vocabulary is None:
            tokens = [bytes([byte]) for byte in BYTES] + [a + b for a, b in self.merges]
            vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
        self._ids = dict(vocabulary)
        if not isinstance(special_tokens, Mapping):
            free = count(max(self._ids.values(), default=-1) + 1)
            special_tokens = {token: next(free) for token in dict.fromkeys(special_tokens)}
        self.special_tokens = dict(special_tokens)
        for name in self.special_tokens:
            if not name or (BYTE_OF.keys() >= {*name} and from_letters(name) in self._ids):
                raise ValueError(f"special_tokens must not be empty or ordinary, got {name!r}")
        self.vocabulary = {i: token for token, i in self._ids.items()}
        self.vocabulary |= {i: name.encode() for name, i in self.special_tokens.items()}
        if len(self.vocabulary) < len(self._ids) + len(self.special_tokens):
            raise ValueError("vocabulary and special_tokens must use each id once")
        self._byte_ids = {token[0]: i for token, i in self._ids.items() if len(token) == 1}
        self._ranks: dict[Pair, Pair] = {}  # ids of a pair -> its rank and the id of the whole
        for rank, (left, right) in enumerate(self.merges):
            for token in (left, right, left + right):
                if token not in self._ids:
                    raise ValueError(f"merges[{rank}] must use known tokens, got {token!r}")
            self._ranks[self._ids[left], self._ids[right]] = rank, self._ids[left + right]
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        *,
        special_tokens: Collection[str] = (),
        pattern: str | Sequence[str] = GPT2_PATTERN,
    ) -> Self:
        """Learn merges from texts: the most frequent pair of neighbours first.

        Between pairs equally frequent the lower ids decide, those of the left token first, as
        in ``tokenizers``. Counts are kept from merge to merge, and only words that hold the
        pair are touched: see [training][training-bpe].

        Args:
            texts: The texts, read once; no pair reaches across two of them.
            vocab_size: Number of tokens, the 256 bytes and the special tokens included. There
                are fewer if the texts run out of pairs.
            special_tokens: Tokens to add after all others.
            pattern: What cuts a text into words.

        Returns:
            The tokenizer.

        Raises:
            ValueError: If ``texts`` is one string, or ``vocab_size`` is too small.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts must be several texts, got the string {texts[:20]!r}")
        special_tokens = list(dict.fromkeys(special_tokens))
        least = 256 + len(special_tokens)
        if vocab_size < least:
            raise ValueError(f"vocab_size must be at least {least}, got {vocab_size}")
        cutter = cls((), pattern=pattern)
        words: Counter[str] = Counter()
        for text in texts:
            words.update(cutter._cut(_check_text("texts", text)))
        merges = learn_merges(words, vocab_size - len(special_tokens))
        return cls(merges, special_tokens=special_tokens, pattern=pattern)

    def __repr__(self) -> str:
        counts = f"vocab_size={self.vocab_size}, merges={len(self.merges)}"
        return f"{type(self).__name__}({counts}, special_tokens={len(self.special_tokens)})"

    @property
    def vocab_size(self) -> int:
        """One more than the highest id: the rows that an embedding needs."""
        return max(self.vocabulary, default=-1) + 1

    def encode(
        self, text: str, *, allowed_special: Collection[str] | Literal["all"] = ()
    ) -> list[int]:
        """Turn a text into ids.

        Args:
            text: Any Unicode text.
            allowed_special: Special tokens to look for in the text. What is not named here is
                text like any other, so that nobody can smuggle one in: see
                [special tokens][special-tokens].

        Returns:
            The ids.

        Raises:
            ValueError: If ``text`` holds a lone surrogate, which no UTF-8 can hold, or a byte
                without a token, or ``allowed_special`` names a token that is not special.
        """
        _check_text("text", text)
        allowed = {*self.special_tokens} if allowed_special == "all" else {*allowed_special}
        if not allowed <= self.special_tokens.keys():
            unknown = sorted(allowed - self.special_tokens.keys())
            raise ValueError(f"allowed_special must name special tokens, got {unknown}")
        if not allowed:
            return self._encode(text)
        longest_first = sorted(allowed, key=len, reverse=True)
        parts = re.split(f"({'|'.join(map(re.escape, longest_first))})", text)
        ids: list[int] = []
        for i, part in enumerate(parts):  # an ordinary part, a special token, an ordinary part, …
            ids += [self.special_tokens[part]] if i % 2 else self._encode(part)
        return ids

    def encode_bytes(self, data: bytes) -> list[int]:
        """Turn bytes into ids, UTF-8 or not; ``decode_bytes`` undoes it.

        Args:
            data: Any bytes. For those of a text, the ids are the ones of the text.

        Returns:
            The ids.

        Raises:
            ValueError: If a byte has no token, which happens in some published vocabularies.
        """
        # What is not UTF-8 becomes lone surrogates, which turn into the same bytes again.
        return self._encode(data.decode("utf-8", "surrogateescape"))

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text; bytes that are not UTF-8, such as half a character, become "�".

        Args:
            ids: The ids, as integers.

        Returns:
            The text.

        Raises:
            ValueError: If an id is not in the vocabulary.
        """
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Turn ids into bytes: without loss, whatever the ids.

        Args:
            ids: The ids, as integers.

        Returns:
            The bytes.

        Raises:
            ValueError: If an id is not in the vocabulary.
        """
        try:
            return b"".join([self.vocabulary[i] for i in ids])
        except KeyError as error:
            raise ValueError(f"ids must be in the vocabulary, got {error.args[0]}") from None

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a ``tokenizer.json``, whole or not at all, that ``tokenizers`` reads too.

        Args:
            path: Where to.

        Returns:
            The path written.
        """
        path = Path(path)
        data = to_json(
            self.merges,
            special_tokens=self.special_tokens,
            vocabulary=self._ids,
            pattern=self.patterns,
            nfc=self.nfc,
            ignore_merges=self.ignore_merges,
        )
        with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            json.dump(data, file, ensure_ascii=False, indent=1)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a ``tokenizer.json``: GPT-2, Llama 3, Qwen and whatever else is byte-level BPE.

        What a file adds around a text, such as a token at its beginning, is left out. All of
        its added tokens count as special.

        Args:
            path: The file.

        Returns:
            The tokenizer.

        Raises:
            ValueError: If the file asks for something else, or is damaged; the error names it and
                says what is wrong.
        """
        data = read_json(path)
        with reading(path):
            return cls(**from_json(data))

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in self._cut(unicodedata.normalize("NFC", text) if self.nfc else text):
            known = self._cache.get(word)
            if known is None:
                known = self._encode_word(word.encode("utf-8", "surrogateescape"))
                if len(self._cache) < _CACHED_WORDS:
                    self._cache[word] = known
            ids += known
        return ids

    def _cut(self, text: str) -> list[str]:
        words = [text]
        for cutter in self._cutters:
            words = [part for word in words for part in cutter.split(word) if part]
        return words

    def _encode_word(self, word: bytes) -> list[int]:
        """Merge the pair of lowest rank, the leftmost of several, until no pair has a rank.

        The ids form a linked list, and a heap holds the pairs: n log n steps for n bytes.
        """
        if self.ignore_merges and word in self._ids:
            return [self._ids[word]]
        try:
            ids = [self._byte_ids[byte] for byte in word]
        except KeyError as error:
            raise ValueError(f"no token for the byte {error.args[0]:#04x} of {word!r}") from None
        ranks, end = self._ranks, len(ids)
        heap = [(ranks[pair], i) for i, pair in enumerate(pairwise(ids)) if pair in ranks]
        heapify(heap)
        before, after = [*range(-1, end - 1)], [*range(1, end + 1)]
        while heap:
            merge, i = heappop(heap)
            j = after[i]
            if j == end or ranks.get((ids[i], ids[j])) != merge:
                continue  # one of the two has been merged since
            ids[i], ids[j] = merge[1], -1
            after[i] = after[j]
            if after[i] < end:
                before[after[i]] = i
            for left, right in ((before[i], i), (i, after[i])):
                if left >= 0 and right < end and (ids[left], ids[right]) in ranks:
                    heappush(heap, (ranks[ids[left], ids[right]], left))
        return [i for i in ids if i >= 0]


def _check_text(name: str, text: str) -> str:
    """Require a text that UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} must be Unicode, got a lone surrogate: {error}") from None
    return text
