r"""Traces: everything that happened while a problem was solved.

A trace holds each prompt with the model's reply and what was read from it, the sub-problems with
their answers, what went wrong and which rule was then followed, and what it cost. It prints as a
tree, and can be kept as JSON, drawn as a diagram, or opened in a notebook.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Literal, NamedTuple

from llmbook.lm.protocol import Reply
from llmbook.tasks.problem import Problem, Step

__all__ = ["ISSUES", "Call", "Issue", "Trace", "count_issues"]

Kind = Literal[
    "model-error", "plan-empty", "plan-unreadable", "plan-cut", "plan-long", "plan-repeats",
    "plan-open", "plan-refused", "pass-open", "answer-empty", "answer-unreadable", "answer-cut",
    "reasoning-cut", "vote-tie", "vote-empty", "vote-open", "check-failed",
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
    "vote-open": "no reply led by enough when the limit was reached: the most frequent is taken",
    "check-failed": "no reply passed the check: the first one is taken all the same",
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
    others: tuple[Reply, ...] = ()  # replies to the prompt that lost a vote or failed a check

    @property
    def replies(self) -> tuple[Reply, ...]:
        """All replies to the prompt, the one that was taken first."""
        return self.reply, *self.others


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
        """Number of replies, those of samples included, as in all that follow."""
        return sum(1 for _ in self._replies())

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all prompts."""
        return sum(reply.prompt_tokens for reply in self._replies())

    @property
    def completion_tokens(self) -> int:
        """Tokens written."""
        return sum(reply.completion_tokens for reply in self._replies())

    @property
    def reused_tokens(self) -> int:
        """Tokens of prompts that did not have to be read."""
        return sum(reply.reused_tokens for reply in self._replies())

    @property
    def seconds(self) -> float:
        """Time of all calls. In a batch each call has an equal share of the batch's time."""
        return sum(call.seconds for trace in self.walk() for call in trace.calls)

    def _replies(self) -> Iterator[Reply]:
        return (reply for trace in self.walk() for call in trace.calls for reply in call.replies)

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
            ValueError: If the text is no JSON, or not that of a trace; the error names the field.
        """
        from llmbook._json import read_as  # what solves problems need not load it

        return read_as(cls, text, "trace")

    def to_mermaid(self) -> str:
        """The trace as a flowchart, for a page or a site that draws Mermaid."""
        return _mermaid(self)

    def __repr__(self) -> str:
        return _tree(self)

    def _repr_html_(self) -> str:
        return _html(self)


def count_issues(traces: Iterable[Trace]) -> Counter[str]:
    """How often each thing went wrong, samples included.

    Args:
        traces: The traces.

    Returns:
        Kinds of [`Issue`][llmbook.prompting.trace.Issue] with their counts.
    """
    return Counter(
        issue.kind for trace in traces for sample in trace.walk() for issue in sample.issues
    )


class _Node(NamedTuple):
    text: str
    below: list["_Node"]


def _tree(trace: Trace) -> str:
    """A line or more for each thing that happened, drawn as a tree."""
    lines = [*_lines(_Node(_visible(trace.problem.question), _nodes(trace)), "", "")]
    read = f"{trace.prompt_tokens:,} read"
    if trace.reused_tokens:
        read += f" ({trace.reused_tokens:,} of them reused)"
    calls = f"{trace.num_calls:,} call{'' if trace.num_calls == 1 else 's'}"
    lines.append(
        f"{_visible(trace.strategy)}, {_visible(trace.model)}: {calls}, tokens: {read}, "
        f"{trace.completion_tokens:,} written"
    )
    return "\n".join(lines)


def _lines(node: _Node, first: str, rest: str) -> list[str]:
    """The lines of a node: ``first`` leads its first line, ``rest`` all that come after it."""
    head, *more = node.text.split("\n")
    stem = "│  " if node.below else "   "
    lines = [(first + head).rstrip(), *((rest + stem + line).rstrip() for line in more)]
    for child in node.below:
        last = child is node.below[-1]
        lines += _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
    return lines


def _nodes(trace: Trace) -> list[_Node]:
    """What stands under a problem: its context, calls, samples and answer."""
    nodes = []
    if trace.problem.context:
        nodes.append(_Node(f"given: {_visible(trace.problem.context.strip())}", []))
    for number, call in enumerate(trace.calls):
        nodes.append(_Node(_title(call), _details(trace, number, call)))
        if call.purpose == "plan and answers":
            nodes += [_Node(_solved(step.question, step.answer), []) for step in trace.steps]
    for number, sample in enumerate(trace.samples, start=1):
        *below, last = _nodes(sample)  # the answer stands above already, its marks do not
        nodes.append(_Node(_solved(f"sample {number}", sample.answer), [*below, *last.below]))
    if trace.votes:
        nodes.append(_Node(f"votes: {_votes(trace)}", []))
    marks = [_Node(_mark(issue.kind, issue.detail), []) for issue in trace.issues
             if issue.call is None]  # fmt: skip
    return [*nodes, _Node(f"answer: {_visible(trace.answer) or 'none'}", marks)]


def _title(call: Call) -> str:
    """What a call was for, with its answer if it asked for one."""
    if call.purpose == "answer":
        return _solved(call.question, "".join(call.parsed))
    return call.purpose


def _details(trace: Trace, number: int, call: Call) -> list[_Node]:
    """What a call wrote, where its title does not say it, and what went wrong in it."""
    nodes = []
    if call.purpose == "plan":
        nodes = [_Node(_visible(item), []) for item in call.parsed]
    elif call.purpose != "plan and answers" and "".join(call.parsed) != call.reply.text.strip():
        nodes = [_Node(f"wrote: {_visible(call.reply.text.strip()) or 'nothing'}", [])]
    if call.others:
        nodes.append(_Node(f"chosen from {len(call.replies)} replies", []))
    marks = [issue for issue in trace.issues if issue.call == number]
    return nodes + [_Node(_mark(issue.kind, issue.detail), []) for issue in marks]


def _solved(question: str, answer: str) -> str:
    return f"{_visible(question)} → {_visible(answer) or 'no answer'}"


def _votes(trace: Trace) -> str:
    return ", ".join(f"{_visible(answer)} × {count}" for answer, count in trace.votes.items())


def _mark(kind: str, detail: str) -> str:
    return f"! {kind}" + (f": {_visible(detail)}" if detail else "")


def _mermaid(trace: Trace, width: int = 80) -> str:
    """A flowchart from the problem through plan, sub-problems or samples to the answer."""
    lines, edges = ["flowchart TD", _mermaid_node("P", width, trace.problem.question)], []
    above = "P"
    for number, call in enumerate(trace.calls):
        name = f"C{number}"
        parsed = " ; ".join(call.parsed) or "nothing"
        title = call.question if call.purpose == "answer" else call.purpose
        lines.append(_mermaid_node(name, width, title, parsed))
        edges.append(f"    {above} --> {name}")
        above = name
    for number, sample in enumerate(trace.samples):
        label = f"sample {number + 1}", sample.answer or "no answer"
        lines.append(_mermaid_node(f"S{number}", width, *label))
        edges += [f"    P --> S{number}", f"    S{number} --> A"]
    if not trace.samples:
        edges.append(f"    {above} --> A")
    votes = [f"votes: {_votes(trace)}"] if trace.votes else []
    lines.append(_mermaid_node("A", width, f"answer: {trace.answer or 'none'}", *votes))
    return "\n".join([*lines, *edges]) + "\n"


def _mermaid_node(name: str, width: int, *label: str) -> str:
    """A node; what could mean something to Mermaid or to HTML is written as its number."""
    lines = [" ".join(_visible(line).split()) for line in label]
    lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
    safe = ("".join(_entity(char) for char in line) for line in lines)
    return f'    {name}["{"<br/>".join(safe)}"]'


def _entity(char: str) -> str:
    """A character as Mermaid takes it, by its number if it could mean something else."""
    plain = not char.isascii() or char.isalnum() or char in " ,?!'"
    return char if plain else f"#{ord(char)};"


def _html(trace: Trace) -> str:
    """Boxes that open, in which each text has its name. Nothing is loaded from elsewhere."""
    return f"<div>{_details_of(trace, _visible(trace.problem.question), top=True)}</div>"


def _details_of(trace: Trace, title: str, *, top: bool = False) -> str:
    """A trace, or a sample within one, whose problem and strategy are those of the whole."""
    parts = []
    if top and trace.problem.context:
        parts.append(_definitions({"given": trace.problem.context}))
    for number, call in enumerate(trace.calls):
        marks = [_mark(issue.kind, issue.detail) for issue in trace.issues if issue.call == number]
        cost = (
            f"{sum(reply.prompt_tokens for reply in call.replies):,} tokens read, "
            f"{sum(reply.completion_tokens for reply in call.replies):,} written, "
            f"{call.seconds:.3f} s, finish reason {call.reply.finish_reason}"
        )
        if call.others:
            cost = f"{len(call.replies)} replies, {cost}"
        thought = {"thought": call.reply.thought} if call.reply.thought else {}
        texts = {"prompt": call.prompt, **thought, "reply": call.reply.text}
        read = {"read from the reply": "\n".join(call.parsed), "cost": cost}
        parts.append(_disclosure(" ".join([_title(call), *marks]), _definitions(texts | read)))
    for number, sample in enumerate(trace.samples, start=1):
        parts.append(_details_of(sample, _solved(f"sample {number}", sample.answer)))
    marks = [_mark(issue.kind, issue.detail) for issue in trace.issues if issue.call is None]
    last = {"votes": _votes(trace)} if trace.votes else {}
    last["answer"] = " ".join([trace.answer or "none", *marks])
    if top:
        last |= {"strategy": trace.strategy, "model": trace.model}
    return _disclosure(title, "".join([*parts, _definitions(last)]), opened=top)


def _disclosure(title: str, body: str, *, opened: bool = False) -> str:
    start = "<details open>" if opened else "<details>"
    return f"{start}<summary>{escape(title)}</summary>{body}</details>"


def _definitions(texts: dict[str, str]) -> str:
    """Texts, each under its name, as a list in which a screen reader finds both."""
    rows = (
        f"<dt>{name}</dt><dd><pre>{escape(_visible(text)) or '(nothing)'}</pre></dd>"
        for name, text in texts.items()
    )
    return f"<dl>{''.join(rows)}</dl>"


def _visible(text: str) -> str:
    """A text that shows in any terminal or page: control characters and the like by number."""
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return "".join(
        f"\\u{{{ord(char):x}}}"
        if char != "\n" and unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
        else char
        for char in text
    )
