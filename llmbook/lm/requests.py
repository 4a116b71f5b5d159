"""What every model checks before it writes, and where what it wrote is cut."""

import re
from collections.abc import Sequence

from llmbook._checks import check_at_least_one, check_temperature
from llmbook.lm.protocol import Reply, split_thought

__all__ = ["check_request", "cut_at_stop", "split_fitting"]


def check_request(
    prompts: Sequence[str],
    max_new_tokens: int,
    temperature: float,
    stop: Sequence[str],
    seed: int | Sequence[int],
) -> list[int]:
    """Require what [`complete`][llmbook.lm.protocol.LanguageModel] asks for.

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
        if re.search("[\ud800-\udfff]", prompt):
            raise ValueError(
                f"prompts[{i}] must be text that UTF-8 can hold, got half of a surrogate pair "
                f"in {prompt[:20]!r}"
            )
    check_at_least_one("max_new_tokens", max_new_tokens)
    check_temperature(temperature)
    if isinstance(stop, str) or not all(stop):
        raise ValueError(f"stop must be several strings, none empty, got {stop!r}")
    seeds = [seed] * len(prompts) if isinstance(seed, int) else list(seed)
    if len(seeds) != len(prompts):
        raise ValueError(
            f"seed must be one number, or one for each of {len(prompts)} prompts, got {len(seeds)}"
        )
    return seeds


def cut_at_stop(written: str, stop: Sequence[str], *, chat: bool = False) -> tuple[str, bool]:
    """Cut a text at the first stop string; those in a thought don't count.

    Args:
        written: What the model wrote. A thought stays in it.
        stop: The stop strings.
        chat: It is a turn of a conversation, which no blank space before it ends: servers that
            take the thought out leave the blank line that came after it.

    Returns:
        The text before the first stop string, and whether there was one.
    """
    thought, answer = split_thought(written)
    if chat or thought is not None:
        answer = answer.lstrip()
    start = len(written) - len(answer)
    places = [place for end in stop if (place := written.find(end, start)) >= 0]
    return (written[: min(places)], True) if places else (written, False)


def split_fitting(
    prompts: Sequence[str], rows: Sequence[Sequence[int]], max_length: int
) -> tuple[list[Reply], list[int]]:
    """Find the prompts that leave a model room for a token.

    Args:
        prompts: The prompts, to name one that has no token.
        rows: Their tokens.
        max_length: Tokens that the model holds, with what it writes.

    Returns:
        For each prompt the reply that it is too long, to be replaced in those places, given next,
        where it is not.

    Raises:
        ValueError: If a prompt has no token.
    """
    for i, row in enumerate(rows):
        if not row:
            raise ValueError(f"prompts[{i}] must have a token, got {prompts[i]!r}")
    return [_too_long(len(row), max_length) for row in rows], [
        i for i, row in enumerate(rows) if len(row) < max_length
    ]


def _too_long(tokens: int, max_length: int) -> Reply:
    error = f"the prompt has {tokens} tokens; with what it writes, the model holds {max_length}"
    return Reply("", "error", prompt_tokens=tokens, completion_tokens=0, error=error)
