"""Tasks: problems, solved exemplars to show in prompts, and graders, with no model in sight.

`tasks.get("scan")` gives a [`Task`][llmbook.tasks.task.Task] by its name; `tasks.NAMES` are the
names.
"""

from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.registry import NAMES, get
from llmbook.tasks.task import Task

__all__ = ["NAMES", "Exemplar", "Problem", "Step", "Task", "get"]
