"""Fine-tuning: a trained model learns to answer; all of its weights, some, or a few new ones."""

from llmbook.finetuning.instructions import (
    CHAT_TOKENS,
    AnswerBatches,
    Example,
    answer_accuracy,
    answer_batch,
    answer_loss,
    chat_example,
    chat_prompt,
)
from llmbook.finetuning.lora import (
    LoRALinear,
    add_lora,
    load_lora,
    lora_parameters,
    merge_lora,
    remove_lora,
    save_lora,
    train_only,
    unmerge_lora,
)

__all__ = [
    "CHAT_TOKENS",
    "AnswerBatches",
    "Example",
    "LoRALinear",
    "add_lora",
    "answer_accuracy",
    "answer_batch",
    "answer_loss",
    "chat_example",
    "chat_prompt",
    "load_lora",
    "lora_parameters",
    "merge_lora",
    "remove_lora",
    "save_lora",
    "train_only",
    "unmerge_lora",
]
