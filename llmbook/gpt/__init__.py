r"""GPT: one stack of blocks that reads a text from left to right and says what comes next.

A decoder without an encoder. A table turns tokens into vectors, every block lets each position
look back and then think by itself, and a second table turns vectors into logits. One
configuration covers the two families of choices in use: GPT-2's (learned positions, LayerNorm,
GELU, biases, tied tables) and that of Llama and Qwen (rotary positions, RMSNorm, SwiGLU, shared
key and value heads, few biases or none). Sources: Radford et al., "Improving Language
Understanding by Generative Pre-Training" (2018) and "Language Models are Unsupervised Multitask
Learners" (2019); Touvron et al., "LLaMA" (2023); Qwen Team, "Qwen3 Technical Report" (2025).

Attention, feed-forward network, normalization and positions are those of the earlier chapters; what
this module adds is how they are put together, and counted.

Notation: ``B`` batch, ``T`` length of the tokens given, ``S`` length with those in the cache,
``H`` query heads, ``H_kv`` key and value heads, ``D`` dimension of a head, ``V`` vocabulary,
``d_model`` width of the stream, ``d_ff`` width inside the feed-forward network.
"""

from llmbook.gpt.config import GPTConfig
from llmbook.gpt.model import GPT, GPTBlock

__all__ = ["GPT", "GPTBlock", "GPTConfig"]
