r"""n-gram language models: predict the next token by counting what followed before.

A language model gives a text a probability, one token after another. An n-gram model looks
back over ``n - 1`` tokens only, and takes its probabilities from how often each token followed
them in a training text. The first class counts and divides; each of the others mends its
zeros in another way. Markov counted pairs of letters in 1913, and Shannon wrote English with such
models in 1948. The formulas of smoothing follow Chen and Goodman (1999).

A *sentence* is any sequence of tokens that ends somewhere: a line, a paragraph, a verse. Each
begins after ``order - 1`` marks ``<s>`` and ends with ``</s>``, which is predicted like any
token, so that the probabilities of all sentences of whatever length sum to 1.

The vocabulary: every token that occurs at least ``min_count`` times in the training text,
``</s>``, and ``<unk>``. Every other token, in training and afterwards, counts as ``<unk>``.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from random import Random

__all__ = ["AddK", "Interpolated", "KneserNey", "NGram", "tokenize"]

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
_HAN = r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
_TOKEN = re.compile(
    rf"{_HAN}"
    r"|\d+(?:\.\d+)?"  # numbers
    rf"|(?:(?!{_HAN})[^\W\d])(?:(?!{_HAN})\w)*(?:['’-](?:(?!{_HAN})\w)+)*"  # words
    r"|\S"
)


def tokenize(text: str) -> list[str]:
    """Cut a text into words, numbers and marks; Chinese, which has no blanks, into characters.

    Args:
        text: Any text. Blanks part tokens and are dropped.

    Returns:
        The tokens, in order.

    Examples:
        ```python
        from llmbook.ngram import tokenize

        print(tokenize("It isn't 3.5, is it?"))
        print(tokenize("注意力不用 RNN。"))
        ```

        ``` {.text .output}
        ['It', "isn't", '3.5', ',', 'is', 'it', '?']
        ['注', '意', '力', '不', '用', 'RNN', '。']
        ```
    """
    return _TOKEN.findall(text)


class NGram:
    r"""Maximum likelihood: the share of a token among all that followed the same context.

    $$P(w \mid h) = \frac{c(h w)}{\sum_{w'} c(h w')}$$

    A token that never followed the context gets 0. A context that never occurred says nothing,
    0 for every token: there, and only there, the probabilities do not sum to 1. Counted by
    hand on the page on [language models][maximum-likelihood].

    Args:
        sentences: The training text; each sentence a sequence of tokens.
        order: Length ``n`` of the n-grams, at least 1; the context is ``n - 1`` tokens long.
        min_count: How often a token must occur to be in the vocabulary, at least 1.

    Raises:
        ValueError: If there is no sentence, one of them is a string instead of tokens or holds
            ``<s>`` or ``</s>``, or ``order`` or ``min_count`` is below 1.

    Examples:
        ```python
        from llmbook.ngram import NGram

        model = NGram(["a b".split(), "a c".split()], order=2)
        print(model.vocabulary)
        print(model.probability("b", ["a"]), model.probability("b", ["c"]))
        ```

        ``` {.text .output}
        ('</s>', '<unk>', 'a', 'b', 'c')
        0.5 0.0
        ```
    """

    def __init__(
        self, sentences: Iterable[Sequence[str]], order: int, *, min_count: int = 1
    ) -> None:
        _check_at_least_one("order", order)
        _check_at_least_one("min_count", min_count)
        training = [_check_sentence(sentence) for sentence in sentences]
        if not training:
            raise ValueError("sentences must hold at least one sentence, got none")
        occurrences = Counter(token for sentence in training for token in sentence)
        known = {token for token, count in occurrences.items() if count >= min_count}
        self.order = order
        self.vocabulary = tuple(sorted(known | {END, UNKNOWN}))
        self._known = frozenset(self.vocabulary)
        # For each length of context, 0 to order - 1: context -> how often which token followed.
        self._counts: list[dict[tuple[str, ...], Counter[str]]] = [{} for _ in range(order)]
        for sentence in training:
            for context, token in self.events(sentence):
                for n, table in enumerate(self._counts):
                    table.setdefault(context[order - 1 - n :], Counter())[token] += 1

    def events(self, sentence: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Give each token of a sentence, and ``</s>``, with the context it is predicted from.

        Args:
            sentence: The tokens; those outside the vocabulary come back as ``<unk>``.

        Yields:
            A context of ``order - 1`` tokens, and the token that follows it.

        Raises:
            ValueError: If ``sentence`` is a string, or holds ``<s>`` or ``</s>``.
        """
        tokens = [self._in_vocabulary(token) for token in _check_sentence(sentence)]
        padded = [START] * (self.order - 1) + tokens + [END]
        for i in range(self.order - 1, len(padded)):
            yield tuple(padded[i - self.order + 1 : i]), padded[i]

    def count(self, token: str, context: Sequence[str] = ()) -> int:
        """How often a token followed a context in the training text.

        Args:
            token: The token that follows.
            context: At most ``order - 1`` tokens, taken as they are: with none, this counts
                the token itself. ``<s>`` may be among them.

        Returns:
            The number of times.

        Raises:
            ValueError: If ``context`` is longer than ``order - 1``.
        """
        if len(context) >= self.order:
            raise ValueError(
                f"context must hold at most order - 1 ({self.order - 1}) tokens, got {len(context)}"
            )
        history = tuple(map(self._in_vocabulary, context))
        return self._followers(history)[self._in_vocabulary(token)]

    def probability(self, token: str, context: Sequence[str] = ()) -> float:
        """Probability that a token comes next.

        Args:
            token: The token, or ``</s>`` for the end.
            context: Everything before it, from the beginning of the sentence; only the last
                ``order - 1`` tokens matter.

        Returns:
            A number between 0 and 1.

        Raises:
            ValueError: If ``token`` is ``<s>``, which is never predicted.
        """
        if token == START:
            raise ValueError(f"token must be one that can be predicted, got {token!r}")
        return self._probability(self._in_vocabulary(token), self._history(context))

    def log_probability(self, sentence: Sequence[str]) -> float:
        """Logarithm of the probability of a whole sentence, its end included.

        Args:
            sentence: The tokens.

        Returns:
            A sum of natural logarithms, in nats; minus infinity if any token has probability 0.

        Raises:
            ValueError: If ``sentence`` is a string, or holds ``<s>`` or ``</s>``.
        """
        probabilities = [self._probability(token, h) for h, token in self.events(sentence)]
        return math.fsum(map(math.log, probabilities)) if min(probabilities) > 0 else -math.inf

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> float:
        r"""How many equally likely tokens it would take to be as unsure as the model is.

        $$\mathrm{PPL} = \exp\!\left(-\frac{1}{N} \sum_{i=1}^{N} \ln P(w_i \mid h_i)\right)$$

        Args:
            sentences: The text to be predicted; each ``</s>`` is one of the ``N`` tokens.

        Returns:
            At least 1; infinity if any token has probability 0.

        Raises:
            ValueError: If there is no sentence, or one cannot be read as tokens.
        """
        text = [_check_sentence(sentence) for sentence in sentences]
        if not text:
            raise ValueError("sentences must hold at least one sentence, got none")
        predicted = sum(len(sentence) + 1 for sentence in text)
        return math.exp(-math.fsum(map(self.log_probability, text)) / predicted)

    def sample(self, generator: Random, max_tokens: int = 50) -> list[str]:
        """Write a sentence: draw each token from the probabilities after those before it.

        Args:
            generator: Where the random numbers come from, such as ``random.Random(0)``.
            max_tokens: Where to stop if the end does not come, at least 1.

        Returns:
            The tokens, without ``</s>``.

        Raises:
            ValueError: If ``max_tokens`` is below 1.
        """
        _check_at_least_one("max_tokens", max_tokens)
        sentence: list[str] = []
        while len(sentence) < max_tokens:
            history = self._history(sentence)
            sums = list(accumulate(self._probability(w, history) for w in self.vocabulary))
            (token,) = generator.choices(self.vocabulary, cum_weights=sums)
            if token == END:
                break
            sentence.append(token)
        return sentence

    def _probability(self, token: str, history: tuple[str, ...]) -> float:
        """The formula of the model, for a history of known tokens."""
        followers = self._followers(history)
        return followers[token] / followers.total() if followers else 0.0

    def _history(self, context: Sequence[str]) -> tuple[str, ...]:
        """The last ``order - 1`` tokens of a context, with ``<s>`` before its beginning."""
        padded = [START] * (self.order - 1) + [self._in_vocabulary(t) for t in context]
        return tuple(padded[len(padded) - self.order + 1 :])

    def _followers(self, history: tuple[str, ...]) -> Counter[str]:
        return self._counts[len(history)].get(history, Counter())

    def _in_vocabulary(self, token: str) -> str:
        return token if token in self._known or token == START else UNKNOWN


