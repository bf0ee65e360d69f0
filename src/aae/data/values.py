"""Values of the columns of a table, as data frames, sparse matrices and arrays have them: read, named, and what kind they are."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aae.data.checks import check_distinct
from aae.data.formats import list_some
from aae.data.frames import is_frame
from aae.data.labels import MISSING_WORDS, is_nothing
from aae.errors import InputError, note, reason, unknown

Kind = Literal["numerical", "boolean", "categorical", "count"]
MISSING = (*sorted(MISSING_WORDS - {""}), "?")  # words for a missing value in a table, beside nothing
FEW = 20  # values of text may all be different
_ODD = (list, dict, set, np.ndarray, datetime.date, datetime.time, datetime.timedelta)  # that are no categories
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d{0,14})(\.\d+)?")
MAX_CATEGORIES = 1000  # more are no categories, but names of rows


def length(table: Any) -> int:
    """Count the rows of a table."""
    return int(table.shape[0]) if hasattr(table, "shape") else len(table)


@dataclass(frozen=True, eq=False)
class NamedValues:
    """Columns (n,) by name, in order."""

    values: Mapping[str, NDArray[Any]]

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows and columns there are."""
        return len(next(iter(self.values.values()))), len(self.values)


def values_of(table: Any, where: str) -> tuple[list[str], Any]:
    """Return the names of the columns of a table, and a function that reads one of them by its place.

    Raises
    ------
    InputError
        If two columns have the same name, or it is no table.
    """
    if isinstance(table, NamedValues):
        columns = list(table.values.values())
        return list(table.values), columns.__getitem__
    if is_frame(table):
        names = [str(name) for name in table.columns]
        check_distinct(names, where)
        own = list(table.columns)  # which polars makes anew at each look
        return names, lambda k: _of_series(table.iloc[:, k] if hasattr(table, "iloc") else table[own[k]])
    if hasattr(table, "tocsc"):
        sparse = table.tocsc()
        return [str(k) for k in range(table.shape[1])], lambda k: sparse[:, [k]].toarray()[:, 0]
    array = np.asarray(table)
    if array.ndim != 2:
        raise InputError(f"{where}: found shape {array.shape}, expected (n, columns)")
    return [str(k) for k in range(array.shape[1])], lambda k: array[:, k]


def _refuse_masked(covariates: Any) -> None:
    several = list(covariates.values()) if isinstance(covariates, Mapping) else [covariates]
    masked = sum(int(np.ma.getmaskarray(one).sum()) for one in several if np.ma.isMaskedArray(one))
    if masked:
        raise InputError(f"covariates: found {masked} masked values, expected none")


def as_named(covariates: Any) -> NamedValues:
    """Return covariates of training rows by name; InputError where some are masked."""
    _refuse_masked(covariates)
    if isinstance(covariates, Mapping):
        return NamedValues({str(name): _of_any(values) for name, values in covariates.items()})
    if hasattr(covariates, "to_frame") and not is_frame(covariates):
        covariates = covariates.to_frame()  # a column of a data frame
    if not is_frame(covariates):
        covariates = np.asarray(covariates)
        covariates = covariates[:, None] if covariates.ndim == 1 else covariates
    names, values = values_of(covariates, "covariates")
    own = covariates.columns if is_frame(covariates) else range(len(names))  # a name that is a number is none
    names = [name if isinstance(name, str) else f"covariate {name}" for name in own]
    return NamedValues({name: values(k) for k, name in enumerate(names)})


def for_rows(covariates: Any, names: Sequence[str], n: int) -> dict[str, NDArray[Any]]:
    """Return the covariates of `n` rows by name: a value of each, or one for all rows.

    Raises
    ------
    InputError
        If one is missing, masked, unknown or of another number of rows.
    """
    _refuse_masked(covariates)
    if isinstance(covariates, Mapping):
        given = {str(name): np.asarray(values) for name, values in covariates.items()}
    elif is_frame(covariates) or hasattr(covariates, "to_frame"):
        given = dict(as_named(covariates).values)
    else:
        array = np.asarray(covariates)
        if array.ndim == 0:
            array = array[None]
        if array.ndim == 1:
            array = array[:, None] if len(names) == 1 else array[None]
        given = dict(zip(names, array.T, strict=False)) if array.shape[1] == len(names) else {}
    missing = [name for name in names if name not in given]
    if missing:
        form = "none" if isinstance(covariates, Mapping) else f"values of shape {np.shape(covariates)}"
        what = f"{', '.join(given)} and no {', '.join(missing)}" if given else form
        raise InputError(f"covariates: found {what}; expected {', '.join(names)}")
    if isinstance(covariates, Mapping) and set(given) - set(names):
        raise InputError(f"covariates: {unknown('covariate', min(set(given) - set(names)), list(names))}")
    found = {}
    for name in names:
        values = given[name]
        if values.size not in (1, n):
            raise InputError(f"covariates: {name!r} has {values.size} values; expected one, or {n}")
        found[name] = np.repeat(values.reshape(1), n) if values.size == 1 else values.reshape(n)
    return found


