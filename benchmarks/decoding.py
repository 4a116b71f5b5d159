"""How fast our GPT writes, beside transformers' `generate` with the same weights.

The real model is SmolLM2-135M-Instruct in float32; the prompts are beginnings of sentences of this
book. Both sides decode greedily, on the same number of threads, and must write the same tokens.
They take turns (A B C A B C …). Ours comes twice: guessing what a text repeats, as the command
line does, and without ("no lookup"), which theirs does not do by default either. Four tasks:

- one prompt;
- eight prompts of unequal length;
- eight questions in the chat format, each answered until the model ends: answers are of unequal
  length;
- a chain of twelve sub-problems after the same examples, each put after the answers before it, as
  least-to-most prompting does. Ours remembers what it has read; theirs reads it anew, and so does
  ours in a third form ("rereading").

    python benchmarks/decoding.py --runs 5
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import transformers

from llmbook.book import corpus
from llmbook.generation import GenerationConfig, TextGenerator
from llmbook.gpt import GPT
from llmbook.pretrained import Pretrained, from_pretrained
from llmbook.pretrained.layouts import Layout

Ids = list[list[int]]


def as_transformers(model: GPT) -> transformers.LlamaForCausalLM:
    """The same weights in transformers' Llama, in the same memory."""
    c = model.config
    config = transformers.LlamaConfig(
        vocab_size=c.vocab_size, hidden_size=c.d_model, intermediate_size=c.ff_size,
        num_hidden_layers=c.num_layers, num_attention_heads=c.num_heads,
        num_key_value_heads=c.kv_heads, max_position_embeddings=c.max_length,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_base},
        rms_norm_eps=c.norm_eps, tie_word_embeddings=c.tie_weights, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with torch.device("meta"):
        theirs = transformers.LlamaForCausalLM(config)
    layout, inner = Layout("llama", "model."), theirs.model
    state = {layout.name(name): weight for name, weight in model.state_dict().items()}
    theirs.load_state_dict(state, assign=True)
    inner.rotary_emb = type(inner.rotary_emb)(config)  # a buffer: it stayed on the meta device
    return theirs.eval()


def let_them_write(theirs: transformers.LlamaForCausalLM, ids: Ids, limit: int, end: int) -> Ids:
    """Greedy completions by `generate` with its default cache, padding on the left."""
    longest = max(map(len, ids))
    padded = torch.tensor([[0] * (longest - len(row)) + row for row in ids])
    real = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids])
    with torch.inference_mode():
        output = theirs.generate(  # type: ignore[misc]
            padded, attention_mask=real, max_new_tokens=limit, do_sample=False,
            eos_token_id=end, pad_token_id=end,
        )  # fmt: skip
    rows: Ids = output[:, longest:].tolist()
    return [row[: row.index(end) + 1] if end in row else row for row in rows]


def batch(
    loaded: Pretrained, theirs: transformers.LlamaForCausalLM, ids: Ids, limit: int, end: int
) -> dict[str, Callable[[], Ids]]:
    def ours(lookup: int) -> Ids:
        writer = TextGenerator(loaded.model, loaded.tokenizer)
        config = GenerationConfig(max_new_tokens=limit, end_ids=(end,), lookup=lookup)
        return [completion.tokens for completion in writer.generate(ids, config)]

    return {
        "llmbook": lambda: ours(15),
        "no lookup": lambda: ours(0),
        "transformers": lambda: let_them_write(theirs, ids, limit, end),
    }


