"""A run of ``llmbook train``: from texts to a folder that holds a tokenizer and a model.

In the folder lie ``run.json``, the settings and the number of steps, with what the finished model
was measured at; ``checkpoint.pt`` and ``log.jsonl``, by which the run goes on after it was
stopped, see [`train`][llmbook.training.train]; and the model as
[`from_pretrained`][llmbook.pretrained.from_pretrained] reads it. ``run.json`` is written before
the first step and decides all of them, so that it does not matter when the run is stopped, nor
how fast the machine is on which it goes on.
"""

import hashlib
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llmbook._files import locked, read_json, write_json
from llmbook.gpt import GPT, GPTConfig
from llmbook.pretrained import Pretrained
from llmbook.tokenizer import Tokenizer
from llmbook.training import (
    END,
    TokenBatches,
    TrainingConfig,
    bits_per_byte,
    language_model_loss,
    sequence_nll,
    train,
)


@dataclass(frozen=True)
class Settings:
    """What is decided before a run: as much of it as the command line may say."""

    minutes: float = 2.0
    steps: int | None = None  # None: as many as fit into the minutes
    vocab_size: int | None = None  # None: by length of the texts
    d_model: int = 128
    num_layers: int = 4
    num_heads: int | None = None  # None: d_model / 32
    length: int = 256
    dropout: float = 0.0
    batch_size: int = 4
    learning_rate: float = 3e-3
    seed: int = 0

    def model(self, size: int) -> GPTConfig:
        """The model for texts of so many bytes; its parts are those of Llama."""
        # Each token should be seen often enough to be learned: 1 MB gives 4096 tokens.
        fitting = min(8192, max(512, 2 ** round(math.log2(4 * math.sqrt(size)))))
        return GPTConfig.llama(
            vocab_size=self.vocab_size or fitting,
            max_length=self.length,
            d_model=self.d_model,
            num_layers=self.num_layers,
            num_heads=self.num_heads or max(1, self.d_model // 32),
            d_ff=max(1, self.d_model * 8 // 3),  # three such matrices weigh as two of 4 · d_model
            dropout=self.dropout,
        )


def train_on(
    texts: Sequence[str], settings: Settings, out: Path, tell: Callable[[str], object]
) -> None:
    """Train on texts, or go on with it; the last tenth of each is held out to measure the model.

    Args:
        texts: The texts.
        settings: All else.
        out: Folder of the run.
        tell: Is called with a line on what is done, and what came of it.

    Raises:
        ValueError: If the folder holds something else, or is being trained in, or there is too
            little text.
        KeyboardInterrupt: After Ctrl-C, once everything is saved.
    """
    with locked(out / "run.json"):
        _train_on(texts, settings, out, tell)


def _train_on(
    texts: Sequence[str], settings: Settings, out: Path, tell: Callable[[str], object]
) -> None:
    size = sum(len(text.encode()) for text in texts)
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    config = settings.model(size)
    run = _open(out, {"text": digest, **asdict(settings)})
    if run and "held_out" in run:
        tell(f"{out} is finished: all {run['steps']:,} steps are done")
        tell(_in_words(run["held_out"]))
        return

    read, tenths = _hold_out(texts)
    if run:
        place = "last checkpoint" if (out / "checkpoint.pt").exists() else "beginning"
        tell(f"{out} holds this run: going on from its {place}")
        tokenizer = Tokenizer.load(out / "tokenizer.json")
    else:
        tokenizer = Tokenizer.train(read, config.vocab_size, special_tokens=[END])
    end = tokenizer.special_tokens[END]
    ids = torch.tensor([i for text in read for i in (*tokenizer.encode(text), end)])
    held_out = torch.tensor(tokenizer.encode(tenths))
    if len(ids) <= settings.length or len(held_out) < 2:
        raise ValueError(
            f"length must be less than the number of tokens, {len(ids)} without those held out, "
            f"got {settings.length}"
        )
    tell(
        f"text: {size:,} bytes; vocabulary: {tokenizer.vocab_size:,} tokens; "
        f"{len(ids):,} tokens to read, {len(held_out):,} held out"
    )

    config = replace(config, vocab_size=tokenizer.vocab_size)  # fewer if the text ran out of pairs
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batches = TokenBatches(ids, settings.batch_size, settings.length, seed=settings.seed)
    training = TrainingConfig(
        steps=settings.steps or 1,
        learning_rate=settings.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=0.1,
    )
    if not run:
        steps = settings.steps
        if steps is None:
            trial = GPT(config).to(device)  # to throw away: the run begins with fresh weights
            steps = _steps_in(60 * settings.minutes, trial, batches, training)
        run = {"settings": {"text": digest, **asdict(settings)}, "steps": steps}
        tokenizer.save(out / "tokenizer.json")
        write_json(out / "run.json", run)
    steps, done = run["steps"], 0
    training = replace(
        training,
        steps=steps,
        warmup_steps=min(100, steps // 10),
        checkpoint_every=min(250, max(10, steps // 20)),
    )
    times = steps * settings.batch_size * settings.length / len(ids)
    tell(
        f"model: {config.num_parameters():,} parameters; {steps:,} steps of "
        f"{settings.batch_size * settings.length:,} tokens, which read the text {times:.1f} times"
    )
    torch.manual_seed(settings.seed)
    model = GPT(config).to(device)
    pretrained = Pretrained(model, tokenizer, end_ids=(end,))

    def after_step(step: int) -> None:
        nonlocal done
        done = step
        if step % training.checkpoint_every == 0:  # so that it can be tried meanwhile
            pretrained.save(out)

    try:
        losses = train(
            model,
            batches,
            language_model_loss,
            training,
            out=out,
            progress=True,
            after_step=after_step,
        )
    except KeyboardInterrupt:
        if done:
            pretrained.save(out)
            tell(f"stopped after {done:,} of {steps:,} steps; the same command goes on from there")
        raise
    pretrained.save(out)
    run["held_out"] = _measure(model, tokenizer, held_out)
    write_json(out / "run.json", run)
    last = losses[-20:]
    tell(f"training: loss {sum(last) / len(last):.3f} a token, over the last {len(last)} steps")
    tell(_in_words(run["held_out"]))


def _hold_out(texts: Sequence[str]) -> tuple[list[str], str]:
    """The texts without their last tenth, and those tenths."""
    cuts = [len(text) - min(len(text) // 10, 200_000) for text in texts]
    read = [text[:cut] for text, cut in zip(texts, cuts, strict=True)]
    return read, "".join(text[cut:] for text, cut in zip(texts, cuts, strict=True))


def _open(out: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The run in the folder, which must have these settings; ``None`` if there is none."""
    if not (out / "run.json").exists():
        if (out / "config.json").exists():
            raise ValueError(f"out must be a new folder or that of a run, {out} holds a model")
        return None
    run = read_run(out)
    had, got = _given(run["settings"]), _given(settings)
    for name, value in got.items():
        if had.get(name) != value:
            values = "" if name == "text" else f", {_shown(had.get(name))}, got {_shown(value)}"
            raise ValueError(
                f"{name} must be that of the run in {out}{values}: "
                "choose another folder for another run"
            )
    return run


def read_run(folder: Path) -> dict[str, Any]:
    """What ``run.json`` says: ``settings``, ``steps``, and of a finished run what it measured.

    Args:
        folder: Of the run.

    Returns:
        All of it.

    Raises:
        ValueError: If the file is missing or damaged; the error names it.
    """
    run = read_json(folder / "run.json")
    held_out = run.get("held_out", {"loss": 0.0, "bits_per_byte": 0.0})
    sound = (
        isinstance(run.get("settings"), dict)
        and type(run.get("steps")) is int
        and run["steps"] > 0
        and isinstance(held_out, dict)
        and all(type(held_out.get(name)) is float for name in ("loss", "bits_per_byte"))
    )
    if not sound:
        raise ValueError(
            f"{folder / 'run.json'} must hold the settings and the steps of a run, "
            f"got {str(run)[:80]}"
        )
    return run


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that count: minutes do not where the number of steps is given."""
    return settings | {"minutes": None} if settings.get("steps") else settings


def _shown(value: object) -> str:
    return "none" if value is None else str(value)


def _steps_in(seconds: float, model: GPT, batches: TokenBatches, training: TrainingConfig) -> int:
    """How many steps fit into a time, by the pace of the first."""
    times: list[float] = []
    while len(times) < 4 or (len(times) < 20 and sum(times) < seconds / 20):
        start = time.perf_counter()
        train(model, batches, language_model_loss, replace(training, steps=1))
        times.append(time.perf_counter() - start)
    return max(1, round(seconds / statistics.median(times[1:])))  # the first one is slower


def _measure(model: GPT, tokenizer: Tokenizer, ids: Tensor) -> dict[str, float]:
    """How well a text is predicted, all of it but its first token."""
    nats, num_bytes = sequence_nll(model, ids), len(tokenizer.decode_bytes(ids[1:].tolist()))
    return {"loss": nats / (len(ids) - 1), "bits_per_byte": bits_per_byte(nats, num_bytes)}


def _in_words(held_out: dict[str, float]) -> str:
    loss, bits = held_out["loss"], held_out["bits_per_byte"]
    return (
        f"held out: loss {loss:.3f} a token, perplexity {math.exp(loss):,.1f}, "
        f"{bits:.3f} bits a byte"
    )
