"""Rows that lie in a file, read in the background before the step that needs them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

STEPS = 16
"""How far ahead of a step its rows are read, at least, in steps."""


class Prefetch:
    """Reads the rows of coming mini-batches, so that a step finds them in memory and does not wait for the disk.

    Nothing is kept and no step depends on it: what a memory map reads once stays in the page cache of the system for a while.
    To be used as a context, which ends the reading.

    Parameters
    ----------
    read : callable, optional
        Reads the rows of the given indices, an int64 array (n,). Not given: there is nothing to read ahead.
    order : Tensor of int64, (steps, ...)
        Mini-batches in the order in which they will be used.
    """

    def __init__(self, read: Callable[[NDArray[np.int64]], object] | None, order: Tensor) -> None:
        self._read, self._order, self._asked = read, order, 0
        self._thread = ThreadPoolExecutor(1)  # starts with the first request

    def reach(self, step: int) -> None:
        """Announce that `step` (counted from 0) is about to begin; requests the rows of the next ones where they are due."""
        if self._read is None or step + STEPS < self._asked:
            return
        start = max(self._asked, step + 1)
        self._asked = step + 2 * STEPS
        for indices in self._order[start : self._asked]:
            self._thread.submit(self._read, indices.flatten().numpy())

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
