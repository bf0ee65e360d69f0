"""Phases of a user's own: beside ours and in place of them, in every way that a run can be trained."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import metrics_of, outcome, small_networks

import aae
from aae import recipes
from aae.cli import run as command
from aae.errors import InputError, InterruptedTrainingError
from aae.files import read_tensors
from aae.posteriors import Deterministic
from aae.priors import Gaussian
from aae.runs.recipe import read_recipe
from aae.runs.seeds import train_seeds
from aae.runs.train import train
from aae.training import loop
from aae.training.acceleration import compiled
from aae.training.run_directory import RunDirectory

MODULE = '''
import torch
import aae


def penalty(model, weight=1.0, name="gradient_penalty", own_graph=False):
    latent = model.latent("style")

    def loss(batch):
        codes = model.encode(batch.rows, batch.noise)["style"].detach()
        samples = latent.prior.sample(len(codes), None, batch.noise)
        mix = batch.noise.uniform(len(codes), 1)
        between = mix * samples + (1 - mix) * codes
        if own_graph:
            between.requires_grad_()
            (slopes,) = torch.autograd.grad(latent.discriminate(between, None, batch.noise).sum(), between, create_graph=True)
        else:
            slopes = torch.func.grad(lambda points: latent.discriminate(points, None, batch.noise).sum())(between)
        batch.metrics["slope"] = slopes.detach().norm(dim=1).mean()
        return weight * (slopes.norm(dim=1) - 1).square().mean()

    return aae.Phase(name, model.discriminator_parameters(), loss, aae.OptimizerSettings(learning_rate=0.05, momentum=0.5))


def generator(model):
    """In place of ours: the other, saturating loss."""
    def loss(batch):
        logits = model.latent("style").discriminate(batch.codes["style"], None, batch.noise)
        return torch.nn.functional.logsigmoid(-logits).mean()

    return [aae.Phase("generator", model.encoder_parameters(), loss)]


def nothing(model):
    return 3


def frozen(model):
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return penalty(model)
'''
names: dict = {}
exec(MODULE, names)
penalty = names["penalty"]

SETTINGS = [
    *small_networks(),
    "training.epochs=2",
    "training.batch_size=400",
    "training.precision=fp32",
    "training.compile=false",
]


def own_model():
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU())
    discriminator = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Softplus(), torch.nn.Linear(16, 1))
    latent = aae.Latent(Gaussian(2), Deterministic(16, 2), discriminator)
    return aae.AdversarialAutoencoder(encoder, {"style": latent}, torch.nn.Linear(2, 6))


ROWS = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder with the module in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    Path("myphases.py").write_text(MODULE, encoding="utf-8")
    yield tmp_path
    sys.modules.pop("myphases", None)


def recipe(phases, *changes):
    return read_recipe("figure2a-digits", [*SETTINGS, f"training.phases={phases}", *changes])


PENALTY = '["myphases:penalty"]'
OWN_GRAPH = '[{ module = "myphases:penalty", arguments = { own_graph = true } }]'


def test_a_phase_beside_ours_is_trained_and_logged():
    model, plain = own_model(), own_model()
    settings = {"epochs": 15, "batch_size": 50, "device": "cpu"}
    history = aae.fit(model, ROWS, phases=[*aae.adversarial_phases(model), penalty(model, 10.0)], **settings)
    assert set(history[0]) == {*aae.fit(plain, ROWS, **settings)[0], "gradient_penalty_loss", "slope"}
    assert abs(history[-1]["slope"] - 1) < 0.2 < abs(history[0]["slope"] - 1)


def test_a_phase_in_place_of_ours():
    model = own_model()
    ours = {phase.name: phase for phase in aae.adversarial_phases(model)}
    (mine,) = names["generator"](model)
    history = aae.fit(model, ROWS, phases=(ours | {"generator": mine}).values(), epochs=1, device="cpu")
    assert history[0]["generator_loss"] < 0  # log(1 - D), where ours is -log D


def test_settings_reach_the_optimizer_of_a_phase():
    changed = []
    for rate in (0.05, 0.01):
        model = own_model()
        before = [p.detach().clone() for p in model.discriminator_parameters()]
        options = {"phases": [penalty(model)], "gradient_penalty": {"learning_rate": rate, "momentum": 0.0}}
        aae.fit(model, ROWS, epochs=1, batch_size=200, device="cpu", **options)
        changed.append([(p - b).detach() for p, b in zip(model.discriminator_parameters(), before, strict=True)])
    for large, small in zip(*changed, strict=True):
        torch.testing.assert_close(large, 5 * small, rtol=1e-3, atol=1e-7)


def test_a_recipe_names_a_phase_as_text_or_as_a_table(place):
    text, table = recipe(PENALTY), recipe('[{ module = "myphases:penalty", arguments = { weight = 1.0 } }]')
    assert [phase.module for phase in text.training.phases] == ["myphases:penalty"]
    runs = [train(one, run=name, device="cpu") for name, one in (("text", text), ("table", table))]
    assert outcome(runs[0].folder) == outcome(runs[1].folder)
    assert {"gradient_penalty_loss", "slope"} <= set(runs[0].folder.read_metrics()[-1])
    written = recipes.read("text/recipe.toml").training
    assert (written.gradient_penalty.learning_rate, written.gradient_penalty.momentum) == (0.05, 0.5)


def test_a_recipe_puts_a_phase_in_the_place_of_ours(place):
    run = train(recipe('["myphases:generator"]', "training.generator.learning_rate=0.02"), run="run", device="cpu")
    assert run.folder.read_metrics()[0]["generator_loss"] < 0
    assert recipes.read("run/recipe.toml").training.generator.learning_rate == 0.02


def test_a_run_with_a_phase_is_used_without_importing_it(place):
    train(recipe(PENALTY), run="run", device="cpu")
    Path("myphases.py").unlink()
    del sys.modules["myphases"]
    assert aae.load("run", "cpu").sample(3).shape == (3, 8, 8)


def test_seeds_are_trained_together_with_a_phase(place, capsys):
    runs = train_seeds(recipe(PENALTY), 2, run="together", device="cpu", batched=True)
    assert not re.search("not together|not compiled", capsys.readouterr().err)
    alone = train_seeds(recipe(PENALTY), 2, run="turn", device="cpu", batched=False)
    for found, expected in zip(runs, alone, strict=True):
        for after, before in zip(metrics_of(found.folder), metrics_of(expected.folder), strict=True):
            assert after == pytest.approx(before, rel=1e-3, abs=1e-4)


def test_a_loss_with_a_graph_of_its_own_trains_seeds_in_turn_and_one_line_says_why(place, capsys):
    runs = train_seeds(recipe(OWN_GRAPH), 2, run="together", device="cpu", batched=True)
    (note,) = [
        line for line in capsys.readouterr().err.splitlines() if "not together" in line or "not compiled" in line
    ]
    assert "the seeds are trained one after another, not together" in note
    assert note.endswith("(phase gradient_penalty)")
    alone = train(recipe(OWN_GRAPH), run="alone", device="cpu")
    assert outcome(alone.folder) == outcome(runs[0].folder)


@pytest.mark.parametrize("phases", [PENALTY, OWN_GRAPH])
def test_a_step_with_a_phase_is_compiled(place, monkeypatch, capsys, phases):
    monkeypatch.setattr(
        compiled, "BACKEND", lambda graph, inputs: graph
    )  # runs what was traced, operation by operation
    own = train(recipe(phases, "training.compile=true"), run="compiled", device="cpu")
    assert not re.search("not together|not compiled", capsys.readouterr().err)
    plain = train(recipe(phases), run="plain", device="cpu")
    for found, expected in zip(metrics_of(own.folder), metrics_of(plain.folder), strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_a_loss_that_looks_at_a_number_is_not_compiled_and_one_line_says_why(monkeypatch, capsys):
    monkeypatch.setattr(compiled, "BACKEND", lambda graph, inputs: graph)
    model = own_model()
    weights = list(model.decoder.parameters())

    def loss(batch):
        size = sum(weight.square().sum() for weight in weights)
        return size if size.item() > 1 else 0 * size

    phases = [*aae.adversarial_phases(model), aae.Phase("decay", weights, loss)]
    history = aae.fit(model, ROWS, phases=phases, epochs=1, compile=True, device="cpu")
    (note,) = [
        line for line in capsys.readouterr().err.splitlines() if "not together" in line or "not compiled" in line
    ]
    assert note.startswith("note: steps are not compiled: what a module does depends on a number")
    assert history[0]["decay_loss"] >= 0


@pytest.mark.parametrize("changes", [[], ["training.precision=bf16"]])
def test_a_run_with_a_phase_resumes_with_the_same_bits(place, monkeypatch, changes):
    whole = train(recipe(PENALTY, *changes), run="whole", device="cpu")
    steps = iter(range(100))
    with monkeypatch.context() as patch:
        interrupt = lambda self: signal.raise_signal(signal.SIGINT) if next(steps) == 4 else None  # noqa: E731
        patch.setattr(loop.Progress, "step", interrupt)
        with pytest.raises(InterruptedTrainingError):
            train(recipe(PENALTY, *changes), run="stopped", device="cpu")
    stopped = train(recipe(PENALTY, *changes), run="stopped", device="cpu", resume=True)
    assert outcome(stopped.folder) == outcome(whole.folder)


def test_two_processes_train_what_one_trains(place):
    words = ["train", "figure2a-digits", "--device", "cpu"]
    words += [word for change in (*SETTINGS, f"training.phases={PENALTY}") for word in ("--set", change)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, "-m", "--", "aae", *words, "--run", "two"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert command([*words, "--run", "one"]) == 0
    one, two = RunDirectory("one"), RunDirectory("two")
    for key, tensor in read_tensors(one.weights).items():
        torch.testing.assert_close(read_tensors(two.weights)[key], tensor, rtol=1e-3, atol=2e-5)
    for found, expected in zip(metrics_of(two), metrics_of(one), strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


def phase(model, **changes):
    given = {"name": "mine", "parameters": list(model.decoder.parameters()), "loss": lambda batch: batch.rows.mean()}
    return aae.Phase(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"name": "generator"}, {}, "^2 phases are called 'generator'; expected a name of its own for each$"),
        ({}, {"mien": {"learning_rate": 0.1}}, "unknown phase in training 'mien'.*'?mine'?"),
        ({}, {"mine": {"rate": 0.1}}, "rate"),
        ({"parameters": []}, {}, "^phase mine: all of its 0 parameters are frozen; expected at least one"),
        (
            {"parameters": list(torch.nn.Linear(2, 2).parameters())},
            {},
            "^phase mine: 2 of its 2 parameters are not in the model",
        ),
        ({}, {}, "^phase mine: its loss depends on no parameter; expected one that it can lower$"),
        (
            {"loss": lambda batch: batch.rows},
            {},
            r"^phase mine: its loss has shape \(100, 6\); expected a scalar tensor$",
        ),
        ({"loss": lambda batch: 0.5}, {}, "^phase mine: its loss is a float; expected a scalar tensor$"),
        (
            {"loss": lambda batch: batch.metrics.update(size=batch.rows.mean(0)) or batch.rows.mean()},
            {},
            r"^phase mine: metric size has shape \(6,\); expected a scalar tensor$",
        ),
        ({"needs_labels": True}, {}, "a phase needs labels but no row is labelled; expected at least one label"),
    ],
)
def test_what_is_wrong_with_a_phase_is_said_in_one_line(changes, settings, message):
    model = own_model()
    with pytest.raises(InputError, match=message) as error:
        aae.fit(model, ROWS, phases=[*aae.adversarial_phases(model), phase(model, **changes)], device="cpu", **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        (
            '["myphases:nothing"]',
            "training.phases: myphases:nothing returned a int; expected an aae.Phase, or a list of them",
        ),
        (
            '["myphases:penalti"]',
            "training.phases is 'myphases:penalti'; module myphases has no 'penalti'; did you mean 'penalty'?",
        ),
        ('["myphases:frozen"]', "parameters are frozen; expected at least one that requires a gradient"),
        ('["myphases:penalty", "myphases:nothing"]', "returned a int"),
        ('["myphases"]', "is 'myphases'; expected 'module:attribute'"),
        ("[3]", "training.phases"),
        ("[{ arguments = {} }]", "module"),
        ('[{ module = "myphases:penalty", arguments = { wieght = 2 } }]', "wieght"),
    ],
)
def test_what_is_wrong_with_a_phase_in_a_recipe_is_one_line(place, capsys, phases, message):
    words = [word for change in (*SETTINGS, f"training.phases={phases}") for word in ("--set", change)]
    assert command(["train", "figure2a-digits", *words, "--run", "run", "--device", "cpu"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert message in err
    assert not Path("run").exists()


def test_an_optimizer_of_a_phase_that_is_not_there_is_an_error(place, capsys):
    words = [
        word for change in (*SETTINGS, "training.gradient_penalty.learning_rate=0.1") for word in ("--set", change)
    ]
    assert command(["train", "figure2a-digits", *words, "--run", "run", "--device", "cpu"]) == 2
    assert "unknown phase in training 'gradient_penalty'" in capsys.readouterr().err


def own_phase(model, loss=None, **options):
    usual = lambda batch: model.reconstruction_loss(model.encode(batch.rows), batch.rows)  # noqa: E731
    return aae.Phase("own", list(model.parameters()), loss or usual, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 1, "stop": 2}, "no phase runs in epoch 1"),
        ({"updates": 0}, "phase own: updates is 0; expected 1 or more"),
    ],
)
def test_phases_that_never_run_are_named(options, message):
    model = own_model()
    with pytest.raises(InputError, match=message):
        aae.fit(model, ROWS, phases=[own_phase(model, **options)], epochs=3, device="cpu")


def test_a_phase_logs_the_same_in_every_step():
    model, names = own_model(), iter(["odd", "even"] * 9)

    def loss(batch):
        batch.metrics[next(names)] = torch.tensor(1.0)
        return model.reconstruction_loss(model.encode(batch.rows), batch.rows)

    with pytest.raises(InputError, match="the phases log own_loss, even in step 2, and before own_loss, odd; expected"):
        aae.fit(model, ROWS, phases=[own_phase(model, loss)], epochs=1, batch_size=50, device="cpu")
