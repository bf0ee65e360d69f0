"""Images: one file, a folder of them, a folder per class, or such folders under ``train``, ``val`` and ``test``."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from aae.data import formats
from aae.data.checks import Part
from aae.data.formats import SPLITS, Format, Options, Parts, ends_with, list_some, visible
from aae.data.labels import MISSING_WORDS, is_unlabelled, names_of
from aae.data.reading import damaged, readable_name, require_memory
from aae.errors import InputError, note

logging.getLogger("PIL").addHandler(
    logging.NullHandler()
)  # what it would print of damaged files, its exceptions say too

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga", ".pcx"),
)
_KINDS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000", "TGA", "PCX")
LARGEST = 1_000_000  # values of a row, that is of an image that is not resized
_UNLABELLED = ("unlabelled", "unlabeled")
_NO_COLOURS = ("1", "L", "LA", "La")
_GRAY = 8  # of 255, by which red, green and blue of gray pixels may differ, as in a JPEG file
_DEEP_MODES = ("I", "F")  # more than 8 bits per value; Pillow would clip them
_EXPECTED = f"an image ({', '.join(SUFFIXES)})"


def read_images(path: Path, options: Options) -> Parts:
    """Read an image file or a folder of images.

    Parameters
    ----------
    path : Path
        An image, or a folder: of images (no labels), of one subfolder per class (a subfolder ``unlabelled``, or one whose name
        stands for "no label", gives -1), or of ``train``, and ``val`` or ``test``, that hold either.
    options : Options
        With ``image_size`` every image is brought to this height and width, whatever its proportions; without it they have
        to be of one size. With ``colour`` images are red, green and blue instead of grayscale.

    Returns
    -------
    Parts
        uint8 rows (n, height, width) or (n, height, width, 3), in the order of the file names, which identify them, with class
        names as labels. A line says which files were not read, and that colours were not.

    Raises
    ------
    InputError
        No images, an unreadable image, images of different sizes, images that are too large without ``image_size``, or images
        and subfolders side by side.
    """
    size = options.image_size
    if size is not None and size < 1:
        raise InputError(f"image_size: found {size}, expected at least 1")
    if path.is_file():
        rows = _read_files([path], options, path.parent)
        return Parts(Part(str(path), rows, ids=_names([path], path.parent), id_column="file"))
    inner = _subfolders(path)
    if "train" not in [SPLITS.get(folder.name.lower()) for folder in inner]:
        return Parts(_read_folder(path, options))
    splits: dict[str, Part] = {}
    for folder in inner:
        split = SPLITS.get(folder.name.lower())
        if split is None or split in splits:
            raise InputError(
                f"{path}: found a folder {folder.name!r} beside those of splits, expected no more than one each of 'train', "
                "'val' and 'test'"
            )
        splits[split] = _read_folder(folder, options)
    return Parts(splits["train"], splits.get("validation"), splits.get("test"))


def _read_folder(path: Path, options: Options) -> Part:
    files, others = _split(visible(path))
    classes, labels = _subfolders(path), []
    if files and classes:
        raise InputError(f"{path}: found images beside the folder {classes[0].name!r}, expected one or the other")
    unlabelled = (*_UNLABELLED, *names_of(options.unlabelled))
    for folder in classes:
        members, more = _split(sorted(_below(folder, set())))
        if folder.name.strip() in MISSING_WORDS:
            note(f"{path}: the images of the folder {folder.name!r} are read as images without a label")
        if not members:
            raise InputError(f"{folder}: found no images, expected {', '.join(SUFFIXES)}")
        files += members
        others += more
        labels += ["" if is_unlabelled([folder.name], unlabelled)[0] else readable_name(Path(folder.name))] * len(
            members
        )
    if not files:
        raise InputError(f"{path}: found no images, expected {', '.join(SUFFIXES)}")
    by_name = [known for known in formats.FORMATS if known.read_labels is not None]
    known = [other for other in others if other.is_file() and any(one.is_file(other) for one in by_name)]
    if len(known) >= len(files):
        raise InputError(
            f"{path}: found {len(known)} files of other formats ({list_some(_names(known, path).tolist())}) beside "
            f"{len(files)} images, expected one kind of files"
        )
    if others:
        kinds = sorted({other.suffix.lower() or "no suffix" for other in others})
        note(
            f"{path}: not read, being no files of images: {len(others)} ({list_some(kinds, 5)}), such as "
            f"{list_some(_names(others, path).tolist())}"
        )
    rows = _read_files(files, options, path)
    return Part(str(path), rows, np.array(labels, np.str_) if classes else None, (), _names(files, path), "file")


def _names(files: list[Path], folder: Path) -> NDArray[np.str_]:
    return np.array([readable_name(file.relative_to(folder)) for file in files], np.str_)


def _subfolders(path: Path) -> list[Path]:
    return [inner for inner in visible(path) if inner.is_dir()]


def _split(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Part the images from what else is no folder, such as other files, devices, and links that lead nowhere."""
    files = [path for path in paths if is_image(path) and path.is_file()]
    return files, [path for path in paths if not path.is_dir() and not (is_image(path) and path.is_file())]


