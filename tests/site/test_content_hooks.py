"""The hooks for glossary, citations and figures, one rule at a time and without a browser."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from markdown import Markdown
from mkdocs.exceptions import PluginError

import citations
import figures
import glossary
import places
from tests.support.site import ROOT


def term(id: str, en: str, zh: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "en": en, "zh": zh, "definition": {"en": f"D {id}", "zh": f"义 {id}"}} | more


TERMS = [
    term("attention", "attention", "注意力"),
    term("self-attention", "self-attention", "自注意力"),
    term("rope", "rotary position embedding", "旋转位置编码", abbr="RoPE"),
    term("mask", "mask", "掩码", forms={"en": ["masks"]}),
]


def marked(html: str, language: str) -> list[str]:
    matcher = glossary.Matcher(glossary.parse(TERMS), language)
    result = glossary.add_tooltips(html, matcher, language)
    assert re.sub(r"</?abbr[^>]*>", "", result) == html, "something but <abbr> was changed"
    return re.findall(r"<abbr[^>]*>([^<]*)</abbr>", result)


@pytest.mark.parametrize(
    ("language", "html", "expected"),
    [
        ("en", "<p>attention, attention</p>", ["attention"]),
        ("en", "<p>Self-attention is attention.</p>", ["Self-attention", "attention"]),
        ("en", "<p>self-attention and self-attention</p>", ["self-attention"]),
        ("en", "<p>cross-attention, attentions, unmask</p>", []),
        ("en", "<p>two masks &amp; a mask</p>", ["masks"]),
        ("en", "<p>rotary\nposition embedding, RoPE</p>", ["rotary\nposition embedding"]),
        ("en", "<p>Read Attention Is All</p>", []),
        ("zh", "<p>用RoPE做旋转位置编码</p>", ["RoPE"]),
        ("zh", "<p>自注意力是注意力</p>", ["自注意力", "注意力"]),
        ("en", "<h2>mask</h2><code>mask</code><a href='#'>mask</a><p>mask</p>", ["mask"]),
        ("en", '<span class="arithmatex">\\(mask\\)</span>', []),
        ("en", '<div class="highlight"><pre><span>mask</span></pre></div>', []),
        ("en", '<p>a<br>b <img alt="mask"> <b>mask</b></p>', ["mask"]),
    ],
)
def test_tooltip(language: str, html: str, expected: list[str]) -> None:
    assert marked(html, language) == expected


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"a": 1}, "expected a list"),
        (["a"], "entry 1: expected a mapping"),
        ([{"id": "a", "en": "a", "definition": {"en": "x", "zh": "y"}}], "missing or not text: zh"),
        ([{"id": "a", "en": "a", "zh": "甲"}], "definition.en, definition.zh"),
        ([term("a", "a", "甲"), term("a", "b", "乙")], "a: duplicate id"),
        ([term("a", "a", "甲"), term("b", "A", "乙")], "duplicate en term 'A', already in a"),
        ([term("a", "a", "甲"), term("b", "b", "乙", forms={"zh": ["甲"]})], "duplicate zh term"),
        ([term("a", "a", "甲", form={})], "unknown field: form"),
        ([term("a", "a", "甲", forms=["x"])], "forms must map"),
    ],
)
def test_malformed_glossary(entries: Any, message: str) -> None:
    with pytest.raises(PluginError, match=re.escape(message)):
        glossary.parse(entries)


BIB = r"""
@article{one, author={First, Ann}, title={{One}}, year=2001, url={https://a.example/}}
@article{two, author={First, Ann and {\"O}zer, Bo}, title={Two}, year=2002, doi={10.1/2}}
@inproceedings{many, author={A, B and C, D and E, F}, title={Many}, year=2003, eprint={1.2}}
@article{same1, author={Same, S}, title={X}, year=2004}
@article{same2, author={Same, S}, title={Y}, year=2004}
"""


class _Page:
    class file:  # noqa: N801  # stands for mkdocs.structure.files.File
        src_uri = "attention/positions.md"
        abs_src_path = str(ROOT / "docs/en/attention/positions.md")

    url = "attention/positions/"


def cite(tmp_path: Path, text: str, language: str = "en") -> str:
    (tmp_path / "r.bib").write_text(BIB, encoding="utf-8")
    citations._state = citations._State(
        works=citations.load(tmp_path / "r.bib"), words=citations.WORDS[language], page=_Page
    )
    html = Markdown(extensions=[citations._CitationExtension(), "fenced_code"]).convert(text)
    return re.sub(r' title="[^"]*"', "", html)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "[@one]", "(First, 2001)"),
        ("zh", "[@one]", "（First，2001）"),
        ("en", "[@two, §3.2]", "(First and Özer, 2002, §3.2)"),
        ("zh", "[@two, §3.2]", "（First 和 Özer，2002，§3.2）"),
        ("en", "[@many; @one, Table 3]", "(A et al., 2003; First, 2001, Table 3)"),
        ("zh", "[@many; @one, 表 3]", "（A 等，2003；First，2001，表 3）"),
        ("en", "[@same1; @same2]", "(Same, 2004a; Same, 2004b)"),
    ],
)
def test_citation(tmp_path: Path, language: str, text: str, expected: str) -> None:
    assert re.sub("<[^>]*>", "", cite(tmp_path, text, language)) == expected


def test_citation_in_code_is_left_alone(tmp_path: Path) -> None:
    html = cite(tmp_path, "`[@none]`\n\n```\n[@none]\n```\n\n    [@none]\n")
    assert html.count("[@none]") == 3 and "<a" not in html


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("See [@none].", "docs/en/attention/positions.md: [@none]: no entry 'none'"),
        ("See [@one two].", "expected [@key, locator; @key]"),
    ],
)
def test_wrong_citation_stops_the_build(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PluginError, match=re.escape(message)):
        cite(tmp_path, text)


@pytest.mark.parametrize(
    ("bib", "message"),
    [
        ("@article{a, author={A, B}, year=2001}", "a: missing title"),
        ("@article{a, title={T}, year=2001}", "a: missing author or editor"),
        ("@article{a, title={T}", "references.bib"),
        ("@misc{a, title={T}, author={A}, year=1}\n@misc{a, title={T}}", "repeated"),
    ],
)
def test_malformed_bibliography(tmp_path: Path, bib: str, message: str) -> None:
    path = tmp_path / "r.bib"
    path.write_text(bib, encoding="utf-8")
    with pytest.raises(PluginError, match=message):
        citations.load(path)


SVG = """<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "y">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="10pt" height="5pt" viewBox="0 0 10 5">
<metadata>who</metadata><defs><style type="text/css">*{stroke-linejoin: round}</style></defs>
<clipPath id="c"/><g id="g" clip-path="url(#c)" style="fill: #1F2430; stroke: #123456"/>
<use xlink:href="#g"/><text style="font-size: 9px; font-family: 'A', b; fill: #1f2430">t</text>
</svg>"""


def test_inlined_figure() -> None:
    css = "/* #1 */ :root { --figure-ink: #1f2430; } [x] { --figure-ink: #ffffff; }"
    palette = figures.read_palette(css)
    assert palette == {"#1f2430": "--figure-ink"}
    result = figures.inline(SVG, alt='a "b"', prefix="p-", palette=palette)
    assert result.startswith('<svg class="figure" role="img" aria-label="a &quot;b&quot;"')
    for wanted in ('id="p-c"', "url(#p-c)", 'xlink:href="#p-g"', "stroke: #123456"):
        assert wanted in result
    assert result.count("var(--figure-ink)") == 2
    for unwanted in ("font-family", "<style", "<?xml", "DOCTYPE", "metadata", 'height="', "*{"):
        assert unwanted not in result
    with pytest.raises(ValueError, match="viewBox"):
        figures.inline("<svg></svg>", alt="", prefix="", palette={})


@pytest.mark.parametrize(
    ("uri", "text", "expected"),
    [
        ("index.md", "nobody wrote this", "index.md"),
        ("attention/positions.md", "{ #positions }", "attention/positions.md:line"),
        # the first line of a text of several, however far it was indented
        ("attention/positions.md", "\n  { #positions }\nmore", "attention/positions.md:line"),
        ("appendix/cli.md", "def generate(", "../../llmbook/cli/app.py:line"),
    ],
)
def test_a_fault_names_its_file_and_line(uri: str, text: str, expected: str) -> None:
    file = SimpleNamespace(abs_src_path=str(ROOT / "docs/en" / uri))
    found = places.place(SimpleNamespace(file=file), text)
    source, *number = found.split(":")
    path, *_ = expected.split(":")
    assert (ROOT / source).samefile(ROOT / "docs/en" / path)
    assert bool(number) == (":" in expected)
    if number:
        line = (ROOT / source).read_text(encoding="utf-8").splitlines()[int(number[0]) - 1]
        assert text.strip().splitlines()[0] in line


def test_missing_figure_warns(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    figures._folder = tmp_path / "en"
    html = '<img alt="x" src="../assets/figures/gone.svg">'
    assert figures.on_post_page(html, page=_Page, config=None) == html
    assert "docs/en/attention/positions.md: figure gone.svg" in caplog.text
