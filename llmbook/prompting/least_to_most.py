r"""Least-to-most prompting: plan first, then solve from the easiest sub-problem to the problem.

Two stages, both by prompts alone. *Decompose*: the model is asked for the sub-problems that lead
to the problem. *Solve*: each is asked in turn, and every prompt holds the earlier questions with
the answers that the model gave, so that no step has to do more than one step's work. Source:
Zhou et al., "Least-to-Most Prompting Enables Complex Reasoning in Large Language Models" (2023).

Whatever a model writes is digested by the rules in [`ISSUES`][llmbook.prompting.trace.ISSUES],
and every use of one is marked in the trace.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from llmbook._checks import check_at_least_one
from llmbook.lm.requests import after_thought
from llmbook.prompting._lockstep import Answered, Ask, Dialogue
from llmbook.prompting.readers import read_list, read_text
from llmbook.prompting.strategies import Reader, Strategy, ask, check_exemplars
from llmbook.prompting.template import PromptTemplate
from llmbook.prompting.trace import Call, Issue, Trace
from llmbook.tasks.problem import Exemplar, Step

__all__ = ["LeastToMost"]

_PLAN = PromptTemplate(exemplar="Q: {question}\nPlan: {plan}\n\n", question="Q: {question}\nPlan:")
_SOLVE = PromptTemplate(exemplar="{steps}")
# One completion holds all, so that neither a blank line nor a question may end it.
_ONE_PASS = PromptTemplate(
    exemplar="Problem: {question}\nPlan: {plan}\n{steps}\n",
    question="Problem: {question}\nPlan:",
    stop=("\nProblem:",),
)


@dataclass(frozen=True, kw_only=True)
class LeastToMost(Strategy):
    r"""Decompose a problem, then solve its sub-problems, each with the answers before it.

    Raises:
        ValueError: If a limit is below 1, ``history`` is negative, exemplars lack steps,
            ``one_pass`` and ``decomposer`` are both asked for, or with ``one_pass`` a stop string
            would end the text before its first answer.

    Examples:
        ```python
        from llmbook.prompting import LeastToMost
        from llmbook.lm import ScriptedModel

        model = ScriptedModel(
            {
                "Q: 4 + 5 + 1\nPlan:": " 4 + 5 ; 4 + 5 + 1",
                "Q: 4 + 5\nA:": " 9",
                "Q: 4 + 5\nA: 9\n\nQ: 4 + 5 + 1\nA:": " 10",
            }
        )
        print(LeastToMost().solve("4 + 5 + 1", model))
        ```

        ``` {.text .output}
        4 + 5 + 1
        ├─ plan
        │  ├─ 4 + 5
        │  └─ 4 + 5 + 1
        ├─ 4 + 5 → 9
        ├─ 4 + 5 + 1 → 10
        └─ answer: 10
        least-to-most, scripted: 3 calls, tokens: 25 read, 11 written
        ```
    """

    plan_template: PromptTemplate | None = None  # None: "Q: …" and "Plan:"
    solve_template: PromptTemplate = _SOLVE
    plan_exemplars: Sequence[Exemplar] = ()
    solve_exemplars: Sequence[Exemplar] = ()
    parse_plan: Callable[[str], list[str]] = read_list
    parse_answer: Reader = read_text  # from the model's text; None or "": it holds no answer
    # A program in place of the first stage; by a ValueError it says that it has no plan.
    decomposer: Callable[[str], list[str]] | None = None
    one_pass: bool = False  # plan and answers in one completion, as the paper's section 3.3 tries
    history: int | None = None  # earlier questions that a step sees; None: all
    raw_history: bool = False  # their answers as the model wrote them, not as they were read
    top_down: bool = False  # the plan is written from the problem downwards
    # A plan must end with the problem and name nothing twice. If not asked for, what a plan lacks
    # or repeats is mended silently.
    names_problem: bool = True
    max_subproblems: int = 20
    max_plan_tokens: int = 256
    max_new_tokens: int = 256  # for each answer; with one_pass, for everything

    name: ClassVar[str] = "least-to-most"

    def __post_init__(self) -> None:
        for limit in ("max_subproblems", "max_plan_tokens", "max_new_tokens"):
            check_at_least_one(limit, getattr(self, limit))
        if self.history is not None and self.history < 0:
            raise ValueError(f"history must be at least 0, got {self.history}")
        if self.one_pass and self.decomposer is not None:
            raise ValueError("one_pass must be False with a decomposer, got True")
        if self.one_pass:
            written = f"\n{self.solve_template.turn}"
            if clashing := [stop for stop in self._plan_template.stop if stop in written]:
                raise ValueError(
                    "plan_template.stop must not occur in the turns of solve_template with "
                    f"one_pass, got {clashing[0]!r}"
                )
            self.solve_template.read_turns("")  # says so if they cannot be read back
        for exemplars in ("plan_exemplars", "solve_exemplars"):
            check_exemplars(exemplars, getattr(self, exemplars), "steps")

    @property
    def _plan_template(self) -> PromptTemplate:
        return self.plan_template or (_ONE_PASS if self.one_pass else _PLAN)

    def dialogue(self, trace: Trace) -> Dialogue:
        """A plan, then one prompt for each sub-problem."""
        if self.one_pass:
            yield from self._all_at_once(trace)
            return
        plan = yield from self._decompose(trace)
        shown: list[Step] = []
        for question in plan:
            first = 0 if self.history is None else max(0, len(shown) - self.history)
            answer = yield from self._solve(trace, question, shown[first:])
            trace.steps.append(Step(question, answer))
            if answer:
                written = after_thought(trace.calls[-1].reply.text).strip()
                shown.append(Step(question, written if self.raw_history else answer))
        trace.answer = trace.steps[-1].answer

    def _decompose(self, trace: Trace) -> Generator[list[Ask], list[Answered], list[str]]:
        """The sub-problems to ask, the problem last."""
        problem = trace.problem
        if self.decomposer is not None:
            try:
                found = _cleaned(self.decomposer(problem.question))
                if not found:
                    trace.issues.append(Issue("plan-empty"))
            except ValueError as error:
                trace.issues.append(Issue("plan-refused", detail=str(error)))
                found = []
            return self._checked(trace, found, None)
        prompt = self._plan_template.render(
            problem.question, exemplars=self.plan_exemplars, context=problem.context
        )
        stop = self._plan_template.stop
        [(reply, seconds)] = yield [Ask(prompt, self.max_plan_tokens, stop)]
        number = len(trace.calls)
        found = []
        if reply.finish_reason == "error":
            trace.issues.append(Issue("model-error", number, reply.error))
        elif not after_thought(reply.text).strip():
            trace.issues.append(Issue("plan-empty", number))
        else:
            found = self._read(trace, after_thought(reply.text), number)
            if reply.finish_reason == "length":
                trace.issues.append(Issue("plan-cut", number))
                if found[-1:] != [problem.question.strip()]:
                    found = found[:-1]
        call = Call("plan", problem.question, prompt, reply, tuple(found), seconds)
        trace.calls.append(call)
        return self._checked(trace, found, number)

    def _read(self, trace: Trace, text: str, number: int) -> list[str]:
        try:
            found, why = _cleaned(self.parse_plan(text)), ""
        except ValueError as error:
            found, why = [], str(error)
        if not found:
            trace.issues.append(Issue("plan-unreadable", number, why))
        return found

    def _checked(self, trace: Trace, found: Sequence[str], number: int | None) -> list[str]:
        """A plan as it will be followed: in order, each once, not too long, the problem last."""
        question = trace.problem.question.strip()
        found = list(found[::-1] if self.top_down else found)
        plan = list(dict.fromkeys(found))
        # A program may name a sub-problem wherever it is needed; a model that does is stuck.
        if len(plan) < len(found) and number is not None and self.names_problem:
            trace.issues.append(Issue("plan-repeats", number))
        before = [one for one in plan if one != question]
        if len(before) >= self.max_subproblems:
            trace.issues.append(Issue("plan-long", number))
            before = before[: self.max_subproblems - 1]
        if found and self.names_problem and found[-1] != question:
            trace.issues.append(Issue("plan-open", number))
        return [*before, trace.problem.question]

    def _solve(
        self, trace: Trace, question: str, turns: Sequence[Step]
    ) -> Generator[list[Ask], list[Answered], str]:
        prompt = self.solve_template.render(
            question,
            exemplars=self.solve_exemplars,
            context=trace.problem.context,
            turns=turns,
        )
        one = Ask(prompt, self.max_new_tokens, self.solve_template.stop)
        answer: str = yield from ask(trace, one, "answer", question, self.parse_answer)
        return answer

    def _all_at_once(self, trace: Trace) -> Dialogue:
        """One completion that holds the plan, then the questions of ``solve_template``'s turns."""
        problem = trace.problem
        prompt = self._plan_template.render(
            problem.question, exemplars=self.plan_exemplars, context=problem.context
        )
        stop = self._plan_template.stop
        [(reply, seconds)] = yield [Ask(prompt, self.max_new_tokens, stop)]
        if reply.finish_reason == "error":
            trace.issues.append(Issue("model-error", 0, reply.error))
        elif not (text := after_thought(reply.text)).strip():
            trace.issues.append(Issue("answer-empty", 0))
        else:
            if reply.finish_reason == "length":
                trace.issues.append(Issue("answer-cut", 0))
            self._read_turns(trace, text)
        parsed = tuple(step.question for step in trace.steps)
        call = Call("plan and answers", problem.question, prompt, reply, parsed, seconds)
        trace.calls.append(call)

    def _read_turns(self, trace: Trace, text: str) -> None:
        """The steps that one completion holds, and the answer to the problem among them."""
        turns = self.solve_template.read_turns(text)
        if len(turns) > self.max_subproblems:
            trace.issues.append(Issue("plan-long", 0))
            turns = turns[: self.max_subproblems]
        for turn in turns:
            try:
                answer = (self.parse_answer(turn.answer) or "").strip()
            except ValueError:
                answer = ""
            if not answer:
                trace.issues.append(Issue("answer-unreadable", 0, turn.question))
            trace.steps.append(Step(turn.question, answer))
        if not turns:
            trace.issues.append(Issue("plan-unreadable", 0))
            return
        question = trace.problem.question.strip()
        if turns[-1].question != question:
            trace.issues.append(Issue("pass-open", 0))
        asked = [step.answer for step in trace.steps if step.question == question]
        trace.answer = asked[-1] if asked else ""


def _cleaned(plan: Sequence[str]) -> list[str]:
    return [one.strip() for one in plan if one.strip()]
