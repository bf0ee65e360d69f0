"""A partition for clusters to start from: what is set apart, or the consensus of several quick ones. Not in the paper.

q(y|x) learns it as labels are learnt in section 5, with a weight that falls to 0 in training.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.sparse.linalg import ArpackError
from scipy.stats import entropy
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.decomposition import PCA
from sklearn.manifold import spectral_embedding
from sklearn.metrics import normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import Tensor

from aae.noise import Noise
from aae.scaling import Scaling

ROWS, VALUES = 5000, 2**25  # of more rows so many are drawn, or of wide ones what has so many values: 256 MiB
LEAST_ROWS = 1000
COMPONENTS = 30  # principal ones that distances are taken in
CERTAIN_ROWS, CERTAIN = 200, 0.05  # components are half-whitened if of so many rows at most this part of S were noise
MIXED_COMPONENTS = (10, 20, 20, 20)  # the same for Gaussian mixtures, which have a covariance for each cluster
NEIGHBOURS = 10
MANY = 50  # clusters, beyond which only k-means and Ward's method are quick
UNSURE = 0.75  # weight of what a neighbour's cluster leaves open, beside what it tells
POWER, SUPPORT = 4, 6  # how strongly the agreement of neighbours, and that with other partitions, counts in a consensus
LEAST_DOUBT = 0.02  # of the agreement of neighbours
APART = 0.99  # of the largest agreement that clusters of their sizes can have, from which they are set apart
CORE = 5  # neighbours that tell the density around a row
HELD = 0.95  # of the rows that clusters are to hold, at least, at a density at which they are set apart
LEAST_PART = 0.1  # of an even share, that each of these is to hold, at least
EVENNESS = 0.65  # of the entropy of even shares, that theirs are to have, at least
FLOOR = 1e-2  # variance added to the covariances of a mixture, of rows with mean square 1
LEAST_DEVIATION = 1e-6  # of a component, relative to the first, below which it is rounding
ALIKE = 1e-3  # how far from 1 the standard deviations of columns may be that count as standardized
PRECISION = 1e-6  # of eigenvectors: at machine precision ARPACK may not end where a graph has several parts
EQUALS = 0.1  # share of rows that may have more equals than neighbours for spectral clustering to be tried
LEAST = 0.2  # of an even share, that a cluster is expected to have at least, however few rows it starts with

Labels = NDArray[np.int64]
View = NDArray[np.float64]  # (n, components)
Graph = tuple[NDArray[np.float64], NDArray[np.integer]]  # distances and indices of neighbours, (n, k)


@dataclass(frozen=True)
class StartPartition:
    """A partition that training starts from.

    Attributes
    ----------
    labels : array of int64, (n,)
        Cluster of each row, the largest first; -1 where that is open. Where many rows are equal there may be fewer clusters.
    apart : bool
        Whether they are set apart (`clusters_apart`), so that they are to stay as they are.
    """

    labels: Labels
    apart: bool


def start_partition(rows: Tensor, scaling: Scaling, clusters: int, seed: int) -> StartPartition:
    """Find a partition of rows: clusters that are set apart, if there are such, or the consensus of several partitions.

    The several are by k-means, Ward's method, Gaussian mixtures and spectral clustering, because none of these is best on all
    tables. All look at principal components of the rows, as they are and with standardized columns; where columns that say
    nearly the same would decide all distances, these are taken between half-whitened components. Each partition counts by its
    weight (`partition_weights`), and the consensus is found by k-means on the one-hot clusters of all (cluster ensembles: Strehl
    and Ghosh 2002; Topchy et al. 2005). Neighbours are unlike rows, since equal ones always agree; and spectral clustering is
    left out where a tenth of the rows have more than ten equals, as answers to a few questions have. Of more than 5000 rows so
    many are drawn, of wide ones fewer.

    Parameters
    ----------
    rows : Tensor, (n, ...)
        Rows as stored, at least as many as clusters; they may be a memory map.
    scaling : Scaling
        From stored rows to what the network sees.
    clusters : int
        How many, 1 or larger.
    seed : int
        Decides which rows are drawn and where k-means and mixtures start.

    Returns
    -------
    StartPartition
        With -1 for rows that were not drawn.
    """
    drawn, size = torch.arange(len(rows)), max(clusters, most_rows(rows))
    if len(rows) > size:
        drawn = Noise(seed).permutation(len(rows))[:size].sort().values
    with undisturbed():
        found, apart = _find(scaling(rows[drawn]).numpy().astype(np.float64), clusters, seed)
    order = np.argsort(-np.bincount(found, minlength=clusters), kind="stable")
    labels = np.full(len(rows), -1, np.int64)
    labels[drawn.numpy()] = np.argsort(order)[found]
    return StartPartition(labels, apart)


def most_rows(rows: Tensor) -> int:
    """Return how many of the rows (n, ...) are looked at, at most: 5000, or fewer of wide ones."""
    return min(ROWS, max(LEAST_ROWS, VALUES // rows[0].numel()))


@contextmanager
def undisturbed() -> Iterator[None]:
    """Create a context without warnings, after which torch computes with as many threads as before.

    Equal rows and parts without a link are no concern of the user; searches for neighbours change the threads.
    """
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(threads)


def fit_to_shares(partition: Labels, shares: ArrayLike) -> Labels:
    """Number the clusters of a partition, the largest first, so that the k-th largest is that of the k-th largest share.

    Parameters
    ----------
    partition : array of int64, (n,)
        Cluster of each row, -1 where that is open.
    shares : array-like, (clusters,)
        Share that each cluster is to have.
    """
    order = np.argsort(-np.asarray(shares), kind="stable")
    return np.where(partition >= 0, order[partition], -1)


def partition_shares(partition: Labels, clusters: int) -> list[float] | None:
    """Compute the share of the rows in each cluster, at least a fifth of an even one; None where no row has a cluster.

    Parameters
    ----------
    partition : array of int64, (n,)
        Cluster of each row, -1 where that is open.
    clusters : int
        How many there are.

    Returns
    -------
    list of float, or None
        One for each cluster, with sum 1.
    """
    counts = np.bincount(partition[partition >= 0], minlength=clusters)
    if not counts.sum():
        return None
    shares = np.maximum(counts / counts.sum(), LEAST / clusters)
    found: list[float] = (shares / shares.sum()).tolist()
    return found


def _find(rows: NDArray[np.float64], clusters: int, seed: int) -> tuple[Labels, bool]:
    """Find clusters that are set apart, or else the partition that several agree on; and whether they are set apart."""
    distinct, which = _distinct(rows)
    if min(len(distinct), clusters) == 1:
        return np.zeros(len(rows), np.int64), False
    looks = _look(rows, distinct, which, seed)
    apart = [
        part for part in map(partial(clusters_apart, clusters=clusters), looks.spaces, looks.graphs) if part is not None
    ]
    if apart:
        return max(apart, key=lambda part: part[0])[1], True
    partitions = _quick_partitions(looks, clusters, seed)
    weights = partition_weights(partitions, [neighbours for _, neighbours in looks.graphs], clusters)
    places = partitions.T + clusters * np.arange(len(partitions))  # of the one-hot clusters beside each other
    starts = np.arange(0, places.size + 1, len(partitions))
    one_hot = csr_matrix((np.tile(np.sqrt(weights), len(rows)), places.ravel(), starts))
    consensus: Labels = KMeans(clusters, n_init=10, random_state=seed).fit_predict(one_hot).astype(np.int64)
    return consensus, False


def one_hot_clusters(rows: NDArray[np.float64], numbers: Sequence[int], seed: int) -> NDArray[np.float64]:
    """Compute the one-hot clusters of rows in the quick partitions of `start_partition`, with several numbers of clusters.

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
    distinct, which = _distinct(rows)
    if len(distinct) == 1:
        return np.ones((len(rows), 1))
    looks = _look(rows, distinct, which, seed)
    found = [np.eye(number)[part] for number in numbers for part in _quick_partitions(looks, number, seed)]
    return np.concatenate(found, axis=1)


