"""The engine, checkpoints and exact resume, and tiny trainings whose outcome a broken phase cannot reach."""

import copy
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import outcome
from torch import nn

from aae import recipes
from aae.device import choose_device
from aae.errors import InputError, InterruptedTrainingError
from aae.evaluation import error_percent
from aae.files import read_tensors, write_tensors
from aae.latents import Latent
from aae.model import AdversarialAutoencoder
from aae.networks import MLP, Corruption, initialize
from aae.noise import Noise
from aae.posteriors import GaussianPosterior, Softmax, UniversalApproximator
from aae.priors import Categorical, FromSampler, GaussianMixture
from aae.recipes.build_data import load_data
from aae.runs.evaluate import evaluate
from aae.runs.recipe import read_recipe
from aae.runs.train import train
from aae.scaling import Scaling
from aae.training import loop
from aae.training.acceleration.precision import cast_to
from aae.training.checkpoints import latest_checkpoint, save_checkpoint
from aae.training.phases import Phase, adversarial_phases
from aae.training.run_directory import RunDirectory
from aae.training.settings import OptimizerSettings, TrainingSettings
from aae.training.trainer import Trainer, TrainingData, TrainingError

CPU = torch.device("cpu")
IDENTITY = Scaling(torch.tensor(0.0), torch.tensor(1.0))


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny_recipe(epochs=3, seed=0, checkpoint_every=1, **model):
    """Semi-supervised digits with everything that has a state: Adam and momentum, batch norm, dropout, input noise."""
    small = {"hidden": [8]}
    adam = {"optimizer": "adam", "learning_rate": 0.002}
    table = {
        "name": "tiny",
        "title": "tiny",
        "data": {"source": "digits", "labels": 30, "validation": 100},
        "model": {
            "init": "he",
            "encoder": {"hidden": [8], "batch_norm": "all", "dropout": 0.1, "input_noise": 0.3, "input_dropout": 0.2},
            "decoder": {"hidden": [8], "batch_norm": "hidden"},
            "discriminator": small,
            "label": {},
            "style": {"dim": 2, "prior": {"kind": "gaussian"}, "posterior": "gaussian"},
            **model,
        },
        "training": {
            "epochs": epochs,
            "batch_size": 400,
            "seed": seed,
            "average_from": 1,
            "checkpoint_every": checkpoint_every,
            "reconstruction": adam,
            "classification": adam,
            "generator": {"learning_rate": {0: 0.05, 1: 0.02}, "momentum": 0.5},
        },
    }
    return recipes.Recipe.model_validate(table)


@pytest.fixture(scope="module")
def digits():
    return load_data(tiny_recipe())


# --- schedules ---------------------------------------------------------------------------------------------------------


def test_learning_rate_is_piecewise_constant_by_epoch():
    settings = OptimizerSettings(learning_rate={0: 0.1, 50: 0.01, 1000: 0.001})
    assert [settings.learning_rate_at(epoch, 0, 5000) for epoch in (0, 49, 50, 999, 1000, 4999)] == [
        0.1,
        0.1,
        0.01,
        0.01,
        0.001,
        0.001,
    ]
    assert OptimizerSettings(learning_rate=0.3).learning_rate_at(77, 0, 100) == 0.3
    with pytest.raises(ValueError, match="expected one learning rate from epoch 0 on"):
        OptimizerSettings(learning_rate={1: 0.1})


