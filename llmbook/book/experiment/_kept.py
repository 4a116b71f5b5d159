"""Figures in files: scores as JSON, and back."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmbook._files import write_json
from llmbook.evaluation import Score


def keep(rows: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write dictionaries that hold scores to a file."""
    write_json(path, rows, indent=1)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what [`keep`][llmbook.book.experiment._kept.keep] has written, scores as such."""
    loaded: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"), object_hook=_revive)
    return loaded


def _revive(data: dict[str, Any]) -> Any:
    if data.keys() == {"right", "total"}:
        return Score(**data)
    return {int(key) if key.isdecimal() else key: value for key, value in data.items()}
