"""Layers, stacks and the whole Transformer against torch's, weights copied; gradients too."""

import pytest
import torch
from torch import Tensor, nn

from llmbook.layers import DecoderLayer, EncoderLayer, FeedForward, LayerNorm, RMSNorm
from llmbook.transformer import (
    Transformer,
    TransformerConfig,
    TransformerDecoder,
    TransformerEncoder,
)
from tests.reference.test_attention import TOLERANCE, assert_equal, gradients

DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
PLACES = pytest.mark.parametrize("norm_first", [False, True], ids=["post-norm", "pre-norm"])
SIZES = [(2, 5, 7, 12, 3), (1, 1, 1, 6, 1), (3, 7, 4, 10, 2)]  # B, T, S, d_model, num_heads


def copy_linear(ours: nn.Module, reference: nn.Module) -> None:
    ours.load_state_dict(reference.state_dict())


def copy_attention(ours: nn.Module, reference: nn.MultiheadAttention) -> None:
    weights, biases = reference.in_proj_weight.chunk(3), reference.in_proj_bias.chunk(3)
    for i, name in enumerate(("query_proj", "key_proj", "value_proj")):
        getattr(ours, name).load_state_dict({"weight": weights[i], "bias": biases[i]})
    ours.output_proj.load_state_dict(reference.out_proj.state_dict())


def copy_layer(ours: EncoderLayer | DecoderLayer, reference: nn.Module) -> None:
    copy_attention(ours.self_attention, reference.self_attn)
    norms = [ours.self_attention_norm, ours.feed_forward_norm]
    if isinstance(ours, DecoderLayer):
        copy_attention(ours.cross_attention, reference.multihead_attn)
        norms.insert(1, ours.cross_attention_norm)
    copy_linear(ours.feed_forward.up_proj, reference.linear1)
    copy_linear(ours.feed_forward.down_proj, reference.linear2)
    for i, norm in enumerate(norms, start=1):
        copy_linear(norm, getattr(reference, f"norm{i}"))


def copy_stack(ours: nn.Module, reference: nn.Module) -> None:
    for mine, theirs in zip(ours.layers, reference.layers, strict=True):
        copy_layer(mine, theirs)
    if reference.norm is not None:
        copy_linear(ours.final_norm, reference.norm)


def shaken(module: nn.Module) -> nn.Module:
    """The module with every parameter random: norms begin at 1 and 0, which would hide swaps."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def assert_same_gradients(ours: Tensor, reference: Tensor, inputs: list[Tensor]) -> None:
    for mine, theirs in zip(gradients(ours, inputs), gradients(reference, inputs), strict=True):
        assert_equal(mine, theirs)


@DTYPES
@pytest.mark.parametrize("shape", [(2, 5, 8), (1, 1, 2), (3, 7), (4,)])
def test_layer_norm(shape, dtype):
    torch.manual_seed(0)
    reference = shaken(nn.LayerNorm(shape[-1], dtype=dtype))
    ours = LayerNorm(shape[-1]).to(dtype)
    copy_linear(ours, reference)
    x = (3 * torch.randn(shape, dtype=dtype) + 5).requires_grad_()
    assert_equal(ours(x), reference(x))
    assert_same_gradients(ours(x), reference(x), [x])
    mine = gradients(ours(x), [ours.weight, ours.bias])
    theirs = gradients(reference(x), [reference.weight, reference.bias])
    for a, b in zip(mine, theirs, strict=True):
        assert_equal(a, b)


@DTYPES
@pytest.mark.parametrize("shape", [(2, 5, 8), (1, 1, 1), (3, 7)])
def test_rms_norm(shape, dtype):
    torch.manual_seed(0)
    reference = shaken(nn.RMSNorm(shape[-1], eps=1e-6, dtype=dtype))
    ours = RMSNorm(shape[-1]).to(dtype)
    copy_linear(ours, reference)
    x = (3 * torch.randn(shape, dtype=dtype)).requires_grad_()
    assert_equal(ours(x), reference(x))
    assert_same_gradients(ours(x), reference(x), [x])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_rms_norm_in_half_precision_is_that_of_transformers(dtype):
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    torch.manual_seed(0)
    reference, ours = LlamaRMSNorm(16, eps=1e-6).to(dtype), RMSNorm(16).to(dtype)
    x = (200 * torch.randn(2, 3, 16)).to(dtype)  # squares beyond float16's 65504
    assert torch.equal(ours(x), reference(x))


@DTYPES
def test_swiglu_is_that_of_llama(dtype):
    from transformers.models.llama.configuration_llama import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaMLP

    torch.manual_seed(0)
    reference = LlamaMLP(
        LlamaConfig(hidden_size=6, intermediate_size=10, num_attention_heads=2)
    ).to(dtype)
    ours = FeedForward(6, 10, activation="swiglu").to(dtype)
    copy_linear(ours, reference)
    x = torch.randn(2, 3, 6, dtype=dtype, requires_grad=True)
    assert_equal(ours(x), reference(x))
    assert_same_gradients(ours(x), reference(x), [x])


def masks(kind: str, B: int, T: int, H: int, dtype: torch.dtype) -> tuple[Tensor | None, dict]:
    """A mask for our layers and the same in the words of torch's, where True means blocked."""
    allowed = torch.rand(B, H, T, T) < 0.6
    allowed[..., 0] = True
    if kind == "none":
        return None, {}
    if kind == "padding":
        lengths = torch.arange(1, B + 1).clamp(max=T)
        real = torch.arange(T) < lengths[:, None]
        return real[:, None, None, :], {"src_key_padding_mask": ~real}
    if kind == "boolean":
        return allowed[0, 0], {"src_mask": ~allowed[0, 0]}
    if kind == "boolean a head":
        return allowed, {"src_mask": ~allowed.flatten(0, 1)}
    added = torch.randn(T, T, dtype=dtype)
    return added, {"src_mask": added}


