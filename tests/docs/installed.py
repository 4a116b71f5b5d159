"""The promise as a reader meets it: the package from a wheel, the blocks copied from the site.

Nothing of the source tree is in reach: the home folder is empty, and so is the folder in which a
block runs. A block and its output are taken from the built page, as one would copy them.

    python -m tests.docs.installed               # every English block, every tenth Chinese one

installs the wheel and all that it requires into a virtual environment of its own, from the package
index; the real model is fetched by the first block that wants it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.docs import built
from tests.docs.compare import agree, visible

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Shown:
    """A Python block as the site shows it."""

    page: str  # its address, and the number of the block on it
    code: str
    output: str | None
    tolerance: str | None


def shown(site: Path, language: str) -> Iterator[Shown]:
    """The blocks of the built pages of a language, in the order of their addresses."""
    for file in sorted((site / language).rglob("index.html")):
        name = file.parent.relative_to(site).as_posix()
        found = [*built.blocks(file.read_text(encoding="utf-8"))]
        for i, (block, below) in enumerate(zip_longest(found, found[1:])):
            if block.kind != "python":
                continue
            assert block.box is not None
            if below and "output" in below.classes and below.box is block.box.getnext():
                yield Shown(f"{name}#{i}", block.text, below.text, below.box.get("data-tol"))
            else:
                yield Shown(f"{name}#{i}", block.text, None, None)


def build_wheel(folder: Path) -> Path:
    """The wheel of this tree, made without asking the package index for anything."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(ROOT)], check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path, *, borrow: bool) -> Path:
    """An environment that holds the wheel, and none of this tree.

    Args:
        wheel: The wheel.
        folder: Where to make the environment.
        borrow: Take the libraries from the environment that runs this, rather than install those
            that the wheel requires from the package index: seconds instead of minutes.

    Returns:
        Its Python.
    """
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if borrow:
        # By its path alone: what makes this tree importable there, a .pth file, is not read.
        libraries = sysconfig.get_path("purelib")
        site = subprocess.check_output(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        )
        Path(site.strip(), "borrowed.pth").write_text(libraries + "\n", encoding="utf-8")
        command += ["--no-deps", "--no-index"]
    else:
        command += ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([*command, str(wheel)], check=True)
    return python


def fault(block: Shown, python: Path, environment: Mapping[str, str]) -> str | None:
    """Run a block in an empty folder: what is wrong with it, or None."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "block.py")
        path.write_text(block.code, encoding="utf-8")
        (empty := Path(folder, "empty")).mkdir()
        done = subprocess.run(
            [str(python), "-I", "-X", "utf8", str(path)],
            cwd=empty, env=environment, capture_output=True, text=True, encoding="utf-8",
            check=False,
        )  # fmt: skip
    if done.returncode:
        return f"{block.page}: exit code {done.returncode}\n{done.stderr}"
    if block.output is None:
        same = not visible(done.stdout)
    else:
        same = agree(block.output, done.stdout, block.tolerance)
    return (
        None if same else f"{block.page}: the page has\n{block.output}\nit printed\n{done.stdout}"
    )


def environment_of(home: Path) -> dict[str, str]:
    """What a reader's shell hands on: the path, an empty home, and what sets the package index."""
    kept = {"PATH", "SYSTEMROOT", "TEMP", "TMP", "LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}
    proxies = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "HF_ENDPOINT"}
    return {
        name: value
        for name, value in os.environ.items()
        if name.upper() in kept | proxies or name.startswith("PIP_")
    } | {"HOME": str(home), "USERPROFILE": str(home)}


def main() -> int:
    """Run the blocks, and say which of them do not print what their page shows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--site", type=Path, help="a built site; none: build it now")
    parser.add_argument("--whole", default="en", help="the language of which every block is run")
    parser.add_argument("--sample", type=int, default=10, help="of the other, every Nth block")
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        site = options.site or folder / "site"
        if not options.site:
            command = [sys.executable, "-m", "mkdocs", "build", "-q", "-d", str(site)]
            subprocess.run(command, cwd=ROOT, check=True)
        python = install(build_wheel(folder), folder / "venv", borrow=False)
        (home := folder / "home").mkdir()
        environment = environment_of(home)
        other = "zh" if options.whole == "en" else "en"
        blocks = [*shown(site, options.whole), *[*shown(site, other)][:: options.sample]]
        # The first block that names the model fetches it; the others would do so beside it.
        blocks.sort(key=lambda block: "smollm2-135m" not in block.code)
        faults = [fault(blocks[0], python, environment)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            faults += pool.map(lambda block: fault(block, python, environment), blocks[1:])
    for text in filter(None, faults):
        print(text)
    failed = sum(text is not None for text in faults)
    print(f"{len(blocks) - failed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
