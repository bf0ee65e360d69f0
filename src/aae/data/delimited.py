"""CSV and TSV files, plain or ``.gz``, read with Arrow: the layout is found out first, and what is not certain is said."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from aae.data.checks import MISSING_HINT
from aae.data.formats import Options
from aae.data.header import has_names, is_number
from aae.data.reading import damaged, require_memory
from aae.data.tables import HINT, OPTIONS, TableFile, assign, table_format
from aae.data.values import MISSING
from aae.errors import InputError, note

_HEAD = 2**20  # bytes by which the layout is found out
_CHUNK, _LARGEST = 2**25, 2**29  # bytes that are read together, at least and at most
_HEAD_LINES, _HEAD_CELLS = 100, 400_000  # by which the layout is found out
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_DECIMAL_COMMA, _DECIMAL_POINT = re.compile(r"\s*[+-]?\d+,\d+\s*"), re.compile(r"\s*[+-]?\d+\.\d+\s*")
_TRUTH = frozenset({"true", "false", "True", "False", "TRUE", "FALSE"})
_BLANK = tuple(" " * spaces for spaces in range(9))
_WORD = re.compile(r"[^\W\d_]")
_CODE = re.compile(r"0\d+")  # whose zeros a number has not
_ROW_NAMES = frozenset({"", "Unnamed: 0"})  # what pandas and R call the column in which they write names of rows
_END, _LINE_END = re.compile(rb"\r\n|\n|\r"), re.compile(r"\r\n|\n|\r")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ \t]*(?:\r\n|\n|\r)')
_LINE = re.compile(r"\b(?:Row #|line )(\d+)")
_VALUE = re.compile(r"CSV column #(\d+): line (\d+): .*conversion error.*?: invalid value '(.*)'", re.DOTALL)
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
        Lines before the first row.
    names : tuple of str
        The columns, without spaces around them; 0, 1, ... where the file does not name them.
    row_names : tuple of int
        The column of names of rows, if there is one.
    longest : int
        Bytes of the longest line that was looked at.
    named : bool
        Whether the first row holds the names.
    truth, words : frozenset of int
        The columns of true and false, and of text.
    codes : dict of int to str
        An example of each column of numbers with zeros before them, such as 007.
    """

    encoding: str
    separator: str
    decimal: str
    skipped: int
    names: tuple[str, ...]
    row_names: tuple[int, ...]
    longest: int
    named: bool = True
    truth: frozenset[int] = frozenset()
    words: frozenset[int] = frozenset()
    codes: dict[int, str] = field(default_factory=dict)


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
    texts = [place for place in (roles.label, roles.ids) if place is not None]
    used = [*roles.features, *texts]
    words = [place for place in roles.features if place in layout.words]
    codes = {place: code for place, code in layout.codes.items() if place in roles.features and place not in words}
    if codes and not options.columns:
        place = min(codes)
        others = f" (and {len(codes) - 1} more columns)" if len(codes) > 1 else ""
        note(
            f"{path}: column {layout.names[place]!r}{others} is read as numbers, {codes[place]!r} as {int(codes[place])}; "
            "data.columns can call it categorical, which keeps the codes"
        )
    told = {place for place in roles.features if place in layout.truth} | set(words)
    blocks: list[NDArray[Any]] = []
    found_texts: dict[int, list[NDArray[Any]]] = {place: [] for place in texts}
    found_words: dict[int, list[NDArray[Any]]] = {place: [] for place in sorted(told)}
    start = 0
    for content, lines in _chunks(path, layout) if used else []:
        with _explained(path, layout, lines):
            table = _parse(content, layout, used, [*texts, *words], missing=options.missing)
        block = np.empty((len(table), len(roles.features)))
        require_memory(block.nbytes, str(path))
        for index, place in enumerate(roles.features):
            column = table.column(index)
            if place in told:
                block[:, index] = np.nan
                kept = options.categories.get(layout.names[place], ()) if place in words else ()
                absent = {"", *(MISSING if options.missing else ())}.difference(kept)
                cells = [one.strip() if isinstance(one, str) else one for one in column.to_pylist()]
                cells = [None if one in absent else one for one in cells]
                found_words[place].append(np.array(cells, dtype=object))
                continue
            if column.null_count and not options.missing:
                row = start + int(np.argmax(column.is_null().to_numpy()))
                raise InputError(
                    f"{path}: column {layout.names[place]!r}: found a missing value in row {row} (counted from 0), "
                    f"expected a number; {MISSING_HINT}"
                )
            block[:, index] = column.to_numpy()
        blocks.append(block)
        for index, place in enumerate(texts, len(roles.features)):
            found_texts[place].append(np.array(table.column(index).to_pylist(), np.str_))
        start += len(table)
    require_memory(sum(block.nbytes for block in blocks), str(path))
    rows = np.concatenate([np.empty((0, len(roles.features))), *blocks])
    done = {place: np.concatenate([np.empty(0, np.str_), *found]) for place, found in found_texts.items()}
    labels, ids = (None if place is None else done[place] for place in (roles.label, roles.ids))
    id_column = "id" if roles.ids is None or roles.ids in layout.row_names else layout.names[roles.ids]
    columns = tuple(layout.names[place] for place in roles.features)
    values = {layout.names[place]: np.concatenate(parts) for place, parts in found_words.items() if parts}
    return TableFile(
        rows, columns, labels, None if ids is None else _numbered(ids), id_column, values, named=layout.named
    )


