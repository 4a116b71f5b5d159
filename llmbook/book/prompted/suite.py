"""What is put to the model: tasks, their sizes, and the forms of their prompts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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
    sizes: tuple[int, ...]


def _stories(language: Language) -> Posed:
    task = stories.task(language)
    return Posed(
        task,
        forms(
            task,
            stories.shown(language),
            read_plan=stories.read_plan,
            read_step=stories.read_step,
            plan_ends=("Known", "已知", "\n\n"),
            top_down=True,
        ),
        sizes=(4,),
    )


def _lists(language: Language) -> Posed:
    task = lists.task(language)
    return Posed(
        task,
        forms(
            task,
            lists.shown(language),
            read_plan=lists.read_plan,
            read_step=task.parse,
            plan_begins="1.",
        ),
        sizes=(4, 8),
    )


def _commands() -> Posed:
    task = commands.task()
    return Posed(
        task,
        forms(
            task,
            commands.shown(),
            read_plan=commands.read_plan,
            read_step=task.parse,
            planning=commands.planning(),
            plan_begins="1.",
        ),
        sizes=(16, 30),
    )


SUITE: dict[str, Callable[[], Posed]] = {
    "stories": partial(_stories, "en"),
    "stories-zh": partial(_stories, "zh"),
    "letters": partial(_lists, "en"),
    "characters": partial(_lists, "zh"),
    "commands": _commands,
}
"""The tasks, by their names."""
