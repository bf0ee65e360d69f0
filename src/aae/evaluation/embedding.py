"""Measures of the code space as a map of the data (section 7)."""

from __future__ import annotations

import numpy as np
from sklearn import manifold
from sklearn.neighbors import KNeighborsClassifier

from aae.arrays import Array, ArrayLike, as_labels, as_matrix, labelled_rows, same_length
from aae.errors import InputError

SUBSAMPLE = 5000


def knn_accuracy_percent(
    train_codes: ArrayLike, train_labels: ArrayLike, test_codes: ArrayLike, test_labels: ArrayLike, k: int = 10
) -> float:
    """Compute the accuracy of the vote of the k nearest training codes on test codes.

    Parameters
    ----------
    train_codes : array or tensor (n, d)
        Codes that vote.
    train_labels : array or tensor (n,)
        Their labels; -1 leaves the row out.
    test_codes : array or tensor (m, d)
        Codes to be named.
    test_labels : array or tensor (m,)
        Their true labels; -1 leaves the row out.
    k : int
        Voters, at least 1 and at most the number of labelled training rows.

    Returns
    -------
    float
        In percent, 0 to 100.

    Raises
    ------
    InputError
        If shapes do not fit, a set has no labelled row, or `k` is out of range.
    """
    codes, labels = as_matrix(train_codes, "train_codes"), as_labels(train_labels, "train_labels")
    same_length(train_codes=codes, train_labels=labels)
    queries, truth = as_matrix(test_codes, "test_codes"), as_labels(test_labels, "test_labels")
    same_length(test_codes=queries, test_labels=truth)
    if queries.shape[1] != codes.shape[1]:
        raise InputError(f"test_codes: found {queries.shape[1]} columns, expected {codes.shape[1]} as in train_codes")
    known, tested = labelled_rows(labels), labelled_rows(truth)
    if not 1 <= k <= known.sum():
        raise InputError(f"k: found {k}, expected 1 to {known.sum()}, the number of labelled training rows")
    voters = KNeighborsClassifier(n_neighbors=k).fit(codes[known], labels[known])
    return 100 * float(voters.score(queries[tested], truth[tested]))


def trustworthiness(rows: ArrayLike, codes: ArrayLike, k: int = 12, limit: int = SUBSAMPLE, seed: int = 0) -> float:
    """Compute whether neighbours on the map are neighbours in the data too: codes that are close though their rows are not cost.

    Parameters
    ----------
    rows : array or tensor (n, ...)
        The data; flattened.
    codes : array or tensor (n, d)
        Their codes.
    k : int
        Size of a neighbourhood, less than half the number of rows compared.
    limit : int
        More rows than this are subsampled, since the cost grows with the square of their number.
    seed : int
        Of the subsample; equal seeds choose equal rows.

    Returns
    -------
    float
        In [0, 1]; 1 is best, random codes have about 0.5.

    Raises
    ------
    InputError
        If shapes do not fit or `k` is out of range.
    """
    return _trustworthiness(*_chosen(rows, codes, k, limit, seed), k)


def continuity(rows: ArrayLike, codes: ArrayLike, k: int = 12, limit: int = SUBSAMPLE, seed: int = 0) -> float:
    """Compute whether neighbours in the data stay neighbours on the map: trustworthiness with the roles swapped.

    Parameters
    ----------
    rows : array or tensor (n, ...)
        The data; flattened.
    codes : array or tensor (n, d)
        Their codes.
    k : int
        Size of a neighbourhood, less than half the number of rows compared.
    limit : int
        More rows than this are subsampled, since the cost grows with the square of their number.
    seed : int
        Of the subsample; equal seeds choose equal rows.

    Returns
    -------
    float
        In [0, 1]; 1 is best, random codes have about 0.5.

    Raises
    ------
    InputError
        If shapes do not fit or `k` is out of range.
    """
    data, points = _chosen(rows, codes, k, limit, seed)
    return _trustworthiness(points, data, k)


def _chosen(rows: ArrayLike, codes: ArrayLike, k: int, limit: int, seed: int) -> tuple[Array, Array]:
    data, points = as_matrix(rows, "rows"), as_matrix(codes, "codes")
    count = same_length(rows=data, codes=points)
    if count > limit:
        some = np.random.default_rng(seed).choice(count, limit, replace=False)
        data, points = data[some], points[some]
    if not 1 <= k < len(data) / 2:
        raise InputError(f"k: found {k} for {len(data)} rows, expected at least 1 and less than half of the rows")
    return data, points


def _trustworthiness(original: Array, image: Array, k: int) -> float:
    return float(manifold.trustworthiness(original, image, n_neighbors=k))
