"""A metric by each key that a sweep varied, as small multiples."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aae.errors import InputError
from aae.figures.canvas import DPI, FAINT, INK, LABEL_SIZE, PALETTE, headline, plain

FEW = 5  # numbers of a key that are written out below its panel
LETTERS = 36  # that have room in a line above or below a panel
LINES = 4  # that a text may have below a panel
MANY = 6  # texts that have room beside each other below a panel


def plot_settings(
    columns: Mapping[str, Sequence[Any]],
    results: Sequence[float],
    metric: str,
    importance: Mapping[str, float] | None = None,
    logarithmic: Collection[str] = (),
    cols: int = 3,
    title: str | None = None,
    orders: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Plot results by each key in turn, with their mean for each value.

    Parameters
    ----------
    columns : mapping
        From key to its value in each setting: numbers, or texts, which are spaced evenly.
    results : sequence of float
        One for each setting.
    metric : str
        What they are, for the axis.
    importance : mapping, optional
        From key to the fraction of the variance that it explains; panels are in its order.
    logarithmic : collection of str
        Keys whose numbers have a logarithmic axis.
    cols : int
        Panels side by side.
    title : str, optional
        Above all.
    orders : mapping, optional
        From key to its texts in the order in which they stand from left to right; by default sorted.

    Returns
    -------
    Figure
        A panel for each key. A line joins the means of values that several settings share.

    Raises
    ------
    InputError
        If there is nothing to draw, or a column has another length than the results.
    """
    values = np.asarray(results, dtype=np.float64)
    if not columns or not len(values):
        raise InputError(f"found {len(columns)} keys and {len(values)} results, expected at least one of each")
    for key, column in columns.items():
        if len(column) != len(values):
            raise InputError(f"{key}: found {len(column)} values for {len(values)} results, expected as many")
    known = importance or {}
    keys = sorted(columns, key=lambda key: -known.get(key, 0.0))
    cols = min(cols, len(keys))
    lines = math.ceil(len(keys) / cols)
    width, height = max(2.6 * cols, 4.5 if title else 0.0), 2.0 * lines + (0.4 if title else 0.0)
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    panels = figure.subplots(lines, cols, squeeze=False, sharey=True).ravel()
    for place, (panel, key) in enumerate(zip(panels, keys, strict=False)):
        _plot(panel, columns[key], values, key in logarithmic, (orders or {}).get(key, ()))
        share = f": explains {100 * known[key]:.0f} %" if key in known else ""
        name = textwrap.fill(key.split(".", 1)[-1] + share, LETTERS)
        panel.set_title(plain(name), size=LABEL_SIZE, color=INK, loc="left")
        if place % cols == 0:
            panel.set_ylabel(metric, size=LABEL_SIZE, color=INK)
    for panel in panels[len(keys) :]:
        panel.remove()
    headline(figure, title)
    return figure


def _plot(
    panel: Axes, column: Sequence[Any], results: np.ndarray[Any, Any], logarithmic: bool, order: Sequence[str]
) -> None:
    is_number = all(isinstance(value, int | float) for value in column)
    names = [name for name in dict.fromkeys([*order, *sorted(map(str, column))]) if name in set(map(str, column))]
    places = np.array([value if is_number else names.index(str(value)) for value in column], dtype=np.float64)
    panel.plot(places, results, "o", color=PALETTE[0], alpha=0.5, markersize=3, markeredgewidth=0)
    shared = np.unique(places)
    if len(shared) < len(places):
        means = [results[places == place].mean() for place in shared]
        panel.plot(shared, means, color=PALETTE[0], linewidth=1.3)
    if is_number and logarithmic:
        panel.set_xscale("log")
    if is_number and len(shared) <= FEW:
        panel.set_xticks(shared, [f"{place:g}" for place in shared])
        panel.set_xticks([], minor=True)
    if not is_number:
        few = len(names) <= MANY
        labels = [
            _label(name, LETTERS // len(names) - 1, LINES) if few else _label(name, LETTERS // 2, 1) for name in names
        ]
        panel.set_xticks(range(len(names)), labels, rotation=0 if few else 90)
        panel.set_xlim(-0.5, len(names) - 0.5)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.6)
    panel.tick_params(which="both", length=2.5, width=0.6, color=FAINT, labelsize=LABEL_SIZE - 1, labelcolor=INK)


def _label(value: str, width: int, lines: int) -> str:
    """Write a value in TOML notation as people read it, in so many lines; of a longer one, as of a path, the end."""
    text = re.sub(r'"([^"\\]*)"', r"\1", value).removeprefix("{ ").removesuffix(" }")
    if lines == 1:
        return plain(text if len(text) <= width else f"…{text[1 - width :]}")
    wrapped = textwrap.wrap(text, width)
    return plain("\n".join(wrapped if len(wrapped) <= lines else ["…", *wrapped[1 - lines :]]))
