"""Put problems to a model, and keep what happens.

Problems are put in batches; every trace is kept, a line of JSON each, so that a figure can be
read off again and an evaluation that was broken off goes on.
"""

import lzma
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from llmbook._checks import check_at_least_one
from llmbook._files import locked
from llmbook._progress import progress as progress_of
from llmbook.evaluation.transcript import Remembering, append, parse, resume, rewrite
from llmbook.lm.protocol import LanguageModel
from llmbook.prompting.strategies import Strategy
from llmbook.prompting.trace import Trace
from llmbook.tasks.problem import Problem

__all__ = ["evaluate", "read_transcript"]


def evaluate(
    strategy: Strategy,
    model: LanguageModel,
    problems: Sequence[Problem],
    *,
    transcript: str | os.PathLike[str] | None = None,
    task: str = "",
    batch_size: int = 256,
    progress: bool = False,
) -> list[Trace]:
    """Put problems to a model, and keep what happens.

    Args:
        strategy: How they are put.
        model: The model.
        problems: The problems.
        transcript: File of traces, a line each, after a first line that tells task and settings.
            What it holds already is not asked again, nor is what was answered before a break,
            except where the model gave an error. Only one program at a time can write to it.
        task: Name of the task, for the first line of a new transcript, so that it is known later
            by whose rules answers are graded.
        batch_size: Problems that move side by side; after each batch the file is written.
        progress: Show on the error stream how many are done.

    Returns:
        A trace for each problem, in their order.

    Raises:
        ValueError: If the transcript is of other problems, or of another strategy, model, task or
            setting, or is no transcript, or another program is writing to it. The file is then
            left as it is.
    """
    check_at_least_one("batch_size", batch_size)
    path = None if transcript is None else Path(transcript)
    with nullcontext() if path is None else locked(path):
        return _evaluate(strategy, model, problems, path, task, batch_size, progress)


def _evaluate(
    strategy: Strategy,
    model: LanguageModel,
    problems: Sequence[Problem],
    path: Path | None,
    task: str,
    batch_size: int,
    progress: bool,
) -> list[Trace]:
    """`evaluate` once nobody else writes to the transcript."""
    traces: list[Trace] = []
    memory: Remembering | None = None
    if path is not None:
        traces = resume(path, problems, strategy, model, task)
        memory = Remembering(model, path)
    num_kept = len(traces)
    failed = [place for place, trace in enumerate(traces) if _failed(trace)]
    places = [*failed, *range(num_kept, len(problems))]
    with progress_of(
        total=len(problems),
        initial=len(problems) - len(places),
        unit="problem",
        disable=not progress,
    ) as bar:
        for start in range(0, len(places), batch_size):
            batch = places[start : start + batch_size]
            new_traces = strategy.solve_all([problems[place] for place in batch], memory or model)
            for place, trace in zip(batch, new_traces, strict=True):
                traces[place : place + 1] = [trace]  # in place of a failure, or at the end
            if path is not None and memory is not None:
                if batch[0] < num_kept:
                    rewrite(path, traces)
                else:
                    append(path, (trace.to_json() for trace in new_traces))
                memory.forget()
            bar.update(len(new_traces))
    return traces


def _failed(trace: Trace) -> bool:
    return any(issue.kind == "model-error" for sample in trace.walk() for issue in sample.issues)


def read_transcript(path: str | os.PathLike[str]) -> list[Trace]:
    """The traces of a file that [`evaluate`][llmbook.evaluation.evaluate] wrote.

    Args:
        path: The file; one whose name ends in ``.xz`` is unpacked.

    Raises:
        ValueError: If a line is no trace; the error names it.
    """
    path = Path(path)
    data = path.read_bytes()
    return parse(path, lzma.decompress(data) if path.suffix == ".xz" else data)[1]
