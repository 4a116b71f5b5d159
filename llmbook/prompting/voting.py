r"""Errors caught where they arise: each prompt is asked until its reply can be trusted.

If a step is right with probability $p$, a chain of $n$ steps is right with $p^n$, which no $p$
short of 1 survives for long. Two remedies act on the single step, so that the whole need not be
solved again. A *vote* asks until one answer is ahead by $k$: errors that differ from draw to draw
lose it. A *check* asks until a program finds nothing wrong: a calculator, an interpreter. Both work
around any strategy. Neither helps where the model errs in the same way every time and the check
does not see it.

Source of the vote: Meyerson et al., "Solving a Million-Step LLM Task with Zero Errors" (2025),
section 3, there "first-to-ahead-by-k voting", with replies left out that are cut off or cannot be
read ("red-flagging").
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from llmbook._checks import check_at_least_one
from llmbook.lm.protocol import Reply
from llmbook.prompting._lockstep import Answered, Ask, Dialogue, Round, seed_of, through
from llmbook.prompting.strategies import Strategy, check_temperature
from llmbook.prompting.trace import Issue, Kind, Trace
from llmbook.tasks.problem import Problem

__all__ = ["Checked", "Vote"]


@dataclass(frozen=True, kw_only=True)
class _Redrawn(Strategy):
    """A strategy whose every prompt is asked several times, and one of the replies taken."""

    strategy: Strategy
    max_replies: int = 20  # to one prompt
    temperature: float = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least_one("max_replies", self.max_replies)
        check_temperature(self.temperature)

    @abstractmethod
    def _judge(self, request: Ask, reply: Reply) -> str:
        """What counts of a reply: its answer, or ``""`` if it is not to be trusted."""

    @abstractmethod
    def _missing(self, answers: Sequence[str]) -> int:
        """How many more replies it takes at least, 0 if one can be taken, by what they answer."""

    @abstractmethod
    def _pick(self, answers: Sequence[str]) -> int:
        """Number of the reply that is taken, from 0, by what they answer."""

    @property
    @abstractmethod
    def _unsettled(self) -> Kind:
        """What is wrong if the replies run out."""

    def _temperature_of(self, number: int) -> float:
        """At which temperature the reply of that number is drawn."""
        return self.temperature

    def read_problem(self, text: str) -> Problem:
        """A problem as the strategy reads it whose prompts are asked."""
        return self.strategy.read_problem(text)

    def dialogue(self, trace: Trace) -> Dialogue:
        """The prompts of the strategy, each until it is settled."""
        yield from through(self.strategy.dialogue(trace), partial(self._settle, trace))

    def _settle(self, trace: Trace, requests: list[Ask]) -> Round:
        """Ask the prompts of one round, all that are open side by side, until none is."""
        drawn: list[list[Answered]] = [[] for _ in requests]
        answers: list[list[str]] = [[] for _ in requests]  # what counts of each, found once
        while True:
            asks = [
                (place, number)
                for place in range(len(requests))
                for number in self._next_numbers(drawn[place], answers[place])
            ]
            if not asks:
                break
            replies = yield [self._draw(requests[place], number) for place, number in asks]
            for (place, _), answered in zip(asks, replies, strict=True):
                drawn[place].append(answered)
                answers[place].append(self._judge(requests[place], answered.reply))
        return [self._settled(trace, *pair) for pair in zip(drawn, answers, strict=True)]

    def _next_numbers(self, drawn: Sequence[Answered], answers: Sequence[str]) -> range:
        """The numbers of the replies to be drawn next, as many as are certain to be needed."""
        if any(answered.reply.finish_reason == "error" for answered in drawn):
            return range(0)  # the model has tried again by itself
        return range(len(drawn), min(len(drawn) + self._missing(answers), self.max_replies))

    def _settled(self, trace: Trace, drawn: Sequence[Answered], answers: Sequence[str]) -> Answered:
        """The reply that is taken, with all others; an error of the model goes before any."""
        replies = [answered.reply for answered in drawn]
        taken = next((i for i, reply in enumerate(replies) if reply.finish_reason == "error"), -1)
        if taken < 0:
            taken = self._pick(answers)
            if self._missing(answers):
                trace.issues.append(Issue(self._unsettled, len(trace.calls)))
        others = tuple(reply for place, reply in enumerate(replies) if place != taken)
        return Answered(replies[taken], sum(answered.seconds for answered in drawn), others)

    def _draw(self, request: Ask, number: int) -> Ask:
        """A prompt with a seed of its own: what is drawn depends on both and on the number."""
        seed = seed_of(f"{self.seed} {number}", request.prompt)
        return request._replace(temperature=self._temperature_of(number), seed=seed)


@dataclass(frozen=True, kw_only=True)
class Vote(_Redrawn):
    r"""Each prompt is asked until one answer is ahead of every other by ``lead``.

    What is compared is what the strategy reads from a reply, so that rationales may differ. A reply
    that is cut off or cannot be read has no vote. With two possible answers, of which the right one
    comes with probability $p$, the vote of a step is right with probability
    $1 / (1 + ((1 - p) / p)^k)$, as in the gambler's ruin.

    Raises:
        ValueError: If ``lead`` or ``max_replies`` is below 1, or ``temperature`` is not positive.

    Examples:
        ```python
        from llmbook import lm
        from llmbook.prompting import Vote, shipped
        from llmbook.tasks import chains

        [problem] = chains.problems(1, size=3, seed=1)
        strategy = Vote(strategy=shipped.strategies("chains")["least-to-most"], lead=2)
        trace = strategy.solve(problem, lm.load("chains-tiny"))
        print(trace.answer == problem.answer, trace.num_calls, "calls")
        ```

        ``` {.text .output}
        True 8 calls
        ```
    """

    lead: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least_one("lead", self.lead)

    @property
    def name(self) -> str:
        """That of the strategy, with the lead."""
        return f"vote, ahead by {self.lead}, on {self.strategy.name}"

    @property
    def _unsettled(self) -> Kind:
        return "vote-open"

    def _judge(self, request: Ask, reply: Reply) -> str:
        return _read(request, reply)

    def _missing(self, answers: Sequence[str]) -> int:
        counts = [count for _, count in _votes(answers).most_common(2)]
        most, second = [*counts, 0, 0][:2]
        return max(0, self.lead - (most - second))

    def _pick(self, answers: Sequence[str]) -> int:
        # Counted in the order in which they came, so that of several the first one wins.
        winners = [answer for answer, _ in _votes(answers).most_common(1)]
        return answers.index(winners[0]) if winners else 0


@dataclass(frozen=True, kw_only=True)
class Checked(_Redrawn):
    r"""Each prompt is asked until a program finds nothing wrong with the reply.

    The first reply is the model's likeliest; only if it fails are others drawn. A check is told the
    question and the text of the reply. It need not know the answer: that brackets close or sums
    are right is something that a program can see.

    Raises:
        ValueError: If ``max_replies`` is below 1, or ``temperature`` is not positive.

    Examples:
        ```python
        from llmbook.lm import ScriptedModel
        from llmbook.prompting import Checked, ZeroShot
        from llmbook.tasks.sums import sums_are_right

        model = ScriptedModel({"Q: 17 + 25\nA:": [" 17 + 25 = 32", " 17 + 25 = 42"]})
        strategy = Checked(strategy=ZeroShot(), check=lambda _, text: sums_are_right(text))
        print(strategy.solve("17 + 25", model))
        ```

        ``` {.text .output}
        17 + 25
        ├─ 17 + 25 → 17 + 25 = 42
        │  └─ chosen from 3 replies
        └─ answer: 17 + 25 = 42
        checked zero-shot, scripted: 3 calls, tokens: 15 read, 15 written
        ```
    """

    check: Callable[[str, str], bool]  # question, text of the reply -> nothing wrong with it

    @property
    def name(self) -> str:
        """That of the strategy, checked."""
        return f"checked {self.strategy.name}"

    @property
    def _unsettled(self) -> Kind:
        return "check-failed"

    def _temperature_of(self, number: int) -> float:
        return self.temperature if number else 0.0

    def _judge(self, request: Ask, reply: Reply) -> str:
        answer = _read(request, reply)
        return answer if answer and self.check(request.question, reply.text) else ""

    def _missing(self, answers: Sequence[str]) -> int:
        return 0 if any(answers) else 1

    def _pick(self, answers: Sequence[str]) -> int:
        return next((place for place, answer in enumerate(answers) if answer), 0)


def _votes(answers: Sequence[str]) -> Counter[str]:
    """What was answered, with its votes, in the order in which it first came."""
    return Counter(answer for answer in answers if answer)


def _read(request: Ask, reply: Reply) -> str:
    """What a reply answers; ``""`` if it broke off or nothing can be read from it."""
    if reply.finish_reason in ("error", "length"):
        return ""
    try:
        return (request.read(reply.text) or "").strip()
    except ValueError:
        return ""
