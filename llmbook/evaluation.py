r"""Evaluation: how often a strategy is right, how sure that is, where it fails and what it costs.

Problems are put in batches; every trace is kept, a line of JSON each, so that a figure can be
read off again and an evaluation that was broken off goes on. An accuracy comes with Wilson's
interval (1927), which holds near 0 and 1 too; two strategies on the same problems are compared by
those that only one of them solved (McNemar, 1947, in its exact form).

Notation: ``n`` problems, ``k`` of them right.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

from llmbook._checks import check_at_least_one
from llmbook._files import locked
from llmbook._progress import progress as progress_of
from llmbook._transcript import Remembering, append, parse, resume, rewrite
from llmbook.models.protocol import LanguageModel
from llmbook.prompting.strategies import Strategy
from llmbook.prompting.trace import Trace
from llmbook.tasks.problem import Problem, Step

__all__ = [
    "Cost",
    "Score",
    "cost",
    "evaluate",
    "mcnemar",
    "plan_score",
    "read_transcript",
    "score",
    "scores_by_size",
    "step_score",
]

Grade = Callable[[Problem | Step, str], bool]
"""Whether an answer to a problem, or to a step of one, is right."""


@dataclass(frozen=True)
class Score:
    """How many of how many were right.

    Examples:
        ```python
        from llmbook.evaluation import Score

        print(Score(9, 10), Score(90, 100), Score(100, 100), sep=" | ")
        ```

        ``` {.text .output}
        90.0% [59.6%, 98.2%] of 10 | 90.0% [82.6%, 94.5%] of 100 | 100.0% [96.3%, 100.0%] of 100
        ```
    """

    right: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.total:
            raise ValueError(f"right must lie between 0 and total ({self.total}), got {self.right}")

    @property
    def accuracy(self) -> float:
        """The share that was right; not a number if there was nothing."""
        return self.right / self.total if self.total else math.nan

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        r"""Wilson's interval for the accuracy.

        $$\frac{k + z^2/2 \pm z\sqrt{k(n-k)/n + z^2/4}}{n + z^2}$$

        Args:
            level: How often such an interval holds the true accuracy.

        Returns:
            Its ends; ``(0.0, 1.0)`` if there was nothing.

        Raises:
            ValueError: If ``level`` does not lie between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level}")
        k, n = self.right, self.total
        if n == 0:
            return 0.0, 1.0
        z = NormalDist().inv_cdf((1 + level) / 2)
        middle, half = k + z * z / 2, z * math.sqrt(k * (n - k) / n + z * z / 4)
        # Rounding must not lead past 1; at 0 it cannot, as both terms are then rounded alike.
        high = 1.0 if k == n else (middle + half) / (n + z * z)
        return (middle - half) / (n + z * z), high

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{self.accuracy:.1%} [{low:.1%}, {high:.1%}] of {self.total:,}"


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
    known = len(traces)
    failed = [place for place, trace in enumerate(traces) if _failed(trace)]
    places = [*failed, *range(known, len(problems))]
    with progress_of(
        total=len(problems),
        initial=len(problems) - len(places),
        unit="problem",
        disable=not progress,
    ) as bar:
        for start in range(0, len(places), batch_size):
            batch = places[start : start + batch_size]
            new = strategy.solve_all([problems[place] for place in batch], memory or model)
            for place, trace in zip(batch, new, strict=True):
                traces[place : place + 1] = [trace]  # in place of a failure, or at the end
            if path is not None and memory is not None:
                if batch[0] < known:
                    rewrite(path, traces)
                else:
                    append(path, (trace.to_json() for trace in new))
                memory.forget()
            bar.update(len(new))
    return traces


def _failed(trace: Trace) -> bool:
    return any(issue.kind == "model-error" for one in trace.walk() for issue in one.issues)


def read_transcript(path: str | os.PathLike[str]) -> list[Trace]:
    """The traces of a file that [`evaluate`][llmbook.evaluation.evaluate] wrote.

    Raises:
        ValueError: If a line is no trace; the error names it.
    """
    return parse(Path(path), Path(path).read_bytes())[1]


