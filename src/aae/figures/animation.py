"""Animations of walks between codes, as GIF or animated WebP."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from PIL import Image

from aae.arrays import ArrayLike, as_numpy
from aae.errors import InputError
from aae.figures.canvas import mosaic
from aae.files import replacing, require_folder

FORMATS = {".gif": "GIF", ".webp": "WEBP"}
MILLISECONDS = 90  # that a frame is shown
QUALITY = 70  # of WebP, from 0 to 100


def animate(walks: ArrayLike, path: str | os.PathLike[str]) -> Path:
    """Write walks side by side as one animation that goes there and back without end, whole or not at all.

    Parameters
    ----------
    walks : array or tensor (n, steps, h, w) or (n, steps, h, w, 3)
        Images of each walk from its first to its last, values in [0, 1].
    path : path
        Ends in ``.gif`` or ``.webp``, in a folder that exists.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    InputError
        If the walks are no images, the ending is another one, or the file cannot be written.
    """
    target, images = Path(path), as_numpy(walks)
    kind = FORMATS.get(target.suffix.lower())
    if kind is None:
        raise InputError(f"{target}: found the ending {target.suffix!r}, expected {' or '.join(FORMATS)}")
    require_folder(target)
    if images.ndim not in (4, 5):
        raise InputError(f"{target}: found walks of shape {images.shape}, expected (n, steps, height, width), images")
    cols = math.ceil(math.sqrt(len(images)))
    lines = math.ceil(len(images) / cols)
    steps = [*range(images.shape[1]), *range(images.shape[1] - 2, 0, -1)]
    sheets = [mosaic(images[:, step], lines, cols) for step in range(images.shape[1])]
    frames = [Image.fromarray(np.rint(255 * sheets[step]).astype(np.uint8)) for step in steps]
    try:
        with replacing(target) as draft, draft.open("wb") as file:
            frames[0].save(
                file, kind, save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0, quality=QUALITY
            )
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from None
    return target
