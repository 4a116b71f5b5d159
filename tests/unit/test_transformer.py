"""Layers and Transformer: what must hold whatever the weights, and what callers get wrong."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from llmbook.attention import MultiHeadAttention
from llmbook.cache import KVCache
from llmbook.decoding import beam_search, greedy_decode
from llmbook.layers import DecoderLayer, EncoderLayer, FeedForward, LayerNorm, RMSNorm
from llmbook.transformer import (
    Transformer,
    TransformerConfig,
    TransformerDecoder,
    TransformerEncoder,
)

PAD, BOS, EOS = 0, 1, 2


def small(seed: int = 0, **changes: object) -> Transformer:
    torch.manual_seed(seed)
    options: dict = {
        "source_vocab_size": 9,
        "target_vocab_size": 9,
        "d_model": 8,
        "num_heads": 2,
        "d_ff": 12,
        "num_encoder_layers": 2,
        "num_decoder_layers": 2,
        "dropout": 0.0,
    }
    return Transformer(TransformerConfig(**options | changes)).double()


def tokens(*shape: int) -> torch.Tensor:
    return torch.randint(3, 9, shape)


@given(T=st.integers(1, 9), seed=st.integers(0, 99), norm_first=st.booleans(), swiglu=st.booleans())
def test_an_encoder_without_positions_commutes_with_shuffling(T, seed, norm_first, swiglu):
    torch.manual_seed(seed)
    options = {"norm_first": norm_first, "activation": "swiglu" if swiglu else "gelu"}
    encoder = TransformerEncoder(2, 8, 2, 12, **options).double()
    x, order = torch.randn(2, T, 8, dtype=torch.float64), torch.randperm(T)
    torch.testing.assert_close(encoder(x[:, order]), encoder(x)[:, order])


@given(T=st.integers(2, 9), cut=st.integers(1, 8), seed=st.integers(0, 99))
def test_nothing_leaks_from_the_future(T, cut, seed):
    cut = min(cut, T - 1)
    model = small(seed)
    source, target = tokens(2, 5), tokens(2, T)
    changed = target.clone()
    changed[:, cut:] = (changed[:, cut:] - 2) % 6 + 3  # every token of the future another one
    assert (changed[:, cut:] != target[:, cut:]).all()
    before, after = model(source, target), model(source, changed)
    torch.testing.assert_close(before[:, :cut], after[:, :cut])
    assert (before[:, cut:] - after[:, cut:]).abs().amax(dim=-1).min() > 1e-9


@given(seed=st.integers(0, 99), norm_first=st.booleans())
def test_nothing_leaks_between_items_of_a_batch(seed, norm_first):
    model = small(seed, norm_first=norm_first)
    source, target = tokens(3, 6), tokens(3, 5)
    together = model(source, target)
    alone = torch.cat([model(source[i : i + 1], target[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone)


@given(S=st.integers(1, 7), T=st.integers(1, 6), more=st.integers(1, 4), seed=st.integers(0, 99))
def test_padding_changes_nothing(S, T, more, seed):
    model = small(seed)
    source, target = tokens(2, S), tokens(2, T)
    pad = torch.full((2, more), PAD)
    padded = model(torch.cat((source, pad), dim=1), torch.cat((target, pad), dim=1))
    torch.testing.assert_close(padded[:, :T], model(source, target))


@given(data=st.data(), T=st.integers(1, 9), seed=st.integers(0, 99))
def test_any_split_into_steps_gives_the_logits_of_the_whole(data, T, seed):
    model = small(seed)
    source, target = tokens(2, 5), tokens(2, T)
    memory, mask = model.encode(source)
    whole = model.decode(target, memory, mask)
    cuts = sorted(data.draw(st.sets(st.integers(1, T - 1)) if T > 1 else st.just(set())))
    caches = model.decoder.new_caches()
    parts = [
        model.decode(target[:, start:end], memory, mask, caches=caches)
        for start, end in itertools.pairwise([0, *cuts, T])
    ]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    assert len(caches[0][0]) == T
    assert len(caches[0][1]) == 5


def test_cross_attention_computes_the_source_once():
    model = small()
    projected = []
    layer = model.decoder.layers[0].cross_attention
    layer.key_proj.register_forward_hook(lambda *call: projected.append(call[1][0].shape))
    greedy_decode(model, tokens(2, 5), 6)
    assert projected == [torch.Size([2, 5, 8])]


def test_rotary_attention_with_a_cache_knows_its_place():
    from llmbook.positions import RotaryEmbedding

    torch.manual_seed(0)
    attention, rotary = MultiHeadAttention(8, 2).double(), RotaryEmbedding(4)
    x, cache = torch.randn(1, 5, 8, dtype=torch.float64), KVCache()

    def read(begin: int, end: int, cache: KVCache | None = None) -> torch.Tensor:
        rotation = rotary.rotation(x[:, begin:end], offset=begin)
        return attention(x[:, begin:end], rotation=rotation, is_causal=True, cache=cache)

    steps = [read(t, t + 1, cache) for t in range(5)]
    torch.testing.assert_close(torch.cat(steps, dim=1), read(0, 5))


def step_by_step(model: Transformer, source: torch.Tensor, limit: int) -> list[int]:
    """Greedy decoding of one source without caches and without a batch."""
    written = [BOS]
    for _ in range(limit):
        token = int(model(source[None], torch.tensor([written]))[0, -1].argmax())
        if token == EOS:
            break
        written.append(token)
    return written[1:]


@settings(max_examples=30)
@given(seed=st.integers(0, 999))
def test_greedy_decoding_is_the_argmax_of_each_step(seed):
    model = small(seed)
    with torch.no_grad():
        model.target_embedding.weight[EOS] *= 3  # so that some targets end early
    source = tokens(4, 5)
    source[1, 3:] = PAD
    expected = [step_by_step(model, row[row != PAD], 7) for row in source]
    assert greedy_decode(model, source, 7) == expected
    beams = beam_search(model, source, 7, beam_size=1)
    assert [hypotheses[0].tokens for hypotheses in beams] == expected


def log_probability(model: Transformer, source: torch.Tensor, target: list[int]) -> float:
    """Of the target, end included if it is there, by one pass of the whole."""
    inputs = torch.tensor([[BOS, *target[:-1]]])
    steps = model(source[None], inputs)[0].log_softmax(dim=-1)
    return steps[range(len(target)), target].sum().item()


@settings(max_examples=10)
@given(seed=st.integers(0, 99), penalty=st.sampled_from([0.0, 0.6, 1.0]))
def test_a_beam_that_holds_everything_finds_the_best_of_all(seed, penalty):
    model = small(seed, source_vocab_size=5, target_vocab_size=5)
    source, limit = torch.randint(3, 5, (2, 4)), 3
    beams = beam_search(model, source, limit, beam_size=5**limit, length_penalty=penalty)
    for row, hypotheses in zip(source, beams, strict=True):
        ended = [
            [*beginning, EOS]
            for length in range(limit)
            for beginning in itertools.product([0, 1, 3, 4], repeat=length)
        ]
        cut_off = [list(whole) for whole in itertools.product([0, 1, 3, 4], repeat=limit)]
        exact = {
            tuple(target): log_probability(model, row, target) for target in [*ended, *cut_off]
        }
        found = {}
        for hypothesis in hypotheses:
            end = [] if len(hypothesis.tokens) == limit else [EOS]
            found[*hypothesis.tokens, *end] = hypothesis.log_probability
        assert found.keys() == exact.keys()
        for target, value in found.items():
            assert value == pytest.approx(exact[target], abs=1e-9)
        lengths = [min(limit, len(h.tokens) + 1) for h in hypotheses]
        scores = [
            h.log_probability / ((5 + n) / 6) ** penalty
            for h, n in zip(hypotheses, lengths, strict=True)
        ]
        assert scores == sorted(scores, reverse=True)


def test_decoding_leaves_the_model_as_it_was():
    model = small(dropout=0.5).train()
    first, second = (greedy_decode(model, tokens(2, 4).fill_(5), 6) for _ in range(2))
    assert first == second
    assert model.training
    assert beam_search(model, tokens(1, 4), 3)[0][0].log_probability < 0
    assert all(module.training for module in model.modules())
    model.encoder.eval()  # as if it shall not change while the decoder is trained
    before = [module.training for module in model.modules()]
    greedy_decode(model, tokens(1, 4), 2)
    with pytest.raises(ValueError):
        beam_search(model, tokens(4), 3)
    assert [module.training for module in model.modules()] == before


def test_tied_weights_are_one_matrix():
    tied, apart = small(), small(tie_weights=False)
    assert tied.output_head.weight is tied.source_embedding.weight
    more = 2 * 9 * 8
    count = [sum(p.numel() for p in model.parameters()) for model in (tied, apart)]
    assert count[1] - count[0] == more


@given(seed=st.integers(0, 99), shift=st.floats(-50, 50), scale=st.floats(0.5, 50))
def test_norms_ignore_what_they_should(seed, shift, scale):
    torch.manual_seed(seed)
    x = torch.randn(3, 16, dtype=torch.float64)
    layer_norm, rms_norm = LayerNorm(16, eps=1e-12).double(), RMSNorm(16, eps=1e-12).double()
    torch.testing.assert_close(layer_norm(scale * x + shift), layer_norm(x))
    torch.testing.assert_close(rms_norm(scale * x), rms_norm(x))
    assert layer_norm(x).mean(dim=-1).abs().max() < 1e-9
    assert (rms_norm(x).square().mean(dim=-1) - 1).abs().max() < 1e-9


def test_dropout_is_active_in_training_only():
    torch.manual_seed(0)
    layer, x = EncoderLayer(8, 2, 16, dropout=0.5), torch.randn(1, 4, 8)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_a_source_of_padding_only_gives_numbers():
    model = small()
    source = torch.full((1, 4), PAD)
    assert model(source, tokens(1, 3)).isfinite().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LayerNorm(0), "d_model must be at least 1, got 0"),
        (lambda: RMSNorm(4, eps=0.0), "eps must be positive, got 0.0"),
        (lambda: LayerNorm(4)(torch.zeros(2, 3)), r"x must have shape \(..., 4\), got \(2, 3\)"),
        (lambda: RMSNorm(4)(torch.zeros(2, 3)), r"x must have shape \(..., 4\), got \(2, 3\)"),
        (lambda: FeedForward(4, 8)(torch.zeros(3)), r"x must have shape \(..., 4\), got \(3,\)"),
        (lambda: FeedForward(4, 0), "d_ff must be at least 1, got 0"),
        (
            lambda: FeedForward(4, 8, activation="tanh"),
            r"activation must be one of \('relu', 'gelu', 'gelu_tanh', 'swiglu'\), got 'tanh'",
        ),
        (lambda: EncoderLayer(8, 2, 8, dropout=1.5), "dropout must lie between 0 and 1, got 1.5"),
        (lambda: EncoderLayer(8, 3, 8), r"d_model must be divisible by num_heads \(3\), got 8"),
        (
            lambda: EncoderLayer(8, 2, 8)(torch.zeros(3, 8)),
            r"x must have shape \(batch, length, 8\), got \(3, 8\)",
        ),
        (
            lambda: DecoderLayer(8, 2, 8)(torch.zeros(2, 3, 8), torch.zeros(1, 3, 8)),
            r"source must have the batch size of x \(2\), got 1",
        ),
        (lambda: TransformerEncoder(0, 8, 2, 8), "num_layers must be at least 1, got 0"),
        (lambda: TransformerDecoder(0, 8, 2, 8), "num_layers must be at least 1, got 0"),
        (lambda: small(target_vocab_size=8), "tie_weights needs one vocabulary .* 9 .* 8"),
        (lambda: small(source_vocab_size=0), "source_vocab_size must be at least 1, got 0"),
        (
            lambda: small()(tokens(2, 3).float(), tokens(2, 3)),
            r"source must be integers of shape \(batch, length\).*\(2, 3\) of torch.float32",
        ),
        (lambda: small()(tokens(3), tokens(1, 3)), r"source must be integers.* shape \(3,\)"),
        (
            lambda: small()(tokens(1, 3), tokens(1, 3) + 6),
            "target must hold ids from 0 to 8, got ids from",
        ),
        (lambda: greedy_decode(small(), tokens(1, 3), 0), "max_new_tokens must be at least 1"),
        (
            lambda: beam_search(small(), tokens(1, 3), 3, beam_size=0),
            "beam_size must be at least 1, got 0",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_cache_refuses_another_batch():
    attention, cache = MultiHeadAttention(8, 2), KVCache()
    attention(torch.zeros(2, 3, 8), cache=cache)
    with pytest.raises(ValueError, match=r"key must agree with the cache \(2, 2, 3, 4\)"):
        attention(torch.zeros(1, 1, 8), cache=cache)


def test_modules_hold_no_more_than_the_formula():
    layer = EncoderLayer(8, 2, 12)
    attention, feed_forward, norms = 4 * 8 * 8 + 4 * 8, 2 * 8 * 12 + 12 + 8, 2 * 2 * 8
    assert sum(p.numel() for p in layer.parameters()) == attention + feed_forward + norms
    assert not list(nn.Module.buffers(layer))
