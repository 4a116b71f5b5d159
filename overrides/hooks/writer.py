"""Builds one language in a process of its own, and can stay to build single pages anew.

    python overrides/hooks/writer.py '{"config": "mkdocs.zh.yml", "folder": …, "served": …}'

It builds the language into `folder` and prints `ready`, or `failed` after the reason. Each line
that it then reads names a page, which it builds alone and writes below `served`; it answers again
with `ready` or `failed`, and ends with its input. What a single page cannot know is left to the
next full build: the search, the list of references, links from other pages to a heading removed.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from pathlib import Path
from typing import Any

from mkdocs.commands.build import _build_page, _populate_page, build
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort, BuildError
from mkdocs.plugins import BasePlugin, event_priority
from mkdocs.structure.files import Files


class Kept(BasePlugin):  # type: ignore[type-arg,no-untyped-call]
    """What a full build finds out and the build of a page has use for."""

    def __init__(self) -> None:
        self.nav: Any = None
        self.env: Any = None
        self.files = Files([])

    def on_nav(self, nav: Any, **_: Any) -> None:
        self.nav = nav

    @event_priority(-100)  # after all others, which may replace it
    def on_env(self, env: Any, *, files: Files, **_: Any) -> None:
        if self.env is None:
            self.env, self.files = env, files


def build_page(uri: str, kept: Kept, config: MkDocsConfig, served: Path) -> None:
    """Build one page as a full build does it, with what that has found out.

    Raises:
        BuildError: If there is no such page, or a hook finds a fault on it.
    """
    file = kept.files.get_file_from_path(uri)
    if file is None or file.page is None:
        raise BuildError(f"{uri}: the last full build had no such page")
    _populate_page(file.page, config, kept.files)
    config.plugins.on_env(kept.env, config=config, files=Files([file]))
    file.abs_dest_path = str(served / file.dest_uri)
    pages = kept.files.documentation_pages()
    _build_page(file.page, config, pages, kept.nav, kept.env)
    file.page.validate_anchor_links(files=kept.files, log_level=config.validation.links.anchors)


def attempt(work: Any, *arguments: Any, **options: Any) -> bool:
    """Do something and tell whether it went well; say on standard error why not."""
    try:
        work(*arguments, **options)
    except (Abort, BuildError) as error:
        logging.getLogger("mkdocs").error(str(error))
        answer = "failed"
    except Exception:
        traceback.print_exc()
        answer = "failed"
    else:
        answer = "ready"
    print(answer, flush=True)
    return answer == "ready"


def main(order: dict[str, Any]) -> int:
    """Build the language, then each page that is asked for."""
    served, language = Path(order["served"]), Path(order["config"]).suffixes[0].removeprefix(".")
    log = logging.StreamHandler()
    log.setFormatter(logging.Formatter(f"%(levelname)-7s -  {language}: %(message)s"))
    logging.getLogger("mkdocs").addHandler(log)
    logging.getLogger("mkdocs").setLevel(order["level"])

    kept = Kept()
    config = load_config(order["config"], site_dir=order["folder"], strict=order["strict"])
    config.plugins["kept"] = kept
    config.plugins.on_startup(command="build", dirty=False)
    if not attempt(build, config):
        return 1
    for line in sys.stdin:
        attempt(build_page, line.strip(), kept, config, served)
    config.plugins.on_shutdown()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(json.loads(sys.argv[1])))
    except KeyboardInterrupt:  # the terminal's, meant for `mkdocs serve`
        sys.exit(130)
