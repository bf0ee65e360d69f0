"""Rows and labels that are in memory already, as data to train on: the same rules as for files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from aae.data.anndata import as_part, is_anndata
from aae.data.checks import Part
from aae.data.columns import KindOption
from aae.data.dataset import Dataset
from aae.data.formats import ColumnNames, Options, Parts, column_name, column_names, refuse
from aae.data.frames import as_rows, is_frame, known_form
from aae.data.labels import UNLABELLED, Names, is_unlabelled, label_values
from aae.data.loading import HandleUnknown, Missing, by_kind, hold_out_splits
from aae.data.parquet import read_frame
from aae.data.tables import DEFAULT_LABEL, finish_labels
from aae.errors import InputError

SOURCE = "<arrays>"
"""What a recipe calls its source where the rows were given from Python."""


def from_arrays(
    rows: Any,
    labels: Any = None,
    *,
    name: str = SOURCE,
    validation: int | float = 0,
    test: int | float = 0.2,
    label_column: str | int | None = None,
    id_column: str | int | None = None,
    ignore_columns: ColumnNames = (),
    unlabelled: Names = None,
    kinds: KindOption = "auto",
    covariates: str | Sequence[str] = (),
    missing: Missing = "error",
    handle_unknown: HandleUnknown = "error",
    layer: str | None = None,
) -> Dataset:
    """Create a data set from rows in memory.

    Parameters
    ----------
    rows : array-like, (n, columns), (n, height, width) or (n, height, width, colours)
        An array, a list, a tensor, a sparse matrix of SciPy, a data frame of pandas or polars, a table of Arrow, or an AnnData
        object. Images are
        ``uint8`` in 0..255.
        The columns of a data frame are read as those of a Parquet file: its index identifies rows, its column ``label``, or the
        one that `label_column` names, holds labels.
    labels : array-like, (n,), optional
        Whole numbers, true and false (classes 1 and 0) or text; -1, NaN, None, NA and the empty text mark unlabelled rows (see
        `is_unlabelled`).
    name : str
        What to call it in messages.
    validation, test, label_column, id_column, ignore_columns, unlabelled, kinds, covariates, missing, handle_unknown, layer
        As for `load`.

    Returns
    -------
    Dataset
        Classes are numbered 0..K-1 in sorted order.

    Raises
    ------
    InputError
        Rows that are no numbers or not finite, labels that are no classes or not one for each row, labels given twice, or
        options that do not apply.
    """
    options = Options(
        label_column=column_name(label_column),
        id_column=column_name(id_column),
        ignore_columns=column_names(ignore_columns),
        unlabelled=unlabelled,
        kinds=kinds,
        covariates=(covariates,) if isinstance(covariates, str) else tuple(covariates),
        missing=missing == "mask",
    )
    found, given = None, labels is not None
    rows = known_form(rows)
    if is_anndata(rows):
        part = as_part(rows, replace(options, layer=layer), name)
        found, part = part.labels, replace(part, labels=None)
        if given and found is not None:
            raise InputError(f"labels: found some beside label_column {label_column!r}, expected one of both")
    elif is_frame(rows):
        table = read_frame(rows, options)
        if given and table.labels is not None:
            column = label_column or DEFAULT_LABEL
            raise InputError(
                f"labels: found some beside a data frame with a column {column!r} of labels, expected one of both"
            )
        part = Part(
            name, table.rows, None, table.columns, table.ids, table.id_column, texts=table.texts, kinds=table.kinds
        )
        found = table.labels
    else:
        refuse(name, options, ())
        part = Part(name, as_rows(rows))
    if given:
        found = _labels(labels)
    if found is not None and found.ndim == 1:
        found = finish_labels([found], unlabelled, name)
    parts, by_kinds = by_kind(Parts(replace(part, labels=found)), options, handle_unknown)
    return hold_out_splits(name, parts, by_kinds, validation=validation, test=test, unlabelled=unlabelled)


def _labels(labels: Any) -> NDArray[Any]:
    """Bring labels to numbers or text; whatever stands for "no label" among objects to an empty text."""
    found = label_values(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.dtype.kind in "mM":
        raise InputError(f"labels: found values of type {found.dtype}, expected whole numbers or text")
    if found.dtype.kind not in "buifUS":
        found, missing = found.astype(object), is_unlabelled(found)
        if all(isinstance(one, bool | np.bool_) for one in found[~missing]):  # 0 and 1, as without missing ones
            return np.where(missing, UNLABELLED, found).astype(np.int64)
        found[missing] = ""
    return found
