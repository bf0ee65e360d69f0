"""CSV and TSV files, plain or ``.gz``, read with Arrow: the layout is found out first, and what is not certain is said."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from aae.data.formats import Options
from aae.data.header import has_names
from aae.data.reading import damaged, require_memory
from aae.data.tables import HINT, OPTIONS, Roles, TableFile, assign, table_format
from aae.errors import InputError, note

_BLOCK, _LARGEST_BLOCK = 2**20, 2**30  # bytes that Arrow looks at together; a line has to fit in
_HEAD_LINES, _HEAD_CELLS = 100, 400_000  # by which the layout is found out
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_DECIMAL_COMMA, _DECIMAL_POINT = re.compile(r"\s*[+-]?\d+,\d+\s*"), re.compile(r"\s*[+-]?\d+\.\d+\s*")
_TRUTH = frozenset({"true", "false", "True", "False", "TRUE", "FALSE"})
_ROW_NAMES = frozenset({"", "Unnamed: 0"})  # what pandas and R call the column in which they write names of rows
_VALUE = re.compile(r"CSV column #(\d+): (?:Row #|line )(\d+): .*conversion error.*?: invalid value '(.*)'", re.DOTALL)
_EXPECTED = "a table of numbers in UTF-8"


@dataclass(frozen=True)
class Layout:
    """How a file is written.

    Attributes
    ----------
    encoding : str
        As Python calls it.
    separator, decimal : str
        What stands between columns, and in numbers.
    skipped : int
        Lines before the table.
    names : tuple of str
        The columns, without spaces around them; 0, 1, ... where the file does not name them.
    has_names : bool
        Whether its first line does.
    row_names : int or None
        The column of names of rows.
    longest : int
        Bytes of the longest line that was looked at.
    truth : frozenset of int
        The columns of true and false.
    """

    encoding: str
    separator: str
    decimal: str
    skipped: int
    names: tuple[str, ...]
    has_names: bool
    row_names: int | None
    longest: int
    truth: frozenset[int]


def read_file(path: Path, options: Options) -> TableFile:
    """Read one file.

    Parameters
    ----------
    path : Path
        Columns are separated by commas, semicolons, tabs or bars, with decimal points or, but for commas, decimal commas.
    options : Options
        Which columns; see `aae.data.tables.assign`. ``header`` says whether the first line holds names; without it that is
        found out, and where the first line is all numbers it is said. Columns of a table without names are called 0, 1, ...

    Raises
    ------
    InputError
        A damaged file, ragged lines, text or a missing value where a number is expected.
    """
    layout = find_layout(path, options)
    roles = assign(path, layout.names, options, layout.row_names)
    size = max(_BLOCK, 4 * layout.longest)
    while True:
        try:
            return _read(path, layout, roles, size)
        except _TooLongError:
            if size >= _LARGEST_BLOCK:
                raise InputError(
                    f"{path}: found a line of more than {size // 4} bytes, expected shorter lines"
                ) from None
            size = min(8 * size, _LARGEST_BLOCK)


class _TooLongError(Exception):
    """A line does not fit into a block."""


def _read(path: Path, layout: Layout, roles: Roles, block_size: int) -> TableFile:
    texts = [place for place in (roles.label, roles.ids) if place is not None]
    blocks: list[NDArray[Any]] = []
    found_texts: dict[int, list[NDArray[Any]]] = {place: [] for place in texts}
    start = 0
    with _explained(path, layout), _opened(path) as file:
        for batch in _batches(file, layout, [*roles.features, *texts], texts, block_size):
            block = np.empty((len(batch), len(roles.features)))
            require_memory(block.nbytes, str(path))
            for index, place in enumerate(roles.features):
                column = batch.column(index)
                if column.null_count:
                    row = start + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
                    raise InputError(
                        f"{path}: column {layout.names[place]!r}: found a missing value in row {row} (counted from 0), "
                        "expected a number"
                    )
                block[:, index] = column.to_numpy(zero_copy_only=False)
            blocks.append(block)
            for index, place in enumerate(texts, len(roles.features)):
                found_texts[place].append(np.array(batch.column(index).fill_null("").to_pylist(), np.str_))
            start += len(batch)
        require_memory(sum(block.nbytes for block in blocks), str(path))
        rows = np.concatenate([np.empty((0, len(roles.features))), *blocks])
    done = {place: np.concatenate([np.empty(0, np.str_), *found]) for place, found in found_texts.items()}
    labels, ids = (None if place is None else done[place] for place in (roles.label, roles.ids))
    id_column = "id" if roles.ids is None or roles.ids == layout.row_names else layout.names[roles.ids]
    columns = tuple(layout.names[place] for place in roles.features)
    return TableFile(rows, columns, labels, None if ids is None else _numbered(ids), id_column)


def _batches(file: BinaryIO, layout: Layout, used: Sequence[int], texts: Sequence[int], block_size: int) -> Any:
    """Read the used columns block by block."""
    if not used:
        return []
    names = [str(place) for place in range(len(layout.names))]  # names of the file could be anything
    types = {name: pa.bool_() if place in layout.truth else pa.float64() for place, name in enumerate(names)}
    types |= {names[place]: pa.string() for place in texts}
    return pa_csv.open_csv(
        file,
        # One thread, because only then do errors tell the line. Types are given, because Arrow would guess them from
        # the first block alone.
        read_options=pa_csv.ReadOptions(
            use_threads=False,
            block_size=block_size,
            column_names=names,
            skip_rows=layout.skipped,
            skip_rows_after_names=int(layout.has_names),
            encoding=layout.encoding,
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=layout.separator, ignore_empty_lines=len(names) > 1, newlines_in_values=True
        ),
        convert_options=pa_csv.ConvertOptions(
            include_columns=[names[place] for place in used],
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            decimal_point=layout.decimal,
        ),
    )


def _numbered(ids: NDArray[Any]) -> NDArray[Any]:
    """Bring identifiers to whole numbers where they are written as such, and otherwise strip spaces around them."""
    ids = np.char.strip(ids)
    plain = re.compile(r"0|-?[1-9]\d{0,17}")
    return ids.astype(np.int64) if len(ids) and all(plain.fullmatch(one) for one in ids.tolist()) else ids


def find_layout(path: Path, options: Options) -> Layout:
    """Find out how a file is written, from its first lines; InputError if it is empty or no text."""
    with damaged(path, _EXPECTED):
        text, encoding, longest = _read_head(path)
        lines = text.splitlines()
        skipped, given = 0, re.fullmatch(r'"?sep=(.)"?', lines[0].strip()) if lines else None
        if given:  # for Excel
            skipped, lines = 1, lines[1:]
        separator = given[1] if given else _find_separator(path, lines)
        cells = _split(lines, separator)
        if not cells or not any(cell.strip() for cell in cells[0]):
            raise InputError(f"{path}: found no columns in its first line, expected their names")
        decimal = _find_decimal(path, cells, separator, bool(given))
        first, rest = [cell.strip() for cell in cells[0]], cells[1:]
        if decimal == ",":
            cells = [
                [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in row] for row in cells
            ]
        named = has_names(path, cells, options)
        row_names = None
        if named and len(rest) > 0 and all(len(row) == len(first) + 1 and row[-1].strip() for row in rest):
            first, row_names = ["", *first], 0  # as R writes them
        names = first if named else [str(place) for place in range(len(first))]
        if named and names[0] in _ROW_NAMES and len(names) > 1 and options.id_column != names[0]:
            row_names = 0
            if not options.columns:
                note(f"{path}: the first column, {names[0]!r}, is read as names of rows and not as numbers")
        truth = [
            place
            for place in range(len(names))
            if (seen := {row[place].strip() for row in rest if len(row) > place} - {""}) and seen <= _TRUTH
        ]
    return Layout(encoding, separator, decimal, skipped, tuple(names), named, row_names, longest, frozenset(truth))


def _read_head(path: Path) -> tuple[str, str, int]:
    """Read some whole lines: their text, the encoding, and the bytes of the longest."""
    with _opened(path) as file:
        head = file.read(_BLOCK)
        while head.count(b"\n") < 3 and (more := file.read(3 * len(head))):
            head += more
            if len(head) > _LARGEST_BLOCK // 4:
                raise InputError(
                    f"{path}: found no two lines in {len(head)} bytes, expected a table with shorter lines"
                )
        ends = not file.read(1)
    if not ends:
        head = head[: head.rindex(b"\n") + 1] if b"\n" in head else head
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    if encoding == "utf-16":
        head = head[: len(head) // 2 * 2]
        text = head.decode("utf-16", "ignore" if not ends else "strict")
    else:
        text = head.decode("utf-8-sig")
    longest = max(map(len, head.split(b"\n"))) + 1
    return text, encoding, longest


def _split(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Split some lines into cells; empty lines are left out."""
    found: list[list[str]] = []
    cells = 0
    for row in csv.reader((line + "\n" for line in lines), delimiter=separator):
        if row:
            found.append(row)
            cells += len(row)
        if len(found) >= _HEAD_LINES or (cells > _HEAD_CELLS and len(found) > 1):
            break
    return found