def _parse(
    content: bytes, layout: Layout, used: Sequence[int], texts: Sequence[int], *, missing: bool = False
) -> pa.Table:
    """Read the used columns of some lines."""
    names = [str(place) for place in range(len(layout.names))]  # names of the file could be anything
    types = {name: pa.bool_() if place in layout.truth else pa.float64() for place, name in enumerate(names)}
    types |= {names[place]: pa.string() for place in texts}
    return pa_csv.read_csv(
        pa.BufferReader(content),
        # One thread, because only then do errors tell the line. Types are given, because Arrow would guess them.
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=len(content) + 1, column_names=names),
        parse_options=pa_csv.ParseOptions(
            delimiter=layout.separator, ignore_empty_lines=len(names) > 1, newlines_in_values=True
        ),
        convert_options=pa_csv.ConvertOptions(
            include_columns=[names[place] for place in used],
            column_types=types,
            null_values=[*_BLANK, *MISSING] if missing else [*_BLANK],
            strings_can_be_null=False,  # names of rows and labels may be words for a missing value
            decimal_point=layout.decimal,
        ),
    )


def _chunks(path: Path, layout: Layout) -> Iterator[tuple[bytes, int]]:
    """Read the rows of a file in pieces that end where a line does, in UTF-8; each with the number of lines before it."""
    size = min(max(_CHUNK, 32 * layout.longest), _LARGEST)
    with damaged(path, _EXPECTED), _opened(path) as opened:
        file = opened if layout.encoding == "utf-8" else codecs.EncodedFile(opened, "utf-8", layout.encoding)
        left, lines, skipped = b"", 0, layout.skipped
        while True:
            piece = file.read(size)
            content = (left + piece).removeprefix(codecs.BOM_UTF8) if not lines else left + piece
            cut = _last_end(content) if piece else len(content)
            if not cut and piece:
                left = content
                if len(content) > _LARGEST:
                    raise InputError(f"{path}: found a line of more than {_LARGEST} bytes, expected shorter lines")
                continue
            content, left = content[:cut], content[cut:]
            total = lines + _count_ends(content)
            if skipped:
                ends = list(itertools.islice(_END.finditer(content), skipped))
                content, lines, skipped = (
                    content[ends[-1].end() if len(ends) == skipped else len(content) :],
                    skipped,
                    0,
                )
            if content and (content.strip() or len(layout.names) == 1):
                yield content, lines
            lines = total
            if not piece:
                return


def _last_end(content: bytes) -> int:
    """Find where the last whole line ends, that is, not within quotes."""
    cut = max(content.rfind(b"\n"), content.rfind(b"\r", 0, -1) if b"\n" not in content else -1) + 1
    while cut and content.count(b'"', 0, cut) % 2:
        cut = content.rfind(b"\n", 0, content.rfind(b'"', 0, cut)) + 1
    return cut


def _count_ends(content: bytes) -> int:
    return content.count(b"\n") or content.count(b"\r")


def _numbered(ids: NDArray[Any]) -> NDArray[Any]:
    """Bring identifiers to whole numbers where they are written as such, and otherwise strip spaces around them."""
    ids = np.char.strip(ids)
    plain = re.compile(r"0|-?[1-9]\d{0,17}")
    return ids.astype(np.int64) if len(ids) and all(plain.fullmatch(one) for one in ids.tolist()) else ids


def find_layout(path: Path, options: Options) -> Layout:
    """Find out how a file is written, from its first lines; InputError if it is empty or no text."""
    with damaged(path, _EXPECTED):
        text, encoding, longest = _read_head(path)
        if text.count("\0") > len(text) // 4:
            raise InputError(f"{path}: found UTF-16 without its mark, or UTF-32, expected {_EXPECTED}")
        given = _SEPARATOR_LINE.match(text)  # for Excel
        before = int(given is not None)
        text = text[given.end() :] if given else text
        separator = given[1] if given else _find_separator(path, text)
        cells, first_lines = _split(text, separator)
        if not cells or not any(cell.strip() for cell in cells[0]):
            raise InputError(f"{path}: found no columns in its first line, expected their names")
        decimal = _find_decimal(path, cells, separator)
        if decimal == ",":
            cells = [
                [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in row] for row in cells
            ]
        named = has_names(path, cells, options)
        names, row_names = _name(path, cells, named, options)
        rest = cells[named:]
        skipped = before + (first_lines if named else 0)
        seen = [{row[place].strip() for row in rest if len(row) > place} - {""} for place in range(len(names))]
        layout = Layout(encoding, separator, decimal, skipped, tuple(names), row_names, longest, named)
        later = [place for place, values in enumerate(seen) if values <= {*MISSING} and place not in row_names]
        for place, values in _later_values(path, layout, later).items():
            seen[place] |= values
        truth = [place for place, values in enumerate(seen) if values and values <= _TRUTH]
        # Text is what holds words alone: one among numbers is a mistake, and dates and decimal commas are no words.
        words = [
            place
            for place, name in enumerate(names)
            if place not in truth
            and (
                options.is_text(name)
                or (
                    (known := seen[place] - {*MISSING})
                    and all(_WORD.match(value) and not is_number(value) for value in known)
                )
            )
        ]
    codes = {
        place: cell.strip()
        for row in rest
        for place, cell in enumerate(row)
        if cell[:1] in ("0", " ") and _CODE.fullmatch(cell.strip())
    }
    return replace(layout, truth=frozenset(truth), words=frozenset(words), codes=codes)


