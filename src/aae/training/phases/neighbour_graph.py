"""The graph of neighbours: rows that are near each other are so on the map (McInnes et al. 2018, UMAP); not in the paper."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from aae import losses
from aae.model import AdversarialAutoencoder
from aae.networks import batch_norms, frozen_statistics
from aae.training.phases.phase import Batch
from aae.training.settings import NeighbourGraphSettings


def neighbour_graph_term(model: AdversarialAutoencoder, settings: NeighbourGraphSettings) -> Callable[[Batch], Tensor]:
    """Create the loss, a function of a batch with a neighbour of each row; both are corrupted, and encoded together.

    The running statistics of batch normalization do not follow these passes.
    """
    norms = batch_norms(model)

    def term(batch: Batch) -> Tensor:
        assert batch.neighbour_rows is not None
        both = torch.cat([batch.rows, batch.neighbour_rows])
        with frozen_statistics(norms):
            places = model.representation(model.encode(both, batch.noise))
        rows, neighbours = map(batch.gather, places.chunk(2))
        return losses.neighbour_graph_loss(rows, neighbours, settings.a, settings.b, settings.negatives)

    return term
