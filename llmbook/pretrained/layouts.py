"""Weights: the tensors of other people's models under our own names.

The families of models that can be had compute the same, but each has its names: what is
``blocks.0.attention.query_proj.weight`` here is ``model.layers.0.self_attn.q_proj.weight`` in
Llama. A few keep a matrix the other way round. So loading is renaming, and turning where it must
be; everything else that a file asks for, and our [`GPT`][llmbook.gpt.GPT] does not do, is an
error, since a model loaded nearly right writes text that looks nearly right. The names are those
of the models in transformers (Wolf et al., 2020) and of the files of llama.cpp.

Notation as in ``llmbook.gpt``: ``d_model``, ``H`` query heads, ``D`` their
dimension, ``V`` vocabulary.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from llmbook._files import read_json, reading
from llmbook.gpt import GPT, GPTConfig

__all__ = ["Layout", "StoredTensor", "build", "is_transposed", "open_safetensors"]

_PARTS = [  # ours, GPT-2's, that of Llama, Mistral and Qwen, GGUF's
    ("token_embedding", "wte", "embed_tokens", "token_embd"),
    ("position_embedding", "wpe", "", "position_embd"),
    ("shift_proj", "", "", ""),
    ("attention_norm", "ln_1", "input_layernorm", "attn_norm"),
    ("attention.query_proj", "attn.c_attn", "self_attn.q_proj", "attn_q"),
    ("attention.key_proj", "attn.c_attn", "self_attn.k_proj", "attn_k"),
    ("attention.value_proj", "attn.c_attn", "self_attn.v_proj", "attn_v"),
    ("attention.output_proj", "attn.c_proj", "self_attn.o_proj", "attn_output"),
    ("attention.query_norm", "", "self_attn.q_norm", "attn_q_norm"),
    ("attention.key_norm", "", "self_attn.k_norm", "attn_k_norm"),
    ("feed_forward_norm", "ln_2", "post_attention_layernorm", "ffn_norm"),
    ("feed_forward.gate_proj", "", "mlp.gate_proj", "ffn_gate"),
    ("feed_forward.up_proj", "mlp.c_fc", "mlp.up_proj", "ffn_up"),
    ("feed_forward.down_proj", "mlp.c_proj", "mlp.down_proj", "ffn_down"),
    ("final_norm", "ln_f", "norm", "output_norm"),
    ("output_head", "lm_head", "lm_head", "output"),
]
_STYLES = {"llmbook": 0, "gpt2": 1, "llama": 2, "gguf": 3}
_NAMES = {style: {row[0]: row[i] for row in _PARTS} for style, i in _STYLES.items()}
_NAMES["gguf-gpt2"] = _NAMES["gguf"] | dict.fromkeys(
    ("attention.query_proj", "attention.key_proj", "attention.value_proj"), "attn_qkv"
)
_BLOCKS = {"llmbook": "blocks", "gpt2": "h", "llama": "layers", "gguf": "blk", "gguf-gpt2": "blk"}
_BODIES = {"gpt2": "transformer.", "llama": "model."}  # what stands before all but the head
# Masks and angles, which old files hold although they are no weights.
_NO_WEIGHTS = re.compile(r".*\.(attn\.(masked_)?bias|rotary_emb\.inv_freq)")
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}


@dataclass(frozen=True)
class Layout:
    """How a file names and keeps the weights of a model. See [the names][weight-names].

    Attributes:
        style: Whose names: ``"llmbook"``, ``"gpt2"``, ``"llama"``, ``"gguf"`` or
            ``"gguf-gpt2"``.
        prefix: What stands before all names but that of the head.
        transposed: Whether the matrices of the blocks are kept as (in, out), as GPT-2 does.
        neighbours: Whether rotary positions pair dimension 2i with 2i + 1, as the Llamas in
            GGUF files do, and not i with i + D/2.
        no_bias: The part of a block, ``"attention"`` or ``"feed_forward"``, that has no biases
            while the other has them.

    Examples:
        ```python
        from llmbook.pretrained.layouts import Layout

        print(Layout("llama", "model.").name("blocks.3.attention.query_proj.weight"))
        ```

        ``` {.text .output}
        model.layers.3.self_attn.q_proj.weight
        ```
    """

    style: str
    prefix: str = ""
    transposed: bool = False
    neighbours: bool = False
    no_bias: str | None = None

    def name(self, ours: str) -> str:
        """What the file calls the parameter that we call ``ours``.

        Those of several parameters may agree: GPT-2 keeps queries, keys and values in one matrix.

        Args:
            ours: The name of a parameter of [`GPT`][llmbook.gpt.GPT].

        Returns:
            The name in the file.
        """
        block, rest = "", ours
        if match := re.fullmatch(r"blocks\.(\d+)\.(.+)", ours):
            block, rest = f"{_BLOCKS[self.style]}.{match[1]}.", match[2]
        part, kind = rest.rsplit(".", 1)
        prefix = "" if part == "output_head" else self.prefix
        return f"{prefix}{block}{_NAMES[self.style][part]}.{kind}"


class StoredTensor(NamedTuple):
    """A tensor in a file: its shape, and how to read it."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


