"""Rows and labels as a run stores them, to and from what its networks take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae.arrays import ArrayLike, finite_rows
from aae.data import Dataset, Split, read_rows
from aae.data.anndata import as_part, is_anndata
from aae.data.checks import are_images, check_finite, colours_last
from aae.data.columns import CodedRows, Columns, frame_like
from aae.data.formats import Options
from aae.data.frames import as_rows, is_frame, known_form, with_lists
from aae.data.labels import check_labels, is_unlabelled, number_classes
from aae.data.loading import encode_part
from aae.data.reading import as_text
from aae.data.values import NamedValues, for_rows, values_of
from aae.errors import InputError, note, reason
from aae.model import Model
from aae.recipes import Recipe
from aae.recipes.build_data import Source, fingerprint, load_data
from aae.scaling import Scaling, last_inputs
from aae.training.run_directory import RunDirectory

BATCH = 1000  # rows pushed through the networks at once
MANY = 10  # times larger or smaller than the training rows: images in another unit


def read_table(metadata: Mapping[str, Any], where: str) -> Columns | None:
    """Read from the metadata of a run what its columns are; None where they are numbers alone; InputError where it is damaged."""
    if metadata.get("table") is None:
        return None
    try:
        return Columns.from_record(metadata["table"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: holds no description of its columns ({reason(error)})") from None


class StoredRows:
    """Base of `Run`: takes and gives rows and labels as they are stored.

    Parameters are those of `Run`.
    """

    def __init__(
        self,
        folder: RunDirectory,
        recipe: Recipe,
        model: Model,
        scaling: Scaling,
        metadata: dict[str, Any],
    ) -> None:
        self.folder, self.recipe, self.model, self.scaling, self.metadata = folder, recipe, model, scaling, metadata
        self.shape: tuple[int, ...] = tuple(metadata["shape"])
        self.class_names: tuple[str, ...] = tuple(metadata["class_names"])
        self.device = scaling.offset.device
        self.table = read_table(metadata, str(folder.path))
        self.given: Dataset | None = None
        """The data, where it was given to this very object: when it was trained, or to `load_data`."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the categories of q(y|x): the classes, or numbers where no label was used and the model finds clusters.

        Categories beyond the classes are called ``extra 1``, ``extra 2``, ...
        """
        if not self.model.classifies:
            raise self.without_labels()
        categories = (self.recipe.model.label and self.recipe.model.label.categories) or len(self.class_names)
        if self.recipe.data.labels is None:
            return tuple(str(k) for k in range(categories))
        extra = range(1, categories - len(self.class_names) + 1)
        return (*self.class_names, *(f"extra {k}" for k in extra))

    def without_labels(self) -> InputError:
        """Create the error for a run that infers no labels."""
        return InputError(f"{self.folder.path}: the run infers no labels; expected one with a label latent")

    def label_index(self, name: str) -> int:
        """Look up a class (or cluster) by name.

        Raises
        ------
        InputError
            If there is no such class.
        """
        names, name = self.label_names if self.model.classifies else self.class_names, as_text(name)
        if name not in names:
            raise InputError(
                f"label is {name!r}; expected one of: {', '.join(names) or 'none, the run knows no labels'}"
            )
        return names.index(name)

    def read(self, path: str | Path, labels: bool = True) -> Split:
        """Read rows of this run's shape from a file or folder.

        Parameters
        ----------
        path : str or Path
            What `data.read_rows` reads.
        labels : bool
            Whether to read labels too, numbered as in training; otherwise whatever they are does not matter.

        Raises
        ------
        InputError
            If they cannot be read or have another shape.
        """
        data = self.recipe.data
        try:
            split = read_rows(
                path,
                shape=self.shape,
                label_column=data.label_column,
                id_column=data.id_column,
                ignore_columns=data.ignore_columns,
                header=data.header,
                unlabelled=data.unlabelled,
                image_size=data.image_size,
                colour=len(self.shape) == 3,
                class_names=self.class_names or None,
                columns=tuple(self.metadata.get("columns", ())),
                named=self.metadata.get("named"),
                labels=labels,
                table=self.table,
                missing=data.missing,
                layer=data.layer,
            )
        except InputError as error:
            raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
        if are_images(split.rows) and self.metadata["rows"] != "uint8":  # their values mean something else
            raise InputError(f"{path}: found images of 8 bits, 0 to 255; the run expects {self.metadata['rows']} rows")
        self._check_range(split.rows, str(path))
        return split

    def load_data(self, data: Source | None = None) -> Dataset:
        """Load the data of the run with its splits, or take `data` in its place where it is the same, from now on.

        Parameters
        ----------
        data : str, Path, array-like, (array-like, array-like) or Dataset, optional
            Where the data lies by now, or the rows themselves, as for `aae.train`; needed where they were given from Python to
            another object than this one.

        Raises
        ------
        InputError
            If it cannot be loaded or is not what the run was trained on.
        """
        if data is None and self.given is not None:
            return self.given
        try:
            dataset = load_data(self.recipe, data)
        except InputError as error:
            raise InputError(str(error) if data is not None else f"{self.folder.path}: {error}") from None
        found = fingerprint(dataset)
        if found != self.metadata.get("data"):
            raise InputError(
                f"{dataset.name}: not the data of {self.folder.path}; its fingerprint is {found}, "
                f"the run has {self.metadata.get('data')}"
            )
        if data is not None:
            self.given = dataset
        return dataset

    @property
    def value_range(self) -> tuple[float, float]:
        """The lowest and highest value of the training rows; 0 and 255 of images of 8 bits."""
        low, high = self.metadata.get("row_range") or (0, 1)
        return float(low), float(high)

    @property
    def image_range(self) -> tuple[float, float]:
        """The stored values that are plotted black and white: 0 and 1, or the ends of `value_range` where it is beyond them."""
        low, high = self.value_range
        return (low, high) if low < 0 or high > 1 else (0.0, 1.0)

    def images(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Turn stored rows (n, *shape) into values in [0, 1] for plotting, by `image_range`."""
        low, high = self.image_range
        shown: NDArray[np.float32] = np.clip((np.asarray(rows, np.float32) - low) / ((high - low) or 1), 0, 1)
        return shown

    def _rows(self, rows: ArrayLike) -> NDArray[Any]:
        """Bring rows to an array of this run's shape (n, *shape); the columns of a data frame are taken by name."""
        if self.table is not None:
            return self._coded(rows, self.table)
        found = self._as_stored(rows)
        if found.ndim == 4 and found.shape[1:] != self.shape:
            found = colours_last(found, "rows")
        if found.shape[1:] != self.shape or found.ndim == 0:
            raise InputError(f"rows have shape {found.shape}; the run expects {('n', *self.shape)}")
        self._check_range(found, "rows")
        return found

    def _as_stored(self, rows: Any) -> NDArray[Any]:
        """Bring rows of plain numbers to an array; the columns of a data frame or an AnnData object are taken by name."""
        columns = self.metadata.get("columns", ())
        rows = known_form(rows)
        if is_anndata(rows):
            rows = as_part(rows, Options(columns=columns, layer=self.recipe.data.layer), "rows").rows
        return as_rows(rows, columns)

    def _check_range(self, rows: NDArray[Any], where: str) -> None:
        """Check that images, or numbers in their place, are in the units of those that the run was trained on.

        A hundredth of the size, as 0 to 1 is of 0 to 255, is another unit, unless it is of 8 bits; so is ten times the size, and
        for a run on images of 8 bits whatever is no such value. What is merely unusual is said.

        Raises
        ------
        InputError
            If they are in other units.
        """
        if len(self.shape) < 2 or not rows.size:
            return
        low, high = (float(end) for end in (rows.min(), rows.max()))
        start, end = self.value_range
        size, usual = max(abs(low), abs(high)), max(abs(start), abs(end))
        if not usual or not np.isfinite(size):
            return
        of_8_bits = are_images(rows)  # of which some are dark
        beyond = self.metadata["rows"] == "uint8" and end == 255 and (low < 0 or high > 255)
        if beyond or size >= MANY * usual or (not of_8_bits and low < high and size <= usual / MANY**2):
            raise InputError(
                f"{where}: found values from {low:g} to {high:g}; the run expects images with values from {start:g} to {end:g}"
            )
        far = max(start - low, high - end) > (end - start) / 2
        if far or (low < high and size <= usual / (MANY**2 if of_8_bits else MANY)):
            note(
                f"{where}: found values from {low:g} to {high:g}, and the run was trained on images with values from "
                f"{start:g} to {end:g}; expected the same unit"
            )

    def _coded(self, rows: Any, table: Columns) -> NDArray[Any]:
        """Bring rows of a table by kind to numbers; columns are taken by name where they have names."""
        if isinstance(rows, CodedRows):
            return rows
        rows = known_form(rows)
        missing = self.recipe.data.missing == "mask"
        if is_anndata(rows):
            options = Options(
                columns=table.names, covariates=table.outer.names, layer=self.recipe.data.layer, missing=missing
            )
            return encode_part(as_part(rows, options, "rows"), table, missing=missing).rows
        if hasattr(rows, "toarray"):
            rows = rows.toarray()
        if is_frame(rows):
            rows = with_lists(rows, table.names)
        names, values = values_of(rows, "rows")
        names = [name.strip() for name in names]
        named = bool(self.metadata.get("columns")) and is_frame(rows)
        if not named and len(names) != len(table):
            raise InputError(f"rows have {len(names)} columns; the run expects {len(table)}")
        if not named and self.metadata.get("columns"):
            names = list(table.names_in_table)
        absent = [name for name in table.names if name not in names]
        if absent:
            raise InputError(f"rows: found no column {absent[0]!r}, expected the columns of the training data")
        picked = {column.name: values(names.index(column.name)) for column in table.columns}
        coded: NDArray[Any] = table.encode(NamedValues(picked), missing=missing, where="rows")
        return coded.view(CodedRows)

    def _covariates(self, covariates: Any, n: int) -> Tensor | None:
        """Bring covariates of `n` rows, or one of each for all, to what the decoder sees; None for a run without any."""
        if self.table is None or not self.table.covariates:
            if covariates is not None:
                raise InputError(f"{self.folder.path}: was trained without covariates; expected none")
            return None
        outer = self.table.outer
        if covariates is None:
            raise InputError(f"covariates: found none; the decoder of this run sees {', '.join(outer.names)}")
        values = for_rows(covariates, outer.names, n)
        stored = outer.encode(NamedValues(values), where="covariates")
        return last_inputs(self.scaling, len(self.table.inner), stored, outer.width).to(self.device)

    def _returned(self, numbers: NDArray[Any], like: Any = None, *, drawn: bool = False) -> Any:
        """Return rows as people have them: of a table by kind its values by name, in a data frame where pandas is there.

        Its rows have the index of `like`, where that has one.
        """
        if self.table is None:
            return numbers
        values = dict(zip(self.table.names, self.table.decode(numbers, drawn=drawn), strict=True))
        names = self.table.names_in_table
        try:
            return frame_like("pandas", names, [values[name] for name in names], like)
        except ImportError:
            return np.array([values[name] for name in names], dtype=object).T

    def _batches(self, rows: ArrayLike) -> Iterator[Tensor]:
        """Scale rows batch by batch; checks that they are finite numbers."""
        found = self._rows(rows)
        for start in range(0, max(1, len(found)), BATCH):  # no rows are a batch too
            batch = np.array(found[start : start + BATCH])
            missing = self.table is not None and self.recipe.data.missing == "mask"
            check_finite(batch, "rows", self.metadata.get("columns", ()), start, missing=missing)
            wide = batch.dtype.kind == "f" and batch.dtype.itemsize > 8
            batch = batch.astype(np.float64 if wide else batch.dtype.newbyteorder("="), copy=False)
            yield self.scaling(torch.from_numpy(batch).to(self.device))

    def _stored(self, rows: Tensor) -> NDArray[Any]:
        """Undo the scaling and give rows the type and shape they are stored with."""
        values = finite_rows(
            self.scaling.inverse(rows).cpu().numpy().reshape(-1, *self.shape), "what the decoder makes"
        )
        if self.metadata["rows"] == "uint8":
            values = np.clip(np.rint(values), 0, 255)
        return np.asarray(values, self.metadata["rows"])

    def _label_numbers(self, labels: Any, n: int) -> NDArray[np.int64]:
        """Number labels (n,), or one for all: names, or numbers where these are none; -1 where there is no label."""
        given = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
        given = np.full(n, given) if given.ndim == 0 else given[:, 0] if given.shape == (n, 1) else given
        or_numbers = "" if self._classes_are_numbers else ", or their numbers"
        expected = f"{', '.join(self.class_names) or 'none'}{or_numbers}, -1 where there is none"
        if given.shape != (n,):
            raise InputError(f"labels: found {given.shape} labels; expected ({n},) of {expected}")
        known = np.flatnonzero(~is_unlabelled(given, self.recipe.data.unlabelled))
        numbers = np.full(n, -1, np.int64)
        for row, label in zip(known.tolist(), given[known].tolist(), strict=True):
            number = self._class_number(label)
            if number is None:
                raise InputError(f"labels: found {label!r} in row {row} (counted from 0); expected {expected}")
            numbers[row] = number
        return numbers

    def _class_number(self, label: Any) -> int | None:
        """Number the class of a label; None where there is none."""
        names = self.class_names
        if isinstance(label, int | float) and label == label // 1:
            if not self._classes_are_numbers:
                return int(label) if 0 <= label < len(names) else None
            label = str(int(label))
        text = as_text(label) if isinstance(label, str) else None
        return names.index(text) if text in names else None

    @property
    def _classes_are_numbers(self) -> bool:
        """Whether the names of classes are whole numbers: a number is then a name."""
        return bool(self.class_names) and all(name.isdecimal() for name in self.class_names)

    def named(self, numbers: NDArray[np.int64]) -> NDArray[np.str_]:
        """Name the classes of numbers (n,), with an empty text for -1."""
        return np.array([*self.class_names, ""])[numbers]

    def _classes(self, labels: Any, n: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Number labels (n,) and name their classes, which are those of the run, or where it knows none the ones that occur."""
        if self.class_names:
            return self._label_numbers(labels, n), self.class_names
        given = np.asarray(labels)
        if given.dtype.kind == "O":
            given = np.where(is_unlabelled(given), "", given).astype(np.str_)
        numbers, names = number_classes([check_labels(given, n, "labels")])
        return numbers[0], names

    def _wanted(self, label: Any, n: int) -> NDArray[np.int64]:
        """Number the label that `n` rows are to have, or the labels (n,) of each."""
        given = np.asarray(label)
        if given.shape not in ((), (n,)):
            raise InputError(f"labels have shape {given.shape}; expected one label, or {n} of them")
        numbers = [self._wanted_number(one) for one in given.ravel().tolist()]
        return np.resize(np.array(numbers, np.int64), n)

    def _wanted_number(self, label: Any) -> int:
        """Number a class: by its name, or by its number where classes have names that are no numbers."""
        if isinstance(label, float) and label.is_integer():
            label = int(label)
        names = self.label_names if self.model.encodes and self.model.classifies else self.class_names
        if isinstance(label, str) or str(label) in names:
            return self.label_index(str(label))
        if all(name.isdecimal() for name in names):
            return self.label_index(str(int(label) if isinstance(label, bool) else label))
        if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(names):
            raise InputError(f"label is {label!r}; expected one of: {', '.join(names)}, or 0 to {len(names) - 1}")
        return label
