"""Votes and checks at each prompt: who wins, what it costs, and what happens when none does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook import lm
from llmbook.evaluation import score
from llmbook.lm import Reply, ScriptedModel
from llmbook.prompting import Checked, LeastToMost, SelfConsistency, Trace, Vote, ZeroShot, shipped
from llmbook.prompting._lockstep import Ask
from llmbook.tasks import chains
from llmbook.tasks.sums import sums_are_right


class Lines:
    """A model that answers each prompt with the next of its lines, whatever the seed."""

    name = "lines"

    def __init__(self, *lines: str) -> None:
        self.lines, self.temperatures, self.batches = iter(lines), [], []

    def complete(self, prompts, *, temperature=0.0, seed=0, **_):
        self.temperatures.append(temperature)
        self.batches.append(len(prompts))
        return [Reply(next(self.lines), "end", 1, 1) for _ in prompts]


@pytest.mark.parametrize(
    ("lines", "lead", "answer", "calls"),
    [
        ("aaa", 3, "a", 3),  # ahead by three at once
        ("abaa", 2, "a", 4),
        ("abbb", 2, "b", 4),
        ("abab", 1, "a", 1),
    ],
)
def test_the_first_that_leads_by_enough_wins(lines, lead, answer, calls):
    trace = Vote(strategy=ZeroShot(), lead=lead).solve("?", Lines(*lines, *"cccccc"))
    assert (trace.answer, trace.num_calls, trace.completion_tokens) == (answer, calls, calls)
    assert not trace.issues
    assert trace.calls[0].others == tuple(
        Reply(line, "end", 1, 1)
        for place, line in enumerate(lines[:calls]) if place != lines.index(answer)
    )  # fmt: skip


@given(st.text("abc", min_size=12, max_size=12), st.integers(1, 4), st.integers(1, 12))
def test_no_reply_is_drawn_beyond_the_first_lead_or_the_limit(lines, lead, limit):
    def leads(drawn):
        counts = sorted((drawn.count(letter) for letter in "abc"), reverse=True)
        return counts[0] - counts[1] >= lead

    trace = Vote(strategy=ZeroShot(), lead=lead, max_replies=limit).solve("?", Lines(*lines))
    enough = next((n for n in range(1, 13) if leads(lines[:n])), 13)
    assert trace.num_calls == min(enough, limit)
    drawn = lines[: trace.num_calls]
    assert drawn.count(trace.answer) == max(map(drawn.count, "abc"))
    assert [issue.kind for issue in trace.issues] == ["vote-open"] * (enough > limit)


def test_replies_that_are_needed_anyway_are_drawn_side_by_side():
    model = Lines(*"aabaa")
    Vote(strategy=ZeroShot(), lead=3).solve("?", model)
    assert model.batches == [3, 2]  # a a b leads by one: two more at least


def test_what_is_read_is_voted_on_not_what_is_written():
    vote = Vote(strategy=ZeroShot(parse_answer=lambda text: text[-1]), lead=2)
    assert vote.solve("?", Lines("so 4", "thus 5", "hence 4", "indeed 4")).answer == "4"


def test_a_reply_that_breaks_off_or_cannot_be_read_has_no_vote():
    class Cut(Lines):
        def complete(self, prompts, **options):
            replies = super().complete(prompts, **options)
            return [Reply(r.text, "length" if r.text == "x" else "end", 1, 1) for r in replies]

    vote = Vote(strategy=ZeroShot(parse_answer=lambda text: text if text != "?" else None), lead=2)
    trace = vote.solve("q", Cut("x", "?", "x", "a", "a", "b"))
    assert (trace.answer, trace.num_calls) == ("a", 5)


@pytest.mark.parametrize(
    "strategy",
    [Vote(strategy=ZeroShot(), lead=2), Checked(strategy=ZeroShot(), check=lambda *_: False)],
)
def test_an_error_of_the_model_ends_the_vote_and_is_told(strategy):
    class Broken(Lines):
        def complete(self, prompts, **options):
            super().complete(prompts, **options)
            return [Reply("", "error", 0, 0, error="gone")] * len(prompts)

    trace = strategy.solve("?", Broken(*"abcdef"))
    assert trace.num_calls <= 2
    assert [(issue.kind, issue.detail) for issue in trace.issues] == [("model-error", "gone")]


def test_each_step_of_least_to_most_is_voted_on():
    model = ScriptedModel(
        {
            "Q: 4 + 5 + 1\nPlan:": " 4 + 5 ; 4 + 5 + 1",
            "Q: 4 + 5\nA:": [" 9", " 9", " 8"],
            "Q: 4 + 5\nA: 9\n\nQ: 4 + 5 + 1\nA:": [" 10", " 10", " 11"],
        }
    )
    trace = Vote(strategy=LeastToMost(), lead=3).solve("4 + 5 + 1", model)
    assert trace.answer == "10"
    assert [call.purpose for call in trace.calls] == ["plan", "answer", "answer"]
    assert trace.num_calls >= 9
    assert Trace.from_json(trace.to_json()) == trace
    assert "chosen from 3 replies" in str(trace)


def test_a_vote_within_a_sample_draws_each_time_anew():
    """The seed of a sample and that of a draw both count, or all draws would be the same."""
    model = ScriptedModel({"A:": [" 4", " 5"]})
    strategy = SelfConsistency(strategy=Vote(strategy=ZeroShot(), lead=2), samples=3)
    trace = strategy.solve("2 + 2", model)
    texts = [[reply.text for reply in sample.calls[0].replies] for sample in trace.samples]
    assert max(len({*drawn}) for drawn in texts) == 2
    assert len({tuple(drawn) for drawn in texts}) > 1


def test_a_check_asks_again_until_it_passes_and_begins_with_the_likeliest():
    model = Lines("2 + 2 = 5", "2 + 2 = 3", "2 + 2 = 4")
    strategy = Checked(strategy=ZeroShot(), check=lambda _, text: sums_are_right(text))
    trace = strategy.solve("2 + 2", model)
    assert trace.answer == "2 + 2 = 4"
    assert trace.num_calls == 3
    assert model.temperatures == [0.0, 0.7, 0.7]


def test_a_check_that_nothing_passes_is_marked_and_takes_the_first():
    strategy = Checked(strategy=ZeroShot(), check=lambda *_: False, max_replies=3)
    trace = strategy.solve("?", Lines(*"abc"))
    assert (trace.answer, trace.num_calls) == ("a", 3)
    assert [(issue.kind, issue.call) for issue in trace.issues] == [("check-failed", 0)]


def test_a_check_is_told_which_question_was_asked():
    asked = []
    strategy = Checked(
        strategy=shipped.strategies("chains")["least-to-most"],
        check=lambda question, _: not asked.append(question),
    )
    [problem] = chains.problems(1, size=3, seed=1)
    strategy.solve(problem, lm.load("chains-tiny"))
    assert asked == [problem.question, *(step.question for step in problem.steps)]  # once each


def test_a_vote_at_each_step_mends_what_a_high_temperature_breaks():
    """Errors of draws are independent, so the vote brings back what sampling lost."""
    plain, model = shipped.strategies("chains")["least-to-most"], lm.load("chains-tiny")
    problems = chains.problems(12, size=6, seed=3)
    once = SelfConsistency(strategy=plain, samples=1, temperature=2.5)
    voted = Vote(strategy=plain, lead=3, temperature=2.5, max_replies=40)
    alone = score(once.solve_all(problems, model), chains.grade)
    together = score(voted.solve_all(problems, model), chains.grade)
    assert alone.right < 6 <= 10 <= together.right, (alone, together)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Vote, {"lead": 0}, "lead must be at least 1, got 0"),
        (Vote, {"max_replies": 0}, "max_replies must be at least 1, got 0"),
        (Vote, {"temperature": 0.0}, "temperature must be positive, got 0.0"),
        (Checked, {"check": print, "temperature": -1}, "temperature must be positive, got -1"),
    ],
)
def test_bad_input_is_named(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(strategy=ZeroShot(), **options)


def test_an_ask_without_a_reader_is_compared_by_its_text():
    assert Ask("?", 1, ()).read(" a ") == "a"
