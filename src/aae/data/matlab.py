"""MATLAB files of version 5 to 7: named arrays of numbers, unpacked block by block.

SciPy reads these files too, but holds every array whole (1.6 GB for the larger half of SVHN), and a damaged file can crash
it. This reads only what data sets are made of: plain arrays of real numbers, packed or not.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from aae.errors import InputError, reason

SUFFIX = ".mat"

# The numbers that the format gives to what an element holds, and to the class of an array.
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
_KINDS = ("double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_FIRST_KIND, _COMPLEX = 6, 0x800  # the class of "double", the others follow; a flag beside the class
_HEADER, _SMALL = 128, 2**16  # bytes: of the file's header, and at most of a name or a list of sizes


@dataclass(frozen=True)
class Variable:
    """One array in a file, its values not read yet.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        What the array is called in it.
    shape : tuple of int
        Its sizes. The first index runs fastest in the file.
    kind : str
        The class: ``"uint8"``, ``"double"`` and so on; ``"other"`` where it is no plain array of real numbers.
    place : int
        Where it starts in the file, in bytes.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    kind: str
    place: int

    def blocks(self, size: int) -> Iterator[NDArray[Any]]:
        """Read the values in the order of the file, flat, up to `size` at a time, in the type of their class.

        Raises
        ------
        InputError
            Damaged content, or no plain array of real numbers.
        """
        with _opened(self.path) as file:
            file.seek(self.place)
            stream, _, _, _ = _open_matrix(file)
            stored, left, inline = _read_tag(stream)
            if self.kind == "other" or stored not in _TYPES:
                raise InputError(f"{self.path}: {self.name}: found no array of real numbers, expected one")
            dtype, own = np.dtype(_TYPES[stored]), np.dtype(self.kind)  # whole numbers of any class are stored small
            if left != math.prod(self.shape) * dtype.itemsize:
                raise ValueError(f"{left} bytes of {self.name} for the sizes {self.shape}")
            if inline is not None:
                yield np.frombuffer(inline[:left], dtype).astype(own)
                return
            while left:
                content = _take(stream, min(left, size * dtype.itemsize))
                left -= len(content)
                yield np.frombuffer(content, dtype).astype(own, copy=False)
            if stream is not file:
                stream.read()  # to the end of the packed data, where its checksum is

    def read(self) -> NDArray[Any]:
        """Read all values, ``shape``, the first index fastest in memory; InputError as for `blocks`."""
        blocks = list(self.blocks(max(1, math.prod(self.shape))))  # one, or none where there are no values
        return (blocks[0] if blocks else np.empty(0)).reshape(self.shape, order="F")


def read_variables(path: Path, *expected: str) -> dict[str, Variable]:
    """List the variables of a file.

    Parameters
    ----------
    path : Path
        A ``.mat`` file.
    *expected : str
        The variables that it has to have.

    Returns
    -------
    dict of str to Variable
        By name, in the order of the file.

    Raises
    ------
    InputError
        No ``.mat`` file of version 5 to 7, one cut short, or one without one of the `expected` variables.
    """
    found = {}
    with _opened(path) as file:
        total = path.stat().st_size
        place = _HEADER
        while place < total:
            file.seek(place)
            _, size = struct.unpack("<II", _take(file, 8))
            if place + 8 + size > total:
                raise ValueError(f"{total} bytes, where at least {place + 8 + size} are announced")
            file.seek(place)
            _, name, shape, kind = _open_matrix(file)
            found[name] = Variable(path, name, shape, kind, place)
            place += 8 + size
    for name in expected:
        if name not in found:
            variables = ", ".join(found) or "nothing"
            raise InputError(f"{path}: found the variables {variables}; expected {', '.join(expected)}")
    return found


