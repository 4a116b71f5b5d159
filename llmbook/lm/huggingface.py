"""Models of the hub of Hugging Face, through the library transformers.

For architectures that our own GPT does not know. The library's ``generate`` writes; what it lacks
is hooked in: a text ends at a stop string, and each prompt draws with a seed of its own. For the
latter the noise is drawn beforehand: the likeliest of the logits after Gumbel noise has been added
is a draw from their softmax, so each row brings its own noise and the batch stays one (the Gumbel
max trick; Maddison et al., "A* Sampling", 2014, section 2).

Notation: ``B`` batch, ``T`` length, ``V`` vocabulary.
"""

import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from llmbook._checks import check_at_least_one
from llmbook.lm.protocol import FinishReason, Reply
from llmbook.lm.requests import check_request, cut_at_stop, split_fitting

__all__ = ["TransformersModel"]


class TransformersModel:
    """A causal language model that the library transformers loads.

    Special tokens are recognized in a prompt by their names, as the library does. A prompt too
    long for the model gets a reply that says so, as an error, and spoils no other.

    Args:
        source: A folder, a ``.gguf`` file, or an id on the hub of Hugging Face. The hub's mirror
            is read from ``HF_ENDPOINT``. Weights must be safetensors or GGUF, never pickle, and
            no code that comes with them is run.
        name: What the model is called in transcripts; the source if not given.
        chat: Put each prompt as what a user says in a conversation, in the words of the model's
            chat template, instead of as a text to go on with.
        device: Where to compute; a GPU of CUDA if there is one, otherwise the processor.
        dtype: Type of the weights; as stored on a GPU, float32 on the processor, where the
            shorter types are slower.
        batch_size: Most texts written side by side.

    Raises:
        ValueError: If ``chat`` is asked of a model without a chat template, ``batch_size`` is
            less than 1, or the library does not know the architecture, as with a model that
            needs code of its own.
        OSError: If nothing is found under the name.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        name: str | None = None,
        chat: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        batch_size: int = 16,
    ) -> None:
        check_at_least_one("batch_size", batch_size)
        self.name = name or str(source)
        self.chat, self.batch_size = chat, batch_size
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        path, where = Path(source), dict[str, Any]()
        if path.suffix == ".gguf" and path.is_file():
            source, where["gguf_file"] = path.parent, path.name
        # Without the last option the library asks on the terminal, and runs what it finds.
        where["trust_remote_code"] = False
        self.tokenizer: Any = AutoTokenizer.from_pretrained(source, **where)
        if chat and self.tokenizer.chat_template is None:
            raise ValueError(f"chat must be False: {self.name} has no chat template")
        model: Any = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=dtype or (torch.float32 if device.type == "cpu" else "auto"),
            use_safetensors=None if "gguf_file" in where else True,
            **where,
        )
        self.model = model.to(device)
        self.model.eval()
        end = self.model.generation_config.eos_token_id
        if end is None:
            end = self.tokenizer.eos_token_id
        self.end_ids = () if end is None else (end,) if isinstance(end, int) else tuple(end)
        # Models come with habits, such as a penalty on repetitions: here all write alike.
        self.model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        text_config = self.model.config.get_text_config()
        self.max_length = cast(int, getattr(text_config, "max_position_embeddings", 2**31))

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
        rows, max_length = [self._ids(prompt) for prompt in prompts], self.max_length
        replies, fitting = split_fitting(prompts, rows, max_length)

        def budget(i: int) -> int:
            return min(max_new_tokens, max_length - len(rows[i]))

        # All texts of a chunk may grow alike, whatever they are padded to, and little is padded.
        fitting.sort(key=lambda i: (budget(i), len(rows[i])))
        for count, group in groupby(fitting, budget):
            same_budget = list(group)
            for start in range(0, len(same_budget), self.batch_size):
                chunk = same_budget[start : start + self.batch_size]
                noise = _GumbelNoise(temperature, [seeds[i] for i in chunk], logprobs)
                ends = _Ends(self, [rows[i] for i in chunk], stop)
                written = self._generate([rows[i] for i in chunk], count, noise, ends)
                for place, (i, ids) in enumerate(zip(chunk, written, strict=True)):
                    ids = ids[: ends.lengths.get(place, len(ids))]
                    text, reason = ends.result(place, ids)
                    replies[i] = Reply(
                        text,
                        reason,
                        len(rows[i]),
                        len(ids),
                        logprobs=noise.logprobs_of(place, len(ids)) if logprobs else None,
                    )
        return replies

    def _ids(self, prompt: str) -> list[int]:
        """The tokens of a prompt, as a turn of a conversation in a chat."""
        if not self.chat:
            return cast(list[int], self.tokenizer(prompt)["input_ids"])
        messages = [{"role": "user", "content": prompt}]
        encoded = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True
        )
        return cast(list[int], encoded["input_ids"])

    def _generate(
        self, rows: list[list[int]], count: int, noise: "_GumbelNoise", ends: "_Ends"
    ) -> list[list[int]]:
        """The ids that ``count`` steps write after each row, in one batch padded on the left."""
        longest = max(map(len, rows))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
        real = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        # Shapes: ids and real (B, T); the output (B, T + count), less if all rows end before.
        output = self.model.generate(
            ids.to(self.model.device),
            attention_mask=real.to(self.model.device),
            max_new_tokens=count,
            do_sample=False,
            logits_processor=LogitsProcessorList([noise]),
            stopping_criteria=StoppingCriteriaList([ends]),
        )
        return cast(list[list[int]], output[:, longest:].tolist())


class _GumbelNoise(LogitsProcessor):
    """Adds to each row of logits its own noise, after which the likeliest token is a draw."""

    def __init__(self, temperature: float, seeds: Sequence[int], keep: bool) -> None:
        self.temperature, self.keep = temperature, keep
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.kept: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Logits of shape ``(B, V)`` with the noise."""
        noisy = scores
        if self.temperature > 0:
            times = torch.stack(
                [torch.empty(scores.size(-1)).exponential_(generator=g) for g in self.generators]
            )
            # At a tiny temperature scores / temperature, at a huge one temperature * noise would be
            # beyond all numbers: of the two only the ratio counts.
            scale = max(1.0, self.temperature)
            noisy = scores / scale - self.temperature / scale * times.log().to(scores)
        if self.keep:
            chosen = noisy.argmax(dim=-1, keepdim=True)
            self.kept.append(scores.log_softmax(dim=-1).gather(-1, chosen).cpu())
        return noisy

    def logprobs_of(self, row: int, count: int) -> tuple[float, ...]:
        """How likely the model, without the noise, found the tokens chosen."""
        return tuple(step[row].item() for step in self.kept[:count])


