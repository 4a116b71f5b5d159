"""The experiment: small models learn from short problems, and are asked longer ones.

The claim of least-to-most prompting, put to the test from scratch: the same problems, parameters
and tokens for each format, and only the format differs. ``python -m llmbook.book.experiment``
trains and asks all models, and prints the table; see [the experiment][experiment].
"""

from llmbook.book.experiment.table import load_results, table

__all__ = ["load_results", "table"]
