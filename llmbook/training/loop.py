r"""Training: take a batch, see how wrong the model is, change every weight a little, again.

The loop is the same whatever the model and however many processes. What it adds to plain gradient
descent are habits that Transformers need: AdamW, which scales every step by the recent gradients
of that weight and lets matrices decay (Loshchilov and Hutter, "Decoupled Weight Decay
Regularization", 2019); a learning rate that warms up (Vaswani et al., 2017, section 5.3) and then
falls along half a cosine (Loshchilov and Hutter, "SGDR", 2017); gradients clipped to a greatest
norm (Pascanu et al., "On the Difficulty of Training Recurrent Neural Networks", 2013).

A long run gets interrupted. With a folder it can be killed at any moment: started again, it goes
on from its last checkpoint to the losses that it would have reached undisturbed. And a long run
is spread over several processes: ``torchrun --nproc-per-node 2 train.py`` runs the same script
twice, and [`train`][llmbook.training.train] lets the two share the batches.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from llmbook._checks import check_at_least_one, check_positive
from llmbook._files import locked
from llmbook._progress import progress as progress_of
from llmbook.training import distributed
from llmbook.training.checkpoint import RunFolder

__all__ = ["TrainingConfig", "decay_groups", "learning_rate_at", "train"]

Batch = TypeVar("Batch")
Precision = Literal["float32", "bfloat16"]
_INTEGERS = (torch.int32, torch.int64)


@dataclass(frozen=True)
class TrainingConfig:
    """How [`train`][llmbook.training.train] goes about it.

    Raises:
        ValueError: If a number is out of range or a choice is unknown.
    """

    steps: int = 1000
    learning_rate: float = 3e-3  # its peak, at the end of the warm-up
    final_learning_rate: float = 0.0  # towards which it falls
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.999)  # how long AdamW remembers gradients and squares
    weight_decay: float = 0.01  # of matrices; vectors do not decay
    clip_norm: float = 1.0  # greatest norm of all gradients together
    accumulation: int = 1  # batches of each process whose gradients make one step
    precision: Precision | None = None  # of products; None: bfloat16 on a GPU that has it
    compile: bool = False  # let torch.compile fuse what the model and the loss compute
    shard: bool = False  # split the model among the processes (FSDP2), not only the batches
    checkpoint_every: int = 250  # steps

    def __post_init__(self) -> None:
        for name in ("steps", "accumulation", "checkpoint_every"):
            check_at_least_one(name, getattr(self, name))
        check_positive("learning_rate", self.learning_rate)
        check_positive("clip_norm", self.clip_norm)
        for name in ("warmup_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.final_learning_rate <= self.learning_rate:
            raise ValueError(
                f"final_learning_rate must lie between 0 and learning_rate "
                f"({self.learning_rate}), got {self.final_learning_rate}"
            )
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers from 0 to below 1, got {self.betas}")
        if self.precision is not None and self.precision not in get_args(Precision):
            choices = (*get_args(Precision), None)
            raise ValueError(f"precision must be one of {choices}, got {self.precision!r}")


def learning_rate_at(step: int, config: TrainingConfig) -> float:
    """Learning rate of a step: a straight rise, then half a cosine down to the final one.

    Args:
        step: The step, counted from 0.
        config: Gives the peak, the end, the length of the rise and the number of steps.

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
    peak, final = config.learning_rate, config.final_learning_rate
    if step < config.warmup_steps:
        return peak * (step + 1) / config.warmup_steps
    rest = max(1, config.steps - config.warmup_steps + 1)
    progress = (step - config.warmup_steps + 1) / rest
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters that are trained, in groups for an optimizer: matrices decay, vectors do not.

    A matrix maps one vector to another, and decay keeps it from growing without need. Biases and
    the scales of normalization are few, and pulling a scale towards 0 only fights what it is for.

    Args:
        model: The model; frozen parameters are left out.
        weight_decay: Weight decay of the matrices.

    Returns:
        One group of matrices and one of vectors, an empty one left out.

    Raises:
        ValueError: If nothing is trained.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("model must have a parameter that requires a gradient, got none")
    matrices = [parameter for parameter in trained if parameter.dim() >= 2]
    vectors = [parameter for parameter in trained if parameter.dim() < 2]
    groups = ((matrices, weight_decay), (vectors, 0.0))
    return [
        {"params": parameters, "weight_decay": decay} for parameters, decay in groups if parameters
    ]


