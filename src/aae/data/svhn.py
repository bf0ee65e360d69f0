"""SVHN, the Street View House Numbers: MATLAB files, converted once into memory-mapped arrays.

Netzer et al., *Reading digits in natural images with unsupervised feature learning*, 2011: 73,257 images to train on,
531,131 somewhat easier ones, called "extra", and 26,032 to test on. The paper trains on "about 530K" (A.2.2), which is
the extra ones.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pooch
from numpy.typing import NDArray

from aae.data import matlab
from aae.data.checks import Part
from aae.data.dataset import Dataset, Split
from aae.data.entries import CatalogueEntry, cache
from aae.data.formats import Format, Options, Parts, ends_with
from aae.data.splits import hold_out
from aae.errors import InputError

TRAIN, EXTRA, TEST = "train_32x32.mat", "extra_32x32.mat", "test_32x32.mat"
SHAPE = (32, 32, 3)
ADDRESS = "http://ufldl.stanford.edu/housenumbers/"
SUMS = {
    TRAIN: "e26dedcc434d2e4c54c9b2d4a06d8373",
    EXTRA: "a93ce644f1a588dc4d68dda5feec44a7",
    TEST: "eb5a983be6a315427106f1b164d9cef3",
}
"""MD5 of the official files."""

_BLOCK = 4096  # images converted together
_ABANDONED = 3600  # seconds after which a conversion that does not grow counts as killed


@dataclass(frozen=True, eq=False, kw_only=True)
class Svhn(CatalogueEntry):
    """SVHN with one choice of training files.

    Attributes
    ----------
    train_files : tuple of str
        The files to train on, in this order.
    title : str
        What the data set is called in results.
    official : bool
        Whether these are the official files: they can be downloaded, and are verified.
    """

    train_files: tuple[str, ...]
    title: str
    official: bool

    @property
    def folder(self) -> str:
        """All choices of the official files share a folder."""
        return "svhn" if self.official else self.name

    def is_in(self, folder: Path) -> bool:
        """Check whether the training files and the test file are in a folder."""
        return all((folder / file).is_file() for file in (*self.train_files, TEST))

    def download(self) -> None:
        """Download the official files that are not in the cache yet."""
        if not self.official:
            raise self.missing()
        for file in (*self.train_files, TEST):
            self.retrieve(ADDRESS + file, f"md5:{SUMS[file]}")

    def load(self, folder: Path, *, validation: int | float, fold: int | None) -> Dataset:
        """Load images and labels; `validation` takes the last training rows."""
        train, test = self._read(folder, *self.train_files), self._read(folder, TEST)
        train, held = hold_out(train, validation, option="validation", where=self.name, last=True)
        return Dataset(self.title, train, held, test, SHAPE, self.class_names)

    def _read(self, folder: Path, *files: str) -> Split:
        part = read_files([folder / file for file in files], SUMS if self.official else None)
        return Split(part.rows, part.labels)


def _entry(name: str, what: str, train_size: int, *train_files: str) -> Svhn:
    return Svhn(
        name=name,
        description=f"house numbers, 32x32 colour ({what})",
        shape=SHAPE,
        train_size=train_size,
        test_size=26_032,
        class_names=tuple("0123456789"),
        licence="for non-commercial use only, Y. Netzer et al.",
        origin=ADDRESS,
        train_files=train_files,
        title=name,
        official=True,
        others=(".",),  # torchvision puts the files into its root itself
        wanted=", ".join((*train_files, TEST)),
    )


ENTRIES = (
    # The extra images go first, so that a validation split, the last rows, is like the test split.
    _entry("svhn", "training and extra", 604_388, EXTRA, TRAIN),
    _entry("svhn-extra", "extra, as the paper", 531_131, EXTRA),
    _entry("svhn-train", "training", 73_257, TRAIN),
    Svhn(
        name="svhn-10k",
        description="SVHN-10k: 10,000 test images of SVHN, split anew",
        shape=SHAPE,
        train_size=8001,
        test_size=1999,
        class_names=tuple("0123456789"),
        licence="for non-commercial use only, Y. Netzer et al.",
        origin="cut from SVHN; numbers measured on it cannot be compared with SVHN",
        unavailable="it cannot be downloaded",
        wanted=f"{TRAIN} and {TEST}",
        train_files=(TRAIN,),
        title="SVHN-10k",
        official=False,
    ),
)


def is_folder(path: Path) -> bool:
    """Check whether a folder holds files to train on, called as the official ones are."""
    return any((path / file).is_file() for file in (TRAIN, EXTRA))


def read_folder(folder: Path) -> Parts:
    """Read a folder with files called as the official ones are: any of the two to train on, and perhaps the test file.

    Returns
    -------
    Parts
        Extra and training images together, as far as they are there, and the test images, when there is such a file.
    """
    train = [folder / file for file in (EXTRA, TRAIN) if (folder / file).is_file()]
    test = folder / TEST
    return Parts(read_files(train), test=read_files([test]) if test.is_file() else None, last=True)


def read_files(files: Sequence[Path], sums: Mapping[str, str] | None = None) -> Part:
    """Read the images and labels of one or several files, one after the other.

    The images are converted once into one array in the user's cache, from where they are memory-mapped; that is one
    array for each choice of files, 1.9 GB for all of SVHN. Labels are read anew each time.

    Parameters
    ----------
    files : sequence of Path
        ``X`` (32, 32, 3, n) of ``uint8`` and ``y`` (n, 1) in 1..10, where 10 is the digit 0.
    sums : mapping of str to str, optional
        MD5 of the official files by name. They are verified before the conversion.

    Returns
    -------
    Part
        Rows (n, 32, 32, 3) in ``uint8``, a copy-on-write memory map; labels 0..9.

    Raises
    ------
    InputError
        Files that are damaged or of another form, a wrong checksum, or a cache that cannot be written.
    """
    images, labels = [], []
    for file in files:
        found = matlab.read_variables(file, "X", "y")
        shape, kind = found["X"].shape, found["X"].kind
        if len(shape) != 4 or shape[:3] != SHAPE or shape[3] == 0 or kind != "uint8":
            raise InputError(f"{file}: X: found shape {shape} and type {kind}, expected (32, 32, 3, n) and uint8")
        images.append(found["X"])
        labels.append(matlab.read_integers(found["y"], (shape[3], 1), range(1, 11))[:, 0] % 10)
    count = sum(len(part) for part in labels)
    converted = _place(files, sums or {})
    rows = _open(converted, count)
    if rows is None:
        _verify(files, sums or {})
        _convert(images, count, converted)
        rows = _open(converted, count)
    assert rows is not None
    return Part(" and ".join(str(file) for file in files), rows, np.concatenate(labels))


def _place(files: Sequence[Path], sums: Mapping[str, str]) -> Path:
    """Name the conversion of these files as they are now: files that move or change are converted anew."""
    states = [(file, file.stat()) for file in files]
    key = [(str(file.resolve()), s.st_size, s.st_mtime_ns, sums.get(file.name)) for file, s in states]
    return cache() / "svhn-arrays" / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.npy"


def _open(converted: Path, count: int) -> NDArray[Any] | None:
    """Memory-map a conversion; None when it is not there, or not whole."""
    try:
        rows = np.lib.format.open_memmap(converted, mode="c")  # PyTorch warns of read-only maps, not of these
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.shape == (count, *SHAPE) and rows.dtype == np.uint8 else None


def _verify(files: Sequence[Path], sums: Mapping[str, str]) -> None:
    for file in files:
        if file.name in sums and (found := pooch.file_hash(str(file), alg="md5")) != sums[file.name]:
            raise InputError(f"{file}: found the MD5 checksum {found}, expected {sums[file.name]} of the official file")


def _convert(images: Sequence[matlab.Variable], count: int, converted: Path) -> None:
    """Write images as one array, block by block; it appears under its name only when it is complete."""
    unfinished = converted.with_name(f".{converted.name}.{secrets.token_hex(4)}.part")
    size = int(np.prod(SHAPE))
    try:
        converted.parent.mkdir(parents=True, exist_ok=True)
        for left in converted.parent.glob(".*.part"):
            with suppress(FileNotFoundError):  # another process may be as quick
                if time.time() - left.stat().st_mtime > _ABANDONED:
                    left.unlink()
        with unfinished.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *SHAPE)}
            np.lib.format.write_array_header_1_0(file, header)
            for variable in images:
                for block in variable.blocks(_BLOCK * size):
                    rows = block.reshape(-1, *SHAPE[::-1])  # MATLAB counts backwards: (n, colours, columns, rows)
                    file.write(rows.transpose(0, 3, 2, 1).tobytes())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(converted)
    except OSError as error:
        raise InputError(
            f"{converted}: found that it cannot be written ({error.strerror}), "
            f"expected a writable folder with {count * size / 1e9:.1f} GB free"
        ) from error
    finally:
        with suppress(OSError):  # it was renamed, or never written
            unfinished.unlink()


def _read_any(path: Path, options: Options) -> Parts:
    return read_folder(path) if path.is_dir() else Parts(read_files([path]), last=True)


FORMATS = (
    Format(
        name="SVHN files",
        files="a .mat file of SVHN",
        folders="SVHN files",
        is_file=ends_with(matlab.SUFFIX),
        is_folder=is_folder,
        read=_read_any,
    ),
)
