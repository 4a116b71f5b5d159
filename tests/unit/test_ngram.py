"""n-gram models against values worked by hand, a second implementation, and what must hold."""

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook.ngram import AddK, Interpolated, KneserNey, NGram, tokenize

CATS = [line.split() for line in ("the cat sat", "the dog sat", "the cat ran")]
MODELS = [NGram, AddK, Interpolated, KneserNey]
SMOOTHED = MODELS[1:]

tokens = st.sampled_from("abcde")
texts = st.lists(st.lists(tokens, max_size=6), min_size=1, max_size=6)
contexts = st.lists(st.sampled_from("abcdez"), max_size=5)
orders = st.integers(1, 4)


# -- By hand -----------------------------------------------------------------------------------


def test_maximum_likelihood_by_hand():
    model = NGram(CATS, order=2)
    assert model.vocabulary == ("</s>", "<unk>", "cat", "dog", "ran", "sat", "the")
    assert model.count("cat", ["the"]) == 2 and model.count("the", ["<s>"]) == 3
    assert model.count("sat") == 2 and model.count("the", ["sat"]) == 0
    assert model.probability("the") == 1.0
    assert model.probability("cat", ["the"]) == pytest.approx(2 / 3)
    assert model.probability("dog", ["the", "cat", "the"]) == pytest.approx(1 / 3)
    # the . cat . ran . </s>
    assert model.log_probability(["the", "cat", "ran"]) == pytest.approx(math.log(2 / 3 * 1 / 2))
    assert model.log_probability(["the", "dog", "ran"]) == -math.inf
    assert model.perplexity(CATS) == pytest.approx((1 / 3 * 1 / 3 * 1 / 3) ** (-1 / 12))
    assert model.perplexity([*CATS, ["dog"]]) == math.inf


def test_add_k_by_hand():
    model = AddK(CATS, order=2, k=0.5)
    assert model.probability("cat", ["the"]) == pytest.approx((2 + 0.5) / (3 + 0.5 * 7))
    assert model.probability("ran", ["the"]) == pytest.approx(0.5 / (3 + 0.5 * 7))
    assert model.probability("ran", ["ran", "ran"]) == pytest.approx(0.5 / (0 + 1 + 0.5 * 7))
    assert model.probability("ran", ["bird"]) == pytest.approx(1 / 7)


def test_interpolation_by_hand():
    model = Interpolated(CATS, order=2, weights=[0.1, 0.3, 0.6])
    # 12 tokens are predicted, 2 of them cat
    expected = 0.1 / 7 + 0.3 * 2 / 12 + 0.6 * 2 / 3
    assert model.probability("cat", ["the"]) == pytest.approx(expected)
    unseen = (0.1 / 7 + 0.3 * 2 / 12) / 0.4
    assert model.probability("cat", ["bird"]) == pytest.approx(unseen)


def test_kneser_ney_by_hand():
    model = KneserNey(CATS, order=2, discount=0.5)
    # Continuations: the <s, cat the, dog the, sat cat dog, ran cat, </s> sat ran: 8 kinds of pair.
    lower = {"the": 1, "cat": 1, "dog": 1, "sat": 2, "ran": 1, "</s>": 2}
    base = {w: (c - 0.5) / 8 + 0.5 * 6 / 8 / 7 for w, c in lower.items()}
    assert model.probability("cat", ["the"]) == pytest.approx(1.5 / 3 + 0.5 * 2 / 3 * base["cat"])
    assert model.probability("sat", ["the"]) == pytest.approx(0.5 * 2 / 3 * base["sat"])
    assert model.probability("sat", ["bird"]) == pytest.approx(base["sat"])
    assert model.probability("bird", ["bird"]) == pytest.approx(0.5 * 6 / 8 / 7)


def test_kneser_ney_prefers_what_follows_many():
    text = [["san", "francisco"]] * 9 + [[w, "tea"] for w in "abcd"]
    counted, continued = (model(text, order=2) for model in (Interpolated, KneserNey))
    assert counted.probability("francisco", ["?"]) > counted.probability("tea", ["?"])
    assert continued.probability("francisco", ["?"]) < continued.probability("tea", ["?"])
    assert continued.probability("francisco", ["san"]) > 0.8


def test_discounts_are_estimated_from_what_occurs_once_and_twice():
    # Pairs: (<s> a) 3, (a b) 2, (a c) 1, (b </s>) 2, (c </s>) 1: two once, two twice.
    model = KneserNey([["a", "b"], ["a", "b"], ["a", "c"]], order=2)
    assert model.discounts[1] == pytest.approx(2 / (2 + 2 * 2))
    # Continuations: a 1, b 1, c 1, </s> 2.
    assert model.discounts[0] == pytest.approx(3 / (3 + 2 * 1))
    assert KneserNey([["a"]], order=1).discounts == [0.75]


