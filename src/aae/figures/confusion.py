"""Which classes are taken for which: a matrix of true classes and what was predicted, or of classes and clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aae.arrays import Array, ArrayLike, as_labels, labelled_rows, same_length
from aae.errors import InputError
from aae.figures.canvas import DPI, FAINT, INK, LABEL_SIZE, Figure, all_shortened, fit

CELL = 0.34  # inches
SMALLEST = 1.8  # inches of the matrix, at least
LETTER = 0.075  # inches of a letter below the matrix
LARGEST = 9.0  # inches of the matrix, at most
BAR = 0.12, 2.4  # inches of the scale of colours across, and along at most
NUMBERS = 30  # classes or clusters up to which numbers are written into the cells


def confusion(
    labels: ArrayLike,
    predicted: ArrayLike,
    class_names: Sequence[str],
    predicted_names: Sequence[str] | None = None,
    title: str | None = None,
    clusters: bool = False,
) -> Figure:
    """Plot how many rows of each class (lines) were predicted to be of each class, or were put into each cluster (columns).

    Parameters
    ----------
    labels : array or tensor (n,)
        True labels; rows with -1 are left out.
    predicted : array or tensor (n,)
        Predicted labels or clusters, at least 0.
    class_names : sequence of str
        One for each label.
    predicted_names : sequence of str, optional
        One for each label or cluster that can be predicted; the classes by default.
    title : str, optional
        Above the matrix.
    clusters : bool
        Whether predictions are clusters: columns are then sorted by the class that is most of them.

    Returns
    -------
    Figure
        The colour of a cell is its fraction of the true class; its number counts rows.

    Raises
    ------
    InputError
        If labels and predictions do not fit each other or their names, or no row has a label.
    """
    true, guessed = as_labels(labels, "labels"), as_labels(predicted, "predicted")
    same_length(labels=true, predicted=guessed)
    known = labelled_rows(true)
    true, guessed = true[known], guessed[known]
    names, columns = list(class_names), list(predicted_names if predicted_names is not None else class_names)
    for name, values, some in (("labels", true, names), ("predicted", guessed, columns)):
        if values.min() < 0 or values.max() >= len(some):
            raise InputError(f"{name}: found {values.min()} to {values.max()}, expected 0 to {len(some) - 1}")
    counts = np.zeros((len(names), len(columns)), np.int64)
    np.add.at(counts, (true, guessed), 1)
    order = np.arange(len(columns))
    if clusters:
        order = np.lexsort((-counts.max(axis=0), counts.argmax(axis=0)))
        order = np.concatenate([order[counts.sum(0)[order] > 0], order[counts.sum(0)[order] == 0]])
    return _matrix(counts[:, order], names, [columns[k] for k in order], title, clusters)


def _matrix(counts: Array, names: Sequence[str], columns: Sequence[str], title: str | None, clusters: bool) -> Figure:
    side = min(max(CELL, SMALLEST / max(counts.shape)), LARGEST / max(counts.shape))
    height, width = side * len(names), side * len(columns)
    figure = Figure(dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(parts, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    small = LABEL_SIZE if side > 0.2 else 4
    below = all_shortened(columns)
    axes.set_xticks(range(len(columns)), below, size=small, rotation=90 * (max(map(len, below)) * LETTER > side))
    axes.set_yticks(range(len(names)), all_shortened(names), size=small)
    axes.tick_params(length=2, width=0.6, color=FAINT, labelcolor=INK)
    axes.set_xlabel("cluster" if clusters else "predicted class", size=LABEL_SIZE + 1, color=INK)
    axes.set_ylabel("true class", size=LABEL_SIZE + 1, color=INK)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    if max(counts.shape) <= NUMBERS:
        digits = len(str(counts.max()))
        size = min(7.0, 72 * side / (0.7 * digits + 0.6))
        for (row, col), count in np.ndenumerate(counts):
            if count:
                colour = "white" if parts[row, col] > 0.55 else INK
                axes.text(col, row, str(count), size=size, color=colour, ha="center", va="center")
    tall = min(1.0, BAR[1] / height)
    place = axes.inset_axes((1 + BAR[0] / width, (1 - tall) / 2, BAR[0] / width, tall))
    bar = figure.colorbar(image, cax=place)
    bar.set_label("fraction of the true class", size=LABEL_SIZE, color=INK)
    bar.ax.tick_params(labelsize=LABEL_SIZE - 1, labelcolor=INK, length=2, width=0.6)
    bar.outline.set_linewidth(0.4)
    fit(figure, axes, width, height, title)
    return figure
