"""How long a training takes until its validation rows are measured well enough: the time that a user waits for a result."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aae.device import choose_device, describe_device
from aae.errors import InputError
from aae.evaluation.metrics import describe
from aae.recipes import Recipe
from aae.runs.train import train
from aae.runs.validation_metric import choose_metric
from aae.training.callbacks import Training


@dataclass(frozen=True)
class TimeTo:
    """How a training came to a value of a metric.

    Attributes
    ----------
    recipe, metric, device : str
        What was trained, measured, and where.
    target : float
        The value to reach.
    reached : bool
        Whether it was reached within the epochs of the recipe.
    epochs : int
        Epochs trained until then, or all of them.
    minutes : float
        From the start, reading of the data and validation included.
    core_minutes : float
        The same on one core that does nothing else: the time that processors spent on it, whatever else they did meanwhile.
    best : float
        The best value that was found.
    seed : int
        Of the training.
    """

    recipe: str
    metric: str
    target: float
    reached: bool
    epochs: int
    minutes: float
    core_minutes: float
    best: float
    seed: int
    device: str

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def parse_target(text: str) -> tuple[str, float]:
    """Read ``METRIC=VALUE``.

    Raises
    ------
    InputError
        If it is something else.
    """
    metric, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        equals = ""
    if not equals or not metric.strip() or number != number:
        raise InputError(f"--time-to {text!r}: expected METRIC=VALUE, such as validation_error_percent=2")
    return metric.strip(), number


def time_to(recipe: Recipe, metric: str, target: float, device: str = "auto") -> TimeTo:
    """Train until a metric of the validation rows is at least as good as a value, in a folder that is removed afterwards.

    Parameters
    ----------
    recipe : Recipe
        It measures the validation rows every ``training.validate_every`` epochs.
    metric : str
        Such as ``validation_error_percent``.
    target : float
        Value to reach.
    device : {"auto", "cpu", "cuda"}
        Where to train.

    Raises
    ------
    InputError
        If the recipe does not have the metric, or neither more nor less of it is better.
    """
    metric = choose_metric([recipe], metric)
    sign = -1.0 if describe(metric).direction == "higher" else 1.0
    found: list[float] = []
    epochs, started, ended = 0, _clocks(), (0.0, 0.0)

    def watch(training: Training) -> None:
        nonlocal epochs, ended
        epochs, ended = training.epoch, _clocks()
        value = training.metrics.get(metric)
        if value is not None:
            found.append(sign * value)
            if sign * value <= sign * target:
                training.stop()

    with TemporaryDirectory() as folder:
        train(recipe, run=Path(folder) / "run", device=device, callbacks=[watch])
    return TimeTo(
        recipe=recipe.name,
        metric=metric,
        target=target,
        reached=min(found) <= sign * target,
        epochs=epochs,
        minutes=round((ended[0] - started[0]) / 60, 4),
        core_minutes=round((ended[1] - started[1]) / 60, 4),
        best=sign * min(found),
        seed=recipe.training.seed,
        device=describe_device(choose_device(device)),
    )


def _clocks() -> tuple[float, float]:
    """Read the seconds of the clock, and those that processors spent on this process."""
    return time.perf_counter(), time.process_time()
