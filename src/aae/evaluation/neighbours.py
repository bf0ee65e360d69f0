"""Does a model copy its training data? Nearest training rows of samples, for figure 5."""

from __future__ import annotations

import math

import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min
from torch import Tensor

from aae.arrays import Array, ArrayLike, as_matrix
from aae.errors import InputError

VALUES_AT_ONCE = 4_000_000  # values of `rows` held in memory at a time: 32 MB in float64


def nearest_rows(queries: ArrayLike, rows: ArrayLike) -> tuple[Array, Array]:
    """Find the row nearest to each query, by the Euclidean distance.

    Parameters
    ----------
    queries : array or tensor (m, ...)
        What to look for; flattened.
    rows : array or tensor (n, ...)
        Where to look: as many values each, in the same units. Read block by block, so it may be memory-mapped.

    Returns
    -------
    indices : array (m,) of int64
        Of the nearest rows; where several are equally near, of one of them.
    distances : array (m,) of float64
        To the nearest rows, 0 or larger.

    Raises
    ------
    InputError
        If there are no queries or rows, they have different numbers of values, or values are not finite.
    """
    wanted = as_matrix(queries, "queries")
    source = rows if isinstance(rows, np.ndarray | Tensor) else np.asarray(rows)
    shape = tuple(source.shape)
    if len(shape) < 2 or not shape[0] or math.prod(shape[1:]) != wanted.shape[1]:
        raise InputError(
            f"rows: found shape {shape}, expected at least one row of {wanted.shape[1]} values as in queries"
        )
    indices = np.zeros(len(wanted), dtype=np.int64)
    distances = np.full(len(wanted), np.inf)
    size = max(1, VALUES_AT_ONCE // wanted.shape[1])
    for start in range(0, shape[0], size):
        block = as_matrix(source[start : start + size], "rows")
        candidates = pairwise_distances_argmin_min(wanted, block)[0]
        exact = np.linalg.norm(wanted - block[candidates], axis=1)  # the search itself rounds small distances
        closer = exact < distances
        indices[closer] = start + candidates[closer]
        distances[closer] = exact[closer]
    return indices, distances
