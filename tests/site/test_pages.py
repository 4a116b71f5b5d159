"""Every page, both languages, both widths, light and dark: all drawn, nothing amiss."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.site.browser import SCHEMES, WIDTHS, Tab
from tests.support.site import LANGUAGES, Site, page_paths

# Formulas: each must have been drawn by KaTeX into a box that is not empty.
FORMULAS = r"""() => {
  const faults = [];
  const article = document.querySelector("article");
  for (const e of article.querySelectorAll(".arithmatex"))
    if (!e.querySelector(".katex"))
      faults.push("formula left as TeX: " + e.textContent.slice(0, 80));
  for (const e of article.querySelectorAll(".katex-error"))
    faults.push("KaTeX error: " + (e.title || e.textContent));
  for (const e of article.querySelectorAll(".katex")) {
    // In a folded answer or a tab not chosen nothing has a box.
    if (e.closest("details:not([open]), .tabbed-block") && !e.offsetParent) continue;
    const drawn = e.querySelector(".katex-html") || e;
    const box = drawn.getBoundingClientRect();
    if (!(box.width > 0 && box.height > 0))
      faults.push("formula without a box: " + e.textContent.slice(0, 80));
  }
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (/\\\(|\\\[|\$\$/.test(node.data) && !node.parentElement.closest(
        "pre, code, script, style, .katex, annotation"))
      faults.push("TeX in the text: " + node.data.trim().slice(0, 80));
  }
  return faults;
}"""

# Drawings: each has a box, and each of its texts stands out from what is painted beneath it.
DRAWINGS = r"""() => {
  const faults = [];
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const rgba = colour => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = "#000"; context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const luminance = c => {
    const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
    return (x + .05) / (y + .05);
  };
  const pageColour = element => {
    for (let e = element.parentElement; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c[3] > .99) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const opacity = (e, root) => {
    let all = 1;
    for (; e && e !== root.parentElement; e = e.parentElement)
      all *= parseFloat(getComputedStyle(e).opacity);
    return all;
  };
  const article = document.querySelector("article");
  for (const img of article.querySelectorAll("img"))
    if (!(img.complete && img.naturalWidth > 0)) faults.push("image not drawn: " + img.src);
  for (const e of article.querySelectorAll("pre.mermaid, code.language-mermaid"))
    faults.push("diagram left as source: " + e.textContent.trim().slice(0, 80));
  for (const svg of article.querySelectorAll("svg")) {
    if (svg.closest(".md-icon, .twemoji, .md-button, .headerlink, button, svg svg")) continue;
    if (svg.closest("details:not([open]), .tabbed-block") && !svg.checkVisibility()) continue;
    const name = svg.getAttribute("aria-label") || svg.id || svg.outerHTML.slice(0, 80);
    const box = svg.getBoundingClientRect();
    if (!(box.width > 0 && box.height > 0)) {
      faults.push("drawing without a box: " + name); continue;
    }
    const ids = [...svg.querySelectorAll("[id]")].map(e => e.id);
    for (const id of ids)
      if (document.querySelectorAll("#" + CSS.escape(id)).length > 1) {
        faults.push(`id ${id} twice: ${name}`); break;
      }
    const ground = pageColour(svg);
    const shapes = [...svg.querySelectorAll("rect, path, polygon, circle, ellipse")]
      .filter(e => !e.closest("defs, clipPath, marker, symbol"))
      .map(e => ({e, box: e.getBoundingClientRect(), style: getComputedStyle(e)}))
      .filter(s => s.style.fill !== "none" && s.style.visibility !== "hidden");
    const texts = [...svg.querySelectorAll("text, foreignObject *")].filter(e =>
      e.tagName === "text" ? e.textContent.trim()
        : [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
    for (const text of texts) {
      if (text.closest(".katex")) continue;
      const place = text.getBoundingClientRect();
      const x = place.x + place.width / 2, y = place.y + place.height / 2;
      const label = `${name}: text "${text.textContent.trim().slice(0, 40)}"`;
      if (!(place.width > 0 && place.height > 0)) { faults.push(label + " has no box"); continue; }
      let below = ground;
      for (const {e, box, style} of shapes)
        if (e.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING
            && box.left <= x && x <= box.right && box.top <= y && y <= box.bottom) {
          const c = rgba(style.fill);
          c[3] *= parseFloat(style.fillOpacity) * opacity(e, svg);
          below = over(c, below);
        }
      const style = getComputedStyle(text);
      const colour = rgba(text.tagName === "text" ? style.fill : style.color);
      colour[3] *= opacity(text, svg) * (text.tagName === "text" ? +style.fillOpacity : 1);
      const ratio = contrast(over(colour, below), below);
      if (ratio < 3) faults.push(`${label} hardly visible: contrast ${ratio.toFixed(2)}`);
    }
  }
  return faults;
}"""

# The page itself must not scroll sideways; a wide table or formula may, inside its own box.
OVERFLOW = r"""() => {
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth) return [];
  const wide = [...document.querySelectorAll("article *")].filter(e => {
    for (let p = e.parentElement; p && p.tagName !== "ARTICLE"; p = p.parentElement)
      if (/auto|scroll|hidden|clip/.test(getComputedStyle(p).overflowX)) return false;
    return e.getBoundingClientRect().right > root.clientWidth + 1;
  }).slice(0, 3).map(e => e.outerHTML.slice(0, 90));
  return [`scrolls sideways: ${root.scrollWidth} > ${root.clientWidth}: ${wide.join(" | ")}`];
}"""

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
