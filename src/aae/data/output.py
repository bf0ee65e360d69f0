"""Results on disk, written whole or not at all."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from aae.errors import InputError
from aae.files import expand, replacing, require_folder

SUFFIXES = (".npy", ".npz", ".csv", ".tsv", ".parquet")


def write_rows(path: str | Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays, all with n rows, to a file whose suffix says how.

    The file appears under its name only when it is complete; one that was there before is replaced.

    Parameters
    ----------
    path : str or Path
        ``.npy`` takes exactly one array, ``.npz`` any number of them. ``.csv``, ``.tsv`` and ``.parquet`` have one column for
        an array (n,), and columns ``name_0``, ``name_1``, ... for an array (n, ...), whose rows are written flat.
    columns : mapping of str to array, (n,) or (n, ...)
        Numbers or text.

    Raises
    ------
    InputError
        An unknown suffix, more than one array for ``.npy``, two columns of one name in a table, numbers that are not finite, a
        folder that does not exist, or a file that cannot be written.
    """
    path = expand(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: found the suffix {path.suffix!r}, expected one of {', '.join(SUFFIXES)}")
    if suffix == ".npy" and len(columns) != 1:
        raise InputError(f"{path}: found {len(columns)} arrays to write ({', '.join(columns)}), expected one; use .npz")
    for name, array in columns.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argmin(np.isfinite(array).reshape(len(array), -1).all(1)))
            raise InputError(f"{path}: found results that are no numbers ({name}, row {row}), expected finite ones")
    require_folder(path)
    try:
        with replacing(path) as draft, draft.open("wb") as file:
            if suffix == ".npy":
                np.save(file, next(iter(columns.values())), allow_pickle=False)
            elif suffix == ".npz":
                with zipfile.ZipFile(file, "w") as archive:  # as `numpy.savez`, which takes no array called "file"
                    for name, array in columns.items():
                        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                            np.lib.format.write_array(member, array, allow_pickle=False)
            elif suffix in (".csv", ".tsv"):
                options = pa_csv.WriteOptions(delimiter="," if suffix == ".csv" else "\t")
                pa_csv.write_csv(_table(path, columns), file, options)
            else:
                pa_parquet.write_table(_table(path, columns), file)
    except OSError as error:
        raise InputError(
            f"{path}: found that it cannot be written ({error.strerror or error.args[0]}), expected a file in a writable folder"
        ) from error


def table_columns(columns: Mapping[str, NDArray[Any]]) -> list[tuple[str, NDArray[Any]]]:
    """List the columns (n,) that arrays have in a table, with their names."""
    flat: list[tuple[str, NDArray[Any]]] = []
    for name, array in columns.items():
        if array.ndim == 1:
            flat.append((name, array))
        else:
            flat += [(f"{name}_{index}", column) for index, column in enumerate(array.reshape(len(array), -1).T)]
    return flat


def _table(path: Path, columns: Mapping[str, NDArray[Any]]) -> pa.Table:
    flat = table_columns(columns)
    twice, times = Counter(name for name, _ in flat).most_common(1)[0]
    if times > 1:
        raise InputError(f"{path}: found two columns called {twice!r} to write, expected different names; use .npz")
    return pa.table(dict(flat))
