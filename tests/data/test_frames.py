"""Rows from Python: data frames by name, everything else by place."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch

from aae.data.frames import as_rows
from aae.errors import InputError

ROWS = np.array([[1.0, 2.0], [3.0, 4.0]])
FRAME = pd.DataFrame(ROWS, columns=["a", "b"])
SAME = {
    "array": ROWS,
    "integers": ROWS.astype(int),
    "objects": ROWS.astype(object),
    "list": ROWS.tolist(),
    "tensor": torch.tensor(ROWS, requires_grad=True),
    "sparse": scipy.sparse.csr_array(ROWS),
    "frame": FRAME,
    "frame, turned round": FRAME[["b", "a"]],
    "frame with more": FRAME.assign(label=["x", "y"])[["label", "b", "a"]],
    "frame with spaces": FRAME.rename(columns={"a": " a"}),
    "nullable": FRAME.astype("Int64"),
    "Arrow": pa.Table.from_pandas(FRAME[["b", "a"]]),
    "records": FRAME[["b", "a"]].to_records(index=False),
    "sparse tensor": torch.tensor(ROWS).to_sparse(),
    "polars": pl.DataFrame({"b": [2, 4], "a": [1, 3], "c": ["x", "y"]}),
}


@pytest.mark.parametrize("kind", SAME)
def test_rows_of_every_kind(kind):
    np.testing.assert_array_equal(as_rows(SAME[kind], ("a", "b")), ROWS)


def test_columns_without_names_count_by_place():
    np.testing.assert_array_equal(as_rows(FRAME[["b", "a"]]), ROWS[:, ::-1])
    np.testing.assert_array_equal(as_rows(pd.DataFrame(ROWS), ("0", "1")), ROWS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (FRAME[["b"]], "rows: found no column 'a' in the data frame"),
        (pd.DataFrame(ROWS), "found no column 'a', 'b' in the data frame"),
        (pd.concat([FRAME, FRAME[["a"]]], axis=1), "several columns called 'a'"),
        (FRAME.assign(a=["x", "y"]), "column 'a': found values that are no numbers"),
        (pl.DataFrame({"a": ["x"], "b": [1]}), "column 'a': found values"),
        ([["x", "y"]], "found values of type <U1"),
        ([[1, 2], [3]], "found values that are no numbers"),
        (np.array([[1j]]), "type complex128"),
        (object(), "found values that are no numbers"),
        (pl.LazyFrame({"a": [1], "b": [1]}), r"found a LazyFrame, expected rows: collect\(\)"),
        ({"a": [1], "b": [1]}, "found dictionaries, expected an array or a data frame"),
        ([{"a": 1, "b": 1}], "found dictionaries, expected an array or a data frame"),
    ],
)
def test_rows_that_are_none(values, message):
    with pytest.raises(InputError, match=message):
        as_rows(values, ("a", "b"))


def test_missing_numbers_become_nan_and_are_refused_where_they_are_used():
    found = as_rows(pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [1.0, 2.0]}), ("a", "b"))
    assert np.isnan(found[1, 0])
    assert np.isnan(as_rows([[None, 1.0]])[0, 0])
