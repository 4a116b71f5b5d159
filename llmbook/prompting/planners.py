"""Planners: where the sub-problems of least-to-most prompting come from.

A model plans as it answers, by a prompt; for some tasks a program can do it. Either way the same
rules make of what was planned what is asked: in order, each sub-problem once, not too many, the
problem last.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from llmbook._checks import check_at_least_one
from llmbook.prompting._lockstep import Answered, Ask
from llmbook.prompting.readers import read_list
from llmbook.prompting.strategies import check_exemplars
from llmbook.prompting.template import PromptTemplate
from llmbook.prompting.trace import Call, Issue, Trace
from llmbook.tasks.problem import Exemplar

__all__ = ["KnownPlanner", "ModelPlanner", "Planner", "ProgramPlanner"]

Planning = Generator[list[Ask], list[Answered], list[str]]

_PLAN = PromptTemplate(exemplar="Q: {question}\nPlan: {plan}\n\n", question="Q: {question}\nPlan:")


class Planner(ABC):
    """A way of finding the sub-problems of a problem."""

    @abstractmethod
    def plan(self, trace: Trace) -> Planning:
        """Decompose the problem of a trace, and write down in it what happens.

        Args:
            trace: Empty but for its problem.

        Yields:
            Prompts that can be asked at the same time; it is sent their replies.

        Returns:
            The sub-problems, from the one to be solved first; the last is the problem.
        """


@dataclass(frozen=True, kw_only=True)
class ModelPlanner(Planner):
    """The model that solves the problem plans it, too, as exemplars show.

    Raises:
        ValueError: If a limit is below 1, or an exemplar has no steps.
    """

    template: PromptTemplate = _PLAN
    exemplars: Sequence[Exemplar] = ()
    parse: Callable[[str], list[str]] = read_list  # from the model's text to sub-problems
    top_down: bool = False  # the plan is written from the problem downwards
    # A plan must end with the problem and name nothing twice. If not asked for, what a plan lacks
    # or repeats is mended silently.
    names_problem: bool = True
    max_subproblems: int = 20
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        check_at_least_one("max_subproblems", self.max_subproblems)
        check_at_least_one("max_new_tokens", self.max_new_tokens)
        check_exemplars("exemplars", self.exemplars, "steps")

    def plan(self, trace: Trace) -> Planning:
        """One prompt, whose reply is the plan."""
        problem, number = trace.problem, len(trace.calls)
        prompt = self.template.render(
            problem.question, exemplars=self.exemplars, context=problem.context
        )
        request = Ask(
            prompt,
            self.max_new_tokens,
            self.template.stop,
            question=problem.question,
            read=lambda text: "\n".join(_without_blanks(self.parse(text))),
        )
        [(reply, seconds, others)] = yield [request]
        items: list[str] = []
        if reply.finish_reason == "error":
            trace.issues.append(Issue("model-error", number, reply.error))
        elif not reply.text.strip():
            trace.issues.append(Issue("plan-empty", number))
        else:
            try:
                items, why = _without_blanks(self.parse(reply.text)), ""
            except ValueError as error:
                why = str(error)
            if not items:
                trace.issues.append(Issue("plan-unreadable", number, why))
            if reply.finish_reason == "length":
                trace.issues.append(Issue("plan-cut", number))
                if items[-1:] != [problem.question.strip()]:
                    items = items[:-1]
        trace.calls.append(
            Call("plan", problem.question, prompt, reply, tuple(items), seconds, others)
        )
        items = items[::-1] if self.top_down else items
        if self.names_problem and len({*items}) < len(items):
            trace.issues.append(Issue("plan-repeats", number))
        return _to_be_asked(trace, items, self.max_subproblems, number, self.names_problem)


@dataclass(frozen=True)
class ProgramPlanner(Planner):
    """A program plans: what it names more than once, it may need more than once.

    Raises:
        ValueError: If ``max_subproblems`` is below 1.
    """

    # From a question to its sub-problems; by a ValueError it says that it has no plan.
    decompose: Callable[[str], list[str]]
    max_subproblems: int = 20

    def __post_init__(self) -> None:
        check_at_least_one("max_subproblems", self.max_subproblems)

    def plan(self, trace: Trace) -> Planning:
        """What the program gives, without a prompt."""
        items: list[str] = []
        try:
            items = _without_blanks(self.decompose(trace.problem.question))
            if not items:
                trace.issues.append(Issue("plan-empty"))
        except ValueError as error:
            trace.issues.append(Issue("plan-refused", detail=str(error)))
        yield from ()  # a planner is a generator, even one that asks nothing
        return _to_be_asked(trace, items, self.max_subproblems, None, True)


@dataclass(frozen=True)
class KnownPlanner(Planner):
    """The steps that the problem is known to need: what fails is then a step, and not the plan."""

    def plan(self, trace: Trace) -> Planning:
        """The questions of the problem's own steps, without a prompt."""
        items = [step.question for step in trace.problem.steps]
        if not items:
            trace.issues.append(Issue("plan-empty"))
        yield from ()  # as above
        return _to_be_asked(trace, items, len(items) + 1, None, True)


def _without_blanks(items: Sequence[str]) -> list[str]:
    return [item.strip() for item in items if item.strip()]


def _to_be_asked(
    trace: Trace, items: Sequence[str], limit: int, call: int | None, names_problem: bool
) -> list[str]:
    """A plan as it will be followed: each sub-problem once, not too many, the problem last."""
    question = trace.problem.question.strip()
    before = [item for item in dict.fromkeys(items) if item != question]
    if len(before) >= limit:
        trace.issues.append(Issue("plan-long", call))
        before = before[: limit - 1]
    if items and names_problem and items[-1] != question:
        trace.issues.append(Issue("plan-open", call))
    return [*before, trace.problem.question]
