"""The letters of bytes: how GPT-2 spells any byte as text, and in which order it counts them."""

__all__ = ["from_letters"]

# The order of GPT-2's ids, which later models kept: first the bytes it spells as themselves,
# then the other 68, spelled as the characters from 256 on, so that a blank is "Ġ".
_PLAIN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
BYTES = bytes(_PLAIN) + bytes(sorted({*range(256)} - {*_PLAIN}))
_LETTERS = [*map(chr, _PLAIN), *map(chr, range(256, 256 + 68))]
_LETTER_OF = dict(zip(BYTES, _LETTERS, strict=True))
BYTE_OF = dict(zip(_LETTERS, BYTES, strict=True))


def from_letters(token: str) -> bytes:
    """Turn a token as files spell it, in GPT-2's 256 letters, into its bytes.

    JSON and GGUF hold text, and half a character is not text. So they write each byte as a
    letter of its own: most of ASCII as itself, a blank as "Ġ".

    Args:
        token: The token as spelled in the file.

    Returns:
        The bytes.

    Raises:
        ValueError: If ``token`` holds any other letter.

    Examples:
        ```python
        from llmbook.tokenizer import from_letters

        print(from_letters("Ġthe"), from_letters("æ³¨").decode())
        ```

        ``` {.text .output}
        b' the' 注
        ```
    """
    try:
        return bytes([BYTE_OF[letter] for letter in token])
    except KeyError:
        raise ValueError(f"token must be spelled in GPT-2's letters, got {token!r}") from None


def to_letters(token: bytes) -> str:
    return "".join([_LETTER_OF[byte] for byte in token])
