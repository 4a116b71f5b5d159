"""What is put to the model: tasks, their sizes, and the forms of their prompts."""

from dataclasses import dataclass

from llmbook import tasks
from llmbook.book.prompted import commands, lists, stories
from llmbook.book.prompted.forms import forms
from llmbook.prompting import Strategy
from llmbook.tasks._language import Language
from llmbook.tasks.task import Task

__all__ = ["SUITE", "Posed"]


@dataclass(frozen=True)
class Posed:
    """A task as it is put to the model."""

    task: Task
    forms: dict[str, Strategy]
    sizes: tuple[int | None, ...]  # None: as the task draws them, in SCAN any long command
    seed: int = 0  # of the problems; nobody had looked at them when the prompts were written


def _stories(language: Language, *, linked: bool = False, seed: int = 0) -> Posed:
    task = stories.task(language)
    posed = forms(
        task,
        stories.shown(language, linked=linked),
        read_step=stories.read_step,
        read_plan=stories.read_plan,
        plan_begins="",
        plan_ends=("Known", "已知", "\n\n"),
        top_down=True,
    )
    return Posed(task, posed, sizes=(2, 4), seed=seed)


def _lists(language: Language, *, spelled: bool) -> Posed:
    task = lists.task(language, spelled=spelled)
    return Posed(task, forms(task, lists.shown(language, spelled=spelled)), sizes=(4, 12))


def _commands() -> Posed:
    task = tasks.get("scan")
    posed = forms(
        task,
        commands.shown(),
        planning=commands.planning(),
        stepping=commands.stepping(),
        read_plan=commands.read_plan,
        plan_begins="",
        top_down=True,
    )
    return Posed(task, posed, sizes=(None,))


SUITE = {
    "stories": _stories("en"),
    "stories-zh-bare": _stories("zh"),  # as first written, with plans as in English
    "stories-zh": _stories("zh", linked=True, seed=2),
    "letters": _lists("en", spelled=False),
    "letters-spelled": _lists("en", spelled=True),
    "characters": _lists("zh", spelled=False),
    "characters-spelled": _lists("zh", spelled=True),
    "commands": _commands(),
}
"""The tasks, by their names."""
