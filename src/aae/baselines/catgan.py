"""Categorical generative adversarial network (Springenberg 2016), the CatGAN of Tables 2 and 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from aae import losses
from aae.baselines.method import Baseline
from aae.baselines.network import SupervisedNetwork, labelled_term
from aae.errors import InputError
from aae.model import Model, Output
from aae.networks import batch_norms, frozen_statistics, takes_noise
from aae.noise import Noise
from aae.priors import Prior
from aae.training.phases import Batch, Phase
from aae.training.settings import OptimizerSettings, Weight

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.model_settings import ModelSettings
    from aae.recipes.schema import Recipe

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.001, betas=(0.5, 0.999))  # our choice


class CategoricalGAN(Model):
    """A discriminator p(y|x) of several categories, sure of the data alone, and a generator that wants it sure of its rows.

    Parameters
    ----------
    discriminator : SupervisedNetwork
        p(y|x).
    generator : torch.nn.Module
        Maps samples of the prior (batch, dim) to flat rows (batch, inputs). If its ``forward`` has a parameter `noise`, it is
        given the run's `Noise` at training time.
    prior : Prior
        p(z), the generator's input.
    output : {"linear", "sigmoid"}
        Activation of the last layer of the generator.
    """

    description = "CatGAN"
    classifies = True
    samples = True

    def __init__(
        self, discriminator: SupervisedNetwork, generator: nn.Module, prior: Prior, *, output: Output = "linear"
    ) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.generator = generator
        self.prior = prior
        self.output = output
        self._generator_takes_noise = takes_noise(generator)

    def label_logits(self, rows: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute the logits (batch, categories) of p(y|x) for rows (batch, inputs)."""
        return self.discriminator.label_logits(rows, noise)

    def generate(self, codes: Tensor, noise: Noise | None = None) -> Tensor:
        """Map samples of the prior (batch, dim) to rows (batch, inputs)."""
        rows: Tensor = self.generator(codes, noise) if self._generator_takes_noise else self.generator(codes)
        return torch.sigmoid(rows.float()) if self.output == "sigmoid" else rows.float()

    def sample(self, n: int, labels: Tensor | None = None, noise: Noise | None = None) -> Tensor:
        """Draw `n` rows (n, inputs); InputError if `labels` are given, which the generator does not know."""
        if labels is not None:
            raise InputError("the generator of a CatGAN knows no labels, so it cannot sample a given label")
        return self.generate(self.prior.sample(n, None, noise))


def categorical_adversarial_phases(
    model: CategoricalGAN, *, classify: bool = False, weight: Weight = 1.0
) -> list[Phase]:
    """Create the phases of a CatGAN: the discriminator, then the generator.

    Parameters
    ----------
    model : CategoricalGAN
        What is trained.
    classify : bool
        Whether the discriminator also lowers its cross-entropy on labelled rows.
    weight : float or dict
        Of this cross-entropy: a number, or a schedule from epoch to number.

    Returns
    -------
    list of Phase
        ``discriminator`` and ``generator``. The running statistics of batch normalization in the discriminator follow the
        data alone.
    """
    norms = {module: batch_norms(module) for module in (model, model.generator, model.discriminator)}

    def probabilities(batch: Batch, rows: Tensor) -> Tensor:
        return torch.softmax(model.label_logits(rows, batch.noise), 1)

    def generated(batch: Batch) -> Tensor:
        return model.generate(model.prior.sample(len(batch.rows), None, batch.noise), batch.noise)

    def discriminator_loss(batch: Batch) -> Tensor:
        real = probabilities(batch, batch.rows)
        with torch.no_grad(), frozen_statistics(norms[model.generator]):
            rows = generated(batch)
        with frozen_statistics(norms[model]):
            doubt = losses.entropy(probabilities(batch, rows)).mean()
            classification = labelled_term(model, batch) if classify else None
        batch.metrics["entropy_of_generated"] = doubt.detach()
        total: Tensor = losses.information_loss(batch.gather(real), marginal=1.0) - doubt
        if classification is not None:
            batch.metrics["classification_loss"] = classification.detach()
            total = total + batch.weighted("classification", classification)
        return total

    def generator_loss(batch: Batch) -> Tensor:
        rows = generated(batch)
        with frozen_statistics(norms[model.discriminator]):
            return losses.information_loss(batch.gather(probabilities(batch, rows)), marginal=1.0)

    discriminator, generator = list(model.discriminator.parameters()), list(model.generator.parameters())
    weights = {"classification": weight} if classify and weight != 1 else {}
    return [
        Phase("discriminator", discriminator, discriminator_loss, OPTIMIZER, classify, weights=weights),
        Phase("generator", generator, generator_loss, OPTIMIZER),
    ]


class CatGAN(Baseline):
    """CatGAN as a recipe's method: the encoder and the label's head discriminate, the decoder generates."""

    name = "catgan"
    losses = frozenset({"classification"})

    def check(self, settings: ModelSettings) -> None:
        """Check that there are categories for the discriminator and a prior for the generator."""
        super().check(settings)
        self.require_label_and_style(settings)

    def build(self, networks: Networks) -> CategoricalGAN:
        """Create p(y|x) and the generator."""
        prior = networks.style_prior()
        output = networks.settings.activation
        return CategoricalGAN(networks.classifier(), networks.decoder(prior.dim), prior, output=output)

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the phases of discriminator and generator; labels, where there are any, are for the first."""
        return categorical_adversarial_phases(
            cast(CategoricalGAN, model),
            classify=recipe.data.labels is not None,
            weight=recipe.training.losses.classification,
        )