def clusters_apart(view: View, graph: Graph, clusters: int) -> tuple[float, Labels] | None:
    """Find clusters of any shape that are set apart: a density at which they hold nineteen of twenty rows.

    At a density, rows are linked whose mutual reachability distance, with five neighbours, is below a threshold, and clusters are
    what hangs together (DBSCAN*: Campello, Moulavi and Sander 2013). All but a twentieth of the rows are to lie in clusters, as
    many as asked for; none may hold less than a tenth of an even share, and together they are not too uneven, since outliers are
    set apart too. Other rows are in the cluster of the nearest of these. Distances are those to neighbours alone.

    Parameters
    ----------
    view : array, (n, components)
        Where rows lie.
    graph : (array, (n, k), array of int, (n, k))
        Distances and indices of the neighbours of each row.
    clusters : int
        Number of clusters, 2 or larger.

    Returns
    -------
    (float, array of int64, (n,)), or None
        Share of the rows that are in clusters at that density, and the cluster of each row; None where there is no such density.
    """
    distances, neighbours = graph
    n, k = distances.shape
    cores = distances[:, min(CORE, k) - 1]
    reach = np.maximum(np.maximum(distances, np.maximum(cores[:, None], cores[neighbours])), np.finfo(np.float64).tiny)
    tree = minimum_spanning_tree(
        csr_matrix((reach.ravel(), neighbours.ravel(), np.arange(0, n * k + 1, k)), (n, n))
    ).tocoo()
    longest = np.unique(tree.data)[::-1][: round((1 - HELD) * n) + clusters]
    for threshold in (np.inf, *longest):
        near = tree.data < threshold
        links = csr_matrix((tree.data[near], (tree.row[near], tree.col[near])), (n, n))
        _, parts = connected_components(links, directed=False)
        sizes = np.bincount(parts)
        large = sizes >= max(NEIGHBOURS, LEAST_PART * n / clusters)
        inside = large[parts]
        if inside.mean() < HELD:
            break
        if large.sum() == clusters and entropy(sizes[large]) >= EVENNESS * np.log(clusters):
            found = (np.cumsum(large) - 1)[parts]
            if not inside.all():
                nearest = KNeighborsClassifier(1).fit(view[inside], found[inside])
                found[~inside] = nearest.predict(view[~inside])
            return float(inside.mean()), found
    return None


