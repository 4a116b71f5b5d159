"""Traces to look at: as a tree of text, as a diagram, as HTML."""

import unicodedata
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from llmbook.prompting.trace import Call, Trace


class _Node(NamedTuple):
    text: str
    below: list["_Node"]


def tree(trace: "Trace") -> str:
    """A line or more for each thing that happened, drawn as a tree."""
    lines = [*_draw(_Node(visible(trace.problem.question), _nodes(trace)), "", "")]
    read = f"{trace.prompt_tokens:,} read"
    if trace.reused_tokens:
        read += f" ({trace.reused_tokens:,} of them reused)"
    calls = f"{trace.num_calls:,} call{'' if trace.num_calls == 1 else 's'}"
    lines.append(
        f"{visible(trace.strategy)}, {visible(trace.model)}: {calls}, tokens: {read}, "
        f"{trace.completion_tokens:,} written"
    )
    return "\n".join(lines)


def _draw(node: _Node, first: str, rest: str) -> list[str]:
    """The lines of a node: ``first`` leads its first line, ``rest`` all that come after it."""
    head, *more = node.text.split("\n")
    stem = "│  " if node.below else "   "
    lines = [(first + head).rstrip(), *((rest + stem + line).rstrip() for line in more)]
    for child in node.below:
        last = child is node.below[-1]
        lines += _draw(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
    return lines


def _nodes(trace: "Trace") -> list[_Node]:
    """What stands under a problem: its context, calls, samples and answer."""
    nodes = []
    if trace.problem.context:
        nodes.append(_Node(f"given: {visible(trace.problem.context.strip())}", []))
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
    return [*nodes, _Node(f"answer: {visible(trace.answer) or 'none'}", marks)]


def _title(call: "Call") -> str:
    if call.purpose == "answer":
        return _solved(call.question, "".join(call.parsed))
    return call.purpose


def _details(trace: "Trace", number: int, call: "Call") -> list[_Node]:
    """What a call wrote, where its title does not say it, and what went wrong in it."""
    nodes = []
    if call.purpose == "plan":
        nodes = [_Node(visible(item), []) for item in call.parsed]
    elif call.purpose != "plan and answers" and "".join(call.parsed) != call.reply.text.strip():
        nodes = [_Node(f"wrote: {visible(call.reply.text.strip()) or 'nothing'}", [])]
    marks = [issue for issue in trace.issues if issue.call == number]
    return nodes + [_Node(_mark(issue.kind, issue.detail), []) for issue in marks]


def _solved(question: str, answer: str) -> str:
    return f"{visible(question)} → {visible(answer) or 'no answer'}"


def _votes(trace: "Trace") -> str:
    return ", ".join(f"{visible(answer)} × {count}" for answer, count in trace.votes.items())


def _mark(kind: str, detail: str) -> str:
    return f"! {kind}" + (f": {visible(detail)}" if detail else "")


def mermaid(trace: "Trace", width: int = 80) -> str:
    """A flowchart from the problem through plan, sub-problems or samples to the answer."""
    lines, edges = ["flowchart TD", _box("P", width, trace.problem.question)], []
    above = "P"
    for number, call in enumerate(trace.calls):
        name = f"C{number}"
        found = " ; ".join(call.parsed) or "nothing"
        asked = call.question if call.purpose == "answer" else call.purpose
        lines.append(_box(name, width, asked, found))
        edges.append(f"    {above} --> {name}")
        above = name
    for number, sample in enumerate(trace.samples):
        label = f"sample {number + 1}", sample.answer or "no answer"
        lines.append(_box(f"S{number}", width, *label))
        edges += [f"    P --> S{number}", f"    S{number} --> A"]
    if not trace.samples:
        edges.append(f"    {above} --> A")
    votes = [f"votes: {_votes(trace)}"] if trace.votes else []
    lines.append(_box("A", width, f"answer: {trace.answer or 'none'}", *votes))
    return "\n".join([*lines, *edges]) + "\n"


def _box(name: str, width: int, *label: str) -> str:
    """A node; what could mean something to Mermaid or to HTML is written as its number."""
    lines = [" ".join(visible(line).split()) for line in label]
    lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
    safe = ("".join(_entity(char) for char in line) for line in lines)
    return f'    {name}["{"<br/>".join(safe)}"]'


def _entity(char: str) -> str:
    plain = not char.isascii() or char.isalnum() or char in " ,?!'"
    return char if plain else f"#{ord(char)};"


def html(trace: "Trace") -> str:
    """Boxes that open, in which each text has its name. Nothing is loaded from elsewhere."""
    return f"<div>{_opened(trace, visible(trace.problem.question), top=True)}</div>"


def _opened(trace: "Trace", title: str, *, top: bool = False) -> str:
    """A trace, or a sample within one, whose problem and strategy are those of the whole."""
    parts = []
    if top and trace.problem.context:
        parts.append(_named({"given": trace.problem.context}))
    for number, call in enumerate(trace.calls):
        marks = [_mark(issue.kind, issue.detail) for issue in trace.issues if issue.call == number]
        cost = (
            f"{call.reply.prompt_tokens:,} tokens read, {call.reply.completion_tokens:,} written, "
            f"{call.seconds:.3f} s, finish reason {call.reply.finish_reason}"
        )
        thought = {"thought": call.reply.thought} if call.reply.thought else {}
        texts = {"prompt": call.prompt, **thought, "reply": call.reply.text}
        read = {"read from the reply": "\n".join(call.parsed), "cost": cost}
        parts.append(_box_that_opens(" ".join([_title(call), *marks]), _named(texts | read)))
    for number, sample in enumerate(trace.samples, start=1):
        parts.append(_opened(sample, _solved(f"sample {number}", sample.answer)))
    marks = [_mark(issue.kind, issue.detail) for issue in trace.issues if issue.call is None]
    last = {"votes": _votes(trace)} if trace.votes else {}
    last["answer"] = " ".join([trace.answer or "none", *marks])
    if top:
        last |= {"strategy": trace.strategy, "model": trace.model}
    return _box_that_opens(title, "".join([*parts, _named(last)]), opened=top)


def _box_that_opens(title: str, body: str, *, opened: bool = False) -> str:
    start = "<details open>" if opened else "<details>"
    return f"{start}<summary>{escape(title)}</summary>{body}</details>"


def _named(texts: dict[str, str]) -> str:
    """Texts, each under its name, as a list in which a screen reader finds both."""
    rows = (
        f"<dt>{name}</dt><dd><pre>{escape(visible(text)) or '(nothing)'}</pre></dd>"
        for name, text in texts.items()
    )
    return f"<dl>{''.join(rows)}</dl>"


def visible(text: str) -> str:
    """A text that shows in any terminal or page: control characters and the like by number."""
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return "".join(
        f"\\u{{{ord(char):x}}}"
        if char != "\n" and unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
        else char
        for char in text
    )
