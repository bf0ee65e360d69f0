"""Updates and bf16 copies of the weights: the arithmetic of torch's own optimizers and of autocast, to the bit."""

import copy

import pytest
import torch
from torch import nn

from aae.networks import MLP
from aae.noise import Noise
from aae.scaling import Scaling
from aae.training.acceleration.precision import Bf16Copies, known_weights
from aae.training.optimizers import UPCAST_AT_ONCE, Optimizer
from aae.training.phases import Phase
from aae.training.settings import OptimizerSettings, TrainingSettings
from aae.training.trainer import Trainer, TrainingData

CPU = torch.device("cpu")
SETTINGS = [
    OptimizerSettings(learning_rate=0.1),
    OptimizerSettings(learning_rate=0.1, momentum=0.9),
    OptimizerSettings(optimizer="adam", learning_rate=0.01, betas=(0.5, 0.99)),
    OptimizerSettings(optimizer="adam", learning_rate=0.01, betas=(0.0, 0.9)),
]


def parameters(seed=0):
    noise = Noise(seed)
    return [nn.Parameter(noise.normal(*shape)) for shape in ((37, 21), (37,), (5, 37), (5,))]


def reference(settings, weights):
    if settings.optimizer == "adam":
        return torch.optim.Adam(weights, lr=settings.learning_rate, betas=settings.betas, fused=True)
    return torch.optim.SGD(weights, lr=settings.learning_rate, momentum=settings.momentum, fused=True)


