"""Origins: which tokens of a text a model was given, which it copied, and which are new.

Much of what a language model writes stands already in what it has read. To see how much a call
really has to find, [`mark_tokens`][llmbook.origins.mark_tokens] gives each token its kind, by a
rule that looks at nothing but the words:

- *given*: read in the prompt;
- *copied*: written by the model, and the same word stands somewhere before it, in the prompt or in
  what the model itself has written so far;
- *new*: written, and standing nowhere before.

A number that had to be worked out counts as copied if it happens to stand elsewhere, so *new* is
the least that a call had to find. [`token_texts`][llmbook.origins.token_texts] draws the tokens.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from llmbook._console import columns
from llmbook.plots import PALETTE, style
from llmbook.prompting.trace import Trace

__all__ = ["Kind", "Row", "Token", "mark_tokens", "token_texts", "trace_rows"]

Kind = Literal["given", "copied", "new", "form"]
"""Where a token comes from; ``"form"`` marks written words that are the same in every answer."""

_KINDS: tuple[Kind, ...] = get_args(Kind)

# In points. The text of an SVG takes the reader's font, so a box is as wide as the letters would be
# in a font of fixed width, in which few words are narrower.
_FONT, _LETTER, _LINE, _BASE = 7.5, 4.5, 13.5, 9.4
_PAD, _GAP, _GUTTER, _BETWEEN = 2.2, 1.2, 11.0, 5.0


class Token(NamedTuple):
    """A token and where it comes from."""

    text: str
    kind: Kind


class Row(NamedTuple):
    """Tokens that are drawn together, such as those of one call."""

    label: str  # stands in the margin
    tokens: Sequence[Token]


def mark_tokens(
    read: Sequence[str], written: Sequence[str], *, form: Collection[str] = ()
) -> list[Token]:
    """Say of each token whether it was given, copied or is new.

    Two tokens are the same word if they differ in nothing but the blanks around them.

    Args:
        read: The tokens of the prompt.
        written: The tokens that the model wrote after it.
        form: Words that belong to the form of every answer, such as ``"="``. Where they were
            written, they are neither copied nor new.

    Returns:
        All tokens in their order, those of ``read`` first.

    Examples:
        ```python
        from llmbook.origins import mark_tokens

        tokens = mark_tokens(["Ann", " has", " 7"], [" 7", " +", " 2", " =", " 9"], form=["="])
        print(*(f"{token.text.strip()}: {token.kind}" for token in tokens), sep=", ")
        ```

        ``` {.text .output}
        Ann: given, has: given, 7: given, 7: copied, +: new, 2: new, =: form, 9: new
        ```
    """
    tokens = [Token(text, "given") for text in read]
    seen, usual = {text.strip() for text in read}, {text.strip() for text in form}
    for text in written:
        word = text.strip()
        kind: Kind = "form" if word in usual else "copied" if word in seen else "new"
        tokens.append(Token(text, kind))
        seen.add(word)
    return tokens


def trace_rows(
    trace: Trace,
    cut: Callable[[str], Sequence[str]],
    *,
    form: Collection[str] = (),
    shorten: bool = True,
) -> list[Row]:
    """A row for each call of a trace: what was read, then what was written.

    Args:
        trace: The trace.
        cut: From a text to its tokens, such as ``str.split`` where every word is a token.
        form: As for [`mark_tokens`][llmbook.origins.mark_tokens].
        shorten: From the second call on, show ``…`` in place of the problem's context. What the
            context holds counts as read all the same.

    Returns:
        The rows, labelled with the number of the call, from 1.

    Raises:
        ValueError: If the tokens of a prompt do not begin with those of the context, and
            ``shorten`` is True.
    """
    context = cut(trace.problem.context) if trace.problem.context else []
    rows = []
    for number, call in enumerate(trace.calls, start=1):
        read = cut(call.prompt)
        tokens = mark_tokens(read, cut(call.reply.text), form=form)
        if shorten and context and number > 1:
            if list(read[: len(context)]) != list(context):
                raise ValueError(
                    "shorten must be False where a prompt does not begin with the context, "
                    f"got {call.prompt[:60]!r} in call {number}"
                )
            tokens = [Token(" …", "given"), *tokens[len(context) :]]
        rows.append(Row(str(number), tokens))
    return rows


def token_texts(
    rows: Sequence[Row],
    *,
    title: str | None = None,
    legend: Mapping[Kind, str] | None = None,
    width: float = 150.0,
) -> Figure:
    """Draw texts as rows of tokens: copied ones on blue, new ones framed, on orange, and bold.

    What was given is grey, and what belongs to the form has a thin frame. A reply begins a line;
    other lines are broken where they are full, whatever line breaks the text has. So the drawing
    keeps its width, and several fit side by side on a wide page, one below the other on a phone.

    Args:
        rows: The rows, from [`trace_rows`][llmbook.origins.trace_rows] or made by hand.
        title: Title above.
        legend: Names of kinds, shown below as they are drawn above.
        width: Width in points. The letters are 7.5 points large.

    Returns:
        The figure, as high as the text needs.

    Raises:
        ValueError: If there is no row, a kind is unknown, or ``width`` is less than 60.

    Examples:
        ```python
        from llmbook import origins, plots

        tokens = origins.mark_tokens(["2", " +", " 3", " is"], [" 2", " +", " 3", " =", " 5"])
        figure = origins.token_texts([origins.Row("1", tokens)], title="One call")
        print([text.get_text() for text in figure.axes[0].texts][-3:])
        ```

        ``` {.text .output}
        ['3', '=', '5']
        ```
    """
    if not rows:
        raise ValueError("rows must be at least 1, got 0")
    if width < 60:
        raise ValueError(f"width must be at least 60 points, got {width}")
    named: Mapping[Kind, str] = legend or {}
    for kind in [*(token.kind for row in rows for token in row.tokens), *named]:
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}")

    # Drawn downwards from 0, in points; the height is known at the end.
    with mpl.rc_context(style()):
        figure = Figure(figsize=(width / 72, 1))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        y = 0.0
        if title is not None:
            axes.text(0, _BASE, title, fontsize=9.5, weight="bold")
            y = _LINE
        for row in rows:
            y = _draw_line(axes, y + _BETWEEN, width) if y > _LINE else y + _BETWEEN
            muted = PALETTE["muted"]
            axes.text(0, y + _BASE, row.label, fontsize=_FONT, color=muted)
            read = [token for token in row.tokens if token.kind == "given"]
            written = [token for token in row.tokens if token.kind != "given"]
            y = _draw_tokens(axes, read, y, width)
            y = _draw_tokens(axes, written, y, width)
        if named:
            entries = [Token(name, kind) for kind, name in named.items()]
            y = _draw_tokens(axes, entries, _draw_line(axes, y + _BETWEEN, width), width)
        figure.set_size_inches(width / 72, y / 72)
        axes.set(xlim=(0, width), ylim=(y, 0))
    return figure


def _draw_line(axes: Axes, y: float, width: float) -> float:
    """A line between two rows; gives where the next one begins."""
    axes.plot([0, width], [y, y], color=PALETTE["grid"], linewidth=0.8)
    return y + _BETWEEN


def _draw_tokens(axes: Axes, tokens: Sequence[Token], y: float, width: float) -> float:
    """Draw tokens from ``y`` downwards, in as many lines as they fill; gives where they end."""
    words = [Token(text.strip(), kind) for text, kind in tokens if text.strip()]
    x = _GUTTER
    for word in words:
        size = _LETTER * columns(word.text) + 2 * _PAD
        if x > _GUTTER and x + size > width:
            x, y = _GUTTER, y + _LINE
        _draw_token(axes, word, x, y, size)
        x += size + _GAP
    return y + _LINE if words else y


def _draw_token(axes: Axes, token: Token, x: float, y: float, size: float) -> None:
    # Translucent, so that the text is legible in light and in dark.
    fill = {"copied": to_rgba(PALETTE["blue"], 0.25), "new": to_rgba(PALETTE["orange"], 0.35)}
    edge = {"new": PALETTE["orange"], "form": PALETTE["grid"]}
    if token.kind != "given":
        axes.add_patch(
            FancyBboxPatch(
                (x, y + 1),
                size,
                _LINE - 2,
                boxstyle="round,pad=0,rounding_size=2",
                facecolor=fill.get(token.kind, "none"),
                edgecolor=edge.get(token.kind, "none"),
                linewidth=1.1 if token.kind == "new" else 0.8,
            )
        )
    axes.text(
        x + size / 2,
        y + _BASE,
        token.text,
        fontsize=_FONT,
        color=PALETTE["muted" if token.kind == "given" else "ink"],
        weight="bold" if token.kind == "new" else "normal",
        ha="center",
    )