def _later_values(path: Path, layout: Layout, places: Sequence[int]) -> dict[int, set[str]]:
    """Find values of columns that have none in the first lines: those of the first piece of the file with some."""
    found: dict[int, set[str]] = {place: set() for place in places}
    for content, lines in _chunks(path, layout) if places else []:
        with _explained(path, layout, lines):
            table = _parse(content, layout, places, places, missing=True)
        for index, place in enumerate(places):
            found[place] = found[place] or {
                value
                for cell in table.column(index).unique().to_pylist()
                if (value := cell.strip()) and value not in MISSING
            }
        if all(found.values()):
            break
    return found


def _name(
    path: Path, cells: Sequence[Sequence[str]], named: bool, options: Options
) -> tuple[list[str], tuple[int, ...]]:
    """Name the columns, and find the one of names of rows, as pandas and R write it."""
    first, rest = [cell.strip() for cell in cells[0]], cells[1:]
    if not named:
        return [str(place) for place in range(len(first))], ()
    if len(first) > 1 and rest and all(len(row) == len(first) + 1 and row[-1].strip() for row in rest):
        first = ["", *first]  # as R writes them
    if len(first) == 1 or first[0] not in _ROW_NAMES or options.id_column == first[0]:
        return first, ()
    note(f"{path}: the first column, {first[0]!r}, is read as names of rows and not as numbers")
    return first, (0,)


def _read_head(path: Path) -> tuple[str, str, int]:
    """Read some whole lines: their text, the encoding, and the bytes of the longest."""
    with _opened(path) as file:
        head = file.read(_HEAD)
        while _count_ends(head) < 3 and (more := file.read(3 * len(head))):
            head += more
            if len(head) > _LARGEST:
                raise InputError(
                    f"{path}: found no three lines in {len(head)} bytes, expected a table with shorter lines"
                )
        whole = not file.read(1)
    encoding = "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8"
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    text = decoder.decode(head, final=whole)
    if not whole:
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    return text, encoding, max(map(len, re.split(rb"[\r\n]", head))) + 1


def _split(text: str, separator: str) -> tuple[list[list[str]], int]:
    """Split the first rows into cells, and count the lines up to the end of the first; empty lines are left out."""
    found: list[list[str]] = []
    cells = first_lines = 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    for row in reader:
        if row:
            first_lines = first_lines or reader.line_num
            found.append(row)
            cells += len(row)
        if len(found) >= _HEAD_LINES or (cells > _HEAD_CELLS and len(found) > 1):
            break
    return found, first_lines


def _find_separator(path: Path, text: str) -> str:
    usual = "\t" if ".tsv" in path.name.lower() else ","
    lines = [line for line in _LINE_END.split(text, _HEAD_LINES)[:_HEAD_LINES] if line.strip()]
    for separator in ("\t", ";", "|", ","):
        if separator == usual or not lines or not all(separator in line for line in lines):
            continue
        if separator == "," and any(usual in line for line in lines):
            continue
        if len({len(row) for row in _split("\n".join(lines), separator)[0]}) == 1:
            note(f"{path}: read with {_SEPARATORS[separator]} between columns")
            return separator
    return usual


def _find_decimal(path: Path, cells: Sequence[Sequence[str]], separator: str) -> str:
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
def _explained(path: Path, layout: Layout, lines: int) -> Iterator[None]:
    """Turn what Arrow says of some lines into one line with the name of the column and what to do about it."""
    between = f"{_SEPARATORS.get(layout.separator, repr(layout.separator))} between columns"
    with damaged(path, f"{_EXPECTED}, with {between}"):
        try:
            yield
        except pa.ArrowInvalid as error:
            text = _LINE.sub(lambda found: f"line {int(found[1]) + lines}", str(error))
            value = _VALUE.search(text)
            if value is None:
                raise pa.ArrowInvalid(text) from error
            points = "points" if layout.decimal == "." else "commas"
            hint = MISSING_HINT if value[3].strip() in MISSING else HINT
            raise InputError(
                f"{path}: line {value[2]}, column {layout.names[int(value[1])]!r}: found {value[3][:100]!r}, expected a number, "
                f"with {between} and decimal {points}; {hint}"
            ) from error


FORMATS = (
    table_format("CSV", (".csv", ".csv.gz"), read_file, OPTIONS | {"header"}),
    table_format("TSV", (".tsv", ".tsv.gz"), read_file, OPTIONS | {"header"}),
)
