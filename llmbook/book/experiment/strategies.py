"""How the small models of the experiment are asked: the texts that they were trained on."""

from llmbook.prompting import ChainOfThought, LeastToMost, PromptTemplate, Strategy, ZeroShot

__all__ = ["chains_strategies", "scan_strategies"]

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


def scan_strategies() -> dict[str, Strategy]:
    """The three formats of [`Recipe`][llmbook.book.experiment.rows.Recipe] for commands."""
    return {
        "direct": ZeroShot(template=_ANSWER),
        "chain-of-thought": ChainOfThought(template=_THINK, parse_answer=_after_so),
        "least-to-most": LeastToMost(
            plan_template=_PLAN, solve_template=_ANSWER, top_down=True, names_problem=False
        ),
    }


def chains_strategies() -> dict[str, Strategy]:
    """The three formats for chains; a step sees only the one before it."""
    return {
        "direct": ZeroShot(template=_ANSWER),
        "chain-of-thought": ChainOfThought(template=_THINK, parse_answer=_last_word),
        "least-to-most": LeastToMost(
            plan_template=_PLAN,
            solve_template=_ANSWER,
            parse_plan=_names,
            parse_answer=_last_word,
            history=1,
            top_down=True,
        ),
    }


def _after_so(text: str) -> str | None:
    _, so, answer = f" {text} ".rpartition(" so ")
    return answer.strip() if so else None


def _last_word(text: str) -> str | None:
    words = text.split()
    return words[-1] if words else None


def _names(text: str) -> list[str]:
    """The people of a plan, which ends with the mark that the last one's number is given."""
    return [name for name in map(str.strip, text.split(";")) if name and name != "given"]
