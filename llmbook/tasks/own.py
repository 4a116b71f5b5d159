"""Your own problems, from a file: a JSON object on each line.

    {"question": "How many do they have together?", "answer": 8, "context": "Ann has 3 pens, Bo 5."}
    {"question": "小明有 3 支笔，小红有 5 支，两人一共有多少支？", "answer": "8"}

Besides ``question`` and ``answer`` a line may have ``context``, what the question is about;
``steps``, the sub-problems with their answers, each with ``question`` and ``answer``; and
``others``, answers that count as right too. Where there is no context, the question is parted
into story and question as [`split_story`][llmbook.tasks.sentences.split_story] does. A line in
the form of GSM8K, with a solution and ``####`` in its answer, is read as such. Exemplars stand in
a file of the same form, where a line may also have a ``rationale``, the chain of thought.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from llmbook._json import read_as
from llmbook.tasks._language import language_of
from llmbook.tasks.answers import read_number, read_words
from llmbook.tasks.benchmarks import grade_passage, read_gsm8k_line, read_text
from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.registry import get, usual
from llmbook.tasks.sentences import split_story
from llmbook.tasks.task import Task

__all__ = ["NAME", "grade", "read_exemplars", "read_problems", "task"]

NAME = "own"
"""The name of the task."""

_INSTRUCTION = {"en": "Answer the question.", "zh": "回答问题。"}


@dataclass(frozen=True)
class _Line:
    """What a line may hold."""

    question: str
    answer: str | int | float
    context: str = ""
    steps: tuple[Step, ...] = ()
    others: tuple[str, ...] = ()
    rationale: str = ""


def read_problems(path: str | os.PathLike[str]) -> list[Problem]:
    """Read problems, in the order of their lines.

    Args:
        path: A file with a JSON object on each line, as told above. Blank lines are passed over.

    Returns:
        The problems. Their size is the number of steps, where these are told.

    Raises:
        ValueError: If a line is not of that form or repeats an earlier problem, or there is none.
        OSError: If the file cannot be read.
    """
    found: dict[Problem, int] = {}
    for number, where, text in _lines(path):
        line = _read(text, where)
        if isinstance(line.answer, str) and "####" in line.answer:
            problem = read_gsm8k_line(text, where)
        else:
            context, question = line.context, line.question
            if not context:
                context, question = split_story(question)
            problem = Problem(
                question,
                str(line.answer),
                size=len(line.steps),
                steps=line.steps,
                context=context,
                others=line.others,
            )
        if problem in found:
            raise ValueError(f"{where} must be a new problem, got that of line {found[problem]}")
        found[problem] = number
    return [*found]


def read_exemplars(path: str | os.PathLike[str]) -> tuple[Exemplar, ...]:
    """Read exemplars, in the order of their lines.

    Args:
        path: A file as for problems.

    Returns:
        The exemplars. Without a ``rationale``, the answers to the steps are one.

    Raises:
        ValueError: If a line is not of that form, or there is none.
        OSError: If the file cannot be read.
    """
    exemplars = []
    for _, where, text in _lines(path):
        line = _read(text, where)
        between = "" if language_of(line.question) == "zh" else " "
        rationale = line.rationale or between.join(step.answer for step in line.steps)
        exemplars.append(
            Exemplar(line.question, str(line.answer), rationale, line.steps, line.context)
        )
    return tuple(exemplars)


def grade(problem: Problem | Step, answer: str | None) -> bool:
    """Whether an answer is right; as [`grade_passage`][llmbook.tasks.benchmarks.grade_passage]."""
    return grade_passage(problem, answer)


def task(
    problems: str | os.PathLike[str],
    *,
    exemplars: str | os.PathLike[str] | None = None,
    like: str | None = None,
) -> Task:
    """The task of a file of problems.

    Args:
        problems: The file.
        exemplars: File of the exemplars; none: those of another task.
        like: The name of that task; none: word problems, in Chinese if the first problem is, and
            no exemplars if not all answers are numbers, which those of word problems are.

    Returns:
        The task. Its problems come in the order of the file, whatever the seed.

    Raises:
        ValueError: If a file is not as told above, both ``exemplars`` and ``like`` are given, or
            there is no such task.
        OSError: If a file cannot be read.

    Examples:
        One problem is written to the file `own.jsonl` and read again:

        ```python
        import json
        from pathlib import Path

        from llmbook.tasks import own

        told = "Ann has 3 pens and Bo has 5 more than Ann. How many does Bo have?"
        Path("own.jsonl").write_text(json.dumps({"question": told, "answer": 8}), "utf-8")
        ours = own.task("own.jsonl")
        [problem] = ours.problems(1)
        print(problem.context, "|", problem.question, problem.answer)
        print(ours.grade(problem, ours.parse("3 + 5 = 8. The answer is 8.0 pens.")))
        ```

        ``` {.text .output}
        Ann has 3 pens and Bo has 5 more than Ann. | How many does Bo have? 8
        True
        ```
    """
    if exemplars is not None and like is not None:
        raise ValueError(f"like must not be given with exemplars, got {like!r}")
    found = read_problems(problems)
    language = language_of(found[0].question)
    numbers = all(re.fullmatch(r"-?[0-9][0-9,]*(\.[0-9]+)?", one.answer) for one in found)
    similar = get(like or usual(found[0].question))
    shown = similar.exemplars if numbers or like else ()
    return Task(
        name=NAME,
        instruction=_INSTRUCTION[language],
        exemplars=shown if exemplars is None else read_exemplars(exemplars),
        sample=partial(_first, found, Path(problems)),
        parse=read_number if numbers else read_words,
        grade=grade,
        separator=similar.separator,
        language=language,
    )


def _lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str, str]]:
    """The lines that are not blank, with their numbers and what to call them in errors."""
    path, num_lines = Path(path), 0
    for number, text in enumerate(read_text(path).split("\n"), start=1):
        if text.strip():
            num_lines += 1
            yield number, f"{path}, line {number}", text
    if not num_lines:
        raise ValueError(f"{path} must hold a JSON object on each line, got nothing")


def _read(text: str, where: str) -> _Line:
    line = read_as(_Line, text, where)
    if not line.question.strip() or not str(line.answer).strip():
        raise ValueError(f"{where} must have a question and an answer, got a blank one")
    return line


def _first(
    found: list[Problem], path: Path, count: int, *, size: int | None = None, seed: int = 0
) -> list[Problem]:
    """The first problems of that size; nothing is drawn, so the seed changes nothing."""
    chosen = [problem for problem in found if size in (None, problem.size)]
    if not 1 <= count <= len(chosen):
        which = "problems" if size is None else f"problems with {size} steps"
        raise ValueError(f"count must be 1 to the {len(chosen)} {which} of {path}, got {count}")
    return chosen[:count]
