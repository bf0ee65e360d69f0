"""Figure 4: label information in the regularization; 4a and 4c are `figure2.code_scatter`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from aae.arrays import Array, ArrayLike
from aae.errors import InputError
from aae.figures.canvas import as_images, cell_scale, centres, mosaic, sheet


def manifold_panels(
    panels: Sequence[ArrayLike],
    titles: Sequence[str] = (),
    title: str | None = None,
    across: Sequence[str] = (),
    down: Sequence[str] = (),
    axis_names: tuple[str, str] = ("", ""),
) -> Figure:
    """Plot the manifold of several mixture components side by side (Figure 4b).

    Parameters
    ----------
    panels : sequence of array or tensor (n * n, h, w) or (n * n, h, w, 3)
        Per component the images of a square grid, such as those of `figure2.gaussian_percentile_grid`; values in
        [0, 1].
    titles : sequence of str
        One per panel, or none.
    title : str, optional
        Above all.
    across, down : sequence of str
        What stands above each column of every panel, and beside each row of the first, or nothing.
    axis_names : pair of str
        What those stand for.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If rows are not images, a panel is not square, titles and panels do not pair up, or names do not fit a panel.
    """
    if not panels or (titles and len(titles) != len(panels)):
        raise InputError(
            f"panels: found {len(panels)} with {len(titles)} titles, expected at least 1 and equal numbers"
        )
    grids: list[Array] = []
    for rows in panels:
        images = as_images(rows, "panels")
        side = math.isqrt(len(images))
        if side * side != len(images):
            raise InputError(f"panels: found {len(images)} images in a panel, expected a square number")
        grids.append(mosaic(images, side, side))
        for name, texts in (("across", across), ("down", down)):
            if texts and len(texts) != side:
                raise InputError(f"{name}: found {len(texts)} names, expected {side}")
    longest = max((len(text) for text in down), default=0)
    room = {"left": 0.08 + 0.062 * longest if down else 0.0, "top": 0.2 if across else 0.0}
    figure, axes = sheet(grids, titles, title, **room, across=axis_names[0], down=axis_names[1])
    for panel, rows in zip(axes, panels, strict=True):
        cells = as_images(rows, "panels")
        height, width = (size * cell_scale(cells) for size in cells.shape[1:3])
        if across:
            panel.set_xticks(centres(len(across), width), across)
    if down:
        axes[0].set_yticks(centres(len(down), height), down)
    return figure


def axis_walk(images: ArrayLike, cols: int = 20, title: str | None = None) -> Figure:
    """Plot the images met on a walk along the main axis of the swiss roll (Figure 4d), wrapped like text.

    Parameters
    ----------
    images : array or tensor (n, h, w) or (n, h, w, 3)
        In the order of the walk, at equal fractions of the roll; values in [0, 1].
    cols : int
        Images per line.
    title : str, optional
        Above all.

    Returns
    -------
    Figure
        Each line is titled with the fraction of the roll at which it starts.

    Raises
    ------
    InputError
        If the rows are not images, or there are none.
    """
    cells = as_images(images, "images")
    if cols < 1:
        raise InputError(f"cols: found {cols}, expected at least 1")
    lines = -(-len(cells) // cols)
    figure, (panel,) = sheet([mosaic(cells, lines, cols)], title=title, left=0.36, down="along the roll")
    starts = [f"{100 * line * cols / len(cells):.0f} %" for line in range(lines)]
    panel.set_yticks(centres(lines, cells.shape[1] * cell_scale(cells)), starts)
    return figure