def chain(
    loaded: Pretrained, theirs: transformers.LlamaForCausalLM, limit: int
) -> dict[str, Callable[[], Ids]]:
    shown = (
        "Q: Bo has {a} pens. Ann has {b} more pens than Bo, and Cy has {c} more than Ann. "
        "How many pens has Cy?\nA: First, how many has Ann? Bo has {a} and Ann {b} more: "
        "{a} + {b} = {d}. Now, how many has Cy? Ann has {d} and Cy {c} more: {d} + {c} = {e}. "
        "Cy has {e} pens.\n\n"
    )
    examples = "".join(
        shown.format(a=i, b=i + 1, c=i + 2, d=2 * i + 1, e=3 * i + 3) for i in range(1, 9)
    )  # eight exemplars, about as long as the paper's
    questions = [
        f"Q: Box {i} holds {i} pens more than box {i - 1}. How many?\nA:" for i in range(1, 13)
    ]

    def through(write: Callable[[list[int]], list[int]]) -> Ids:
        context, answers = loaded.tokenizer.encode(examples), []
        for question in questions:
            context = context + loaded.tokenizer.encode(question)
            answers.append(write(context))
            context = context + answers[-1] + loaded.tokenizer.encode("\n\n")
        return answers

    def ours(lookup: int) -> Ids:
        writer = TextGenerator(loaded.model, loaded.tokenizer)
        config = GenerationConfig(limit, end_ids=loaded.end_ids, lookup=lookup)
        return through(lambda ids: writer.generate([ids], config)[0].tokens)

    def reread(ids: list[int]) -> list[int]:  # a writer that remembers nothing
        config = GenerationConfig(limit, end_ids=loaded.end_ids, lookup=15)
        return TextGenerator(loaded.model, loaded.tokenizer).generate([ids], config)[0].tokens

    def afresh(ids: list[int]) -> list[int]:
        return let_them_write(theirs, [ids], limit, loaded.end_ids[0])[0]

    return {
        "llmbook": lambda: ours(15),
        "no lookup": lambda: ours(0),
        "rereading": lambda: through(reread),
        "transformers": lambda: through(afresh),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each side (default 5)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side (default 2)")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error(f"--runs must be at least 1, got {arguments.runs}")
    torch.set_num_threads(arguments.threads)

    loaded = from_pretrained("smollm2-135m")
    theirs, never = as_transformers(loaded.model), 0
    lines = [line.split() for line in corpus.load("en").splitlines() if len(line.split()) > 30]
    ids = [loaded.tokenizer.encode(" ".join(line[: 5 + 3 * i])) for i, line in enumerate(lines[:8])]
    questions = (
        "What is 2 + 3?", "Name a color.", "Say hello.", "What is the capital of France?",
        "Is fire hot?", "Count to five.", "What do bees make?", "Which day follows Monday?",
    )  # fmt: skip
    chats = [
        loaded.tokenizer.encode(
            loaded.chat_prompt([{"role": "user", "content": text}]), allowed_special="all"
        )
        for text in questions
    ]
    tasks = {
        "one prompt, 64 tokens": batch(loaded, theirs, ids[-1:], 64, never),
        "eight unequal prompts, 64 tokens": batch(loaded, theirs, ids, 64, never),
        "eight answers, up to 96 tokens": batch(loaded, theirs, chats, 96, loaded.end_ids[0]),
        "chain of 12, 12 tokens each": chain(loaded, theirs, 12),
    }
    print(f"{'task':34}{'side':14}{'median s':>10}{'min':>9}{'max':>9}{'ratio':>8}")
    for task, sides in tasks.items():
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for run in range(arguments.runs + 1):  # the first warms up and does not count
            results = []
            for name, work in sides.items():
                start = time.perf_counter()
                results.append(work())
                if run:
                    seconds[name].append(time.perf_counter() - start)
            if any(result != results[0] for result in results):
                raise SystemExit(f"{task}: the sides do not write the same")
        ours = statistics.median(seconds["llmbook"])
        for name, values in seconds.items():
            middle = statistics.median(values)
            row = f"{middle:10.3f}{min(values):9.3f}{max(values):9.3f}{middle / ours:8.2f}"
            print(f"{task:34}{name:14}{row}", flush=True)
    print(f"ratio: median / median of llmbook, {arguments.runs} runs in turn, "
          f"{arguments.threads} threads, float32")  # fmt: skip


if __name__ == "__main__":
    main()
