"""The matrix products of a step: recorded while it runs, and repeated alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from aae.noise import Noise
from aae.training.acceleration.matmul import faster

aten = torch.ops.aten
# 2 m n k per matmul: torch's own formulas, also for the in-place forms of the same matmuls.
FLOPS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    aten.addmm_: flop_registry[aten.addmm],
    aten.baddbmm_: flop_registry[aten.baddbmm],
}
# Products that can write into a buffer made before: no allocation in the roofline.
INTO_BUFFER: dict[Any, Callable[..., Tensor]] = {
    aten.mm.default: torch.mm,
    aten.addmm.default: torch.addmm,
    aten.bmm.default: torch.bmm,
    aten.baddbmm.default: torch.baddbmm,
}


@dataclass(frozen=True)
class Operand:
    """What decides the speed of reading a tensor: size, strides, type, and which matmuls share its memory."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    address: int

    @classmethod
    def of(cls, tensor: Tensor) -> Operand:
        """Note a tensor without keeping it alive."""
        return cls(tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.data_ptr())

    def replace(self, memory: Memory, noise: Noise) -> Tensor:
        """Create another tensor of this layout, standard normal, in `memory` that is shared where it was shared before."""
        extent = 1 + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        key = self.address, extent, self.dtype
        if key not in memory:
            memory[key] = noise.normal(extent).to(self.dtype)
        return memory[key].as_strided(self.size, self.stride)


Memory = dict[tuple[int, int, torch.dtype], Tensor]


@dataclass(frozen=True)
class Matmul:
    """One matrix product (or convolution) of a step, as torch executed it.

    Attributes
    ----------
    function : OpOverload
        Such as ``aten.addmm.default``.
    arguments : tuple
        As it was called, an `Operand` in place of every tensor.
    keywords : dict
        The same for arguments by name.
    result : Operand or other value
        What it returned.
    flops : int
        2 m n k; the addition of a bias is not counted.
    """

    function: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    result: Any
    flops: int

    def repeat(self, memory: Memory, noise: Noise, compiled: bool) -> Callable[[], object]:
        """Create a call that repeats the matmul at the same shapes, strides and types in `memory` of its own.

        It is computed as a step does that is compiled, or not.
        """

        def other(value: Any) -> Any:
            return value.replace(memory, noise) if isinstance(value, Operand) else value

        arguments = [other(value) for value in self.arguments]
        keywords = {name: other(value) for name, value in self.keywords.items()}
        function = faster(self.function, arguments) if compiled and not keywords else self.function
        if function in INTO_BUFFER:
            function = INTO_BUFFER[function]
            keywords["out"] = other(self.result)
        return lambda: function(*arguments, **keywords)

    def describe(self) -> tuple[str, str]:
        """Name the operation and its operands, such as ``("mm", "100x784 784x1000 float32")``."""
        operands = [value for value in self.arguments if isinstance(value, Operand)]
        shapes = " ".join("x".join(map(str, operand.size)) for operand in operands)
        dtype = str(operands[0].dtype).removeprefix("torch.")
        return str(self.function.overloadpacket).removeprefix("aten."), f"{shapes} {dtype}"


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every matrix product that runs while it is active, backward passes included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.matmuls: list[Matmul] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `function` and note it if it is a matmul."""
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        formula = FLOPS.get(function.overloadpacket)
        if formula is not None:

            def note(value: Any) -> Any:
                return Operand.of(value) if isinstance(value, Tensor) else value

            keywords = {name: note(value) for name, value in kwargs.items()}
            flops = formula(*args, **kwargs, out_val=out)
            self.matmuls.append(Matmul(function, tuple(map(note, args)), keywords, note(out), flops))
        return out
