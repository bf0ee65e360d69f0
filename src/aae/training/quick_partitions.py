"""Quick partitions of rows, by several methods that look at them in several ways. Not in the paper.

Partitions that clusters start from are made of them, and labels that a classifier starts from.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import ArpackError
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.decomposition import PCA
from sklearn.manifold import spectral_embedding
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

ROWS, VALUES = 5000, 2**25  # of more rows so many are drawn, or of wide ones what has so many values: 256 MiB
LEAST_ROWS = 1000
COMPONENTS = 30  # principal ones that distances are taken in
CERTAIN_ROWS, CERTAIN = 200, 0.05  # components are half-whitened if of so many rows at most this part of S were noise
MIXED_COMPONENTS = (10, 20, 20, 20)  # the same for Gaussian mixtures, which have a covariance for each cluster
NEIGHBOURS = 10
MANY = 50  # clusters, beyond which only k-means and Ward's method are quick
FLOOR = 1e-2  # variance added to the covariances of a mixture, of rows with mean square 1
LEAST_DEVIATION = 1e-6  # of a component, relative to the first, below which it is rounding
ALIKE = 1e-3  # how far from 1 the standard deviations of columns may be that count as standardized
PRECISION = 1e-6  # of eigenvectors: at machine precision ARPACK may not end where a graph has several parts
EQUALS = 0.1  # share of rows that may have more equals than neighbours for spectral clustering to be tried

Labels = NDArray[np.int64]
View = NDArray[np.float64]  # (n, components)
Graph = tuple[NDArray[np.float64], NDArray[np.integer]]  # distances and indices of neighbours, (n, k)


def most_rows(rows: Tensor) -> int:
    """Return how many of the rows (n, ...) are looked at, at most: 5000, or fewer of wide ones."""
    return min(ROWS, max(LEAST_ROWS, VALUES // rows[0].numel()))


@contextmanager
def undisturbed() -> Iterator[None]:
    """Create a context without warnings, after which torch computes with as many threads as before.

    Equal rows and parts without a link are no concern of the user; searches for neighbours change the threads.
    """
    threads = torch.get_num_threads()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)


def one_hot_clusters(rows: NDArray[np.float64], numbers: Sequence[int], seed: int) -> NDArray[np.float64]:
    """Compute the one-hot clusters of rows in quick partitions with several numbers of clusters.

    Parameters
    ----------
    rows : array, (n, columns)
        Scaled rows.
    numbers : sequence of int
        Of clusters in a partition, each 2 or larger.
    seed : int
        Decides where k-means and mixtures start.

    Returns
    -------
    array, (n, clusters of all partitions)
        0 or 1; one column of 1 where all rows are equal.
    """
    distinct, which = distinct_rows(rows)
    if len(distinct) == 1:
        return np.ones((len(rows), 1))
    looks = look(rows, distinct, which, seed)
    found = [np.eye(number)[part] for number in numbers for part in quick_partitions(looks, number, seed)]
    return np.concatenate(found, axis=1)


@dataclass(frozen=True)
class Looks:
    """What partitions look at: principal components, where distances are taken, the graphs of neighbours there.

    Spectral clustering looks at no graph where many rows have more equals than neighbours.
    """

    views: list[View]
    spaces: list[View]
    graphs: list[Graph]
    spread: bool


def look(rows: NDArray[np.float64], distinct: Labels, which: Labels, seed: int) -> Looks:
    """Compute what partitions look at; which rows are unlike each other `distinct_rows` tells."""
    views = _views(rows, seed)
    spaces = _spaces(views)
    graphs = [_graph(space, distinct, which) for space in spaces]
    return Looks(views, spaces, graphs, bool((np.bincount(which)[which] > NEIGHBOURS).mean() <= EQUALS))


def quick_partitions(looks: Looks, clusters: int, seed: int) -> Labels:
    """Find the clusters of rows by several methods, (partitions, n)."""
    found: list[Labels] = []
    for make in _partitions(looks.views, looks.spaces, looks.graphs if looks.spread else [], clusters, seed):
        try:
            found.append(np.asarray(make(), np.int64))
        except (ArpackError, ArithmeticError, np.linalg.LinAlgError, RuntimeError, ValueError):
            continue  # a degenerate graph or covariance: the others remain
    return np.array(found)


def distinct_rows(rows: NDArray[np.float64]) -> tuple[Labels, Labels]:
    """Find the first of equal rows, in their order, and for each row which of these it equals."""
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[inverse.reshape(-1)]


def _graph(view: View, distinct: Labels, which: Labels) -> Graph:
    """Find the neighbours of each row among the rows unlike it, each of which is the first of its equals."""
    k = min(NEIGHBOURS, len(distinct) - 1)
    distances, neighbours = NearestNeighbors(n_neighbors=k).fit(view[distinct]).kneighbors()
    return distances[which], distinct[neighbours][which]


def _views(rows: NDArray[np.float64], seed: int) -> list[View]:
    """Compute principal components of rows as they are, and with standardized columns where that is something else."""
    deviations = rows.std(axis=0)
    varied = rows[:, deviations > 0] if (deviations > 0).any() else rows[:, :1]
    deviations = varied.std(axis=0)
    columns = [varied] if np.ptp(deviations) <= ALIKE * deviations.max() else [varied, varied / deviations]
    views = []
    for values in columns:
        pca = PCA(min(COMPONENTS, *values.shape), random_state=seed).set_output(transform="default")
        components = pca.fit_transform(values)
        views.append(_scaled(components, values.shape[1]))
    return views


def _scaled(components: View, columns: int) -> View:
    """Scale components so that the mean square of the columns they stand for is 1."""
    scaled: View = components / max(np.sqrt(np.square(components).sum(axis=1).mean() / columns), 1e-300)
    return scaled


def _spaces(views: list[View]) -> list[View]:
    """Choose where distances are taken: between components, half-whitened where their covariance S is certain.

    Half-whitened is divided by the fourth root of its variance. S is certain where little of it would be noise, by Ledoit and
    Wolf (2004), were it that of 200 rows.
    """
    noise = ledoit_wolf_shrinkage(views[-1]) * len(views[-1]) / CERTAIN_ROWS
    if noise > CERTAIN:
        return views
    spaces = []
    for view in views:
        deviations = view.std(axis=0)
        varied = deviations > LEAST_DEVIATION * deviations.max()
        spaces.append(_scaled(view[:, varied] / np.sqrt(deviations[varied]), int(varied.sum())))
    return spaces


def _partitions(
    views: list[View], spaces: list[View], graphs: list[Graph], clusters: int, seed: int
) -> Iterator[Callable[[], Labels]]:
    """Create what makes the partitions, the quickest first."""
    for space in spaces:
        yield partial(KMeans(clusters, n_init=10, random_state=seed).fit_predict, space)
    for space in spaces:
        yield partial(AgglomerativeClustering(clusters).fit_predict, space)
    if clusters > MANY:
        return
    rest = views[-1:] if spaces is views else spaces[::-1]
    for number, (view, components) in enumerate(zip((views[0], views[0], *rest), MIXED_COMPONENTS, strict=False)):
        mixture = GaussianMixture(clusters, reg_covar=FLOOR, random_state=seed + number)
        yield partial(mixture.fit_predict, view[:, :components])
    if clusters < len(views[0]) - 1:
        for distances, neighbours in graphs:
            yield partial(_spectral, distances, neighbours, clusters, seed)


def _spectral(distances: NDArray[np.float64], neighbours: NDArray[np.integer], clusters: int, seed: int) -> Labels:
    """Cut the graph of neighbours (Ng, Jordan and Weiss 2001), each row with its own scale (Zelnik-Manor and Perona 2004)."""
    n, k = distances.shape
    scale = np.maximum(distances[:, -1], np.finfo(np.float64).tiny ** 0.25)
    weights = np.exp(-np.square(distances) / (scale[:, None] * scale[neighbours]))
    graph = csr_matrix((weights.ravel(), neighbours.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    graph = 0.5 * (graph + graph.T)
    places = spectral_embedding(graph, n_components=clusters, random_state=seed, eigen_tol=PRECISION, drop_first=False)
    places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    partition: Labels = KMeans(clusters, n_init=10, random_state=seed).fit_predict(places)
    return partition
