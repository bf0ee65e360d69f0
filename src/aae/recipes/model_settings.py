"""The settings of a recipe's networks and latents, `[model]`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from aae.baselines.vae import Likelihood
from aae.errors import InputError
from aae.model import Output
from aae.networks import ACTIVATIONS, BatchNormPlacement, Initialization
from aae.recipes.methods import METHODS
from aae.recipes.prior_settings import PriorSettings
from aae.recipes.values import Count, CustomModule, Fraction, one_of
from aae.training.settings import MAX_COUNT, NonNegative, Positive, Settings

SCORED = ("aae", "autoencoder", "vae")  # methods whose models can have an anomaly score
SCORED_MODELS = f"method {' or '.join(SCORED)}, and the latent [model.style]"


class NetworkSettings(Settings):
    """A fully connected network, or one of the user's own."""

    hidden: list[Count] = [1000, 1000]
    """Units of each hidden layer, from the network's input to its output."""
    activation: Annotated[str, one_of(ACTIVATIONS)] = "relu"
    """Activation of the hidden layers: relu, leaky_relu, elu, gelu or tanh."""
    batch_norm: BatchNormPlacement = "none"
    """Which layers are followed by batch normalization; "all": the last one too, in an encoder that of each latent."""
    dropout: Fraction = 0.0
    """Fraction of hidden units that is dropped in training."""
    hidden_noise: NonNegative = 0.0
    """Standard deviation of Gaussian noise on hidden units in training; not in the paper."""
    module: CustomModule | None = None
    """A class or function "module:attribute" that makes the network, in place of hidden, activation, noise, dropout, channels."""
    arguments: dict[str, Any] = {}
    """What it is called with by name, beside the sizes that it has parameters for."""

    @model_validator(mode="after")
    def _is_built_here_or_there(self) -> NetworkSettings:
        if self.module is None and self.arguments:
            raise ValueError(f"has arguments {self.arguments}, but no module that takes them")
        for name in ("hidden", "activation", "dropout", "hidden_noise", "spectral_norm", "channels", "repeats"):
            field = type(self).model_fields.get(name)
            if self.module is not None and field is not None and getattr(self, name) != field.default:
                raise ValueError(f"has both module and {name}; a network of your own gets what it needs from arguments")
        return self

    def kind_of_layers(self) -> dict[str, Any]:
        """Select what all layers have in common, as networks take it."""
        return self.model_dump(include={"activation", "batch_norm", "dropout", "hidden_noise", "spectral_norm"})


class DiscriminatorSettings(NetworkSettings):
    """The discriminators, with what helps where they win; all of it is off in the paper's recipes."""

    input_noise: NonNegative = 0.0
    """Standard deviation of Gaussian noise on their input at training time."""
    add_log_prior: bool = False
    """Whether log p(z) of the style's prior is added to the logit of its discriminator."""
    spectral_norm: bool = False
    """Whether the weights of each layer are divided by their largest singular value (Miyato et al. 2018)."""


class EncoderSettings(NetworkSettings):
    """The encoder, with the corruption of its input at training time."""

    channels: list[Count] = []
    """Channels of the convolutions before the hidden layers, each of which halves height and width; none by default."""
    repeats: Count = 1
    """Convolutions of each number of channels: the first of them halves height and width, the others keep them."""
    input_noise: NonNegative = 0.0
    """Standard deviation of Gaussian noise on scaled rows; a joint update that moves the decoder too is without."""
    input_dropout: Fraction = 0.0
    """Fraction of the values of a row that is set to 0."""

    @model_validator(mode="after")
    def _repeats_what_there_is(self) -> EncoderSettings:
        if self.repeats != 1 and not self.channels:
            raise ValueError(f"repeats is {self.repeats}; an encoder without channels has no convolutions")
        return self


class DecoderSettings(NetworkSettings):
    """The decoder."""

    channels: list[Count] = []
    """Channels of the images behind the hidden layers, from the smallest, each of which is doubled; none by default."""


class StyleSettings(Settings):
    """The continuous latent z."""

    dim: Literal["auto"] | Count
    """Number of dimensions of z; "auto": as many as principal components hold nine tenths of the variance of the scaled training
    rows. The run keeps the number."""
    prior: PriorSettings
    posterior: Literal["deterministic", "gaussian", "universal", "sigmoid"] = "deterministic"
    """Kind of q(z|x); "sigmoid" is for method "gmmn" alone."""
    noise_inputs: Count = 10
    """Dimensions of eta for the universal approximator posterior."""
    label_informed: bool = False
    """Whether the discriminator sees the label and the prior is sampled per label (section 2.3)."""

    @property
    def size(self) -> int:
        """The number of dimensions; InputError while it is "auto", see `aae.recipes.build_data.with_scaling`."""
        if self.dim == "auto":
            raise InputError("model.style.dim is 'auto', which training on rows replaces; expected a number")
        return self.dim


