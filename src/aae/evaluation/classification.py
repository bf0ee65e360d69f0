"""Measures of predicted labels beside the true ones (sections 4 and 5, Table 2). Rows labelled -1 are left out."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from aae.arrays import Array, ArrayLike, as_labels, as_matrix, labelled_rows, same_length
from aae.errors import InputError


def _pairs(labels: ArrayLike, predicted: ArrayLike) -> tuple[Array, Array]:
    true, guessed = as_labels(labels, "labels"), as_labels(predicted, "predicted")
    same_length(labels=true, predicted=guessed)
    known = labelled_rows(true)
    return true[known], guessed[known]


def _probabilities(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Array, Array]:
    true, given = as_labels(labels, "labels"), as_matrix(probabilities, "probabilities")
    same_length(labels=true, probabilities=given)
    known = labelled_rows(true)
    true, given = true[known], given[known]
    classes = given.shape[1]
    sums = given.sum(axis=1, keepdims=True)
    if classes < 2 or (given < 0).any() or not np.allclose(sums, 1, atol=0.01):
        raise InputError(
            f"probabilities: found {classes} columns with row sums from {sums.min():.3g} to {sums.max():.3g}, "
            "expected at least 2 columns of probabilities that sum to 1"
        )
    _within(true, classes, "labels")
    return true, given / sums  # half precision leaves sums a little off 1


def _within(values: Array, num_classes: int, name: str) -> None:
    if values.min() < 0 or values.max() >= num_classes:
        raise InputError(f"{name}: found {values.min()} to {values.max()}, expected 0 to {num_classes - 1}")


def error_percent(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Compute the fraction of rows with a wrong label, as in Table 2.

    Parameters
    ----------
    labels : array or tensor (n,)
        True labels; -1 leaves the row out.
    predicted : array or tensor (n,)
        Predicted labels.

    Returns
    -------
    float
        In percent, 0 to 100.

    Raises
    ------
    InputError
        If the lengths differ or no row has a label.
    """
    true, guessed = _pairs(labels, predicted)
    return 100 * (1 - float(accuracy_score(true, guessed)))


def confusion(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> Array:
    """Count each pair of true and predicted label.

    Parameters
    ----------
    labels : array or tensor (n,)
        True labels in [0, num_classes); -1 leaves the row out.
    predicted : array or tensor (n,)
        Predicted labels in [0, num_classes).
    num_classes : int
        K.

    Returns
    -------
    array (K, K) of int
        One row per true label, one column per predicted label.

    Raises
    ------
    InputError
        If the lengths differ, no row has a label, or a label is out of range.
    """
    true, guessed = _pairs(labels, predicted)
    _within(true, num_classes, "labels")
    _within(guessed, num_classes, "predicted")
    counts: Array = confusion_matrix(true, guessed, labels=np.arange(num_classes))
    return counts


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """Compute the gap between confidence and accuracy, averaged over equally wide bins of confidence (weighted by their rows).

    Parameters
    ----------
    labels : array or tensor (n,)
        True labels in [0, K); -1 leaves the row out.
    probabilities : array or tensor (n, K)
        q(y|x); the largest of a row is its confidence.
    bins : int
        How many bins cut (0, 1], at least 1.

    Returns
    -------
    float
        In percent, 0 to 100.

    Raises
    ------
    InputError
        If the shapes do not fit, no row has a label, a label is out of range or rows are not probabilities.
    """
    true, given = _probabilities(labels, probabilities)
    if bins < 1:
        raise InputError(f"bins: found {bins}, expected at least 1")
    confidence = given.max(axis=1)
    surplus = confidence - (given.argmax(axis=1) == true)
    members = np.ceil(confidence * bins).astype(np.int64) - 1
    # |mean confidence - accuracy| of a bin times its fraction of the rows = |sum of the surpluses in it| / n
    return 100 * float(np.abs(np.bincount(members, weights=surplus)).sum() / len(true))


def classification_report(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, Any]:
    """Compute all measures of a classifier q(y|x).

    Parameters
    ----------
    labels : array or tensor (n,)
        True labels in [0, K); -1 leaves the row out.
    probabilities : array or tensor (n, K)
        q(y|x) of each row.

    Returns
    -------
    dict
        ``error_percent``; ``ece_percent``, the expected calibration error; ``nll``, the mean -log q(y|x) of the true
        label in nats (a probability of zero counts as 2e-16); ``confusion``, K lists of K counts, one per true label.

    Raises
    ------
    InputError
        As for `expected_calibration_error`.
    """
    true, given = _probabilities(labels, probabilities)
    predicted = given.argmax(axis=1)
    classes = given.shape[1]
    return {
        "error_percent": error_percent(true, predicted),
        "ece_percent": expected_calibration_error(true, given),
        "nll": float(log_loss(true, given, labels=np.arange(classes))),
        "confusion": confusion(true, predicted, classes).tolist(),
    }