def one_weight(slope, settings, steps):
    """Make a trainer of one weight with the loss ``slope(step) * weight``, which begins at 0."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    counter = iter(range(10**6))
    phase = Phase("generator", [module.weight], lambda batch: slope(next(counter)) * module.weight.sum())
    return module, Trainer(module, [phase], TrainingData(torch.zeros(steps, 1), IDENTITY), settings, CPU)


def test_training_follows_the_schedule():
    schedule = OptimizerSettings(learning_rate={0: 1.0, 2: 0.1, 3: 0.01})
    settings = TrainingSettings(epochs=5, batch_size=1, generator=schedule)
    module, trainer = one_weight(lambda step: -1.0, settings, steps=4)
    weights = []
    for _ in range(5):
        trainer.run_epoch()
        weights.append(module.weight.item())
    assert weights == pytest.approx([4, 8, 8.4, 8.44, 8.48], abs=1e-5)


def test_epoch_metrics_are_means_over_its_steps():
    _, trainer = one_weight(lambda step: 0.0, TrainingSettings(epochs=1, batch_size=1), steps=4)
    values = iter([1.0, 2.0, 3.0, 6.0])
    weight = trainer.phases[0].parameters[0]
    trainer.phases = [Phase("generator", [weight], lambda batch: 0 * weight.sum() + next(values))]
    assert trainer.run_epoch() == {"generator_loss": 3.0}


# --- losses that are not finite ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_loss_that_is_not_finite_names_phase_epoch_and_step(value):
    settings = TrainingSettings(epochs=3, batch_size=1, generator=OptimizerSettings(learning_rate=0.1))
    module, trainer = one_weight(lambda step: value if step == 6 else 1.0, settings, steps=4)
    nn.init.ones_(module.weight)
    trainer.run_epoch()
    with pytest.raises(TrainingError, match=rf"^generator loss is {value} in epoch 2, step 3\. "):
        trainer.run_epoch()


def test_weights_that_are_not_finite_are_found_although_every_loss_was():
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    phase = Phase("generator", [module.weight], lambda batch: module.weight.square().sum().sqrt())  # 0, gradient nan
    data = TrainingData(torch.zeros(1, 1), IDENTITY)
    trainer = Trainer(module, [phase], data, TrainingSettings(epochs=1, batch_size=1), CPU)
    with pytest.raises(TrainingError, match="weight is not finite after the generator phase of epoch 1, step 1"):
        trainer.run_epoch()


def test_an_interrupted_epoch_with_a_loss_that_is_not_finite_is_not_worth_a_checkpoint():
    settings = TrainingSettings(epochs=1, batch_size=1)
    module, trainer = one_weight(lambda step: float("nan") if step == 1 else 1.0, settings, steps=9)
    nn.init.ones_(module.weight)
    with pytest.raises(TrainingError, match="generator loss is nan in epoch 1, step 2"):
        trainer.run_epoch(lambda: trainer.step == 4)


def test_last_good_checkpoint_survives_a_loss_that_is_not_finite(tmp_path, digits):
    recipe = tiny_recipe(epochs=5, output="linear")
    exploding = OptimizerSettings(learning_rate={0: 0.001, 2: 1e30})
    recipe = recipe.model_copy(
        update={"training": recipe.training.model_copy(update={"reconstruction": exploding, "checkpoint_every": 1})}
    )
    with pytest.raises(TrainingError, match=r"in epoch 3, step \d\. Try .*; the last good checkpoint is kept$"):
        train(recipe, run=tmp_path / "run", device="cpu", data=digits)
    tensors, metadata = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert (metadata["epoch"], metadata["step"]) == (2, 0)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert [record["epoch"] for record in RunDirectory(tmp_path / "run").read_metrics()] == [1, 2]


# --- checkpoints -------------------------------------------------------------------------------------------------------


def test_checkpoint_round_trip_keeps_only_the_newest(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    for step in range(3):
        save_checkpoint(tmp_path, {"weight": torch.full((2,), float(step))}, {"epoch": 0, "step": step})
    tensors, metadata = latest_checkpoint(tmp_path)
    assert torch.equal(tensors["weight"], torch.tensor([2.0, 2.0]))
    assert metadata["step"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-000000-step-000002.json",
        "epoch-000000-step-000002.safetensors",
    ]


class Crash(BaseException):
    """Stands for a kill."""


def crash_at(monkeypatch, call, names=("replace", "unlink")):
    """Let the given file operation (counted from 0) be the one before which the process dies."""
    count = iter(range(10**6))

    def crashing(original):
        def operation(self, *args, **kwargs):
            if "tensorboard" not in str(self) and next(count) == call:
                raise Crash
            return original(self, *args, **kwargs)

        return operation

    for name in names:
        monkeypatch.setattr(Path, name, crashing(getattr(Path, name)))


@pytest.mark.parametrize("call", range(4))  # tensors, side file, removal of either old file
def test_a_crash_leaves_the_old_checkpoint_or_the_new_one(tmp_path, monkeypatch, call):
    save_checkpoint(tmp_path, {"weight": torch.ones(2)}, {"epoch": 0, "step": 1})
    with monkeypatch.context() as patch:
        crash_at(patch, call)
        with pytest.raises(Crash):
            save_checkpoint(tmp_path, {"weight": 2 * torch.ones(2)}, {"epoch": 0, "step": 2})
    tensors, metadata = latest_checkpoint(tmp_path)
    assert metadata["step"] == (1 if call < 2 else 2)
    assert torch.equal(tensors["weight"], torch.full((2,), float(metadata["step"])))
    save_checkpoint(tmp_path, {"weight": torch.ones(2)}, {"epoch": 0, "step": 3})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-000000-step-000003.json",
        "epoch-000000-step-000003.safetensors",
    ]


def test_truncated_tensors_are_detected(tmp_path):
    save_checkpoint(tmp_path, {"weight": torch.ones(100)}, {"epoch": 0, "step": 1})
    path = tmp_path / "epoch-000000-step-000001.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(InputError, match=f"damaged checkpoint; found {len(whole) - 8} bytes, expected {len(whole)}"):
        latest_checkpoint(tmp_path)
    with pytest.raises(InputError, match="not a readable safetensors file"):
        read_tensors(path)
    path.unlink()
    with pytest.raises(InputError, match="found 0 bytes"):
        latest_checkpoint(tmp_path)
    path.with_suffix(".json").write_text('{"step"')
    with pytest.raises(InputError, match="not valid JSON"):
        latest_checkpoint(tmp_path)
    path.with_suffix(".json").write_text('{"step": 1}')
    with pytest.raises(InputError, match="not the side file of a checkpoint"):
        latest_checkpoint(tmp_path)


# --- averaged weights --------------------------------------------------------------------------------------------------


def test_the_trained_model_is_the_mean_of_the_weights_at_the_ends_of_the_last_epochs():
    trainer = rich_trainer(GaussianPosterior, "bf16")  # which averages from epoch 1
    ends, trained = [], []
    for _ in range(3):
        trainer.run_epoch()
        ends.append(copy.deepcopy(trainer.module.state_dict()))
        trained.append(copy.deepcopy(trainer.trained.state_dict()))
    assert trainer.trained is not trainer.module
    for name, value in trained[0].items():
        assert torch.equal(value, ends[0][name])
    for name, value in trained[2].items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (ends[1][name] + ends[2][name]) / 2)
            assert value.dtype == torch.float32
        else:
            assert torch.equal(value, ends[2][name])  # batches that a batch normalization has counted
    assert not torch.equal(trained[2]["encoder.layers.0.linear.weight"], ends[2]["encoder.layers.0.linear.weight"])


def test_the_mean_of_the_weights_is_what_is_validated_and_kept(tmp_path, digits, monkeypatch):
    means = []
    original = Trainer.close_epoch

    def close(self):
        metrics = original(self)
        means.append(copy.deepcopy(self.trained.state_dict()))
        return metrics

    monkeypatch.setattr(Trainer, "close_epoch", close)
    run = train(tiny_recipe(3), run=tmp_path / "run", device="cpu", data=digits)
    kept = run.model.state_dict()
    assert kept.keys() == means[2].keys()
    assert all(torch.equal(value, means[2][name]) for name, value in kept.items())
    predicted = run.predict_proba(digits.validation.rows).argmax(1)
    recorded = run.folder.read_metrics()[-1]["validation_error_percent"]
    assert recorded == pytest.approx(error_percent(digits.validation.labels, predicted))


# --- exact resume ------------------------------------------------------------------------------------------------------


def rich_trainer(posterior, precision, seed=0):
    """Everything that carries a state: SGD momentum, Adam, batch norm, dropout, drawn codes, torch's own generator."""
    eta = 3 if posterior is UniversalApproximator else 0
    own_sampler = FromSampler(lambda n: torch.rand(n, 2), 2)
    latents = {
        "label": Latent(Categorical(3), Softmax(12, 3), MLP(3, [6], 1, dropout=0.2)),
        "style": Latent(GaussianMixture(3), posterior(12, 2), MLP(2 + 4, [6], 1), label_informed=True),
        "own": Latent(own_sampler, posterior(12, 2), MLP(2, [6], 1)),
    }
    encoder = MLP(4 + 2 * eta, [16, 12], batch_norm="hidden", dropout=0.2)
    decoder = nn.Sequential(nn.Linear(7, 8), nn.Dropout(0.3), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    model = AdversarialAutoencoder(encoder, latents, decoder, output="sigmoid", corruption=Corruption(0.3, 0.2))
    initialize(model, Noise(seed, 7), "he")
    noise = Noise(0, 8)
    data = TrainingData(noise.uniform(90, 4), IDENTITY, noise.integers(3, 90) - noise.integers(2, 90), torch.arange(13))
    data.labels[:13] = torch.arange(13) % 3
    settings = TrainingSettings(
        epochs=3,
        batch_size=20,
        seed=seed,
        precision=precision,
        average_from=1,
        reconstruction=OptimizerSettings(optimizer="adam", learning_rate=0.01),
        classification=OptimizerSettings(learning_rate={0: 0.1, 2: 0.01}, momentum=0.9),
    )
    return Trainer(model, adversarial_phases(model, classify=True), data, settings, CPU)


@pytest.mark.parametrize(
    ("posterior", "precision"),
    [(GaussianPosterior, "fp32"), (UniversalApproximator, "fp32"), (GaussianPosterior, "bf16")],
)
def test_interrupted_and_resumed_training_equals_uninterrupted(tmp_path, monkeypatch, posterior, precision):
    if posterior is UniversalApproximator:
        monkeypatch.setattr(UniversalApproximator.__init__, "__kwdefaults__", {"noise_inputs": 3, "batch_norm": False})
    torch.manual_seed(0)
    trainer = rich_trainer(posterior, precision)
    expected_metrics = [trainer.run_epoch() for _ in range(3)]
    expected, expected_facts = trainer.state()

    torch.manual_seed(0)
    trainer = rich_trainer(posterior, precision)
    metrics = []
    for stop in (2, 1, 3, 2):  # within an epoch, twice; at an end; within another
        metrics.append(trainer.run_epoch(lambda trainer=trainer, stop=stop: trainer.step >= stop))
        tensors, metadata = trainer.state()
        save_checkpoint(tmp_path, tensors, metadata)
        torch.manual_seed(99)
        trainer = rich_trainer(posterior, precision, seed=0)
        initialize(trainer.module, Noise(1234), "he")  # whatever was there is replaced
        trainer.load_state(*latest_checkpoint(tmp_path))
    while trainer.epoch < 3:
        metrics.append(trainer.run_epoch())
    tensors, metadata = trainer.state()
    assert [m for m in metrics if m is not None] == expected_metrics
    assert metadata == expected_facts
    assert tensors.keys() == expected.keys()
    different = [name for name in expected if not torch.equal(tensors[name], expected[name])]
    assert different == []
    assert {name.split(".")[1] for name in expected if name.startswith("optimizer.")} == {
        "reconstruction",
        "discriminator",
        "generator",
        "classification",
    }


def test_state_of_another_model_is_refused():
    state = copy.deepcopy(rich_trainer(GaussianPosterior, "fp32").state())
    state[0]["module.encoder.layers.0.linear.weight"] = torch.zeros(2, 2)
    with pytest.raises(InputError, match=r"encoder\.layers\.0\.linear\.weight is \(2, 2\); expected \(16, 4\)"):
        rich_trainer(GaussianPosterior, "fp32").load_state(*state)
    del state[0]["module.encoder.layers.0.linear.weight"]
    with pytest.raises(InputError, match=r"encoder\.layers\.0\.linear\.weight is missing"):
        rich_trainer(GaussianPosterior, "fp32").load_state(*state)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, digits):
    torch.set_num_threads(1)
    runs = {}

    def trained(epochs, checkpoint_every=1):
        if (epochs, checkpoint_every) not in runs:
            run = tmp_path_factory.mktemp("whole") / "run"
            train(tiny_recipe(epochs, checkpoint_every=checkpoint_every), run=run, device="cpu", data=digits)
            runs[epochs, checkpoint_every] = outcome(run)
        return runs[epochs, checkpoint_every]

    return trained


