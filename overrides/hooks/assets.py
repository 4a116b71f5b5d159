"""KaTeX and Mermaid, from pinned packages, never from a third-party host and never committed.

Both are inside wheels of the package index, byte for byte as their authors publish them. They are
downloaded once with pip, checked against their hash, and kept in `.cache/`. (Not by
`llmbook.pretrained.fetch`, which does without pip, but needs packages that a site does not.)
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

CACHE = Path(__file__).parents[2] / ".cache"


@dataclass(frozen=True)
class Wheel:
    """A wheel that carries files for the browser."""

    requirement: str
    sha256: str

    def path(self) -> Path:
        """The wheel on disk, downloaded if it is not there yet."""
        folder = CACHE / "wheels" / self.sha256[:16]
        found = list(folder.glob("*.whl"))
        if found and hashlib.sha256(found[0].read_bytes()).hexdigest() == self.sha256:
            return found[0]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            pins = Path(temporary) / "pins.txt"
            pins.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--only-binary", ":all:", "--require-hashes", "-r", str(pins)]
            done = subprocess.run(
                [*command, "--dest", temporary], capture_output=True, text=True, check=False
            )
            wheels = list(Path(temporary).glob("*.whl"))
            if done.returncode or not wheels:
                raise PluginError(
                    f"{self.requirement} could not be downloaded; the first build needs a network, "
                    f"later ones do not. pip said:\n{done.stderr.strip()}"
                )
            return wheels[0].replace(folder / wheels[0].name)

    def read(self, ending: str) -> bytes:
        """The one file of the wheel whose path ends in ``ending``."""
        with zipfile.ZipFile(self.path()) as archive:
            names = [name for name in archive.namelist() if name.endswith(ending)]
            if len(names) != 1:
                raise PluginError(f"{self.requirement} must hold one {ending}, found {names}")
            return archive.read(names[0])

    def names(self, middle: str, ending: str) -> list[str]:
        """Names of the files in the folder ``middle`` that have this ending."""
        with zipfile.ZipFile(self.path()) as archive:
            return [n for n in archive.namelist() if middle in n and n.endswith(ending)]


KATEX = Wheel(
    "djangocms-katex==1.0.2", "79774fa17f7d328252f6dd05688799fa7ee49abebb7cbe09f0cbf6f103352ac2"
)
MERMAID = Wheel(
    "mermaid-trace==0.7.1.post0",
    "2976b0eaee5023d307c6da6b962a0436d1e9956a984c35c537c077811d81951b",
)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add KaTeX's style and its woff2 fonts to each language."""
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
    return files
