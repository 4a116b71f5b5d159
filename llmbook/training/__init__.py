"""Training: the loop, its run folder, several processes, and the measures of a language model."""

from llmbook.training.batches import TokenBatches, next_token_loss
from llmbook.training.loop import TrainingConfig, decay_groups, learning_rate_at, train
from llmbook.training.measure import (
    END,
    bits_per_byte,
    count_bytes,
    language_model_loss,
    sequence_nll,
    stream,
    text_nll,
)

__all__ = [
    "END",
    "TokenBatches",
    "TrainingConfig",
    "bits_per_byte",
    "count_bytes",
    "decay_groups",
    "language_model_loss",
    "learning_rate_at",
    "next_token_loss",
    "sequence_nll",
    "stream",
    "text_nll",
    "train",
]
