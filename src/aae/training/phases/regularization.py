"""The regularization phase: discriminators distinguish codes from prior samples, and the generator confuses them (section 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor

from aae import losses
from aae.errors import InputError
from aae.latents import Latent
from aae.model import AdversarialAutoencoder
from aae.networks import SpectralLinear
from aae.noise import Noise
from aae.training.phases.phase import Batch, Phase
from aae.training.settings import MatchingSettings, OptimizerSettings, Weight

OPTIMIZER = OptimizerSettings(learning_rate=0.1, momentum=0.1)  # A.2.1, of both


def generator_term(
    model: AdversarialAutoencoder, objective: losses.Objective = "adversarial"
) -> Callable[[Batch], Tensor]:
    """Create the generator's loss on the codes of a batch, the sum over latents, each with its weight ``generator_<latent>``."""

    def term(batch: Batch) -> Tensor:
        assert batch.codes is not None
        total = torch.zeros((), device=batch.rows.device)
        for name, codes in batch.codes.items():
            logits = model.latent(name).discriminate(codes, batch.labels, batch.noise)
            total = total + batch.weighted(f"generator_{name}", losses.generator_objective(logits, objective))
        return total

    return term


def discriminator_phase(
    model: AdversarialAutoencoder, start: int = 0, settings: MatchingSettings | None = None, *, corrupt: bool = True
) -> Phase:
    """Create the phase in which all discriminators learn to distinguish codes from prior samples (section 2).

    Parameters
    ----------
    model : AdversarialAutoencoder
        Every latent needs a discriminator.
    start : int
        First epoch in which it runs, 0 or larger.
    settings : MatchingSettings, optional
        Objective, penalties and number of updates; by default the paper's.
    corrupt : bool
        Whether the codes are those of corrupted rows.

    Returns
    -------
    Phase
        ``discriminator``. It leaves the codes in the batch for the generator.

    Raises
    ------
    InputError
        If a latent has no discriminator, or one that normalizes its weights is to be penalized.
    """
    settings = settings or MatchingSettings()
    objective = adversarial(settings)
    penalized = settings.r1 > 0 or settings.gradient_penalty > 0
    for name in model.latents:
        if model.latent(name).discriminator is None:
            raise InputError(f"latent {name!r} has no discriminator; expected one to match its codes to the prior")
        if penalized and any(isinstance(layer, SpectralLinear) for layer in model.latent(name).modules()):
            raise InputError(
                "model.discriminator.spectral_norm does not fit penalties of the slope; expected one of them"
            )

    def penalty(latent: Latent, positives: Tensor, codes: Tensor, labels: Tensor | None, noise: Noise) -> Tensor:
        def discriminate(points: Tensor) -> Tensor:
            return latent.discriminate(points, labels)

        total = torch.zeros((), device=codes.device)
        if settings.r1:
            total = total + 0.5 * settings.r1 * losses.squared_slopes(discriminate, positives).mean()
        if settings.gradient_penalty:
            share = noise.uniform(len(codes), 1)
            between = share * positives + (1 - share) * codes
            slopes = losses.squared_slopes(discriminate, between).clamp(min=1e-12).sqrt()
            total = total + settings.gradient_penalty * (slopes - 1).square().mean()
        return total

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
            total = total + losses.discriminator_objective(logits[:n], logits[n:], objective)
            if penalized:
                total = total + penalty(latent, positives, codes.detach(), labels, batch.noise)
            accuracy = losses.discriminator_accuracy(logits[:n], logits[n:], objective)
            batch.metrics[f"{name}_discriminator_accuracy"] = accuracy.detach()
        if "label" in batch.codes:
            probabilities = getattr(model.latent("label").prior, "probabilities", None)
            batch.metrics["label_normalized_marginal_entropy"] = losses.normalized_marginal_entropy(
                batch.gather(batch.codes["label"].detach()), probabilities
            )
        return total

    parameters, updates = model.discriminator_parameters(), settings.discriminator_steps
    return Phase("discriminator", parameters, discriminator_loss, OPTIMIZER, start=start, updates=updates)


def adversarial(settings: MatchingSettings) -> losses.Objective:
    """Return the objective of discriminators and generator; InputError where there is none."""
    if not settings.discriminates:
        raise InputError(f"objective {settings.objective!r} uses no discriminator; expected one that does")
    return cast(losses.Objective, settings.objective)


def generator_phase(
    model: AdversarialAutoencoder,
    start: int = 0,
    weights: Mapping[str, Weight] | None = None,
    settings: MatchingSettings | None = None,
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
    settings : MatchingSettings, optional
        With the objective, by default the paper's. Without discriminators the encoder lowers a distance of codes and prior
        samples itself.

    Returns
    -------
    Phase
        ``generator``, which moves the encoder and all heads.

    Raises
    ------
    InputError
        If a latent is label-informed (section 2.3), where there is no discriminator to inform.
    """
    settings = settings or MatchingSettings()
    term = generator_term(model, adversarial(settings)) if settings.discriminates else distance_term(model, settings)
    named = {f"generator_{name}": weight for name, weight in (weights or {}).items()}
    return Phase("generator", model.encoder_parameters(), term, OPTIMIZER, start=start, weights=named)


def distance_term(model: AdversarialAutoencoder, settings: MatchingSettings) -> Callable[[Batch], Tensor]:
    """Create the distance of codes and prior samples, the sum over latents, each with its weight ``generator_<latent>``.

    Raises
    ------
    InputError
        If a latent is label-informed, which takes a discriminator.
    """
    for name in model.latents:
        if model.latent(name).label_informed:
            raise InputError(
                f"model.{name}.label_informed needs a discriminator; objective {settings.objective!r} uses none"
            )

    def term(batch: Batch) -> Tensor:
        total = torch.zeros((), device=batch.rows.device)
        for name, codes in model.encode(batch.rows, batch.noise).items():
            samples = model.latent(name).prior.sample(len(codes), None, batch.noise)
            x, y = batch.gather(codes), batch.gather(samples)
            if settings.objective == "mmd":
                distance = losses.inverse_multiquadratic_mmd(x, y)
            else:
                with batch.noise.drawing_together():
                    distance = losses.sliced_wasserstein_loss(x, y, batch.noise.normal(settings.directions, x.shape[1]))
            total = total + batch.weighted(f"generator_{name}", distance)
        return total

    return term
