"""Labels as people write them, and as the models number them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets

from aae.arrays import UNLABELLED
from aae.errors import InputError


def refuse_gaps(y: Any) -> None:
    """Check that a pandas column of labels has no missing ones, which it writes in ways of its own.

    Raises
    ------
    InputError
        If it has some.
    """
    if hasattr(y, "isna") and np.asarray(y.isna()).any():
        raise InputError("y has missing values; expected labels, or -1 for unlabelled rows")


def is_labelled(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of the labels (n,) are not -1.

    Raises
    ------
    InputError
        If `y` holds None, or strings among which -1 has become ``"-1"``.
    """
    if y.dtype.kind in "US":
        if (y == np.array(str(UNLABELLED), y.dtype)).any():
            raise InputError("y holds the string '-1'; to mark rows as unlabelled use dtype object and the number -1")
        return np.ones(len(y), np.bool_)
    if y.dtype == object and any(label is None for label in y):
        raise InputError("y holds None; expected labels, or -1 for unlabelled rows")
    return np.asarray(y != UNLABELLED, np.bool_)


def find_classes(y: NDArray[Any]) -> NDArray[Any]:
    """List the classes among labels (n,), sorted, without -1.

    Raises
    ------
    ValueError
        If the labels are not those of classes, such as numbers with fractions.
    """
    labelled = y[is_labelled(y)]
    if len(labelled):
        check_classification_targets(labelled)
    classes: NDArray[Any] = np.unique(labelled)
    return classes


def number_labels(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """Turn labels (n,) into their places among the `classes`, with -1 where they are -1.

    Raises
    ------
    InputError
        If a label is none of the classes.
    """
    known = is_labelled(y)
    places = {label: place for place, label in enumerate(classes.tolist())}
    numbers = np.full(len(y), UNLABELLED, dtype=np.int64)
    try:
        numbers[known] = [places[label] for label in y[known].tolist()]
    except KeyError as error:
        expected = ", ".join(map(repr, classes.tolist()))
        raise InputError(f"label is {error.args[0]!r}; expected one of: {expected}") from None
    return numbers


def wanted_labels(label: Any, n: int, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Number the label that all `n` rows are to have, or the labels (n,) of each.

    Raises
    ------
    InputError
        If a label is none of the classes, or there is not one for each row.
    """
    labels = np.asarray(label)
    if labels.ndim == 0:
        labels = np.repeat(labels, n)
    if labels.shape != (n,):
        raise InputError(f"labels have shape {labels.shape}; expected one label, or {n} of them")
    numbers = number_labels(labels, classes)
    if (numbers == UNLABELLED).any():
        raise InputError(f"label is -1; expected one of: {', '.join(map(repr, classes.tolist()))}")
    return numbers
