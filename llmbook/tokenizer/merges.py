"""Merges: which tokens to put together, learned from the words of many texts."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

from llmbook.tokenizer.letters import BYTES

Pair = tuple[int, int]


def learn_merges(words: Mapping[str, int], vocab_size: int) -> list[tuple[bytes, bytes]]:
    """The merges that take the 256 bytes to ``vocab_size`` tokens."""
    # Each distinct word is merged once and counts as often as it stands in the texts. ``counts``
    # and ``holders`` are kept up to date, so a merge visits only the words that hold its pair.
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
    # Every pair has an entry that is at least its count: where the count has fallen since, the
    # entry stays and is put right when it comes up. So the first entry that agrees is the most
    # frequent pair. Of pairs that are equally frequent the one of lower ids comes first.
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
        # Summed up over all words first: a pair that arises at one place may be merged on at the
        # next, as (X, a) is in "abab" on its way to X X, and only what remains goes into the heap.
        changes: defaultdict[Pair, int] = defaultdict(int)
        for index in holders.pop(pair):
            for old, new in _merge(sequences[index], pair, whole):
                changes[old] -= frequencies[index]
                changes[new] += frequencies[index]
                # The word stays among the holders of the old pair, which it may hold elsewhere: if
                # not, it will be read once in vain.
                holders[new].add(index)
        for changed, change in changes.items():
            counts[changed] += change
            # Only a pair with the new token can grow, and it has no entry yet. A pair that has
            # become rarer has one, which is put right when it comes up.
            if change > 0:
                heappush(heap, (-counts[changed], changed))
        # It stands nowhere now, and cannot arise again, since tokens that are new make new pairs.
        # Last, because in "aaa" the pair is its own neighbour, and so among the changes.
        del counts[pair]
    return merges


def _merge(sequence: list[int], pair: Pair, whole: int) -> Iterator[tuple[Pair, Pair]]:
    """Put the pair together wherever it stands; give each pair beside it, as it was and is."""
    # In place, while the caller counts. A neighbour to the left may be a token just put together:
    # the pair with it is given as made at the place before and as replaced at this one, which
    # cancels.
    i = 0
    while i + 1 < len(sequence):
        if (sequence[i], sequence[i + 1]) == pair:
            sequence[i : i + 2] = [whole]
            if i > 0:
                yield (sequence[i - 1], pair[0]), (sequence[i - 1], whole)
            if i + 1 < len(sequence):
                yield (pair[1], sequence[i + 1]), (whole, sequence[i + 1])
        # Past the whole token, so that of overlapping pairs the leftmost is merged: "aaa" is aa, a.
        i += 1
