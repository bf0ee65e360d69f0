"""The two doors of this room: `load` a data set to train on, `read_rows` to apply a model to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae.data import arrays, catalogue, idx, matlab, svhn, tables, tfd
from aae.data import images as images
from aae.data.checks import Part, check_labels, check_rows, number_classes
from aae.data.dataset import Dataset, Split
from aae.data.splits import hold_out
from aae.errors import InputError, unknown

_EXPECTED = (
    "expected .npy, .npz, .csv, .parquet, an IDX file, a .mat file of SVHN or TFD, a image, "
    "or a folder of IDX files, SVHN files or images"
)
_APPLIES = {
    "label_column": "for .csv and .parquet files",
    "labels": "for your own data",
    "image_size": "for images",
    "colour": "for images",
    "fold": f"for {', '.join(entry.name for entry in tfd.ENTRIES)} and a {tfd.FILE}",
}


def load(
    source: str,
    *,
    validation: int | float = 0,
    test: int | float = 0.2,
    label_column: str | None = None,
    labels: str | None = None,
    image_size: int | None = None,
    colour: bool = False,
    fold: int | None = None,
    download: bool = True,
) -> Dataset:
    """Load a data set by name or from a path.

    Parameters
    ----------
    source : str
        A known name (see `names`) or a path: ``.npy`` (rows); ``.npz`` (``x_train, y_train, x_test, y_test``, or one of
        X, x, images, rows with one of y, labels); ``.csv`` and ``.parquet``; a folder with the four IDX files of MNIST;
        a folder with ``.mat`` files of SVHN; the ``.mat`` file of TFD; a folder of images, with a subfolder per class
        for labels, and ``train`` and ``test`` above them for splits. A name goes before a path of the same name; write
        ``./mnist`` for the path.
    validation : int or float
        Held out of the training rows: a number of rows, or a fraction in [0, 1). For ``mnist`` and SVHN these are the
        last rows, otherwise a fixed shuffled draw with the classes in proportion. Without effect on TFD, whose folds
        have a validation split of their own.
    test : int or float
        Held out of your own data in the same way, before `validation`; 0 for no test split. Without effect where the
        source has a test split of its own.
    label_column : str, optional
        The column of labels of a table: integers or text; empty or -1 is unlabelled. A column ``label`` is taken by
        itself.
    labels : str, optional
        A ``.npy`` file, or a ``.csv`` or ``.parquet`` file of one column, with the label of every row, for a source
        that has no labels of its own.
    image_size : int, optional
        Height and width in pixels to resize a folder of images to.
    colour : bool
        Read a folder of images as red, green and blue instead of grayscale.
    fold : int, optional
        Which of the official folds of TFD gives the validation and test images, 0 to 4; by default the first.
    download : bool
        Whether a known data set may be downloaded when it is not on this machine.

    Returns
    -------
    Dataset
        Classes are numbered 0..K-1 in sorted order. Without a validation or shuffled test split, plain IDX files stay
        read-only memory maps and float32 or image ``.npy`` files copy-on-write ones; SVHN always stays one of these.

    Raises
    ------
    InputError
        An unknown name or missing path, data that is damaged or not of the form above, options that do not apply, a
        wrong checksum, or no network.
    """
    if source in catalogue.NAMES:
        _refuse(source, label_column=label_column, labels=labels, image_size=image_size, colour=colour)
        if source not in [entry.name for entry in tfd.ENTRIES]:
            _refuse(source, fold=fold)
        return catalogue.load_named(source, validation=validation, fold=fold, download=download)
    path = Path(source).expanduser()
    if not path.exists():
        raise InputError(f"{unknown('data set', source, catalogue.NAMES)}; and no file or folder is called so")
    name = path.resolve().name
    if tfd.is_faces(path):
        _refuse(path, label_column=label_column, labels=labels, image_size=image_size, colour=colour)
        return tfd.load_file(path / tfd.FILE if path.is_dir() else path, name, fold)
    _refuse(path, fold=fold)
    train, own_test = _read(path, label_column, image_size, colour)
    if labels is not None:
        if train.labels is not None or own_test is not None:
            raise InputError(
                f"labels: found {labels!r} for {path}, expected none, as that has its own labels or test rows"
            )
        train = replace(train, labels=_read_labels(Path(labels).expanduser()))
    splits, class_names = _finish([train] if own_test is None else [train, own_test])
    last = svhn.is_folder(path) or path.suffix.lower() == matlab.SUFFIX  # keeps a memory map
    if own_test is None:
        kept, test_split = hold_out(splits[0], test, option="test", where=name, last=last)
    else:
        kept, test_split = splits
    kept, held = hold_out(kept, validation, option="validation", where=name, last=last)
    return Dataset(name, kept, held, test_split, kept.rows.shape[1:], class_names, train.columns)


def read_rows(
    path: str | Path,
    *,
    label_column: str | None = None,
    shape: tuple[int, ...] | None = None,
    image_size: int | None = None,
    colour: bool = False,
    class_names: tuple[str, ...] | None = None,
    columns: tuple[str, ...] = (),
    labels: bool = True,
) -> Split:
    """Read all rows of one file or folder, to encode, reconstruct or predict.

    Parameters
    ----------
    path : str or Path
        ``.npy``, ``.npz``, ``.csv``, ``.parquet``, an IDX file, a ``.mat`` file of SVHN or TFD, a image, or a folder
        of images.
    label_column, image_size, colour
        As for `load`, but ignored where they do not apply or the table has no such column, so that the options a model was
        trained with can be passed for any new rows.
    shape : tuple of int, optional
        The shape that a row has to have. Plain columns, as many as it has values, are given that shape.
    class_names : tuple of str, optional
        The classes of the data a model was trained on, so that the same class gets the same number. By default the
        classes that occur are numbered in sorted order.
    columns : tuple of str, optional
        The columns of the table a model was trained on. Columns of another table are brought into that order by name;
        columns beyond those are not read, but for that of the labels.
    labels : bool
        Whether labels are of interest; otherwise there are none in what is returned, and any will do.

    Returns
    -------
    Split
        The rows in the order of the file, or of the file names; labels where the source has them.

    Raises
    ------
    InputError
        A missing path, data that is damaged or not of the form above, rows of another shape, a label that is none of
        `class_names`, a table without one of `columns`, or a source that holds separate training and test rows.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"{path}: found no such file or folder, {_EXPECTED}")
    if label_column is not None and not (_is_table(path) and label_column in tables.column_names(path)):
        label_column = None
    has_images = _is_image_source(path)
    part, test = _read(path, label_column, image_size if has_images else None, colour and has_images, columns)
    if test is not None:
        raise InputError(f"{path}: found training and test rows, expected one set of rows")
    if not labels:
        part = replace(part, labels=None)
    if columns and part.columns:
        part = _in_order(part, columns)
    if shape is not None and part.rows.ndim == 2 and part.rows.shape[1] == math.prod(shape):
        part = replace(part, rows=part.rows.reshape(-1, *shape), columns=part.columns if len(shape) == 1 else ())
    (split,), _ = _finish([part], class_names)
    if shape is not None and split.rows.shape[1:] != shape:
        raise InputError(f"{part.where}: found rows of shape {split.rows.shape[1:]}, expected {shape}")
    return split


