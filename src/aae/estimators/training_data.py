"""What the engine trains on: scaled rows, labels, weights, and what losses know of the neighbours of a row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from aae.estimators.rows import Labels
from aae.estimators.sparse import take
from aae.estimators.weights import Weights
from aae.noise import Noise
from aae.scaling import Scaling
from aae.training.data import TrainingData
from aae.training.radii import neighbour_links, neighbour_radii
from aae.training.settings import LossSettings


def whole_batches(data: TrainingData, size: int, noise: Noise) -> TrainingData:
    """Let a few rows come twice, so that all rows of a chunk are seen in whole mini-batches."""
    n = len(data.rows)
    order = torch.cat([torch.arange(n), noise.permutation(n)[: -n % min(size, n)]])
    labels = None if data.labels is None else data.labels[order]
    weights = None if data.weights is None else data.weights[order]
    labelled = None if labels is None else (labels >= 0).nonzero()[:, 0]
    labelled_weights = data.labelled_weights
    if labelled_weights is not None and labelled is not None:
        assert data.labelled is not None
        of_rows = torch.zeros(n, dtype=labelled_weights.dtype).index_copy(0, data.labelled, labelled_weights)
        labelled_weights = of_rows[order][labelled]
    return TrainingData(
        take(data.rows, order.numpy()),
        data.scaling,
        labels,
        labelled,
        weights=weights,
        labelled_weights=labelled_weights,
        observed=None if data.observed is None else data.observed[order],
    )


def radii(rows: Tensor, losses: LossSettings) -> Tensor:
    """Compute the radius of each row for consistency, from its neighbour or the last that there is."""
    assert losses.neighbours is not None
    neighbour = min(losses.neighbours, len(rows) - 1)
    return neighbour_radii(rows, Scaling.identity(), neighbour, later=losses.later_neighbours)


def links(rows: Tensor, neighbours: int) -> Tensor:
    """Compute the links of each row with so many neighbours, or all other rows."""
    return neighbour_links(rows, Scaling.identity(), min(neighbours, len(rows) - 1))


def training_data(
    rows: Tensor, labels: Labels | None, weights: Weights | None = None, class_weights: Weights | None = None
) -> TrainingData:
    """Gather what the engine trains on; the rows are scaled already."""
    data = TrainingData(rows, Scaling.identity(), weights=None if weights is None else torch.from_numpy(weights))
    if labels is None:
        return data
    labelled = np.flatnonzero(labels >= 0)
    counted = np.ones(len(labelled)) if weights is None else weights[labelled]
    if class_weights is not None:
        counted = counted * class_weights[labels[labelled]]
    even = not len(counted) or (counted == counted[0]).all()
    return replace(
        data,
        labels=torch.from_numpy(labels),
        labelled=torch.from_numpy(labelled),
        labelled_weights=None if even else torch.from_numpy(counted),
    )
