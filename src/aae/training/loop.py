"""The loop around the engine: epochs, validation, metrics, checkpoints, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aae.errors import RESUME, CallbackError, InputError, InterruptedTrainingError, TrainingError
from aae.training.callbacks import AnyCallback, Training, call
from aae.training.checkpoints import checkpoint_places, remove_older_checkpoints, save_checkpoint
from aae.training.diagnostics import diagnose
from aae.training.progress import Progress
from aae.training.run_directory import RunDirectory
from aae.training.signals import Interruption, interrupts
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
    cpu_seconds : float
        Time that processors spent on it in this process and its threads: what other programs take does not count.
    """

    trainer: Trainer
    folder: RunDirectory
    validate: Callable[[], dict[str, float]]
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def run_to_end(
    jobs: Sequence[TrainingJob],
    title: str,
    epoch_function: EpochFunction | None = None,
    callbacks: Sequence[AnyCallback] = (),
) -> Interruption:
    """Train to the last epoch, with metrics, checkpoints and progress.

    Parameters
    ----------
    jobs : sequence of TrainingJob
        One run, or several that `epoch_function` trains together, all at the same epoch and step. Their times are kept up to
        date; those of runs trained together are shared out evenly.
    title : str
        Shown with the progress.
    epoch_function : callable, optional
        By default it trains the one run.
    callbacks : sequence of Callback or callable
        Called for every run. Where one fails, or asks to stop, training ends after the epoch.

    Returns
    -------
    Interruption
        Whether a signal came in the last epoch, which is not stopped any more.

    Raises
    ------
    TrainingError
        If a loss is not finite; the last checkpoint is kept.
    CallbackError
        If a callback fails; a checkpoint was written.
    InterruptedTrainingError
        After Ctrl-C or another of `aae.training.signals.SIGNALS`; a checkpoint was written.
    """
    trainer = jobs[0].trainer  # all are at the same place
    epoch_function = epoch_function or (lambda on_step: _listed(trainer.run_epoch(on_step)))
    settings, first = trainer.settings, trainer.distributed.is_main_process
    with ExitStack() as stack:
        metric_loggers = [stack.enter_context(_metric_logger(job)) for job in jobs] if first else []
        progress = Progress(title, settings.epochs, trainer.steps_per_epoch, trainer.epoch, visible=first)
        stack.enter_context(progress)
        interrupted = stack.enter_context(interrupts())
        warned: set[str] = set()
        before = [(job.seconds, job.cpu_seconds) for job in jobs]
        started, cpu_started = time.monotonic(), time.process_time()

        def on_step() -> bool:
            progress.step()
            return interrupted.is_set

        def note_time() -> None:
            for job, (seconds, cpu_seconds) in zip(jobs, before, strict=True):
                job.seconds = seconds + (time.monotonic() - started) / len(jobs)
                job.cpu_seconds = cpu_seconds + (time.process_time() - cpu_started) / len(jobs)

        trainings = [Training(job.folder.path.name, job.trainer, job.folder.path) for job in jobs]
        failure = _call("on_train_begin", callbacks, trainings) if first else None
        if failure is not None:
            raise failure
        ended = any(job.trainer.best.gives_up for job in jobs)
        while trainer.epoch < settings.epochs and not ended:
            try:
                losses = epoch_function(on_step)
                last = trainer.epoch == settings.epochs
                metrics = losses or []
                if losses and first and (last or trainer.epoch % settings.validate_every == 0):
                    metrics = [found | _validated(job) for found, job in zip(losses, jobs, strict=True)]
                    for job, found in zip(jobs, metrics, strict=True):
                        job.trainer.best.update(trainer.epoch, found, job.trainer.trained)
            except TrainingError as error:
                kept = "; the last good checkpoint is kept" if checkpoint_places(jobs[0].folder.checkpoints) else ""
                raise TrainingError(f"{error}{kept}") from None
            if losses is not None:
                note_time()
                for training, found in zip(trainings, metrics, strict=True):
                    training.metrics = found
                failure = _call("on_epoch_end", callbacks, trainings) if first else None
                metrics = [training.metrics for training in trainings]
                ends = any(one.stopped or job.trainer.best.gives_up for one, job in zip(trainings, jobs, strict=True))
                ended = trainer.distributed.any(ends)
                last = last or ended
                for metric_logger, found in zip(metric_loggers, metrics, strict=False):
                    metric_logger(found)
                shown = _mean(metrics)
                progress.epoch(shown)
                for symptom, advice in diagnose(shown, final=last) if trainer.epoch > 1 else ():
                    if symptom not in warned:  # once per run is enough
                        warned.add(symptom)
                        progress.warn(advice)
            stop = losses is None or trainer.distributed.any(interrupted.is_set)
            due = losses is not None and (last or trainer.epoch % settings.checkpoint_every == 0)
            if due or failure or (stop and trainer.epoch < settings.epochs):
                note_time()
                _checkpoint(jobs)
            if failure is not None:
                where = f"the checkpoint in {_where(jobs)} goes on with {RESUME}"
                raise CallbackError(f"{failure}; stopped after epoch {trainer.epoch}, {where}") from failure.__cause__
            if stop and trainer.epoch < settings.epochs and not ended:
                raise InterruptedTrainingError(
                    f"stopped in epoch {trainer.epoch + 1} after {trainer.step} steps; "
                    f"the checkpoint in {_where(jobs)} goes on with {RESUME}",
                    interrupted.status,
                )
        if trainer.epoch < settings.epochs and any(job.trainer.best.gives_up for job in jobs):
            waited = f"{settings.patience_epochs} epoch{'s' * (settings.patience_epochs != 1)}"
            progress.note(
                f"ended after {trainer.epoch} of {settings.epochs} epochs, {waited} without improvement (training.patience); the "
                "weights are those of the best epoch"
            )
        failure = _call("on_train_end", callbacks, trainings) if first else None
        if failure is not None:
            raise CallbackError(
                f"{failure}; {_where(jobs)} is trained, and goes on with {RESUME}"
            ) from failure.__cause__
        return interrupted


