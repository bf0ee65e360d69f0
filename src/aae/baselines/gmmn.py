"""Generative moment matching network in the code space of an autoencoder (section 2.2), the GMMN+AE of Table 1.

Li, Swersky and Zemel (2015): a dropout autoencoder is trained first; then a second network learns to turn uniform noise
into codes like those of the data, by the maximum mean discrepancy. The autoencoder has the shape of the adversarial one,
and the second network is its prior: one that is fitted to the codes, where an adversarial autoencoder fits the codes to the
prior. So `AdversarialAutoencoder` holds all modules, and sampling goes from noise over codes to rows:

========================  =======================================================================
autoencoder               `AdversarialAutoencoder` with one latent, ``style``, without a discriminator
its dropout               ``corruption`` of the input, and dropout after the encoder's hidden layers
codes in (0, 1)           posterior `SigmoidCode`
generator of codes        prior `GeneratedPrior`
========================  =======================================================================

One thing differs from Li et al.: the autoencoder is trained as a whole from the start, not layer by layer before that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from aae import losses
from aae.baselines.method import Baseline
from aae.baselines.vae import Likelihood, reconstruction_error
from aae.errors import InputError
from aae.losses import Reduction
from aae.model import AdversarialAutoencoder, Model
from aae.noise import Noise
from aae.posteriors import Posterior
from aae.priors import Prior, Uniform
from aae.training.phases import Batch, Phase, moment_matching, reconstruction

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.model_settings import ModelSettings
    from aae.recipes.schema import Recipe


class SigmoidCode(Posterior):
    """q(z|x) is a point in (0, 1)^dim: the bandwidths of the discrepancy need codes of a known scale."""

    def forward(self, features: Tensor, noise: Noise | None = None) -> Tensor:
        """Map features (batch, features) to codes (batch, dim)."""
        return torch.sigmoid(super().forward(features))


class GeneratedPrior(nn.Module, Prior):
    """The distribution of codes that a network makes from noise: z = sigmoid(g(u)), u ~ U[-1, 1)^noise_dim.

    Parameters
    ----------
    generator : torch.nn.Module
        g, maps noise (batch, noise_dim) to logits of codes (batch, dim).
    noise_dim : int
        Number of noise dimensions, 1 or larger.
    dim : int
        Number of code dimensions, 1 or larger.

    Raises
    ------
    InputError
        If a dimension is smaller than 1.
    """

    def __init__(self, generator: nn.Module, noise_dim: int, dim: int) -> None:
        nn.Module.__init__(self)
        Prior.__init__(self, dim)
        self.generator = generator
        self.source = Uniform(noise_dim)

    def _sample(self, n: int, labels: Tensor | None, noise: Noise) -> Tensor:
        logits: Tensor = self.generator(self.source.sample(n, None, noise))
        return torch.sigmoid(logits.float())


def moment_matching_phases(
    model: AdversarialAutoencoder,
    bandwidths: Sequence[float],
    pretraining: int,
    likelihood: Likelihood = "bernoulli",
    reduction: Reduction = "sum",
) -> list[Phase]:
    """List the two phases of GMMN+AE, of which the second begins when the first has ended.

    Parameters
    ----------
    model : AdversarialAutoencoder
        With the latent ``style`` alone, of posterior `SigmoidCode` and prior `GeneratedPrior`.
    bandwidths : sequence of float
        Of the Gaussian kernels of the maximum mean discrepancy, in squared code units, each larger than 0. Li et al. use 1
        for MNIST, and 1, 2, 5, 10, 20 and 40 for TFD.
    pretraining : int
        Epochs in which the autoencoder is trained, 1 or larger; it stands still afterwards.
    likelihood : {"bernoulli", "gaussian"}
        Reconstruction error: cross-entropy of pixels in [0, 1], as in Li et al., or half the squared error.
    reduction : {"sum", "mean"}
        Of the reconstruction error over the dimensions of a row.

    Returns
    -------
    list of Phase
        ``reconstruction`` moves encoder and decoder. ``moment_matching`` moves the generator of codes; it compares as many
        generated codes as there are rows in the mini-batch, and the estimate of the discrepancy needs many: Li et al. take
        batches of 1000. Their codes are those without dropout.

    Raises
    ------
    InputError
        If the model is of another kind, an argument is out of range, or the likelihood does not fit the output.
    """
    if set(model.latents) != {"style"}:
        raise InputError(f"GMMN+AE has one latent, 'style'; found {', '.join(model.latents)}")
    prior, posterior = model.latent("style").prior, model.latent("style").posterior
    if not isinstance(prior, GeneratedPrior) or not isinstance(posterior, SigmoidCode):
        raise InputError(
            f"GMMN+AE needs a SigmoidCode posterior and a GeneratedPrior; found {type(posterior).__name__} and "
            f"{type(prior).__name__}"
        )
    if not bandwidths or not min(bandwidths) > 0:
        raise InputError(f"bandwidths are {list(bandwidths)}; expected at least one, each larger than 0")
    if pretraining < 1:
        raise InputError(f"pretraining is {pretraining}; expected 1 epoch or more")
    error = reconstruction_error(model, likelihood, reduction)

    def reconstruction_loss(batch: Batch) -> Tensor:
        codes = model.encode(batch.rows, batch.noise)
        return error(model.decoder_logits(codes, batch.labels, batch.noise), batch.rows)

    def moment_matching_loss(batch: Batch) -> Tensor:
        with torch.no_grad():
            codes = model.encode(batch.rows)["style"]
        generated = prior.sample(len(codes), None, batch.noise)
        return losses.maximum_mean_discrepancy(batch.gather(generated), batch.gather(codes), bandwidths)

    autoencoder = [*model.encoder_parameters(), *model.decoder_parameters()]
    return [
        Phase("reconstruction", autoencoder, reconstruction_loss, reconstruction.OPTIMIZER, stop=pretraining),
        Phase(
            "moment_matching",
            list(prior.parameters()),
            moment_matching_loss,
            moment_matching.OPTIMIZER,
            start=pretraining,
        ),
    ]


class GMMN(Baseline):
    """GMMN+AE as a recipe's method: an autoencoder first, then the network that generates its codes."""

    name = "gmmn"
    pretrains = True

    def check(self, settings: ModelSettings) -> None:
        """Check that codes are in (0, 1) and that a network generates them."""
        super().check(settings)
        style = settings.style
        if (
            settings.label is not None
            or style is None
            or (style.prior.kind, style.posterior) != ("generated", "sigmoid")
        ):
            raise ValueError(
                "method 'gmmn' needs [model.style] alone, with a 'generated' prior and posterior 'sigmoid'"
            )
        self.require_style_alone(settings)

    def build(self, networks: Networks) -> AdversarialAutoencoder:
        """Create the autoencoder without discriminators; its prior is the network that generates codes."""
        return networks.autoencoder(discriminators=False)

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the phases of both networks."""
        style = recipe.model.style
        assert style is not None
        assert style.prior.kind == "generated"
        return moment_matching_phases(
            cast(AdversarialAutoencoder, model),
            style.prior.bandwidths,
            recipe.training.pretraining,
            recipe.model.likelihood,
            recipe.training.reduction,
        )
