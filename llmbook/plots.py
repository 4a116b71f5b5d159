"""Plots: the figures of the book, drawn from the numbers of a real run.

Each function returns a matplotlib `Figure`; [`save`][llmbook.plots.save] writes it. An SVG
keeps its text as text, leaves the background transparent and uses only the colours of
`PALETTE`, so that a page can show the same file in light and in dark.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from llmbook._files import replacing

__all__ = ["attention_map", "curves", "heatmap", "save"]

PALETTE: dict[str, str] = {
    "ink": "#1f2430",
    "muted": "#6b7280",
    "grid": "#d9dce3",
    "blue": "#3b6fd4",
    "orange": "#d9722b",
    "green": "#2a9367",
    "purple": "#8a56c2",
    "red": "#c9404a",
}
"""The colours of every figure, as the site's light theme shows them."""

_SERIES = [PALETTE[name] for name in ("blue", "orange", "green", "purple", "red", "muted")]
_LINES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1))]
_CJK_FONTS = [
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
    "SimHei",
]
Scale = Literal["linear", "log", "symlog"]


def attention_map(
    weights: Any,
    target_tokens: Sequence[str],
    source_tokens: Sequence[str] | None = None,
    *,
    titles: Sequence[str] | str | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    annotate: bool | None = None,
) -> Figure:
    """Show attention weights as a grid: a row for each query, a column for each key.

    The darker a cell, the larger the weight. See [self-attention][self-attention].

    Args:
        weights: One map ``(T, S)``, or one for each head ``(H, T, S)``; array or tensor.
        target_tokens: Labels of the rows, ``T`` of them.
        source_tokens: Labels of the columns, ``S`` of them; those of the rows when left out.
        titles: One title, or one for each head.
        xlabel: Label below the columns.
        ylabel: Label beside the rows.
        annotate: Write the weights into the cells; left out: if there is room.

    Returns:
        The figure, with one panel for each map.

    Raises:
        ValueError: If ``weights`` has another number of dimensions, or the numbers of labels
            or of titles do not fit.
    """
    maps = _to_array("weights", weights)
    if maps.ndim == 2:
        maps = maps[None]
    if maps.ndim != 3:
        raise ValueError(f"weights must have shape (T, S) or (H, T, S), got {maps.shape}")
    H, T, S = maps.shape
    source_tokens = target_tokens if source_tokens is None else source_tokens
    _check_count("target_tokens", target_tokens, T)
    _check_count("source_tokens", source_tokens, S)
    titles = [titles] if isinstance(titles, str) else titles
    if titles is not None:
        _check_count("titles", titles, H)
    annotate = max(T, S) <= 8 if annotate is None else annotate

    cell, margin, gap = 0.46, 0.95, 0.35  # inches
    with mpl.rc_context(style()):
        figure = Figure(figsize=(margin + H * (cell * S + gap), cell * T + margin + 0.3))
        width, height = figure.get_size_inches()
        for h, one_map in enumerate(maps):
            left = (margin + h * (cell * S + gap)) / width
            axes = figure.add_axes((left, margin / height, cell * S / width, cell * T / height))
            _draw_attention(axes, one_map, annotate)
            axes.set_xticks(np.arange(S) + 0.5, source_tokens, rotation=_rotation(source_tokens))
            axes.set_yticks(np.arange(T) + 0.5, target_tokens if h == 0 else [""] * T)
            axes.set_xlabel(xlabel or "")
            axes.set_ylabel((ylabel or "") if h == 0 else "")
            if titles is not None:
                axes.set_title(titles[h])
    return figure


