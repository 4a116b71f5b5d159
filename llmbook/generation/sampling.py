r"""Sampling: how the next token is drawn from the distribution that a model gives.

Sources: Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020), for the nucleus;
Fan et al., "Hierarchical Neural Story Generation" (2018), for the k best; Nguyen et al., "Turning
Up the Heat" (2025), for min-p.

Notation: ``B`` batch, ``V`` vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from llmbook._checks import check_at_least_one, check_probability, check_temperature

__all__ = ["GenerationConfig", "next_token_distribution"]


@dataclass(frozen=True)
class GenerationConfig:
    """How a text goes on, and where it ends.

    The fields from ``temperature`` to ``min_p`` are told on the page on [sampling][sampling].

    Raises:
        ValueError: If a number is out of range, or a stop string is empty.
    """

    max_new_tokens: int = 128
    temperature: float = 0.0  # 0: always the likeliest token
    top_k: int | None = None  # draw from this many of the likeliest tokens
    top_p: float = 1.0  # draw from the fewest tokens whose probabilities reach this sum
    min_p: float = 0.0  # draw from tokens at least this likely, as a share of the likeliest
    stop: tuple[str, ...] = ()  # the text ends before the first of these
    end_ids: tuple[int, ...] = ()  # the text ends at one of these tokens
    seed: int | tuple[int, ...] = 0  # of every prompt, or one each; each prompt draws by itself
    lookup: int = 0  # most tokens guessed at a time, at temperature 0: saves steps, changes nothing
    logprobs: bool = False  # give the log-probability of each token written

    def __post_init__(self) -> None:
        check_at_least_one("max_new_tokens", self.max_new_tokens)
        check_temperature(self.temperature)
        if self.lookup < 0:
            raise ValueError(f"lookup must not be negative, got {self.lookup}")
        if self.top_k is not None:
            check_at_least_one("top_k", self.top_k)
        check_probability("top_p", self.top_p)
        check_probability("min_p", self.min_p)
        if isinstance(self.stop, str) or not all(self.stop):
            raise ValueError(
                f"stop must be a tuple of strings that are not empty, got {self.stop!r}"
            )


def next_token_distribution(logits: Tensor, config: GenerationConfig) -> Tensor:
    r"""Probabilities from which the next token is drawn.

    Temperature comes first, then ``top_k``, ``top_p`` and ``min_p``, each on what the one before
    has left. See [sampling][sampling].

    $$p_i \propto \exp(z_i / \tau)$$

    Args:
        logits: Shape ``(B, V)``.
        config: Its ``temperature``, ``top_k``, ``top_p`` and ``min_p``. At temperature 0 the
            likeliest token, the first of several, has probability 1.

    Returns:
        Probabilities, shape ``(B, V)``, in float32.
    """
    logits = logits.float()  # (B, V)
    if config.temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    # From the largest down, so that a tiny temperature cannot take it beyond all numbers.
    temperature = max(config.temperature, torch.finfo(logits.dtype).tiny)
    logits = (logits - logits.amax(dim=-1, keepdim=True)) / temperature
    if config.top_k is not None and config.top_k < logits.size(-1):
        least = logits.topk(config.top_k).values[:, -1:]  # (B, 1): the k-th best
        logits = logits.masked_fill(logits < least, float("-inf"))
    if config.top_p < 1:
        descending, order = logits.sort(dim=-1, descending=True, stable=True)
        ranked = descending.softmax(dim=-1)  # (B, V), the likeliest first
        likelier = ranked.cumsum(dim=-1) - ranked  # sum of those before
        beyond = likelier >= config.top_p  # those before reach the sum without it
        beyond[:, 0] = False  # the likeliest stays, even for a sum of 0
        # From the order of rank back to that of the vocabulary.
        logits = logits.masked_fill(beyond.scatter(-1, order, beyond), float("-inf"))
    probabilities = logits.softmax(dim=-1)
    if config.min_p > 0:
        least = config.min_p * probabilities.amax(dim=-1, keepdim=True)
        probabilities = probabilities.masked_fill(probabilities < least, 0.0)
        probabilities = probabilities / probabilities.sum(dim=-1, keepdim=True)
    return probabilities
