"""AAE as a detector of anomalies: score, threshold, verdicts."""

import re

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

import aae
from aae.anomaly_score import code_and_residual
from aae.recipes.dimension import principal_dimension

TINY = {"hidden_layer_sizes": (32,), "discriminator_layer_sizes": (16,), "epochs": 20, "learning_rate": 0.01}


def curve(n=300, seed=0):
    """Rows on a curve in five columns of different noise, and one column that is constant."""
    generator = np.random.default_rng(seed)
    place = generator.uniform(-2, 2, n)
    rows = np.stack([place, place**2, np.sin(2 * place), -place, np.cos(place), np.ones(n)], axis=1)
    return rows + generator.normal(size=rows.shape) * [0.02, 0.02, 0.02, 0.3, 0.02, 0]


ROWS = curve()
OFF = StandardScaler().fit(ROWS).inverse_transform(np.random.default_rng(1).normal(size=(100, 6)))
OFF[:, 5] = 1


@pytest.fixture(scope="module")
def model():
    return aae.AAE(2, random_state=0, **TINY).fit(ROWS)


def test_the_score_is_its_equation(model):
    scaled = model.scaler_.transform(ROWS).astype(np.float64)
    codes = model.transform(ROWS).astype(np.float64)
    with torch.no_grad():
        decoded = model.model_.decode({"style": torch.from_numpy(codes).float()}).numpy()
    residuals = scaled - decoded
    variance = np.square(residuals).mean(0)
    np.testing.assert_allclose(model.noise_variance_, np.maximum(variance, 1.2e-7), rtol=1e-3, atol=1e-7)
    noise = np.sqrt(np.maximum(variance, 0.01 * variance.mean()))
    units = np.sqrt(noise * np.sqrt(scaled.var(0).mean()))
    points = np.hstack([(codes - codes.mean(0)) / np.sqrt(codes.var(0).mean()), residuals / units])
    distances, places = NearestNeighbors(n_neighbors=10).fit(points).kneighbors()
    log_distances = np.log(distances + 0.01 * np.median(distances)).mean(1)
    expected = log_distances[places].mean(1) / 2 - log_distances
    np.testing.assert_allclose(model.score_samples(ROWS), expected, rtol=1e-3, atol=1e-3)
    assert model.score(ROWS) == pytest.approx(expected.mean(), abs=1e-3)


def test_anomalies_are_found_and_normal_rows_are_left_alone(model):
    new = curve(200, 5)
    scores = model.score_samples(np.concatenate([new, OFF]))
    assert roc_auc_score(np.arange(300) < 200, scores) > 0.95
    assert (model.predict(new) == 1).mean() > 0.93
    assert (model.predict(OFF) == -1).mean() > 0.7
    np.testing.assert_array_equal(model.predict(OFF), np.where(model.decision_function(OFF) < 0, -1, 1))
    np.testing.assert_allclose(model.decision_function(OFF), model.score_samples(OFF) - model.offset_)


def test_auto_threshold_is_the_lower_fence_of_the_training_scores(model):
    low, high = np.quantile(model.score_samples(ROWS), [0.25, 0.75])
    assert model.offset_ == pytest.approx(low - 1.5 * (high - low))


def test_a_change_in_a_constant_column_and_far_rows_are_anomalies(model):
    changed = ROWS[:5].copy()
    changed[:, 5] = 3
    assert (model.predict(changed) == -1).all()
    far = model.score_samples(ROWS[:5] + 1e30)
    assert np.isfinite(far).all()
    assert far.max() < model.offset_


def test_scores_do_not_depend_on_the_batch_and_memory_is_bounded(model, monkeypatch):
    whole = model.score_samples(OFF)
    monkeypatch.setattr("aae.anomaly_score.AT_ONCE", 3000)
    assert model._anomaly_score.neighbours.batch_size == 10
    np.testing.assert_allclose(model.score_samples(OFF), whole, atol=1e-9)


@pytest.mark.parametrize("estimator", [aae.SupervisedAAE, aae.SemiSupervisedAAE, aae.AAEClusterer, aae.AAEEmbedding])
def test_every_estimator_says_how_normal_rows_are(estimator, tmp_path):
    size = "n_components" if estimator is aae.AAEEmbedding else "latent_dim"
    model = estimator(**{size: 2}, random_state=0, **TINY).fit(ROWS, (ROWS[:, 0] > 0).astype(int))
    scores = model.score_samples(np.concatenate([curve(200, 5), OFF]))
    assert roc_auc_score(np.arange(300) < 200, scores) > 0.9
    np.testing.assert_array_equal(estimator.load(model.save(tmp_path / "kept")).score_samples(OFF), scores[200:])