def score(traces: Iterable[Trace], grade: Grade) -> Score:
    """How many problems were solved.

    Args:
        traces: How they were solved.
        grade: Whether an answer is right, given the problem or a step of it.

    Returns:
        The score.
    """
    return _count(grade(trace.problem, trace.answer) for trace in traces)


def scores_by_size(traces: Iterable[Trace], grade: Grade) -> dict[int, Score]:
    """How many problems of each size were solved, smallest first; arguments as in `score`."""
    sizes: dict[int, list[Trace]] = {}
    for trace in traces:
        sizes.setdefault(trace.problem.size, []).append(trace)
    return {size: score(sizes[size], grade) for size in sorted(sizes)}


def plan_score(traces: Iterable[Trace]) -> Score:
    """How many plans hold just the sub-problems that the problem is known to need.

    Their order may differ, as long as the problem comes last. Problems without known steps do
    not count.

    Args:
        traces: How problems were solved.

    Returns:
        The score.
    """
    return _count(
        trace.steps[-1:] != []
        and trace.steps[-1].question == trace.problem.question
        and {step.question for step in trace.steps}
        == {step.question for step in trace.problem.steps}
        for trace in traces
        if trace.problem.steps
    )


def step_score(traces: Iterable[Trace], grade: Grade, *, after_right: bool = True) -> Score:
    """How many single steps were right.

    Args:
        traces: How problems were solved.
        grade: As in [`score`][llmbook.evaluation.score].
        after_right: Count only steps before which all were right: the accuracy ``p`` of a step
            by itself. If every step were as likely to fail, all ``n`` of a problem would be right
            with probability ``p ** n``.

    Returns:
        The score over all steps whose answer is known.
    """
    return _count(right for trace in traces for right in _steps(trace, grade, after_right))


def _steps(trace: Trace, grade: Grade, after_right: bool) -> Iterator[bool]:
    known = {step.question: step for step in trace.problem.steps}
    for step in trace.steps:
        if (expected := known.get(step.question)) is not None:
            right = grade(expected, step.answer)
            yield right
            if after_right and not right:
                return


def _count(outcomes: Iterable[bool]) -> Score:
    counted = list(outcomes)
    return Score(sum(counted), len(counted))


@dataclass(frozen=True)
class Cost:
    """What a problem costs on average."""

    calls: float
    prompt_tokens: float
    reused_tokens: float  # of the prompts: they did not have to be read
    completion_tokens: float
    seconds: float


def cost(traces: Sequence[Trace]) -> Cost:
    """What problems cost on average.

    Args:
        traces: How they were solved.

    Returns:
        The means.

    Raises:
        ValueError: If there is no trace.
    """
    if not traces:
        raise ValueError("traces must hold at least one, got none")
    names = ("num_calls", "prompt_tokens", "reused_tokens", "completion_tokens", "seconds")
    return Cost(*(sum(getattr(trace, name) for trace in traces) / len(traces) for name in names))


def mcnemar(
    first: Sequence[Trace], second: Sequence[Trace], grade: Grade
) -> tuple[int, int, float]:
    """Whether two strategies differ by more than chance, on the same problems.

    Args:
        first: How one solved them.
        second: How the other did, in the same order.
        grade: As in [`score`][llmbook.evaluation.score].

    Returns:
        Problems that only the first solved, those that only the second did, and how likely so
        uneven a split is if each of them might as well have been the other's: the two-sided
        exact p value.

    Raises:
        ValueError: If the problems differ.
    """
    if [trace.problem for trace in first] != [trace.problem for trace in second]:
        raise ValueError("first and second must be of the same problems in the same order")
    pairs = [
        (grade(one.problem, one.answer), grade(other.problem, other.answer))
        for one, other in zip(first, second, strict=True)
    ]
    only_first, only_second = pairs.count((True, False)), pairs.count((False, True))
    n, k = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    return only_first, only_second, min(1.0, 2 * tail)
