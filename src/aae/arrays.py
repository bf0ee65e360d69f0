"""What the measurements accept: numpy arrays, torch tensors on any device, or nested lists."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from aae.errors import InputError

ArrayLike: TypeAlias = npt.ArrayLike | Tensor
Array: TypeAlias = npt.NDArray[Any]

UNLABELLED = -1


def as_numpy(values: ArrayLike) -> Array:
    """Bring `values` to numpy; a tensor loses its gradient and its device, and floats of any width become float64.

    Raises
    ------
    InputError
        If values are masked: what stands under a mask is no value.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InputError(f"found {int(np.ma.getmaskarray(values).sum())} masked values, expected none")
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    array = np.asarray(values)
    return array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array


def as_matrix(values: ArrayLike, name: str) -> Array:
    """Bring `values` to a finite float64 matrix (n, columns), each row flattened.

    Raises
    ------
    InputError
        If there are no rows, the rows have no columns, or a value is not finite.
    """
    array = as_numpy(values).astype(np.float64)
    if array.ndim < 2 or array.size == 0:
        raise InputError(f"{name}: found shape {array.shape}, expected (n, columns) with at least one row and column")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: found values that are not finite, expected finite numbers")
    return array.reshape(len(array), -1)


def finite_rows(values: Array, what: str) -> Array:
    """Check what a model makes of rows, (n, ...), before anybody gets to see it; returns it.

    Raises
    ------
    InputError
        If a value is not finite.
    """
    broken = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1)) if values.size else np.arange(0)
    if len(broken):
        raise InputError(
            f"row {broken[0] + 1}: {what} is not finite, in {len(broken)} of {len(values)} rows; expected values like those of "
            "the training rows"
        )
    return values


def as_labels(values: ArrayLike, name: str) -> Array:
    """Bring `values` to a vector (n,) of int64.

    Raises
    ------
    InputError
        If it is not one whole number per row.
    """
    array = as_numpy(values)
    if array.ndim != 1 or not (np.equal(np.mod(array, 1), 0).all() if array.dtype.kind in "biuf" else False):
        raise InputError(f"{name}: found {array.dtype} of shape {array.shape}, expected one whole number per row")
    return array.astype(np.int64)


def same_length(**arrays: Array) -> int:
    """Check that all `arrays` have as many rows, and return how many.

    Raises
    ------
    InputError
        If they differ.
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"rows do not pair up: found {found}, expected equal numbers of rows")
    return next(iter(lengths.values()))


def between(first: Array, last: Array, steps: int) -> Array:
    """Compute points on the straight lines from `first` (n, dim) to `last` (n, dim): (n, steps, dim), both ends included.

    Raises
    ------
    InputError
        If `steps` is smaller than 2.
    """
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 2:
        raise InputError(f"steps is {steps!r}; expected a whole number, 2 or larger")
    shares = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    points: Array = first[:, None] * (1 - shares) + last[:, None] * shares
    return points


def labelled_rows(labels: Array) -> Array:
    """Return the mask (n,) of the rows that have a label, that is, one other than -1.

    Raises
    ------
    InputError
        If no row has a label.
    """
    mask: Array = labels != UNLABELLED
    if not mask.any():
        raise InputError(f"labels: found -1 in all {len(labels)} rows, expected at least one label")
    return mask
