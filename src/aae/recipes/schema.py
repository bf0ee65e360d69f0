"""The strict schema of a recipe: unknown keys are errors, every value is checked before anything starts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from aae.baselines.vae import Likelihood
from aae.model import Output
from aae.networks import ACTIVATIONS, BatchNormPlacement, Initialization
from aae.training.settings import Positive, Settings, TrainingSettings

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Method = Literal["aae", "vae", "network", "gan", "gmmn"]


def _module_and_attribute(name: str) -> str:
    module, colon, attribute = name.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")]):
        raise ValueError(f"is {name!r}; expected 'module:attribute', such as 'mynet:Encoder'")
    return name


def _as_text(name: Any) -> Any:
    return str(name) if isinstance(name, int) and not isinstance(name, bool) else name


OwnPart = Annotated[str, AfterValidator(_module_and_attribute)]


class DataSettings(Settings):
    """Which rows, which splits, which labels, which scaling."""

    source: str
    """A named data set or a path."""
    validation: Annotated[int, Field(ge=0, strict=True)] | Share = 0
    """Rows taken from the training set for validation: a count or a share."""
    test: Share = 0.2
    """Share held out for testing where the source brings no test split of its own."""
    labels: Count | Literal["all"] | None = None
    """Size of the labelled subset; "all" labels in the source; not set: labels are used for evaluation only."""
    label_column: Annotated[str | None, BeforeValidator(_as_text)] = None
    """Column of a table that holds the labels; not set: "label", where there is one. A file without names has 0, 1, 2, ..."""
    labels_file: str | None = None
    """File with the label of every row, for a source that has none of its own: npy, or csv or parquet with one column."""
    image_size: Count | None = None
    """Height and width that pictures of a folder are brought to; not set: they have to be of one size."""
    fold: Annotated[int, Field(ge=0, le=4)] | None = None
    """Which of the five official folds of TFD validates and tests; the first by default."""
    colour: bool = False
    """Whether pictures of a folder are read in colour, (height, width, 3), instead of grey."""
    scaling: Literal["auto", "none", "minmax", "standardize"] = "auto"
    """auto: pictures to [0, 1], other rows as they are if inside [0, 1] and otherwise each column to [0, 1]."""


class NetworkSettings(Settings):
    """A fully connected network, or one of the user's own."""

    hidden: list[Count] = [1000, 1000]
    """Units of each hidden layer, from the network's input to its output."""
    activation: str = "relu"
    """Activation of the hidden layers: relu, leaky_relu, elu, gelu or tanh."""
    batch_norm: BatchNormPlacement = "none"
    """Which layers are followed by batch normalization; "all": the last one too, in an encoder that of each latent."""
    dropout: Share = 0.0
    """Share of hidden units that is dropped in training."""
    module: OwnPart | None = None
    """A class or function "module:attribute" that makes the network, in place of hidden, activation, dropout and channels."""
    arguments: dict[str, Any] = {}
    """What it is called with by name, beside the sizes that it has parameters for."""

    @field_validator("activation")
    @classmethod
    def _known_activation(cls, activation: str) -> str:
        if activation not in ACTIVATIONS:
            raise ValueError(f"is {activation!r}; expected one of: {', '.join(ACTIVATIONS)}")
        return activation

    @model_validator(mode="after")
    def _is_built_here_or_there(self) -> NetworkSettings:
        if self.module is None and self.arguments:
            raise ValueError(f"has arguments {self.arguments}, but no module that takes them")
        for name in ("hidden", "activation", "dropout", "channels"):
            field = type(self).model_fields.get(name)
            if self.module is not None and field is not None and getattr(self, name) != field.default:
                raise ValueError(f"has both module and {name}; a network of your own gets what it needs from arguments")
        return self

    def kind_of_layers(self) -> dict[str, Any]:
        """Select what all layers have in common, as networks take it."""
        return self.model_dump(include={"activation", "batch_norm", "dropout"})


