"""What all figures share: colours, images from rows, sheets of images placed to the pixel, and saving."""

from __future__ import annotations

import base64
import io
import math
import os
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO

import numpy as np
from matplotlib import figure as matplotlib_figure
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from aae.arrays import Array, ArrayLike, as_numpy
from aae.errors import InputError, note
from aae.figures.dark import darkened
from aae.files import output_file, replacing

DPI = 200
SHOWN_DPI = 110  # in a notebook
CELL = 84  # pixels that a small image is magnified to, about: 28 x 28 becomes exactly three times as large
GAP = 2  # pixels between images
MOST_PIXELS = 2**25  # of a sheet, each of which takes 135 bytes while it is drawn
MARGIN = 0.1  # inches of white around a sheet
NARROWEST = 2.6  # inches of a sheet with a title
WIDE = 6.5  # inches of a sheet beyond which letters grow with it
LARGEST_LETTERS = 2.2  # times their usual size, on the widest sheets
INK, FAINT, CLOUD = "#262626", "#8a8a8a", "#dcdcdc"
TITLE_SIZE, LABEL_SIZE = 10, 8
MISSING_GLYPH = "Glyph .* missing"  # begins what matplotlib warns of for each letter
GLYPH = 0.6  # mean width of a letter of a title, in units of its size
TITLE_LINE = 0.17  # inches
PER_INCH = 14.3  # letters of a title above axes
FEWEST = 32  # of them in a line, however narrow the axes are
NAME = 32  # letters of the name of a class, at most
LEGEND_ROWS = 20
PALETTE = (
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#f28cc8",
    "#17becf",
    "#b5b61a",
    "#333333",
)


class Figure(matplotlib_figure.Figure):
    """A figure of matplotlib that a notebook shows, without the state of pyplot."""

    def _repr_html_(self) -> str:
        return f'<img alt="figure" style="max-width: 100%" src="{data_uri(self, SHOWN_DPI)}">'


def data_uri(figure: matplotlib_figure.Figure, dpi: float, dark: bool = False) -> str:
    """Return a figure as PNG in the form of an address that holds it."""
    buffer = io.BytesIO()
    write_png(figure, buffer, dpi, dark)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def plain(text: str) -> str:
    """Return text in which a `$` is printed as it is, and not as the beginning of a formula."""
    return text.replace("$", r"\$")


def shortened(name: str, letters: int = NAME) -> str:
    """Return a name of at most so many letters, with the end cut off, to be printed as it is."""
    return plain(name if len(name) <= letters else f"{name[: letters - 1]}…")


def all_shortened(names: Sequence[str], letters: int = NAME) -> list[str]:
    """Return names of at most so many letters, as `shortened`; of those that would be the same then the middle is cut out.

    Where these are the same too, their numbers in the list are put behind them.
    """
    found = [shortened(name, letters) for name in names]
    alike = Counter(found)
    for k, name in enumerate(names):
        if len(name) > letters and alike[found[k]] > 1:
            front = (letters - 1) // 2
            found[k] = plain(f"{name[:front]}…{name[front + 1 - letters :]}")
    twice = {name for name, count in Counter(found).items() if count > 1}
    return [
        f"{shortened(names[k], letters - 4)} {k}" if name in twice and len(names[k]) > letters else name
        for k, name in enumerate(found)
    ]


def corner(axes: Axes, text: str, size: float = LABEL_SIZE - 1) -> None:
    """Write what a plot does not show into its lower right corner."""
    axes.text(0.985, 0.015, text, size=size, color=FAINT, ha="right", va="bottom", transform=axes.transAxes)


def as_images(rows: ArrayLike, name: str = "rows") -> Array:
    """Convert rows to colour images.

    Parameters
    ----------
    rows : array or tensor (n, h, w) or (n, h, w, 3)
        Grayscale or red, green and blue values in [0, 1]; what lies outside is clipped.
    name : str
        What the rows are called in the error.

    Returns
    -------
    array (n, h, w, 3) of float64
        In [0, 1].

    Raises
    ------
    InputError
        If the rows are not images but plain columns, or values are not numbers.
    """
    array = as_numpy(rows).astype(np.float64)
    if array.ndim == 2:
        raise InputError(
            f"{name}: found rows of {array.shape[1]} plain columns, which cannot be shown as images; "
            "expected shape (n, height, width) or (n, height, width, 3)"
        )
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] != 3) or 0 in array.shape[1:]:
        raise InputError(f"{name}: found shape {array.shape}, expected (n, height, width) or (n, height, width, 3)")
    if np.isnan(array).any():
        raise InputError(f"{name}: found values that are not numbers, expected values from 0 to 1")
    colour = array if array.ndim == 4 else np.repeat(array[..., np.newaxis], 3, axis=3)
    return np.clip(colour, 0, 1)


