"""Tasks: problems, solved exemplars to show in prompts, and graders, with no model in sight.

[`task`][llmbook.tasks.task] gives each of them by its name.
"""

from llmbook.tasks.problem import Exemplar, Problem, Step

__all__ = ["Exemplar", "Problem", "Step"]
