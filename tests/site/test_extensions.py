"""The extensions of Markdown, one rule at a time and without a browser."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from markdown import Markdown
from markdown.preprocessors import Preprocessor

from extensions import citations, figures, formulas, glossary
from extensions.base import BookExtension, Page, PageError
from tests.support.website import ROOT

PAGE = Page(
    ROOT / "docs/en/attention/positions.md", "attention/positions.md", "attention/positions/"
)


class Where(Preprocessor):
    """Tells the page, as Zensical does."""

    page = SimpleNamespace(path=PAGE.uri, url=PAGE.url)

    def run(self, lines: list[str]) -> list[str]:
        return lines


def convert(text: str, *extensions: BookExtension) -> str:
    arithmatex = {"pymdownx.arithmatex": {"generic": True}}
    md = Markdown(
        extensions=["fenced_code", "pymdownx.arithmatex", *extensions], extension_configs=arithmatex
    )
    md.preprocessors.register(Where(md), "where", 0)
    return md.convert(text)


def term(id: str, en: str, zh: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "en": en, "zh": zh, "definition": {"en": f"D {id}", "zh": f"义 {id}"}} | more


TERMS = [
    term("attention", "attention", "注意力"),
    term("self-attention", "self-attention", "自注意力"),
    term("rope", "rotary position embedding", "旋转位置编码", abbr="RoPE"),
    term("mask", "mask", "掩码", forms={"en": ["masks"]}),
]


def glossary_of(language: str) -> glossary.Glossary:
    extension = glossary.makeExtension(language=language)
    extension.terms = glossary.parse(TERMS)
    extension.matcher = glossary.Matcher(extension.terms, language)
    return extension


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "attention, attention", ["attention"]),
        ("en", "Self-attention is attention.", ["Self-attention", "attention"]),
        ("en", "self-attention and self-attention", ["self-attention"]),
        ("en", "cross-attention, attentions, unmask", []),
        ("en", "two masks & a mask", ["masks"]),
        ("en", "rotary\nposition embedding, RoPE", ["rotary\nposition embedding"]),
        ("en", "Read Attention Is All", []),
        ("en", "$x$ Attention begins a sentence, as far as one can see", ["Attention"]),
        ("zh", "用RoPE做旋转位置编码", ["RoPE"]),
        ("zh", "自注意力是注意力", ["自注意力", "注意力"]),
        ("en", "## mask\n\n`mask` [mask](#) <b>mask</b>", ["mask"]),
        ("en", "$mask$ and $$mask$$", []),
        ("en", "```\nmask\n```\n\n    mask", []),
        ("en", "a  \nb ![mask](mask.png) **mask**", ["mask"]),
        ("en", "<!-- glossary -->\n\nmask", []),
    ],
)
def test_tooltip(language: str, text: str, expected: list[str]) -> None:
    html = convert(text, glossary_of(language))
    assert re.findall(r'<abbr title="[^"]+">([^<]*)</abbr>', html) == expected
    if glossary.MARKER not in text:
        plain = convert(text)
        assert re.sub(r"</?abbr[^>]*>", "", html) == plain, "something but <abbr> was changed"


def test_the_first_mark_is_in_running_text() -> None:
    html = convert("## mask\n\n`mask` [mask](#) *mask*", glossary_of("en"))
    assert html.endswith('<em><abbr title="D mask">mask</abbr></em></p>')


def test_the_list_of_the_glossary_stands_at_its_marker_alone() -> None:
    html = convert("<!-- glossary -->\n\n    <!-- glossary -->\n", glossary_of("en"))
    assert html.count('<dl class="glossary">') == 1
    assert '<dt id="rope"><strong>rotary position embedding</strong>' in html
    assert "&lt;!-- glossary --&gt;" in html


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
        ([term("a", "a", "甲", avoid={"de": ["x"]})], "avoid must map"),
        ([term("a", "a", "甲", lint="no")], "lint must be true or false"),
    ],
)
def test_malformed_glossary(entries: Any, message: str) -> None:
    with pytest.raises(PageError, match=re.escape(message)):
        glossary.parse(entries)


BIB = r"""
@article{one, author={First, Ann}, title={{One}}, year=2001, url={https://a.example/}}
@article{two, author={First, Ann and {\"O}zer, Bo}, title={Two}, year=2002, doi={10.1/2}}
@inproceedings{many, author={A, B and C, D and E, F}, title={Many}, year=2003, eprint={1.2}}
@article{same1, author={Same, S}, title={X}, year=2004}
@article{same2, author={Same, S}, title={Y}, year=2004}
"""


def cite(tmp_path: Path, text: str, language: str = "en") -> str:
    (tmp_path / "r.bib").write_text(BIB, encoding="utf-8")
    extension = citations.makeExtension(language=language)
    extension.works = citations.load(tmp_path / "r.bib")
    return re.sub(r' title="[^"]*"', "", convert(text, extension))


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
    with pytest.raises(PageError, match=re.escape(message)):
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
    with pytest.raises(PageError, match=message):
        citations.load(path)


SVG = """<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "y">
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 width="10pt" height="5pt" viewBox="0 0 10 5">
<metadata>who</metadata><defs><style type="text/css">*{stroke-linejoin: round}</style></defs>
<clipPath id="c"/><g id="g" clip-path="url(#c)" style="fill: #1F2430; stroke: #123456"/>
<use xlink:href="#g"/><text style="font-size: 9px; font-family: 'A', b; fill: #1f2430">t</text>
</svg>"""


def test_inlined_figure() -> None:
    css = "/* #1 */ :root { --figure-ink: #1f2430; } [x] { --figure-ink: #ffffff; }"
    palette = figures.read_palette(css)
    assert palette == {"#1f2430": "--figure-ink"}
    result = figures.inline(SVG, alt='a "b"', prefix="p-", palette=palette)
    assert re.match('<svg [^>]*class="figure" role="img" aria-label="a &quot;b&quot;"', result)
    for wanted in ('id="p-c"', "url(#p-c)", 'xlink:href="#p-g"', "stroke: #123456"):
        assert wanted in result
    assert result.count("var(--figure-ink)") == 2
    for unwanted in ("font-family", "<style", "<?xml", "DOCTYPE", "metadata", 'height="', "*{"):
        assert unwanted not in result
    with pytest.raises(ValueError, match="viewBox"):
        figures.inline("<svg></svg>", alt="", prefix="", palette={})
    with pytest.raises(ValueError, match="expected an SVG"):
        figures.inline("<svg>", alt="", prefix="", palette={})


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
    found = Page(ROOT / "docs/en" / uri, uri, "").place(text)
    source, *number = found.split(":")
    path, *_ = expected.split(":")
    assert (ROOT / source).samefile(ROOT / "docs/en" / path)
    assert bool(number) == (":" in expected)
    if number:
        line = (ROOT / source).read_text(encoding="utf-8").splitlines()[int(number[0]) - 1]
        assert text.strip().splitlines()[0] in line


def test_missing_figure_warns(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    html = '<img alt="x" src="../assets/figures/gone.svg">'
    assert figures.makeExtension(language="en").finish(html, PAGE) == html
    assert "docs/en/attention/positions.md: figure gone.svg" in caplog.text


def test_what_a_page_cites_is_listed_where_it_asks_for_it(tmp_path: Path) -> None:
    html = cite(tmp_path, "[@two] [@one]\n\n<!-- sources -->")
    listed = html.split('<ul class="sources">')[1]
    link = '<li><a href="../../appendix/references/#one">First, 2001</a>. <cite>One</cite></li>'
    assert link in listed and listed.index("#one") < listed.index("#two")
    with pytest.raises(PageError, match="the page cites nothing"):
        cite(tmp_path, "Nothing.\n\n<!-- sources -->")


def test_the_references_name_the_pages_that_cite_them(tmp_path: Path) -> None:
    extension = citations.makeExtension(language="en")
    convert("[@vaswani2017attention]", extension)
    references = Page(ROOT / "docs/en/appendix/references.md", "appendix/references.md",
                      "appendix/references/")  # fmt: skip
    html = extension.with_backlinks(extension.references_html(), references, {PAGE: "Positions"})
    assert html.count("Cited in: ") == 1 and "<!--" not in html
    assert '<a href="../../attention/positions/">Positions</a>' in html


def test_a_formula_is_drawn_once() -> None:
    extension = formulas.makeExtension(language="en")
    html = convert("Let $x < 1$, and\n\n$$\ny\n$$", extension)
    assert html.count('class="katex-html"') == 2 and "\\(" not in html
    assert re.search('<span class="formula-stop"><span class="arithmatex">.*</span>,</span>', html)
    assert extension.finish(html, PAGE) == html
    with pytest.raises(PageError, match=r"positions.md: formula '\\\\nonsense'"):
        convert("$\\nonsense$", extension)
