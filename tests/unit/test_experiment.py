"""The experiment in miniature: real training, real questions, figures from transcripts alone."""

import json
import random
from dataclasses import replace
from importlib import resources
from itertools import islice

import pytest
import torch

from llmbook.evaluation import read_transcript
from llmbook.experiment import rows
from llmbook.experiment.__main__ import main
from llmbook.experiment.rows import DEEPEST, Recipe, batches, row, tokenizer
from llmbook.experiment.run import Sizes, grade, name_of, plan, problems, run, strategy_of
from llmbook.experiment.ship import SHIPPED, ship
from llmbook.experiment.table import keep_results, load_results, read_results, table
from llmbook.experiment.training import config_of, train_model
from llmbook.pretrained import from_pretrained
from llmbook.tasks import chains, scan
from llmbook.tasks.problem import Problem

FORMATS = ("direct", "chain-of-thought", "least-to-most")


def texts(recipe: Recipe, count: int = 30) -> list[str]:
    """Rows as texts, what is learned in brackets."""
    found = []
    for ids, learned in islice(batches(recipe), count):
        for row_ids, row_learned in zip(ids.tolist(), learned.tolist(), strict=True):
            pieces = [
                f"[{tokenizer(recipe.task).decode([i])}]"
                if on
                else tokenizer(recipe.task).decode([i])
                for i, on in zip(row_ids, row_learned, strict=True)
            ]
            found.append("".join(pieces).rstrip("!"))  # id 0 pads
    return found


def plain(text: str) -> str:
    return text.replace("[", "").replace("]", "")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("options", [{}, {"expressions": False}, {"counterfactual": False}])
def test_no_command_longer_than_may_be_learned_is_shown(form, options):
    short = set(scan.length_split()[0])
    for text in texts(Recipe("scan", form, **options)):
        asked = [line[2:].strip() for line in plain(text).splitlines() if line.startswith("Q:")]
        assert asked and {*asked} <= short


def test_without_counterfactuals_every_answer_is_true():
    for text in map(plain, texts(Recipe("scan", "least-to-most", counterfactual=False))):
        lines = text.strip().splitlines()
        for question, answer in zip(lines[::2], lines[1::2], strict=True):
            command = question.removeprefix("Q:").strip()
            kind, words = answer.split(":", 1)
            if kind == "A":
                assert words.strip() == scan.express(command)


def test_counterfactual_answers_are_read_and_not_learned():
    seen = 0
    for text in texts(Recipe("scan", "least-to-most")):
        if "Plan:" in text:
            continue
        answers = {}
        for turn in text.strip().removeprefix("Q:").split("Q:"):
            question, answer = plain(turn).split("A:")
            question, answer = question.strip(), answer.strip()
            if "[ " in turn:  # learned: it must follow from what stands there
                assert answer == scan.combine(question, answers)
            else:
                seen += answer != scan.express(question)
            answers[question] = answer
    assert seen > 20


def test_only_shallow_questions_are_learned_of_chains():
    for text in map(plain, texts(Recipe("chains", "least-to-most"))):
        plans = [line for line in text.splitlines() if line.startswith("Plan:")]
        assert all(line.count(";") <= DEEPEST for line in plans)
    for text in map(plain, texts(Recipe("chains", "chain-of-thought"))):
        assert all(
            line.count(" is ") <= 2 * DEEPEST - 1
            for line in text.splitlines() if line.startswith("Think:")
        )  # fmt: skip


@pytest.mark.parametrize("recipe", plan([0]), ids=name_of)
def test_every_row_fits_the_model(recipe):
    longest = max(ids.shape[1] for ids, _ in islice(batches(recipe), 250))
    assert longest <= config_of(recipe).max_length


