"""Stored weights and the module that takes them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from aae.errors import InputError


def load_module(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load weights into a module of the same shape.

    Raises
    ------
    InputError
        If names or shapes differ, naming the first difference.
    """
    own = module.state_dict()
    check_sizes(
        {name: tuple(t.shape) for name, t in own.items()}, {name: tuple(t.shape) for name, t in tensors.items()}
    )
    for name, tensor in tensors.items():
        if own[name].is_floating_point() != tensor.is_floating_point() or tensor.is_complex():
            raise InputError(f"weights do not fit the model: {name} is {tensor.dtype}; expected {own[name].dtype}")
    module.load_state_dict(tensors)


def check_sizes(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    """Check that tensors have the names and shapes of those of a module; raises as `load_module`."""
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise InputError(
                f"weights do not fit the model: {name} is {found.get(name, 'missing')}; "
                f"expected {expected.get(name, 'no such tensor')}"
            )
