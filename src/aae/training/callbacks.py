"""What a user wants to happen during a training: one interface for estimators, `aae.fit` and `aae.train`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from aae.errors import CallbackError, InputError, note, reason
from aae.files import expand, write_tensors
from aae.training.trainer import Trainer


class Training:
    """A training under way, as callbacks see it.

    Attributes
    ----------
    title : str
        What is trained: the name of the recipe or the class of the estimator.
    epochs : int
        Epochs there will be, if nothing stops the training before.
    settings : dict
        Of the training: `epochs`, `batch_size`, `seed` and so on.
    metrics : dict of str to float
        Of the epoch just finished: losses, and what was measured on validation rows. What a callback adds is recorded with them.
    folder : Path or None
        The run folder, where there is one.
    """

    def __init__(self, title: str, trainer: Trainer, folder: Path | None = None, *, epochs: int | None = None) -> None:
        self.title, self.folder = title, folder
        self.epochs = trainer.settings.epochs if epochs is None else epochs
        self.settings: dict[str, Any] = trainer.settings.model_dump(mode="json", exclude_none=True)
        self.settings["epochs"] = self.epochs
        self.metrics: dict[str, float] = {}
        self.stopped = False
        self._trainer = trainer

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return self._trainer.epoch

    @property
    def model(self) -> nn.Module:
        """What training has come to; it sees scaled rows."""
        return self._trainer.trained

    def stop(self) -> None:
        """End the training after this epoch; what was learnt so far counts as trained."""
        self.stopped = True

    def save(self, path: str | Path) -> None:
        """Write the weights that training has come to into a safetensors file; its folder is created if needed."""
        target = expand(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(target, {name: tensor.contiguous() for name, tensor in self.model.state_dict().items()})

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in self.metrics.items())
        return f"{self.title} epoch {self.epoch}/{self.epochs}: {numbers}"


class Callback:
    """Base of callbacks: what is not overridden does nothing.

    A callback draws no random numbers from torch's generators, or puts them back: the training goes on from them.
    """

    def on_train_begin(self, training: Training) -> None:
        """Do something before the first epoch, or the first of those that a resumed run still has."""

    def on_epoch_end(self, training: Training) -> None:
        """Do something after an epoch, such as reading or adding ``training.metrics``, or ``training.stop()``."""

    def on_train_end(self, training: Training) -> None:
        """Do something after the last epoch; not after an error or an interruption."""


AnyCallback = Callback | Callable[[Training], object]
HOOKS = ("on_train_begin", "on_epoch_end", "on_train_end")


def check_callbacks(callbacks: Any) -> list[AnyCallback]:
    """Check callbacks: a sequence of objects with some of the hooks of `Callback`, or functions, called after every epoch.

    Raises
    ------
    InputError
        If one of them is neither.
    """
    if callbacks is None:
        return []
    if callable(callbacks) or any(hasattr(callbacks, hook) for hook in HOOKS):
        raise InputError(f"callbacks is {_name(callbacks)}; expected a list of callbacks")
    found = list(callbacks)
    for callback in found:
        if isinstance(callback, type) or not (callable(callback) or any(hasattr(callback, hook) for hook in HOOKS)):
            raise InputError(
                f"callbacks has {callback!r}; expected functions, or objects with one of: {', '.join(HOOKS)}"
            )
    return found


def call(hook: str, callbacks: Sequence[AnyCallback], training: Training) -> CallbackError | None:
    """Call every callback; returns the error of the first that fails, after which none is called."""
    for callback in callbacks:
        function = getattr(callback, hook, None)
        if function is None and hook == "on_epoch_end" and not any(hasattr(callback, other) for other in HOOKS):
            function = callback
        try:
            if function is not None:
                function(training)
                _check_metrics(_name(callback), training)
        except Exception as error:
            failure = CallbackError(
                f"callback {_name(callback)} failed in {hook}: {type(error).__name__}: {reason(error)}"
            )
            failure.__cause__ = error
            return failure
    return None


def _check_metrics(callback: str, training: Training) -> None:
    """Bring what a callback added to the metrics to numbers; one that is not finite is left out, and said."""
    for name, value in list(training.metrics.items()):
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            del training.metrics[name]
            raise InputError(f"metrics[{name!r}] is {value!r}; expected a number") from None
        if math.isfinite(number):
            training.metrics[name] = number
        else:
            del training.metrics[name]
            note(f"callback {callback}: metrics[{name!r}] is {number} in epoch {training.epoch}, and is not recorded")


def _name(callback: object) -> str:
    return str(getattr(callback, "__name__", type(callback).__name__))
