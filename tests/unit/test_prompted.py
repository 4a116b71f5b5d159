"""The suite for a real model: the same exemplars in each form, and figures from transcripts."""

import json
import lzma
import re

import pytest

from llmbook.book.prompted import __main__ as command
from llmbook.book.prompted.lists import first_fault
from llmbook.book.prompted.run import KEPT, Cell, ask, cells, load_cells
from llmbook.book.prompted.stories import needed, person, summed
from llmbook.book.prompted.suite import SUITE
from llmbook.book.prompted.table import table
from llmbook.evaluation import score
from llmbook.evaluation.transcript import settings_of
from llmbook.lm import ScriptedModel
from llmbook.prompting import OnePassLeastToMost
from llmbook.prompting.presets import MARKS
from llmbook.tasks import scan
from llmbook.tasks.sentences import split_sentences

TASKS = [*SUITE]
FORMS = ["few-shot", "chain of thought", "one pass", "least-to-most", "least-to-most, planned"]
RETOLD = "chain of thought, retold"  # of all but SCAN, whose chain is in these words already
ASKED = [
    *((name, form) for name in TASKS for form in FORMS),
    *((name, RETOLD) for name in TASKS if name != "commands"),
]


def last_question(prompt, language):
    mark = MARKS[language].question.partition("{")[0]
    return prompt.rpartition(mark)[2].partition("\n")[0]


def knowing(posed, form, problems):
    """A model that writes what the exemplars of a form show, and is always right."""
    language = posed.task.language
    marks, strategy = MARKS[language], posed.forms[form]
    whole = {(p.context, p.question): p for p in problems}
    steps = {(p.context, step.question): step for p in problems for step in p.steps}
    planner = posed.forms["least-to-most"].planner

    def plan_of(problem):
        questions = [step.question for step in problem.steps]
        if posed.task.name == "scan":
            questions = [f'"{question}" needs …' for question in questions]
        if planner.top_down:
            return "\n".join(questions[::-1])
        listed = [f"{number}. {question}" for number, question in enumerate(questions, 1)]
        return "\n".join(listed).removeprefix("1.")

    def reply(prompt):
        question = last_question(prompt, language)
        context = prompt.rpartition("\n\n")[2].partition("\n")[0]
        context = context if not context.startswith(marks.question.partition("{")[0]) else ""
        if prompt.endswith(marks.answer.rstrip()):
            if form.startswith("chain of thought"):
                answer = whole[context, question].answer
                return f" … {marks.conclusion.format(answer=answer)}"
            return f" {steps[context, question].answer}"
        problem = whole[context, question]
        if isinstance(strategy, OnePassLeastToMost):
            turns = "".join(
                strategy.template.turn.format(question=step.question, answer=step.answer)
                for step in problem.steps
            )
            return f"{plan_of(problem)}\n{turns}"
        return plan_of(problem)

    return ScriptedModel(reply)


@pytest.mark.parametrize(("name", "form"), ASKED)
def test_a_model_that_follows_the_exemplars_is_right(name, form, tmp_path):
    posed = SUITE[name]
    assert {*posed.forms} == {asked for task, asked in ASKED if task == name}
    size = posed.sizes[0]
    problems = posed.task.problems(3, size=size, seed=posed.seed)
    cell = Cell(name, size, form)
    traces = ask(knowing(posed, form, problems), cell, tmp_path, count=3)
    assert score(traces, posed.task.grade).right == 3
    assert not any(trace.issues for trace in traces)
    assert load_cells(folder=tmp_path) == {cell: traces}
    assert "3/3" in table({cell: traces})


@pytest.mark.parametrize("name", TASKS)
def test_exemplars_are_right_in_every_form(name):
    posed = SUITE[name]
    least_to_most = posed.forms["least-to-most"]
    planner, task = least_to_most.planner, posed.task
    for exemplar in least_to_most.exemplars:
        for step in exemplar.steps:
            said = least_to_most.parse_answer(step.answer)
            assert said and said == task.parse(step.answer), step
        assert task.parse(exemplar.steps[-1].answer) == task.parse(exemplar.answer)
        conclusion = f"{exemplar.rationale} {exemplar.answer}"
        assert task.parse(conclusion) == task.parse(exemplar.answer)
    for exemplar in planner.exemplars:
        given = planner.template.question.rpartition("\n")[2]
        text = exemplar.rationale.removeprefix(given)
        for stop in planner.template.stop:
            text = text.partition(stop)[0]
        read = planner.parse(text)
        assert (read[::-1] if planner.top_down else read) == [s.question for s in exemplar.steps]
    if RETOLD in posed.forms:
        for exemplar in posed.forms[RETOLD].exemplars:
            assert all(step.answer in exemplar.rationale for step in exemplar.steps)
    shown = {
        form: {(exemplar.context, exemplar.question) for exemplar in strategy.exemplars}
        for form, strategy in posed.forms.items()
    }
    if name == "commands":  # what the others show as commands are steps to least-to-most
        for form in "least-to-most", "least-to-most, planned":
            exemplars = posed.forms[form].exemplars
            shown[form] = {("", step.question) for one in exemplars for step in one.steps}
    del shown["one pass"]  # of plans, which have exemplars of their own in SCAN
    assert len({frozenset(one) for one in shown.values()}) == 1
    asked = {
        (problem.context, problem.question)
        for size in posed.sizes
        for problem in task.problems(100, size=size, seed=posed.seed)
    }
    assert not asked & set().union(*shown.values())