def read_integers(variable: Variable, shape: tuple[int, int], allowed: Sequence[int]) -> NDArray[np.int64]:
    """Read a variable of integers, whatever type of number they are stored as.

    Parameters
    ----------
    variable : Variable
        What to read.
    shape : tuple of int, (n, columns)
        The shape that it has to have.
    allowed : sequence of int
        The values that may occur.

    Returns
    -------
    int64 array, (n, columns)
        The values.

    Raises
    ------
    InputError
        Another shape, another value, or damaged content.
    """
    where = f"{variable.path}: {variable.name}"
    if variable.shape != shape:
        raise InputError(f"{where}: found shape {variable.shape}, expected {shape}")
    values = variable.read()
    good = np.isin(values, allowed)
    if not good.all():
        row, column = (int(i) for i in np.unravel_index(np.argmin(good), shape))
        raise InputError(
            f"{where}, row {row} (counted from 0): found {values[row, column]}, "
            f"expected one of {', '.join(map(str, allowed))}"
        )
    return values.astype(np.int64)


def _open_matrix(file: BinaryIO) -> tuple[BinaryIO, str, tuple[int, ...], str]:
    """Open the array that starts here: a stream that has come to its values, then its name, shape and kind."""
    stream = file
    element, size = struct.unpack("<II", _take(stream, 8))
    if element == _COMPRESSED:
        stream = io.BufferedReader(_Unpacked(file, size))
        element, _ = struct.unpack("<II", _take(stream, 8))
    if element != _MATRIX:
        raise ValueError(f"an element of type {element}")
    flags = int.from_bytes(_read_small(stream)[:4], "little")
    sizes = _read_small(stream)
    shape = struct.unpack(f"<{len(sizes) // 4}i", sizes[: len(sizes) // 4 * 4])
    if not shape or min(shape) < 0:
        raise ValueError(f"the sizes {shape}")
    name = _read_small(stream).decode("latin-1")
    number = (flags & 0xFF) - _FIRST_KIND
    plain = 0 <= number < len(_KINDS) and not flags & _COMPLEX
    return stream, name, shape, _KINDS[number] if plain else "other"


def _read_tag(stream: BinaryIO) -> tuple[int, int, bytes | None]:
    """Read what comes before a piece of data: its type and its bytes; data of up to 4 bytes comes with it."""
    first, second = _take(stream, 4), _take(stream, 4)
    stored, inline = struct.unpack("<HH", first)
    if inline:
        return stored, min(inline, 4), second
    return stored, int.from_bytes(second, "little"), None


def _read_small(stream: BinaryIO) -> bytes:
    """Read a short piece of data, and the filling after it up to a multiple of 8 bytes."""
    _, size, inline = _read_tag(stream)
    if inline is not None:
        return inline[:size]
    if size > _SMALL:
        raise ValueError(f"{size} bytes of sizes or name")
    return _take(stream, -(-size // 8) * 8)[:size]


def _take(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError("cut short")
    return content


class _Unpacked(io.RawIOBase):
    """What a compressed element holds, unpacked as it is read."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left, self._unpacker = file, size, zlib.decompressobj()

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a part of `buffer` with the next bytes; 0 at the end."""
        while not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail
            if not packed:
                packed = self._file.read(min(self._left, 2**16))
                self._left -= len(packed)
            if not packed:
                raise EOFError("cut short")
            content = self._unpacker.decompress(packed, len(buffer))
            if content:
                buffer[: len(content)] = content
                return len(content)
        return 0


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file of this format; turn what can go wrong while reading it into one line."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
            if header[124:] == b"\x00\x02IM" or header.startswith(b"MATLAB 7.3"):
                raise InputError(
                    f"{path}: found a file of MATLAB 7.3, which is HDF5; expected version 5 to 7 (in MATLAB: save -v7)"
                )
            if header[124:] != b"\x00\x01IM":
                raise InputError(f"{path}: found no file of MATLAB 5 to 7 (by its first 128 bytes), expected one")
            yield file
    except InputError:
        raise
    except (OSError, EOFError, ValueError, MemoryError, struct.error, zlib.error) as error:
        raise InputError(
            f"{path}: found a file that cannot be read ({reason(error)}), expected a whole .mat file"
        ) from error
