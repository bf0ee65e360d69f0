"""Measurements on plain arrays and tensors: no model, no data set, no run directory is needed to use them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aae.evaluation.classification import classification_report as classification_report
    from aae.evaluation.classification import confusion as confusion
    from aae.evaluation.classification import error_percent as error_percent
    from aae.evaluation.classification import expected_calibration_error as expected_calibration_error
    from aae.evaluation.clustering import cluster_labels as cluster_labels
    from aae.evaluation.clustering import clustering_report as clustering_report
    from aae.evaluation.embedding import continuity as continuity
    from aae.evaluation.embedding import knn_accuracy_percent as knn_accuracy_percent
    from aae.evaluation.embedding import trustworthiness as trustworthiness
    from aae.evaluation.matching import code_mismatch as code_mismatch
    from aae.evaluation.matching import energy_distance as energy_distance
    from aae.evaluation.matching import fracture as fracture
    from aae.evaluation.matching import holes as holes
    from aae.evaluation.matching import match_report as match_report
    from aae.evaluation.matching import sliced_wasserstein as sliced_wasserstein

_HOMES = {
    "classification": ("classification_report", "confusion", "error_percent", "expected_calibration_error"),
    "clustering": ("cluster_labels", "clustering_report"),
    "embedding": ("continuity", "knn_accuracy_percent", "trustworthiness"),
    "matching": ("code_mismatch", "energy_distance", "fracture", "holes", "match_report", "sliced_wasserstein"),
}

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
    "fracture",
    "holes",
    "knn_accuracy_percent",
    "match_report",
    "sliced_wasserstein",
    "trustworthiness",
]


def __getattr__(name: str) -> Any:
    """Import a measure when it is first used: what reads `metrics` alone need not wait for scikit-learn."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"aae.evaluation.{module}"), name)
    raise AttributeError(f"module 'aae.evaluation' has no attribute {name!r}")