def _find_separator(path: Path, lines: Sequence[str]) -> str:
    usual = "\t" if ".tsv" in path.name.lower() else ","
    for separator in ("\t", ";", "|", ","):
        counts = {len(row) for row in _split(lines, separator)} if separator != usual else set()
        if (
            len(counts) == 1
            and counts != {1}
            and (separator != "," or {len(row) for row in _split(lines, usual)} == {1})
        ):
            note(f"{path}: read with {_SEPARATORS[separator]} between columns")
            return separator
    return usual


def _find_decimal(path: Path, cells: Sequence[Sequence[str]], separator: str, told: bool) -> str:
    if separator == ",":
        return "."
    commas = sum(1 for row in cells for cell in row if _DECIMAL_COMMA.fullmatch(cell))
    points = sum(1 for row in cells for cell in row if _DECIMAL_POINT.fullmatch(cell))
    if not commas or points:
        return "."
    note(f"{path}: read with decimal commas")
    return ","


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacked; by handle, as Arrow does not know every encoding of names."""
    with path.open("rb") as file:
        if path.suffix.lower() == ".gz":
            with gzip.GzipFile(fileobj=file) as unpacked, io.BufferedReader(unpacked) as buffered:
                yield buffered
        else:
            yield file


@contextmanager
def _explained(path: Path, layout: Layout) -> Iterator[None]:
    """Turn what Arrow says of a file into one line with the name of the column and what to do about it."""
    with damaged(path, f"{_EXPECTED}, with {_SEPARATORS.get(layout.separator, layout.separator)} between columns"):
        try:
            yield
        except pa.ArrowInvalid as error:
            text = str(error)
            if "straddl" in text or "block size" in text.lower():
                raise _TooLongError from None
            value = _VALUE.search(text)
            if value is None:
                raise pa.ArrowInvalid(re.sub(r"\bRow #", "line ", text)) from error
            place, line, found = int(value[1]), value[2], value[3]
            raise InputError(
                f"{path}: line {line}, column {layout.names[place]!r}: found {found[:100]!r}, expected a number, with "
                f"{_SEPARATORS.get(layout.separator, layout.separator)} between columns and decimal "
                f"{'points' if layout.decimal == '.' else 'commas'}; {HINT}"
            ) from error


FORMATS = (
    table_format("CSV", (".csv", ".csv.gz"), read_file, OPTIONS | {"header"}),
    table_format("TSV", (".tsv", ".tsv.gz"), read_file, OPTIONS | {"header"}),
)
