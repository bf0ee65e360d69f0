"""Tables with named columns: which of them are numbers, labels and identifiers, whatever kind of file they come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae.data.checks import Part, check_distinct
from aae.data.formats import LIKELY, SPLITS, Format, Options, Parts, ends_with, list_some, list_widths, visible
from aae.data.labels import Names, is_unlabelled, names_of, read_texts
from aae.data.reading import readable_name, require_memory
from aae.errors import InputError, note, unknown

DEFAULT_LABEL = "label"
OPTIONS = frozenset({"label_column", "id_column", "ignore_columns"})
_WORD = re.compile("[a-z]+")  # the first one of train-00000-of-00002.parquet
HINT = "data.label_column names a column of labels, data.ignore_columns leaves columns out"


@dataclass(frozen=True)
class Roles:
    """What the columns of a file are, by their place in it.

    Attributes
    ----------
    features : tuple of int
        The columns of numbers.
    label, ids : int or None
        The columns of labels and of identifiers.
    """

    features: tuple[int, ...]
    label: int | None
    ids: int | None


@dataclass(frozen=True, eq=False)
class TableFile:
    """The columns of one file, each in its role.

    Attributes
    ----------
    rows : array, (n, columns)
        The numbers.
    columns : tuple of str
        Their names.
    labels, ids : array (n,), or None
        Text, or numbers where the format has types.
    id_column : str
        The name of the column of identifiers.
    texts : dict of str to array (n,)
        The columns whose values are no numbers, by name, None for a missing one; in `rows` there is NaN in their place.
    kinds : dict of str to str
        What the format knows of its columns.
    named : bool, optional
        Whether the file has a line of names, where that is a question.
    """

    rows: NDArray[Any]
    columns: tuple[str, ...]
    labels: NDArray[Any] | None
    ids: NDArray[Any] | None
    id_column: str
    texts: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    named: bool | None = None


def assign(path: Path | str, names: Sequence[str], options: Options, row_names: Sequence[int] = ()) -> Roles:
    """Find out what each column is.

    Parameters
    ----------
    path : Path or str
        The file, for messages.
    names : sequence of str
        The names of all columns, without spaces around them.
    options : Options
        Names columns. With ``whole`` one that names a column that is not there is left aside, as new rows need not have
        labels; with ``columns`` all other columns are left out.
    row_names : sequence of int
        The columns in which the file itself keeps names of rows, such as an index of pandas. The first identifies the rows,
        unless others are named for it.

    Raises
    ------
    InputError
        A column that is not there, one without a name, or two with the same name.
    """
    if options.labels_only:
        columns = [place for place in range(len(names)) if place not in row_names]
        if len(columns) != 1:
            raise InputError(f"{path}: found {len(columns)} columns, expected one column of labels")
        return Roles((), columns[0], None)
    places = {name: place for place, name in reversed(list(enumerate(names)))}
    _check_names(path, names, row_names)

    def find(name: str | None) -> int | None:
        if name is None or name in places or options.whole:
            return None if name is None else places.get(name)
        raise unknown_column(path, name, names)

    label, ids = find(options.label_column), find(options.id_column)
    if label is None and options.label_column is None and DEFAULT_LABEL not in options.columns:
        label = places.get(DEFAULT_LABEL)
        label = None if label in (ids, *row_names) or DEFAULT_LABEL in options.ignore_columns else label
    if label is not None and label == ids:
        raise InputError(
            f"{path}: found column {names[label]!r} named for both labels and identifiers, expected two columns"
        )
    if ids is None and options.id_column is not None:
        note(f"{path}: has no column {options.id_column!r}; rows are written without identifiers")
    if ids is None:
        ids = next((place for place in row_names if place != label), None)
        if len(row_names) > 1:
            note(f"{path}: of {len(row_names)} columns of names of rows {names[ids or 0]!r} identifies the rows")
    ignored = {find(name) for name in options.ignore_columns}
    if label in ignored - {None}:
        raise InputError(
            f"{path}: found the column of labels {names[label or 0]!r} in data.ignore_columns, expected others"
        )
    left_out = {label, ids, *row_names, *ignored}
    if not options.columns:
        return Roles(tuple(place for place in range(len(names)) if place not in left_out), label, ids)
    wanted = {*options.columns, *list_widths(options.columns)}
    more = [name for place, name in enumerate(names) if name not in wanted and place not in left_out]
    if more and set(options.columns) <= set(names):
        known = "the training data" if options.whole else "the first file"
        note(f"{path}: not read, being no columns of {known}: {list_some(map(repr, more))}")
    if label is not None and names[label] in wanted:
        label = None
    return Roles(tuple(place for place, name in enumerate(names) if name in wanted), label, ids)


def unknown_column(path: Path | str, name: str, names: Sequence[str]) -> InputError:
    """Create the error for a column that is not there; of many columns a few are named."""
    parts = [part.strip() for part in name.split(",")]
    if len(parts) > 1 and set(parts) <= set(names):
        listed = ", ".join(f'"{part}"' for part in parts)
        return InputError(f"{path}: unknown column {name!r}; expected a list of several: [{listed}]")
    if len(names) > 50:
        return InputError(f"{path}: unknown column {name!r}; expected one of {list_some(map(repr, names), 5)}")
    return InputError(f"{path}: {unknown('column', name, names)}")


def _check_names(path: Path | str, names: Sequence[str], row_names: Sequence[int]) -> None:
    for place, name in enumerate(names):
        if not name and place not in row_names:
            raise InputError(f"{path}: found no name for column {place} (counted from 0), expected one")
    check_distinct(names, str(path))


def in_order(path: Path, table: TableFile, columns: Sequence[str]) -> TableFile:
    """Bring the columns of a file into the order of `columns` by name; InputError for one that is missing."""
    if table.columns == tuple(columns):
        return table
    places = {name: place for place, name in enumerate(table.columns)}
    missing = [name for name in columns if name not in places]
    if missing:
        raise InputError(
            f"{path}: found no column {list_some(map(repr, missing))}, expected the columns of the training data"
        )
    return replace(table, rows=table.rows[:, [places[name] for name in columns]], columns=tuple(columns))


def table_format(
    name: str,
    endings: Sequence[str],
    read_file: Callable[[Path, Options], TableFile],
    options: frozenset[str] = OPTIONS,
    also: str = "",
) -> Format:
    """Create the format of a kind of table from a function that reads one file; a folder of such files is one table.

    Files of a folder that are called after splits, such as ``train.csv`` and ``test.csv``, are these.

    Parameters
    ----------
    name : str
        ``"CSV"``.
    endings : sequence of str
        How its files end, in lower case.
    read_file : function
        Reads one file; see `assign`.
    options : frozenset of str
        The options that apply.
    also : str
        What to say of the files in a list, beside the endings.
    """
    is_file = ends_with(*endings)

    def read(path: Path, options: Options) -> Parts:
        if not path.is_dir():
            return Parts(read_part(path, [path], options))
        splits = _by_split(path, _parts(path, is_file))
        train = read_part(path, splits["train"], options)
        known = replace(options, columns=train.columns, named=train.named)
        held = {split: read_part(path, files, known) for split, files in splits.items() if split != "train"}
        kind = np.result_type(train.rows, *(part.rows for part in held.values()))
        train, *others = (replace(part, rows=part.rows.astype(kind, copy=False)) for part in (train, *held.values()))
        by_split = dict(zip(held, others, strict=True))
        return Parts(train, by_split.get("validation"), by_split.get("test"))

    def read_part(path: Path, files: Sequence[Path], options: Options) -> Part:
        first = read_file(files[0], options)
        if not options.columns:
            _note_likely(path, first, options)
        columns = options.columns or first.columns
        tables = [in_order(files[0], first, columns)]
        # Which the other files have to have.
        known = replace(options, columns=columns, named=first.named if options.named is None else options.named)
        for file in files[1:]:
            table = in_order(file, read_file(file, known), columns)
            _check_like(file, table, first, files[0])
            tables.append(table)
        return _join(path, files, tables, options)

    def read_labels(path: Path, options: Options) -> NDArray[Any]:
        table = read_file(path, replace(options, labels_only=True))
        assert table.labels is not None
        return finish_labels([table.labels], options.unlabelled, str(path), training=not options.whole)

    return Format(
        name=f"{name} files",
        files=", ".join(endings) + also,
        folders=f"{name} files",
        options=options,
        is_file=is_file,
        is_folder=lambda path: any(is_file(inner) and inner.is_file() for inner in visible(path)),
        read=read,
        read_labels=read_labels,
    )


def _note_likely(path: Path, table: TableFile, options: Options) -> None:
    """Say which columns are learnt from as numbers though their names are those of labels or identifiers."""
    for option, likely in LIKELY.items():
        there = table.labels if option == "label_column" else table.ids
        names = [name for name in table.columns if name.casefold() in likely and name not in table.texts]
        if names and there is None and getattr(options, option) is None:
            quoted = f"'{names[0]}'" if " " in names[0] else names[0]
            what = "labels" if option == "label_column" else "identifiers"
            note(
                f"{path}: column {names[0]!r} is read as numbers to learn from; data.{option}={quoted} reads it as {what}"
            )


def _parts(folder: Path, is_file: Callable[[Path], bool]) -> list[Path]:
    """List the files of a table in parts, by name."""
    inside = visible(folder)
    others = [path for path in inside if not (is_file(path) and path.is_file())]
    for path in others:
        if path.is_dir():
            raise InputError(f"{folder}: found a folder {path.name!r} beside parts of a table, expected files alone")
    if others:
        note(
            f"{folder}: not read, being no parts of the table: {len(others)}, such as "
            f"{list_some(readable_name(Path(path.name)) for path in others)}"
        )
    return [path for path in inside if is_file(path)]


def _by_split(folder: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Part files by the split that they are called after, where some are for training and some for something else."""
    splits: dict[str, list[Path]] = {}
    for file in files:
        word = _WORD.match(file.name.lower())
        splits.setdefault(SPLITS.get(word[0] if word else "", ""), []).append(file)
    if "train" not in splits or len(splits.keys() - {"", "train"}) == 0:
        held_out = {word for word, split in SPLITS.items() if split != "train"}
        inside = [file.name for file in files if held_out & {*_WORD.findall(file.stem.lower())}]
        if inside:
            note(
                f"{folder}: all {len(files)} files are read as one table, {list_some(inside)} too; splits are files whose names "
                "begin with train, val or test, some of train and some of another"
            )
        return {"train": list(files)}
    if "" in splits:
        raise InputError(
            f"{folder}: found {splits[''][0].name!r} beside {splits['train'][0].name!r} and others of splits, expected these "
            "alone"
        )
    return splits


