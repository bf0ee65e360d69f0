"""Moment matching before the adversarial training, for runs whose discriminators win from the start; not in the paper."""

from __future__ import annotations

import torch
from torch import Tensor

from aae import losses
from aae.model import AdversarialAutoencoder
from aae.training.phases.phase import Batch, Phase
from aae.training.settings import OptimizerSettings

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.001)


def moment_matching_phase(model: AdversarialAutoencoder, epochs: int) -> Phase:
    """Create the phase in which the encoder matches mean and covariance of its codes to those of the prior.

    Parameters
    ----------
    model : AdversarialAutoencoder
        What to train.
    epochs : int
        Epochs at the beginning in which it runs, 1 or larger.

    Returns
    -------
    Phase
        ``moment_matching``.
    """

    def loss(batch: Batch) -> Tensor:
        total = torch.zeros((), device=batch.rows.device, dtype=torch.float32)
        for name, codes in model.encode(batch.rows, batch.noise).items():
            prior = model.latent(name).prior.sample(len(codes), None, batch.noise)
            total = total + losses.moment_matching_loss(batch.gather(codes), batch.gather(prior))
        return total

    return Phase("moment_matching", model.encoder_parameters(), loss, OPTIMIZER, stop=epochs)
