"""How fast a training step of our GPT is, beside transformers' GPT-2 and a plain small loop.

All three begin with the same weights, see the same batches and take the same steps: AdamW with
the same groups and rates, gradients clipped to the same norm, no dropout. Their losses are
compared. They take turns (A B C A B C …), each turn a few steps; a step is everything from drawing
the batch to the changed weights, and the first of a turn, which allocates, does not count.

Theirs use torch's AdamW as it comes. The plain side is what small projects write: one matrix for
queries, keys and values, torch's attention, loss and normalization, twenty lines of loop.

    python benchmarks/training.py --runs 5 --threads 2
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook.gpt import GPT, GPTConfig
from llmbook.training import (
    TokenBatches,
    TrainingConfig,
    decay_groups,
    language_model_loss,
    learning_rate_at,
    train,
)

SHAPES = {  # B sequences of T tokens a step
    "10M": (GPTConfig(8192, 256, d_model=256, num_layers=10, num_heads=4), 4, 256),
    "50M": (GPTConfig(50_257, 256, d_model=512, num_layers=8, num_heads=8), 2, 256),
}

Turn = tuple[list[float], list[float]]  # losses and seconds of the steps


class PlainBlock(nn.Module):
    """A block of GPT-2, as short as it gets."""

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_1, self.norm_2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.up, self.down = nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        parts = self.qkv(self.norm_1(x)).split(C, dim=2)
        q, k, v = (p.view(B, T, self.num_heads, -1).transpose(1, 2) for p in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).contiguous().view(B, T, C))
        return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class PlainGPT(nn.Module):
    """GPT-2, as short as it gets."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        d = config.d_model
        self.tokens = nn.Embedding(config.vocab_size, d)
        self.positions = nn.Embedding(config.max_length, d)
        self.blocks = nn.Sequential(
            *(PlainBlock(d, config.num_heads) for _ in range(config.num_layers))
        )
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, config.vocab_size, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x = self.tokens(x) + self.positions(torch.arange(x.size(1)))
        logits = self.head(self.norm(self.blocks(x)))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), y.reshape(-1))


def plain_copy(model: GPT) -> PlainGPT:
    """Our weights in the plain model."""
    plain = PlainGPT(model.config)
    # Any: torch calls what a module holds a tensor or a module, whatever its class says.
    pairs: list[tuple[Any, list[Any]]] = [
        (plain.tokens, [model.token_embedding]),
        (plain.positions, [model.position_embedding]),
        (plain.norm, [model.final_norm]),
    ]
    blocks: Any = zip(plain.blocks, model.blocks, strict=True)
    for theirs, ours in blocks:
        a = ours.attention
        pairs += [
            (theirs.norm_1, [ours.attention_norm]),
            (theirs.qkv, [a.query_proj, a.key_proj, a.value_proj]),
            (theirs.out, [a.output_proj]),
            (theirs.norm_2, [ours.feed_forward_norm]),
            (theirs.up, [ours.feed_forward.up_proj]),
            (theirs.down, [ours.feed_forward.down_proj]),
        ]
    with torch.no_grad():
        for theirs, parts in pairs:
            for name, parameter in theirs.named_parameters():
                parameter.copy_(torch.cat([getattr(part, name) for part in parts]))
    return plain


def transformers_copy(model: GPT) -> transformers.GPT2LMHeadModel:
    """Our weights in transformers' model, by way of the plain one."""
    c, plain = model.config, plain_copy(model)
    config = transformers.GPT2Config(
        vocab_size=c.vocab_size, n_positions=c.max_length, n_embd=c.d_model, n_layer=c.num_layers,
        n_head=c.num_heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    theirs = transformers.GPT2LMHeadModel(config)
    inner: Any = theirs.transformer
    pairs: list[tuple[Any, Any]] = [
        (inner.wte, plain.tokens),
        (inner.wpe, plain.positions),
        (inner.ln_f, plain.norm),
    ]
    blocks: Any = zip(inner.h, plain.blocks, strict=True)
    for block, ours in blocks:
        pairs += [
            (block.ln_1, ours.norm_1),
            (block.attn.c_attn, ours.qkv),
            (block.attn.c_proj, ours.out),
            (block.ln_2, ours.norm_2),
            (block.mlp.c_fc, ours.up),
            (block.mlp.c_proj, ours.down),
        ]
    with torch.no_grad():
        for there, here in pairs:
            turned = type(there).__name__ == "Conv1D"  # keeps its matrix the other way round
            for name, parameter in there.named_parameters():
                weight = getattr(here, name)
                parameter.copy_(weight.T if turned and name == "weight" else weight)
    return theirs


def our_turn(model: GPT, batches: Iterable[Tensor], config: TrainingConfig) -> Turn:
    """Some steps by our loop."""
    times: list[float] = []

    losses = train(
        model,
        batches,
        language_model_loss,
        config,
        after_step=lambda _: times.append(time.perf_counter()),
    )
    return losses, differences(times)


def their_turn(
    model: nn.Module,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    batches: Iterable[Tensor],
    config: TrainingConfig,
) -> Turn:
    """Some steps by the usual loop."""
    optimizer = torch.optim.AdamW(decay_groups(model, config.weight_decay), betas=config.betas)
    model.train()
    losses, times, stream = [], [], iter(batches)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, config)
        tokens = next(stream)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
            loss = loss_of(tokens[:, :-1], tokens[:, 1:].contiguous())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        losses.append(loss.item())
        times.append(time.perf_counter())
    return losses, differences(times)


