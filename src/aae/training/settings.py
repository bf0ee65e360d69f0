"""Settings of a training run, as they stand in a recipe's ``[training]`` section."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Precision = Literal["auto", "fp32", "bf16", "tf32"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
MAX_COUNT = 2**31 - 1  # of epochs, rows, units: beyond it libraries count wrongly
MAX_SEED = 2**63 - 1  # the largest that torch takes
MAX_SEEDS = 100_000  # that one command trains
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Epoch = Annotated[int, Field(ge=0, le=MAX_COUNT)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weight = NonNegative | Annotated[dict[Epoch, NonNegative], Field(min_length=1)]
"""Of a loss: a number, or a schedule from epoch to number."""


def _kinds(annotation: Any) -> set[Any]:
    """List the types that an annotation is made of, but for what is inside collections."""
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _kinds(parts[0])
    return set().union(*map(_kinds, parts)) if get_origin(annotation) in (Union, UnionType) else {annotation}


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _have_no_truth_for_numbers(cls, given: Any) -> Any:
        """Refuse true and false for a number, which pydantic takes for 1 and 0."""
        for name, value in given.items() if isinstance(given, Mapping) else ():
            if isinstance(value, bool) and name in cls.model_fields:
                kinds = _kinds(cls.model_fields[name].annotation)
                if {int, float} & kinds and bool not in kinds:
                    raise ValueError(f"has {name} = {str(value).lower()}; expected a number")
        return given


class OptimizerSettings(Settings):
    """Optimizer of one phase; PHASE stands for its name.

    `learning_rate` is one number, or a piecewise-constant schedule: from epoch (counted from 0) to learning rate. `decay` lets
    it fall to `decay_to` of itself, evenly or along half a cosine, from epoch `decay_from` to the end of training.
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    """Gradient descent, which takes `momentum`, or Adam, which takes `betas`."""
    learning_rate: Positive | dict[Epoch, Positive] = 0.1
    """Learning rate, or a schedule: { 0 = 0.01, 50 = 0.001 } changes it when 50 epochs are done."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of gradient descent; 0: none."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """Of Adam: decay of its mean of gradients, and of their squares."""
    decay: Literal["none", "linear", "cosine"] = "none"
    """How the learning rate falls from epoch `decay_from` on; not in the paper."""
    decay_from: Epoch | Annotated[float, Field(gt=0, lt=1)] = 0
    """Epoch in which the learning rate begins to fall, or the fraction of the epochs up to the end of the phase after which it
    does; not before the phase runs, at whose end it has fallen."""
    decay_to: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of itself that the learning rate falls to at the end of training."""
    weight_decay: NonNegative = 0.0
    """Every step a weight loses learning_rate times this of itself, beside its gradient, as in AdamW; not in the paper."""
    clip_norm: Positive | None = None
    """Largest Euclidean norm of the phase's gradient, a longer one is shortened to it; not set: any. Not in the paper."""

    @field_validator("learning_rate")
    @classmethod
    def _starts_at_epoch_0(cls, rate: float | dict[int, float]) -> float | dict[int, float]:
        if isinstance(rate, dict) and 0 not in rate:
            raise ValueError(f"schedule has epochs {sorted(rate)}; expected one learning rate from epoch 0 on")
        return rate

    @model_validator(mode="after")
    def _has_what_its_kind_takes(self) -> Self:
        """Refuse what the optimizer, where it is named, does nothing with."""
        if "optimizer" in self.model_fields_set:
            for name, kind in (("momentum", "sgd"), ("betas", "adam")):
                value = getattr(self, name)
                if self.optimizer != kind and value != type(self).model_fields[name].default:
                    raise ValueError(f"{name} is {value}; optimizer {self.optimizer!r} takes none, {kind!r} does")
        return self

    def learning_rate_at(self, epoch: int, start: int, stop: int) -> float:
        """Return the learning rate in `epoch` (counted from 0) of a phase that runs from epoch `start` up to `stop`."""
        rate = self.learning_rate
        if isinstance(rate, dict):
            rate = rate[max(start for start in rate if start <= epoch)]
        first = self.decay_from
        start = max(start, int(round(first * stop, 9)) if isinstance(first, float) else first)
        if self.decay == "none" or epoch < start:
            return rate
        done = min(1.0, (epoch - start) / max(1, stop - start))
        left = 1 - done if self.decay == "linear" else 0.5 * (1 + math.cos(math.pi * done))
        return rate * (self.decay_to + (1 - self.decay_to) * left)


