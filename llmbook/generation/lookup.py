"""Prompt lookup: guess what a text repeats, and check several tokens in one step.

A step that reads one token spends its time fetching the weights, and reading a few more costs
hardly more. So the next tokens are guessed: what followed the last three tokens when they stood in
the text before. The logits tell at each place what the model would have written there; up to the
first disagreement the guess stands. The number of steps changes, the text never does. See
[lookup][lookup]. Sources: Saxena, "Prompt Lookup Decoding" (2023); Leviathan et al., "Fast
Inference from Transformers via Speculative Decoding" (2023), where a small model guesses.
"""

from collections.abc import Sequence

__all__ = ["PromptLookup", "count_right", "guess_together"]

_LENGTH = 3  # tokens that must have stood in the text before
_READ_AT_ONCE = 16  # tokens of all rows together that cost about as much as one step


class PromptLookup:
    """The guesses for one text: bolder after each that was right."""

    def __init__(self) -> None:
        self._follows: dict[tuple[int, ...], int] = {}  # three tokens -> where they last ended
        self._indexed = _LENGTH  # up to here
        self._bold = 1  # how far to guess

    def guess(self, ids: Sequence[int], longest: int) -> list[int]:
        """What followed the last three tokens when they stood in the text before, if they did.

        Args:
            ids: The text, longer at each call.
            longest: The longest guess that is of use.

        Returns:
            The tokens guessed, none if there is nothing to go by.
        """
        # What was added since the last call. The last three tokens are left out, as nothing follows
        # them yet: they would find themselves. A later place replaces an earlier one.
        for end in range(self._indexed, len(ids)):
            self._follows[tuple(ids[end - _LENGTH : end])] = end
        self._indexed = max(self._indexed, len(ids))
        start = self._follows.get(tuple(ids[-_LENGTH:]))
        if start is None:
            return []
        # What came since may come again, and again: the text has the period len(since), and beyond
        # its end the guess goes on with itself.
        since = ids[start:]
        # No token, too, if there is no room: range of a negative number is empty.
        return [since[i % len(since)] for i in range(min(longest, self._bold))]

    def judge(self, guessed: int, right: int) -> None:
        """Guess further after a guess that was right to its end, and carefully after another.

        Args:
            guessed: Number of tokens guessed; if 0, nothing is learned.
            right: How many of them were right.
        """
        # 1, 3, 7, 15: with the certain token before them, a step reads 2, 4, 8, 16. A wrong guess
        # was read in vain, so after one only a single token is risked.
        if guessed:
            self._bold = 2 * self._bold + 1 if guessed == right else 1


def guess_together(
    lookups: Sequence[PromptLookup], texts: Sequence[Sequence[int]], longest: Sequence[int]
) -> list[list[int]]:
    """Guesses for the rows of a batch, as many together as cost about one step.

    Args:
        lookups: One for each row.
        texts: The ids of each.
        longest: The longest guess that is of use in each row.

    Returns:
        The guess for each row; all are empty unless most rows have one, since a guess makes every
        row longer.
    """
    # Less the token of each row that is read anyway. With many rows nothing remains, or less; still
    # each lookup is asked, and so keeps its index up to date.
    share = _READ_AT_ONCE // len(texts) - 1
    guesses = [
        lookup.guess(ids, min(share, room))
        for lookup, ids, room in zip(lookups, texts, longest, strict=True)
    ]
    # Rows are padded to the longest: a row without a guess reads as much padding as others guess.
    if 2 * sum(1 for guess in guesses if guess) <= len(texts):
        return [[] for _ in texts]
    return guesses


def count_right(guess: Sequence[int], answers: Sequence[int]) -> int:
    """How many tokens at the beginning of a guess are those that the model would have written."""
    # Answer i is the token after i guesses, so it counts only if these are all right. After the
    # last right one there is always one more answer, which the caller takes: no step is in vain.
    right = 0
    while right < len(guess) and guess[right] == answers[right]:
        right += 1
    return right
