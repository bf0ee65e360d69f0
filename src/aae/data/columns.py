"""Columns of a table by their kinds: which there are, how they become numbers, and how numbers become values again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aae.data.checks import MISSING_HINT
from aae.data.formats import list_some
from aae.data.frames import is_frame
from aae.data.values import (
    Kind,
    as_numbers,
    by_writing,
    check_repeats,
    choose_kind,
    find_categories,
    find_two,
    length,
    no_count,
    no_counts,
    note_missing_categories,
    plain_values,
    values_of,
    written,
)
from aae.errors import InputError, unknown
from aae.likelihoods import KINDS

KindOption: TypeAlias = str | Mapping[Any, str]
"""``"auto"``, a kind for all columns, or kinds by the names of columns, where those that are not named are chosen."""
UNKNOWN = -1.0  # the number of a category that training did not see


class CodedRows(np.ndarray):
    """Rows (n, columns) of a table by kind whose values are numbers already, as data sets hold them."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
        What it is called; its place, counted from 0, where it has no name.
    kind : str
        ``"numerical"``, ``"boolean"``, ``"categorical"`` or ``"count"``.
    categories : tuple
        The values of a categorical column in order, or the two of one of yes and no that are not called so.
    """

    name: str
    kind: Kind = "numerical"
    categories: tuple[Any, ...] = ()

    @property
    def levels(self) -> int:
        """How many categories a categorical column has, otherwise 0."""
        return len(self.categories) if self.kind == "categorical" else 0


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are, found in the training rows.

    Attributes
    ----------
    columns : tuple of Column
        In order.
    handle_unknown : {"error", "unknown"}
        What becomes of a category that training did not see.
    likelihood : bool
        Whether numbers have a variance each even where there is nothing else.
    covariates : int
        How many of them, the last ones, are covariates: the decoder sees them beside the code, and the encoder does not.
    places : tuple of int
        The place that each had in the table, where covariates were not the last there.
    """

    columns: tuple[Column, ...]
    handle_unknown: Literal["error", "unknown"] = "error"
    likelihood: bool = False
    covariates: int = 0
    places: tuple[int, ...] = ()

    @classmethod
    def choose(
        cls,
        table: Any,
        kinds: KindOption = "auto",
        handle_unknown: Literal["error", "unknown"] = "error",
        *,
        where: str = "X",
    ) -> Columns:
        """Find out what the columns of a table are.

        Without being told it goes by types: true and false are ``"boolean"``; text, and what a data frame calls categories, is
        ``"categorical"``; all other numbers are ``"numerical"``, whole ones too, as no type tells counts from grades or codes.

        Parameters
        ----------
        table : data frame, or array-like or sparse matrix, (n, columns)
            Training rows.
        kinds : str or mapping
            ``"auto"``, a kind for all columns, or a mapping from names (or places) of columns to kinds.
        handle_unknown : {"error", "unknown"}
            What becomes of a category that training did not see: an error, or no category at all.
        where : str
            What to call the table in messages.

        Raises
        ------
        InputError
            An unknown kind or column, or values that are none of their kind.
        """
        names, values = values_of(table, where)
        wanted = _wanted(kinds, names, where)
        found = []
        for k, name in enumerate(names):
            kind = wanted.get(k)
            if kind is None or kind in ("boolean", "categorical"):
                column = values(k)
                kind = kind or choose_kind(column, f"{where}: column {name!r}")
            if kind == "categorical" and k not in wanted:
                check_repeats(column, f"{where}: column {name!r}")
            if kind == "categorical":
                categories = find_categories(column, f"{where}: column {name!r}")
                note_missing_categories(categories, f"{where}: column {name!r}")
                found.append(Column(name, kind, categories))
            elif kind == "boolean":
                found.append(Column(name, kind, find_two(column, f"{where}: column {name!r}")))
            else:
                found.append(Column(name, kind))
        return cls(tuple(found), handle_unknown, kinds != "auto")

    def __len__(self) -> int:
        """Count the columns."""
        return len(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(column.name for column in self.columns)

    @property
    def names_in_table(self) -> tuple[str, ...]:
        """Their names in the order that they had in the table."""
        if not self.places:
            return self.names
        return tuple(name for _, name in sorted(zip(self.places, self.names, strict=True)))

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Their kinds."""
        return tuple(column.kind for column in self.columns)

    @property
    def levels(self) -> tuple[int, ...]:
        """The numbers of their categories, 0 where they have none."""
        return tuple(column.levels for column in self.columns)

    @property
    def are_numbers(self) -> bool:
        """Whether all are numerical."""
        return set(self.kinds) <= {"numerical"}

    @property
    def width(self) -> int:
        """How many inputs they have: one each, or as many as a categorical one has categories."""
        return sum(max(1, levels) for levels in self.levels)

    @property
    def is_plain(self) -> bool:
        """Whether all are numbers with half the squared error, and none is a covariate: nothing needs to know of columns."""
        return not self.covariates and self.inner.are_numbers and not self.likelihood

    @property
    def inner(self) -> Columns:
        """Those that are encoded and decoded."""
        return replace(self, columns=self.columns[: len(self.columns) - self.covariates], covariates=0, places=())

    @property
    def outer(self) -> Columns:
        """Those that are covariates. A level that training did not see is always an error."""
        own = self.columns[len(self.columns) - self.covariates :]
        return Columns(own, "error", False, 0)

    def with_covariates(self, outer: Columns) -> Columns:
        """Put covariates behind these; one of counts or grades is a number there."""
        numbers = (replace(column, kind="numerical") if column.kind == "count" else column for column in outer.columns)
        return replace(self, columns=(*self.inner.columns, *numbers), covariates=len(outer))

    def order(self, names: Sequence[str]) -> list[int]:
        """Find the places of these columns among `names`."""
        return [names.index(column.name) for column in self.columns]

    def encode(self, table: Any, *, missing: bool = False, where: str = "X") -> Any:
        """Bring values to numbers: numbers and counts as they are, true to 1, categories to their number from 0.

        Parameters
        ----------
        table : data frame, or array-like or sparse matrix, (n, columns)
            Values. Those of a data frame are in the order of these columns already.
        missing : bool
            Whether values may be missing, but for covariates; they become NaN.
        where : str
            What to call the table in messages.

        Returns
        -------
        array, (n, columns)
            Floats; a sparse matrix stays one.

        Raises
        ------
        InputError
            A value that is none of its kind, an unknown category, or a missing value, by column and value.
        """
        names, values = values_of(table, where)
        if len(names) != len(self.columns):
            raise InputError(f"{where}: found {len(names)} columns, expected {len(self.columns)}")
        sparse = hasattr(table, "tocsc")
        if not sparse and not is_frame(table) and set(self.kinds) == {"count"}:
            array = np.asarray(table)
            if array.dtype.kind in "buif":
                array = array if array.dtype.kind == "f" else array.astype(np.float64)
                self._check_counts(array, where)
                return array
        rows = None if sparse else np.empty((length(table), len(names)))
        changed: dict[int, NDArray[np.float64]] = {}
        for k, column in enumerate(self.columns):
            if sparse and column.kind == "numerical":
                continue
            outer = where == "covariates" or k >= len(self.columns) - self.covariates
            numbers = self._encode(column, values(k), f"{where}: column {column.name!r}", strict=outer)
            if (outer or not missing) and np.isnan(numbers).any():
                row = int(np.isnan(numbers).argmax())
                hint = "missing values need missing='mask'" if where == "X" else MISSING_HINT
                hint = "covariates are to be known" if outer else hint
                raise InputError(
                    f"{where}: column {column.name!r}: found a missing value in row {row} (counted from 0), "
                    f"expected none ({hint})"
                )
            if rows is not None:
                rows[:, k] = numbers
            elif column.kind in ("boolean", "categorical"):
                changed[k] = numbers
        if rows is not None:
            return rows
        return _with_columns(table, changed) if changed else table

    def _check_counts(self, rows: NDArray[Any], where: str) -> None:
        step = max(1, 2**22 // max(1, rows.shape[1]))
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            wrong = no_counts(block)
            if wrong.any():
                row, place = (int(one) for one in np.unravel_index(wrong.argmax(), wrong.shape))
                raise no_count(block[row, place], f"{where}: column {self.columns[place].name!r}")

    def _encode(self, column: Column, values: NDArray[Any], where: str, *, strict: bool = False) -> NDArray[np.float64]:
        if column.kind in ("numerical", "count"):
            numbers = as_numbers(values, where)
            if column.kind == "count":
                wrong = no_counts(numbers)
                if wrong.any():
                    raise no_count(numbers[wrong.argmax()], where)
            return numbers
        known = column.categories or (False, True)
        places = {value: float(k) for k, value in enumerate(known)}  # 0 and 1 are False and True too
        alike = by_writing(known)
        found = np.empty(len(values))
        for row, value in enumerate(plain_values(values, where)):
            number = math.nan if value is None else places.get(value)
            if number is None and (place := alike.get(written(value))) is not None:
                number = places[value] = float(place)
            if number is None:
                if column.kind == "boolean" or strict or self.handle_unknown == "error":
                    expected = list_some(map(repr, known), 10)
                    hint = (
                        ""
                        if column.kind == "boolean" or strict
                        else "; a model trained with handle_unknown='unknown' takes others as no category"
                    )
                    raise InputError(
                        f"{where}: found {value!r} in row {row} (counted from 0), expected {expected}{hint}"
                    )
                number = UNKNOWN
            found[row] = number
        return found

    def decode(self, rows: NDArray[Any], *, drawn: bool = False) -> list[NDArray[Any]]:
        """Bring numbers (n, columns) back to values (n,) of each column; counts that were `drawn` are whole."""
        return [self._decode(column, rows[:, k], drawn) for k, column in enumerate(self.columns)]

    @staticmethod
    def _decode(column: Column, numbers: NDArray[Any], drawn: bool) -> NDArray[Any]:
        if drawn and column.kind == "count":
            whole: NDArray[Any] = np.rint(numbers) + 0.0  # no minus zero
            return whole
        if column.kind in ("numerical", "count"):
            return numbers
        known = column.categories or (False, True)
        values = np.array([*known, None], dtype=object)
        absent = np.isnan(numbers) | (numbers < 0)
        found: NDArray[Any] = values[np.where(absent, len(known), np.nan_to_num(numbers)).round().astype(np.int64)]
        kinds = {type(value) for value in known}
        return found if absent.any() or kinds == {str} or len(kinds) > 1 else found.astype(next(iter(kinds)))

    def describe(self) -> str:
        """Describe them in one line."""
        counts: Counter[str] = Counter(self.inner.kinds)
        parts = []
        for kind in KINDS:
            if not counts[kind]:
                continue
            own = [column for column in self.inner.columns if column.kind == kind]
            told = [f"{c.name} ({c.levels})" if kind == "categorical" else c.name for c in own]
            named = f": {list_some(told)}" if kind != "numerical" and len(own) < len(self.columns) else ""
            parts.append(f"{counts[kind]} {kind}{named}")
        if self.covariates:
            parts.append(f"covariates: {list_some(self.outer.names)}")
        return "; ".join(parts)

    def record(self) -> dict[str, Any]:
        """Return them for JSON."""
        return {
            "columns": [[column.name, column.kind, list(column.categories)] for column in self.columns],
            "handle_unknown": self.handle_unknown,
            "likelihood": self.likelihood,
            "covariates": self.covariates,
            "places": list(self.places),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Columns:
        """Create them from what `record` returned; KeyError, TypeError or ValueError where it did not."""
        columns = tuple(Column(str(name), kind, tuple(categories)) for name, kind, categories in record["columns"])
        if any(column.kind not in KINDS for column in columns):
            raise ValueError("found an unknown kind of column")
        places = tuple(record.get("places", ()))  # an early version did not note them
        return cls(columns, record["handle_unknown"], record["likelihood"], record["covariates"], places)


def _with_columns(table: Any, columns: Mapping[int, NDArray[np.float64]]) -> Any:
    """Return a sparse matrix with other columns (n,) at some places."""
    import scipy.sparse

    own = table.tocsc()
    parts = [columns[k][:, None] if k in columns else own[:, [k]] for k in range(table.shape[1])]
    return scipy.sparse.hstack([scipy.sparse.csc_array(part) for part in parts], format="csr")


def named_places(names: Sequence[str], wanted: Sequence[Any] | str, where: str) -> list[int]:
    """Find the places of columns that are given by name, or by place where they have none; InputError where one is unknown."""
    given = [wanted] if isinstance(wanted, str) else list(wanted)
    known = {name: place for place, name in enumerate(names)}
    for name in given:
        if str(name) not in known:
            raise InputError(f"{where}: {unknown('column', str(name), list(known)[:50])}")
    return [known[str(name)] for name in given]


def frame_like(frame: Any, names: Sequence[Any], values: Sequence[NDArray[Any]], like: Any = None) -> Any:
    """Create a data frame of a library, ``"pandas"`` or ``"polars"``, from columns (n,).

    Its rows are named as those that it is made from are, where `like`, or the first frame in it by name, has names of rows.
    """
    if frame == "polars":
        import polars

        return polars.DataFrame({str(name): column for name, column in zip(names, values, strict=True)}, strict=False)
    import pandas

    given = list(like.values()) if isinstance(like, Mapping) else [like]
    index = next((one.index for one in given if is_frame(one) and library(one) == "pandas"), None)
    return pandas.DataFrame(dict(zip(names, values, strict=True)), index=index)


def library(frame: Any) -> str:
    """Name the library of a data frame."""
    return "polars" if type(frame).__module__.startswith("polars") else "pandas"


def _wanted(kinds: KindOption, names: Sequence[str], where: str) -> dict[int, Kind]:
    """Find the kinds that were asked for, by place."""
    given = kinds if isinstance(kinds, Mapping) else dict.fromkeys(names, kinds) if kinds != "auto" else {}
    known = {name: place for place, name in enumerate(names)}
    wanted: dict[int, Kind] = {}
    for name, kind in given.items():
        if str(name) not in known:
            raise InputError(f"{where}: {unknown('column', str(name), list(known)[:50])}")
        if kind == "auto":
            continue
        if kind not in KINDS:
            raise unknown("kind of column", str(kind), [*KINDS, "auto"])
        wanted[known[str(name)]] = kind  # type: ignore[assignment]
    return wanted
