"""From the sections of a recipe to the model and its phases: networks, priors, latents, baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from aae import priors
from aae.baselines import (
    GeneratedPrior,
    GenerativeAdversarialNetwork,
    SigmoidCode,
    SupervisedNetwork,
    generative_adversarial_phases,
    moment_matching_phases,
    supervised_phases,
    variational_phases,
)
from aae.convolution import ConvolutionalDecoder, ConvolutionalEncoder
from aae.errors import InputError
from aae.model import AdversarialAutoencoder, ClusterHeads, Latent
from aae.networks import MLP, Corruption, initialize
from aae.noise import Noise
from aae.posteriors import Deterministic, GaussianPosterior, Posterior, Softmax, UniversalApproximator
from aae.recipes import custom
from aae.recipes.schema import (
    ClusterHeadSettings,
    DecoderSettings,
    DiscriminatorSettings,
    EncoderSettings,
    GaussianSettings,
    GeneratedSettings,
    MixtureSettings,
    ModelSettings,
    NetworkSettings,
    OwnPriorSettings,
    PriorSettings,
    Recipe,
    StyleSettings,
    SwissRollSettings,
)
from aae.training.phases import Phase, adversarial_phases

Model = AdversarialAutoencoder | SupervisedNetwork | GenerativeAdversarialNetwork


def build_model(settings: ModelSettings, shape: Sequence[int], num_classes: int, seed_noise: Noise) -> Model:
    """Build and initialize the model of a recipe.

    Batch normalization takes mean and variance from the mini-batch in training mode and its running statistics in evaluation
    mode: each row is then encoded by itself. An encoder is run several times in a step (in A.2.2 on the rows to reconstruct,
    again on them for the regularization, and on the labelled ones), and its running statistics follow all of these runs.

    Parameters
    ----------
    settings : ModelSettings
        The ``[model]`` section.
    shape : sequence of int
        Shape of a stored row, such as (28, 28) or (32, 32, 3); networks with channels need a picture.
    num_classes : int
        Number of classes in the data, 0 if it has no labels.
    seed_noise : Noise
        Source of the initial weights; own parts keep those they come with.

    Returns
    -------
    AdversarialAutoencoder, SupervisedNetwork or GenerativeAdversarialNetwork
        In training mode, on the CPU.

    Raises
    ------
    InputError
        If the settings need labels that the data does not have, or pictures where rows are none, or own parts that do not fit.
    """
    if settings.method == "network":
        model: Model = _supervised_network(settings, shape, num_classes, seed_noise)
    elif settings.method == "gan":
        model = _generative_adversarial_network(settings, shape, num_classes, seed_noise)
    else:
        model = _autoencoder(settings, shape, num_classes, seed_noise)
    initialize(model, seed_noise, settings.init, settings.init_sd, keep=_own_networks(settings, model))
    return model


def make_phases(recipe: Recipe, model: Model) -> list[Phase]:
    """List the training phases of a recipe's method."""
    reduction, likelihood = recipe.training.reduction, recipe.model.likelihood
    if isinstance(model, SupervisedNetwork):
        return supervised_phases(model)
    if isinstance(model, GenerativeAdversarialNetwork):
        return generative_adversarial_phases(model)
    if recipe.model.method == "vae":
        return variational_phases(model, likelihood, reduction)
    if recipe.model.method == "gmmn":
        assert recipe.model.style is not None
        assert isinstance(recipe.model.style.prior, GeneratedSettings)
        bandwidths, pretraining = recipe.model.style.prior.bandwidths, recipe.training.pretraining
        return moment_matching_phases(model, bandwidths, pretraining, likelihood, reduction)
    return adversarial_phases(
        model, reduction, classify=recipe.data.labels is not None, warm_start=recipe.training.warm_start
    )


def _own_networks(settings: ModelSettings, model: Model) -> list[nn.Module]:
    """List the networks that keep the weights they come with."""
    own = {name for name in ("encoder", "decoder", "discriminator") if getattr(settings, name).module is not None}
    if "decoder" in own:
        own.add("generator")  # of a GAN
    return [module for name, module in model.named_modules() if name.rpartition(".")[2] in own]


def _supervised_network(
    settings: ModelSettings, shape: Sequence[int], num_classes: int, seed_noise: Noise
) -> SupervisedNetwork:
    encoder, features = make_encoder(settings.encoder, shape, seed_noise)
    head = Softmax(features, _categories(settings, num_classes), batch_norm=_heads_normalized(settings))
    return SupervisedNetwork(encoder, head, _corruption(settings))


def _generative_adversarial_network(
    settings: ModelSettings, shape: Sequence[int], num_classes: int, seed_noise: Noise
) -> GenerativeAdversarialNetwork:
    """Impose the data distribution on the rows with the networks that impose the prior on the codes elsewhere."""
    assert settings.style is not None
    return GenerativeAdversarialNetwork(
        make_decoder(settings.decoder, settings.style.dim, shape, seed_noise),
        make_discriminator(settings.discriminator, math.prod(shape), seed_noise),
        make_prior(settings.style.prior, settings.style.dim, num_classes),
        output=settings.output,
    )


