"""What the catalogue knows of a data set, and where data sets lie on a machine."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pooch

from aae.data.dataset import Dataset
from aae.errors import InputError


@dataclass(frozen=True, eq=False, kw_only=True)
class CatalogueEntry(ABC):
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
    others, system : tuple of str
        Where else it may lie: folders inside those of `path`, as other libraries call them; folders of the system.
    unavailable, wanted : str
        What to say where it is not on this machine: why it cannot be downloaded, empty where it can be, and which files are
        expected.
    """

    name: str
    description: str
    shape: tuple[int, ...]
    train_size: int
    test_size: int
    class_names: tuple[str, ...]
    licence: str
    origin: str
    others: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    unavailable: str = ""
    wanted: str = "its files"

    @property
    def folder(self) -> str:
        """The name of its folder, inside the folder that AAE_DATA names and inside the user's cache."""
        return self.name

    @property
    def path(self) -> Path | None:
        """Where it lies on this machine: in AAE_DATA, in the user's cache, or among the system's files; None when in none.

        Raises
        ------
        InputError
            When the environment variable AAE_DATA names no folder.
        """
        roots = [cache()]
        if own := os.environ.get("AAE_DATA"):
            if not Path(own).expanduser().is_dir():
                raise InputError(f"AAE_DATA: found {own!r}, expected an existing folder")
            roots.insert(0, Path(own).expanduser())
        folders = [root / name for root in roots for name in (self.folder, *self.others)]
        folders += [Path(name) for name in self.system]
        return next((folder for folder in folders if self.is_in(folder)), None)

    @abstractmethod
    def is_in(self, folder: Path) -> bool:
        """Check whether all its files are in a folder."""

    @abstractmethod
    def load(self, folder: Path, *, validation: int | float, fold: int | None) -> Dataset:
        """Load it from its folder; see `aae.data.load`."""

    def download(self) -> None:
        """Download it into its folder in the user's cache; an InputError where that cannot be done, as here."""
        raise self.missing()

    def fetch(self, download: bool = True) -> Path:
        """Return the folder it lies in, after a download where that is needed and allowed."""
        if (found := self.path) is not None:
            return found
        if not download:
            raise self.missing()
        self.download()
        return cache() / self.folder

    def missing(self) -> InputError:
        """Create the error for a data set that is not on this machine and is not downloaded."""
        return InputError(
            f"{self.name}: found it neither in AAE_DATA nor in {cache()}, and {self.unavailable or 'downloads are off'}; "
            f"expected {self.wanted} in a folder {self.folder!r} inside the folder that AAE_DATA names"
        )

    def retrieve(self, address: str, known_hash: str) -> None:
        """Download one file into the user's cache, unless it is there; progress is shown on standard error.

        Parameters
        ----------
        address : str
            Its last part is the name of the file.
        known_hash : str
            ``sha256:...`` or ``md5:...``.

        Raises
        ------
        InputError
            No network, no space, or a wrong checksum.
        """
        try:
            pooch.retrieve(
                address,
                known_hash,
                fname=address.rpartition("/")[2],
                path=cache() / self.folder,
                downloader=pooch.HTTPDownloader(progressbar=True),
            )
        except (OSError, ValueError) as error:  # no network, no space; a wrong checksum
            reason = str(error) if isinstance(error, ValueError) else type(error).__name__
            raise InputError(
                f"{self.name}: could not download {address} ({' '.join(reason.split())}); check the network, "
                f"or put the file into a folder {self.folder!r} inside the folder that AAE_DATA names"
            ) from error


def cache() -> Path:
    """Name the folder in which this user's downloads and conversions are kept."""
    return platformdirs.user_cache_path("aae")
