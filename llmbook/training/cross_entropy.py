r"""Cross-entropy on a CPU, in fewer passes over the logits than torch's and with less memory.

With a vocabulary of fifty thousand the logits are by far the largest array of a step: 200 MB for a
thousand tokens. torch writes their logarithmic softmax beside them and, on the way back, two more
arrays of that size; most of the time goes into waiting for memory. Here the softmax is not kept.
Of each position two numbers are, its greatest logit and the sum of the exponentials, and the
gradient

$$\frac{\partial}{\partial z_i} \bigl(-\ln \operatorname{softmax}(z)_a\bigr)
= \operatorname{softmax}(z)_i - [i = a]$$

is computed from them when it is asked for. A few positions are done at a time, so that what is
read twice is still in the cache.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORED = -100  # as an answer: this position does not count
_AT_ONCE = 2**18  # logits, 1 MB of them


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, answers: Tensor) -> Tensor:
        # In half precision the sums would add up badly: at least float32.
        wide = torch.promote_types(logits.dtype, torch.float32)
        most, total = (torch.empty(len(logits), dtype=wide) for _ in range(2))  # (N,)
        for some in _chunks(logits):
            part = logits[some].to(wide)
            most[some] = part.amax(dim=1)
            total[some] = (part - most[some, None]).exp_().sum(dim=1)
        counts = answers != IGNORED  # (N,)
        answers = answers.where(counts, 0)[:, None]  # (N, 1)
        losses = total.log() - (logits.gather(1, answers)[:, 0].to(wide) - most)
        share = counts / counts.sum(dtype=wide)  # of each position in the mean
        ctx.save_for_backward(logits, answers, most, total, share)
        return losses.where(counts, 0).sum() / counts.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, answers, most, total, share = ctx.saved_tensors
        share = share * gradient
        result = torch.empty_like(logits)
        for some in _chunks(logits):
            here = result[some] if result.dtype == most.dtype else None  # or wider, for a while
            part = torch.sub(logits[some], most[some, None], out=here).exp_()
            part.mul_((share[some] / total[some])[:, None])
            part.scatter_add_(1, answers[some], -share[some, None])
            if here is None:
                result[some] = part
        return result, None


def cross_entropy(logits: Tensor, answers: Tensor) -> Tensor:
    """Mean of ``-ln softmax(logits)[answer]`` over the positions whose answer is not -100.

    Args:
        logits: Shape ``(N, V)``, on a CPU.
        answers: Token ids, shape ``(N,)``.

    Returns:
        A scalar, of at least float32; not a number if no position counts.
    """
    return cast(Tensor, _CrossEntropy.apply(logits, answers))  # type: ignore[no-untyped-call]


def _chunks(logits: Tensor) -> Iterator[slice]:
    N, V = logits.shape
    rows = max(1, _AT_ONCE // V)
    return (slice(start, start + rows) for start in range(0, N, rows))
