"""One part of a model each, from its section of a recipe: networks and priors, those of the paper and the user's own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from aae import own_parts, priors
from aae.baselines import GeneratedPrior
from aae.convolution import ConvolutionalDecoder, ConvolutionalEncoder
from aae.networks import MLP
from aae.noise import Noise
from aae.recipes.schema import (
    DecoderSettings,
    DiscriminatorSettings,
    EncoderSettings,
    GaussianSettings,
    GeneratedSettings,
    MixtureSettings,
    NetworkSettings,
    OwnPriorSettings,
    PriorSettings,
    SwissRollSettings,
)


def make_encoder(settings: EncoderSettings, shape: Sequence[int], noise: Noise, eta: int = 0) -> tuple[nn.Module, int]:
    """Build the encoder of rows of a shape, with `eta` columns of noise beside them; gives its number of features too."""
    inputs = math.prod(shape) + eta
    if settings.module is not None:
        return own_parts.network(settings, "model.encoder", inputs, None, noise, shape=tuple(shape))
    encoder = (
        ConvolutionalEncoder(shape, settings.channels, settings.hidden, **settings.kind_of_layers())
        if settings.channels
        else _perceptron(settings, inputs, None)
    )
    return encoder, encoder.out_features


def make_decoder(settings: DecoderSettings, inputs: int, shape: Sequence[int], noise: Noise) -> nn.Module:
    """Build the decoder from codes (batch, inputs) to flat rows of a shape."""
    outputs = math.prod(shape)
    if settings.module is not None:
        return own_parts.network(settings, "model.decoder", inputs, outputs, noise, shape=tuple(shape))[0]
    if not settings.channels:
        return _perceptron(settings, inputs, outputs)
    return ConvolutionalDecoder(inputs, settings.hidden, settings.channels, shape, **settings.kind_of_layers())


def make_discriminator(settings: DiscriminatorSettings, inputs: int, noise: Noise) -> nn.Module:
    """Build a discriminator, from (batch, inputs) to logits (batch, 1)."""
    if settings.module is not None:
        return own_parts.network(settings, "model.discriminator", inputs, 1, noise)[0]
    return _perceptron(settings, inputs, 1)


def make_prior(settings: PriorSettings, dim: int, num_classes: int) -> priors.Prior:
    """Build a prior; sampled per label it is shared out to `num_classes` labels."""
    labels = num_classes or None
    if isinstance(settings, GaussianSettings):
        return priors.Gaussian(dim, settings.sd, labels, slices=settings.slices)
    if isinstance(settings, MixtureSettings):
        components = settings.components or labels or 10
        return priors.GaussianMixture(components, settings.distance, settings.radial_sd, settings.tangential_sd)
    if isinstance(settings, SwissRollSettings):
        return priors.SwissRoll(settings.radius, settings.turns, settings.sd, labels)
    if isinstance(settings, GeneratedSettings):
        return GeneratedPrior(MLP(settings.noise_dim, settings.hidden, dim), settings.noise_dim, dim)
    if isinstance(settings, OwnPriorSettings):
        return own_parts.prior(settings, dim, num_classes)
    return priors.Uniform(dim, settings.low, settings.high, labels)


def _perceptron(settings: NetworkSettings, inputs: int, outputs: int | None) -> MLP:
    return MLP(inputs, settings.hidden, outputs, **settings.kind_of_layers())
