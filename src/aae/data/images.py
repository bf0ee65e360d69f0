"""Images: one file, a folder of them, a folder per class, or such folders under ``train`` and ``test``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from aae.data.checks import Part
from aae.errors import InputError, reason

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_UNLABELLED = ("unlabelled", "unlabeled")
_DEEP_MODES = ("I", "F")  # more than 8 bits per value; Pillow would clip them


def read_images(path: Path, image_size: int | None, colour: bool) -> tuple[Part, Part | None]:
    """Read a image file or a folder of images.

    Parameters
    ----------
    path : Path
        A image, or a folder: of images (no labels), of one subfolder per class (a subfolder ``unlabelled`` gives
        -1), or of ``train`` and ``test`` that hold either.
    image_size : int or None
        Resize every image to this height and width, whatever its proportions. None expects images of one size.
    colour : bool
        Red, green and blue instead of grayscale.

    Returns
    -------
    train : Part
        uint8 rows (n, height, width) or (n, height, width, 3), in the order of the file names, with class names as
        labels.
    test : Part or None
        The same from ``test``, where there are ``train`` and ``test``.

    Raises
    ------
    InputError
        No images, an unreadable image, images of different sizes, or images and subfolders side by side.
    """
    if image_size is not None and image_size < 1:
        raise InputError(f"image_size: found {image_size}, expected at least 1")
    if path.is_file():
        return Part(str(path), _read_files([path], image_size, colour)), None
    if not (path / "train").is_dir():
        return _read_folder(path, image_size, colour), None
    beside = [folder.name for folder in _subfolders(path) if folder.name not in ("train", "test")]
    if beside:
        raise InputError(f"{path}: found a folder {beside[0]!r} beside 'train', expected only 'train' and 'test'")
    test = _read_folder(path / "test", image_size, colour) if (path / "test").is_dir() else None
    return _read_folder(path / "train", image_size, colour), test


def _read_folder(path: Path, image_size: int | None, colour: bool) -> Part:
    files, classes = _images(path, deep=False), _subfolders(path)
    labels: list[str] = []
    if files and classes:
        raise InputError(f"{path}: found images beside the folder {classes[0].name!r}, expected one or the other")
    for folder in classes:
        members = _images(folder, deep=True)
        if not members:
            raise InputError(f"{folder}: found no images, expected {', '.join(sorted(SUFFIXES))}")
        files += members
        labels += ["" if folder.name in _UNLABELLED else folder.name] * len(members)
    if not files:
        raise InputError(f"{path}: found no images, expected {', '.join(sorted(SUFFIXES))}")
    return Part(str(path), _read_files(files, image_size, colour), np.array(labels, np.str_) if classes else None)


def _subfolders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _images(path: Path, *, deep: bool) -> list[Path]:
    found = path.rglob("*") if deep else path.iterdir()
    return sorted(p for p in found if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith("."))


def _read_files(files: list[Path], image_size: int | None, colour: bool) -> NDArray[np.uint8]:
    first = _read_file(files[0], image_size, colour)
    rows = np.empty((len(files), *first.shape), np.uint8)
    for index, file in enumerate(files):
        image = first if index == 0 else _read_file(file, image_size, colour)
        if image.shape != first.shape:
            raise InputError(
                f"{file}: found a image of {_size(image)}, expected {_size(first)} like {files[0].name}; "
                "the option image_size brings all to one size"
            )
        rows[index] = image
    return rows


def _read_file(file: Path, image_size: int | None, colour: bool) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as opened:
            if opened.mode.startswith(_DEEP_MODES):
                raise InputError(f"{file}: found a image of more than 8 bits per value, expected 8 bits")
            image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data:  # shown as on a white page
                layer = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            image = image.convert("RGB" if colour else "L")
            if image_size is not None:
                image = image.resize((image_size, image_size), Image.Resampling.BICUBIC)
            return np.asarray(image, np.uint8)
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{file}: found a file that cannot be read as a image ({reason(error)})") from error


def _size(image: NDArray[Any]) -> str:
    return f"{image.shape[1]}x{image.shape[0]} pixels"