class DiscriminatorSettings(NetworkSettings):
    """The discriminators, with what helps where they win; both are off in the paper's recipes."""

    input_noise: NonNegative = 0.0
    """Standard deviation of Gaussian noise on their input at training time."""
    add_log_prior: bool = False
    """Whether log p(z) of the style's prior is added to the logit of its discriminator."""


class EncoderSettings(NetworkSettings):
    """The encoder, with the corruption of its input at training time."""

    channels: list[Count] = []
    """Channels of the convolutions before the hidden layers, each of which halves height and width; none by default."""
    input_noise: NonNegative = 0.0
    """Standard deviation of Gaussian noise on scaled rows."""
    input_dropout: Share = 0.0
    """Share of the values of a row that is set to 0."""


class DecoderSettings(NetworkSettings):
    """The decoder."""

    channels: list[Count] = []
    """Channels of the pictures behind the hidden layers, from the smallest, each of which is doubled; none by default."""


class GaussianSettings(Settings):
    """Spherical Gaussian."""

    kind: Literal["gaussian"]
    sd: Positive = 1.0
    """Standard deviation of each dimension."""
    slices: bool = True
    """Whether, with `label_informed`, label k owns the k-th slice; otherwise every label owns the whole distribution, and
    the style is made independent of the label."""


class MixtureSettings(Settings):
    """Ring of 2-D Gaussians; as many as there are classes unless `components` is set."""

    kind: Literal["gaussian-mixture"]
    components: Count | None = None
    """Number of Gaussians; not set: the number of classes, or 10 without any."""
    distance: Positive = 1.4
    """Of their centres from the origin."""
    radial_sd: Positive = 0.5
    """Standard deviation of each towards and away from the origin."""
    tangential_sd: Positive = 0.1
    """Standard deviation of each along the ring."""


class SwissRollSettings(Settings):
    """2-D swiss roll."""

    kind: Literal["swiss-roll"]
    radius: Positive = 3.0
    """Distance of the outer end from the origin."""
    turns: Positive = 2.0
    """Turns of the roll around the origin."""
    sd: NonNegative = 0.1
    """Standard deviation of the Gaussian around the roll."""


class UniformSettings(Settings):
    """Uniform on a cube."""

    kind: Literal["uniform"]
    low: Finite = -1.0
    """Lower end of each dimension."""
    high: Finite = 1.0
    """Upper end of each dimension, larger than `low`."""


class GeneratedSettings(Settings):
    """The codes that a second network makes of uniform noise, trained by moment matching (GMMN+AE)."""

    kind: Literal["generated"]
    noise_dim: Count = 10
    """Dimensions of the uniform noise."""
    hidden: list[Count] = [1000, 1000]
    """Units of each hidden layer of the second network."""
    bandwidths: Annotated[list[Positive], Field(min_length=1)] = [1.0]
    """Of the Gaussian kernels of the maximum mean discrepancy, in squared units of the code."""


class OwnPriorSettings(Settings):
    """A prior of the user's own."""

    kind: Literal["own"]
    module: OwnPart
    """A function "module:attribute" that is called with a number of codes and gives them, or a subclass of aae.priors.Prior."""
    arguments: dict[str, Any] = {}
    """What it is called with by name, beside that."""


PriorSettings = Annotated[
    GaussianSettings | MixtureSettings | SwissRollSettings | UniformSettings | GeneratedSettings | OwnPriorSettings,
    Field(discriminator="kind"),
]


class StyleSettings(Settings):
    """The continuous latent z."""

    dim: Count
    """Number of dimensions of z."""
    prior: PriorSettings
    posterior: Literal["deterministic", "gaussian", "universal", "sigmoid"] = "deterministic"
    """Kind of q(z|x); "sigmoid" is for method "gmmn" alone."""
    noise_inputs: Count = 10
    """Dimensions of eta for the universal approximator posterior."""
    label_informed: bool = False
    """Whether the discriminator sees the label and the prior is sampled per label (section 2.3)."""


