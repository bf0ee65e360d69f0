"""NumPy files: one array (``.npy``), several with names, or a sparse matrix of SciPy (``.npz``). Nothing is ever unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from aae.data.checks import Part
from aae.data.formats import Format, Options, Parts, ends_with, list_some
from aae.data.reading import damaged, require_memory
from aae.errors import InputError, note

_ROWS, _LABELS = ("X", "x", "images", "rows"), ("y", "labels")
# x_train or X_train, ...
_SPLITS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
_DEFLATE = 1032  # to what deflate unpacks a byte at most
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(path: Path) -> NDArray[Any]:
    """Memory-map one array of any type and shape but Python objects; the file never changes.

    Raises
    ------
    InputError
        Not a NumPy file, cut short, with something behind the array, or an array of objects.
    """
    with damaged(path, "a .npy array"):
        array = np.lib.format.open_memmap(path, mode="c")  # PyTorch shares these, and copies read-only maps
        beyond = path.stat().st_size - array.offset - array.nbytes
        if beyond:
            raise InputError(
                f"{path}: found {beyond} bytes behind the array of its header {array.shape}, expected none"
            )
        return array


def read_npz(path: Path) -> Parts:
    """Read named arrays: ``x_train, y_train, x_val, y_val, x_test, y_test``, or X, x, images or rows with y or labels.

    A sparse matrix as ``scipy.sparse.save_npz`` writes it is read whole, where memory holds it. A line says which arrays
    were not read.

    Returns
    -------
    Parts
        The rows and labels, or those to train on, and those of the splits that the file has.

    Raises
    ------
    InputError
        A damaged file, other keys, an array of objects, or arrays larger than memory.
    """
    with damaged(path, ".npz arrays"):
        with path.open("rb") as file:
            single = file.read(6) == np.lib.format.MAGIC_PREFIX
        if single:
            raise InputError(f"{path}: found a single array, expected the named arrays of a .npz file")
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            if {"format", "shape", "data"} <= members.keys():
                return Parts(Part(str(path), _read_sparse(path, archive, members)))
            left = dict(members)
            parts = {}
            for split, endings in _SPLITS.items():
                rows = [f"{x}_{ending}" for ending in endings for x in "xX"]
                if any(key in members for key in rows):
                    parts[split] = _part(path, archive, left, rows, [f"y_{ending}" for ending in endings])
            if "train" not in parts:
                left = dict(members)
                parts = {"train": _part(path, archive, left, _ROWS, _LABELS)}
            if left:
                note(f"{path}: not read: {list_some(map(repr, left), 5)}")
            return Parts(parts["train"], parts.get("validation"), parts.get("test"))


def _part(
    path: Path, archive: zipfile.ZipFile, members: dict[str, str], rows: Sequence[str], labels: Sequence[str]
) -> Part:
    """Read rows and labels by the first of their names that there is, and take them from the `members`."""
    row_key = next((key for key in rows if key in members), None)
    label_key = next((key for key in labels if key in members), None)
    if row_key is None:
        keys = ", ".join(members) or "nothing"
        raise InputError(f"{path}: found the keys {keys}; expected x_train, or one of {', '.join(rows)}")
    return Part(
        f"{path}, key {row_key!r}",
        _read_member(path, archive, members.pop(row_key)),
        _read_member(path, archive, members.pop(label_key)) if label_key else None,
        labels_where=f"{path}, key {label_key!r}",
    )


def _read_member(path: Path, archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read one array of an archive: what its header says, and no more."""
    where, info = f"{path}, key {name.removesuffix('.npy')!r}", archive.getinfo(name)
    if info.compress_size > path.stat().st_size or info.file_size > _DEFLATE * (info.compress_size + 1):
        raise InputError(f"{where}: found {info.file_size} bytes announced, expected what a file of this size can hold")
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise InputError(f"{where}: found version {version} of the .npy format, expected 1.0 or 2.0")
        shape, _, dtype = _HEADERS[version](file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise InputError(f"{where}: found Python objects, expected numbers or text; they cannot be read safely")
        if file.tell() + size != info.file_size:
            raise InputError(
                f"{where}: found {info.file_size} bytes, expected {file.tell() + size} for the shape {shape}"
            )
        require_memory(size, where)
    with archive.open(name) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _read_sparse(path: Path, archive: zipfile.ZipFile, members: dict[str, str]) -> NDArray[Any]:
    """Read a sparse matrix into a dense one; its indices are checked, as SciPy trusts them."""

    def read(key: str) -> NDArray[Any]:
        if key not in members:
            raise InputError(f"{path}: found no key {key!r}, expected those of a sparse matrix of SciPy")
        return _read_member(path, archive, members[key])

    kind, shape = read("format").item(), tuple(int(size) for size in read("shape").ravel())
    kind = kind.decode("ascii") if isinstance(kind, bytes) else str(kind)
    data = read("data")
    if len(shape) != 2 or min(shape) < 0 or data.dtype.kind not in "buif":
        raise InputError(
            f"{path}: found a sparse matrix of shape {shape} and type {data.dtype}, expected (n, columns) and numbers"
        )
    require_memory(2 * math.prod(shape) * max(4, data.dtype.itemsize), f"{path}, made dense")
    if kind in ("csr", "csc"):
        made = {"csr": scipy.sparse.csr_array, "csc": scipy.sparse.csc_array}[kind](
            (data, read("indices"), read("indptr")), shape=shape
        )
        made.check_format(full_check=True)
    elif kind == "coo":
        row, col = read("coords") if "coords" in members else np.stack([read("row"), read("col")])
        made = scipy.sparse.coo_array((data, (row, col)), shape=shape)
    else:
        raise InputError(f"{path}: found a sparse matrix of the kind {kind!r}, expected csr, csc or coo")
    dense: NDArray[Any] = made.toarray()
    return dense


def _read_npy_labels(path: Path, options: Options) -> NDArray[Any]:
    return np.asarray(read_npy(path))


FORMATS = (
    Format(
        name=".npy files",
        files=".npy",
        is_file=ends_with(".npy"),
        read=lambda path, options: Parts(Part(str(path), read_npy(path))),
        read_labels=_read_npy_labels,
    ),
    Format(name=".npz files", files=".npz", is_file=ends_with(".npz"), read=lambda path, options: read_npz(path)),
)
