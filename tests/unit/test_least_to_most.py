"""Least-to-most: what is asked, in which order, and what happens when a model misbehaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook.lm import ScriptedModel
from llmbook.lm.protocol import Reply
from llmbook.prompting import (
    KnownPlanner,
    LeastToMost,
    ModelPlanner,
    OnePassLeastToMost,
    ProgramPlanner,
    PromptTemplate,
    SelfConsistency,
    Trace,
    shipped,
)
from llmbook.tasks import chains, last_letters
from llmbook.tasks.problem import Exemplar, Problem, Step
from tests.support.models import Recorder

ADD = Exemplar("1 + 2 + 3", "6", steps=(Step("1 + 2", "3"), Step("1 + 2 + 3", "6")))


def add(prompt: str) -> str:
    """Plans a sum by its beginnings; answers from the turn before, as a model ought to."""
    question = prompt.rsplit("Q: ", 1)[1]
    numbers = question.split("\n")[0].split(" + ")
    if question.endswith("Plan:"):
        return " " + " ; ".join(" + ".join(numbers[:n]) for n in range(2, len(numbers) + 1))
    known = prompt.rsplit("\nA: ", 1)[-1].split("\n")[0] if len(numbers) > 2 else numbers[0]
    return f" {int(known) + int(numbers[-1])}"


def kinds(trace: Trace) -> list[str]:
    return [issue.kind for issue in trace.issues]


def test_each_step_sees_the_questions_and_answers_before_it():
    model = Recorder(add)
    strategy = LeastToMost(planner=ModelPlanner(exemplars=[ADD]), exemplars=[ADD])
    trace = strategy.solve(Problem("4 + 5 + 6 + 7", "22", context="Sums."), model)
    shown = "Q: 1 + 2\nA: 3\n\nQ: 1 + 2 + 3\nA: 6\n\nSums.\n\n"
    assert [prompts for prompts, _ in model.calls] == [
        ["Q: 1 + 2 + 3\nPlan: 1 + 2 ; 1 + 2 + 3\n\nSums.\n\nQ: 4 + 5 + 6 + 7\nPlan:"],
        [f"{shown}Q: 4 + 5\nA:"],
        [f"{shown}Q: 4 + 5\nA: 9\n\nQ: 4 + 5 + 6\nA:"],
        [f"{shown}Q: 4 + 5\nA: 9\n\nQ: 4 + 5 + 6\nA: 15\n\nQ: 4 + 5 + 6 + 7\nA:"],
    ]
    assert trace.answer == "22" and not trace.issues
    assert trace.steps == [Step("4 + 5", "9"), Step("4 + 5 + 6", "15"), Step("4 + 5 + 6 + 7", "22")]


def test_problems_move_in_step_and_one_is_like_it_would_be_alone():
    model = Recorder(add)
    questions = ["1 + 1 + 1 + 1", "2 + 2", "3 + 3 + 3"]
    traces = LeastToMost().solve_all(questions, model)
    assert [len(prompts) for prompts, _ in model.calls] == [3, 3, 2, 1]
    alone = [LeastToMost().solve(question, Recorder(add)) for question in questions]
    for trace, single in zip(traces, alone, strict=True):
        assert trace.steps == single.steps
        assert [call.prompt for call in trace.calls] == [call.prompt for call in single.calls]


@pytest.mark.parametrize("history", [0, 1, 2, 3, 4, 5, 9, None])
def test_history_bounds_what_a_step_sees(history):
    model = Recorder(lambda prompt: "x")
    plan = list("abcdef")
    LeastToMost(planner=ProgramPlanner(lambda _: plan), history=history).solve("f", model)
    for place, (prompts, _) in enumerate(model.calls):
        shown = plan[:place] if history is None else plan[max(0, place - history) : place]
        turns = "".join(f"Q: {one}\nA: x\n\n" for one in shown)
        assert prompts == [f"{turns}Q: {plan[place]}\nA:"]


def test_raw_history_shows_what_the_model_wrote():
    model = Recorder(lambda prompt: " So it is 5.")
    strategy = LeastToMost(
        planner=ProgramPlanner(lambda _: ["a"]), parse_answer=lambda text: "5", raw_history=True
    )
    assert strategy.solve("b", model).steps == [Step("a", "5"), Step("b", "5")]
    assert model.calls[-1][0] == ["Q: a\nA: So it is 5.\n\nQ: b\nA:"]


@pytest.mark.parametrize(
    ("plan", "asked", "issues"),
    [
        ("a ; b ; P", ["a", "b", "P"], []),
        ("a ; b", ["a", "b", "P"], ["plan-open"]),
        ("P ; a", ["a", "P"], ["plan-open"]),
        ("a ; a ; P", ["a", "P"], ["plan-repeats"]),
        ("", ["P"], ["plan-empty"]),
        (" ;; ", ["P"], ["plan-unreadable"]),
        ("a ; b ; c ; d ; P", ["a", "b", "c", "P"], ["plan-long"]),
        (Reply("a ; b ; hal", "length", 1, 9), ["a", "b", "P"], ["plan-cut", "plan-open"]),
        (Reply("a ; b ; P", "length", 1, 9), ["a", "b", "P"], ["plan-cut"]),
        (Reply("", "error", 0, 0, error="gone"), ["P"], ["model-error"]),
    ],
)
def test_any_plan_is_followed_by_a_rule(plan, asked, issues):
    model = Recorder(lambda prompt: plan if prompt.endswith("Plan:") else "x")
    trace = LeastToMost(planner=ModelPlanner(max_subproblems=4)).solve("P", model)
    assert [step.question for step in trace.steps] == asked
    assert kinds(trace) == issues and trace.answer == "x"


def test_a_plan_need_not_name_the_problem():
    model = Recorder(lambda prompt: "b ; a" if prompt.endswith("Plan:") else "x")
    planner = ModelPlanner(top_down=True, names_problem=False)
    trace = LeastToMost(planner=planner).solve("P", model)
    assert [step.question for step in trace.steps] == ["a", "b", "P"] and not trace.issues


def test_a_program_that_has_no_plan_stops_nothing():
    strategy = LeastToMost(planner=ProgramPlanner(last_letters.decompose))
    trace = strategy.solve("no list!", Recorder(lambda _: "x"))
    assert [step.question for step in trace.steps] == ["no list!"] and trace.answer == "x"
    assert kinds(trace) == ["plan-refused"] and "got 'no list!'" in trace.issues[0].detail


@pytest.mark.parametrize(
    ("plan", "asked", "issues"),
    [
        ([], ["P"], ["plan-empty"]),
        (["", " x "], ["x", "P"], ["plan-open"]),
        (["x", "y", "x", "P "], ["x", "y", "P"], []),  # it may be needed twice
    ],
)
def test_a_plan_of_a_program_is_followed_by_the_same_rules(plan, asked, issues):
    strategy = LeastToMost(planner=ProgramPlanner(lambda _: plan))
    trace = strategy.solve("P", Recorder(lambda _: "1"))
    assert [step.question for step in trace.steps] == asked and kinds(trace) == issues


def test_a_blank_after_the_question_changes_nothing():
    trace = LeastToMost().solve("P ", Recorder(lambda prompt: "a ; P" if "Plan" in prompt else "1"))
    assert [step.question for step in trace.steps] == ["a", "P "] and not trace.issues


def test_what_a_model_thinks_first_is_neither_plan_nor_answer():
    thought = "<think>\nQ: x ; y\n\nHm.\n</think>\n\n"
    model = Recorder(lambda prompt: thought + ("a ; P" if prompt.endswith("Plan:") else "7"))
    trace = LeastToMost(raw_history=True).solve("P", model)
    assert trace.steps == [Step("a", "7"), Step("P", "7")] and not trace.issues
    assert trace.calls[-1].prompt == "Q: a\nA: 7\n\nQ: P\nA:"
    endless = LeastToMost().solve("P", Recorder(lambda _: Reply("<think> Hm", "length", 1, 1)))
    assert kinds(endless) == ["plan-empty", "answer-cut", "answer-empty"]


def test_marks_of_a_sample_show_in_the_tree():
    strategy = LeastToMost(planner=ProgramPlanner(lambda _: ["a"]))
    trace = SelfConsistency(strategy=strategy, samples=1).solve("P", Recorder(lambda _: "x"))
    assert kinds(trace.samples[0]) == ["plan-open"] and "! plan-open" in str(trace)


def test_a_step_without_an_answer_is_left_out_of_what_follows():
    model = Recorder(lambda prompt: "" if prompt.endswith("Q: a\nA:") else "x")
    trace = LeastToMost(planner=ProgramPlanner(lambda _: ["a", "b", "c"])).solve("c", model)
    assert model.calls[-1][0] == ["Q: b\nA: x\n\nQ: c\nA:"]
    assert kinds(trace) == ["answer-empty"] and trace.steps[0] == Step("a", "")


def test_one_pass_reads_everything_from_one_completion():
    # A model that heeds the stop strings, and would go on with the next problem.
    text = " a ; P\nQ: a\nA: 1\n\nQ: P\nA: 2\n\n\nProblem: another\nPlan: b"
    model = ScriptedModel(lambda prompt: text)
    trace = OnePassLeastToMost(exemplars=[ADD]).solve("P", model)
    assert trace.calls[0].prompt == (
        "Problem: 1 + 2 + 3\nPlan: 1 + 2 ; 1 + 2 + 3\nQ: 1 + 2\nA: 3\n\nQ: 1 + 2 + 3\nA: 6\n\n\n"
        "Problem: P\nPlan:"
    )
    assert trace.answer == "2" and trace.num_calls == 1 and not trace.issues
    assert trace.steps == [Step("a", "1"), Step("P", "2")]


@pytest.mark.parametrize(
    ("text", "issues"),
    [
        ("", ["answer-empty"]),
        ("hm", ["plan-unreadable"]),
        ("Q: a\nA: 1", ["pass-open"]),
        ("Q: a\nA:\nQ: P\nA: 2", ["answer-unreadable"]),
        ("Q: P\nA: 2\nQ: what else\nA: 3", ["pass-open"]),
        ("".join(f"Q: {i}\nA: 1\n" for i in range(20)) + "Q: P\nA: 2", ["plan-long", "pass-open"]),
        (Reply("Q: P\nA: 2", "length", 1, 1), ["answer-cut"]),
        (Reply("", "error", 0, 0, error="gone"), ["model-error"]),
    ],
)
def test_one_pass_marks_what_goes_wrong(text, issues):
    trace = OnePassLeastToMost().solve("P", Recorder(lambda _: text))
    assert kinds(trace) == issues and len(trace.steps) <= 20
    answered = "Q: P\nA: 2" in str(getattr(text, "text", text)) and "plan-long" not in issues
    assert trace.answer == ("2" if answered else "")


@given(data=st.data(), one_pass=st.booleans(), top_down=st.booleans(), names=st.booleans())
def test_no_text_of_a_model_breaks_it(data, one_pass, top_down, names):
    model = Recorder(lambda prompt: data.draw(st.text(max_size=30)))
    planner = ModelPlanner(top_down=top_down, names_problem=names, max_subproblems=3)
    several = LeastToMost(planner=planner)
    strategy = OnePassLeastToMost(max_subproblems=3) if one_pass else several
    trace = strategy.solve("P", model)
    assert len(trace.steps) <= 3
    assert Trace.from_json(trace.to_json()) == trace
    for view in (str(trace), trace.to_mermaid(), trace._repr_html_()):
        assert view


def test_the_tiny_models_read_just_what_they_were_trained_on():
    lines = {
        "\nQ: jump left twice and walk\nPlan:": " jump left twice ; jump left ; walk",
        "\nQ: walk\nA:": " WALK",
        "\nQ: walk\nA: WALK\nQ: jump left\nA:": " LEFT + JUMP",
        "\nQ: walk\nA: WALK\nQ: jump left\nA: LEFT + JUMP\nQ: jump left twice\nA:": " ( x ) * 2",
        "\nQ: walk\nA: WALK\nQ: jump left\nA: LEFT + JUMP\nQ: jump left twice\nA: ( x ) * 2"
        "\nQ: jump left twice and walk\nA:": " ( x ) * 2 + WALK",
    }
    strategy = shipped.strategies("scan")["least-to-most"]
    trace = strategy.solve("jump left twice and walk", Recorder(lines.__getitem__))
    assert trace.answer == "( x ) * 2 + WALK" and not trace.issues

    story = " bo ann +3 ; ann 7 ; cy bo -2 ;"
    lines = {
        f"{story}\nQ: cy\nPlan:": " cy ; bo ; ann ; given",
        f"{story}\nQ: ann\nA:": " 7",
        f"{story}\nQ: ann\nA: 7\nQ: bo\nA:": " ann and +3 : 7 +3 = 10",
        f"{story}\nQ: bo\nA: 10\nQ: cy\nA:": " bo and -2 : 10 -2 = 8",
    }
    strategy = shipped.strategies("chains")["least-to-most"]
    trace = strategy.solve(Problem("cy", "8", context=story), Recorder(lines.__getitem__))
    assert trace.answer == "8" and not trace.issues

    lines = {f"{story}\nQ: cy\nThink:": " cy is bo and -2 ; cy is 10 -2 = 8"}
    strategy = shipped.strategies("chains")["chain-of-thought"]
    assert strategy.solve(Problem("cy", "8", context=story), Recorder(lines.get)).answer == "8"
    lines = {"\nQ: walk twice\nThink:": " so ( WALK ) * 2"}
    strategy = shipped.strategies("scan")["chain-of-thought"]
    assert strategy.solve("walk twice", Recorder(lines.get)).answer == "( WALK ) * 2"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (ModelPlanner, {"max_subproblems": 0}, "max_subproblems must be at least 1"),
        (ModelPlanner, {"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        (ModelPlanner, {"exemplars": [Exemplar("a", "b")]}, r"exemplars\[0\] must have steps"),
        (ProgramPlanner, {"decompose": str.split, "max_subproblems": 0}, "max_subproblems must be"),
        (LeastToMost, {"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        (LeastToMost, {"history": -1}, "history must be at least 0"),
        (LeastToMost, {"exemplars": [Exemplar("a", "b")]}, r"exemplars\[0\] must have steps"),
        (OnePassLeastToMost, {"max_subproblems": 0}, "max_subproblems must be at least 1"),
        (OnePassLeastToMost, {"exemplars": [Exemplar("a", "b")]}, r"exemplars\[0\] must have"),
        (
            OnePassLeastToMost,
            {"template": PromptTemplate()},
            "template.stop must not occur in the turns of the template, got '\\\\n\\\\n'",
        ),
        (
            OnePassLeastToMost,
            {"template": PromptTemplate(turn="{question} {answer}", stop=())},
            "turn must have the question, a mark and the answer",
        ),
    ],
)
def test_bad_input_is_named(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_known_steps_are_asked_in_their_order_and_without_a_prompt():
    [problem] = chains.problems(1, size=4, seed=1)
    model = ScriptedModel(lambda _: " 1")
    trace = LeastToMost(planner=KnownPlanner()).solve(problem, model)
    assert [call.purpose for call in trace.calls] == ["answer"] * 4
    assert [step.question for step in trace.steps] == [step.question for step in problem.steps]
    assert not trace.issues
    assert kinds(LeastToMost(planner=KnownPlanner()).solve("a", model)) == ["plan-empty"]
