"""The folder of a training run: its log, its checkpoint, and how to go on after being killed.

``log.jsonl`` has one line for each step, ``checkpoint.pt`` holds everything that the steps after it
depend on: the weights, what the optimizer keeps, the state of the random numbers, and how many
steps are done. A checkpoint is written beside the old one and then takes its name, so at any
moment there is a whole one. The log is on the disk before the checkpoint is; what it holds beyond
the checkpoint is cut off when the run goes on, as those steps are done again.

If several processes train, all of them call every method here, since all are needed to put a
split tensor together; only the first one writes. A checkpoint holds whole tensors, so it does not
matter how many processes go on from it.
"""

import json
import os
import pickle
import signal
import threading
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from itertools import islice
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TextIO

import torch
import torch.distributed as dist
from torch import nn

from llmbook._files import naming, replacing
from llmbook.training import distributed

State = dict[str, Any]
Step = dict[str, float]
_IN_EVERY_STEP = ("step", "loss", "tokens", "seconds")


class RunFolder:
    """A folder and what is saved in it; as a context, it makes Ctrl-C wait for the checkpoint.

    Args:
        folder: Where; made if it is not there. ``None``: nothing is read or written.
        plan: What decides the losses besides model and data: no other plan can go on here.
        model: The model, its parameters perhaps split.
        optimizer: Its optimizer.

    Raises:
        ValueError: If the run in the folder has another plan or model, or is damaged.
    """

    def __init__(
        self,
        folder: Path | None,
        plan: Mapping[str, Any],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.folder, self.plan = folder, dict(plan)
        self.model, self.optimizer = model, optimizer
        self.interrupted = False
        self.losses: list[float] = []  # of all steps that are done
        self.tokens, self.seconds = 0, 0.0  # so far
        self._random: State | None = None
        self._log: TextIO | None = None
        if folder is None:
            return
        # Without a checkpoint the run begins anew, even if the log of some steps is there.
        steps = self._go_on(folder) if (folder / "checkpoint.pt").exists() else []
        if distributed.rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            # Cuts off the steps beyond the checkpoint, and a half-written line, before anything is
            # appended. Killed in the middle of it, the run still has the old log, which also does.
            with replacing(folder / "log.jsonl") as part:
                part.write_text("".join(map(_line, steps)), encoding="utf-8", newline="\n")
            self._log = (folder / "log.jsonl").open("a", encoding="utf-8")

    def _go_on(self, folder: Path) -> list[Step]:
        """Load the checkpoint; give the steps in the log up to it."""
        # All that may be refused comes first: model and optimizer are changed only by a checkpoint
        # that fits, and with a log that fits.
        saved = _load_checkpoint(folder / "checkpoint.pt")
        self._check_same_run(folder, saved)
        # The log reached the disk before the checkpoint did, so fewer lines than steps mean damage,
        # and not a kill; more are steps after the checkpoint, which will be done again.
        steps = read_log(folder, saved["step"])
        if len(steps) < saved["step"]:
            raise ValueError(
                f"{folder}/log.jsonl must hold {saved['step']} steps, got {len(steps)}"
            )
        for values in steps:
            self._note(values)
        # Kept until ``restore_random``: before that, training skips the batches that were used, and
        # to draw those may take random numbers. More processes than before take states in turn.
        self._random = saved["random"][distributed.rank() % len(saved["random"])]
        from torch.distributed.checkpoint.state_dict import set_state_dict

        # A new optimizer holds no averages to load into. torch makes them by a step with gradients
        # and learning rate of zero, but leaves that out if any parameter has a gradient, as in a
        # model that was used before; then there would be no room to load into.
        self.optimizer.zero_grad()
        set_state_dict(
            self.model,
            self.optimizer,
            model_state_dict=saved["model"],
            optim_state_dict=saved["optimizer"],
            options=_whole_tensors(),
        )
        return steps

    def _check_same_run(self, folder: Path, saved: State) -> None:
        """Refuse to go on with another plan, another model, or other parameters to train."""
        # The plan is compared before the shapes: its error names the setting that was changed.
        for name, value in self.plan.items():
            if saved["plan"].get(name) != value:
                raise ValueError(
                    f"{name} must be that of the run in {folder}, {saved['plan'].get(name)}, "
                    f"got {value}: choose another folder for another run"
                )
        # Of a split parameter, too, this is the shape of the whole one.
        had, got = (
            {name: tuple(tensor.shape) for name, tensor in state.items()}
            for state in (saved["model"], self.model.state_dict())
        )
        for name in got | had:  # in this order; ``None`` is the shape of what one side lacks
            if had.get(name) != got.get(name):
                raise ValueError(
                    f"model must be that of the run in {folder}: its {name} has shape "
                    f"{had.get(name)}, got {got.get(name)}"
                )
        # Frozen or not, a parameter has the same shape. But the optimizer keeps averages only of
        # those that it trains, so there would be none to go on with, or some for nothing.
        trained = {name for name, p in self.model.named_parameters() if p.requires_grad}
        groups = saved["optimizer"]["param_groups"]
        # Names, and not numbers as in ``optimizer.state_dict()``: ``get_state_dict`` writes them.
        before = {str(name) for group in groups for name in group["params"]}
        if different := sorted(trained ^ before):
            raise ValueError(
                f"model must train the parameters of the run in {folder}: "
                f"{different[0]} is {'not trained there' if different[0] in trained else 'frozen'}"
            )

    def restore_random(self) -> None:
        """Set the random number generators as they were at the checkpoint, if there was one."""
        if self._random is not None:
            torch.set_rng_state(self._random["cpu"])
            if "cuda" in self._random and torch.cuda.is_available():
                torch.cuda.set_rng_state(self._random["cuda"])

    def record(self, **values: float) -> None:
        """Note a step that is done, also in the log."""
        self._note(values)
        if self._log is not None:
            with naming(Path(self._log.name)):
                self._log.write(_line(values))
                self._log.flush()

    def _note(self, values: Mapping[str, float]) -> None:
        """Count a step as done, without writing it to the log."""
        self.losses.append(values["loss"])
        self.tokens, self.seconds = int(values["tokens"]), values["seconds"]

    def save(self) -> None:
        """Write a checkpoint of the steps that are done."""
        if self.folder is None:
            return
        from torch.distributed.checkpoint.state_dict import get_state_dict

        random = [_random_state()] * distributed.world_size()
        if dist.is_initialized():
            dist.all_gather_object(random, _random_state())
        weights, averages = get_state_dict(self.model, self.optimizer, options=_whole_tensors())
        state = {
            "step": len(self.losses),
            "plan": self.plan,
            "random": random,
            "model": weights,
            "optimizer": averages,
        }
        if self._log is not None:
            with naming(Path(self._log.name)):
                os.fsync(self._log.fileno())
            path = self.folder / "checkpoint.pt"
            with replacing(path) as part, part.open("wb") as file:  # no name of a file goes into it
                torch.save(state, file)
        if dist.is_initialized():
            dist.barrier()  # until it is there: one might read it next

    def __enter__(self) -> Self:
        self._handler = None
        if self.folder is not None and threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        if self._log is not None:
            # A full disk has been told of, and closing would tell of it once more.
            with nullcontext() if error is None else suppress(OSError):
                self._log.close()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Note a Ctrl-C, which the training loop looks for at each step."""
        # Whoever asks twice will not wait. torchrun passes one Ctrl-C on a second time.
        if self.interrupted and not dist.is_initialized():
            raise KeyboardInterrupt
        self.interrupted = True


def read_log(folder: Path, limit: int | None = None) -> list[Step]:
    """The steps in the log of a run; a last line that is not whole yet is left out.

    Args:
        folder: Of the run.
        limit: How many steps to read; the lines after them need not be sound.

    Returns:
        The values of each step, by their names.

    Raises:
        ValueError: If a line is not that of a step; the error names it.
    """
    path = folder / "log.jsonl"
    steps: list[Step] = []
    with path.open("rb") as file:
        for number, line in enumerate(islice(file, limit), start=1):
            if not line.endswith(b"\n"):
                break
            try:
                values = json.loads(line)
                if not all(isinstance(values[name], int | float) for name in _IN_EVERY_STEP):
                    raise TypeError
            except (ValueError, TypeError, KeyError):
                raise ValueError(
                    f"{path}, line {number} must hold {', '.join(_IN_EVERY_STEP)} of a step as "
                    f"JSON, got {line[:40]!r}"
                ) from None
            steps.append(values)
    return steps


def _line(values: Mapping[str, float]) -> str:
    """The line of a step in the log."""
    return json.dumps(values) + "\n"


def _random_state() -> State:
    """The state of the random number generators of this process and its GPU."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _load_checkpoint(path: Path) -> State:
    """A checkpoint on the processor; whatever torch raises for a damaged one names the file."""
    try:
        saved: State = torch.load(path, map_location="cpu", weights_only=True)
        if missing := {"step", "plan", "random", "model", "optimizer"} - saved.keys():
            raise KeyError(*missing)
    except (
        AttributeError,
        EOFError,
        KeyError,
        OSError,
        RuntimeError,
        pickle.UnpicklingError,
    ) as error:
        raise ValueError(f"{path} must be a whole checkpoint, got: {error}") from None
    return saved


def _whole_tensors() -> Any:
    """How states are kept: in whole tensors on the processor, by the first process."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions  # takes a while to import

    return StateDictOptions(full_state_dict=True, cpu_offload=True)
