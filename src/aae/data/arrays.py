"""NumPy files: one array (``.npy``) or several with names (``.npz``). Nothing is ever unpickled."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae.data.checks import Part
from aae.errors import InputError, reason

_ROWS, _LABELS = ("X", "x", "images", "rows"), ("y", "labels")


def read_npy(path: Path) -> NDArray[Any]:
    """Memory-map one array of any type and shape but Python objects; the file never changes.

    Raises
    ------
    InputError
        Not a NumPy file, cut short, or an array of objects.
    """
    try:
        return np.lib.format.open_memmap(path, mode="c")  # PyTorch shares these, and copies read-only maps
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path}: found a file that cannot be read ({reason(error)}), expected a .npy array"
        ) from error


def read_npz(path: Path) -> tuple[Part, Part | None]:
    """Read named arrays: ``x_train, y_train, x_test, y_test``, or one of X, x, images, rows with one of y, labels.

    Returns
    -------
    train : Part
        The rows and labels, or those to train on.
    test : Part or None
        The rows and labels to test on, when the file has ``x_test``.

    Raises
    ------
    InputError
        A damaged file, other keys, or an array of objects.
    """
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: found a single array, expected the named arrays of a .npz file")
            if "x_train" in archive:
                test = _part(path, archive, ("x_test",), ("y_test",)) if "x_test" in archive else None
                return _part(path, archive, ("x_train",), ("y_train",)), test
            return _part(path, archive, _ROWS, _LABELS), None
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: found a file that cannot be read ({reason(error)}), expected .npz arrays") from error


def _part(path: Path, archive: np.lib.npyio.NpzFile, rows: tuple[str, ...], labels: tuple[str, ...]) -> Part:
    row_key = next((key for key in rows if key in archive), None)
    label_key = next((key for key in labels if key in archive), None)
    if row_key is None:
        keys = ", ".join(archive.files) or "nothing"
        raise InputError(f"{path}: found the keys {keys}; expected x_train, or one of {', '.join(rows)}")
    return Part(f"{path}, key {row_key!r}", archive[row_key], archive[label_key] if label_key else None)
