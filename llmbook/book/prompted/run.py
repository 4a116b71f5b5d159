"""The suite put to a model, a transcript for each task, size and form.

What comes of it is read off the transcripts and nothing else, so that everybody can count again.
Those of the book's own run come with it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from llmbook._checks import check_at_least_one
from llmbook.book.cards import DATA
from llmbook.book.prompted.suite import SUITE
from llmbook.evaluation import evaluate, read_transcript
from llmbook.lm import LanguageModel
from llmbook.prompting import Trace

__all__ = ["KEPT", "Cell", "Cells", "ask", "cells", "load_cells"]

KEPT = DATA / "prompted"
"""The transcripts of the book's own run, packed by xz."""


class Cell(NamedTuple):
    """What is put to the model in one transcript."""

    task: str
    size: int | None
    form: str

    @property
    def stem(self) -> str:
        """The name of its file, without the ending."""
        size = "" if self.size is None else f"-{self.size}"
        return f"{self.task}{size}-{self.form.replace(',', '').replace(' ', '-')}"


Cells = dict[Cell, list[Trace]]
"""The traces of each cell."""


def cells(prefix: str = "") -> Iterator[Cell]:
    """The cells of the suite whose name begins so."""
    for task, posed in SUITE.items():
        for size in posed.sizes:
            for form in posed.forms:
                cell = Cell(task, size, form)
                if cell.stem.startswith(prefix):
                    yield cell


def ask(
    model: LanguageModel,
    cell: Cell,
    out: str | os.PathLike[str],
    *,
    count: int = 100,
    batch_size: int = 8,
    progress: bool = False,
) -> list[Trace]:
    """Put the problems of a cell to a model.

    Args:
        model: The model.
        cell: Task, size and form.
        out: Folder for the transcript. What it holds already is not asked again.
        count: How many problems.
        batch_size: Problems under way at once. If they are no more than the slots of a server that
            keeps what it has read, it reads no story twice.
        progress: Show how many are done.

    Returns:
        A trace for each problem.

    Raises:
        ValueError: If ``count`` is below 1, or the transcript is of another run.
    """
    check_at_least_one("count", count)
    posed = SUITE[cell.task]
    return evaluate(
        posed.forms[cell.form],
        model,
        posed.task.problems(count, size=cell.size, seed=posed.seed),
        transcript=Path(out) / f"{cell.stem}.jsonl",
        batch_size=batch_size,
        progress=progress,
    )


def load_cells(prefix: str = "", *, folder: str | os.PathLike[str] = KEPT) -> Cells:
    """The transcripts of a folder: the book's own, if no other is named.

    Args:
        prefix: What the name of a cell begins with, such as ``"stories-4"``; all, if empty.
        folder: The folder.

    Returns:
        The traces of each cell that the folder has a transcript of.
    """
    found = {}
    for cell in cells(prefix):
        for ending in (".jsonl", ".jsonl.xz"):
            path = Path(folder) / f"{cell.stem}{ending}"
            if path.exists():
                found[cell] = read_transcript(path)
                break
    return found
