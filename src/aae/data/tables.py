"""Tables with named columns, CSV and Parquet, read with Arrow."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from aae.data.checks import Part
from aae.errors import InputError, reason, unknown

SUFFIXES = frozenset({".csv", ".parquet"})
DEFAULT_LABEL = "label"
_INDEX = re.compile(r"__index_level_\d+__")  # row names that pandas writes beside the data


def read_table(path: Path, label_column: str | None, only: Sequence[str] = ()) -> Part:
    """Read a table: every column a number, but for one column of labels.

    Parameters
    ----------
    path : Path
        A ``.csv`` or ``.parquet`` file. A CSV file whose first line is all numbers, other than 0, 1, 2, ..., has no
        line of names; its columns are then called 0, 1, 2, ...
    label_column : str or None
        The column of labels: integers or text, empty or -1 for unlabelled. None takes a column ``label`` if there is
        one that is not among `only`.
    only : sequence of str
        Read no other columns, but for that of the labels; by default all.

    Returns
    -------
    Part
        float32 rows (n, columns), and labels (n,) if there is such a column.

    Raises
    ------
    InputError
        Ragged lines, text or a missing value where a number is expected, columns without a name or with the same name.
    """
    names = column_names(path)
    label_column = _check_names(path, names, label_column, only)
    columns = tuple(name for name in names if name != label_column and (name in only or not only))
    wanted = [*columns, *([] if label_column is None else [label_column])]
    with _readable(path):
        table = _read_csv(path, wanted, label_column) if _is_csv(path) else pa_parquet.ParquetFile(path).read(wanted)
    rows = np.empty((table.num_rows, len(columns)), np.float32)
    for index, name in enumerate(columns):
        rows[:, index] = _numbers(table.column(name), f"{path}: column {name!r}")
    with _readable(path):
        labels = None if label_column is None else label_values(table.column(label_column))
    return Part(str(path), rows, labels, columns)


def column_names(path: Path) -> list[str]:
    """List the columns of a ``.csv`` or ``.parquet`` file; InputError if it cannot be read."""
    with _readable(path):
        names = _header(path)[0] if _is_csv(path) else pa_parquet.read_schema(path).names
    return [name for name in names if not _INDEX.fullmatch(name)]


def read_label_file(path: Path) -> NDArray[Any]:
    """Read the one column of labels of a CSV or Parquet file.

    Returns
    -------
    array, (n,)
        Integers or floats with -1 for unlabelled, or text with an empty text for unlabelled.
    """
    names = column_names(path)
    if len(names) != 1:
        raise InputError(f"{path}: found {len(names)} columns, expected one column of labels")
    labels = read_table(path, names[0]).labels
    assert labels is not None
    return labels


def label_values(column: pa.ChunkedArray) -> NDArray[Any]:
    """Turn an Arrow column into labels: numbers where all of it are numbers, otherwise text; a null is unlabelled."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        column = column.cast(pa.string())
        codes = pc.any(pc.match_substring_regex(column, r"^[+-]?0\d")).as_py()  # 007 is a name, not the number 7
        for numeric in () if codes else (pa.int64(), pa.float64()):
            try:
                column = column.cast(numeric)
                break
            except pa.ArrowInvalid:
                continue
    if pa.types.is_integer(column.type):
        column = column.cast(pa.int64())  # unsigned ones have no -1
    missing = "" if pa.types.is_string(column.type) else -1
    values: NDArray[Any] = column.fill_null(missing).to_numpy()
    return values.astype(np.str_) if missing == "" else values


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what Arrow and the file system complain about into one line."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
        found = re.sub(r"\bRow #", "line ", reason(error))
        raise InputError(f"{path}: found a file that cannot be read ({found}), expected a table of numbers") from error


def _read_csv(path: Path, wanted: Sequence[str], label_column: str | None) -> pa.Table:
    names, has_header = _header(path)
    types = {name: pa.string() if name == label_column else pa.float32() for name in wanted}
    return pa_csv.read_csv(
        path,
        # One thread, because only then do errors tell the line. Types are given, because Arrow would guess them from
        # the first block alone.
        read_options=pa_csv.ReadOptions(use_threads=False, column_names=None if has_header else names),
        parse_options=pa_csv.ParseOptions(ignore_empty_lines=len(names) > 1),
        convert_options=pa_csv.ConvertOptions(
            include_columns=wanted, column_types=types, null_values=[""], strings_can_be_null=True
        ),
    )


def _header(path: Path) -> tuple[list[str], bool]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file), [])
    if not first:
        raise InputError(f"{path}: found no columns in its first line, expected their names")
    counted = [str(index) for index in range(len(first))]
    if all(_is_number(cell) for cell in first) and (first != counted or len(first) == 1):
        return counted, False
    return first, True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_names(path: Path, names: list[str], label_column: str | None, only: Sequence[str]) -> str | None:
    if "" in names:
        raise InputError(f"{path}: found no name for column {names.index('')} (counted from 0), expected one")
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise InputError(f"{path}: found {times} columns called {name!r}, expected each name once")
    if label_column is None:
        return DEFAULT_LABEL if DEFAULT_LABEL in names and DEFAULT_LABEL not in only else None
    if label_column not in names:
        raise InputError(f"{path}: {unknown('column', label_column, names)}")
    return label_column


def _numbers(column: pa.ChunkedArray, where: str) -> NDArray[Any]:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise InputError(f"{where}: found values of type {kind}, expected numbers")
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise InputError(f"{where}: found a missing value in row {row} (counted from 0), expected a number")
    with np.errstate(over="ignore"):
        return np.asarray(column.to_numpy()).astype(np.float32)