def _read(
    path: Path, label_column: str | None, image_size: int | None, colour: bool, columns: Sequence[str] = ()
) -> tuple[Part, Part | None]:
    if _is_image_source(path):
        _refuse(path, label_column=label_column)
        return images.read_images(path, image_size, colour)
    _refuse(path, image_size=image_size, colour=colour)
    if _is_table(path):
        return tables.read_table(path, label_column, columns), None
    _refuse(path, label_column=label_column)
    if path.is_dir():
        return svhn.read_folder(path) if svhn.is_folder(path) else idx.read_folder(path)
    if idx.is_idx(path):
        return Part(str(path), idx.read_idx(path)), None
    suffix = path.suffix.lower()
    if suffix == matlab.SUFFIX:
        return tfd.read_file(path) if tfd.is_faces(path) else svhn.read_files([path]), None
    if suffix == ".npy":
        return Part(str(path), arrays.read_npy(path)), None
    if suffix == ".npz":
        return arrays.read_npz(path)
    raise InputError(f"{path}: found the suffix {path.suffix!r}, {_EXPECTED}")


def _in_order(part: Part, columns: tuple[str, ...]) -> Part:
    """Pick columns of a table by name."""
    places = {name: place for place, name in enumerate(part.columns)}
    missing = [name for name in columns if name not in places]
    if missing:
        raise InputError(f"{part.where}: found no column {missing[0]!r}, expected the columns of the training data")
    return replace(part, rows=part.rows[:, [places[name] for name in columns]], columns=columns)


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in tables.SUFFIXES


def _is_image_source(path: Path) -> bool:
    """Check whether `path` is a image, or a folder that is no folder of IDX or SVHN files."""
    if path.is_dir():
        return idx.find(path, idx.TRAIN_IMAGES) is None and not svhn.is_folder(path)
    return path.suffix.lower() in images.SUFFIXES


def _read_labels(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise InputError(f"labels: found no file {str(path)!r}, expected .npy, .csv or .parquet")
    if _is_table(path):
        return tables.read_label_file(path)
    if path.suffix.lower() == ".npy":
        return np.asarray(arrays.read_npy(path))
    raise InputError(f"labels: found {str(path)!r}, expected .npy, .csv or .parquet")


def _finish(parts: list[Part], class_names: tuple[str, ...] | None = None) -> tuple[list[Split], tuple[str, ...]]:
    rows = [check_rows(part) for part in parts]
    for part, own in zip(parts, rows, strict=True):
        if (own.shape[1:], own.dtype) != (rows[0].shape[1:], rows[0].dtype):
            raise InputError(
                f"{part.where}: found rows of shape {own.shape[1:]} and type {own.dtype}, "
                f"expected {rows[0].shape[1:]} and {rows[0].dtype} like the training rows"
            )
    labels = {index: check_labels(part) for index, part in enumerate(parts) if part.labels is not None}
    if not labels:
        return [Split(own) for own in rows], ()
    numbers, names = number_classes(list(labels.values()), class_names)
    numbered = dict(zip(labels, numbers, strict=True))
    return [Split(own, numbered.get(index)) for index, own in enumerate(rows)], names


def _refuse(source: str | Path, **options: str | int | None) -> None:
    """Raise an error for the first option that is given, as it does not apply to this source."""
    for option, value in options.items():
        if value is not None and value is not False:
            raise InputError(f"{option}: found this option for {source}, expected it only {_APPLIES[option]}")
