"""Origins: the rule by which tokens are told apart, and that the drawing shows it."""

import re
from dataclasses import replace

import pytest

from llmbook import origins, plots
from llmbook.lm import ScriptedModel
from llmbook.origins import Row, Token, mark_tokens, token_texts, trace_rows
from llmbook.prompting import LeastToMost, PromptTemplate
from llmbook.tasks import Problem


def kinds(read, written, **options):
    return [token.kind for token in mark_tokens(read, written, **options)]


def test_what_stands_before_is_copied_whatever_the_blanks():
    assert kinds(["a", " b"], ["b", " c"]) == ["given", "given", "copied", "new"]


def test_what_was_written_before_counts_as_read():
    assert kinds([], [" c", " c"]) == ["new", "copied"]


def test_the_form_is_neither_copied_nor_new():
    assert kinds(["="], [" =", " 3"], form=["="]) == ["given", "form", "new"]


@pytest.fixture
def trace():
    model = ScriptedModel({"Plan:": " b ; c", "b\nA:": " 4", "c\nA:": " 4 + 1 = 5"})
    strategy = LeastToMost(template=PromptTemplate(exemplar="", context="{context}\n"))
    return strategy.solve(Problem("c", "5", context="b 4 ; c b +1"), model)


def test_a_row_for_each_call_in_which_the_context_is_shown_once(trace):
    rows = trace_rows(trace, str.split, form=["="])
    assert [row.label for row in rows] == ["1", "2", "3"]
    texts = [" ".join(token.text.strip() for token in row.tokens) for row in rows]
    assert texts == [
        "b 4 ; c b +1 Q: c Plan: b ; c",
        "… Q: b A: 4",
        "… Q: b A: 4 Q: c A: 4 + 1 = 5",
    ]
    written = [token for token in rows[2].tokens if token.kind != "given"]
    assert [token.kind for token in written] == ["copied", "new", "new", "form", "new"]
    whole = trace_rows(trace, str.split, shorten=False)
    assert [token.text for token in whole[1].tokens[:6]] == ["b", "4", ";", "c", "b", "+1"]

    moved = replace(trace.calls[1], prompt="elsewhere")
    trace.calls[1] = moved
    with pytest.raises(ValueError, match=r"shorten must be False .* 'elsewhere' in call 2"):
        trace_rows(trace, str.split)


def test_a_drawing_shows_each_token_in_its_colour(tmp_path):
    tokens = mark_tokens(["甲", "乙"], ["甲", "丙", "="], form=["="])
    figure = token_texts([Row("1", tokens)], title="图", legend={"new": "新词"})
    texts = {text.get_text(): text for text in figure.axes[0].texts}
    assert [*texts] == ["图", "1", "甲", "乙", "丙", "=", "新词"]
    assert texts["乙"].get_color() == plots.PALETTE["muted"]
    assert texts["丙"].get_weight() == "bold"
    assert len(figure.axes[0].patches) == 4
    svg = plots.save(figure, tmp_path / "tokens.svg").read_text(encoding="utf-8")
    assert {*re.findall(r"#[0-9a-f]{6}\b", svg)} <= {*plots.PALETTE.values(), "#000000"}


def test_a_drawing_keeps_its_width_and_grows_downwards():
    short, long = (token_texts([Row("1", mark_tokens(["word"] * n, ["x"]))]) for n in (1, 60))
    assert short.get_figwidth() == long.get_figwidth()
    assert short.get_figheight() < long.get_figheight()
    ends = [patch.get_bbox().x1 for patch in long.axes[0].patches]
    assert max(ends) <= long.get_figwidth() * 72


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: token_texts([]), "rows must be at least 1"),
        (lambda: token_texts([Row("1", [Token("a", "old")])]), "kind must be one of given, copied"),
        (
            lambda: token_texts([Row("1", [])], legend={"old": "a"}),  # type: ignore[dict-item]
            "kind must be one of given",
        ),
        (lambda: token_texts([Row("1", [])], width=10), "width must be at least 60 points, got 10"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


def test_everything_public_is_there():
    assert all(hasattr(origins, name) for name in origins.__all__)
