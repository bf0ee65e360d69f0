"""TFD, the Toronto Face Dataset: one licensed MATLAB file, with five official folds.

Susskind, Anderson and Hinton, *The Toronto face dataset*, 2010: 48x48 grayscale faces, 98,058 without and 4,178 with an
expression. A fold divides the latter into training, validation and test images. The generative models of section 3
learn from the images that no fold uses, and are measured on the validation and test images of a fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aae.data import matlab
from aae.data.checks import Part, check_parts
from aae.data.dataset import Dataset
from aae.data.entries import CatalogueEntry
from aae.data.formats import Format, Options, Parts
from aae.errors import InputError

FILE = "TFD_48x48.mat"
SHAPE = (48, 48)
FOLDS = 5
EXPRESSIONS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # 1 to 7 in the file
_UNLABELLED, _VALIDATION, _TEST = 0, 2, 3  # what a fold says of an image; 1 is a training image
_NAMES = np.array([*EXPRESSIONS, ""])  # the last, which -1 finds, is no expression
_VARIABLES = frozenset({"images", "folds", "labs_ex"})
_MD5 = "9d113650c197719b750ecc6864faf87c"


@dataclass(frozen=True, eq=False, kw_only=True)
class Faces(CatalogueEntry):
    """A file of the form of TFD's.

    Attributes
    ----------
    title : str
        What the data set is called in results.
    """

    title: str
    wanted: str = FILE

    def is_in(self, folder: Path) -> bool:
        """Check whether the file is in a folder."""
        return (folder / FILE).is_file()

    def load(self, folder: Path, *, validation: int | float, fold: int | None) -> Dataset:
        """Load one fold, which brings a validation split of its own."""
        parts = read_fold(folder / FILE, fold)
        assert parts.validation is not None
        assert parts.test is not None
        (train, held, test), _ = check_parts([parts.train, parts.validation, parts.test], EXPRESSIONS)
        return Dataset(self.title, train, held, test, SHAPE, EXPRESSIONS)


ENTRIES = (
    Faces(
        name="tfd",
        description="faces, 48x48 grayscale, seven expressions, five folds",
        shape=SHAPE,
        train_size=98_058,
        test_size=835,
        class_names=EXPRESSIONS,
        licence="by permission of its authors, J. Susskind, A. Anderson and G. Hinton",
        origin="its authors, University of Toronto",
        title="tfd",
        unavailable="it cannot be downloaded: ask its authors (J. Susskind, A. Anderson, G. Hinton, University of Toronto) "
        f"for the Toronto Face Dataset (one public copy has the MD5 checksum {_MD5})",
    ),
    Faces(
        name="faces",
        description="faces stand-in: other faces in the form of tfd",
        shape=SHAPE,
        train_size=20_000,
        test_size=800,
        class_names=EXPRESSIONS,
        licence="that of its images",
        origin="other faces; numbers measured on it cannot be compared with TFD",
        title="faces stand-in",
        unavailable="it cannot be downloaded: it stands in for tfd with other faces in the same form",
    ),
)


def is_faces(path: Path) -> bool:
    """Check whether a path is a ``.mat`` file with variables of TFD, or a folder with the file of TFD."""
    if path.is_dir():
        return (path / FILE).is_file()
    return path.suffix.lower() == matlab.SUFFIX and not _VARIABLES.isdisjoint(matlab.read_variables(path))


def read_fold(path: Path, fold: int | None = None) -> Parts:
    """Read one official fold.

    Parameters
    ----------
    path : Path
        A file with ``images`` (n, 48, 48) of ``uint8``; ``folds`` (n, 5), where 0 is an unlabelled, 1 a training, 2 a
        validation and 3 a test image; ``labs_ex`` (n, 1), 1..7 for the `EXPRESSIONS` and -1 for none.
    fold : int, optional
        Which fold, 0 to 4; by default the first.

    Returns
    -------
    Parts
        The unlabelled images to train on, the validation and the test images of the fold.

    Raises
    ------
    InputError
        A fold out of range or without images of a split, or a file that is damaged or of another form.
    """
    fold = 0 if fold is None else fold
    if not 0 <= fold < FOLDS:
        raise InputError(f"fold: found {fold}, expected 0 to {FOLDS - 1}")
    found = matlab.read_variables(path, "images", "folds", "labs_ex")
    images, labels = _read(found)
    splits = matlab.read_integers(found["folds"], (len(images), FOLDS), range(4))[:, fold]
    parts = []
    for split, number in (("unlabelled", _UNLABELLED), ("validation", _VALIDATION), ("test", _TEST)):
        which = np.flatnonzero(splits == number)
        if not len(which):
            raise InputError(f"{path}: found no {split} images ({number}) in fold {fold} of folds, expected some")
        parts.append(Part(str(path), np.ascontiguousarray(images[which]), _NAMES[labels[which]]))
    train, validation, test = parts
    return Parts(train, validation, test, EXPRESSIONS)


def read_file(path: Path) -> Part:
    """Read all images of a file, with the names of their expressions, or an empty text for none, as labels."""
    images, labels = _read(matlab.read_variables(path, "images", "labs_ex"))
    return Part(str(path), np.ascontiguousarray(images), _NAMES[labels])


def _read(found: Mapping[str, matlab.Variable]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the images, in MATLAB's order of values, and their expressions, 0..6 or -1."""
    images, path = found["images"], found["images"].path
    if len(images.shape) != 3 or images.shape[1:] != SHAPE or images.kind != "uint8":
        raise InputError(
            f"{path}: images: found shape {images.shape} and type {images.kind}, expected (n, 48, 48) and uint8"
        )
    labels = matlab.read_integers(found["labs_ex"], (images.shape[0], 1), (-1, *range(1, len(EXPRESSIONS) + 1)))[:, 0]
    return images.read(), np.where(labels > 0, labels - 1, -1)


def _read_any(path: Path, options: Options) -> Parts:
    file = path / FILE if path.is_dir() else path
    return Parts(read_file(file)) if options.whole else read_fold(file, options.fold)


FORMATS = (
    Format(
        name=f"{' and '.join(entry.name for entry in ENTRIES)} and a {FILE}",
        files="a .mat file of TFD",
        folders="TFD",
        options=frozenset({"fold"}),
        is_file=is_faces,
        is_folder=is_faces,
        read=_read_any,
    ),
)
