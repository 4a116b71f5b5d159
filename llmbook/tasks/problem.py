"""Problems: a question with its answer, and, where they are known, the steps that lead to it."""

from dataclasses import dataclass

__all__ = ["Exemplar", "Problem", "Step"]


@dataclass(frozen=True)
class Step:
    """A sub-problem and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Problem:
    """A question whose answer is known, so that an answer can be graded."""

    question: str
    answer: str
    size: int = 0  # length or depth: what a curve is drawn over
    steps: tuple[Step, ...] = ()  # sub-problems from least to most, the last the question itself
    context: str = ""  # what all the questions are about, such as a passage
    others: tuple[str, ...] = ()  # answers that count as right beside the first


@dataclass(frozen=True)
class Exemplar:
    """A solved question, shown in a prompt."""

    question: str
    answer: str
    rationale: str = ""  # how the answer is reached, in words; chain of thought shows it
    steps: tuple[Step, ...] = ()  # sub-problems with answers; least-to-most shows them
    context: str = ""
