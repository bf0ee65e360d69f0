"""Recipes that are named after a task train as the estimator for it does by default."""

import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris

import aae
from aae.data import from_arrays
from aae.errors import CallbackError, InputError
from aae.estimators.weights import row_order
from aae.recipes import read
from aae.recipes.build_data import with_learnt_part
from aae.runs.seeds import load_runs, with_least_steps

ROWS, SPECIES = load_iris(return_X_y=True)
FEW = np.where(np.arange(150) % 5 == 0, SPECIES, -1)
FEW[:50:10] = -1  # fewer labels of one class, which p(y) says
TASKS = {
    "anomalies": (aae.AAE, None),
    "classify": (aae.SemiSupervisedAAE, FEW),
    "cluster": (aae.AAEClusterer, None),
    "generate": (aae.AAE, None),
    "map": (aae.AAEEmbedding, None),
}
AS_GIVEN = {"data__validation": 0, "data__test": 0, "epochs": 4}


@pytest.fixture(scope="module", params=TASKS)
def trained(request, tmp_path_factory):
    """The same four epochs by a recipe and by an estimator, on rows in the order in which the estimator brings them."""
    make, labels = TASKS[request.param]
    order = row_order(ROWS, labels)
    rows, labels = ROWS[order], None if labels is None else labels[order]
    estimator = make(epochs=4, random_state=0).fit(rows, labels)
    data = from_arrays(rows, labels, validation=0, test=0)
    folder = tmp_path_factory.mktemp(request.param) / "run"
    run = aae.train(request.param, data, run=folder, training__seed=estimator._seed, **AS_GIVEN)
    return request.param, run, estimator, data


def test_a_task_trains_to_the_weights_of_its_estimator(trained):
    task, run, estimator, _ = trained
    assert run.metadata["scaling"]["kind"] == estimator.scaler_.record()["kind"]
    assert run.scaling.offset.equal(estimator.scaler_.offset)
    assert run.scaling.factor.equal(estimator.scaler_.factor)
    names = estimator.history_[0].keys()
    assert [{name: one[name] for name in names} for one in run.history] == estimator.history_
    found, expected = run.model.state_dict(), estimator.model_.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].equal(tensor), name
    for name in estimator.model_.latents:
        prior = estimator.model_.latent(name).prior
        assert vars(run.model.latent(name).prior).keys() == vars(prior).keys()
        assert getattr(run.model.latent(name).prior, "probabilities", None) == getattr(prior, "probabilities", None)
    assert run.recipe.evaluation.contamination == ("auto" if task == "anomalies" else None)


def test_a_task_is_as_long_as_its_estimator_trains(trained):
    task, _, estimator, _ = trained
    by_itself = clone(estimator).set_params(epochs="auto")
    by_itself.classes_ = getattr(estimator, "classes_", None)
    for rows in (30, 150, 40_000):
        assert with_least_steps(read(task), rows).training.epochs == by_itself._epochs(rows)


@pytest.mark.parametrize("changes", [{}, {"scaling": "minmax"}], ids=["as it is", "in [0, 1]"])
@pytest.mark.parametrize("task", ["generate", "map"])
def test_a_task_does_with_images_what_its_estimator_does_with_their_pixels(task, changes, tmp_path):
    make, _ = TASKS[task]
    pixels = load_digits().data[:100].astype(np.uint8)
    pixels = pixels[row_order(pixels, None)]
    estimator = make(epochs=2, random_state=0, **changes).fit(pixels)
    data = from_arrays(pixels.reshape(-1, 8, 8), validation=0, test=0)
    settings = {**AS_GIVEN, "epochs": 2, "training__seed": estimator._seed}
    settings |= {f"data__{name}": value for name, value in changes.items()}
    run = aae.train(task, data, run=tmp_path / "run", **settings)
    assert run.recipe.model.output == estimator.model_.output == ("sigmoid" if changes else "linear")
    for name, tensor in estimator.model_.state_dict().items():
        assert changes or run.model.state_dict()[name].equal(tensor), name  # ranges of images are float32
    assert run.sample(3).dtype == np.uint8
    again = aae.train(task, data, run=tmp_path / "run", resume=True, **settings)  # nothing is left to do
    assert again.metadata == run.metadata
    same = aae.train(run.folder.recipe, data, run=tmp_path / "same")  # the run's own recipe, with what was found
    assert all(tensor.equal(same.tensors()[name]) for name, tensor in run.tensors().items())


