"""Measures of how well the aggregated posterior q(z) matches the prior p(z), which section 2 shows by eye.

There are three, each on held-out codes and beside the value of two independent samples of the prior:

- the *energy distance* sees any difference between the two distributions;
- the *sliced Wasserstein distance* is how far codes have to move, in code units;
- *holes* is the fraction of the prior's mass in regions where no data points map (Figure 2c).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from aae.arrays import ArrayLike, as_labels, same_length
from aae.errors import InputError

PAIRS_AT_ONCE = 4_000_000  # distances held in memory at a time: 32 MB in float64


def _points(values: ArrayLike, name: str, at_least: int = 1) -> Tensor:
    """Bring `values` to float64 points (n, d) on the device they came from (the CPU where it has no float64)."""
    points = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.array(values, dtype=np.float64))
    points = (points.cpu() if points.device.type == "mps" else points).double()
    if points.ndim != 2 or points.shape[0] < at_least or points.shape[1] == 0:
        raise InputError(f"{name}: found shape {tuple(points.shape)}, expected (n, d) with n at least {at_least}")
    if not bool(points.isfinite().all()):
        raise InputError(f"{name}: found values that are not finite, expected finite numbers")
    return points


def _two_sets(a: ArrayLike, b: ArrayLike, names: tuple[str, str], at_least: int) -> tuple[Tensor, Tensor]:
    first, second = _points(a, names[0], at_least), _points(b, names[1], at_least)
    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"{names[0]} and {names[1]}: found {first.shape[1]} and {second.shape[1]} columns, expected equal numbers"
        )
    return first, second.to(first.device)


def _blocks(points: Tensor, partners: int) -> Iterator[Tensor]:
    """Cut `points` so that the distances of one cut to so many partners stay below `PAIRS_AT_ONCE`."""
    size = max(1, PAIRS_AT_ONCE // partners)
    return (points[start : start + size] for start in range(0, len(points), size))


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # The matrix-product shortcut would leave rounding noise where two points coincide.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _distance_sum(a: Tensor, b: Tensor) -> float:
    return math.fsum(float(_distances(block, b).sum()) for block in _blocks(a, len(b)))


def energy_distance(a: ArrayLike, b: ArrayLike) -> float:
    r"""Compute the energy distance between two samples: 2 E\|a - b\| - E\|a - a'\| - E\|b - b'\|.

    Zero if and only if the two distributions are equal. This is the squared type (no root is taken), and the terms
    within one sample leave out the pairs of a point with itself (U-statistic), so the estimate is unbiased: for equal
    distributions it scatters around zero and may be slightly negative.

    Parameters
    ----------
    a : array or tensor (n, d)
        First sample, n at least 2.
    b : array or tensor (m, d)
        Second sample, m at least 2.

    Returns
    -------
    float
        In code units (a distance scales with the codes).

    Raises
    ------
    InputError
        If a sample is too small or not finite, or the dimensions differ.

    Notes
    -----
    All n m pairs are visited in blocks of bounded memory, in float64.
    """
    first, second = _two_sets(a, b, ("a", "b"), at_least=2)
    n, m = len(first), len(second)
    between = _distance_sum(first, second) / (n * m)
    within_first = _distance_sum(first, first) / (n * (n - 1))
    within_second = _distance_sum(second, second) / (m * (m - 1))
    return 2 * between - within_first - within_second


def code_mismatch(codes: ArrayLike, samples: ArrayLike) -> float:
    """Compute the energy distance of codes (n, d) from samples (m, d) of the prior, over what it is at most.

    Returns
    -------
    float
        0 where the distributions are equal, 1 where they are two different points; without a unit.

    Raises
    ------
    InputError
        As for `energy_distance`.
    """
    first, second = _two_sets(codes, samples, ("codes", "samples"), at_least=2)
    between = _distance_sum(first, second) / (len(first) * len(second))
    return energy_distance(first, second) / (2 * between) if between > 0 else 0.0


def sliced_wasserstein(a: ArrayLike, b: ArrayLike, projections: int = 256, seed: int = 0) -> float:
    """Compute the mean 1-D Wasserstein-2 distance between two samples over random unit directions.

    On one direction the distance is the root mean square gap between the two quantile functions. It is exact for
    unequal sizes too: both empirical quantile functions are steps, and their gap is summed over the common steps.

    Parameters
    ----------
    a : array or tensor (n, d)
        First sample.
    b : array or tensor (m, d)
        Second sample.
    projections : int
        How many random directions, at least 1.
    seed : int
        Of the directions.

    Returns
    -------
    float
        At least 0, in code units.

    Raises
    ------
    InputError
        If a sample is empty or not finite, the dimensions differ, or `projections` is not positive.
    """
    first, second = _two_sets(a, b, ("a", "b"), at_least=1)
    if projections < 1:
        raise InputError(f"projections: found {projections}, expected at least 1")
    n, m, dim = len(first), len(second), first.shape[1]
    directions = torch.randn(projections, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    directions = (directions / directions.norm(dim=1, keepdim=True)).to(first.device)

    # The quantile functions step at i/n and at j/m; counted in units of 1/(nm) all steps are whole numbers.
    steps = torch.from_numpy(np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)).to(first.device)
    width = steps.diff().double() / (n * m)
    in_first, in_second = steps[:-1] // m, steps[:-1] // n

    total = 0.0
    for some in _blocks(directions, len(steps)):
        gap = (first @ some.T).sort(dim=0).values[in_first] - (second @ some.T).sort(dim=0).values[in_second]
        total += float((width @ gap.square()).sqrt().sum())
    return total / projections


def holes(codes: ArrayLike, samples: ArrayLike, neighbours: int = 10) -> float:
    r"""Compute the share of the prior's mass in holes of the code space: regions to which no data points map.

    Around each prior sample take the ball that reaches to its k-th nearest other prior sample. If q(z) = p(z), about k
    codes are in it too; if there is none, the sample lies in a hole. The balls adapt to the local density, so tails
    and thin or tight components of a mixture are judged by the same measure as the bulk.

    Parameters
    ----------
    codes : array or tensor (n, d)
        Held-out codes.
    samples : array or tensor (m, d)
        Samples of the prior; as many as codes is the natural choice.
    neighbours : int
        k. Grows with m / n where there are more samples than codes, so that a ball is due at least k codes.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        If a sample is empty or not finite, the dimensions differ, or there are not more than k prior samples.

    Notes
    -----
    Where the codes are f times as dense as the prior, a sample counts as a hole with probability (1 + f)^-k for m = n,
    whatever the prior and the dimension: all of the k points that are nearest must be prior samples. With k = 10 this
    is 1 in an empty region, 1/2 where f = 7 %, and 2^-10 = 0.1 % for q(z) = p(z), the baseline.

    A hole shows once it is larger than a ball, which holds k / m of the prior's mass; its rim, as wide as a ball's
    radius, does not count, so the fraction is slightly low.
    """
    points, prior = _two_sets(codes, samples, ("codes", "samples"), at_least=1)
    k = math.ceil(neighbours * max(1.0, len(prior) / len(points)))
    if not 1 <= k < len(prior):
        raise InputError(f"neighbours: found {k} for {len(prior)} prior samples, expected from 1 to {len(prior) - 1}")
    empty = 0
    for block in _blocks(prior, max(len(prior), len(points))):
        radius = _distances(block, prior).kthvalue(k + 1, dim=1).values  # the sample itself is the nearest of all
        nearest_code = _distances(block, points).min(dim=1).values
        empty += int((nearest_code > radius).sum())
    return empty / len(prior)


def fracture(codes: ArrayLike, labels: ArrayLike, seed: int = 0, limit: int = 2000) -> float:
    """Compute how much a map tears classes apart: the share of holes in a Gaussian that has the moments of a class.

    A class that is one round cloud scores like a sample of a Gaussian, about 0.1 %; one in several pieces, or bent around others,
    leaves most of the Gaussian around its mean empty.

    Parameters
    ----------
    codes : array or tensor (n, d)
        Held-out codes.
    labels : array (n,)
        Class of each; negative where it is not known.
    seed : int
        Of the samples of the Gaussians.
    limit : int
        More codes of a class than this are subsampled.

    Returns
    -------
    float
        Mean over the classes that have 11 codes or more, in [0, 1]; nan if there is none.

    Raises
    ------
    InputError
        If there is not a label for every code.
    """
    points, owners = _points(codes, "codes").cpu().double(), as_labels(labels, "labels")
    same_length(codes=points.numpy(), labels=owners)
    generator, found = torch.Generator().manual_seed(seed), []
    for label in np.unique(owners[owners >= 0]):
        own = points[torch.from_numpy(np.flatnonzero(owners == label))]
        own = own[torch.randperm(len(own), generator=generator)[:limit]]
        if len(own) < 11:
            continue
        values, vectors = torch.linalg.eigh(own.T.cov().view(own.shape[1], own.shape[1]))
        draws = torch.randn(own.shape, generator=generator, dtype=own.dtype)
        found.append(holes(own, own.mean(0) + draws * values.clamp(min=0).sqrt() @ vectors.T))
    return float(np.mean(found)) if found else math.nan


def match_report(
    codes: ArrayLike, draw: Callable[[int, int], Tensor], seed: int = 0, limit: int = 10_000
) -> dict[str, float]:
    """Compute how well the codes match the prior, beside what the prior itself scores.

    Parameters
    ----------
    codes : array or tensor (n, d)
        Held-out codes, n at least 11.
    draw : callable (n, seed) -> tensor (n, d)
        Samples the prior; the same seed must give the same samples.
    seed : int
        Of everything random here.
    limit : int
        More codes than this are subsampled (seeded), since the cost grows with the square of their number.

    Returns
    -------
    dict
        ``energy_distance``, ``sliced_wasserstein`` and ``holes_percent``, and each with the suffix ``_baseline``: the
        same measure with an independent prior sample of the same size in the place of the codes. A perfect match
        scores like the baseline.

    Raises
    ------
    InputError
        As for the three measures.
    """
    points = _points(codes, "codes")
    if len(points) > limit:
        chosen = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))[:limit]
        points = points[chosen.to(points.device)]
    prior, independent = draw(len(points), seed), draw(len(points), seed + 1)
    report = {}
    for suffix, compared in (("", points), ("_baseline", independent.to(points.device))):
        report[f"energy_distance{suffix}"] = energy_distance(compared, prior)
        report[f"sliced_wasserstein{suffix}"] = sliced_wasserstein(compared, prior, seed=seed)
        report[f"holes_percent{suffix}"] = 100 * holes(compared, prior)
    return report
