"""IDX files, the format of MNIST: a magic number, the sizes, then the values, all big-endian."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae.data.checks import Part
from aae.errors import InputError

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NAME = re.compile(r"[-.]idx\d-ubyte(\.gz)?$|\.idx(\.gz)?$")


def is_idx(path: Path) -> bool:
    """Check whether a file is called like an IDX file, such as ``t10k-images-idx3-ubyte.gz``."""
    return _NAME.search(path.name.lower()) is not None


def find(folder: Path, name: str) -> Path | None:
    """Find one of `FILES` in a folder: unpacked or ``.gz``, and also with a dot before ``idx``."""
    spellings = (name, name.replace("-idx", ".idx"))
    return next((p for s in spellings for p in (folder / s, folder / f"{s}.gz") if p.is_file()), None)


def read_bytes(path: Path) -> NDArray[np.uint8]:
    """Open the content of a file.

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
        An empty or unreadable file, or gzip data that is damaged or cut short.
    """
    try:
        if path.suffix.lower() == ".gz":
            return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8)
        if path.stat().st_size == 0:
            raise InputError(f"{path}: found an empty file, expected IDX data")
        return np.memmap(path, np.uint8, mode="r")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: found a file that cannot be read ({error}), expected IDX data") from error


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
    magic = bytes(content[:4])
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= 4:
        raise InputError(
            f"{path}: found magic number 0x{magic.hex()}, expected that of an IDX file, such as 0x00000803"
        )
    dtype, start = np.dtype(_TYPES[magic[2]]), 4 + 4 * magic[3]
    if len(content) < start:
        raise InputError(f"{path}: found {len(content)} bytes, expected a header of {start}")
    shape = tuple(int(size) for size in content[4:start].view(">u4"))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise InputError(f"{path}: found {len(content)} bytes, expected {expected} for the sizes {shape} in its header")
    return content[start:].view(dtype).reshape(shape)


def read_idx(path: Path) -> NDArray[Any]:
    """Read one IDX file, plain (memory-mapped) or ``.gz``; see `read_bytes` and `parse`."""
    return parse(read_bytes(path), path)


def read_folder(folder: Path) -> tuple[Part, Part | None]:
    """Read a folder with the four files of MNIST; labels and the test files may be missing.

    Returns
    -------
    train : Part
        The training images and labels.
    test : Part or None
        The test images and labels, when there are test images.
    """
    train, test = _pair(folder, TRAIN_IMAGES, TRAIN_LABELS), _pair(folder, TEST_IMAGES, TEST_LABELS)
    assert train is not None  # what makes it such a folder
    return train, test


def _pair(folder: Path, images: str, labels: str) -> Part | None:
    image_file, label_file = find(folder, images), find(folder, labels)
    if image_file is None:
        return None
    return Part(str(image_file), read_idx(image_file), None if label_file is None else read_idx(label_file))
