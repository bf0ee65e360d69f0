"""Rows as they come: checked, filled, scaled, and cut into parts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from torch import Tensor

from aae.data.frames import is_frame
from aae.device import usual_state
from aae.errors import InputError, InputWarning
from aae.estimators.sparse import SparseRows, SparseTable
from aae.scaling import Scaling

Rows = NDArray[Any]  # float32, or float64 where the training rows were
Labels = NDArray[np.int64]
Places = NDArray[np.int64]
Values = NDArray[np.float64]

BATCH = 4096  # rows pushed through the networks at once
SEEDS = np.iinfo(np.int32).max
SHORT = (np.float32, np.float16, np.uint8, np.int8, np.int16, np.bool_)  # which float32 holds without rounding
DTYPES = (np.float64, *SHORT)
ASTRAY = 0.05  # share of the values of a column that may lie far outside the rows that the scaling was made from


def check_form(X: Any) -> None:
    """Check that rows are flat and neither dates nor complex, and that none of their values is masked; InputError otherwise."""
    if np.ma.is_masked(X):
        raise InputError(
            f"X has {int(np.ma.getmaskarray(X).sum())} masked values; expected none: fill them or leave their rows out"
        )
    dtype = getattr(X, "dtype", None)
    kind = getattr(dtype, "kind", "")
    if kind in ("m", "M", "c"):
        what = "Complex data not supported: " if kind == "c" else ""  # as scikit-learn says it
        raise InputError(f"{what}X has values of type {dtype}; expected real numbers")
    if getattr(X, "ndim", 2) > 2:
        raise InputError(
            f"X has shape {tuple(X.shape)}; expected (n_samples, n_features): flatten each row, X.reshape(len(X), -1)"
        )


def check_table(X: Any) -> None:
    """Check that what stands for the rows of a table has rows and columns; InputError otherwise."""
    if X is None or isinstance(X, str):
        raise InputError(f"X is {X!r}; expected a data frame or an array, (n_samples, n_features)")
    if getattr(X, "ndim", 2) != 2:
        raise InputError(
            f"X has shape {tuple(X.shape)}; expected (n_samples, n_features): one row is a table too, X.iloc[:1]"
        )


def check_columns(X: Any) -> None:
    """Check that no column of a data frame holds dates or complex numbers; InputError otherwise, naming the first."""
    for name, dtype in zip(X.columns, X.dtypes, strict=True) if is_frame(X) else ():
        if getattr(dtype, "kind", "") in ("m", "M", "c") or str(dtype).startswith(("Date", "Time", "Duration")):
            raise InputError(f"X: column {str(name)!r} has values of type {dtype}; expected real numbers")


def scale(scaler: Scaling, X: NDArray[Any]) -> NDArray[np.float32]:
    """Scale rows (n, columns); InputError where a value is too far from those of training for float32 then."""
    with usual_state():
        rows = scaler.transform(X)
    if not np.isfinite(rows).all():
        row = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        with np.errstate(over="ignore"):
            far = np.abs((X[row].astype(np.float64) - scaler.offset.numpy()) * scaler.factor.numpy())
        if scaler.bent is not None:
            far[scaler.bent.numpy()] = 0  # as logarithms these are finite
        column = int(np.nanargmax(far))
        raise InputError(
            f"row {row}, column {column} (counted from 0) is {X[row, column]:g}, too far from the rows of training to be "
            "scaled in float32; expected values nearer to those"
        )
    return rows


def scaled(scaler: Scaling, X: Any) -> Tensor:
    """Scale rows to a tensor on the CPU; sparse ones become dense when they are read."""
    if isinstance(X, SparseTable):
        return cast(Tensor, SparseRows(X, scaler))
    return torch.from_numpy(scale(scaler, X))


def batches(rows: Tensor) -> Iterable[Tensor]:
    """Cut scaled rows into parts that are pushed through the networks at once; sparse ones become dense one by one."""
    found: Iterable[Tensor] = rows.split(BATCH)  # type: ignore[no-untyped-call]
    return found


def medians(X: Any, names: Sequence[str] | None = None) -> Values:
    """Compute the median of the known values of each column (n, columns), with its name if it has one.

    Raises
    ------
    InputError
        For a column without any.
    """
    known = ~np.isnan(X)
    empty = np.flatnonzero(~known.any(axis=0))
    if len(empty):
        column = f"{empty[0]} (counted from 0)" if names is None else repr(names[empty[0]])
        raise InputError(f"column {column} has no value in {len(X)} rows; expected some known ones")
    found: Values = np.nanmedian(X, axis=0)
    return found


def filled(X: Any, fill: Values) -> tuple[Any, NDArray[np.bool_]]:
    """Put values (columns,) in the place of missing ones of dense rows (n, columns); tell which are known."""
    if isinstance(X, SparseTable):
        raise InputError("missing is 'mask' and rows are sparse; expected dense rows, in which missing values are NaN")
    observed = ~np.isnan(X)
    return np.where(observed, X, fill).astype(X.dtype), observed


def draw_seed(random_state: Any) -> int:
    """Draw a seed from what scikit-learn takes as a random state."""
    return int(check_random_state(random_state).randint(SEEDS))


def check_place(rows: Tensor, scaler: Scaling, names: Sequence[Any]) -> None:
    """Warn where new rows, scaled, lie far outside those that the scaling was made from."""
    if scaler.low is None or scaler.high is None:
        return
    width = np.maximum(scaler.high - scaler.low, 1)
    low, high = (torch.from_numpy(end) for end in (scaler.low - width, scaler.high + width))
    counts = [((part < low) | (part > high)).sum(0) for part in batches(rows)]
    shares = torch.stack(counts).sum(0).numpy() / len(rows)
    far = np.flatnonzero(shares > ASTRAY)
    if len(far):
        column = int(far[0])
        warnings.warn(
            f"{len(far)} of {len(shares)} columns lie far outside the rows that the scaling was made from, the first of them "
            f"is {names[column]}, {shares[column]:.0%} of it; expected a first fit on rows like all that are to come",
            InputWarning,
            stacklevel=2,
        )
