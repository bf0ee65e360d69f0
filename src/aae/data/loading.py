"""The doors of this package for files: `load` a data set to train on, `read_rows` to apply a model to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aae.data import catalogue, tfd
from aae.data import readers as readers  # which register themselves
from aae.data.checks import Part, check_parts
from aae.data.columns import CodedRows, Columns, KindOption, named_places
from aae.data.dataset import Dataset, Split
from aae.data.formats import (
    FORMATS,
    ColumnNames,
    Options,
    Parts,
    column_name,
    column_names,
    expected,
    expected_labels,
    find,
    list_some,
    refuse,
)
from aae.data.labels import Names
from aae.data.reading import check_regular, damaged, local_path
from aae.data.splits import hold_out
from aae.data.tables import HINT
from aae.data.values import NamedValues
from aae.errors import InputError, note, unknown

Missing: TypeAlias = Literal["error", "mask"]
HandleUnknown: TypeAlias = Literal["error", "unknown"]


def load(
    source: str | Path,
    *,
    validation: int | float = 0,
    test: int | float = 0.2,
    label_column: str | int | None = None,
    labels: str | Path | None = None,
    id_column: str | int | None = None,
    ignore_columns: ColumnNames = (),
    header: bool | None = None,
    unlabelled: Names = None,
    image_size: int | None = None,
    colour: bool = False,
    fold: int | None = None,
    download: bool = True,
    kinds: KindOption = "auto",
    covariates: str | Sequence[str] = (),
    missing: Missing = "error",
    handle_unknown: HandleUnknown = "error",
    layer: str | None = None,
) -> Dataset:
    """Load a data set by name or from a path.

    Parameters
    ----------
    source : str or Path
        A known name (see `names`) or a path: ``.npy`` (rows); ``.npz`` (``x_train, y_train``, with
        ``x_val, y_val, x_test, y_test`` where there are such splits, or one of X, x, images, rows with one of y, labels, or a
        sparse matrix of SciPy); ``.csv``, ``.tsv``, either of them also
        ``.gz``, and ``.parquet``, or a folder of parts of such a table; a folder with the four IDX files of MNIST; a folder
        with ``.mat`` files of SVHN; the ``.mat`` file of TFD; a folder of images, with a subfolder per class for labels, and
        ``train``, ``val`` and ``test`` above them for splits. A name goes before a path of the same name; write
        ``./mnist`` for the path.
    validation : int or float
        Held out of the training rows: a number of rows, or a fraction in [0, 1). For ``mnist`` and SVHN these are the
        last rows, otherwise a fixed shuffled draw with the classes in proportion. Without effect on TFD, whose folds
        have a validation split of their own.
    test : int or float
        Held out of your own data in the same way, before `validation`; 0 for no test split. Without effect where the
        source has a test split of its own.
    label_column : str or int, optional
        The column of labels of a table: whole numbers or text. A column ``label`` is taken by itself. In a table without a line
        of names it is called by its number, counted from 0.
    labels : str or Path, optional
        A ``.npy`` file, or a table of one column, with the label of every row, for a source that has no labels of its own.
    id_column : str or int, optional
        The column of a table that identifies its rows. It is not learnt from, and is written beside results. The index of
        pandas in a Parquet file is one by itself.
    ignore_columns : str, int or sequence of them
        Columns of a table that are left out.
    header : bool, optional
        Whether the first line of a CSV or TSV file names its columns; by default that is found out.
    unlabelled : str, number or several of them, optional
        What else stands for "no label", such as ``"unlabelled"``; see `is_unlabelled` for what always does.
    image_size : int, optional
        Height and width in pixels to resize a folder of images to.
    colour : bool
        Read a folder of images as red, green and blue instead of grayscale.
    fold : int, optional
        Which of the official folds of TFD gives the validation and test images, 0 to 4; by default the first.
    download : bool
        Whether a known data set may be downloaded when it is not on this machine.
    kinds : str or mapping
        What the columns of a table are: ``"auto"``, a kind for all (``"numerical"``, ``"boolean"``, ``"categorical"``,
        ``"count"``), or a mapping from names of columns to kinds; see `aae.data.columns.Columns.choose`.
    covariates : str or sequence of str
        Columns that the decoder sees beside the code, and the encoder does not.
    missing : {"error", "mask"}
        Whether values may be missing; they are NaN then.
    handle_unknown : {"error", "unknown"}
        What becomes of a category that training did not see.
    layer : str, optional
        Of an AnnData file, in place of its ``X``.

    Returns
    -------
    Dataset
        Classes are numbered 0..K-1 in sorted order. Without a validation or shuffled test split, plain IDX files stay
        read-only memory maps and ``.npy`` files copy-on-write ones, in the type of the file; SVHN always stays one of these.

    Raises
    ------
    InputError
        An unknown name or missing path, data that is damaged or not of the form above, options that do not apply, a
        wrong checksum, or no network.

    Warns
    -----
    InputWarning
        Data that could be read in more than one way, or files that are not read.
    """
    options = Options(
        label_column=column_name(label_column),
        id_column=column_name(id_column),
        ignore_columns=column_names(ignore_columns),
        header=header,
        unlabelled=unlabelled,
        image_size=image_size,
        colour=colour,
        fold=fold,
        kinds=kinds,
        covariates=(covariates,) if isinstance(covariates, str) else tuple(covariates),
        missing=missing == "mask",
        layer=layer,
    )
    if isinstance(source, str) and source in catalogue.NAMES:
        if Path(source).exists():
            note(f"{source}: the data set of this name is read, and not the file or folder; ./{source} reads that")
        has_folds = source in [entry.name for entry in tfd.ENTRIES]
        refuse(source, options, {"fold"} if has_folds else ())
        if labels is not None or unlabelled is not None:
            option = "unlabelled" if labels is None else "labels"
            raise InputError(f"{option}: found this option for {source}, expected it only for your own data")
        return catalogue.load_named(source, validation=validation, fold=fold, download=download)
    path = local_path(source)
    if not path.exists():
        raise InputError(f"{unknown('data set', str(source), catalogue.NAMES)}; and no file or folder is called so")
    parts = _read(path, options)
    name, train = path.resolve().name, parts.train
    if labels is not None:
        if train.labels is not None or parts.test is not None or parts.validation is not None:
            raise InputError(
                f"labels: found {labels!r} for {path}, expected none, as that has its own labels or test rows"
            )
        train = replace(train, labels=_read_labels(local_path(labels), options), labels_where=str(labels))
    parts, table = by_kind(replace(parts, train=train), options, handle_unknown)
    return hold_out_splits(name, parts, table, validation=validation, test=test, unlabelled=unlabelled)


def by_kind(parts: Parts, options: Options, handle_unknown: HandleUnknown) -> tuple[Parts, Columns | None]:
    """Find out what the columns of a source are, and bring them to numbers; None where there is nothing but numbers.

    Raises
    ------
    InputError
        If there are images where options are of a table, all columns are covariates, or a value is none of its kind.
    """
    train, wanted = parts.train, options.kinds
    missing = options.missing
    if train.rows.ndim != 2:
        if wanted != "auto" or options.covariates or missing:
            option = "covariates" if options.covariates else "missing" if missing else "columns"
            raise InputError(f"{train.where}: found images, expected a table for data.{option}")
        return parts, None
    if wanted == "auto" and not train.texts and not options.covariates and not missing and not train.kinds:
        return parts, None
    if isinstance(wanted, str):
        kinds: KindOption = wanted if wanted != "auto" else (dict(train.kinds) or "auto")
    else:
        kinds = {**train.kinds, **wanted}
    values = _named(train)
    names = list(values.values)
    outer = named_places(names, options.covariates, f"{train.where}: covariates")
    if isinstance(kinds, str) and kinds != "auto":
        kinds = {name: kind for k, name in enumerate(names) for kind in [kinds] if k not in outer}
    found = Columns.choose(values, kinds, handle_unknown, where=train.where)
    inner = [k for k in range(len(names)) if k not in outer]
    if not inner:
        raise InputError(f"{train.where}: all columns are covariates, expected others too")
    table = replace(found, columns=tuple(found.columns[k] for k in inner)).with_covariates(
        replace(found, columns=tuple(found.columns[k] for k in outer))
    )
    if [*inner, *outer] != list(range(len(names))):
        table = replace(table, places=(*inner, *outer))
    if table.is_plain and not missing:
        return parts, None
    chosen = [
        column for column in table.inner.columns if column.kind == "categorical" and not options.is_text(column.name)
    ]
    if chosen:
        told = list_some(f"{column.name!r} ({column.levels})" for column in chosen)
        note(f"{train.where}: read as categories: {told}; {HINT}")
    encoded = {
        split: None if part is None else encode_part(part, table, missing=missing)
        for split, part in (("train", train), ("validation", parts.validation), ("test", parts.test))
    }
    rows = encoded["train"].rows  # type: ignore[union-attr]
    for k, column in enumerate(table.columns):
        if len(rows) and np.isnan(rows[:, k]).all():
            raise InputError(
                f"{train.where}: column {column.name!r}: found no value in {len(rows)} training rows, expected some; "
                "data.ignore_columns leaves columns out"
            )
    return replace(parts, **encoded), table  # type: ignore[arg-type]


def encode_part(part: Part, table: Columns, *, missing: bool) -> Part:
    """Bring the values of a part to numbers, in the order of the columns; InputError where one is missing or unknown."""
    values = _named(part).values
    names = list(values)
    for column in table.columns:
        if column.name not in values:
            raise InputError(
                f"{part.where}: found no column {column.name!r}, expected the columns of the training data"
            )
    ordered = NamedValues({names[k]: values[names[k]] for k in table.order(names)})
    rows = table.encode(ordered, missing=missing, where=part.where)
    if "numerical" not in table.kinds:
        rows = rows.astype(np.float32)  # which holds all counts and numbers of categories
    columns = table.names if part.columns else ()
    return replace(part, rows=rows.view(CodedRows), columns=columns, texts={}, missing=missing)


def _named(part: Part) -> NamedValues:
    """Return the columns of a part by name, or by place where they have none."""
    names = part.columns or tuple(str(k) for k in range(part.rows.shape[1]))
    return NamedValues({name: part.texts.get(name, part.rows[:, k]) for k, name in enumerate(names)})


def hold_out_splits(
    name: str,
    parts: Parts,
    table: Columns | None = None,
    *,
    validation: int | float,
    test: int | float,
    unlabelled: Names,
) -> Dataset:
    """Check what a source holds, and hold out of it the splits that it has not; options as for `load`."""
    given = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    there = {split: part for split, part in given.items() if part is not None}
    checked, class_names = check_parts(list(there.values()), parts.class_names, unlabelled)
    splits = dict(zip(there, checked, strict=True))
    kept, test_split, held = splits["train"], splits.get("test"), splits.get("validation")
    if test_split is None:
        kept, test_split = hold_out(kept, test, option="test", where=name, last=parts.last)
    if held is None:
        kept, held = hold_out(kept, validation, option="validation", where=name, last=parts.last)
    return Dataset(
        name, kept, held, test_split, kept.rows.shape[1:], class_names, parts.train.columns, table, parts.train.named
    )


def read_rows(
    path: str | Path,
    *,
    label_column: str | int | None = None,
    id_column: str | int | None = None,
    ignore_columns: ColumnNames = (),
    header: bool | None = None,
    unlabelled: Names = None,
    shape: tuple[int, ...] | None = None,
    image_size: int | None = None,
    colour: bool = False,
    class_names: tuple[str, ...] | None = None,
    columns: tuple[str, ...] = (),
    named: bool | None = None,
    labels: bool = True,
    table: Columns | None = None,
    missing: Missing = "error",
    layer: str | None = None,
) -> Split:
    """Read all rows of one file or folder, to encode, reconstruct or predict.

    Parameters
    ----------
    path : str or Path
        Whatever `load` reads, but for a source of separate training and test rows; also single images and IDX files.
    label_column, id_column, ignore_columns, header, unlabelled, image_size, colour
        As for `load`, but ignored where they do not apply or the table has no such column, so that the options a model was
        trained with can be passed for any new rows.
    shape : tuple of int, optional
        The shape that a row has to have. Plain columns, as many as it has values, are given that shape.
    class_names : tuple of str, optional
        The classes of the data a model was trained on, so that the same class gets the same number. By default the
        classes that occur are numbered in sorted order.
    columns : tuple of str, optional
        The columns of the table a model was trained on. Columns of another table are brought into that order by name;
        columns beyond those are not read, but for those of labels and identifiers.
    named : bool, optional
        Whether that table had a line of names, so that 0, 1, ... in a first line are known to be names or values.
    labels : bool
        Whether labels are of interest; otherwise there are none in what is returned, and any will do.
    table : Columns, optional
        What the columns of the training data are, where they are not all numbers.
    missing, layer
        As for `load`.

    Returns
    -------
    Split
        The rows in the order of the file, or of the file names; labels and identifiers where the source has them.

    Raises
    ------
    InputError
        A missing path, data that is damaged or not of the form above, rows of another shape, a label that is none of
        `class_names`, a table without one of `columns`, or a source that holds separate training and test rows.
    """
    path = local_path(path)
    if not path.exists():
        raise InputError(f"{path}: found no such file or folder, {expected()}")
    options = Options(
        label_column=column_name(label_column),
        id_column=column_name(id_column),
        ignore_columns=column_names(ignore_columns),
        header=header,
        unlabelled=unlabelled,
        image_size=image_size,
        colour=colour,
        columns=columns,
        named=named,
        whole=True,
        kinds="auto" if table is None else dict(zip(table.names, table.kinds, strict=True)),
        categories={} if table is None else {column.name: column.categories for column in table.columns},
        covariates=() if table is None else table.outer.names,
        missing=missing == "mask",
        layer=layer,
    )
    parts = _read(path, options)
    for name, held in (("test", parts.test), ("validation", parts.validation)):
        if held is not None:
            raise InputError(f"{path}: found training and {name} rows, expected one set of rows")
    part = parts.train if labels else replace(parts.train, labels=None)
    if table is not None:
        part = encode_part(part, table, missing=options.missing)
    elif part.texts:
        name, values = next(iter(part.texts.items()))
        kinds = {type(value) for value in values if value is not None}
        found = "text" if str in kinds else "true and false" if kinds == {bool} else "categories"
        raise InputError(f"{part.where}: column {name!r}: found {found}, expected numbers as in the training data")
    if shape is not None and part.rows.ndim == 2 and part.rows.shape[1] == math.prod(shape):
        part = replace(part, rows=part.rows.reshape(-1, *shape), columns=part.columns if len(shape) == 1 else ())
    (split,), _ = check_parts([part], class_names or parts.class_names, unlabelled)
    if shape is not None and split.rows.shape[1:] != shape:
        raise InputError(f"{part.where}: found rows of shape {split.rows.shape[1:]}, expected {shape}")
    return split


def _read(path: Path, options: Options) -> Parts:
    check_regular(path)
    with damaged(path, "one that can be read") if not path.is_dir() else damaged(path, "a folder that can be read"):
        found = find(path)
        if not options.whole:
            refuse(path, options, found.options)
        return found.read(path, options)


def _read_labels(path: Path, options: Options) -> NDArray[Any]:
    if not path.is_file():
        raise InputError(f"labels: found no file {str(path)!r}, {expected_labels()}")
    for known in FORMATS:
        if known.read_labels is not None and known.recognises(path):
            return known.read_labels(path, Options(unlabelled=options.unlabelled))
    raise InputError(f"labels: found {str(path)!r}, {expected_labels()}")