class AddK(NGram):
    r"""Add-k smoothing: pretend that everything was seen ``k`` times more often.

    $$P(w \mid h) = \frac{c(h w) + k}{\sum_{w'} c(h w') + k V}$$

    With ``k = 1`` it is the rule of Laplace. Simple, and hardly good: see
    [smoothing][smoothing]. Source: Chen and Goodman (1999).

    Args:
        sentences: The training text; each sentence a sequence of tokens.
        order: Length ``n`` of the n-grams.
        k: What is added to each count, above 0.
        min_count: How often a token must occur to be in the vocabulary.

    Raises:
        ValueError: As for [`NGram`][llmbook.ngram.NGram], and if ``k`` is not above 0.
    """

    def __init__(
        self, sentences: Iterable[Sequence[str]], order: int, *, k: float = 1.0, min_count: int = 1
    ) -> None:
        if k <= 0:
            raise ValueError(f"k must be positive, got {k}")
        super().__init__(sentences, order, min_count=min_count)
        self.k = k

    def _probability(self, token: str, history: tuple[str, ...]) -> float:
        followers = self._followers(history)
        return (followers[token] + self.k) / (followers.total() + self.k * len(self.vocabulary))


class Interpolated(NGram):
    r"""Linear interpolation: a mixture of what contexts of every length say.

    $$P(w \mid h) = \lambda_0 \frac{1}{V} + \sum_{m=1}^{n} \lambda_m\, P_m(w \mid h)$$

    Here $P_m$ is maximum likelihood for the last $m - 1$ tokens of the context. Where these
    never occurred, it says nothing, and the weights of the others are scaled up to sum to 1.
    See [smoothing][smoothing]. Source: Jelinek and Mercer (1980).

    Args:
        sentences: The training text; each sentence a sequence of tokens.
        order: Length ``n`` of the n-grams.
        weights: $\lambda_0 \dots \lambda_n$, that is ``order + 1`` numbers above 0 with sum 1;
            all equal when left out.
        min_count: How often a token must occur to be in the vocabulary.

    Raises:
        ValueError: As for [`NGram`][llmbook.ngram.NGram], and if ``weights`` are not as said.
    """

    def __init__(
        self,
        sentences: Iterable[Sequence[str]],
        order: int,
        *,
        weights: Sequence[float] | None = None,
        min_count: int = 1,
    ) -> None:
        super().__init__(sentences, order, min_count=min_count)
        weights = [1 / (order + 1)] * (order + 1) if weights is None else list(weights)
        if len(weights) != order + 1 or min(weights) <= 0:
            raise ValueError(f"weights must be order + 1 ({order + 1}) numbers > 0, got {weights}")
        if not math.isclose(sum(weights), 1.0):
            raise ValueError(f"weights must sum to 1, got {weights} with sum {sum(weights)}")
        self.weights = weights

    def _probability(self, token: str, history: tuple[str, ...]) -> float:
        total, mixed = self.weights[0], self.weights[0] / len(self.vocabulary)
        for n, weight in enumerate(self.weights[1:]):  # n tokens of context
            followers = self._followers(history[len(history) - n :])
            if followers:
                total += weight
                mixed += weight * followers[token] / followers.total()
        return mixed / total