class _Categories(np.ndarray):
    """Values that a data frame calls categories."""


def _of_series(series: Any) -> NDArray[Any]:
    """Read a column of a data frame."""
    kind = type(series.dtype).__name__
    if kind in ("CategoricalDtype", "Categorical", "Enum") or str(series.dtype).startswith(("Categorical", "Enum")):
        return np.array(list(series), dtype=object).view(_Categories)
    try:
        values: NDArray[Any] = np.asarray(series)
    except (TypeError, ValueError):
        values = np.array(series.to_list(), dtype=object)
    return values


def as_objects(values: NDArray[Any], where: str) -> NDArray[Any]:
    """Return a column as plain Python values; that which a data frame calls categories stays one."""
    found = np.array(plain_values(values, where), dtype=object)
    return found.view(_Categories) if isinstance(values, _Categories) else found


def _of_any(values: Any) -> NDArray[Any]:
    """Read values (n,): a column of a data frame, its categories, or what else is an array."""
    return _of_series(values) if hasattr(values, "to_list") and hasattr(values, "dtype") else np.asarray(values)


def choose_kind(values: NDArray[Any], where: str) -> Kind:
    """Choose the kind of a column by its type; InputError where no kind has such values."""
    if isinstance(values, _Categories) or values.dtype.kind in "US":
        return "categorical"
    if values.dtype.kind in "iuf":
        return "numerical"
    if values.dtype.kind == "b":
        return "boolean"
    if values.dtype.kind != "O":
        raise InputError(f"{where}: found values of type {values.dtype}, expected numbers, true and false, or text")
    types = {type(value) for value in plain_values(values, where)} - {type(None)}
    if types == {bool}:
        return "boolean"
    return "numerical" if (types and types <= {int, float, bool}) or not types else "categorical"


def plain_values(values: NDArray[Any], where: str) -> list[Any]:
    """Return values as Python has them, None for a missing one; InputError where they are lists or the like."""
    found = np.asarray(values).tolist()
    if values.dtype.kind in "buiUS":
        return list(found)
    plain = [_plain(value) for value in found]
    odd = next((value for value in plain if isinstance(value, _ODD) or type(value).__name__ == "Period"), None)
    if odd is not None:
        raise InputError(
            f"{where}: found values of type {type(odd).__name__}, expected numbers, true and false, or text"
        )
    return [None if is_nothing(value) else value for value in plain]


def fill_gaps(rows: Any, found: Any) -> Any:
    """Return rows (n, columns) with what was found in the place of missing values, and the others as they were.

    Columns keep their type where it can hold what was found.

    Parameters
    ----------
    rows : array-like or data frame, (n, columns)
        Rows as they were given.
    found : array or data frame, (n, columns)
        Rows without gaps, which are returned as they are if `rows` are of another form.
    """
    if not is_frame(found):
        known = np.asarray(rows)
        if known.shape != found.shape or known.dtype.kind not in "fO":
            return found
        gaps = np.stack([_gaps(known[:, k]) for k in range(known.shape[1])], axis=1)
        return np.where(gaps, found, known).astype(known.dtype)
    if type(rows) is not type(found) or list(rows.columns) != list(found.columns):
        return found
    _, values = values_of(rows, "rows")
    made = rows.clone() if hasattr(rows, "clone") else rows.copy()
    for k, name in enumerate(found.columns):
        gaps = _gaps(values(k))
        if not gaps.any():
            continue
        if hasattr(made, "isetitem"):  # of pandas
            made.isetitem(k, _filled_series(rows.iloc[:, k], found.iloc[:, k], gaps))
        else:
            made = made.with_columns(_filled_column(rows[name], found[name], gaps))
    return made


def _gaps(column: NDArray[Any]) -> NDArray[np.bool_]:
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column))
    return np.array([value is None for value in plain_values(column, "rows")], np.bool_)


