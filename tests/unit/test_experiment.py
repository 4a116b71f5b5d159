"""The experiment in miniature: real training, real questions, figures from transcripts alone."""

import json
import random
import re
import shutil
import signal
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from itertools import islice

import pytest
import torch

from llmbook.book.cards import DATA
from llmbook.book.experiment import __main__ as command
from llmbook.book.experiment import chain_rows, training
from llmbook.book.experiment.__main__ import main
from llmbook.book.experiment.faults import count_faults, first_fault
from llmbook.book.experiment.recipe import DEEPEST, FORMATS, Recipe, tokenizer
from llmbook.book.experiment.rows import batches
from llmbook.book.experiment.run import (
    Sizes,
    grade_answer,
    name_of,
    plan,
    problems,
    run_experiment,
    search,
    strategy_of,
)
from llmbook.book.experiment.scan_rows import row
from llmbook.book.experiment.ship import SHIPPED, ship
from llmbook.book.experiment.table import Results, keep_results, load_results, read_results, table
from llmbook.book.experiment.training import config_of, train_model
from llmbook.evaluation import read_transcript
from llmbook.lm import OwnModel, ScriptedModel
from llmbook.pretrained import from_pretrained
from llmbook.prompting.shipped import MARKS
from llmbook.tasks import chains, scan
from llmbook.tasks.problem import Problem

LEARNED_ALONE = ("direct", "chain-of-thought", "least-to-most")


def texts(recipe: Recipe, count: int = 30) -> list[str]:
    """Rows as texts, what is learned in brackets."""
    found = []
    for ids, loss_mask in islice(batches(recipe), count):
        for row_ids, row_mask in zip(ids.tolist(), loss_mask.tolist(), strict=True):
            pieces = [
                f"[{tokenizer(recipe.task).decode([i])}]"
                if in_loss
                else tokenizer(recipe.task).decode([i])
                for i, in_loss in zip(row_ids, row_mask, strict=True)
            ]
            found.append("".join(pieces).rstrip("!"))  # id 0 pads
    return found


def plain(text: str) -> str:
    return text.replace("[", "").replace("]", "")


@pytest.mark.parametrize("form", FORMATS["scan"])
@pytest.mark.parametrize(
    "options",
    [{}, {"expressions": False}, {"counterfactual": False}, {"long_made_up": True}],
)
def test_no_command_longer_than_may_be_learned_is_shown(form, options):
    short = set(scan.length_split()[0])
    for text in texts(Recipe("scan", form, **options)):
        asked = [line[2:].strip() for line in plain(text).splitlines() if line.startswith("Q:")]
        assert asked and {*asked} <= short


@pytest.mark.parametrize("form", FORMATS["scan"])
@pytest.mark.parametrize("expressions", [True, False])
def test_no_answer_longer_than_may_be_learned_is_shown_unless_it_is_allowed(form, expressions):
    def longest(**options):
        recipe = Recipe("scan", form, expressions=expressions, **options)
        answers = re.findall(
            r"(?:\nA:|gives|so) ([^a-z.\n]+)", "\n".join(map(plain, texts(recipe)))
        )
        joined = answers if expressions else [" + ".join(answer.split()) for answer in answers]
        return max(len(scan.expand(answer)) for answer in joined)

    assert 15 <= longest() <= scan.LONGEST_TO_LEARN
    assert 8 <= longest(held_out=True) <= 12
    if form != "direct":
        assert longest(long_made_up=True) > scan.LONGEST_TO_LEARN  # without the rule


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


