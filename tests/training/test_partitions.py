"""The partition that clusters start from, and what training makes of it."""

import time

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score

import aae
from aae.errors import InputError
from aae.scaling import Scaling
from aae.training import quick_partitions
from aae.training.partitions import agreement, partition_weights, start_partition

SMALL = {"hidden_layer_sizes": (32,), "discriminator_layer_sizes": (16,), "batch_size": 50, "random_state": 0}
UNEVEN, SIZES = make_blobs([450, 25, 25], 8, random_state=4)
PLAIN = Scaling.identity()


def _tensor(rows):
    return torch.from_numpy(rows.astype(np.float32))


def test_the_partition_suits_the_shape_of_the_groups():
    stretched, groups = make_blobs(600, 2, centers=4, random_state=170)
    stretched = stretched @ np.array([[0.6, -0.64], [-0.41, 0.85]])
    moons, halves = make_moons(500, noise=0.06, random_state=0)
    for rows, true in ((UNEVEN, SIZES), (stretched, groups), (moons, halves)):
        found = start_partition(_tensor(rows), PLAIN, true.max() + 1, 0).labels
        assert adjusted_rand_score(true, found) > 0.95
        assert (np.diff(np.bincount(found)) <= 0).all()  # the largest first
        assert np.array_equal(found, start_partition(_tensor(rows), PLAIN, true.max() + 1, 0).labels)


def test_groups_are_found_below_what_columns_have_in_common():
    found = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        true = rng.integers(8, size=600)
        common = rng.normal(size=(2, 12))  # what two factors, which tell nothing of the groups, do to the columns
        rows = rng.normal(size=(8, 12))[true] + rng.uniform(-4, 4, (600, 2)) @ common + 0.4 * rng.normal(size=(600, 12))
        rows = (rows - rows.mean(0)) / rows.std(0)
        found.append(adjusted_rand_score(true, start_partition(_tensor(rows), PLAIN, 8, 0).labels))
    assert np.mean(found) > 0.5  # 0.08 by distances between the rows as they are


def test_rows_with_many_equals_are_parted_too():
    rng = np.random.default_rng(1)
    true = rng.integers(2, size=2000)
    answers = np.abs(true[:, None] - (rng.random((2000, 5)) < 0.1))  # five questions: 32 rows that differ
    assert adjusted_rand_score(true, start_partition(_tensor(answers), PLAIN, 2, 0).labels) > 0.9


def test_agreement_is_the_information_of_neighbours():
    pairs = np.array([[1], [0], [3], [2]])
    assert agreement(np.array([0, 0, 1, 1]), pairs, 2) == pytest.approx(np.log(2))
    assert agreement(np.array([0, 1, 0, 1]), pairs, 2) == pytest.approx(np.log(2))  # each tells the other
    assert agreement(np.array([0, 0, 0, 0]), pairs, 2) == 0
    assert agreement(np.array([0, 0, 0, 1]), pairs, 2) < 0.1


def test_partitions_that_err_in_different_ways_agree_on_the_groups():
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        true, letters = rng.integers(3, size=600), rng.integers(4, size=(600, 30))
        usual = rng.integers(4, size=(3, 6))[true]  # of the first six letters
        letters[:, :6] = np.where(rng.random((600, 6)) < 0.6, usual, letters[:, :6])
        rows = np.eye(4)[letters].reshape(600, -1)
        found.append(adjusted_rand_score(true, start_partition(_tensor(rows), PLAIN, 3, 0).labels))
    assert np.mean(found) > 0.65  # 0.61 by the one partition in which neighbours agree most


