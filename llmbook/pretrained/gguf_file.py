"""The bytes of a GGUF file: numbers and names, one after another, and the blocks of its tensors.

Notation: ``d`` scale and ``m`` minimum of a block, ``q`` integer of a weight.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

__all__ = ["PackedTensor"]

_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
_PLAIN = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16}
_ROWS_AT_ONCE = 8192  # blocks unpacked together: what fits into the processor's cache


@dataclass(frozen=True)
class PackedTensor:
    """One tensor of the file, as it lies there.

    Attributes:
        name: As in the file, such as ``"blk.0.attn_q.weight"``.
        shape: As in torch, the last dimension the one whose numbers lie side by side.
        kind: The number of its type; 3 is Q4_1, 8 is Q8_0.
        data: Its bytes, shape ``(bytes,)``: a piece of the file, not yet read into memory.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    data: Tensor

    def unpack(self) -> Tensor:
        """The weights, as float32. See [what Q4_1 keeps][quantization].

        Returns:
            Shape ``shape``.
        """
        if self.kind in _PLAIN:
            return self.data.view(_PLAIN[self.kind]).view(self.shape).float()
        if self.kind not in _BLOCKS:
            library = _library(self.name, self.kind)
            data = self.data.view(*self.shape[:-1], -1).numpy()
            kind = library.GGMLQuantizationType(self.kind)
            return torch.from_numpy(library.quants.dequantize(data, kind)).view(self.shape)
        size, weights_of = _BLOCKS[self.kind]
        weights = torch.empty(prod(self.shape) // 32, 32)
        pieces = torch.split(self.data.view(-1, size), _ROWS_AT_ONCE)
        for rows, blocks in zip(torch.split(weights, _ROWS_AT_ONCE), pieces, strict=True):
            weights_of(blocks, rows)
        return weights.view(self.shape)


def _q4_1(blocks: Tensor, weights: Tensor) -> None:
    """``d * q + m``: half-precision d and m, then 16 bytes, each with two q of 4 bits."""
    d, m = blocks[:, :4].contiguous().view(torch.float16).float()[..., None].unbind(1)
    packed = blocks[:, 4:]
    q = torch.cat((packed & 0xF, packed >> 4), dim=1)  # weights 0 to 15, then 16 to 31
    torch.mul(q, d, out=weights)
    weights += m


def _q8_0(blocks: Tensor, weights: Tensor) -> None:
    """``d * q``: half-precision d, then 32 signed bytes."""
    d = blocks[:, :2].contiguous().view(torch.float16).float()
    torch.mul(blocks[:, 2:].contiguous().view(torch.int8), d, out=weights)


_BLOCKS: dict[int, tuple[int, Callable[[Tensor, Tensor], None]]] = {3: (20, _q4_1), 8: (34, _q8_0)}


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, PackedTensor]]:
    """The metadata of a file, and its tensors by name.

    Raises:
        ValueError: If it is not GGUF, of another version, or shorter than it says.
    """
    with path.open("rb") as file:
        reader = _Reader(file, path)
        if (magic := reader.take(4)) != _MAGIC:
            raise ValueError(f"it must be a GGUF file, got one that begins with {magic!r}")
        if (version := reader.number("I")) not in _VERSIONS:
            raise ValueError(f"it must be GGUF version 2 or 3, got {version}")
        num_tensors, num_values = reader.number("Q"), reader.number("Q")
        metadata = {reader.string(): reader.value(reader.number("I")) for _ in range(num_values)}
        listed = [reader.tensor() for _ in range(num_tensors)]
    alignment = metadata.get("general.alignment", 32)
    start = -(-reader.position // alignment) * alignment  # where the first tensor may lie
    content = torch.from_file(str(path), shared=False, size=reader.size, dtype=torch.uint8)
    tensors = {}
    for name, shape, kind, offset in listed:
        first = start + offset
        last = first + _num_bytes(name, shape, kind)
        if last > reader.size:
            raise ValueError(
                f"it is truncated: the tensor {name!r} ends at byte {last}, "
                f"the file at {reader.size}"
            )
        tensors[name] = PackedTensor(name, shape, kind, content[first:last])
    return metadata, tensors


class _Reader:
    """Reads numbers, strings and arrays one after another, never beyond the end."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file, self.size, self.position = file, path.stat().st_size, 0

    def take(self, count: int) -> bytes:
        if self.position + count > self.size:
            raise ValueError(f"it is truncated, and ends at byte {self.size}")
        self.position += count
        return self.file.read(count)

    def number(self, kind: str) -> Any:
        return self.numbers(kind, 1)[0]

    def numbers(self, kind: str, count: int) -> tuple[Any, ...]:
        form = struct.Struct(f"<{kind}")
        data = self.take(count * form.size)
        return struct.unpack(f"<{count}{kind}", data)

    def string(self) -> str:
        return self.take(self.number("Q")).decode()

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            inner, count = self.number("I"), self.number("Q")
            if inner in (_STRING, _ARRAY):
                return [self.value(inner) for _ in range(count)]
            return [*self.numbers(self._letter(inner), count)]
        return self.number(self._letter(kind))

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape, kind and offset; the file gives the sizes last dimension first."""
        name, dimensions = self.string(), self.number("I")
        shape = [self.number("Q") for _ in range(dimensions)]
        return name, tuple(reversed(shape)), self.number("I"), self.number("Q")

    def _letter(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise ValueError(f"it must hold known types, got a value of type {kind}")
        return _SCALARS[kind]


def _num_bytes(name: str, shape: tuple[int, ...], kind: int) -> int:
    count = prod(shape)
    if kind in _PLAIN:
        return count * _PLAIN[kind].itemsize
    weights, size = 32, 0
    if kind in _BLOCKS:
        size = _BLOCKS[kind][0]
    else:
        library = _library(name, kind)
        weights, size = library.GGML_QUANT_SIZES[library.GGMLQuantizationType(kind)]
    if shape[-1] % weights:
        raise ValueError(f"{name!r} must have rows of a multiple of {weights} weights, got {shape}")
    return count // weights * size


def _library(name: str, kind: int) -> Any:
    """The package of ggml-org, which unpacks all the types that are not written out here."""
    try:
        import gguf
    except ImportError:
        raise ValueError(
            f"{name!r} is packed in the type {kind}, which needs one more package: "
            'pip install "llmbook[llm]"'
        ) from None
    try:
        gguf.GGMLQuantizationType(kind)
    except ValueError:
        raise ValueError(f"{name!r} is packed in the unknown type {kind}") from None
    return gguf
