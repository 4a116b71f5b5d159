r"""Strategies: ways of putting a problem to a language model that is not trained any further.

A question may be asked as it is (zero-shot), after solved ones (few-shot), or so that the
reasoning is written out before the answer (chain of thought); and of several answers drawn, the
most frequent may be taken (self-consistency). All share one way of being called, and all give a
[`Trace`][llmbook.prompting.trace.Trace]. Sources: Brown et al., "Language Models are Few-Shot
Learners" (2020); Wei et al., "Chain-of-Thought Prompting Elicits Reasoning in Large Language
Models" (2022); Kojima et al., "Large Language Models are Zero-Shot Reasoners" (2022); Wang et
al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models" (2023).
"""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from llmbook._checks import check_at_least_one
from llmbook._progress import progress as progress_of
from llmbook.lm.protocol import LanguageModel
from llmbook.prompting._lockstep import Answered, Ask, Dialogue, drive, sampled, side_by_side
from llmbook.prompting.readers import read_after, read_sentence, read_text
from llmbook.prompting.template import PromptTemplate
from llmbook.prompting.trace import Call, Issue, Kind, Purpose, Trace
from llmbook.tasks.problem import Exemplar, Problem

__all__ = ["ChainOfThought", "FewShot", "SelfConsistency", "Strategy", "ZeroShot"]

Reader = Callable[[str], str | None]  # from a model's text to an answer


class Strategy(ABC):
    """A way of solving problems with a language model.

    To write one, give it a ``name`` and a ``dialogue`` for one problem. Many problems then move
    in lockstep by themselves: each round is one call of the model, with the prompts of all
    problems still under way.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What the strategy is called in traces."""

    @abstractmethod
    def dialogue(self, trace: Trace) -> Dialogue:
        """Solve the problem of a trace, and write down in it what happens.

        Args:
            trace: Empty but for its problem.

        Yields:
            Prompts that can be asked at the same time; it is sent their replies.
        """

    def read_problem(self, text: str) -> Problem:
        """A problem from the text in which somebody states it, whose answer nobody knows yet."""
        return Problem(text, "")

    def solve(self, problem: Problem | str, model: LanguageModel) -> Trace:
        """Solve a problem.

        Args:
            problem: The problem, or just its text.
            model: The model.

        Returns:
            What happened, the answer included.

        Raises:
            ValueError: If the question is blank, or the model refuses what it is asked.
        """
        return self.solve_all([problem], model)[0]

    def solve_all(
        self, problems: Sequence[Problem | str], model: LanguageModel, *, progress: bool = False
    ) -> list[Trace]:
        """Solve problems side by side.

        Args:
            problems: The problems, or just their texts.
            model: The model.
            progress: Show on the error stream how many are solved.

        Returns:
            A trace for each problem, in their order.

        Raises:
            ValueError: If a question is blank, or the model refuses what it is asked.
        """
        if isinstance(problems, str):
            raise ValueError(f"problems must be several problems, got the string {problems!r}")
        posed = [
            self.read_problem(problem) if isinstance(problem, str) else problem
            for problem in problems
        ]
        for place, problem in enumerate(posed):
            if not problem.question.strip():
                raise ValueError(f"problems[{place}] must have a question, got a blank one")
        traces = [Trace(problem, self.name, model.name) for problem in posed]
        with progress_of(total=len(traces), unit="problem", disable=not progress) as bar:
            drive(side_by_side(map(self.dialogue, traces), bar.update), model)
        return traces


