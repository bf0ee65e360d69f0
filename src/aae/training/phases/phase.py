"""What a phase is: one loss, the parameters that lower it, and the optimizer that moves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pydantic import ValidationError
from torch import Tensor, nn

from aae.errors import InputError
from aae.model import Codes
from aae.noise import Noise
from aae.training.settings import OptimizerSettings, validation_message


@dataclass
class Batch:
    """What the phases of one step share.

    Attributes
    ----------
    rows : Tensor, (batch, inputs)
        Scaled rows.
    noise : Noise
        Source of everything random in the step. A loss draws from it alone: then a run is a function of its seed, and can be
        resumed, compiled and trained with other seeds in one batched program.
    labels : Tensor of int64, (batch,), optional
        Labels of the rows, -1 where unlabelled.
    labelled_rows, labelled_labels : Tensor, (labelled batch, inputs) and (labelled batch,), optional
        Rows of the labelled subset, for phases with `needs_labels`.
    codes : dict of str to Tensor, optional
        Codes drawn in the regularization phase, shared by discriminators and generator: the encoder does not change
        between the two.
    metrics : dict of str to Tensor
        Scalars to log beside the losses; a loss may add some, detached, the same ones in every step.
    gather : callable
        Puts the rows that several processes have of something into one tensor, for what is no mean over rows.
    """

    rows: Tensor
    noise: Noise
    labels: Tensor | None = None
    labelled_rows: Tensor | None = None
    labelled_labels: Tensor | None = None
    codes: Codes | None = None
    metrics: dict[str, Tensor] = field(default_factory=dict)
    gather: Callable[[Tensor], Tensor] = lambda rows: rows


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
    """

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Callable[[Batch], Tensor]
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    needs_labels: bool = False
    start: int = 0
    stop: int | None = None

    def without_frozen(self) -> Phase:
        """Leave out the parameters that ask for no gradient.

        Raises
        ------
        InputError
            If that leaves none.
        """
        trained = [parameter for parameter in self.parameters if parameter.requires_grad]
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

    def runs_in(self, epoch: int) -> bool:
        """Check whether it runs in `epoch` (counted from 0)."""
        return self.start <= epoch and (self.stop is None or epoch < self.stop)