def _call(hook: str, callbacks: Sequence[AnyCallback], trainings: Sequence[Training]) -> CallbackError | None:
    """Call callbacks for every run; returns the first error."""
    return next((failure for one in trainings if (failure := call(hook, callbacks, one)) is not None), None)


def _where(jobs: Sequence[TrainingJob]) -> Path:
    """Find the folder of a run, or of several together."""
    return jobs[0].folder.path if len(jobs) == 1 else jobs[0].folder.path.parent


def _listed(metrics: dict[str, float] | None) -> list[dict[str, float]] | None:
    return None if metrics is None else [metrics]


def _mean(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(found[name] for found in metrics) / len(metrics) for name in metrics[0]}


def _validated(job: TrainingJob) -> dict[str, float]:
    """Measure a run on the validation split; numbers that are not finite are no measurement."""
    phases = " and ".join(phase.name for phase in job.trainer.phases if phase.runs_in(job.trainer.epoch - 1))
    where = f"after epoch {job.trainer.epoch}. Try lower learning rates for {phases}"
    try:
        metrics = job.validate()
    except InputError as error:  # what the model gives cannot be measured
        raise TrainingError(f"validation finds: {error}, {where}") from None
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise TrainingError(f"{name.replace('_', ' ')} is {value} {where}")
    return metrics


def _checkpoint(jobs: Sequence[TrainingJob]) -> None:
    """Write a checkpoint of every run, and only then remove the older ones: there is always one of all at the same step."""
    trainer = jobs[0].trainer
    if trainer.distributed.is_main_process:
        for job in jobs:
            tensors, state = job.trainer.state()
            times = {"seconds": job.seconds, "cpu_seconds": job.cpu_seconds}
            save_checkpoint(job.folder.checkpoints, tensors, {**state, **times}, alone=False)
        for job in jobs:
            remove_older_checkpoints(job.folder.checkpoints, (trainer.epoch, trainer.step))
    trainer.distributed.wait()  # no process goes on from an older one


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