def mosaic(images: ArrayLike, rows: int, cols: int, lead: int = 0, places: ArrayLike | None = None) -> Array:
    """Lay images out in a grid, row by row, with hairline gaps.

    Parameters
    ----------
    images : array or tensor (n, h, w) or (n, h, w, 3)
        At most `rows` times `cols`, values in [0, 1].
    rows, cols : int
        Size of the grid.
    lead : int
        Extra pixels behind the first column.
    places : array or tensor (n,), optional
        Where in the grid each image goes, counted row by row; by default one after the other.

    Returns
    -------
    array (height, width, 4)
        Small images are magnified by a whole number, so that every pixel stays a square. Gaps and places that are left over are
        transparent, and white where that is ignored.

    Raises
    ------
    InputError
        If the rows are not images, or there are none or too many of them.
    """
    cells = as_images(images, "images")
    if not 1 <= len(cells) <= rows * cols:
        raise InputError(f"images: found {len(cells)} for a grid of {rows} by {cols}, expected 1 to {rows * cols}")
    scale = cell_scale(cells)
    height, width = (scale * side for side in cells.shape[1:3])
    size = rows * (height + GAP) - GAP, cols * (width + GAP) - GAP + lead
    if math.prod(size) > MOST_PIXELS:
        raise InputError(
            f"images: found a sheet of {size[1]} x {size[0]} pixels, expected at most {MOST_PIXELS} in all; fewer images fit"
        )
    sheet = blank(*size)
    for place, cell in zip(range(len(cells)) if places is None else as_numpy(places), cells, strict=True):
        row, col = divmod(int(place), cols)
        top, left = row * (height + GAP), col * (width + GAP) + lead * (col > 0)
        sheet[top : top + height, left : left + width, :3] = cell.repeat(scale, axis=0).repeat(scale, axis=1)
        sheet[top : top + height, left : left + width, 3] = 1
    return sheet


def blank(height: int, width: int) -> Array:
    """Create an empty part of a mosaic (height, width, 4): transparent white."""
    empty = np.ones((height, width, 4))
    empty[..., 3] = 0
    return empty


def cell_scale(images: Array) -> int:
    """Return how many times `mosaic` magnifies `images` (n, h, w, ...)."""
    side: int = max(images.shape[1:3])
    return max(1, round(CELL / side))


def centres(count: int, size: int, lead: int = 0) -> Array:
    """Return the middle pixel of each of `count` images of magnified `size` along one side of a mosaic."""
    places = np.arange(count)
    return np.asarray(places * (size + GAP) + size / 2 - 0.5 + lead * (places > 0))


def sheet(
    images: Sequence[Array],
    titles: Sequence[str] = (),
    title: str | None = None,
    left: float = 0.0,
    top: float = 0.0,
    across: str = "",
    down: str = "",
) -> tuple[Figure, list[Axes]]:
    """Plot mosaics side by side, one image pixel on one pixel of the figure; on wide sheets letters are larger.

    Parameters
    ----------
    images : sequence of array (height, width, 3 or 4)
        The mosaics.
    titles : sequence of str
        One above each mosaic, or none.
    title : str, optional
        Above all.
    left, top : float
        Inches of space for labels on the left and above.
    across, down : str
        What the labels above each mosaic and on the left of the first stand for, or nothing.

    Returns
    -------
    figure : Figure
    axes : list of Axes
        One per mosaic, without ticks.
    """
    widths = [image.shape[1] / DPI for image in images]
    heights = [image.shape[0] / DPI for image in images]
    scale = float(np.clip(sum(widths) / WIDE, 1, LARGEST_LETTERS))
    between = 0.22 * scale
    caption = 0.24 * scale if any(titles) else 0.0
    left, top = scale * (left + 0.2 * bool(down)), scale * (top + 0.2 * bool(across))
    content = left + sum(widths) + between * (len(images) - 1)
    width = 2 * MARGIN + max(content, NARROWEST if title else 0.0)
    lines = textwrap.wrap(title or "", int((width - MARGIN) * 72 / (GLYPH * TITLE_SIZE * scale)))
    heading = scale * (0.1 + 0.2 * len(lines)) if lines else 0.0
    height = 2 * MARGIN + heading + caption + top + max(heights)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    if lines:
        top_edge = 1 - (MARGIN + 0.02) / height
        size = TITLE_SIZE * scale
        figure.text(0.5, top_edge, plain("\n".join(lines)), size=size, color=INK, ha="center", va="top")
    axes, start = [], round(DPI * (width - content) / 2) / DPI + left  # on whole pixels
    for place, image in enumerate(images):
        bottom = height - MARGIN - heading - caption - top - heights[place]
        panel = figure.add_axes(
            (start / width, bottom / height, widths[place] / width, heights[place] / height), frameon=False
        )
        panel.imshow(image, aspect="auto")
        panel.set(xticks=[], yticks=[])
        size = LABEL_SIZE * scale
        panel.tick_params(length=0, labelsize=size, labelcolor=INK, labeltop=True, labelbottom=False, pad=3)
        panel.xaxis.set_label_position("top")
        panel.set_xlabel(plain(across), size=size, color=INK)
        if not place:
            panel.set_ylabel(plain(down), size=size, color=INK)
        if place < len(titles):
            panel.set_title(plain(titles[place]), size=scale * (TITLE_SIZE - 1), color=INK, pad=4 * scale)
        axes.append(panel)
        start += widths[place] + between
    return figure, axes


