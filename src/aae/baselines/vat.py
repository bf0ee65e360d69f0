"""Virtual adversarial training of a classifier (Miyato et al. 2015), the VAT of Table 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from aae.baselines.network import Network, SupervisedNetwork, labelled_term
from aae.model import Model
from aae.networks import batch_norms, frozen_statistics
from aae.training.phases import Batch, Phase
from aae.training.phases.consistency import consistency_term
from aae.training.settings import ConsistencySettings, OptimizerSettings

if TYPE_CHECKING:
    from aae.recipes.schema import Recipe

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.002)  # of the authors' code


def virtual_adversarial_phases(model: SupervisedNetwork, settings: ConsistencySettings) -> list[Phase]:
    """Create the one phase of virtual adversarial training: cross-entropy of labelled rows, consistency of all rows.

    Parameters
    ----------
    model : SupervisedNetwork
        p(y|x). Its corruption and hidden noise are for the labelled rows alone.
    settings : ConsistencySettings
        Radius, power method and weight of the consistency loss.

    Returns
    -------
    list of Phase
        One phase named ``joint``, which logs ``classification_loss`` and ``consistency_loss``. The running statistics of batch
        normalization follow the rows without labels.
    """
    term, norms = consistency_term(model, settings), batch_norms(model)

    def loss(batch: Batch) -> Tensor:
        with frozen_statistics(norms):
            classification = labelled_term(model, batch)
        consistency = term(batch, torch.softmax(model.label_logits(batch.rows), 1))
        batch.metrics["classification_loss"] = classification.detach()
        batch.metrics["consistency_loss"] = consistency.detach()
        return classification + batch.weighted("consistency", consistency)

    weights = {"consistency": settings.weight}
    return [Phase("joint", list(model.parameters()), loss, OPTIMIZER, needs_labels=True, weights=weights)]


class VAT(Network):
    """Virtual adversarial training as a recipe's method: the supervised network with a loss on all rows."""

    name = "vat"
    labelled_only = False
    needs_labels = True
    losses = frozenset({"consistency"})

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the one phase."""
        settings = recipe.training.losses.consistency or ConsistencySettings()
        return virtual_adversarial_phases(cast(SupervisedNetwork, model), settings)
