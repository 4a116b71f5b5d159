"""A run that is killed at random moments, beside one that is left alone: both end alike.

`python killed.py FOLDER SEED` prints how often the one was killed.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # as the optimizers do: once here, and not again in every child
from torch import nn

from llmbook.training import TokenBatches, TrainingConfig, language_model_loss, train


def run(out: Path) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Embedding(11, 32), nn.Dropout(0.3), nn.Linear(32, 11))
    batches = TokenBatches(torch.arange(500) % 11, 4, 8)
    config = TrainingConfig(steps=100, checkpoint_every=5)
    train(model, batches, language_model_loss, config, out=out)


def start(out: Path) -> int:
    if child := os.fork():  # this process itself computes nothing, so that it can be forked
        return child
    try:
        run(out)
        os._exit(0)
    finally:
        os._exit(1)


def main(out: Path, chance: random.Random) -> None:
    kills, code = 0, None
    log = out / "killed" / "log.jsonl"
    whole = start(out / "whole")
    while code != 0:
        before = log.stat().st_size if log.exists() else 0
        child = start(out / "killed")
        patience, wait = 130 * chance.randint(1, 40), chance.random() / 200  # bytes, seconds
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if log.exists() and log.stat().st_size > before + patience:
                time.sleep(wait)
                os.kill(child, signal.SIGKILL)
                ended = os.waitpid(child, 0)
                break
            time.sleep(0.0005)
        code = os.waitstatus_to_exitcode(ended[1])
        assert code in (0, -signal.SIGKILL), code
        kills += code < 0
    assert os.waitpid(whole, 0)[1] == 0
    one, two = (torch.load(out / name / "checkpoint.pt") for name in ("whole", "killed"))
    for name, tensor in one["model"].items():
        assert torch.equal(tensor, two["model"][name]), name
    print(kills)


if __name__ == "__main__":
    main(Path(sys.argv[1]), random.Random(int(sys.argv[2])))