@pytest.mark.parametrize("form", ["chain-of-thought", "one-pass"])
def test_a_detour_is_read_and_what_follows_it_is_learned(form):
    recipe = Recipe("chains", form, marked_end=form != "one-pass")
    longest = learned = 0
    for seed in range(200):
        story, *pieces = chain_rows.row(recipe, 13, DEEPEST, random.Random(seed))
        people = chains.read_story(story.text)
        asked, read, rest = (piece.text for piece in pieces[-3:])
        assert [piece.in_loss for piece in pieces[-3:]] == [False, False, True]
        name = asked.split()[1]
        chain = people.chain(name)
        walked = re.findall(r" is (\w+)(?= ;|\n|$)", read + rest)
        assert walked[-len(chain) :] == chain, "the way up of the person asked for, and no more"
        assert not {*walked[: -len(chain)]} & {*chain}
        assert all(number in read + rest for number in (str(people.numbers[n]) for n in walked))
        longest, learned = max(longest, len(walked)), learned + (len(chain) > 1)
        assert len(chain) <= DEEPEST and all(len(part) == 2 for part in paired(pieces[:-3]))
    assert longest == DEEPEST + 8 and learned > 60  # as many lines as the longest test asks for


def paired(pieces):
    """The other texts of a row: each a prompt and what is learned."""
    assert [piece.in_loss for piece in pieces] == [False, True] * (len(pieces) // 2)
    return [pieces[i : i + 2] for i in range(0, len(pieces), 2)]


@pytest.mark.parametrize("recipe", plan(1, 1), ids=name_of)
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


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize(
    "task, form, language",
    [(task, form, "en") for task in FORMATS for form in FORMATS[task]]
    + [("chains", form, "zh") for form in FORMATS["chains"]],
)
def test_a_right_model_would_be_right(task, form, language, marked):
    """Rows and strategies agree: what is learned, put in the place of a model, solves all."""
    story, (last, *_) = chains.make_story(random.Random(3), [4, 2], language=language)
    posed = {
        "scan": [_problem("jump around left twice and walk"), _problem("turn right thrice")],
        "chains": [story.problem(last), story.problem(story.chain(last)[1])],
    }[task]
    recipe = Recipe(task, form, language=language, counterfactual=False, marked_end=marked)
    for trace in strategy_of(recipe).solve_all(posed, Oracle(recipe, story)):
        assert grade_answer(trace.problem, trace.answer), trace
        assert not trace.issues
        if task == "chains" and form not in ("direct", "least-to-most"):
            assert first_fault(recipe, trace) == "none"


@pytest.mark.parametrize(
    ("form", "marked", "written", "fault"),
    [
        ("chain-of-thought", False, "C is B and +1 ; B is A and +2 ; A is 3 ; B is 3 +2 = 5 ; "
         "C is 5 +1 = 6", "none"),
        ("chain-of-thought", False, "C is B and +1 ; B is A and +2 ; A is 3 ; B is 3 +2 = 5",
         "stops early"),
        ("chain-of-thought", False, "C is B and +2 ; B is A and +2 ; A is 3", "way down"),
        ("chain-of-thought", False, "C is B and +1 ; B is A and +2 ; A is 3 ; B is 3 +2 = 6",
         "sum"),
        ("chain-of-thought", False, "C is B and +1 ; B is A and +2 ; A is 3 ; D is 3 +2 = 5",
         "who is next"),
        ("chain-of-thought", False, "C is B and +1 ; B is A and +2 ; A is 3 ; B is 3 +2 = 5 ; "
         "C is 5 +1 = 6 ; D is 6 +1 = 7", "runs on"),
        ("chain-of-thought", True, "C is B and +1 ; B is A and +2 ; A is 3 is A ; "
         "B is 3 +2 = 5 is B ; C is 5 +1 = 6 is C", "none"),
        ("bottom-up", False, "A is 3 ; B is 3 +2 = 5 ; C is 5 +1 = 6", "none"),
        ("bottom-up", False, "B is 3 ; B is 3 +2 = 5", "who is next"),
        ("one-pass", False, "C ; B ; A ; given\nQ: A\nA: 3 is A\nQ: B\nA: A and +2 : 3 +2 = 5 is "
         "B\nQ: C\nA: B and +1 : 5 +1 = 6 is C", "none"),
        ("one-pass", False, "C ; B ; given\nQ: B\nA: 3 is B", "way down"),
        ("one-pass", False, "C ; B ; A ; given\nQ: B\nA: 3 is B", "who is next"),
        ("one-pass", False, "C ; B ; A ; given\nQ: A\nA: 4 is A", "sum"),
        ("one-pass", False, "C ; B ; A ; given\nQ: A\nA: 3 is A", "stops early"),
    ],
)  # fmt: skip
def test_the_first_fault_of_a_text_is_named(form, marked, written, fault):
    names = {"A": "ann", "B": "bo", "C": "cy", "D": "dot"}
    text = re.sub(r"\b[ABCD]\b(?!:)", lambda match: names[match[0]], written)
    problem = chains.pose("cy", " bo ann +2 ; ann 3 ; cy bo +1 ; dot cy +1 ;")
    recipe = Recipe("chains", form, marked_end=marked)
    model = ScriptedModel(lambda prompt: f" {text}")
    [trace] = strategy_of(recipe).solve_all([problem], model)
    assert first_fault(recipe, trace) == fault
    assert count_faults(recipe, [trace, trace]) == {3: {fault: 2}}


def _problem(command: str) -> Problem:
    return Problem(command, scan.express(command))


class Oracle:
    """Answers with what a row of the recipe has learned after the same text."""

    name = "oracle"

    def __init__(self, recipe, story):
        self.recipe, self.story = recipe, story

    def complete(self, prompts, **options):
        from llmbook.lm.protocol import Reply

        [stop] = options["stop"]
        return [Reply(self._go_on(prompt, stop), "stop", 1, 1) for prompt in prompts]

    def _go_on(self, prompt: str, stop: str) -> str:
        mark = f"\n{MARKS[self.recipe.language].question} "
        question = prompt.rsplit(mark, 1)[1].split("\n")[0]
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
                pieces = chain_rows.ask(self.recipe, self.story, chain, generator)
                text = self.story.text + "".join(piece.text for piece in pieces)
            place = f"\n{text.lstrip()}".find(prompt[prompt.rindex(mark) :])
            if place >= 0:
                rest = f"\n{text.lstrip()}"[place + len(prompt) - prompt.rindex(mark) :]
                assert stop in rest
                return rest.split(stop)[0]
        raise AssertionError(prompt)


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    out = tmp_path_factory.mktemp("experiment")
    recipes = [
        replace(Recipe("chains", form), steps=30, tokens_per_step=200) for form in LEARNED_ALONE
    ] + [Recipe("scan", "direct", steps=150, tokens_per_step=400, learning_rate=4e-3)]
    sizes = Sizes(short=20, long=30, chains=4)
    run_experiment(recipes, out, sizes=sizes)
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
        masks = (mask[:, 1:].sum().item() for _, mask in islice(batches(recipe), recipe.steps))
        assert results[folder.name].learned_tokens == sum(masks)
        assert (
            results[folder.name].tokens
            == json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["tokens"]
        )
    before = table(results)
    file = out / "scan-direct-0" / "long.jsonl"
    kept = file.read_text()
    try:
        data = [json.loads(line) for line in kept.splitlines()[1:]]  # without task and settings
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
    def made():
        files = (path for path in out.rglob("*") if path.is_file() and path.name != "done.json")
        return {path: path.stat().st_mtime_ns for path in files}

    recipes, out, sizes = miniature
    before = made()
    run_experiment(recipes, out, sizes=sizes)
    assert before == made()
    with pytest.raises(ValueError, match="folder must be new or of this recipe"):
        train_model(replace(recipes[0], seed=5), out / name_of(recipes[0]))


def test_a_model_that_was_not_asked_everything_is_left_out(miniature, tmp_path, monkeypatch):
    recipes, out, sizes = miniature
    whole = read_results(out)
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    folder, complete = tmp_path / name_of(recipes[0]), OwnModel.complete
    file, asked = folder / "long.jsonl", []
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines)[:-20])  # as if it had been killed while it wrote

    def counting(self, prompts, **options):
        asked.extend(prompts)
        return complete(self, prompts, **options)

    monkeypatch.setattr(OwnModel, "complete", counting)
    for count in (1, 0):  # nothing is asked again for want of the note
        (folder / "done.json").unlink()
        results = read_results(tmp_path)
        assert results == {name: whole[name] for name in whole if name != folder.name}
        run_experiment(recipes, tmp_path, sizes=sizes)
        assert len(asked) == count and read_results(tmp_path) == whole
        asked.clear()
    told = json.loads((folder / "done.json").read_text())
    assert told == {part: len(problems(recipes[0], part, sizes)) for part in told}


