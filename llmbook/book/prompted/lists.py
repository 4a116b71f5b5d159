"""Prompts for the last letters of English words, and for the last characters of Chinese ones.

A list may be longer than those of the exemplars, which have two, three and four words. The words
are spelled or not: a model that reads `coffee` or `咖啡` as one token does not see what is in it.
"""

import re
from dataclasses import replace
from typing import Literal

from llmbook import tasks
from llmbook.book.prompted.forms import BETWEEN, Shown, numbered
from llmbook.prompting import Trace
from llmbook.tasks import last_characters, last_letters
from llmbook.tasks._language import Language
from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.task import Task

__all__ = ["Fault", "first_fault", "shown", "task"]

Fault = Literal["copying", "naming", "joining", "none of these"]
"""What may go wrong where letters are joined as they are named."""

_STEP = re.compile(r'(?:Before: "(.*?)"\. )?"(.*?)" ends in "(.*?)"\. Joined: "(.*?)"')

_MARK = {"en": ", ", "zh": "、"}
_LISTS: dict[Language, tuple[tuple[str, ...], ...]] = {
    "en": (
        ("garden", "pocket"),
        ("music", "planet", "winter"),
        ("house", "apple", "tiger", "bread"),
    ),
    "zh": (("花园", "口袋"), ("音乐", "星球", "冬天"), ("苹果", "老虎", "桌子", "面包")),
}


def task(language: Language, *, spelled: bool) -> Task:
    """The task, whose sub-problems begin with one word.

    Args:
        language: ``"en"`` or ``"zh"``.
        spelled: Whether hyphens stand between the letters, or the characters, of a word.

    Returns:
        The task.
    """
    name = "last-letters" if language == "en" else "last-characters"
    usual = tasks.get(f"{name}-spelled" if spelled else name)

    def sample(count: int, *, size: int | None = None, seed: int = 0) -> list[Problem]:
        return [_with_steps(p, language) for p in usual.problems(count, size=size, seed=seed)]

    return replace(usual, sample=sample)


def _solve(words: str) -> str:
    return last_letters.solve(words) if words.isascii() else last_characters.solve(words)


def _beginnings(words: str, language: Language) -> list[str]:
    """The list of one word, of two, and so on."""
    decompose = last_letters.decompose if language == "en" else last_characters.decompose
    return [*dict.fromkeys([words.split(_MARK[language])[0], *decompose(words)])]


def _with_steps(problem: Problem, language: Language) -> Problem:
    parts = _beginnings(problem.question, language)
    return replace(problem, steps=tuple(Step(part, _solve(part)) for part in parts))


def _end(word: str) -> str:
    if word.isascii():
        return f'"{word}" ends in "{word[-1]}".'
    return f"“{word}”的最后一个字是“{word[-1]}”。"


def _step(words: str, language: Language) -> Step:
    """What is written to solve a sub-problem: one letter is added to what was found before."""
    *before, last = words.split(_MARK[language])
    joined = _solve(words)
    if language == "en":
        known = f'Before: "{_solve(", ".join(before))}". ' if before else ""
        return Step(words, f'{known}{_end(last)} Joined: "{joined}".')
    known = f"前面是“{_solve('、'.join(before))}”。" if before else ""
    return Step(words, f"{known}{_end(last)}连起来是“{joined}”。")


def _shown(words: str, language: Language) -> Shown:
    parts = _beginnings(words, language)
    steps = tuple(_step(part, language) for part in parts)
    between = BETWEEN[language]
    exemplar = Exemplar(
        words,
        f'"{_solve(words)}"' if language == "en" else f"“{_solve(words)}”",
        rationale=between.join(map(_end, words.split(_MARK[language]))),
        steps=steps,
    )
    retold = between.join(step.answer for step in steps)
    return Shown(exemplar, numbered(parts), retold)


def shown(language: Language, *, spelled: bool) -> tuple[Shown, ...]:
    """The exemplars."""
    return tuple(
        _shown(_MARK[language].join(map("-".join, words) if spelled else words), language)
        for words in _LISTS[language]
    )


def first_fault(trace: Trace) -> Fault:
    """What goes wrong first, step by step, in a text or in steps about spelled English words.

    Args:
        trace: How a list was solved by a chain of thought that is retold, or by least-to-most.

    Returns:
        ``"copying"``: what was found before is quoted otherwise than it was written;
        ``"naming"``: another letter than the last is named; ``"joining"``: the two are put
        together wrongly; ``"none of these"``: no step has such a fault.
    """
    known = ""
    replies = (call.reply.text for call in trace.calls if call.purpose == "answer")
    for before, word, end, joined in _STEP.findall(" ".join(replies)):
        if before != known:
            return "copying"
        if end != word[-1]:
            return "naming"
        if joined != f"{known}-{end}".lstrip("-"):
            return "joining"
        known = joined
    return "none of these"