@pytest.mark.parametrize("checkpoint_every", [1, 2])
def test_a_crash_at_any_file_operation_is_resumed_exactly(
    tmp_path, monkeypatch, digits, uninterrupted, checkpoint_every
):
    recipe = tiny_recipe(2, checkpoint_every=checkpoint_every)
    crashes = 0
    for call in range(100):
        run = tmp_path / str(call)
        with monkeypatch.context() as patch:
            crash_at(patch, call)
            try:
                train(recipe, run=run, device="cpu", data=digits)
                break
            except Crash:
                crashes += 1
        train(recipe, run=run, device="cpu", data=digits, resume=True)
        assert outcome(run) == uninterrupted(2, checkpoint_every)
    assert crashes >= 6


def test_ctrl_c_leaves_a_checkpoint_that_resumes_exactly(tmp_path, monkeypatch, digits, uninterrupted):
    steps = iter(range(10**6))

    def step(self):
        if next(steps) == 4:  # the second of three steps of the second epoch
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Progress, "step", step)
        with pytest.raises(InterruptedTrainingError, match="stopped in epoch 2 after 2 steps"):
            train(tiny_recipe(3), run=tmp_path / "run", device="cpu", data=digits)
    assert signal.getsignal(signal.SIGINT) is before
    _, metadata = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert (metadata["epoch"], metadata["step"]) == (1, 2)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    train(tiny_recipe(3), run=tmp_path / "run", device="cpu", data=digits, resume=True)
    assert outcome(tmp_path / "run") == uninterrupted(3)
    assert [record["epoch"] for record in outcome(tmp_path / "run")[1]] == [1, 2, 3]


