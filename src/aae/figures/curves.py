"""Training curves of a run, as small multiples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aae.arrays import Array
from aae.errors import InputError
from aae.figures.canvas import DPI, FAINT, INK, LABEL_SIZE, PALETTE, TITLE_SIZE, plain


def training_curves(
    history: Sequence[Mapping[str, Any]], keys: Sequence[str] | None = None, title: str | None = None, cols: int = 3
) -> Figure:
    """Plot the losses of the phases, the discriminators and the validation metrics by epoch.

    Parameters
    ----------
    history : sequence of mapping
        One per epoch, as in ``metrics.jsonl``: ``epoch`` and any names with a number, or with a list of numbers, one
        per replica. A value may be missing, None or not finite in some epochs; what is not a number is left out.
    keys : sequence of str, optional
        Which names to draw, in this order; all by default, in order of appearance.
    title : str, optional
        Above all.
    cols : int
        Panels side by side.

    Returns
    -------
    Figure
        One panel per name; of several replicas each is a thin line and their mean a strong one. What spans more than
        a factor of fifty has a logarithmic axis, and accuracies of discriminators a line at one half, where they
        cannot distinguish codes from the prior.

    Raises
    ------
    InputError
        If there is nothing to draw, or a name in `keys` has no numbers.
    """
    found = list(dict.fromkeys(key for record in history for key in record if key != "epoch"))
    series = {key: values for key in (keys or found) if (values := _series(history, key)) is not None}
    missing = [key for key in keys or () if key not in series]
    if missing or not series:
        where = f" for {missing[0]!r}" if missing else ""
        raise InputError(f"history: found no numbers{where} in {len(history)} epochs, expected at least one")
    epochs = np.array([record.get("epoch", place + 1) for place, record in enumerate(history)], dtype=np.float64)

    cols = min(cols, len(series))
    lines = math.ceil(len(series) / cols)
    figure = Figure(figsize=(2.6 * cols, 1.75 * lines + (0.3 if title else 0)), dpi=DPI, layout="constrained")
    figure.set_facecolor("white")
    panels = figure.subplots(lines, cols, squeeze=False, sharex=True).ravel()
    for place, (panel, (key, values)) in enumerate(zip(panels, series.items(), strict=False)):
        _plot(panel, key, epochs, values)
        if place + cols >= len(series):
            panel.set_xlabel("epoch", size=LABEL_SIZE, color=INK)
            panel.tick_params(labelbottom=True)
    for panel in panels[len(series) :]:
        panel.remove()
    if title:
        figure.suptitle(plain(title), size=TITLE_SIZE + 1, color=INK)
    return figure


def _series(history: Sequence[Mapping[str, Any]], key: str) -> Array | None:
    """Collect a name over the epochs as (epochs, replicas), with NaN for gaps; None where it has no numbers."""
    values = [_numbers(record.get(key)) for record in history]
    width = max(map(len, values), default=0)
    table = np.full((len(values), width), np.nan)
    for row, numbers in zip(table, values, strict=True):
        row[: len(numbers)] = numbers
    return table if np.isfinite(table).any() else None


def _numbers(value: object) -> list[float]:
    items = value if isinstance(value, list | tuple) else [value]
    return [float(item) for item in items if isinstance(item, int | float) and not isinstance(item, bool)]


def _plot(panel: Axes, key: str, epochs: Array, values: Array) -> None:
    finite = values[np.isfinite(values)]
    marker = "o" if len(epochs) == 1 else None
    if "discriminator" in key and "accuracy" in key:
        half = 50.0 if finite.max() > 1 else 0.5
        panel.axhline(half, color=FAINT, linewidth=0.7, linestyle=(0, (4, 3)))
        panel.set_ylim(0, 2.04 * half)
    elif finite.min() > 0 and finite.max() > 50 * finite.min():
        panel.set_yscale("log")
        panel.minorticks_off()
    seen = np.isfinite(values).all(axis=1)
    if values.shape[1] > 1:
        for replica in values.T:
            known = np.isfinite(replica)
            panel.plot(epochs[known], replica[known], color=PALETTE[0], alpha=0.3, linewidth=0.7)
    panel.plot(epochs[seen], values[seen].mean(axis=1), color=PALETTE[0], linewidth=1.3, marker=marker, markersize=3)
    panel.set_title(key.replace("_", " ").replace("/", " · "), size=LABEL_SIZE + 1, color=INK, loc="left")
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.6)
    panel.tick_params(which="both", length=2.5, width=0.6, color=FAINT, labelsize=LABEL_SIZE - 1, labelcolor=INK)
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
