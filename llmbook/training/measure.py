r"""Measures of a language model: its loss, its negative log-likelihood, its bits per byte.

The loss is a mean over tokens, for training. To compare two models, whose tokens may differ, one
adds up the negative logarithms over all of a text instead, and divides by what does not depend on
the tokens: the bytes.

Notation: ``B`` batch, ``T`` length of a window, ``N`` tokens, ``V`` vocabulary.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from llmbook._checks import check_at_least_one
from llmbook._modes import evaluation_mode
from llmbook.gpt import GPT
from llmbook.tokenizer import Tokenizer
from llmbook.training.batches import next_token_loss

__all__ = [
    "END",
    "bits_per_byte",
    "count_bytes",
    "language_model_loss",
    "sequence_nll",
    "stream",
    "text_nll",
]

END = "<|endoftext|>"
"""The special token between two texts: what a model reads before the first word of a text, and
what it says after the last."""


def language_model_loss(
    model: nn.Module, tokens: Tensor, loss_mask: Tensor | None = None
) -> Tensor:
    """The loss of a model that predicts every token from those before it.

    It is what [`train`][llmbook.training.train] asks for, with batches of tokens alone.

    Args:
        model: From tokens ``(B, T)`` to logits ``(B, T, V)``.
        tokens: Token ids, shape ``(B, T + 1)``.
        loss_mask: As for [`next_token_loss`][llmbook.training.next_token_loss].

    Returns:
        The mean over the tokens that count, in nats, a scalar.
    """
    return next_token_loss(model(tokens[:, :-1]), tokens, loss_mask=loss_mask)


def stream(tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """Put texts one after the other, as a model reads them in training.

    Args:
        tokenizer: Has the special token ``END``.
        texts: The texts.

    Returns:
        Token ids, shape ``(N,)``: ``END``, then each text with another ``END`` after it.
    """
    end = tokenizer.special_tokens[END]
    ids = [end]
    for text in texts:
        ids += [*tokenizer.encode(text), end]
    return torch.tensor(ids)


def sequence_nll(model: GPT, ids: Tensor) -> float:
    r"""The negative log-likelihood of a sequence, $-\sum_{t>1} \ln p(x_t \mid x_{<t})$.

    Args:
        model: The model; evaluated without dropout.
        ids: Token ids, shape ``(N,)``. More than the model reads are read in windows, one after
            the other, each without those before it.

    Returns:
        A sum over all tokens but the first, in nats.
    """
    T, nats = model.config.max_length, 0.0
    device = next(model.parameters()).device
    with evaluation_mode(model), torch.inference_mode():
        for start in range(0, len(ids) - 1, T):
            window = ids[None, start : start + T + 1].to(device)  # (1, T + 1), the last shorter
            nats += language_model_loss(model, window).item() * (window.size(1) - 1)
    return nats


def text_nll(model: GPT, tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    r"""The negative log-likelihood of texts, each read by itself, its end included.

    It is also called their surprise. Divided by the number of tokens it is the loss; see also
    [`bits_per_byte`][llmbook.training.bits_per_byte].

    Args:
        model: The model; evaluated without dropout.
        tokenizer: Its tokenizer, with the special token ``END``.
        texts: The texts.

    Returns:
        A sum over all tokens of all texts, in nats.
    """
    return sum(sequence_nll(model, stream(tokenizer, [text])) for text in texts)


def count_bytes(texts: Sequence[str]) -> int:
    """The bytes of texts in UTF-8, the end of each counted as one more.

    Args:
        texts: The texts.

    Returns:
        Their number.
    """
    return sum(len(text.encode()) + 1 for text in texts)


def bits_per_byte(nats: float, num_bytes: int) -> float:
    r"""What a model needs for a byte of text: a measure that does not depend on its tokens.

    $$\frac{-\log_2 p(\text{texts})}{\text{bytes}}$$

    See [a fair comparison][bits-per-byte].

    Args:
        nats: The negative log-likelihood of all texts together, $-\ln p$.
        num_bytes: How many bytes they have, see [`count_bytes`][llmbook.training.count_bytes].

    Returns:
        Bits for a byte.

    Raises:
        ValueError: If there are no bytes.

    Examples:
        ```python
        import math

        from llmbook.training import bits_per_byte, count_bytes

        print(bits_per_byte(16 * math.log(2), count_bytes(["abc", "字"])))  # 16 bits, 4 + 4 bytes
        ```

        ``` {.text .output}
        2.0
        ```
    """
    check_at_least_one("num_bytes", num_bytes)
    return nats / math.log(2) / num_bytes
