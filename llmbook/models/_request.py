"""What every model checks before it writes."""

from collections.abc import Sequence
from math import isfinite

from llmbook.models.protocol import Reply

__all__ = ["check_request", "cut", "too_long"]


def check_request(
    prompts: Sequence[str],
    max_new_tokens: int,
    temperature: float,
    stop: Sequence[str],
    seed: int | Sequence[int],
) -> list[int]:
    """Require what [`complete`][llmbook.models.protocol.LanguageModel] asks for.

    Returns:
        A seed for each prompt.

    Raises:
        ValueError: If an argument is out of range.
    """
    if isinstance(prompts, str):
        raise ValueError(f"prompts must be several prompts, got the string {prompts[:20]!r}")
    for i, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise ValueError(f"prompts[{i}] must be a string, got {prompt!r}")
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if not isfinite(temperature) or temperature < 0:
        raise ValueError(f"temperature must be a number from 0 up, got {temperature}")
    if isinstance(stop, str) or not all(stop):
        raise ValueError(f"stop must be several strings, none empty, got {stop!r}")
    seeds = [seed] * len(prompts) if isinstance(seed, int) else list(seed)
    if len(seeds) != len(prompts):
        raise ValueError(
            f"seed must be one number, or one for each of {len(prompts)} prompts, got {len(seeds)}"
        )
    return seeds


def cut(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop string, and whether there was one."""
    places = [place for each in stop if (place := text.find(each)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def too_long(tokens: int, most: int) -> Reply:
    """The reply to a prompt that leaves the model no room."""
    error = f"the prompt has {tokens} tokens; with what it writes, the model holds {most}"
    return Reply("", "error", prompt_tokens=tokens, completion_tokens=0, error=error)