def partition_weights(partitions: Labels, graphs: list[NDArray[np.integer]], clusters: int) -> NDArray[np.float64]:
    """Compute how much each of several partitions counts in their consensus.

    The weight is (1 - a)^-4 exp(6 b). In it a is the `agreement` of neighbours relative to its largest value, a mean over
    graphs, of which no more than 0.98 counts, and b the mean normalized mutual information with the other partitions. A group
    of any shape that is set apart is found by few methods and has a near 1; where groups overlap, a is not sure, and methods that
    err in different ways agree on what they have in common. The largest value is that of clusters of one size; where all clusters
    of a partition are set apart, so that the agreement is 0.99 of what clusters of their sizes can have, 0.98 counts for it too.

    Parameters
    ----------
    partitions : array of int, (p, n)
        Clusters of each row.
    graphs : list of array of int, (n, k)
        Indices of the neighbours of each row.
    clusters : int
        Number of clusters, 2 or larger.

    Returns
    -------
    array, (p,)
        Above 0, with mean 1.
    """
    agreements = np.array([np.mean([agreement(found, graph, clusters) for graph in graphs]) for found in partitions])
    sizes = np.array([np.bincount(found, minlength=clusters) for found in partitions])
    apart = (sizes > 0).all(axis=1) & (agreements >= APART * entropy(sizes, axis=1))
    doubts = np.where(apart, LEAST_DOUBT, np.maximum(1 - agreements / np.log(clusters), LEAST_DOUBT))
    support = np.zeros(len(partitions))
    for one, other in combinations(range(len(partitions)), 2):
        support[[one, other]] += normalized_mutual_info_score(partitions[one], partitions[other])
    support /= max(1, len(partitions) - 1)
    logarithms = SUPPORT * support - POWER * np.log(doubts)
    weights: NDArray[np.float64] = np.exp(logarithms - logarithms.max())
    weights /= weights.mean()
    return weights