def _check_like(file: Path, table: TableFile, first: TableFile, first_file: Path) -> None:
    for what, own, others in (
        ("labels", table.labels, first.labels),
        ("identifiers", table.ids, first.ids),
    ):
        if (own is None) != (others is None):
            has, lacks = ("none", "some") if own is None else ("some", "none")
            raise InputError(f"{file}: found {has} {what}, expected {lacks} like {first_file.name}")


def _join(path: Path, files: Sequence[Path], tables: Sequence[TableFile], options: Options) -> Part:
    """Put the files of a table together."""
    first = tables[0]
    parts = [table.labels for table in tables if table.labels is not None]
    labels = finish_labels(parts, options.unlabelled, str(path), training=not options.whole) if parts else None
    about: dict[str, Any] = {"kinds": first.kinds, "missing": options.missing, "named": first.named}
    if not path.is_dir():
        own = first.rows, labels, first.columns, first.ids, first.id_column
        return Part(str(path), *own, texts=first.texts, **about)
    require_memory(sum(table.rows.nbytes for table in tables), str(path))
    rows = np.concatenate([table.rows for table in tables])
    if options.missing:
        tables = _without_values(tables)
        first = tables[0]
    for file, table in zip(files, tables, strict=True):
        if table.texts.keys() != first.texts.keys():
            name = min(table.texts.keys() ^ first.texts.keys())
            raise InputError(
                f"{file}: column {name!r}: found other values than in {files[0].name}, expected the same kind"
            )
    about["texts"] = {name: np.concatenate([table.texts[name] for table in tables]) for name in first.texts}
    found = [as_ids(table.ids) for table in tables if table.ids is not None]
    if found:
        return Part(str(path), rows, labels, first.columns, np.concatenate(found), first.id_column, **about)
    names = [readable_name(Path(file.name)) for file in files]
    # Its file, and its place in it from 0.
    ids = [f"{name}:{row}" for name, table in zip(names, tables, strict=True) for row in range(len(table.rows))]
    return Part(str(path), rows, labels, first.columns, np.array(ids, np.str_), "row", **about)


