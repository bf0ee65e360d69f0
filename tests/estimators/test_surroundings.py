"""Estimators in an interpreter unlike ours: other defaults, threads, forks, Ctrl-C, pickles."""

import multiprocessing
import os
import pickle
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sklearn
import torch
from joblib import Parallel, delayed
from sklearn.datasets import load_iris

import aae
from aae.errors import CollapseWarning, InputError, InputWarning, InterruptedTrainingWarning
from aae.runs.recipe import read_recipe

ROWS, SPECIES = load_iris(return_X_y=True)
SMALL = {"hidden_layer_sizes": (16,), "discriminator_layer_sizes": (16,), "random_state": 0}
MAKERS = {
    "AAE": lambda **o: aae.AAE(2, **{"epochs": 2, **SMALL, **o}).fit(ROWS),
    "SupervisedAAE": lambda **o: aae.SupervisedAAE(2, **{"epochs": 2, **SMALL, **o}).fit(ROWS, SPECIES),
    "SemiSupervisedAAE": lambda **o: aae.SemiSupervisedAAE(2, **{"epochs": 2, **SMALL, **o}).fit(ROWS, SPECIES),
    "AAEClusterer": lambda **o: aae.AAEClusterer(3, **{"epochs": 2, **SMALL, **o}).fit(ROWS),
    "AAEEmbedding": lambda **o: aae.AAEEmbedding(2, **{"epochs": 2, **SMALL, **o}).fit(ROWS, SPECIES),
}


def said(estimator):
    """All that an estimator says about rows, as one array."""
    names = [name for name in ("transform", "predict_proba", "score_samples") if hasattr(estimator, name)]
    return np.column_stack([getattr(estimator, name)(ROWS) for name in names] + [estimator.sample(150, random_state=0)])


@pytest.fixture(scope="module")
def expected():
    return {name: said(make()) for name, make in MAKERS.items()}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("kind", ["no_grad", "inference_mode", "set_grad_enabled", "float64", "errstate", "pandas"])
def test_the_state_of_the_interpreter_changes_no_bit(name, kind, expected):
    if kind == "float64":
        torch.set_default_dtype(torch.float64)
    surroundings = {
        "no_grad": torch.no_grad,
        "inference_mode": torch.inference_mode,
        "set_grad_enabled": lambda: torch.set_grad_enabled(False),
        "float64": torch.enable_grad,
        "errstate": lambda: np.errstate(all="raise"),
        "pandas": lambda: sklearn.config_context(transform_output="pandas"),
    }
    try:
        with surroundings[kind]():
            estimator = MAKERS[name]()
            found = said(estimator)
            if hasattr(estimator, "partial_fit"):
                estimator.partial_fit(ROWS, SPECIES)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found, expected[name])
    assert torch.is_grad_enabled()


def test_a_default_of_float64_reaches_users_samplers():
    torch.set_default_dtype(torch.float64)
    try:
        model = MAKERS["AAE"](prior=lambda n: torch.rand(n, 2))
        assert model.sample(3).shape == (3, 4)
    finally:
        torch.set_default_dtype(torch.float32)


# Filters of warnings are of the process: a thread that leaves `catch_warnings` ends what another has silenced.
@pytest.mark.filterwarnings("ignore:Graph is not fully connected:UserWarning")
def test_threads_give_the_same_bits_and_leave_torchs_generator_alone(expected):
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        jobs = {name: pool.submit(lambda make=make: said(make())) for name, make in MAKERS.items()}
        for name, job in jobs.items():
            np.testing.assert_array_equal(job.result(), expected[name])
    assert torch.equal(torch.get_rng_state(), before)


