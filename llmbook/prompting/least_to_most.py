r"""Least-to-most prompting: plan first, then solve from the easiest sub-problem to the problem.

Two stages, both by prompts alone. *Decompose*: the model is asked for the sub-problems that lead
to the problem. *Solve*: each is asked in turn, and every prompt holds the earlier questions with
the answers that the model gave, so that no step has to do more than one step's work. Source:
Zhou et al., "Least-to-Most Prompting Enables Complex Reasoning in Large Language Models" (2023),
whose section 3.3 tries both stages in one pass, too.

Whatever a model writes is digested by the rules in [`ISSUES`][llmbook.prompting.trace.ISSUES],
and every use of one is marked in the trace.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from llmbook._checks import check_at_least_one
from llmbook.prompting._lockstep import Ask, Dialogue
from llmbook.prompting.planners import ModelPlanner, Planner
from llmbook.prompting.readers import read_text
from llmbook.prompting.strategies import Reader, Strategy, ask, check_exemplars
from llmbook.prompting.template import PromptTemplate
from llmbook.prompting.trace import Call, Issue, Trace
from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.sentences import split_story

__all__ = ["LeastToMost", "OnePassLeastToMost"]

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
        ValueError: If ``max_new_tokens`` is below 1, ``history`` is negative, or an exemplar has
            no steps.

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

    planner: Planner = field(default_factory=ModelPlanner)
    template: PromptTemplate = _SOLVE
    exemplars: Sequence[Exemplar] = ()
    parse_answer: Reader = read_text  # from the model's text; None or "": it holds no answer
    history: int | None = None  # earlier questions that a step sees; None: all
    raw_history: bool = False  # their answers as the model wrote them, not as they were read
    max_new_tokens: int = 256  # for each answer

    name: ClassVar[str] = "least-to-most"

    def __post_init__(self) -> None:
        check_at_least_one("max_new_tokens", self.max_new_tokens)
        if self.history is not None and self.history < 0:
            raise ValueError(f"history must be at least 0, got {self.history}")
        check_exemplars("exemplars", self.exemplars, "steps")

    def read_problem(self, text: str) -> Problem:
        """A story and the question at its end, apart: every sub-question is about the story too.

        Asked without it, "How many did Bo buy?" could only be guessed.
        """
        story, question = split_story(text)
        return Problem(question, "", context=story)

    def dialogue(self, trace: Trace) -> Dialogue:
        """A plan, then one prompt for each sub-problem."""
        plan = yield from self.planner.plan(trace)
        turns: list[Step] = []  # the questions that were answered, as later prompts show them
        for question in plan:
            first = 0 if self.history is None else max(0, len(turns) - self.history)
            prompt = self.template.render(
                question,
                exemplars=self.exemplars,
                context=trace.problem.context,
                turns=turns[first:],
            )
            step = Ask(prompt, self.max_new_tokens, self.template.stop)
            answer = yield from ask(trace, step, "answer", question, self.parse_answer)
            trace.steps.append(Step(question, answer))
            if answer:
                written = trace.calls[-1].reply.text.strip()
                turns.append(Step(question, written if self.raw_history else answer))
        trace.answer = trace.steps[-1].answer


@dataclass(frozen=True, kw_only=True)
class OnePassLeastToMost(Strategy):
    r"""Plan and answers in one completion: one call, but no step is read before the next.

    The model writes the plan, then each question with its answer, in the form of the template's
    ``turn``.

    Raises:
        ValueError: If a limit is below 1, an exemplar has no steps, or a stop string of the
            template would end the text before its first answer.

    Examples:
        ```python
        from llmbook.prompting import OnePassLeastToMost
        from llmbook.lm import ScriptedModel

        text = " 4 + 5 ; 4 + 5 + 1\nQ: 4 + 5\nA: 9\n\nQ: 4 + 5 + 1\nA: 10\n\nProblem: 1 + 1"
        model = ScriptedModel({"Problem: 4 + 5 + 1\nPlan:": text})
        print(OnePassLeastToMost().solve("4 + 5 + 1", model))
        ```

        ``` {.text .output}
        4 + 5 + 1
        ├─ plan and answers
        ├─ 4 + 5 → 9
        ├─ 4 + 5 + 1 → 10
        └─ answer: 10
        least-to-most in one pass, scripted: 1 call, tokens: 7 read, 24 written
        ```
    """

    template: PromptTemplate = _ONE_PASS
    exemplars: Sequence[Exemplar] = ()
    parse_answer: Reader = read_text  # from what follows a question; None or "": no answer
    max_subproblems: int = 20
    max_new_tokens: int = 256  # for everything

    name: ClassVar[str] = "least-to-most in one pass"

    def __post_init__(self) -> None:
        check_at_least_one("max_subproblems", self.max_subproblems)
        check_at_least_one("max_new_tokens", self.max_new_tokens)
        check_exemplars("exemplars", self.exemplars, "steps")
        # The first turn begins a line, by its own line break or by one before it.
        turn = self.template.turn if self.template.turn[:1] == "\n" else f"\n{self.template.turn}"
        if clashing := [stop for stop in self.template.stop if stop in turn]:
            raise ValueError(
                f"template.stop must not occur in the turns of the template, got {clashing[0]!r}"
            )
        self.template.read_turns("")  # says so if they cannot be read back

    def dialogue(self, trace: Trace) -> Dialogue:
        """One prompt, whose reply holds everything."""
        problem = trace.problem
        prompt = self.template.render(
            problem.question, exemplars=self.exemplars, context=problem.context
        )
        request = Ask(prompt, self.max_new_tokens, self.template.stop, question=problem.question)
        [(reply, seconds, others)] = yield [request]
        if reply.finish_reason == "error":
            trace.issues.append(Issue("model-error", 0, reply.error))
        elif not reply.text.strip():
            trace.issues.append(Issue("answer-empty", 0))
        else:
            if reply.finish_reason == "length":
                trace.issues.append(Issue("answer-cut", 0))
            self._read_steps(trace, reply.text)
        questions = tuple(step.question for step in trace.steps)
        trace.calls.append(
            Call("plan and answers", problem.question, prompt, reply, questions, seconds, others)
        )

    def _read_steps(self, trace: Trace, text: str) -> None:
        """The steps that the completion holds, and the answer to the problem among them."""
        turns = self.template.read_turns(text)
        if not turns:
            trace.issues.append(Issue("plan-unreadable", 0))
            return
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
        question = trace.problem.question.strip()
        if turns[-1].question != question:
            trace.issues.append(Issue("pass-open", 0))
        answers = [step.answer for step in trace.steps if step.question == question]
        trace.answer = answers[-1] if answers else ""