def test_a_graph_in_several_parts_is_cut_in_seconds():
    rng = np.random.default_rng(110)
    kinds, size, columns = rng.integers(6, 20), int(rng.choice([300, 600, 1000])), int(rng.integers(10, 22))
    categories = rng.integers(2, 7, size=columns)
    kind, usual = rng.integers(kinds, size=size), rng.integers(1000, size=(kinds, columns))
    free = rng.random((kinds, columns)) < 0.35
    drawn = np.where(free[kind], rng.integers(1000, size=(size, columns)), usual[kind]) % categories
    rows = np.concatenate([np.eye(count)[drawn[:, place]] for place, count in enumerate(categories)], axis=1)
    begun = time.process_time()
    start_partition(_tensor(rows), PLAIN, 2, 0)
    assert time.process_time() - begun < 5  # twenty and more, where eigenvectors are to be as exact as they can


def test_a_partition_counts_by_its_neighbours_and_by_the_others():
    groups = np.repeat([0, 1], 50)
    neighbours = np.arange(100)[:, None] // 50 * 50 + np.arange(1, 4)  # all within a group
    swapped, parity = 1 - groups, np.arange(100) % 2
    weights = partition_weights(np.array([groups, swapped, parity]), [neighbours], 2)
    assert weights.mean() == pytest.approx(1)
    assert weights[0] == pytest.approx(weights[1])  # which cluster is called 0 makes no difference
    assert weights[2] < 1e-6 * weights[0]
    unsure = np.arange(100)[::-1, None]  # every neighbour is of the other group: all partitions have the same agreement
    ahead = partition_weights(np.array([groups, groups, parity]), [unsure], 2)
    assert ahead[0] > 2 * ahead[2]
    assert partition_weights(groups[None], [neighbours], 2).tolist() == [1]


def test_some_rows_stand_for_many(monkeypatch):
    monkeypatch.setattr(quick_partitions, "ROWS", 300)
    found = start_partition(_tensor(UNEVEN), PLAIN, 3, 0).labels
    assert (found >= 0).sum() == 300
    assert adjusted_rand_score(SIZES[found >= 0], found[found >= 0]) > 0.95
    model = aae.AAEClusterer(3, epochs=60, **SMALL).fit(UNEVEN)
    assert adjusted_rand_score(SIZES, model.labels_) > 0.9


@pytest.mark.parametrize(("rows", "clusters"), [(np.ones((20, 3)), 4), (np.eye(6), 6), (np.arange(5.0)[:, None], 2)])
def test_rows_without_groups_have_a_partition_too(rows, clusters):
    found = start_partition(_tensor(rows), PLAIN, clusters, 0).labels
    assert found.min() == 0
    assert found.max() < clusters


def test_clusters_of_uneven_size_are_found_without_their_shares():
    model = aae.AAEClusterer(3, epochs=60, **SMALL).fit(UNEVEN)
    assert adjusted_rand_score(SIZES, model.labels_) > 0.9
    assert np.bincount(model.labels_).tolist() == pytest.approx([450, 25, 25], abs=10)
    # No cluster is expected to have less than a fifth of an even share.
    assert model.model_.label_shares == pytest.approx([0.871, 0.065, 0.065], abs=1e-3)
    asked = aae.AAEClusterer(3, epochs=60, cluster_prior=[0.05, 0.9, 0.05], **SMALL).fit(UNEVEN)
    assert np.bincount(asked.labels_).argmax() == 1


def test_a_partition_can_be_given():
    given = np.where(np.arange(500) % 2, SIZES, -1)
    model = aae.AAEClusterer(3, init=given, epochs=60, **SMALL).fit(UNEVEN)
    assert (model.labels_ == SIZES).mean() > 0.97
    assert "classification_loss" in model.history_[-1]
    for init, message in (
        (given[:9], r"init has shape \(9,\) and type int64; expected a whole number for each of 500 rows"),
        (given + 0.5, r"init has shape \(500,\) and type float64; expected a whole number"),
        (given + 1, r"init goes from 0 to 3; expected -1 to 2, the last cluster"),
    ):
        with pytest.raises(InputError, match=message):
            aae.AAEClusterer(3, init=init, epochs=1, **SMALL).fit(UNEVEN)


