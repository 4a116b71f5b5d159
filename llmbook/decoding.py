"""Decoding: how a Transformer writes a sequence, one token at a time.

The model gives the probability of each next token; a rule has to choose. Greedy decoding takes
the likeliest one and never looks back. Beam search follows several beginnings at once, because
the likeliest sequence need not begin with the likeliest token. Sources: Sutskever et al.,
"Sequence to Sequence Learning with Neural Networks" (2014, section 3.2); Vaswani et al. (2017,
section 6.1).

Notation: ``B`` batch, ``S`` source length, ``K`` size of the beam, ``V`` vocabulary.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from llmbook._checks import check_at_least_one
from llmbook._modes import evaluation_mode
from llmbook.transformer import Transformer

__all__ = ["Hypothesis", "beam_search", "greedy_decode"]


class Hypothesis(NamedTuple):
    """A decoded sequence and how likely the model holds it."""

    tokens: list[int]  # without bos_id, and without eos_id
    log_probability: float  # of the tokens and, if it was reached, of eos_id; natural logarithm


def greedy_decode(model: Transformer, source: Tensor, max_new_tokens: int) -> list[list[int]]:
    """Write the likeliest next token, again and again, until the end or ``max_new_tokens``.

    Each step computes one position: keys and values of all others come from caches. See
    [decoding][decoding].

    Args:
        model: The model; evaluated without dropout.
        source: Token ids, padded with ``pad_id``, shape ``(B, S)``.
        max_new_tokens: Where to stop if no end comes.

    Returns:
        The ids of each target, without ``bos_id`` and ``eos_id``.

    Raises:
        ValueError: If ``source`` does not fit or ``max_new_tokens`` is below 1.
    """
    check_at_least_one("max_new_tokens", max_new_tokens)
    config = model.config
    with evaluation_mode(model), torch.inference_mode():
        memory, memory_mask = model.encode(source)
        caches = model.decoder.new_caches()
        tokens = source.new_full((source.size(0), 1), config.bos_id)
        written = [tokens]
        done = torch.zeros_like(tokens, dtype=torch.bool)
        while len(written) <= max_new_tokens and not done.all():
            logits = model.decode(tokens, memory, memory_mask, caches=caches)
            tokens = logits[:, -1:].argmax(dim=-1).masked_fill(done, config.eos_id)  # (B, 1)
            written.append(tokens)
            done = done | (tokens == config.eos_id)
    return [_until_end(row, config.eos_id) for row in torch.cat(written[1:], dim=1).tolist()]


def beam_search(
    model: Transformer,
    source: Tensor,
    max_new_tokens: int,
    *,
    beam_size: int = 4,
    length_penalty: float = 0.6,
) -> list[list[Hypothesis]]:
    r"""Follow the ``beam_size`` likeliest beginnings at once.

    A finished hypothesis keeps its place in the beam for as long as no likelier beginning takes
    it. At the end the hypotheses are sorted by log-probability divided by the length penalty
    $((5 + n) / 6)^\alpha$, where $n$ counts the tokens and the end. See [decoding][decoding].
    Sources: Vaswani et al. (2017, section 6.1) for the defaults; Wu et al., "Google's Neural
    Machine Translation System" (2016, equation 14) for the penalty.

    Args:
        model: The model; evaluated without dropout.
        source: Token ids, padded with ``pad_id``, shape ``(B, S)``.
        max_new_tokens: Where to stop if no end comes.
        beam_size: Number of beginnings that are followed; 1 is greedy decoding.
        length_penalty: The exponent α; 0 sorts by log-probability alone.

    Returns:
        For each source its hypotheses, the best first.

    Raises:
        ValueError: If ``source`` does not fit, or ``max_new_tokens`` or ``beam_size`` is below 1.
    """
    check_at_least_one("max_new_tokens", max_new_tokens)
    check_at_least_one("beam_size", beam_size)
    config = model.config
    B, K, V = source.size(0), beam_size, config.target_vocab_size
    with evaluation_mode(model), torch.inference_mode():
        memory, memory_mask = model.encode(source)
        # Row b · K + k is beam k of source b. Beams of a source read the same memory, so when they
        # are reordered among each other, it need not be.
        memory, memory_mask = (x.repeat_interleave(K, dim=0) for x in (memory, memory_mask))
        caches = model.decoder.new_caches()
        tokens = source.new_full((B * K, 1), config.bos_id)
        written = tokens[:, :0]  # (B * K, n)
        # All beams begin alike: only the first may be continued, or the beam holds K copies.
        scores = memory.new_full((B, K), float("-inf"))
        scores[:, 0] = 0.0
        done = torch.zeros(B, K, dtype=torch.bool, device=source.device)
        first_rows = K * torch.arange(B, device=source.device)[:, None]  # (B, 1)
        for _ in range(max_new_tokens):
            logits = model.decode(tokens, memory, memory_mask, caches=caches)[:, -1]  # (B * K, V)
            steps = logits.log_softmax(dim=-1).view(B, K, V)  # (B * K, V) -> (B, K, V)
            # A finished hypothesis has one continuation, the end once more, which costs nothing: so
            # it stands among the candidates once, with its score as it is.
            steps = steps.masked_fill(done[..., None], float("-inf"))
            steps[..., config.eos_id].masked_fill_(done, 0.0)
            # The K best of all K · V continuations of a source. Flattened, number k · V + v is
            # token v after beginning k: (B, K, V) -> (B, K * V) -> (B, K). Here the logarithm
            # alone counts, as all that go on are equally long; the penalty enters at the end.
            scores, chosen = (scores[..., None] + steps).flatten(1).topk(K, dim=1)
            rows = (first_rows + chosen // V).flatten()  # (B * K,): the beginning each continues
            tokens = (chosen % V).view(B * K, 1)  # (B, K) -> (B * K, 1): what the next step reads
            # A beginning may be continued twice or not at all: all that belongs to it goes along.
            written = torch.cat((written[rows], tokens), dim=1)  # (B * K, n + 1)
            # Of the beginning that is continued, and not of the one that had this place before.
            done = done.flatten()[rows].view(B, K) | (tokens == config.eos_id).view(B, K)
            # Scores only fall, except those of finished hypotheses: if all are, nothing can change.
            if done.all():
                break
            for self_cache, _ in caches:
                self_cache.select(rows)
            # Not the other: it holds the source, the same for all beams of an item.

    hypotheses: list[list[Hypothesis]] = []
    for rows_of_item, scores_of_item in zip(
        written.view(B, K, -1).tolist(), scores.tolist(), strict=True
    ):
        ranked = []
        for row, log_probability in zip(rows_of_item, scores_of_item, strict=True):
            tokens_of_row = _until_end(row, config.eos_id)
            n = min(len(row), len(tokens_of_row) + 1)  # the end counts, if it was reached
            # Wu et al., equation 14. Logarithms are negative, so a larger divisor raises the rank:
            # it makes up for the factor below 1 that every further token costs.
            rank = log_probability / ((5 + n) / 6) ** length_penalty
            # -inf: a beam never begun, as there were fewer than K sequences of this length.
            if log_probability > float("-inf"):
                ranked.append((rank, Hypothesis(tokens_of_row, log_probability)))
        # By rank alone: on a tie the tuples would compare tokens. Sorting is stable, so the
        # likelier hypothesis stays in front.
        ranked.sort(key=lambda pair: pair[0], reverse=True)
        hypotheses.append([hypothesis for _, hypothesis in ranked])
    return hypotheses


def _until_end(tokens: list[int], eos_id: int) -> list[int]:
    """The tokens before the first end."""
    return tokens[: tokens.index(eos_id)] if eos_id in tokens else tokens
