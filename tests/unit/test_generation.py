"""Generation: equal to rereading everything, whatever is batched, kept, stopped or streamed."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmbook.generation import (
    GenerationConfig,
    TextGenerator,
    generate,
    next_token_distribution,
)
from llmbook.gpt import GPT, GPTConfig
from llmbook.tokenizer import Tokenizer

BYTES = Tokenizer([])
# Few letters, so that prompts share beginnings and stop strings occur.
prompts = st.text("abc", min_size=1, max_size=12)
batches = st.lists(prompts, min_size=1, max_size=5)


def make_model(kind: str = "rotary", seed: int = 0, max_length: int = 64) -> GPT:
    """A random model whose choices vary from place to place."""
    torch.manual_seed(seed)
    choices = {} if kind == "learned" else {"num_kv_heads": 1, "norm": "rms", "bias": "none"}
    config = GPTConfig(
        vocab_size=256, max_length=max_length, d_model=16, num_layers=2, num_heads=2,
        positions=kind, tie_weights=False, **choices,
    )  # fmt: skip
    model = GPT(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        model.output_head.weight[:64] -= 5  # mostly letters of the vocabulary's beginning
        model.output_head.weight *= 2
    return model.eval()


def reread(model: GPT, ids: list[int], count: int) -> list[int]:
    """Greedy decoding as one would explain it: read everything again for each token."""
    written: list[int] = []
    with torch.no_grad():
        for _ in range(count):
            written.append(int(model(torch.tensor([ids + written]))[0, -1].argmax()))
    return written


KINDS = st.sampled_from(["learned", "rotary"])


@settings(max_examples=40)
@given(kind=KINDS, seed=st.integers(0, 5), texts=batches, count=st.integers(1, 9))
def test_a_batch_of_unequal_prompts_is_each_prompt_alone(kind, seed, texts, count):
    model = make_model(kind, seed)
    found = generate(model, BYTES, texts, GenerationConfig(max_new_tokens=count))
    for text, completion in zip(texts, found, strict=True):
        assert completion.tokens == reread(model, BYTES.encode(text), count)
        assert completion.finish_reason == "length"
        assert completion.prompt_tokens == len(text)


@settings(max_examples=40)
@given(data=st.data(), kind=KINDS, seed=st.integers(0, 5))
def test_what_is_remembered_changes_nothing(data, kind, seed):
    """Any series of batches, prompts that extend texts, cut them short, or are new."""
    model = make_model(kind, seed)
    writer, known = TextGenerator(model, BYTES), ["a"]
    for _ in range(data.draw(st.integers(2, 4))):
        begin = st.sampled_from(known).map(lambda text: text[:40])
        shorter = st.tuples(begin, st.integers(1, 40)).map(lambda pair: pair[0][: pair[1]])
        drawn = st.tuples(st.one_of(begin, shorter, prompts), prompts).map("".join)
        texts = data.draw(st.lists(drawn, min_size=1, max_size=4))
        config = GenerationConfig(
            max_new_tokens=data.draw(st.integers(1, 6)),
            end_ids=tuple(data.draw(st.sets(st.integers(64, 255), max_size=60))),
        )
        found = writer.generate(texts, config)
        for text, completion in zip(texts, found, strict=True):
            [alone] = generate(model, BYTES, [text], config)
            assert completion[:4] == alone[:4]
            assert completion.reused_tokens < completion.prompt_tokens
            known.append(text + completion.text)


def test_an_extended_prompt_pays_only_for_what_is_new(monkeypatch):
    model = make_model(max_length=512)
    read: list[int] = []
    hidden = model.hidden

    def counted(tokens, **options):
        read.append(sum(options.get("counts") or [tokens.numel()]))
        return hidden(tokens, **options)

    monkeypatch.setattr(model, "hidden", counted)
    writer, ids = TextGenerator(model, BYTES), BYTES.encode("a" * 50)
    for step in range(4):
        read.clear()
        [completion] = writer.generate([ids], GenerationConfig(max_new_tokens=5))
        new = 50 if step == 0 else 11  # ten tokens, and the last one written was never read
        assert read == [new, 1, 1, 1, 1]
        assert completion.reused_tokens == len(ids) - new
        ids = ids + completion.tokens + BYTES.encode("b" * 10)


@settings(max_examples=60)
@given(kind=KINDS, seed=st.integers(0, 9), texts=st.lists(prompts, min_size=1, max_size=4),
       lookup=st.integers(0, 15), count=st.integers(1, 40))  # fmt: skip
def test_guesses_change_nothing(kind, seed, texts, lookup, count):
    """Random models fall into loops, broken now and then: guesses are right and wrong."""
    model = make_model(kind, seed)
    found = generate(model, BYTES, texts, GenerationConfig(count, lookup=lookup))
    for text, completion in zip(texts, found, strict=True):
        assert completion.tokens == reread(model, BYTES.encode(text), count)


def test_guesses_save_steps_where_a_text_repeats_itself(monkeypatch):
    model, steps = constant_cycle("é语"), []
    hidden = model.hidden

    def counted(tokens, **options):
        steps.append(tokens.size(1))
        return hidden(tokens, **options)

    monkeypatch.setattr(model, "hidden", counted)
    config = GenerationConfig(max_new_tokens=50, lookup=15)
    [completion] = generate(model, BYTES, ["é语é语"], config)
    assert completion.text == "é语" * 10
    # Bolder each time: 2, 4, 8 and 16 tokens a step, and at last no more than are wanted.
    assert steps == [11, 4, 8, 16, 16, 4]


def test_a_common_beginning_is_read_once():
    model = make_model()
    found = generate(model, BYTES, ["abcabc" + end for end in "abc"])
    assert [completion.reused_tokens for completion in found] == [0, 6, 6]


def test_texts_that_end_make_way(monkeypatch):
    model, rows = make_model(), []
    hidden = model.hidden

    def counted(tokens, **options):
        rows.append(tokens.size(0))
        return hidden(tokens, **options)

    monkeypatch.setattr(model, "hidden", counted)
    texts = [a + b for a in "abc" for b in "abcd"]
    ends = {completion.tokens[3] for completion in generate(make_model(), BYTES, texts)}
    rows.clear()
    config = GenerationConfig(max_new_tokens=20, end_ids=(*ends,))
    found = generate(model, BYTES, texts, config)
    lengths = [len(completion.tokens) for completion in found]
    assert min(lengths) < max(lengths)
    assert sum(rows) == sum(lengths)  # every step reads only rows that still write


@settings(max_examples=60)
@given(
    text=prompts, seed=st.integers(0, 20), temperature=st.sampled_from([0.0, 1.0, 3.0]),
    stop=st.lists(st.text(st.characters(max_codepoint=127), min_size=1, max_size=2), max_size=3),
)  # fmt: skip
def test_the_pieces_of_a_stream_make_up_the_text(text, seed, temperature, stop):
    config = GenerationConfig(
        max_new_tokens=30, temperature=temperature, seed=seed, stop=tuple(stop)
    )
    model = make_model(seed=seed % 3)
    [whole] = generate(model, BYTES, [text], config)
    pieces = list(TextGenerator(model, BYTES).stream(text, config))
    assert "".join(pieces) == whole.text
    assert all(pieces)
    [free] = generate(model, BYTES, [text], GenerationConfig(30, temperature, seed=seed))
    data = BYTES.decode_bytes(free.tokens)
    places = [data.find(word.encode()) for word in stop if word.encode() in data]
    expected = data[: min(places)] if places else data
    assert whole.text == expected.decode("utf-8", "replace")
    assert whole.finish_reason == ("stop" if places else "length")


def constant_cycle(text: str) -> GPT:
    """A model that writes the bytes of a text, all different, again and again."""
    model, ids = make_model(max_length=128), BYTES.encode(text)
    assert len({*ids}) == len(ids)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for i, token in enumerate(ids):
            model.token_embedding.weight[token, i] = 1.0
            model.output_head.weight[ids[(i + 1) % len(ids)], i] = 1.0
        model.final_norm.weight.fill_(1.0)
    return model


def test_a_stream_gives_characters_whole_and_early():
    """Two and three bytes a character: none is given in halves, or later than it must."""
    config = GenerationConfig(max_new_tokens=10)
    stream = TextGenerator(constant_cycle("é语"), BYTES).stream("é语", config)
    assert list(stream) == ["é", "语", "é", "语"]


@pytest.mark.parametrize(("stop", "text"), [("c", "ab"), ("de", "abc"), ("fab", "abcde")])
@pytest.mark.parametrize("lookup", [0, 15])
def test_a_stop_string_may_come_in_pieces(stop, text, lookup):
    config = GenerationConfig(max_new_tokens=20, stop=("zz", stop), lookup=lookup)
    model = constant_cycle("abcdef")
    [completion] = generate(model, BYTES, ["abcdef"], config)
    assert (completion.text, completion.finish_reason) == (text, "stop")
    assert len(completion.tokens) == len(text + stop)
    assert "".join(TextGenerator(model, BYTES).stream("abcdef", config)) == text


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        (("def", "f"), "abc"),
        (("f", "def"), "abc"),
        (("ef", "bcdef", "f"), "a"),
        (("e", "bcd"), "a"),
        (("cde", "abcde"), ""),
    ],
)
@pytest.mark.parametrize("lookup", [0, 15])
def test_of_stop_strings_that_end_together_the_one_that_begins_first_counts(stop, text, lookup):
    config = GenerationConfig(max_new_tokens=20, stop=stop, lookup=lookup)
    model = constant_cycle("abcdef")
    [completion] = generate(model, BYTES, ["abcdef"], config)
    assert (completion.text, completion.finish_reason) == (text, "stop")
    assert "".join(TextGenerator(model, BYTES).stream("abcdef", config)) == text


def test_a_token_may_hold_several_stop_strings():
    tokenizer = Tokenizer([(b"x", b"y"), (b"xy", b"z")])  # "xyz" is one token, 257
    sizes = {"vocab_size": 258, "d_model": 16, "num_layers": 1, "num_heads": 2}
    model = GPT(GPTConfig(**sizes, tie_weights=False))
    with torch.no_grad():
        model.final_norm.weight.zero_()
        model.final_norm.bias.fill_(1.0)
        model.output_head.weight.zero_()
        model.output_head.weight[257] = 1.0  # which it writes, whatever it has read
    for stop in (("y", "z"), ("z", "y")):
        [completion] = generate(model, tokenizer, ["a"], GenerationConfig(5, stop=stop))
        assert (completion.text, completion.finish_reason) == ("x", "stop")


def test_a_stream_that_is_left_leaves_the_generator_sound():
    model = make_model()
    model.train().blocks[0].eval()  # as if it shall not change in training
    before = [module.training for module in model.modules()]
    writer = TextGenerator(model, BYTES)
    stream = writer.stream("ab", GenerationConfig(max_new_tokens=30))
    next(stream)
    assert not torch.is_inference_mode_enabled()
    assert not any(module.training for module in model.modules())
    stream.close()
    assert [module.training for module in model.modules()] == before
    assert writer.generate(["ab"])[0][:4] == generate(model, BYTES, ["ab"])[0][:4]


def test_training_goes_on_after_writing():
    model = make_model()
    generate(model, BYTES, ["ab"], GenerationConfig(max_new_tokens=3))
    model.train()
    model(torch.randint(256, (2, 5))).sum().backward()


def test_sampling_draws_what_the_distribution_says():
    model, config = make_model(), GenerationConfig(max_new_tokens=1, temperature=1.0, top_k=5)
    logits = model(torch.tensor([BYTES.encode("ab")]))[:, -1]
    expected = next_token_distribution(logits, config)[0]
    counts = torch.zeros(256)
    for seed in range(600):
        one = GenerationConfig(max_new_tokens=1, temperature=1.0, top_k=5, seed=seed)
        counts[generate(model, BYTES, ["ab"], one)[0].tokens[0]] += 1
    assert (counts > 0).sum() <= 5
    assert (counts / 600 - expected).abs().max() < 0.08


@given(texts=batches, seed=st.integers(0, 99))
@settings(max_examples=20)
def test_what_a_prompt_draws_does_not_depend_on_its_batch(texts, seed):
    config = GenerationConfig(max_new_tokens=6, temperature=1.0, seed=seed)
    model = make_model()
    together = generate(model, BYTES, texts, config)
    for text, completion in zip(texts, together, strict=True):
        assert completion.tokens == generate(model, BYTES, [text], config)[0].tokens


@given(texts=batches, data=st.data())
@settings(max_examples=20)
def test_each_prompt_may_have_its_own_seed(texts, data):
    one_each = st.lists(st.integers(0, 9), min_size=len(texts), max_size=len(texts))
    seeds, model = data.draw(one_each), make_model()
    config = GenerationConfig(max_new_tokens=6, temperature=1.0, seed=tuple(seeds))
    together = generate(model, BYTES, texts, config)
    for text, seed, completion in zip(texts, seeds, together, strict=True):
        alone = GenerationConfig(max_new_tokens=6, temperature=1.0, seed=seed)
        assert completion == generate(model, BYTES, [text], alone)[0]._replace(
            reused_tokens=completion.reused_tokens
        )


def test_the_same_prompt_is_drawn_anew_with_another_seed():
    config = GenerationConfig(max_new_tokens=6, temperature=1.0, seed=tuple(range(20)))
    found = generate(make_model(), BYTES, ["ab"] * 20, config)
    assert len({completion.text for completion in found}) > 15


@given(kind=KINDS, texts=batches, temperature=st.sampled_from([0.0, 1.0]),
       lookup=st.integers(0, 15), stop=st.sampled_from([(), ("a",)]))  # fmt: skip
@settings(max_examples=40)
def test_log_probabilities_are_those_of_rereading(kind, texts, temperature, lookup, stop):
    """One for each token, what ended the text included, whatever is batched or guessed."""
    model = make_model(kind)
    config = GenerationConfig(
        20, temperature, top_k=50, stop=stop, end_ids=(*range(200, 256),), lookup=lookup,
        logprobs=True,
    )  # fmt: skip
    found = generate(model, BYTES, texts, config)
    plain = generate(model, BYTES, texts, replace(config, logprobs=False))
    for text, completion, other in zip(texts, found, plain, strict=True):
        assert completion[:5] == other[:5] and other.logprobs is None
        ids = BYTES.encode(text)
        with torch.no_grad():
            logits = model(torch.tensor([ids + completion.tokens]))[0, len(ids) - 1 : -1]
        tokens = torch.tensor(completion.tokens)[:, None]
        expected = logits.log_softmax(-1).gather(-1, tokens)[:, 0]
        found_each = torch.tensor(completion.logprobs)
        torch.testing.assert_close(found_each, expected.float(), rtol=1e-5, atol=1e-5)


logit_rows = st.lists(st.floats(-8, 8), min_size=2, max_size=12)


@given(row=logit_rows, temperature=st.floats(0.1, 3), top_k=st.integers(1, 12),
       top_p=st.floats(0, 1), min_p=st.floats(0, 1))  # fmt: skip
def test_the_distribution_keeps_the_likeliest_and_sums_to_one(
    row, temperature, top_k, top_p, min_p
):
    config = GenerationConfig(1, temperature, top_k, top_p, min_p)
    logits = torch.tensor([row])
    kept = next_token_distribution(logits, config)[0]
    plain = torch.softmax(logits[0] / temperature, -1)
    assert kept.sum().item() == pytest.approx(1, abs=1e-5)
    assert kept[plain >= plain.max() - 1e-6].max() > 0
    gone = kept == 0
    if gone.any():  # nothing that goes is likelier than anything that stays
        assert plain[gone].max() <= plain[~gone].min() + 1e-6
    ratios = (kept / plain)[~gone & (plain > 1e-6)]
    assert (ratios - ratios[0]).abs().max() < 1e-2 * ratios[0]  # what stays keeps its proportions


def test_the_nucleus_by_hand():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    for top_p, kept in ((0.4, 1), (0.51, 2), (0.81, 3), (0.96, 4), (0.0, 1), (1.0, 4)):
        distribution = next_token_distribution(logits, GenerationConfig(1, 1.0, top_p=top_p))
        assert (distribution > 0).sum() == kept
    even = next_token_distribution(torch.zeros(1, 2), GenerationConfig(1, 1.0, top_p=0.5))
    assert even.tolist() == [[1.0, 0.0]]  # the first reaches the sum: none is needed after it
    halves = next_token_distribution(logits, GenerationConfig(1, 1.0, min_p=0.25))
    torch.testing.assert_close(halves, torch.tensor([[0.5, 0.3, 0.15, 0.0]]) / 0.95)
    greedy = next_token_distribution(torch.tensor([[1.0, 2.0, 2.0]]), GenerationConfig(1))
    assert greedy.tolist() == [[0.0, 1.0, 0.0]]


@pytest.mark.parametrize("temperature", [1e-30, 1e-38, 1e-45, 1e-300, 5e-324])
def test_a_temperature_as_good_as_0_is_greedy(temperature):
    logits = torch.tensor([[3.0, 88.0, -2.0, 87.5], [0.0, -1.0, -math.inf, -9.0]])
    for options in ({}, {"top_k": 3}, {"top_p": 0.9}, {"min_p": 0.1}):
        config = GenerationConfig(1, temperature, **options)
        found = next_token_distribution(logits, config)
        assert found.tolist() == [[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    model = make_model()
    [greedy] = generate(model, BYTES, ["abc"], GenerationConfig(20))
    [found] = generate(model, BYTES, ["abc"], GenerationConfig(20, temperature, min_p=0.05))
    assert found.tokens == greedy.tokens and len({*found.tokens}) > 1


def test_a_temperature_beyond_all_logits_is_chance():
    [found] = next_token_distribution(torch.tensor([[3.0, 88.0]]), GenerationConfig(1, 1e300))
    assert found.tolist() == [0.5, 0.5]


def test_a_text_ends_at_the_models_length():
    model = make_model(max_length=16)
    [completion] = generate(model, BYTES, ["abcabc"])
    assert (len(completion.tokens), completion.finish_reason) == (10, "length")


def test_nothing_to_do():
    assert generate(make_model(), BYTES, []) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GenerationConfig(0), "max_new_tokens must be at least 1, got 0"),
        *(
            (lambda bad=bad: GenerationConfig(temperature=bad), f"temperature must be .* got {bad}")
            for bad in (-1.0, math.nan, math.inf)
        ),
        (lambda: GenerationConfig(lookup=-1), "lookup must not be negative, got -1"),
        (lambda: GenerationConfig(top_k=0), "top_k must be at least 1, got 0"),
        (lambda: GenerationConfig(top_p=1.5), "top_p must lie between 0 and 1, got 1.5"),
        (lambda: GenerationConfig(min_p=-0.1), "min_p must lie between 0 and 1, got -0.1"),
        (lambda: GenerationConfig(stop="ab"), "stop must be a tuple of strings .* got 'ab'"),
        (lambda: GenerationConfig(stop=("",)), r"stop must be a tuple of strings .* got \(''"),
        (lambda: generate(make_model(), BYTES, "ab"), "prompts must be several .* string 'ab'"),
        (
            lambda: generate(make_model(), BYTES, ["a", "b"], GenerationConfig(seed=(1, 2, 3))),
            "seed must be one number, or one for each of 2 prompts, got 3",
        ),
        (
            lambda: generate(make_model(), BYTES, ["a", ""]),
            r"prompts\[1\] must hold from 1 to 63 tokens, got 0",
        ),
        (
            lambda: generate(make_model(), BYTES, ["a" * 64]),
            r"prompts\[0\] must hold from 1 to 63 tokens, got 64",
        ),
        (
            lambda: TextGenerator(make_model(), Tokenizer([(b"a", b"b")])),
            "tokenizer must have at most the model's 256 tokens, got 257",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
