"""A chat ends its turns by itself: what ends a text that goes on and on must not cut an answer."""

from contextlib import contextmanager

import pytest

from llmbook import tasks
from llmbook.evaluation import evaluate
from llmbook.lm import EndpointModel
from llmbook.prompting import (
    ChainOfThought,
    FewShot,
    LeastToMost,
    OnePassLeastToMost,
    ProgramPlanner,
    SelfConsistency,
    ZeroShot,
    read_after,
    strategy_for,
)
from llmbook.tasks.problem import Exemplar, Problem, Step
from tests.support.server import Sent, chatting, serving

QUESTION = "Anna has 9 apples and buys 9 more. How many apples does she have?"
SHOWN = [Exemplar("2 + 3", "5", rationale="2 and 3 make 5.", steps=(Step("2 + 3", "5"),))]
READ = read_after("The answer is")
STRATEGIES = {
    **{
        name: strategy_for(tasks.get("word-problems"), name)
        for name in ("zero-shot", "few-shot", "chain-of-thought", "self-consistency",
                     "least-to-most")
    },
    "zero-shot by hand": ZeroShot(parse_answer=READ),
    "few-shot by hand": FewShot(exemplars=SHOWN, parse_answer=READ),
    "chain of thought by hand": ChainOfThought(exemplars=SHOWN),
    "chain of thought by a trigger": ChainOfThought(trigger="Let's think step by step."),
    "self-consistency by hand": SelfConsistency(strategy=ChainOfThought(exemplars=SHOWN)),
    "least-to-most by hand": LeastToMost(exemplars=SHOWN, parse_answer=READ),
    "least-to-most with a program": LeastToMost(
        planner=ProgramPlanner(lambda _: []), parse_answer=READ
    ),
}  # fmt: skip
ANSWERS = [
    "The answer is 18.",
    "Let me think.\n\nThe answer is 18.",
    "\n\nFirst:\n\n9 + 9\n\nThe answer is 18.",
    f"You ask this.\nQ: {QUESTION}\nA: The answer is 18.",
    f"Problem.\n\nProblem: {QUESTION}\n\nThe answer is 18.",
    "<think>\nHm.\n\nQ: 9?\n\n</think>\n\nLet me think.\n\nThe answer is 18.",
]


@contextmanager
def saying(text):
    """A server that gives one answer, to chats and to texts to go on with."""
    plain = Sent({"choices": [{"text": text, "finish_reason": "stop"}]})
    with serving(lambda _, attempt: chatting(text) if server.chat else plain) as server:
        yield server


@pytest.mark.parametrize("text", ANSWERS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_no_answer_of_a_chat_is_lost(tmp_path, name, text):
    with saying(text) as server:
        server.chat = True
        model = EndpointModel("m", server.url)
        [trace] = evaluate(
            STRATEGIES[name], model, [Problem(QUESTION, "18")], transcript=tmp_path / "t.jsonl"
        )
    assert trace.answer == "18", trace
    assert not any("stop" in body for body in server.requests)


def test_one_pass_of_a_chat_may_have_paragraphs_and_name_the_problem():
    text = f"Problem: {QUESTION}\nPlan: two steps\n\nQ: 9?\nA: 9\n\nQ: {QUESTION}\nA: 18"
    with saying(f"Well.\n{text}") as server:
        server.chat = True
        trace = OnePassLeastToMost().solve(QUESTION, EndpointModel("m", server.url))
    assert trace.answer == "18"


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_text_that_goes_on_ends_before_the_next_question(name):
    with saying(" The answer is 18.\n\nQ: And if she has 7?\nA: The answer is 16.") as server:
        server.chat = False
        trace = STRATEGIES[name].solve(QUESTION, EndpointModel("m", server.url, chat=False))
    assert trace.answer == "18", trace
    assert all(body["stop"] == ["\n\n", "\nQ:"] for body in server.requests)
