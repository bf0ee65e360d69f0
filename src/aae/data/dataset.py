"""What every source of data becomes: a data set of up to three splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from aae.data.columns import Columns


@dataclass(frozen=True, eq=False)
class Split:
    """Some rows of a data set, with their labels where there are any.

    Attributes
    ----------
    rows : array, (n, *shape)
        ``uint8`` in 0..255 for images, otherwise ``float32`` or ``float64``, finite and within what ``float32`` can hold. A
        memory map, which may be read-only, keeps the type of its file.
    labels : int64 array, (n,), or None
        Class numbers from 0; -1 is an unlabelled row. None when the source has no labels at all.
    ids : array, (n,), or None
        What identifies each row, text or whole numbers: the name of its file, or a cell of a column of identifiers.
    id_column : str
        What these are called in results.
    """

    rows: NDArray[Any]
    labels: NDArray[np.int64] | None = None
    ids: NDArray[Any] | None = None
    id_column: str = "id"

    def __post_init__(self) -> None:
        for name, values in (("labels", self.labels), ("ids", self.ids)):
            if values is not None and values.shape != (len(self.rows),):
                raise ValueError(f"{name}: found shape {values.shape}, expected ({len(self.rows)},)")

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    def take(self, which: NDArray[np.int64] | slice) -> Split:
        """Pick rows with their labels and identifiers.

        Parameters
        ----------
        which : int64 array, (m,), or slice
            Which rows. A slice keeps a memory map; an array of indices copies the rows into memory.

        Returns
        -------
        Split
            The picked rows, in the order of `which`.
        """
        labels, ids = (None if values is None else values[which] for values in (self.labels, self.ids))
        return Split(self.rows[which], labels, ids, self.id_column)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set with its splits.

    Attributes
    ----------
    name : str
        ``"mnist"``, or the name of the file or folder.
    train : Split
        The rows to learn from.
    validation : Split or None
        Rows held out of the training rows for model selection.
    test : Split or None
        Rows to be touched once, at the end.
    shape : tuple of int
        The shape of one row: ``(28, 28)`` a grayscale image, ``(32, 32, 3)`` a colour image, ``(64,)`` plain columns.
    class_names : tuple of str
        Class k is called ``class_names[k]``; empty when there are no labels.
    columns : tuple of str
        The names of the columns of a table, without that of the labels; otherwise empty.
    table : Columns or None
        What the columns are, where not all of them are numbers, or some are covariates, which are the last ones then. Rows hold
        numbers all the same: those of categories, and 1 for true.
    named : bool or None
        Whether the text file that it is of has a line of names.
    """

    name: str
    train: Split
    validation: Split | None
    test: Split | None
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    columns: tuple[str, ...] = ()
    table: Columns | None = None
    named: bool | None = None
