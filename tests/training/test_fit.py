import contextlib
import copy
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import small_networks

import aae
from aae.errors import InputError, TrainingError
from aae.evaluation import energy_distance
from aae.posteriors import Deterministic, Softmax
from aae.priors import Categorical, FromSampler, Gaussian
from aae.runs.evaluate import evaluate
from aae.runs.recipe import read_recipe


def own_model():
    prior = FromSampler(lambda n: torch.rand(n, 2) ** 2, dim=2)
    encoder = torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.ReLU())
    discriminator = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    latent = aae.Latent(prior, Deterministic(32, 2), discriminator)
    return aae.AdversarialAutoencoder(encoder, {"style": latent}, torch.nn.Linear(2, 6))


def flat_rows(n=400, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(n, 2)) @ generator.normal(size=(2, 6))).astype(np.float32)


def test_own_modules_and_an_own_sampler_learn_prior_and_reconstruction():
    torch.manual_seed(0)
    model, rows = own_model(), flat_rows()
    adam = {"optimizer": "adam", "learning_rate": 0.003}
    history = aae.fit(model, rows, epochs=60, batch_size=50, reconstruction=adam, discriminator=adam, generator=adam)
    assert len(history) == 60
    assert history[-1]["reconstruction_loss"] < 0.25 * history[0]["reconstruction_loss"]
    with torch.no_grad():
        codes = model.encode(torch.from_numpy(rows))["style"]
    prior = model.latent("style").prior.sample(400)
    assert energy_distance(codes, prior) < 0.1
    assert energy_distance(3 * prior + 1, prior) > 0.5  # what a code that ignores the prior may score


def test_labels_that_no_part_uses_are_refused():
    torch.manual_seed(0)
    model, rows = own_model(), flat_rows()
    with pytest.raises(
        InputError, match="labels are given, and no part of the model uses them; expected a latent 'label'"
    ):
        aae.fit(model, rows, np.arange(400) % 3, epochs=1)
    digit = aae.Latent(Categorical(3), Softmax(32, 3), torch.nn.Linear(3, 1))
    style = model.latent("style")
    other = aae.AdversarialAutoencoder(model.encoder, {"digit": digit, "style": style}, torch.nn.Linear(5, 6))
    with pytest.raises(InputError, match=r"no part of the model uses them \(found 'digit' in place of 'label'\)"):
        aae.fit(other, rows, np.arange(400) % 3, epochs=1)
    aae.fit(other, rows, np.arange(400) % 3, epochs=1, phases=aae.adversarial_phases(other))  # phases may use them


def test_torchs_own_generator_is_left_alone():
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(0)
        model = own_model()  # whose prior draws from torch itself
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        aae.fit(model, flat_rows(), epochs=1)
        assert torch.equal(torch.get_rng_state(), before)
        drawn.append(model.encoder[0].weight.detach())
    assert torch.equal(*drawn)


def test_fit_leaves_the_mean_of_the_weights_in_the_model():
    rows, weights = flat_rows(), []
    for settings in ({"epochs": 1}, {"epochs": 2}, {"epochs": 2, "average_from": 0}):
        torch.manual_seed(0)
        model = own_model()
        aae.fit(model, rows, batch_size=50, **settings)
        weights.append(model.decoder.weight.detach())
    torch.testing.assert_close(weights[2], (weights[0] + weights[1]) / 2)