class ConsistencySettings(Settings):
    """Virtual adversarial consistency of q(y|x) (Miyato et al. 2018); not in the paper."""

    weight: Weight = 1.0
    """Weight of the loss, or a schedule from epoch to weight, linear in between."""
    radius: Positive = 1.0
    """Length of the perturbation of a scaled row, or what the distance to its `neighbours`-th neighbour is multiplied with."""
    neighbours: Count | None = None
    """Which neighbour's distance is taken; not set: one radius for all rows."""
    equal_rows: Literal["error", "later"] = "error"
    """Where most rows have so many equals that their radius would be 0: an error, or a later neighbour, the 2k-th and so on."""
    xi: Positive | Literal["radius"] = 10.0
    """Length at which the divergence is probed for the direction in which it grows fastest, or that of the perturbation."""
    power_iterations: Count = 1
    """Steps of the power method that finds this direction."""
    covariance: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How much of it follows the covariance of rows, 0 (Miyato et al.) to 1: little of what hardly differs between rows."""


class InformationSettings(Settings):
    """Mutual information of row and label (Krause et al. 2010; Hu et al. 2017); not in the paper."""

    weight: Weight = 0.1
    """Weight of the loss, or a schedule from epoch to weight, linear in between."""
    marginal: NonNegative = 2.0
    """mu, the weight of the entropy of the mean of q(y|x) beside the mean of its entropy; more favours using all categories."""


class NeighbourGraphSettings(Settings):
    """The graph of neighbours on the map of section 7, as UMAP has it (McInnes et al. 2018); not in the paper."""

    weight: Weight = 4.0
    """Weight of the loss, or a schedule from epoch to weight, linear in between."""
    neighbours: Count = 15
    """How many neighbours a row is linked with."""
    negatives: NonNegative = 5.0
    """How many pairs of rows that are not linked stand against each that is."""
    a: Positive = 1.577
    """Of the link of places at a distance d, 1 / (1 + a d^(2 b)); a and b are what UMAP has for a least distance of 0.1."""
    b: Positive = 0.895
    """See `a`."""


class MatchingSettings(Settings):
    """How the regularization phase matches codes to the prior; the paper has the first objective and nothing else."""

    objective: Literal["adversarial", "least-squares", "hinge", "wasserstein", "mmd", "sliced-wasserstein"] = (
        "adversarial"
    )
    """What discriminators and generator lower: the paper's; least squares (Mao et al. 2017); hinge (Lim and Ye 2017); the
    Wasserstein distance (Arjovsky et al. 2017). Or what the generator lowers without them: the maximum mean discrepancy with
    inverse multiquadratic kernels (Tolstikhin et al. 2018), the sliced Wasserstein distance (Kolouri et al. 2018)."""
    r1: NonNegative = 0.0
    """gamma, of half the squared slope of a discriminator at prior samples (Mescheder et al. 2018)."""
    gradient_penalty: NonNegative = 0.0
    """lambda, of the squared distance from 1 of its slope between prior samples and codes (Gulrajani et al. 2017), such as 10."""
    discriminator_steps: Count = 1
    """Updates of the discriminators in a step, before that of the generator."""
    directions: Count = 50
    """Random directions of the sliced Wasserstein distance in a step."""

    @property
    def discriminates(self) -> bool:
        """Whether it uses the discriminators."""
        return self.objective not in ("mmd", "sliced-wasserstein")

    @model_validator(mode="after")
    def _has_discriminators_for_what_is_set(self) -> Self:
        for name in ("r1", "gradient_penalty", "discriminator_steps"):
            if not self.discriminates and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is {getattr(self, name)}; objective {self.objective!r} uses no discriminator")
        return self


class JointSettings(Settings):
    """Weights of the losses on q(y|x) and the codes, and what can be added beside the paper's."""

    reconstruction: Weight | None = None
    """Weight of the reconstruction error in a joint update, which then moves the decoder too; not set: the reconstruction is a
    phase of its own, on corrupted rows."""
    generator: dict[str, Weight] = {}
    """Weight of the generator's loss by latent, such as { label = { 0 = 3.0, 20 = 0.3 }, style = 0.1 }; 1 for others."""
    classification: Weight = 1.0
    """Weight of the classification loss."""
    consistency: ConsistencySettings | None = None
    """Not set: none."""
    information: InformationSettings | None = None
    """Not set: none."""
    neighbour_graph: NeighbourGraphSettings | None = None
    """Not set: none."""


