"""Generative adversarial network on the rows themselves (section 1.1; Goodfellow et al. 2014), the GAN of Table 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from aae import losses
from aae.baselines.method import Baseline
from aae.errors import InputError
from aae.model import Model, Output
from aae.networks import takes_noise
from aae.noise import Noise
from aae.priors import Prior
from aae.training.phases import Batch, Phase
from aae.training.phases.regularization import OPTIMIZER

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.model_settings import ModelSettings
    from aae.recipes.schema import Recipe


class GenerativeAdversarialNetwork(Model):
    """A generator G(z) of rows and a discriminator D(x) that distinguishes them from the data.

    To compare it with an adversarial autoencoder give it that model's decoder as generator, its prior, and a discriminator
    of the same layers: the same networks impose the data distribution on the rows in place of the prior on the codes.

    Parameters
    ----------
    generator : torch.nn.Module
        Maps samples of the prior (batch, dim) to flat rows (batch, inputs).
    discriminator : torch.nn.Module
        Maps flat rows (batch, inputs) to logits (batch, 1).
    prior : Prior
        p(z), the generator's input.
    output : {"linear", "sigmoid"}
        Activation of the last layer of the generator.

    Notes
    -----
    If the ``forward`` of a network has a parameter `noise`, it is given the run's `Noise` at training time.
    """

    description = "GAN"
    samples = True

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, prior: Prior, *, output: Output = "linear"
    ) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.prior = prior
        self.output = output
        self._generator_takes_noise = takes_noise(generator)
        self._discriminator_takes_noise = takes_noise(discriminator)

    def generate(self, codes: Tensor, noise: Noise | None = None) -> Tensor:
        """Map samples of the prior (batch, dim) to rows (batch, inputs); hidden dropout is active only with `noise`."""
        rows: Tensor = self.generator(codes, noise) if self._generator_takes_noise else self.generator(codes)
        return torch.sigmoid(rows.float()) if self.output == "sigmoid" else rows.float()

    def discriminate(self, rows: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute the discriminator's logits (batch,) for rows (batch, inputs); larger means more like the data."""
        takes = self._discriminator_takes_noise
        logits: Tensor = self.discriminator(rows, noise) if takes else self.discriminator(rows)
        return logits.float().squeeze(1)

    def sample(self, n: int, labels: Tensor | None = None, noise: Noise | None = None) -> Tensor:
        """Draw `n` rows from the model.

        Parameters
        ----------
        n : int
            Number of rows.
        labels : Tensor, optional
            Not known to this model; here so that all models are sampled alike.
        noise : Noise, optional
            Source of randomness.

        Returns
        -------
        Tensor, (n, inputs)
            Rows.

        Raises
        ------
        InputError
            If labels are given.
        """
        if labels is not None:
            raise InputError("the model knows no labels, so it cannot sample a given label")
        return self.generate(self.prior.sample(n, None, noise))


def generative_adversarial_phases(model: GenerativeAdversarialNetwork) -> list[Phase]:
    """List the two phases of a GAN, each with its own samples of the prior (Goodfellow et al. 2014, Algorithm 1).

    Parameters
    ----------
    model : GenerativeAdversarialNetwork
        What to train.

    Returns
    -------
    list of Phase
        The discriminator learns to distinguish rows of the data, label 1, from generated rows, label 0; then the generator learns
        to fool it, with the non-saturating loss.
    """

    def discriminator_loss(batch: Batch) -> Tensor:
        n = len(batch.rows)
        with torch.no_grad():
            generated = model.generate(model.prior.sample(n, None, batch.noise), batch.noise)
        logits = model.discriminate(torch.cat([batch.rows, generated]), batch.noise)
        accuracy = losses.discriminator_accuracy(logits[:n], logits[n:])
        batch.metrics["discriminator_accuracy"] = accuracy.detach()
        return losses.discriminator_loss(logits[:n], logits[n:])

    def generator_loss(batch: Batch) -> Tensor:
        generated = model.generate(model.prior.sample(len(batch.rows), None, batch.noise), batch.noise)
        return losses.generator_loss(model.discriminate(generated, batch.noise))

    return [
        Phase("discriminator", list(model.discriminator.parameters()), discriminator_loss, OPTIMIZER),
        Phase("generator", list(model.generator.parameters()), generator_loss, OPTIMIZER),
    ]


class GAN(Baseline):
    """The GAN of Table 1 as a recipe's method: the decoder's layers generate rows, the prior feeds them."""

    name = "gan"
    convolutions = frozenset({"decoder"})

    def check(self, settings: ModelSettings) -> None:
        """Check that there is a prior to feed the generator, and nothing that needs an encoder."""
        super().check(settings)
        self.require_style_alone(settings, ", whose prior feeds the generator")
        assert settings.style is not None
        if settings.style.posterior != "deterministic":
            raise ValueError(f"method 'gan' has no encoder; model.style.posterior is {settings.style.posterior!r}")

    def build(self, networks: Networks) -> GenerativeAdversarialNetwork:
        """Impose the data distribution on the rows with the networks that impose the prior on the codes elsewhere."""
        prior = networks.style_prior()
        return GenerativeAdversarialNetwork(
            networks.decoder(prior.dim),
            networks.discriminator(networks.inputs),
            prior,
            output=networks.settings.activation,
        )

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the two phases of a GAN."""
        return generative_adversarial_phases(cast(GenerativeAdversarialNetwork, model))
