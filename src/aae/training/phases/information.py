"""Information: q(y|x) is sure of each row and uses all labels (Krause et al. 2010; Hu et al. 2017); not in the paper."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from aae import losses
from aae.model import AdversarialAutoencoder
from aae.training.phases.phase import Batch, Phase
from aae.training.settings import InformationSettings, OptimizerSettings

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.001)


def information_term(model: AdversarialAutoencoder, settings: InformationSettings) -> Callable[[Batch, Tensor], Tensor]:
    """Create the loss, a function of a batch and of q(y|x) (batch, labels) for its rows."""

    def term(batch: Batch, probabilities: Tensor) -> Tensor:
        return losses.information_loss(batch.gather(probabilities), settings.marginal, model.label_shares)

    return term


def information_phase(model: AdversarialAutoencoder, settings: InformationSettings) -> Phase:
    """Create the phase in which q(y|x) lowers the information loss by an optimizer of its own.

    Parameters
    ----------
    model : AdversarialAutoencoder
        With the latent ``label``.
    settings : InformationSettings
        Weights.

    Returns
    -------
    Phase
        ``information``, which moves the encoder and the label's head.
    """
    term = information_term(model, settings)

    def loss(batch: Batch) -> Tensor:
        codes = model.label_head(model.features(batch.rows))
        return batch.weighted("information", term(batch, model.label_head.label_probabilities(codes)))

    weights = {"information": settings.weight}
    return Phase("information", model.classifier_parameters(), loss, OPTIMIZER, weights=weights)