def _filled_series(known: Any, found: Any, gaps: NDArray[np.bool_]) -> Any:
    """Put values into the gaps of a column of pandas."""
    filled = known.astype(object).where(~gaps, found)
    try:
        typed = filled.astype(known.dtype)
    except (TypeError, ValueError):  # whole numbers that a mean is none of
        return filled.astype(found.dtype)
    return filled if typed.isna().any() else typed  # a category that the type does not have


def _filled_column(known: Any, found: Any, gaps: NDArray[np.bool_]) -> Any:
    """Put values into the gaps of a column of polars."""
    import polars

    filled = [new if gap else old for old, new, gap in zip(known.to_list(), found.to_list(), gaps, strict=True)]
    try:
        return polars.Series(known.name, filled, known.dtype)
    except (TypeError, polars.exceptions.PolarsError):
        return polars.Series(known.name, filled, strict=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return float(value) if isinstance(value, Decimal | Fraction) else value


def as_numbers(values: NDArray[Any], where: str) -> NDArray[np.float64]:
    """Return values (n,) as numbers, NaN for a missing one; InputError where one is no number."""
    if values.dtype.kind in "buif":
        return np.asarray(values, np.float64)
    try:
        numbers: NDArray[np.float64] = np.array(
            [math.nan if value is None else value for value in plain_values(values, where)], np.float64
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: found values that are no numbers ({reason(error)}), expected numbers") from None
    return numbers


def no_counts(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Find the values that are neither missing nor counts."""
    found: NDArray[np.bool_] = (values < 0) | (np.floor(values) != values) & ~np.isnan(values) | np.isinf(values)
    return found


def no_count(value: Any, where: str) -> InputError:
    """Create the error for a value that is no count."""
    return InputError(f"{where}: found {value:g}, expected a count: a whole number, 0 or larger")


def note_missing_categories(categories: Sequence[Any], where: str) -> None:
    """Say which categories are called as a missing value often is."""
    words = [word for word in categories if isinstance(word, str) and word.strip() in {"", *MISSING}]
    if words:
        note(f"{where}: {list_some(map(repr, words))} is read as a category, and not as a missing value")


def find_categories(values: NDArray[Any], where: str) -> tuple[Any, ...]:
    """Find the values of a categorical column, in order; InputError for none, or too many."""
    found = {value for value in plain_values(values, where) if value is not None}
    plain = {value if isinstance(value, str | int | float | bool) else str(value) for value in found}
    if plain != found:
        raise InputError(
            f"{where}: found {list_some(map(repr, found - plain))}, expected categories of text or numbers"
        )
    if not found:
        raise InputError(f"{where}: found no value, expected categories")
    if len(found) > MAX_CATEGORIES:
        raise InputError(
            f"{where}: found {len(found)} different values, expected at most {MAX_CATEGORIES} categories; leave the column "
            "out, or name its kind"
        )
    return tuple(sorted(found, key=lambda value: (isinstance(value, str), value)))


def written(value: Any) -> str:
    """Write a value the same way whatever a format makes of it: 3 for 3, 3.0, "3" and "3.0", and true for True and "TRUE".

    Other decimals stay as they are written: versions 1.1 and 1.10 are two.
    """
    text = str(value).strip()
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = repr(value)
    if text.lower() in ("true", "false"):
        return text.lower()
    if not _NUMBER.fullmatch(text):  # codes such as 007 are names
        return text
    number = float(text)
    return str(int(number)) if number == int(number) else text


def by_writing(known: Sequence[Any]) -> dict[str, int]:
    """Return the places of the values of a column by how they are `written`; none where two are written alike."""
    if set(known) == {False, True}:
        return {"false": 0, "0": 0, "true": 1, "1": 1}
    places = {written(value): place for place, value in enumerate(known)}
    return places if len(places) == len(known) else {}


def check_repeats(values: NDArray[Any], where: str) -> None:
    """Check that text is no name of its row; InputError where all of many values differ."""
    known = [value for value in plain_values(values, where) if value is not None]
    if len(known) > FEW and len(set(known)) == len(known):
        raise InputError(
            f"{where}: found {len(known)} different values in {len(values)} rows, expected numbers, or categories that occur "
            "again; leave the column out, or name its kind"
        )


def find_two(values: NDArray[Any], where: str) -> tuple[Any, ...]:
    """Find the two values of a column of yes and no; none where they are 0 and 1; InputError for others than two."""
    found = {value for value in plain_values(values, where) if value is not None}
    if found <= {0, 1}:
        return ()
    if len(found) != 2:
        raise InputError(
            f"{where}: found {len(found)} different values, such as {list_some(map(repr, sorted(found, key=str)))}, expected two"
        )
    return tuple(sorted(found, key=lambda value: (isinstance(value, str), value)))