@DTYPES
@PLACES
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("kind", ["none", "padding", "boolean", "boolean a head", "additive"])
def test_encoder_layer(kind, training, activation, norm_first, dtype):
    for B, T, _, d_model, H in SIZES:
        torch.manual_seed(0)
        options = {"activation": activation, "norm_first": norm_first, "dropout": 0.0}
        reference = nn.TransformerEncoderLayer(
            d_model, H, 2 * d_model + 1, batch_first=True, dtype=dtype, **options
        )
        shaken(reference).train(training)
        ours = EncoderLayer(d_model, H, 2 * d_model + 1, **options).to(dtype).train(training)
        copy_layer(ours, reference)
        x = torch.randn(B, T, d_model, dtype=dtype, requires_grad=True)
        mask, words = masks(kind, B, T, H, dtype)
        output, expected = ours(x, mask=mask), reference(x, **words)
        assert_equal(output, expected)
        assert_same_gradients(output, expected, [x])


@DTYPES
@PLACES
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("padded", [False, True])
def test_decoder_layer(padded, training, norm_first, dtype):
    for B, T, S, d_model, H in SIZES:
        torch.manual_seed(0)
        options = {"norm_first": norm_first, "dropout": 0.0}
        reference = nn.TransformerDecoderLayer(
            d_model, H, 3 * d_model, batch_first=True, dtype=dtype, **options
        )
        shaken(reference).train(training)
        ours = DecoderLayer(d_model, H, 3 * d_model, **options).to(dtype).train(training)
        copy_layer(ours, reference)
        x = torch.randn(B, T, d_model, dtype=dtype, requires_grad=True)
        memory = torch.randn(B, S, d_model, dtype=dtype, requires_grad=True)
        real = torch.arange(S) < torch.arange(1, B + 1).clamp(max=S)[:, None]
        output = ours(x, memory, memory_mask=real[:, None, None, :] if padded else None)
        future = torch.ones(T, T, dtype=torch.bool).triu(1)
        expected = reference(
            x,
            memory,
            tgt_mask=future,
            memory_key_padding_mask=~real if padded else None,
        )
        assert_equal(output, expected)
        assert_same_gradients(output, expected, [x, memory])


@DTYPES
@PLACES
def test_stacks(norm_first, dtype):
    torch.manual_seed(0)
    shape = {"d_model": 12, "nhead": 3, "dim_feedforward": 20}
    options = {"dropout": 0.0, "norm_first": norm_first, "batch_first": True, "dtype": dtype}
    reference = nn.Transformer(
        num_encoder_layers=2, num_decoder_layers=3, **shape, **options, activation="gelu"
    )
    if not norm_first:  # torch normalizes once more behind the last post-norm layer; nobody asked
        reference.encoder.norm = reference.decoder.norm = None
    shaken(reference)
    sizes, ours_options = (12, 3, 20), {"norm_first": norm_first, "activation": "gelu"}
    encoder = TransformerEncoder(2, *sizes, **ours_options).to(dtype)
    decoder = TransformerDecoder(3, *sizes, **ours_options).to(dtype)
    copy_stack(encoder, reference.encoder)
    copy_stack(decoder, reference.decoder)

    source = torch.randn(3, 6, 12, dtype=dtype, requires_grad=True)
    target = torch.randn(3, 4, 12, dtype=dtype, requires_grad=True)
    real = torch.arange(6) < torch.tensor([6, 2, 4])[:, None]
    mask = real[:, None, None, :]
    memory = encoder(source, mask=mask)
    expected_memory = reference.encoder(source, src_key_padding_mask=~real)
    # At padding torch may put zeros (its fast path) or what it computed: nobody reads either.
    assert_equal(memory[real], expected_memory[real])
    output = decoder(target, memory, memory_mask=mask)
    expected = reference(
        source,
        target,
        tgt_mask=torch.ones(4, 4, dtype=torch.bool).triu(1),
        src_key_padding_mask=~real,
        memory_key_padding_mask=~real,
    )
    assert_equal(output, expected)
    assert_same_gradients(output, expected, [source, target])


def test_parameters_of_the_base_model_are_those_of_torch():
    config = TransformerConfig(source_vocab_size=11, target_vocab_size=11, norm_first=True)
    with torch.device("meta"):
        ours = Transformer(config)
        theirs = nn.Transformer(norm_first=True)
    count = sum(p.numel() for p in ours.parameters())
    assert count == sum(p.numel() for p in theirs.parameters()) + 11 * 512
