"""Labels of rows without one for q(y|x) to start from: what two forests agree on. Not in the paper.

q(y|x) learns them beside the labels that are known, with a weight that falls to 0 in training.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor

from aae.noise import Noise
from aae.scaling import Scaling
from aae.training.quick_partitions import most_rows, one_hot_clusters, undisturbed

TIMES = (1, 2)  # as many clusters as classes
MOST_CLUSTERS = 100  # in a partition: more take long to find
ROWS_PER_CLUSTER = 4  # at least
TREES = 200

Labels = NDArray[np.int64]


def start_labels(rows: Tensor, scaling: Scaling, labels: Labels, seed: int) -> Labels | None:
    """Predict the labels of rows without one, from those of the others and from where rows lie close together.

    Two random forests (Breiman 2001) learn the labels, and a row gets the one that both predict, as two views agree in
    co-training (Blum and Mitchell 1998). One forest sees the columns of a row. The other sees the clusters that it is in, of
    several quick partitions of all rows by k-means, Ward's method, Gaussian mixtures and spectral clustering, with as many
    clusters as classes and twice as many (`aae.training.quick_partitions`). Of more than 5000 rows so many are drawn, of
    wide ones fewer, up to half of them with a label.

    Parameters
    ----------
    rows : Tensor, (n, ...)
        Rows as stored; they may be a memory map.
    scaling : Scaling
        From stored rows to what the network sees.
    labels : array of int64, (n,)
        Labels from 0 on, -1 where there is none.
    seed : int
        Decides which rows are drawn, where k-means and mixtures start, and the trees.

    Returns
    -------
    array of int64, (n,), or None
        Predicted labels; -1 for rows that have a label, were not drawn, or on which the forests disagree. None where all rows
        have a label or none has, or there are too few rows or too many classes to find clusters.
    """
    classes = len(np.unique(labels[labels >= 0]))
    drawn = _draw(labels, most_rows(rows), seed)
    most = min(MOST_CLUSTERS, len(drawn) // ROWS_PER_CLUSTER)
    numbers = [time * classes for time in TIMES if time * classes <= most]
    known = labels[drawn] >= 0
    if known.all() or classes < 2 or not numbers:
        return None
    seen = scaling(rows[torch.from_numpy(drawn)]).numpy().astype(np.float64).reshape(len(drawn), -1)
    with undisturbed():
        clusters = one_hot_clusters(seen, numbers, seed)
    told = []
    for view in (seen, clusters):
        forest = RandomForestClassifier(TREES, random_state=seed).fit(view[known], labels[drawn[known]])
        told.append(forest.predict(view[~known]))
    found = np.full(len(rows), -1, np.int64)
    found[drawn[~known]] = np.where(told[0] == told[1], told[0], -1)
    return found


def _draw(labels: Labels, most: int, seed: int) -> Labels:
    """Draw rows, at most so many, at most half of them with a label where there are others enough; in their order."""
    order = Noise(seed).permutation(len(labels)).numpy()
    known = order[labels[order] >= 0][: max(most // 2, most - int((labels < 0).sum()))]
    open_rows = order[labels[order] < 0][: most - len(known)]
    drawn: Labels = np.sort(np.concatenate([known, open_rows]))
    return drawn