class _Ends(StoppingCriteria):
    """Ends a text at a stop string or a token that ends it, and notes its length in tokens.

    In a chat, a thought may hold stop strings, so a text is cut only when it is whole.
    """

    def __init__(
        self, model: TransformersModel, rows: Sequence[Sequence[int]], stop: Sequence[str]
    ) -> None:
        self.tokenizer, self.end_ids = model.tokenizer, model.end_ids
        self.stop, self.chat = stop, model.chat
        # Some tokenizers drop the blank before the first word: it comes after some of the prompt.
        self.before = [list(row[-4:]) for row in rows]
        self.padded = max(map(len, rows))
        self.lengths: dict[int, int] = {}
        self.stopped: dict[int, str] = {}  # the texts of those that came to a stop string

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: object) -> Tensor:
        """Whether each row has ended, shape ``(B,)``."""
        for row, ids in enumerate(input_ids[:, self.padded :].tolist()):
            if row in self.lengths:
                continue
            if ids[-1] in self.end_ids:
                self.lengths[row] = len(ids)
            elif self.stop and not self.chat:
                text, stopped = cut_at_stop(self.text(row, ids), self.stop)
                if stopped:
                    self.lengths[row], self.stopped[row] = len(ids), text
        ended = [row in self.lengths for row in range(input_ids.size(0))]
        return torch.tensor(ended, device=input_ids.device)

    def result(self, row: int, ids: list[int]) -> tuple[str, FinishReason]:
        """The text of a row, whole or up to its stop string, and why it ended."""
        if row in self.stopped:
            return self.stopped[row], "stop"
        ended = ids[-1] in self.end_ids
        text = self.text(row, ids[:-1] if ended else ids)
        if self.chat:
            text, stopped = cut_at_stop(text, self.stop, chat=True)
            if stopped:
                return text, "stop"
        return text, "end" if ended else "length"

    def text(self, row: int, ids: list[int]) -> str:
        """What the ids say that a row has written."""
        before = self.before[row]
        return self._decode(before + ids)[len(self._decode(before)) :]

    def _decode(self, ids: list[int]) -> str:
        return cast(
            str,
            self.tokenizer.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
            ),
        )
