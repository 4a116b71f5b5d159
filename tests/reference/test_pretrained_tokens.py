"""The real model, its ids and its prompts, and those of folders, against transformers."""

import copy

import pytest
import torch
import transformers
from tokenizers import AddedToken, Regex, pre_tokenizers, processors
from tokenizers import Tokenizer as TheirTokenizer
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX as QWEN2

from llmbook.pretrained import Pretrained, download, from_pretrained
from llmbook.pretrained.gguf import read_gguf
from llmbook.tokenizer import GPT2_PATTERN, Tokenizer
from tests.support.transformers_models import (
    random_model,
    write_gguf,
)

TEXTS = [
    "",
    "Hello, world! It's 2024-05-17, isn't it?",
    "  several   blanks\n\n\tand\ttabs \r\n",
    "def f(x):\n    return x**2  # 12345.678",
    "注意力机制 Transformer 的 1234 个词元，naïve café ½ Ⅷ ²",
    "🙂👩‍👩‍👧 é e\u0301 \u200b\u00a0",
    "DON'T you'll We'Ve",
    "<|im_start|>user\nhi<|im_end|>",
]


@pytest.fixture(scope="module")
def smollm() -> Pretrained:
    return from_pretrained("smollm2-135m")


@pytest.fixture(scope="module")
def smollm_reference() -> tuple[object, object]:
    """The file as transformers reads it, by a way of its own."""
    path = download("smollm2-135m")
    where = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(**where)


def test_the_real_model_reads_like_transformers(smollm, smollm_reference):
    theirs, _ = smollm_reference
    text = "Attention is all you need, said the paper. " * 3
    tokens = torch.tensor([smollm.tokenizer.encode(text)])
    with torch.no_grad():
        expected, found = theirs(tokens).logits, smollm.model(tokens)
    # Deep models round differently by more than shallow ones: a share of what the logits span.
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert torch.equal(found.argmax(-1), expected.argmax(-1))


def test_the_real_weights_in_transformers_model(smollm):
    c = smollm.model.config
    config = transformers.LlamaConfig(
        vocab_size=c.vocab_size,
        hidden_size=c.d_model,
        intermediate_size=c.d_ff,
        num_hidden_layers=c.num_layers,
        num_attention_heads=c.num_heads,
        num_key_value_heads=c.num_kv_heads,
        max_position_embeddings=c.max_length,
        rms_norm_eps=c.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_base},
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        theirs = transformers.LlamaForCausalLM(config)
    names = {
        "token_embedding": "model.embed_tokens",
        "blocks": "model.layers",
        "final_norm": "model.norm",
        "output_head": "lm_head",
        "attention_norm": "input_layernorm",
        "feed_forward_norm": "post_attention_layernorm",
        "attention": "self_attn",
        "feed_forward": "mlp",
        "query_proj": "q_proj",
        "key_proj": "k_proj",
        "value_proj": "v_proj",
        "output_proj": "o_proj",
    }
    state = {
        ".".join(names.get(part, part) for part in name.split(".")): weight
        for name, weight in smollm.model.state_dict().items()
    }
    theirs.load_state_dict(state, assign=True)
    theirs.model.rotary_emb = type(theirs.model.rotary_emb)(config)  # was made on meta
    tokens = torch.randint(c.vocab_size, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = theirs.eval()(tokens).logits, smollm.model(tokens)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("cut", ["as read", "as made"])
@pytest.mark.parametrize("text", TEXTS)
def test_the_real_tokenizer_gives_the_same_ids(text, cut, smollm, smollm_reference):
    """Transformers cuts all but digits outside ASCII; the model's own tokenizer cuts these too."""
    theirs = copy.deepcopy(smollm_reference[1].backend_tokenizer)
    if cut == "as made":
        theirs.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
    elif "½" in text:
        text = text.translate(dict.fromkeys(map(ord, "½Ⅷ²")))
    expected = theirs.encode(text, add_special_tokens=False).ids
    assert smollm.tokenizer.encode(text, allowed_special="all") == expected
    assert smollm.tokenizer.decode(expected) == text


@pytest.mark.parametrize("pre", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
@pytest.mark.parametrize("text", TEXTS)
def test_words_are_cut_as_the_names_of_gguf_say(pre, text, tmp_path):
    """Against the pre-tokenizers that the models' own files give to tokenizers."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre in ("gpt-2", "smollm"))
    first = {
        "gpt-2": [],
        "smollm": [pre_tokenizers.Digits(individual_digits=True)],
        "qwen2": [pre_tokenizers.Split(Regex(QWEN2), "isolated")],
        "llama-bpe": [
            pre_tokenizers.Split(Regex(QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")), "isolated")
        ],
    }[pre]
    theirs = pre_tokenizers.Sequence([*first, level])
    write_gguf(random_model("qwen2"), path := tmp_path / "model.gguf", pre=pre)
    ours = read_gguf(path).tokenizer()
    assert (ours.nfc, ours.ignore_merges) == (pre == "qwen2", pre == "llama-bpe")
    words = [word for word, _ in theirs.pre_tokenize_str(text)]
    to_letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    cut = [to_letters.pre_tokenize_str(word)[0][0] for word in ours._cut(text)]
    assert cut == words


CONVERSATIONS = [
    [{"role": "user", "content": "What is 2 + 2?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "你好 <|im_end|>"}],
    [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": " two "},
        {"role": "user", "content": "three\n"},
    ],
]
TEMPLATES = {
    "llama": (
        "{{- bos_token }}\n{%- for message in messages %}\n"
        "    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}\n"
        "    {{- message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n    {{- '<|start_header_id|>assistant' }}\n{%- endif %}\n"
    ),
    "odd": (
        "{% set seen = namespace(count=0) %}\n{% for message in messages %}\n"
        "  {% if message.role == 'system' %}{% continue %}{% endif %}\n"
        "  {% set seen.count = seen.count + 1 %}\n"
        "{{ loop.index0 }}: {{ message | tojson }}{{ tools is none }}{{ missing is defined }}\n"
        "{% endfor %}\n{{ seen.count }}{{ eos_token }}\n"
        "{%- if think is defined %}{{ think }}{% endif %}"
    ),
}


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_the_prompt_of_the_real_template(messages, smollm, smollm_reference):
    _, theirs = smollm_reference
    expected = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert smollm.chat_prompt(messages) == expected


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_prompts_of_folders(name, messages, tmp_path):
    """The folder holds tokens to begin with, a template and names for tokens."""
    inner = TheirTokenizer.from_str((Tokenizer([]).save(tmp_path / "t.json")).read_text())
    inner.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    begin = inner.token_to_id("<s>")
    inner.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)]),
        ]
    )
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", chat_template=TEMPLATES[name]
    )
    random_model("llama").save_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path)
    ours = from_pretrained(tmp_path)
    options = {"think": "hm"} if len(messages) == 1 else {}
    expected = theirs.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, **options
    )
    assert ours.chat_prompt(messages, **options) == expected
    text = "a text"
    assert [*ours.begin_ids, *ours.tokenizer.encode(text)] == theirs.encode(text)
    assert ours.begin_ids == (begin,)


def test_the_pattern_for_smollm_is_the_one_in_its_tokenizer(smollm):
    assert smollm.tokenizer.patterns == (r"\p{N}", GPT2_PATTERN)
    assert smollm.tokenizer.encode("1234") == [
        token for digit in "1234" for token in smollm.tokenizer.encode(digit)
    ]