def ask(
    trace: Trace, prompt: Ask, purpose: Purpose, question: str, read: Reader
) -> Generator[list[Ask], list[Answered], str]:
    """Ask for an answer, and write down the call and what is wrong with it.

    Returns:
        The answer; ``""`` if there is none.
    """
    [(reply, seconds, others)] = yield [prompt._replace(question=question, read=read)]
    kinds: list[tuple[Kind, str]] = []
    answer = ""
    if reply.finish_reason == "error":
        kinds.append(("model-error", reply.error))
    else:
        if reply.finish_reason == "length":
            kinds.append(("reasoning-cut" if purpose == "reasoning" else "answer-cut", ""))
        if not reply.text.strip():
            kinds.append(("answer-empty", ""))
        else:
            try:
                answer, why = (read(reply.text) or "").strip(), ""
            except ValueError as error:
                why = str(error)
            if not answer:
                kinds.append(("answer-unreadable", why))
    trace.issues += [Issue(kind, len(trace.calls), detail) for kind, detail in kinds]
    parsed = (answer,) if answer else ()
    trace.calls.append(Call(purpose, question, prompt.prompt, reply, parsed, seconds, others))
    return answer


def check_temperature(temperature: float) -> None:
    """Require a temperature at which replies differ."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be positive, got {temperature}")


def check_exemplars(name: str, exemplars: Sequence[Exemplar], needed: str) -> None:
    """Require exemplars that have what a strategy shows of them."""
    for place, exemplar in enumerate(exemplars):
        if not getattr(exemplar, needed):
            raise ValueError(
                f"{name}[{place}] must have {needed}, got none for {exemplar.question!r}"
            )


@dataclass(frozen=True, kw_only=True)
class ZeroShot(Strategy):
    """The question as it is: what the model cannot do by itself, nothing helps it to do.

    Raises:
        ValueError: If ``max_new_tokens`` is below 1.
    """

    template: PromptTemplate = field(default_factory=PromptTemplate)
    max_new_tokens: int = 256
    parse_answer: Reader | None = None  # from the model's text; if not given, all of it

    name: ClassVar[str] = "zero-shot"

    def __post_init__(self) -> None:
        check_at_least_one("max_new_tokens", self.max_new_tokens)

    def dialogue(self, trace: Trace) -> Dialogue:
        """One prompt, whose reply is the answer."""
        yield from self._answer(trace, self._prompt(trace.problem), read_text)

    def _answer(
        self, trace: Trace, prompt: str, read: Reader
    ) -> Generator[list[Ask], list[Answered], None]:
        """Ask, and take the answer, by the reader given if the strategy has none of its own."""
        request = Ask(prompt, self.max_new_tokens, self.template.stop)
        question, reader = trace.problem.question, self.parse_answer or read
        trace.answer = yield from ask(trace, request, "answer", question, reader)

    def _prompt(self, problem: Problem) -> str:
        """The prompt for a problem, with what the strategy shows before it."""
        return self._render(problem, ())

    def _render(self, problem: Problem, exemplars: Sequence[Exemplar]) -> str:
        return self.template.render(problem.question, exemplars=exemplars, context=problem.context)


@dataclass(frozen=True, kw_only=True)
class FewShot(ZeroShot):
    """The question after solved ones: the model goes on as the exemplars do.

    Source: Brown et al. (2020, section 2).

    Raises:
        ValueError: If there is no exemplar, or ``max_new_tokens`` is below 1.
    """

    exemplars: Sequence[Exemplar]

    name: ClassVar[str] = "few-shot"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.exemplars:
            raise ValueError("exemplars must hold at least one, got none")

    def _prompt(self, problem: Problem) -> str:
        return self._render(problem, self.exemplars)


def _continued(text: str, more: str) -> str:
    """A text and what goes on with it; a blank parts them, but for a Chinese mark at the end."""
    return f"{text}{'' if text.endswith(('。', '：', '？', '！')) else ' '}{more}"


def _concluded(text: str) -> str:
    """What follows a conclusion; a chat doesn't go on with its sentence, but begins one anew."""
    return read_after()(text) or read_sentence(text)


_THOUGHT = PromptTemplate(exemplar="Q: {question}\nA: {rationale} The answer is {answer}.\n\n")


