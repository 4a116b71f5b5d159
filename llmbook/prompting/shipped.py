"""How the small models that come with the book are asked: by the texts that they were trained on.

Their cards, which [`trained`][llmbook.lm.shipped.trained] reads, name task and strategy.
"""

from dataclasses import replace
from typing import NamedTuple

from llmbook.prompting.least_to_most import LeastToMost, OnePassLeastToMost
from llmbook.prompting.planners import ModelPlanner
from llmbook.prompting.strategies import ChainOfThought, Strategy, ZeroShot
from llmbook.prompting.template import PromptTemplate

__all__ = ["MARKS", "Marks", "strategies"]


class Marks(NamedTuple):
    """The words of a text that say what follows, and the one that ends a plan of chains."""

    question: str
    answer: str
    plan: str
    thought: str
    given: str


MARKS = {
    "en": Marks("Q:", "A:", "Plan:", "Think:", "given"),
    "zh": Marks("问:", "答:", "计划:", "思考:", "已知"),
}
"""Those of each language."""

_ONE_PASS_TOKENS = 400  # the longest plan with all its answers


def strategies(task: str) -> dict[str, Strategy]:
    """The strategies that models of a task were trained for, by their names on the cards.

    Args:
        task: ``"scan"``, or ``"chains"`` or ``"chains-zh"``, where a step sees only the one before
            it.

    Returns:
        ``"direct"``, ``"chain-of-thought"``, ``"one-pass"`` and ``"least-to-most"``; for chains,
        ``"bottom-up"``, too.

    Raises:
        ValueError: If there are no models of that task.
    """
    if task not in ("scan", "chains", "chains-zh"):
        raise ValueError(f"task must be 'scan', 'chains' or 'chains-zh', got {task!r}")
    marks = MARKS["zh" if task.endswith("-zh") else "en"]
    asked = f"\n{marks.question} {{question}}\n"
    # No exemplars, and nothing between the context and the first question.
    answer = PromptTemplate(
        exemplar="",
        context="{context}",
        turn=f"{asked}{marks.answer} {{answer}}",
        question=f"{asked}{marks.answer}",
        stop=("\n",),
    )
    plan = PromptTemplate(
        exemplar="", context="{context}", question=f"{asked}{marks.plan}", stop=("\n",)
    )
    one_pass = replace(answer, question=plan.question, stop=("\n\n",))
    think = replace(plan, question=f"{asked}{marks.thought}")
    direct = ZeroShot(template=answer)
    if task == "scan":
        return {
            "direct": direct,
            "chain-of-thought": ChainOfThought(template=think, parse_answer=_after_so),
            "one-pass": OnePassLeastToMost(template=one_pass, max_new_tokens=_ONE_PASS_TOKENS),
            "least-to-most": LeastToMost(
                planner=ModelPlanner(template=plan, top_down=True, names_problem=False),
                template=answer,
            ),
        }
    thought = ChainOfThought(template=think, parse_answer=_last_number)
    return {
        "direct": direct,
        "chain-of-thought": thought,
        "bottom-up": thought,
        "one-pass": OnePassLeastToMost(
            template=one_pass, parse_answer=_last_number, max_new_tokens=_ONE_PASS_TOKENS
        ),
        "least-to-most": LeastToMost(
            planner=ModelPlanner(template=plan, parse=_names, top_down=True),
            template=answer,
            parse_answer=_last_number,
            history=1,
        ),
    }


def _after_so(text: str) -> str | None:
    """What a thought about SCAN concludes: `jump gives JUMP . so ( JUMP ) * 2`."""
    _, so, answer = f" {text} ".rpartition(" so ")
    return answer.strip() if so else None


def _last_number(text: str) -> str | None:
    """What a text about chains comes to: 10 of `ann and +3 : 7 +3 = 10` or of `10 is bo`."""
    numbers = [word for word in text.split() if word.isdecimal()]
    return numbers[-1] if numbers else None


def _names(text: str) -> list[str]:
    """The people of a plan, which ends with the mark that the last one's number is given."""
    no_names = {"", *(marks.given for marks in MARKS.values())}
    return [name for name in map(str.strip, text.split(";")) if name not in no_names]
