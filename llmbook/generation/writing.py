"""Writing: a GPT goes on with a text, or with many texts at once.

What has been read once is kept: the keys and values of every token lie in a [`RaggedCache`]
[llmbook.cache.RaggedCache], so that a step reads one token, and a prompt that begins like an
earlier text pays only for what is new. Prompts of unequal length go through side by side, and a
text that has ended makes way.

Notation: ``B`` batch, ``T`` new tokens, ``V`` vocabulary.
"""

import codecs
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from llmbook._modes import evaluation_mode
from llmbook.cache import RaggedCache
from llmbook.generation.lookup import PromptLookup, count_right, guess_together
from llmbook.generation.sampling import GenerationConfig, next_token_distribution
from llmbook.gpt import GPT
from llmbook.tokenizer import Tokenizer

__all__ = ["Completion", "TextGenerator", "generate"]

FinishReason = Literal["end", "stop", "length"]
Prompt = str | Sequence[int]


class Completion(NamedTuple):
    """How a prompt went on."""

    text: str  # what was written, without what ended it
    tokens: list[int]  # what was written, as ids, with what ended it
    finish_reason: FinishReason  # "end": a token of end_ids; "stop": a stop string; "length"
    prompt_tokens: int
    reused_tokens: int  # tokens of the prompt that did not have to be read
    logprobs: list[float] | None = None  # of each token written, in nats, from the logits alone


class _Text:
    """One text of a batch while it is written."""

    def __init__(self, prompt: list[int], config: GenerationConfig, seed: int) -> None:
        self.ids = list(prompt)  # and what is written after it
        self.prompt_tokens = len(prompt)
        self.config = config
        self.reused = 0
        self.data = b""
        self.logprobs: list[float] = []
        self.finish_reason: FinishReason | None = None
        self.generator = torch.Generator().manual_seed(seed)
        self._stops = [stop.encode() for stop in config.stop]
        self.lookup = PromptLookup()

    @property
    def written(self) -> int:
        """Number of tokens written."""
        return len(self.ids) - self.prompt_tokens

    def add(self, token: int, piece: bytes, logprob: float, max_length: int) -> None:
        """Add a token, which stands for some bytes, and end the text if it ends here."""
        self.ids.append(token)
        self.logprobs.append(logprob)
        if token in self.config.end_ids:
            self.finish_reason = "end"
            return
        seen = len(self.data)
        self.data += piece
        # A stop string may have begun before this token.
        starts = [self.data.find(stop, max(0, seen - len(stop) + 1)) for stop in self._stops]
        if places := [place for place in starts if place >= 0]:
            self.data = self.data[: min(places)]
            self.finish_reason = "stop"
        elif self.written == self.config.max_new_tokens or len(self.ids) == max_length:
            self.finish_reason = "length"

    def completion(self) -> Completion:
        text = self.data.decode("utf-8", "replace")
        reason = self.finish_reason or "length"
        tokens = self.ids[self.prompt_tokens :]
        logprobs = self.logprobs if self.config.logprobs else None
        return Completion(text, tokens, reason, self.prompt_tokens, self.reused, logprobs)


