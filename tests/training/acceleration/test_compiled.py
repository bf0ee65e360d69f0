"""Compiled steps: the numbers of steps that are not, from the same random numbers, and what happens where none can be made."""

import copy
import re
import signal

import pytest
import torch
from helpers import small_networks
from torch import nn

from aae import recipes
from aae.bench.step import make_trainer, run_steps
from aae.noise import Noise
from aae.recipes.build_model import build_model, build_phases
from aae.scaling import Scaling
from aae.training.acceleration import compiled
from aae.training.signals import interrupts
from aae.training.trainer import Trainer, TrainingData

CPU = torch.device("cpu")
FULLY_CONNECTED = small_networks()
LENGTH = ["training.batch_size=20", "training.epochs=9"]


def trainer(recipe, changes, compile):
    """On 100 made-up rows of 12 columns, or images of 12 pixels where they are moved."""
    settings = recipes.read(recipe, [*LENGTH, *changes, f"training.compile={str(compile).lower()}"])
    shape = (4, 3) if settings.training.shift else (12,)
    model = build_model(settings.model, shape, 10, Noise(0))
    rows, labels = Noise(1).uniform(100, *shape), torch.arange(100) % 10
    data = TrainingData(rows, Scaling.identity(), labels, torch.arange(0, 100, 2))
    return Trainer(model, build_phases(settings, model), data, settings.training, CPU)


def epochs(own, count):
    return [own.run_epoch() for _ in range(count)]


def assert_alike(found, expected, **tolerance):
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=lambda text, name=name: f"{name}: {text}", **tolerance)


def as_traced(graph, inputs):
    """In place of a compiler: runs what was traced, operation by operation."""
    return graph