def _fit_and_send(connection):
    connection.send(said(MAKERS["AAE"]()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_trains(expected):
    here, there = multiprocessing.get_context("fork").Pipe()
    process = multiprocessing.get_context("fork").Process(target=_fit_and_send, args=(there,))
    process.start()
    try:
        assert here.poll(60)
    finally:
        process.kill() if not here.poll() else None
    np.testing.assert_array_equal(here.recv(), expected["AAE"])
    process.join()


def test_joblib_trains(expected):
    found = Parallel(n_jobs=2, backend="threading")(delayed(MAKERS["AAE"])() for _ in range(2))
    for estimator in found:
        np.testing.assert_array_equal(said(estimator), expected["AAE"])


# Ctrl-C


def interrupt(seconds, times=1):
    """Press Ctrl-C after a while."""

    def press():
        for _ in range(times):
            time.sleep(seconds)
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.filterwarnings("ignore::aae.errors.CollapseWarning")
def test_ctrl_c_keeps_what_was_learnt(name):
    interrupt(1.0)
    with pytest.warns(InterruptedTrainingWarning, match=r"interrupted in epoch \d+ of 100000; the estimator keeps"):
        estimator = MAKERS[name](epochs=100_000)
    assert 1 <= estimator.n_iter_ == len(estimator.history_) < 100_000
    assert np.isfinite(said(estimator)).all()
    done = estimator.n_iter_
    estimator.set_params(warm_start=True, epochs=2).fit(ROWS, SPECIES)  # and goes on
    assert [record["epoch"] for record in estimator.history_] == list(range(1, done + 3))


def test_a_second_ctrl_c_leaves_everything_as_it_was():
    model = MAKERS["AAE"](warm_start=True)
    before, slow = said(model), threading.Event()

    def prior(n):
        if slow.is_set():
            time.sleep(3)
        return torch.rand(n, 2)

    model.set_params(prior=prior, epochs=1000)
    slow.set()
    interrupt(0.5, times=2)
    with pytest.raises(KeyboardInterrupt):
        model.fit(ROWS)
    slow.clear()
    np.testing.assert_array_equal(said(model), before)


# Pickles


def test_training_goes_on_on_another_kind_of_device():
    model = MAKERS["SemiSupervisedAAE"](warm_start=True)
    tensors, metadata = model._state
    # As an accelerator leaves it: its generator has another state, which fits none of ours.
    model._state = {**tensors, "noise": torch.zeros(16, dtype=torch.uint8)}, {**metadata, "device": "cuda"}
    model = pickle.loads(pickle.dumps(model))
    model.fit(ROWS, SPECIES).partial_fit(ROWS, SPECIES)
    assert [record["epoch"] for record in model.history_] == [1, 2, 3, 4, 5]


# Collapse


def test_one_label_for_everything_is_told_once():
    few = np.where(np.arange(150) % 50 < 5, SPECIES, -1)
    options = {"epochs": 110, "optimizers": {"classification": {"learning_rate": 1e-12}}, "warm_start": True}
    options |= {
        "learning_rate": 1e-9,
        "hidden_layer_sizes": (16,),
        "discriminator_layer_sizes": (16,),
        "random_state": 0,
    }
    model = aae.SemiSupervisedAAE(2, input_noise=0, losses="paper", batch_norm="none", batch_size=50, **options)
    with pytest.warns(CollapseWarning) as told:
        model.fit(ROWS, few)
    messages = [str(warning.message) for warning in told]
    predicted = set(model.predict(ROWS).tolist())
    assert predicted != {0, 1, 2}
    expected = (
        "all .* rows get the label" if len(predicted) == 1 else "no row gets the label .*, though some rows have it"
    )
    assert any(re.match(expected, message) for message in messages)
    assert all("\n" not in message for message in messages)
    model.set_params(epochs=1).fit(ROWS, few)  # no warning again


def test_codes_beside_the_prior_are_told():
    options = {"epochs": 110, "optimizers": {"generator": {"learning_rate": 1e-12}}, **SMALL}
    with pytest.warns(CollapseWarning) as told:
        aae.AAE(2, prior=lambda n: 30 + torch.randn(n, 2), **options).fit(ROWS)
    first, second = (str(warning.message) for warning in told)
    assert first.startswith("the style discriminator distinguishes codes from prior samples in 100.0% of cases")
    assert second.startswith("the codes do not have the prior: their energy distance from it is")


def test_healthy_training_tells_nothing():
    aae.SemiSupervisedAAE(2, random_state=0, epochs=110).fit(ROWS, SPECIES)


@pytest.mark.parametrize("kind", [aae.SemiSupervisedAAE, aae.AAEClusterer, aae.AAE, aae.AAEEmbedding])
def test_rows_far_from_all_others_never_come_out_as_nan(kind):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    model = kind(epochs=1, hidden_layer_sizes=(8,), discriminator_layer_sizes=(8,), random_state=0)
    rows = rng.normal(size=(60, 4)) + labels[:, None]
    model.fit(rows, labels)
    use = model.predict_proba if hasattr(model, "predict_proba") else model.transform
    assert np.isfinite(use(1e6 * rows)).all()
    with pytest.raises(ValueError, match=r"not finite|too large") as error:
        use(np.vstack([rows[:1], np.full((2, 4), 3e38)]))
    assert "\n" not in str(error.value)


def test_masked_values_are_not_used():
    rows = np.ma.masked_array(np.random.default_rng(0).normal(size=(30, 3)), mask=np.arange(90).reshape(30, 3) == 4)
    with pytest.raises(InputError, match=r"^X has 1 masked values; expected none"):
        aae.AAE(epochs=1).fit(rows)


@pytest.mark.parametrize("name", MAKERS)
def test_a_notebook_shows_fitted_estimators(name):
    model = MAKERS[name](epochs=1)
    assert name in model._repr_html_()
    assert all(hasattr(model, attribute) for attribute in dir(model))


@pytest.mark.parametrize("name", ["SemiSupervisedAAE", "AAEClusterer"])
def test_noise_without_effect_is_told(name):
    with pytest.warns(InputWarning, match=r"input_noise is 0\.7 and has no effect, .*; losses='paper' has some"):
        MAKERS[name](epochs=1, input_noise=0.7)
    for silent in ({"input_noise": 0.0}, {"input_noise": 0.7, "losses": "paper"}):
        MAKERS[name](epochs=1, **silent)


def test_noise_of_a_recipe_without_effect_is_told():
    with pytest.warns(
        InputWarning, match=r"model\.encoder\.input_noise has no effect, .*training\.losses\.joint=false"
    ):
        read_recipe("classify", ["model.encoder.input_noise=0.7"])
    for recipe in ("map", "demo"):
        read_recipe(recipe, ["model.encoder.input_noise=0.7"])


@pytest.mark.parametrize("base", [aae.AAE, aae.AAEClusterer])
def test_a_class_of_ones_own_may_leave_parameters_out(base):
    class Own(base):
        def __init__(self, latent_dim=2):
            super().__init__(latent_dim=latent_dim, epochs=1, hidden_layer_sizes=(8,))

    rows = np.random.default_rng(0).normal(size=(60, 3))
    assert Own().fit(rows).transform(rows).shape == (60, 2)
