"""Every page, both languages, both widths, light and dark: all drawn, nothing amiss."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.site.browser import SCHEMES, WIDTHS, Tab
from tests.support.website import LANGUAGES, Site, page_paths

# What a page shows is looked at by programs of its own, in the browser.
FORMULAS, DRAWINGS, OVERFLOW = (
    Path(__file__).with_name("checks").joinpath(f"{name}.js").read_text(encoding="utf-8")
    for name in ("formulas", "drawings", "overflow")
)

LINKS = r"""() => ({
  lang: document.documentElement.lang,
  alternates: Object.fromEntries([...document.querySelectorAll('link[rel~=alternate][hreflang]')]
    .map(e => [e.hreflang, e.href])),
})"""


@pytest.mark.parametrize("path", page_paths(), ids=lambda path: path or "home")
@pytest.mark.parametrize("language", LANGUAGES)
def test_page(site: Site, tabs: dict[str, Tab], language: str, path: str) -> None:
    tab = tabs["turning"]
    tab.open(site.page_url(language, path))
    faults: list[str] = []
    # Opened once, in the width of the page before, then turned to the other: each page is loaded in
    # one width and drawn in both.
    for width in sorted(WIDTHS, key=lambda width: WIDTHS[width] != tab.page.viewport_size):
        tab.page.set_viewport_size(WIDTHS[width])
        for name, scheme in SCHEMES.items():
            tab.set_scheme(scheme)
            checks = (FORMULAS, DRAWINGS, OVERFLOW) if name == "light" else (DRAWINGS,)
            for check in checks:
                faults += [f"{width}, {name}: {fault}" for fault in tab.page.evaluate(check)]

    head = tab.page.evaluate(LINKS)
    if not re.fullmatch(rf"{language}(-.+)?", head["lang"]):
        faults.append(f"<html lang={head['lang']!r}> on a page in {language}")
    alternates = {code.split("-")[0]: url for code, url in head["alternates"].items()}
    for other in LANGUAGES:
        if alternates.get(other) != site.page_url(other, path):
            faults.append(f"hreflang {other}: {alternates.get(other)}")
    assert not tab.problems + faults, "\n".join(tab.problems + faults)


def test_both_languages_have_every_page(site: Site) -> None:
    for language in LANGUAGES:
        built = {
            file.parent.relative_to(site.folder / language).as_posix() + "/"
            for file in (site.folder / language).rglob("index.html")
        }
        assert {path.removeprefix("./") for path in built} == set(page_paths())


RESOURCE = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object|track|input)\b[^>]*?
        \b(?:src|srcset|data|poster)\s*=\s*["']?\s*((?:https?:)?//[^"'\s>]+)
      | <link\b(?=[^>]*\brel=["']?(?:stylesheet|icon|preload|preconnect|dns-prefetch|
            modulepreload|prefetch|manifest))[^>]*?\bhref\s*=\s*["']?((?:https?:)?//[^"'\s>]+)
      | (?:url\(\s*["']?|@import\s+["'])((?:https?:)?//[^"')\s]+)""",
    re.VERBOSE | re.IGNORECASE,
)
SCRIPT_HOST = re.compile(
    r"https?://[^\s\"'`)\\]*(?:unpkg|jsdelivr|cdnjs|googleapis|gstatic|polyfill|esm\.sh)"
    r"[^\s\"'`)\\]*|https://api\.github\.com"
)


def foreign_resources(text: str, own: str) -> list[str]:
    """The resources of foreign hosts that an HTML or CSS text would make a browser load."""
    found = [next(group for group in match.groups() if group) for match in RESOURCE.finditer(text)]
    return [url for url in found if not url.startswith(own)]


