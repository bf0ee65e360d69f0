"""How far rows lie from their neighbours: the radius of each row in the consistency loss."""

from __future__ import annotations

import torch
from torch import Tensor

from aae.errors import InputError
from aae.networks import Scaling
from aae.noise import Noise

LIMITS = 0.3, 3.0
"""Least and largest radius, in units of the median: rows that have equals still have one, and outliers none out of proportion."""
REFERENCES = 50_000
"""Rows among which neighbours are sought, at most: of more rows so many are drawn."""
BLOCK = 2000  # rows looked at together


def neighbour_radii(rows: Tensor, scaling: Scaling, k: int, seed: int = 0) -> Tensor:
    """Compute the Euclidean distance of each scaled row to its k-th nearest neighbour, within 0.3 to 3 times their median.

    Of more than 50,000 rows, 50,000 drawn ones stand for all, and the neighbour among them is the one that is as deep in the
    distribution: the (k m / n)-th of m drawn among n, at least the first. Memory is that of the drawn rows in float32.

    Parameters
    ----------
    rows : Tensor, (n, ...)
        Rows as stored; they may be a memory map.
    scaling : Scaling
        From stored rows to what the network sees.
    k : int
        Which neighbour, 1 to n - 1; a row is no neighbour of itself.
    seed : int
        Decides which rows are drawn.

    Returns
    -------
    Tensor, (n,)
        Distances, float32.

    Raises
    ------
    InputError
        If there are not more than `k` rows, or most rows have `k` equals or more, so that their radius would be 0.
    """
    from sklearn.neighbors import NearestNeighbors  # takes as long to import as torch

    n = len(rows)
    if not 1 <= k < n:
        raise InputError(f"training.losses.consistency.neighbours is {k}; found {n} rows, expected 1 to {n - 1}")
    drawn = torch.arange(n) if n <= REFERENCES else Noise(seed).permutation(n)[:REFERENCES].sort().values
    depth = max(1, round(k * len(drawn) / n))
    parts = [scaling(rows[drawn[start : start + BLOCK]]) for start in range(0, len(drawn), BLOCK)]
    threads = torch.get_num_threads()
    search = NearestNeighbors(n_neighbors=depth + 1).fit(torch.cat(parts).numpy())
    places = torch.full((n,), -1)
    places[drawn] = torch.arange(len(drawn))
    radii = torch.empty(n)
    for start in range(0, n, BLOCK):
        distances, found = search.kneighbors(scaling(rows[start : start + BLOCK]).numpy())
        itself = torch.from_numpy(found) == places[start : start + BLOCK, None]
        others = torch.from_numpy(distances).float().masked_fill(itself, -1.0).sort(dim=1).values  # itself comes first
        known = itself.any(1)
        radii[start : start + BLOCK] = torch.where(known, others[:, depth], others[:, depth - 1])
    torch.set_num_threads(threads)  # the search sets those of torch's products too, and leaves them so
    median = radii.median()
    if median == 0:
        raise InputError(
            f"training.losses.consistency.neighbours is {k}; {int((radii == 0).sum())} of {n} rows have so many equal rows that "
            "their radius is 0, expected more neighbours, or one radius for all rows"
        )
    return radii.clamp(LIMITS[0] * median, LIMITS[1] * median)
