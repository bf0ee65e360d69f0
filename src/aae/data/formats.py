"""The registry of file formats: what can be read, how it is recognised, and which options apply to it.

A reader is a module that calls `register`; `aae.data.readers` imports them all, and their order there is the order in which they
are asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from aae.data.checks import Part
from aae.data.labels import Names
from aae.data.reading import as_text
from aae.errors import InputError

ColumnNames: TypeAlias = str | int | Sequence[str | int]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to read a source; an option that does not apply to its format is refused, see `Format.options`.

    Attributes
    ----------
    label_column, id_column, ignore_columns, header, image_size, colour, fold
        As for `aae.data.load`.
    unlabelled : str, number or several of them, optional
        What stands for "no label", beside what always does; applies to every format.
    columns : tuple of str
        The columns of the table a model was trained on: these are read, in this order, and no others.
    named : bool, optional
        Whether the file that they are of has a line of names; without one they are called 0, 1, ...
    whole : bool
        Read all rows as one part, to apply a model to, and leave options that do not fit aside.
    labels_only : bool
        Read a file as one column of labels.
    kinds : str or mapping
        What columns of a table are, ``"auto"`` or as for `aae.data.columns.Columns.choose`.
    categories : dict of str to tuple
        The values that columns had in training, by name, so that a word among them is no missing value.
    covariates : tuple of str
        Columns that the decoder sees beside the code.
    missing : bool
        Whether values may be missing.
    layer : str, optional
        Of an AnnData file, in place of its ``X``.
    """

    label_column: str | None = None
    id_column: str | None = None
    ignore_columns: str | Sequence[str] = ()
    header: bool | None = None
    image_size: int | None = None
    colour: bool = False
    fold: int | None = None
    unlabelled: Names = None
    columns: tuple[str, ...] = ()
    named: bool | None = None
    whole: bool = False
    labels_only: bool = False
    kinds: str | Mapping[Any, str] = "auto"
    categories: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    covariates: tuple[str, ...] = ()
    missing: bool = False
    layer: str | None = None

    def is_text(self, name: str) -> bool:
        """Check whether a column is said to hold categories, which may be text."""
        kind = self.kinds if isinstance(self.kinds, str) else self.kinds.get(name, "auto")
        return kind in ("categorical", "boolean")

    def __post_init__(self) -> None:
        for option in ("label_column", "id_column"):
            if (name := getattr(self, option)) is not None:
                object.__setattr__(self, option, as_text(name).strip())
        several = (self.ignore_columns,) if isinstance(self.ignore_columns, str) else self.ignore_columns
        object.__setattr__(self, "ignore_columns", tuple(as_text(name).strip() for name in several))


@dataclass(frozen=True, eq=False)
class Parts:
    """What a source holds: rows to learn from, and splits where it has its own.

    Attributes
    ----------
    train : Part
        All rows, or those to train on.
    validation, test : Part or None
        Splits of the source's own.
    class_names : tuple of str, optional
        The classes in their order, where the format knows them; otherwise they are sorted.
    last : bool
        Whether held-out rows are the last ones, so that a memory map stays one.
    """

    train: Part
    validation: Part | None = None
    test: Part | None = None
    class_names: tuple[str, ...] | None = None
    last: bool = False


@dataclass(frozen=True, kw_only=True)
class Format:
    """One kind of source.

    Attributes
    ----------
    name : str
        In the plural, for messages: ``"images"``.
    files, folders : str
        What to call a file or folder of it in a list of what can be read; empty where there is none of the kind.
    options : frozenset of str
        The options of `Options` that apply.
    is_file, is_folder : function
        Check whether a path, which exists, is one.
    read : function
        Read a source that was recognised; InputError for whatever is wrong with it.
    read_labels : function, optional
        Read a file as nothing but labels (n,).
    """

    name: str
    files: str = ""
    folders: str = ""
    options: frozenset[str] = field(default_factory=frozenset)
    is_file: Callable[[Path], bool] = lambda path: False
    is_folder: Callable[[Path], bool] = lambda path: False
    read: Callable[[Path, Options], Parts]
    read_labels: Callable[[Path, Options], NDArray[Any]] | None = None

    def recognises(self, path: Path) -> bool:
        """Check whether a file or folder is of this kind."""
        return self.is_folder(path) if path.is_dir() else self.is_file(path)