def heatmap(
    values: Any,
    *,
    xlabel: str | None = None,
    ylabel: str | None = None,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Show a matrix of signed numbers: blue above zero, orange below, blank at zero.

    Args:
        values: Shape ``(rows, columns)``; array or tensor. Row 0 is at the top.
        xlabel: Label below the columns.
        ylabel: Label beside the rows.
        title: Title above.
        limits: Smallest and largest value shown; symmetric around zero when left out.

    Returns:
        The figure, with a colour bar.

    Raises:
        ValueError: If ``values`` is not a matrix, or ``limits`` are not in order.
    """
    matrix = _to_array("values", values)
    if matrix.ndim != 2:
        raise ValueError(f"values must have shape (rows, columns), got {matrix.shape}")
    if limits is None:
        largest = float(np.abs(matrix).max()) or 1.0
        limits = (-largest, largest)
    if not limits[0] < limits[1]:
        raise ValueError(f"limits must be (smallest, largest), got {limits}")
    with mpl.rc_context(style()):
        figure = Figure(figsize=(6.4, 3.4))
        axes = figure.add_axes((0.11, 0.17, 0.74, 0.70))
        image = axes.imshow(
            matrix,
            cmap=_diverging(),
            vmin=limits[0],
            vmax=limits[1],
            aspect="auto",
            interpolation="nearest",
        )
        figure.colorbar(image, cax=figure.add_axes((0.88, 0.17, 0.022, 0.70)))
        axes.set_xlabel(xlabel or "")
        axes.set_ylabel(ylabel or "")
        axes.set_title(title or "")
    return figure


def curves(
    x: ArrayLike,
    series: Mapping[str, Any],
    *,
    xlabel: str | None = None,
    ylabel: str | None = None,
    title: str | None = None,
    xscale: Scale = "linear",
    yscale: Scale = "linear",
    markers: bool = False,
) -> Figure:
    """Draw one or several curves over the same x, told apart by colour and by dashes.

    Args:
        x: Shape ``(N,)``.
        series: Label and values, shape ``(N,)``, of each curve; at most 6.
        xlabel: Label of the x axis.
        ylabel: Label of the y axis.
        title: Title above.
        xscale: ``"linear"``, ``"log"`` or ``"symlog"``. A logarithmic axis is marked at the
            points themselves if they are at most 8 and not too close.
        yscale: ``"linear"``, ``"log"`` or ``"symlog"``.
        markers: Mark the points, for measurements at few places.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no curve or more than 6, or one has another length than ``x``.
    """
    xs = _to_array("x", x)
    if not 1 <= len(series) <= len(_SERIES):
        raise ValueError(f"series must hold 1 to {len(_SERIES)} curves, got {len(series)}")
    with mpl.rc_context(style()):
        figure = Figure(figsize=(6.4, 3.6))
        beside = len(series) > 5  # so many leave no room for the legend between them
        axes = figure.add_axes((0.12, 0.16, 0.57 if beside else 0.85, 0.73))
        for (label, values), colour, line in zip(series.items(), _SERIES, _LINES, strict=False):
            ys = _to_array(f"series[{label!r}]", values)
            if ys.shape != xs.shape:
                raise ValueError(
                    f"series[{label!r}] must have the shape of x {xs.shape}, got {ys.shape}"
                )
            marker = "o" if markers else None
            axes.plot(
                xs, ys, label=label, color=colour, linestyle=line, marker=marker, markersize=4
            )
        axes.set(xlabel=xlabel or "", ylabel=ylabel or "", xscale=xscale, yscale=yscale)
        if xscale == "log":
            _mark_log_axis(axes, np.unique(xs))
        elif xscale == "linear" and np.all(xs == np.round(xs)):
            # As matplotlib does it, except that counts have no halves.
            steps = [1, 2, 2.5, 5, 10]
            axes.xaxis.set_major_locator(MaxNLocator("auto", steps=steps, integer=True))
        axes.set_title(title or "")
        axes.grid(color=PALETTE["grid"], linewidth=0.8)
        if beside:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        elif len(series) > 1:
            axes.legend()
    return figure


class FigurePath(type(Path())):  # type: ignore[misc]  # the kind of path that this system has
    """Where a figure was saved: a `Path`, in whose place a notebook shows the figure."""

    def _repr_svg_(self) -> str | None:
        if self.suffix != ".svg" or not self.is_file():
            return None
        # White, since a notebook may be dark, and it has none of our style sheets.
        return str(self.read_text("utf-8")).replace("<svg ", '<svg style="background: white" ', 1)

    def _repr_png_(self) -> bytes | None:
        return bytes(self.read_bytes()) if self.suffix == ".png" and self.is_file() else None


def save(figure: Figure, path: str | os.PathLike[str]) -> FigurePath:
    """Write a figure to a file, whole or not at all.

    Args:
        figure: The figure.
        path: Where to; the ending says the format (``.svg``, ``.png``, ``.pdf``).

    Returns:
        The path written; as the last line of a cell of a notebook, it shows the figure.

    Raises:
        ValueError: If ``path`` has no ending, or one of an unknown format.
    """
    path = FigurePath(path)
    kind = path.suffix.lstrip(".")
    known = figure.canvas.get_supported_filetypes()
    if kind not in known:
        raise ValueError(f"path must end in one of {sorted(known)}, got {str(path)!r}")
    metadata = {"Date": None, "Creator": None} if kind == "svg" else None
    # A fixed salt: the names of clip paths must not change from one run to the next.
    settings = style() | {"svg.fonttype": "none", "svg.hashsalt": "llmbook"}
    with replacing(path) as part, mpl.rc_context(settings), warnings.catch_warnings():
        if kind == "svg":  # the reader's font draws the text; ours need not hold it
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(part, format=kind, metadata=metadata, transparent=kind == "svg")
    return path


def _draw_attention(axes: Axes, weights: np.ndarray, annotate: bool) -> None:
    T, S = weights.shape
    axes.pcolormesh(weights, cmap=_sequential(), vmin=0, vmax=1, edgecolors="none")
    axes.set(xlim=(0, S), ylim=(T, 0), aspect="auto")
    axes.hlines(np.arange(T + 1), 0, S, color=PALETTE["grid"], linewidth=0.8)
    axes.vlines(np.arange(S + 1), 0, T, color=PALETTE["grid"], linewidth=0.8)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if annotate:
        for t in range(T):
            for s in range(S):
                if weights[t, s] > 0:
                    text = f"{weights[t, s]:.2f}".lstrip("0") if weights[t, s] < 0.995 else "1"
                    axes.text(s + 0.5, t + 0.5, text, ha="center", va="center", fontsize=8)


def _mark_log_axis(axes: Axes, xs: np.ndarray) -> None:
    """Plain numbers in place of powers of ten: at the points if they are few and apart."""
    xs = xs[xs > 0]  # a logarithmic axis shows no others
    if not len(xs) or xs[-1] >= 1e6:  # where powers of ten are easier to read
        return
    gaps = np.diff(np.log10(xs))
    few = 1 < len(xs) <= 8 and gaps.min() > gaps.sum() / 16
    steps = (1.0, 2.0, 5.0) if gaps.sum() < 3 else (1.0,)
    axes.xaxis.set_major_locator(FixedLocator(xs.tolist()) if few else LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:.6g}")
    axes.xaxis.set_minor_locator(NullLocator())


def style() -> Any:  # matplotlib types the keys one by one
    """What all figures of the book share, for `matplotlib.rc_context`."""
    ink = PALETTE["ink"]
    return {
        "font.family": ["sans-serif"],
        "font.sans-serif": [*_installed_cjk(), "DejaVu Sans"],
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.edgecolor": PALETTE["muted"],
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": False,
        "figure.facecolor": "none",
        "legend.frameon": False,
        "legend.labelcolor": ink,
        "lines.linewidth": 1.8,
        "text.color": ink,
        "xtick.color": PALETTE["muted"],
        "xtick.labelcolor": ink,
        "ytick.color": PALETTE["muted"],
        "ytick.labelcolor": ink,
    }


@cache
def _installed_cjk() -> tuple[str, ...]:
    installed = set(font_manager.get_font_names())
    return tuple(name for name in _CJK_FONTS if name in installed)


def _sequential() -> LinearSegmentedColormap:
    # Weight as opacity of one colour, so that zero is the page itself in light and in dark.
    # Never quite opaque: the number in the cell must stay readable.
    blue = to_rgba(PALETTE["blue"])[:3]
    return LinearSegmentedColormap.from_list("weight", [(*blue, 0.0), (*blue, 0.75)])


def _diverging() -> LinearSegmentedColormap:
    blue, orange = to_rgba(PALETTE["blue"])[:3], to_rgba(PALETTE["orange"])[:3]
    stops = [(0.0, (*orange, 1.0)), (0.5, (*orange, 0.0)), (0.5, (*blue, 0.0)), (1.0, (*blue, 1.0))]
    return LinearSegmentedColormap.from_list("signed", stops)


def _rotation(labels: Sequence[str]) -> float:
    return 0 if max(map(len, labels)) <= 4 else 45


def _to_array(name: str, values: Any) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor, without importing torch to ask
        values = values.detach().cpu().double().numpy()
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers in an array or tensor, got {values!r}") from None


def _check_count(name: str, labels: Sequence[str], expected: int) -> None:
    if len(labels) != expected:
        raise ValueError(f"{name} must hold {expected} labels, got {len(labels)}")