def test_min_count_decides_the_vocabulary():
    model = NGram([["a", "a", "b", "b", "c"]], order=1, min_count=2)
    assert model.vocabulary == ("</s>", "<unk>", "a", "b")
    assert model.count("c") == model.count("never seen") == model.count("<unk>") == 1
    assert model.probability("anything") == pytest.approx(1 / 6)
    assert [token for _, token in model.events(["c", "a"])] == ["<unk>", "a", "</s>"]


def test_events_begin_and_end_a_sentence():
    model = NGram([["a", "b"]], order=3)
    assert [*model.events(["a", "b"])] == [
        (("<s>", "<s>"), "a"),
        (("<s>", "a"), "b"),
        (("a", "b"), "</s>"),
    ]
    assert [*NGram([["a"]], order=1).events([])] == [((), "</s>")]


def test_tokenize():
    assert tokenize("It isn't 3.5, is it? 10–20%") == [
        *("It", "isn't", "3.5", ",", "is", "it", "?", "10", "–", "20", "%")
    ]
    assert tokenize("查询q与键，Key-value缓存。𠀀") == [
        *("查", "询", "q", "与", "键", "，", "Key-value", "缓", "存", "。", "𠀀")
    ]
    assert tokenize("don’t d_model GPT2 naïve -x- ") == [
        *("don’t", "d_model", "GPT2", "naïve", "-", "x", "-")
    ]


# -- Against a second implementation -----------------------------------------------------------


def naive_kneser_ney(text, order, d, V, ngram):
    """P(last of ngram | the rest), straight from the definition, over lists and sets alone."""
    windows = [
        (["<s>"] * (order - 1) + s + ["</s>"])[i : i + order]
        for s in text
        for i in range(len(s) + 1)
    ]

    def count(gram, m):  # m tokens long; how often, or after how many different tokens
        if m == order:
            return sum(w == gram for w in windows)
        return len({w[-m - 1] for w in windows if w[-m:] == gram})

    def p(gram):
        m = len(gram)
        if m == 0:
            return 1 / V
        followers = {w[-1] for w in windows if w[-m:-1] == gram[:-1]}
        if not followers:
            return p(gram[1:])
        total = sum(count([*gram[:-1], w], m) for w in followers)
        return (max(count(gram, m) - d, 0) + d * len(followers) * p(gram[1:])) / total

    return p(ngram)


@given(text=texts, order=orders, context=contexts, d=st.sampled_from([0.1, 0.5, 0.75, 1.0]))
def test_kneser_ney_is_its_definition(text, order, context, d):
    model = KneserNey(text, order, discount=d)
    known = [c if c in model.vocabulary else "<unk>" for c in context]
    padded = ["<s>"] * (order - 1) + known
    history = padded[len(padded) - order + 1 :]
    for token in model.vocabulary:
        expected = naive_kneser_ney(text, order, d, len(model.vocabulary), [*history, token])
        assert model.probability(token, context) == pytest.approx(expected, abs=1e-12)


# -- What must hold of every model -------------------------------------------------------------


@pytest.mark.parametrize("kind", SMOOTHED)
@given(text=texts, order=orders, context=contexts, min_count=st.integers(1, 3))
def test_smoothed_probabilities_sum_to_1(kind, text, order, context, min_count):
    model = kind(text, order, min_count=min_count)
    probabilities = [model.probability(token, context) for token in model.vocabulary]
    assert min(probabilities) > 0
    assert math.fsum(probabilities) == pytest.approx(1, abs=1e-12)


@given(text=texts, order=orders, context=contexts)
def test_counted_probabilities_sum_to_1_where_there_are_counts(text, order, context):
    model = NGram(text, order)
    padded = ["<s>"] * (order - 1) + context
    seen = any(
        (["<s>"] * (order - 1) + s)[i : i + order - 1] == padded[len(padded) - order + 1 :]
        for s in text
        for i in range(len(s) + 1)
    )
    total = math.fsum(model.probability(token, context) for token in model.vocabulary)
    assert total == pytest.approx(1 if seen else 0, abs=1e-12)


@pytest.mark.parametrize("kind", MODELS)
@given(text=texts, order=orders, sentence=st.lists(st.sampled_from("abcdez"), max_size=6))
def test_the_chain_rule(kind, text, order, sentence):
    model = kind(text, order)
    product = math.prod(
        model.probability(token, sentence[:i]) for i, token in enumerate([*sentence, "</s>"])
    )
    assert math.exp(model.log_probability(sentence)) == pytest.approx(product, rel=1e-9)


