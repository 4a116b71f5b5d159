"""Our own GPT as a language model: batches of unequal prompts, nothing read twice.

[`TextGenerator`][llmbook.generation.TextGenerator] does the work. What it has read it keeps, so a
prompt that extends one of the last batch, as least-to-most prompting does at every step, pays only
for what is new.
"""

from collections.abc import Sequence

from llmbook._checks import check_at_least_one
from llmbook.generation import GenerationConfig, TextGenerator
from llmbook.lm.protocol import Reply
from llmbook.lm.requests import check_request, cut_at_stop, split_fitting
from llmbook.pretrained import Pretrained

__all__ = ["OwnModel"]


class OwnModel:
    """A GPT of this book, its weights our own or others'.

    A prompt too long for the model gets a reply that says so, as an error, and spoils no other.
    More prompts than ``batch_size`` are written so many at a time; then only what the last ones
    have read is kept, which still holds the beginning that all share, such as exemplars.

    Args:
        loaded: The model and what belongs to it, from [`from_pretrained`]
            [llmbook.pretrained.from_pretrained].
        name: What it is called in transcripts.
        chat: Put each prompt as what a user says in a conversation, in the words of the model's
            chat template, instead of as a text to go on with.
        batch_size: Most texts written side by side. Their keys and values take memory.

    Raises:
        ValueError: If ``chat`` is asked of a model without a chat template, or ``batch_size`` is
            less than 1.

    Examples:
        ```python
        import torch
        from llmbook.gpt import GPT, GPTConfig
        from llmbook.lm import OwnModel
        from llmbook.pretrained import Pretrained
        from llmbook.tokenizer import Tokenizer

        torch.manual_seed(0)
        gpt = GPT(GPTConfig(vocab_size=256, d_model=16, num_layers=1, num_heads=2))
        model = OwnModel(Pretrained(gpt, Tokenizer([])), "untrained")
        [first] = model.complete(["A question. "], max_new_tokens=4)
        [second] = model.complete(["A question. And another."], max_new_tokens=4)
        print(first.prompt_tokens, first.completion_tokens, first.finish_reason)
        print(second.prompt_tokens, second.reused_tokens)
        ```

        ``` {.text .output}
        12 4 length
        24 12
        ```
    """

    def __init__(
        self, loaded: Pretrained, name: str, *, chat: bool = False, batch_size: int = 32
    ) -> None:
        if chat and loaded.chat_template is None:
            raise ValueError(f"chat must be False: {name} has no chat template")
        check_at_least_one("batch_size", batch_size)
        self.loaded, self.name, self.chat, self.batch_size = loaded, name, chat, batch_size
        self.generator = TextGenerator(loaded.model, loaded.tokenizer)

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
        """Go on with every prompt: see [`LanguageModel`][llmbook.lm.protocol.LanguageModel].

        Raises:
            ValueError: If an argument is out of range, or a prompt has no token.
        """
        seeds = check_request(prompts, max_new_tokens, temperature, stop, seed)
        rows = [self._ids(prompt) for prompt in prompts]
        replies, fitting = split_fitting(prompts, rows, self.loaded.model.config.max_length)
        for start in range(0, len(fitting), self.batch_size):
            chunk = fitting[start : start + self.batch_size]
            config = GenerationConfig(
                max_new_tokens,
                temperature,
                stop=() if self.chat else tuple(stop),
                end_ids=self.loaded.end_ids,
                seed=tuple(seeds[i] for i in chunk),
                lookup=15,  # answers repeat words of the question: fewer steps, the same text
                logprobs=logprobs,
            )
            written = self.generator.generate([rows[i] for i in chunk], config)
            for i, completion in zip(chunk, written, strict=True):
                text, reason = completion.text, completion.finish_reason
                # In a chat a thought may hold stop strings, so only what comes after it is cut.
                if self.chat:
                    text, stopped = cut_at_stop(text, stop, chat=True)
                    reason = "stop" if stopped else reason
                replies[i] = Reply(
                    text,
                    reason,
                    completion.prompt_tokens,
                    len(completion.tokens),
                    completion.reused_tokens,
                    None if completion.logprobs is None else tuple(completion.logprobs),
                )
        return replies

    def _ids(self, prompt: str) -> list[int]:
        """The tokens of a prompt, as a turn of a conversation in a chat."""
        if not self.chat:
            return [*self.loaded.begin_ids, *self.loaded.tokenizer.encode(prompt)]
        text = self.loaded.chat_prompt([{"role": "user", "content": prompt}])
        return self.loaded.tokenizer.encode(text, allowed_special="all")
