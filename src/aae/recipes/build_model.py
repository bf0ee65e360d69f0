"""From the ``[model]`` section of a recipe to a model and its phases: networks, latents, and the method that joins them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import nn

from aae import priors
from aae.baselines import SigmoidCode, SupervisedNetwork
from aae.convolution import ConvolutionalDecoder, ConvolutionalEncoder
from aae.data.columns import Columns
from aae.errors import InputError
from aae.latents import ClusterHeads, Latent
from aae.likelihoods import ColumnLikelihood
from aae.model import AdversarialAutoencoder, Model, Output
from aae.networks import MLP, Corruption, initialize
from aae.noise import Noise
from aae.posteriors import ClusteredSoftmax, Deterministic, GaussianPosterior, Posterior, Softmax, UniversalApproximator
from aae.recipes import custom
from aae.recipes.methods import METHODS
from aae.recipes.model_settings import ModelSettings, NetworkSettings
from aae.recipes.schema import Recipe
from aae.training.phases import Phase


def chosen_output(
    output: Output | Literal["auto"], scaling: object, *, inside: bool, keys: tuple[str, str] = ("scaling", "output")
) -> Output:
    """Choose the activation of the decoder's last layer: what `output` says, or for "auto" sigmoid where it can make all rows.

    Parameters
    ----------
    output : {"auto", "linear", "sigmoid"}
        What is wanted.
    scaling : object
        What messages call the scaling of the rows.
    inside : bool
        Whether all values of the scaled training rows are inside [0, 1].
    keys : (str, str)
        What messages call the settings of scaling and output.

    Raises
    ------
    InputError
        If a sigmoid is wanted and the rows are not inside [0, 1].
    """
    if output == "sigmoid" and not inside:
        raise InputError(
            f"{keys[0]} is {scaling!r} and leaves values outside [0, 1], which {keys[1]} 'sigmoid' cannot reproduce; "
            f"expected {keys[0]} 'minmax' or {keys[1]} 'linear'"
        )
    return ("sigmoid" if inside else "linear") if output == "auto" else output


def build_model(
    settings: ModelSettings,
    shape: Sequence[int],
    num_classes: int,
    noise: Noise,
    given: Mapping[str, nn.Module] | None = None,
    table: Columns | None = None,
) -> Model:
    """Create and initialize the model of a recipe.

    Batch normalization takes mean and variance from the mini-batch in training mode and its running statistics in evaluation
    mode: each row is then encoded by itself. An encoder is run several times in a step (in A.2.2 on the rows to reconstruct,
    again on them for the regularization, and on the labelled ones), and its running statistics follow all of these runs.

    Parameters
    ----------
    settings : ModelSettings
        The ``[model]`` section.
    shape : sequence of int
        Shape of a stored row, such as (28, 28) or (32, 32, 3); networks with channels need an image.
    num_classes : int
        Number of classes in the data, 0 if it has no labels.
    noise : Noise
        Source of the initial weights; custom modules keep those they come with.
    given : dict of str to torch.nn.Module, optional
        Modules that take the place of "encoder", "decoder" and "discriminator", of which each latent gets a copy.
    table : Columns, optional
        What the columns of a table are, where not all are numbers, or some are covariates.

    Returns
    -------
    Model
        In training mode, on the CPU.

    Raises
    ------
    InputError
        If the settings need labels that the data does not have, or images where rows are none, or custom modules that do not
        fit.
    """
    networks = Networks(settings, shape, num_classes, noise, given, table)
    model = METHODS[settings.method].build(networks)
    initialize(model, noise, settings.init, settings.init_std, keep=networks.custom)
    if settings.label is not None and settings.label.init_scale != 1:
        for head in (module for module in model.modules() if isinstance(module, Softmax)):
            head.layer.linear.weight.data.mul_(settings.label.init_scale)
    return model.float()


def build_phases(recipe: Recipe, model: Model) -> list[Phase]:
    """Create the phases of a step: those of the recipe's method, then its custom ones, each in the place of its namesake.

    Raises
    ------
    InputError
        If a custom phase cannot be imported or made.
    """
    phases = METHODS[recipe.model.method].phases(recipe, model)
    for settings in recipe.training.phases:
        for phase in custom.phases(settings.module, settings.arguments, model):
            places = [index for index, other in enumerate(phases) if other.name == phase.name]
            phases[slice(places[0], places[0] + 1) if places else slice(len(phases), None)] = [phase]
    name = "classification"
    needed = name in recipe.training.named_optimizers and all(phase.name != name for phase in phases)
    if needed and recipe.data.labels is None:
        raise InputError("data.labels is not set; training.classification needs labels, expected a number or 'all'")
    return phases


class Networks:
    """The networks, priors and heads that a recipe describes, for a method to make its model of.

    Parameters
    ----------
    settings : ModelSettings
        The ``[model]`` section.
    shape : sequence of int
        Shape of a stored row.
    num_classes : int
        Number of classes in the data, 0 if it has no labels.
    noise : Noise
        Seeds custom modules, and the cluster heads.
    given : dict of str to torch.nn.Module, optional
        As for `build_model`.
    table : Columns, optional
        As for `build_model`.

    Attributes
    ----------
    inputs : int
        Number of values in a row that are encoded.
    covariates : int
        Number of values beside them, which the decoder sees.
    likelihood : ColumnLikelihood or None
        Of the columns by their kinds; None for half the squared error of numbers.
    custom : list of torch.nn.Module
        The custom modules among the networks that were made.
    """

    def __init__(
        self,
        settings: ModelSettings,
        shape: Sequence[int],
        num_classes: int,
        noise: Noise,
        given: Mapping[str, nn.Module] | None = None,
        table: Columns | None = None,
    ) -> None:
        self.given = dict(given or {})
        self.settings, self.shape, self.num_classes, self.noise = settings, tuple(shape), num_classes, noise
        self.covariates, self.likelihood = 0, None
        if table is not None:
            METHODS[settings.method].check_table()
            inner, self.covariates = table.inner, table.outer.width
            levels = [max(1, one) for one in inner.levels]
            if math.prod(shape) != sum(levels):
                self.shape = (sum(levels),)
            if table.likelihood or not inner.are_numbers:
                self.likelihood = ColumnLikelihood(inner.kinds, levels)
        self.inputs = math.prod(self.shape)
        self.custom: list[nn.Module] = []

    def encoder(self, extra_inputs: int = 0) -> tuple[nn.Module, int]:
        """Create the encoder of rows with `extra_inputs` columns of noise beside them, and count its features."""
        settings, inputs = self.settings.encoder, self.inputs + extra_inputs
        if "encoder" in self.given:
            return self._given("encoder", inputs, None)
        if settings.module is not None:
            return self._custom(settings, "encoder", inputs, None, shape=self.shape)
        encoder = (
            ConvolutionalEncoder(
                self.shape, settings.channels, settings.hidden, repeats=settings.repeats, **settings.kind_of_layers()
            )
            if settings.channels
            else _perceptron(settings, inputs, None)
        )
        return encoder, encoder.out_features

    def decoder(self, inputs: int) -> nn.Module:
        """Create the decoder from codes (batch, inputs) to flat rows."""
        settings = self.settings.decoder
        if "decoder" in self.given:
            return self._given("decoder", inputs, self.inputs)[0]
        if settings.module is not None:
            return self._custom(settings, "decoder", inputs, self.inputs, shape=self.shape)[0]
        if not settings.channels:
            return _perceptron(settings, inputs, self.inputs)
        return ConvolutionalDecoder(inputs, settings.hidden, settings.channels, self.shape, **settings.kind_of_layers())

    def discriminator(self, inputs: int) -> nn.Module:
        """Create a discriminator, from (batch, inputs) to logits (batch, 1)."""
        settings = self.settings.discriminator
        if "discriminator" in self.given:
            return self._given("discriminator", inputs, 1)[0]
        if settings.module is not None:
            return self._custom(settings, "discriminator", inputs, 1)[0]
        return _perceptron(settings, inputs, 1)

    def style_prior(self) -> priors.Prior:
        """Create the prior of the style."""
        assert self.settings.style is not None
        return self.settings.style.prior.build(self.settings.style.size, self.num_classes)

    @property
    def categories(self) -> int:
        """Number of categories of the label; InputError where neither settings nor data say it."""
        assert self.settings.label is not None
        categories = self.settings.label.categories or self.num_classes
        if not categories:
            raise InputError(
                "the data has no labels; expected labels, or model.label.categories for the clusters to find"
            )
        return categories

    def label_head(self, features: int) -> Softmax:
        """Create q(y|x) on the encoder's features; InputError where there are fewer clusters than labels."""
        assert self.settings.label is not None
        categories, label = self.categories, self.settings.label
        batch_norm = self._normalized_heads if label.batch_norm is None else label.batch_norm
        if label.clusters is None:
            return Softmax(features, categories, batch_norm=batch_norm)
        if label.clusters < categories:
            raise InputError(f"model.label.clusters is {label.clusters}; expected one for each of {categories} labels")
        return ClusteredSoftmax(features, label.clusters, categories, label.shares, batch_norm=batch_norm)

    def corruption(self) -> Corruption:
        """Create the noise on the encoder's input."""
        return Corruption(self.settings.encoder.input_noise, self.settings.encoder.input_dropout)

    def classifier(self) -> SupervisedNetwork:
        """Create the encoder and the head of the label alone."""
        encoder, features = self.encoder()
        return SupervisedNetwork(encoder, self.label_head(features), self.corruption())

    def perceptron(self, inputs: int, outputs: int | None = None) -> MLP:
        """Create a fully connected network with the hidden layers of the encoder."""
        return _perceptron(self.settings.encoder, inputs, outputs)

    def autoencoder(self, *, discriminators: bool, label: bool = True) -> AdversarialAutoencoder:
        """Create the autoencoder with its latents, each with a discriminator if wanted, and without the label if not.

        Raises
        ------
        InputError
            If it needs labels that the data does not have, or its modules do not fit together.
        """
        settings, style = self.settings, self.settings.style
        universal = style is not None and style.posterior == "universal"
        encoder, features = self.encoder(style.noise_inputs if style is not None and universal else 0)
        latents: dict[str, Latent] = {}
        if settings.label is not None and label:
            latents["label"] = self._label(features, discriminators)
        if style is not None:
            latents["style"] = self._style(features, discriminators)
        heads, decoder_inputs = None, sum(latent.prior.dim for latent in latents.values())
        if settings.cluster_heads is not None:
            decoder_inputs = latents["style"].prior.dim
            heads = self._cluster_heads(latents["label"].width, decoder_inputs)
        if settings.decoder_sees_label:
            if not self.num_classes:
                raise InputError("the data has no labels; model.decoder_sees_label expects a label for every row")
            decoder_inputs += self.num_classes
        return AdversarialAutoencoder(
            encoder,
            latents,
            self.decoder(decoder_inputs + self.covariates),
            output=settings.activation if self.likelihood is None else "linear",  # each kind has its own
            corruption=self.corruption(),
            decoder_classes=self.num_classes if settings.decoder_sees_label else None,
            cluster_heads=heads,
            likelihood=self.likelihood,
            covariates=self.covariates,
        )

    @property
    def _normalized_heads(self) -> bool:
        return self.settings.encoder.batch_norm == "all"

    def _label(self, features: int, discriminators: bool) -> Latent:
        assert self.settings.label is not None
        head = self.label_head(features)
        try:
            shares = priors.Categorical(self.settings.label.categories or self.num_classes, self.settings.label.shares)
            prior = shares if self.settings.label.clusters is None else priors.Categorical(head.dim)
        except InputError as error:
            raise InputError(f"model.label.{error}") from None
        return Latent(
            prior,
            head,
            self.discriminator(head.dim) if discriminators else None,
            discriminator_noise=self.settings.discriminator.input_noise,
        )

    def _style(self, features: int, discriminators: bool) -> Latent:
        style, discriminator = self.settings.style, self.settings.discriminator
        assert style is not None
        prior = self.style_prior()
        extra = 0
        if style.label_informed:
            if not self.num_classes:
                raise InputError("the data has no labels; model.style.label_informed expects some")
            if prior.num_labels is None:
                raise InputError(
                    "model.style.prior cannot be sampled per label; model.style.label_informed expects a sampler with a "
                    "parameter 'labels'"
                )
            if prior.num_labels < self.num_classes:
                raise InputError(
                    f"model.style.prior.components is {prior.num_labels}; expected one for each of {self.num_classes} classes"
                )
            extra = prior.num_labels + 1
        return Latent(
            prior,
            self._style_head(features),
            self.discriminator(style.size + extra) if discriminators else None,
            label_informed=style.label_informed,
            discriminator_noise=discriminator.input_noise,
            add_log_prior=discriminator.add_log_prior,
        )

    def _style_head(self, features: int) -> Posterior:
        style, batch_norm = self.settings.style, self._normalized_heads
        assert style is not None
        if style.posterior == "gaussian":
            return GaussianPosterior(features, style.size, batch_norm=batch_norm)
        if style.posterior == "universal":
            return UniversalApproximator(features, style.size, noise_inputs=style.noise_inputs, batch_norm=batch_norm)
        if style.posterior == "sigmoid":
            return SigmoidCode(features, style.size, batch_norm=batch_norm)
        return Deterministic(features, style.size, batch_norm=batch_norm)

    def _cluster_heads(self, categories: int, dim: int) -> ClusterHeads:
        settings = self.settings.cluster_heads
        assert settings is not None
        if settings.fixed is None:
            return ClusterHeads(settings.init_std * self.noise.normal(categories, dim), margin=settings.margin)
        if dim != categories:
            raise InputError(
                f"model.style.dim is {dim}; heads fixed to a multiple of the identity expect {categories}, one for each category"
            )
        return ClusterHeads(settings.fixed * torch.eye(dim, dtype=torch.float32), learned=False)

    def _given(self, name: str, inputs: int, outputs: int | None) -> tuple[nn.Module, int]:
        network = copy.deepcopy(self.given[name]).float()
        self.custom.append(network)
        return network, custom.width(network, inputs, outputs, name)

    def _custom(
        self, settings: NetworkSettings, name: str, inputs: int, outputs: int | None, **sizes: object
    ) -> tuple[nn.Module, int]:
        network, width = custom.network(settings, f"model.{name}", inputs, outputs, self.noise, **sizes)
        self.custom.append(network)
        return network, width


def _perceptron(settings: NetworkSettings, inputs: int, outputs: int | None) -> MLP:
    return MLP(inputs, settings.hidden, outputs, **settings.kind_of_layers())
