"""Rows from Python are read by the rules of files."""

import numpy as np
import pandas as pd
import polars
import pytest
import scipy.sparse
import torch

import aae
from aae import data
from aae.errors import InputError, InputWarning

ROWS = np.arange(40.0).reshape(10, 4) / 7
NAMES = np.array(["a", "b"] * 5)
FRAME = pd.DataFrame(ROWS, columns=list("wxyz"))


def same_as_file(frame, tmp_path, **options):
    """The data set of a frame, which is that of its Parquet file."""
    frame.to_parquet(tmp_path / "rows.parquet")
    found, file = data.from_arrays(frame, **options), data.load(tmp_path / "rows.parquet", **options)
    for split in ("train", "test"):
        ours, theirs = getattr(found, split), getattr(file, split)
        np.testing.assert_array_equal(ours.rows, theirs.rows)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_array_equal(ours.ids, theirs.ids)
    assert (found.columns, found.class_names) == (file.columns, file.class_names)
    return found


@pytest.mark.parametrize("make", [np.asarray, list, torch.tensor, scipy.sparse.csr_array, np.asfortranarray])
def test_rows_of_any_kind(make):
    found = data.from_arrays(make(ROWS), NAMES, test=0)
    np.testing.assert_allclose(found.train.rows, ROWS)
    assert (found.shape, found.class_names, found.test) == ((4,), ("a", "b"), None)


def test_frames_are_read_as_their_files(tmp_path):
    labelled = FRAME.assign(label=NAMES)
    labelled.loc[::3, "label"] = None
    found = same_as_file(labelled, tmp_path)
    assert (found.columns, found.class_names) == (("w", "x", "y", "z"), ("a", "b"))
    assert (found.train.labels == -1).any()
    named = same_as_file(labelled.rename(columns={"label": "kind"}).set_index("w"), tmp_path, label_column="kind")
    assert (named.columns, named.train.id_column) == (("x", "y", "z"), "w")
    other = data.from_arrays(polars.from_pandas(labelled))
    np.testing.assert_array_equal(other.train.rows, found.train.rows)
    np.testing.assert_array_equal(other.train.labels, found.train.labels)


@pytest.mark.parametrize(
    ("labels", "classes", "unlabelled"),
    [
        (np.arange(10) % 3, ("0", "1", "2"), 0),
        (np.where(np.arange(10) % 2, 1.0, np.nan), ("1",), 5),
        (pd.Series(NAMES).where(np.arange(10) > 3), ("a", "b"), 4),
        ([None, -1, 2, 2, 3, pd.NA, "", 3, 2, 3], ("2", "3"), 4),
        (pd.Categorical(NAMES), ("a", "b"), 0),
        (torch.arange(10) % 2 == 0, ("0", "1"), 0),
    ],
)
def test_labels_of_any_kind(labels, classes, unlabelled):
    found = data.from_arrays(ROWS, labels, test=0)
    assert (found.class_names, int((found.train.labels < 0).sum())) == (classes, unlabelled)


def test_no_label_has_a_name():
    found = data.from_arrays(ROWS, ["?", "a", "a", "b", "b", "b", "?", "a", "b", "a"], test=0, unlabelled="?")
    assert (found.class_names, int((found.train.labels < 0).sum())) == (("a", "b"), 2)


def test_images_with_colours_first_are_turned_round_and_it_is_said():
    images = np.random.default_rng(0).integers(0, 255, (6, 3, 5, 4), dtype=np.uint8)
    with pytest.warns(InputWarning, match=r"found colours first in shape \(6, 3, 5, 4\); read as \(6, 5, 4, 3\)"):
        found = data.from_arrays(images, test=0)
    assert found.shape == (5, 4, 3)
    np.testing.assert_array_equal(found.train.rows[0, :, :, 1], images[0, 1])


BAD = {
    "labels twice": ((FRAME.assign(label=NAMES), NAMES), {}, "found some beside a data frame with a column 'label'"),
    "labels twice by name": ((FRAME, NAMES), {"label_column": "x"}, "with a column 'x'"),
    "dates": ((FRAME.assign(v=pd.Timestamp(0)),), {}, r"data frame: column 'v': found values of type timestamp"),
    "a column twice": ((FRAME.iloc[:, [0, 0]],), {}, "data frame: found 2 columns called"),
    "no table": ((pd.DataFrame({"a": [1, "x"] * 5}),), {}, "data frame: found what is no table \\(Could not convert"),
    "missing": ((FRAME.where(FRAME < 5),), {}, "column 'w': found a missing value in row 9"),
    "an option of tables": ((ROWS,), {"label_column": "x"}, "label_column: found this option for <arrays>"),
    "too few labels": ((ROWS, NAMES[:3]), {}, r"found labels of shape \(3,\), expected one for each of 10 rows"),
    "not finite": ((np.full((4, 2), np.inf),), {}, "found inf, expected a finite number"),
    "no rows": ((ROWS[:0],), {}, "found no rows"),
    "no column": ((FRAME,), {"label_column": "v"}, "data frame: unknown column 'v'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_one_line(case):
    given, options, message = BAD[case]
    with pytest.raises(InputError, match=message) as error:
        data.from_arrays(*given, **options)
    assert "\n" not in str(error.value)


def test_columns_of_several_levels_are_the_same_in_training_and_in_use(tmp_path):
    rows = np.random.default_rng(0).normal(size=(40, 4))
    frame = pd.DataFrame(rows, columns=pd.MultiIndex.from_product([[0, 1], ["a", "b"]]))
    small = {
        "epochs": 1,
        "model__encoder__hidden": [4],
        "model__decoder__hidden": [4],
        "model__discriminator__hidden": [4],
    }
    run = aae.train("classify", (frame, np.arange(40) % 2), run=tmp_path / "r", **small)
    np.testing.assert_array_equal(run.predict_proba(frame[frame.columns[::-1]]), run.predict_proba(frame))
