"""How long `import llmbook` takes, and each of its modules, beside `import torch`.

Each run is a fresh Python process that times the import alone; the sides take turns.

    python benchmarks/imports.py --runs 7
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

TIMED = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
SIDES = ("torch", "llmbook", "llmbook.gpt", "llmbook.generation", "llmbook.training")


def seconds(module: str) -> float:
    run = [sys.executable, "-c", TIMED.format(module)]
    return float(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="runs of each side (default 7)")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error(f"--runs must be at least 1, got {arguments.runs}")

    taken: dict[str, list[float]] = {name: [] for name in SIDES}
    for run in range(arguments.runs + 1):  # the first fills the disk's cache and does not count
        for name in SIDES:
            value = seconds(name)
            if run:
                taken[name].append(value)
    base = statistics.median(taken["torch"])
    print(f"{'import':22}{'median s':>10}{'min':>9}{'max':>9}{'ratio':>8}")
    for name, values in taken.items():
        middle = statistics.median(values)
        print(f"{name:22}{middle:10.3f}{min(values):9.3f}{max(values):9.3f}{middle / base:8.2f}")
    print(f"ratio: median / median of torch, {arguments.runs} runs in turn")


if __name__ == "__main__":
    main()
