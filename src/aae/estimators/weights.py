"""Weights of rows and of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing

from aae.data.anndata import is_anndata
from aae.errors import InputError, unknown
from aae.estimators.rows import Labels
from aae.estimators.sparse import SparseTable

Weights = NDArray[np.float64]

MOST_REPEATS = 10  # whole weights are repetitions of rows up to this mean; with larger ones rows are drawn


def check_weights(
    name: str, weights: Any, n: int, of: str = "row", names: Sequence[Any] | None = None
) -> Weights | None:
    """Check weights of `n` rows, or of something else that has names, (n,): finite, none below zero, some above.

    None stays None.

    Raises
    ------
    InputError
        Saying what is wrong with them.
    """
    if weights is None:
        return None
    if np.ma.is_masked(weights):
        raise InputError(f"{name} has {int(np.ma.getmaskarray(weights).sum())} masked values; expected none")
    try:
        values = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} holds values that are no numbers; expected {n} numbers, 0 or larger") from None
    if values.shape != (n,):
        raise InputError(f"{name} has shape {values.shape}; expected ({n},), one weight for each {of}")
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        place = f"{wrong[0]} (counted from 0)" if names is None else repr(names[int(wrong[0])])
        found = f"{values[wrong[0]]:g} in {of} {place}"
        raise InputError(f"{name} has {found}; expected weights that are finite and 0 or larger")
    if n and not values.any():
        raise InputError(f"{name} is zero for each {of}; expected a weight above zero for some")
    return values


def count_rows(values: Any) -> int:
    """Count the rows of a table, labels or covariates; 0 where these are nothing that has rows."""
    if isinstance(values, list | tuple):
        return len(values)
    shape = values.shape if hasattr(values, "shape") else np.asarray(values).shape
    return int(shape[0]) if shape else 0


def rows_of(values: Any, keep: NDArray[np.int64], n: int) -> Any:
    """Choose some of `n` rows of a table, labels or covariates; what has no value for each of them stays as it is."""
    if isinstance(values, Mapping):
        return {name: rows_of(one, keep, n) for name, one in values.items()}
    if count_rows(values) != n:
        return values
    if not hasattr(values, "shape"):
        values = values if isinstance(values, list | tuple) else np.asarray(values)
    return values[keep] if is_anndata(values) else _safe_indexing(values, keep)


def check_class_weights(class_weight: Any, classes: NDArray[Any], labels: Labels, weights: Weights | None) -> Weights:
    """Find the weight of each class, (n_classes,).

    Parameters
    ----------
    class_weight : "balanced", dict or None
        Weights by class; a class that is not in the dictionary has 1. ``"balanced"``: the number of labelled rows over the
        number of classes and that of the rows of the class, so that all classes count the same.
    classes : array, (n_classes,)
        The classes.
    labels : array of int, (n,)
        Places among the classes, -1 where unlabelled.
    weights : array, (n,), optional
        Weights of the rows.

    Raises
    ------
    InputError
        If a class is none of the classes, or weights are below zero, not finite or zero for all.
    """
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, str):
        labelled = labels >= 0
        counts = np.bincount(
            labels[labelled], None if weights is None else weights[labelled], minlength=len(classes)
        ).astype(np.float64)
        present = counts > 0
        return np.where(present, counts.sum() / (max(1, present.sum()) * np.where(present, counts, 1.0)), 1.0)
    given = dict(class_weight) if isinstance(class_weight, Mapping) else {}
    names = classes.tolist()
    for name in given:
        if name not in names:
            if str(name) in map(str, names):  # a number as text, or the other way round
                raise InputError(f"class in class_weight is {name!r}; expected one of: {', '.join(map(repr, names))}")
            raise unknown("class in class_weight", str(name), map(str, names))
    found = [given.get(name, 1.0) for name in names]
    values = check_weights("class_weight", found, len(names), "class", names)
    assert values is not None
    return values


def row_order(X: NDArray[Any] | SparseTable, labels: Labels | None) -> NDArray[np.int64]:
    """Find an order of rows (n, columns) that depends on their values alone: training then does not depend on how they came.

    It is the order of the first column, then of the second, and so on, which is the same in any unit.
    """
    order = np.arange(len(X)) if labels is None else np.argsort(labels, kind="stable")
    if isinstance(X, SparseTable):
        return np.array(sorted(order.tolist(), key=X.keys().__getitem__), np.int64)
    kind = np.dtype(np.float32 if X.dtype.itemsize <= 2 or X.dtype == np.float32 else np.float64)
    bits = (X.astype(kind) + kind.type(0)).view(f"i{kind.itemsize}")  # -0 is 0
    bits = np.where(bits < 0, ~bits, bits ^ np.iinfo(bits.dtype).min)  # as unsigned numbers in the order of the values
    content = np.ascontiguousarray(bits.astype(f">i{kind.itemsize}")).view(
        np.dtype((np.void, bits.itemsize * X.shape[1]))
    )
    placed: NDArray[np.int64] = order[np.argsort(content[:, 0][order], kind="stable")]
    return placed


def repeat(order: NDArray[np.int64], weights: Weights | None) -> tuple[NDArray[np.int64], Weights | None]:
    """Let rows come as often as their weights say.

    Parameters
    ----------
    order : array of int, (n,)
        The rows in the order in which they are to come.
    weights : array, (n,), optional
        Weight of each row, in the order of the rows themselves.

    Returns
    -------
    array of int, (m,)
        Rows, without those of weight zero, and repeated where weights are whole numbers.
    array or None, (m,)
        The weights with which they are to be drawn; None where all count the same.
    """
    if weights is None:
        return order, None
    order = order[weights[order] > 0]
    drawn = weights[order]
    if (drawn == np.round(drawn)).all() and drawn.mean() <= MOST_REPEATS:
        return np.repeat(order, drawn.astype(np.int64)), None
    return order, None if (drawn == drawn[0]).all() else drawn
