"""Phases: one loss each, the parameters that lower it, and the optimizer that moves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from aae.errors import InputError
from aae.latents import Codes
from aae.noise import Noise
from aae.training.data import TrainingData
from aae.training.settings import OptimizerSettings, validation_message


@dataclass
class Batch:
    """The mini-batch of one step, which its phases share.

    Attributes
    ----------
    rows : Tensor, (batch, inputs)
        Scaled rows.
    noise : Noise
        Source of everything random in the step. A loss draws from it alone: then a run is a function of its seed, and can be
        resumed, compiled and trained with other seeds in one batched program. What is drawn is for all rows of the batch; for
        labelled rows it is drawn inside ``noise.drawing_for(len(labelled_rows))``.
    labels : Tensor of int64, (batch,), optional
        Labels of the rows, -1 where unlabelled.
    labelled_rows, labelled_labels : Tensor, (labelled batch, inputs) and (labelled batch,), optional
        Rows of the labelled subset, for phases with `needs_labels`.
    radii : Tensor, (batch,), optional
        Radius of each row for the consistency loss, where it is not the same for all.
    neighbour_rows : Tensor, (batch, inputs), optional
        A neighbour of each row, where rows are linked with some.
    observed : Tensor of bool, (batch, inputs), optional
        Which values of the rows are known, where some are missing.
    codes : dict of str to Tensor, optional
        Codes drawn in the regularization phase, shared by discriminators and generator: the encoder does not change
        between the two.
    weights : dict of str to float or Tensor
        Weights of losses in the present epoch, see `Phase.weights`.
    metrics : dict of str to Tensor
        Scalars to log beside the losses; a loss may add some, detached, the same ones in every step.
    gather : callable
        Puts the rows that several processes have of something into one tensor, for what is no mean over rows.
    start : Tensor of int64, (batch,), optional
        Labels that q(y|x) starts from, -1 where there is none.
    """

    rows: Tensor
    noise: Noise
    labels: Tensor | None = None
    labelled_rows: Tensor | None = None
    labelled_labels: Tensor | None = None
    radii: Tensor | None = None
    neighbour_rows: Tensor | None = None
    observed: Tensor | None = None
    codes: Codes | None = None
    weights: Mapping[str, float | Tensor] = field(default_factory=dict)
    metrics: dict[str, Tensor] = field(default_factory=dict)
    gather: Callable[[Tensor], Tensor] = lambda rows: rows
    start: Tensor | None = None

    def weighted(self, name: str, loss: Tensor) -> Tensor:
        """Multiply a loss with the weight of this name, if it has one."""
        return loss * self.weights[name] if name in self.weights else loss


@dataclass(frozen=True)
class Phase:
    """One loss, the parameters that lower it, and the optimizer that moves them.

    On every mini-batch the phases of a run take their turns: the loss is computed, its gradient with respect to `parameters`
    alone, and the phase's own optimizer moves them. Two phases may own the same parameters, each with an optimizer state of
    its own, as the reconstruction and the regularization phase own the encoder (section 2).

    Parameters
    ----------
    name : str
        Names the loss in the metrics (``<name>_loss``), the optimizer state in checkpoints, and the settings of the optimizer
        in ``[training]``. Unique among the phases of a run.
    parameters : sequence of torch.nn.Parameter
        What the optimizer moves: parameters of the model that is trained.
    loss : callable
        Called with the `Batch` in training mode; returns a scalar tensor, a mean over the rows of the batch. It may read
        everything in the batch, add to ``batch.metrics``, and compute gradients of its own with `torch.func.grad` (with
        `torch.autograd.grad` too, but then seeds are trained one after another). It works with fixed shapes, and without
        Python numbers from tensors (``.item()``, branches on values), or else the step cannot be compiled or captured.
    optimizer : OptimizerSettings
        The phase's own optimizer.
    needs_labels : bool
        Whether the loss reads the labelled rows of the batch.
    start : int
        First epoch (counted from 0) in which it runs.
    stop : int, optional
        First epoch in which it no longer runs; by default it runs to the end.
    weights : dict of str to float or dict
        Weights of losses within the phase by name: numbers, or schedules from epoch to number, linear in between. In each epoch
        ``batch.weights`` has them as numbers.
    begin : callable, optional
        Called with what the run trains on before the first step of the phase's first epoch, with the model in evaluation mode and
        no gradients: it may change buffers of the model in place.
    updates : int
        How many times in a row it computes its loss and moves its parameters on each mini-batch; 1 or more.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Callable[[Batch], Tensor]
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    needs_labels: bool = False
    start: int = 0
    stop: int | None = None
    weights: Mapping[str, float | dict[int, float]] = field(default_factory=dict)
    begin: Callable[[TrainingData], None] | None = None
    updates: int = 1

    def without_frozen(self) -> Phase:
        """Create the same phase without parameters that require no gradient, and without repetitions.

        Raises
        ------
        InputError
            If that leaves none, or `updates` is less than 1.
        """
        if self.updates < 1:
            raise InputError(f"phase {self.name}: updates is {self.updates}; expected 1 or more")
        trained = [parameter for parameter in dict.fromkeys(self.parameters) if parameter.requires_grad]  # each once
        if not trained:
            raise InputError(
                f"phase {self.name}: all of its {len(self.parameters)} parameters are frozen; expected at least one that "
                "requires a gradient"
            )
        return replace(self, parameters=trained)

    def with_optimizer(self, given: OptimizerSettings) -> Phase:
        """Create the same phase with what was given for its optimizer, all of it if that is another kind of optimizer.

        Raises
        ------
        InputError
            If something was given that this optimizer does nothing with.
        """
        if given.optimizer == self.optimizer.optimizer or "optimizer" not in given.model_fields_set:
            own = {**self.optimizer.model_dump(), **given.model_dump(include=given.model_fields_set)}
            try:
                given = OptimizerSettings.model_validate(own)
            except ValidationError as error:
                raise InputError(f"{self.name}.{validation_message(error)}") from None
        return replace(self, optimizer=given)

    def compute(self, batch: Batch) -> Tensor:
        """Compute the loss of a batch.

        Raises
        ------
        InputError
            If the loss, or something that it logs, is no scalar tensor.
        """
        loss = self.loss(batch)
        for what, value in (("its loss", loss), *((f"metric {name}", found) for name, found in batch.metrics.items())):
            if not isinstance(value, Tensor) or value.dim() > 0:
                found = (
                    f"has shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"is a {type(value).__name__}"
                )
                raise InputError(f"phase {self.name}: {what} {found}; expected a scalar tensor")
        return loss

    def gradients(self, loss: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the gradient of a loss with respect to each parameter; 0 for those that it does not depend on.

        Raises
        ------
        InputError
            If it depends on none.
        """
        if not loss.requires_grad:
            raise InputError(f"phase {self.name}: its loss depends on no parameter; expected one that it can lower")
        return torch.autograd.grad(loss, parameters, materialize_grads=True)

    def runs_in(self, epoch: int) -> bool:
        """Check whether it runs in `epoch` (counted from 0)."""
        return self.start <= epoch and (self.stop is None or epoch < self.stop)