def test_an_unfinished_folder_keeps_its_recipe(tmp_path, monkeypatch):
    recipe = Recipe("scan", "least-to-most", steps=4, tokens_per_step=100)
    other = replace(recipe, counterfactual=False)  # of other rows, which `train` cannot know

    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "train", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_model(recipe, tmp_path)
    with pytest.raises(ValueError, match="folder must be new or of this recipe"):
        train_model(other, tmp_path)
    train_model(recipe, tmp_path)
    file = tmp_path / "recipe.json"
    facts = json.loads(file.read_text())
    assert facts["tokens"] > 0
    monkeypatch.setattr(training, "train", stopped)
    train_model(recipe, tmp_path)  # is trained
    del facts["recipe"]["language"]  # as in a folder that is older than the choice
    file.write_text(json.dumps(facts))
    train_model(recipe, tmp_path)
    facts["recipe"]["gone"] = True  # a choice that is no longer there
    file.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="folder must be new or of this recipe"):
        train_model(recipe, tmp_path)


class Deadly(Recipe):
    """Kills the process that receives it."""

    def __reduce__(self):
        return signal.raise_signal, (signal.SIGKILL,)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signal")
def test_a_killed_process_ends_the_run(tmp_path):
    recipes = [Deadly("chains", "direct"), Recipe("chains", "direct", steps=1, seed=1)]
    with pytest.raises(BrokenProcessPool):
        run_experiment(recipes, tmp_path, sizes=Sizes(1, 1, 1, 1), processes=2)


