"""Rows of tables: what is in their columns, in rows, samples, reconstructions and on a walk; and how large clusters are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from aae.arrays import Array, ArrayLike, as_labels, as_matrix, as_numpy, same_length
from aae.errors import InputError
from aae.figures.canvas import (
    DPI,
    FAINT,
    INK,
    LABEL_SIZE,
    PALETTE,
    Figure,
    all_shortened,
    corner,
    fit,
    headline,
    legend,
)
from aae.figures.figure2 import label_style

SHOWN = 12  # columns, at most
COLUMN = 26  # letters of the name of a column, at most
PANEL, NARROWEST = 1.9, 3.4  # inches of a panel, and of all of them at least
BARS, BAR = 3.4, 0.24  # inches of the bars of clusters along, and of one across
BINS = 30
SCATTERED = 2000  # rows in a panel
CATEGORIES = 6  # of a column in a panel, at most: the most frequent ones
CATEGORY = 12  # letters of the name of one, at most
Categories = Sequence[Sequence[str]]
"""Names of the categories of each column, none of one of numbers; a value is then the number of its category."""


def column_histograms(
    rows: ArrayLike | None,
    samples: ArrayLike,
    columns: Sequence[str] = (),
    title: str | None = None,
    categories: Categories = (),
) -> Figure:
    """Plot how values of each column are spread, in rows and in samples of a model.

    Parameters
    ----------
    rows, samples : array or tensor (n, columns)
        Values in the same units, NaN where one is missing. Rows can be None: samples are then shown alone.
    columns : sequence of str
        Their names; numbers by default.
    title : str, optional
        Above all.
    categories : sequence of sequence of str
        Names of the categories of each column, none of one of numbers; by default all are numbers.

    Returns
    -------
    Figure
        A panel for each of the first twelve columns.

    Raises
    ------
    InputError
        If rows and samples have different columns.
    """
    drawn = _matrix(samples, "samples")
    data = drawn[:0] if rows is None else _pair(rows, samples, "samples")[0]
    figure, panels, names = _panels(drawn.shape[1], columns, title, categories)
    looks: list[dict[str, Any]] = [
        {"histtype": "stepfilled", "alpha": 0.4, "color": FAINT},
        {"histtype": "step", "color": PALETTE[0]},
    ]
    for k, panel in enumerate(panels):
        both = [values[:, k][~np.isnan(values[:, k])] for values in (data, drawn)]
        if categories and categories[k]:
            _bars(panel, both, categories[k])
        else:
            edges, ends = _edges(both)
            for values, look in zip(both, looks, strict=True):
                weights = np.full(len(values), 1 / max(1, len(values)))
                if len(values):
                    panel.hist(np.clip(values, *ends), edges, weights=weights, **look)
            panel.set_yticks([])
        panel.set_title(names[k], size=LABEL_SIZE, color=INK, loc="left")
    patches = [
        Patch(facecolor=FAINT, alpha=0.4, label="rows"),
        Patch(fill=False, edgecolor=PALETTE[0], label="samples"),
    ]
    shown = patches if rows is not None else patches[1:]
    figure.legend(handles=shown, loc="outside lower center", ncols=2, frameon=False, fontsize=LABEL_SIZE)
    return figure


def _edges(both: Sequence[Array]) -> tuple[list[float], tuple[float, float]]:
    """Compute the edges of the bins of a histogram, and its ends."""
    every = np.concatenate(both)
    low, high = np.quantile(every, [0.005, 0.995]) if len(every) else (0.0, 1.0)
    least = min((len(values) for values in both if len(values)), default=1)
    bins = int(np.clip(2 * math.sqrt(least), 5, BINS))
    return np.linspace(low, high if high > low else low + 1, bins + 1).tolist(), (low, high)


def _bars(panel: Axes, both: Sequence[Array], categories: Sequence[str]) -> None:
    """Plot the fractions of the categories of a column, in rows and in samples."""
    places = _frequent(np.concatenate(both), categories)
    ground = np.arange(len(places))
    for values, colour, alpha, filled in zip(both, (FAINT, PALETTE[0]), (0.4, 1.0), (True, False), strict=True):
        if len(values):
            parts = [(values == place).mean() for place in places]
            look = {"color": colour} if filled else {"fill": False, "edgecolor": colour}
            panel.barh(ground, parts, height=0.8 if filled else 0.6, alpha=alpha, **look)
    panel.set_yticks(ground, _short(categories, places))
    panel.invert_yaxis()


def _frequent(values: Array, categories: Sequence[str]) -> Array:
    """Choose the numbers of the most frequent categories, in order."""
    counts = np.bincount(values[values >= 0].round().astype(np.int64), minlength=len(categories))
    return np.sort(np.argsort(-counts, kind="stable")[:CATEGORIES])


def _short(categories: Sequence[str], places: Array) -> list[str]:
    return all_shortened([categories[place] for place in places], CATEGORY)


def column_scatter(
    rows: ArrayLike,
    reconstructions: ArrayLike,
    columns: Sequence[str] = (),
    title: str | None = None,
    categories: Categories = (),
) -> Figure:
    """Plot each value beside its reconstruction; on the line they are equal.

    Parameters
    ----------
    rows, reconstructions : array or tensor (n, columns)
        Values in the same units, NaN where one is missing.
    columns : sequence of str
        Their names; numbers by default.
    title : str, optional
        Above all.
    categories : sequence of sequence of str
        As for `column_histograms`; a disc is as large as the number of rows is.

    Returns
    -------
    Figure
        A panel for each of the first twelve columns.

    Raises
    ------
    InputError
        If the two have different shapes.
    """
    data, made = _pair(rows, reconstructions, "reconstructions")
    same_length(rows=data, reconstructions=made)
    some = np.random.default_rng(0).permutation(len(data))[:SCATTERED]
    figure, panels, names = _panels(data.shape[1], columns, title, categories)
    for k, panel in enumerate(panels):
        known = some[~np.isnan(data[some, k]) & ~np.isnan(made[some, k])]
        x, y = data[known, k], made[known, k]
        if categories and categories[k]:
            _discs(panel, x, y, categories[k])
        elif len(known):
            ends = np.quantile(np.concatenate([x, y]), [0.002, 0.998])
            room = 0.05 * (ends[1] - ends[0]) or 1.0
            panel.plot(ends, ends, color=FAINT, linewidth=0.8)
            size = float(np.clip(1500 / len(known), 2, 10))
            panel.scatter(x, y, s=size, color=PALETTE[0], alpha=0.5, linewidths=0)
            low, high = ends[0] - room, ends[1] + room
            panel.set(xlim=(low, high), ylim=(low, high))
            outside = int(((x < low) | (x > high) | (y < low) | (y > high)).sum())
            if outside:
                corner(panel, f"{outside} outside", LABEL_SIZE - 2)
        panel.set_title(names[k], size=LABEL_SIZE, color=INK, loc="left")
    figure.supxlabel("row", size=LABEL_SIZE, color=INK)
    figure.supylabel("reconstruction", size=LABEL_SIZE, color=INK)
    return figure


def _discs(panel: Axes, x: Array, y: Array, categories: Sequence[str]) -> None:
    """Plot how many rows of each category become which."""
    places = _frequent(np.concatenate([x, y]), categories)
    counts = np.array([[((x == a) & (y == b)).sum() for a in places] for b in places])
    down, across = np.nonzero(counts)
    sizes = counts[down, across] * 120 / max(1, counts.max(initial=0))
    ends = (-0.5, len(places) - 0.5)
    panel.plot(ends, ends, color=FAINT, linewidth=0.8)
    panel.scatter(across, down, s=sizes, color=PALETTE[0], alpha=0.7, linewidths=0)
    panel.set(xlim=ends, ylim=ends)
    panel.set_xticks(range(len(places)), _short(categories, places), rotation=90 if len(places) > 2 else 0)
    panel.set_yticks(range(len(places)), _short(categories, places))


def column_walk(
    rows: ArrayLike, columns: Sequence[str] = (), title: str | None = None, categories: Categories = ()
) -> Figure:
    """Plot what each column does on the way from one row to another.

    Parameters
    ----------
    rows : array or tensor (steps, columns)
        Decoded on the way.
    columns : sequence of str
        Their names; numbers by default.
    title : str, optional
        Above all.
    categories : sequence of sequence of str
        As for `column_histograms`.

    Returns
    -------
    Figure
        A panel for each of the first twelve columns.
    """
    data = as_matrix(rows, "rows")
    figure, panels, names = _panels(data.shape[1], columns, title)
    for k, panel in enumerate(panels):
        way = np.linspace(0, 1, len(data))
        if categories and categories[k]:
            places = np.unique(data[:, k].round().astype(np.int64))
            panel.step(way, np.searchsorted(places, data[:, k].round()), where="mid", color=PALETTE[0], linewidth=1.3)
            panel.set_yticks(range(len(places)), _short(categories[k], places))
        else:
            panel.plot(way, data[:, k], color=PALETTE[0], linewidth=1.3)
        panel.set_title(names[k], size=LABEL_SIZE, color=INK, loc="left")
        panel.set_xticks([0, 1], ["A", "B"])
    return figure


def cluster_sizes(
    clusters: ArrayLike,
    labels: ArrayLike | None = None,
    names: Sequence[str] = (),
    class_names: Sequence[str] = (),
    title: str | None = None,
    kind: str = "cluster",
) -> Figure:
    """Plot how many rows are in each cluster, and of which classes they are, if that is known.

    Parameters
    ----------
    clusters : array or tensor (n,)
        The cluster of each row, at least 0.
    labels : array or tensor (n,), optional
        True labels, -1 where there is none.
    names : sequence of str
        One for each cluster; numbers by default.
    class_names : sequence of str
        One for each label; numbers by default.
    title : str, optional
        Above the plot.
    kind : str
        What the bars are, on the left.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If labels or names do not fit the clusters.
    """
    assigned = as_labels(clusters, "clusters")
    true = np.full(len(assigned), 0) if labels is None else as_labels(labels, "labels")
    same_length(clusters=assigned, labels=true)
    every = list(names) or [str(k) for k in range(int(assigned.max(initial=0)) + 1)]
    if assigned.min(initial=0) < 0 or assigned.max(initial=0) >= len(every):
        raise InputError(f"clusters: found {assigned.min()} to {assigned.max()}, expected 0 to {len(every) - 1}")
    figure = Figure(dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    left, keys = np.zeros(len(every)), []
    shown = all_shortened(class_names)
    for label in sorted(np.unique(true).tolist(), key=lambda value: (value < 0, value)):
        counts = np.bincount(assigned[true == label], minlength=len(every))
        name = "no label" if label < 0 else shown[label] if label < len(shown) else str(label)
        colour = label_style(label)[0]
        axes.barh(range(len(every)), counts, left=left, color=colour, height=0.75)
        keys.append(Patch(color=colour, label=name))
        left += counts
    axes.set_yticks(range(len(every)), all_shortened(every))
    axes.invert_yaxis()
    _dress(axes)
    axes.set_xlabel("rows", size=LABEL_SIZE, color=INK)
    axes.set_ylabel(kind, size=LABEL_SIZE, color=INK)
    if labels is not None:
        legend(axes, keys, "true class")
    fit(figure, axes, BARS, BAR * len(every) + 0.1, title)
    return figure


def _matrix(values: ArrayLike, name: str) -> Array:
    """Bring values to a matrix whose missing ones are NaN."""
    array = as_numpy(values)
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)
    found = as_matrix(np.where(missing, 0, array), name)
    found[missing.reshape(found.shape)] = np.nan
    return found


def _pair(rows: ArrayLike, others: ArrayLike, name: str) -> tuple[Array, Array]:
    first, second = _matrix(rows, "rows"), _matrix(others, name)
    if first.shape[1] != second.shape[1]:
        raise InputError(f"{name}: found {second.shape[1]} columns, expected {first.shape[1]} as in rows")
    return first, second


def _panels(
    count: int, columns: Sequence[str], title: str | None, categories: Categories = ()
) -> tuple[Figure, list[Axes], list[str]]:
    """Create a panel for each column that is shown, with its name, which says where not all of its categories are shown."""
    shown = min(count, SHOWN)
    cols = min(4, shown)
    lines = math.ceil(shown / cols)
    figure = Figure(
        figsize=(max(PANEL * cols + 0.3, NARROWEST), 1.6 * lines + 0.5),
        dpi=DPI,
        layout="constrained",
        facecolor="white",
    )
    panels = list(figure.subplots(lines, cols, squeeze=False).ravel())
    for panel in panels[shown:]:
        panel.remove()
    for panel in panels[:shown]:
        _dress(panel)
        panel.locator_params(axis="x", nbins=4)
        panel.locator_params(axis="y", nbins=4)
    note = f" (first {shown} of {count} columns)" if count > shown else ""
    if title or note:
        headline(figure, (title or "") + note)
    names = list(columns) if len(columns) == count else [f"column {k}" for k in range(count)]
    parts = [f" ({CATEGORIES} of {len(own)})" if len(own) > CATEGORIES else "" for own in categories] or [""] * count
    letters = COLUMN - max(map(len, parts))
    return (
        figure,
        panels[:shown],
        [name + part for name, part in zip(all_shortened(names, letters), parts, strict=True)],
    )


def _dress(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.6)
    axes.tick_params(length=2.5, width=0.6, color=FAINT, labelsize=LABEL_SIZE - 1, labelcolor=INK)