def _autoencoder(
    settings: ModelSettings, shape: Sequence[int], num_classes: int, seed_noise: Noise
) -> AdversarialAutoencoder:
    eta = settings.style.noise_inputs if settings.style and settings.style.posterior == "universal" else 0
    encoder, features = make_encoder(settings.encoder, shape, seed_noise, eta)
    latents: dict[str, Latent] = {}
    if settings.label is not None:
        latents["label"] = _label(settings, features, _categories(settings, num_classes), seed_noise)
    if settings.style is not None:
        latents["style"] = _style(settings, settings.style, features, num_classes, seed_noise)
    heads, decoder_inputs = None, sum(latent.prior.dim for latent in latents.values())
    if settings.cluster_heads is not None:
        decoder_inputs = latents["style"].prior.dim
        heads = _cluster_heads(settings.cluster_heads, latents["label"].prior.dim, decoder_inputs, seed_noise)
    if settings.decoder_sees_label:
        if not num_classes:
            raise InputError("the data has no labels; model.decoder_sees_label expects a label for every row")
        decoder_inputs += num_classes
    return AdversarialAutoencoder(
        encoder,
        latents,
        make_decoder(settings.decoder, decoder_inputs, shape, seed_noise),
        output=settings.output,
        corruption=_corruption(settings),
        decoder_classes=num_classes if settings.decoder_sees_label else None,
        cluster_heads=heads,
    )


def _categories(settings: ModelSettings, num_classes: int) -> int:
    assert settings.label is not None
    categories = settings.label.categories or num_classes
    if not categories:
        raise InputError("the data has no labels; expected labels, or model.label.categories for the clusters to find")
    return categories


def _label(settings: ModelSettings, features: int, categories: int, seed_noise: Noise) -> Latent:
    assert settings.label is not None
    try:
        prior = priors.Categorical(categories, settings.label.probabilities)
    except InputError as error:
        raise InputError(f"model.label.{error}") from None
    return Latent(
        prior,
        Softmax(features, categories, batch_norm=_heads_normalized(settings)),
        make_discriminator(settings.discriminator, categories, seed_noise),
        discriminator_noise=settings.discriminator.input_noise,
    )


def _style(settings: ModelSettings, style: StyleSettings, features: int, num_classes: int, seed_noise: Noise) -> Latent:
    prior = make_prior(style.prior, style.dim, num_classes)
    discriminator = None
    if settings.method == "aae":
        if style.label_informed and not num_classes:
            raise InputError("the data has no labels; model.style.label_informed expects some")
        if style.label_informed and prior.num_labels is None:
            raise InputError(
                "model.style.prior cannot be sampled per label; model.style.label_informed expects a sampler with a parameter "
                "'labels'"
            )
        if style.label_informed and (prior.num_labels or 0) < num_classes:
            raise InputError(
                f"model.style.prior.components is {prior.num_labels}; expected one for each of {num_classes} classes"
            )
        extra = (prior.num_labels or 0) + 1 if style.label_informed else 0
        discriminator = make_discriminator(settings.discriminator, style.dim + extra, seed_noise)
    return Latent(
        prior,
        _head(style, features, _heads_normalized(settings)),
        discriminator,
        label_informed=style.label_informed,
        discriminator_noise=settings.discriminator.input_noise,
        add_log_prior=settings.discriminator.add_log_prior,
    )


def _heads_normalized(settings: ModelSettings) -> bool:
    return settings.encoder.batch_norm == "all"


def _corruption(settings: ModelSettings) -> Corruption:
    return Corruption(settings.encoder.input_noise, settings.encoder.input_dropout)


def _cluster_heads(settings: ClusterHeadSettings, categories: int, dim: int, noise: Noise) -> ClusterHeads:
    if settings.fixed is None:
        return ClusterHeads(settings.init_sd * noise.normal(categories, dim), apart=settings.apart)
    if dim != categories:
        raise InputError(
            f"model.style.dim is {dim}; heads fixed to a multiple of the identity expect {categories}, one for each category"
        )
    return ClusterHeads(settings.fixed * torch.eye(dim), learned=False)


def _head(style: StyleSettings, features: int, batch_norm: bool) -> Posterior:
    if style.posterior == "gaussian":
        return GaussianPosterior(features, style.dim, batch_norm=batch_norm)
    if style.posterior == "universal":
        return UniversalApproximator(features, style.dim, noise_inputs=style.noise_inputs, batch_norm=batch_norm)
    if style.posterior == "sigmoid":
        return SigmoidCode(features, style.dim, batch_norm=batch_norm)
    return Deterministic(features, style.dim, batch_norm=batch_norm)


def make_encoder(settings: EncoderSettings, shape: Sequence[int], noise: Noise, eta: int = 0) -> tuple[nn.Module, int]:
    """Build the encoder of rows of a shape, with `eta` columns of noise beside them; gives its number of features too."""
    inputs = math.prod(shape) + eta
    if settings.module is not None:
        return custom.network(settings, "model.encoder", inputs, None, noise, shape=tuple(shape))
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
        return custom.network(settings, "model.decoder", inputs, outputs, noise, shape=tuple(shape))[0]
    if not settings.channels:
        return _perceptron(settings, inputs, outputs)
    return ConvolutionalDecoder(inputs, settings.hidden, settings.channels, shape, **settings.kind_of_layers())


def make_discriminator(settings: DiscriminatorSettings, inputs: int, noise: Noise) -> nn.Module:
    """Build a discriminator, from (batch, inputs) to logits (batch, 1)."""
    if settings.module is not None:
        return custom.network(settings, "model.discriminator", inputs, 1, noise)[0]
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
        return custom.prior(settings, dim, num_classes)
    return priors.Uniform(dim, settings.low, settings.high, labels)


def _perceptron(settings: NetworkSettings, inputs: int, outputs: int | None) -> MLP:
    return MLP(inputs, settings.hidden, outputs, **settings.kind_of_layers())
