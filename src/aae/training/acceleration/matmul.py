"""Matrix products of compiled steps in fp32: oneDNN's in place of MKL's, where they are faster.

torch computes an fp32 product on a CPU with MKL, and with oneDNN, which it contains as well, only one in bf16. With the wide and
flat matrices of fully connected layers oneDNN needs about a tenth less time on an AMD processor. A gradient that a momentum takes
up is added to it by the product itself, so that it never goes through memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, library
from torch.fx import GraphModule, Node

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
        matrices on a CPU.
    """
    if function not in _FASTER or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return function
    *bias, _, _ = operands
    fits = all(x.dtype == torch.float32 and x.device.type == "cpu" for x in operands)
    return _FASTER[function] if fits and all(x.dim() == 1 for x in bias) else function


def replace_matmuls(graph: GraphModule) -> None:
    """Let every product in a traced program be computed the fastest way, and gradients go straight into their momentum."""
    program = graph.graph
    nodes: list[Any] = [node for node in program.nodes if node.op == "call_function"]
    for node in nodes:
        if node.target in _FASTER and not node.kwargs:
            node.target = faster(node.target, [operand.meta["val"] for operand in node.args])
    decays: dict[str, Any] = {}
    for node in nodes:
        if node.target not in (aten.mul_.Tensor, aten.add_.Tensor) or node.args[0].op != "get_attr":
            continue
        name, by = node.args[0].target, node.args[1]
        if node.target is aten.mul_.Tensor:
            decays[name] = node  # momentum.mul_(decay) ...
            continue
        product = _untransposed(by) if isinstance(by, Node) else None  # ... .add_(gradient)
        if name in decays and product is not None and product.target is torch.ops.aae.mm.default:
            decay = decays.pop(name)
            with program.inserting_before(product):
                operands = (program.get_attr(name), decay.args[1], *product.args)
                program.call_function(torch.ops.aae.accumulate.default, operands)
            program.erase_node(node)
            program.erase_node(decay)
    program.eliminate_dead_code()
    graph.recompile()


def _untransposed(node: Any) -> Any:
    """Follow a matrix back over pairs of transpositions, which backward passes are full of."""
    while node.target is aten.t.default and node.args[0].target is aten.t.default:
        node = node.args[0].args[0]
    return node


def _product(*operands: Tensor) -> Tensor:
    """Multiply the last two of `operands`, and add the one before them to every row.

    MKL is faster where the first is a transposed matrix, as in the gradient of a weight.
    """
    *bias, a, b = operands
    if not a.is_contiguous():
        return torch.addmm(bias[0], a, b) if bias else torch.mm(a, b)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), bias[0] if bias else None, "none", [], "")
    return product


def _accumulate(momentum: Tensor, decay: float, a: Tensor, b: Tensor) -> None:
    """Let `momentum` decay, and add the product of `a` and `b`."""
    momentum.addmm_(a, b, beta=decay)


def _shape(*operands: Tensor) -> Tensor:
    """Create a tensor without numbers in the shape of that product, for tracing."""
    *_, a, b = operands
    return a.new_empty(a.shape[0], b.shape[1])


def _nothing(*operands: object) -> None:
    """Stand in for what gives nothing, for tracing."""


_operations = library.Library("aae", "DEF")  # type: ignore[no-untyped-call]
for _schema, _function, _traced in (
    ("mm(Tensor a, Tensor b) -> Tensor", _product, _shape),
    ("addmm(Tensor bias, Tensor a, Tensor b) -> Tensor", _product, _shape),
    ("accumulate(Tensor(a!) momentum, float decay, Tensor a, Tensor b) -> ()", _accumulate, _nothing),
):
    _name = _operations.define(_schema)  # type: ignore[no-untyped-call]
    _operations.impl(_name, _function, "CPU")  # type: ignore[no-untyped-call]
    _operations.impl(_name, _traced, "Meta")  # type: ignore[no-untyped-call]

_FASTER: dict[Any, Any] = {aten.mm.default: torch.ops.aae.mm.default, aten.addmm.default: torch.ops.aae.addmm.default}
