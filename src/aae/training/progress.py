"""Progress: a bar with the time left on a terminal or in a notebook, plain lines on stderr elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

QUIET_SECONDS = 2  # between plain lines


def in_notebook() -> bool:
    """Check whether a notebook shows what the program prints."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel")


class Progress:
    """Shows how far a run is; use as a context manager.

    Parameters
    ----------
    title : str
        What is being trained.
    epochs, steps_per_epoch : int
        Size of the whole run.
    done : int
        Epochs finished before (a resumed run).
    visible : bool
        Whether anything is shown.
    """

    def __init__(self, title: str, epochs: int, steps_per_epoch: int, done: int = 0, *, visible: bool = True) -> None:
        self.title, self.epochs, self.steps_per_epoch, self.done = title, epochs, steps_per_epoch, done
        self._started = time.monotonic()
        self._first = done
        self._printed = 0.0
        self._bar: Bar | None = None
        self._visible = visible
        self._widget: Any = None
        if visible and in_notebook():
            from tqdm.auto import tqdm  # type: ignore[import-untyped]  # a widget there

            self._widget = tqdm(total=epochs * steps_per_epoch, initial=done * steps_per_epoch, desc=title, unit="step")
        elif visible and sys.stderr.isatty():
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            total = epochs * steps_per_epoch
            self._task = self._bar.add_task(title, total=total, completed=done * steps_per_epoch)

    def __enter__(self) -> Self:
        """Start the display."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the display."""
        if self._bar is not None:
            self._bar.stop()
        if self._widget is not None:
            self._widget.close()

    def step(self) -> None:
        """Note one finished step."""
        if self._bar is not None:
            self._bar.advance(self._task)
        if self._widget is not None:
            self._widget.update()

    def warn(self, text: str) -> None:
        """Show a warning about the epoch just finished."""
        self._say(f"warning: epoch {self.done}: {text}")

    def note(self, text: str) -> None:
        """Say something about the whole training."""
        self._say(f"note: {self.title}: {text}")

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, highlight=False)
        elif self._visible:
            print(line, file=sys.stderr)

    def epoch(self, metrics: Mapping[str, float]) -> None:
        """Note one finished epoch and show its metrics."""
        self.done += 1
        text = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in metrics.items())
        if self._bar is not None:
            self._bar.update(self._task, description=f"{self.title} epoch {self.done}/{self.epochs}")
            self._bar.console.print(f"epoch {self.done}: {text}", highlight=False)
        elif self._widget is not None:
            self._widget.set_description(f"{self.title} epoch {self.done}/{self.epochs}")
            self._widget.set_postfix_str(text)
        elif self._visible and (self.done == self.epochs or time.monotonic() - self._printed > QUIET_SECONDS):
            self._printed = time.monotonic()
            each = (time.monotonic() - self._started) / (self.done - self._first)
            left = each * (self.epochs - self.done)
            print(f"{self.title} epoch {self.done}/{self.epochs} ({left:.0f} s left): {text}", file=sys.stderr)