class KneserNey(NGram):
    r"""Interpolated Kneser–Ney: discount what was seen, and back off to *where* it was seen.

    $$P(w \mid h) = \frac{\max(c(h w) - d,\, 0)}{\sum_{w'} c(h w')}
    + \frac{d \cdot N_{1+}(h\,\cdot)}{\sum_{w'} c(h w')}\, P(w \mid h')$$

    Here $N_{1+}(h\,\cdot)$ is the number of different tokens after $h$, and $h'$ is $h$ without
    its first token. In all orders but the highest, $c(h w)$ is not how often $h w$ occurred, but
    after how many *different* tokens it did: the continuation count. Below order 1 all tokens
    are equally likely. See [Kneser–Ney][kneser-ney]. Sources: Kneser and Ney (1995); for this
    form, Chen and Goodman (1999); for the estimated discount, their section 2.6.

    Args:
        sentences: The training text; each sentence a sequence of tokens.
        order: Length ``n`` of the n-grams.
        discount: The $d$ of all orders, above 0 and at most 1. Left out, it is estimated for
            each from the numbers of n-grams that occur once and twice, $n_1 / (n_1 + 2 n_2)$,
            and is 0.75 where either is 0.
        min_count: How often a token must occur to be in the vocabulary.

    Raises:
        ValueError: As for [`NGram`][llmbook.ngram.NGram], and if ``discount`` is not as said.
    """

    def __init__(
        self,
        sentences: Iterable[Sequence[str]],
        order: int,
        *,
        discount: float | None = None,
        min_count: int = 1,
    ) -> None:
        if discount is not None and not 0.0 < discount <= 1.0:
            raise ValueError(f"discount must be above 0 and at most 1, got {discount}")
        super().__init__(sentences, order, min_count=min_count)
        self._levels = [*map(_continuations, self._counts[1:]), self._counts[-1]]
        self.discounts = [
            _estimate(level) if discount is None else discount for level in self._levels
        ]

    def _probability(self, token: str, history: tuple[str, ...]) -> float:
        probability = 1 / len(self.vocabulary)
        for n, (level, d) in enumerate(zip(self._levels, self.discounts, strict=True)):
            followers = level.get(history[len(history) - n :])  # n tokens of context
            if followers:
                kept = max(followers[token] - d, 0.0)
                probability = (kept + d * len(followers) * probability) / followers.total()
        return probability


def _continuations(
    longer: dict[tuple[str, ...], Counter[str]],
) -> dict[tuple[str, ...], Counter[str]]:
    """After how many different tokens each n-gram occurred, from counts one token longer."""
    table: dict[tuple[str, ...], Counter[str]] = {}
    for context, followers in longer.items():
        table.setdefault(context[1:], Counter()).update(followers.keys())
    return table


def _estimate(level: dict[tuple[str, ...], Counter[str]]) -> float:
    sizes = Counter(count for followers in level.values() for count in followers.values())
    once, twice = sizes[1], sizes[2]
    return once / (once + 2 * twice) if once and twice else 0.75


def _check_at_least_one(name: str, number: int) -> None:  # not from _checks, which loads torch
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")


def _check_sentence(sentence: Sequence[str]) -> Sequence[str]:
    if isinstance(sentence, str):
        raise ValueError(f"a sentence must be a sequence of tokens, got the string {sentence!r}")
    if marks := {START, END}.intersection(sentence):
        raise ValueError(f"a sentence must not hold the marks {START} and {END}, got {marks}")
    return sentence
