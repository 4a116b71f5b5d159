"""Training: the loop, its run folder, several processes, and the measures of a language model."""

from llmbook.training.loop import (
    TokenBatches,
    TrainingConfig,
    decay_groups,
    learning_rate_at,
    next_token_loss,
    train,
)

__all__ = [
    "TokenBatches",
    "TrainingConfig",
    "decay_groups",
    "learning_rate_at",
    "next_token_loss",
    "train",
]
