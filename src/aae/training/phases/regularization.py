"""The regularization phase: discriminators distinguish codes from prior samples, and the generator confuses them (section 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from aae import losses
from aae.errors import InputError
from aae.model import AdversarialAutoencoder
from aae.training.phases.phase import Batch, Phase
from aae.training.settings import OptimizerSettings, Weight

OPTIMIZER = OptimizerSettings(learning_rate=0.1, momentum=0.1)  # A.2.1, of both


def generator_term(model: AdversarialAutoencoder) -> Callable[[Batch], Tensor]:
    """Create the generator's loss on the codes of a batch, the sum over latents, each with its weight ``generator_<latent>``."""

    def term(batch: Batch) -> Tensor:
        assert batch.codes is not None
        total = torch.zeros((), device=batch.rows.device)
        for name, codes in batch.codes.items():
            logits = model.latent(name).discriminate(codes, batch.labels, batch.noise)
            total = total + batch.weighted(f"generator_{name}", losses.generator_loss(logits))
        return total

    return term


def discriminator_phase(model: AdversarialAutoencoder, start: int = 0, *, corrupt: bool = True) -> Phase:
    """Create the phase in which all discriminators learn to distinguish codes from prior samples (section 2).

    Parameters
    ----------
    model : AdversarialAutoencoder
        Every latent needs a discriminator.
    start : int
        First epoch in which it runs, 0 or larger.
    corrupt : bool
        Whether the codes are those of corrupted rows.

    Returns
    -------
    Phase
        ``discriminator``. It leaves the codes in the batch for the generator.

    Raises
    ------
    InputError
        If a latent has no discriminator.
    """
    for name in model.latents:
        if model.latent(name).discriminator is None:
            raise InputError(f"latent {name!r} has no discriminator; expected one to match its codes to the prior")

    def discriminator_loss(batch: Batch) -> Tensor:
        batch.codes = model.codes(model.features(batch.rows, batch.noise, corrupt=corrupt), batch.noise)
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
            probabilities = getattr(model.latent("label").prior, "probabilities", None)
            batch.metrics["label_normalized_marginal_entropy"] = losses.normalized_marginal_entropy(
                batch.gather(batch.codes["label"].detach()), probabilities
            )
        return total

    return Phase("discriminator", model.discriminator_parameters(), discriminator_loss, OPTIMIZER, start=start)


def generator_phase(
    model: AdversarialAutoencoder, start: int = 0, weights: Mapping[str, Weight] | None = None
) -> Phase:
    """Create the phase in which the encoder learns to confuse the discriminators, after theirs (section 2).

    Parameters
    ----------
    model : AdversarialAutoencoder
        Every latent needs a discriminator.
    start : int
        First epoch in which it runs, 0 or larger.
    weights : dict of str to float or dict, optional
        Of the loss by latent: numbers, or schedules from epoch to number; 1 for others.

    Returns
    -------
    Phase
        ``generator``, which moves the encoder and all heads.
    """
    named = {f"generator_{name}": weight for name, weight in (weights or {}).items()}
    return Phase("generator", model.encoder_parameters(), generator_term(model), OPTIMIZER, start=start, weights=named)