class TextGenerator:
    """A model that writes, and remembers what it has read.

    Keys and values of the last texts stay in a cache. A prompt that begins like one of them is
    read from where it parts: in a conversation, or in a chain of questions each put after the
    answers before it, only the new part costs. See [prefix reuse][prefix-reuse].

    Args:
        model: The model; evaluated without dropout. If its weights change, call ``forget``.
        tokenizer: Its tokenizer.

    Examples:
        ```python
        import torch
        from llmbook.generation import GenerationConfig, TextGenerator
        from llmbook.gpt import GPT, GPTConfig
        from llmbook.tokenizer import Tokenizer

        torch.manual_seed(0)
        tokenizer = Tokenizer([])
        model = GPT(GPTConfig(vocab_size=256, d_model=16, num_layers=1, num_heads=2))
        generator = TextGenerator(model, tokenizer)
        config = GenerationConfig(max_new_tokens=8)
        first, second = generator.generate(["a short prompt", "one more"], config)
        print(first.finish_reason, first.prompt_tokens, len(first.tokens), second.prompt_tokens)
        [again] = generator.generate(["a short prompt that is longer"], config)
        print(again.prompt_tokens, again.reused_tokens)
        ```

        ``` {.text .output}
        length 14 8 8
        29 14
        ```
    """

    def __init__(self, model: GPT, tokenizer: Tokenizer) -> None:
        if tokenizer.vocab_size > model.config.vocab_size:
            raise ValueError(
                f"tokenizer must have at most the model's {model.config.vocab_size} tokens, "
                f"got {tokenizer.vocab_size}"
            )
        self.model = model
        self.tokenizer = tokenizer
        self.forget()

    def forget(self) -> None:
        """Empty the cache."""
        self._cache: RaggedCache | None = None
        self._kept: list[list[int]] = []  # the tokens in each row of the cache

    def generate(
        self, prompts: Sequence[Prompt], config: GenerationConfig | None = None
    ) -> list[Completion]:
        """Go on with every prompt.

        Args:
            prompts: Texts, or their ids: special tokens must come as ids, since in a text they
                are letters like others.
            config: How, and how far. A text also ends where it reaches the model's
                ``max_length``.

        Returns:
            A completion for each prompt.

        Raises:
            ValueError: If ``prompts`` is one string, a prompt is empty or leaves no room, or there
                is not one seed for each.
        """
        config = config or GenerationConfig()
        texts = self._begin(prompts, config)
        if texts:
            for _ in self._write(texts, config):
                pass
        return [text.completion() for text in texts]

    def stream(self, prompt: Prompt, config: GenerationConfig | None = None) -> Iterator[str]:
        """Go on with a prompt and give each piece of text as soon as it is certain.

        Half a character is kept back, and so is what may turn out to be a stop string. The
        pieces make up the text that ``generate`` would give.

        Args:
            prompt: A text, or its ids.
            config: As in ``generate``.

        Yields:
            Pieces of text, none empty.

        Raises:
            ValueError: If the prompt is empty or leaves no room.
        """
        config = config or GenerationConfig()
        [text] = self._begin([prompt], config)
        decoder, start = codecs.getincrementaldecoder("utf-8")("replace"), 0
        stops = [stop.encode() for stop in config.stop]
        for _ in self._write([text], config):
            held = 0
            if text.finish_reason is None:
                held = max((_overlap(text.data, stop) for stop in stops), default=0)
            end = max(start, len(text.data) - held)
            piece = decoder.decode(text.data[start:end], final=text.finish_reason is not None)
            start = end
            if piece:
                yield piece

    def _begin(self, prompts: Sequence[Prompt], config: GenerationConfig) -> list[_Text]:
        if isinstance(prompts, str):
            raise ValueError(f"prompts must be several prompts, got the string {prompts[:20]!r}")
        seeds = config.seed
        if isinstance(seeds, int):
            seeds = (seeds,) * len(prompts)
        if len(seeds) != len(prompts):
            raise ValueError(
                f"seed must be one number, or one for each of {len(prompts)} prompts, "
                f"got {len(seeds)}"
            )
        texts = []
        for i, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
            if not 1 <= len(ids) < self.model.config.max_length:
                raise ValueError(
                    f"prompts[{i}] must hold from 1 to {self.model.config.max_length - 1} tokens, "
                    f"got {len(ids)}"
                )
            texts.append(_Text(ids, config, seed))
        return texts

    def _write(self, texts: list[_Text], config: GenerationConfig) -> Iterator[None]:
        """Write all texts, in step and without dropout; pause after each step."""
        with evaluation_mode(self.model):
            yield from self._steps(texts, config)

    def _steps(self, texts: list[_Text], config: GenerationConfig) -> Iterator[None]:
        """The steps of `_write`, with as much as possible from the cache, which is then kept."""
        active = list(texts)  # in the order of their rows in the cache
        done: list[_Text] = []
        old_cache, self._cache = self._cache, None  # until it is known again what the rows hold
        with torch.inference_mode():
            cache = self._recall(texts, old_cache)
        try:
            while active:
                # Not around the pause: what the caller does there is no business of ours.
                with torch.inference_mode():
                    self._step(active, cache, config)
                    for row in reversed(range(len(active))):
                        if active[row].finish_reason is not None:
                            cache.retire(row)  # the last row comes into its place, here as there
                            active[row], active[-1] = active[-1], active[row]
                            done.append(active.pop())
                yield
        finally:  # also if the caller stops asking, or an error comes
            cache.revive()  # the rows are now the active ones, then the ended ones, last in first
            self._kept = [
                text.ids[:length]
                for text, length in zip(active + done[::-1], cache.lengths, strict=True)
            ]
            self._cache = cache

    def _recall(self, texts: list[_Text], cache: RaggedCache | None) -> RaggedCache:
        """A row for each text that holds as much of its prompt as has been read before.

        Prompts that begin alike, such as questions after the same examples, have their common
        beginning read once and copied.
        """
        prompts = [text.ids for text in texts]
        # For each prompt the row of the old cache that agrees with it longest, and how far. The
        # last token of a prompt is always read: from its logits the writing goes on.
        lengths, rows = [], []
        for prompt in prompts:
            agreeing = [_common(prompt[:-1], kept) for kept in self._kept] or [0]
            lengths.append(max(agreeing))
            rows.append(agreeing.index(lengths[-1]))
        # What all prompts of this batch begin with.
        shared = min((_common(prompts[0][:-1], prompt[:-1]) for prompt in prompts[1:]), default=0)
        if cache is not None and max(lengths) >= max(1, shared):
            # The old rows know more: take a copy of the best one for each prompt, cut to length.
            cache.select(rows)
            cache.truncate(lengths)
        else:
            # Begin anew: read the common beginning in one row, and copy that for each prompt. Only
            # the first has it read; to the others it is given.
            lengths = [0] + [shared] * (len(prompts) - 1)
            cache = self.model.new_cache(1, max(map(len, prompts)) + 64)
            if shared:
                self.model.hidden(self._pad([prompts[0][:shared]]), cache=cache)
            cache.select([0] * len(prompts))
        for text, length in zip(texts, lengths, strict=True):
            text.reused = length
        return cache

    def _step(self, texts: list[_Text], cache: RaggedCache, config: GenerationConfig) -> None:
        """Read what is new in each row and add the next token; several, where guessed right."""
        starts = cache.lengths
        news = [text.ids[start:] for text, start in zip(texts, starts, strict=True)]
        guesses = self._guesses(texts, config)
        answers = self._answers(texts, news, guesses, cache, config)
        ends = []
        for text, start, new, guess, row in zip(texts, starts, news, guesses, answers, strict=True):
            right = count_right(guess, [token for token, _ in row])
            for token, logprob in row[: right + 1]:  # the right guesses, and the token after them
                if text.finish_reason is None:
                    piece = self.tokenizer.vocabulary.get(token, b"")
                    text.add(token, piece, logprob, self.model.config.max_length)
            text.lookup.judge(len(guess), right)
            ends.append(start + len(new) + right)
        cache.truncate(ends)  # the wrong guesses are forgotten

    def _guesses(self, texts: list[_Text], config: GenerationConfig) -> list[list[int]]:
        """What may come next in each text; nothing if lookup is off."""
        if config.lookup == 0 or config.temperature > 0:
            return [[] for _ in texts]
        max_length = self.model.config.max_length
        room = [
            min(config.lookup, max_length - len(text.ids), config.max_new_tokens - text.written - 1)
            for text in texts
        ]
        return guess_together([text.lookup for text in texts], [text.ids for text in texts], room)

    def _answers(
        self,
        texts: list[_Text],
        news: list[list[int]],
        guesses: list[list[int]],
        cache: RaggedCache,
        config: GenerationConfig,
    ) -> list[list[tuple[int, float]]]:
        """What the model writes in each row, after its last certain token and after each guess.

        Returns:
            Of each row, one more than it has guesses: the token, and its log-probability.
        """
        rows = [new + guess for new, guess in zip(news, guesses, strict=True)]
        counts = [len(row) for row in rows]
        stream = self.model.hidden(self._pad(rows), cache=cache, counts=counts)  # (B, T, d_model)
        places = [
            (row, column)
            for row, (new, count) in enumerate(zip(news, counts, strict=True))
            for column in range(len(new) - 1, count)
        ]
        where = torch.tensor(places, device=stream.device).unbind(1)
        logits = self.model.output_head(stream[where])  # (B + guesses, V)
        tokens = self._choose(logits, texts, config)
        logprobs = _logprobs(logits, tokens).tolist() if config.logprobs else [0.0] * len(tokens)
        pairs = zip(tokens.tolist(), logprobs, strict=True)
        return [list(islice(pairs, len(guess) + 1)) for guess in guesses]

    def _choose(self, logits: Tensor, texts: list[_Text], config: GenerationConfig) -> Tensor:
        """A token for each row of logits; those of a text are drawn by its own generator."""
        if config.temperature == 0:
            return logits.argmax(dim=-1)
        # The first token whose cumulative probability exceeds a random number.
        draws = torch.stack([torch.rand((), generator=text.generator) for text in texts])
        sums = next_token_distribution(logits, config).cumsum(dim=-1)
        return (sums <= draws.to(sums)[:, None] * sums[:, -1:]).sum(dim=-1)

    def _pad(self, rows: list[list[int]]) -> Tensor:
        longest = max(map(len, rows))
        padded = [row + [0] * (longest - len(row)) for row in rows]
        return torch.tensor(padded, device=self.model.token_embedding.weight.device)


def generate(
    model: GPT,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    config: GenerationConfig | None = None,
) -> list[Completion]:
    """Go on with every prompt, once; arguments as in [`TextGenerator`]
    [llmbook.generation.TextGenerator], which also remembers.

    Returns:
        A completion for each prompt.
    """
    return TextGenerator(model, tokenizer).generate(prompts, config)


def _logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """How likely the model finds what was chosen, whatever rule chose it."""
    return logits.float().log_softmax(dim=-1).gather(-1, tokens[:, None])[:, 0]


def _common(a: list[int], b: list[int]) -> int:
    """Length of the beginning that two lists share."""
    # Halving compares whole slices, which is far faster than one item after another.
    return bisect_right(range(1, min(len(a), len(b)) + 1), 0, key=lambda n: a[:n] != b[:n])


def _overlap(data: bytes, stop: bytes) -> int:
    """Length of the longest end of ``data`` with which ``stop`` begins."""
    return next((n for n in range(len(stop) - 1, 0, -1) if data.endswith(stop[:n])), 0)
