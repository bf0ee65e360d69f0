"""How well scores tell rows apart, for every threshold: receiver operating characteristics, and precision beside recall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from aae.arrays import Array, ArrayLike, as_labels, as_numpy, same_length
from aae.errors import InputError
from aae.figures.canvas import DPI, FAINT, INK, LABEL_SIZE, Figure, all_shortened, fit, legend
from aae.figures.figure2 import label_style

SIDE = 3.2  # inches
Curves = Mapping[str, tuple[ArrayLike, ArrayLike]]


def roc(curves: Curves, title: str | None = None) -> Figure:
    """Plot receiver operating characteristics.

    Parameters
    ----------
    curves : mapping of str to (array (n,), array (n,))
        By name, what is true, 1 or 0, and scores, larger where 1 is more likely.
    title : str, optional
        Above the plot.

    Returns
    -------
    Figure
        With the area under each curve in the legend; on the dashed diagonal scores tell nothing.

    Raises
    ------
    InputError
        If there is no curve, truth and scores do not fit, or all rows are of one kind.
    """
    figure, axes = _square("false positives, fraction of the negatives", "true positives, fraction of the positives")
    keys = []
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    shown = all_shortened(list(curves))
    for k, (_, true, scores) in enumerate(_checked(curves)):
        false_positives, true_positives, _ = roc_curve(true, scores)
        area = float(roc_auc_score(true, scores))
        colour = label_style(k)[0]
        name = f"{shown[k]}: {area:.3f}"
        keys += axes.plot(false_positives, true_positives, color=colour, linewidth=1.3, label=name)
    legend(axes, keys, "area under the curve")
    fit(figure, axes, SIDE, SIDE, title)
    return figure


def precision_recall(curves: Curves, title: str | None = None) -> Figure:
    """Plot precision beside recall, which tells more than `roc` where few rows are positive.

    Parameters
    ----------
    curves : mapping of str to (array (n,), array (n,))
        As for `roc`.
    title : str, optional
        Above the plot.

    Returns
    -------
    Figure
        With the average precision of each curve in the legend. A dashed line of its colour is at the fraction of positives,
        where scores tell nothing.

    Raises
    ------
    InputError
        As `roc` does.
    """
    figure, axes = _square("recall: fraction of the positives that are found", "precision: fraction of what is found")
    keys = []
    shown = all_shortened(list(curves))
    for k, (_, true, scores) in enumerate(_checked(curves)):
        precision, recall, _ = precision_recall_curve(true, scores)
        average = float(average_precision_score(true, scores))
        colour = label_style(k)[0]
        axes.axhline(float(true.mean()), color=colour, linewidth=0.7, linestyle=(0, (4, 3)), alpha=0.6)
        name = f"{shown[k]}: {average:.3f}"
        keys += axes.plot(recall, precision, color=colour, linewidth=1.3, drawstyle="steps-post", label=name)
    legend(axes, keys, "average precision")
    fit(figure, axes, SIDE, SIDE, title)
    return figure


def _checked(curves: Curves) -> Iterator[tuple[str, Array, Array]]:
    if not curves:
        raise InputError("curves: found none, expected at least one")
    for name, (labels, scores) in curves.items():
        true, given = as_labels(labels, name), as_numpy(scores).astype(np.float64)
        same_length(**{name: true, "scores": given})
        if not np.isfinite(given).all():
            raise InputError(f"{name}: found scores that are not finite, expected numbers")
        if set(np.unique(true)) != {0, 1}:
            raise InputError(f"{name}: found {np.unique(true).tolist()}, expected rows of both kinds, 0 and 1")
        yield name, true, given


def _square(across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_xlabel(across, size=LABEL_SIZE, color=INK)
    axes.set_ylabel(up, size=LABEL_SIZE, color=INK)
    axes.tick_params(length=2.5, width=0.6, color=FAINT, labelsize=LABEL_SIZE - 1, labelcolor=INK)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    return figure, axes
