"""The strategies for a task: its exemplars, in the form that each strategy shows them."""

from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple, get_args

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

__all__ = ["MARKS", "Marks", "StrategyName", "strategy_for"]

StrategyName = Literal[
    "zero-shot", "few-shot", "chain-of-thought", "self-consistency", "least-to-most"
]


class Marks(NamedTuple):
    """What stands before question, answer and plan, and how a chain of thought concludes."""

    question: str
    answer: str
    plan: str
    conclusion: str


MARKS = {
    "en": Marks("Q: {question}", "A: ", "Plan: ", " The answer is {answer}."),
    "zh": Marks("问：{question}", "答：", "步骤：", "答案是 {answer}。"),
}
"""Those of each language."""


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
    marks = MARKS[task.language]
    turn = f"{marks.question}\n{marks.answer}{{answer}}\n\n"
    template = PromptTemplate(
        exemplar=turn,
        turn=turn,
        question=f"{marks.question}\n{marks.answer}".rstrip(),
        separator=task.separator,
        stop=("\n\n", "\n" + marks.question.partition("{")[0].rstrip()),
    )
    if name == "zero-shot":
        template = replace(template, instruction=f"{task.instruction}\n\n")
        return ZeroShot(template=template, max_new_tokens=limit, parse_answer=parse)
    if name == "few-shot":
        return FewShot(
            template=template, exemplars=exemplars, max_new_tokens=limit, parse_answer=parse
        )
    if name in ("chain-of-thought", "self-consistency"):
        concluded = f"{marks.question}\n{marks.answer}{{rationale}}{marks.conclusion}\n\n"
        thought = ChainOfThought(
            template=replace(template, exemplar=concluded),
            exemplars=exemplars,
            max_new_tokens=limit,
            parse_answer=parse,
        )
        return thought if name == "chain-of-thought" else SelfConsistency(strategy=thought)
    if name == "least-to-most":
        form = f"{marks.question}\n{marks.plan}"
        return LeastToMost(
            planner=ModelPlanner(
                template=replace(template, exemplar=f"{form}{{plan}}\n\n", question=form.rstrip()),
                exemplars=exemplars,
                parse=partial(read_list, separator=task.separator.strip()),
            ),
            template=replace(template, exemplar="{steps}"),
            exemplars=exemplars,
            parse_answer=parse,
            raw_history=True,  # the exemplars' steps are sentences, or bare where the task's are
            max_new_tokens=limit,
        )
    raise ValueError(f"name must be one of {', '.join(get_args(StrategyName))}, got {name!r}")
