"""How the small models that come with the book are asked: by the texts that they were trained on.

Their cards, which [`trained`][llmbook.lm.shipped.trained] reads, name task and strategy.
"""

from llmbook.prompting.least_to_most import LeastToMost, OnePassLeastToMost
from llmbook.prompting.planners import ModelPlanner
from llmbook.prompting.strategies import ChainOfThought, Strategy, ZeroShot
from llmbook.prompting.template import PromptTemplate

__all__ = ["strategies"]

# No exemplars, and nothing between the context and the first question.
_ANSWER = PromptTemplate(
    exemplar="",
    context="{context}",
    turn="\nQ: {question}\nA: {answer}",
    question="\nQ: {question}\nA:",
    stop=("\n",),
)
_PLAN = PromptTemplate(
    exemplar="", context="{context}", question="\nQ: {question}\nPlan:", stop=("\n",)
)
_THINK = PromptTemplate(
    exemplar="", context="{context}", question="\nQ: {question}\nThink:", stop=("\n",)
)
_ONE_PASS = PromptTemplate(
    exemplar="",
    context="{context}",
    turn="\nQ: {question}\nA: {answer}",
    question="\nQ: {question}\nPlan:",
    stop=("\n\n",),
)
_ONE_PASS_TOKENS = 400  # the longest plan with all its answers


def strategies(task: str) -> dict[str, Strategy]:
    """The strategies that models of a task were trained for, by their names on the cards.

    Args:
        task: ``"scan"`` or ``"chains"``, where a step sees only the one before it.

    Returns:
        ``"direct"``, ``"chain-of-thought"``, ``"one-pass"`` and ``"least-to-most"``; for chains,
        ``"bottom-up"``, too.

    Raises:
        ValueError: If there are no models of that task.
    """
    direct = ZeroShot(template=_ANSWER)
    if task == "scan":
        return {
            "direct": direct,
            "chain-of-thought": ChainOfThought(template=_THINK, parse_answer=_after_so),
            "one-pass": OnePassLeastToMost(template=_ONE_PASS, max_new_tokens=_ONE_PASS_TOKENS),
            "least-to-most": LeastToMost(
                planner=ModelPlanner(template=_PLAN, top_down=True, names_problem=False),
                template=_ANSWER,
            ),
        }
    if task == "chains":
        return {
            "direct": direct,
            "chain-of-thought": ChainOfThought(template=_THINK, parse_answer=_last_number),
            "bottom-up": ChainOfThought(template=_THINK, parse_answer=_last_number),
            "one-pass": OnePassLeastToMost(
                template=_ONE_PASS, parse_answer=_last_number, max_new_tokens=_ONE_PASS_TOKENS
            ),
            "least-to-most": LeastToMost(
                planner=ModelPlanner(template=_PLAN, parse=_names, top_down=True),
                template=_ANSWER,
                parse_answer=_last_number,
                history=1,
            ),
        }
    raise ValueError(f"task must be 'scan' or 'chains', got {task!r}")


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
    return [name for name in map(str.strip, text.split(";")) if name and name != "given"]
