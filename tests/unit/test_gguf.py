"""GGUF files: what is read of them, and every one that is refused."""

import struct

import pytest

from llmbook.pretrained import from_pretrained
from llmbook.pretrained.gguf import read_gguf
from tests.support.gguf_files import METADATA, gguf_file, gguf_string


def test_a_gguf_file(tmp_path):
    found = from_pretrained(gguf_file(tmp_path / "a.gguf", {}))
    assert found.model.config.vocab_size == 5 and found.end_ids == (3,) and not found.begin_ids
    assert found.tokenizer.encode("ab<end>", allowed_special="all") == [2, 3]
    assert 4 not in found.tokenizer.vocabulary  # a row that only fills up the embedding
    assert found.named_tokens == {"eos_token": "<end>"} and found.chat_template is None
    more = {"tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eot_token_id": 2}
    found = from_pretrained(gguf_file(tmp_path / "a.gguf", more))
    assert (found.begin_ids, found.end_ids) == ((), (3, 2))
    more |= {"tokenizer.ggml.add_bos_token": True}
    assert from_pretrained(gguf_file(tmp_path / "a.gguf", more)).begin_ids == (0,)
    more |= {"tokenizer.ggml.add_bos_token": None, "tokenizer.ggml.pre": "llama-bpe"}
    assert from_pretrained(gguf_file(tmp_path / "a.gguf", more)).begin_ids == (0,)
    kinds = {"tokenizer.ggml.token_type": [1, 1, 1, 3, 4]}  # the last one defined by the user
    tokenizer = read_gguf(gguf_file(tmp_path / "a.gguf", kinds)).tokenizer()
    assert tokenizer.encode("a[PAD]", allowed_special=["[PAD]"]) == [0, 4]
    window = {"qwen2.attention.sliding_window": 4, "qwen2.rope.scaling.type": "none"}
    assert read_gguf(gguf_file(tmp_path / "a.gguf", window)).config().max_length == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"general.architecture": "gemma"}, "general.architecture must be one of .* got 'gemma'"),
        ({"qwen2.expert_count": 8}, "qwen2.expert_count = 8: not supported"),
        ({"qwen2.rope.scaling.type": "yarn"}, "qwen2.rope.scaling.type = 'yarn': not supported"),
        ({"qwen2.attention.head_count": [2, 2]}, r"qwen2.attention.head_count = \[2, 2\]: not sup"),
        ({"qwen2.block_count": None}, "qwen2.block_count must be there: it is missing"),
        ({"qwen2.rope.dimension_count": 2}, r"dimension of a head \(4\), got 2: not supported"),
        ({"qwen2.attention.value_length": 2}, r"dimension of a head \(4\), got 2: not supported"),
        ({"tokenizer.ggml.model": "llama"}, "model must be 'gpt2', .* got 'llama': not supp"),
        ({"tokenizer.ggml.model": None}, "tokenizer.ggml.model must be 'gpt2', .* got None"),
        ({"tokenizer.ggml.pre": "tekken"}, "tokenizer.ggml.pre must be one of .* got 'tekken'"),
        ({"tokenizer.ggml.pre": None}, "tokenizer.ggml.pre must be one of .* got None"),
        ({"tokenizer.ggml.token_type": None}, "a.gguf: tokenizer.ggml.token_type must be a list"),
        ({"tokenizer.ggml.merges": None}, "a.gguf: tokenizer.ggml.merges must be a list, got None"),
        ({"tokenizer.ggml.tokens": "abc"}, "a.gguf: tokenizer.ggml.tokens must be a list, got 'a"),
        ({"tokenizer.ggml.token_type": [1, 1]}, "a.gguf: zip"),
        ({"tokenizer.ggml.merges": ["ab"]}, "a.gguf: not enough values to unpack"),
        ({"tokenizer.ggml.eos_token_id": "end"}, "a.gguf: ids of tokens must be whole numbers"),
        ({"tokenizer.ggml.eos_token_id": 99}, "a.gguf is malformed: IndexError"),
        ({"tokenizer.chat_template": 5}, "a.gguf: chat_template must be text, got 5"),
        ({"general.alignment": 0}, "a.gguf is malformed: ZeroDivisionError"),
        ({"qwen2.attention.head_count": 0}, "a.gguf is malformed: ZeroDivisionError"),
        ({"qwen2.embedding_length": 8.5}, "qwen2.embedding_length = 8.5: not supported"),
        ({"qwen2.embedding_length": 16}, r"'token_embd.weight' must have shape \(5, 16\), got"),
        ({"qwen2.block_count": 2}, r"must hold the tensor 'blk.1.attn_norm.weight' of shape"),
    ],
)
def test_a_gguf_file_beyond_our_model_is_refused(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        from_pretrained(gguf_file(tmp_path / "a.gguf", changes))


def test_a_rule_for_rotary_positions_that_is_not_llama_3s(tmp_path):
    metadata = METADATA | {"general.architecture": "qwen2"}
    tensors = {
        "token_embd.weight": (0, (5, 8), bytes(160)),
        "rope_freqs.weight": (0, (2,), struct.pack("<ff", 3.0, 8.0)),
    }
    with pytest.raises(ValueError, match=r"rope_freqs.weight must follow Llama 3's rule, got"):
        read_gguf(gguf_file(tmp_path / "a.gguf", metadata, tensors)).config()
    with pytest.raises(ValueError, match=r"must hold the tensor 'token_embd.weight'"):
        read_gguf(gguf_file(tmp_path / "a.gguf", {}, {})).config()


def test_types_of_gguf(tmp_path):
    block = struct.pack("<ee", 0.5, -1.0) + bytes(range(16))
    tensors = {
        "q4_1": (3, (1, 32), block),
        "q8_0": (8, (1, 32), struct.pack("<e", 0.25) + struct.pack("32b", *range(-16, 16))),
        "f16": (1, (2,), struct.pack("<ee", 1.5, -2.0)),
        "q4_0": (2, (1, 32), struct.pack("<e", 2.0) + bytes([0x80]) * 16),
    }
    found = read_gguf(gguf_file(tmp_path / "a.gguf", {}, tensors)).tensors
    q4_1 = found["q4_1"].unpack()[0]
    assert q4_1[:16].tolist() == [0.5 * i - 1.0 for i in range(16)]  # the low halves first
    assert q4_1[16:].tolist() == [-1.0] * 16
    assert found["q8_0"].unpack().tolist() == [[0.25 * i for i in range(-16, 16)]]
    assert found["f16"].unpack().tolist() == [1.5, -2.0]
    assert found["q4_0"].unpack().tolist() == [[-16.0] * 16 + [0.0] * 16]  # by ggml's library
    with pytest.raises(ValueError, match=r"'x' is packed in the unknown type 999"):
        read_gguf(gguf_file(tmp_path / "a.gguf", {}, {"x": (999, (32,), bytes(32))}))
    with pytest.raises(ValueError, match=r"'x' must have rows of a multiple of 32 weights, got"):
        read_gguf(gguf_file(tmp_path / "a.gguf", {}, {"x": (8, (2, 16), bytes(34))}))


def test_a_gguf_file_that_is_none_or_too_short(tmp_path):
    path = gguf_file(tmp_path / "a.gguf", {})
    whole = path.read_bytes()
    listed = whole.index(b"token_embd.weight")
    for end in [*range(0, listed, 97), listed + 20]:
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=rf"a.gguf: it is truncated, and ends at byte {end}"):
            read_gguf(path)
    path.write_bytes(whole[:-64])
    message = rf"truncated: the tensor 'blk.0.ffn_down.weight' ends at .* at {len(whole) - 64}"
    with pytest.raises(ValueError, match=message):
        read_gguf(path)
    path.write_bytes(b"ggjt" + whole[4:])
    with pytest.raises(ValueError, match=r"must be a GGUF file, got one that begins with b'ggjt'"):
        read_gguf(path)
    path.write_bytes(whole[:4] + struct.pack("<I", 1) + whole[8:])
    with pytest.raises(ValueError, match=r"must be GGUF version 2 or 3, got 1"):
        read_gguf(path)
    path.write_bytes(
        whole.replace(
            gguf_string("qwen2.block_count") + b"\4", gguf_string("qwen2.block_count") + b"\x63"
        )
    )
    with pytest.raises(ValueError, match=r"must hold known types, got a value of type 99"):
        read_gguf(path)
