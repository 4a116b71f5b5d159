"""Prompting: strategies that put problems to a language model, and traces of what came of it.

Nothing here knows of a particular model or task; see [least-to-most][l2m-idea].
"""

from llmbook.prompting.least_to_most import LeastToMost, OnePassLeastToMost
from llmbook.prompting.planners import KnownPlanner, ModelPlanner, Planner, ProgramPlanner
from llmbook.prompting.presets import strategy_for
from llmbook.prompting.readers import read_after, read_list, read_quoted, read_sentence, read_text
from llmbook.prompting.strategies import (
    ChainOfThought,
    FewShot,
    SelfConsistency,
    Strategy,
    ZeroShot,
)
from llmbook.prompting.template import PromptTemplate
from llmbook.prompting.trace import ISSUES, Call, Issue, Trace, count_issues
from llmbook.prompting.voting import Checked, Vote

__all__ = [
    "ISSUES",
    "Call",
    "ChainOfThought",
    "Checked",
    "FewShot",
    "Issue",
    "KnownPlanner",
    "LeastToMost",
    "ModelPlanner",
    "OnePassLeastToMost",
    "Planner",
    "ProgramPlanner",
    "PromptTemplate",
    "SelfConsistency",
    "Strategy",
    "Trace",
    "Vote",
    "ZeroShot",
    "count_issues",
    "read_after",
    "read_list",
    "read_quoted",
    "read_sentence",
    "read_text",
    "strategy_for",
]
