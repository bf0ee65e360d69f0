"""Rows from Python: arrays, lists, tensors and sparse matrices as they are, data frames by the names of their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae.data.formats import list_some, list_widths
from aae.data.reading import require_memory
from aae.errors import InputError, reason


def is_frame(values: Any) -> bool:
    """Check whether values are a data frame, of pandas, polars or another library."""
    return hasattr(values, "to_numpy") and hasattr(values, "columns")


def known_form(values: Any, where: str = "rows") -> Any:
    """Return tables of Arrow and structured arrays as data frames, sparse tensors as dense ones, and other rows as they are.

    Tensors of bfloat16, which NumPy does not know, become float32, and lists of rows with text beside numbers an array of
    objects: NumPy would make text of all.

    Raises
    ------
    InputError
        If they are none yet, as in a lazy frame or one of Dask, or dictionaries.
    """
    if isinstance(values, Tensor):
        values = values.to_dense() if values.layout != torch.strided else values
        return values.detach().float() if values.dtype == torch.bfloat16 else values
    if _is_table_of_lists(values) and len({isinstance(value, str) for row in values for value in row}) == 2:
        return np.array(values, dtype=object)
    if is_frame(values) or hasattr(values, "toarray"):
        return values
    if hasattr(values, "collect_schema"):
        raise InputError(f"{where}: found a {type(values).__name__}, expected rows: collect() makes them")
    if hasattr(values, "compute") and hasattr(values, "columns"):
        raise InputError(f"{where}: found a {type(values).__name__} of Dask, expected rows: compute() makes them")
    if isinstance(values, Mapping) or (isinstance(values, list) and values and isinstance(values[0], Mapping)):
        raise InputError(f"{where}: found dictionaries, expected an array or a data frame")
    if hasattr(values, "to_pandas") and hasattr(values, "schema"):
        return values.to_pandas()
    if getattr(getattr(values, "dtype", None), "names", None) and getattr(values, "ndim", 0) == 1:
        import pandas

        return pandas.DataFrame.from_records(values)
    return values


def _is_table_of_lists(values: Any) -> bool:
    lists = isinstance(values, list | tuple) and all(isinstance(row, list | tuple) for row in values)
    return lists and len(set(map(len, values))) == 1


def one_row(values: Any) -> Any:
    """Return a row of a data frame of pandas, which is a series, as a frame of this row; anything else as it is."""
    if getattr(values, "ndim", 2) == 1 and hasattr(values, "to_frame") and hasattr(values, "infer_objects"):
        return values.to_frame().T.infer_objects()
    return values


def with_lists(frame: Any, columns: Sequence[str]) -> Any:
    """Return a data frame whose lists of numbers are columns, called as the list is and 0, 1, ..., where `columns` has these.

    Raises
    ------
    InputError
        If the lists are not as long as `columns` has values of them.
    """
    absent = {*columns} - {str(name).strip() for name in frame.columns}
    wanted = [name for name in frame.columns if f"{str(name).strip()}_0" in absent]
    if not wanted:
        return frame
    import pandas

    parts = {str(name).strip(): frame[name] for name in frame.columns if name not in wanted}
    for name in wanted:
        own = str(name).strip()
        width, lists = list_widths(columns)[own], frame[name].to_list()
        lengths = [len(one) if hasattr(one, "__len__") else 0 for one in lists]  # 0 where it is missing
        found = next((length for length in lengths if length != width), width)
        if found != width:
            raise InputError(f"rows: column {own!r}: found lists of {found} values, expected {width}")
        parts |= {f"{own}_{k}": np.array([one[k] for one in lists]) for k in range(width)}
    return pandas.DataFrame({name: np.asarray(values) for name, values in parts.items()})


def as_rows(values: Any, columns: Sequence[str] = (), where: str = "rows") -> NDArray[Any]:
    """Bring rows to an array of numbers.

    Parameters
    ----------
    values : array-like, (n, ...)
        An array, which is not copied; a list, a tensor, a sparse matrix of SciPy, a data frame, or what `known_form` knows.
    columns : sequence of str
        The columns that a model was trained on. They are picked from a data frame by name, in this order; others are left out.
        Without them, and for everything but data frames, columns count by their place.
    where : str
        What to call the values in messages.

    Returns
    -------
    array, (n, ...)
        Booleans, integers or floats.

    Raises
    ------
    InputError
        A column that is missing or twice there, or values that are no numbers.
    """
    values = known_form(values, where)
    if is_frame(values):
        return _from_frame(values, columns, where)
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    if np.ma.is_masked(values):
        masked = int(np.ma.getmaskarray(values).sum())
        raise InputError(f"{where}: found {masked} masked values, expected none: fill them or leave their rows out")
    if hasattr(values, "toarray"):
        require_memory(4 * values.shape[0] * values.shape[1], where)
        values = values.toarray()
    return _numbers(values, where)


def _from_frame(frame: Any, columns: Sequence[str], where: str) -> NDArray[Any]:
    frame = with_lists(frame, columns)
    names = [str(name).strip() for name in frame.columns]
    places = {name: place for place, name in enumerate(names)}
    if columns:
        missing = [name for name in columns if name not in places]
        if missing:
            raise InputError(
                f"{where}: found no column {list_some(map(repr, missing))} in the data frame, expected the columns of the "
                "training data"
            )
        twice = [name for name in columns if names.count(name) > 1] if len(set(names)) < len(names) else []
        if twice:
            raise InputError(f"{where}: found several columns called {twice[0]!r}, expected each name once")
    chosen = [places[name] for name in columns] if columns else list(range(len(names)))
    own = list(frame.columns)  # which polars makes anew at each look
    take = frame.iloc.__getitem__ if hasattr(frame, "iloc") else None
    found = [
        _numbers(take((slice(None), place)) if take else frame[own[place]], f"{where}: column {names[place]!r}")
        for place in chosen
    ]
    kind = np.result_type(*found) if found else np.dtype(np.float64)
    rows = np.empty((len(frame), len(found)), kind)
    for index, column in enumerate(found):
        rows[:, index] = column
    return rows


def _numbers(values: Any, where: str) -> NDArray[Any]:
    try:
        array = np.asarray(values)
        # Numbers among objects; what is missing becomes NaN, and is refused where it is used.
        if array.dtype.kind == "O":
            missing = np.array(
                [value is None or type(value).__name__ == "NAType" for value in array.ravel().tolist()], np.bool_
            )
            array = np.where(missing.reshape(array.shape), np.nan, array).astype(np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: found values that are no numbers ({reason(error)}), expected numbers") from None
    if array.dtype.kind not in "buif":
        raise InputError(f"{where}: found values of type {array.dtype}, expected numbers")
    return array