def test_a_decoder_that_sees_the_label_is_told_that_which_leaves_least():
    labels = np.arange(300) % 3
    model = aae.SupervisedAAE(2, random_state=0, **TINY).fit(ROWS + labels[:, None] * [0, 0, 2, 0, 0, 0], labels)
    scaled, codes = model.scaler_.transform(OFF), model.transform(OFF)
    each = np.stack([scaled - model.scaler_.transform(model.decode(codes, np.full(100, k))) for k in range(3)])
    least = each[np.square(each).sum(2).argmin(0), np.arange(100)]
    assert len(np.unique(np.square(each).sum(2).argmin(0))) > 1
    with torch.no_grad():
        style, residuals = code_and_residual(model.model_, torch.from_numpy(scaled))
    np.testing.assert_allclose(style, codes, rtol=1e-5)
    vary = ROWS.std(0) > 0  # a column that never varied is decoded as it was
    np.testing.assert_allclose(residuals[:, vary], least[:, vary], atol=1e-4)


def test_many_rows_are_compared_with_a_sample(monkeypatch):
    monkeypatch.setattr("aae.anomaly_score.COMPARED_ROWS", (50, 100))
    model = aae.AAE(2, random_state=0, **TINY).fit(ROWS)
    assert len(model._compared["points"]) == 100
    assert roc_auc_score(np.arange(400) < 300, model.score_samples(np.concatenate([ROWS, OFF]))) > 0.9
    model.partial_fit(ROWS)
    assert np.isfinite(model.score_samples(OFF)).all()


def test_contamination_sets_the_fraction_and_leaves_the_furthest_rows_out(model):
    bunch = OFF[:1] + np.random.default_rng(2).normal(size=(15, 6)) * 0.01
    mixed = np.concatenate([ROWS[:285], bunch])
    blind, told = (aae.AAE(2, random_state=0, contamination=c, **TINY).fit(mixed) for c in ("auto", 0.05))
    assert (told.predict(mixed) == -1).sum() == 15
    assert len(told._compared["points"]) == 285
    truth = np.arange(300) < 285
    assert roc_auc_score(truth, told.score_samples(mixed)) > roc_auc_score(truth, blind.score_samples(mixed))
    assert roc_auc_score(truth, told.score_samples(mixed)) > 0.95


def test_the_threshold_of_few_rows_is_that_of_new_ones():
    generator = np.random.default_rng(4)
    few, new = generator.normal(size=(60, 12)), generator.normal(size=(600, 12))
    model = aae.AAE(4, contamination=0.1, random_state=0, **{**TINY, "epochs": 150}).fit(few)
    assert (model.predict(few) == -1).sum() == 6  # as many of the training rows as were said
    assert (model.predict(new) == -1).mean() < 0.25
    scores = model.score_samples(new)
    by_own = np.quantile(model.score_samples(few), 0.1) + model._anomaly_score.optimism
    assert (scores < by_own).mean() > 2 * (scores < model.offset_).mean()


def test_after_partial_fit_nothing_is_measured_until_it_is_needed(monkeypatch):
    model = aae.AAE(2, contamination=0.1, random_state=0, **TINY)
    measured, measure = [], aae.AAE._measure
    monkeypatch.setattr(aae.AAE, "_measure", lambda self, *given: measured.append(1) or measure(self, *given))
    for part in np.array_split(ROWS, 3):
        model.partial_fit(part)
    assert not measured
    assert (model.predict(ROWS) == -1).mean() < 0.5
    model.decision_function(ROWS)
    assert len(measured) == 1


def test_the_score_is_a_module_of_tensors(model):
    rows = torch.from_numpy(model.scaler_.transform(OFF))
    with torch.no_grad():
        n = torch.export.Dim("n")
        exported = torch.export.export(model._anomaly_score.eval(), (rows[:20],), dynamic_shapes=({0: n},))
        np.testing.assert_allclose(exported.module()(rows), model.score_samples(OFF), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("contamination", [0, -0.1, 0.6, "many", float("nan"), None])
def test_contamination_outside_its_range_is_named(contamination):
    with pytest.raises(ValueError, match=re.escape("float in the range (0.0, 0.5] or a str among {'auto'}")):
        aae.AAE(2, contamination=contamination, **TINY).fit(ROWS)


def test_rows_that_are_not_numbers_are_refused(model):
    with pytest.raises(ValueError, match="NaN"):
        model.predict(np.where(np.eye(6) == 1, np.nan, 1.0))


def test_auto_dimension_is_that_of_the_principal_components():
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(400, 3)) @ generator.normal(size=(3, 12)) + 0.01 * generator.normal(size=(400, 12))
    found = aae.AAE("auto", random_state=0, **{**TINY, "epochs": 2}).fit(rows)
    assert found.latent_dim_ == found.transform(rows).shape[1] <= 3
    with_prior = aae.AAE("auto", prior=aae.priors.SwissRoll(), random_state=0, **{**TINY, "epochs": 2}).fit(rows)
    assert with_prior.latent_dim_ == 2
    eye = torch.eye(10)
    assert principal_dimension(torch.cat([eye, -eye])) == 9
    assert principal_dimension(torch.ones(5, 3)) == 1