def differences(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


def sides(
    shape: GPTConfig, batches: Iterable[Tensor], config: TrainingConfig
) -> dict[str, Callable[[], Turn]]:
    """The three sides; each call begins anew with the same weights."""
    torch.manual_seed(0)
    start = GPT(shape).state_dict()

    def ours() -> GPT:
        model = GPT(shape)
        model.load_state_dict(start)
        return model

    def theirs() -> Turn:
        model = transformers_copy(ours())

        def loss_of(x: Tensor, y: Tensor) -> Tensor:
            return model(x, labels=y, shift_labels=y).loss  # already shifted

        return their_turn(model, loss_of, batches, config)

    def plain() -> Turn:
        model = plain_copy(ours())
        return their_turn(model, model, batches, config)

    return {
        "llmbook": lambda: our_turn(ours(), batches, config),
        "transformers": theirs,
        "plain loop": plain,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="turns of each side (default 5)")
    parser.add_argument("--steps", type=int, default=6, help="steps of a turn (default 6)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side (default 2)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--limit", type=float, help="exit with 1 if the faster peer gains on this")
    arguments = parser.parse_args()
    if arguments.runs < 1 or arguments.steps < 2:
        parser.error("--runs must be at least 1 and --steps at least 2")
    torch.set_num_threads(arguments.threads)

    least = float("inf")
    print(f"{'task':28}{'side':14}{'median s':>9}{'min':>8}{'max':>8}{'ratio':>7}{'tokens/s':>10}")
    for name in arguments.shapes:
        shape, B, T = SHAPES[name]
        config = TrainingConfig(
            steps=arguments.steps, warmup_steps=2, learning_rate=1e-3, betas=(0.9, 0.95),
            weight_decay=0.1, precision=arguments.precision,
        )  # fmt: skip
        ids = torch.randint(
            shape.vocab_size, (100_000,), generator=torch.Generator().manual_seed(0)
        )
        seconds: dict[str, list[float]] = {}
        for _ in range(arguments.runs):
            losses = {}
            for side, turn in sides(shape, TokenBatches(ids, B, T), config).items():
                losses[side], times = turn()
                seconds.setdefault(side, []).extend(times)
            check(losses, 1e-3 if arguments.precision == "float32" else 2e-2)
        middle = {side: statistics.median(times) for side, times in seconds.items()}
        size = f"{shape.num_parameters() / 1e6:.1f}M, V={shape.vocab_size}"
        print(f"{size}, {B} x {T} tokens a step, {arguments.precision}")
        for side, times in seconds.items():
            ratio = middle[side] / middle["llmbook"]
            row = f"{middle[side]:9.3f}{min(times):8.3f}{max(times):8.3f}{ratio:7.2f}"
            print(f"{'':28}{side:14}{row}{B * T / middle[side]:10.0f}", flush=True)
            if side != "llmbook":
                least = min(least, ratio)
    print(
        f"ratio: median / median of llmbook, {arguments.runs} turns of {arguments.steps} steps, "
        f"{arguments.threads} threads"
    )
    if arguments.limit and least < arguments.limit:
        sys.exit(f"the faster peer takes only {least:.2f} times as long, not {arguments.limit}")


def check(losses: dict[str, list[float]], tolerance: float) -> None:
    """All sides must have found the same losses."""
    for side, values in losses.items():
        worst = max(abs(a - b) for a, b in zip(values, losses["llmbook"], strict=True))
        if not worst < tolerance:
            raise SystemExit(f"the losses of {side} differ by {worst}: {losses}")


if __name__ == "__main__":
    main()
