"""What the machine itself brings: Python's venv, a Chromium and Chinese glyphs.

The diagrams and the tests of the site are drawn by a real browser; which one, is decided here.
Run as a script with ``venv`` or ``browser``, this gets what is missing: from the system's packages
where that asks for no password, a browser also from playwright. Where neither can be, one line
says what to do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache

NAMES = ("chromium", "chromium-browser", "google-chrome")
NO_CHROMIUM = (
    "no Chromium found: install one, with `sudo apt install chromium libatomic1` or with "
    "`.venv/bin/python -m playwright install --with-deps chromium`, "
    "or set CHROMIUM to the path of one"
)
NO_GLYPHS = (
    "no Chinese glyphs found, the tests of the site may fail: `sudo apt install fonts-noto-cjk`"
)
VENV = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
NO_VENV = f"{sys.executable} cannot make virtual environments: `sudo apt install {VENV}`"


@cache
def chromium() -> str | None:
    """The Chromium to drive: $CHROMIUM, or one on the PATH, or playwright's own, if it starts.

    None as well where playwright, which drives it, does not start: on a small Debian its node
    lacks libatomic1.
    """
    if not _run(sys.executable, "-m", "playwright", "--version"):
        return None
    if chosen := os.environ.get("CHROMIUM"):
        candidates = [shutil.which(chosen)]
    else:
        candidates = [*map(shutil.which, NAMES), _of_playwright()]
    return next((path for path in candidates if path and _starts(path)), None)


def _of_playwright() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return shutil.which(playwright.chromium.executable_path)


def _starts(path: str) -> bool:
    # Ubuntu's chromium-browser only names a snap, and playwright's may lack libraries.
    return sys.platform == "win32" or _run(path, "--version")  # there a window would open


def _run(*command: str, show: bool = False) -> bool:
    """Whether a command ends well; what it prints goes to standard error, or nowhere."""
    output = sys.stderr if show else subprocess.DEVNULL
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    except OSError:
        return False
    return done.returncode == 0


def _as_root() -> list[str] | None:
    """What to put before a command of apt's, or None where it cannot be run unasked."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return ["env"]
    return ["sudo"] if _run("sudo", "-n", "true") else None


@cache
def _lists_are_new() -> bool:
    return _run(*(_as_root() or ()), "apt-get", "update", "-q", show=True)


def apt(package: str) -> bool:
    """Whether a package of Debian or Ubuntu could be installed."""
    prefix = _as_root()
    if prefix is None or not _lists_are_new():
        return False
    options = ["-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
    command = [*prefix, "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", *options, package]
    return _run(*command, show=True)


def get_chromium() -> str | None:
    """As `chromium`, but get one where there is none."""
    if not chromium() and not os.environ.get("CHROMIUM"):
        if not (apt("libatomic1") and apt("chromium")):
            print("taking a Chromium of some 180 MB from playwright …", file=sys.stderr)
            system = ["--with-deps"] if _as_root() else []
            _run(sys.executable, "-m", "playwright", "install", *system, "chromium")
        chromium.cache_clear()
    return chromium()


def has_chinese() -> bool:
    """Whether this system has Chinese glyphs, as every system but Linux always has."""
    if sys.platform != "linux":
        return True
    lister = shutil.which("fc-list")
    return bool(lister and subprocess.check_output([lister, ":lang=zh-cn"]).strip())


def main(wanted: str) -> int:
    """Get what is missing, or say what to do."""
    if wanted == "venv":
        if not apt(VENV):
            sys.exit(NO_VENV)
        return 0
    if not has_chinese() and not (apt("fontconfig") and apt("fonts-noto-cjk")):
        print(NO_GLYPHS, file=sys.stderr)
    path = get_chromium()
    print(path or NO_CHROMIUM, file=sys.stdout if path else sys.stderr)
    return 0 if path else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
