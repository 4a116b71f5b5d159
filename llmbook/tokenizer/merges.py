"""Merges: which tokens to put together, learned from the words of many texts."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

from llmbook.tokenizer.letters import BYTES

Pair = tuple[int, int]


def learn_merges(words: Mapping[str, int], vocab_size: int) -> list[tuple[bytes, bytes]]:
    """The merges that take the 256 bytes to ``vocab_size`` tokens."""
    tokens = [bytes([byte]) for byte in BYTES]
    id_of = {byte: i for i, byte in enumerate(BYTES)}
    sequences = [[id_of[byte] for byte in word.encode()] for word in words]
    frequencies = list(words.values())
    counts: defaultdict[Pair, int] = defaultdict(int)
    holders: defaultdict[Pair, set[int]] = defaultdict(set)  # words that hold the pair, or held it
    for index, (sequence, frequency) in enumerate(zip(sequences, frequencies, strict=True)):
        for pair in pairwise(sequence):
            counts[pair] += frequency
            holders[pair].add(index)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapify(heap)
    merges = []
    while len(tokens) < vocab_size and heap:
        negative, pair = heappop(heap)
        if -negative != counts[pair]:  # it has grown rarer since: back with its count of today
            if counts[pair] > 0:
                heappush(heap, (-counts[pair], pair))
            continue
        left, right = tokens[pair[0]], tokens[pair[1]]
        merges.append((left, right))
        whole = len(tokens)
        tokens.append(left + right)
        changes: defaultdict[Pair, int] = defaultdict(int)
        for index in holders.pop(pair):
            for old, new in _merge(sequences[index], pair, whole):
                changes[old] -= frequencies[index]
                changes[new] += frequencies[index]
                holders[new].add(index)
        for changed, change in changes.items():
            counts[changed] += change
            if change > 0:
                heappush(heap, (-counts[changed], changed))
        del counts[pair]
    return merges


def _merge(sequence: list[int], pair: Pair, whole: int) -> Iterator[tuple[Pair, Pair]]:
    """Put the pair together wherever it stands; give each pair beside it, as it was and is."""
    i = 0
    while i + 1 < len(sequence):
        if (sequence[i], sequence[i + 1]) == pair:
            sequence[i : i + 2] = [whole]
            if i > 0:
                yield (sequence[i - 1], pair[0]), (sequence[i - 1], whole)
            if i + 1 < len(sequence):
                yield (pair[1], sequence[i + 1]), (whole, sequence[i + 1])
        i += 1