@pytest.mark.parametrize("kind", MODELS)
def test_the_probabilities_of_all_sentences_sum_to_1(kind):
    model = kind([["a"], ["a", "a"]], order=2, min_count=2)  # predicts a, <unk>, </s>
    total, states = 0.0, Counter({(): 1.0})
    for _ in range(200):  # states: last token -> probability of all sentences still going on
        going = Counter()
        for context, weight in states.items():
            total += weight * model.probability("</s>", context)
            for token in ("a", "<unk>"):
                going[(token,)] += weight * model.probability(token, context)
        states = going
    assert total == pytest.approx(1, abs=1e-9)


@given(size=st.integers(1, 30), order=orders)
def test_perplexity_of_equally_likely_tokens_is_their_number(size, order):
    words = [f"w{i}" for i in range(size - 1)]
    assert NGram([words], order=1).perplexity([words, words[:1], []]) == pytest.approx(size)
    # A text of one sentence leaves no doubt once there is a context.
    longer = NGram([words], order=2).perplexity([words])
    assert longer == pytest.approx(1)


@given(text=texts, order=orders)
def test_a_longer_context_fits_the_training_text_at_least_as_well(text, order):
    shorter, longer = NGram(text, order), NGram(text, order + 1)
    assert longer.perplexity(text) <= shorter.perplexity(text) * (1 + 1e-12)


@given(text=texts, order=orders, sentence=st.lists(tokens, max_size=6))
def test_what_is_unseen_stays_unseen_in_a_longer_context(text, order, sentence):
    shorter, longer = NGram(text, order), NGram(text, order + 1)
    pairs = zip(shorter.events(sentence), longer.events(sentence), strict=True)
    for (short, token), (long, same) in pairs:
        assert token == same and long[1:] == short
        assert longer.count(token, long) <= shorter.count(token, short)


@pytest.mark.parametrize("kind", MODELS)
def test_samples_follow_the_probabilities(kind):
    model = kind(CATS, order=2)
    generator, draws = Random(0), 20_000
    first_two = Counter(tuple(model.sample(generator, max_tokens=2)) for _ in range(draws))
    assert len(first_two) > 1
    for pair in [("the", "cat"), ("the", "dog"), ("cat", "sat"), ()]:
        p = model.probability((*pair, "</s>")[0])
        if pair:
            p *= model.probability(pair[1], pair[:1])
        assert abs(first_two[pair] - draws * p) <= 5 * math.sqrt(draws * p * (1 - p)) + 1e-9


def test_samples_repeat_with_their_seed_and_stop():
    model = KneserNey(CATS, order=3)
    assert model.sample(Random(5), 9) == model.sample(Random(5), 9)
    assert len({tuple(model.sample(Random(seed), 9)) for seed in range(20)}) > 1
    forever = AddK([["a"] * 50], order=1, k=1e-9)
    assert len(forever.sample(Random(0), max_tokens=7)) == 7
    assert NGram(CATS, order=4).sample(Random(1)) in CATS


# -- Errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 2), "sentences must hold at least one sentence, got none"),
        ((CATS, 0), "order must be at least 1, got 0"),
        ((["the cat"], 2), "must be a sequence of tokens, got the string 'the cat'"),
        (([["<s>", "a"]], 2), "must not hold the marks"),
    ],
)
def test_bad_training_is_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(*arguments)
    with pytest.raises(ValueError, match="min_count must be at least 1, got 0"):
        kind(CATS, 2, min_count=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AddK(CATS, 2, k=0), "k must be positive, got 0"),
        (lambda: Interpolated(CATS, 2, weights=[0.5, 0.5]), r"weights must be order \+ 1 \(3\)"),
        (lambda: Interpolated(CATS, 2, weights=[0.0, 0.5, 0.5]), "numbers > 0"),
        (lambda: Interpolated(CATS, 2, weights=[0.5, 0.5, 0.5]), "must sum to 1.*sum 1.5"),
        (lambda: KneserNey(CATS, 2, discount=0.0), "discount must be above 0 and at most 1"),
        (lambda: KneserNey(CATS, 2, discount=1.5), "got 1.5"),
        (lambda: NGram(CATS, 2).perplexity([]), "at least one sentence, got none"),
        (lambda: NGram(CATS, 2).perplexity(["the cat"]), "got the string"),
        (lambda: NGram(CATS, 2).log_probability(["the", "</s>"]), "must not hold the marks"),
        (lambda: NGram(CATS, 2).probability("<s>"), "token must be one that can be predicted"),
        (lambda: NGram(CATS, 2).count("a", ["the", "cat"]), r"at most order - 1 \(1\) tokens"),
        (lambda: NGram(CATS, 2).sample(Random(0), 0), "max_tokens must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
