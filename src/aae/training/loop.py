"""The loop around the engine: epochs, validation, metrics, checkpoints, progress, Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aae.errors import InterruptedTrainingError
from aae.training.checkpoints import save_checkpoint
from aae.training.collapse import signs
from aae.training.engine import Trainer
from aae.training.progress import Progress
from aae.training.rundir import RunDirectory


def run_to_end(
    trainer: Trainer,
    folder: RunDirectory,
    *,
    title: str,
    validate: Callable[[], dict[str, float]],
    seconds: float = 0.0,
) -> float:
    """Train to the last epoch, with metrics, checkpoints and progress.

    Parameters
    ----------
    trainer : Trainer
        At the epoch to go on from.
    folder : RunDirectory
        Gets ``metrics.jsonl``, checkpoints and TensorBoard events.
    title : str
        Shown with the progress.
    validate : callable
        Gives the metrics of the validation split.
    seconds : float
        Time spent on the run before.

    Returns
    -------
    float
        Time spent on the run in all, in seconds.

    Raises
    ------
    TrainingError
        If a loss is not finite; the last checkpoint is kept.
    InterruptedTrainingError
        After Ctrl-C; a checkpoint was written.
    """
    from torch.utils.tensorboard import SummaryWriter  # slow to import, needed only here

    settings = trainer.settings
    started = time.monotonic() - seconds

    def checkpoint() -> None:
        tensors, state = trainer.state()
        name = f"epoch-{trainer.epoch:06d}-step-{trainer.step:06d}"
        save_checkpoint(folder.checkpoints, name, tensors, {**state, "seconds": time.monotonic() - started})

    events = SummaryWriter(str(folder.events), purge_step=trainer.epoch + 1)
    warned: set[str] = set()
    progress = Progress(title, settings.epochs, trainer.steps_per_epoch, trainer.epoch)
    with progress, _interrupts() as interrupted:

        def on_step() -> bool:
            progress.step()
            return interrupted.is_set()

        while trainer.epoch < settings.epochs:
            losses = trainer.run_epoch(on_step)
            if losses is not None:
                last = trainer.epoch == settings.epochs
                metrics = losses
                if last or trainer.epoch % settings.validate_every == 0:
                    metrics = losses | validate()
                seconds = time.monotonic() - started
                folder.append_metrics({"epoch": trainer.epoch, "seconds": round(seconds, 2), **metrics})
                for name, value in metrics.items():
                    events.add_scalar(name, value, trainer.epoch)
                progress.epoch(metrics)
                for sign, advice in signs(metrics) if trainer.epoch > 1 else ():
                    if sign not in warned:  # once per run is enough
                        warned.add(sign)
                        progress.warn(advice)
                if last or trainer.epoch % settings.checkpoint_every == 0:
                    checkpoint()
            if interrupted.is_set() and trainer.epoch < settings.epochs:
                checkpoint()
                events.close()
                raise InterruptedTrainingError(
                    f"stopped in epoch {trainer.epoch + 1} after {trainer.step} steps; "
                    f"the checkpoint in {folder.path} goes on with --resume"
                )
    events.close()
    return time.monotonic() - started


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event; a second one interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(signum: int, frame: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