@pytest.mark.parametrize("apart", [False, True])
def test_a_run_from_a_partition_goes_on_to_the_same_bits(apart, tmp_path):
    rows = ROWS[:60] + 9 * np.repeat(np.eye(4)[:3], [25, 20, 15], axis=0) if apart else ROWS[:60]
    changes = {**AS_GIVEN, "model__label__categories": 3, "training__checkpoint_every": 1}

    def stop(training):
        if training.epoch == 2:
            raise RuntimeError("stopped")

    whole = aae.train("cluster", rows, run=tmp_path / "whole", **changes)
    with pytest.raises(CallbackError):
        aae.train("cluster", rows, run=tmp_path / "parts", callbacks=[stop], **changes)
    parts = aae.train("cluster", rows, run=tmp_path / "parts", resume=True, **changes)
    again = aae.train(whole.folder.recipe, rows, run=tmp_path / "again")  # its own recipe, with p(y) in numbers
    assert whole.recipe.training.start_partition == (1 if apart else "auto")
    for run in (parts, again):
        assert run.recipe.training.start_partition == whole.recipe.training.start_partition
        assert run.recipe.model.label.probabilities == whole.recipe.model.label.probabilities
        for name, tensor in whole.model.state_dict().items():
            assert run.model.state_dict()[name].equal(tensor), name
    finished = aae.train("cluster", rows, run=tmp_path / "whole", resume=True, **changes)  # nothing is left to do
    assert finished.metadata == whole.metadata
    shares = np.array(whole.recipe.model.label.probabilities)
    assert (np.diff(shares) <= 0).all()  # the largest cluster first
    seeds = aae.train("cluster", rows, run=tmp_path / "seeds", seeds=2, batched=True, **changes)
    assert seeds[0].recipe.model.label.probabilities == whole.recipe.model.label.probabilities


def test_seeds_whose_partitions_are_not_learnt_alike_are_trained_in_turn(monkeypatch, tmp_path):
    def apart_for_one(recipe, start):
        return with_learnt_part(recipe, replace(start, apart=recipe.training.seed == 1))

    changes = {**AS_GIVEN, "seeds": 2, "model__label__categories": 2}
    monkeypatch.setattr("aae.runs.prepare.with_learnt_part", apart_for_one)
    in_turn = aae.train("cluster", ROWS, run=tmp_path / "in turn", **changes)
    together = aae.train("cluster", ROWS, run=tmp_path / "together", batched=True, **changes)
    assert [run.recipe.training.start_partition for run in together] == ["auto", 1]
    for one, other in zip(in_turn, together, strict=True):
        for name, tensor in one.model.state_dict().items():
            assert other.model.state_dict()[name].allclose(tensor, atol=1e-4), name
    assert len(load_runs(tmp_path / "together")) == 2  # they are seeds of one run


def test_seeds_that_start_from_labels_learn_the_same_together(tmp_path):
    changes = {**AS_GIVEN, "seeds": 2}
    in_turn = aae.train("classify", (ROWS, FEW), run=tmp_path / "in turn", **changes)
    together = aae.train("classify", (ROWS, FEW), run=tmp_path / "together", batched=True, **changes)
    for one, other in zip(in_turn, together, strict=True):
        assert "start_loss" in other.folder.read_metrics()[0]
        np.testing.assert_allclose(other.encode(ROWS)["label"], one.encode(ROWS)["label"], atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"data__labels": "all"}, "data.labels is 'all'; training.start_partition expects none"),
        ({"training__losses__classification": 0.5}, "training.losses.classification is 0.5"),
        ({"model__label__categories": 200}, "model.label.categories is 200; found 150 rows"),
    ],
)
def test_what_does_not_fit_a_partition_is_named(changes, found, tmp_path):
    with pytest.raises(InputError, match=re.escape(found)):
        aae.train("cluster", (ROWS, SPECIES), run=tmp_path / "run", **{**AS_GIVEN, **changes})
