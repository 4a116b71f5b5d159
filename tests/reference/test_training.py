"""The training loop beside AdamW written out, torch's own, and the plain loop of small projects."""

import itertools
import json
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from llmbook.gpt import GPT, GPTConfig
from llmbook.training import (
    TokenBatches,
    TrainingConfig,
    decay_groups,
    language_model_loss,
    learning_rate_at,
    next_token_loss,
    train,
)

V = 31
BATCHES = TokenBatches(torch.arange(4000) ** 2 % V, batch_size=4, length=12)
CONFIG = TrainingConfig(
    steps=20,
    warmup_steps=4,
    learning_rate=5e-3,
    final_learning_rate=5e-4,
    betas=(0.9, 0.95),
    weight_decay=0.5,
    clip_norm=0.3,
)


def new_gpt(dtype: torch.dtype = torch.float64) -> GPT:
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=V, d_model=16, num_layers=2, num_heads=2, max_length=16)
    return GPT(config).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_the_loss_is_torchs_in_float32_or_more(dtype):
    torch.manual_seed(0)
    logits, tokens = torch.randn(2, 5, 40).mul(30).to(dtype), torch.randint(40, (2, 6))
    loss_mask = torch.rand(2, 6) < 0.7
    answers = tokens[:, 1:].masked_fill(~loss_mask[:, 1:], -100)
    wide = logits.double() if dtype == torch.float64 else logits.float()
    expected = F.cross_entropy(wide.flatten(0, 1), answers.flatten())
    torch.testing.assert_close(next_token_loss(logits, tokens, loss_mask=loss_mask), expected)
    assert next_token_loss(logits, tokens, loss_mask=torch.zeros_like(loss_mask)).isnan()


def test_adamw_is_what_the_paper_writes():
    """Loshchilov and Hutter (2019, algorithm 2), with the decay scaled by the rate as in torch."""
    model, other = new_gpt(), new_gpt()
    losses = train(model, BATCHES, language_model_loss, CONFIG)

    expected, (beta1, beta2), eps = [], CONFIG.betas, 1e-8
    m = {name: torch.zeros_like(p) for name, p in other.named_parameters()}
    v = {name: torch.zeros_like(p) for name, p in other.named_parameters()}
    for step, tokens in zip(range(CONFIG.steps), BATCHES, strict=False):
        rate = learning_rate_at(step, CONFIG)
        loss = language_model_loss(other, tokens)
        expected.append(loss.item())
        named = dict(other.named_parameters())
        gradients = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
        norm = math.sqrt(sum(g.square().sum().item() for g in gradients.values()))
        with torch.no_grad():
            for name, parameter in named.items():
                g = gradients[name] * min(1.0, CONFIG.clip_norm / (norm + 1e-6))
                m[name] = beta1 * m[name] + (1 - beta1) * g
                v[name] = beta2 * v[name] + (1 - beta2) * g**2
                mean = m[name] / (1 - beta1 ** (step + 1))
                square = v[name] / (1 - beta2 ** (step + 1))
                decay = CONFIG.weight_decay if name.endswith("weight") and g.dim() == 2 else 0.0
                parameter -= rate * (mean / (square.sqrt() + eps) + decay * parameter)
    assert losses == pytest.approx(expected, abs=1e-10)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_the_fused_optimizer_is_torchs_plain_one():
    # In float64: Adam divides a gradient by its own size, so that where a gradient is nothing but
    # rounding, as that of a bias before a softmax, float32 shows which kernel rounded it.
    one, two = new_gpt(), new_gpt()
    optimizers = [
        torch.optim.AdamW(decay_groups(model, 0.1), lr=1e-3, fused=fused, foreach=False)
        for model, fused in ((one, True), (two, False))
    ]
    for tokens in itertools.islice(BATCHES, 5):
        for model, optimizer in zip((one, two), optimizers, strict=True):
            optimizer.zero_grad()
            language_model_loss(model, tokens).backward()
            optimizer.step()
    for mine, theirs in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_loop_does_what_the_usual_plain_loop_does(tmp_path, accumulation):
    config = TrainingConfig(
        steps=20, warmup_steps=4, learning_rate=5e-3, accumulation=accumulation, weight_decay=0.1
    )
    model, other = new_gpt(), new_gpt()
    losses = train(model, BATCHES, language_model_loss, config, out=tmp_path)

    # As nanoGPT does it: groups by dimension, all at once, lengthwise cross-entropy of torch.
    groups = [
        {"params": [p for p in other.parameters() if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in other.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, fused=False)
    stream, expected, norms = iter(BATCHES), [], []
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, config)
        total = 0.0
        for _ in range(accumulation):
            tokens = next(stream)
            x, y = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
            logits = other(x)
            loss = F.cross_entropy(logits.view(-1, V), y.view(-1)) / accumulation
            loss.backward()
            total += loss.item()
        norms.append(nn.utils.clip_grad_norm_(other.parameters(), 1.0).item())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        expected.append(total)
    assert losses == pytest.approx(expected, abs=1e-9)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["gradient_norm"] for line in log] == pytest.approx(norms, rel=1e-6)
    assert losses[0] - losses[-1] > 0.3
