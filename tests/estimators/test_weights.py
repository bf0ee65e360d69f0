"""Weights of rows and of classes."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs

import aae
from aae.errors import InputError
from aae.estimators.weights import repeat, row_order
from aae.noise import Noise
from aae.training.data import weighted_order

TINY = {"hidden_layer_sizes": (16,), "discriminator_layer_sizes": (8,), "batch_size": 20, "random_state": 0}
ROWS, LABELS = make_blobs([90, 10], 4, centers=np.array([[0.0] * 4, [1.2] * 4]), random_state=0)


def semi(**options):
    return aae.SemiSupervisedAAE(**{"epochs": 10, **TINY, **options})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            -np.ones(100),
            "sample_weight has -1 in row 0 (counted from 0); expected weights that are finite and 0 or larger",
        ),
        (
            np.r_[np.ones(99), np.nan],
            "sample_weight has nan in row 99 (counted from 0); expected weights that are finite",
        ),
        (np.zeros(100), "sample_weight is zero for each row; expected a weight above zero for some"),
        (np.ones(99), "sample_weight has shape (99,); expected (100,), one weight for each row"),
        (["a"] * 100, "sample_weight holds values that are no numbers; expected 100 numbers, 0 or larger"),
        (np.eye(100)[0], "sample_weight leaves one row; expected at least two with a weight above zero"),
    ],
)
def test_weights_that_are_none_are_refused_in_one_line(weights, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        aae.AAE(2, epochs=1, **TINY).fit(ROWS, sample_weight=weights)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({"2": 1.0}, "unknown class in class_weight '2'; expected one of: 0, 1"),
        ({"1": 1.0}, "class in class_weight is '1'; expected one of: 0, 1"),
        ({0: -1.0}, "class_weight has -1 in class 0; expected weights that are finite and 0 or larger"),
        ({0: 0, 1: 0}, "class_weight is zero for each class"),
    ],
)
def test_weights_of_classes_that_are_none_are_refused_in_one_line(class_weight, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        semi(class_weight=class_weight).fit(ROWS, LABELS)


def test_rows_are_drawn_as_often_as_their_weights_say():
    weights = torch.tensor([0.0, 0.5, 1.0, 2.5])
    drawn = weighted_order(weights, 40, Noise(0, 0))
    assert torch.bincount(drawn, minlength=4).tolist() == [0, 5, 10, 25]
    counts = [torch.bincount(weighted_order(weights, 6, Noise(seed, 0)), minlength=4) for seed in range(40)]
    assert (torch.stack(counts) - 6 * weights / 4).abs().max() < 1  # rounded up or down, in every epoch
    assert len({tuple(weighted_order(weights, 6, Noise(seed, 0)).tolist()) for seed in range(5)}) > 1


def test_whole_weights_are_repetitions_and_others_probabilities():
    order = np.array([2, 0, 1])
    assert repeat(order, np.array([1.0, 0.0, 3.0]))[0].tolist() == [2, 2, 2, 0]
    kept, drawn = repeat(order, np.array([1.5, 0.0, 3.0]))
    assert kept.tolist() == [2, 0]
    assert drawn.tolist() == [3.0, 1.5]
    assert repeat(order, np.full(3, 0.1))[1] is None  # all count the same


def test_what_is_learnt_does_not_depend_on_the_order_of_the_rows():
    order = np.random.default_rng(0).permutation(100)
    one, other = semi(epochs=2).fit(ROWS, LABELS), semi(epochs=2).fit(ROWS[order], LABELS[order])
    np.testing.assert_array_equal(one.predict_proba(ROWS), other.predict_proba(ROWS))
    assert (row_order(ROWS[order], None) == np.argsort(order)[row_order(ROWS, None)]).all()


def test_a_heavier_class_is_found_more_often():
    plain, balanced, heavy = (
        semi(class_weight=weight).fit(ROWS, LABELS).predict_proba(ROWS)[:, 1].mean()
        for weight in (None, "balanced", {1: 100})
    )
    assert plain + 0.05 < balanced < heavy


def test_rows_of_weight_zero_are_not_learnt_from():
    weights = np.where(LABELS == 1, 0.0, np.linspace(0.5, 1.5, 100))
    model = aae.AAE(2, epochs=20, **TINY).fit(ROWS, sample_weight=weights)
    alone = aae.AAE(2, epochs=20, **TINY).fit(ROWS[LABELS == 0])
    assert model.noise_variance_.mean() == pytest.approx(alone.noise_variance_.mean(), rel=0.4)
    np.testing.assert_allclose(model.scaler_.offset, alone.scaler_.offset)
    with pytest.raises(InputError, match=r"^y has 1 class, 0; expected at least 2; rows of weight 0 are left out"):
        semi().fit(ROWS, LABELS, sample_weight=weights)


def test_weights_in_steps():
    weights = np.linspace(0, 1, 100)
    model = semi().partial_fit(ROWS, LABELS, sample_weight=weights)
    assert len(model.partial_fit(ROWS, LABELS, sample_weight=weights).history_) == 2


def test_a_row_of_weight_zero_is_not_there():
    """Whatever it holds: a class of its own, a category, a gap, an extreme, a covariate, a place among validation rows."""
    random = np.random.default_rng(0)
    keep, odd = random.uniform(size=100) < 0.7, np.arange(100) % 2
    table = pd.DataFrame(ROWS, columns=list("abcd")).assign(kind=np.where(keep, "x", "only here"))
    table.loc[keep & (LABELS == 0), "kind"] = "y"
    table.loc[~keep, "a"] = 1e6
    labels = np.where(keep, np.where(odd, "t", "f"), "nowhere else")
    labels[keep & (random.uniform(size=100) < 0.5)] = ""
    few = semi(epochs=2, missing="mask", early_stopping=True)
    given = {"covariates": {"donor": np.where(keep, "m", "n")}}
    weighted = clone(few).fit(table, labels, sample_weight=keep, **given)
    alone = clone(few).fit(table[keep], labels[keep], covariates={"donor": np.repeat("m", keep.sum())})
    assert weighted.classes_.tolist() == ["f", "t"]
    assert weighted.columns_ == alone.columns_
    np.testing.assert_array_equal(weighted.predict_proba(table[keep]), alone.predict_proba(table[keep]))
    with pytest.raises(InputError, match="y has 1 class, 'f'; expected at least 2; rows of weight 0 are left out"):
        clone(few).fit(table, labels, sample_weight=labels == "f")


@pytest.mark.parametrize("maker", [aae.AAEClusterer, aae.AAEEmbedding])
def test_rows_of_weight_zero_have_a_cluster_and_a_place(maker):
    weights = np.arange(100) % 2
    options = {"init": LABELS} if maker is aae.AAEClusterer else {}
    model = maker(n_clusters=2, epochs=2, **options, **TINY).fit(ROWS, sample_weight=weights)
    found, again = (model.labels_, model.predict(ROWS)) if options else (model.embedding_, model.transform(ROWS))
    np.testing.assert_array_equal(found, again)
    options = {"init": LABELS[1::2]} if options else {}
    alone = maker(n_clusters=2, epochs=2, **options, **TINY).fit(ROWS[1::2], sample_weight=np.ones(50))
    np.testing.assert_array_equal(model.predict_proba(ROWS), alone.predict_proba(ROWS))


def test_classes_of_a_map_have_weights():
    options = {"epochs": 2, **TINY}
    usual, heavy = (
        aae.AAEEmbedding(class_weight=one, **options).fit(ROWS, LABELS) for one in (None, {0: 0.001, 1: 20.0})
    )
    assert heavy.predict_proba(ROWS)[:, 1].mean() > usual.predict_proba(ROWS)[:, 1].mean()
    with pytest.raises(InputError, match=r"^class_weight has -1 in class 't'; expected weights"):
        aae.AAEEmbedding(class_weight={"t": -1}, **options).fit(ROWS, np.where(LABELS, "t", "f"))
    with pytest.raises(InputError, match=r"^class_weight weighs the classes of y, and no row has a label"):
        aae.AAEEmbedding(class_weight="balanced", **options).fit(ROWS)


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        ([0.2, 0.8], (0.2, 0.8)),
        ({"b": 0.9, "a": 0.1}, (0.1, 0.9)),
        (pd.Series({"b": 0.9, "a": 0.1}), (0.1, 0.9)),
        (pd.Series([0.2, 0.8]), (0.2, 0.8)),
    ],
    ids=["list", "dict", "series by class", "series by place"],
)
@pytest.mark.parametrize("name", ["class_prior", "cluster_prior"])
def test_shares_of_classes_go_by_class_where_they_name_it(prior, expected, name):
    rows = np.r_[np.zeros((20, 3)), np.ones((20, 3))] + np.random.default_rng(0).normal(size=(40, 3))
    maker = aae.SemiSupervisedAAE if name == "class_prior" else aae.AAEEmbedding
    small = {"hidden_layer_sizes": (4,), "discriminator_layer_sizes": (4,), "epochs": 1, "random_state": 0}
    model = maker(**{name: prior}, **small).fit(rows, np.repeat(["a", "b"], 20))
    assert model.model_.latent("label").prior.probabilities == pytest.approx(expected)
    with pytest.raises(InputError, match=f"^{name} has the keys 'a', 'c'; expected a number for each of 'a', 'b'"):
        maker(**{name: {"a": 0.1, "c": 0.9}}, **small).fit(rows, np.repeat(["a", "b"], 20))
    with pytest.raises(InputError, match=f"^{name} has the keys 'x', 'a'; expected a number for each of 'a', 'b'"):
        maker(**{name: pd.Series({"x": 0.1, "a": 0.9})}, **small).fit(rows, np.repeat(["a", "b"], 20))
    if name == "cluster_prior":
        with pytest.raises(InputError, match=r"^cluster_prior has the keys 0, 1; expected a list"):
            aae.AAEClusterer(2, cluster_prior={0: 0.1, 1: 0.9}, **small).fit(rows)