def test_resume_with_more_epochs_equals_a_longer_run(tmp_path, digits, uninterrupted):
    train(tiny_recipe(2), run=tmp_path / "run", device="cpu", data=digits)
    train(tiny_recipe(3), run=tmp_path / "run", device="cpu", data=digits, resume=True)
    assert outcome(tmp_path / "run") == uninterrupted(3)


def train_in_child(run, epochs, resume):
    torch.set_num_threads(1)
    train(tiny_recipe(epochs), run=run, device="cpu", resume=resume)


def test_a_run_killed_at_random_moments_and_resumed_equals_an_uninterrupted_one(tmp_path, uninterrupted):
    epochs, run = 24, tmp_path / "run"
    context = multiprocessing.get_context("forkserver")  # one import of torch for all children, from a clean process
    context.set_forkserver_preload(["aae.runs.train", "torch.utils.tensorboard"])
    kills = 0
    for patience in (1, 8, None):
        child = context.Process(target=train_in_child, args=(str(run), epochs, run.exists()))
        child.start()
        if patience is None:
            child.join(60)
        else:
            deadline = time.monotonic() + 60
            metrics = run / "metrics.jsonl"
            while child.is_alive() and time.monotonic() < deadline:
                if metrics.exists() and metrics.read_bytes().count(b"\n") >= patience:
                    break
                time.sleep(0.002)
            time.sleep(random.uniform(0, 0.05))
            child.kill()
            child.join()
            kills += child.exitcode == -signal.SIGKILL
    assert kills >= 1
    assert child.exitcode == 0
    assert outcome(run) == uninterrupted(epochs)
    assert [record["epoch"] for record in outcome(run)[1]] == list(range(1, epochs + 1))
    assert len(list((run / "checkpoints").iterdir())) == 2