class LabelSettings(Settings):
    """The categorical latent y; as many categories as there are classes unless `categories` is set."""

    categories: Annotated[int, Field(ge=2)] | None = None
    """Number of categories: the clusters to find where no labels are used."""
    probabilities: tuple[float, ...] | None = None
    """p(y), one for each category, with sum 1: the share of each class in the rows where it is known and not even. Not in the
    paper; not set: all alike."""


class ClusterHeadSettings(Settings):
    """The matrix W_C of section 7: one head per category of the label, of the style's dimension."""

    apart: NonNegative = 0.0
    """eta, the distance below which two learned heads repel each other."""
    init_sd: Positive = 1.0
    """Learned heads start from N(0, init_sd^2)."""
    fixed: Positive | None = None
    """Fixes W_C to this multiple of the identity; the style then has as many dimensions as there are categories."""


class ModelSettings(Settings):
    """Networks and latents."""

    method: Method = "aae"
    """The adversarial autoencoder, or a baseline: VAE, supervised network, GAN, GMMN+AE."""
    output: Output = "sigmoid"
    """Activation of the decoder's last layer."""
    init: Initialization = "normal"
    """Initial weights: N(0, init_sd^2) as in A.1, or He's N(0, 2 / inputs of the layer). Own parts keep theirs."""
    init_sd: Positive = 0.01
    """For "normal"."""
    likelihood: Likelihood = "bernoulli"
    """Reconstruction term of the VAE; the adversarial autoencoder always uses half the squared error."""
    encoder: EncoderSettings = EncoderSettings()
    decoder: DecoderSettings = DecoderSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    style: StyleSettings | None = None
    label: LabelSettings | None = None
    cluster_heads: ClusterHeadSettings | None = None
    """Dimensionality reduction: the decoder sees y W_C + z (section 7)."""
    decoder_sees_label: bool = False
    """Whether the decoder is given the true label (section 4)."""

    @model_validator(mode="after")
    def _fits_together(self) -> ModelSettings:
        if self.style is None and self.label is None:
            raise ValueError("has neither a [model.style] nor a [model.label] latent; expected at least one")
        if self.cluster_heads is not None and (self.style is None or self.label is None or self.method != "aae"):
            raise ValueError("model.cluster_heads need method 'aae', [model.label] and [model.style]")
        if self.encoder.channels and self.style is not None and self.style.posterior == "universal":
            raise ValueError(
                f"model.encoder.channels is {self.encoder.channels}; a 'universal' posterior, whose noise enters beside the row, "
                "expects none"
            )
        if self.discriminator.add_log_prior:
            if self.style is None or self.style.prior.kind not in ("gaussian", "gaussian-mixture"):
                raise ValueError(
                    "model.discriminator.add_log_prior needs a style with a prior whose density is known everywhere, "
                    "expected 'gaussian' or 'gaussian-mixture'"
                )
            if self.style.label_informed:
                raise ValueError("model.discriminator.add_log_prior does not fit model.style.label_informed")
        if self.method != "aae" and (self.discriminator.input_noise or self.discriminator.add_log_prior):
            key = "input_noise" if self.discriminator.input_noise else "add_log_prior"
            raise ValueError(
                f"method {self.method!r} has no discriminator of codes; discriminator.{key} needs method 'aae'"
            )
        if self.method == "vae":
            if self.style is None or self.label is not None:
                raise ValueError("method 'vae' needs exactly the latent [model.style]")
            if self.style.posterior != "gaussian":
                raise ValueError(f"model.style.posterior is {self.style.posterior!r}; method 'vae' expects 'gaussian'")
            if self.style.prior.kind in (
                "swiss-roll",
                "uniform",
                "own",
            ):  # the KL term needs a density, and a finite one
                raise ValueError(
                    f"model.style.prior.kind is {self.style.prior.kind!r}; method 'vae' needs a prior whose density is known "
                    "everywhere, expected 'gaussian' or 'gaussian-mixture'"
                )
        if self.method == "gan" and (self.style is None or self.label is not None):
            raise ValueError("method 'gan' needs exactly the latent [model.style], whose prior feeds the generator")
        prior, posterior = (self.style.prior.kind, self.style.posterior) if self.style else (None, None)
        if self.method == "gmmn" and (self.label is not None or (prior, posterior) != ("generated", "sigmoid")):
            raise ValueError(
                "method 'gmmn' needs [model.style] alone, with a 'generated' prior and posterior 'sigmoid'"
            )
        if self.method != "gmmn" and prior == "generated":
            raise ValueError(f"model.style.prior.kind 'generated' needs method 'gmmn'; found {self.method!r}")
        if self.method == "gan" and posterior != "deterministic":
            raise ValueError(f"method 'gan' has no encoder; model.style.posterior is {posterior!r}")
        if self.method not in ("aae", "network") and self.decoder_sees_label:
            raise ValueError(f"model.decoder_sees_label does not fit method {self.method!r}")
        if self.method != "aae" and self.style is not None and self.style.label_informed:
            raise ValueError(f"method {self.method!r} has no discriminator; style.label_informed needs method 'aae'")
        if self.method != "aae" and self.label is not None and self.label.probabilities is not None:
            raise ValueError(f"method {self.method!r} matches no prior; model.label.probabilities need method 'aae'")
        if self.method == "network" and (self.label is None or self.style is not None):
            raise ValueError("method 'network' needs exactly the latent [model.label]")
        if (
            self.style is not None
            and self.style.prior.kind in ("gaussian-mixture", "swiss-roll")
            and self.style.dim != 2
        ):
            raise ValueError(f"model.style.dim is {self.style.dim}; a {self.style.prior.kind} prior expects 2")
        return self


