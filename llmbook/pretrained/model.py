"""A pretrained model with what belongs to it: its tokenizer, its template, the ends of a text."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmbook.gpt import GPT
from llmbook.tokenizer import Tokenizer

__all__ = ["Pretrained"]


@dataclass(frozen=True)
class Pretrained:
    """A model with all that is needed to use it.

    Attributes:
        model: Ready to read, dropout off.
        tokenizer: Turns text into the ids that the model knows.
        begin_ids: What the model expects before a text: one token, or none.
        end_ids: Tokens by which it says that it is done.
        chat_template: Jinja template that turns a conversation into one text, if it has learned
            to converse.
        named_tokens: What the template calls ``bos_token``, ``eos_token`` and so on, as text.

    Raises:
        ValueError: If the tokenizer has ids beyond the model's vocabulary.
    """

    model: GPT
    tokenizer: Tokenizer
    begin_ids: tuple[int, ...] = ()
    end_ids: tuple[int, ...] = ()
    chat_template: str | None = None
    named_tokens: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vocab_size = self.model.config.vocab_size
        if self.tokenizer.vocab_size > vocab_size:
            raise ValueError(
                f"tokenizer must have ids below the model's vocab_size ({vocab_size}), "
                f"got ids up to {self.tokenizer.vocab_size - 1}"
            )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write a folder that [`from_pretrained`][llmbook.pretrained.from_pretrained] reads.

        It holds all that is here, in our own words; for other programs see
        [`save_transformers`][llmbook.pretrained.model.Pretrained.save_transformers].
        The files are all written before the first of them takes its place, the configuration last.

        Args:
            folder: Where to; made if it is not there.

        Returns:
            The folder.

        Raises:
            ValueError: If the model has parameters that a GPT of its configuration lacks, such as
                adapters that are not merged.
            OSError: If the files cannot be written; the old ones are then as they were.
        """
        from llmbook.pretrained.saving import own_files, write_folder

        return write_folder(folder, own_files(self))

    def save_transformers(self, folder: str | os.PathLike[str]) -> Path:
        """Write a folder that transformers reads too, as GPT-2, Llama, Qwen2 or Qwen3.

        So what came from there goes back, fine-tuned or not. See [pretrained weights][pretrained].

        Args:
            folder: As for [`save`][llmbook.pretrained.model.Pretrained.save].

        Returns:
            The folder.

        Raises:
            ValueError: If no family there computes what the model does, or as for
                [`save`][llmbook.pretrained.model.Pretrained.save].
            OSError: As for [`save`][llmbook.pretrained.model.Pretrained.save].
        """
        from llmbook.pretrained.saving import transformers_files, write_folder

        return write_folder(folder, transformers_files(self))

    def chat_prompt(self, messages: Sequence[Mapping[str, str]], **variables: object) -> str:
        """Write a conversation as the model has learned to read it, up to its own turn.

        Special tokens stand in the text under their names: encode it with
        ``allowed_special="all"``, and without ``begin_ids``, which templates write themselves.
        The template comes with the weights, so it runs in Jinja's sandbox. See
        [chat templates][chat-template].

        Args:
            messages: Each with ``"role"``, such as ``"system"``, ``"user"`` or ``"assistant"``,
                and ``"content"``.
            variables: What else the template asks for, such as ``enable_thinking=False``.

        Returns:
            The prompt.

        Raises:
            ValueError: If the model has no template, a message is none, or the template refuses.
        """
        if self.chat_template is None:
            raise ValueError(
                "chat_template is missing: this model has not learned to converse; "
                "give it a text to continue"
            )
        from llmbook.pretrained._chat import render  # loads Jinja, which few models need

        return render(self.chat_template, messages, {**self.named_tokens, **variables})
