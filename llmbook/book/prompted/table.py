"""What came of the suite, in figures."""

from collections.abc import Mapping, Sequence

from llmbook.book.prompted.run import Cell
from llmbook.book.prompted.suite import SUITE
from llmbook.evaluation import cost, mcnemar, plan_score, score, step_score
from llmbook.prompting import Trace

__all__ = ["compare", "table"]


def table(cells: Mapping[Cell, Sequence[Trace]]) -> str:
    """A line for each form of each task.

    Args:
        cells: The traces of each.

    Returns:
        The lines: how many problems are right, with the 95 % interval; of least-to-most, how many
        plans are right and how many steps that come after right ones; and the tokens that were
        written for a problem.
    """
    lines = [f"{'':33} right          interval    plans  steps  written"]
    before = None
    for cell, traces in cells.items():
        if (cell.task, cell.size) != before:
            before = cell.task, cell.size
            lines.append(f"{cell.task}, size {cell.size}")
        grade = SUITE[cell.task]().task.grade
        right = score(traces, grade)
        low, high = right.interval()
        planned = [trace for trace in traces if trace.steps]
        parts = ""
        if planned:
            parts = f"{plan_score(traces).accuracy:7.0%}{step_score(planned, grade).accuracy:7.1%}"
        count = f"{right.right} of {right.total}"
        lines.append(
            f"  {cell.form:24}{count:>11} {right.accuracy:5.0%} [{low:4.0%},{high:5.0%}]"
            f"{parts:14}{cost(traces).completion_tokens:9.0f}"
        )
    return "\n".join(lines)


def compare(cells: Mapping[Cell, Sequence[Trace]], first: str, second: str) -> str:
    """Two forms on the same problems, a line for each task and size.

    Args:
        cells: The traces of each cell.
        first: A form.
        second: Another.

    Returns:
        How many problems only the first solves, how many only the second, and the p value of
        McNemar's exact test.
    """
    lines = []
    for cell, traces in cells.items():
        other = cell._replace(form=second)
        if cell.form == first and other in cells:
            both = min(len(traces), len(cells[other]))
            only_first, only_second, p = mcnemar(
                traces[:both], cells[other][:both], SUITE[cell.task]().task.grade
            )
            lines.append(
                f"{cell.task}, size {cell.size}: only {first} {only_first}, only {second} "
                f"{only_second}, p = {p:.2g}"
            )
    return "\n".join(lines)