def train(
    model: nn.Module,
    batches: Iterable[Batch],
    loss_of: Callable[[nn.Module, Batch], Tensor],
    config: TrainingConfig,
    *,
    out: str | os.PathLike[str] | None = None,
    progress: bool = False,
    after_step: Callable[[int], object] | None = None,
) -> list[float]:
    """Train a model. See [a model trained end to end][training].

    Under ``torchrun`` process ``r`` of ``W`` takes every ``W``-th batch from the ``r``-th on, and
    the gradients of all are averaged: two processes do what one does with twice the
    ``accumulation``. Every process must therefore be given the same ``batches``.

    With ``out``, ``out/log.jsonl`` gets a line for every step: ``step``, ``loss``,
    ``learning_rate``, ``gradient_norm`` before clipping, and so far, ``tokens`` in the batches
    and ``seconds`` spent. ``out/checkpoint.pt`` is written every ``checkpoint_every`` steps, at
    the end, and after Ctrl-C. If it is there already, the run goes on from it, with the losses
    that it would have had without a break: the same bit for bit on the same device with the same
    kernels (on a GPU, ask for them by ``torch.use_deterministic_algorithms``). A run that is
    over is only read. What decides the losses cannot change on the way, ``steps`` included, as
    the learning rate depends on it: to go on differently, load the weights and begin a new run.
    While one program trains in a folder, another is refused.

    Args:
        model: Its parameters are changed in place; it is left in training mode. With ``shard``
            among several processes they stay split; the checkpoint holds them whole.
        batches: As many as are needed, from the first one on: when a run goes on, those that it
            has seen are drawn again and skipped. Tensors, in tuples, lists or dictionaries too,
            are moved to the device of the model.
        loss_of: Gives the loss on a batch, a scalar, by calling the model that it is handed,
            which is perhaps a wrapper that only forwards the call.
        config: How long and how fast.
        out: Folder of the log and the checkpoint; ``None`` to keep nothing.
        progress: Show loss, tokens a second and the time left on the error stream.
        after_step: Is called with the number of steps done so far, after each.

    Returns:
        The loss of every step, those before a break included.

    Raises:
        ValueError: If there are too few batches, the loss or the gradient is no longer finite, or
            the run in ``out`` had another configuration or model, is damaged, or is under way.
        OSError: If the log or the checkpoint cannot be written. The one before it is still there.
        KeyboardInterrupt: After Ctrl-C, once the step is done and its checkpoint is written.
    """
    distributed.init_process_group(model)
    folder = None if out is None else Path(out)
    first = distributed.rank() == 0  # the others only read
    with locked(folder / "log.jsonl") if folder is not None and first else nullcontext():
        return _train(model, batches, loss_of, config, folder, progress, after_step)


