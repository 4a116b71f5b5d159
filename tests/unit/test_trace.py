"""Traces: nothing is lost on the way to a file, and any text can be looked at."""

import json
import re
from html.parser import HTMLParser

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from llmbook.lm.protocol import Reply
from llmbook.prompting import ISSUES, Call, Issue, Trace, count_issues
from llmbook.tasks.problem import Problem, Step

texts = st.text(max_size=20)
counts = st.integers(0, 999)
replies = st.builds(
    Reply,
    texts,
    st.sampled_from(["end", "stop", "length", "error"]),
    counts,
    counts,
    counts,
    st.none() | st.lists(st.floats(-9, 0), max_size=3).map(tuple),
    texts,
)
steps = st.builds(Step, texts, texts)
purposes = st.sampled_from(["plan", "answer", "reasoning", "plan and answers"])
calls = st.builds(
    Call, purposes, texts, texts, replies, st.lists(texts, max_size=3).map(tuple), st.floats(0, 9)
)
problems = st.builds(Problem, texts, texts, counts, st.lists(steps, max_size=2).map(tuple), texts)
issues = st.builds(Issue, st.sampled_from([*ISSUES]), st.none() | st.integers(0, 2), texts)
plain = st.builds(
    Trace, problems, texts, texts, st.lists(calls, max_size=3), st.lists(steps, max_size=2), texts,
    st.lists(issues, max_size=3), st.dictionaries(texts, counts, max_size=2),
)  # fmt: skip
traces = plain | st.builds(
    lambda trace, samples: Trace(trace.problem, "s", "m", samples=samples),
    plain,
    st.lists(plain, max_size=2),
)


@given(trace=traces)
def test_a_trace_comes_back_from_json(trace):
    line = trace.to_json()
    assert "\n" not in line and line.isascii()
    assert Trace.from_json(line) == trace


@given(trace=traces)
def test_any_trace_can_be_looked_at(trace):
    class Balance(HTMLParser):
        depth = 0

        def handle_starttag(self, tag, attrs):
            assert tag in ("div", "details", "summary", "dl", "dt", "dd", "pre")
            assert all(name == "open" for name, _ in attrs)
            self.depth += 1

        def handle_endtag(self, tag):
            self.depth -= 1

    parser = Balance()
    parser.feed(trace._repr_html_())
    assert parser.depth == 0
    assert repr(trace) == str(trace)  # at the prompt, a bare name shows the tree
    first, *nodes = trace.to_mermaid().splitlines()
    assert first == "flowchart TD"
    for line in nodes:
        assert re.fullmatch(r'    \w+(\["[^"\[\]<>{}]*(<br/>[^"\[\]<>{}]*)*"\]| --> \w+)', line), (
            line
        )
    assert "\x1b" not in str(trace)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"problem": 3}', "nonsense", "[" * 100_000])
def test_what_is_no_trace_is_refused(text):
    with pytest.raises(ValueError, match="trace"):
        Trace.from_json(text)


def test_wrong_fields_are_named():
    data = json.loads(Trace(Problem("q", "a"), "s", "m").to_json())
    data["issues"] = [{"kind": "unheard-of", "call": None, "detail": ""}]
    with pytest.raises(ValueError, match=r"trace.issues\[0\].kind must be"):
        Trace.from_json(json.dumps(data))


def test_samples_count_too():
    call = Call("answer", "q", "p", Reply("t", "end", 5, 2, 1), seconds=0.5)
    sample = Trace(Problem("q", "a"), "s", "m", calls=[call], issues=[Issue("answer-cut", 0)])
    trace = Trace(Problem("q", "a"), "s", "m", calls=[call], samples=[sample, sample])
    assert (trace.num_calls, trace.prompt_tokens, trace.completion_tokens) == (3, 15, 6)
    assert (trace.reused_tokens, trace.seconds) == (3, 1.5)
    assert count_issues([trace]) == {"answer-cut": 2}


def test_each_text_of_a_trace_has_its_name_in_a_notebook():
    reply = Reply("<b>4 & 5</b>", "length", 1234, 2)
    call = Call("answer", "<script>q</script>", "Q: q\nA:", reply, ("4", "5"), 0.25)
    issue = Issue("answer-cut", 0)
    sample = Trace(Problem("q", "a"), "s", "m", calls=[call], answer="4", issues=[issue])
    problem = Problem("q", "a", context="Given.")
    trace = Trace(problem, "voting", "<m>", answer="4", votes={"4": 2}, samples=[sample])
    soup = BeautifulSoup(trace._repr_html_(), "lxml")
    names = [name.get_text() for name in soup.find_all("dt")]
    texts = [text.get_text() for text in soup.find_all("dd")]
    assert [*zip(names, texts, strict=True)] == [
        ("given", "Given."),
        ("prompt", "Q: q\nA:"),
        ("reply", "<b>4 & 5</b>"),
        ("read from the reply", "4\n5"),
        ("cost", "1,234 tokens read, 2 written, 0.250 s, finish reason length"),
        ("answer", "4"),
        ("votes", "4 × 2"),
        ("answer", "4"),
        ("strategy", "voting"),
        ("model", "<m>"),
    ]
    titles = [title.get_text() for title in soup.find_all("summary")]
    assert titles == ["q", "sample 1 → 4", "<script>q</script> → 45 ! answer-cut"]