def test_if_a_model_fails_no_other_is_begun(tmp_path):
    small = [Recipe("chains", "direct", steps=1, tokens_per_step=100, seed=n) for n in range(5)]
    for recipe in small[1:3]:  # another recipe is there already
        folder = tmp_path / name_of(recipe)
        folder.mkdir()
        (folder / "recipe.json").write_text(json.dumps({"recipe": {}}))
    with pytest.raises(ValueError, match="folder must be new or of this recipe"):
        run_experiment(small, tmp_path, sizes=Sizes(1, 1, 1, 1), processes=2)
    assert [*read_results(tmp_path)] == [name_of(small[0])]  # what was under way was finished
    assert not any((tmp_path / name_of(recipe)).exists() for recipe in small[3:])


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("( WALK ) * 2", True), ("WALK * 2", True), ("WALK + WALK", True), ("WALK WALK", True),
        ("WALK", False), ("WALK * 3", False), ("WALK WALK * 2", False), ("WALK ) * 2", False),
        ("WALK 2", False), ("", False),
    ],
)  # fmt: skip
def test_actions_count_however_they_are_written(answer, right):
    assert grade_answer(scan.pose("walk twice"), answer) == right


@pytest.mark.parametrize(
    ("form", "share"), [("least-to-most", 0.7 * 2 / 3), ("chain-of-thought", 0.4), ("direct", 0)]
)
def test_so_many_rows_are_counterfactual(form, share):
    generator, recipe = random.Random(0), Recipe("scan", form)
    made_up = 0
    for _ in range(1000):
        pieces = row(recipe, "walk opposite left and jump around right", generator)
        # Otherwise all is learned but the prompts.
        made_up += any(not piece.in_loss and not piece.text.endswith(":") for piece in pieces)
    assert made_up / 1000 == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("task", FORMATS)
