"""Benchmarks: word problems that people wrote, from files that the reader brings.

GSM8K holds school problems, one a line, each with a solution that ends in `#### 42`. DROP holds
passages with questions whose answers must be counted or calculated. Neither comes with this book.
Sources: Cobbe et al., "Training Verifiers to Solve Math Word Problems" (2021); Dua et al., "DROP: A
Reading Comprehension Benchmark Requiring Discrete Reasoning Over Paragraphs" (2019). The exemplars
are ours and have the structure of those in Zhou et al., "Least-to-Most Prompting" (2023, section
3.3): the plan names what must be known first; then the text stands above its questions, and every
answer ends by naming a number. Two of that paper's corrections are not made here: sums that a
model gets wrong are not recalculated, and exemplars are the same for all of DROP.
"""

import json
import os
import random
import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from llmbook.tasks import word_problems
from llmbook.tasks.answers import read_number, read_words
from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.sentences import split_sentences
from llmbook.tasks.task import Task

__all__ = [
    "DROP_EXEMPLARS",
    "GSM8K_EXEMPLARS",
    "drop",
    "grade_passage",
    "gsm8k",
    "read_drop",
    "read_gsm8k",
    "read_gsm8k_line",
    "read_text",
]


def read_gsm8k(path: str | os.PathLike[str]) -> list[Problem]:
    """Read problems in the format of GSM8K.

    Args:
        path: A file with a JSON object on each line: its ``question``, and its ``answer``, a
            solution with a step a line and ``####`` and the number at the end.

    Returns:
        The problems. The whole text is the context, as sub-questions have to be asked of it too;
        the question is its last sentence; the size is the number of steps.

    Raises:
        ValueError: If the file, or a line of it, is not of that format.
        OSError: If it cannot be read.
    """
    path, problems = Path(path), []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            problems.append(read_gsm8k_line(line, f"{path}, line {number}"))
    if not problems:
        raise ValueError(f"{path} must hold problems, got none")
    return problems


def read_gsm8k_line(line: str, where: str) -> Problem:
    """The problem of a line; `where` names it in errors."""
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} must be a JSON object: {error.msg}") from None
    text = _field(entry, "question", str, where).strip()
    solution, marker, last = _field(entry, "answer", str, where).rpartition("####")
    answer = read_number(last)
    if not marker or answer is None:
        raise ValueError(f"{where}: 'answer' must end in #### and a number, got {last[-60:]!r}")
    steps = [step for step in solution.split("\n") if step.strip()]
    question = (split_sentences(text) or [""])[-1]
    return Problem(question, answer, size=len(steps), context=text)


def read_drop(
    path: str | os.PathLike[str], *, kinds: Collection[str] = ("number",)
) -> list[Problem]:
    """Read problems in the format of DROP.

    Args:
        path: A JSON file: for each passage its text and its questions with answers.
        kinds: Which questions, by the kind of their first answer. The paper took numbers.

    Returns:
        The problems, with the passage as context. Spans are joined by commas. Questions without
        any answer, of which the published files have a few, are left out.

    Raises:
        ValueError: If the file is not of that format, holds no such question, or a kind is
            unknown.
        OSError: If it cannot be read.
    """
    if isinstance(kinds, str) or not kinds or set(kinds) - {"number", "date", "spans"}:
        raise ValueError(f"kinds must be some of 'number', 'date' and 'spans', got {kinds!r}")
    path, problems = Path(path), []
    try:
        passages = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno} must be JSON: {error.msg}") from None
    if not isinstance(passages, dict):
        raise ValueError(f"{path} must be a JSON object of passages, got a {_kind(passages)}")
    for name, entry in passages.items():
        where = f"{path}, passage {name!r}"
        passage = _field(entry, "passage", str, where).strip()
        for number, pair in enumerate(_field(entry, "qa_pairs", list, where), start=1):
            place = f"{where}, question {number}"
            question = _field(pair, "question", str, place).strip()
            first = _read_answer(_field(pair, "answer", dict, place), place)
            rest = _field({"validated_answers": []} | pair, "validated_answers", list, place)
            if first is None or first[0] not in kinds:
                continue
            validated = [_read_answer(answer, place) for answer in rest]
            others = {answer[1] for answer in validated if answer is not None} - {first[1]}
            problems.append(
                Problem(question, first[1], context=passage, others=tuple(sorted(others)))
            )
    if not problems:
        raise ValueError(f"{path} must hold questions of the kinds {sorted(kinds)}, got none")
    return problems


