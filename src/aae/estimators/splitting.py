"""Searches over parameters where most rows have no label."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator, StratifiedKFold
from sklearn.utils.validation import check_consistent_length, column_or_1d

from aae.data.anndata import labels_of
from aae.data.labels import UNLABELLED, is_unlabelled
from aae.errors import InputError
from aae.estimators.labels import mark_unlabelled, two_classes
from aae.estimators.rows import Places
from aae.estimators.weights import check_weights


class LabelledKFold(BaseCrossValidator):  # type: ignore[misc]
    """Splitter for few labels among many rows: labelled rows are split into folds, unlabelled ones are always trained on.

    Each fold has as many labelled rows of each class as the others, as far as that goes. Use it with `labelled_accuracy`, or any
    other scorer: the rows of a test fold all have labels.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, 2 or larger.
    unlabelled : label or sequence of them, optional
        What else stands for "no label", as in `SemiSupervisedAAE`.
    shuffle : bool, default=True
        Whether rows are dealt to the folds in random order.
    random_state : int, RandomState or None, default=0
        Decides the order.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from aae import SemiSupervisedAAE
    >>> from aae.estimators import LabelledKFold
    >>> rows, species = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 5 == 0, species, -1)
    >>> search = GridSearchCV(SemiSupervisedAAE(epochs=1), {"latent_dim": [1, 2]}, cv=LabelledKFold(2)).fit(rows, few)
    >>> len(search.cv_results_["params"])
    2
    """

    def __init__(
        self, n_splits: int = 5, *, unlabelled: Any = None, shuffle: bool = True, random_state: Any = 0
    ) -> None:
        self.n_splits, self.unlabelled, self.shuffle, self.random_state = n_splits, unlabelled, shuffle, random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds."""
        return int(self.n_splits)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Places, Places]]:
        """Split rows (n, n_features) with labels (n,), -1 where there is none, into training and test rows.

        Yields
        ------
        train, test : arrays of int
            All unlabelled rows and the labelled ones of the other folds; the labelled ones of this fold.

        Raises
        ------
        InputError
            If there are too few labelled rows.
        """
        if y is None:
            raise InputError("y is None; expected labels, -1 where there is none")
        labels = np.asarray(mark_unlabelled(y, self.unlabelled))
        known = np.arange(len(labels)) if two_classes(y, self.unlabelled) else np.flatnonzero(~is_unlabelled(labels))
        if self.n_splits < 2:
            raise InputError(f"n_splits is {self.n_splits}; expected 2 or larger")
        _, numbers, counts = np.unique(labels[known].astype(str), return_inverse=True, return_counts=True)
        if not len(known) or counts.max() < self.n_splits:
            largest = int(counts.max(initial=0))
            raise InputError(
                f"n_splits is {self.n_splits}; the largest class has {largest} labelled rows, expected as many"
            )
        folds = StratifiedKFold(
            self.n_splits, shuffle=self.shuffle, random_state=self.random_state if self.shuffle else None
        )
        every = np.arange(len(labels))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")  # such a class is missing in some test folds
            for _, test in folds.split(known, numbers):
                yield np.setdiff1d(every, known[test]), known[test]


def labelled_accuracy(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
    """Compute the fraction of the labelled rows whose class is predicted: a scorer that ignores unlabelled rows.

    Parameters
    ----------
    estimator : SemiSupervisedAAE
        Fitted; or any classifier.
    X : array-like, (n_samples, n_features)
        Rows.
    y : array-like, (n_samples,), or str
        Labels, or a column of ``obs`` of an AnnData object; -1, NaN, None, empty text and what the estimator takes for "no
        label" are left out.
    sample_weight : array-like, (n_samples,), optional
        Weights.

    Returns
    -------
    float
        In [0, 1]; NaN, which a search leaves out of its comparison, where no row has a label.

    Raises
    ------
    InputError
        If labels are text and classes are numbers, or the other way round.
    """
    classes = np.asarray(getattr(estimator, "classes_", ()))
    y = labels_of(X, y)
    labels = column_or_1d(np.asarray(mark_unlabelled(y, getattr(estimator, "unlabelled", None), classes)))
    known = np.ones(len(labels), np.bool_) if UNLABELLED in classes else ~is_unlabelled(labels)
    predicted = np.asarray(estimator.predict(X))
    check_consistent_length(predicted, labels)
    if not known.any():
        return float("nan")
    given, found = labels[known].astype(object), predicted[known].astype(object)
    if len({isinstance(one, str) for one in (*given, *found)}) > 1:
        kinds = ["text" if isinstance(one[0], str) else "numbers" for one in (given, found)]
        raise InputError(f"labels are {kinds[0]} and the classes {kinds[1]}; expected labels as fit was given them")
    right = found == given
    weights = check_weights("sample_weight", sample_weight, len(labels))
    return float(np.average(right, weights=None if weights is None else weights[known]))