def test_training_begins_without_a_partition_where_none_is_asked_for(monkeypatch):
    monkeypatch.setattr("aae.estimators.clustering.start_partition", None)
    for options, losses in (
        ({"init": "random"}, {"consistency_loss", "information_loss"}),
        ({"losses": "paper"}, set()),
    ):
        record = aae.AAEClusterer(3, epochs=1, **SMALL, **options).fit(UNEVEN).history_[-1]
        assert losses <= set(record)
        assert "classification_loss" not in record
        assert ("consistency_loss" in record) == bool(losses)


def test_clusters_are_found_chunk_by_chunk(monkeypatch):
    monkeypatch.setattr("aae.estimators.clustering.STEPS", 200)
    rows, groups = make_blobs([250, 150, 100], 8, cluster_std=4.0, random_state=4)  # they overlap
    model = aae.AAEClusterer(3, **SMALL)
    for _ in range(6):
        for chunk in (rows[:300], rows[200:]):
            model.partial_fit(chunk)
    assert adjusted_rand_score(groups, model.predict(rows)) > 0.9
    assert ["classification_loss" in record for record in model.history_] == [True] * 10 + [False] * 2
    before = model.labels_
    with pytest.raises(InputError):
        model.set_params(n_clusters=4).partial_fit(rows)
    assert model.labels_ is before


def test_many_clusters_are_learnt_before_the_partition_counts_no_more():
    random = np.random.default_rng(2)
    centres = []
    for place in random.uniform(0, 10, (400, 2)):
        if len(centres) < 40 and all(np.linalg.norm(place - other) > 1.1 for other in centres):
            centres.append(place)
    true = np.repeat(np.arange(len(centres)), 30)
    rows = np.array(centres)[true] + 0.16 * random.normal(size=(len(true), 2))
    found = aae.AAEClusterer(len(centres), random_state=0).fit(rows).labels_
    assert adjusted_rand_score(true, found) > 0.99


def test_groups_that_are_set_apart_are_found_whatever_their_sizes():
    random = np.random.default_rng(0)
    true = np.repeat(np.arange(8), [500, 500, 500, 25, 25, 25, 25, 25])
    centres = np.array([[0, 0], [0, 9], [0, 18], [30, 0], [36, 4], [30, 9], [36, 14], [30, 18]])
    rows = centres[true] + random.normal(size=(len(true), 2))
    assert adjusted_rand_score(true, start_partition(_tensor(rows), PLAIN, 8, 0).labels) == 1


def test_clusters_of_fine_shape_that_are_set_apart_are_found_and_kept():
    random = np.random.default_rng(0)
    true = np.repeat([0, 1, 2], 200)
    turn = random.uniform(0.5, 2.5, 600) * np.pi
    angle = turn + 2 * np.pi / 3 * true  # three spirals within each other
    rows = turn[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.1 * random.normal(size=(600, 2))
    stray = random.permutation(600)[:6]
    rows[stray] = random.uniform(-6, 6, (6, 2))
    start, within = start_partition(_tensor(rows), PLAIN, 3, 0), np.setdiff1d(np.arange(600), stray)
    assert start.apart
    assert adjusted_rand_score(true[within], start.labels[within]) > 0.9
    found = aae.AAEClusterer(3, random_state=0).fit(rows).labels_
    assert adjusted_rand_score(true[within], found[within]) > 0.85


@pytest.mark.parametrize("outliers", [15, 40])
def test_outliers_are_no_cluster_that_is_set_apart(outliers):
    random = np.random.default_rng(1)
    true = np.repeat([0, 1], 500)
    rows = 2.6 * true[:, None] + random.normal(size=(1000, 2))
    far = 40 + random.normal(size=(outliers, 2))
    start = start_partition(_tensor(np.concatenate([rows, far])), PLAIN, 2, 0)
    assert not start.apart


def test_groups_that_overlap_are_not_set_apart():
    random = np.random.default_rng(2)
    rows = 3.0 * np.repeat(np.eye(3), 200, axis=0) + random.normal(size=(600, 3))
    assert not start_partition(_tensor(rows), PLAIN, 3, 0).apart