@dataclass(frozen=True, kw_only=True)
class ChainOfThought(ZeroShot):
    """The reasoning is written out before the answer, so that each token can build on it.

    With exemplars the model follows the rationales that they show (Wei et al., 2022). With a
    ``trigger`` such as "Let's think step by step." it is led to reason without any, and the
    answer is asked for in a second prompt (Kojima et al., 2022). A model that was trained to
    reason needs neither.

    Raises:
        ValueError: If an exemplar has no rationale, or ``max_new_tokens`` is below 1.

    Examples:
        ```python
        from llmbook.lm import ScriptedModel
        from llmbook.prompting import ChainOfThought

        model = ScriptedModel(
            {"step by step.": " 4 and 5 make 9, and 1 more 10.", "the answer is": " 10."}
        )
        strategy = ChainOfThought(trigger="Let's think step by step.")
        print(strategy.solve("What is 4 + 5 + 1?", model))
        ```

        ``` {.text .output}
        What is 4 + 5 + 1?
        ├─ reasoning
        ├─ What is 4 + 5 + 1? → 10
        │  └─ wrote: 10.
        └─ answer: 10
        chain-of-thought, scripted: 2 calls, tokens: 41 read, 10 written
        ```
    """

    template: PromptTemplate = _THOUGHT
    exemplars: Sequence[Exemplar] = ()
    # If not given: what follows "The answer is" or another mark, or, after a conclusion, the
    # first sentence.
    parse_answer: Reader | None = None
    trigger: str = ""  # what the answer begins with, when no exemplar shows how to reason
    conclusion: str = "\nTherefore, the answer is"  # put after that reasoning, to get the answer

    name: ClassVar[str] = "chain-of-thought"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_exemplars("exemplars", self.exemplars, "rationale")

    def dialogue(self, trace: Trace) -> Dialogue:
        """One prompt, or with a trigger a second one that holds the reasoning."""
        if not self.trigger:
            yield from self._answer(trace, self._prompt(trace.problem), read_after())
            return
        question, stop = trace.problem.question, self.template.stop
        begun = _continued(self._prompt(trace.problem), self.trigger)
        request = Ask(begun, self.max_new_tokens, stop)
        reasoning = yield from ask(trace, request, "reasoning", question, read_text)
        reasoned = _continued(begun, reasoning) + self.conclusion
        yield from self._answer(trace, reasoned, _concluded)

    def _prompt(self, problem: Problem) -> str:
        return self._render(problem, self.exemplars)


@dataclass(frozen=True, kw_only=True)
class SelfConsistency(Strategy):
    """Several answers are drawn, each with its own reasoning, and the most frequent one wins.

    Ways that go wrong rarely go wrong in the same way. What is drawn for a prompt depends on the
    prompt, the sample's number and the seed. Source: Wang et al. (2023, section 2).

    Raises:
        ValueError: If ``samples`` is below 1, or ``temperature`` is not positive.
    """

    strategy: Strategy
    samples: int = 5
    temperature: float = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least_one("samples", self.samples)
        check_temperature(self.temperature)

    @property
    def name(self) -> str:
        """That of the strategy, with the number of samples."""
        return f"self-consistency of {self.samples} × {self.strategy.name}"

    def read_problem(self, text: str) -> Problem:
        """A problem as the strategy reads it whose answers are voted on."""
        return self.strategy.read_problem(text)

    def dialogue(self, trace: Trace) -> Dialogue:
        """All samples side by side, then the vote."""
        problem = trace.problem
        trace.samples = [
            Trace(problem, self.strategy.name, trace.model) for _ in range(self.samples)
        ]
        yield from side_by_side(
            sampled(self.strategy.dialogue(sample), self.temperature, f"{self.seed} {number}")
            for number, sample in enumerate(trace.samples)
        )
        # In the order in which they were first given, so that of several the first one wins.
        votes = Counter(sample.answer for sample in trace.samples if sample.answer)
        trace.votes = dict(votes)
        if not votes:
            trace.issues.append(Issue("vote-empty"))
            return
        most_votes = max(votes.values())
        if sum(count == most_votes for count in votes.values()) > 1:
            trace.issues.append(Issue("vote-tie"))
        trace.answer = next(answer for answer, count in votes.items() if count == most_votes)