class EvaluationSettings(Settings):
    """How a finished run is measured."""

    prior_samples: Count = 10000
    """Prior samples that codes are compared with."""
    neighbours: Count = 10
    """k of the k-nearest-neighbour accuracy in the code space."""
    parzen_samples: Annotated[int, Field(ge=0)] = 0
    """Samples of the Parzen window that estimates the log-likelihood (section 3); 0: it is not estimated."""


class ShortSettings(Settings):
    """How `aae reproduce --profile short` trains it; the number is called short wherever it stands."""

    epochs: Count | None = None
    """Not set: as many as the recipe has."""
    seeds: Count = 1
    """Number of seeds."""


class Recipe(Settings):
    """Everything that defines a run; written to the run directory in full."""

    name: str
    """Given by its file."""
    title: str
    """One line on what it trains."""
    reference: str = ""
    """Where in the paper this comes from."""
    cost: str = ""
    """Rough cost, for the list of recipes."""
    seeds: Count = 1
    """Seeds over which `aae reproduce --profile full` reports mean and standard deviation."""
    short: ShortSettings = ShortSettings()
    data: DataSettings
    model: ModelSettings
    training: TrainingSettings
    evaluation: EvaluationSettings = EvaluationSettings()
    paper: dict[str, float] = {}
    """The paper's numbers by metric name."""

    @model_validator(mode="after")
    def _trains_as_its_method_does(self) -> Recipe:
        pretraining = self.training.pretraining
        if (self.model.method == "gmmn") != (pretraining > 0) or pretraining >= self.training.epochs:
            expected = "1 or more epochs, less than training.epochs" if self.model.method == "gmmn" else "0"
            raise ValueError(f"training.pretraining is {pretraining}; method {self.model.method!r} expects {expected}")
        warm_start = self.training.warm_start
        if warm_start and self.model.method != "aae":
            raise ValueError(
                f"training.warm_start is {warm_start}; method {self.model.method!r} has no such start, expected 0"
            )
        labelled = self.training.labelled_batch_size
        if labelled is not None and self.model.method == "network":
            raise ValueError(
                f"training.labelled_batch_size is {labelled}; a network sees labelled rows alone, expected training.batch_size"
            )
        return self