@dataclass(frozen=True)
class _Looks:
    """What partitions look at: principal components, where distances are taken, the graphs of neighbours there.

    Spectral clustering looks at no graph where many rows have more equals than neighbours.
    """

    views: list[View]
    spaces: list[View]
    graphs: list[Graph]
    spread: bool


def _look(rows: NDArray[np.float64], distinct: Labels, which: Labels, seed: int) -> _Looks:
    """Compute what partitions look at; which rows are unlike each other `_distinct` tells."""
    views = _views(rows, seed)
    spaces = _spaces(views)
    graphs = [_graph(space, distinct, which) for space in spaces]
    return _Looks(views, spaces, graphs, bool((np.bincount(which)[which] > NEIGHBOURS).mean() <= EQUALS))


def _quick_partitions(looks: _Looks, clusters: int, seed: int) -> Labels:
    """Find the clusters of rows by several methods, (partitions, n)."""
    found: list[Labels] = []
    for make in _partitions(looks.views, looks.spaces, looks.graphs if looks.spread else [], clusters, seed):
        try:
            found.append(np.asarray(make(), np.int64))
        except (ArpackError, ArithmeticError, np.linalg.LinAlgError, RuntimeError, ValueError):
            continue  # a degenerate graph or covariance: the others remain
    return np.array(found)


def _distinct(rows: NDArray[np.float64]) -> tuple[Labels, Labels]:
    """Find the first of equal rows, in their order, and for each row which of these it equals."""
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[inverse.reshape(-1)]


def _graph(view: View, distinct: Labels, which: Labels) -> Graph:
    """Find the neighbours of each row among the rows unlike it, each of which is the first of its equals."""
    k = min(NEIGHBOURS, len(distinct) - 1)
    distances, neighbours = NearestNeighbors(n_neighbors=k).fit(view[distinct]).kneighbors()
    return distances[which], distinct[neighbours][which]


def agreement(partition: Labels, neighbours: NDArray[np.integer], clusters: int) -> float:
    """Compute how much the clusters A and B of neighbouring rows tell about each other, I(A; B) - 0.75 H(A|B), in nats.

    Parameters
    ----------
    partition : array of int, (n,)
        Cluster of each row.
    neighbours : array of int, (n, k)
        Indices of the neighbours of each row.
    clusters : int
        Number of clusters.

    Returns
    -------
    float
        At most the logarithm of the number of clusters; it is reached where clusters are equally large and no neighbours are in
        different ones.
    """
    pairs = np.zeros((clusters, clusters))
    np.add.at(pairs, (np.repeat(partition, neighbours.shape[1]), partition[neighbours].ravel()), 1)
    joint = (pairs + pairs.T) / (2 * pairs.sum())
    alone, both = float(entropy(joint.sum(axis=1))), float(entropy(joint, axis=None))
    information = 2 * alone - both
    return information - UNSURE * (alone - information)


def _views(rows: NDArray[np.float64], seed: int) -> list[View]:
    """Compute principal components of rows as they are, and with standardized columns where that is something else."""
    deviations = rows.std(axis=0)
    varied = rows[:, deviations > 0] if (deviations > 0).any() else rows[:, :1]
    deviations = varied.std(axis=0)
    columns = [varied] if np.ptp(deviations) <= ALIKE * deviations.max() else [varied, varied / deviations]
    views = []
    for values in columns:
        components = PCA(min(COMPONENTS, *values.shape), random_state=seed).fit_transform(values)
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
