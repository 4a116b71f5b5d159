"""The strategies for a task: its exemplars, in the form that each strategy shows them."""

from functools import partial
from typing import Literal, get_args

from llmbook.prompting.least_to_most import LeastToMost
from llmbook.prompting.planners import ModelPlanner
from llmbook.prompting.readers import read_list
from llmbook.prompting.strategies import (
    ChainOfThought,
    FewShot,
    SelfConsistency,
    Strategy,
    ZeroShot,
)
from llmbook.prompting.template import PromptTemplate
from llmbook.tasks.task import Task

__all__ = ["StrategyName", "strategy_for"]

StrategyName = Literal[
    "zero-shot", "few-shot", "chain-of-thought", "self-consistency", "least-to-most"
]


def strategy_for(task: Task, name: str, *, max_new_tokens: int = 256) -> Strategy:
    """The strategy of that name, with the exemplars of a task.

    Args:
        task: The task.
        name: ``"zero-shot"``, ``"few-shot"``, ``"chain-of-thought"``, ``"self-consistency"``
            (five chains of thought at temperature 0.7), or ``"least-to-most"``.
        max_new_tokens: Most tokens for each answer.

    Returns:
        The strategy.

    Raises:
        ValueError: If there is none of that name.
    """
    limit, parse, exemplars = max_new_tokens, task.parse, task.exemplars
    if name == "zero-shot":
        template = PromptTemplate(instruction=f"{task.instruction}\n\n")
        return ZeroShot(template=template, max_new_tokens=limit, parse_answer=parse)
    if name == "few-shot":
        return FewShot(exemplars=exemplars, max_new_tokens=limit, parse_answer=parse)
    if name in ("chain-of-thought", "self-consistency"):
        thought = ChainOfThought(exemplars=exemplars, max_new_tokens=limit, parse_answer=parse)
        return thought if name == "chain-of-thought" else SelfConsistency(strategy=thought)
    if name == "least-to-most":
        form = "Q: {question}\nPlan:"
        return LeastToMost(
            planner=ModelPlanner(
                template=PromptTemplate(
                    exemplar=f"{form} {{plan}}\n\n", question=form, separator=task.separator
                ),
                exemplars=exemplars,
                parse=partial(read_list, separator=task.separator.strip()),
            ),
            exemplars=exemplars,
            parse_answer=parse,
            raw_history=True,  # the exemplars' steps are sentences, or bare where the task's are
            max_new_tokens=limit,
        )
    raise ValueError(f"name must be one of {', '.join(get_args(StrategyName))}, got {name!r}")
