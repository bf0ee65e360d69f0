"""Semi-supervised deep generative model (Kingma et al. 2014), the VAE (M2) of Table 2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae import losses
from aae.baselines.densities import Likelihood, bernoulli, bounded, kl_to_standard, unit_gaussian
from aae.baselines.method import Baseline
from aae.baselines.network import SupervisedNetwork
from aae.model import Model, Output
from aae.networks import takes_noise
from aae.noise import Noise
from aae.posteriors import GaussianPosterior
from aae.priors import Gaussian
from aae.training.phases import Batch, Phase
from aae.training.settings import OptimizerSettings, Weight

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.model_settings import ModelSettings
    from aae.recipes.schema import Recipe

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.0003)  # of the authors


@dataclass(frozen=True)
class Inferred:
    """What a model infers of rows before their label is known or tried.

    Attributes
    ----------
    logits : Tensor, (batch, classes)
        Of q(y|x).
    auxiliary : Tensor, (batch, dim), optional
        A drawn auxiliary variable, on which the bound depends.
    log_auxiliary : Tensor, (batch,), or 0
        log q(a|x) of it.
    """

    logits: Tensor
    auxiliary: Tensor | None = None
    log_auxiliary: Tensor | float = 0.0

    def repeated(self, times: int) -> Inferred:
        """Create the same for rows that are repeated one after another."""
        auxiliary = None if self.auxiliary is None else self.auxiliary.repeat(times, 1)
        return Inferred(self.logits.repeat(times, 1), auxiliary, self.log_auxiliary)


class DeepGenerativeModel(Model):
    """p(x|y, z) with a label y and a style z, and its inference networks q(y|x) and q(z|x, y).

    Parameters
    ----------
    classifier : SupervisedNetwork
        q(y|x).
    encoder : torch.nn.Module
        Maps rows beside their one-hot labels (batch, inputs + classes) to features.
    posterior : GaussianPosterior
        q(z|x, y) on these features.
    decoder : torch.nn.Module
        Maps one-hot labels beside styles (batch, classes + dim) to flat rows (batch, inputs).
    likelihood : callable
        -log p(x|y, z), of the `densities`.
    output : {"linear", "sigmoid"}
        Activation of the last layer of the decoder.
    """

    description = "deep generative model"
    classifies = True
    samples = True

    def __init__(
        self,
        classifier: SupervisedNetwork,
        encoder: nn.Module,
        posterior: GaussianPosterior,
        decoder: nn.Module,
        *,
        likelihood: Likelihood = bernoulli,
        output: Output = "sigmoid",
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.encoder = encoder
        self.posterior = posterior
        self.decoder = decoder
        self.likelihood = likelihood
        self.output = output
        self.prior = Gaussian(posterior.dim)
        self.classes = classifier.head.dim
        self._encoder_takes_noise, self._decoder_takes_noise = takes_noise(encoder), takes_noise(decoder)

    def label_logits(self, rows: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute the logits (batch, classes) of q(y|x) for rows (batch, inputs)."""
        return self.classifier.label_logits(rows, noise)

    def decoder_logits(self, labels: Tensor, styles: Tensor, noise: Noise | None = None) -> Tensor:
        """Decode one-hot labels (batch, classes) and styles (batch, dim) without the output activation."""
        x = torch.cat([labels, styles], 1)
        rows: Tensor = self.decoder(x, noise) if self._decoder_takes_noise else self.decoder(x)
        return rows.float()

    def infer(self, rows: Tensor, noise: Noise | None = None) -> Inferred:
        """Compute the logits of q(y|x) for rows (batch, inputs), and what else the bound of a row depends on."""
        return Inferred(self.label_logits(rows, noise))

    def bound(self, rows: Tensor, labels: Tensor, inferred: Inferred, noise: Noise) -> Tensor:
        """Estimate L(x, y) = -E[log p(x|y, z)] - log p(y) + KL(q(z|x, y) || p(z)) in nats, (batch,), with one style a row.

        Parameters
        ----------
        rows : Tensor, (batch, inputs)
            Scaled rows.
        labels : Tensor, (batch, classes)
            Their labels, one-hot.
        inferred : Inferred
            What `infer` found for the rows.
        noise : Noise
            Source of randomness.
        """
        x = torch.cat([rows, labels], 1)
        features = self.encoder(x, noise) if self._encoder_takes_noise else self.encoder(x)
        mean, log_std = bounded(*self.posterior.moments(features))
        styles = mean + log_std.exp() * noise.normal(*mean.shape)
        error = self.likelihood(self.decoder_logits(labels, styles, noise), rows)
        return error + kl_to_standard(mean, log_std) + math.log(self.classes)

    def sample(self, n: int, labels: Tensor | None = None, noise: Noise | None = None) -> Tensor:
        """Draw `n` rows (n, inputs), of given labels (n,) or of labels that are drawn too."""
        noise = noise or Noise(int(torch.randint(2**31, ()).item()))
        if labels is None:
            labels = noise.integers(self.classes, n)
        logits = self.decoder_logits(F.one_hot(labels, self.classes).float(), self.prior.sample(n, None, noise))
        return self.rows(logits, noise)

    def rows(self, logits: Tensor, noise: Noise) -> Tensor:
        """Compute rows (batch, inputs) from the decoder's output before its activation: their means."""
        return torch.sigmoid(logits) if self.output == "sigmoid" else logits