@pytest.mark.parametrize("name", TASKS)
def test_no_exemplar_is_longer_than_the_problems(name):
    posed = SUITE[name]
    longest = max(len(exemplar.steps) for exemplar in posed.forms["least-to-most"].exemplars)
    [problem] = posed.task.problems(1, size=posed.sizes[-1])
    assert len(problem.steps) > longest


def test_scan_has_as_many_exemplars_as_the_paper_and_none_is_long():
    posed = SUITE["commands"]
    solving = posed.forms["least-to-most"]
    assert len(solving.planner.exemplars) == 8
    assert sum(len(exemplar.steps) for exemplar in solving.exemplars) == 14
    for form, count in ("few-shot", 14), ("chain of thought", 14), ("one pass", 8):
        assert len(posed.forms[form].exemplars) == count
    for strategy in (*posed.forms.values(), solving.planner):
        for exemplar in getattr(strategy, "exemplars", ()):
            assert len(scan.interpret(exemplar.question)) <= scan.LONGEST_TO_LEARN
    assert all(
        len(scan.interpret(problem.question)) > scan.LONGEST_TO_LEARN
        for problem in posed.task.problems(100, size=None, seed=posed.seed)
    )


def test_the_problems_of_stories_are_told_out_of_order_with_people_too_many():
    for language in "en", "zh":
        posed = SUITE["stories" if language == "en" else "stories-zh"]
        problems = posed.task.problems(100, size=4)
        assert len({(p.context, p.question) for p in problems}) == 100
        assert posed.task.problems(50, size=4) == problems[:50]
        sentences = [len(re.findall(r"[.。]", problem.context)) for problem in problems]
        assert {*sentences} == {7}  # five people of the chain, two beside it
        assert all(len(problem.steps) == 5 for problem in problems)
        for problem in problems:
            first, *others = needed(problem)
            assert len(others) == 4 and not re.search("than|as many|比|倍", first)
            # Each is compared with the one before, the last is who is asked about.
            names = [fact[:2] if language == "zh" else fact.split()[0] for fact in (first, *others)]
            assert all(name in fact for name, fact in zip(names, others, strict=False))
            assert names[-1] in problem.question


@pytest.mark.parametrize("name", [name for name in TASKS if name.startswith("stories")])
@pytest.mark.parametrize("form", ["chain of thought", RETOLD])
def test_who_gets_a_sum_is_read_off_a_chain_of_thought(name, form):
    for exemplar in SUITE[name].forms[form].exemplars:
        _, *others = (person(step.question, place=-2) for step in exemplar.steps)
        assert summed(exemplar.rationale) == others
        first = split_sentences(exemplar.steps[1].answer)[-1]
        assert first in exemplar.rationale
        assert summed(exemplar.rationale.replace(first, "")) == others[1:]


def test_the_command_asks_once_and_prints_the_table(tmp_path, monkeypatch, capsys):
    asked = []

    def model(prompt):
        asked.append(prompt)
        return " 12"

    monkeypatch.setattr(command, "load", lambda name, *, chat: ScriptedModel(model))
    options = ["--model", "http://127.0.0.1:1/v1#m", "--out", str(tmp_path), "--count", "2"]
    command.main([*options, "--only", "stories-4-few"])
    assert "/2 " in capsys.readouterr().out and len(asked) == 2
    command.main([*options, "--only", "stories-4-few"])
    assert len(asked) == 2
    command.main([*options, "--count", "3", "--only", "stories-4-few"])
    assert len(asked) == 3  # more problems go on where it was
    with pytest.raises(SystemExit):
        command.main([*options, "--only", "nothing"])
    assert "--only must be what a cell begins with" in capsys.readouterr().err
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        ask(ScriptedModel({}), next(cells()), tmp_path, count=0)


def test_the_kept_transcripts_are_of_these_prompts_and_problems():
    """What the book shows was answered to the prompts that its code writes today."""
    kept = load_cells()
    assert kept
    for cell, traces in kept.items():
        posed = SUITE[cell.task]
        problems = posed.task.problems(len(traces), size=cell.size, seed=posed.seed)
        assert [trace.problem for trace in traces] == problems
        first = lzma.decompress((KEPT / f"{cell.stem}.jsonl.xz").read_bytes()).split(b"\n", 1)[0]
        settings = json.loads(first)["settings"]
        assert (
            settings["strategy"]
            == settings_of(posed.forms[cell.form], ScriptedModel({}))["strategy"]
        )
        assert settings["model"]["name"] == "qwen2.5-coder-1.5b-instruct"
    assert sum(path.stat().st_size for path in KEPT.iterdir()) < 3_000_000


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        (['"a-b" ends in "b". Joined: "b".', 'Before: "b". "c-d" ends in "d". Joined: "b-d".'],
         "none of these"),
        (['"a-b" ends in "b". Joined: "b".', 'Before: "a". "c-d" ends in "d". Joined: "a-d".'],
         "copying"),
        (['"a-b" ends in "a". Joined: "a".', 'Before: "a". "c-d" ends in "d". Joined: "d".'],
         "naming"),
        (['"a-b" ends in "b". Joined: "b".', 'Before: "b". "c-d" ends in "d". Joined: "b-b".'],
         "joining"),
        (["b, and then d"], "none of these"),
    ],
)  # fmt: skip
def test_the_first_fault_is_found_in_one_text_and_in_steps(written, fault):
    posed = SUITE["letters-spelled"]
    trace = posed.forms[RETOLD].solve("a-b, c-d", ScriptedModel(lambda prompt: " ".join(written)))
    assert first_fault(trace) == fault
    steps = iter([" a-b\n2. a-b, c-d", *written, ""])
    trace = posed.forms["least-to-most"].solve("a-b, c-d", ScriptedModel(lambda _: next(steps)))
    assert first_fault(trace) == fault
