"""Variational autoencoder with the networks of the adversarial one (section 2.1, Eq. 2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from aae import losses
from aae.baselines.method import Baseline
from aae.errors import InputError
from aae.losses import Reduction
from aae.model import AdversarialAutoencoder, Model
from aae.noise import Noise
from aae.posteriors import GaussianPosterior
from aae.priors import Gaussian
from aae.training.phases import Batch, Phase
from aae.training.settings import OptimizerSettings

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.model_settings import ModelSettings
    from aae.recipes.schema import Recipe

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.001)
Likelihood = Literal["bernoulli", "gaussian"]


def variational_phases(
    model: AdversarialAutoencoder, likelihood: Likelihood = "bernoulli", reduction: Reduction = "sum"
) -> list[Phase]:
    """Create the one phase of a VAE: the negative evidence lower bound.

    Parameters
    ----------
    model : AdversarialAutoencoder
        Encoder, one latent named ``style`` with a Gaussian posterior, and a decoder; no discriminator.
    likelihood : {"bernoulli", "gaussian"}
        -log p(x|z): cross-entropy of pixels in [0, 1], or half the squared error (unit variance).
    reduction : {"sum", "mean"}
        Of the reconstruction term; the bound holds for ``"sum"``.

    Returns
    -------
    list of Phase
        One phase named ``elbo``. The KL divergence is in closed form for a Gaussian prior and a Monte-Carlo estimate for
        any other prior with a density.

    Raises
    ------
    InputError
        If the posterior is not Gaussian, the prior has no density, or the likelihood does not fit the output.
    """
    if set(model.latents) != {"style"}:
        raise InputError(f"a VAE has one latent, 'style'; found {', '.join(model.latents)}")
    style = model.latent("style")
    prior, posterior = style.prior, style.posterior
    if not isinstance(posterior, GaussianPosterior):
        raise InputError(f"a VAE needs a Gaussian posterior; found {type(posterior).__name__}")
    if not prior.density_everywhere:
        raise InputError(f"a VAE needs a prior with a density larger than 0 everywhere; found {type(prior).__name__}")
    error = reconstruction_error(model, likelihood, reduction)

    def loss(batch: Batch) -> Tensor:
        mean, log_std = posterior.moments(model.features(batch.rows, batch.noise))
        codes = mean + torch.exp(log_std) * batch.noise.normal(*mean.shape)
        logits = model.decoder_logits({"style": codes}, batch.labels, batch.noise)
        if isinstance(prior, Gaussian):
            kl = losses.gaussian_kl(mean, log_std, prior.std)
        else:
            kl = losses.monte_carlo_kl(log_std, prior.log_prob(codes))
        batch.metrics["kl"] = kl.detach()
        return error(logits, batch.rows) + kl

    return [Phase("elbo", [*model.encoder_parameters(), *model.decoder.parameters()], loss, OPTIMIZER)]


def reconstruction_error(
    model: AdversarialAutoencoder, likelihood: Likelihood, reduction: Reduction
) -> Callable[[Tensor, Tensor], Tensor]:
    """Create the loss of the decoder's logits (batch, inputs) for the rows (batch, inputs): -log p(x|z) up to a constant.

    Raises
    ------
    InputError
        If the likelihood does not fit the output of the model.
    """
    if likelihood == "gaussian":
        return lambda logits, rows: losses.half_squared_error(model.activate(logits), rows, reduction)
    if model.output != "sigmoid":
        raise InputError(f"a Bernoulli likelihood needs a sigmoid output; found {model.output}")
    return lambda logits, rows: losses.bernoulli_error(logits, rows, reduction)


@torch.no_grad()
def importance_weighted_bound(
    model: AdversarialAutoencoder, rows: Tensor, samples: int, likelihood: Likelihood, noise: Noise
) -> tuple[Tensor, Tensor]:
    r"""Compute two lower bounds of log p(x): that of Eq. 2, and the tighter one of Burda et al. (2015).

    With codes z_1 .. z_K of q(z\|x) and weights w_k = p(x\|z_k) p(z_k) / q(z_k\|x) they are the means over draws of the mean of
    log w_k, and of the log of the mean of w_k, which goes to log p(x) as K grows.

    Parameters
    ----------
    model : AdversarialAutoencoder
        As for `variational_phases`, in evaluation mode.
    rows : Tensor, (batch, inputs)
        Scaled rows.
    samples : int
        K, 1 or larger; memory does not grow with it.
    likelihood : {"bernoulli", "gaussian"}
        p(x\|z). Of pixels between 0 and 1 "bernoulli" is no density: its bounds are to be compared with each other alone.
    noise : Noise
        What the codes are drawn from.

    Returns
    -------
    evidence, importance_weighted : Tensor, (batch,)
        In nats per row.

    Raises
    ------
    InputError
        If `samples` is less than 1.
    """
    if samples < 1:
        raise InputError(f"samples is {samples}; expected 1 or larger")
    style = model.latent("style")
    posterior = cast(GaussianPosterior, style.posterior)
    mean, log_std = posterior.moments(model.features(rows, None))
    total = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    log_sum = torch.full_like(total, -math.inf)
    for _ in range(samples):
        epsilon = noise.normal(*mean.shape)
        codes = mean + torch.exp(log_std) * epsilon
        log_posterior = (-0.5 * epsilon.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(1)
        log_rows = _log_likelihood(model, model.decoder_logits({"style": codes}), rows, likelihood)
        log_weight = (log_rows + style.prior.log_prob(codes) - log_posterior).double()
        total += log_weight
        log_sum = torch.logaddexp(log_sum, log_weight)
    return total / samples, log_sum - math.log(samples)


def _log_likelihood(model: AdversarialAutoencoder, logits: Tensor, rows: Tensor, likelihood: Likelihood) -> Tensor:
    if likelihood == "bernoulli":
        return -F.binary_cross_entropy_with_logits(logits, rows, reduction="none").sum(1)
    return -0.5 * ((model.activate(logits) - rows).square() + math.log(2 * math.pi)).sum(1)


class VAE(Baseline):
    """The variational autoencoder as a recipe's method: the same networks without a discriminator."""

    name = "vae"
    bounds = True

    def check(self, settings: ModelSettings) -> None:
        """Check that the Kullback-Leibler divergence can be had: a Gaussian posterior, a prior with a finite density."""
        super().check(settings)
        self.require_style_alone(settings)
        assert settings.style is not None
        if settings.style.posterior != "gaussian":
            raise ValueError(f"model.style.posterior is {settings.style.posterior!r}; method 'vae' expects 'gaussian'")
        if not settings.style.prior.density_everywhere:
            raise ValueError(
                f"model.style.prior.kind is {settings.style.prior.kind!r}; method 'vae' needs a prior whose density is known "
                "everywhere, expected 'gaussian' or 'gaussian-mixture'"
            )

    def build(self, networks: Networks) -> AdversarialAutoencoder:
        """Create the autoencoder without discriminators."""
        return networks.autoencoder(discriminators=False)

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the one phase of a VAE."""
        return variational_phases(
            cast(AdversarialAutoencoder, model), recipe.model.likelihood, recipe.training.reduction
        )