def test_direct_answers_are_learned_from_shallow_questions_first():
    def deepest(texts):
        found = 0
        for text in map(plain, texts):
            story, *questions = text.split("\nQ:")
            facts = [fact.split() for fact in story.split(";") if fact.strip()]
            before = {fact[0]: fact[1] for fact in facts if len(fact) == 3}
            for name in (question.split()[0] for question in questions):
                depth = 1
                while name := before.get(name):
                    depth += 1
                found = max(found, depth)
        return found

    rows = texts(Recipe("chains", "direct", steps=200), 300)
    assert deepest(rows[:300]) == 1  # the first 500 rows are made before the first step
    assert deepest(rows) == DEEPEST


@pytest.mark.parametrize("form", FORMATS)
def test_a_right_model_would_be_right(form):
    """Rows and strategies agree: what is learned, put in the place of a model, solves all."""
    story, (asked, *_) = chains.draw(random.Random(3), [4, 2])
    deep = [story.problem(asked), story.problem(story.chain(asked)[1])]
    for task, posed in (
        ("scan", [_problem("jump around left twice and walk"), _problem("turn right thrice")]),
        ("chains", deep),
    ):
        recipe = Recipe(task, form, counterfactual=False)
        for trace in strategy_of(recipe).solve_all(posed, Oracle(recipe, story)):
            assert grade(trace.problem, trace.answer), trace
            assert not trace.issues


def _problem(command: str) -> Problem:
    return Problem(command, scan.express(command))


class Oracle:
    """Answers with what a row of the recipe has learned after the same text."""

    name = "oracle"

    def __init__(self, recipe, story):
        self.recipe, self.story = recipe, story

    def complete(self, prompts, **options):
        from llmbook.models.protocol import Reply

        assert options["stop"] == ("\n",)
        return [Reply(self._go_on(prompt), "stop", 1, 1) for prompt in prompts]

    def _go_on(self, prompt: str) -> str:
        question = prompt.rsplit("\nQ: ", 1)[1].split("\n")[0]
        for seed in range(200):
            generator = random.Random(seed)
            if self.recipe.task == "scan":
                whole = [
                    problem
                    for problem in scan.decompose("jump around left twice and walk")
                    + scan.decompose("turn right thrice")
                    if question in scan.decompose(problem)
                ]
                pieces = row(self.recipe, whole[-1], generator)
                text = "".join(piece.text for piece in pieces)
            else:
                chain = self.story.chain(question)
                ask = rows._QUESTIONS[self.recipe.format]
                pieces = ask(self.recipe, self.story, chain, generator)
                text = self.story.text + "".join(piece.text for piece in pieces)
            place = f"\n{text.lstrip()}".find(prompt[prompt.rindex("\nQ: ") :])
            if place >= 0:
                rest = f"\n{text.lstrip()}"[place + len(prompt) - prompt.rindex("\nQ: ") :]
                return rest.split("\n")[0]
        raise AssertionError(prompt)


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    out = tmp_path_factory.mktemp("experiment")
    recipes = [
        replace(Recipe("chains", form), steps=30, tokens_per_step=200) for form in FORMATS
    ] + [Recipe("scan", "direct", steps=150, tokens_per_step=400)]
    sizes = Sizes(short=20, choice=5, long=30, chains=4)
    run(recipes, out, sizes=sizes)
    return recipes, out, sizes


def test_the_table_comes_from_the_transcripts(miniature):
    recipes, out, sizes = miniature
    results = read_results(out)
    assert [*results] == sorted(map(name_of, recipes))
    for recipe in recipes:
        folder = out / name_of(recipe)
        traces = read_transcript(folder / "long.jsonl")
        assert [trace.problem for trace in traces] == problems(recipe, "long", sizes)
        right = sum(trace.answer == trace.problem.answer for trace in traces)
        found = results[folder.name].long.right
        # Of a command another expression may ask for the same actions.
        assert found >= right if recipe.task == "scan" else found == right
        assert results[folder.name].long.total == len(traces)
        assert (
            results[folder.name].tokens
            == json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["tokens"]
        )
    before = table(results)
    file = out / "scan-direct-0" / "long.jsonl"
    kept = file.read_text()
    try:
        data = [json.loads(line) for line in kept.splitlines()]
        for one in data:
            one["answer"] = "WALK"
        file.write_text("".join(json.dumps(one) + "\n" for one in data))
        assert read_results(out)["scan-direct-0"].long.right == 0
        for one in data:
            one["answer"] = one["problem"]["answer"]
        file.write_text("".join(json.dumps(one) + "\n" for one in data))
        assert read_results(out)["scan-direct-0"].long.right == 30
        assert table(read_results(out)) != before
        keep_results(results, out / "kept.json")
        assert load_results(out / "kept.json") == results
        (out / "kept.json").unlink()
    finally:
        file.write_text(kept)