class ClusteringSettings(JointSettings):
    """A first part of training that finds clusters without labels, which are then assigned to the labels; not in the paper."""

    epochs: Annotated[int, Field(ge=1)] = 30
    """How long it is. In this part one update lowers the losses set here (phase "clustering")."""
    merged: Annotated[int, Field(ge=2)] | None = None
    """Groups that the clusters are merged to by their overlap before labelled rows say which label each has; not set: they are
    not. Without labels they are merged to the categories."""
    temperature: Positive = 2.0
    """What logits of clusters are divided by where labelled rows say which label each cluster has."""


class LossSettings(JointSettings):
    """The losses of all epochs, or of those after a first part that finds clusters."""

    matching: MatchingSettings = MatchingSettings()
    """How codes are matched to the prior."""
    joint: bool = False
    """Whether generator, classification, consistency and information lower one weighted sum in one update of the encoder
    (phase "joint"), for which a mini-batch is encoded once, without corruption; otherwise each is a phase with an optimizer of
    its own."""
    clustering: ClusteringSettings | None = None
    """The part before, for q(y|x) that is a sum over clusters (`model.label.clusters`); not set: none."""

    @property
    def neighbours(self) -> int | None:
        """Which neighbour's distance is the radius of a row; None where all rows have the same radius."""
        asked = [part.neighbours for part in self._consistencies]
        return max((k for k in asked if k is not None), default=None)

    @property
    def later_neighbours(self) -> bool:
        """Whether a later neighbour is taken where most rows have so many equals that their radius would be 0."""
        return any(part.equal_rows == "later" for part in self._consistencies)

    @property
    def _consistencies(self) -> list[ConsistencySettings]:
        """The settings of consistency of the parts that have it."""
        parts = (self.clustering, self)
        return [part.consistency for part in parts if part is not None and part.consistency is not None]

    @property
    def corrupts(self) -> bool:
        """Whether any loss is that of corrupted rows, so that noise and dropout on the input of the encoder have an effect."""
        return not self.joint or self.reconstruction is None or self.linked is not None

    @property
    def linked(self) -> int | None:
        """How many neighbours a row is linked with; None where rows are not."""
        graphs = [self.neighbour_graph, None if self.clustering is None else self.clustering.neighbour_graph]
        return max((graph.neighbours for graph in graphs if graph is not None), default=None)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for part, where in ((self, "losses"), (self.clustering, "losses.clustering")):
            if part is not None and part.neighbour_graph is not None and not self.joint:
                raise ValueError(f"training.{where}.neighbour_graph needs training.losses.joint = true")
        asked = {part.neighbours for part in self._consistencies if part.neighbours is not None}
        if len(asked) > 1:
            raise ValueError(f"training.losses ask for neighbours {sorted(asked)}; expected the same in both parts")
        if self.joint and self.matching != MatchingSettings():
            raise ValueError("training.losses.matching does not fit training.losses.joint = true; expected one of them")
        if self.clustering is not None and not self.joint:
            raise ValueError("training.losses.clustering needs training.losses.joint = true")
        if self.reconstruction is not None and not self.joint:
            raise ValueError("training.losses.reconstruction needs training.losses.joint = true")
        if self.clustering is not None and (self.reconstruction is None) != (self.clustering.reconstruction is None):
            raise ValueError("training.losses.reconstruction is set in one part of training; expected in both or none")
        return self


def weight_at(weight: float | dict[int, float], epoch: int) -> float:
    """Return a weight in `epoch` (counted from 0): of a schedule linear between its epochs, and constant beyond them."""
    if not isinstance(weight, dict):
        return weight
    epochs = sorted(weight)
    return float(np.interp(epoch, epochs, [weight[e] for e in epochs]))


def learnt_part(clusters: int) -> float:
    """Return the part of the epochs in which a partition is learnt: 0.3, or 0.02 for each cluster, at most 0.8."""
    return min(max(0.3, 0.02 * clusters), 0.8)


def fading(part: float, epochs: int) -> dict[int, float]:
    """Return the weight, by epoch, with which a partition is learnt: it falls from 1 to 0 over a part of the epochs."""
    return {0: 1.0, max(1, round(part * epochs)): 0.0}


