"""Parquet files and data frames, read with Arrow: columns of numbers, lists of numbers of one length, labels, names of rows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from aae.data.checks import MISSING_HINT, check_distinct
from aae.data.formats import Options, list_widths
from aae.data.frames import is_frame
from aae.data.reading import damaged, require_memory
from aae.data.tables import HINT, TableFile, assign, table_format
from aae.errors import InputError, reason

_INDEX = re.compile(r"__index_level_\d+__")  # names of rows that pandas writes beside the data
_BLOCK = 2**22  # values read together
_EXPECTED = "a table of numbers"


def read_file(path: Path, options: Options) -> TableFile:
    """Read one file.

    Parameters
    ----------
    path : Path
        A Parquet file. Numbers, booleans, dictionaries and decimals of them, and lists of numbers of one length, whose columns
        are then called ``name_0``, ``name_1``, ...
    options : Options
        Which columns; see `aae.data.tables.assign`. An index of pandas is no column; it identifies the rows.

    Raises
    ------
    InputError
        A damaged file, text or a missing value where a number is expected, lists of several lengths.
    """
    with damaged(path, _EXPECTED), pa.OSFile(os.fsencode(path)) as file:
        parquet = pa_parquet.ParquetFile(file)
        return _read(
            path,
            parquet.schema_arrow,
            parquet.metadata.num_rows,
            lambda columns, size: parquet.iter_batches(batch_size=size, columns=columns, use_threads=False),
            options,
        )


def read_frame(frame: Any, options: Options) -> TableFile:
    """Read a data frame of pandas or polars, or a table of Arrow, by the rules of a Parquet file; raises as `read_file`."""
    where = "data frame"
    if getattr(getattr(frame, "columns", None), "nlevels", 1) > 1:  # called as `aae.data.frames` calls them
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if is_frame(frame):
        check_distinct([str(name) for name in frame.columns], where)
    try:
        if not isinstance(frame, pa.Table):
            frame = frame.to_arrow() if hasattr(frame, "to_arrow") else pa.Table.from_pandas(frame)
    except (pa.ArrowException, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{where}: found what is no table ({reason(error)}), expected {_EXPECTED}") from None

    def batches(columns: list[str] | None, size: int) -> Iterator[Any]:
        return iter((frame if columns is None else frame.select(columns)).to_batches(max_chunksize=size))

    return _read(where, frame.schema, frame.num_rows, batches, options)


def _read(
    where: Path | str,
    schema: pa.Schema,
    num_rows: int,
    batches: Callable[[list[str] | None, int], Iterator[Any]],
    options: Options,
) -> TableFile:
    """Read the columns of a table in batches, each in its role; `batches` takes names of columns, and rows in a batch."""
    own_names = schema.names
    names = [name.strip() for name in own_names]
    row_names = _row_names(schema)
    named_range = _named_range(schema, num_rows)
    if named_range is not None and options.id_column in (None, named_range[0]):
        options = replace(options, id_column=None)
    else:
        named_range = None
    roles = assign(where, names, options, row_names)
    used = [*roles.features, *(place for place in (roles.label, roles.ids) if place is not None)]
    require_memory(4 * num_rows * max(1, len(roles.features)), str(where))
    wanted = None if len(used) == len(names) else [own_names[place] for place in used]
    step = max(1, _BLOCK // max(1, len(used)))
    blocks, label_parts, id_parts, start = [], [], [], 0
    text_parts: dict[str, list[NDArray[Any]]] = {}
    kinds: dict[str, str] = {}
    about = (schema.pandas_metadata or {}).get("columns", [])
    categories = {str(one.get("field_name")).strip() for one in about if one.get("pandas_type") == "categorical"}
    columns = tuple(names[place] for place in roles.features)
    for batch in batches(wanted, step):
        column_of = dict(zip(batch.schema.names, batch.columns, strict=True))
        parts = {place: column_of[own_names[place]] for place in used}
        found: list[NDArray[Any]] = []
        for place in roles.features:
            name, column = names[place], parts[place]
            if not start and (name in categories or pa.types.is_dictionary(column.type)) and not _is_text(column):
                kinds[name] = "categorical"
            if options.is_text(name) or name in kinds or _is_text(column):
                text_parts.setdefault(name, []).append(np.array(_plain(column).to_pylist(), dtype=object))
                found.append(np.full(len(batch), np.nan, np.float32))
            else:
                found.append(_numbers(column, f"{where}: column {name!r}", start, missing=options.missing))
        if not start:
            columns = tuple(_expand([names[place] for place in roles.features], found))
            check_distinct(columns, str(where))
            for place, values in zip(roles.features, found, strict=True):
                if values.ndim == 1 or not options.columns:
                    continue
                known = list_widths(options.columns)[names[place]]
                if values.shape[1] != known:
                    raise InputError(
                        f"{where}: column {names[place]!r}: found lists of {values.shape[1]} values, expected {known}"
                    )
        blocks.append(_join(found, len(batch)))
        if blocks[-1].shape[1] != len(columns):
            raise InputError(f"{where}: found lists of several lengths, expected one length")
        require_memory(blocks[-1].nbytes, str(where))
        if roles.label is not None:
            label_parts.append(_labels(parts[roles.label], f"{where}: column {names[roles.label]!r}"))
        if roles.ids is not None:
            id_parts.append(_ids(parts[roles.ids], f"{where}: column {names[roles.ids]!r}"))
        start += len(batch)
    require_memory(sum(block.nbytes for block in blocks), str(where))
    rows = np.concatenate(blocks) if blocks else np.empty((0, len(columns)), np.float32)
    labels = None if roles.label is None else np.concatenate(label_parts or [np.empty(0, np.int64)])
    ids = None if roles.ids is None else np.concatenate(id_parts or [np.empty(0, np.str_)])
    name = "id" if roles.ids is None or _INDEX.fullmatch(names[roles.ids]) else names[roles.ids]
    texts = {name: np.concatenate(found) for name, found in text_parts.items()}
    if ids is None and named_range is not None:
        name, ids = named_range
    return TableFile(rows, columns, labels, ids, name, texts, kinds)


def _named_range(schema: pa.Schema, num_rows: int) -> tuple[str, NDArray[Any]] | None:
    """Find the index of pandas that is a range with a name, which it writes beside the columns: its name and values."""
    for index in (schema.pandas_metadata or {}).get("index_columns", []):
        if isinstance(index, dict) and index.get("kind") == "range" and index.get("name") is not None:
            return str(index["name"]).strip(), index["start"] + index["step"] * np.arange(num_rows)
    return None


def _row_names(schema: pa.Schema) -> list[int]:
    """Find the columns in which pandas keeps its index; a range is no column."""
    metadata = schema.pandas_metadata or {}
    index = [name for name in metadata.get("index_columns", []) if isinstance(name, str)]
    return [place for place, name in enumerate(schema.names) if name in index or _INDEX.fullmatch(name)]


def _expand(names: Sequence[str], found: Sequence[NDArray[Any]]) -> list[str]:
    expanded: list[str] = []
    for name, values in zip(names, found, strict=True):
        expanded += [name] if values.ndim == 1 else [f"{name}_{k}" for k in range(values.shape[1])]
    return expanded


def _join(found: Sequence[NDArray[Any]], total: int) -> NDArray[Any]:
    """Put columns (n,) and lists (n, k) beside each other."""
    if not found:
        return np.empty((total, 0), np.float32)
    if len(found) == 1 and found[0].ndim == 2:
        return found[0]
    single = all(np.can_cast(values.dtype, np.float32) for values in found)
    width = sum(1 if values.ndim == 1 else values.shape[1] for values in found)
    block = np.empty((total, width), np.float32 if single else np.float64)
    place = 0
    for values in found:
        size = 1 if values.ndim == 1 else values.shape[1]
        block[:, place : place + size] = values.reshape(total, size)
        place += size
    return block


def _is_text(column: Any) -> bool:
    """Check whether a column holds text, or true and false."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(text or pa.types.is_boolean(kind))


