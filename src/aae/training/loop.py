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
from aae.training.diagnostics import signs
from aae.training.progress import Progress
from aae.training.run_directory import RunDirectory
from aae.training.trainer import Trainer

Advance = Callable[[Callable[[], bool]], list[dict[str, float]] | None]
"""Trains the rest of an epoch, as `Trainer.run_epoch` does; gives the metrics of every run."""


@dataclass
class Course:
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


def run_to_end(courses: Sequence[Course], title: str, advance: Advance | None = None) -> None:
    """Train to the last epoch, with metrics, checkpoints and progress.

    Parameters
    ----------
    courses : sequence of Course
        One run, or several that `advance` trains together, all at the same epoch and step. Their `seconds` are kept up to
        date; those of runs trained together are shared out evenly.
    title : str
        Shown with the progress.
    advance : callable, optional
        By default it trains the one run.

    Raises
    ------
    TrainingError
        If a loss is not finite; the last checkpoint is kept.
    InterruptedTrainingError
        After Ctrl-C; a checkpoint was written.
    """
    trainer = courses[0].trainer  # all are at the same place
    advance = advance or (lambda on_step: _listed(trainer.run_epoch(on_step)))
    settings, first = trainer.settings, trainer.processes.first
    with ExitStack() as stack:
        journals = [stack.enter_context(_journal(course)) for course in courses] if first else []
        progress = Progress(title, settings.epochs, trainer.steps_per_epoch, trainer.epoch, visible=first)
        stack.enter_context(progress)
        interrupted = stack.enter_context(_interrupts())
        warned: set[str] = set()
        before = [course.seconds for course in courses]
        started = time.monotonic()

        def on_step() -> bool:
            progress.step()
            return interrupted.is_set()

        def note_time() -> None:
            for course, seconds in zip(courses, before, strict=True):
                course.seconds = seconds + (time.monotonic() - started) / len(courses)

        while trainer.epoch < settings.epochs:
            try:
                losses = advance(on_step)
            except TrainingError as error:
                kept = "; the last good checkpoint is kept" if checkpoint_names(courses[0].folder.checkpoints) else ""
                raise TrainingError(f"{error}{kept}") from None
            if losses is not None:
                last = trainer.epoch == settings.epochs
                metrics = losses
                if first and (last or trainer.epoch % settings.validate_every == 0):
                    metrics = [found | course.validate() for found, course in zip(losses, courses, strict=True)]
                note_time()
                for journal, found in zip(journals, metrics, strict=False):
                    journal(found)
                shown = _mean(metrics)
                progress.epoch(shown)
                for sign, advice in signs(shown) if trainer.epoch > 1 else ():
                    if sign not in warned:  # once per run is enough
                        warned.add(sign)
                        progress.warn(advice)
            stop = losses is None or trainer.processes.any(interrupted.is_set())
            due = losses is not None and (last or trainer.epoch % settings.checkpoint_every == 0)
            if due or (stop and trainer.epoch < settings.epochs):
                note_time()
                _checkpoint(courses)
            if stop and trainer.epoch < settings.epochs:
                where = courses[0].folder.path if len(courses) == 1 else courses[0].folder.path.parent
                raise InterruptedTrainingError(
                    f"stopped in epoch {trainer.epoch + 1} after {trainer.step} steps; "
                    f"the checkpoint in {where} goes on with --resume"
                )


def _listed(metrics: dict[str, float] | None) -> list[dict[str, float]] | None:
    return None if metrics is None else [metrics]


def _mean(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(found[name] for found in metrics) / len(metrics) for name in metrics[0]}


def _checkpoint(courses: Sequence[Course]) -> None:
    """Write a checkpoint of every run, and only then remove the older ones: there is always one of all at the same step."""
    trainer = courses[0].trainer
    if not trainer.processes.first:
        return
    name = f"epoch-{trainer.epoch:06d}-step-{trainer.step:06d}"
    for course in courses:
        tensors, state = course.trainer.state()
        save_checkpoint(course.folder.checkpoints, name, tensors, {**state, "seconds": course.seconds}, alone=False)
    for course in courses:
        remove_other_checkpoints(course.folder.checkpoints, name)


@contextmanager
def _journal(course: Course) -> Iterator[Callable[[dict[str, float]], None]]:
    """Open a run's records; gives what adds the metrics of one finished epoch."""
    from torch.utils.tensorboard import SummaryWriter  # slow to import, needed only here

    trainer, folder = course.trainer, course.folder
    events = SummaryWriter(str(folder.events), purge_step=trainer.epoch + 1)

    def add(metrics: dict[str, float]) -> None:
        folder.append_metrics({"epoch": trainer.epoch, "seconds": round(course.seconds, 2), **metrics})
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
