"""The two models of Kingma et al. (2014) stacked: M2 on the codes of a variational autoencoder, the VAE (M1+M2) of Table 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from aae.baselines.densities import gaussian, split_moments
from aae.baselines.m2 import LABELLED, OPTIMIZER, DeepGenerativeModel, bound_term
from aae.baselines.method import Baseline
from aae.baselines.network import SupervisedNetwork
from aae.baselines.vae import Likelihood, variational_phases
from aae.losses import Reduction
from aae.model import AdversarialAutoencoder, Model
from aae.networks import batch_norms, frozen_statistics
from aae.noise import Noise
from aae.posteriors import GaussianPosterior
from aae.training.phases import Batch, Phase
from aae.training.settings import Weight

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.model_settings import ModelSettings
    from aae.recipes.schema import Recipe


class CodeModel(DeepGenerativeModel):
    """M2 of codes: p(x|y, z) is a Gaussian, and the decoder computes its means and log standard deviations.

    Of standard deviation 1, as codes have among all rows, a Gaussian would leave a label nothing to explain.
    """

    def rows(self, logits: Tensor, noise: Noise) -> Tensor:
        """Draw codes (batch, dim) from the decoder's output (batch, 2 dim)."""
        mean, log_std = split_moments(logits)
        return mean + log_std.exp() * noise.normal(*mean.shape)


class StackedGenerativeModel(Model):
    """A variational autoencoder (M1), and a model of its codes and their labels (M2).

    Parameters
    ----------
    first : AdversarialAutoencoder
        M1, with the latent ``style`` and a Gaussian posterior.
    second : CodeModel
        M2, whose rows are the codes of `first`.
    """

    description = "stack of two deep generative models"
    classifies = True
    samples = True

    def __init__(self, first: AdversarialAutoencoder, second: CodeModel) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def codes(self, rows: Tensor, noise: Noise | None = None) -> Tensor:
        """Infer the codes of M1 (batch, dim) of rows (batch, inputs): their means, or with `noise` drawn, in evaluation mode."""
        latent = self.first.latent("style")
        return latent.posterior(self.first.features(rows), noise)  # type: ignore[no-any-return]

    def label_logits(self, rows: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute the logits (batch, classes) of q(y|x) for rows (batch, inputs)."""
        return self.second.label_logits(self.codes(rows, noise), noise)

    def sample(self, n: int, labels: Tensor | None = None, noise: Noise | None = None) -> Tensor:
        """Draw `n` rows (n, inputs), of given labels (n,) or of labels that are drawn too."""
        return self.first.decode({"style": self.second.sample(n, labels, noise)})


def stacked_phases(
    model: StackedGenerativeModel,
    pretraining: int,
    likelihood: Likelihood = "bernoulli",
    reduction: Reduction = "sum",
    weight: Weight = 1.0,
) -> list[Phase]:
    """Create the phases of both models, one after the other.

    Parameters
    ----------
    model : StackedGenerativeModel
        What is trained.
    pretraining : int
        Epochs of M1, 1 or more; it stands still afterwards.
    likelihood, reduction
        Of M1, as for `variational_phases`.
    weight : float or dict
        Of the cross-entropy of q(y|x) beside the bound of M2.

    Returns
    -------
    list of Phase
        ``elbo`` of M1 and ``stacked_elbo`` of M2.
    """
    (first,) = variational_phases(model.first, likelihood, reduction)
    norms = batch_norms(model.first)

    def loss(batch: Batch) -> Tensor:
        assert batch.labelled_rows is not None
        with torch.no_grad(), frozen_statistics(norms):
            codes = model.codes(batch.rows, batch.noise)
            with batch.noise.drawing_for(len(batch.labelled_rows)):
                labelled = model.codes(batch.labelled_rows, batch.noise)
        return bound_term(model.second, batch, codes, labelled)

    weights: dict[str, Weight] = {"classification": weight, "labelled": LABELLED}
    second = Phase(
        "stacked_elbo",
        list(model.second.parameters()),
        loss,
        OPTIMIZER,
        needs_labels=True,
        start=pretraining,
        weights=weights,
    )
    return [Phase(first.name, first.parameters, first.loss, first.optimizer, stop=pretraining), second]


class M1M2(Baseline):
    """M1+M2 as a recipe's method: ``[model.style]`` is the style of both."""

    name = "m1m2"
    needs_labels = True
    pretrains = True
    losses = frozenset({"classification"})

    def check(self, settings: ModelSettings) -> None:
        """Check that there are a label and a Gaussian style."""
        super().check(settings)
        self.require_label_and_style(settings)
        self.require_gaussian_style(settings)

    def build(self, networks: Networks) -> StackedGenerativeModel:
        """Create M1 of the encoder and decoder, and M2 of perceptrons of as many hidden units."""
        settings = networks.settings
        assert settings.style is not None
        dim, classes = settings.style.size, networks.categories
        first = networks.autoencoder(discriminators=False, label=False)
        body = networks.perceptron(dim)
        encoder = networks.perceptron(dim + classes)
        second = CodeModel(
            SupervisedNetwork(body, networks.label_head(body.out_features)),
            encoder,
            GaussianPosterior(encoder.out_features, dim),
            networks.perceptron(classes + dim, 2 * dim),
            likelihood=gaussian,
            output="linear",
        )
        return StackedGenerativeModel(first, second)

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the phases of both models."""
        return stacked_phases(
            cast(StackedGenerativeModel, model),
            recipe.training.pretraining,
            recipe.model.likelihood,
            recipe.training.reduction,
            recipe.training.losses.classification,
        )
