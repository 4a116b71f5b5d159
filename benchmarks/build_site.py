"""How long the site takes to build, beside MkDocs with Material alone on the same Markdown.

Both build both languages from scratch, in turn (A B A B …), each as the command a person would
type. The plain build has the search plugin and the same Markdown extensions, and nothing of
ours: no hooks, no overrides, no API reference. It needs two commands, one for each language.

    python benchmarks/build_site.py --runs 5
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from mkdocs.utils.yaml import yaml_load

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ("en", "zh")


def plain_config(language: str, extensions: list[Any], folder: Path) -> dict[str, Any]:
    """A config of MkDocs and Material as they come."""
    return {
        "site_name": "Plain",
        "site_url": "http://127.0.0.1:8000/",
        "docs_dir": str(folder / "docs" / language),
        "site_dir": str(folder / "site" / language),
        "theme": {"name": "material", "language": language, "font": False},
        "plugins": ["search"],
        "markdown_extensions": extensions,
    }


def our_extensions() -> list[Any]:
    """The Markdown extensions of mkdocs.yml, without fences that need code of ours."""
    with (ROOT / "mkdocs.yml").open(encoding="utf-8") as file:
        listed = yaml_load(file).get("markdown_extensions", [])
    pairs = (
        [(e, None) if isinstance(e, str) else next(iter(e.items())) for e in listed]
        if isinstance(listed, list)
        else list(listed.items())
    )
    result: list[Any] = []
    for name, options in pairs:
        options = {k: v for k, v in (options or {}).items() if k != "custom_fences"}
        result.append({name: options} if options else name)
    return result


def prepare(folder: Path) -> list[Path]:
    """Copy the Markdown and write the two plain configs; return their paths."""
    extensions = our_extensions()
    configs = []
    for language in LANGUAGES:
        source = ROOT / "docs" / language
        shutil.copytree(source, folder / "docs" / language)
        path = folder / f"mkdocs.{language}.yml"
        config = plain_config(language, extensions, folder)
        path.write_text(yaml.dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8")
        configs.append(path)
    return configs


def timed(commands: list[list[str]], folder: Path) -> float:
    """Seconds that the commands take one after another."""
    start = time.perf_counter()
    for command in commands:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="builds of each kind (default 5)")
    parser.add_argument("--limit", type=float, help="exit with 1 if the ratio is above this")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error(f"--runs must be at least 1, got {arguments.runs}")

    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--clean"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configs = prepare(folder)
        builds = {
            "ours": ([[*mkdocs, "--site-dir", str(folder / "ours")]], ROOT),
            "plain": ([[*mkdocs, "--config-file", str(path)] for path in configs], folder),
        }
        for commands, place in builds.values():  # fills the caches of Python, jieba and the disk
            timed(commands, place)
        seconds: dict[str, list[float]] = {kind: [] for kind in builds}
        for _ in range(arguments.runs):
            for kind, (commands, place) in builds.items():
                seconds[kind].append(timed(commands, place))
        pages = {
            kind: _pages(folder / where) for kind, where in (("ours", "ours"), ("plain", "site"))
        }

    print(f"{'build':8}{'pages':>7}{'median s':>10}{'min':>8}{'max':>8}")
    for kind, values in seconds.items():
        middle = statistics.median(values)
        print(f"{kind:8}{pages[kind]:7}{middle:10.2f}{min(values):8.2f}{max(values):8.2f}")
    ratio = statistics.median(seconds["ours"]) / statistics.median(seconds["plain"])
    print(f"ratio   {ratio:.2f}  (ours / plain, {arguments.runs} runs in turn)")
    if arguments.limit and ratio > arguments.limit:
        sys.exit(f"ratio {ratio:.2f} is above {arguments.limit}")


def _pages(folder: Path) -> int:
    return sum(1 for language in LANGUAGES for _ in (folder / language).rglob("index.html"))


if __name__ == "__main__":
    main()
