"""Where in the sources a fault stands that a hook finds on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def place(page: Any, text: str) -> str:
    """File and line, `docs/en/attention/positions.md:12`, of a text as its author wrote it.

    A page of the API reference shows docstrings: the text may stand in the package instead. Where
    it is not found, for example because Markdown has changed it, the page stands without a line.
    """
    own = Path(page.file.abs_src_path)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    for path in (own, *sorted((ROOT / "llmbook").rglob("*.py"))):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if first and first in line:
                return f"{_short(path)}:{number}"
    return _short(own)


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
