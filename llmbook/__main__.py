"""``python -m llmbook`` is ``llmbook``, also where the command is not on the path."""

from llmbook.cli import app

if __name__ == "__main__":
    app(prog_name="llmbook")
