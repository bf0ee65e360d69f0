"""IDX files, the format of MNIST: a magic number, the sizes, then the values, all big-endian."""

from __future__ import annotations

import gzip
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae.data.checks import Part
from aae.data.formats import Format, Options, Parts
from aae.data.reading import damaged, require_memory
from aae.errors import InputError

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_DIMENSIONS = 4  # at most
_NAME = re.compile(r"[-.]idx\d-ubyte(\.gz)?$|\.idx(\.gz)?$")


def is_idx(path: Path) -> bool:
    """Check whether a file is called like an IDX file, such as ``t10k-images-idx3-ubyte.gz``."""
    return _NAME.search(path.name.lower()) is not None


def find(folder: Path, name: str) -> Path | None:
    """Find one of `FILES` in a folder: unpacked or ``.gz``, and also with a dot before ``idx``."""
    spellings = (name, name.replace("-idx", ".idx"))
    return next((p for s in spellings for p in (folder / s, folder / f"{s}.gz") if p.is_file()), None)


def read_bytes(path: Path) -> NDArray[np.uint8]:
    """Open the content of a file, as far as its header says: an array of the announced size, and one byte to see that it ends.

    Parameters
    ----------
    path : Path
        A plain file, or one ending in ``.gz``.

    Returns
    -------
    uint8 array, (bytes,)
        Read-only: a memory map of a plain file; the unpacked content of a ``.gz`` file, in memory.

    Raises
    ------
    InputError
        An empty or unreadable file, gzip data that is damaged or cut short, or more than memory holds.
    """
    with damaged(path, "IDX data"):
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as file:
                start = file.read(4 + 4 * _DIMENSIONS)
                size = _announced(np.frombuffer(start, np.uint8), path)[2]
                require_memory(2 * size, str(path))
                return np.frombuffer((start + _read(file, size + 1 - len(start)))[: size + 1], np.uint8)
        if path.stat().st_size == 0:
            raise InputError(f"{path}: found an empty file, expected IDX data")
        return np.memmap(path, np.uint8, mode="r")


def _read(file: gzip.GzipFile, size: int) -> bytes:
    blocks = []
    while size > 0 and (block := file.read(min(size, 2**20))):
        blocks.append(block)
        size -= len(block)
    return b"".join(blocks)


def _announced(content: NDArray[np.uint8], path: Path) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Read the type, the sizes and the number of bytes that a header announces."""
    magic = bytes(content[:4])
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= _DIMENSIONS:
        raise InputError(
            f"{path}: found magic number 0x{magic.hex()}, expected that of an IDX file, such as 0x00000803"
        )
    dtype, start = np.dtype(_TYPES[magic[2]]), 4 + 4 * magic[3]
    if len(content) < start:
        raise InputError(f"{path}: found {len(content)} bytes, expected a header of {start}")
    shape = tuple(int(size) for size in content[4:start].view(">u4"))
    return dtype, shape, start + math.prod(shape) * dtype.itemsize


def parse(content: NDArray[np.uint8], path: Path) -> NDArray[Any]:
    """Read IDX content.

    Parameters
    ----------
    content : uint8 array, (bytes,)
        What `read_bytes` gave.
    path : Path
        The file it came from, for error messages.

    Returns
    -------
    array, shape and type as the header says
        A view of `content`, so a memory map stays a memory map.

    Raises
    ------
    InputError
        A wrong magic number, or a size other than the header announces.
    """
    dtype, shape, expected = _announced(content, path)
    if len(content) != expected:
        more = "more than " if len(content) == expected + 1 and path.suffix.lower() == ".gz" else ""
        found = expected if more else len(content)
        raise InputError(f"{path}: found {more}{found} bytes, expected {expected} for the sizes {shape} in its header")
    start = expected - math.prod(shape) * dtype.itemsize
    return content[start:].view(dtype).reshape(shape)


def read_idx(path: Path) -> NDArray[Any]:
    """Read one IDX file, plain (memory-mapped) or ``.gz``; see `read_bytes` and `parse`."""
    return parse(read_bytes(path), path)


def read_folder(folder: Path) -> Parts:
    """Read a folder with the four files of MNIST, as splits; labels and the test files may be missing."""
    train, test = _pair(folder, TRAIN_IMAGES, TRAIN_LABELS), _pair(folder, TEST_IMAGES, TEST_LABELS)
    assert train is not None  # what makes it such a folder
    return Parts(train, test=test)


def _pair(folder: Path, images: str, labels: str) -> Part | None:
    image_file, label_file = find(folder, images), find(folder, labels)
    if image_file is None:
        return None
    return Part(str(image_file), read_idx(image_file), None if label_file is None else read_idx(label_file))


def _read_any(path: Path, options: Options) -> Parts:
    return read_folder(path) if path.is_dir() else Parts(Part(str(path), read_idx(path)))


FORMATS = (
    Format(
        name="IDX files",
        files="an IDX file",
        folders="IDX files",
        is_file=is_idx,
        is_folder=lambda path: find(path, TRAIN_IMAGES) is not None,
        read=_read_any,
        read_labels=lambda path, options: read_idx(path),
    ),
)