def test_what_a_recipe_is_chosen_by_is_learned_from_in_the_plan_and_is_not_in_its_test(task):
    searched, planned = Recipe(task, "direct", held_out=True), Recipe(task, "direct")
    sizes = Sizes()
    held_out, test = problems(searched, "long", sizes), problems(planned, "long", sizes)
    assert not {*held_out} & {*test}
    if task == "chains":
        assert {problem.size for problem in held_out} == {DEEPEST}
        assert max(problem.size for problem in problems(searched, "short", sizes)) == DEEPEST - 1
        for text in map(plain, texts(replace(searched, format="one-pass"))):
            plans = [line for line in text.splitlines() if line.startswith("Plan:")]
            assert all(line.count(";") < DEEPEST for line in plans)
    else:
        lengths = [len(scan.interpret(problem.question)) for problem in held_out]
        assert min(lengths) > 12 and max(lengths) == scan.LONGEST_TO_LEARN
        assert len(test) == 3620 and len(problems(planned, "long", Sizes(long=7))) == 7
        for text in map(plain, texts(searched)):
            assert len(scan.interpret(text.strip().split("\nA:")[0].removeprefix("Q: "))) <= 12


def test_the_plan_has_five_seeds_of_each_format_and_names_of_their_own():
    names = [name_of(recipe) for recipe in plan()]
    assert len(names) == len(set(names))
    kinds = [f"{task}-{form}" for task, forms in FORMATS.items() for form in forms]
    kinds[kinds.index("chains-bottom-up")] += "-marked-end"
    for kind in (*kinds, "chains-chain-of-thought-marked-end"):
        assert [name for name in names if name[:-2] == kind] == [f"{kind}-{n}" for n in range(5)]
    assert {name[:-2] for name in names[: len(kinds) + 1]} == {name[:-2] for name in names[:50]}
    lacking = {name[:-2] for name in names[50:]}
    assert {*names[50:]} == {f"{kind}-{seed}" for kind in lacking for seed in range(3)}


def test_every_format_is_searched_alike():
    planned = {name_of(recipe)[:-2]: recipe for recipe in plan(1, 0)}
    searched = {kind: [] for kind in planned}
    for recipe in search():
        kind = name_of(recipe).partition("-held-out")[0]
        searched[kind].append((recipe.learning_rate, recipe.seed))
        best = planned[kind]
        assert replace(
            best, held_out=True, seed=recipe.seed, steps=2000,
            learning_rate=recipe.learning_rate,
        ) == recipe  # fmt: skip
    assert all(sorted(tried) == [(2e-3, 0), (4e-3, 0)] for tried in searched.values())
    assert {recipe.learning_rate for recipe in planned.values()} <= {2e-3, 4e-3}


@pytest.mark.parametrize("form", FORMATS["chains"])
def test_rows_in_chinese_are_those_in_english_word_by_word(form):
    """So what was found out about the English rows holds for them."""
    recipe = Recipe("chains", form, marked_end=True, steps=20)  # so large stories come soon
    chinese = replace(recipe, language="zh")
    ours, theirs = tokenizer("chains", "zh"), tokenizer("chains")
    words = {}
    for one, other in zip(islice(batches(chinese), 30), islice(batches(recipe), 30), strict=True):
        assert torch.equal(one[1], other[1])
        for i, j in zip(one[0].flatten().tolist(), other[0].flatten().tolist(), strict=True):
            if i or j:  # 0 pads
                assert words.setdefault(theirs.decode([j]), ours.decode([i])) == ours.decode([i])
    assert len({*words.values()}) == len(words)
    assert words[" ann"] == " 小明" and words["\n"] == "\n" and words[" +3"] == " +3"
    assert not re.search("[A-Za-z]", "".join(words.values()))


