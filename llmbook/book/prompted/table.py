"""What came of the suite, in figures."""

from collections.abc import Mapping, Sequence

from llmbook._console import columns
from llmbook.book.prompted.run import Cell
from llmbook.book.prompted.suite import SUITE
from llmbook.evaluation import cost, mcnemar, plan_score, score, step_score
from llmbook.prompting import Trace
from llmbook.tasks._language import Language

__all__ = ["compare", "table"]


_CHINESE = {
    "few-shot": "少样本",
    "chain of thought": "思维链",
    "chain of thought, retold": "思维链，复述",
    "one pass": "由少至多，一次写完",
    "least-to-most": "由少至多",
    "least-to-most, planned": "由少至多，计划已知",
    "stories": "英文故事",
    "stories-zh": "中文故事",
    "stories-zh-bare": "中文故事初稿",
    "letters": "末字母",
    "letters-spelled": "末字母，拆开",
    "characters": "末字",
    "characters-spelled": "末字，拆开",
    "commands": "SCAN",
}


def table(cells: Mapping[Cell, Sequence[Trace]], *, language: Language = "en") -> str:
    """A line for each form of each task.

    Args:
        cells: The traces of each.
        language: Of the headings and names.

    Returns:
        The lines: how many problems are right, with the 95 % interval; of least-to-most, how many
        plans are right and how many steps that come after right ones; and the tokens that were
        written for a problem.
    """
    names = ("right", "interval", "plans", "steps", "written")
    if language == "zh":
        names = ("答对", "区间", "计划", "单步", "写下")
    widths = (18, 14, 7, 7, 8)
    lines = [_pad("", 28) + "".join(map(_pad_left, names, widths))]
    before = None
    for cell, traces in cells.items():
        if (cell.task, cell.size) != before:
            before = cell.task, cell.size
            size = "size" if language == "en" else "规模"
            sized = "" if cell.size is None else f", {size} {cell.size}"
            lines.append(f"{_name(cell.task, language)}{sized}")
        grade = SUITE[cell.task].task.grade
        right = score(traces, grade)
        low, high = right.interval()
        plans = steps = ""
        if any(trace.steps for trace in traces):
            plans = f"{plan_score(traces).accuracy:.0%}"
            steps = f"{step_score(traces, grade).accuracy:.1%}"
        values = (
            f"{right.right}/{right.total} {right.accuracy:.0%}",
            f"[{low:.0%}, {high:.0%}]",
            plans,
            steps,
            f"{cost(traces).completion_tokens:.0f}",
        )
        name = _pad(f"  {_name(cell.form, language)}", 28)
        lines.append(name + "".join(map(_pad_left, values, widths)))
    return "\n".join(lines)


def compare(
    cells: Mapping[Cell, Sequence[Trace]], first: str, second: str, *, language: Language = "en"
) -> str:
    """Two forms on the same problems, a line for each task and size.

    Args:
        cells: The traces of each cell.
        first: A form.
        second: Another.
        language: Of what is said.

    Returns:
        How many problems only the first solves, how many only the second, and the p value of
        McNemar's exact test.
    """
    lines = []
    for cell, traces in cells.items():
        other = cell._replace(form=second)
        if cell.form == first and other in cells:
            counts = mcnemar(traces, cells[other], SUITE[cell.task].task.grade)
            only = "only" if language == "en" else "只有"
            one, two = (f"{only} {_name(form, language)}" for form in (first, second))
            lines.append(f"{one}: {counts[0]}, {two}: {counts[1]}, p = {counts[2]:.2g}")
    return "\n".join(lines)


def _name(name: str, language: Language) -> str:
    return _CHINESE[name] if language == "zh" else name


def _pad(text: str, width: int) -> str:
    return text + " " * (width - columns(text))


def _pad_left(text: str, width: int) -> str:
    return " " * (width - columns(text)) + text
