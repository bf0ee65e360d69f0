"""The strict schema of a recipe: unknown keys are errors, every value is checked before anything starts."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from aae.baselines.vae import Likelihood
from aae.errors import InputError
from aae.model import Output
from aae.networks import ACTIVATIONS, BatchNormPlacement, Initialization
from aae.recipes.methods import METHODS
from aae.recipes.prior_settings import PriorSettings
from aae.recipes.values import ColumnName, Count, CustomModule, Fraction
from aae.scaling import ScalingKind
from aae.training.settings import (
    MAX_COUNT,
    LossSettings,
    NonNegative,
    Positive,
    Settings,
    TrainingSettings,
)

ColumnKind = Literal["auto", "numerical", "boolean", "categorical", "count"]
SCORED = ("aae", "autoencoder", "vae")  # methods whose models can have an anomaly score
SCORED_MODELS = f"method {' or '.join(SCORED)}, and the latent [model.style]"
NAME = re.compile(r"(?!\.)[^/\\:\x00-\x1f\x7f-\x9f]+")
"""One component of a path, on any system, that is not hidden."""


class DataSettings(Settings):
    """Which rows, which splits, which labels, which scaling."""

    source: str
    """A named data set or a path."""
    validation: Annotated[int, Field(ge=0, le=MAX_COUNT, strict=True)] | Fraction = 0
    """Rows taken from the training set for validation: a count or a fraction."""
    test: Fraction = 0.2
    """Fraction held out for testing where the source brings no test split of its own."""
    labels: Count | Literal["all"] | None = None
    """Size of the labelled subset; "all" labels in the source; not set: labels are used for evaluation only."""
    label_column: ColumnName | None = None
    """Column of a table that holds the labels; not set: "label", where there is one. A file without names has 0, 1, 2, ..."""
    labels_file: str | None = None
    """File with the label of every row, for a source that has none of its own: npy, or a table with one column."""
    unlabelled: ColumnName | list[ColumnName] | None = None
    """What else stands for "no label", such as "unlabelled"; -1, empty and missing labels always do."""
    id_column: ColumnName | None = None
    """Column of a table that identifies its rows: it is not learnt from, and is written beside results."""
    ignore_columns: ColumnName | list[ColumnName] = []
    """Column of a table that is left out, or several of them."""
    header: bool | None = None
    """Whether the first line of a CSV or TSV file names its columns; not set: that is found out."""
    image_size: Count | None = None
    """Height and width that images of a folder are brought to; not set: they have to be of one size."""
    fold: Annotated[int, Field(ge=0, le=4)] | None = None
    """Which of the five official folds of TFD validates and tests; the first by default."""
    colour: bool = False
    """Whether images of a folder are read in colour, (height, width, 3), instead of grayscale."""
    columns: ColumnKind | dict[str, ColumnKind] = "auto"
    """What the columns of a table are: numerical, boolean, categorical or count for all, or for those that are named; auto: text
    is categorical, true and false boolean, the counts of AnnData are counts, and all else is numerical."""
    covariates: ColumnName | list[ColumnName] = []
    """Columns, such as a batch or donor, that the decoder sees beside the code, and the encoder does not."""
    missing: Literal["error", "mask"] = "error"
    """Whether values of a table may be missing: they are filled for the encoder, and left out of the loss."""
    handle_unknown: Literal["error", "unknown"] = "error"
    """What becomes of a category that training did not see: an error, or no category at all."""
    layer: str | None = None
    """Layer of an AnnData file that is read in place of its X."""
    scaling: ScalingKind = "auto"
    """auto: images as pixels, to [0, 1] by one factor, and other rows by their spread; spread: all rows by it, as in estimators:
    one scale for columns that share a unit (common), otherwise each column by itself (standardize; to [0, 1] where the output
    is a sigmoid), heavy tails bent."""


class NetworkSettings(Settings):
    """A fully connected network, or one of the user's own."""

    hidden: list[Count] = [1000, 1000]
    """Units of each hidden layer, from the network's input to its output."""
    activation: str = "relu"
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
        for name in ("hidden", "activation", "dropout", "hidden_noise", "spectral_norm", "channels"):
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
    input_noise: NonNegative = 0.0
    """Standard deviation of Gaussian noise on scaled rows; a joint update that moves the decoder too is without."""
    input_dropout: Fraction = 0.0
    """Fraction of the values of a row that is set to 0."""


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

    method: str = "aae"
    """The adversarial autoencoder, "aae", or one of the baselines that the guide describes."""
    output: Output | Literal["auto"] = "sigmoid"
    """Activation of the decoder's last layer; "auto": sigmoid where the scaled training rows are inside [0, 1], else linear."""
    init: Initialization = "normal"
    """Initial weights: N(0, init_std^2) as in A.1, or He's N(0, 2 / inputs of the layer). Custom modules keep theirs."""
    init_std: Positive = 0.01
    """For "normal"."""
    likelihood: Likelihood = "bernoulli"
    """Reconstruction term of the VAE; the adversarial autoencoder always uses half the squared error."""
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

    @field_validator("method")
    @classmethod
    def _known_method(cls, method: str) -> str:
        if method not in METHODS:
            raise ValueError(f"is {method!r}; expected one of: {', '.join(METHODS)}")
        return method

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


