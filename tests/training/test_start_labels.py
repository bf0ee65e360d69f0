"""Labels of unlabelled rows that training starts from, and what training makes of them."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_moons
from sklearn.ensemble import RandomForestClassifier

import aae
from aae.errors import InputError
from aae.losses import classification_loss, start_loss
from aae.recipes import read
from aae.scaling import Scaling
from aae.training import quick_partitions
from aae.training.start_labels import start_labels

PLAIN = Scaling.identity()
SMALL = {"hidden_layer_sizes": (32,), "discriminator_layer_sizes": (16,), "batch_size": 50, "random_state": 0}


def _few(classes, count, seed):
    """Labels of `count` rows of each class, -1 elsewhere."""
    random, known = np.random.default_rng(seed), np.full(len(classes), -1)
    for k in np.unique(classes):
        known[random.permutation(np.flatnonzero(classes == k))[:count]] = k
    return known


def test_labels_that_two_views_agree_on_are_right_more_often():
    right, alone, given = [], [], []
    for seed in range(4):
        rows, true = make_moons(400, noise=0.08, random_state=seed)
        known = _few(true, 5, seed)
        hidden = known < 0
        found = start_labels(torch.from_numpy(rows), PLAIN, known, seed)
        assert (found[~hidden] == -1).all()
        forest = RandomForestClassifier(200, random_state=seed).fit(rows[~hidden], known[~hidden])
        alone.append((forest.predict(rows) == true)[hidden].mean())
        given.append((found >= 0)[hidden].mean())
        right.append((found == true)[found >= 0].mean())
    assert np.mean(right) > np.mean(alone) + 0.06
    assert np.mean(given) > 0.7
    assert np.array_equal(found, start_labels(torch.from_numpy(rows), PLAIN, known, seed))


@pytest.mark.parametrize("known", [[0, 1] * 20, [-1] * 40, [0] * 5 + [-1] * 35])
def test_there_are_none_where_nothing_is_open_or_nothing_tells(known):
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 3)))
    assert start_labels(rows, PLAIN, np.array(known), 0) is None


def test_equal_rows_are_no_failure():
    known = np.array([0, 0, 1, 1] + [-1] * 36)
    found = start_labels(torch.zeros(40, 3), PLAIN, known, 0)
    assert set(found[4:]) <= {-1, 0, 1}


def test_of_many_rows_some_are_drawn_with_labels_and_without(monkeypatch):
    monkeypatch.setattr(quick_partitions, "ROWS", 300)
    monkeypatch.setattr(quick_partitions, "LEAST_ROWS", 300)
    rows, true = load_digits(return_X_y=True)
    found = start_labels(torch.from_numpy(rows / 16), PLAIN, _few(true, 100, 0), 0)
    assert 100 < (found >= 0).sum() <= 150  # half of the 300: there are a thousand labels
    assert (found == true)[found >= 0].mean() > 0.9
    found = start_labels(torch.from_numpy(rows / 16), PLAIN, _few(true, 5, 0), 0)
    assert 150 < (found >= 0).sum() <= 250


def test_the_loss_is_the_cross_entropy_on_rows_that_have_such_a_label():
    logits, labels = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, -1, 2, 1, -1, 2])
    known = labels >= 0
    expected = classification_loss(logits[known], labels[known]) * known.sum() / len(labels)
    assert start_loss(logits.softmax(1), labels).item() == pytest.approx(expected.item())
    assert start_loss(logits.softmax(1), torch.full((6,), -1)).item() == 0
    sure = torch.tensor([[1.0, 0.0]], requires_grad=True)
    start_loss(sure, torch.tensor([1])).backward()
    assert torch.isfinite(sure.grad).all()


def test_training_starts_from_them_unless_told_otherwise(monkeypatch):
    rows, true = make_moons(200, noise=0.1, random_state=0)
    known = _few(true, 4, 0)
    model = aae.SemiSupervisedAAE(epochs=3, **SMALL).fit(rows, known)
    assert "start_loss" in model.history_[0]
    every = aae.SemiSupervisedAAE(epochs=1, **SMALL).fit(rows, true)
    assert "start_loss" not in every.history_[0]
    monkeypatch.setattr("aae.estimators.semi_supervised.start_labels", None)
    for settings in ({"init": "random"}, {"losses": "paper"}):
        other = aae.SemiSupervisedAAE(epochs=1, **SMALL, **settings).fit(rows, known)
        assert "start_loss" not in other.history_[0]
    aae.SemiSupervisedAAE(**SMALL).partial_fit(rows, known)
    model.set_params(warm_start=True, epochs=1).fit(rows, known)


def test_labels_to_start_from_are_left_behind():
    rows, true = make_moons(300, noise=0.08, random_state=0)
    known = _few(true, 4, 0)
    wrong = np.where(known < 0, 1 - true, -1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aae.estimators.semi_supervised.start_labels", lambda *_: wrong)
        model = aae.SemiSupervisedAAE(**SMALL).fit(rows, known)
    assert (model.predict(rows) == known)[known >= 0].all()  # the labels that are given hold


@pytest.mark.parametrize(
    ("recipe", "key"),
    [
        ("table2-mnist-all", "training.losses.joint"),
        ("table3-10-consistent", "data.labels"),
        ("table2-mnist-100-clusters", "model.label"),
    ],
)
def test_what_does_not_fit_is_said(recipe, key):
    with pytest.raises(InputError, match=f"training.start_labels does not fit {key}"):
        read(recipe, overrides=["training.start_labels=0.5"])