def test_what_is_there_is_not_made_again(miniature):
    recipes, out, sizes = miniature
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    run(recipes, out, sizes=sizes)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="folder must be new or of this recipe"):
        train_model(replace(recipes[0], seed=5), out / name_of(recipes[0]))


def test_problems_for_choosing_are_not_those_of_the_table():
    recipe, sizes = Recipe("scan", "direct"), Sizes()
    chosen, long = (problems(recipe, part, sizes) for part in ("choice", "long"))
    assert len(chosen) + len(long) == 3920 and not {*chosen} & {*long}
    recipe = Recipe("chains", "direct")
    assert not {*problems(recipe, "choice", sizes)} & {*problems(recipe, "long", sizes)}


def test_the_plan_has_three_seeds_of_each_format_and_names_of_their_own():
    names = [name_of(recipe) for recipe in plan()]
    assert len(names) == len(set(names))
    for task in ("scan", "chains"):
        for form in FORMATS:
            assert {f"{task}-{form}-{seed}" for seed in range(3)} <= {*names}


def test_the_same_recipe_gives_the_same_batches():
    recipe = Recipe("chains", "least-to-most")
    for one, other in zip(islice(batches(recipe), 3), islice(batches(recipe), 3), strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tmp: Recipe("sums", "direct"), "task must be one of"),
        (lambda tmp: Recipe("scan", "vote"), "format must be one of"),
        (lambda tmp: Recipe("scan", "direct", steps=0), "steps must be at least 1"),
        (lambda tmp: read_results(tmp), "out must hold transcripts"),
        (lambda tmp: run(plan(), tmp, only="x"), "only must be how the name"),
        (lambda tmp: run(plan(), tmp, processes=0), "processes must be at least 1"),
    ],
)
def test_bad_input_is_named(make, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make(tmp_path)


def test_the_command_explains_itself(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--seeds" in capsys.readouterr().out


def test_what_ships_is_what_was_measured(miniature, tmp_path, monkeypatch):
    _, out, _ = miniature
    monkeypatch.setattr("llmbook.experiment.ship.SHIPPED", {"a": "scan-direct-0"})
    ship(out, tmp_path)
    loaded, kept = from_pretrained(tmp_path / "a"), from_pretrained(out / "scan-direct-0")
    for name, weight in loaded.model.state_dict().items():
        torch.testing.assert_close(weight, kept.model.state_dict()[name].half().float())
    card = json.loads((tmp_path / "a" / "card.json").read_text())
    assert card["recipe"]["format"] == "direct" and "of 30" in card["right on longer ones"]
    assert load_results(tmp_path / "experiment.json") == read_results(out)
    monkeypatch.setattr("llmbook.experiment.ship.SHIPPED", {"a": "scan-direct-9"})
    with pytest.raises(ValueError, match="lacks scan-direct-9"):
        ship(out, tmp_path)


def test_the_shipped_models_are_small_and_have_their_cards():
    data = resources.files("llmbook") / "data"
    for name in SHIPPED:
        card = json.loads((data / name / "card.json").read_text(encoding="utf-8"))
        assert card["parameters"] < 5e6
        assert len((data / name / "model.safetensors").read_bytes()) < 2e6
        assert load_results()[SHIPPED[name]].tokens == card["tokens"]
