r"""Fine-tuning: a model that has learned much from one kind of text learns a little from another.

All weights may change, or some of them, or none. With LoRA they stay, and beside the matrices
chosen a product of two narrow ones is trained: small enough to be kept for every task, and added
into the matrix when training is over. Source: Hu et al., "LoRA: Low-Rank Adaptation of Large
Language Models" (2022). Examples to train on are made by
``llmbook.finetuning.instructions``.

Notation: ``r`` rank; ``W`` is a matrix that is kept, ``A`` and ``B`` are the narrow ones beside
it, and ``alpha`` says how much of their product is added.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook._checks import check_at_least_one, check_positive, check_probability
from llmbook._files import reading, replacing

__all__ = [
    "LoRALinear",
    "add_lora",
    "load_lora",
    "lora_parameters",
    "merge_lora",
    "remove_lora",
    "save_lora",
    "train_only",
    "unmerge_lora",
]


class LoRALinear(nn.Module):
    r"""A linear map that is kept, and beside it a narrow one that is trained.

    $$y = W x + b + \frac{\alpha}{r} B A x$$

    ``B`` begins at zero, so at first nothing changes; ``A`` begins at random, or no gradient
    would ever reach either. See [LoRA][lora]. Source: Hu et al. (2022, section 4.1).

    Args:
        linear: The map; its weight and bias are frozen.
        rank: Width of the narrow map, ``r``.
        alpha: How much of it is added, in units of ``rank``.
        dropout: Probability of dropping a number that the narrow map reads, in training.

    Raises:
        ValueError: If ``rank`` is below 1 or above a side of the matrix, ``alpha`` is not
            positive, or ``dropout`` is outside [0, 1].
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, *, dropout: float = 0.0) -> None:
        super().__init__()
        check_at_least_one("rank", rank)
        check_positive("alpha", alpha)
        check_probability("dropout", dropout)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        if rank > min(self.in_features, self.out_features):
            raise ValueError(
                f"rank must not exceed the sides of the matrix, {self.out_features} and "
                f"{self.in_features}, got {rank}"
            )
        self.rank, self.alpha, self.scale = rank, alpha, alpha / rank
        self.linear = linear.requires_grad_(False)
        self.lora_A = nn.Parameter(linear.weight.new_empty(rank, self.in_features))
        self.lora_B = nn.Parameter(linear.weight.new_zeros(self.out_features, rank))
        # The paper draws A from a normal distribution, its code evenly from this range.
        nn.init.uniform_(self.lora_A, -(self.in_features**-0.5), self.in_features**-0.5)
        self.dropout = nn.Dropout(dropout)
        self.merged = False

    def extra_repr(self) -> str:
        return f"rank={self.rank}, alpha={self.alpha:g}, merged={self.merged}"

    def forward(self, x: Tensor) -> Tensor:
        """Apply both maps; once merged, there is only one.

        Args:
            x: Shape ``(..., in_features)``.

        Returns:
            Shape ``(..., out_features)``.
        """
        y = cast(Tensor, self.linear(x))
        if self.merged:
            return y
        narrow = F.linear(self.dropout(x), self.lora_A)  # (..., r)
        return y + self.scale * F.linear(narrow, self.lora_B)

    @torch.no_grad()
    def change(self) -> Tensor:
        r"""What the adapter adds to the weight, $\frac{\alpha}{r} B A$.

        Returns:
            Shape ``(out_features, in_features)``.
        """
        return self.scale * (self.lora_B @ self.lora_A)


