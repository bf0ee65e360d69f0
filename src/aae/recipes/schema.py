"""The strict schema of a recipe: unknown keys are errors, every value is checked before anything starts."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from aae.recipes.methods import METHODS
from aae.recipes.model_settings import SCORED_MODELS, ModelSettings
from aae.recipes.values import ColumnName, Count, CustomModule, Fraction
from aae.scaling import ScalingKind
from aae.training.settings import (
    MAX_COUNT,
    LossSettings,
    Settings,
    TrainingSettings,
)

ColumnKind = Literal["auto", "numerical", "boolean", "categorical", "count"]
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

    @model_validator(mode="after")
    def _has_a_source(self) -> DataSettings:
        if not self.source.strip():  # as of a variable that is not set: a path of the present folder
            raise ValueError(f"data.source is {self.source!r}; expected a named data set or a path")
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
    start_partition: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = 0.0
    """Fraction of the epochs in which the label learns, as it does labels, the clusters of a partition found before:
    clusters that are set apart, or the consensus of several partitions by k-means, Ward's method, Gaussian mixtures and spectral
    clustering. The weight falls from 1 to 0. Not in the paper; 0: there is none. "auto": 1 for clusters that are set apart; else
    0.3, or 0.02 for each cluster, at most 0.8."""
    start_labels: Fraction = 0.0
    """Fraction of the epochs in which q(y|x) learns, beside the labels that are known, what two random forests agree on for rows
    without one, of which one sees the columns and the other in which clusters of several quick partitions a row is. The weight
    falls from 1 to 0. Not in the paper; 0: there are none."""
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
            self._check_start_partition()
        if self.training.start_labels:
            self._check_start_labels()
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

    def _check_start_labels(self) -> None:
        """Check that there are labels to predict others from, and a joint update that learns these."""
        losses, label = self.training.losses, self.model.label
        needed = {
            "model.method": (self.model.method == "aae", "'aae'"),
            "data.labels": (self.data.labels is not None, "labelled rows"),
            "model.label": (label is not None and label.clusters is None, "a latent without clusters"),
            "training.losses.joint": (losses.joint and losses.clustering is None, "true, and no clustering"),
        }
        for key, (fits, expected) in needed.items():
            if not fits:
                raise ValueError(f"training.start_labels does not fit {key}; expected {expected}")

    def _check_start_partition(self) -> None:
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