def _read_answer(answer: object, where: str) -> tuple[str, str] | None:
    """The kind of an answer and its text; none if it is empty."""
    number = str(_field(answer, "number", (str, int, float), where)).strip()
    date = _field(answer, "date", dict, where)
    spans = _field(answer, "spans", list, where)
    parts = [str(date.get(part, "")).strip() for part in ("day", "month", "year")]
    if number:
        return "number", number
    if any(parts):
        return "date", " ".join(filter(None, parts))
    return ("spans", ", ".join(map(str, spans))) if spans else None


def _field(entry: object, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """A field of an object of JSON, of the type that it must have."""
    if not isinstance(entry, dict) or not isinstance(entry.get(key), kind):
        got = _kind(entry.get(key)) if isinstance(entry, dict) else f"a {_kind(entry)} around it"
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(wanted_type.__name__ for wanted_type in kinds)
        raise ValueError(f"{where} must have {key!r} of type {wanted}, got {got}")
    return entry[key]


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file, without the mark that some editors put at its beginning."""
    content = Path(path).read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line} must be UTF-8 text: {error.reason}") from None


def grade_passage(problem: Problem | Step, answer: str | None) -> bool:
    """Whether an answer is one of those that count as right.

    A number is right if it is the expected one when rounded to as many places, as in the paper;
    words are, if they name the same things in any order, whatever the capitals, articles and
    signs.

    Args:
        problem: A question, with its answer and perhaps others.
        answer: The answer; none is wrong.
    """
    others = problem.others if isinstance(problem, Problem) else ()
    return answer is not None and any(
        _same(answer, accepted) for accepted in (problem.answer, *others)
    )


def _same(answer: str, accepted: str) -> bool:
    """Whether an answer is the accepted one: as a rounded number, or as the same things named."""
    expected = read_number(accepted)
    if not re.fullmatch(r"[-$€£¥0-9.,]+%?", accepted) or expected is None:
        return _things(answer) == _things(accepted)
    number = read_number(answer)
    if number is None:
        return False
    places = len(expected.partition(".")[2])
    return abs(Decimal(number) - Decimal(expected)) * 2 <= Decimal(1).scaleb(-places)


def _things(text: str) -> set[str]:
    """What a text names, parted at commas and "and", without capitals, articles and signs."""
    # Chinese has no blanks between words: only Latin letters make another word of these.
    things = re.split(r"[,;，；、]|(?<![a-z])and(?![a-z])", text.lower())
    articles = r"(?<![a-z])(?:a|an|the)(?![a-z])|[^\w\s]"
    words = [re.sub(articles, " ", thing).split() for thing in things]
    return {" ".join(name) for name in words if name}


def _sample(
    pool: Sequence[Problem], count: int, *, size: int | None = None, seed: int = 0
) -> list[Problem]:
    candidates = [problem for problem in pool if size is None or problem.size == size]
    if not 1 <= count <= len(candidates):
        which = "" if size is None else f" of size {size}"
        raise ValueError(
            f"count must be at least 1 and at most the {len(candidates)} problems{which}, "
            f"got {count}"
        )
    random.Random(seed).shuffle(candidates)
    return candidates[:count]


def gsm8k(path: str | os.PathLike[str]) -> Task:
    """The task of a file of GSM8K, as [`read_gsm8k`][llmbook.tasks.benchmarks.read_gsm8k] reads."""
    return Task(
        name="gsm8k",
        instruction="Answer the question with a number.",
        exemplars=GSM8K_EXEMPLARS,
        sample=partial(_sample, read_gsm8k(path)),
        parse=read_number,
        grade=word_problems.grade,
    )


def drop(path: str | os.PathLike[str], *, kinds: Collection[str] = ("number",)) -> Task:
    """The task of a file of DROP, as [`read_drop`][llmbook.tasks.benchmarks.read_drop] reads it."""
    return Task(
        name="drop",
        instruction="Answer the question about the text.",
        exemplars=DROP_EXEMPLARS,
        sample=partial(_sample, read_drop(path, kinds=kinds)),
        parse=read_number if set(kinds) == {"number"} else read_words,
        grade=grade_passage,
    )


def _exemplar(context: str, *steps: tuple[str, str, str]) -> Exemplar:
    """From sub-questions, each with the words that answer it, and the number."""
    [*_, (question, _, answer)] = steps
    return Exemplar(
        question,
        answer,
        rationale=" ".join(words for _, words, _ in steps),
        steps=tuple(Step(asked, f"{words} The answer is {n}.") for asked, words, n in steps),
        context=context,
    )


_SCHOOL = (
    (
        "A baker sells rolls for 2 dollars each and loaves for 5 dollars each. On Monday she sold "
        "14 rolls and 6 loaves.",
        ("How much did she take for the rolls?", "14 rolls cost 14 * 2 = 28 dollars.", "28"),
        ("How much did she take for the loaves?", "6 loaves cost 6 * 5 = 30 dollars.", "30"),
        ("How much did she take on Monday?", "Together she took 28 + 30 = 58 dollars.", "58"),
    ),
    (
        "A coat costs 80 dollars. In the sale its price falls by 25%, and Mia pays with a note of "
        "100 dollars.",
        ("By how much does the price fall?", "25% of 80 is 80 * 25 / 100 = 20 dollars.", "20"),
        ("What does the coat cost in the sale?", "It costs 80 - 20 = 60 dollars.", "60"),
        ("How much change does Mia get?", "She gets 100 - 60 = 40 dollars back.", "40"),
    ),
    (
        "There were 35 people on a bus. At the station 18 got off and 23 got on.",
        ("How many people stayed on the bus?", "Of the 35 people, 35 - 18 = 17 stayed.", "17"),
        ("How many people are on the bus now?", "Now there are 17 + 23 = 40 people.", "40"),
    ),
    (
        "Tom reads 12 pages on each of the 5 school days and 20 pages on each of the 2 other days "
        "of a week. His book has 300 pages.",
        ("How many pages does he read on school days?", "He reads 12 * 5 = 60 pages.", "60"),
        ("How many pages does he read on the other days?", "He reads 20 * 2 = 40 pages.", "40"),
        ("How many pages does he read in a week?", "He reads 60 + 40 = 100 pages.", "100"),
        ("How many weeks does the book take him?", "It takes him 300 / 100 = 3 weeks.", "3"),
    ),
)
GSM8K_EXEMPLARS = tuple(_exemplar(f"{story} {steps[-1][0]}", *steps) for story, *steps in _SCHOOL)
"""Four school problems; as in those that are read, the context ends with the question."""

DROP_EXEMPLARS = (
    _exemplar(
        "The library of Marlow opened in 1911 with 2,400 books. By 1930 it held 9,150, of which "
        "1,200 were for children. In 1952 a fire destroyed 3,500 books.",
        (
            "How many books did the library have in 1911?",
            'The text says "opened in 1911 with 2,400 books".',
            "2400",
        ),
        (
            "How many books did the library have in 1930?",
            'The text says "By 1930 it held 9,150".',
            "9150",
        ),
        (
            "How many books did the library gain between 1911 and 1930?",
            "It had 2400 books, and then 9150. So it gained 9150 - 2400 = 6750 books.",
            "6750",
        ),
    ),
    _exemplar(
        "Of the voters in the valley, 41% wanted the bridge, 35.5% the ferry and 12.5% neither; "
        "the rest did not vote.",
        (
            "How many percent of the voters voted?",
            "The text gives 41%, 35.5% and 12.5%. So 41 + 35.5 + 12.5 = 89 percent voted.",
            "89",
        ),
        (
            "How many percent of the voters did not vote?",
            "Of 100 percent, 89 voted. So 100 - 89 = 11 percent did not.",
            "11",
        ),
    ),
    _exemplar(
        "Before the break, Moss kicked field goals of 21 and 38 yards. Grant answered with one of "
        "44 yards for the guests, and Moss ended the game with another, from 17 yards.",
        (
            "How many yards was the longest field goal of Moss?",
            "Moss kicked from 21, 38 and 17 yards. The longest was 38.",
            "38",
        ),
        (
            "How many yards was the shortest field goal of Moss?",
            "Moss kicked from 21, 38 and 17 yards. The shortest was 17.",
            "17",
        ),
        (
            "How many yards longer was the longest field goal of Moss than the shortest?",
            "The longest was 38 and the shortest 17 yards. So it was 38 - 17 = 21 yards longer.",
            "21",
        ),
    ),
)
"""Three passages: a difference, a rest, and a search before a difference."""
