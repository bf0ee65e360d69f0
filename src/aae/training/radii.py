"""Rows and their neighbours: the radius of each row in the consistency loss, and its links in that on the graph of neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from aae.errors import InputError
from aae.noise import Noise
from aae.scaling import Scaling

LIMITS = 0.3, 3.0
"""Least and largest radius, in units of the median: rows that have equals still have one, and outliers none out of proportion."""
REFERENCES = 50_000
"""Rows among which neighbours are sought, at most: of more rows so many are drawn."""
NUMBERS = 40_000_000
"""Numbers that these rows hold, at most, so that long rows are fewer; but no fewer than a thousand."""
BLOCK = 2000  # rows looked at together
COPIES = 4  # columns of links for each neighbour, which tell their weights apart
HALVINGS = 40  # of the interval in which the scale of a row lies


def neighbour_radii(rows: Tensor, scaling: Scaling, k: int, *, later: bool = False) -> Tensor:
    """Compute the Euclidean distance of each scaled row to its k-th nearest neighbour, within 0.3 to 3 times their median.

    Of more than 50,000 rows, or than 40 million numbers (13,020 images of SVHN), so many drawn ones stand for all, and the
    neighbour among them is the one that is as deep in the distribution: the (k m / n)-th of m drawn among n, at least the first.
    Memory is that of the drawn rows in float32.

    Parameters
    ----------
    rows : Tensor, (n, ...)
        Rows as stored; they may be a memory map.
    scaling : Scaling
        From stored rows to what the network sees.
    k : int
        Which neighbour, 1 to n - 1; a row is no neighbour of itself.
    later : bool
        Whether a later one is taken, the 2 k-th, the 4 k-th and so on, where most rows have so many equals that their radius
        would be 0.

    Returns
    -------
    Tensor, (n,)
        Distances, float32; 1 where `later` neighbours are equal too, as there is nothing to smooth.

    Raises
    ------
    InputError
        If there are not more than `k` rows, or most rows have `k` equals or more, so that their radius would be 0.
    """
    n = len(rows)
    if not 1 <= k < n:
        raise InputError(f"training.losses.consistency.neighbours is {k}; found {n} rows, expected more rows than that")
    drawn = _references(rows)
    depth = max(1, round(k * len(drawn) / n))
    radii = torch.cat([distances[:, depth - 1] for distances, _ in _neighbours(rows, scaling, drawn, depth)])
    median = radii.median()
    if median == 0 and later:
        return neighbour_radii(rows, scaling, min(2 * k, n - 1), later=True) if k < n - 1 else torch.ones(n)
    if median == 0:
        raise InputError(
            f"training.losses.consistency.neighbours is {k}; {int((radii == 0).sum())} of {n} rows have so many equal rows that "
            "their radius is 0, expected more neighbours, or one radius for all rows"
        )
    return radii.clamp(LIMITS[0] * median, LIMITS[1] * median)


def neighbour_links(rows: Tensor, scaling: Scaling, k: int) -> Tensor:
    """Compute with which rows each scaled row is linked, so that to draw one of them at random is to draw a link by its weight.

    The weights are those of UMAP (McInnes et al. 2018): exp(-(d - d_1) / s) for a neighbour at a distance d, with d_1 that of the
    nearest and s such that the weights of a row have the sum log2(k). Rows and memory as for `neighbour_radii`.

    Parameters
    ----------
    rows, scaling
        As for `neighbour_radii`.
    k : int
        With how many neighbours, 1 to n - 1.

    Returns
    -------
    Tensor of int64, (n, 4 k)
        Indices of neighbours, each as many times as its weight asks for.

    Raises
    ------
    InputError
        If there are not more than `k` rows.
    """
    n = len(rows)
    if not 1 <= k < n:
        raise InputError(
            f"training.losses.neighbour_graph.neighbours is {k}; found {n} rows, expected more rows than that"
        )
    drawn = _references(rows)
    blocks = []
    for distances, found in _neighbours(rows, scaling, drawn, k):
        parts = _link_weights(distances.double()).cumsum(1)
        steps = (torch.arange(COPIES * k, dtype=parts.dtype) + 0.5) / (COPIES * k)
        columns = torch.searchsorted(parts / parts[:, -1:], steps.expand(len(parts), -1).contiguous()).clamp(max=k - 1)
        blocks.append(drawn[found.gather(1, columns)])
    return torch.cat(blocks)


def _link_weights(distances: Tensor) -> Tensor:
    """Compute UMAP's weights of the links of each row with neighbours at ascending distances (n, k)."""
    beyond = distances - distances[:, :1]
    target = math.log2(max(distances.shape[1], 2))
    low, high = (
        torch.zeros(len(beyond), 1, dtype=beyond.dtype),
        beyond.mean().clamp(min=1e-300) * 1e3 + torch.zeros(len(beyond), 1, dtype=beyond.dtype),
    )
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        large = torch.exp(-beyond / middle).sum(1, keepdim=True) > target
        low, high = torch.where(large, low, middle), torch.where(large, middle, high)
    least = 1e-3 * distances.mean(1, keepdim=True).clamp(min=1e-300)
    return torch.exp(-beyond / torch.maximum(high, least))


def _references(rows: Tensor) -> Tensor:
    """Choose the rows among which neighbours are sought: all, or as many as there may be, the same ones for every seed."""
    n = len(rows)
    most = min(REFERENCES, max(1000, NUMBERS // rows[0].numel()))
    return torch.arange(n) if n <= most else Noise(0).permutation(n)[:most].sort().values


def _neighbours(rows: Tensor, scaling: Scaling, drawn: Tensor, k: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Find the k nearest drawn rows of each row, itself left out: ascending distances, and places in `drawn`, block by block."""
    from sklearn.neighbors import NearestNeighbors  # takes as long to import as torch

    parts = [scaling(rows[drawn[start : start + BLOCK]]) for start in range(0, len(drawn), BLOCK)]
    threads = torch.get_num_threads()
    search = NearestNeighbors(n_neighbors=k + 1).fit(torch.cat(parts).numpy())
    places = torch.full((len(rows),), -1)
    places[drawn] = torch.arange(len(drawn))
    for start in range(0, len(rows), BLOCK):
        near, which = search.kneighbors(scaling(rows[start : start + BLOCK]).numpy())
        torch.set_num_threads(threads)  # the search sets those of torch's products too, and leaves them so
        distances, found = torch.from_numpy(near).float(), torch.from_numpy(which)
        itself = found == places[start : start + BLOCK, None]
        itself[:, -1] |= ~itself.any(1)  # a row that was not drawn, or has more than k equals, leaves the farthest out
        order = itself.to(torch.int8).argsort(dim=1, stable=True)[:, :k]
        yield distances.gather(1, order), found.gather(1, order)