class EvaluationSettings(Settings):
    """How a finished run is measured."""

    prior_samples: Count = 10000
    """Prior samples that codes are compared with."""
    neighbours: Count = 10
    """k of the k-nearest-neighbour accuracy in the code space."""
    parzen_samples: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 0
    """Samples of the Parzen window that estimates the log-likelihood (section 3); 0: it is not estimated."""
    importance_samples: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 0
    """Codes of each row for the importance-weighted bound of a VAE (Burda et al. 2015); 0: it is not computed. Not in the
    paper."""
    contamination: Literal["auto"] | Annotated[float, Field(gt=0, le=0.5)] | None = None
    """Fraction of anomalies among the training rows, or "auto": all are normal. With it the run has an anomaly score, and keeps
    the training rows that it compares with, up to 10,000 of them, as codes and residuals."""


class ShortSettings(Settings):
    """How `aae reproduce --profile short` trains it; the number is called short wherever it stands."""

    epochs: Count | None = None
    """Not set: as many as the recipe has."""
    seeds: Count = 1
    """Number of seeds."""


class CustomPhaseSettings(Settings):
    """A phase of the user's own."""

    module: CustomModule
    """A function "module:attribute" that is called with the model and gives an aae.Phase, or several."""
    arguments: dict[str, Any] = {}
    """What it is called with by name, beside the model."""


def _module_alone(phase: Any) -> Any:
    return {"module": phase} if isinstance(phase, str) else phase