def build(
    config: GPTConfig,
    stored: Mapping[str, StoredTensor],
    layout: Layout,
    *,
    where: str,
    place: Callable[[Tensor], Tensor] = lambda weight: weight,
) -> GPT:
    """Make a model of the tensors of a file: all are used, none is missing, each has its shape.

    Args:
        config: The shape of the model.
        stored: The tensors by their names in the file.
        layout: How they are named and kept.
        where: The file, to name it in errors.
        place: Brings a weight to the type and the device that it shall have.

    Returns:
        The model, dropout off.

    Raises:
        ValueError: If a tensor is missing, too many, or of the wrong shape.
    """
    # Saved without its head, the body has no prefix. What the file holds tells which it is.
    body = _BODIES.get(layout.style, "")
    if any(name.startswith(body) for name in stored):
        layout = replace(layout, prefix=body)
    with torch.device("meta"):  # shapes only: no weight is made in vain
        model = GPT(config)
    # ``named_parameters`` leaves a tied head out. The order is that in which modules are
    # registered, so queries, keys and values come in the order in which GPT-2 keeps them in one
    # matrix.
    state: dict[str, Tensor] = {}
    kept_in: dict[str, dict[str, Tensor]] = {}  # name in the file -> our parameters in it
    for ours, parameter in model.named_parameters():
        if layout.no_bias and f".{layout.no_bias}." in ours and ours.endswith(".bias"):
            # With ``bias="all"`` ours has them in both parts. Zeros compute the same as none.
            state[ours] = place(torch.zeros(parameter.shape))
        else:
            kept_in.setdefault(layout.name(ours), {})[ours] = parameter
    # All names and shapes are checked first, since to read the weights may take minutes.
    for theirs, parameters in kept_in.items():
        _check_shape(stored, theirs, _shape(parameters, layout), where)
    _check_unused(config, stored, layout, {*kept_in}, where)
    for theirs, parameters in kept_in.items():
        weight = stored[theirs].read()
        if is_transposed(*next(iter(parameters.items())), layout):
            weight = weight.T  # (in, out) -> (out, in): only then do the parts lie among the rows
        sizes = [parameter.shape[0] for parameter in parameters.values()]
        # (Σ sizes, in) -> each (size, in); of a bias (Σ sizes,) -> each (size,).
        for ours, part in zip(parameters, torch.split(weight, sizes), strict=True):
            if layout.neighbours and ("query_proj" in ours or "key_proj" in ours):
                part = _from_neighbours(part, config.head_size)
            # A turned part still has the strides of the file.
            state[ours] = place(part.contiguous())
    # Assigned, as nothing can be copied into a parameter that has a shape only.
    # Not strict, since of a tied head one name is left out: the rest has been checked.
    model.load_state_dict(state, strict=False, assign=True)
    # The table was assigned to the embedding alone: the head still holds the one without content.
    if config.tie_weights:
        model.output_head.weight = model.token_embedding.weight
    return model.eval()


def is_transposed(name: str, parameter: Tensor, layout: Layout) -> bool:
    """Whether a file keeps our parameter ``name`` as its transpose."""
    return layout.transposed and parameter.dim() == 2 and name.startswith("blocks.")


def _shape(parameters: Mapping[str, Tensor], layout: Layout) -> tuple[int, ...]:
    """That of the tensor in the file, which holds the parameters one below the other."""
    shapes = [parameter.shape for parameter in parameters.values()]
    rows = sum(shape[0] for shape in shapes)
    shape = (rows, *shapes[0][1:])
    turned = is_transposed(*next(iter(parameters.items())), layout)
    return shape[::-1] if turned else shape


