"""The data sets known by name, where they lie on this machine, and how to get them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pooch
import sklearn.datasets
from numpy.typing import NDArray

from aae.data import idx
from aae.data.checks import Part, check_labels, check_rows
from aae.data.dataset import Dataset, Split
from aae.data.subsets import hold_out
from aae.errors import InputError, unknown

DIGITS_TEST = 0.2


@dataclass(frozen=True)
class CatalogueEntry:
    """One known data set, as ``aae data list`` shows it.

    Attributes
    ----------
    name, description : str
        What to call it, and what it is.
    shape : tuple of int
        The shape of one row.
    train_size, test_size : int
        Rows to train on, before any validation split, and to test on.
    class_names : tuple of str
        Class k is called ``class_names[k]``.
    licence, origin : str
        The terms of use, and the address or package it comes from.
    path : Path or None
        Where it lies on this machine; None when it has to be downloaded first.
    """

    name: str
    description: str
    shape: tuple[int, ...]
    train_size: int
    test_size: int
    class_names: tuple[str, ...]
    licence: str
    origin: str
    path: Path | None


@dataclass(frozen=True)
class _Sums:
    """SHA-256 of the official download, and of its unpacked content where that is known."""

    packed: str
    content: str | None = None


@dataclass(frozen=True)
class _IdxSet:
    """A data set of four IDX files: 60,000 and 10,000 grey pictures of 28x28 in ten classes."""

    description: str
    class_names: tuple[str, ...]
    licence: str
    address: str
    sums: Mapping[str, _Sums]
    last_rows_validate: bool  # validation takes the last training rows, as is the custom for MNIST


_DIGIT_NAMES = tuple("0123456789")
_IDX_SETS = {
    "mnist": _IdxSet(
        description="handwritten digits, 28x28 grey",
        class_names=_DIGIT_NAMES,
        licence="CC BY-SA 3.0, Y. LeCun and C. Cortes",
        address="https://ossci-datasets.s3.amazonaws.com/mnist/",
        sums={
            idx.TRAIN_IMAGES: _Sums(
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            idx.TRAIN_LABELS: _Sums(
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            idx.TEST_IMAGES: _Sums(
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            idx.TEST_LABELS: _Sums(
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        },
        last_rows_validate=True,
    ),
    "fashion-mnist": _IdxSet(
        description="pieces of clothing, 28x28 grey",
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        licence="MIT, Zalando SE",
        address="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        sums={
            idx.TRAIN_IMAGES: _Sums("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            idx.TRAIN_LABELS: _Sums("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            idx.TEST_IMAGES: _Sums("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            idx.TEST_LABELS: _Sums("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        },
        last_rows_validate=False,
    ),
}
NAMES = ("digits", *_IDX_SETS)
"""The known data sets by name."""


def names() -> list[CatalogueEntry]:
    """List the known data sets.

    Returns
    -------
    list of CatalogueEntry
        With the folder of each on this machine, where it is there. Nothing is downloaded.

    Raises
    ------
    InputError
        When the environment variable AAE_DATA names no folder.
    """
    digits = CatalogueEntry(
        name="digits",
        description="handwritten digits, 8x8 grey, part of scikit-learn",
        shape=(8, 8),
        train_size=1438,
        test_size=359,
        class_names=_DIGIT_NAMES,
        licence="CC BY 4.0, E. Alpaydin and C. Kaynak, UCI",
        origin="scikit-learn",
        path=Path(sklearn.datasets.__file__).parent / "data",
    )
    return [digits] + [
        CatalogueEntry(
            name=name,
            description=known.description,
            shape=(28, 28),
            train_size=60_000,
            test_size=10_000,
            class_names=known.class_names,
            licence=known.licence,
            origin=known.address,
            path=_locate(name),
        )
        for name, known in _IDX_SETS.items()
    ]


def fetch(name: str) -> Path:
    """Make sure that a known data set is on this machine.

    It is looked for in the folder that the environment variable AAE_DATA names, then in the user's cache, and otherwise
    downloaded into that cache. Progress is shown on standard error.

    Parameters
    ----------
    name : str
        One of the names that `names` lists.

    Returns
    -------
    Path
        The folder it lies in.

    Raises
    ------
    InputError
        An unknown name, an AAE_DATA that is no folder, no network, or a download whose checksum is wrong.
    """
    if name not in NAMES:
        raise unknown("data set", name, NAMES)
    found = next(entry.path for entry in names() if entry.name == name)
    if found is not None:
        return found
    known, folder = _IDX_SETS[name], _cache() / name
    for file, sums in known.sums.items():
        address = f"{known.address}{file}.gz"
        try:
            pooch.retrieve(
                address,
                f"sha256:{sums.packed}",
                fname=f"{file}.gz",
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=True),
            )
        except (OSError, ValueError) as error:  # no network, no space; a wrong checksum
            reason = str(error) if isinstance(error, ValueError) else type(error).__name__
            raise InputError(
                f"{name}: could not download {address} ({' '.join(reason.split())}); check the network, "
                f"or put the file into a folder {name!r} inside the folder that AAE_DATA names"
            ) from error
    return folder


def load_named(name: str, *, validation: int | float, download: bool) -> Dataset:
    """Load one of `NAMES`; see `aae.data.load`."""
    if name == "digits":
        return _load_digits(validation)
    folder = _locate(name)
    if folder is None:
        if not download:
            raise InputError(
                f"{name}: found it neither in AAE_DATA nor in {_cache()}, and downloads are off; "
                f"expected its files in a folder {name!r} inside the folder that AAE_DATA names"
            )
        folder = fetch(name)
    known = _IDX_SETS[name]
    train = _read_pair(known, folder, idx.TRAIN_IMAGES, idx.TRAIN_LABELS)
    test = _read_pair(known, folder, idx.TEST_IMAGES, idx.TEST_LABELS)
    train, held = hold_out(train, validation, option="validation", where=name, last=known.last_rows_validate)
    return Dataset(name, train, held, test, (28, 28), known.class_names)


def _load_digits(validation: int | float) -> Dataset:
    digits = sklearn.datasets.load_digits()
    rows = (digits.images / 16).astype(np.float32)  # 0..16 to 0..1
    train, test = hold_out(Split(rows, digits.target.astype(np.int64)), DIGITS_TEST, option="test", where="digits")
    train, held = hold_out(train, validation, option="validation", where="digits")
    return Dataset("digits", train, held, test, (8, 8), _DIGIT_NAMES)


def _cache() -> Path:
    return platformdirs.user_cache_path("aae")


def _locate(name: str) -> Path | None:
    folders = [_cache() / name]
    if own := os.environ.get("AAE_DATA"):
        if not Path(own).expanduser().is_dir():
            raise InputError(f"AAE_DATA: found {own!r}, expected an existing folder")
        folders.insert(0, Path(own).expanduser() / name)
    return next((folder for folder in folders if all(idx.find(folder, file) for file in idx.FILES)), None)


def _read_pair(known: _IdxSet, folder: Path, images: str, labels: str) -> Split:
    part = Part(str(folder / images), _read_official(known, folder, images), _read_official(known, folder, labels))
    return Split(check_rows(part), check_labels(part))


def _read_official(known: _IdxSet, folder: Path, name: str) -> NDArray[Any]:
    file, sums = idx.find(folder, name), known.sums[name]
    assert file is not None  # _locate and fetch made sure
    content = idx.read_bytes(file)
    if sums.content is not None:
        found, expected = hashlib.sha256(content.data).hexdigest(), sums.content
    elif file.suffix == ".gz":
        found, expected = hashlib.sha256(file.read_bytes()).hexdigest(), sums.packed
    else:
        raise InputError(f"{file}: found an unpacked file, which cannot be verified; expected the official {name}.gz")
    if found != expected:
        raise InputError(f"{file}: found the SHA-256 checksum {found}, expected {expected} of the official file")
    return idx.parse(content, file)