class RecipeTrainingSettings(TrainingSettings):
    """Training as a recipe has it: with phases of the user's own."""

    min_steps: Annotated[int, Field(ge=0, le=MAX_COUNT, strict=True)] = 0
    """Mini-batches that are made at least: of few rows there are more epochs than `epochs`, unless that is set for a run."""
    start_partition: Fraction = 0.0
    """Fraction of the epochs in which the label learns, as it does labels, the clusters of a partition found before: the best of
    several by k-means, Ward's method, Gaussian mixtures and spectral clustering. The weight falls from 1 to 0. Not in the paper;
    0: there is none."""
    phases: list[Annotated[CustomPhaseSettings, BeforeValidator(_module_alone)]] = []
    """Phases of your own, each a table or just "module:attribute"; they run after those of the method, and one that has the
    name of another takes its place."""


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
    training: RecipeTrainingSettings
    evaluation: EvaluationSettings = EvaluationSettings()
    paper: dict[str, float] = {}
    """The paper's numbers by metric name."""
    paper_curves: dict[str, Annotated[dict[Annotated[int, Field(ge=1)], float], Field(min_length=1)]] = {}
    """The paper's numbers in the course of training: by metric name and epoch, counted from 1."""

    @field_validator("name")
    @classmethod
    def _is_one_name(cls, name: str) -> str:
        if not NAME.fullmatch(name) or len(os.fsencode(name)) > 100:
            raise ValueError(
                f"name is {name!r}; expected a name of one file: no slash, no control character, 1 to 100 bytes"
            )
        return name

    @model_validator(mode="after")
    def _trains_as_its_method_does(self) -> Recipe:
        method, pretraining = METHODS[self.model.method], self.training.pretraining
        if method.pretrains != (pretraining > 0) or pretraining >= self.training.epochs:
            expected = "1 or more epochs, less than training.epochs" if method.pretrains else "0"
            raise ValueError(f"training.pretraining is {pretraining}; method {method.name!r} expects {expected}")
        moment_matching_epochs = self.training.moment_matching_epochs
        if moment_matching_epochs and method.name != "aae":
            raise ValueError(
                f"training.moment_matching_epochs is {moment_matching_epochs}; method {method.name!r} has no such epochs, "
                "expected 0"
            )
        if self.training.start_partition:
            self._check_start()
        default = LossSettings()
        for name in LossSettings.model_fields.keys() - method.losses:
            if getattr(self.training.losses, name) != getattr(default, name):
                expected = ", ".join(sorted(method.losses)) or "none"
                raise ValueError(
                    f"training.losses.{name} does not fit method {method.name!r}, with losses of its own; expected {expected}"
                )
        losses = self.training.losses
        clusters = self.model.label.clusters if self.model.label is not None else None
        if (clusters is None) != (losses.clustering is None):
            raise ValueError(
                "model.label.clusters and training.losses.clustering belong together: clusters are found first, then assigned; "
                "expected both or none"
            )
        merged = losses.clustering.merged if losses.clustering is not None else None
        if merged is not None and clusters is not None and merged > clusters:
            raise ValueError(
                f"training.losses.clustering.merged is {merged}; expected at most model.label.clusters, {clusters}"
            )
        if losses.clustering is not None and losses.clustering.epochs >= self.training.epochs:
            raise ValueError(
                f"training.losses.clustering.epochs is {losses.clustering.epochs}; expected less than training.epochs, "
                f"{self.training.epochs}"
            )
        if self.model.label is None and (losses.consistency is not None or losses.information is not None):
            raise ValueError(
                "training.losses.consistency and information are about q(y|x), expected a latent [model.label]"
            )
        if self.evaluation.importance_samples and not method.bounds:
            raise ValueError(
                f"evaluation.importance_samples is {self.evaluation.importance_samples}; method {method.name!r} has no bound of "
                "log p(x) to tighten, expected 0"
            )
        if self.evaluation.contamination is not None and not self.model.has_anomaly_score:
            raise ValueError(f"evaluation.contamination does not fit the model; expected {SCORED_MODELS}")
        labelled = self.training.labelled_batch_size
        if labelled is not None and method.labelled_only:
            raise ValueError(
                f"training.labelled_batch_size is {labelled}; a network sees labelled rows alone, expected training.batch_size"
            )
        return self

    def _check_start(self) -> None:
        """Check that a partition to start from can be learnt: by a label that nothing else tells of."""
        label, losses = self.model.label, self.training.losses
        needed = {
            "model.method": (self.model.method, "aae"),
            "data.labels": (self.data.labels, None),
            "training.losses.classification": (losses.classification, LossSettings().classification),
            "model.label.clusters": (None if label is None else label.clusters, None),
        }
        for key, (found, expected) in needed.items():
            if found != expected:
                raise ValueError(
                    f"{key} is {found!r}; training.start_partition expects {'none' if expected is None else repr(expected)}"
                )
        if label is None or label.categories is None:
            raise ValueError("training.start_partition needs model.label.categories, the number of clusters to find")
