"""Rows of a table by the kinds of their columns, and covariates beside them: from what was given to numbers, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import validate_data
from torch import Tensor

from aae.data.anndata import covariates_of, is_anndata, take_apart
from aae.data.checks import check_distinct
from aae.data.columns import Columns, frame_like, library, named_places
from aae.data.formats import list_some
from aae.data.frames import is_frame, known_form
from aae.data.values import NamedValues, as_named, for_rows, length, values_of
from aae.errors import InputError, unknown
from aae.estimators.rows import DTYPES, Rows, batches, check_columns, check_form, check_table, filled, medians
from aae.estimators.sparse import SparseTable, as_table
from aae.likelihoods import relative_counts
from aae.scaling import Scaling, fillings, last_inputs

DENSE_VALUES = 2**26  # of sparse rows that are made dense for what compares them: 256 MiB


class TableRows(BaseEstimator):  # type: ignore[misc]
    """What `fit` found in the columns of its rows, and how other rows follow it.

    Attributes
    ----------
    columns_ : Columns or None
        What the columns are, covariates last; None where all are plain numbers.
    """

    columns_: Columns | None = None
    scaler_: Scaling
    n_features_in_: int
    missing_fill_: NDArray[np.float64]
    _frame: tuple[str, list[Any]] | None = None  # the library and the columns of the data frame that was given
    _named_covariates: list[str] | None = None  # which are columns of X; None where they come beside it, if at all

    def _check_rows(self, X: Any, y: Any, covariates: Any, *, reset: bool, **checks: Any) -> Any:
        """Check rows, and labels where there are some, and bring rows to numbers in the order of `columns_`."""
        X = known_form(X, "X")
        named, hint = X, "auto"
        if is_anndata(X):
            named = X.var[[]].T  # a frame of no rows, whose columns are the variables
            if not reset:
                self._check_variables(list(named.columns))
            X, found, counts = take_apart(X, getattr(self, "layer", None), covariates if reset else None)
            covariates, hint = found if reset else covariates, "count" if counts else "auto"
        if isinstance(X, Tensor):
            X = named = X.detach().cpu().numpy()
        check_form(X)
        if reset:
            self._describe(X, covariates, hint, None if named is X else list(map(str, named.columns)))
        elif is_frame(X):
            check_distinct([str(name) for name in X.columns], "X")
            if self._frame is not None:
                _check_names(list(X.columns), self._frame[1])
        masks = getattr(self, "missing", "error") == "mask"
        checks = {
            "dtype": DTYPES,
            "accept_sparse": "csr",
            "ensure_all_finite": False,  # which is checked here, with the name of the column
            **checks,
        }
        if self.columns_ is None:
            check_columns(X)
            if covariates is not None:
                raise InputError(f"{type(self).__name__} was fitted without covariates; expected none")
            if named is X:
                checked = validate_data(self, X, y, reset=reset, **checks)
            else:
                validate_data(self, named, y, reset=reset, skip_check_array=True)
                checked = _checked(X, y, checks)
            rows, labels = checked if isinstance(checked, tuple) else (checked, None)
            check_finite(rows, getattr(self, "feature_names_in_", None), missing=masks)
            return checked
        check_table(X)
        validate_data(self, named, y, reset=reset, skip_check_array=True)
        inner = self.columns_.inner
        if self._named_covariates:
            order = {name: place for place, name in enumerate(self._names_of(X))}
            absent = [column.name for column in self.columns_.columns if column.name not in order]
            if absent:
                raise InputError(
                    f"X: found no column {absent[0]!r}; expected those of fit, {list_some(self.columns_.names)}"
                )
            places = [order[column.name] for column in self.columns_.columns]
            numbers = self.columns_.encode(_picked(X, places), missing=masks)
        else:
            numbers = inner.encode(X, missing=masks)
        checked = _checked(numbers, y, checks)
        rows, labels = checked if isinstance(checked, tuple) else (checked, None)
        check_finite(rows, self.columns_.names, missing=masks)
        count = self.columns_.covariates
        if count and not self._named_covariates:
            rows = _beside(rows, self._stored_covariates(covariates, rows.shape[0]))
        elif count and covariates is not None and not reset:  # in place of those of the rows
            rows = _beside(rows[:, :-count], self._stored_covariates(covariates, rows.shape[0]))
        elif covariates is not None and not count:
            raise InputError(f"{type(self).__name__} was fitted without covariates; expected none")
        return rows if labels is None else (rows, labels)

    def _check_variables(self, found: list[Any]) -> None:
        """Check that variables of an AnnData object are those of `fit`, in their order."""
        expected = list(getattr(self, "feature_names_in_", found))
        if found == expected:
            return
        absent = [name for name in expected if name not in set(found)]
        what = f"no {absent[0]!r} among them" if absent else f"{len(found)} in another order, or others beside them"
        raise InputError(
            f"X: var_names: found {what}; expected the {len(expected)} of fit in their order, X[:, model.feature_names_in_]"
        )

    def _names_of(self, X: Any) -> list[str]:
        """Name the columns of rows; without names of their own they have those of the data frame of `fit`."""
        if is_frame(X) or self._frame is None:
            return values_of(X, "X")[0]
        return [str(name) for name in self._frame[1]]

    def _decoder_covariates(self, X: Any, covariates: Any) -> Any:
        """Return the covariates that rows are decoded at: those given, or those in ``obs`` of an AnnData object.

        None where the decoder sees none, or they are columns of the rows.

        Raises
        ------
        InputError
            If there are none and the decoder sees some.
        """
        if self.columns_ is None or not self.columns_.covariates or self._named_covariates:
            return covariates
        wanted = self.columns_.outer.names
        if covariates is None:
            covariates = covariates_of(X, wanted)
        elif are_names(covariates):
            found = covariates_of(X, [covariates] if isinstance(covariates, str) else covariates)
            covariates = covariates if found is None else found
        if covariates is None:
            self._covariate_inputs(None, 0)
        return covariates

    def _same_covariates(self, X: Any, covariates: Any) -> Any:
        """Return the covariates of rows that training goes on with; InputError where they are others than in the first fit."""
        names = self._named_covariates
        if not names:
            return self._decoder_covariates(X, covariates)
        given = [covariates] if isinstance(covariates, str) else covariates
        if covariates is not None and not (are_names(covariates) and sorted(given) == sorted(names)):
            found = ", ".join(given) if are_names(covariates) else "values"
            raise InputError(
                f"covariates: found {found}; the first fit had the columns {', '.join(names)}, expected those"
            )
        return None

    def _describe(self, X: Any, covariates: Any, hint: str, names: Sequence[str] | None = None) -> None:
        """Find out what the columns of the training rows are; `names` are those of variables, beside rows without names."""
        self.columns_, self._named_covariates = None, None
        self._frame = (library(X), list(X.columns)) if is_frame(X) else None
        kinds = getattr(self, "columns", "auto")
        if isinstance(kinds, str):
            kinds = hint if kinds == "auto" else kinds
        elif names is not None:
            at = dict(zip(names, range(len(names)), strict=True))
            wrong = [name for name in kinds if name not in at and str(name) not in map(str, range(len(names)))]
            if wrong:
                raise InputError(f"columns: {unknown('variable', str(wrong[0]), list(names)[:50])}")
            others = {} if hint == "auto" else dict.fromkeys(range(len(names)), hint)
            kinds = {**others, **{at.get(name, name): kind for name, kind in kinds.items()}}
        if isinstance(kinds, str) and kinds == "auto" and covariates is None and not is_frame(X):
            return
        if getattr(X, "ndim", 2) != 2 or (not hasattr(X, "shape") and np.ndim(X) != 2):
            return  # which is said by others
        handle_unknown: Any = getattr(self, "handle_unknown", "error")
        if covariates is None or not are_names(covariates):
            found = Columns.choose(X, kinds, handle_unknown)
            outer = Columns(())
            if covariates is not None:
                given = as_named(covariates)
                for name, values in given.values.items():
                    if values.size != length(X):
                        raise InputError(
                            f"covariates: {name!r} has {values.size} values; expected {length(X)}, one for each row, or a "
                            "list of names of columns of X"
                        )
                outer = Columns.choose(given, where="covariates")
                twice = set(outer.names) & set(found.names)
                if twice:
                    raise InputError(
                        f"covariates: found {min(twice)!r}, which is a column of X too; expected other names"
                    )
        else:
            names, _ = values_of(X, "X")
            places = named_places(names, covariates, "covariates")
            if isinstance(kinds, str) and kinds != "auto":
                kinds = {name: kinds for k, name in enumerate(names) if k not in places}
            every = Columns.choose(X, kinds, handle_unknown)
            outer = replace(every, columns=tuple(every.columns[k] for k in places))
            found = replace(every, columns=tuple(c for k, c in enumerate(every.columns) if k not in places))
            self._named_covariates = [column.name for column in outer.columns]
        if not found.columns:
            raise InputError("covariates: found all columns among them, expected others too")
        columns = found.with_covariates(outer) if outer.columns else found
        self.columns_ = None if columns.is_plain else columns

    def _fill_in(self, rows: Any, *, reset: bool) -> tuple[Any, NDArray[np.bool_] | None]:
        """Put what stands in for missing values in their place, where there may be some; tell which are known."""
        rows = as_table(rows)
        if reset and hasattr(self, "missing_fill_"):
            del self.missing_fill_
        if getattr(self, "missing", "error") != "mask" or not (reset or hasattr(self, "missing_fill_")):
            return rows, None
        if reset:
            names = getattr(self, "feature_names_in_", None) if self.columns_ is None else self.columns_.names
            self.missing_fill_ = np.zeros(rows.shape[1]) if isinstance(rows, SparseTable) else medians(rows, names)
            if self.columns_ is not None and not isinstance(rows, SparseTable):
                self.missing_fill_ = fillings(rows, self.columns_.kinds)
        return filled(rows, self.missing_fill_)

    def _stored_covariates(self, covariates: Any, n: int) -> NDArray[np.float64]:
        """Bring covariates of `n` rows to numbers, (n, covariates); 0 without any, where only codes are wanted."""
        assert self.columns_ is not None
        outer = self.columns_.outer
        if covariates is None:
            return np.zeros((n, len(outer)))
        values = for_rows(covariates, outer.names, n)
        rows: NDArray[np.float64] = outer.encode(NamedValues(values), where="covariates")
        return rows

    def _covariate_inputs(self, covariates: Any, n: int) -> Tensor | None:
        """Bring covariates of `n` rows to what the decoder sees, (n, inputs); None for a model without any."""
        if self.columns_ is None or not self.columns_.covariates:
            if covariates is not None:
                raise InputError(f"{type(self).__name__} was fitted without covariates; expected none")
            return None
        if covariates is None:
            expected = ", ".join(self.columns_.outer.names)
            raise InputError(f"covariates is None; the decoder of this model sees {expected}, expected a value of each")
        stored = self._stored_covariates(covariates, n)
        return last_inputs(self.scaler_, len(self.columns_.inner), stored, self.columns_.outer.width)

    def _encoded_part(self, rows: Any, scaler: Scaling | None = None) -> Any:
        """Leave the covariates of scaled rows out; rows that are all counts are brought to one total, with their scaling."""
        columns = self.columns_
        if columns is None:
            return rows
        counted = scaler is not None and set(columns.inner.kinds) == {"count"}
        if not isinstance(rows, Tensor):
            if len(rows) * columns.width > DENSE_VALUES or not (counted or columns.covariates):
                return rows
            rows = torch.cat(list(batches(rows)))
        inner = rows[:, : columns.inner.width]
        if not counted or scaler is None or scaler.shift is None or scaler.gain is None:
            return inner
        shift, gain = (numbers[: columns.inner.width].float() for numbers in (scaler.shift, scaler.gain))
        return relative_counts(inner, shift, gain)

    def _returned(self, rows: Rows, like: Any = None, *, drawn: bool = False) -> Any:
        """Bring numbers (n, columns) back to rows as they were given: an array, or a data frame with the index of `like`."""
        columns, frame = self.columns_, self._frame
        if columns is None:
            if frame is None:
                return rows
            return frame_like(frame[0], frame[1], [rows[:, k] for k in range(rows.shape[1])], like)
        own = columns if self._named_covariates else columns.inner
        values = dict(zip(own.names, own.decode(rows, drawn=drawn), strict=True))
        if frame is not None:
            return frame_like(frame[0], frame[1], [values[str(name)] for name in frame[1]], like)
        # The columns of an array are called by their place.
        ordered = [values[str(k)] if str(k) in values else list(values.values())[k] for k in range(len(values))]
        kind = rows.dtype if all(column.dtype.kind in "buif" for column in ordered) else np.dtype(object)
        made = np.empty((len(rows), len(ordered)), kind)
        for k, column in enumerate(ordered):
            made[:, k] = column
        return made


def check_finite(rows: Any, names: Sequence[Any] | None, *, missing: bool) -> None:
    """Check that numbers (n, columns), dense or sparse, are finite, or NaN where values may be `missing`.

    Raises
    ------
    InputError
        Naming the first column and row of a value that is not.
    """
    values = rows.data if hasattr(rows, "tocoo") else rows
    if values.dtype.kind != "f":
        return
    wrong = np.isinf(values) if missing else ~np.isfinite(values)
    if not wrong.any():
        return
    if hasattr(rows, "tocoo"):
        place = int(wrong.argmax())
        entries = rows.tocoo()
        row, column, value = int(entries.row[place]), int(entries.col[place]), values[place]
    else:
        row, column = (int(one) for one in np.unravel_index(wrong.argmax(), wrong.shape))
        value = rows[row, column]
    name, counted = (column, "both counted") if names is None else (repr(names[column]), "counted")
    what = "NaN" if np.isnan(value) else f"{value:g}"
    hint = "none (missing values need missing='mask')" if np.isnan(value) else "a finite number"
    raise InputError(f"X: column {name}: found {what} in row {row} ({counted} from 0), expected {hint}")


def _checked(X: Any, y: Any, checks: dict[str, Any]) -> Any:
    """Check rows, or rows and labels where there are some."""
    if y is None or isinstance(y, str):
        return check_array(X, input_name="X", **checks)
    return check_X_y(X, y, **checks)


def _check_names(found: list[Any], expected: list[Any]) -> None:
    """Check that columns are called as in `fit`, where names are no text, such as wavelengths; scikit-learn checks text."""
    if found == expected or all(isinstance(name, str) for name in expected):
        return
    # Pandas numbers columns without names from 0.
    unnamed = any(names == list(range(len(names))) for names in (found, expected))
    if unnamed and set(found) != set(expected):  # the same in another order are names
        return
    first, last = (", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "") for names in (found, expected))
    raise InputError(f"X: found the columns {first}; expected those of fit in their order, {last}")


def are_names(covariates: Any) -> bool:
    """Check whether covariates are names of columns rather than values."""
    return isinstance(covariates, str) or (
        isinstance(covariates, Sequence) and all(isinstance(name, str) for name in covariates)
    )


def _picked(X: Any, places: Sequence[int]) -> Any:
    """Choose columns of a data frame, an array or a sparse matrix."""
    if is_frame(X):
        names = list(X.columns)
        return X.iloc[:, list(places)] if hasattr(X, "iloc") else X[[names[k] for k in places]]
    if hasattr(X, "tocsc"):
        return X.tocsc()[:, list(places)].tocsr()
    return np.asarray(X)[:, list(places)]


def _beside(rows: Any, covariates: NDArray[np.float64]) -> Any:
    """Put covariates behind rows."""
    if len(covariates) != rows.shape[0]:
        raise InputError(f"covariates are of {len(covariates)} rows; expected {rows.shape[0]}")
    if hasattr(rows, "tocsc"):
        import scipy.sparse

        return scipy.sparse.hstack([rows, scipy.sparse.csr_array(covariates)]).tocsr()
    return np.hstack([rows, covariates.astype(rows.dtype)])