def test_another_recipe_or_other_data_cannot_be_resumed(tmp_path, digits):
    train(tiny_recipe(1), run=tmp_path / "run", device="cpu", data=digits)
    with pytest.raises(InputError, match=r"cannot resume with another recipe; training\.seed is 1, the run has 0"):
        train(tiny_recipe(2, seed=1), run=tmp_path / "run", device="cpu", data=digits, resume=True)
    with pytest.raises(InputError, match="already exists"):
        train(tiny_recipe(2), run=tmp_path / "run", device="cpu", data=digits)


# --- devices and precision ---------------------------------------------------------------------------------------------


def test_unknown_device_and_precision_are_named():
    assert choose_device("cpu") == CPU
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        choose_device("gpu")
    with pytest.raises(InputError, match="'tf32' needs a CUDA device"):
        cast_to("tf32", CPU)


def test_bf16_computes_in_half_precision_and_keeps_weights_in_full():
    trainer, full = rich_trainer(GaussianPosterior, "bf16"), rich_trainer(GaussianPosterior, "fp32")
    torch.manual_seed(0)
    first, *_, last = [trainer.run_epoch() for _ in range(30)]
    torch.manual_seed(0)
    exact = full.run_epoch()
    assert {p.dtype for p in trainer.module.parameters()} == {torch.float32}
    assert first["reconstruction_loss"] == pytest.approx(exact["reconstruction_loss"], rel=0.02)
    assert first["reconstruction_loss"] != exact["reconstruction_loss"]
    assert last["reconstruction_loss"] < 0.9 * first["reconstruction_loss"]


