"""A partition for clusters to start from: what is set apart, or the consensus of several quick ones. Not in the paper.

q(y|x) learns it as labels are learnt in section 5, with a weight that falls to 0 in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from aae.noise import Noise
from aae.scaling import Scaling
from aae.training.quick_partitions import (
    NEIGHBOURS,
    Graph,
    Labels,
    View,
    distinct_rows,
    look,
    most_rows,
    quick_partitions,
    undisturbed,
)

UNSURE = 0.75  # weight of what a neighbour's cluster leaves open, beside what it tells
POWER, SUPPORT = 4, 6  # how strongly the agreement of neighbours, and that with other partitions, counts in a consensus
LEAST_DOUBT = 0.02  # of the agreement of neighbours
APART = 0.99  # of the largest agreement that clusters of their sizes can have, from which they are set apart
CORE = 5  # neighbours that tell the density around a row
HELD = 0.95  # of the rows that clusters are to hold, at least, at a density at which they are set apart
LEAST_PART = 0.1  # of an even share, that each of these is to hold, at least
EVENNESS = 0.65  # of the entropy of even shares, that theirs are to have, at least
LEAST = 0.2  # of an even share, that a cluster is expected to have at least, however few rows it starts with


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
    distinct, which = distinct_rows(rows)
    if min(len(distinct), clusters) == 1:
        return np.zeros(len(rows), np.int64), False
    looks = look(rows, distinct, which, seed)
    apart = [
        part for part in map(partial(clusters_apart, clusters=clusters), looks.spaces, looks.graphs) if part is not None
    ]
    if apart:
        return max(apart, key=lambda part: part[0])[1], True
    partitions = quick_partitions(looks, clusters, seed)
    weights = partition_weights(partitions, [neighbours for _, neighbours in looks.graphs], clusters)
    places = partitions.T + clusters * np.arange(len(partitions))  # of the one-hot clusters beside each other
    starts = np.arange(0, places.size + 1, len(partitions))
    one_hot = csr_matrix((np.tile(np.sqrt(weights), len(rows)), places.ravel(), starts))
    consensus: Labels = KMeans(clusters, n_init=10, random_state=seed).fit_predict(one_hot).astype(np.int64)
    return consensus, False


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
