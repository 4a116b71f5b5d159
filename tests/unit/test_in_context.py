"""The strategies put to the real small model, in miniature; what is kept is complete."""

import pytest

from llmbook import lm, tasks
from llmbook.book.experiment import in_context
from llmbook.book.experiment.in_context import SIZES, load_measured, measure, strategies
from llmbook.evaluation import plan_score, read_transcript, scores_by_size, step_score


def test_what_the_command_writes_comes_from_its_transcripts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(in_context, "SIZES", {"calendar": (1, 2)})
    in_context.main(["--out", str(tmp_path), "--count", "2"])
    printed = capsys.readouterr().out
    folder = tmp_path / "smollm2-135m"
    found = load_measured(folder / "results.json")["calendar"]
    assert [*found] == [*strategies("calendar")]
    grade = tasks.get("calendar").grade
    for asked, measured in found.items():
        traces = read_transcript(folder / f"calendar-{asked.replace(', ', '-')}.jsonl")
        assert len(traces) == 4
        assert measured.sizes == scores_by_size(traces, grade)
        assert asked in printed
        if asked.startswith("least-to-most"):
            assert measured.plans == plan_score(traces)
            assert measured.steps == step_score(traces, grade)
            assert measured.steps.total > 0
    assert found["least-to-most, planned"].plans.accuracy == 1

    class Deaf:
        name, chat = "smollm2-135m", False

        def complete(self, prompts, **options):
            raise AssertionError("what was asked is not asked again")

    again = {asked: measured for _, asked, measured in measure(Deaf(), folder, count=2)}
    assert again == found


@pytest.mark.parametrize(
    ("options", "chat", "folder"),
    [([], None, "http:--host-v1#m"), (["--chat"], True, "http:--host-v1#m-chat")],
)
def test_runs_with_and_without_chat_have_folders_of_their_own(
    options, chat, folder, tmp_path, monkeypatch
):
    """And a server is asked as it is without the option, in a chat."""
    given = []
    monkeypatch.setattr(in_context, "load", lambda name, *, chat: given.append((name, chat)))
    monkeypatch.setattr(
        in_context, "measure", lambda model, out, **options: given.append(out.name) or []
    )
    (tmp_path / folder).mkdir()
    in_context.main(["--model", "http://host/v1#m", "--out", str(tmp_path), *options])
    assert given == [("http://host/v1#m", chat), folder]
    assert (tmp_path / folder / "results.json").exists()


def test_a_count_below_one_is_refused(tmp_path):
    model = lm.ScriptedModel({})
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        next(measure(model, tmp_path, count=0))


def test_the_kept_figures_are_of_all_tasks_and_sizes():
    found = load_measured()
    assert {name: tuple(next(iter(row.values())).sizes) for name, row in found.items()} == SIZES
    for name, row in found.items():
        assert [*row] == [*strategies(name)]
        totals = {score.total for measured in row.values() for score in measured.sizes.values()}
        assert totals == {10}
