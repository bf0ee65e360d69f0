"""From values as a file holds them to rows and labels that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae.errors import InputError, unknown

BLOCK = 2**22  # values looked at together, so that a memory map is never read whole


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
        The names of the columns, for error messages; empty when they have none.
    """

    where: str
    rows: NDArray[Any]
    labels: NDArray[Any] | None = None
    columns: tuple[str, ...] = ()


def check_rows(part: Part) -> NDArray[Any]:
    """Check the rows of a part and give them their final type.

    Parameters
    ----------
    part : Part
        Its rows are (n, columns), (n, height, width) or (n, height, width, 1 or 3).

    Returns
    -------
    array, (n, *shape)
        Images in ``uint8`` stay as they are; everything else becomes ``float32``. A memory map that needs no other
        type stays one. A last dimension of one colour is dropped.

    Raises
    ------
    InputError
        Not numbers, wrong number of dimensions, no rows, no columns, a value that is not finite.
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
    if rows.ndim == 4:
        if rows.shape[3] not in (1, 3):
            raise InputError(f"{part.where}: found {rows.shape[3]} colours in shape {rows.shape}, expected 1 or 3")
        rows = rows[..., 0] if rows.shape[3] == 1 else rows
    if rows.dtype == np.uint8 and rows.ndim > 2:
        return rows
    if rows.dtype != np.float32:
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, and is reported below
            rows = np.asarray(rows).astype(np.float32)
    step = max(1, BLOCK // rows[0].size)
    for start in range(0, len(rows), step):
        finite = np.isfinite(rows[start : start + step])
        if not finite.all():
            row, *place = (int(i) for i in np.unravel_index(np.argmin(finite), finite.shape))
            raise _not_finite(part, start + row, place)
    return rows


def _not_finite(part: Part, row: int, place: list[int]) -> InputError:
    if part.columns:
        name = f"column {part.columns[place[0]]!r}"
    else:
        name = f"column {place[0]}" if len(place) == 1 else f"pixel {tuple(place)}"
    value = part.rows[(row, *place)]
    return InputError(f"{part.where}: row {row}, {name} (counted from 0): found {value}, expected a finite number")


def check_labels(part: Part) -> NDArray[Any]:
    """Check the labels of a part: one integer or one text per row.

    Returns
    -------
    array, (n,)
        ``int64`` with -1 for unlabelled, or text.

    Raises
    ------
    InputError
        Not one label per row, not integers, below -1.
    """
    labels = part.labels
    assert labels is not None
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (len(part.rows),):
        raise InputError(
            f"{part.where}: found labels of shape {labels.shape}, expected one for each of {len(part.rows)} rows"
        )
    if labels.dtype.kind == "U":
        return labels
    if labels.dtype.kind not in "buif":
        raise InputError(f"{part.where}: found labels of type {labels.dtype}, expected integers or text")
    if labels.dtype.kind == "f":
        _expect(part, labels, np.isfinite(labels) & (labels == np.rint(labels)), "an integer")
    _expect(part, labels, labels >= -1, "a class number, or -1 for unlabelled")
    return labels.astype(np.int64)


def _expect(part: Part, labels: NDArray[Any], good: NDArray[np.bool_], expected: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise InputError(f"{part.where}: label of row {row} (counted from 0): found {labels[row]}, expected {expected}")


def number_classes(
    labels: Sequence[NDArray[Any]], class_names: tuple[str, ...] | None = None
) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """Return the classes numbers 0..K-1 in sorted order, over all the given arrays together.

    Parameters
    ----------
    labels : sequence of arrays, each (n,)
        Checked labels: integers, -1 unlabelled, or text, where an empty text or "-1" is unlabelled.
    class_names : tuple of str, optional
        The classes, when they are known already; class k is ``class_names[k]``.

    Returns
    -------
    numbers : list of int64 arrays, each (n,)
        Class numbers, -1 unlabelled.
    class_names : tuple of str
        The K classes that occur, or the ones that were given.

    Raises
    ------
    InputError
        A label that is none of the given `class_names`.
    """
    together = np.concatenate(labels)
    unlabelled = np.isin(together, ["", "-1"] if together.dtype.kind == "U" else [-1])
    classes, inverse = np.unique(together[~unlabelled], return_inverse=True)
    found = tuple(str(name) for name in classes)
    if class_names is None:
        class_names = found
    position = {name: number for number, name in enumerate(class_names)}
    for name in found:
        if name not in position:
            raise unknown("class", name, class_names)
    numbers = np.full(len(together), -1, np.int64)
    numbers[~unlabelled] = np.array([position[name] for name in found], np.int64)[inverse]
    return np.split(numbers, np.cumsum([len(part) for part in labels])[:-1]), class_names
