"""The shaken machine: torch as another processor would round it.

Another processor adds up in another order, so that each sum and product comes out a rounding or so
beside ours, and what a training amplifies differs visibly. No test on one machine sees that. So
here every result that depends on an order of summation, or on how a function is approximated, is
moved by about one rounding: multiplied by 1 + 1e-7 h, where h between -1 and 1 is a hash of the
result itself. The same input is therefore rounded in the same way wherever it occurs, as on a real
processor, and another seed gives another machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# What adds many numbers up, and what approximates a function. A single addition or multiplication
# is rounded in one way everywhere.
MOVED = {
    "mm", "bmm", "addmm", "baddbmm", "addbmm", "mv", "addmv", "dot", "vdot", "linear",
    "convolution", "convolution_backward", "mkldnn_rnn_layer", "_int_mm", "_weight_int8pack_mm",
    "sum", "mean", "var", "std", "var_mean", "std_mean", "cumsum", "prod", "cumprod",
    "linalg_vector_norm", "norm", "logsumexp", "_logcumsumexp", "index_add", "scatter_add",
    "_softmax", "_softmax_backward_data", "_log_softmax", "_log_softmax_backward_data",
    "native_layer_norm", "native_layer_norm_backward", "_fused_rms_norm",
    "_fused_rms_norm_backward", "native_group_norm", "native_batch_norm",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention_for_cpu_backward",
    "embedding_dense_backward", "nll_loss_forward", "mse_loss", "_cdist_forward",
    "exp", "expm1", "log", "log1p", "log2", "tanh", "sigmoid", "erf", "sin", "cos", "pow",
    "rsqrt", "gelu", "gelu_backward", "silu", "silu_backward", "softplus",
}  # fmt: skip
_SIZES = {torch.float64: (torch.int64, 29, 2.0e-16), torch.float32: (torch.int32, 10, 1.0e-7)}
_ODD = 0x9E3779B1  # golden ratio, as Knuth multiplies


class Shaken(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is active, results are moved as its seed has it."""

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seed = seed

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation of torch, and move what it returns."""
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in MOVED and func._overloadname != "out":
            for tensor in result if isinstance(result, tuple | list) else (result,):
                if isinstance(tensor, Tensor):
                    move(tensor, self.seed)
        return result


def move(tensor: Tensor, seed: int) -> None:
    """Move the numbers of a tensor by about one rounding each, in place.

    Left as they are: whole numbers and other short ones, whose sums are exact in any order, and
    what is not finite or would no longer be.
    """
    if tensor.dtype not in _SIZES or tensor.layout != torch.strided or not tensor.numel():
        return
    integer, short, rounding = _SIZES[tensor.dtype]
    bits = tensor.contiguous().view(integer)
    # Mixed twice, so that every bit counts; of the product, the upper half is the well-mixed one.
    mixed = (bits ^ (bits >> 15)) * ((_ODD ^ (seed * 2654435)) & 0x7FFFFFFF | 1)
    mixed = (mixed ^ (mixed >> 13)) & 0xFFFF
    hashed = mixed.to(tensor.dtype) / 32768 - 1
    moved = tensor * (1 + rounding * hashed)
    keep = (bits & ((1 << short) - 1) == 0) | ~moved.isfinite()
    tensor.copy_(torch.where(keep, tensor, moved))