FORMATS: list[Format] = []


def register(*formats: Format) -> None:
    """Add formats to the registry; those that come first are asked first."""
    FORMATS.extend(formats)


def find(path: Path) -> Format:
    """Find the format of a file or folder; InputError if it has none of them."""
    for known in FORMATS:
        if known.recognises(path):
            return known
    if path.is_dir():
        raise InputError(f"{path}: found a folder without images or tables, {expected()}")
    ending = f"the suffix {path.suffix!r}" if path.suffix else "a file without a suffix"
    raise InputError(f"{path}: found {ending}, {expected()}")


def expected() -> str:
    """Say what can be read."""
    return f"expected {_list(known.files for known in FORMATS)}; or a folder of {_list(known.folders for known in FORMATS)}"


def expected_labels() -> str:
    """Say which files of labels can be read."""
    return f"expected {_list(known.files for known in FORMATS if known.read_labels)}"


def column_name(column: str | int | None) -> str | None:
    """Return the name of a column that is given by its name or, in a table without names, by its number."""
    return None if column is None else str(column)


def column_names(columns: ColumnNames) -> str | tuple[str, ...]:
    """Return the names of one column or of several, as `column_name`."""
    return str(columns) if isinstance(columns, str | int) else tuple(map(str, columns))


def list_widths(columns: Iterable[str]) -> Counter[str]:
    """Count the `columns` of each list: the values of a list ``name`` are columns ``name_0``, ``name_1``, ..."""
    parts = [column.rpartition("_") for column in columns]
    return Counter(name for name, _, place in parts if place.isdigit())


def refuse(source: object, options: Options, applying: Iterable[str]) -> None:
    """Check that no option is given but the `applying` ones; InputError for the first that is."""
    everywhere = {
        "columns",
        "named",
        "whole",
        "labels_only",
        "unlabelled",
        "kinds",
        "categories",
        "covariates",
        "missing",
    }
    allowed = everywhere | {*applying}
    for option in fields(Options):
        value = getattr(options, option.name)
        if option.name not in allowed and not (value is None or value is False or value == ()):
            formats = _list((known.name for known in FORMATS if option.name in known.options), " and ")
            raise InputError(
                f"{option.name}: found this option for {source}, expected it only for {formats or 'your own data'}"
            )


def ends_with(*endings: str) -> Callable[[Path], bool]:
    """Create a check of a file's name, in which upper and lower case are the same."""
    return lambda path: path.name.lower().endswith(endings)


def visible(folder: Path) -> list[Path]:
    """List what is in a folder, sorted by name, without hidden things and what systems leave behind."""
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith((".", "__")) and path.name not in _LEFT_BEHIND
    )


SPLITS = {
    **{"train": "train", "training": "train", "test": "test", "testing": "test"},
    **{"val": "validation", "valid": "validation", "validation": "validation"},
}
"""What people call the files and folders of a split, in any case."""

LIKELY = {
    "label_column": frozenset({"label", "labels", "class", "classes", "target", "targets"}),
    "id_column": frozenset({"id", "ids", "index", "row_id", "rowid", "unnamed: 0"}),
}
"""Names, in small letters, of columns of numbers that are often something else."""

_LEFT_BEHIND = frozenset({"Thumbs.db", "desktop.ini", "Icon\r", "_SUCCESS"})


def list_some(names: Iterable[str], total: int = 3) -> str:
    """Write a few of some names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - total} more" if len(every) > total else ""
    return ", ".join(every[:total]) + more


def _list(texts: Iterable[str], joint: str = ", ") -> str:
    return joint.join(sorted(dict.fromkeys(text for text in texts if text), key=lambda text: not text.startswith(".")))