# --- tiny trainings ----------------------------------------------------------------------------------------------------


PHASES = {
    "aae": ("reconstruction", "discriminator", "generator", "classification"),
    "vae": ("elbo",),
    "network": ("classification",),
}


def small_recipe(method, labels, epochs, **model):
    network = {"hidden": [100]}
    adam = {"optimizer": "adam", "learning_rate": 0.002}
    adversarial = {"optimizer": "adam", "learning_rate": 0.002, "betas": [0.5, 0.999]}
    table = {
        "name": method,
        "title": method,
        "data": {"source": "digits", "test": 0.2} | ({} if labels is None else {"labels": labels}),
        "model": {
            "method": method,
            "init": "he",
            "encoder": {"hidden": [100], "input_noise": 0.2 if method != "vae" else 0.0},
            "decoder": network,
            "discriminator": network,
            **model,
        },
        "training": {
            "epochs": epochs,
            "batch_size": 50,
            "checkpoint_every": 1000,
            **{name: adversarial if name in ("discriminator", "generator") else adam for name in PHASES[method]},
        },
    }
    return recipes.Recipe.model_validate(table)


def train_small(recipe, folder):
    data = load_data(recipe)
    run = train(recipe, run=folder / "run", device="cpu", data=data)
    first, *_, last = run.folder.read_metrics()
    if not run.model.classifies:
        return first, last, None
    return first, last, error_percent(data.test.labels, run.label_logits(data.test.rows).argmax(1))


def test_semi_supervised_digits_beat_what_twenty_labels_alone_can_teach(tmp_path):
    style = {"dim": 4, "prior": {"kind": "gaussian"}}
    _, last, error = train_small(small_recipe("aae", 20, 30, label={}, style=style), tmp_path)
    # Seen over seeds: 11.7 to 14.5 %; without the generator 21 % and more, without classification 90 %.
    assert error < 17
    # Seen: 0.89 to 1.03; where codes say nothing it stays above 3.
    assert last["reconstruction_loss"] < 1.5
    assert 0.4 < last["style_discriminator_accuracy"] < 0.6


