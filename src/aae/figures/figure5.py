"""Figure 5: samples of a model, and beside the last of each row its nearest training image."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from aae.arrays import ArrayLike
from aae.errors import InputError
from aae.figures.canvas import GAP, as_images, blank, cell_scale, mosaic, sheet

GAP_TO_NEIGHBOURS = 6 * GAP  # pixels between the samples and the column of neighbours


def samples_and_neighbours(
    samples: ArrayLike, neighbours: ArrayLike, rows: int, cols: int, title: str | None = None
) -> Figure:
    """Plot samples in a grid and, set apart, the training images nearest to those of the grid's last column (Figure 5).

    Parameters
    ----------
    samples : array or tensor (rows * cols, h, w) or (rows * cols, h, w, 3)
        Row by row, values in [0, 1].
    neighbours : array or tensor (rows, h, w) or (rows, h, w, 3)
        Nearest to ``samples[cols - 1 :: cols]``, such as `evaluation.neighbours.nearest_rows` finds them.
    rows, cols : int
        Size of the grid of samples, without the column of neighbours.
    title : str, optional
        Above all.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If the rows are not images, or their shapes or numbers do not fit.
    """
    cells, nearest = as_images(samples, "samples"), as_images(neighbours, "neighbours")
    if len(cells) != rows * cols:
        raise InputError(f"samples: found {len(cells)}, expected {rows * cols} for a grid of {rows} by {cols}")
    if nearest.shape != (rows, *cells.shape[1:]):
        raise InputError(f"neighbours: found shape {nearest.shape}, expected {(rows, *cells.shape[1:])}, one per row")
    grid, column = mosaic(cells, rows, cols), mosaic(nearest, rows, 1)
    between = blank(len(grid), GAP_TO_NEIGHBOURS)
    figure, (panel,) = sheet([np.concatenate([grid, between, column], axis=1)], title=title, top=0.45)
    width = cells.shape[2] * cell_scale(cells)
    middles = [grid.shape[1] / 2 - 0.5, grid.shape[1] + GAP_TO_NEIGHBOURS + width / 2 - 0.5]
    panel.set_xticks(middles, ["samples", "nearest\ntraining\nimage"])
    return figure
