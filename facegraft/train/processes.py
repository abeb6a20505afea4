"""Several processes that train one network together: torchrun starts them, gloo or NCCL joins them.

    torchrun --nproc-per-node 2 -m -- facegraft train configs/simswap.toml --run runs/simswap

Each gets its share of every batch; gradients are averaged, so that all keep the same weights. Only the first writes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from facegraft.core.errors import BadInputError


@dataclass(frozen=True)
class Processes:
    """Who trains along.

    Attributes:
        rank: Of this process.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes the files."""
        return self.rank == 0

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Makes tensors their mean over all processes, in place; those of one type travel as one."""
        if self.world == 1:
            return
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            kinds.setdefault(tensor.dtype, []).append(tensor)
        for same in kinds.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in same])
            dist.all_reduce(flat)
            flat /= self.world
            for tensor, mean in zip(same, flat.split([tensor.numel() for tensor in same]), strict=True):
                tensor.copy_(mean.view_as(tensor))

    def agree(self, answer: bool) -> bool:
        """True for all where it is for one."""
        if self.world == 1:
            return answer
        found = torch.tensor([float(answer)], device=_device())
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found.item())

    def wait(self) -> None:
        """Until all have come here."""
        if self.world > 1:
            dist.barrier()


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """The processes that torchrun started, or this one alone.

    Raises:
        BadInputError: The environment of torchrun is broken.
    """
    try:
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    except ValueError as error:
        raise BadInputError(f"RANK and WORLD_SIZE: expected numbers, as torchrun sets them ({error})") from error
    if world == 1:
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=rank, world_size=world)
    try:
        yield Processes(rank, world)
    finally:
        dist.destroy_process_group()


def _device() -> str:
    return "cuda" if dist.get_backend() == "nccl" else "cpu"
