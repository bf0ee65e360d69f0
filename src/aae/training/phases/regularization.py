"""The regularization phase: discriminators tell codes from prior samples, and the generator confuses them (section 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from aae import losses
from aae.errors import InputError
from aae.model import AdversarialAutoencoder
from aae.training.phases.phase import Batch, Phase
from aae.training.settings import OptimizerSettings

OPTIMIZER = OptimizerSettings(learning_rate=0.1, momentum=0.1)  # A.2.1, of both


def regularization_phases(model: AdversarialAutoencoder, start: int = 0) -> list[Phase]:
    """Create the two phases that match the aggregated posterior to the prior (section 2).

    Parameters
    ----------
    model : AdversarialAutoencoder
        Every latent needs a discriminator.
    start : int
        First epoch in which they run, 0 or larger.

    Returns
    -------
    list of Phase
        ``discriminator``, which moves all discriminators, and ``generator``, which moves the encoder.

    Raises
    ------
    InputError
        If a latent has no discriminator.
    """
    for name in model.latents:
        if model.latent(name).discriminator is None:
            raise InputError(f"latent {name!r} has no discriminator; expected one to match its codes to the prior")

    def discriminator_loss(batch: Batch) -> Tensor:
        batch.codes = model.encode(batch.rows, batch.noise)
        total = torch.zeros((), device=batch.rows.device, dtype=torch.float32)
        for name, codes in batch.codes.items():
            latent = model.latent(name)
            labels = batch.labels if latent.label_informed else None
            n = len(codes)
            positives = latent.prior.sample(n, labels, batch.noise)
            both = torch.cat([positives, codes.detach()])
            logits = latent.discriminate(both, None if labels is None else labels.repeat(2), batch.noise)
            total = total + losses.discriminator_loss(logits[:n], logits[n:])
            accuracy = losses.discriminator_accuracy(logits[:n], logits[n:])
            batch.metrics[f"{name}_discriminator_accuracy"] = accuracy.detach()
        if "label" in batch.codes:
            shares = getattr(model.latent("label").prior, "probabilities", None)
            batch.metrics["label_normalized_marginal_entropy"] = losses.normalized_marginal_entropy(
                batch.gather(batch.codes["label"].detach()), shares
            )
        return total

    def generator_loss(batch: Batch) -> Tensor:
        assert batch.codes is not None
        total = torch.zeros((), device=batch.rows.device, dtype=torch.float32)
        for name, codes in batch.codes.items():
            latent = model.latent(name)
            total = total + losses.generator_loss(latent.discriminate(codes, batch.labels, batch.noise))
        return total

    return [
        Phase("discriminator", model.discriminator_parameters(), discriminator_loss, OPTIMIZER, start=start),
        Phase("generator", model.encoder_parameters(), generator_loss, OPTIMIZER, start=start),
    ]
