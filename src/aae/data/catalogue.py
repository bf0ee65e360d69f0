"""The data sets known by name, where they lie on this machine, and how to get them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import sklearn.datasets
from numpy.typing import NDArray

from aae.data import idx, svhn, tfd
from aae.data.checks import Part, check_parts
from aae.data.dataset import Dataset, Split
from aae.data.entries import CatalogueEntry
from aae.data.splits import hold_out
from aae.errors import InputError, unknown

DIGITS_TEST = 0.2
_DIGIT_NAMES = tuple("0123456789")


@dataclass(frozen=True, eq=False, kw_only=True)
class _Digits(CatalogueEntry):
    """The digits that scikit-learn brings along."""

    @property
    def path(self) -> Path:
        """The folder that scikit-learn reads them from."""
        return Path(sklearn.datasets.__file__).parent / "data"

    def is_in(self, folder: Path) -> bool:
        """Check whether this is the folder of scikit-learn."""
        return folder == self.path

    def load(self, folder: Path, *, validation: int | float, fold: int | None) -> Dataset:
        """Load the digits, with the test split that is fixed here."""
        digits = sklearn.datasets.load_digits()
        rows = (digits.images / 16).astype(np.float32)  # 0..16 to 0..1
        train, test = hold_out(Split(rows, digits.target.astype(np.int64)), DIGITS_TEST, option="test", where=self.name)
        train, held = hold_out(train, validation, option="validation", where=self.name)
        return Dataset(self.name, train, held, test, self.shape, self.class_names)


@dataclass(frozen=True)
class _Sums:
    """SHA-256 of the official download, and of its unpacked content where that is known."""

    packed: str
    content: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class _IdxSet(CatalogueEntry):
    """A data set of four IDX files: 60,000 and 10,000 grayscale images of 28x28 in ten classes."""

    shape: tuple[int, ...] = (28, 28)
    train_size: int = 60_000
    test_size: int = 10_000
    sums: Mapping[str, _Sums]
    last_rows_validate: bool  # validation takes the last training rows, as is the custom for MNIST

    def is_in(self, folder: Path) -> bool:
        """Check whether the four files are in a folder."""
        return all(idx.find(folder, file) for file in idx.FILES)

    def download(self) -> None:
        """Download the four files."""
        for file, sums in self.sums.items():
            self.retrieve(f"{self.origin}{file}.gz", f"sha256:{sums.packed}")

    def load(self, folder: Path, *, validation: int | float, fold: int | None) -> Dataset:
        """Load images and labels, checksums verified."""
        train = self._read_pair(folder, idx.TRAIN_IMAGES, idx.TRAIN_LABELS)
        test = self._read_pair(folder, idx.TEST_IMAGES, idx.TEST_LABELS)
        train, held = hold_out(train, validation, option="validation", where=self.name, last=self.last_rows_validate)
        return Dataset(self.name, train, held, test, self.shape, self.class_names)

    def _read_pair(self, folder: Path, images: str, labels: str) -> Split:
        part = Part(str(folder / images), self._read_official(folder, images), self._read_official(folder, labels))
        (split,), _ = check_parts([part], tuple(map(str, range(len(self.class_names)))))
        return split

    def _read_official(self, folder: Path, name: str) -> NDArray[Any]:
        file, sums = idx.find(folder, name), self.sums[name]
        assert file is not None  # is_in and fetch made sure
        if sums.content is None and (packed := folder / f"{name}.gz").is_file():
            file = packed  # torchvision keeps it beside the unpacked one, which cannot be verified
        if sums.content is not None:
            found, expected = hashlib.sha256(idx.read_bytes(file).data).hexdigest(), sums.content
        elif file.suffix == ".gz":
            found, expected = pooch.file_hash(str(file)), sums.packed
        else:
            raise InputError(
                f"{file}: found an unpacked file, which cannot be verified; expected the official {name}.gz"
            )
        if found != expected:
            raise InputError(f"{file}: found the SHA-256 checksum {found}, expected {expected} of the official file")
        return idx.read_idx(file)


_ENTRIES: tuple[CatalogueEntry, ...] = (
    _Digits(
        name="digits",
        description="handwritten digits, 8x8 grayscale, part of scikit-learn",
        shape=(8, 8),
        train_size=1438,
        test_size=359,
        class_names=_DIGIT_NAMES,
        licence="CC BY 4.0, E. Alpaydin and C. Kaynak, UCI",
        origin="scikit-learn",
    ),
    _IdxSet(
        name="mnist",
        others=("MNIST/raw",),  # of torchvision
        description="handwritten digits, 28x28 grayscale",
        class_names=_DIGIT_NAMES,
        licence="CC BY-SA 3.0, Y. LeCun and C. Cortes",
        origin="https://ossci-datasets.s3.amazonaws.com/mnist/",
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
    _IdxSet(
        name="fashion-mnist",
        others=("FashionMNIST/raw",),  # of torchvision
        system=("/usr/share/dataset-fashion-mnist",),  # of Debian
        description="pieces of clothing, 28x28 grayscale",
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
        origin="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        sums={
            idx.TRAIN_IMAGES: _Sums("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            idx.TRAIN_LABELS: _Sums("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            idx.TEST_IMAGES: _Sums("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            idx.TEST_LABELS: _Sums("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        },
        last_rows_validate=False,
    ),
    *svhn.ENTRIES,
    *tfd.ENTRIES,
)
_BY_NAME = {entry.name: entry for entry in _ENTRIES}
NAMES = tuple(_BY_NAME)
"""The known data sets by name."""


def names() -> list[CatalogueEntry]:
    """List the known data sets.

    Returns
    -------
    list of CatalogueEntry
        Each tells its folder on this machine, where it is there. Nothing is downloaded.
    """
    return list(_ENTRIES)


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
        An unknown name, an AAE_DATA that is no folder, no network, a download whose checksum is wrong, or a data set
        that cannot be downloaded: the message says how to obtain it and where to put it.
    """
    if name not in NAMES:
        raise unknown("data set", name, NAMES)
    return _BY_NAME[name].fetch()


def load_named(name: str, *, validation: int | float, fold: int | None, download: bool) -> Dataset:
    """Load one of `NAMES`; see `aae.data.load`."""
    entry = _BY_NAME[name]
    return entry.load(entry.fetch(download), validation=validation, fold=fold)
