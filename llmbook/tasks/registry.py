"""The registry: every task by its name, loaded when it is asked for."""

from importlib import import_module

from llmbook.tasks._language import language_of
from llmbook.tasks.task import Task

__all__ = ["NAMES", "get", "usual"]

_MODULES = {  # whose `TASKS` hold the task
    "last-letters": "last_letters",
    "last-letters-spelled": "last_letters",
    "last-characters": "last_characters",
    "last-characters-spelled": "last_characters",
    "scan": "scan",
    "word-problems": "word_problems",
    "word-problems-zh": "word_problems",
    "calendar": "calendar",
    "chains": "chains",
    "chains-zh": "chains",
}

NAMES = tuple(_MODULES)
"""The names of the tasks that make their own problems; `llmbook.tasks.benchmarks` makes tasks of
files that the reader brings."""


def get(name: str) -> Task:
    """The task of that name: one of [`NAMES`][llmbook.tasks.registry.NAMES].

    Args:
        name: ``"last-letters"``, ``"last-letters-spelled"``, ``"last-characters"``,
            ``"last-characters-spelled"``, ``"scan"``, ``"word-problems"``,
            ``"word-problems-zh"``, ``"calendar"``, ``"chains"`` or ``"chains-zh"``.

    Returns:
        The task.

    Raises:
        ValueError: If there is none of that name.

    Examples:
        ```python
        from llmbook import tasks

        scan = tasks.get("scan")
        [problem] = scan.problems(1, size=12)
        print(problem.question)
        print(problem.answer)
        print(scan.grade(problem, scan.parse(f"So the answer is {problem.answer}.")))
        ```

        ``` {.text .output}
        walk left thrice and walk opposite right twice
        ( LEFT + WALK ) * 3 + ( RIGHT + RIGHT + WALK ) * 2
        True
        ```
    """
    if name not in _MODULES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    tasks: tuple[Task, ...] = import_module(f"llmbook.tasks.{_MODULES[name]}").TASKS
    return next(task for task in tasks if task.name == name)


def usual(question: str) -> str:
    """The name of the task whose exemplars are shown where none is named: word problems.

    Args:
        question: What is asked; its language is that of the exemplars.
    """
    return {"en": "word-problems", "zh": "word-problems-zh"}[language_of(question)]
