"""What happens during a training: callbacks of a user's own, and ready-made ones.

A callback is a function that is called with the `Training` after every epoch, or an object with some of the methods
`on_train_begin`, `on_epoch_end` and `on_train_end`. Estimators, `aae.fit` and `aae.train` take them as ``callbacks=[...]``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from aae.device import usual_state
from aae.errors import InputError, needs_extra
from aae.noise import Noise
from aae.training.callbacks import Callback, Training

__all__ = ["Callback", "Checkpoint", "MLflow", "TensorBoardImages", "Training", "WandB"]


class Checkpoint(Callback):
    """Writes the weights during the training.

    Parameters
    ----------
    path : str or Path
        A safetensors file; ``{epoch}`` in it stands for the number of the epoch, without it the file is written anew.
    every : int, default=1
        Epochs from one time to the next, 1 or larger.
    """

    def __init__(self, path: str | Path, every: int = 1) -> None:
        self.path, self.every = str(path), _count("every", every)

    def on_epoch_end(self, training: Training) -> None:
        """Write the weights where it is time."""
        if training.epoch % self.every == 0:
            training.save(self.path.replace("{epoch}", str(training.epoch)))


class WandB(Callback):
    """Logs settings and metrics to Weights & Biases; needs the extra ``wandb``.

    Parameters
    ----------
    **options
        As for ``wandb.init``: `project`, `name`, `dir`, `mode` (``"offline"`` writes files alone) and so on.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def on_train_begin(self, training: Training) -> None:
        """Begin a run; InputError without the extra."""
        try:
            import wandb
        except ImportError:
            raise needs_extra("Weights & Biases", "wandb") from None
        options = {"name": training.title, **self.options}
        self._run = wandb.init(config={**training.settings, **options.pop("config", {})}, **options)

    def on_epoch_end(self, training: Training) -> None:
        """Log the metrics."""
        self._run.log(training.metrics, step=training.epoch)

    def on_train_end(self, training: Training) -> None:
        """End the run."""
        self._run.finish()


class MLflow(Callback):
    """Logs settings and metrics to MLflow; needs the extra ``mlflow``.

    Parameters
    ----------
    uri : str, optional
        Where to: a folder, or the address of a server; by default what MLflow is set to.
    experiment : str, default="aae"
        Name of the experiment.
    """

    def __init__(self, uri: str | None = None, experiment: str = "aae") -> None:
        self.uri, self.experiment = uri, experiment

    def on_train_begin(self, training: Training) -> None:
        """Begin a run, and log the settings; InputError without the extra."""
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise needs_extra("MLflow", "mlflow") from None
        if self.uri is None or "://" not in self.uri:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        self._client = MlflowClient(tracking_uri=self.uri)
        found = self._client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found is not None else self._client.create_experiment(self.experiment)
        self._run = self._client.create_run(experiment, run_name=training.title).info.run_id
        for name, value in training.settings.items():
            self._client.log_param(self._run, name, str(value)[:500])

    def on_epoch_end(self, training: Training) -> None:
        """Log the metrics."""
        for name, value in training.metrics.items():
            self._client.log_metric(self._run, name, value, step=training.epoch)

    def on_train_end(self, training: Training) -> None:
        """End the run."""
        self._client.set_terminated(self._run)


class TensorBoardImages(Callback):
    """Writes a sheet of samples of the model for TensorBoard, the same draws after every epoch.

    Parameters
    ----------
    folder : str or Path
        Where to.
    shape : sequence of int
        Of an image: (height, width) or (height, width, channels).
    n : int, default=16
        Samples, 1 or larger.
    every : int, default=1
        Epochs from one sheet to the next, 1 or larger.
    """

    def __init__(self, folder: str | Path, shape: Sequence[int], n: int = 16, every: int = 1) -> None:
        self.folder, self.shape = Path(folder), tuple(int(size) for size in shape)
        self.n, self.every = _count("n", n), _count("every", every)
        if len(self.shape) not in (2, 3):
            raise InputError(f"shape is {self.shape}; expected (height, width) or (height, width, channels)")

    def on_train_begin(self, training: Training) -> None:
        """Open the events."""
        from torch.utils.tensorboard import SummaryWriter  # slow to import, needed only here

        self._events = SummaryWriter(str(self.folder))

    @usual_state()
    @torch.no_grad()
    def on_epoch_end(self, training: Training) -> None:
        """Write the samples where it is time; InputError where they are no images of the shape."""
        if training.epoch % self.every:
            return
        model: Any = training.model
        model.eval()
        device = next(model.parameters()).device
        rows = model.sample(self.n, None, Noise(0, 0, device=device)).float().cpu()
        values = int(torch.tensor(self.shape).prod())
        if rows.shape[1] != values:
            raise InputError(
                f"shape is {self.shape}, of {values} values; expected one of {rows.shape[1]}, as rows have"
            )
        images = rows.view(self.n, *self.shape)
        images = images[..., None] if images.dim() == 3 else images
        low, high = images.min(), images.max()
        if low < 0 or high > 1:
            images = (images - low) / (high - low).clamp(min=1e-12)
        self._events.add_images("samples", images, training.epoch, dataformats="NHWC")

    def on_train_end(self, training: Training) -> None:
        """Close the events."""
        self._events.close()


def _count(name: str, value: int) -> int:
    if value < 1:
        raise InputError(f"{name} is {value}; expected 1 or larger")
    return int(value)
