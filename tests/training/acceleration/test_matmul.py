"""Products of compiled steps: oneDNN's give what torch's give, and stand where they are faster."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from aae.noise import Noise
from aae.training.acceleration.matmul import faster, replace_matmuls

aten, own = torch.ops.aten, torch.ops.aae
NOISE = Noise(0)
ROWS, WEIGHT, BIAS = NOISE.normal(20, 30), NOISE.normal(40, 30), NOISE.normal(40)


@pytest.mark.parametrize(
    ("function", "operands", "expected"),
    [
        (aten.addmm.default, [BIAS, ROWS, WEIGHT.t()], own.addmm.default),  # forwards
        (aten.mm.default, [NOISE.normal(20, 40), WEIGHT], own.mm.default),  # gradient of the rows
        (aten.mm.default, [NOISE.normal(20, 40).t(), ROWS], own.mm.default),  # gradient of the weight
        (aten.addmm.default, [BIAS, NOISE.normal(30, 20).t(), WEIGHT.t()], own.addmm.default),
        (aten.addmm.default, [NOISE.normal(20, 40), ROWS, WEIGHT.t()], aten.addmm.default),  # no bias
        (aten.mm.default, [ROWS.bfloat16(), WEIGHT.t().bfloat16()], aten.mm.default),
        (aten.mm.default, [ROWS.double(), WEIGHT.t().double()], aten.mm.default),
        (aten.bmm.default, [ROWS[None], WEIGHT.t()[None]], aten.bmm.default),
    ],
)
def test_matmuls_are_the_same_wherever_they_are_computed(function, operands, expected, monkeypatch):
    assert faster(function, operands) is expected
    torch.testing.assert_close(expected(*operands), function(*operands), rtol=1e-5, atol=1e-4)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert faster(function, operands) is function


def test_a_traced_program_takes_the_fastest_and_a_scaled_matmul_stays():
    def program(rows):
        forwards = torch.addmm(BIAS, rows, WEIGHT.t())
        scaled = torch.addmm(BIAS, rows, WEIGHT.t(), beta=2)
        return forwards + scaled, forwards.t() @ rows

    graph = make_fx(program, tracing_mode="fake", _allow_non_fake_inputs=True)(ROWS)
    replace_matmuls(graph)
    functions = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert [functions.count(f) for f in (own.addmm.default, aten.addmm.default, own.mm.default)] == [1, 1, 1]
    for found, expected in zip(graph(ROWS), program(ROWS), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_gradients_of_weights_go_straight_into_their_momentum():
    weight, momentum = torch.nn.Parameter(WEIGHT.clone()), torch.ones(40, 30)
    start = [tensor.detach().clone() for tensor in (weight, momentum)]

    def program(rows):
        (gradient,) = torch.autograd.grad((rows @ weight.t()).square().sum(), weight)
        with torch.no_grad():
            return weight.sub_(0.1 * momentum.mul_(0.9).add_(gradient))

    graph = make_fx(program, tracing_mode="fake", _allow_non_fake_inputs=True)(ROWS)
    replace_matmuls(graph)
    functions = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert functions.count(own.accumulate.default) == 1
    assert functions.count(own.mm.default) == 1  # forwards
    assert not {aten.mm.default, aten.mul_.Tensor, aten.add_.Tensor} & set(functions)
    results = []
    for run in (torch.no_grad()(graph), program):
        for tensor, value in zip((weight, momentum), start, strict=True):
            tensor.data.copy_(value)
        run(ROWS)
        results.append([weight.detach().clone(), momentum.clone()])
    torch.testing.assert_close(*results)