def _below(folder: Path, seen: set[str]) -> Iterator[Path]:
    """List everything below a folder that is no folder; links are followed, but into no folder twice."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    for inner in visible(folder):
        if inner.is_dir():
            yield from _below(inner, seen)
        else:
            yield inner


def has_images(path: Path) -> bool:
    """Check whether there is an image in a folder or below it."""
    return any(is_image(file) for file in _below(path, set()))


def _read_files(files: list[Path], options: Options, folder: Path) -> NDArray[np.uint8]:
    first, frames, coloured = _read_file(files[0], options)
    require_memory(len(files) * first.size, f"{files[0].parent}: {len(files)} images of {_size(first)}")
    rows = np.empty((len(files), *first.shape), np.uint8)
    several = [files[0]] if frames > 1 else []
    colours = [files[0]] if coloured else []
    for index, file in enumerate(files):
        image, frames, coloured = (first, 1, False) if index == 0 else _read_file(file, options)
        if image.shape != first.shape:
            raise InputError(
                f"{file}: found an image of {_size(image)}, expected {_size(first)} like {files[0].name}; "
                "the option image_size brings all to one size"
            )
        rows[index] = image
        several += [file] if frames > 1 else []
        colours += [file] if coloured else []
    if colours:
        note(
            f"{folder}: images with colours are read as grayscale: {len(colours)}, such as "
            f"{list_some(_names(colours, folder).tolist())}"
            + ("" if options.whole else "; data.colour=true keeps colours")
        )
    if several:
        note(
            f"{folder}: holding several images, of which the first is read: {len(several)}, such as "
            f"{list_some(_names(several, folder).tolist())}"
        )
    return rows


def _is_cut(opened: Any) -> bool:
    """Check whether an image has more than 8 bits per value of a colour, which Pillow cuts to 8."""
    coding = opened.tile[0].args if opened.tile else None
    return ";16" in str(coding) or (opened.format == "PPM" and isinstance(coding, tuple) and coding[-1] > 255)


def _read_file(file: Path, options: Options) -> tuple[NDArray[np.uint8], int, bool]:
    """Read an image, how many there are in the file, and whether it has colours that are not read."""
    colour, size = options.colour, options.image_size
    with damaged(file, "an image"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.init()
        with Image.open(file, formats=[kind for kind in _KINDS if kind in Image.OPEN]) as opened:
            if opened.mode.startswith(_DEEP_MODES) or _is_cut(opened):
                raise InputError(f"{file}: found an image of more than 8 bits per value, expected 8 bits")
            values = opened.width * opened.height * (3 if colour else 1)
            if size is None and values > LARGEST:
                raise InputError(
                    f"{file}: found an image of {opened.width}x{opened.height} pixels, {values} values in a row, expected at "
                    f"most {LARGEST}; the option image_size brings images to a smaller size"
                )
            frames = getattr(opened, "n_frames", 1) if opened.format != "MPO" else 1  # the others are previews
            image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data:  # shown as on a white page
                layer = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            coloured = not colour and image.mode not in _NO_COLOURS and _has_colours(image)
            image = image.convert("RGB" if colour else "L")
            if size is not None:
                image = image.resize((size, size), Image.Resampling.BICUBIC)
            return np.asarray(image, np.uint8), frames, coloured


def _has_colours(image: Image.Image) -> bool:
    """Check whether an image, looked at in some of its pixels, is other than black, white and gray."""
    seen = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.NEAREST), np.int16)
    return bool((np.ptp(seen, axis=2) > _GRAY).any())


def _size(image: NDArray[Any]) -> str:
    return f"{image.shape[1]}x{image.shape[0]} pixels"


is_image = ends_with(*SUFFIXES)

FORMATS = (
    Format(
        name="images",
        files="an image (.png, .jpg, .gif, .tif, .webp, .bmp, ...)",
        folders="images",
        options=frozenset({"image_size", "colour"}),
        is_file=is_image,
        is_folder=has_images,
        read=read_images,
    ),
)
