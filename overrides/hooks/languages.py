"""Both languages from one command.

`mkdocs.yml` is the root of the site: it holds no pages of its own. After it is built, this hook
builds each language into a folder of the same site, with its own search, 404 page and sitemap,
and writes the root page, the root 404 page and the index of the sitemaps. The languages know
nothing of each other, so they are built side by side, each by a process of its own; `serving.py`
tells what happens to those while the site is served.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort, PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

import serving
from extensions import glossary

# `make serve ONLY=zh` serves one language alone.
LANGUAGES = tuple(name for name in ("zh", "en") if os.environ.get("ONLY", "") in ("", name))
ROOT_PAGES = Path(__file__).parents[1] / "root"


@dataclass
class _State:
    serves: bool = False
    languages: dict[str, serving.Language] = field(default_factory=dict)  # as they are served


_state = _State()


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


def on_startup(*, command: str, dirty: bool) -> None:
    """Remember whether the site is to be served."""
    _state.serves = command == "serve"


def on_pre_build(*, config: MkDocsConfig) -> None:
    """Before anything is built, see whether it can be served."""
    if _state.serves and is_root(config) and not _state.languages:
        host, port = config.dev_addr
        if complaint := serving.complain_if_in_use(host, port):
            raise Abort(complaint)


def on_post_build(*, config: MkDocsConfig) -> None:
    """Build the languages into the site of the root."""
    if not is_root(config):
        return
    site, url = Path(config.site_dir), config.site_url or ""
    if _state.serves:
        for language in LANGUAGES:
            _state.languages.setdefault(language, serving.Language(language, url, site))
        for thread in [language.renew() for language in _state.languages.values()]:
            thread.join()
        failed = [name for name, language in _state.languages.items() if language.successor]
    else:
        writers = {
            language: serving.Writer(language, url, site / language, strict=config.strict)
            for language in LANGUAGES
        }
        failed = [language for language, writer in writers.items() if not writer.built()]
        for writer in writers.values():
            writer.process.communicate()
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


def on_serve(server: Any, *, config: MkDocsConfig, builder: Any) -> None:
    """Build a page that is saved alone, at once."""
    server.builder = serving.Rebuilder(_state.languages, builder)


def on_shutdown() -> None:
    """End the processes that keep the languages."""
    for language in _state.languages.values():
        language.end()


def on_page_context(context: dict[str, Any], *, page: Any, config: MkDocsConfig, **_: Any) -> None:
    """Tell the theme where the same page stands in the other language."""
    if page is not None and not is_root(config):
        other = config.extra["other"]["lang"]
        context["other_url"] = f"{context['base_url']}/../{other}/{page.url}"


def _write_jieba_terms(root: Path) -> None:
    # Rewritten only when it changed: `serve` must not take its own writing for a change.
    words = {name for term in glossary.load() for name in term.names("zh")}
    text = "".join(f"{word} 1000\n" for word in sorted(words) if " " not in word)
    path = root / ".cache" / "jieba-terms.txt"
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
