"""Results come back as they were written."""

import numpy as np
import pyarrow.parquet
import pytest

from aae.data import read_rows, write_rows
from aae.errors import InputError

CODES = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
LABELS = np.arange(6)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables(tmp_path, suffix):
    file = tmp_path / f"out.{suffix}"
    write_rows(file, {"code": CODES, "label": LABELS, "p": CODES[:, 0].astype(np.float64)})
    split = read_rows(file)
    np.testing.assert_array_equal(split.rows.astype(np.float32), np.c_[CODES, CODES[:, 0]])
    np.testing.assert_array_equal(split.labels, LABELS)
    if suffix == "parquet":
        assert pyarrow.parquet.read_schema(file).names == ["code_0", "code_1", "label", "p"]
    else:
        assert file.read_text().splitlines()[0] == '"code_0","code_1","label","p"'


def test_arrays(tmp_path):
    write_rows(tmp_path / "a.npy", {"code": CODES})
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), CODES)
    write_rows(tmp_path / "a.npz", {"file": np.array(["a.png"] * 6), "code": CODES, "class": np.array(["a"] * 6)})
    with np.load(tmp_path / "a.npz") as archive:
        assert archive.files == ["file", "code", "class"]
        np.testing.assert_array_equal(archive["code"], CODES)


def test_images_are_written_flat(tmp_path):
    write_rows(tmp_path / "a.csv", {"x": np.arange(24).reshape(2, 3, 4)})
    np.testing.assert_array_equal(read_rows(tmp_path / "a.csv", shape=(3, 4)).rows, np.arange(24).reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("a.txt", {"x": CODES}, r"found the suffix '\.txt', expected one of \.npy"),
        ("a.npy", {"x": CODES, "y": LABELS}, r"found 2 arrays to write \(x, y\), expected one; use \.npz"),
        ("nowhere/a.csv", {"x": CODES}, "found no folder"),
        ("a.csv", {"x": np.full(3, np.nan)}, r"found results that are no numbers \(x, row 0\)"),
        ("file/a.csv", {"x": CODES}, "found no folder"),
    ],
)
def test_bad_output(tmp_path, name, columns, message):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=message):
        write_rows(tmp_path / name, columns)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    file = tmp_path / "a.parquet"
    write_rows(file, {"x": CODES})
    before = file.read_bytes()
    with pytest.raises(ValueError, match="expected length"):
        write_rows(file, {"x": CODES, "y": LABELS[:2]})
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"a\.csv: found two columns called 'code_0' to write, expected different names"
    ):
        write_rows(tmp_path / "a.csv", {"code_0": LABELS, "code": CODES})
    assert not (tmp_path / "a.csv").exists()
