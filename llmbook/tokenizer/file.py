"""The file: a tokenizer as Hugging Face's ``tokenizer.json``, and back."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import regex  # type: ignore[import-untyped]

from llmbook.errors import UnsupportedError
from llmbook.tokenizer.letters import from_letters, to_letters
from llmbook.tokenizer.words import GPT2_PATTERN


def to_json(
    merges: Iterable[tuple[bytes, bytes]],
    *,
    special_tokens: Mapping[str, int],
    vocabulary: Mapping[bytes, int],
    pattern: Sequence[str],
    nfc: bool,
    ignore_merges: bool,
) -> dict[str, Any]:
    """What to write for a [`Tokenizer`][llmbook.tokenizer.Tokenizer]; arguments as for it."""
    spelled = {i: to_letters(token) for token, i in vocabulary.items()}
    spelled |= {i: name for name, i in special_tokens.items()}
    ids = {name: i for i, name in sorted(spelled.items())}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    flags["special"] = True
    cut = {"type": "Split", "behavior": "Isolated", "invert": False}
    spell = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    steps = [cut | {"pattern": {"Regex": expression}} for expression in pattern]
    steps.append(spell | {"use_regex": False})
    special = [(name, i) for name, i in ids.items() if name in special_tokens]
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": name} | flags for name, i in special],
        "normalizer": {"type": "NFC"} if nfc else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "decoder": spell,
        "model": {
            "type": "BPE",
            "ignore_merges": ignore_merges,
            "vocab": ids,
            "merges": [f"{to_letters(a)} {to_letters(b)}" for a, b in merges],
        },
    }


def from_json(data: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a [`Tokenizer`][llmbook.tokenizer.Tokenizer], from what a file holds.

    Raises:
        ValueError: If it asks for something else, or is damaged.
    """
    if not isinstance(model := data.get("model"), dict):
        raise ValueError(f"model must be an object, got {model!r}: this is no tokenizer.json")
    _require("model.type", model.get("type", "BPE"), "BPE")
    for key, kind, called in (("vocab", dict, "an object"), ("merges", list, "a list")):
        if not isinstance(model.get(key), kind):
            raise ValueError(f"model.{key} must be {called}, got {model.get(key)!r}")
    _require("model.byte_fallback", model.get("byte_fallback") or False, False)
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        _require(f"model.{key}", model.get(key) or None, None)
    nfc = data.get("normalizer") is not None
    if nfc:
        _require("normalizer.type", data["normalizer"].get("type"), "NFC")
    special = {}
    for token in data.get("added_tokens") or ():
        for flag in ("single_word", "lstrip", "rstrip", *["normalized"] * nfc):
            _require(f"{flag} of the token {token['content']!r}", token.get(flag, False), False)
        special[token["content"]] = token["id"]
    ordinary = {token: i for token, i in model["vocab"].items() if token not in special}
    for token, i in (special | ordinary).items():
        if type(i) is not int or i < 0:
            raise ValueError(f"the id of the token {token!r} must be a whole number, got {i!r}")
    merges = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    return {
        "merges": [(from_letters(left), from_letters(right)) for left, right in merges],
        "special_tokens": special,
        "vocabulary": {from_letters(token): i for token, i in ordinary.items()},
        "pattern": _read_patterns(data.get("pre_tokenizer")),
        "nfc": nfc,
        "ignore_merges": bool(model.get("ignore_merges")),
    }


def _read_patterns(pre_tokenizer: Any) -> list[str]:
    """The regular expressions that cut a text, from a file that then spells bytes as letters."""
    steps = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer])
    patterns: list[str] = []
    for i, step in enumerate(steps, start=1):
        match step:
            case {"type": "ByteLevel", "add_prefix_space": False} if i == len(steps):
                return patterns + [GPT2_PATTERN] * step.get("use_regex", True)
            case {
                "type": "Split",
                "behavior": "Isolated",
                "invert": False,
                "pattern": {"Regex": str(pattern)} | {"String": str(pattern)} as rule,
            }:
                patterns.append(pattern if "Regex" in rule else regex.escape(pattern))
            case {"type": "Digits", "individual_digits": alone}:
                patterns.append(r"\p{N}" if alone else r"\p{N}+")
            case _:
                raise UnsupportedError(
                    f"pre_tokenizer must not have the step {step}: not supported"
                )
    raise ValueError(f"pre_tokenizer must end in ByteLevel, got {pre_tokenizer}")


def _require(name: str, value: object, expected: object) -> None:
    if value != expected:
        raise UnsupportedError(f"{name} must be {expected!r}, got {value!r}: not supported")
