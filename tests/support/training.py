"""A small model to train, its batches and its run: what the tests of training share."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from llmbook.training import TokenBatches, TrainingConfig

ROOT = Path(__file__).parents[2]
CONFIG = TrainingConfig(steps=12, warmup_steps=3, learning_rate=0.05, checkpoint_every=4)
IDS = torch.randint(11, (300,), generator=torch.Generator().manual_seed(3))
BATCHES = TokenBatches(IDS, batch_size=3, length=4)


class StoppedError(Exception):
    """A run that breaks off."""


class BigramModel(nn.Module):
    """The next token from the last one, with dropout: it depends on the state of the random."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, width)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(width, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.dropout(self.embedding(tokens)))


def new_model() -> BigramModel:
    torch.manual_seed(5)
    return BigramModel()


def log_of(out: Path) -> list[dict[str, float]]:
    """The lines of a log, but for the time, which no two runs share."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert all(line.pop("seconds") > 0 for line in lines)
    return lines


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def stops_after(count: int) -> Iterator[Tensor]:
    yield from islice(BATCHES, count)
    raise StoppedError


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
