"""What a run trains on: rows, labels and radii on the device of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
            radii=radii,
            links=links,
            observed=move(self.observed),
            read=read,
        )
