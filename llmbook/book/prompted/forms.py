"""The forms in which one task is put to a model, with the same exemplars in each.

Every answer stands in one line, and a blank line ends a problem with all its questions. So what
ends a text is the same in each form, and a model that has seen the exemplars knows when to stop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from llmbook.prompting import (
    ChainOfThought,
    FewShot,
    KnownPlanner,
    LeastToMost,
    ModelPlanner,
    OnePassLeastToMost,
    PromptTemplate,
    Strategy,
    read_list,
)
from llmbook.prompting.presets import MARKS
from llmbook.tasks._language import Language
from llmbook.tasks.problem import Exemplar
from llmbook.tasks.task import Task

__all__ = ["BETWEEN", "LIMIT", "STEP_LIMIT", "Shown", "forms", "numbered", "read_numbered"]

LIMIT = 500
"""The most tokens of a text that holds a whole solution or plan. The longest that is right needs
fewer, so that what is cut off has gone wrong before; but for some plans of twelve spelled words, of
which only the last line is cut off, and that is the problem itself, which is asked in any case."""

STEP_LIMIT = 100
"""The most tokens of the answer to a sub-problem."""


BETWEEN: dict[Language, str] = {"en": " ", "zh": ""}
"""What stands between two sentences."""


@dataclass(frozen=True)
class Shown:
    """An exemplar, and its plan as a model is to write it."""

    exemplar: Exemplar  # its rationale is the chain of thought, without the answer
    plan: str
    retold: str = ""  # a chain of thought in the words of the steps, if it is another


def numbered(items: Sequence[str]) -> str:
    """A plan as a numbered list."""
    return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))


def read_numbered(text: str) -> list[str]:
    """The items of a numbered list whose first number was given."""
    return read_list(f"1.{text}", separator="\0")


def forms(
    task: Task,
    shown: Sequence[Shown],
    *,
    planning: Sequence[Shown] = (),
    stepping: Sequence[Shown] = (),
    read_step: Callable[[str], str | None] | None = None,
    read_plan: Callable[[str], list[str]] = read_numbered,
    plan_begins: str = "1.",
    plan_ends: tuple[str, ...] = ("\n\n",),
    top_down: bool = False,
) -> dict[str, Strategy]:
    """The forms of a task, by their names.

    Args:
        task: The task: its language and how its answers are read.
        shown: The exemplars.
        planning: The exemplars of plans, and of texts that begin with one; the same as the others,
            if not given.
        stepping: The exemplars of least-to-most, with their steps; the same as the others, if not
            given.
        read_step: From the answer to a sub-problem to what it says; as the task reads answers, if
            not given.
        read_plan: From a plan as a model wrote it to its sub-problems.
        plan_begins: What every plan begins with, given to the model.
        plan_ends: What ends a plan.
        top_down: Whether plans go from the problem down.

    Returns:
        Few-shot, chain of thought, that which is told again on its way up, if it is shown,
        least-to-most in one pass, least-to-most, and least-to-most whose plan is known.
    """
    marks, read_step = MARKS[task.language], read_step or task.parse
    exemplars = tuple(one.exemplar for one in shown)
    planned = tuple(replace(one.exemplar, rationale=one.plan) for one in planning or shown)
    turn = f"{marks.question}\n{marks.answer}{{answer}}\n"
    plan = f"{marks.question}\n{marks.plan.rstrip()}\n"
    plain = PromptTemplate(
        exemplar=f"{turn}\n",
        context="{context}\n",
        turn=turn,
        question=f"{marks.question}\n{marks.answer.rstrip()}",
        stop=("\n",),
    )
    thinking = replace(
        plain,
        exemplar=f"{marks.question}\n{marks.answer}{{rationale}}{marks.conclusion}\n\n",
    )
    outlining = replace(
        plain, exemplar=f"{plan}{{rationale}}\n\n", question=plan + plan_begins, stop=plan_ends
    )
    at_once = replace(outlining, exemplar=f"{plan}{{rationale}}\n{{steps}}\n", stop=("\n\n",))
    least_to_most = LeastToMost(
        planner=ModelPlanner(
            template=outlining,
            exemplars=planned,
            parse=read_plan,
            top_down=top_down,
            max_subproblems=30,
            max_new_tokens=LIMIT,
        ),
        template=replace(plain, exemplar="{steps}\n"),
        exemplars=tuple(one.exemplar for one in stepping or shown),
        parse_answer=read_step,
        raw_history=True,
        max_new_tokens=STEP_LIMIT,
    )
    chain_of_thought = ChainOfThought(
        template=thinking, exemplars=exemplars, parse_answer=task.parse, max_new_tokens=LIMIT
    )
    by_name: dict[str, Strategy] = {
        "few-shot": FewShot(
            template=plain, exemplars=exemplars, parse_answer=task.parse, max_new_tokens=LIMIT
        ),
        "chain of thought": chain_of_thought,
    }
    if all(one.retold for one in shown):
        again = tuple(replace(one.exemplar, rationale=one.retold) for one in shown)
        by_name["chain of thought, retold"] = replace(chain_of_thought, exemplars=again)
    return by_name | {
        "one pass": OnePassLeastToMost(
            template=at_once,
            exemplars=planned,
            parse_answer=read_step,
            max_subproblems=30,
            max_new_tokens=LIMIT,
        ),
        "least-to-most": least_to_most,
        "least-to-most, planned": replace(least_to_most, planner=KnownPlanner()),
    }
