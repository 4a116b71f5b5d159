"""What a language model learns by: the loss on each next token, and windows of a text as batches.

Notation: ``B`` batch, ``T`` length, ``V`` vocabulary.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from llmbook._checks import check_at_least_one, check_tensor

__all__ = ["TokenBatches", "next_token_loss"]

_IGNORED = -100  # as an answer: this position does not count


def next_token_loss(
    logits: Tensor, tokens: Tensor, *, pad_id: int | None = None, loss_mask: Tensor | None = None
) -> Tensor:
    r"""Cross-entropy of each token given what comes before it, averaged over those that count.

    $$-\frac{1}{N} \sum_{t=1}^{N} \ln p(x_t \mid x_{<t})$$

    Args:
        logits: Shape ``(B, T, V)``, computed from ``tokens[:, :-1]``.
        tokens: Token ids, shape ``(B, T + 1)``: the input and, one place later, the answer.
        pad_id: Token that does not count, wherever it stands.
        loss_mask: ``True`` where the loss of a token counts, ``False`` where it is only read,
            boolean of shape ``(B, T + 1)``; the first column, which nothing predicts, does not
            matter.

    Returns:
        The loss in nats a token, a scalar; not a number if no token counts.

    Raises:
        ValueError: If ``tokens`` is not one longer than ``logits``, or ``loss_mask`` does not fit.
    """
    if logits.dim() != 3 or tokens.shape != (logits.size(0), logits.size(1) + 1):
        raise ValueError(
            "tokens must be one longer than logits, shapes (B, T + 1) and (B, T, V), "
            f"got {tuple(tokens.shape)} and {tuple(logits.shape)}"
        )
    answers = tokens[:, 1:].long()
    if loss_mask is not None:
        if loss_mask.shape != tokens.shape or loss_mask.dtype != torch.bool:
            raise ValueError(
                f"loss_mask must be boolean of the shape of tokens {tuple(tokens.shape)}, "
                f"got shape {tuple(loss_mask.shape)} of {loss_mask.dtype}"
            )
        answers = answers.masked_fill(~loss_mask[:, 1:], _IGNORED)
    if pad_id is not None:
        answers = answers.masked_fill(answers == pad_id, _IGNORED)
    # In half precision the sums would add up badly: at least float32.
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(wide.flatten(0, 1), answers.flatten(), ignore_index=_IGNORED)


class TokenBatches:
    """Random windows of one long text, without end: every iteration begins the same sequence.

    Args:
        ids: The token ids of the text, one after the other, integers of shape ``(N,)``.
        batch_size: Windows in a batch, ``B``.
        length: Tokens that a window asks for, ``T``; it holds one more, which is only read.
        seed: Decides which windows come.

    Raises:
        ValueError: If a size is below 1, or ``ids`` is not a sequence of integers longer than
            ``length``.

    Examples:
        ```python
        import torch
        from itertools import islice
        from llmbook.training import TokenBatches

        batches = TokenBatches(torch.arange(100), batch_size=4, length=8)
        for batch in islice(batches, 2):
            print(batch[:, 0].tolist(), "to", batch[:, -1].tolist())
        ```

        ``` {.text .output}
        [88, 27, 73, 56] to [96, 35, 81, 64]
        [59, 71, 91, 91] to [67, 79, 99, 99]
        ```
    """

    def __init__(self, ids: Tensor, batch_size: int, length: int, *, seed: int = 0) -> None:
        check_at_least_one("batch_size", batch_size)
        check_at_least_one("length", length)
        check_tensor("ids", ids)
        if ids.dim() != 1 or ids.is_floating_point() or ids.numel() <= length:
            raise ValueError(
                f"ids must be a sequence of more than length ({length}) integers, "
                f"got shape {tuple(ids.shape)} of {ids.dtype}"
            )
        self.ids, self.batch_size, self.length, self.seed = ids, batch_size, length, seed

    def __iter__(self) -> Iterator[Tensor]:
        """Batches of shape ``(B, T + 1)``."""
        generator = torch.Generator().manual_seed(self.seed)
        window = torch.arange(self.length + 1)  # (T + 1,)
        while True:
            last = self.ids.numel() - self.length
            starts = torch.randint(last, (self.batch_size, 1), generator=generator)  # (B, 1)
            yield self.ids[starts + window].long()  # (B, T + 1)
