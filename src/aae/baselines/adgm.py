"""Auxiliary deep generative model (Maaløe et al. 2016), the ADGM of Table 2."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from aae.baselines.densities import Likelihood, bernoulli, bounded, kl_to_standard, log_density, unit_gaussian
from aae.baselines.m2 import M2, DeepGenerativeModel, Inferred
from aae.baselines.network import SupervisedNetwork
from aae.model import Output
from aae.networks import Corruption
from aae.noise import Noise
from aae.posteriors import GaussianPosterior

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks


class GaussianNetwork(nn.Module):
    """A Gaussian whose moments a network computes.

    Parameters
    ----------
    network : torch.nn.Module
        Maps inputs to features.
    features : int
        Number of features.
    dim : int
        Dimensions of the Gaussian.
    """

    def __init__(self, network: nn.Module, features: int, dim: int) -> None:
        super().__init__()
        self.network = network
        self.head = GaussianPosterior(features, dim)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Compute mean and log standard deviation (batch, dim) from inputs side by side."""
        return bounded(*self.head.moments(self.network(torch.cat(inputs, 1))))


class AuxiliaryDeepGenerativeModel(DeepGenerativeModel):
    """M2 with an auxiliary variable a between row and label, which makes q(y|x) and q(z|x, y) more than one Gaussian.

    Parameters
    ----------
    auxiliary : GaussianNetwork
        q(a|x).
    classifier : SupervisedNetwork
        q(y|a, x), of rows beside the auxiliary variable.
    encoder, posterior : torch.nn.Module, GaussianPosterior
        q(z|a, y, x), of rows beside the one-hot label and the auxiliary variable.
    generated : GaussianNetwork
        p(a|z, y, x).
    decoder : torch.nn.Module
        p(x|y, z), as for `DeepGenerativeModel`.
    likelihood, output
        As for `DeepGenerativeModel`.
    corruption : Corruption, optional
        Of the rows that q(a|x) and q(y|a, x) see in training.
    """

    description = "auxiliary deep generative model"

    def __init__(
        self,
        auxiliary: GaussianNetwork,
        classifier: SupervisedNetwork,
        encoder: nn.Module,
        posterior: GaussianPosterior,
        generated: GaussianNetwork,
        decoder: nn.Module,
        *,
        likelihood: Likelihood = bernoulli,
        output: Output = "sigmoid",
        corruption: Corruption | None = None,
    ) -> None:
        super().__init__(classifier, encoder, posterior, decoder, likelihood=likelihood, output=output)
        self.auxiliary = auxiliary
        self.generated = generated
        self.corruption = corruption or Corruption()

    def label_logits(self, rows: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute the logits (batch, classes) of q(y|a, x) at the mean of q(a|x), or with `noise` at one drawn a."""
        return self.infer(rows, noise).logits

    def infer(self, rows: Tensor, noise: Noise | None = None) -> Inferred:
        """Compute the logits of q(y|a, x) for rows (batch, inputs), with the a that was drawn for them."""
        x = self.corruption(rows, noise)
        mean, log_std = self.auxiliary(x)
        a = mean if noise is None else mean + log_std.exp() * noise.normal(*mean.shape)
        logits = self.classifier.label_logits(torch.cat([x, a], 1), noise)
        return Inferred(logits, a, log_density(a, mean, log_std))

    def bound(self, rows: Tensor, labels: Tensor, inferred: Inferred, noise: Noise) -> Tensor:
        """Estimate what is missing of L(x, y) beside log q(a|x), in nats, (batch,): as for M2, minus log p(a|z, y, x)."""
        a = inferred.auxiliary
        assert a is not None
        mean, log_std = bounded(*self.posterior.moments(self.encoder(torch.cat([rows, labels, a], 1))))
        styles = mean + log_std.exp() * noise.normal(*mean.shape)
        error = self.likelihood(self.decoder_logits(labels, styles, noise), rows)
        auxiliary = log_density(a, *self.generated(rows, labels, styles))
        return error + kl_to_standard(mean, log_std) + math.log(self.classes) - auxiliary


class ADGM(M2):
    """The auxiliary deep generative model as a recipe's method; a has as many dimensions as the style."""

    name = "adgm"

    def build(self, networks: Networks) -> AuxiliaryDeepGenerativeModel:
        """Create the five networks, all with the hidden units of the encoder or decoder."""
        settings, classes = networks.settings, networks.categories
        assert settings.style is not None
        dim, inputs = settings.style.size, networks.inputs

        def gaussian_network(size: int) -> GaussianNetwork:
            network = networks.perceptron(size)
            return GaussianNetwork(network, network.out_features, dim)

        body, encoder = networks.perceptron(inputs + dim), networks.perceptron(inputs + classes + dim)
        return AuxiliaryDeepGenerativeModel(
            gaussian_network(inputs),
            SupervisedNetwork(body, networks.label_head(body.out_features)),
            encoder,
            GaussianPosterior(encoder.out_features, dim),
            gaussian_network(inputs + classes + dim),
            networks.decoder(classes + dim),
            likelihood=bernoulli if settings.likelihood == "bernoulli" else unit_gaussian,
            output=settings.activation,
            corruption=networks.corruption(),
        )
