"""Templates, readers and the strategies that need no plan."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook import tasks
from llmbook.lm import ScriptedModel
from llmbook.lm.protocol import LanguageModel, Reply
from llmbook.prompting import (
    ChainOfThought,
    FewShot,
    LeastToMost,
    PromptTemplate,
    SelfConsistency,
    ZeroShot,
    read_after,
    read_list,
    read_quoted,
    read_sentence,
    strategy_for,
)
from llmbook.tasks.problem import Exemplar, Problem, Step
from tests.support.models import Recorder

TWO = Exemplar("2 + 3", "5", rationale="2 and 3 make 5.", steps=(Step("2 + 3", "5"),))


def test_the_recorder_and_the_script_are_language_models():
    assert isinstance(Recorder(str), LanguageModel) and isinstance(ScriptedModel({}), LanguageModel)


def test_a_prompt_is_put_together_in_one_order():
    template = PromptTemplate(instruction="Add.\n", exemplar="Q: {question} {rationale}\n{steps}")
    prompt = template.render("1 + 1", exemplars=[TWO], context="Sums", turns=[Step("0", "0")])
    assert prompt == (
        "Add.\nQ: 2 + 3 2 and 3 make 5.\nQ: 2 + 3\nA: 5\n\nSums\n\nQ: 0\nA: 0\n\nQ: 1 + 1\nA:"
    )


@given(question=st.text(), answer=st.text(), context=st.text())
def test_what_is_put_into_a_template_stays_as_it_is(question, answer, context):
    template = PromptTemplate(
        context="<{context}>", turn="[{question}|{answer}]", question="{question}"
    )
    prompt = template.render(question, context=context, turns=[Step(question, answer)])
    before = f"<{context}>" if context else ""
    assert prompt == f"{before}[{question}|{answer}]{question}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": "Q:"}, "question must hold {question} once"),
        ({"turn": "{question}"}, "turn must hold {answer} and {question} once"),
        ({"exemplar": "{context}"}, "exemplar must hold only"),
        ({"stop": ("",)}, "stop must be a tuple of strings"),
        ({"stop": "x"}, "stop must be a tuple of strings"),
    ],
)
def test_a_wrong_template_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        PromptTemplate(**changes)


def test_turns_are_read_back_from_a_text():
    turns = [Step("a?", "b"), Step("c?", "d")]
    text = "".join(f"Q: {turn.question}\nA: {turn.answer}\n\n" for turn in turns)
    assert PromptTemplate().read_turns("well\n" + text + "Q: e?") == [*turns, Step("e?", "")]


@given(text=st.text())
def test_readers_digest_any_text(text):
    for item in (*read_list(text), *read_quoted(text)):
        assert item.strip() and "\n" not in item
    assert "\n" not in read_sentence(text)
    read_after()(text)
    PromptTemplate().read_turns(text)


def test_readers_find_what_is_there():
    assert read_after()("The answer is 4. So THE ANSWER IS: 5.5. Then") == "5.5"
    assert read_after("答案是")("所以答案是 7。好") == "7"
    assert read_after()("The answer isn't known") is None
    assert read_quoted('solve "a b" and “c\nd”') == ["a b", "c d"]
    assert read_after()("Let's add.\n\n**Answer:** **9**.") == "9"
    assert read_after()("所以答案是 7。好") == "7"
    assert read_after()(r"So \boxed{9}") == "9"
    assert read_sentence("Mr. Li has 2.5 pens. Or 3?") == "Mr. Li has 2.5 pens"


PLANS = [  # a list as a model may write it, and its items
    ("A? ; B?", ["A?", "B?"]),
    ("A?；B?；", ["A?", "B?"]),
    (" A?\nB?\n", ["A?", "B?"]),
    ("1. A?\n2. B?", ["A?", "B?"]),
    (" 1. A? ;\n 2. B?", ["A?", "B?"]),
    ("1) A?\n2) B?", ["A?", "B?"]),
    ("(1) A?\n(2) B?", ["A?", "B?"]),
    ("1、A？\n2．B？", ["A？", "B？"]),
    ("一、A？\n二、B？", ["A？", "B？"]),
    ("①A？\n②B？", ["A？", "B？"]),
    ("第一步：A\n第二步：B", ["A", "B"]),
    ("Step 1: A\nStep 2: B", ["A", "B"]),
    ("Sub-problem 1. A\nSub-problem 2. B", ["A", "B"]),
    ("子问题1：A\n子问题2：B", ["A", "B"]),
    ("- A?\n* B?\n• C?", ["A?", "B?", "C?"]),
    ("1. **A?**\n2. “B?”", ["A?", "B?"]),
    ("1. A? 2. B? 3. C?", ["A?", "B?", "C?"]),
    ("1、A？2、B？", ["A？", "B？"]),
    ("- a\n2) b ；c;;", ["a", "b", "c"]),
    # what stands around the list, and what explains an item
    ("To solve it, ask:\n\n1. A?\n2. B?\n\nThen we know.", ["A?", "B?"]),
    ("1. A?\n   - because of this\n2. B?", ["A?", "B?"]),
    # the prompt has written the first number
    (" A?\n2. B?\n3. C?", ["A?", "B?", "C?"]),
    # numbers that count nothing
    ("2.5 more\n-5 less\n12", ["2.5 more", "-5 less", "12"]),
    ("1. It is 2. 3 more\n2. 2.5 less", ["It is 2. 3 more", "2.5 less"]),
    ("12:30 comes first ; 13:00", ["12:30 comes first", "13:00"]),
    ("", []),
]


@pytest.mark.parametrize(("text", "items"), PLANS)
def test_plans_are_read_in_whatever_form_they_are_written(text, items):
    assert read_list(text) == items


def test_a_separator_of_ones_own_parts_a_plan():
    assert read_list("a; b / c", "/") == ["a; b", "c"]


@pytest.mark.parametrize("name", tasks.NAMES)
def test_numbered_plans_are_followed_on_every_task(name):
    of = tasks.get(name)
    [problem] = of.problems(1)
    questions = [step.question for step in problem.steps]
    for number in ("{}. {}", "{}) {}", "Step {}: {}"):
        plan = "\n".join(number.format(i, each) for i, each in enumerate(questions, start=1))
        model = Recorder(
            lambda prompt, plan=plan: plan if prompt.endswith(("Plan:", "步骤：")) else "1"
        )
        for strategy in (LeastToMost(), strategy_for(of, "least-to-most")):
            trace = strategy.solve(problem, model)
            assert [step.question for step in trace.steps] == questions


def test_few_shot_shows_its_exemplars_and_zero_shot_none():
    model = Recorder(lambda prompt: " 9")
    traces = FewShot(exemplars=[TWO]).solve_all(
        ["4 + 5", Problem("1 + 1", "2", context="C")], model
    )
    [(prompts, options)] = model.calls  # one call for both
    assert prompts == [
        "Q: 2 + 3\nA: 5\n\nQ: 4 + 5\nA:",
        "Q: 2 + 3\nA: 5\n\nC\n\nQ: 1 + 1\nA:",
    ]
    assert options["stop"] == ("\n\n", "\nQ:") and options["temperature"] == 0
    assert [trace.answer for trace in traces] == ["9", "9"]
    ZeroShot().solve("4 + 5", model)
    assert model.calls[1][0] == ["Q: 4 + 5\nA:"]


def test_chain_of_thought_reads_the_answer_after_its_marker():
    model = Recorder(lambda prompt: " 4 and 5 make 9. The answer is 9.")
    trace = ChainOfThought(exemplars=[TWO]).solve("4 + 5", model)
    assert model.calls[0][0] == ["Q: 2 + 3\nA: 2 and 3 make 5. The answer is 5.\n\nQ: 4 + 5\nA:"]
    assert trace.answer == "9" and not trace.issues


def test_a_trigger_asks_twice():
    model = Recorder(lambda prompt: " 9." if prompt.endswith("answer is") else " Well, add.")
    trace = ChainOfThought(trigger="Think.").solve("4 + 5", model)
    assert [call.prompt for call in trace.calls] == [
        "Q: 4 + 5\nA: Think.",
        "Q: 4 + 5\nA: Think. Well, add.\nTherefore, the answer is",
    ]
    assert trace.answer == "9"
    shouted = ChainOfThought(trigger="Think.", parse_answer=lambda text: text.strip(" .") + "!")
    assert shouted.solve("4 + 5", model).answer == "9!"


@pytest.mark.parametrize(
    ("reply", "kinds"),
    [
        (Reply("I th", "length", 1, 1), ["reasoning-cut"]),
        (Reply("", "error", 0, 0, error="gone"), ["model-error"]),
    ],
)
def test_the_answer_is_asked_for_whatever_becomes_of_the_reasoning(reply, kinds):
    model = Recorder(lambda prompt: " 9." if prompt.endswith("answer is") else reply)
    trace = ChainOfThought(trigger="Think.").solve("4 + 5", model)
    assert trace.answer == "9"
    assert [(issue.kind, issue.call) for issue in trace.issues] == [(kind, 0) for kind in kinds]


@pytest.mark.parametrize(
    ("reply", "kinds"),
    [
        (Reply("", "error", 0, 0, error="gone"), ["model-error"]),
        (Reply(" ", "stop", 1, 0), ["answer-empty"]),
        (Reply("no idea", "end", 1, 2), ["answer-unreadable"]),
        (Reply("The answer is 4", "length", 1, 2), ["answer-cut"]),
    ],
)
def test_what_goes_wrong_is_marked(reply, kinds):
    trace = ChainOfThought().solve("2 + 2", Recorder(lambda prompt: reply))
    assert [issue.kind for issue in trace.issues] == kinds
    assert trace.answer == ("4" if kinds == ["answer-cut"] else "")


def test_self_consistency_takes_the_most_frequent_answer():
    answers = iter(["The answer is 4", "?", "The answer is 5", "The answer is 5", "The answer is 4",
                    "The answer is 5"])  # fmt: skip
    model = Recorder(lambda prompt: next(answers))
    strategy = SelfConsistency(strategy=ChainOfThought(), samples=6, temperature=0.5, seed=3)
    trace = strategy.solve("2 + 3", model)
    assert trace.answer == "5" and trace.votes == {"4": 2, "5": 3} and not trace.issues
    [(prompts, options)] = model.calls
    assert len(prompts) == 6 and options["temperature"] == 0.5
    assert len(set(options["seed"])) == 6
    assert trace.num_calls == 6


def test_each_step_of_a_sample_draws_anew():
    model = Recorder(lambda prompt: "x")
    thought = ChainOfThought(trigger="Let's think.")
    SelfConsistency(strategy=thought, samples=3).solve_all(["a", "b"], model)
    seeds = [seed for _, options in model.calls for seed in options["seed"]]
    assert len(seeds) == len({*seeds}) == 12


def test_what_a_model_raises_does_not_pass_for_an_end():
    answers = iter(["1"])
    with pytest.raises(StopIteration):
        ZeroShot().solve_all(["a", "b"], Recorder(lambda prompt: next(answers)))


def test_votes_that_decide_nothing_are_marked():
    answers = iter(["The answer is b", "The answer is a", "?", "?"])
    model = Recorder(lambda prompt: next(answers))
    strategy = SelfConsistency(strategy=ChainOfThought(), samples=2)
    tie, empty = strategy.solve_all(["x", "y"], model)
    assert (tie.answer, [issue.kind for issue in tie.issues]) == ("b", ["vote-tie"])
    assert (empty.answer, [issue.kind for issue in empty.issues]) == ("", ["vote-empty"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ZeroShot(max_new_tokens=0), "max_new_tokens must be at least 1, got 0"),
        (lambda: FewShot(exemplars=[]), "exemplars must hold at least one"),
        (lambda: ChainOfThought(exemplars=[Exemplar("a", "b")]), "must have rationale"),
        (lambda: SelfConsistency(strategy=ZeroShot(), samples=0), "samples must be at least 1"),
        (lambda: SelfConsistency(strategy=ZeroShot(), temperature=0), "temperature must be"),
        (lambda: SelfConsistency(strategy=ZeroShot(), temperature=math.nan), "temperature must be"),
        (lambda: PromptTemplate(stop=["\n"]), "stop must be a tuple of strings"),
        (lambda: ZeroShot().solve_all("abc", Recorder(str)), "problems must be several"),
        (lambda: ZeroShot().solve_all(["a", " "], Recorder(str)), r"problems\[1\] must have a"),
        (lambda: read_after(" "), "marker must hold words"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_model_that_loses_a_reply_is_found_out():
    class Forgetful(Recorder):
        def complete(self, prompts, **options):
            return super().complete(prompts, **options)[1:]

    with pytest.raises(ValueError, match="one reply for each of 2 prompts, got 1"):
        ZeroShot().solve_all(["a", "b"], Forgetful(str))