def test_the_same_recipe_gives_the_same_batches():
    recipe = Recipe("chains", "least-to-most")
    for one, other in zip(islice(batches(recipe), 3), islice(batches(recipe), 3), strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tmp: Recipe("sums", "direct"), "task must be one of"),
        (lambda tmp: Recipe("scan", "vote"), "format must be one of"),
        (lambda tmp: Recipe("scan", "bottom-up"), "format must be one of .* in scan"),
        (lambda tmp: Recipe("scan", "direct", language="zh"), "language must be one of .* in scan"),
        (lambda tmp: Recipe("chains", "direct", language="fr"), "language must be one of .*'zh'"),
        (lambda tmp: Recipe("scan", "direct", steps=0), "steps must be at least 1"),
        (lambda tmp: read_results(tmp), "out must hold complete transcripts"),
        (lambda tmp: run_experiment(plan(), tmp, only="x"), "only must be how the name"),
        (lambda tmp: run_experiment(plan(), tmp, processes=0), "processes must be at least 1"),
    ],
)
def test_bad_input_is_named(make, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make(tmp_path)


def test_the_command_explains_itself(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--seeds" in capsys.readouterr().out


def test_the_command_adds_its_results_to_those_that_are_kept(
    miniature, tmp_path, monkeypatch, capsys
):
    """Those of other models stay, those of the same model are replaced."""
    recipes, out, sizes = miniature
    monkeypatch.setattr(command, "plan", lambda *seeds: recipes)
    monkeypatch.setattr(command, "Sizes", lambda: sizes)
    measured, file = read_results(out), tmp_path / "kept.json"
    old = measured["scan-direct-0"]._replace(tokens=7)
    keep_results({"scan-direct-0": old, "scan-direct-9": old}, file)
    options = ["--out", str(out), "--processes", "1", "--keep", str(file)]
    try:
        main(options)
        assert load_results(file) == measured | {"scan-direct-9": old}
        file.unlink()
        main([*options, "--only", "scan-direct"])  # to a file that is not there yet
        assert load_results(file) == measured
    finally:
        (out / "results.json").unlink(missing_ok=True)
    assert table(measured) in capsys.readouterr().out


def test_what_ships_is_what_was_measured(miniature, tmp_path, monkeypatch):
    recipes, out, sizes = miniature
    monkeypatch.setattr("llmbook.book.experiment.ship.SHIPPED", {"a": recipes[-1]})
    ship(out, tmp_path, sizes=sizes)
    loaded, kept = from_pretrained(tmp_path / "a"), from_pretrained(out / "scan-direct-0")
    for name, weight in loaded.model.state_dict().items():
        torch.testing.assert_close(weight, kept.model.state_dict()[name].half().float())
    card = json.loads((tmp_path / "a" / "card.json").read_text())
    assert (card["task"], card["strategy"]) == ("scan", "direct")
    assert card["recipe"] == asdict(recipes[-1]) and "of 30" in card["right_on_long"]
    monkeypatch.setattr(
        "llmbook.book.experiment.ship.SHIPPED", {"a": recipes[-1], "b-zh": recipes[0]}
    )
    ship(out, tmp_path / "some", sizes=sizes, only="b")
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["b-zh"]


def test_results_are_short_at_the_prompt():
    results = load_results()
    assert repr(results) == table(results) and len(repr(results)) < 6000
    assert repr(Results()) == "no results"
    some = results.of("scan-direct", "scan-one-pass")
    assert [*some] == [f"scan-{form}-{n}" for form in ("direct", "one-pass") for n in range(5)]
    assert isinstance(some, Results)
    with pytest.raises(ValueError, match=r"kinds must be those of models, got scan-dir$"):
        results.of("scan-dir", "scan-direct")


def test_the_shipped_models_are_small_and_their_cards_hold_their_recipes():
    for name, recipe in SHIPPED.items():
        card = json.loads((DATA / name / "card.json").read_text(encoding="utf-8"))
        assert card["recipe"] == asdict(recipe)
        assert (DATA / name / "model.safetensors").stat().st_size < 2e6
