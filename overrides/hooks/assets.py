"""Files beside the pages: KaTeX's style and fonts, the figures, and Mermaid where it is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.utils import write_file

from extensions.diagrams import Diagrams
from extensions.figures import FIGURES
from extensions.wheels import KATEX, MERMAID

CDN = "https://unpkg.com/mermaid@11/dist/mermaid.min.js"
SCRIPT = "assets/javascripts/mermaid.min.js"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add KaTeX's style and its woff2 fonts to each language, and its own figures."""
    if "lang" not in config.extra:
        KATEX.path()  # now, so that the languages, built side by side, find it
        return files
    style = KATEX.read("/katex.min.css").decode()
    # Every browser of today reads woff2; the older forms of the fonts are left out.
    style = re.sub(r',url\([^)]*\.(?:woff|ttf)\) format\("[a-z]+"\)', "", style)
    files.append(File.generated(config, "assets/styles/katex.min.css", content=style))
    for name in KATEX.names("/fonts/", ".woff2"):
        uri = f"assets/styles/fonts/{Path(name).name}"
        files.append(File.generated(config, uri, content=KATEX.read(f"/fonts/{Path(name).name}")))
    for path in sorted((FIGURES / config.extra["lang"]).glob("*.svg")):
        files.append(File.generated(config, f"assets/figures/{path.name}", abs_src_path=str(path)))
    return files


def on_post_build(*, config: Any) -> None:
    """Name our own copy of Mermaid in the theme's script, instead of a third party's."""
    if "lang" not in config.extra:
        return
    site = Path(config.site_dir)
    (bundle,) = site.glob("assets/javascripts/bundle.*.min.js")
    script = bundle.read_text(encoding="utf-8")
    if script.count(CDN) != 1:
        raise RuntimeError(f"{bundle.name} should name {CDN} once, found {script.count(CDN)}")
    prefix = f"/{config.extra['lang']}/"  # the script knows no relative addresses
    bundle.write_text(script.replace(CDN, prefix + SCRIPT), encoding="utf-8")
    if any(each.undrawn for each in config.markdown_extensions if isinstance(each, Diagrams)):
        write_file(MERMAID.read("/mermaid.min.js"), str(site / SCRIPT))
