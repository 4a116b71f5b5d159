"""The table of the experiment, read off the transcripts and nothing else."""

import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, get_args

from llmbook._files import read_json
from llmbook.book.cards import DATA
from llmbook.book.experiment._kept import keep, load
from llmbook.book.experiment.faults import count_faults
from llmbook.book.experiment.recipe import Recipe
from llmbook.book.experiment.run import Part, grade_answer
from llmbook.evaluation import (
    Score,
    mean_interval,
    plan_score,
    read_transcript,
    score,
    scores_by_size,
    step_score,
)

__all__ = ["KEPT", "Result", "Results", "keep_results", "load_results", "read_results", "table"]


class Result(NamedTuple):
    """What one model did."""

    short: Score  # on problems like those learned from
    long: Score  # on longer ones
    sizes: dict[int, Score]  # of both, by their size
    plans: Score  # on long ones: of least-to-most alone
    steps: Score
    tokens: int  # seen in training
    seconds: float  # of training
    learned_tokens: int = 0  # those in the loss; 0: not counted
    # Of texts about chains that are written in one go: what went wrong first, by their size.
    faults: dict[int, dict[str, int]] = {}  # noqa: RUF012 (never changed)


class Results(dict[str, Result]):
    """What each model did, by its name; shown as the table that sums it up."""

    def of(self, *kinds: str) -> "Results":
        """The models of some kinds: those whose names are a kind and the number of a seed.

        Args:
            kinds: Such as ``"scan-direct"``.

        Returns:
            Their results, in the order in which they stand here.

        Raises:
            ValueError: If there is no model of a kind.

        Examples:
            ```python
            from llmbook.book.experiment import load_results

            for name, one in load_results().of("scan-direct").items():
                print(f"{name}: {one.long.accuracy:.1%} of the long commands")
            ```

            ``` {.text .output}
            scan-direct-0: 100.0% of the long commands
            scan-direct-1: 95.8% of the long commands
            scan-direct-2: 98.4% of the long commands
            scan-direct-3: 96.5% of the long commands
            scan-direct-4: 100.0% of the long commands
            ```
        """
        found = Results((n, one) for n, one in self.items() if n.rpartition("-")[0] in kinds)
        if lacking := {*kinds} - {name.rpartition("-")[0] for name in found}:
            raise ValueError(f"kinds must be those of models, got {', '.join(sorted(lacking))}")
        return found

    def __repr__(self) -> str:
        return table(self) if self else "no results"


def read_results(out: str | os.PathLike[str]) -> Results:
    """What each model did whose transcripts are complete, by its name.

    Args:
        out: Folder of the experiment. A model without ``done.json`` in its folder is left out: it
            has not been asked everything.

    Returns:
        The results.

    Raises:
        ValueError: If there is none.
    """
    out, results = Path(out), Results()
    for folder in sorted(out.iterdir()) if out.is_dir() else ():
        if not (folder / "done.json").exists():
            continue
        facts = read_json(folder / "recipe.json")
        recipe = Recipe(**facts["recipe"])
        one_go = recipe.task == "chains" and recipe.format not in ("direct", "least-to-most")
        traces = {part: read_transcript(folder / f"{part}.jsonl") for part in get_args(Part)}
        planned = [trace for trace in traces["long"] if trace.steps]
        results[folder.name] = Result(
            score(traces["short"], grade_answer),
            score(traces["long"], grade_answer),
            scores_by_size([*traces["short"], *traces["long"]], grade_answer),
            plan_score(planned),
            step_score(planned, grade_answer),
            facts["tokens"],
            facts["seconds"],
            facts["learned_tokens"],
            count_faults(recipe, traces["long"]) if one_go else {},
        )
    if not results:
        raise ValueError(f"out must hold complete transcripts of the experiment, {out} has none")
    return results


KEPT = DATA / "experiment.json"
"""The results of the book's own run."""


def keep_results(results: Mapping[str, Result], path: str | os.PathLike[str] = KEPT) -> None:
    """Write results to a file; without a path, to that of the book.

    Args:
        results: What each model did.
        path: The file.
    """
    keep({name: result._asdict() for name, result in results.items()}, path)


def load_results(path: str | os.PathLike[str] = KEPT) -> Results:
    """The results of the book's own run, or of a file that `keep_results` wrote.

    Args:
        path: The file.

    Returns:
        What each model did, by its name.
    """
    return Results({name: Result(**data) for name, data in load(path).items()})


def table(results: Mapping[str, Result]) -> str:
    """A line for each kind of model: means over its seeds, and each seed.

    Args:
        results: What each model did.

    Returns:
        The lines. In brackets stands the interval of the mean on long problems, over the seeds.
    """
    kinds: dict[str, list[Result]] = {}
    for name, result in results.items():
        kinds.setdefault(name.rpartition("-")[0], []).append(result)
    width = max(map(len, kinds))
    lines = [f"{'model':{width}}  learned   short    long  (interval)        each seed"]
    for kind, seeds in kinds.items():
        counted = [result.learned_tokens for result in seeds if result.learned_tokens]
        learned = f"{statistics.mean(counted) / 1e6:.2f}M" if counted else "-"
        short = statistics.mean(result.short.accuracy for result in seeds)
        each = [result.long.accuracy for result in seeds]
        interval = ""
        if len(seeds) > 1:
            low, high = mean_interval(each)
            interval = f"[{max(0, low):.1%}, {min(1, high):.1%}]"
        lines.append(
            f"{kind:{width}}  {learned:>7}  {short:6.1%}  {statistics.mean(each):6.1%}"
            f"  {interval:16}  {' '.join(f'{accuracy:.1%}' for accuracy in each)}"
        )
    return "\n".join(lines)
