"""The canary sees what a site would lose."""

import pytest

from tests.docs.canary import losses


@pytest.mark.parametrize(
    ("html", "kind"),
    [
        ("<p>costs $O(n^2)$ each</p>", "formulas left as TeX"),
        (r'<span class="arithmatex">\\(x\\)</span>', "formulas left as TeX"),
        ("<p>as [@vaswani2017attention, §3.2] says</p>", "citations left as keys"),
        ('<pre class="mermaid"><code>graph LR</code></pre>', "diagrams left as source"),
        ("<p>[<code>GPT</code>][llmbook.gpt.GPT]</p>", "links to the reference left as names"),
        ("<p>Title { #title }</p>", "attributes left as text"),
        ("<p>here: <!-- sources --></p>", "markers left as they are"),
    ],
)
def test_what_is_lost_is_seen(html: str, kind: str) -> None:
    assert [*losses(f"<article>{html}</article>")] == [kind]


def test_what_is_drawn_is_no_loss() -> None:
    drawn = '<span class="arithmatex"><span class="katex">\\(x\\)</span></span><svg>$x$</svg>'
    assert not losses(f"<article>{drawn}<code>$x$ [@a] {{ .b }}</code><p>x[0][1]</p></article>")
