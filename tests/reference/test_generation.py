"""Generation against transformers: the distributions, and a real model's greedy text."""

import pytest
import torch
import transformers
from transformers.generation import logits_process as theirs

from llmbook.book import corpus
from llmbook.generation import GenerationConfig, generate, next_token_distribution
from llmbook.gpt import GPT
from llmbook.pretrained import from_pretrained
from llmbook.pretrained.layouts import Layout


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize(
    ("top_k", "top_p", "min_p"),
    [(None, 1.0, 0.0), (7, 1.0, 0.0), (None, 0.6, 0.0), (None, 1.0, 0.2), (9, 0.8, 0.1),
     (1, 1.0, 0.0), (None, 0.05, 0.0), (500, 0.999, 0.001)],
)  # fmt: skip
def test_distributions(temperature, top_k, top_p, min_p):
    logits = 3 * torch.randn(20, 50, generator=torch.Generator().manual_seed(0))
    expected = theirs.TemperatureLogitsWarper(temperature)(None, logits)
    if top_k is not None:
        expected = theirs.TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        expected = theirs.TopPLogitsWarper(top_p)(None, expected)
    if min_p > 0:
        expected = theirs.MinPLogitsWarper(min_p)(None, expected)
    config = GenerationConfig(1, temperature, top_k, top_p, min_p)
    found = next_token_distribution(logits, config)
    torch.testing.assert_close(found, expected.softmax(-1))


def as_transformers(model: GPT) -> transformers.LlamaForCausalLM:
    """The same weights in transformers' Llama, in the same memory."""
    c = model.config
    config = transformers.LlamaConfig(
        vocab_size=c.vocab_size, hidden_size=c.d_model, intermediate_size=c.d_ff,
        num_hidden_layers=c.num_layers, num_attention_heads=c.num_heads,
        num_key_value_heads=c.num_kv_heads, max_position_embeddings=c.max_length,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_base},
        rms_norm_eps=c.norm_eps, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    layout = Layout("llama", "model.")
    state = {layout.name(name): weight for name, weight in model.state_dict().items()}
    with torch.device("meta"):
        reference = transformers.LlamaForCausalLM(config)
    reference.load_state_dict(state, assign=True)
    reference.tie_weights()
    # A buffer, not a weight: it stayed on the meta device.
    reference.model.rotary_emb = type(reference.model.rotary_emb)(config)
    return reference.eval()


@pytest.mark.model
def test_a_real_model_writes_what_transformers_lets_it_write():
    """Fifty beginnings of sentences, of unequal length, token for token."""
    loaded = from_pretrained("smollm2-135m")
    sentences = [line for line in corpus.load("en").splitlines() if len(line.split()) > 8]
    words = [line.split() for line in sentences[:50]]
    prompts = [" ".join(line[: 3 + i % 6]) for i, line in enumerate(words)]
    assert len(prompts) == 50
    config = GenerationConfig(max_new_tokens=12, end_ids=loaded.end_ids)
    found = generate(loaded.model, loaded.tokenizer, prompts, config)

    reference = as_transformers(loaded.model)
    ids = [loaded.tokenizer.encode(prompt) for prompt in prompts]
    assert len(set(map(len, ids))) > 5
    longest = max(map(len, ids))
    padded = torch.tensor([[0] * (longest - len(row)) + row for row in ids])
    real = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids])
    with torch.inference_mode():
        output = reference.generate(
            padded, attention_mask=real, max_new_tokens=12, do_sample=False,
            eos_token_id=list(loaded.end_ids), pad_token_id=0,
        )  # fmt: skip
    for row, completion in zip(output[:, longest:].tolist(), found, strict=True):
        assert completion.tokens == row[: len(completion.tokens)]
        if completion.finish_reason == "length":
            assert len(completion.tokens) == 12
        else:
            assert completion.tokens[-1] in loaded.end_ids
