r"""Traces: everything that happened while a problem was solved.

A trace holds each prompt with the model's reply and what was read from it, the sub-problems with
their answers, what went wrong and which rule was then followed, and what it cost. It prints as a
tree, and can be kept as JSON, drawn as a diagram, or opened in a notebook.
"""

import json
import types
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from llmbook.lm.protocol import Reply
from llmbook.prompting import _views
from llmbook.tasks.problem import Problem, Step

__all__ = ["ISSUES", "Call", "Issue", "Trace", "count_issues"]

Kind = Literal[
    "model-error", "plan-empty", "plan-unreadable", "plan-cut", "plan-long", "plan-repeats",
    "plan-open", "plan-refused", "pass-open", "answer-empty", "answer-unreadable", "answer-cut",
    "reasoning-cut", "vote-tie", "vote-empty",
]  # fmt: skip
Purpose = Literal["plan", "answer", "reasoning", "plan and answers"]

ISSUES: dict[Kind, str] = {
    "model-error": "the model gave an error: there is no text to read",
    "plan-empty": "the plan is empty: the problem is asked at once",
    "plan-unreadable": "no sub-problem can be read from the plan: the problem is asked at once",
    "plan-refused": "the program has no plan for the problem: the problem is asked at once",
    "plan-cut": "the plan was cut at the limit: its last sub-problem, perhaps half, is left out",
    "plan-long": "the plan has too many sub-problems: those beyond the limit are left out",
    "plan-repeats": "the plan has a sub-problem more than once: it is asked once",
    "plan-open": "the plan does not end with the problem: the problem comes last all the same",
    "pass-open": "the one pass does not end with the problem: an answer given before is taken",
    "answer-empty": "nothing was answered: there is no answer, and later prompts leave it out",
    "answer-unreadable": "no answer can be read from the text: later prompts leave it out",
    "answer-cut": "the answer was cut at the limit: what is there is read as it is",
    "reasoning-cut": "the reasoning was cut at the limit: the answer is asked for all the same",
    "vote-tie": "several answers have the most votes: the one that was given first wins",
    "vote-empty": "no sample has an answer: there is none",
}
"""All that can go wrong, and the rule that is followed then."""


@dataclass(frozen=True)
class Issue:
    """Something that went wrong."""

    kind: Kind  # a key of ISSUES
    call: int | None = None  # number of the call in the trace, from 0, if it was one
    detail: str = ""  # such as the model's error


@dataclass(frozen=True)
class Call:
    """One prompt, and what came of it."""

    purpose: Purpose
    question: str  # the problem or sub-problem that the call is about
    prompt: str
    reply: Reply
    parsed: tuple[str, ...] = ()  # what was read from the reply; nothing: ()
    seconds: float = 0.0  # its share of the time that its batch took


@dataclass(repr=False)
class Trace:
    r"""How a problem was solved, or was not.

    Seconds are left out when it is printed, so that the same run prints the same.

    Examples:
        ```python
        from llmbook.lm.protocol import Reply
        from llmbook.prompting import Call, Issue, Trace
        from llmbook.tasks.problem import Problem

        trace = Trace(Problem("Who wrote it?", "Ann"), "zero-shot", "some model")
        reply = Reply("", "end", prompt_tokens=7, completion_tokens=0)
        trace.calls.append(Call("answer", "Who wrote it?", "Q: Who wrote it?\nA:", reply))
        trace.issues.append(Issue("answer-empty", call=0))
        print(trace)
        ```

        ``` {.text .output}
        Who wrote it?
        ├─ Who wrote it? → no answer
        │  └─ ! answer-empty
        └─ answer: none
        zero-shot, some model: 1 call, tokens: 7 read, 0 written
        ```
    """

    problem: Problem
    strategy: str  # name of the strategy
    model: str  # name of the model
    calls: list[Call] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)  # sub-problems, the problem last; "": no answer
    answer: str = ""  # the last word; "": none
    issues: list[Issue] = field(default_factory=list)
    votes: dict[str, int] = field(default_factory=dict)  # of self-consistency
    samples: list["Trace"] = field(default_factory=list)  # of self-consistency

    def walk(self) -> Iterator["Trace"]:
        """The trace itself, then those of its samples."""
        yield self
        for sample in self.samples:
            yield from sample.walk()

    @property
    def num_calls(self) -> int:
        """Number of prompts, those of samples included, as in all that follow."""
        return sum(len(trace.calls) for trace in self.walk())

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all prompts."""
        return sum(call.reply.prompt_tokens for trace in self.walk() for call in trace.calls)

    @property
    def completion_tokens(self) -> int:
        """Tokens written."""
        return sum(call.reply.completion_tokens for trace in self.walk() for call in trace.calls)

    @property
    def reused_tokens(self) -> int:
        """Tokens of prompts that did not have to be read."""
        return sum(call.reply.reused_tokens for trace in self.walk() for call in trace.calls)

    @property
    def seconds(self) -> float:
        """Time of all calls. In a batch each call has an equal share of the batch's time."""
        return sum(call.seconds for trace in self.walk() for call in trace.calls)

    def to_json(self) -> str:
        """The trace as one line of JSON, in ASCII, so that any text survives any file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Trace":
        """Read a trace back.

        Args:
            text: What [`to_json`][llmbook.prompting.trace.Trace.to_json] gave.

        Returns:
            A trace equal to the one written.

        Raises:
            ValueError: If the text is no JSON, or not that of a trace.
        """
        try:
            return cast(Trace, _build(cls, json.loads(text), "trace"))
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"text must be a trace as JSON, got {text[:60]!r}: {error}") from None

    def to_mermaid(self) -> str:
        """The trace as a flowchart, for a page or a site that draws Mermaid."""
        return _views.mermaid(self)

    def __repr__(self) -> str:
        return _views.tree(self)

    def _repr_html_(self) -> str:
        return _views.html(self)


def count_issues(traces: Iterable[Trace]) -> Counter[str]:
    """How often each thing went wrong, samples included.

    Args:
        traces: The traces.

    Returns:
        Kinds of [`Issue`][llmbook.prompting.trace.Issue] with their counts.
    """
    return Counter(issue.kind for trace in traces for one in trace.walk() for issue in one.issues)


def _build(kind: Any, value: Any, place: str) -> Any:
    """A value of a type, dataclasses included, from what JSON made of it; all of it is checked."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(value, dict):
        known = get_type_hints(kind)
        needed = {
            one.name
            for one in fields(kind)
            if one.default is MISSING and one.default_factory is MISSING
        }
        if not needed <= value.keys() <= known.keys():
            raise ValueError(f"{place} must have the fields {[*known]}, got {[*value]}")
        built = {name: _build(known[name], value[name], f"{place}.{name}") for name in value}
        return cast(Any, kind)(**built)
    if origin in (list, tuple) and isinstance(value, list):
        return origin(_build(inner[0], item, f"{place}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _build(inner[1], item, f"{place}.{key}") for key, item in value.items()}
    if origin in (Union, types.UnionType):
        optional = next(one for one in inner if one is not type(None))
        return None if value is None else _build(optional, value, place)
    if origin is Literal and value in inner:
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind in (int, str) and type(value) is kind:
        return value
    wanted = inner if origin is Literal else getattr(kind, "__name__", kind)
    raise ValueError(f"{place} must be {wanted}, got {str(value)[:60]!r}")