def test_a_program_trains_as_the_step_does_from_the_same_random_numbers(monkeypatch, capsys):
    monkeypatch.setattr(compiled, "BACKEND", as_traced)
    monkeypatch.setattr(compiled, "WORTH_A_LINE", 0.0)
    changes = [*FULLY_CONNECTED, "training.precision=fp32", "training.generator.learning_rate={ 0 = 0.1, 1 = 0.01 }"]
    own, plain = (trainer("table2-mnist-100", changes, compile) for compile in (True, False))
    for found, expected in zip(epochs(own, 2), epochs(plain, 2), strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert_alike(own.module.state_dict(), plain.module.state_dict(), rtol=1e-4, atol=1e-6)
    for phase, update in plain.optimizers.items():
        assert_alike(dict(own.optimizers[phase].entries()), dict(update.entries()), rtol=1e-3, atol=1e-6)
    assert torch.equal(own.noise.generator.get_state(), plain.noise.generator.get_state())
    said = capsys.readouterr().err
    assert re.fullmatch(rf"note: {compiled.BEFORE}\n(note: steps were compiled in \d+ s\n)+", said)


def test_compiled_by_torch_a_run_that_is_resumed_within_an_epoch_ends_with_the_same_bits(capsys):
    changes = [*FULLY_CONNECTED, "training.precision=bf16", "training.average_from=1"]
    own, resumed, plain = (trainer("figure2a", changes, compile) for compile in (True, True, False))
    found, expected = epochs(own, 1)[0], epochs(plain, 1)[0]
    for name in expected:
        if name.endswith("loss"):  # accuracies near logits of 0 turn over at one rounding to bf16
            assert found[name] == pytest.approx(expected[name], rel=0.02, abs=0.05)
    own.run_epoch(lambda: own.step == 2)
    resumed.load_state(*copy.deepcopy(own.state()))
    assert (resumed.epoch, resumed.step) == (1, 2)
    for one in (own, resumed):
        epochs(one, 2)
    found, expected = (one.state()[0] for one in (resumed, own))
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert "not compiled" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("figure2c", FULLY_CONNECTED[:2]),
        ("figure4c", FULLY_CONNECTED),
        ("table1-mnist-gan", FULLY_CONNECTED[1:]),
        ("table1-mnist-gmmn-ae", [*FULLY_CONNECTED[:2], "training.pretraining=1"]),
        ("table2-nn-100", FULLY_CONNECTED[:1]),
        ("table2-mnist-100", [*FULLY_CONNECTED, "training.shift=1"]),
        ("table2-svhn-1000", [*FULLY_CONNECTED, "training.discriminator={ optimizer = 'adam', learning_rate = 0.01 }"]),
        ("table3-16", [*FULLY_CONNECTED, "training.moment_matching_epochs=1", "model.cluster_heads={ margin = 8.0 }"]),
    ],
)
def test_every_kind_of_phase_is_traced(recipe, changes, monkeypatch, capsys):
    monkeypatch.setattr(compiled, "BACKEND", as_traced)
    changes = [*changes, "training.precision=fp32"]
    own, plain = (trainer(recipe, changes, compile) for compile in (True, False))
    for found, expected in zip(epochs(own, 2), epochs(plain, 2), strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert "not compiled" not in capsys.readouterr().err


def test_one_step_in_bf16_moves_the_weights_and_their_copies_alike(monkeypatch):
    monkeypatch.setattr(compiled, "BACKEND", as_traced)
    own, plain = (trainer("table2-mnist-100", [*FULLY_CONNECTED, "training.precision=bf16"], c) for c in (True, False))
    for one in (own, plain):
        one.run_epoch(lambda: True)
    assert_alike(own.module.state_dict(), plain.module.state_dict(), rtol=1e-5, atol=1e-7)
    for one in (own, plain):
        one.run_epoch(lambda: True)  # the second step computes with the copies that the first renewed
    assert_alike(own.module.state_dict(), plain.module.state_dict(), rtol=1e-2, atol=1e-5)


class Own(nn.Module):
    def forward(self, x):
        return x


def test_modules_of_unknown_kind_are_not_compiled_and_one_line_says_so(capsys):
    own = trainer("figure2a", FULLY_CONNECTED, True)
    own.module.add_module("own", Own())
    epochs(own, 1)
    assert capsys.readouterr().err == (
        "note: steps are not compiled: it is not known whether Own does the same in every step\n"
    )


def no_compiler(graph, inputs):
    raise RuntimeError("no working C++ compiler\nmore about it")


def assert_is_plain_after_all(own, plain, reason, capsys):
    assert epochs(own, 1) == epochs(plain, 1)
    assert all(map(torch.equal, own.module.state_dict().values(), plain.module.state_dict().values()))
    assert capsys.readouterr().err == f"note: {compiled.BEFORE}\nnote: steps are not compiled: {reason}\n"
    assert not own.captured.compiling


def test_without_a_compiler_one_line_says_so_and_no_random_number_is_lost(monkeypatch, capsys):
    monkeypatch.setattr(compiled, "BACKEND", no_compiler)
    own, plain = (trainer("figure2a", FULLY_CONNECTED, compile) for compile in (True, False))
    assert_is_plain_after_all(own, plain, "no working C++ compiler", capsys)


def test_a_part_that_reads_numbers_is_not_compiled(monkeypatch, capsys):
    monkeypatch.setattr(compiled, "BACKEND", as_traced)
    own, plain = (trainer("table2-svhn-1000", FULLY_CONNECTED, compile) for compile in (True, False))
    for one in (own, plain):
        one.module.encoder.layers[0].norm.momentum = None  # a mean over all mini-batches so far, whose count it reads
    reason = "what a module does depends on a number (aten._local_scalar_dense.default)"
    assert_is_plain_after_all(own, plain, reason, capsys)


def test_what_draws_elsewhere_is_no_program():
    for draw in (lambda noise: noise.seed(), lambda noise: torch.rand(1, generator=noise.generator)):
        with pytest.raises(RuntimeError, match="random numbers of its own"):
            draw(compiled.RecordedNoise())


def test_speed_is_measured_on_compiled_steps(monkeypatch):
    calls = []
    monkeypatch.setattr(compiled, "BACKEND", lambda graph, inputs: lambda *given: calls.append(1) or graph(*given))
    own = make_trainer(recipes.read("figure2a", [*FULLY_CONNECTED, "training.compile=true"]), CPU)
    run_steps(own, 3)
    assert len(calls) == 4


def sends(number, *, swallowed=False):
    """Create a compiler in whose work a signal comes, and that may fail by it as compilers do."""

    def backend(graph, inputs):
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if not swallowed:
                raise
            raise RuntimeError("g++ ended with status -15") from None
        return graph

    return backend


@pytest.mark.parametrize("swallowed", [False, True])
def test_a_signal_ends_compiling_at_once_and_nothing_has_moved(swallowed, monkeypatch, capsys):
    own, whole = (trainer("figure2a", [*FULLY_CONNECTED, "training.precision=fp32"], True) for _ in range(2))
    before = copy.deepcopy(own.state())
    monkeypatch.setattr(compiled, "BACKEND", sends(signal.SIGTERM, swallowed=swallowed))
    with interrupts() as interrupted:
        assert own.run_epoch(lambda: interrupted.is_set) is None
    assert (interrupted.is_set, interrupted.status) == (True, 143)
    tensors, metadata = own.state()
    assert (metadata["epoch"], metadata["step"]) == (0, 0)
    assert "compiled" not in metadata  # nothing was: it may go on where there is no compiler
    assert tensors.keys() == before[0].keys()
    assert all(torch.equal(tensors[name], value) for name, value in before[0].items())
    monkeypatch.setattr(compiled, "BACKEND", as_traced)
    assert epochs(own, 1) == epochs(whole, 1)
    assert "not compiled" not in capsys.readouterr().err


def test_what_a_program_does_about_a_signal_it_does_after_compiling(monkeypatch):
    seen = []
    monkeypatch.setattr(
        compiled, "BACKEND", lambda graph, inputs: (signal.raise_signal(signal.SIGUSR1), seen.append("graph"), graph)[2]
    )
    before = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    try:
        with interrupts():
            epochs(trainer("figure2a", FULLY_CONNECTED, True), 1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == ["graph", signal.SIGUSR1]
