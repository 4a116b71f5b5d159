"""Figures: what they show, that files are stable and whole, and clear errors."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from llmbook import plots

ROOT = Path(__file__).parents[2]


def test_an_attention_map_shows_the_weights():
    weights = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    figure = plots.attention_map(weights, ["a", "b"], xlabel="keys")
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.collections[0].get_array(), weights)
    assert [text.get_text() for text in axes.texts] == ["1", ".25", ".75"]
    assert axes.get_xlabel() == "keys"


def test_one_panel_a_head():
    figure = plots.attention_map(
        np.full((3, 2, 4), 0.25), list("ab"), list("wxyz"), titles=list("123")
    )
    assert [axes.get_title() for axes in figure.axes] == ["1", "2", "3"]


def test_curves_hold_their_data():
    figure = plots.curves([1, 2], {"a": [3, 4], "b": torch.tensor([5.0, 6.0])}, yscale="log")
    lines = figure.axes[0].get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [[3, 4], [5, 6]]
    assert figure.axes[0].get_yscale() == "log"


def test_the_legend_of_many_curves_lies_beside_them():
    series = {f"curve number {k}": [k, 6 - k, k] for k in range(6)}
    figure = plots.curves([1, 2, 3], series)
    axes, whole = figure.axes[0].get_window_extent(), figure.bbox
    legend = figure.axes[0].get_legend().get_window_extent()
    assert axes.x1 <= legend.x0 and legend.x1 <= whole.x1
    assert whole.y0 <= legend.y0 and legend.y1 <= whole.y1


@pytest.mark.parametrize(
    ("x", "labels"),
    [
        ([16, 24, 32, 64, 128], ["16", "24", "32", "64", "128"]),  # not 2×10¹, 3×10¹
        ([0, 30, 300], ["30", "300"]),
        ([100, 101, 102, 1000], ["100", "200", "500", "1000"]),  # too close for labels of their own
        (range(1, 901), ["1", "2", "5", "10", "20", "50", "100", "200", "500", "1000"]),
        ([0.01 * 3**k for k in range(10)], ["0.01", "0.1", "1", "10", "100"]),
    ],
)
def test_a_logarithmic_axis_is_marked_in_plain_numbers(x, labels):
    axes = plots.curves(x, {"a": x}, xscale="log").axes[0]
    low, high = axes.get_xlim()
    marks = axes.get_xticklabels()
    assert [m.get_text() for m in marks if low <= m.get_position()[0] <= high] == labels
    assert not len(axes.xaxis.get_minorticklocs())


def test_an_svg_is_the_same_twice_and_uses_the_palette_only(tmp_path):
    def draw() -> str:
        figure = plots.curves(range(3), {"甲": [1, 2, 3], "乙": [3, 2, 1]}, xlabel="位置")
        return plots.save(figure, tmp_path / "curves.svg").read_text(encoding="utf-8")

    first = draw()
    assert first == draw()
    assert "位置" in first  # text stays text
    colours = set(re.findall(r"#[0-9a-f]{6}\b", first))
    assert colours <= {*plots.PALETTE.values(), "#000000"}
    assert [path.name for path in tmp_path.iterdir()] == ["curves.svg"]


def test_the_palette_is_that_of_the_site():
    css = (ROOT / "docs/assets/styles/figures.css").read_text(encoding="utf-8")
    light = css.split("}")[0]
    found = dict(re.findall(r"--figure-([a-z]+):\s*(#[0-9a-f]{6})", light))
    assert found == plots.PALETTE


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.attention_map(np.zeros(3), ["a"]), "weights must have shape (T, S)"),
        (lambda: plots.attention_map(np.zeros((2, 2)), ["a"]), "target_tokens must hold 2 labels"),
        (lambda: plots.attention_map([[1.0]], ["a"], ["b", "c"]), "source_tokens must hold 1"),
        (lambda: plots.attention_map([[1.0]], ["a"], titles=["b", "c"]), "titles must hold 1"),
        (lambda: plots.heatmap(np.zeros(3)), "values must have shape (rows, columns), got (3,)"),
        (lambda: plots.heatmap([[1.0]], limits=(1, 0)), "limits must be (smallest, largest)"),
        (lambda: plots.curves([1], {}), "series must hold 1 to 6 curves, got 0"),
        (lambda: plots.curves([1], {"a": [1, 2]}), "series['a'] must have the shape of x (1,)"),
        (lambda: plots.curves([1], {"a": ["b"]}), "series['a'] must be numbers"),
        (lambda: plots.save(plots.heatmap([[1.0]]), "figure"), "path must end in one of"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_a_notebook_shows_a_figure_where_it_is_saved(tmp_path, ending):
    path = plots.save(plots.heatmap([[1.0]]), tmp_path / f"figure.{ending}")
    svg, png = path._repr_svg_(), path._repr_png_()
    assert (svg is not None, png is not None) == (ending == "svg", ending == "png")
    if svg:
        assert '<svg style="background: white" ' in svg and svg.endswith("</svg>\n")
    if png:
        assert png == path.read_bytes()
    path.unlink()
    assert path._repr_svg_() is None and path._repr_png_() is None
    assert path == tmp_path / f"figure.{ending}"
