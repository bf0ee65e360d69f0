"""What a run trains on: rows, labels and radii on the device of the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae.noise import LABELLED_ORDER, ORDER, Noise
from aae.scaling import Scaling


@dataclass(frozen=True)
class TrainingData:
    """Everything a run trains on, on the device of the model.

    Attributes
    ----------
    rows : Tensor, (n, ...)
        Rows as stored (uint8 images or float32 rows); scaled batch by batch.
    scaling : Scaling
        Turns stored rows into what the network sees.
    labels : Tensor of int64, (n,), optional
        Labels, -1 where unlabelled.
    labelled : Tensor of int64, (l,), optional
        Indices of the labelled subset, for phases that need labels.
    radii : Tensor, (n,), optional
        Radius of each row for the consistency loss, where it is not the same for all.
    links : Tensor of int64, (n, m), optional
        Indices of the neighbours of each row for the loss on the graph of neighbours, a near one several times.
    weights : Tensor, (n,), optional
        How often each row is drawn, relative to the others; not given: each once in an epoch. Stays on the CPU.
    labelled_weights : Tensor, (l,), optional
        The same of the labelled subset.
    observed : Tensor of bool, (n, ...), optional
        Which values of the rows are known, where some are missing and something stands in for them.
    read : callable, optional
        Reads rows of given indices, an int64 array (n,), from the file that `rows` are a memory map of, for `Prefetch`.
    start : Tensor of int64, (n,), optional
        Labels that q(y|x) starts from, -1 where there is none.
    """

    rows: Tensor
    scaling: Scaling
    labels: Tensor | None = None
    labelled: Tensor | None = None
    radii: Tensor | None = None
    links: Tensor | None = None
    weights: Tensor | None = None
    labelled_weights: Tensor | None = None
    observed: Tensor | None = None
    read: Callable[[NDArray[np.int64]], object] | None = None
    start: Tensor | None = None

    def to(self, device: torch.device) -> TrainingData:
        """Move everything to `device`."""

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        rows = self.rows.to(device)
        read = self.read if rows is self.rows else None
        labels, labelled, radii, links = move(self.labels), move(self.labelled), move(self.radii), move(self.links)
        return replace(
            self,
            rows=rows,
            scaling=self.scaling.to(device),
            labels=labels,
            labelled=labelled,
            start=move(self.start),
            radii=radii,
            links=links,
            observed=move(self.observed),
            read=read,
        )

    def order(self, seed: int, epoch: int, batch_size: int) -> Tensor:
        """Derive the mini-batches of an epoch: indices (steps, batch size); a ragged rest is left out."""
        noise, n = Noise(seed, ORDER, epoch), len(self.rows)
        order = noise.permutation(n) if self.weights is None else weighted_order(self.weights, n, noise)
        return order[: n // batch_size * batch_size].view(-1, batch_size).to(self.rows.device)

    def labelled_order(self, seed: int, epoch: int, steps: int, batch_size: int) -> Tensor:
        """Derive the labelled mini-batches of an epoch: indices (steps, batch size), in as many passes as it takes."""
        assert self.labelled is not None
        noise, used, n = Noise(seed, LABELLED_ORDER, epoch), steps * batch_size, len(self.labelled)
        if self.labelled_weights is None:
            order = torch.cat([noise.permutation(n) for _ in range(math.ceil(used / n))])[:used]
        else:
            order = weighted_order(self.labelled_weights, used, noise)
        return self.labelled[order.to(self.labelled.device)].view(steps, batch_size)


def weighted_order(weights: Tensor, count: int, noise: Noise) -> Tensor:
    """Draw `count` rows in random order, each as often as its weight (n,) says, rounded up or down at random."""
    order = noise.permutation(len(weights))
    ends = weights.double()[order].cumsum(0)
    places = (torch.arange(count) + noise.uniform(1).double()) * (ends[-1] / count)
    drawn = order[torch.searchsorted(ends, places, right=True).clamp(max=len(weights) - 1)]
    return drawn[noise.permutation(count)]
