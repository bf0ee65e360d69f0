"""No label means the same everywhere, and no label is mistaken for another."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from aae.data import from_arrays, load, read_rows
from aae.data.labels import check_labels, is_unlabelled, number_classes, read_texts
from aae.errors import InputError, InputWarning

SEVERAL = {
    "list": [None, "a", "", "-1", "NA", " "],
    "numbers": [np.nan, 1, -1, -1.0, np.nan, np.nan],
    "text": np.array(["nan", "a", "", "-1", "NA", "  "]),
    "bytes": np.array([b"nan", b"a", b"", b"-1", b"NA", b"None"]),
    "objects": np.array([np.nan, "a", "", -1, pd.NA, None], object),
    "pandas text": pd.Series([None, "a", "", "-1", pd.NA, np.nan]),
    "pandas string": pd.Series([None, "a", "", "-1", pd.NA, "NA"], dtype="string"),
    "pandas whole numbers": pd.Series([None, 1, -1, -1, pd.NA, None], dtype="Int64"),
    "pandas category": pd.Series([None, "a", "", "-1", None, "NA"], dtype="category"),
    "pandas floats": pd.Series([None, 1.0, -1, -1, None, np.nan]),
    "polars": pl.Series([None, "a", "", "-1", "NA", None]),
    "polars numbers": pl.Series([None, 1, -1, -1, None, None]),
    "arrow": pa.chunked_array([["nan", "a", ""], ["-1", None, "null"]]),
    "tensor": torch.tensor([-1, 1, -1, -1, -1, -1]),
    "after fillna": pd.Series([None, "a", None, None, None, None]).fillna("-1"),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_no_label_is_the_same_for_every_kind_of_labels(kind):
    assert is_unlabelled(SEVERAL[kind]).tolist() == [True, False, True, True, True, True]


@pytest.mark.parametrize("name", ["unlabelled", ["?", "unlabelled"], ("unlabelled",)])
def test_a_name_for_no_label(name):
    assert is_unlabelled(["a", "unlabelled", " unlabelled ", "-1"], name).tolist() == [False, True, True, True]


@pytest.mark.parametrize("values", [[0, 1, 2], [0.0, 1.0, 2.0], ["0", "1", "2"], np.array([0, 1, 2], object)])
def test_a_number_for_no_label(values):
    for name in (0, "0", 0.0, ["0"]):
        assert is_unlabelled(values, name).tolist() == [True, False, False]


def test_labels_that_only_look_like_none():
    assert not is_unlabelled(["none", "No", "0", "--", "-2", "-10"]).any()
    assert not is_unlabelled([True, False]).any()


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["1", " 2", "", "-1"], [1, 2, -1, -1]),
        (["1.0", "2.0", "nan"], [1, 2, -1]),
        (["01", "1", ""], ["01", "1", ""]),
        (["99999999999999999999", "99999999999999999998"], ["99999999999999999999", "99999999999999999998"]),
        (["9223372036854775807", "9223372036854775806"], ["9223372036854775807", "9223372036854775806"]),
        (["1e30", "1"], ["1e30", "1"]),
        (["1_0", "10"], ["1_0", "10"]),
        (["inf", "1"], ["inf", "1"]),
        (["cat ", " cat"], ["cat", "cat"]),
        (["", ""], [-1, -1]),
    ],
)
@pytest.mark.filterwarnings("ignore::aae.errors.InputWarning")
def test_texts_become_numbers_only_where_nothing_is_lost(texts, labels):
    assert read_texts(np.array(texts)).tolist() == labels


@pytest.mark.parametrize("known", [("false", "true"), ("False", "True")])
def test_true_and_false_are_the_same_however_they_are_written(known):
    labels = np.array(["TRUE", "false", "", "True"])
    assert number_classes([labels], known)[0][0].tolist() == [1, 0, -1, 1]
    with pytest.raises(InputError, match="unknown class 'yes'"):
        number_classes([np.array(["yes"])], known)


def test_a_word_for_missing_is_said():
    with pytest.warns(InputWarning, match=r"t\.csv: the label 'NA' of 2 rows is read as no label"):
        read_texts(np.array(["NA", "EU", "NA"]), where="t.csv")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([2**63], np.uint64), "9223372036854775808, expected a number of 64 bits"),
        (np.array([1e19]), r"1e\+19, expected a whole number below"),
        (np.array([2.0**60]), "expected a whole number below"),
        (np.array([np.inf]), "found inf, expected a whole number"),
        (np.array([-2]), "found -2, expected a class number"),
        (np.array([1 + 1j]), "found labels of type complex128"),
    ],
)
def test_labels_that_cannot_be_numbers(labels, message):
    with pytest.raises(InputError, match=message):
        check_labels(labels, 1, "y")


def test_missing_labels_among_floats_are_unlabelled():
    assert check_labels(np.array([1.0, np.nan, -1, 0]), 4, "y").tolist() == [1, -1, -1, 0]
    assert check_labels(np.array([b"a ", b"nan"]), 2, "y").tolist() == ["a", ""]
    assert check_labels(np.array([[3], [9]], np.uint8), 2, "y", unlabelled=9).tolist() == [3, -1]


def test_a_name_of_no_label_that_no_label_has_is_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,label\n" + "".join(f"{k},{('x', 'y', 'unlabelled')[k % 3]}\n" for k in range(30)))
    with pytest.warns(InputWarning, match=r"t\.csv: unlabelled is 'unlabeled', and no label is$"):
        data = load(path, unlabelled="unlabeled")
    assert data.class_names == ("unlabelled", "x", "y")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(path, unlabelled="unlabelled").class_names == ("x", "y")
        read_rows(path, unlabelled="never")
    with pytest.warns(InputWarning, match=r"<arrays>: unlabelled is '9', and no label is$"):
        from_arrays(np.eye(4), [0, 1, 0, 1], unlabelled=9)