@pytest.mark.parametrize("settings", SETTINGS)
def test_updates_are_those_of_torch_to_the_bit(settings):
    ours, theirs = parameters(), parameters()
    update, optimizer = Optimizer(settings, ours), reference(settings, theirs)
    noise = Noise(1)
    for _ in range(5):
        gradients = [noise.normal(*p.shape) for p in ours]
        update.step(gradients)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    state = optimizer.state_dict()["state"]
    expected = {f"{i}.{k}": v for i, entries in state.items() for k, v in entries.items() if v is not None}
    found = dict(update.entries())
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("settings", SETTINGS)
def test_plain_operations_do_the_same_up_to_rounding(settings):
    fused, plain = parameters(), parameters()
    updates = [Optimizer(settings, fused), Optimizer(settings, plain)]
    noise = Noise(1)
    for rate in (settings.learning_rate, settings.learning_rate / 7):
        gradients = [noise.normal(*p.shape) for p in fused]
        updates[0].learning_rate = rate
        updates[0].step(gradients)
        updates[1].step(gradients, torch.tensor(rate))
    for found, expected in zip(plain, fused, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    for (name, found), (_, expected) in zip(updates[1].entries(), updates[0].entries(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8, msg=name)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_state_that_is_loaded_goes_on(settings):
    noise = Noise(1)
    gradients = [[noise.normal(*p.shape) for p in parameters()] for _ in range(4)]
    whole = parameters()
    update = Optimizer(settings, whole)
    for gradient in gradients[:2]:
        update.step(gradient)
    saved, weights = {name: value.clone() for name, value in update.entries()}, copy.deepcopy(whole)
    for gradient in gradients[2:]:
        update.step(gradient)
    again = Optimizer(settings, weights)
    again.load(saved)
    for gradient in gradients[2:]:
        again.step(gradient)
    assert all(torch.equal(a, b) for a, b in zip(whole, weights, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_gradient_in_another_memory_layout_moves_the_right_weights(settings, precision):
    """Gradients of convolutions may have their channels last; the kernels do not look at strides."""
    for layout in (torch.contiguous_format, torch.channels_last):
        model = nn.Sequential(nn.Conv2d(5, 4, 3)).to(memory_format=layout)
        before, gradient = model[0].weight.detach().clone(), Noise(0).normal(4, 5, 3, 3)
        bf16_copies = Bf16Copies(known_weights(model)) if precision == "bf16" else None
        gradient = gradient.bfloat16() if bf16_copies else gradient
        update = Optimizer(settings, [model[0].weight], bf16_copies)
        weight = nn.Parameter(before.clone())
        weight.grad = gradient.float()
        for other in (torch.contiguous_format, torch.channels_last):
            update.step([gradient.contiguous(memory_format=other)])
        plain = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.SGD
        constants = {"betas": settings.betas} if settings.optimizer == "adam" else {"momentum": settings.momentum}
        optimizer = plain([weight], lr=settings.learning_rate, fused=False, **constants)
        optimizer.step()
        optimizer.step()
        torch.testing.assert_close(update.weights[0], weight.detach())


class Tied(nn.Module):
    """A person's own network: of its layers nothing is known."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.own = nn.Parameter(torch.ones(8))
        self.known = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
        self.inner.weight = self.known[0].weight

    def forward(self, x):
        return self.known(self.inner(x)) * self.own


def halves_of(module):
    known = set(known_weights(module))
    return {name for name, parameter in module.named_parameters() if parameter in known}


def test_only_weights_whose_every_use_is_known_get_a_copy():
    normalized = MLP(4, [3], 2, batch_norm="hidden")
    assert halves_of(normalized) == {f"layers.{k}.linear.{name}" for k in (0, 1) for name in ("weight", "bias")}
    assert halves_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))) == {"0.weight", "0.bias"}
    # the shared weight is also that of a layer in a module that is not known
    assert halves_of(Tied()) == {"known.0.bias", "known.1.weight", "known.1.bias"}
    spectral = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)), nn.Linear(3, 1))
    assert halves_of(spectral) == {"1.weight", "1.bias"}


def trained(settings, make, use_halves, monkeypatch):
    """Train with all that matters: several phases on shared weights, in bf16."""
    torch.manual_seed(0)
    module = make()
    noise = Noise(0)
    data = TrainingData(noise.normal(60, 8), Scaling(torch.tensor(0.0), torch.tensor(1.0)))
    last = list(module.parameters())[-2:]
    phases = [
        Phase("reconstruction", list(module.parameters()), lambda batch: (module(batch.rows) - 1).square().mean()),
        Phase("generator", last, lambda batch: module(batch.rows).abs().mean()),
    ]
    training = TrainingSettings(epochs=2, batch_size=20, precision="bf16", reconstruction=settings, generator=settings)
    with monkeypatch.context() as patch:
        if not use_halves:
            patch.setattr("aae.training.trainer.known_weights", lambda module: [])
        trainer = Trainer(module, phases, data, training, CPU)
        metrics = [trainer.run_epoch() for _ in range(2)]
    return metrics, trainer.state()[0]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(
    "make",
    [
        lambda: MLP(8, [16, 16], 8, batch_norm="hidden"),
        lambda: nn.Sequential(Tied(), nn.ReLU(), nn.Linear(8, 8)),
    ],
)
def test_copies_change_no_bit_of_what_autocast_computes(settings, make, monkeypatch):
    with_copies, without = (trained(settings, make, use, monkeypatch) for use in (True, False))
    assert with_copies[0] == without[0]
    assert with_copies[1].keys() == without[1].keys()
    for name, tensor in without[1].items():
        assert torch.equal(with_copies[1][name], tensor), name
        assert tensor.dtype != torch.bfloat16


def test_many_weights_are_widened_in_groups_that_share_a_buffer():
    module = nn.Sequential(*(nn.Linear(700, 700) for _ in range(5)))
    bf16_copies = Bf16Copies(module.parameters())
    update = Optimizer(SETTINGS[1], list(module.parameters()), bf16_copies)
    assert [group.indices for group in update._groups] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(sum(w.numel() for w in group.upcast) <= UPCAST_AT_ONCE for group in update._groups)
    assert len({group.upcast[0].data_ptr() for group in update._groups}) == 1
    before = {p: w.clone() for p, w in bf16_copies.full.items()}
    gradients = [torch.full_like(half, 1 / 8) for half in bf16_copies.half.values()]
    update.step(gradients)
    for parameter, weight in bf16_copies.full.items():
        torch.testing.assert_close(weight, before[parameter] - 0.1 / 8)
        assert torch.equal(bf16_copies.half[parameter], weight.bfloat16())
        assert parameter.dtype == torch.float32


def test_an_error_in_a_step_leaves_the_weights_in_full():
    module = nn.Sequential(nn.Linear(2, 2))
    weight = module[0].weight.data
    with pytest.raises(ZeroDivisionError), Bf16Copies(module.parameters()).in_place():
        1 / (module[0].weight.dtype != torch.bfloat16)
    assert module[0].weight.data_ptr() == weight.data_ptr()
    assert module[0].weight.dtype == torch.float32


def test_decay_can_begin_at_a_fraction_of_the_epochs():
    half, fifth = (OptimizerSettings(learning_rate=1.0, decay="linear", decay_from=start) for start in (0.5, 5))
    rates = [half.learning_rate_at(epoch, 0, 10) for epoch in range(10)]
    assert rates == [fifth.learning_rate_at(epoch, 0, 10) for epoch in range(10)]
    assert rates[:6] == [1.0] * 6
    assert rates[9] == pytest.approx(0.2)
    hundred = OptimizerSettings(learning_rate=1.0, decay="linear", decay_from=0.29)
    assert (hundred.learning_rate_at(29, 0, 100), hundred.learning_rate_at(30, 0, 100)) == (1.0, pytest.approx(70 / 71))
