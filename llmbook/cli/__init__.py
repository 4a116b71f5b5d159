"""The command line: `app` and its commands, and what `solve`, `evaluate` and `compare` do."""

from llmbook.cli.app import app

__all__ = ["app"]
