r"""Scores: how often a strategy is right, how sure that is, where it fails and what it costs.

An accuracy comes with Wilson's interval (1927), which holds near 0 and 1 too; two strategies on
the same problems are compared by those that only one of them solved (McNemar, 1947, in its exact
form).

Notation: ``n`` problems, ``k`` of them right.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from llmbook.prompting.trace import Trace
from llmbook.tasks.problem import Problem, Step

__all__ = [
    "Cost",
    "Grade",
    "Score",
    "cost",
    "mcnemar",
    "mean_interval",
    "plan_score",
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
    """Whether each step was right whose answer is known, to the first wrong one or to the end."""
    known = {step.question: step for step in trace.problem.steps}
    for step in trace.steps:
        if (expected := known.get(step.question)) is not None:
            right = grade(expected, step.answer)
            yield right
            if after_right and not right:
                return


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    r"""Student's interval for a mean, such as that of an accuracy over seeds.

    $$\bar x \pm t \frac{s}{\sqrt n}$$

    The seeds are the sample here, not the problems: of models trained anew, how good are they on
    average? It takes the values to be normally distributed, which they are not near 0 and 1.

    Args:
        values: One of each seed, two at least.
        level: How often such an interval holds the true mean.

    Returns:
        Its ends, which may lie beyond 0 and 1.

    Raises:
        ValueError: If there are fewer than two values, or ``level`` does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if len(values) < 2:
        raise ValueError(f"values must be at least two, got {len(values)}")
    mean, error = fmean(values), stdev(values) / math.sqrt(len(values))
    half = _student_quantile((1 + level) / 2, len(values) - 1) * error
    return mean - half, mean + half


def _student_quantile(probability: float, freedom: int) -> float:
    r"""Where Student's distribution reaches a probability above one half, by bisection.

    With $\tan\theta = t / \sqrt{\nu}$ its density becomes that of $\cos^{\nu-1}\theta$, which is
    smooth on a bounded interval: Simpson's rule on 200 pieces is exact to ten digits.
    """
    scale = math.gamma((freedom + 1) / 2) / (math.sqrt(math.pi) * math.gamma(freedom / 2))

    def reached(angle: float) -> float:
        width, total = angle / 200, 0.0
        for i in range(201):
            weight = 1 if i in (0, 200) else 4 if i % 2 else 2
            total += weight * math.cos(i * width) ** (freedom - 1)
        return 0.5 + scale * total * width / 3

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) < probability else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


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
    rights = [
        [grade(trace.problem, trace.answer) for trace in traces] for traces in (first, second)
    ]
    pairs = [*zip(*rights, strict=True)]
    only_first, only_second = pairs.count((True, False)), pairs.count((False, True))
    n, k = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    return only_first, only_second, min(1.0, 2 * tail)
