"""Processes that train one run together: started by ``torchrun``, joined by `torch.distributed`.

Every process holds the whole model and the whole data, and computes its slice of each mini-batch: gradients are averaged
over the processes, batch normalization takes its statistics from the slices of all, and random numbers are drawn for the
whole mini-batch and cut (`aae.noise.SharedNoise`). So all processes hold the same weights, those that one process would
find with the same mini-batches, up to rounding.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from aae.errors import InputError

SMALL = 2**16  # numbers, 256 KiB in fp32: what takes longer to set out than to travel


def join() -> None:
    """Join the other processes of ``torchrun``, if it started this one.

    GPUs talk to each other by NCCL, everything else by gloo. Each process takes the GPU of its place on the machine.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(dist.destroy_process_group)
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


@dataclass(frozen=True)
class Distributed:
    """The processes that train together, and which of them this is. By default there is one.

    Attributes
    ----------
    rank : int
        Of this process, from 0.
    world_size : int
        How many there are.
    """

    rank: int = 0
    world_size: int = 1

    @classmethod
    def joined(cls) -> Distributed:
        """Describe the processes that `join`, or the user's own ``init_process_group``, has put together."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def slice(self, batches: Tensor, key: str) -> Tensor:
        """Cut the columns of this process out of mini-batches (steps, batch).

        Raises
        ------
        InputError
            If the processes cannot share the mini-batch evenly; `key` says which size it is.
        """
        size = batches.shape[1]
        if size % self.world_size:
            raise InputError(f"{key} is {size}; {self.world_size} processes expect a multiple of {self.world_size}")
        return batches.chunk(self.world_size, dim=1)[self.rank]

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Average tensors over the processes; they may be overwritten.

        Small ones of a type travel together: each journey takes as long as that of some hundred thousand numbers.
        """
        if self.world_size == 1:
            return list(tensors)
        own = [tensor.contiguous() for tensor in tensors]
        small: dict[torch.dtype, list[Tensor]] = {}
        for tensor in own:
            if tensor.numel() < SMALL:
                small.setdefault(tensor.dtype, []).append(tensor)
        together = [nn.utils.parameters_to_vector(group) for group in small.values()]
        large = [tensor for tensor in own if tensor.numel() >= SMALL]
        waiting = [dist.all_reduce(tensor, async_op=True) for tensor in together + large]
        for work in waiting:
            work.wait()
        for group, sums in zip(small.values(), together, strict=True):
            nn.utils.vector_to_parameters(sums, group)
        torch._foreach_div_(own, self.world_size)
        return own

    def gather(self, rows: Tensor) -> Tensor:
        """Put the rows (n, ...) of all processes below each other, in the order of the mini-batch: (world_size * n, ...).

        Its gradient is that of a loss that every process computes of all rows, and that is averaged over the processes.
        """
        if self.world_size == 1:
            return rows
        before, after = self.rank * len(rows), (self.world_size - 1 - self.rank) * len(rows)
        padding = [0, 0] * (rows.dim() - 1) + [before, after]
        whole: Tensor = Sum.apply(F.pad(rows, padding))  # type: ignore[no-untyped-call]
        return whole

    def any(self, flag: bool) -> bool:
        """Check whether the flag is up in any process."""
        if self.world_size == 1:
            return flag
        flags = torch.tensor([int(flag)])
        dist.all_reduce(flags)
        return bool(flags.item())

    def wait(self) -> None:
        """Wait until every process is here."""
        self.any(False)


class Sum(torch.autograd.Function):
    """The sum of a tensor over the processes; the gradient, that of `torch.func` too, is summed over them as well."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """Sum."""
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Sum."""
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


class SynchronizedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalization with the statistics of the mini-batches of all processes, on any device.

    torch's own `SyncBatchNorm` needs a GPU. Buffers and parameters are those of the layer that it replaces.
    """

    distributed: Distributed

    @classmethod
    def of(cls, layer: nn.modules.batchnorm._BatchNorm, distributed: Distributed) -> SynchronizedBatchNorm:
        """Take over the parameters and buffers of a layer."""
        new = cls(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        new.distributed = distributed
        new._parameters, new._buffers = layer._parameters, layer._buffers
        return new.train(layer.training)

    def _check_input_dim(self, input: Tensor) -> None:
        """Take any number of dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize `input` (batch, features, ...)."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        dims = [0, *range(2, x.dim())]
        variances, means = torch.var_mean(x, dims, correction=0)
        each = self.distributed.gather(torch.stack([means, variances])[None])  # (processes, 2, features)
        mean = each[:, 0].mean(0)
        variance = (each[:, 1] + (each[:, 0] - mean).square()).mean(0)
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            count = self.distributed.world_size * x.numel() // x.shape[1]
            self.num_batches_tracked.add_(1)
            weight = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.detach(), weight)
            self.running_var.lerp_(variance.detach() * (count / (count - 1)), weight)
        shape = [-1] + [1] * (x.dim() - 2)
        x = (x - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        if self.weight is not None:
            x = x * self.weight.view(shape) + self.bias.view(shape)
        return x.to(input.dtype)


def synchronize(module: nn.Module, distributed: Distributed) -> None:
    """Let every layer of batch normalization in `module` see the mini-batches of all processes."""
    if distributed.world_size == 1:
        return
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                setattr(parent, name, SynchronizedBatchNorm.of(child, distributed))
