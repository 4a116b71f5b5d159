"""llmbook: the code of the book, one module a chapter.

Import the module that you read about, for example ``from llmbook.attention import
MultiHeadAttention``. Importing ``llmbook`` alone loads nothing else, so it costs nothing.

Notation, in every module and on every page: ``B`` batch, ``T`` target length (queries),
``S`` source length (keys and values), ``H`` heads, ``D`` dimension of a head.
"""

__version__ = "0.1.0"
