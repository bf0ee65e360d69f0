"""Figure 7: content and style disentangled; each row keeps a style code, each column a label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from aae.arrays import Array, ArrayLike, as_numpy
from aae.errors import InputError
from aae.figures.canvas import GAP, all_shortened, as_images, cell_scale, centres, mosaic, sheet


def style_and_content(
    images: ArrayLike,
    sources: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    kind: str = "label",
) -> Figure:
    """Plot decoded images of every label in every style (Figures 7a and 7b).

    Parameters
    ----------
    images : array or tensor (styles, labels, h, w) or (styles, labels, h, w, 3)
        Values in [0, 1].
    sources : array or tensor (styles, h, w) or (styles, h, w, 3), optional
        The images that the styles were taken from; they become a first column, set apart.
    class_names : sequence of str, optional
        One per label, above the columns; their numbers by default.
    title : str, optional
        Above all.
    kind : str
        What the columns are, below them.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If the rows are not images, or sources or names do not fit.
    """
    table = as_numpy(images)
    if table.ndim < 3:
        raise InputError(f"images: found shape {table.shape}, expected (styles, labels, height, width), maybe with 3")
    styles, labels = table.shape[:2]
    names = all_shortened(list(class_names)) if class_names is not None else [str(label) for label in range(labels)]
    if len(names) != labels:
        raise InputError(f"class_names: found {len(names)}, expected {labels}, one per column")
    cells: Array = as_images(table.reshape(-1, *table.shape[2:]), "images").reshape(
        styles, labels, *table.shape[2:4], 3
    )
    lead = 0
    if sources is not None:
        first = as_images(sources, "sources")
        if first.shape != cells[:, 0].shape:
            raise InputError(f"sources: found shape {first.shape}, expected {cells[:, 0].shape}, one per style")
        cells = np.concatenate([first[:, np.newaxis], cells], axis=1)
        names, lead = ["source", *names], 5 * GAP
    flat = cells.reshape(-1, *cells.shape[2:])
    longest = max(len(name) for name in names)
    upright = longest > 6  # longer names do not fit side by side
    figure, (panel,) = sheet(
        [mosaic(flat, styles, len(names), lead)],
        title=title,
        top=0.08 + 0.056 * longest if upright else 0.2,
        across=kind,
        down="style of the source" if sources is not None else "style",
    )
    panel.set_xticks(centres(len(names), flat.shape[2] * cell_scale(flat), lead), names)
    if upright:
        panel.tick_params(axis="x", labelrotation=90)
    return figure