def _numbers(column: Any, where: str, start: int, *, missing: bool = False) -> NDArray[Any]:
    """Read a column (n,), or lists of numbers (n, k)."""
    if isinstance(column, pa.ExtensionArray) and "period" in column.type.extension_name:
        raise InputError(f"{where}: found values of type {column.type.extension_name}, expected numbers; {HINT}")
    column = _plain(column)
    kind = column.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if missing and column.null_count and not listed and not pa.types.is_string(kind):
        column = column.cast(pa.float64())
        kind = column.type
    elif column.null_count:
        row = start + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise InputError(
            f"{where}: found a missing value in row {row} (counted from 0), expected a number; {MISSING_HINT}"
        )
    if listed:
        return _lists(column, where, start)
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    ):
        raise InputError(f"{where}: found values of type {kind}, expected numbers; {HINT}")
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _lists(column: Any, where: str, start: int) -> NDArray[Any]:
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    if len(lengths) and (lengths != lengths[0]).any():
        row = int(np.argmax(lengths != lengths[0]))
        raise InputError(
            f"{where}: found a list of {lengths[row]} values in row {start + row} (counted from 0), expected {lengths[0]} "
            "as in the rows before"
        )
    width = int(lengths[0]) if len(lengths) else 0
    flat = column.flatten()
    if flat.null_count:
        row = start + int(np.argmax(flat.is_null().to_numpy(zero_copy_only=False))) // width
        raise InputError(f"{where}, lists: found a missing value in row {row} (counted from 0), expected a number")
    values = _numbers(flat, f"{where}, lists", start * width)
    if values.ndim != 1:
        raise InputError(f"{where}: found lists of lists, expected lists of numbers")
    return values.reshape(len(column), width)


def _plain(column: Any) -> Any:
    """Replace codes of a dictionary by what they stand for, and an extension type by how it is stored."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    return column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column


def _labels(column: Any, where: str) -> NDArray[Any]:
    """Read labels: numbers where the type is one, with -1 for a null, otherwise text."""
    column = _plain(column)
    kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        if kind == pa.uint64() and column.null_count < len(column):
            largest = max(value for value in column.to_pylist() if value is not None)
            if largest >= 2**63:
                raise InputError(f"{where}: found a label {largest}, expected a number of 64 bits with sign")
        column = column.cast(pa.int64()) if pa.types.is_integer(kind) else column.cast(pa.float64())
        numbers: NDArray[Any] = column.fill_null(-1).to_numpy(zero_copy_only=False)
        return numbers
    if pa.types.is_nested(kind):
        raise InputError(f"{where}: found labels of type {kind}, expected whole numbers or text")
    return _texts(column)


def _texts(column: Any) -> NDArray[Any]:
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        values = [None if one is None else one.decode("utf-8", "backslashreplace") for one in column.to_pylist()]
    else:
        values = column.cast(pa.large_string()).to_pylist()
    return np.array(["" if value is None else value for value in values], np.str_)


def _ids(column: Any, where: str) -> NDArray[Any]:
    column = _plain(column)
    if pa.types.is_nested(column.type):
        raise InputError(f"{where}: found identifiers of type {column.type}, expected text or whole numbers")
    if pa.types.is_integer(column.type) and not column.null_count:
        numbers: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return numbers
    return _texts(column)


FORMATS = (table_format("Parquet", (".parquet", ".pq"), read_file),)
