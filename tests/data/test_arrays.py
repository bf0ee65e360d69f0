"""Arrays of NumPy and SciPy: types stay, headers are believed only as far as the file goes, and labels do not wrap."""

import gzip
import io
import os
import struct
import zipfile

import numpy as np
import pytest
import scipy.sparse
from damage import write_idx

from aae.data import load, read_rows
from aae.errors import InputError

ROWS = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(20, 6), (20, 2, 3)])
def test_files_larger_than_memory_stay_on_the_disk_whatever_their_type(tmp_path, kind, shape):
    np.save(tmp_path / "x.npy", np.ones(shape, kind))
    rows = load(str(tmp_path / "x.npy"), test=0).train.rows
    assert isinstance(rows, np.memmap)
    assert rows.dtype == np.dtype(kind)


@pytest.mark.parametrize("kind", ["u2", "u4", "?", ">f8", "g"])
def test_types_that_cannot_be_indexed_are_converted(tmp_path, kind):
    np.save(tmp_path / "x.npy", np.ones((4, 3), kind))
    assert load(str(tmp_path / "x.npy"), test=0).train.rows.tolist() == np.ones((4, 3)).tolist()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(np.nan, "found nan, expected a finite"), (-np.inf, "found -inf, expected a finite"), (3.5e38, "up to 3.4e38")],
)
def test_values_that_networks_cannot_take(tmp_path, value, expected):
    rows = ROWS.copy()
    rows[2, 1] = value
    np.save(tmp_path / "x.npy", rows)
    np.savez(tmp_path / "x.npz", X=rows)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(InputError, match=f"row 2, column 1 .*{expected}"):
            load(str(tmp_path / name))


def test_something_behind_the_array(tmp_path):
    with (tmp_path / "x.npy").open("wb") as file:
        np.save(file, ROWS)
        np.save(file, ROWS)
    with pytest.raises(InputError, match=r"found 224 bytes behind the array of its header \(4, 3\), expected none"):
        load(str(tmp_path / "x.npy"))


