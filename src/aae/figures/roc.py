"""How well scores tell rows apart: true beside false positives, for every threshold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from aae.arrays import ArrayLike, as_labels, as_numpy, same_length
from aae.errors import InputError
from aae.figures.canvas import DPI, FAINT, INK, LABEL_SIZE, TITLE_SIZE, Figure, plain
from aae.figures.figure2 import label_style


def roc(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str | None = None) -> Figure:
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
    if not curves:
        raise InputError("curves: found none, expected at least one")
    figure = Figure(figsize=(5.6, 3.9), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    for k, (name, (labels, scores)) in enumerate(curves.items()):
        true, given = as_labels(labels, name), as_numpy(scores).astype(np.float64)
        same_length(**{name: true, "scores": given})
        if not np.isfinite(given).all():
            raise InputError(f"{name}: found scores that are not finite, expected numbers")
        if set(np.unique(true)) != {0, 1}:
            raise InputError(f"{name}: found {np.unique(true).tolist()}, expected rows of both kinds, 0 and 1")
        false_positives, true_positives, _ = roc_curve(true, given)
        area = float(roc_auc_score(true, given))
        axes.plot(
            false_positives, true_positives, color=label_style(k)[0], linewidth=1.3, label=f"{plain(name)}: {area:.3f}"
        )
    axes.set(aspect="equal", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_xlabel("false positives, part of the negatives", size=LABEL_SIZE, color=INK)
    axes.set_ylabel("true positives, part of the positives", size=LABEL_SIZE, color=INK)
    axes.tick_params(length=2.5, width=0.6, color=FAINT, labelsize=LABEL_SIZE - 1, labelcolor=INK)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize=LABEL_SIZE,
        title="area under the curve",
        title_fontsize=LABEL_SIZE,
    )
    if title:
        figure.suptitle(plain(title), size=TITLE_SIZE, color=INK, wrap=True)
    return figure
