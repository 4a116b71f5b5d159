"""GPT: what must hold whatever the weights and choices, and what callers get wrong."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from llmbook.attention import MultiHeadAttention
from llmbook.cache import RaggedCache
from llmbook.gpt import GPT, GPTBlock, GPTConfig

V = 11
seeds = st.integers(0, 999)


@st.composite
def configs(draw) -> GPTConfig:
    """Small models of every family, and mixtures that nobody has published."""
    num_heads = draw(st.sampled_from([1, 2, 4]))
    return GPTConfig(
        vocab_size=V,
        max_length=16,
        d_model=8,
        num_layers=draw(st.integers(1, 3)),
        num_heads=num_heads,
        num_kv_heads=draw(st.sampled_from([None, 1, num_heads])),
        head_dim=draw(st.sampled_from([None, 6])),
        d_ff=draw(st.sampled_from([None, 12])),
        positions=draw(st.sampled_from(["learned", "rotary"])),
        rope_base=draw(st.sampled_from([100.0, 10_000.0])),
        norm=draw(st.sampled_from(["layer", "rms"])),
        activation=draw(st.sampled_from(["gelu_tanh", "swiglu"])),
        bias=draw(st.sampled_from(["all", "qkv", "none"])),
        qk_norm=draw(st.booleans()),
        tie_weights=draw(st.booleans()),
        token_shift=draw(st.booleans()),
    )


def random_model(config: GPTConfig, seed: int) -> GPT:
    """A model with every parameter random: as initialized, positions hardly matter."""
    torch.manual_seed(seed)
    model = GPT(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@given(config=configs(), T=st.integers(2, 9), cut=st.integers(1, 8), seed=seeds)
def test_nothing_leaks_from_the_future(config, T, cut, seed):
    cut = min(cut, T - 1)
    model, tokens = random_model(config, seed), torch.randint(V, (2, T))
    changed = tokens.clone()
    changed[:, cut:] = (changed[:, cut:] + 1) % V
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :cut], after[:, :cut])
    assert (before[:, cut:] - after[:, cut:]).abs().amax(dim=-1).min() > 1e-9


@given(config=configs(), seed=seeds)
def test_every_position_sees_the_whole_past(config, seed):
    model, tokens = random_model(config, seed), torch.randint(V, (1, 7))
    changed = tokens.clone()
    changed[:, 0] = (changed[:, 0] + 1) % V
    moved = (model(tokens) - model(changed)).abs().amax(dim=-1)
    assert moved.min() > 1e-12


@given(config=configs(), seed=seeds)
def test_nothing_leaks_between_items_of_a_batch(config, seed):
    model, tokens = random_model(config, seed), torch.randint(V, (3, 6))
    alone = torch.cat([model(row[None]) for row in tokens])
    torch.testing.assert_close(model(tokens), alone)


@given(data=st.data(), config=configs(), T=st.integers(1, 9), seed=seeds)
def test_any_split_into_steps_gives_the_logits_of_the_whole(data, config, T, seed):
    model, tokens = random_model(config, seed), torch.randint(V, (2, T))
    cuts = sorted(data.draw(st.sets(st.integers(1, T - 1)) if T > 1 else st.just(set())))
    cache = model.new_cache(2, capacity=data.draw(st.integers(1, 9)))
    parts = [
        model(tokens[:, start:end], cache=cache) for start, end in itertools.pairwise([0, *cuts, T])
    ]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(tokens))
    assert cache.lengths == [T, T]
    assert cache.keys.size(2) == config.kv_heads  # kept before the heads are repeated


@settings(max_examples=50)
@given(data=st.data(), config=configs(), seed=seeds)
def test_rows_of_unequal_length_do_not_know_of_each_other(data, config, seed):
    """Any steps, any padding at the end, rows shortened, repeated and dropped on the way."""
    model = random_model(config, seed)
    texts: list[list[int]] = [[] for _ in range(3)]
    cache = model.new_cache(3, capacity=data.draw(st.integers(1, 16)))
    for _ in range(data.draw(st.integers(1, 4))):
        room = config.max_length - max(map(len, texts))
        if room < 1:
            break
        T = data.draw(st.integers(1, min(4, room)))
        counts = data.draw(st.lists(st.integers(1, T), min_size=len(texts), max_size=len(texts)))
        tokens = torch.randint(V, (len(texts), T))
        logits = model(tokens, cache=cache, counts=counts)
        for i, (row, count) in enumerate(zip(tokens.tolist(), counts, strict=True)):
            texts[i] = texts[i] + row[:count]
            alone = model(torch.tensor([texts[i]]))[0, -count:]
            torch.testing.assert_close(logits[i, :count], alone)
        assert cache.lengths == [*map(len, texts)]
        if data.draw(st.booleans()):
            texts = [text[: data.draw(st.integers(0, len(text)))] for text in texts]
            cache.truncate([*map(len, texts)])
        if data.draw(st.booleans()):
            rows = data.draw(st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=4))
            texts = [texts[row] for row in rows]
            cache.select(rows)


@given(config=configs(), seed=seeds)
def test_padding_at_the_end_needs_no_mask(config, seed):
    model, tokens = random_model(config, seed), torch.randint(V, (2, 7))
    torch.testing.assert_close(model(tokens)[:, :4], model(tokens[:, :4]))


@given(config=configs())
def test_the_count_of_parameters_is_that_of_the_model(config):
    model, parts = GPT(config), config.parameters_by_part()
    assert config.num_parameters() == sum(p.numel() for p in model.parameters())
    counted = dict.fromkeys(parts, 0)
    for name, parameter in model.named_parameters():
        words = {"token_embedding": "token embedding", "position_embedding": "position embedding"}
        words |= {"shift_proj": "token shift"}
        words |= {"norm": "normalization", "feed_forward": "feed-forward"}
        words |= {"attention": "attention", "output_head": "output head"}
        part = next(v for k, v in words.items() if k in name.replace("feed_forward_norm", "norm"))
        counted[part] += parameter.numel()
    assert counted == parts


@settings(max_examples=30)
@given(config=configs(), T=st.integers(1, 9), cached=st.integers(0, 7))
def test_the_count_of_operations_is_that_of_torch(config, T, cached):
    with torch.device("meta"):
        model = GPT(config)
        cache, tokens = model.new_cache(), torch.zeros(1, cached + T, dtype=torch.long)
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernel hides its work
        if cached:
            model(tokens[:, :cached], cache=cache)
        with FlopCounterMode(display=False) as counter:
            model(tokens[:, cached:], cache=cache)
    assert config.forward_flops(T, cached) == counter.get_total_flops()


def test_counts_of_published_models():
    gpt3 = GPTConfig(d_model=12288, num_layers=96, num_heads=96, max_length=2048)
    assert gpt3.num_parameters() == 174_604_259_328
    llama3 = GPTConfig.llama(
        vocab_size=128_256, d_model=4096, num_layers=32, num_heads=32, num_kv_heads=8,
        d_ff=14336, tie_weights=False,
    )  # fmt: skip
    assert llama3.num_parameters() == 8_030_261_248
    qwen3 = GPTConfig.llama(
        vocab_size=151_936, d_model=1024, num_layers=28, num_heads=16, num_kv_heads=8,
        head_dim=128, d_ff=3072, qk_norm=True,
    )  # fmt: skip
    assert qwen3.num_parameters() == 596_049_920


def test_a_block_by_hand():
    torch.manual_seed(0)
    config = GPTConfig(d_model=8, num_layers=1, num_heads=2)
    block, x = GPTBlock(config), torch.randn(2, 5, 8)
    middle = x + block.attention(block.attention_norm(x), is_causal=True)
    expected = middle + block.feed_forward(block.feed_forward_norm(middle))
    torch.testing.assert_close(block(x), expected)


@given(seed=seeds, factor=st.floats(0.1, 100))
def test_normalized_queries_and_keys_ignore_the_size_of_their_weights(seed, factor):
    torch.manual_seed(seed)
    config = GPTConfig(d_model=8, num_heads=2, bias="none", qk_norm=True, norm_eps=1e-12)
    attention, x = GPTBlock(config).attention.double(), torch.randn(1, 5, 8, dtype=torch.float64)
    before = attention(x)
    with torch.no_grad():
        attention.query_proj.weight *= factor
        attention.key_proj.weight *= factor
    torch.testing.assert_close(attention(x), before)


def test_rotary_attention_depends_on_distances_alone():
    config = GPTConfig(vocab_size=V, d_model=8, num_layers=2, num_heads=2, positions="rotary")
    model = random_model(config, 0)
    attention, x = model.blocks[0].attention, torch.randn(1, 5, 8, dtype=torch.float64)
    near = attention(x, rotation=model.rotary.rotation(x))
    far = attention(x, rotation=model.rotary.rotation(x, offset=100))
    rows = attention(x.repeat(2, 1, 1), rotation=model.rotary.rotation(x, offset=[0, 100]))
    torch.testing.assert_close(near, far)
    torch.testing.assert_close(near.repeat(2, 1, 1), rows)
    assert (near - attention(x)).abs().max() > 1e-3


def test_initialization_is_that_of_gpt2():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=500, d_model=64, num_layers=8, num_heads=4))
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            writes = "output_proj" in name or "down_proj" in name
            expected = 0.02 / math.sqrt(16) if writes else 0.02
            assert parameter.std().item() == pytest.approx(expected, rel=0.05), name
        elif "norm" in name and name.endswith("weight"):
            assert (parameter == 1).all(), name
        else:
            assert (parameter == 0).all(), name


def test_tied_weights_are_one_matrix_that_begins_like_any_other():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=500, d_model=64, num_layers=1, num_heads=4))
    assert model.output_head.weight is model.token_embedding.weight
    assert model.output_head.weight.std().item() == pytest.approx(0.02, rel=0.05)
    apart = small(tie_weights=False)
    assert apart.output_head.weight is not apart.token_embedding.weight


def test_an_untrained_model_loses_about_ln_v():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=500, d_model=64, num_layers=4, num_heads=4))
    tokens = torch.randint(500, (8, 64))
    logits = model(tokens[:, :-1]).flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(500), abs=0.1)


def test_token_shift_tells_each_token_of_the_one_before():
    model = GPT(GPTConfig(vocab_size=V, d_model=8, num_layers=1, num_heads=2, token_shift=True))
    read: list[torch.Tensor] = []
    model.dropout.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    model(torch.tensor([[3, 1, 4]]))
    table, shift = model.token_embedding.weight, model.shift_proj.weight
    places = model.position_embedding.weight
    expected = [table[3], table[1] + shift @ table[3], table[4] + shift @ table[1]]
    torch.testing.assert_close(read[0][0], torch.stack(expected) + places[:3])


def test_dropout_is_active_in_training_only():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=V, d_model=8, num_layers=1, num_heads=2, dropout=0.5))
    tokens = torch.randint(V, (1, 4))
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


def test_a_cache_grows_and_keeps_what_it_holds():
    model = small(max_length=64)
    cache, tokens = model.new_cache(1, capacity=2), torch.randint(V, (1, 20))
    model(tokens[:, :2], cache=cache)
    before = cache.keys[:, :, :, :2].clone()
    for t in range(2, 20):
        model(tokens[:, t : t + 1], cache=cache)
    assert torch.equal(cache.keys[:, :, :, :2], before)
    assert 20 <= cache.keys.size(3) <= 40


def test_a_step_that_fails_counts_nothing():
    cache = small().new_cache(2)
    with pytest.raises(RuntimeError), cache.step(torch.zeros(2, 3).long()):
        raise RuntimeError
    assert cache.lengths == [0, 0]


def test_a_mask_of_ones_own_adds_to_that_of_unequal_rows():
    torch.manual_seed(0)
    attention, x = MultiHeadAttention(8, 2).double(), torch.randn(2, 4, 8, dtype=torch.float64)
    cache, tokens = RaggedCache((1, 2, 2, 4, 4), dtype=torch.float64), torch.zeros(2, 2).long()
    with cache.step(tokens, counts=[2, 1]) as step:
        attention(x[:, :2], is_causal=True, cache=step.layers[0])
    mask = torch.tensor([False, True, True, True])  # nobody sees the first token
    with cache.step(tokens) as step:
        found = attention(x[:, 2:], mask=mask, is_causal=True, cache=step.layers[0])
    alone = attention(x[1:, [0, 2, 3]], mask=mask[:3], is_causal=True)
    torch.testing.assert_close(found[1:], alone[:, 1:])


def test_llama_is_a_set_of_choices_each_of_which_may_be_another():
    sizes = {"d_model": 64, "num_heads": 4, "bias": "qkv"}
    spelled = GPTConfig(**sizes, positions="rotary", norm="rms", activation="swiglu")
    assert GPTConfig.llama(**sizes) == spelled


def small(**changes: object) -> GPT:
    options: dict = {"vocab_size": V, "max_length": 6, "d_model": 8, "num_layers": 2}
    return GPT(GPTConfig(**options | {"num_heads": 2} | changes))


def after_five() -> torch.Tensor:
    model = small()
    cache = model.new_cache()
    model(torch.zeros(1, 5).long(), cache=cache)
    return model(torch.zeros(1, 2).long(), cache=cache)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GPTConfig(vocab_size=0), "vocab_size must be at least 1, got 0"),
        (lambda: GPTConfig(num_layers=0), "num_layers must be at least 1, got 0"),
        (lambda: GPTConfig(num_kv_heads=0), "num_kv_heads must be at least 1, got 0"),
        (lambda: GPTConfig(head_dim=0), "head_dim must be at least 1, got 0"),
        (lambda: GPTConfig(d_ff=0), "d_ff must be at least 1, got 0"),
        (
            lambda: GPTConfig(num_heads=5),
            r"num_heads must divide d_model \(768\) unless head_dim is given, got 5",
        ),
        (lambda: GPTConfig(num_kv_heads=5), r"num_kv_heads must divide num_heads \(12\), got 5"),
        (lambda: GPTConfig(norm="batch"), r"norm must be one of \('layer', 'rms'\), got 'batch'"),
        (lambda: GPTConfig(bias=True), r"bias must be one of .*, got True"),
        (lambda: GPTConfig(activation="gelu"), "activation must be one of .*, got 'gelu'"),
        (lambda: GPTConfig(positions="alibi"), "positions must be one of .*, got 'alibi'"),
        (
            lambda: GPTConfig(positions="rotary", head_dim=7),
            "head_dim must be even and at least 2, got 7",
        ),
        (lambda: GPTConfig(rope_base=0.0), "rope_base must be positive, got 0.0"),
        (lambda: GPTConfig(norm_eps=-1.0), "norm_eps must be positive, got -1.0"),
        (lambda: GPTConfig(dropout=1.5), "dropout must lie between 0 and 1, got 1.5"),
        (lambda: GPTConfig().forward_flops(0), "length must be at least 1, got 0"),
        (lambda: GPTConfig().forward_flops(1, -2), "cached must not be negative, got -2"),
        (lambda: small()(torch.zeros(1, 3)), "tokens must be integers of shape .* torch.float32"),
        (lambda: small()(torch.zeros(3).long()), r"tokens must be integers .* shape \(3,\)"),
        (lambda: small()(torch.full((1, 3), V)), "tokens must hold ids from 0 to 10, got ids"),
        (
            lambda: small()(torch.zeros(1, 7).long()),
            r"tokens must end within max_length \(6\), got 7 positions",
        ),
        (after_five, r"tokens must end within max_length \(6\), got 7 positions"),
        (
            lambda: small(positions="rotary")(torch.zeros(1, 7).long()),
            r"tokens must end within max_length \(6\), got 7 positions",
        ),
        (
            lambda: small()(torch.zeros(2, 3).long(), cache=small().new_cache(3)),
            r"cache and counts must have 2 rows, each count from 1 to 3, got 3 rows and counts",
        ),
        (
            lambda: small()(torch.zeros(2, 3).long(), counts=[3, 0]),
            r"each count from 1 to 3, got 2 rows and counts \[3, 0\]",
        ),
        (
            lambda: small()(torch.zeros(2, 3).long(), counts=[4, 1]),
            r"each count from 1 to 3, got 2 rows and counts \[4, 1\]",
        ),
        (
            lambda: small().new_cache(2).truncate([0, 1]),
            r"lengths must lie between 0 and those of the rows \(\[0, 0\]\), got \[0, 1\]",
        ),
        (lambda: small().new_cache(2).truncate([0]), r"those of the rows .*, got \[0\]"),
        (
            lambda: GPTBlock(GPTConfig())(torch.zeros(1, 3, 4)),
            r"x must have shape \(\.\.\., 768\), got \(1, 3, 4\)",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([7, 1], r"tokens must end within max_length \(6\), got 7 positions"),
        (None, r"tokens must end within max_length \(6\), got 7 positions"),
        ([6, 0], r"each count from 1 to 7, got 2 rows and counts \[6, 0\]"),
        ([6], r"must have 2 rows, each count from 1 to 7, got 2 rows and counts \[6\]"),
    ],
)
def test_a_step_that_is_refused_leaves_the_cache_as_it_was(counts, message):
    model, tokens = small(), torch.zeros(2, 7).long()
    cache = model.new_cache(2, capacity=2)
    for step in (
        lambda: model(tokens, cache=cache, counts=counts),
        lambda: cache.step(tokens, counts, max_length=6).__enter__(),
    ):
        with pytest.raises(ValueError, match=message):
            step()
    assert cache.keys.size(3) == 2 and cache.lengths == [0, 0]
    model(tokens, cache=cache, counts=[6, 1])  # padding may reach beyond the end
    assert cache.lengths == [6, 1]


def test_a_cache_without_tokens_is_no_cache_for_a_token_shift():
    model = GPT(GPTConfig(vocab_size=V, d_model=8, num_layers=1, num_heads=2, token_shift=True))
    with pytest.raises(ValueError, match="cache must keep the tokens"):
        model(torch.tensor([[1, 2]]), cache=RaggedCache((1, 1, 2, 8, 4)))
