r"""SCAN: commands in a tiny English, and the actions that they ask for.

`jump around left twice and walk` asks for a turn and a jump, four times over, all of it twice,
then one step. The grammar is small enough to write down whole: it has 20,910 commands. In the
*length split* all commands of at most 22 actions may be learned from, and the others, of 24 to
48 actions, are the test. Nothing in them is new but their length. Sources: Lake and Baroni,
"Generalization without Systematicity" (2018, section 2, figures 6 and 7, and experiment 2) for
commands, meaning and split; Zhou et al., "Least-to-Most Prompting" (2023, section 3.2) for
expressions such as `( LEFT + JUMP ) * 4` in place of actions, and for the plan.

A *clause* is a command without `and` and `after`.
"""

from llmbook.tasks.scan.language import (
    combine,
    commands,
    decompose,
    expand,
    express,
    interpret,
    parts,
)
from llmbook.tasks.scan.task import (
    EXEMPLARS,
    LONGEST_TO_LEARN,
    TASKS,
    describe,
    explain,
    grade,
    length_split,
    parse,
    pose,
    problems,
)

__all__ = [
    "EXEMPLARS",
    "LONGEST_TO_LEARN",
    "TASKS",
    "combine",
    "commands",
    "decompose",
    "describe",
    "expand",
    "explain",
    "express",
    "grade",
    "interpret",
    "length_split",
    "parse",
    "parts",
    "pose",
    "problems",
]
