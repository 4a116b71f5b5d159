"""Both languages from one command.

`mkdocs.yml` is the root of the site: it holds no pages of its own. After it is built, this hook
builds each language into a folder of the same site, with its own search, 404 page and sitemap,
and writes the root page, the root 404 page and the index of the sitemaps. The languages know
nothing of each other, so they are built side by side, each by a process of its own.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

LANGUAGES = ("zh", "en")
ROOT_PAGES = Path(__file__).parents[1] / "root"


def is_root(config: MkDocsConfig) -> bool:
    """Whether this is the root of the site and not one of the languages."""
    return "lang" not in config.extra


@event_priority(100)  # before the search reads the dictionary
def on_config(config: MkDocsConfig) -> None:
    """Switch off what the root has no use for; give the Chinese search its words."""
    if is_root(config):
        config.theme.static_templates = set()
        config.extra_css, config.extra_javascript = [], []
        for name, plugin in config.plugins.items():
            if name.endswith(("search", "mkdocstrings")):
                plugin.config["enabled"] = False
    elif config.extra["lang"] == "zh":
        _write_jieba_terms(Path(config.config_file_path).parent)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """The root shows none of the files itself; the languages share the assets."""
    if is_root(config):
        return Files([])
    shared = Path(config.config_file_path).parent / "docs" / "assets"
    for kind in ("styles", "javascripts"):
        for path in sorted((shared / kind).iterdir()):
            uri = f"assets/{kind}/{path.name}"
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_post_build(*, config: MkDocsConfig) -> None:
    """Build the languages into the site of the root."""
    if not is_root(config):
        return
    root, site = Path(config.config_file_path).parent, Path(config.site_dir)
    url = config.site_url or ""
    command = [sys.executable, "-m", "mkdocs", "build"]
    command += ["--strict"] if config.strict else ["--no-strict"]
    command += ["--quiet"] if logging.getLogger("mkdocs").level > logging.INFO else []
    builds = {
        language: subprocess.Popen(
            [*command, "-f", str(root / f"mkdocs.{language}.yml"), "-d", str(site / language)],
            env=os.environ | {"SITE_URL": f"{url}{language}/" if url else ""},
        )
        for language in LANGUAGES
    }
    failed = [language for language, build in builds.items() if build.wait()]
    if failed:
        raise PluginError(f"not built, for the reasons above: {', '.join(failed)}")
    for page in ROOT_PAGES.iterdir():
        (site / page.name).write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    locations = "".join(
        f"<sitemap><loc>{url}{language}/sitemap.xml</loc></sitemap>" for language in LANGUAGES
    )
    (site / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{locations}'
        "</sitemapindex>\n",
        encoding="utf-8",
    )


def on_page_context(context: dict[str, Any], *, page: Any, config: MkDocsConfig, **_: Any) -> None:
    """Tell the theme where the same page stands in the other language."""
    if page is not None and not is_root(config):
        other = config.extra["other"]["lang"]
        context["other_url"] = f"{context['base_url']}/../{other}/{page.url}"


def _write_jieba_terms(root: Path) -> None:
    # Rewritten only when it changed: `serve` must not take its own writing for a change.
    terms = yaml.safe_load((root / "docs/glossary.yml").read_text(encoding="utf-8"))
    words = [form for term in terms for form in (term["zh"], *term.get("forms", {}).get("zh", ()))]
    text = "".join(f"{word} 1000\n" for word in sorted(set(words)) if " " not in word)
    path = root / ".cache" / "jieba-terms.txt"
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
