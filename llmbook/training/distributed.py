"""Several processes that train one model: how they find each other, share the work and agree.

``torchrun`` starts the processes and tells each its number, its rank. With
``DistributedDataParallel`` (Li et al., "PyTorch Distributed", 2020) each holds the whole model and
the gradients are averaged. With FSDP2 (Zhao et al., "PyTorch FSDP", 2023) each holds a slice of
every parameter, of its gradient and of what the optimizer keeps for it, and the slices of a block
are gathered just before it is needed: more traffic, for models that do not fit otherwise. The
functions are called as in torch; in a single process they do nothing, or the same for a group of
one.
"""

import atexit
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def init_process_group(model: nn.Module) -> None:
    """Join the processes that ``torchrun`` started, if it did and nobody has joined yet.

    A model on a GPU is moved to the one that belongs to this process. The group stays until the
    script ends: made anew, it would find the traces of the old one.

    Args:
        model: The model.
    """
    if dist.is_initialized() or not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        return
    if device_of(model).type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        model.to("cuda")
        dist.init_process_group("nccl")
    else:
        dist.init_process_group("gloo")
    atexit.register(_destroy_process_group)


def _destroy_process_group() -> None:
    """Leave the group: threads of it that still run would make the interpreter abort."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def device_of(model: nn.Module) -> torch.device:
    """Where the parameters of a model are."""
    return next(model.parameters()).device


def wrap(model: nn.Module, *, shard: bool) -> nn.Module:
    """Make the model one that all processes train together, with the weights of the first.

    Args:
        model: The model.
        shard: Split the parameters among the processes, block by block (FSDP2), in place of
            copying them (DDP). A block is what an ``nn.ModuleList`` holds. The model itself is
            changed.

    Returns:
        What to call in place of the model.
    """
    if not dist.is_initialized():
        return model
    device = device_of(model)
    if not shard:
        return DistributedDataParallel(model, [device] if device.type == "cuda" else None)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard  # takes half a second to import

    for tensor in model.state_dict().values():
        dist.broadcast(tensor, 0)
    mesh = init_device_mesh(device.type, (world_size(),))
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    for block in [block for blocks in reversed(lists) for block in blocks]:  # the inner ones first
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def no_sync(model: nn.Module) -> AbstractContextManager[None]:
    """Let copies of a model keep their gradients: only the last batch of a step averages them."""
    if isinstance(model, DistributedDataParallel):
        return cast(AbstractContextManager[None], model.no_sync())
    return nullcontext()


def all_reduce(
    loss: float, tokens: int, stop: bool, device: torch.device
) -> tuple[float, int, bool]:
    """What all processes found in a step.

    Args:
        loss: The loss here.
        tokens: Number of tokens here.
        stop: Whether this process was told to stop.
        device: Where the processes exchange numbers.

    Returns:
        The mean of the losses, the sum of the tokens, and whether any process shall stop.
    """
    if not dist.is_initialized():
        return loss, tokens, stop
    values = torch.tensor([loss, tokens, stop], dtype=torch.float64, device=device)
    dist.all_reduce(values)
    loss, tokens, stops = values.tolist()
    return loss / world_size(), int(tokens), stops > 0


def full_tensor(tensor: Tensor) -> Tensor:
    """A tensor put together from the slices of all processes, or as it is if nobody split it."""
    return cast(Any, tensor).full_tensor() if hasattr(tensor, "full_tensor") else tensor
