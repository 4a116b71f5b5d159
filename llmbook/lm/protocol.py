"""What every language model can do here: go on with a batch of prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

__all__ = ["LanguageModel", "Reply", "in_chat", "split_thought"]

FinishReason = Literal["end", "stop", "length", "error"]


def split_thought(written: str) -> tuple[str | None, str]:
    """Part what a model thought first from what it says then.

    Models that were trained to reason write ``<think>…</think>`` first; some templates open the
    thought already, so that only its end is in the text.

    Args:
        written: What the model wrote.

    Returns:
        The thought, None if there is none, and what follows it, ``""`` if it does not end.
    """
    before, closed, answer = written.partition("</think>")
    thought = before.lstrip().removeprefix("<think>").strip()
    if closed:
        return thought, answer
    return (thought, "") if before.lstrip().startswith("<think>") else (None, written)


@dataclass(frozen=True)
class Reply:
    """How a prompt went on.

    A thought with which a model begins is parted from the text when the reply is made, whoever
    makes it, and is no part of the text from then on.

    Examples:
        ```python
        from llmbook.lm import Reply

        reply = Reply("<think>4 and 5</think>9", "end", prompt_tokens=5, completion_tokens=6)
        print(repr(reply.thought), repr(reply.text))
        ```

        ``` {.text .output}
        '4 and 5' '9'
        ```
    """

    text: str  # without the thought before it, and without the stop string that ended it
    finish_reason: FinishReason  # "end": the model ended; "stop": a stop string; "length": cut
    prompt_tokens: int
    completion_tokens: int
    reused_tokens: int = 0  # tokens of the prompt that did not have to be read
    logprobs: tuple[float, ...] | None = None  # of each token written, in nats, if asked for
    error: str = ""  # why there is no text, with the finish reason "error"
    # What the model thought first; if not given, it is still in the text, and is taken from there.
    thought: str | None = None

    def __post_init__(self) -> None:
        if self.thought is None:  # once: a text that speaks of thoughts may be read from a file
            thought, text = split_thought(self.text)
            object.__setattr__(self, "thought", thought or "")
            object.__setattr__(self, "text", text)


@runtime_checkable
class LanguageModel(Protocol):
    """A batch of prompts in, as many replies out, in the same order."""

    @property
    def name(self) -> str:
        """What the model is called in transcripts."""
        ...

    def complete(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int | Sequence[int] = 0,
        logprobs: bool = False,
    ) -> list[Reply]:
        """Go on with every prompt.

        Args:
            prompts: The prompts.
            max_new_tokens: Most tokens to write for each.
            temperature: 0 for the likeliest token at each step; otherwise tokens are drawn.
            stop: A text ends before the first of these.
            seed: What draws depend on: one for all, or one for each prompt. What is drawn for a
                prompt depends on the prompt and its seed, not on the rest of the batch.
            logprobs: Give the log-probability of each token written, as the model finds it before
                the temperature.

        Returns:
            A reply for each prompt.

        Raises:
            ValueError: If an argument is out of range.
        """
        ...


def in_chat(model: LanguageModel) -> bool:
    """Whether prompts are put to a model as turns of a conversation, as its ``chat`` says.

    Such a model ends its answer by itself. One without that attribute goes on with a text.
    """
    return bool(getattr(model, "chat", False))
