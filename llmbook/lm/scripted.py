"""A model that knows its lines: it answers from a script, so that the rest can be looked at.

What a method of prompting does with a model is best seen where the model does nothing of its own:
the reply to each prompt is written down beforehand. Nothing measured with it says anything about
language models.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from llmbook.lm.protocol import Reply
from llmbook.lm.requests import check_request, cut_at_stop

__all__ = ["ScriptedModel"]

Line = str | Sequence[str]


class ScriptedModel:
    r"""A model whose replies are written down beforehand.

    A word counts as a token, and the blanks before it belong to it. The log-probability of each
    is 0: the script is certain.

    Args:
        replies: What follows a prompt: a function from prompt to text, or a mapping from the end
            of a prompt, of which the longest counts. Where it maps to several texts, the first is
            the likeliest; at a temperature above 0, the seed chooses.
        name: What the model is called in transcripts.

    Raises:
        ValueError: If an end of a prompt has no text to go with it.

    Examples:
        ```python
        from llmbook.lm import ScriptedModel

        model = ScriptedModel({"2 + 2 =": " 4\nQ: 3 + 3 =", "name a day:": [" Monday", " Friday"]})
        for temperature in (0.0, 1.0):
            replies = model.complete(
                ["2 + 2 =", "Please, name a day:"], stop=["\n"], temperature=temperature, seed=1
            )
            print([(reply.text, reply.finish_reason) for reply in replies])
        ```

        ``` {.text .output}
        [(' 4', 'stop'), (' Monday', 'end')]
        [(' 4', 'stop'), (' Friday', 'end')]
        ```
    """

    def __init__(
        self, replies: Mapping[str, Line] | Callable[[str], str], name: str = "scripted"
    ) -> None:
        self.name = name
        self._function = replies if callable(replies) else None
        self._lines: dict[str, list[str]] = {}
        if not callable(replies):
            for end, line in replies.items():
                self._lines[end] = [line] if isinstance(line, str) else list(line)
                if not self._lines[end]:
                    raise ValueError(f"replies[{end!r}] must hold at least one text, got none")

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
        """Answer every prompt by the script: see [`LanguageModel`]
        [llmbook.lm.protocol.LanguageModel].

        Raises:
            ValueError: If an argument is out of range, or the script has nothing for a prompt.
        """
        seeds = check_request(prompts, max_new_tokens, temperature, stop, seed)
        numbers = seeds if temperature else [0] * len(seeds)
        return [
            self._reply(prompt, self._text(prompt, number), max_new_tokens, stop, logprobs)
            for prompt, number in zip(prompts, numbers, strict=True)
        ]

    def _text(self, prompt: str, seed: int) -> str:
        """The line for a prompt: that of the longest end, by the seed if there are several."""
        if self._function is not None:
            return self._function(prompt)
        matches = [end for end in self._lines if prompt.endswith(end)]
        if not matches:
            raise ValueError(
                f"prompts must end as one of the {len(self._lines)} ends of the script, "
                f"got a prompt that ends in {prompt[-60:]!r}"
            )
        texts = self._lines[max(matches, key=len)]
        return texts[seed % len(texts)]

    @staticmethod
    def _reply(
        prompt: str, text: str, max_new_tokens: int, stop: Sequence[str], logprobs: bool
    ) -> Reply:
        """A line as a reply, cut by the limit and the stop strings."""
        words = re.findall(r"\s*\S+|\s+", text)
        written, stopped = cut_at_stop("".join(words[:max_new_tokens]), stop)
        cut_short = len(words) > max_new_tokens
        count = len(re.findall(r"\s*\S+|\s+", written))
        return Reply(
            written,
            "stop" if stopped else "length" if cut_short else "end",
            prompt_tokens=len(prompt.split()),
            completion_tokens=count,
            logprobs=(0.0,) * count if logprobs else None,
        )
