"""How fast the tokenizer trains and encodes, beside a plain reference and Rust `tokenizers`.

The reference is byte-pair encoding as it is usually written in Python: for each word find the
pair of lowest rank, merge it wherever it stands, start over; no word is remembered. All sides
have the same merges, cut by the same regular expression, and give the same ids, which is
checked. They take turns (A B C A B C …), each run with a new tokenizer that has seen nothing;
making it does not count. `tokenizers` runs in one thread, like the others, and without offsets,
its fastest.

Training reads 10 MB of Python's own library, the text at hand on every machine. The prose is the
pages of this book, all of Markdown included.

    python benchmarks/tokenizer.py --runs 5
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"  # read when tokenizers first starts a thread

import regex  # type: ignore[import-untyped]
from tokenizers import Tokenizer as Rust
from tokenizers import models, pre_tokenizers, trainers

from llmbook.tokenizer import GPT2_PATTERN, Tokenizer

ROOT = Path(__file__).resolve().parents[1]
WORDS = regex.compile(GPT2_PATTERN)

Ids = list[int]
Pair = tuple[int, int]
Side = tuple[Callable[[], Any], Callable[[Any], object]]  # prepare, then what is timed


def library(size: int) -> list[str]:
    """Sources of Python's library, in order of their names, up to so many bytes."""
    texts, total = [], 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" in path.parts or total >= size:
            continue
        try:
            text = path.read_bytes()[: size - total].decode("utf-8", "ignore")
        except OSError:
            continue
        texts.append(text)
        total += len(text.encode())
    return texts


def pages(language: str) -> list[str]:
    return [p.read_text(encoding="utf-8") for p in sorted((ROOT / "docs" / language).rglob("*.md"))]


def merged(ids: Ids, pair: Pair, whole: int) -> Ids:
    """Every ``pair`` of a sequence replaced."""
    new, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            new.append(whole)
            i += 2
        else:
            new.append(ids[i])
            i += 1
    return new


class Reference:
    """Byte-pair encoding, as short as it gets."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        ids = {token: i for i, token in tokenizer.vocabulary.items()}
        self.bytes = [ids[bytes([byte])] for byte in range(256)]
        self.wholes = {(ids[a], ids[b]): ids[a + b] for a, b in tokenizer.merges}

    def encode(self, text: str) -> Ids:
        result = []
        for word in WORDS.findall(text):
            ids = [self.bytes[byte] for byte in word.encode()]
            while len(ids) > 1:
                # An id is higher the later its merge was learned, so it serves as the rank.
                pair = min(pairwise(ids), key=lambda pair: self.wholes.get(pair, 1 << 60))
                if pair not in self.wholes:
                    break
                ids = merged(ids, pair, self.wholes[pair])
            result.extend(ids)
        return result

    @staticmethod
    def train(texts: list[str], vocab_size: int) -> list[Pair]:
        words = Counter(word for text in texts for word in WORDS.findall(text))
        plain = {token[0]: i for i, token in Tokenizer([]).vocabulary.items()}
        sequences = [([plain[byte] for byte in word.encode()], n) for word, n in words.items()]
        merges = []
        for whole in range(256, vocab_size):
            counts: Counter[Pair] = Counter()
            for ids, n in sequences:
                for pair in pairwise(ids):
                    counts[pair] += n
            best = min(counts, key=lambda pair: (-counts[pair], pair))
            merges.append(best)
            sequences = [(merged(ids, best, whole), n) for ids, n in sequences]
        return merges


def train_rust(texts: list[str], vocab_size: int) -> Rust:
    tokenizer = Rust(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encoding(texts: list[str], file: Path) -> dict[str, Side]:
    """The three sides of encoding; each gives the ids of all texts, one after another."""

    def all_ids(tokenizer: Tokenizer | Reference) -> Ids:
        return [i for text in texts for i in tokenizer.encode(text)]

    def rust_ids(tokenizer: Rust) -> Ids:
        return [i for part in tokenizer.encode_batch_fast(texts) for i in part.ids]

    return {
        "llmbook": (lambda: Tokenizer.load(file), all_ids),
        "reference": (lambda: Reference(Tokenizer.load(file)), all_ids),
        "tokenizers": (lambda: Rust.from_file(str(file)), rust_ids),
    }


def training(texts: list[str], vocab_size: int, with_reference: bool) -> dict[str, Side]:
    """The sides of training; what they learn is compared by what it does to a text."""
    probe = pages("en")[0]
    sides: dict[str, Side] = {
        "llmbook": (lambda: None, lambda _: Tokenizer.train(texts, vocab_size).encode(probe)),
        "tokenizers": (lambda: None, lambda _: train_rust(texts, vocab_size).encode(probe).ids),
    }
    if with_reference:

        def reference(_: object) -> Ids:
            made = Reference(Tokenizer([]))
            made.wholes = {
                pair: 256 + i for i, pair in enumerate(Reference.train(texts, vocab_size))
            }
            return made.encode(probe)

        sides["reference"] = (lambda: None, reference)
    return sides


def in_turn(sides: dict[str, Side], runs: int) -> dict[str, list[float]]:
    """Seconds of each side's runs; all must give the same."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(runs):
        results = []
        for name, (prepare, work) in sides.items():
            prepared = prepare()
            start = time.perf_counter()
            results.append(work(prepared))
            seconds[name].append(time.perf_counter() - start)
        if any(result != results[0] for result in results):
            raise SystemExit(f"{', '.join(sides)} do not give the same ids")
    return seconds


def tasks(folder: Path, size: int) -> Iterator[tuple[str, str, dict[str, Side]]]:
    """Name and size of each task, and its sides."""
    code = library(size)
    yield "train, 7744 merges", megabytes(code), training(code, 8000, with_reference=False)
    some = library(size // 10)
    yield "train, 30 merges", megabytes(some), training(some, 286, with_reference=True)
    learned = Tokenizer.train([*code, *pages("en"), *pages("zh")], 8000)
    file = learned.save(folder / "tokenizer.json")
    for name, texts in (("English", pages("en")), ("Chinese", pages("zh")), ("code", some)):
        yield f"encode, {name}", megabytes(texts), encoding(texts, file)


def megabytes(texts: list[str]) -> str:
    return f"{sum(len(text.encode()) for text in texts) / 1e6:.2f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each side (default 5)")
    parser.add_argument("--size", type=int, default=10**7, help="bytes to train on (default 10^7)")
    parser.add_argument("--limit", type=float, help="exit with 1 if encoding gains less than this")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error(f"--runs must be at least 1, got {arguments.runs}")

    least = float("inf")
    print(f"{'task':22}{'side':12}{'median s':>10}{'min':>9}{'max':>9}{'ratio':>9}")
    with tempfile.TemporaryDirectory() as name:
        for task, size, sides in tasks(Path(name), arguments.size):
            seconds = in_turn(sides, arguments.runs)
            ours = statistics.median(seconds["llmbook"])
            print(f"{task}, {size}")
            for side, values in seconds.items():
                middle = statistics.median(values)
                row = f"{middle:10.3f}{min(values):9.3f}{max(values):9.3f}{middle / ours:9.2f}"
                print(f"{'':22}{side:12}{row}", flush=True)
                if side == "reference" and task.startswith("encode"):
                    least = min(least, middle / ours)
    print(f"ratio: median / median of llmbook, {arguments.runs} runs in turn")
    if arguments.limit and least < arguments.limit:
        sys.exit(f"the reference takes only {least:.2f} times as long, less than {arguments.limit}")


if __name__ == "__main__":
    main()
