"""What programs run from a console share: where they write to, what it shows, and how wide."""

import argparse
import codecs
import io
import sys
import unicodedata
from pathlib import Path

_PLAIN_SIGNS = {"├": "|", "└": "`", "│": "|", "─": "-", "→": "->", "×": "x", "…": "..."}


def output_folder(module: str, description: str) -> Path:
    """Read the command line of a module that makes something: it says where to, and nothing else.

    Args:
        module: Its name.
        description: What it makes, and how long that takes.

    Returns:
        The folder, which is there.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    print_whatever_comes()
    return folder


def print_whatever_comes() -> None:
    """Let no sign that the output cannot hold, such as those of old consoles, cut it off.

    Where it can be said in ASCII it is, as the branches of a tree; any other sign is a ``?``.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="llmbook.signs")


def columns(text: str) -> int:
    """How many letters wide a text is, where a Chinese character counts as two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(_PLAIN_SIGNS.get(sign, "?") for sign in signs), error.end


codecs.register_error("llmbook.signs", _plainly)
