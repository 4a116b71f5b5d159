"""What a reader does: switch the language, look for something, copy code, get lost."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from urllib.parse import urlsplit

import pytest
from site_harness import LANGUAGES, PATIENCE, Site, Tab

SECTION_PAGES = ("attention/positions/", "attention/self-attention/", "start/notation/")

QUERIES = [  # language, what is typed, a page that must be among the first three
    ("zh", "自注意力", "attention/self-attention/"),
    ("zh", "多头", "attention/multi-head/"),
    ("zh", "位置编码", "attention/positions/"),
    ("zh", "旋转", "attention/positions/"),
    ("zh", "RoPE 旋转位置", "attention/positions/"),
    ("zh", "因果掩码", "attention/self-attention/"),
    ("zh", "缩放", "attention/self-attention/"),
    ("zh", "softmax 饱和", "attention/self-attention/"),
    ("zh", "正弦", "attention/positions/"),
    ("zh", "安装", "start/install/"),
    ("zh", "术语", "appendix/glossary/"),
    ("zh", "词汇", "models/tokenizer/"),
    ("zh", "分词器", "models/tokenizer/"),
    ("zh", "键值缓存", "models/generation/"),
    ("zh", "低秩", "models/finetuning/"),
    ("en", "LoRA", "models/finetuning/"),
    ("en", "safetensors", "models/pretrained/"),
    ("zh", "MultiHeadAttention", "attention/multi-head/"),
    ("zh", "困惑度", "background/language-models/"),
    ("zh", "缩放定律", "background/history/"),
    ("zh", "幻觉", "background/strengths/"),
    ("zh", "残差", "transformer/encoder/"),
    ("zh", "层归一化", "transformer/encoder/"),
    ("zh", "束搜索", "transformer/decoder/"),
    ("zh", "权重绑定", "transformer/architecture/"),
    ("zh", "学习率", "transformer/training/"),
    ("zh", "少样本", "prompting/prompt-learning/"),
    ("zh", "勘误", "appendix/errata/"),
    ("en", "perplexity", "background/language-models/"),
    ("en", "Kneser", "background/language-models/"),
    ("en", "scaling laws", "background/history/"),
    ("en", "hallucination", "background/strengths/"),
    ("en", "residual stream", "transformer/encoder/"),
    ("en", "teacher forcing", "transformer/decoder/"),
    ("en", "beam search", "transformer/decoder/"),
    ("en", "weight tying", "transformer/architecture/"),
    ("en", "warm-up", "transformer/training/"),
    ("en", "batch_first", "practice/encoder/"),
    ("en", "few-shot", "prompting/prompt-learning/"),
    ("en", "errata", "appendix/errata/"),
    ("en", "self-attention", "attention/self-attention/"),
    ("en", "softmax saturate", "attention/self-attention/"),
    ("en", "causal mask", "attention/self-attention/"),
    ("en", "ALiBi slopes", "attention/positions/"),
    ("en", "grouped-query", "attention/multi-head/"),
    ("en", "sinusoidal", "attention/positions/"),
    ("en", "rotary", "attention/positions/"),
    ("en", "install", "start/install/"),
    ("en", "notation", "start/notation/"),
    ("en", "glossary", "appendix/glossary/"),
    ("en", "apply_rotary", "appendix/api/positions/"),
]

# The section nearest the middle of a page, by its table of contents.
MIDDLE_SECTION = """() => {
  const ids = [...document.querySelectorAll("article h2[id]")].map(e => e.id);
  return ids[Math.floor(ids.length / 2)];
}"""


def visible_switch(tab: Tab, language: str) -> object:
    """The visible link to `language` in the header."""
    link = tab.page.locator(f'.md-header a[hreflang^="{language}"]')
    link.wait_for(state="visible", timeout=PATIENCE * 1000)
    return link


@pytest.mark.parametrize("path", SECTION_PAGES)
@pytest.mark.parametrize("width", ["desktop", "phone"])
def test_switcher_keeps_page_and_section(
    site: Site, tabs: dict[str, Tab], path: str, width: str
) -> None:
    tab = tabs[width]
    tab.open(site.page_url("zh", path))
    section = tab.page.evaluate(MIDDLE_SECTION)
    tab.open(site.page_url("zh", path) + f"#{section}")
    for here, there in (("zh", "en"), ("en", "zh")):
        # As a reader would: scroll on a little inside the section, then switch.
        tab.page.mouse.wheel(0, 60)
        tab.page.wait_for_timeout(150)
        visible_switch(tab, there).click()  # type: ignore[attr-defined]
        tab.page.wait_for_url(re.compile(rf"/{there}/"), timeout=PATIENCE * 1000)
        address = urlsplit(tab.page.url)
        assert (address.path, address.fragment) == (f"/{there}/{path}", section), (
            f"from {here}: came to {tab.page.url}, expected /{there}/{path}#{section}"
        )
        tab.page.wait_for_load_state("load")
        top = tab.page.evaluate(
            "id => document.getElementById(id).getBoundingClientRect().top", section
        )
        assert -50 <= top <= 300, f"section {section} is at {top} px of the screen"
    assert not tab.problems, "\n".join(tab.problems)


def test_switcher_follows_scrolling(site: Site, fresh: Tab) -> None:
    """A reader who scrolled to a section, without a click, is taken to that section."""
    fresh.open(site.page_url("en", "attention/self-attention/"))
    section = fresh.page.evaluate(MIDDLE_SECTION)
    # Two steps, so that the page sees a scroll and not just a jump.
    script = "([id, by]) => scrollTo(0, document.getElementById(id).offsetTop - 60 + by)"
    for by in (0, 20):
        fresh.page.evaluate(script, [section, by])
        fresh.page.wait_for_timeout(300)
    fresh.settled("id => location.hash === `#${id}`", section)  # the page has noticed
    visible_switch(fresh, "zh").click()  # type: ignore[attr-defined]
    fresh.page.wait_for_url(re.compile("/zh/"))
    assert urlsplit(fresh.page.url).fragment == section


@pytest.mark.parametrize("language", LANGUAGES)
def test_scheme_toggle(site: Site, fresh: Tab, language: str) -> None:
    fresh.open(site.page_url(language, "attention/positions/"))
    before = fresh.scheme()
    toggle = "form[data-md-component=palette] label:not([hidden])"
    shown = fresh.page.locator(toggle)
    ground = "getComputedStyle(document.body).backgroundColor"
    old_ground = fresh.page.evaluate(ground)
    schemes = {before}
    for _ in range(3):  # automatic, light, dark: at most two clicks to the other scheme
        shown.first.click()
        schemes.add(fresh.scheme())
        if len(schemes) == 2:
            break
    assert schemes == {"default", "slate"}, f"the toggle gave {schemes}"
    assert fresh.page.evaluate(ground) != old_ground
    chosen = fresh.scheme()
    fresh.open(site.page_url(language, "attention/self-attention/"))
    assert fresh.scheme() == chosen, "the scheme is not kept on the next page"
    assert not fresh.problems, "\n".join(fresh.problems)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("address", ["no-such-page/", "attention/nothing/here.html"])
def test_not_found(site: Site, fresh: Tab, language: str, address: str) -> None:
    fresh.problems.clear()
    url = site.page_url(language, address)
    response = fresh.page.goto(url)
    assert response is not None and response.status == 404
    wanted = {"zh": "找不到|不存在|没有", "en": "not found|no such|does not exist"}[language]
    text = fresh.page.inner_text("body")
    assert re.search(wanted, text, re.IGNORECASE), f"{language} 404 reads: {text[:300]}"
    assert fresh.page.locator(f'a[href*="/{language}/"]:visible').count(), "no way back home"
    others = [p for p in fresh.problems if "404" not in p]
    assert not others, "\n".join(others)
    # The page itself is the only thing missing: its styles and scripts are found.
    missing = [p for p in fresh.problems if p.startswith("status") and url not in p]
    assert not missing, "\n".join(missing)


def test_root_leads_to_a_language(site: Site, fresh: Tab) -> None:
    fresh.open(site.url)
    for language in LANGUAGES:
        if not fresh.page.url.startswith(site.page_url(language)):
            assert fresh.page.locator(f'a[href$="{language}/"]').count(), f"no link to {language}"
    assert not fresh.problems, "\n".join(fresh.problems)


@pytest.fixture(scope="module")
def searching(tabs: dict[str, Tab], site: Site) -> dict[str, str]:
    """The language whose home the desktop tab shows now, so that it is loaded once."""
    return {}


@pytest.mark.parametrize(
    ("language", "query", "path"), QUERIES, ids=[f"{q[0]}-{q[1]}" for q in QUERIES]
)
def test_search(
    site: Site,
    tabs: dict[str, Tab],
    searching: dict[str, str],
    language: str,
    query: str,
    path: str,
) -> None:
    tab = tabs["desktop"]
    if searching.get("language") != language:
        tab.open(site.page_url(language))
        tab.page.locator("body").click(position={"x": 5, "y": 400})
        tab.page.keyboard.press("f")
        searching["language"] = language
    box = tab.page.locator("input[data-md-component=search-query]")
    box.click()
    box.press("ControlOrMeta+a")
    box.press("Delete")
    tab.settled("() => !document.querySelector('.md-search-result__link')")
    # Chinese has no keys of its own: playwright enters each character as an input method does,
    # but leaves out the key that commits it, whose release the search box waits for.
    tab.page.keyboard.type(query, delay=15)
    tab.page.keyboard.press("End")
    links = tab.page.locator(".md-search-result__item > a.md-search-result__link")
    # Until the last keystroke's own results are there, which may take a busy machine its time.
    before: list[str] = []
    for _ in range(PATIENCE * 4):
        addresses = links.evaluate_all("es => es.map(e => e.href)")
        pages = list(dict.fromkeys(urlsplit(url).path for url in addresses))  # sections as theirs
        if f"/{language}/{path}" in pages[:3] and pages == before:
            break
        before = pages
        tab.page.wait_for_timeout(250)
    else:
        pytest.fail(f"{language}: {query!r} found {before[:3]}")
    # lunr takes two of its states for the same where words hold digits, and then lacks a word that
    # it has found (its `TokenSet.toString`). What is typed so far may meet one, the whole may not.
    # The warning may come late, when the next query is typed.
    wholes = {each for _, each, _ in QUERIES}
    so_far = {each[:i] for each in wholes for i in range(1, len(each))} - wholes
    allowed = (
        *(f"console warning: Invalid query: {start} " for start in so_far),
        "console warning: TypeError: Cannot read properties of undefined (reading '_index')",
    )
    problems = [problem for problem in tab.problems if not problem.startswith(allowed)]
    tab.problems.clear()
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("language", LANGUAGES)
def test_copy_button(site: Site, fresh: Tab, language: str) -> None:
    """The clipboard holds exactly the code of the block: no prompt, no output, no line number."""
    fresh.open(site.page_url(language, "attention/self-attention/"))
    block = fresh.page.locator("div.highlight.language-python:visible, div.language-python:visible")
    for number in range(min(2, block.count())):
        code = block.nth(number)
        code.scroll_into_view_if_needed()
        code.hover()
        button = code.locator("button[data-clipboard-target], button[data-md-type=copy]").first
        button.click()
        fresh.settled("async () => (await navigator.clipboard.readText()).length > 0")
        copied = fresh.page.evaluate("navigator.clipboard.readText()")
        shown = code.locator("code").first.evaluate("e => e.textContent")
        assert copied.rstrip("\n") == shown.rstrip("\n")
        compile(copied, f"{language}: copied block {number}", "exec")
    assert block.count(), "no Python block on the page"
    assert not fresh.problems, "\n".join(fresh.problems)


def test_sitemaps_are_xml(site: Site) -> None:
    maps = list(site.folder.rglob("sitemap.xml"))
    assert maps
    for file in maps:
        assert ET.parse(file).getroot().tag.endswith(("urlset", "sitemapindex"))
