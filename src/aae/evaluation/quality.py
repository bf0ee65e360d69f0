"""Measures of samples of a model beside the Parzen window, in the feature space of a classifier.

- the *Fréchet distance* compares mean and covariance of the features of real and generated rows;
- *precision* is the fraction of generated rows that look real, *recall* the fraction of real rows that the model can produce.

Results depend on the features; numbers are comparable only between measurements with the same features and sizes.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors

from aae.arrays import Array, ArrayLike, as_matrix
from aae.errors import InputError

WORKING_MEMORY = 64  # MB of distances held at a time
ROUNDING = 1e-7  # relative error of distances that are differences of squared norms


def _two_sets(a: ArrayLike, b: ArrayLike, names: tuple[str, str]) -> tuple[Array, Array]:
    first, second = as_matrix(a, names[0]), as_matrix(b, names[1])
    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"{names[0]} and {names[1]}: found {first.shape[1]} and {second.shape[1]} columns, expected equal numbers"
        )
    return first, second


def frechet_distance(a: ArrayLike, b: ArrayLike) -> float:
    r"""Compute the Fréchet distance between the Gaussians that are fitted to two samples (Heusel et al. 2017).

    The squared type, as in the Fréchet inception distance (FID):
    \|mean_a - mean_b\|^2 + trace(C_a + C_b - 2 (C_a C_b)^(1/2)).

    Parameters
    ----------
    a : array or tensor (n, d)
        Features of the first sample, n at least 2.
    b : array or tensor (m, d)
        Features of the second sample, m at least 2.

    Returns
    -------
    float
        At least 0, in squared feature units.

    Raises
    ------
    InputError
        If a sample is too small or not finite, or the dimensions differ.

    Notes
    -----
    With C = S' S the trace of (C_a C_b)^(1/2) is the sum of the singular values of S_a S_b'. So no matrix root is taken,
    and singular covariances, such as those of fewer rows than dimensions, cost no accuracy. The estimate itself is biased
    upwards for small samples: compare equal sizes.
    """
    first, second = _two_sets(a, b, ("a", "b"))
    for name, sample in (("a", first), ("b", second)):
        if len(sample) < 2:
            raise InputError(f"{name}: found {len(sample)} row, expected at least 2 for a covariance")
    shift = first.mean(axis=0) - second.mean(axis=0)
    root_a, root_b = _covariance_root(first), _covariance_root(second)
    overlap = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    distance = (shift**2).sum() + (root_a**2).sum() + (root_b**2).sum() - 2 * overlap
    return max(0.0, float(distance))


def _covariance_root(sample: Array) -> Array:
    """Compute an S (min(n, d), d) with S' S the covariance of a sample (n, d)."""
    centred = (sample - sample.mean(axis=0)) / np.sqrt(len(sample) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r"))


def precision_recall(real: ArrayLike, generated: ArrayLike, k: int = 3) -> tuple[float, float]:
    """Compute precision and recall of generated rows by k-nearest-neighbour manifolds (Kynkäänniemi et al. 2019).

    The manifold of a sample is the union of the balls around its points that reach to the k-th nearest other point.

    Parameters
    ----------
    real : array or tensor (n, d)
        Features of real rows.
    generated : array or tensor (m, d)
        Features of generated rows; as many as real ones is the natural choice.
    k : int
        Which neighbour a ball reaches to, at least 1 and less than both numbers of rows.

    Returns
    -------
    precision : float
        Fraction of the generated rows inside the manifold of the real ones, in [0, 1].
    recall : float
        Fraction of the real rows inside the manifold of the generated ones, in [0, 1].

    Raises
    ------
    InputError
        If a sample is empty or not finite, the dimensions differ, or `k` is out of range.

    Notes
    -----
    All n m pairs are visited in blocks of bounded memory, in float64. A radius is lengthened by the rounding of distances,
    1e-7 of the largest norm, so that a point of both samples counts even where duplicates make its radius 0.
    """
    first, second = _two_sets(real, generated, ("real", "generated"))
    fewest = min(len(first), len(second))
    if not 1 <= k < fewest:
        raise InputError(f"k: found {k}, expected 1 to {fewest - 1}, less than both numbers of rows")
    centre = first.mean(axis=0)
    first, second = first - centre, second - centre
    return _fraction_inside(second, first, k), _fraction_inside(first, second, k)


def _fraction_inside(points: Array, sample: Array, k: int) -> float:
    """Compute the fraction of `points` inside the manifold of `sample`."""
    radii = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(sample).kneighbors()[0][:, -1]
    radii += ROUNDING * max(np.linalg.norm(points, axis=1).max(), np.linalg.norm(sample, axis=1).max())
    inside = pairwise_distances_chunked(
        points, sample, reduce_func=lambda block, _: (block <= radii).any(axis=1), working_memory=WORKING_MEMORY
    )
    return float(np.concatenate(list(inside)).mean())