def add_lora(
    model: nn.Module,
    *,
    rank: int,
    alpha: float,
    targets: Sequence[str] = ("query_proj", "value_proj"),
    dropout: float = 0.0,
) -> None:
    """Freeze a model and give some of its linear maps an adapter each, which is then trained.

    Args:
        model: Any model; its linear maps are replaced in place.
        rank: Rank of the adapters, ``r``.
        alpha: How much of them is added, in units of ``rank``.
        targets: Which maps: those whose name is one of these or ends in it, after a dot.
        dropout: Of what the adapters read, in training.

    Raises:
        ValueError: If a target names no linear map, or one whose weight another part shares, if
            the model has adapters already, or as [`LoRALinear`][llmbook.finetuning.LoRALinear].

    Examples:
        ```python
        import torch
        from llmbook.finetuning import add_lora, lora_parameters
        from llmbook.gpt import GPT, GPTConfig

        model = GPT(GPTConfig(vocab_size=256, d_model=64, num_layers=2, num_heads=4))
        tokens = torch.randint(256, (1, 10))
        before = model(tokens)
        add_lora(model, rank=4, alpha=8)
        trained = sum(parameter.numel() for parameter in lora_parameters(model).values())
        print(f"{trained:,} of {model.config.num_parameters():,} parameters")
        print("nothing changed yet:", torch.equal(model(tokens), before))
        ```

        ``` {.text .output}
        2,048 of 182,016 parameters
        nothing changed yet: True
        ```
    """
    maps = _find_targets(model, targets)
    adapters = {
        name: LoRALinear(linear, rank, alpha, dropout=dropout).train(linear.training)
        for name, linear in maps.items()
    }
    model.requires_grad_(False)
    for name, adapter in adapters.items():
        _replace(model, name, adapter)


def _find_targets(model: nn.Module, targets: Sequence[str]) -> dict[str, nn.Linear]:
    """The linear maps that are named; every target must name one, and each must stand alone."""
    if _adapters(model):
        raise ValueError(
            f"model must have no adapters yet, got one at {next(iter(_adapters(model)))}"
        )
    if isinstance(targets, str) or not targets:
        raise ValueError(f"targets must be names of linear maps, got {targets!r}")
    maps: dict[str, nn.Linear] = {}
    for target in targets:
        named = {
            name: module
            for name, module in model.named_modules()
            if name == target or name.endswith(f".{target}")
        }
        if not named:
            modules = model.named_modules()
            there = [name for name, module in modules if isinstance(module, nn.Linear)]
            ends = dict.fromkeys(name.rpartition(".")[2] for name in there)
            raise ValueError(
                f"targets must name linear maps of the model, such as {', '.join(ends)}; "
                f"got {target!r}"
            )
        for name, module in named.items():
            if not isinstance(module, nn.Linear):
                kind = type(module).__name__
                raise ValueError(
                    f"targets must name linear maps, got {target!r}: {name} is a {kind}"
                )
            maps[name] = module
    holders = [id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False)]
    for name, linear in maps.items():
        # Merging into a shared weight would change the other part too.
        if holders.count(id(linear.weight)) > 1:
            raise ValueError(
                f"targets must not share their weight with another part, as {name} does"
            )
    return maps


def _adapters(model: nn.Module) -> dict[str, LoRALinear]:
    modules = model.named_modules()
    return {name: module for name, module in modules if isinstance(module, LoRALinear)}


