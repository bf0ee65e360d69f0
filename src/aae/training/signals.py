"""Signals that end a training: asked for between two steps, or ending at once what takes long."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from aae.errors import RESUME, InterruptedTrainingError

SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGUSR1": 75}
"""Signals that stop a run after a checkpoint, with the exit status of the command: 128 + the number of the signal; of SIGUSR1,
by which schedulers say that time is nearly up, the status for "try again later"."""

_at_once: list[int] = []  # for each `stopped_at_once` that is entered, the status of the signal that came in it, or 0


class StoppedError(KeyboardInterrupt):
    """A signal ended what was under way: as Ctrl-C, no failure of it.

    Parameters
    ----------
    status : int
        Exit status that says which signal.
    """

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


@dataclass
class Interruption:
    """Whether a signal has come, and the exit status that says which."""

    is_set: bool = False
    status: int = SIGNALS["SIGINT"]
    _before: dict[int, Any] = field(default_factory=dict, repr=False)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal; the next one does what it did before."""
        self.is_set, self.status = True, SIGNALS[signal.Signals(number).name]
        self._restore()
        if _at_once:
            _at_once[-1] = self.status
            raise StoppedError(self.status)

    def leave(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal and end what is under way, as Ctrl-C does."""
        self.note(number, frame)
        raise StoppedError(self.status)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def ended_by_signals() -> Iterator[Interruption]:
    """Let SIGTERM and SIGHUP raise `StoppedError`, so that no file is left half written; for the command, in the main thread.

    What the caller handles or ignores already stays so, and trainings take them over while they last.
    """
    interruption = Interruption()
    interruption._before |= _take_over(("SIGTERM", "SIGHUP"), interruption.leave)
    try:
        yield interruption
    finally:
        interruption._restore()


def _leave(number: int, frame: FrameType | None) -> None:
    raise InterruptedTrainingError(f"stopped between trainings; {RESUME} goes on", SIGNALS[signal.Signals(number).name])


@contextmanager
def leaves_on_request(names: Sequence[str] = ("SIGUSR1",)) -> Iterator[None]:
    """Let signals end what is done around a training, each with its own status; for the command, in the main thread.

    Parameters
    ----------
    names : sequence of str
        Of `SIGNALS`. What the program or its caller handles or ignores already stays so.
    """
    before = _take_over(names, _leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interrupts(names: Sequence[str] = tuple(SIGNALS)) -> Iterator[Interruption]:
    """Turn the first of some signals into something to ask for between two steps; a second one does what it did before.

    Signals that are ignored stay so (``nohup``), and of those but Ctrl-C what the program handles by itself already. Only the
    main thread is told of signals; in another one nothing ever comes.

    Parameters
    ----------
    names : sequence of str
        Of `SIGNALS`.
    """
    interruption = Interruption()
    if not _in_main_thread():
        yield interruption
        return
    for name in names:
        number: signal.Signals | None = getattr(signal, name, None)  # some systems have fewer
        handler = None if number is None else signal.getsignal(number)
        if number is not None and (
            handler is _leave or _is_free(handler) or (name == "SIGINT" and handler not in (signal.SIG_IGN, None))
        ):
            interruption._before[number] = handler
    try:
        for noted in interruption._before:
            signal.signal(noted, interruption.note)
        yield interruption
    finally:
        interruption._restore()


@contextmanager
def stopped_at_once() -> Iterator[None]:
    """Let the signals that `interrupts` waits for raise `StoppedError`, in what takes long and can be done again.

    Handlers of the program's own run afterwards: until then their signals are kept from the processes that are started here,
    which they would end. So are all signals in a thread that is not the main one.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    numbers = [getattr(signal, name) for name in SIGNALS]
    wait = [number for number in numbers if not (_in_main_thread() and _ends_a_training(signal.getsignal(number)))]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, wait)
    if _in_main_thread():
        _at_once.append(0)
    try:
        yield
    finally:
        status = _at_once.pop() if _in_main_thread() else 0
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if status:  # whatever was made of the error: a compiler that the same signal has ended fails too
            raise StoppedError(status) from None


@contextmanager
def taken_up_again(folder: Path) -> Iterator[None]:
    """Say of a stop that the command by which it goes on is the same, without an option."""
    try:
        yield
    except (InterruptedTrainingError, KeyboardInterrupt) as error:
        status = getattr(error, "status", SIGNALS["SIGINT"])
        raise InterruptedTrainingError(f"{folder}: stopped; the same command goes on with it", status) from None


def _take_over(names: Sequence[str], handler: Any) -> dict[int, Any]:
    """Handle those signals that would end the command; returns what they did before. Other threads are told of none."""
    found = [getattr(signal, name) for name in names if hasattr(signal, name)]
    free = [number for number in found if _in_main_thread() and _is_free(signal.getsignal(number))]
    return {number: signal.signal(number, handler) for number in free}


def _is_free(handler: Any) -> bool:
    """Check whether a signal would end the command, and nothing else was made of it."""
    return handler is signal.SIG_DFL or getattr(handler, "__func__", None) is Interruption.leave


def _ends_a_training(handler: Any) -> bool:
    """Check whether what a signal does is done at once: raise, be ignored, or end the process."""
    return handler in (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler, _leave) or isinstance(
        getattr(handler, "__self__", None), Interruption
    )


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
