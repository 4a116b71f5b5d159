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
        f"{trace.strategy}, {visible(trace.model)}: {calls}, tokens: {read}, "
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
    """Boxes that open: each call with its prompt and its text. Nothing is loaded from elsewhere."""
    return f"<div>{_details_of(trace, escape(visible(trace.problem.question)), opened=True)}</div>"


def _details_of(trace: "Trace", title: str, *, opened: bool) -> str:
    parts = []
    if trace.problem.context and opened:
        parts.append(f"<pre>{escape(visible(trace.problem.context))}</pre>")
    for number, call in enumerate(trace.calls):
        marks = [_mark(issue.kind, issue.detail) for issue in trace.issues if issue.call == number]
        tokens = f"{call.reply.prompt_tokens} → {call.reply.completion_tokens} tokens"
        body = "".join(f"<pre>{escape(visible(text))}</pre>" for text in
                       (call.prompt, call.reply.text, "\n".join(call.parsed)))  # fmt: skip
        body += f"<p>{tokens}, {call.reply.finish_reason}, {call.seconds:.3f} s</p>"
        title_of_call = escape(" ".join([_title(call), *marks]))
        parts.append(f"<details><summary>{title_of_call}</summary>{body}</details>")
    for number, sample in enumerate(trace.samples, start=1):
        name = escape(_solved(f"sample {number}", sample.answer))
        parts.append(_details_of(sample, name, opened=False))
    marks = [_mark(issue.kind, issue.detail) for issue in trace.issues if issue.call is None]
    if trace.votes:
        marks.insert(0, f"votes: {_votes(trace)}")
    answer = escape(" ".join([f"answer: {visible(trace.answer) or 'none'}", *marks]))
    return (
        f"<details{' open' if opened else ''}><summary>{title}</summary>"
        f"{''.join(parts)}<p>{answer}</p></details>"
    )


def visible(text: str) -> str:
    """A text that shows in any terminal or page: control characters and the like by number."""
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return "".join(
        f"\\u{{{ord(char):x}}}"
        if char != "\n" and unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
        else char
        for char in text
    )
