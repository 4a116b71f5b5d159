"""Attention: each position asks a question and averages the answers of the others.

A query is compared with every key; the softmax of the scores says how much of every value
goes into the answer. That is all of scaled dot-product attention; multi-head attention runs
several of them side by side, each on its own projection of the input. Both come from Vaswani
et al., "Attention Is All You Need" (2017, section 3.2); heads that share keys and values are
from Ainslie et al., "GQA" (2023).

Notation: ``B`` batch, ``T`` target length (queries), ``S`` source length (keys and values),
``H`` query heads, ``D`` dimension of a head, ``d_model`` width of the model.

A mask is either boolean, where ``True`` means *may attend*, or floating point, added to the
scores. A query that may attend to nothing gets zeros: it has nothing to average.
"""

from llmbook.attention.dot_product import attention_weights, scaled_dot_product_attention
from llmbook.attention.masks import causal_mask, padding_mask, sliding_window_mask
from llmbook.attention.multi_head import MultiHeadAttention

__all__ = [
    "MultiHeadAttention",
    "attention_weights",
    "causal_mask",
    "padding_mask",
    "scaled_dot_product_attention",
    "sliding_window_mask",
]