def test_vae_digits(tmp_path):
    style = {"dim": 4, "posterior": "gaussian", "prior": {"kind": "gaussian"}}
    first, last, _ = train_small(small_recipe("vae", None, 15, style=style), tmp_path)
    # Seen over seeds: 24.9 to 25.2 nats with 2.6 to 2.8 of KL; 28.5 where the codes say nothing.
    assert last["elbo_loss"] < 26.5 < first["elbo_loss"]
    assert 2 < last["kl"] < 4


def test_supervised_network_digits(tmp_path):
    _, last, error = train_small(small_recipe("network", "all", 10, label={}), tmp_path)
    assert error < 8  # seen over seeds: 4.5 to 5.8 %
    assert last["classification_loss"] < 0.4


def test_a_style_discriminator_that_sees_the_label_separates_style_from_label(tmp_path):
    adam = '={ optimizer = "adam", learning_rate = 0.002 }'
    phases = [f"training.{phase}{adam}" for phase in ("reconstruction", "discriminator", "generator")]
    small = ["model.style.dim=4", "training.epochs=35", "training.batch_size=50", "training.precision=fp32"]
    widths = [f"model.{network}.hidden=[100, 100]" for network in ("encoder", "decoder", "discriminator")]
    recipe = read_recipe("figure7a-independent", [*phases, *small, *widths], "digits")
    run = train(recipe, run=tmp_path / "run", device="cpu")
    metrics = evaluate(run)["metrics"]
    # Without the label in the discriminator (figure7a, 40 epochs): 75 % obeyed, 55 % told.
    assert metrics["conditional_generation_accuracy_percent"] > 95
    assert metrics["style_linear_probe_accuracy_percent"] < 50


def test_data_is_a_name_a_path_or_a_dataset(tmp_path, monkeypatch):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).random((60, 4), dtype=np.float32))
    np.save(tmp_path / "labels.npy", np.arange(60) % 2)
    small = 'extends = "figure2a-digits"\n[data]\nlabels_file = "labels.npy"\n[training]\nepochs = 1\n'
    (tmp_path / "small.toml").write_text(small)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"data\.labels_file is .*; rows from Python expect data=\(rows, labels\)"):
        train("small.toml", np.zeros((50, 4), np.float32), run="array")
    run = train("small.toml", Path("rows.npy"), run=tmp_path / "run", device="cpu")
    assert run.metadata["shape"] == [4]
    monkeypatch.chdir("run")  # paths hold from other folders too
    assert evaluate(run)["metrics"]["knn_accuracy_percent"] > 0


def test_weights_can_be_read_by_whoever_can_read_the_folder(tmp_path):
    old = os.umask(0o022)
    try:
        write_tensors(tmp_path / "model.safetensors", {"weight": torch.ones(2)})
    finally:
        os.umask(old)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_full_disk_names_the_file(tmp_path):
    script = "import torch; from aae.files import write_tensors as w; w({!r}, {{'x': torch.ones(100_000)}})"
    limited = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); from pathlib import Path; {script}"
    )
    limited = limited.format(str(tmp_path / "x")).replace("w('", "w(Path('").replace("', {", "'), {")
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=False)
    assert done.stderr.strip().splitlines()[-1].startswith("OSError: [Errno 27] File too large: "), done.stderr
    assert str(tmp_path / "x") in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_checkpoint_is_not_promised_where_there_is_none(tmp_path):
    recipe = read_recipe("figure2a-digits", ["training.reconstruction.learning_rate=1e30", "training.epochs=2"])
    with pytest.raises(TrainingError, match=r"in epoch 1, step \d+\. Try a lower learning rate for that phase$"):
        train(recipe, run=tmp_path / "run", device="cpu")
