r"""Instruction tuning: a model that goes on with any text learns to answer.

What it learns from is a prompt with its answer, and the loss is that of the answer alone: the
prompt is only read. This module turns conversations into ids, marks what is to be learned, and
lays examples of unequal length side by side for [`train`][llmbook.training.train]. Sources: Wei
et al., "Finetuned Language Models Are Zero-Shot Learners" (2022); Ouyang et al., "Training
Language Models to Follow Instructions with Human Feedback" (2022).

Notation: ``B`` batch, ``T`` length, ``V`` vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from llmbook._checks import check_at_least_one
from llmbook._modes import evaluation_mode
from llmbook.tokenizer import Tokenizer
from llmbook.training import language_model_loss

__all__ = [
    "CHAT_TOKENS",
    "AnswerBatches",
    "Example",
    "answer_accuracy",
    "answer_batch",
    "answer_loss",
    "chat_example",
    "chat_prompt",
]

CHAT_TOKENS = ("<|user|>", "<|assistant|>", "<|end|>")
"""The special tokens of a conversation: who speaks, and where a turn ends."""


class Example(NamedTuple):
    """What a model reads, and which tokens of it are to be learned."""

    ids: list[int]
    loss_mask: list[bool]  # one for each id: True if it belongs to an answer

    @classmethod
    def of(cls, prompt: Sequence[int], answer: Sequence[int]) -> "Example":
        """A prompt that is only read, and an answer that is learned, both as ids."""
        return cls([*prompt, *answer], [False] * len(prompt) + [True] * len(answer))


def chat_prompt(
    tokenizer: Tokenizer, prompt: str, history: Sequence[tuple[str, str]] = ()
) -> list[int]:
    """A conversation up to where the model's next answer begins.

    What people wrote is encoded as plain text: nobody can type a special token. See
    [the format][chat-format].

    Args:
        tokenizer: Has the special tokens of `CHAT_TOKENS`.
        prompt: What the user says now.
        history: The turns before, each what the user said and what the model answered.

    Returns:
        The ids.

    Raises:
        ValueError: If the tokenizer lacks a token of a conversation.
    """
    user, assistant, end = _chat_ids(tokenizer)
    ids = chat_example(tokenizer, history).ids
    return [*ids, user, *tokenizer.encode(prompt), end, assistant]


def chat_example(tokenizer: Tokenizer, turns: Sequence[tuple[str, str]]) -> Example:
    """A whole conversation, to learn the answers from.

    An answer is learned together with the token that ends it, or the model would never stop.

    Args:
        tokenizer: Has the special tokens of `CHAT_TOKENS`.
        turns: What the user said and what was answered, time after time.

    Returns:
        The ids, and which of them belong to an answer.

    Raises:
        ValueError: If the tokenizer lacks a token of a conversation.
    """
    user, assistant, end = _chat_ids(tokenizer)
    example = Example([], [])
    for prompt, answer in turns:
        asked = [user, *tokenizer.encode(prompt), end, assistant]
        turn = Example.of(asked, [*tokenizer.encode(answer), end])
        example = Example(example.ids + turn.ids, example.loss_mask + turn.loss_mask)
    return example


def _chat_ids(tokenizer: Tokenizer) -> list[int]:
    for token in CHAT_TOKENS:
        if token not in tokenizer.special_tokens:
            raise ValueError(f"tokenizer must have the special token {token!r}")
    return [tokenizer.special_tokens[token] for token in CHAT_TOKENS]


def answer_batch(
    examples: Sequence[Example], *, max_length: int, pad_id: int = 0
) -> tuple[Tensor, Tensor]:
    """Lay examples of unequal length side by side.

    Short ones are padded at their end, where no real token can see it. Long ones are cut at their
    end: the answer then breaks off, and that it ended there is not learned.

    Args:
        examples: The examples, ``B`` of them.
        max_length: The most tokens that the model reads; the last one of a row is only asked for.
        pad_id: Token of the padding, any that the model knows.

    Returns:
        Token ids and whether they count, integers and booleans, each of shape ``(B, T + 1)``.

    Raises:
        ValueError: If there is no example, or one has no answer within ``max_length``.
    """
    check_at_least_one("max_length", max_length)
    if not examples:
        raise ValueError("examples must hold at least one example, got none")
    width = min(max_length + 1, max(len(example.ids) for example in examples))
    tokens = torch.full((len(examples), width), pad_id)
    loss_mask = torch.zeros(len(examples), width, dtype=torch.bool)
    for i, example in enumerate(examples):
        _check_answer(i, example, max_length)
        length = min(len(example.ids), width)
        tokens[i, :length] = torch.tensor(example.ids[:length])
        loss_mask[i, :length] = torch.tensor(example.loss_mask[:length])
    return tokens, loss_mask


def _check_answer(index: int, example: Example, max_length: int) -> None:
    # The first token of a row is asked for by nothing before it.
    if not any(example.loss_mask[1 : max_length + 1]):
        raise ValueError(
            f"examples[{index}] must have a prompt, and an answer that begins within max_length "
            f"({max_length}), got {len(example.ids)} tokens, {sum(example.loss_mask)} of answers"
        )


class AnswerBatches:
    """Batches of examples without end, shuffled anew for each pass; every iteration is the same.

    Args:
        examples: The examples.
        batch_size: Examples in a batch, ``B``. The last ones of a pass that do not fill a batch
            wait for the next pass.
        max_length: As in [`answer_batch`][llmbook.finetuning.instructions.answer_batch].
        seed: Decides the order.
        pad_id: As in [`answer_batch`][llmbook.finetuning.instructions.answer_batch].

    Raises:
        ValueError: If there are fewer examples than ``batch_size``, or one has no answer within
            ``max_length``.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        batch_size: int,
        *,
        max_length: int,
        seed: int = 0,
        pad_id: int = 0,
    ) -> None:
        check_at_least_one("batch_size", batch_size)
        if len(examples) < batch_size:
            raise ValueError(
                f"examples must fill a batch of batch_size ({batch_size}), got {len(examples)}"
            )
        for i, example in enumerate(examples):
            _check_answer(i, example, max_length)
        self.examples, self.batch_size, self.max_length = list(examples), batch_size, max_length
        self.seed, self.pad_id = seed, pad_id

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches as [`answer_batch`][llmbook.finetuning.instructions.answer_batch] makes them."""
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            order = torch.randperm(len(self.examples), generator=generator).tolist()
            for start in range(0, len(order) - self.batch_size + 1, self.batch_size):
                chosen = [self.examples[i] for i in order[start : start + self.batch_size]]
                yield answer_batch(chosen, max_length=self.max_length, pad_id=self.pad_id)


def answer_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    r"""The loss of the answers alone, for [`train`][llmbook.training.train].

    $$-\frac{1}{N} \sum_{t\,:\,x_t \text{ in an answer}} \ln p(x_t \mid x_{<t})$$

    Args:
        model: From tokens ``(B, T)`` to logits ``(B, T, V)``.
        batch: From [`answer_batch`][llmbook.finetuning.instructions.answer_batch].

    Returns:
        The mean over all tokens of answers in the batch, in nats, a scalar.
    """
    tokens, loss_mask = batch
    return language_model_loss(model, tokens, loss_mask)


def answer_accuracy(model: nn.Module, batch: tuple[Tensor, Tensor]) -> float:
    """Share of the examples whose answer the model would write, the likeliest token each time.

    No text has to be written for it. The model writes the answer exactly if its first token is
    the likeliest after the prompt, the second after the prompt and the first, and so on.

    Args:
        model: From tokens ``(B, T)`` to logits ``(B, T, V)``; evaluated without dropout.
        batch: From [`answer_batch`][llmbook.finetuning.answer_batch]. With several answers in
            an example, all must be right.

    Returns:
        The share, from 0 to 1.
    """
    tokens, loss_mask = batch
    with evaluation_mode(model), torch.no_grad():
        guesses = model(tokens[:, :-1]).argmax(dim=-1)
    right = (guesses == tokens[:, 1:]) | ~loss_mask[:, 1:]
    return float(right.all(dim=1).double().mean())