class LabelSettings(Settings):
    """The categorical latent y; as many categories as there are classes unless `categories` is set."""

    categories: Annotated[int, Field(ge=2, le=MAX_COUNT)] | None = None
    """Number of categories: the clusters to find where no labels are used."""
    clusters: Annotated[int, Field(ge=2)] | None = None
    """q(y|x) is a sum over so many clusters, which are found first and assigned to the categories later
    (`training.losses.clustering`); not set: there are none. Not in the paper."""
    batch_norm: bool | None = None
    """Whether its head is followed by batch normalization; not set: as `encoder.batch_norm` says."""
    init_scale: Positive = 1.0
    """What the initial weights of its head are multiplied with."""
    probabilities: tuple[float, ...] | Literal["auto"] | None = None
    """p(y), one for each category, with sum 1: the fraction of each class in the rows where it is known and not even; "auto": in
    the labelled rows, or in the partition that training starts from, if there is one. Not in the paper; not set: all alike."""

    @property
    def shares(self) -> tuple[float, ...] | None:
        """p(y) where it is known; None where all are alike, or "auto" has not been looked for in the data."""
        return self.probabilities if isinstance(self.probabilities, tuple) else None


class ClusterHeadSettings(Settings):
    """The matrix W_C of section 7: one head per category of the label, of the style's dimension."""

    margin: NonNegative = 0.0
    """eta, the distance below which two learned heads repel each other."""
    init_std: Positive = 1.0
    """Learned heads start from N(0, init_std^2)."""
    fixed: Positive | None = None
    """Fixes W_C to this multiple of the identity; the style then has as many dimensions as there are categories."""


class ChainSettings(Settings):
    """The Markov chains that the models "dbn", "cae" and "gsn" are sampled by."""

    chains: Count = 500
    """How many run side by side at most; fewer samples than that are each of a chain of its own."""
    burn_in: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 100
    """Steps of each, from a training row on, before its first sample."""
    thinning: Count = 5
    """Steps between one sample and the next of the same chain."""


class ModelSettings(Settings):
    """Networks and latents."""

    method: Annotated[str, one_of(METHODS)] = "aae"
    """The adversarial autoencoder, "aae", or one of the baselines that the guide describes."""
    output: Output | Literal["auto"] = "sigmoid"
    """Activation of the decoder's last layer; "auto": sigmoid where the scaled training rows are inside [0, 1], else linear."""
    init: Initialization = "normal"
    """Initial weights: N(0, init_std^2) as in A.1, or He's N(0, 2 / inputs of the layer). Custom modules keep theirs."""
    init_std: Positive = 0.01
    """For "normal"."""
    likelihood: Likelihood = "bernoulli"
    """Reconstruction term of the VAE, M2 and M1+TSVM; the adversarial autoencoder uses half the squared error, or for columns by
    kind their likelihoods."""
    perplexity: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 30.0
    """Of parametric t-SNE: how many neighbours a row has in its mini-batch, which has to be larger."""
    denoising_weights: list[NonNegative] = []
    """Of the ladder network: weights of its denoising losses, from the row up; the last one stands for all further layers."""
    gibbs_steps: Count = 1
    """Of the deep belief network: steps of contrastive divergence of its uppermost machine."""
    contraction: NonNegative = 0.1
    """Of the contractive autoencoder: weight of the squared norm of each layer's Jacobian."""
    walk_noise: NonNegative = 1.0
    """Of the contractive autoencoder: standard deviation of the noise of a step of its walk."""
    salt_and_pepper: Fraction = 0.4
    """Of the generative stochastic network: fraction of the values of a row that become 0 or 1 before each step."""
    walkbacks: Count = 4
    """Of the generative stochastic network: steps of the chain in training."""
    chain: ChainSettings = ChainSettings()
    encoder: EncoderSettings = EncoderSettings()
    decoder: DecoderSettings = DecoderSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    style: StyleSettings | None = None
    label: LabelSettings | None = None
    cluster_heads: ClusterHeadSettings | None = None
    """Dimensionality reduction: the decoder sees y W_C + z (section 7)."""
    decoder_sees_label: bool = False
    """Whether the decoder is given the true label (section 4)."""

    @property
    def activation(self) -> Output:
        """The output; InputError while it is "auto", see `aae.recipes.build_data.with_scaling`."""
        if self.output == "auto":
            raise InputError("model.output is 'auto'; expected 'linear' or 'sigmoid', as found in the training rows")
        return self.output

    @property
    def has_anomaly_score(self) -> bool:
        """Whether rows can be scored by their codes and residuals."""
        return self.style is not None and self.method in SCORED

    @model_validator(mode="after")
    def _fits_together(self) -> ModelSettings:
        method = METHODS[self.method]
        if method.has_latents and self.style is None and self.label is None:
            raise ValueError("has neither a [model.style] nor a [model.label] latent; expected at least one")
        if self.encoder.channels and self.style is not None and self.style.posterior == "universal":
            raise ValueError(
                f"model.encoder.channels is {self.encoder.channels}; a 'universal' posterior, whose noise enters beside the row, "
                "expects none"
            )
        method.check(self)
        for name in frozenset().union(*(other.takes for other in METHODS.values())) - method.takes:
            if getattr(self, name) != type(self).model_fields[name].default:
                takers = ", ".join(other.name for other in METHODS.values() if name in other.takes)
                raise ValueError(f"model.{name} does not fit method {self.method!r}; expected it with: {takers}")
        if self.method != "gmmn" and self.style is not None and self.style.prior.kind == "generated":
            raise ValueError(f"model.style.prior.kind 'generated' needs method 'gmmn'; found {self.method!r}")
        fixed = None if self.style is None else self.style.prior.fixed_dim
        if self.style is not None and fixed not in (None, self.style.dim) and self.style.dim != "auto":
            raise ValueError(f"model.style.dim is {self.style.dim}; a {self.style.prior.kind} prior expects {fixed}")
        return self
