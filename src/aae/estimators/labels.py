"""Labels as people write them, and as the models number them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets

from aae.arrays import UNLABELLED
from aae.data.labels import is_unlabelled, label_values, names_of, note_missing_words
from aae.errors import InputError


def mark_unlabelled(y: Any, name: Any = None, classes: Any = ()) -> Any:
    """Write -1 for whatever stands for "no label" among labels, so that scikit-learn's checks take them.

    Parameters
    ----------
    y : array-like, (n,) or (n, 1)
        Numbers, text or objects, among them -1, ``"-1"``, NaN, None, NA and the empty text (see `aae.data.is_unlabelled`).
    name : str, number or several of them, optional
        What else stands for "no label".
    classes : sequence, optional
        The classes, where they are known; where -1 is one of them it marks nothing.

    Returns
    -------
    array
        Numbers, or objects where labels are text. What is no array of labels is returned as it is.

    Raises
    ------
    InputError
        If labels are of several types, or one is missing where -1 is a class.
    """
    labels = _decoded(label_values(y))
    if labels.dtype.kind not in "biufUSO" or labels.ndim not in (1, 2) or hasattr(y, "toarray"):
        return y
    if labels.dtype.kind == "b":
        return labels
    missing = is_unlabelled(labels, name)
    if UNLABELLED in classes:
        if (missing & (labels != UNLABELLED)).any():
            raise InputError("a label is missing, and -1 is one of the classes; expected a label for every row")
        return labels
    if labels.dtype.kind in "OUS":
        values = labels[~missing].tolist()
        told = names_of(name)
        texts = [value for value in labels[missing].tolist() if isinstance(value, str) and value not in told]
        note_missing_words(np.array(texts, object))
        numbers = bool(values) and all(isinstance(value, int | float | np.number) for value in values)
        if labels.dtype.kind == "O" and not numbers and not all(isinstance(value, str) for value in values):
            kinds = ", ".join(sorted({type(value).__name__ for value in values}))
            raise InputError(f"labels are of the types {kinds}; expected numbers, or text")
        if not numbers and not missing.any():
            return labels
        marked = np.empty(labels.shape, np.asarray(values).dtype if numbers else object)
        if marked.dtype.kind == "b":
            marked = marked.astype(object if missing.any() else bool)
        marked[~missing] = values
    else:
        marked = labels.astype(np.int64) if labels.dtype.kind == "u" and missing.any() else labels.copy()
    if missing.any():
        marked[missing] = UNLABELLED
    return marked


def _decoded(labels: NDArray[Any]) -> NDArray[Any]:
    """Return text of variable width as objects, and bytes as the text that they encode."""
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "backslashreplace")
    if labels.dtype.kind == "O" and any(isinstance(label, bytes) for label in labels.ravel().tolist()):
        texts = [
            label.decode("utf-8", "backslashreplace") if isinstance(label, bytes) else label
            for label in labels.ravel().tolist()
        ]
        labels = np.array([*texts, None], object)[:-1].reshape(labels.shape)
    return labels.astype(object) if labels.dtype.kind == "T" else labels


def two_classes(y: Any, name: Any = None) -> bool:
    """Check whether labels are the numbers -1 and 1 alone: two classes, for if -1 marked unlabelled rows there would be one."""
    labels = label_values(y)
    both = labels.dtype.kind in "if" and set(np.unique(labels).tolist()) == {UNLABELLED, 1}
    return both and bool((is_unlabelled(labels, name) == (labels == UNLABELLED)).all())


def find_classes(y: NDArray[Any], *, both: bool = False) -> NDArray[Any]:
    """List the classes among labels (n,), sorted, without -1 unless `both` -1 and 1 are classes.

    Raises
    ------
    ValueError
        If the labels are not those of classes, such as numbers with fractions.
    """
    labelled = y if both else y[~is_unlabelled(y)]
    if labelled.dtype == object:
        labelled = np.array(labelled.tolist())
    if len(labelled):
        check_classification_targets(labelled)
    classes: NDArray[Any] = np.unique(labelled)
    return classes


def number_labels(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """Turn labels (n,) into their places among the `classes`, with -1 where there is no label.

    Raises
    ------
    InputError
        If a label is none of the classes.
    """
    known = np.ones(len(y), np.bool_) if UNLABELLED in classes else ~is_unlabelled(y)
    places = {label: place for place, label in enumerate(classes.tolist())}
    numbers = np.full(len(y), UNLABELLED, dtype=np.int64)
    try:
        numbers[known] = [places[label] for label in y[known].tolist()]
    except KeyError as error:
        expected = ", ".join(map(repr, classes.tolist()))
        label = error.args[0]
        label = label.item() if isinstance(label, np.generic) else label
        raise InputError(f"label is {label!r}; expected one of: {expected}") from None
    return numbers


def wanted_labels(label: Any, n: int, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Number the label that all `n` rows are to have, or the labels (n,) of each.

    Raises
    ------
    InputError
        If a label is none of the classes, or there is not one for each row.
    """
    labels = _decoded(np.asarray(label))
    if labels.ndim == 0:
        labels = np.repeat(labels, n)
    elif labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (n,):
        raise InputError(f"labels have shape {labels.shape}; expected one label, or {n} of them")
    numbers = number_labels(labels, classes)
    if (numbers == UNLABELLED).any():
        missing = labels[numbers == UNLABELLED].tolist()[0]
        raise InputError(f"label is {missing!r}; expected one of: {', '.join(map(repr, classes.tolist()))}")
    return numbers