def _without_values(tables: Sequence[TableFile]) -> list[TableFile]:
    """Make text of the columns of files in which all values are missing, where another file has text there."""
    texts = {name for table in tables for name in table.texts}
    found = []
    for table in tables:
        empty = [
            name
            for name in texts - table.texts.keys()
            if name in table.columns and np.isnan(table.rows[:, table.columns.index(name)]).all()
        ]
        nothing = {name: np.full(len(table.rows), None, dtype=object) for name in empty}
        found.append(replace(table, texts={**table.texts, **nothing}))
    return found


def as_ids(values: NDArray[Any]) -> NDArray[Any]:
    """Bring identifiers to whole numbers or to text."""
    return values if values.dtype.kind in "iu" else values.astype(np.str_)


def finish_labels(
    parts: Sequence[NDArray[Any]], unlabelled: Names, where: str, *, training: bool = True
) -> NDArray[Any]:
    """Put the labels of several files together: numbers if all are whole numbers, otherwise text.

    Of labels to train on it is said which names of "no label" none of them has.
    """
    numbers = all(part.dtype.kind in "buif" for part in parts)
    together = np.concatenate(parts if numbers else [_as_texts(part) for part in parts])
    always = is_unlabelled(together)
    for name in names_of(unlabelled) if training else ():
        if not (is_unlabelled(together, name) & ~always).any():
            note(f"{where}: unlabelled is {name!r}, and no label is")
    return together if numbers else read_texts(together, unlabelled, where)


def _as_texts(labels: NDArray[Any]) -> NDArray[np.str_]:
    if labels.dtype.kind != "f":
        return labels.astype(np.str_)
    whole = np.where(is_unlabelled(labels), -1, labels)
    return np.array([str(int(label)) if label == int(label) else str(label) for label in whole.tolist()], np.str_)
