"""Consistency: q(y|x) withstands the perturbation of a row that changes it most (Miyato et al. 2018); not in the paper."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from aae import losses
from aae.model import AdversarialAutoencoder, Model
from aae.networks import batch_norms, frozen_statistics
from aae.training.phases.phase import Batch, Phase
from aae.training.settings import ConsistencySettings, OptimizerSettings

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.001)


def consistency_term(model: Model, settings: ConsistencySettings) -> Callable[[Batch, Tensor], Tensor]:
    """Create the loss, a function of a batch and of q(y|x) (batch, categories) for its rows without corruption.

    The passes with perturbed rows have no other noise; in them batch normalization uses the statistics of the perturbed rows and
    leaves the running ones alone.
    """
    norms = batch_norms(model)

    def term(batch: Batch, probabilities: Tensor) -> Tensor:
        lengths: float | Tensor = settings.radius
        if settings.neighbours is not None:
            assert batch.radii is not None
            lengths = settings.radius * batch.radii[:, None]
        follow = None
        if settings.covariance:
            follow = partial(losses.along_covariance, sample=batch.gather(batch.rows), share=settings.covariance)
        with frozen_statistics(norms):
            direction = losses.virtual_adversarial_direction(
                model.label_logits,
                batch.rows,
                probabilities,
                batch.noise.normal(*batch.rows.shape),
                lengths if isinstance(settings.xi, str) else settings.xi,
                settings.power_iterations,
                follow,
            )
            return losses.consistency_loss(probabilities, model.label_logits(batch.rows + lengths * direction))

    return term


def consistency_phase(model: AdversarialAutoencoder, settings: ConsistencySettings) -> Phase:
    """Create the phase in which q(y|x) lowers the consistency loss by an optimizer of its own.

    Parameters
    ----------
    model : AdversarialAutoencoder
        With the latent ``label``.
    settings : ConsistencySettings
        Radius, power method and weight.

    Returns
    -------
    Phase
        ``consistency``, which moves the encoder and the label's head.
    """
    term = consistency_term(model, settings)

    def loss(batch: Batch) -> Tensor:
        codes = model.label_head(model.features(batch.rows))
        probabilities = model.label_head.label_probabilities(codes)
        return batch.weighted("consistency", term(batch, probabilities))

    weights = {"consistency": settings.weight}
    return Phase("consistency", model.classifier_parameters(), loss, OPTIMIZER, weights=weights)
