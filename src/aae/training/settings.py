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
    rate: Positive | dict[Annotated[int, Field(ge=0)], Positive] = 0.1
    """Learning rate, or a schedule: { 0 = 0.01, 50 = 0.001 } changes it when 50 epochs are done."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of gradient descent; 0: none."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """Of Adam: decay of its mean of gradients, and of their squares."""

    @field_validator("rate")
    @classmethod
    def _starts_at_epoch_0(cls, rate: float | dict[int, float]) -> float | dict[int, float]:
        if isinstance(rate, dict) and 0 not in rate:
            raise ValueError(f"schedule has epochs {sorted(rate)}; expected one rate from epoch 0 on")
        return rate

    def rate_at(self, epoch: int) -> float:
        """Look up the learning rate in force during `epoch` (counted from 0)."""
        if not isinstance(self.rate, dict):
            return self.rate
        return self.rate[max(start for start in self.rate if start <= epoch)]


class TrainingSettings(Settings):
    """Length, batches, precision and one optimizer per phase; which phases run follows from the method.

    An epoch is one pass over the training rows. `validate_every` and `checkpoint_every` count epochs; both happen after the
    last one too. `reduction` says whether the reconstruction error is summed or averaged over the dimensions of a row.
    """

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
    warm_start: Annotated[int, Field(ge=0)] = 0
    """Epochs of moment matching before the adversarial training begins; not in the paper."""
    average_from: Annotated[int, Field(ge=0)] | None = None
    """Epoch (counted from 0) from which on the trained model is the mean of the weights at the ends of epochs, as in
    stochastic weight averaging; not set, or not reached: the weights as they are. Not in the paper."""
    validate_every: Annotated[int, Field(ge=1)] = 1
    """Epochs from one measurement on the validation split to the next."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 1
    """Epochs from one checkpoint to the next."""
    reconstruction: OptimizerSettings = OptimizerSettings(rate=0.01, momentum=0.9)
    discriminator: OptimizerSettings = OptimizerSettings(rate=0.1, momentum=0.1)
    generator: OptimizerSettings = OptimizerSettings(rate=0.1, momentum=0.1)
    classification: OptimizerSettings = OptimizerSettings(rate=0.1, momentum=0.9)
    repulsion: OptimizerSettings = OptimizerSettings(rate=0.01)
    moment_matching: OptimizerSettings = OptimizerSettings(optimizer="adam", rate=0.001)
    elbo: OptimizerSettings = OptimizerSettings(optimizer="adam", rate=0.001)

    @model_validator(mode="after")
    def _trains_adversarially_too(self) -> Self:
        if self.warm_start >= self.epochs:
            raise ValueError(
                f"training.warm_start is {self.warm_start}; expected less than training.epochs, {self.epochs}"
            )
        return self


def complaint(error: ValidationError) -> str:
    """Say in one line what pydantic found wrong first with settings that a program gave."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"].removeprefix("Value error, ")
