"""Loads models by their names, each told of in a line: `python ask_hub.py NAME ...`."""

import sys

from llmbook.pretrained import from_pretrained

for name in sys.argv[1:]:
    try:
        print(from_pretrained(name).model.config.d_model)
    except OSError as error:
        print("OSError", error)
