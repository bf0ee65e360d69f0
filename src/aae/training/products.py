"""Matrix products of compiled steps in fp32: oneDNN's in place of MKL's, where they are faster.

torch computes an fp32 product on a CPU with MKL, and with oneDNN, which it contains as well, only one in bf16. With the wide and
flat matrices of fully connected layers oneDNN needs about a tenth less time on processors that are not Intel's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

aten = torch.ops.aten


def faster(function: Any, operands: Sequence[Tensor]) -> Any:
    """Name the operation that computes a product fastest.

    Parameters
    ----------
    function : OpOverload
        Such as ``aten.mm.default``.
    operands : sequence of Tensor
        What it is called with, all of it.

    Returns
    -------
    OpOverload
        `function` itself, or one of this module that takes the same and gives the same up to rounding: for products of fp32
        matrices on a CPU, unless the first is a transposed one as in the gradient of a weight, for which MKL is faster.
    """
    if function not in _FASTER or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return function
    *bias, a, _ = operands
    fits = all(x.dtype == torch.float32 and x.device.type == "cpu" for x in operands)
    return _FASTER[function] if fits and a.is_contiguous() and all(x.dim() == 1 for x in bias) else function


def hasten(graph: GraphModule) -> None:
    """Let every product in a traced program be computed the fastest way."""
    for node in graph.graph.nodes:
        if node.op == "call_function" and node.target in _FASTER and not node.kwargs:
            node.target = faster(node.target, [operand.meta["val"] for operand in node.args])
    graph.recompile()


def _product(*operands: Tensor) -> Tensor:
    """Multiply the last two of `operands`, and add the one before them to every row."""
    *bias, a, b = operands
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), bias[0] if bias else None, "none", [], "")
    return product


def _shape(*operands: Tensor) -> Tensor:
    """Make a tensor without numbers in the shape of that product, for tracing."""
    *_, a, b = operands
    return a.new_empty(a.shape[0], b.shape[1])


_library = torch.library.Library("aae", "DEF")  # type: ignore[no-untyped-call]
for _schema in ("mm(Tensor a, Tensor b) -> Tensor", "addmm(Tensor bias, Tensor a, Tensor b) -> Tensor"):
    _name = _library.define(_schema)  # type: ignore[no-untyped-call]
    _library.impl(_name, _product, "CPU")  # type: ignore[no-untyped-call]
    _library.impl(_name, _shape, "Meta")  # type: ignore[no-untyped-call]

_FASTER: dict[Any, Any] = {aten.mm.default: torch.ops.aae.mm.default, aten.addmm.default: torch.ops.aae.addmm.default}
