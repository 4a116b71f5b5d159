"""Errors that callers tell apart from others."""

__all__ = ["UnsupportedError"]


class UnsupportedError(ValueError):
    """A model asks for what our GPT or tokenizer does not do; another library may."""