def test_unlabelled_rows_of_fit_never_reach_the_classifier():
    torch.manual_seed(0)
    head = aae.Latent(Categorical(2), Softmax(8, 2), torch.nn.Linear(2, 1))
    model = aae.AdversarialAutoencoder(torch.nn.Linear(6, 8), {"label": head}, torch.nn.Linear(2, 6))
    rows = flat_rows(100)
    labels = np.where(np.arange(100) < 40, (rows[:, 0] > 0).astype(int), -1)
    history = aae.fit(model, rows, labels, epochs=30, batch_size=20)
    with torch.no_grad():
        predicted = model.label_logits(torch.from_numpy(rows)).argmax(1).numpy()
    assert "classification_loss" in history[0]
    assert (predicted == (rows[:, 0] > 0)).mean() > 0.9


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (np.zeros(3), {}, r"rows are float64 of shape \(3,\)"),
        (np.full((3, 6), 1e39), {}, r"expected \(n, inputs\), n at least 1, all values finite in float32"),
        (np.ma.masked_greater(np.eye(6), 0.5), {}, r"found 6 masked values, expected none"),
        (np.full((3, 6), "a"), {}, r"rows are <U1 of shape \(3, 6\); expected"),
        (np.zeros((3, 5)), {}, r"^rows have 5 values each; the model expects others \("),
        (np.zeros((3, 6)), {"labels": ["a", "b", "a"]}, "labels: found <U1 .* expected one whole number per row"),
        (np.zeros((3, 6)), {"labels": [0.9, 1.9, 0]}, "expected one whole number per row"),
        (np.zeros((3, 6)), {"labels": [0, np.nan, 0]}, "expected one whole number per row"),
        (
            np.zeros((3, 6)),
            {"epochs": 1, "moment_matching_epochs": 1},
            "^training.moment_matching_epochs is 1; expected less than training.epochs, 1$",
        ),
        (np.full((3, 6), np.nan), {}, "finite"),
        (np.zeros((3, 6)), {"labels": np.zeros(2, int)}, r"labels have shape \(2,\); expected \(3,\)"),
        (np.zeros((3, 6)), {"epochs": 0}, "epochs"),
        (np.zeros((3, 6)), {"epoch": 1}, "epoch"),
        (np.zeros((3, 6)), {"device": "tpu"}, "unknown device 'tpu'"),
        (np.zeros((3, 6)), {"phases": []}, "^phases is empty; expected a list of Phase"),
        (np.zeros((3, 6)), {"phases": [1]}, "^phases is int; expected a list of Phase"),
        (np.zeros((3, 6)), {"validate_every": 3}, "^validate_every is 3; fit does nothing of the kind"),
    ],
)
def test_bad_input_to_fit_is_one_clear_error(rows, options, message):
    with pytest.raises(InputError, match=message):
        aae.fit(own_model(), rows, **options)


def test_phases_may_be_any_iterable():
    model = own_model()
    history = aae.fit(model, flat_rows(40), phases=iter(aae.adversarial_phases(model)), epochs=1)
    assert "reconstruction_loss" in history[0]


def test_a_model_that_is_none_and_options_that_are_none_are_named():
    with pytest.raises(InputError, match=r"^model is a Linear; expected an AdversarialAutoencoder"):
        aae.fit(torch.nn.Linear(6, 6), np.zeros((3, 6)))
    with pytest.raises(InputError, match=r"^reduction is 'median'; expected one of: sum, mean"):
        aae.adversarial_phases(own_model(), "median")
    parts = own_model()
    with pytest.raises(InputError, match=r"^output is 'tanh'; expected one of: linear, sigmoid"):
        aae.AdversarialAutoencoder(parts.encoder, dict(parts.latents), parts.decoder, output="tanh")
    with pytest.raises(InputError, match="the latent 'label' has the posterior Deterministic; expected Softmax"):
        aae.AdversarialAutoencoder(parts.encoder, {"label": parts.latent("style")}, parts.decoder)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"decoder": torch.nn.Linear(2, 1)}, r"^the decoder returns shape \(2, 1\) for two rows; expected \(2, 6\)$"),
        ({"decoder": torch.nn.Linear(3, 6)}, "^the modules of the model do not fit together"),
        (
            {"discriminator": torch.nn.Linear(2, 3)},
            r"^the discriminator of style returns shape \(2, 3\) for two rows; exp",
        ),
    ],
)
def test_parts_of_another_width_are_one_clear_error(part, message):
    model = own_model()
    latent = aae.Latent(Gaussian(2), Deterministic(32, 2), part.get("discriminator", torch.nn.Linear(2, 1)))
    model = aae.AdversarialAutoencoder(model.encoder, {"style": latent}, part.get("decoder", model.decoder))
    with pytest.raises(InputError, match=message):
        aae.fit(model, np.zeros((3, 6)), epochs=1)


def test_labels_beyond_the_classes_of_the_model_are_one_clear_error():
    head = aae.Latent(Categorical(2), Softmax(8, 2), torch.nn.Linear(2, 1))
    model = aae.AdversarialAutoencoder(torch.nn.Linear(6, 8), {"label": head}, torch.nn.Linear(2, 6))
    with pytest.raises(InputError, match="labels are 0 to 2; the model expects -1 to 1"):
        aae.fit(model, flat_rows(3), np.arange(3))


