"""Precision: in which number format forward and backward passes run, while weights and optimizers stay in fp32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from aae.errors import InputError
from aae.training.settings import Precision

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


def choose_precision(precision: Precision, device: torch.device) -> Precision:
    """Resolve ``auto``: bf16 where the device multiplies in it, as others are several times slower in bf16 than in fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        found: dict[str, bool] = getattr(
            torch.cpu, "get_capabilities", dict
        )()  # which older versions of torch do not tell
        native = any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return "bf16" if native else "fp32"


def cast_to(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Create the context in which forward passes run in the given precision.

    Raises
    ------
    InputError
        For ``tf32`` on a device other than CUDA.
    """
    if precision == "tf32" and device.type != "cuda":
        raise InputError("precision 'tf32' needs a CUDA device; expected auto, fp32 or bf16")
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


class Bf16Copies:
    """bf16 copies of the weights of a model, which stand in for them while it trains.

    Autocast computes a layer in bf16 from a copy of its weights that it makes again in every phase. Here the copies last:
    an `aae.training.optimizers.Optimizer` renews those of the weights that it moves. What is computed is the same to the bit.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
        Those that get a copy, in fp32; see `known_weights`.

    Attributes
    ----------
    full : dict of torch.nn.Parameter to Tensor
        The fp32 weight of every parameter that has a copy.
    half : dict of torch.nn.Parameter to Tensor
        The copies.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.full = {parameter: parameter.data for parameter in parameters}
        self.half = {parameter: weight.bfloat16() for parameter, weight in self.full.items()}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the parameters hold the copies; they hold the fp32 weights again afterwards."""
        for parameter, half in self.half.items():
            half.copy_(self.full[parameter])
            parameter.data = half
        try:
            yield
        finally:
            for parameter, weight in self.full.items():
                parameter.data = weight


def known_weights(module: nn.Module) -> list[nn.Parameter]:
    """List the weights of a model that may be replaced by bf16 copies, because all that is done with them is known.

    Such a weight belongs to a linear or convolutional layer of torch, which belongs to a module of this package or of torch.
    All others, such as those of batch normalization and of layers in custom modules, stay in fp32, and autocast does
    with them what it always does.
    """
    known: dict[nn.Parameter, None] = {}
    layers = [
        child
        for parent in module.modules()
        if type(parent).__module__.partition(".")[0] in ("aae", "torch")
        for child in parent.children()
        if type(child) in LAYERS and not child._forward_pre_hooks  # such a hook may compute the weight
    ]
    for layer in layers:
        known |= dict.fromkeys(layer.parameters(recurse=False))
    for other in set(module.modules()) - set(layers):
        for parameter in other.parameters(recurse=False):
            known.pop(parameter, None)
    return list(known)
