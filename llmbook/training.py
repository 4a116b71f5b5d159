"""Training: take a batch, see how wrong the model is, change every weight a little, again.

The loop is the same whatever the model. What it adds to plain gradient descent are three habits
that small Transformers need too: AdamW, which scales every step by the recent gradients of that
weight and lets weights decay (Loshchilov and Hutter, "Decoupled Weight Decay Regularization",
2019); a learning rate that warms up and then falls (Vaswani et al., 2017, section 5.3, with
another shape); and gradients clipped to a greatest norm (Pascanu et al., "On the Difficulty of
Training Recurrent Neural Networks", 2013).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook._checks import check_at_least_one, check_positive

__all__ = ["TrainingConfig", "learning_rate_at", "next_token_loss", "train"]


@dataclass(frozen=True)
class TrainingConfig:
    """How [`train`][llmbook.training.train] goes about it."""

    steps: int = 1000
    learning_rate: float = 3e-3  # its peak, at the end of the warm-up
    warmup_steps: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0  # greatest norm of all gradients together


def learning_rate_at(step: int, config: TrainingConfig) -> float:
    """Learning rate of a step: a straight rise, then half a cosine down to zero.

    Args:
        step: The step, counted from 0.
        config: Gives the peak, the length of the rise and the number of steps.

    Returns:
        The learning rate.

    Examples:
        ```python
        from llmbook.training import TrainingConfig, learning_rate_at

        config = TrainingConfig(steps=10, warmup_steps=2, learning_rate=1.0)
        print(*(f"{learning_rate_at(step, config):.2f}" for step in range(10)))
        ```

        ``` {.text .output}
        0.50 1.00 0.97 0.88 0.75 0.59 0.41 0.25 0.12 0.03
        ```
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    rest = max(1, config.steps - config.warmup_steps + 1)
    progress = (step - config.warmup_steps + 1) / rest
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def next_token_loss(logits: Tensor, tokens: Tensor, *, pad_id: int = 0) -> Tensor:
    r"""Cross-entropy of each token given what comes before it, averaged over all tokens.

    $$-\frac{1}{N} \sum_{t=1}^{N} \ln p(x_t \mid x_{<t})$$

    Args:
        logits: Shape ``(B, T, V)``, computed from ``tokens[:, :-1]``.
        tokens: Token ids, shape ``(B, T + 1)``: the input and, one place later, the answer.
        pad_id: Token that does not count.

    Returns:
        The loss in nats a token, a scalar.

    Raises:
        ValueError: If ``tokens`` is not one longer than ``logits``.
    """
    if logits.dim() != 3 or tokens.shape != (logits.size(0), logits.size(1) + 1):
        raise ValueError(
            "tokens must be one longer than logits, shapes (B, T + 1) and (B, T, V), "
            f"got {tuple(tokens.shape)} and {tuple(logits.shape)}"
        )
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=pad_id)


def train(model: nn.Module, next_loss: Callable[[], Tensor], config: TrainingConfig) -> list[float]:
    """Train a model. See [a model trained end to end][training].

    Args:
        model: Its parameters are changed in place; it is left in training mode.
        next_loss: Draws the next batch and returns the model's loss on it, a scalar.
        config: How long and how fast.

    Returns:
        The loss of every step.

    Raises:
        ValueError: If the number of steps is below 1, the learning rate is not positive, or the
            loss is no longer a finite number.
    """
    check_at_least_one("steps", config.steps)
    check_positive("learning_rate", config.learning_rate)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay)
    model.train()
    losses = []
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, config)
        loss = next_loss()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise ValueError(
                f"loss must be a finite number, got {losses[-1]} at step {step}: "
                f"lower learning_rate ({config.learning_rate})"
            )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
    return losses
