"""One model of the experiment: a recipe in, a folder with weights and figures out."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from llmbook._files import read_json, write_json
from llmbook.book.experiment.recipe import USUAL, Recipe, tokenizer
from llmbook.book.experiment.rows import batches
from llmbook.finetuning import answer_loss
from llmbook.gpt import GPT, GPTConfig
from llmbook.pretrained import Pretrained
from llmbook.training import TrainingConfig, train
from llmbook.training.checkpoint import read_log

__all__ = ["config_of", "new_model", "train_model"]


def config_of(recipe: Recipe) -> GPTConfig:
    """The shape of the model: the same for every format."""
    return GPTConfig.llama(
        vocab_size=tokenizer(recipe.task, recipe.language).vocab_size,
        max_length=512,
        d_model=96,
        num_layers=3,
        num_heads=4,
        head_dim=32,  # more than d_model / 4: room for words and for distances
        d_ff=256,
        tie_weights=False,
        token_shift=recipe.token_shift,
    )


def new_model(recipe: Recipe) -> GPT:
    """The model before training.

    Embeddings begin with a standard deviation of 1, not GPT-2's 0.02: words that differ only in
    which word they are must stay apart while the learning rate is high, or nothing can be looked
    up by them.
    """
    torch.manual_seed(recipe.seed)
    model = GPT(config_of(recipe))
    nn.init.normal_(model.token_embedding.weight)
    return model


def train_model(recipe: Recipe, folder: str | os.PathLike[str], *, progress: bool = False) -> None:
    """Train a model by a recipe, unless the folder has it already.

    Training that was stopped goes on where it was.

    Args:
        recipe: The recipe.
        folder: Gets the model as [`from_pretrained`][llmbook.pretrained.from_pretrained] reads it,
            ``log.jsonl``, and ``recipe.json`` with the recipe and, once the model is trained,
            parameters, tokens seen and learned, and seconds taken.
        progress: Show loss and time left.

    Raises:
        ValueError: If the folder holds a model of another recipe, trained or not.
    """
    folder = Path(folder)
    path = folder / "recipe.json"
    if path.exists():
        facts = read_json(path)
        kept = facts.get("recipe")
        if USUAL | (kept or {}) != asdict(recipe):
            raise ValueError(f"folder must be new or of this recipe, {folder} is of {kept}")
        if "tokens" in facts:  # the figures are written last
            return
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"recipe": asdict(recipe)})
    model = new_model(recipe)

    config = TrainingConfig(
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        warmup_steps=min(100, recipe.steps // 10),
        betas=(0.9, 0.98),
        weight_decay=0.1,
        checkpoint_every=1000,
    )
    learned_tokens = 0

    def counted_batches() -> Iterator[tuple[Tensor, Tensor]]:
        """All batches of the run, those included that a run which goes on only skips."""
        nonlocal learned_tokens
        for ids, loss_mask in islice(batches(recipe), recipe.steps):
            learned_tokens += int(loss_mask[:, 1:].sum())  # the first token is never predicted
            yield ids, loss_mask

    losses = train(model, counted_batches(), answer_loss, config, out=folder, progress=progress)
    Pretrained(model, tokenizer(recipe.task, recipe.language)).save(folder)
    last = read_log(folder)[-1]
    facts = {
        "recipe": asdict(recipe),
        "parameters": model.config.num_parameters(),
        "tokens": last["tokens"],
        "learned_tokens": learned_tokens,
        "seconds": last["seconds"],
        "final_loss": sum(losses[-50:]) / len(losses[-50:]),
    }
    write_json(path, facts)