def test_frozen_weights_stay_and_weights_that_a_cost_does_not_reach_do_no_harm():
    torch.manual_seed(0)
    model, rows = own_model(), flat_rows()
    model.encoder.register_parameter("unused", torch.nn.Parameter(torch.ones(2)))
    model.encoder.requires_grad_(False)
    model.encoder.unused.requires_grad_(True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    history = aae.fit(model, rows, epochs=5)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if not name.startswith("encoder.")}
    assert history[-1]["reconstruction_loss"] < history[0]["reconstruction_loss"]


def test_a_phase_with_all_weights_frozen_is_one_clear_error():
    model = own_model()
    model.latent("style").discriminator.requires_grad_(False)
    with pytest.raises(InputError, match=r"^phase discriminator: all of its 4 parameters are frozen; expected"):
        aae.fit(model, flat_rows(), epochs=1)


def test_a_model_is_in_evaluation_mode_after_a_fit_that_failed_too():
    model = own_model()
    with pytest.raises(TrainingError):
        aae.fit(model, flat_rows(), epochs=3, reconstruction={"learning_rate": 1e30})
    assert not model.training


# --- the interpreter around it -----------------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_was_learnt(monkeypatch):
    torch.manual_seed(0)
    model, rows, steps = own_model(), flat_rows(100), iter(range(10**6))
    before = signal.getsignal(signal.SIGINT)
    weights = model.decoder.weight.detach().clone()

    def loss(batch):
        if next(steps) == 7:  # of five steps an epoch
            signal.raise_signal(signal.SIGINT)
        return model.decoder.weight.square().sum()

    mine = aae.Phase("mine", [model.decoder.weight], loss)
    with pytest.warns(
        UserWarning, match="interrupted in epoch 2 of 1000, after 3 steps; the model keeps what was learnt"
    ):
        history = aae.fit(model, rows, phases=[mine], epochs=1000, batch_size=20, device="cpu")
    assert len(history) == 1
    assert not model.training
    assert not torch.equal(model.decoder.weight, weights)
    assert signal.getsignal(signal.SIGINT) is before


STATES = {
    "no gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "numpy raises": lambda: np.errstate(all="raise"),
    "another device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@contextlib.contextmanager
def doubles():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("state", [*STATES.values(), doubles], ids=[*STATES, "doubles"])
def test_the_state_of_the_interpreter_has_no_say_and_stays(state, tmp_path):
    def learn():
        torch.manual_seed(0)
        model = models.pop()
        return aae.fit(model, flat_rows(100), epochs=2, batch_size=20, device="cpu"), model.decoder.weight.detach()

    torch.manual_seed(0)
    model = own_model()
    models = [copy.deepcopy(model), model]
    expected = learn()
    changes = small_networks()
    recipe = read_recipe("demo", ["training.epochs=1", *changes])
    run = aae.train(recipe, run=tmp_path / "usual", device="cpu")
    rows = np.ones((3, 8, 8), np.float32)
    with state():
        asked = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_default_device(), np.geterr()
        found = learn()
        other = aae.train(recipe, run=tmp_path / "other", device="cpu")
        probabilities, metrics = other.predict_proba(rows), evaluate(other)["metrics"]
        assert asked == (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_default_device(), np.geterr())
    assert found[0] == expected[0]
    assert torch.equal(found[1], expected[1])
    assert other.folder.weights.read_bytes() == run.folder.weights.read_bytes()
    assert np.array_equal(probabilities, run.predict_proba(rows))
    assert metrics == evaluate(run)["metrics"]


def test_a_model_that_was_made_in_inference_mode_is_named():
    with torch.inference_mode():
        model = own_model()
    with pytest.raises(
        InputError, match=r"encoder\.0\.weight was made in inference mode; expected a model that can be trained"
    ):
        aae.fit(model, flat_rows(100), epochs=1)


FORKED = """
import os, sys, numpy as np, torch
import aae
from aae.posteriors import Deterministic
from aae.priors import Gaussian

torch.set_num_threads(2)

def learn():
    latent = aae.Latent(Gaussian(2), Deterministic(256, 2), torch.nn.Linear(2, 1))
    model = aae.AdversarialAutoencoder(torch.nn.Linear(200, 256), {"style": latent}, torch.nn.Linear(2, 200))
    aae.fit(model, np.ones((400, 200), np.float32), epochs=1, batch_size=200, device="cpu")

learn()
child = os.fork()
if not child:
    learn()
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_fork_of_a_process_that_has_computed_does_not_wait_for_its_threads():
    done = subprocess.run([sys.executable, "-c", FORKED], timeout=120, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