def _train(
    model: nn.Module,
    batches: Iterable[Batch],
    loss_of: Callable[[nn.Module, Batch], Tensor],
    config: TrainingConfig,
    folder: Path | None,
    progress: bool,
    after_step: Callable[[int], object] | None,
) -> list[float]:
    """Train in a folder that nobody else writes to; arguments as for ``train``."""
    rank, processes = distributed.rank(), distributed.world_size()
    device = distributed.device_of(model)
    wrapped = distributed.wrap(model, shard=config.shard)
    optimizer = torch.optim.AdamW(
        decay_groups(model, config.weight_decay),
        betas=config.betas,
        fused=device.type in ("cpu", "cuda", "mps"),  # one pass over the weights, not ten
    )
    run = RunFolder(folder, _plan(config, processes, device), model, optimizer)
    measure = torch.compile(loss_of) if config.compile else loss_of

    stream = iter(batches)
    seen = len(run.losses) * config.accumulation * processes
    next(islice(stream, seen, seen), None)  # skips them
    own_batches = islice(stream, rank, None, processes)
    run.restore_random()  # only now, as drawing batches may take random numbers
    model.train()
    stop, start = False, time.perf_counter() - run.seconds
    steps = range(len(run.losses), config.steps)
    hidden = rank > 0 or not progress
    with run, progress_of(steps, total=config.steps, initial=steps.start, disable=hidden) as bar:
        for step in bar:
            rate = learning_rate_at(step, config)
            for group in optimizer.param_groups:
                group["lr"] = rate
            mean, count = _add_gradients(wrapped, own_batches, measure, config, device)
            total = nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            norm = distributed.full_tensor(total).item()
            loss, count, stop = distributed.all_reduce(mean.item(), count, run.interrupted, device)
            for name, value in (("loss", loss), ("gradient norm", norm)):
                if not math.isfinite(value):
                    raise ValueError(
                        f"{name} must be a finite number, got {value} at step {step}: "
                        f"lower learning_rate ({config.learning_rate})"
                    )
            optimizer.step()
            optimizer.zero_grad()
            run.record(
                step=step,
                loss=loss,
                learning_rate=rate,
                gradient_norm=norm,
                tokens=run.tokens + count,
                seconds=time.perf_counter() - start,
            )
            if after_step is not None:
                after_step(step + 1)
                model.train()  # in case it looked at the model in evaluation
            if stop or (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps:
                run.save()
            if stop:
                break
            pace = run.tokens / run.seconds
            bar.set_postfix_str(f"loss {loss:.3f}, {pace:,.0f} tokens/s", refresh=False)
    if stop or run.interrupted:
        raise KeyboardInterrupt
    return run.losses


def _add_gradients(
    model: nn.Module,
    batches: Iterator[Batch],
    loss_of: Callable[[nn.Module, Batch], Tensor],
    config: TrainingConfig,
    device: torch.device,
) -> tuple[Tensor, int]:
    """Add up the gradients of the batches of one step; give mean loss and number of tokens."""
    half = _precision(config, device) == "bfloat16"
    losses, tokens = [], 0
    for part in range(config.accumulation):
        try:
            batch = next(batches)
        except StopIteration:
            raise ValueError(f"batches must last for {config.steps} steps, got fewer") from None
        tokens += sum(ids.numel() for ids in _tensors(batch) if ids.dtype in _INTEGERS)
        last = part + 1 == config.accumulation
        with nullcontext() if last else distributed.no_sync(model):
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss = loss_of(model, _moved(batch, device)) / config.accumulation
            loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return torch.stack(losses).sum(), tokens


def _precision(config: TrainingConfig, device: torch.device) -> str:
    if config.precision is not None:
        return config.precision
    has = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return "bfloat16" if has else "float32"


def _plan(config: TrainingConfig, processes: int, device: torch.device) -> dict[str, Any]:
    """What decides the losses. How the batches of a step are shared out does not."""
    plan = asdict(config)
    for name in ("compile", "shard", "checkpoint_every", "accumulation"):
        del plan[name]
    plan["precision"] = _precision(config, device)
    plan["accumulation, times processes,"] = config.accumulation * processes
    return plan


def _tensors(batch: object) -> Iterator[Tensor]:
    """The tensors of a batch, however it holds them."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, (tuple, list, dict)):
        for part in batch.values() if isinstance(batch, dict) else batch:
            yield from _tensors(part)


def _moved(batch: Any, device: torch.device) -> Any:
    """A batch with its tensors on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: _moved(part, device) for name, part in batch.items()}
    if type(batch) in (tuple, list):
        return type(batch)(_moved(part, device) for part in batch)
    return batch
