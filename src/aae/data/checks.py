"""From values as a file holds them to rows that can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae.data.dataset import Split
from aae.data.labels import Names, check_labels, number_classes
from aae.data.reading import require_memory
from aae.errors import InputError, note

MISSING_HINT = "training with data.missing=mask takes missing values"
BLOCK = 2**22  # values looked at together, so that a memory map is never read whole
_MAPPED = frozenset(["u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])  # types that PyTorch can index as they are


@dataclass(frozen=True, eq=False)
class Part:
    """Rows and labels as a file holds them, not yet checked.

    Attributes
    ----------
    where : str
        The file, and where it helps the key in it, for error messages.
    rows : array
        Any type and shape.
    labels : array or None
        Numbers, or names of classes as text.
    columns : tuple of str
        The names of the columns of a table; empty when they have none.
    ids : array (n,), or None
        What identifies each row, text or whole numbers: the name of its file, or the cell of a column of identifiers.
    id_column : str
        What these are called in results.
    labels_where : str
        As `where`, of the labels, if they lie elsewhere.
    texts : dict of str to array (n,)
        The columns whose values are no numbers; in `rows` there is NaN in their place.
    kinds : dict of str to str
        What the format knows of its columns.
    missing : bool
        Whether values may be missing.
    named : bool, optional
        Whether a text file has a line of names.
    """

    where: str
    rows: NDArray[Any]
    labels: NDArray[Any] | None = None
    columns: tuple[str, ...] = ()
    ids: NDArray[Any] | None = None
    id_column: str = "id"
    labels_where: str = ""
    texts: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    missing: bool = False
    named: bool | None = None


def check_parts(
    parts: list[Part], class_names: tuple[str, ...] | None = None, unlabelled: Names = None
) -> tuple[list[Split], tuple[str, ...]]:
    """Check the rows and labels of parts that belong together, and number their classes.

    Parameters
    ----------
    parts : list of Part
        The first holds the training rows; the others have to be like it.
    class_names : tuple of str, optional
        The classes, when they are known already.
    unlabelled : str, number or several of them, optional
        What stands for "no label", beside what always does.

    Returns
    -------
    splits : list of Split
        One for each part.
    class_names : tuple of str
        The classes; empty where there are no labels.

    Raises
    ------
    InputError
        As for `check_rows`, `check_labels` and `number_classes`, or parts of different shapes or types.
    """
    rows = [check_rows(part) for part in parts]
    for part, own in zip(parts, rows, strict=True):
        if (own.shape[1:], own.dtype) != (rows[0].shape[1:], rows[0].dtype):
            raise InputError(
                f"{part.where}: found rows of shape {own.shape[1:]} and type {own.dtype}, "
                f"expected {rows[0].shape[1:]} and {rows[0].dtype} like the training rows"
            )
    labels = {
        index: check_labels(part.labels, len(part.rows), part.labels_where or part.where, unlabelled)
        for index, part in enumerate(parts)
        if part.labels is not None
    }
    numbers, names = number_classes(list(labels.values()), class_names) if labels else ([], ())
    numbered = dict(zip(labels, numbers, strict=True))
    splits = [
        Split(own, numbered.get(index), part.ids, part.id_column)
        for index, (part, own) in enumerate(zip(parts, rows, strict=True))
    ]
    return splits, names


def check_rows(part: Part) -> NDArray[Any]:
    """Check the rows of a part and give them their final type.

    Parameters
    ----------
    part : Part
        Its rows are (n, columns), (n, height, width) or (n, height, width, 1 or 3).

    Returns
    -------
    array, (n, *shape)
        Images in ``uint8`` and memory maps of types that PyTorch can index stay as they are. Everything else becomes
        ``float32`` where that holds every value of its type, and otherwise ``float64``, as time stamps and identifiers would
        not survive ``float32``. A last dimension of one colour is dropped.

    Raises
    ------
    InputError
        Not numbers, wrong number of dimensions, no rows, no columns, a value that is not finite or beyond ``float32``, in
        which networks compute.
    """
    rows = part.rows
    if rows.dtype.kind not in "buif":
        raise InputError(f"{part.where}: found values of type {rows.dtype}, expected numbers")
    if not 2 <= rows.ndim <= 4:
        raise InputError(
            f"{part.where}: found {rows.ndim} dimensions {rows.shape}, "
            "expected (rows, columns), (rows, height, width) or (rows, height, width, colours)"
        )
    if len(rows) == 0:
        raise InputError(f"{part.where}: found no rows, expected at least one")
    if rows.size == 0:
        raise InputError(f"{part.where}: found no columns in shape {rows.shape}, expected at least one")
    rows = colours_last(rows, part.where)
    if are_images(rows):
        return rows
    mapped = isinstance(rows, np.memmap) and rows.dtype.isnative and rows.dtype.str[1:] in _MAPPED
    final = rows.dtype if mapped else np.dtype(np.float32 if np.can_cast(rows.dtype, np.float32) else np.float64)
    if rows.dtype != final:
        require_memory(rows.size * final.itemsize, part.where)
        rows = np.asarray(rows).astype(final)
    check_finite(rows, part.where, part.columns, missing=part.missing)
    return rows


def colours_last(rows: NDArray[Any], where: str) -> NDArray[Any]:
    """Bring images with colours to (n, height, width, 3), or (n, height, width) with one; other rows stay as they are.

    Images as PyTorch stores them, (n, 1 or 3, height, width), are turned round with a note.

    Raises
    ------
    InputError
        If there are other than 1 or 3 colours.
    """
    if rows.ndim != 4:
        return rows
    if rows.shape[3] not in (1, 3) and rows.shape[1] in (1, 3):
        note(
            f"{where}: found colours first in shape {rows.shape}; read as {(len(rows), *rows.shape[2:], rows.shape[1])}"
        )
        rows = np.moveaxis(rows, 1, 3)
    if rows.shape[3] not in (1, 3):
        raise InputError(
            f"{where}: found {rows.shape[3]} colours in shape {rows.shape}, expected 1 or 3, in the last place or right after n"
        )
    return rows[..., 0] if rows.shape[3] == 1 else rows


def are_images(rows: NDArray[Any]) -> bool:
    """Check whether rows (n, ...) are images of 8 bits, from black, 0, to white, 255; plain columns of bytes are not."""
    return rows.dtype == np.uint8 and rows.ndim > 2


def check_finite(
    rows: NDArray[Any], where: str, columns: Sequence[str] = (), start: int = 0, *, missing: bool = False
) -> None:
    """Check that rows (n, ...) are finite and within ``float32``, in which networks compute.

    Parameters
    ----------
    rows : array, (n, ...)
        Any type of number.
    where : str
        What they are, for the message.
    columns : sequence of str
        The names of their columns, where they have some.
    start : int
        The number of the first row.
    missing : bool
        Whether values may be missing, NaN.

    Raises
    ------
    InputError
        The first value that is not, by row and column.
    """
    if rows.dtype.kind != "f" or not rows.size:
        return
    step = max(1, BLOCK // rows[0].size)
    for first in range(0, len(rows), step):
        block = rows[first : first + step]
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(block.astype(np.float32, copy=False)) | (missing & np.isnan(block))
        if not finite.all():
            row, *place = (int(i) for i in np.unravel_index(np.argmin(finite), finite.shape))
            raise _not_finite(block[(row, *place)], where, columns, start + first + row, place)


def _not_finite(value: Any, where: str, columns: Sequence[str], row: int, place: list[int]) -> InputError:
    if len(columns):
        name = f"column {columns[place[0]]!r}"
    else:
        name = f"column {place[0]}" if len(place) == 1 else f"pixel {tuple(place)}"
    expected = "a number up to 3.4e38, the largest of float32" if np.isfinite(value) else "a finite number"
    if np.isnan(value) and len(place) == 1:
        expected += f"; {MISSING_HINT}"
    return InputError(f"{where}: row {row}, {name} (counted from 0): found {value}, expected {expected}")


def check_distinct(names: Sequence[str], where: str, what: str = "columns", hint: str = "") -> None:
    """Check that no two columns, or whatever `what` says, have the same name; InputError where some have."""
    if len(set(names)) < len(names):
        name, times = Counter(names).most_common(1)[0]
        raise InputError(f"{where}: found {times} {what} called {name!r}, expected each name once{hint}")
