"""A tokenizer: byte-level byte-pair encoding, from the training text to ids and back.

A model reads ids, not letters. Byte-pair encoding begins with the 256 bytes, so that no text
is ever unknown, and makes one token of the most frequent pair of neighbours, again and again.
Gage (1994) compressed data in this way; Sennrich, Haddow and Birch (2016) cut words with it;
Radford et al. (2019) began with bytes, in GPT-2.

Text is first cut into *words* by a regular expression; no token reaches across two of them.
A *merge* puts two tokens together, and its *rank* says how early it was learned. The file is
Hugging Face's ``tokenizer.json``; for the same merges the ids are those of ``tokenizers``.
"""

from llmbook.tokenizer.bpe import Tokenizer
from llmbook.tokenizer.letters import from_letters
from llmbook.tokenizer.words import GPT2_PATTERN

__all__ = ["GPT2_PATTERN", "Tokenizer", "from_letters"]
