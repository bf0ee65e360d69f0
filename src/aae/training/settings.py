"""Settings of a training run, as they stand in a recipe's ``[training]`` section."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Precision = Literal["fp32", "bf16", "tf32"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OptimizerSettings(Settings):
    """Optimizer of one phase.

    `rate` is a learning rate, or a piecewise-constant schedule: from epoch (counted from 0) to learning rate.
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    """Gradient descent, which takes `momentum`, or Adam, which takes `betas`."""
    learning_rate: Positive | dict[Annotated[int, Field(ge=0)], Positive] = 0.1
    """Learning rate, or a schedule: { 0 = 0.01, 50 = 0.001 } changes it when 50 epochs are done."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of gradient descent; 0: none."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """Of Adam: decay of its mean of gradients, and of their squares."""

    @field_validator("learning_rate")
    @classmethod
    def _starts_at_epoch_0(cls, rate: float | dict[int, float]) -> float | dict[int, float]:
        if isinstance(rate, dict) and 0 not in rate:
            raise ValueError(f"schedule has epochs {sorted(rate)}; expected one rate from epoch 0 on")
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

    def learning_rate_at(self, epoch: int) -> float:
        """Look up the learning rate in force during `epoch` (counted from 0)."""
        if not isinstance(self.learning_rate, dict):
            return self.learning_rate
        return self.learning_rate[max(start for start in self.learning_rate if start <= epoch)]


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

    epochs: Annotated[int, Field(ge=1)]
    """Passes over the training rows."""
    batch_size: Annotated[int, Field(ge=1)] = 100
    """Rows in a mini-batch; at most all of them are used."""
    labelled_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Rows in a mini-batch of the classification phase; not set: as many as `batch_size`."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides initial weights, the labelled subset, the order of the rows and everything drawn in training."""
    precision: Precision = "fp32"
    """Of the matrix products in training; "tf32" needs a GPU."""
    compile: bool = False
    """Whether a CPU runs the step as one compiled program: faster steps, above all in bf16, for about half a minute at the
    start and a C++ compiler. A GPU captures the step in any case."""
    reduction: Literal["sum", "mean"] = "sum"
    """How the reconstruction error is taken over the dimensions of a row; "sum" is what the paper's rates are made for."""
    pretraining: Annotated[int, Field(ge=0)] = 0
    """Epochs in which GMMN+AE trains the autoencoder, before the generator of codes."""
    moment_matching_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs of moment matching before the adversarial training begins; not in the paper."""
    average_from: Annotated[int, Field(ge=0)] | None = None
    """Epoch (counted from 0) from which on the trained model is the mean of the weights at the ends of epochs, as in
    stochastic weight averaging; not set, or not reached: the weights as they are. Not in the paper."""
    validate_every: Annotated[int, Field(ge=1)] = 1
    """Epochs from one measurement on the validation split to the next."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 1
    """Epochs from one checkpoint to the next."""

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
        return self


def validation_message(error: ValidationError) -> str:
    """Return in one line what pydantic found wrong first with settings that a program gave."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"].removeprefix("Value error, ")
