"""Clustering measures on hand-made clusters."""

import numpy as np
import pytest
import torch

from aae.errors import InputError
from aae.evaluation import cluster_labels, clustering_report


def logits(clusters, count, sharpness=5.0):
    return sharpness * np.eye(count)[np.asarray(clusters)]


def test_cluster_labels_follow_the_surest_validation_example():
    scores = [[2.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, 0.5]]
    assert cluster_labels(scores, [7, 8, 9, 5]).tolist() == [8, 9]
    assert cluster_labels(scores, [7, -1, 9, 5]).tolist() == [7, 9]


def test_cluster_labels_see_through_a_saturated_softmax():
    scores = torch.tensor(
        [[100.0, 0.0, 0.0], [120.0, 0.0, 0.0], [500.0, 450.0, 450.0], [0.0, 90.0, 80.0], [0.0, 9.0, 50.0]]
    )
    assert (scores.double().softmax(1)[:3, 0] == 1).all()  # a tie, were it not for the logits
    # The largest logit (row 2) is not the largest probability (row 1)
    assert cluster_labels(scores, [0, 1, 2, 3, 4]).tolist() == [1, 3, 4]


def test_of_rows_that_tie_in_float32_the_first_names_the_cluster():
    scores = torch.tensor([[100.0, 0.0], [120.0, 0.0], [0.0, 3.0]])
    assert cluster_labels(scores, [5, 6, 7]).tolist() == [6, 7]
    assert cluster_labels(scores, [5, 6, 7], rounded=True).tolist() == [5, 7]


def test_perfect_clusters_under_any_permutation():
    labels = np.arange(60) % 6
    for permutation in (np.arange(6), np.array([3, 1, 0, 5, 2, 4])):
        report = clustering_report(logits(permutation[labels], 6), labels, logits(permutation[labels], 6), labels)
        assert report == pytest.approx(
            {
                "clustering_error_percent": 0,
                "clustering_error_rounded_percent": 0,
                "majority_vote_error_percent": 0,
                "clustering_accuracy_hungarian_percent": 100,
                "nmi": 1,
                "ari": 1,
                "clusters_in_use": 6,
            }
        )


def test_measures_are_invariant_under_renaming_of_clusters():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 300)
    scores = generator.standard_normal((300, 7)) + 2 * np.eye(7)[labels]
    swapped = scores[:, generator.permutation(7)]
    before = clustering_report(scores[:150], labels[:150], scores[150:], labels[150:])
    after = clustering_report(swapped[:150], labels[:150], swapped[150:], labels[150:])
    assert before == pytest.approx(after)
    assert 0 < before["clustering_error_percent"] < 100


def test_more_clusters_than_classes():
    # Class 0 in clusters 0 (6 rows) and 1 (4 rows), class 1 in cluster 2 (10 rows), cluster 3 empty
    clusters, labels = np.repeat([0, 1, 2], [6, 4, 10]), np.repeat([0, 0, 1], [6, 4, 10])
    report = clustering_report(logits(clusters, 4), labels, logits(clusters, 4), labels)
    assert report["clustering_error_percent"] == 0  # many to one
    assert report["majority_vote_error_percent"] == 0
    assert report["clustering_accuracy_hungarian_percent"] == pytest.approx(80)  # one to one
    assert report["clusters_in_use"] == 3


def test_protocols_differ_where_the_surest_example_is_not_typical():
    clusters, labels = [0, 0, 0, 1, 1], [3, 3, 4, 4, 4]
    scores = logits(clusters, 2)
    scores[2] *= 2  # the odd one out in cluster 0 is the surest
    report = clustering_report(scores, labels, logits(clusters, 2), labels)
    assert report["clustering_error_percent"] == pytest.approx(40)
    assert report["majority_vote_error_percent"] == pytest.approx(20)
    assert report["clustering_accuracy_hungarian_percent"] == pytest.approx(80)


def test_a_cluster_without_validation_rows_is_named_by_its_surest_example():
    scores = [[9.0, 0.0, 3.0], [9.0, 0.0, 1.0], [0.0, 9.0, 2.0]]
    report = clustering_report(scores, [0, 0, 1], [[0.0, 0.0, 1.0]], [0])
    assert report["majority_vote_error_percent"] == report["clustering_error_percent"] == 0


def test_wrong_input_is_an_input_error():
    with pytest.raises(InputError, match="at least 2"):
        cluster_labels([[1.0], [2.0]], [0, 1])
    with pytest.raises(InputError, match="found 3 clusters, expected 2"):
        clustering_report(logits([0, 1], 2), [0, 1], logits([0, 1], 3), [0, 1])
    with pytest.raises(InputError, match="-1 in all 2 rows"):
        clustering_report(logits([0, 1], 2), [0, 1], logits([0, 1], 2), [-1, -1])
