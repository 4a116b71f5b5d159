"""The same training by one process, and, under torchrun, by several.

`torchrun spread.py FOLDER` trains copies of a model, and slices of one, with breaks; `python
spread.py FOLDER` trains one undisturbed, and goes on with what the slices have left.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from llmbook.gpt import GPT, GPTConfig
from llmbook.training import TokenBatches, TrainingConfig, language_model_loss, train

RANK, PROCESSES = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE"))


def run(out: Path, stops: bool = False, **options: Any) -> None:
    torch.manual_seed(RANK)  # the weights of the first process are the ones that count
    model = GPT(GPTConfig(vocab_size=11, d_model=8, num_layers=2, num_heads=2, max_length=8))
    config = TrainingConfig(steps=12, warmup_steps=2, accumulation=4 // (PROCESSES or 1), **options)
    batches = TokenBatches(torch.arange(500) ** 2 % 11, 4, 8)

    def interrupt(done: int) -> None:  # Ctrl-C reaches one process only
        if stops and done == 6 and RANK == 1:
            signal.raise_signal(signal.SIGINT)

    try:
        train(model, batches, language_model_loss, config, out=out, after_step=interrupt)
    except KeyboardInterrupt:
        out.with_name(f"{out.name} {RANK}").write_text(str(stops))


def main(out: Path) -> None:
    if PROCESSES:
        run(out / "copies", stops=True)
        run(out / "copies", shard=True)  # goes on with slices
        run(out / "slices", stops=True, shard=True)
        os._exit(0)  # torch's threads of gloo outlive the group and now and then abort a usual end
    run(out / "whole")
    run(out / "slices")  # goes on alone


if __name__ == "__main__":
    main(Path(sys.argv[1]))
