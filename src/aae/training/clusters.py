"""Which label each cluster belongs to: told by labelled rows, or by which clusters overlap. Not in the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from aae.errors import InputError
from aae.model import AdversarialAutoencoder
from aae.posteriors import ClusteredSoftmax
from aae.training.data import TrainingData
from aae.training.settings import ClusteringSettings

ROUNDS = 100  # of balancing: far more than it takes
SHARPNESS = 8  # power of the counts: most of a cluster's labelled rows decide
LOOSENESS = 1.2  # how much larger than its share a group of clusters may grow
HOLD = 3.6  # how strongly it is held back then
BLOCK = 2000  # rows pushed through the network together


def assign_clusters(
    probabilities: Tensor, labels: Tensor, sizes: Tensor, shares: Sequence[float] | None, num_labels: int
) -> Tensor:
    """Compute the label of each cluster from a few labelled rows, so that every label gets its share of all rows.

    The labelled rows vote with the probabilities of their clusters. A cluster that no labelled row is in, or one or two of a
    neighbouring class, would get its label by chance; so the votes are balanced (Sinkhorn and Knopp 1967) until clusters count
    by their size and labels by their share.

    Parameters
    ----------
    probabilities : Tensor, (labelled, clusters)
        q(cluster|x) of the labelled rows.
    labels : Tensor of int64, (labelled,)
        Their labels.
    sizes : Tensor, (clusters,)
        Fraction of all rows in each cluster.
    shares : sequence of float, optional
        Fraction of all rows that have each label, by default the same for all.
    num_labels : int
        Number of labels, at most that of clusters.

    Returns
    -------
    Tensor of int64, (clusters,)
        Every label at least once.
    """
    clusters = len(sizes)
    votes = torch.zeros(clusters, num_labels, dtype=torch.float64)
    votes.index_add_(1, labels.cpu(), probabilities.T.double().cpu())
    plan = votes + 1e-3
    plan = (plan / plan.sum(1, keepdim=True)) ** SHARPNESS
    rows = sizes.double().cpu().clamp(min=1e-9)
    columns = torch.tensor(shares or [1 / num_labels] * num_labels, dtype=torch.float64).clamp(min=1e-9)
    for _ in range(ROUNDS):
        plan = plan / plan.sum(1, keepdim=True) * rows[:, None]
        plan = plan / plan.sum(0) * columns
    given = plan.argmax(1)
    for label in range(num_labels):  # a label without a cluster takes the one that would suit it best
        if not (given == label).any():
            counts = torch.bincount(given, minlength=num_labels)
            given[(plan[:, label] / plan.sum(1)).where(counts[given] > 1, -1.0).argmax()] = label
    return given


def merge_clusters(probabilities: Tensor, num_groups: int) -> Tensor:
    """Compute groups of clusters that overlap: where q(cluster|x) is often shared between two, they are one.

    Again and again the two groups are joined whose overlap, E[q(a|x) q(b|x)] / (E q(a|x) E q(b|x)), is largest; a group that
    would hold more than its even share of the rows by a fifth is held back.

    Parameters
    ----------
    probabilities : Tensor, (n, clusters)
        q(cluster|x) of rows without labels.
    num_groups : int
        How many groups remain, 1 to the number of clusters.

    Returns
    -------
    Tensor of int64, (clusters,)
        The group of each cluster, numbered by their first cluster.
    """
    q = probabilities.double().cpu()
    sizes, together = q.mean(0), q.T @ q / len(q)
    groups = torch.arange(q.shape[1])  # of each cluster, as a row of the two above
    while len(sizes) > num_groups:
        joined = sizes[:, None] + sizes
        overlap = together.clamp(min=1e-300).log() - (sizes[:, None] * sizes).clamp(min=1e-300).log()
        score = overlap - HOLD * (joined * num_groups / LOOSENESS - 1).clamp(min=0)
        score.fill_diagonal_(-torch.inf)
        first, second = sorted(divmod(int(score.argmax()), len(sizes)))
        for table in (sizes, together, together.T):
            table[first] += table[second]
        kept = torch.arange(len(sizes)) != second
        sizes, together = sizes[kept], together[kept][:, kept]
        groups[groups == second] = first
        groups[groups > second] -= 1
    return groups


def assignment(
    model: AdversarialAutoencoder, settings: ClusteringSettings, *, labelled: bool
) -> Callable[[TrainingData], None]:
    """Create what assigns the clusters of a model to its labels, by the rows that it is trained on.

    Parameters
    ----------
    model : AdversarialAutoencoder
        Whose label has a `ClusteredSoftmax`.
    settings : ClusteringSettings
        How clusters are merged, and how labelled rows vote.
    labelled : bool
        Whether labelled rows say which label a cluster has; otherwise clusters that overlap are merged.

    Returns
    -------
    callable
        Called with the `TrainingData`.

    Raises
    ------
    InputError
        If q(y|x) is no sum over clusters.
    """
    head = model.label_head
    if not isinstance(head, ClusteredSoftmax):
        raise InputError(
            "training.losses.clustering needs q(y|x) as a sum over clusters, expected model.label.clusters"
        )

    def logits(data: TrainingData, indices: Tensor) -> Tensor:
        return head.logits(model.features(data.scaling(data.rows[indices])))

    def assign(data: TrainingData) -> None:
        every = torch.arange(len(data.rows), device=data.rows.device)
        q = torch.cat([torch.softmax(logits(data, block), 1) for block in torch.split(every, BLOCK)])
        if labelled:
            assert data.labels is not None
            assert data.labelled is not None
            votes = torch.cat([logits(data, block) for block in torch.split(data.labelled, BLOCK)])
            votes, known = torch.softmax(votes / settings.temperature, 1), data.labels[data.labelled]
            groups = torch.arange(head.dim) if settings.merged is None else merge_clusters(q, settings.merged)
            member = torch.nn.functional.one_hot(groups).to(q)  # (clusters, groups)
            given = assign_clusters(votes @ member, known, q.mean(0) @ member, head.shares, len(head.members))[groups]
        else:
            given = merge_clusters(q, len(head.members))
        head.assign(given.to(q.device), q.mean(0))

    return assign
