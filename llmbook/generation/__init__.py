"""Generation: how a GPT goes on with a text.

The model gives a distribution over the next token; a rule draws one from it; the token is read in
turn.
"""

from llmbook.generation.sampling import GenerationConfig, next_token_distribution
from llmbook.generation.writing import Completion, TextGenerator, generate

__all__ = [
    "Completion",
    "GenerationConfig",
    "TextGenerator",
    "generate",
    "next_token_distribution",
]
