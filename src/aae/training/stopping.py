"""The best epoch of a training by a measure on validation rows: its weights, and when to stop waiting for a better one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from aae.errors import InputError
from aae.evaluation.metrics import describe
from aae.training.settings import TrainingSettings

MONITORED = ("validation_error_percent", "validation_reconstruction")  # the first of them that is measured


class BestEpoch:
    """Follows a validation measure: the smaller the better, or the larger where that is better.

    Of epochs that are equally good the last one is the best: a few validation rows are soon classified as well as they will be.

    Parameters
    ----------
    settings : TrainingSettings
        With `early_stopping`, `patience`, `keep_best`, `tolerance` and `monitor`.

    Attributes
    ----------
    weights : dict of str to Tensor
        The state of the model after the best epoch; empty before any.
    epoch : int
        The best epoch, from 1; 0 before any.
    value : float
        The measure after it.
    """

    def __init__(self, settings: TrainingSettings) -> None:
        self.settings = settings
        self.weights: dict[str, Tensor] = {}
        self.epoch, self.value = 0, float("inf")
        # When the measure was last better by more than the tolerance, and what it was.
        self._improved: tuple[int, float] = (0, float("inf"))
        self._measured = 0  # epochs so far, up to the last measured one

    def update(self, epoch: int, metrics: Mapping[str, float], model: nn.Module) -> None:
        """Take note of the metrics after `epoch` (from 1), and of the weights if it is the best one.

        Raises
        ------
        InputError
            If the measure to follow is none of the metrics, or neither way of it is better.
        """
        if not self.settings.keeps_best:
            return
        names = [self.settings.monitor] if self.settings.monitor else MONITORED
        name = next((name for name in names if name in metrics), None)
        if name is None:
            found = ", ".join(sorted(metrics))
            raise InputError(f"training.monitor is {names[0]!r}; expected one of the metrics: {found}")
        value, self._measured = metrics[name], epoch
        sign = self._sign(name)
        if not self.epoch or sign * value < sign * self._improved[1] - self.settings.tolerance:
            self._improved = epoch, value
        if not self.epoch or sign * value <= sign * self.value:
            self.epoch, self.value = epoch, value
            self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @staticmethod
    def _sign(name: str) -> int:
        """Return 1 where less is better, as of losses and what nothing is known of, and -1 where more is."""
        metric = describe(name)
        if metric.direction == "none" and metric.explanation:
            raise InputError(
                f"training.monitor is {name!r}, of which neither less nor more is better; expected another"
            )
        return -1 if metric.direction == "higher" else 1

    @property
    def gives_up(self) -> bool:
        """Whether the measure has not improved for as many epochs as `patience` says."""
        patience = self.settings.patience_epochs
        return patience is not None and self.epoch > 0 and self._measured - self._improved[0] >= patience

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Collect what `load` needs: tensors, and metadata for JSON, empty before any measure."""
        if not self.epoch:
            return {}, {}
        metadata = {
            "epoch": self.epoch,
            "value": self.value,
            "improved": list(self._improved),
            "measured": self._measured,
        }
        return {f"best.{name}": tensor for name, tensor in self.weights.items()}, metadata

    def load(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Go back to a state that `state` collected."""
        if metadata:
            self.epoch, self.value, self._measured = metadata["epoch"], metadata["value"], metadata["measured"]
            self._improved = metadata["improved"][0], metadata["improved"][1]
            best = {name: tensor for name, tensor in tensors.items() if name.startswith("best.")}
            self.weights = {name.removeprefix("best."): tensor.clone() for name, tensor in best.items()}
