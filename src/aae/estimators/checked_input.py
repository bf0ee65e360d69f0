"""Rows, labels, weights and validation rows as they are given to `fit`, checked."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_consistent_length, column_or_1d

from aae.arrays import UNLABELLED
from aae.data.anndata import is_anndata, labels_of
from aae.data.frames import known_form
from aae.errors import InputError, InputWarning, reason
from aae.estimators.building import ModelBuilder
from aae.estimators.labels import find_classes, mark_unlabelled, number_labels, two_classes
from aae.estimators.rows import Labels
from aae.estimators.tables import are_names
from aae.estimators.use import FittedModel
from aae.estimators.validation import Validation
from aae.estimators.weights import Weights, check_weights, count_rows, rows_of


class CheckedInput(ModelBuilder, FittedModel):
    """Base of the estimators: checks of what they are fitted to."""

    classes_: NDArray[Any]
    _observed: NDArray[np.bool_] | None  # which values are known, while fitting
    _given_rows: int  # how many were given then
    _counted: NDArray[np.int64] | None  # the rows whose weight is above 0, while fitting, where some have weight 0

    def _leave_out(self, X: Any, y: Any, sample_weight: Any, covariates: Any) -> tuple[Any, Any, Weights | None, Any]:
        """Leave rows of weight 0 out of rows, labels, weights and covariates; `_counted` are the places of the others."""
        self._counted, self._given_rows = None, 0
        if sample_weight is None:
            return X, y, None, covariates
        X = known_form(X, "X")
        n = self._given_rows = count_rows(X)
        weights = check_weights("sample_weight", sample_weight, n)
        assert weights is not None
        keep = np.flatnonzero(weights)
        if len(keep) == 1:
            raise InputError("sample_weight leaves one row; expected at least two with a weight above zero")
        if len(keep) == n or not (y is None or count_rows(y) == n):
            return X, y, weights, covariates
        self._counted = keep
        names = covariates is not None and (isinstance(covariates, str) or are_names(covariates))
        return (
            rows_of(X, keep, n),
            rows_of(y, keep, n),
            weights[keep],
            covariates if names else rows_of(covariates, keep, n),
        )

    @contextmanager
    def _without_the_rest(self) -> Iterator[None]:
        """Let errors say that rows of weight 0 are left out, where some are."""
        try:
            yield
        except InputError as error:
            if self._counted is None:
                raise
            raise InputError(f"{error}; rows of weight 0 are left out, and not counted") from None

    def _check_fit(
        self,
        X: Any,
        y: Any = "no_validation",
        *,
        incremental: bool,
        unlabelled: Any = None,
        classes: Any = (),
        covariates: Any = None,
    ) -> Any:
        """Check rows, and labels where there are some, for training."""
        if incremental:
            covariates = self._same_covariates(X, covariates)
        if y is not None and not isinstance(y, str):
            y = mark_unlabelled(y, unlabelled, classes)
        with self._without_the_rest():
            checked = self._check_rows(X, y, covariates, reset=not incremental, ensure_min_samples=2)
            rows, labels = checked if isinstance(checked, tuple) else (checked, None)
            rows, self._observed = self._fill_in(rows, reset=not incremental)
        return rows if labels is None else (rows, labels)

    def _check_labelled(
        self, X: Any, y: Any, classes: Any = None, *, incremental: bool, covariates: Any = None
    ) -> tuple[Any, Labels]:
        """Check rows and labels for training, and number the labels among `classes_`, -1 where unlabelled.

        `classes_` is found in the labels, or in `classes`, all there will be; training that goes on has it already.
        """
        if isinstance(y, str):
            raise InputError(f"y is the text {y!r}; expected the labels of the rows, one for each")
        name = getattr(self, "unlabelled", None)
        both = UNLABELLED in self.classes_ if incremental else two_classes(y if classes is None else classes, name)
        known = [UNLABELLED, 1] if both else []
        rows, given = self._check_fit(
            X, y, incremental=incremental, unlabelled=name, classes=known, covariates=covariates
        )
        declared = given if classes is None else mark_unlabelled(classes, name, known)
        found = find_classes(declared, both=both)
        if not incremental:
            self.classes_ = found
            if both and classes is None:
                warnings.warn(
                    "labels are -1 and 1 alone, and both are taken for classes; if -1 marks unlabelled rows, there is one class",
                    InputWarning,
                    stacklevel=5,
                )
        elif classes is not None and found.tolist() != self.classes_.tolist():
            raise InputError(f"classes are {found.tolist()}; the first call had {self.classes_.tolist()}")
        if self._label_informed and not len(self.classes_):
            raise InputError(
                f"label_informed is set and all {len(given)} rows are unlabelled; expected labels for some"
            )
        if incremental and not len(self.classes_) and len(found):
            raise InputError(
                "labels: a warm start goes on without classes; expected -1 for every row, as in the first fit"
            )
        return rows, number_labels(given, self.classes_)

    def _check_validation(self, validation_data: Any, covariates: Any = None) -> Validation | None:
        """Check validation rows, or rows and labels, given to `fit`, the last of them covariates where these are not columns."""
        if validation_data is None:
            return None
        labelled, beside = self._validates_labels, None
        if covariates is not None and not self._named_covariates:
            given = validation_data if isinstance(validation_data, tuple) else (validation_data,)
            if len(given) == 1 + labelled and is_anndata(given[0]):
                given = (*given, self._decoder_covariates(given[0], None))
            if len(given) != 2 + labelled:
                raise InputError("validation_data: expected a tuple whose last part are the covariates of its rows")
            *rest, beside = given
            validation_data = tuple(rest) if labelled else rest[0]
        if labelled != (isinstance(validation_data, tuple | list) and len(validation_data) == 2):
            raise InputError(f"validation_data: expected {'a pair of rows and labels' if labelled else 'rows'}")
        X, y = validation_data if labelled else (validation_data, None)
        try:
            y = labels_of(X, y)
            if y is not None:
                y = mark_unlabelled(y, getattr(self, "unlabelled", None), self.classes_)
            outside = covariates is not None and not self._named_covariates
            checked, observed = self._filled(X, beside if outside else None)
            if y is None:
                return Validation(checked, None, observed)
            given = column_or_1d(y)
            check_consistent_length(checked, given)
            numbers = number_labels(given, self.classes_)
            if not self._scores_labels and (numbers < 0).any():
                raise InputError("found unlabelled rows (-1), expected a label for every row")
            return Validation(checked, numbers, observed)
        except ValueError as error:
            raise InputError(f"validation_data: {reason(error)}") from None

    @property
    def _validates_labels(self) -> bool:
        """Whether validation rows come with labels."""
        return self._num_classes > 0

    @property
    def _scores_labels(self) -> bool:
        """Whether it is the labels of validation rows that count, rather than the rows themselves."""
        return False