class TrainingSettings(Settings):
    """Length, batches and precision; which phases run follows from the method.

    Every other key is the name of a phase, with what is to be different in its optimizer: ``generator.learning_rate = 0.05``.
    A phase comes with an optimizer of its own, so that one that is not named is complete too. Whether there is a phase of this
    name is known only where the phases are made (`named_optimizers`).

    An epoch is one pass over the training rows. `validate_every` and `checkpoint_every` count epochs; both happen after the
    last one too. `reduction` says whether the reconstruction error is summed or averaged over the dimensions of a row.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, OptimizerSettings]

    epochs: Count
    """Passes over the training rows."""
    batch_size: Count = 100
    """Rows in a mini-batch; at most all of them are used."""
    labelled_batch_size: Count | None = None
    """Rows in a mini-batch of the classification phase; not set: as many as `batch_size`."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    """Decides initial weights, the labelled subset, the order of the rows and everything drawn in training."""
    precision: Precision = "fp32"
    """Of the matrix products in training; "auto": bf16 on devices that multiply in it, fp32 elsewhere; "tf32" needs a GPU."""
    compile: bool = False
    """Whether a CPU runs the step as one compiled program: faster steps, above all in bf16, for about half a minute at the
    start and a C++ compiler. A GPU captures the step in any case."""
    reduction: Literal["sum", "mean"] = "sum"
    """How the reconstruction error is taken over the dimensions of a row; "sum" is what the paper's learning rates are for."""
    pretraining: Epoch = 0
    """Epochs of what comes first: the autoencoder of GMMN+AE, M1 of M1+M2 and M1+TSVM, and every layer but the uppermost of a
    deep belief network or a stacked contractive autoencoder."""
    moment_matching_epochs: Epoch = 0
    """Epochs of moment matching before the adversarial training begins; not in the paper."""
    average_from: Epoch | None = None
    """Epoch (counted from 0) from which on the trained model is the mean of the weights at the ends of epochs, as in
    stochastic weight averaging; not set, or not reached: the weights as they are. Not in the paper."""
    shift: Annotated[int, Field(ge=0)] = 0
    """Pixels by which every image of a mini-batch is moved at random, at most: up or down, and to a side; its edge is repeated.
    Not in the paper."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights over steps, which is then the trained model, such as 0.998; at first
    the average is over fewer steps. Not set: the weights as they are. Not in the paper."""
    losses: LossSettings = LossSettings()
    """Weights of the losses, consistency and information."""
    validate_every: Count = 1
    """Epochs from one measurement on the validation split to the next."""
    checkpoint_every: Count = 1
    """Epochs from one checkpoint to the next."""

    early_stopping: bool = False
    """Whether training ends when what is measured on the validation split no longer improves, and keeps the weights of the best
    epoch; `patience` is then 10 if it is not set."""
    patience: Count | None = None
    """Epochs without improvement after which training ends, with the weights of the best epoch; not set: it never does."""
    keep_best: bool = False
    """Whether the trained model is that of the best epoch rather than that of the last."""
    tolerance: NonNegative = 1e-4
    """By how much the measure has to fall to count as an improvement."""
    monitor: str | None = None
    """The metric that is to fall; not set: the validation error, or the reconstruction error where there are no labels."""

    @property
    def patience_epochs(self) -> int | None:
        """Epochs without improvement after which training ends, if any."""
        return 10 if self.patience is None and self.early_stopping else self.patience

    @property
    def keeps_best(self) -> bool:
        """Whether the weights of the best epoch are kept."""
        return self.keep_best or self.early_stopping or self.patience is not None

    @property
    def named_optimizers(self) -> dict[str, OptimizerSettings]:
        """Optimizers by the name of their phase, those that are given here."""
        return dict(self.__pydantic_extra__)

    @model_validator(mode="after")
    def _trains_adversarially_too(self) -> Self:
        if self.moment_matching_epochs >= self.epochs:
            raise ValueError(
                f"training.moment_matching_epochs is {self.moment_matching_epochs}; expected less than training.epochs, "
                f"{self.epochs}"
            )
        if self.ema_decay is not None and self.average_from is not None:
            raise ValueError(
                f"training.ema_decay is {self.ema_decay} and training.average_from {self.average_from}; expected one of them"
            )
        return self


def validation_message(error: ValidationError) -> str:
    """Return in one line what pydantic found wrong first with settings that a program gave."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"].removeprefix("Value error, ")
