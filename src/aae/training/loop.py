"""The loop around the engine: epochs, validation, metrics, checkpoints, progress, Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from aae.errors import InterruptedTrainingError, TrainingError
from aae.training.checkpoints import checkpoint_names, remove_other_checkpoints, save_checkpoint
from aae.training.diagnostics import diagnose
from aae.training.progress import Progress
from aae.training.run_directory import RunDirectory
from aae.training.trainer import Trainer

EpochFunction = Callable[[Callable[[], bool]], list[dict[str, float]] | None]
"""Trains the rest of an epoch, as `Trainer.run_epoch` does; returns the metrics of every run."""


@dataclass
class TrainingJob:
    """A run under way.

    Attributes
    ----------
    trainer : Trainer
        At the epoch to go on from.
    folder : RunDirectory
        Gets ``metrics.jsonl``, checkpoints and TensorBoard events.
    validate : callable
        Gives the metrics of the validation split.
    seconds : float
        Time spent on the run so far.
    """

    trainer: Trainer
    folder: RunDirectory
    validate: Callable[[], dict[str, float]]
    seconds: float = 0.0


def run_to_end(jobs: Sequence[TrainingJob], title: str, epoch_function: EpochFunction | None = None) -> None:
    """Train to the last epoch, with metrics, checkpoints and progress.

    Parameters
    ----------
    jobs : sequence of TrainingJob
        One run, or several that `epoch_function` trains together, all at the same epoch and step. Their `seconds` are kept up to
        date; those of runs trained together are shared out evenly.
    title : str
        Shown with the progress.
    epoch_function : callable, optional
        By default it trains the one run.

    Raises
    ------
    TrainingError
        If a loss is not finite; the last checkpoint is kept.
    InterruptedTrainingError
        After Ctrl-C; a checkpoint was written.
    """
    trainer = jobs[0].trainer  # all are at the same place
    epoch_function = epoch_function or (lambda on_step: _listed(trainer.run_epoch(on_step)))
    settings, first = trainer.settings, trainer.distributed.is_main_process
    with ExitStack() as stack:
        metric_loggers = [stack.enter_context(_metric_logger(job)) for job in jobs] if first else []
        progress = Progress(title, settings.epochs, trainer.steps_per_epoch, trainer.epoch, visible=first)
        stack.enter_context(progress)
        interrupted = stack.enter_context(_interrupts())
        warned: set[str] = set()
        before = [job.seconds for job in jobs]
        started = time.monotonic()

        def on_step() -> bool:
            progress.step()
            return interrupted.is_set()

        def note_time() -> None:
            for job, seconds in zip(jobs, before, strict=True):
                job.seconds = seconds + (time.monotonic() - started) / len(jobs)

        while trainer.epoch < settings.epochs:
            try:
                losses = epoch_function(on_step)
            except TrainingError as error:
                kept = "; the last good checkpoint is kept" if checkpoint_names(jobs[0].folder.checkpoints) else ""
                raise TrainingError(f"{error}{kept}") from None
            if losses is not None:
                last = trainer.epoch == settings.epochs
                metrics = losses
                if first and (last or trainer.epoch % settings.validate_every == 0):
                    metrics = [found | job.validate() for found, job in zip(losses, jobs, strict=True)]
                note_time()
                for metric_logger, found in zip(metric_loggers, metrics, strict=False):
                    metric_logger(found)
                shown = _mean(metrics)
                progress.epoch(shown)
                for sign, advice in diagnose(shown, final=last) if trainer.epoch > 1 else ():
                    if sign not in warned:  # once per run is enough
                        warned.add(sign)
                        progress.warn(advice)
            stop = losses is None or trainer.distributed.any(interrupted.is_set())
            due = losses is not None and (last or trainer.epoch % settings.checkpoint_every == 0)
            if due or (stop and trainer.epoch < settings.epochs):
                note_time()
                _checkpoint(jobs)
            if stop and trainer.epoch < settings.epochs:
                where = jobs[0].folder.path if len(jobs) == 1 else jobs[0].folder.path.parent
                raise InterruptedTrainingError(
                    f"stopped in epoch {trainer.epoch + 1} after {trainer.step} steps; "
                    f"the checkpoint in {where} goes on with --resume"
                )


def _listed(metrics: dict[str, float] | None) -> list[dict[str, float]] | None:
    return None if metrics is None else [metrics]


def _mean(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(found[name] for found in metrics) / len(metrics) for name in metrics[0]}


def _checkpoint(jobs: Sequence[TrainingJob]) -> None:
    """Write a checkpoint of every run, and only then remove the older ones: there is always one of all at the same step."""
    trainer = jobs[0].trainer
    if not trainer.distributed.is_main_process:
        return
    name = f"epoch-{trainer.epoch:06d}-step-{trainer.step:06d}"
    for job in jobs:
        tensors, state = job.trainer.state()
        save_checkpoint(job.folder.checkpoints, name, tensors, {**state, "seconds": job.seconds}, alone=False)
    for job in jobs:
        remove_other_checkpoints(job.folder.checkpoints, name)


@contextmanager
def _metric_logger(job: TrainingJob) -> Iterator[Callable[[dict[str, float]], None]]:
    """Open a run's records; returns what adds the metrics of one finished epoch."""
    from torch.utils.tensorboard import SummaryWriter  # slow to import, needed only here

    trainer, folder = job.trainer, job.folder
    events = SummaryWriter(str(folder.events), purge_step=trainer.epoch + 1)

    def add(metrics: dict[str, float]) -> None:
        folder.append_metrics({"epoch": trainer.epoch, "seconds": round(job.seconds, 2), **metrics})
        for name, value in metrics.items():
            events.add_scalar(name, value, trainer.epoch)

    try:
        yield add
    finally:
        events.close()


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