def test_files_name_no_foreign_resource(site: Site) -> None:
    faults = []
    for file in sorted(site.folder.rglob("*")):
        if file.suffix in {".html", ".css", ".svg"}:
            text = file.read_text(encoding="utf-8")
            found = foreign_resources(text, site.url)
        elif file.suffix in {".js", ".json"} and "search_index" not in file.name:
            found = SCRIPT_HOST.findall(file.read_text(encoding="utf-8"))
            # Material's bundle keeps these behind `repo_url` and live Mermaid, which the site
            # does not use; the browser tests show that nothing asks for them.
            if re.fullmatch(r"bundle\.[0-9a-f]+\.min\.js", file.name):
                found = []
        else:
            continue
        faults += [f"{file.relative_to(site.folder)}: {url}" for url in found]
    assert not faults, "\n".join(faults)


def test_what_is_returned_is_described_in_one_row(site: Site) -> None:
    tables = 0
    for page in site.folder.glob("*/appendix/api/*/index.html"):
        for table in page.read_text(encoding="utf-8").split("<table>")[1:]:
            rows = table.split("</table>")[0].count('class="doc-returns-details"')
            tables += rows > 0
            assert rows <= 1, f"{page}: a description of two lines became two rows"
    assert tables > 0, "no table of what is returned was found"


def test_home_lists_every_page(site: Site) -> None:
    for language in LANGUAGES:
        links = re.findall(r'<a [^>]*href="([^"#]+)"', site.html(language).split("<article")[1])
        missing = {path for path in page_paths() if path} - set(links)
        assert not missing, f"{language}: {sorted(missing)}"


def test_a_tolerance_is_told_under_the_output(site: Site) -> None:
    for language, words in (("zh", "可能<a[^>]*>相差"), ("en", "may <a[^>]*>differ by")):
        html = site.html(language, "start/tested/")
        note = rf'</pre></div><p class="tolerance">[^<]*{words} 10%</a>'
        assert len(re.findall(note, html)) == html.count('data-tol="10%"') == 1


def test_tooltips(site: Site) -> None:
    """Pages explain their terms on hover, and never inside a heading, code or a link."""
    for language in LANGUAGES:
        html = site.html(language, "attention/self-attention/")
        tips = re.findall(r'<abbr title="[^"]+">', html)
        assert len(tips) >= 3, f"{language}: {len(tips)} tooltips on self-attention"
        for tag in ("h1", "h2", "h3", "code", "a"):
            for inside in re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", html, re.DOTALL):
                assert '<abbr title="' not in inside, f"{language}: tooltip in <{tag}>: {inside}"
        index = (site.folder / language / "search" / "search_index.json").read_text("utf-8")
        assert "<abbr" not in index
        for file in (site.folder / language).rglob("index.html"):
            assert "data-term=" not in file.read_text("utf-8"), f"{file}: a mark is left"


def test_sitemap_lists_every_page(site: Site) -> None:
    maps = [Path(p).read_text("utf-8") for p in site.folder.rglob("sitemap.xml")]
    listed = {url for text in maps for url in re.findall(r"<loc>([^<]+)</loc>", text)}
    wanted = {site.page_url(lang, path) for lang in LANGUAGES for path in page_paths()}
    assert wanted <= listed, f"missing: {sorted(wanted - listed)}"
    maps_of_languages = {f"{site.url}{language}/sitemap.xml" for language in LANGUAGES}
    assert maps_of_languages <= listed
    strange = listed - wanted - maps_of_languages
    assert not strange, f"not a page: {sorted(strange)}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<img alt="x" src="https://a.example/x.png">', 1),
        ('<script async src="//a.example/x.js"></script>', 1),
        ('<link rel="stylesheet" href="https://a.example/x.css">', 1),
        ("@import 'https://a.example/x.css'", 1),
        ("body { background: url(https://a.example/x.png) }", 1),
        ('<a href="https://a.example/">a link is no resource</a>', 0),
        ('<link rel="canonical" href="https://a.example/">', 0),
        ('<img src="http://127.0.0.1:1/x.png"><img src="../x.png">', 0),
    ],
)
def test_foreign_resources(text: str, expected: int) -> None:
    assert len(foreign_resources(text, "http://127.0.0.1:1/")) == expected