def legend(axes: Axes, keys: Sequence[Artist], title: str = "") -> None:
    """Create a legend on the right of `axes`, in as many columns as it takes. Keys are named by their labels."""
    axes.legend(
        handles=keys,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        ncols=-(-len(keys) // LEGEND_ROWS),
        frameon=False,
        fontsize=LABEL_SIZE,
        labelcolor=INK,
        handletextpad=0.4,
        columnspacing=0.8,
        title=title or None,
        title_fontsize=LABEL_SIZE,
    )


def fit(figure: Figure, axes: Axes, width: float, height: float, title: str | None = None) -> None:
    """Create `axes` of so many inches with a title, and the figure just large enough for all that is written around them."""
    if title:
        lines = textwrap.wrap(title, max(FEWEST, int(PER_INCH * width)))
        axes.set_title(plain("\n".join(lines)), size=TITLE_SIZE, color=INK)
    figure.set_size_inches(width, height)
    axes.set_position((0, 0, 1, 1))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING_GLYPH)  # as is said when the figure is written
        box = figure.get_tightbbox()
    whole = box.width + 2 * MARGIN, box.height + 2 * MARGIN
    figure.set_size_inches(*whole)
    corner = (MARGIN - box.x0) / whole[0], (MARGIN - box.y0) / whole[1]
    axes.set_position((*corner, width / whole[0], height / whole[1]))


def headline(figure: matplotlib_figure.Figure, title: str | None) -> None:
    """Create the title above several axes, in as many lines as it takes; the figure grows by those beyond the first."""
    if title:
        width, height = figure.get_size_inches()
        lines = textwrap.wrap(title, max(FEWEST, int((width - 2 * MARGIN) * 72 / (GLYPH * TITLE_SIZE))))
        figure.set_size_inches(width, height + TITLE_LINE * (len(lines) - 1))
        figure.suptitle(plain("\n".join(lines)), size=TITLE_SIZE, color=INK)


def save(figure: matplotlib_figure.Figure, path: str | os.PathLike[str], dark: bool = False) -> Path:
    """Write a figure as PNG, whole or not at all; equal figures give equal bytes.

    Parameters
    ----------
    figure : Figure
        What to write.
    path : path
        Ends in ``.png``; the folder is made if there is none.
    dark : bool
        For dark pages: light letters on a dark ground; images stay as they are.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    InputError
        If the path does not end in ``.png``, or cannot be written.
    """
    with output_file(path, ".png") as target, replacing(target) as draft, draft.open("wb") as file:
        write_png(figure, file, figure.dpi, dark)
    return target


def write_png(figure: matplotlib_figure.Figure, file: IO[bytes], dpi: float, dark: bool = False) -> None:
    """Write a figure into an open file, with `dpi` dots per inch, for light or dark pages."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with darkened(figure) if dark else nullcontext():
            figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    said = [str(warning.message) for warning in caught]
    if any(re.match(MISSING_GLYPH, text) for text in said):
        note("a figure shows boxes in place of letters that its font, DejaVu Sans, does not have")
    for warning, text in zip(caught, said, strict=True):
        if not re.match(MISSING_GLYPH, text):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
