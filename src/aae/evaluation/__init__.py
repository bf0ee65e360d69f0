"""Measurements on plain arrays and tensors: no model, no data set, no run directory is needed to use them."""

from aae.evaluation.classification import classification_report, confusion, error_percent, expected_calibration_error
from aae.evaluation.clustering import cluster_labels, clustering_report
from aae.evaluation.embedding import continuity, knn_accuracy_percent, trustworthiness
from aae.evaluation.matching import code_mismatch, energy_distance, holes, match_report, sliced_wasserstein

__all__ = [
    "classification_report",
    "cluster_labels",
    "clustering_report",
    "code_mismatch",
    "confusion",
    "continuity",
    "energy_distance",
    "error_percent",
    "expected_calibration_error",
    "holes",
    "knn_accuracy_percent",
    "match_report",
    "sliced_wasserstein",
    "trustworthiness",
]