def _check_shape(
    stored: Mapping[str, StoredTensor], name: str, shape: tuple[int, ...], where: str
) -> None:
    """Require that a tensor is there and has this shape; nothing is read."""
    if name not in stored:
        raise ValueError(f"{where} must hold the tensor {name!r} of shape {shape}: it is missing")
    if (got := stored[name].shape) != shape:
        raise ValueError(f"{where}: the tensor {name!r} must have shape {shape}, got {got}")


def _check_unused(
    config: GPTConfig,
    stored: Mapping[str, StoredTensor],
    layout: Layout,
    used: set[str],
    where: str,
) -> None:
    """Refuse tensors that no parameter was made of: the model would not be that of the file."""
    head = layout.name("output_head.weight")
    if config.tie_weights and head in stored:  # some files hold the one table twice
        table = stored[layout.name("token_embedding.weight")]
        _check_shape(stored, head, table.shape, where)
        if not torch.equal(stored[head].read(), table.read()):
            raise ValueError(f"{where}: the tensor {head!r} must equal the embedding it is tied to")
        used = used | {head}
    for name in stored:
        if name not in used and not _NO_WEIGHTS.fullmatch(name):
            raise ValueError(f"{where} must hold nothing but the model, got the tensor {name!r}")


def _from_neighbours(weight: Tensor, head_dim: int) -> Tensor:
    """Rows in the order of our rotary pairs, i with i + D/2, from that of 2i with 2i + 1."""
    # Row 2i + j of a head, j = 0 or 1, moves to row j · D/2 + i. In queries and keys alike, so
    # their dot products stay as they were.
    pairs = weight.view(-1, head_dim // 2, 2, *weight.shape[1:])  # (H, D/2, 2, ...)
    return pairs.transpose(1, 2).reshape(weight.shape)  # (H, 2, D/2, ...) -> (H · D, ...)


@contextmanager
def open_safetensors(folder: str | os.PathLike[str]) -> Iterator[Mapping[str, StoredTensor]]:
    """The tensors of a folder, in one file or in several that an index lists.

    Args:
        folder: With ``model.safetensors``, or ``model.safetensors.index.json`` and its files.

    Yields:
        The tensors by name; nothing is read before it is asked for.

    Raises:
        ValueError: If a file is missing or damaged, or there are pickles only.
    """
    folder = Path(folder)
    index, names = folder / "model.safetensors.index.json", ["model.safetensors"]
    listed: dict[str, str] = {}  # tensor -> file
    if index.exists():
        with reading(index):
            # The index may come from anywhere: without its folders, a name stays in this one.
            listed = read_json(index)["weight_map"]
            names = sorted({Path(name).name for name in listed.values()})
    elif not (folder / names[0]).exists():
        # What is most often there instead is told, as "missing" would puzzle who sees the file.
        pickles = [path.name for path in folder.iterdir() if path.suffix in _PICKLES]
        why = "a pickle, which may run any program when it is read"
        got = f"got {pickles[0]!r}, {why}" if pickles else "it is missing"
        raise ValueError(f"{folder.name} must hold {names[0]}: {got}")
    stored: dict[str, StoredTensor] = {}
    # All files stay open until the caller is done: each tensor is read when it is asked for, so
    # that only one is held beside the model, however many files there are.
    with ExitStack() as stack:
        for name in names:
            try:
                file = stack.enter_context(safe_open(folder / name, framework="pt"))
            except FileNotFoundError:
                raise ValueError(f"{folder.name} must hold {name}: it is missing") from None
            except SafetensorError as error:
                raise ValueError(f"{name} is damaged or truncated: {error}") from None
            for key in file.keys():  # noqa: SIM118 (it is no mapping)
                # From the header. ``partial`` binds this file: a lambda would read the last one.
                shape = tuple(file.get_slice(key).get_shape())
                stored[key] = StoredTensor(shape, partial(file.get_tensor, key))
        # A shard from another save opens well: only the index knows what it should hold.
        for key in listed:
            if key not in stored:
                raise ValueError(f"{listed[key]} must hold the tensor {key!r}: it is missing")
        yield stored
