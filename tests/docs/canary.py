"""A canary for the day on which the book leaves MkDocs: it is built with Zensical, and looked at.

Material for MkDocs ends in May 2027. Zensical reads its configuration and Python-Markdown, but no
hooks, and what it does not know it leaves out without a word. So the pages are searched for what
would then stand there as its author typed it. To pass is not asked of the book; to know is.

    python -m tests.docs.canary                  # where Zensical is installed: see `make canary`
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from bs4 import BeautifulSoup, Tag

import reference
from extensions.base import ROOT
from pages import MODULES

# What is no text of the author: drawn formulas, figures and code.
DRAWN = "pre, code, script, style, svg, .katex, .arithmatex"
TYPED = {
    "formulas left as TeX": r"\$[^$\n]+\$|\\[(\[]",
    "citations left as keys": r"\[@[^\]]*\]",
    "links to the reference left as names": r"\]\[[a-z][\w.-]*\]",
    "attributes left as text": r"\{ ?[.#][\w-]+[^}]*\}",
}


def build(language: str, folder: Path) -> Path:
    """Build a language with Zensical, in a copy of what it reads.

    Args:
        language: Which.
        folder: An empty one to work in.

    Returns:
        The folder of the site.

    Raises:
        RuntimeError: If Zensical fails; it holds what Zensical says.
    """
    shutil.copytree(ROOT / "docs", folder / "docs")
    for name in ("overrides", "llmbook"):
        (folder / name).symlink_to(ROOT / name)
    for path in ROOT.glob("mkdocs*.yml"):
        shutil.copy(path, folder)
    # What hooks do for MkDocs has to be written down here: the extensions, the pages of the API.
    config: dict[str, Any] = yaml.load(
        (ROOT / f"mkdocs.{language}.yml").read_text(encoding="utf-8"), yaml.BaseLoader
    )
    rooms = reference.rooms(ROOT)
    reference.fill(config["nav"], [{r: f"{reference.FOLDER}/{r}.md"} for r in rooms])
    titles = dict(reference.titles_of(config["nav"]))
    for room, facts in rooms.items():
        path = folder / "docs" / language / reference.FOLDER / f"{room}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reference.page(room, facts, language, titles), encoding="utf-8")
    extensions = {module.__name__: {"language": language} for module in MODULES}
    own = {"INHERIT": f"mkdocs.{language}.yml", "nav": config["nav"], "site_dir": "site"}
    text = yaml.safe_dump(own | {"markdown_extensions": extensions}, allow_unicode=True)
    (folder / "zensical.yml").write_text(text, encoding="utf-8")
    paths = os.pathsep.join([str(ROOT / "overrides" / "hooks"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "-f", "zensical.yml"],
        cwd=folder, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"zensical must build the pages in {language}, it said:\n{done.stderr}")
    return folder / "site"


def losses(html: str) -> dict[str, list[str]]:
    """What a page shows as it was typed: what kind of thing, and each of them."""
    article = BeautifulSoup(html, "lxml").find("article")
    found: dict[str, list[str]] = defaultdict(list)
    if not isinstance(article, Tag):
        return {"pages without an article": ["?"]}
    for code in article.select("pre.mermaid, code.language-mermaid"):
        found["diagrams left as source"].append(code.get_text()[:60])
    for formula in article.select(".arithmatex"):
        if not formula.select(".katex"):
            found["formulas left as TeX"].append(formula.get_text()[:60])
    for marker in re.findall(r"&lt;!-- .*? --&gt;|<!-- (?!cited)\w+ -->", str(article)):
        found["markers left as they are"].append(marker)
    for drawn in article.select(DRAWN):
        drawn.decompose()
    for kind, pattern in TYPED.items():
        found[kind] += re.findall(pattern, article.get_text())
    return {kind: each for kind, each in found.items() if each}


def main() -> int:
    """Build both languages, and say what each has lost."""
    failed = 0
    for language in ("zh", "en"):
        with TemporaryDirectory() as folder:
            site = build(language, Path(folder))
            lost: dict[str, list[str]] = defaultdict(list)
            pages = sorted(site.rglob("index.html"))
            for path in pages:
                where = path.parent.relative_to(site).as_posix()
                for kind, found in losses(path.read_text(encoding="utf-8")).items():
                    lost[kind] += [f"{where}: {text!r}" for text in found]
        print(f"{language}: {len(pages)} pages built, {sum(map(len, lost.values()))} losses")
        for kind, found in lost.items():
            print(f"  {kind}: {len(found)}, the first in {found[0]}")
        failed += bool(lost)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