def bound_term(model: DeepGenerativeModel, batch: Batch, rows: Tensor, labelled: Tensor) -> Tensor:
    """Compute U(x) of all rows, plus L(x, y) and the cross-entropy of q(y|x) of labelled rows, each with its weight.

    U(x) = sum over y of q(y|x) L(x, y), minus the entropy of q(y|x): the label is summed over, not drawn.

    Parameters
    ----------
    model : DeepGenerativeModel
        What is trained.
    batch : Batch
        With labels of the labelled rows, and weights called ``labelled`` and ``classification``.
    rows : Tensor, (batch, inputs)
        All rows, as the model sees them.
    labelled : Tensor, (labelled batch, inputs)
        Labelled rows, as the model sees them.
    """
    assert batch.labelled_labels is not None
    one_hot = F.one_hot(batch.labelled_labels, model.classes).float()
    with batch.noise.drawing_for(len(labelled)):
        inferred = model.infer(labelled, batch.noise)
        known = (model.bound(labelled, one_hot, inferred, batch.noise) + inferred.log_auxiliary).mean()
    classification = losses.classification_loss(inferred.logits, batch.labelled_labels)
    inferred = model.infer(rows, batch.noise)
    q = torch.softmax(inferred.logits, 1)
    every = torch.eye(model.classes, device=rows.device).repeat_interleave(len(rows), 0)  # each label for all rows
    bounds = model.bound(rows.repeat(model.classes, 1), every, inferred.repeated(model.classes), batch.noise)
    expected = (q * bounds.view(model.classes, len(rows)).T).sum(1) - losses.entropy(q)
    unknown: Tensor = (expected + inferred.log_auxiliary).mean()
    batch.metrics["classification_loss"] = classification.detach()
    batch.metrics["labelled_bound"] = known.detach()
    batch.metrics["bound"] = unknown.detach()
    return unknown + batch.weighted("labelled", known) + batch.weighted("classification", classification)


LABELLED = 1.0  # beta, weight of the bound of labelled rows; our choice


def generative_phases(model: DeepGenerativeModel, weight: Weight = 1.0) -> list[Phase]:
    """Create the one phase of the model.

    Parameters
    ----------
    model : DeepGenerativeModel
        What is trained.
    weight : float or dict
        alpha, of the cross-entropy of q(y|x) beside the bound of one row: a number, or a schedule from epoch to number.

    Returns
    -------
    list of Phase
        ``elbo``, which logs its parts.
    """

    def loss(batch: Batch) -> Tensor:
        assert batch.labelled_rows is not None
        return bound_term(model, batch, batch.rows, batch.labelled_rows)

    weights: dict[str, Weight] = {"classification": weight, "labelled": LABELLED}
    return [Phase("elbo", list(model.parameters()), loss, OPTIMIZER, needs_labels=True, weights=weights)]


class M2(Baseline):
    """The semi-supervised deep generative model as a recipe's method."""

    name = "m2"
    convolutions = frozenset({"decoder"})  # its encoder sees the label beside the row
    needs_labels = True
    losses = frozenset({"classification"})

    def check(self, settings: ModelSettings) -> None:
        """Check that there are a label and a Gaussian style."""
        super().check(settings)
        self.require_label_and_style(settings)
        self.require_gaussian_style(settings)
        if settings.likelihood == "bernoulli" and settings.output != "sigmoid":
            raise ValueError(f"model.output is {settings.output!r}; a 'bernoulli' likelihood expects 'sigmoid'")

    def build(self, networks: Networks) -> DeepGenerativeModel:
        """Create q(y|x), q(z|x, y) and p(x|y, z)."""
        settings = networks.settings
        assert settings.style is not None
        encoder, features = networks.encoder(networks.categories)
        return DeepGenerativeModel(
            networks.classifier(),
            encoder,
            GaussianPosterior(features, settings.style.size),
            networks.decoder(networks.categories + settings.style.size),
            likelihood=bernoulli if settings.likelihood == "bernoulli" else unit_gaussian,
            output=settings.activation,
        )

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the one phase."""
        return generative_phases(cast(DeepGenerativeModel, model), recipe.training.losses.classification)
