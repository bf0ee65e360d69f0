"""Which classes are taken for which: a matrix of true classes and what was predicted, or of classes and clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aae.arrays import Array, ArrayLike, as_labels, labelled_rows, same_length
from aae.errors import InputError
from aae.figures.canvas import DPI, FAINT, INK, LABEL_SIZE, TITLE_SIZE, Figure, plain

CELL = 0.34  # inches
SMALLEST = 1.8  # inches of the matrix, at least
LETTER = 0.075  # inches of a letter below the matrix
LARGEST = 9.0  # inches of the matrix, at most
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
    figure = Figure(figsize=(max(width + 2.2, 4.5), height + 1.5), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.subplots()
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(parts, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    small = LABEL_SIZE if side > 0.2 else 4
    upright = max(map(len, columns)) * LETTER > side
    axes.set_xticks(range(len(columns)), [plain(c) for c in columns], size=small, rotation=90 * upright)
    axes.set_yticks(range(len(names)), [plain(name) for name in names], size=small)
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
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 2.4 / max(height, 2.4)), pad=0.02)
    bar.set_label("fraction of the true class", size=LABEL_SIZE, color=INK)
    bar.ax.tick_params(labelsize=LABEL_SIZE - 1, labelcolor=INK, length=2, width=0.6)
    bar.outline.set_linewidth(0.4)
    if title:
        figure.suptitle(plain(title), size=TITLE_SIZE, color=INK, wrap=True)
    return figure