HEADERS = {
    "too large": "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 3)}",
    "beyond all numbers": "{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999999999999, 3)}",
    "negative": "{'descr': '<f8', 'fortran_order': False, 'shape': (-4, 3)}",
    "no tuple": "{'descr': '<f8', 'fortran_order': False, 'shape': 12}",
    "no type": "{'descr': 'huh', 'fortran_order': False, 'shape': (4, 3)}",
    "no size": "{'descr': '<V0', 'fortran_order': False, 'shape': (4, 3)}",
    "no dictionary": "[1]",
    "deep": "(" * 3000,
    "code": "__import__('os').system('true')",
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers_that_are_wrong(tmp_path, case):
    text = HEADERS[case].encode("latin-1") + b" \n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + ROWS.tobytes()
    (tmp_path / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("X.npy", content)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(InputError, match=r"x\.np.*found .*expected") as caught:
            load(str(tmp_path / name))
        assert len(str(caught.value)) < 1000


def header(shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_an_archive_with_gigabytes_behind_a_small_header(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("X.npy", "w") as file:
        file.write(header((1, 2, 2)))
        for _ in range(64):
            file.write(bytes(2**22))
    with pytest.raises(InputError, match=r"key 'X': found 268435\d+ bytes, expected 132 for the shape \(1, 2, 2\)"):
        load(str(tmp_path / "x.npz"))


def test_an_archive_that_unpacks_to_more_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("aae.data.reading.free_memory", lambda: 2.0**20)
    np.savez_compressed(tmp_path / "x.npz", X=np.zeros((2**18, 8), np.uint8))
    with pytest.raises(InputError, match=r"key 'X': found data of 0.0 GB, expected at most the 0.0 GB of free memory"):
        load(str(tmp_path / "x.npz"))


def test_idx_files_are_read_as_far_as_their_header_says(tmp_path):
    write_idx(tmp_path / "a.idx")
    with (tmp_path / "a.idx").open("ab") as file:
        file.truncate(2**33)  # 8 GB, of which the disk holds nothing
    with pytest.raises(InputError, match=r"a\.idx: found 8589934592 bytes, expected 400"):
        load(str(tmp_path / "a.idx"))
    (tmp_path / "b.idx").write_bytes(struct.pack(">IIII", 0x803, 2**31, 28, 28) + bytes(100))
    with pytest.raises(InputError, match=r"b\.idx: found 116 bytes, expected 1683"):
        load(str(tmp_path / "b.idx"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (struct.pack(">IIII", 0x803, 1, 28, 28) + bytes(2**24), "found more than 800 bytes, expected 800"),
        (struct.pack(">IIII", 0x803, 2**31, 2**15, 28), "found data of .* GB, expected at most"),
        (struct.pack(">IIII", 0x803, 2, 28, 28) + bytes(5), "found 21 bytes, expected 1584"),
        (struct.pack(">II", 0x801, 1) + bytes(50), "found more than 9 bytes, expected 9"),
    ],
)
def test_packed_idx_files_are_unpacked_as_far_as_their_header_says(tmp_path, content, message):
    (tmp_path / "a.idx.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=rf"a\.idx\.gz: {message}"):
        load(str(tmp_path / "a.idx.gz"))


# --- sparse matrices ---


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("compressed", [True, False])
def test_sparse_matrices(tmp_path, kind, compressed):
    matrix = scipy.sparse.random(9, 7, 0.3, kind, random_state=0)
    scipy.sparse.save_npz(tmp_path / "s.npz", matrix, compressed)
    np.save(tmp_path / "y.npy", np.arange(9) % 3)
    data = load(str(tmp_path / "s.npz"), test=0, labels=str(tmp_path / "y.npy"))
    np.testing.assert_array_equal(data.train.rows, matrix.toarray())
    assert data.class_names == ("0", "1", "2")


def sparse(**changes):
    matrix = scipy.sparse.random(9, 7, 0.3, "csr", random_state=0)
    arrays = {"format": b"csr", "shape": matrix.shape, "data": matrix.data, "indices": matrix.indices}
    return arrays | {"indptr": matrix.indptr} | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"indices": np.full(19, 10**6, np.int32)}, "cannot be read"),
        ({"indices": np.full(19, -1, np.int32)}, "cannot be read"),
        ({"indptr": np.arange(10, dtype=np.int32)[::-1].copy()}, "cannot be read"),
        ({"shape": np.array([10**7, 10**7])}, "found data of .* GB, expected at most"),
        ({"shape": np.array([9])}, "found a sparse matrix of shape"),
        ({"format": b"lil"}, "kind 'lil', expected csr, csc or coo"),
        ({"data": np.full(19, np.nan)}, "found nan, expected a finite number"),
        ({"data": np.full(19, "x")}, "and type <U1"),
    ],
)
def test_damaged_sparse_matrices(tmp_path, changes, message):
    np.savez(tmp_path / "s.npz", **sparse(**changes))
    with pytest.raises(InputError, match=rf"s\.npz.*{message}"):
        load(str(tmp_path / "s.npz"))


def test_a_sparse_matrix_without_indices(tmp_path):
    arrays = sparse()
    del arrays["indptr"]
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(InputError, match="found no key 'indptr'"):
        load(str(tmp_path / "s.npz"))


# --- what is no file ---


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/stdin", "pipe.csv", "pipe"])
def test_devices_and_pipes_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    if not name.startswith("/"):
        os.mkfifo(name)
    np.save("x.npy", ROWS)
    if os.path.exists(name) and not os.path.isfile(name):  # noqa: PTH110, PTH113
        with pytest.raises(InputError, match="found a device, pipe or socket, expected a file or folder"):
            load(name)
        with pytest.raises(InputError, match="found a device, pipe or socket"):
            read_rows(name)
        with pytest.raises(InputError, match="labels: found no file"):
            load("x.npy", labels=name)


@pytest.mark.parametrize("name", ["~nobody-here/x.csv", "a\0b", "x" * 5000, "https://example.org/t.csv", "\ud800.csv"])
def test_names_that_no_file_can_have(name):
    with pytest.raises(InputError) as caught:
        load(name)
    assert str(caught.value).isprintable()
    with pytest.raises(InputError):
        read_rows(name)


def test_labels_that_are_wrong_are_named_by_their_own_key(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.ones((4, 2)), labels=np.eye(2)[[0, 1, 0, 1]])
    with pytest.raises(
        InputError, match=r"a\.npz, key 'labels': found labels of shape \(4, 2\), expected one for each"
    ):
        load(str(tmp_path / "a.npz"))