def _require_adapters(model: nn.Module, *, merged: bool | None) -> dict[str, LoRALinear]:
    adapters = _adapters(model)
    if not adapters:
        raise ValueError("model must have adapters, got none: call add_lora")
    if merged is not None:
        for name, adapter in adapters.items():
            if adapter.merged != merged:
                expected, got = ("be", "is not") if merged else ("not be", "is")
                raise ValueError(f"adapters must {expected} merged, but that of {name} {got}")
    return adapters


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def lora_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The matrices ``A`` and ``B`` of all adapters.

    Args:
        model: A model with adapters.

    Returns:
        Each by its name in the model, ending in ``lora_A`` or ``lora_B``.

    Raises:
        ValueError: If the model has none.
    """
    matrices: dict[str, nn.Parameter] = {}
    for name, adapter in _require_adapters(model, merged=None).items():
        matrices[f"{name}.lora_A"] = adapter.lora_A
        matrices[f"{name}.lora_B"] = adapter.lora_B
    return matrices


@torch.no_grad()
def merge_lora(model: nn.Module) -> None:
    """Add every adapter into its matrix: the same outputs, at the price of the plain model.

    Args:
        model: A model with adapters that are not merged. Merged, they are no longer trained.

    Raises:
        ValueError: If there is none, or one is merged already.
    """
    for adapter in _require_adapters(model, merged=False).values():
        adapter.linear.weight += adapter.change()
        adapter.merged = True


@torch.no_grad()
def unmerge_lora(model: nn.Module) -> None:
    """Take every adapter out of its matrix again, which is then what it was but for rounding.

    Args:
        model: A model with merged adapters.

    Raises:
        ValueError: If there is none, or one is not merged.
    """
    for adapter in _require_adapters(model, merged=True).values():
        adapter.linear.weight -= adapter.change()
        adapter.merged = False


def remove_lora(model: nn.Module) -> None:
    """Put the plain linear maps back: what was merged stays in them, what was not is gone.

    Args:
        model: A model with adapters. What is frozen stays frozen.

    Raises:
        ValueError: If there is none.
    """
    for name, adapter in _require_adapters(model, merged=None).items():
        _replace(model, name, adapter.linear)


def save_lora(model: nn.Module, path: str | os.PathLike[str]) -> Path:
    """Write the adapters, and nothing else, to a safetensors file, whole or not at all.

    Args:
        model: A model with adapters, merged or not.
        path: Where to.

    Returns:
        The path written.

    Raises:
        ValueError: If the model has no adapters, or adapters of unequal rank or alpha.
    """
    adapters, path = _require_adapters(model, merged=None), Path(path)
    kinds = {(adapter.rank, adapter.alpha) for adapter in adapters.values()}
    if len(kinds) > 1:
        raise ValueError(f"adapters must agree in rank and alpha, got {sorted(kinds)}")
    [(rank, alpha)] = kinds
    about = {"rank": rank, "alpha": alpha, "targets": [*adapters]}
    tensors = {name: p.detach().contiguous() for name, p in lora_parameters(model).items()}
    with replacing(path) as part:
        try:
            save_file(tensors, part, {"lora": json.dumps(about)})
        except SafetensorError as error:  # so it tells of a full disk
            raise OSError(f"{path} could not be written: {error}") from None
    return path


def load_lora(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Give a model the adapters of a file. Nothing is changed unless all of them fit.

    Args:
        model: The model that they were trained on, without adapters.
        path: A file that [`save_lora`][llmbook.finetuning.save_lora] has written.

    Raises:
        ValueError: If the file is damaged or no file of adapters, a matrix is missing, too many
            or of another shape than the model needs, or the model has adapters already.
    """
    try:
        with safe_open(path, framework="pt") as file:
            kept = (file.metadata() or {}).get("lora")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or truncated: {error}") from None
    if kept is None:
        raise ValueError(f"{path} must hold adapters written by save_lora, got other tensors")
    with reading(path):
        about = json.loads(kept)
        rank, alpha, targets = int(about["rank"]), float(about["alpha"]), list(about["targets"])
    maps = _find_targets(model, targets)
    expected = {}
    for name, linear in maps.items():
        expected[f"{name}.lora_A"] = (rank, linear.in_features)
        expected[f"{name}.lora_B"] = (linear.out_features, rank)
    for name in expected.keys() | tensors.keys():
        shape = tuple(tensors[name].shape) if name in tensors else None
        if shape != expected.get(name):
            raise ValueError(f"{path}: {name} must have shape {expected.get(name)}, got {shape}")
    add_lora(model, rank=rank, alpha=alpha, targets=targets)
    with torch.no_grad():
        for name, parameter in lora_parameters(model).items():
            parameter.copy_(tensors[name])


def train_only(model: nn.Module, *parts: str) -> None:
    """Freeze a model but for the parts named.

    A weight that two parts share is trained if one of them is: with a tied head, "head only"
    trains the embedding too.

    Args:
        model: The model.
        parts: Names of modules, such as ``"output_head"`` or ``"blocks.3"``; none: freeze all.

    Raises:
        ValueError: If the model has no such part, or nothing in it can be trained.
    """
    chosen = []
    for part in parts:
        try:
            chosen.append(model.get_submodule(part))
        except AttributeError:
            there = ", ".join(name for name, _ in model.named_children())
            raise ValueError(
                f"parts must name modules of the model, such as {there}; got {part!r}"
            ) from None
        if not any(True for _ in chosen[-1].parameters()):
            raise ValueError(f"parts must have parameters, got {part!r}")
    model.requires_grad_(False)
    for module in chosen:
        module.requires_grad_(True)
