"""Training curves of a run, as small multiples."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, ScalarFormatter

from aae.arrays import Array
from aae.errors import InputError
from aae.figures.canvas import DPI, FAINT, INK, LABEL_SIZE, PALETTE, Figure, headline, plain

LETTERS = 32  # of the title of a panel, in a line
History = Sequence[Mapping[str, Any]]
PAIRS: Mapping[str, str] = {"reconstruction_loss": "validation_reconstruction"}


def training_curves(
    history: History | Sequence[History],
    keys: Sequence[str] | None = None,
    title: str | None = None,
    cols: int = 3,
    pairs: Mapping[str, str] = PAIRS,
    headings: Mapping[str, str] | None = None,
) -> Figure:
    """Plot the losses of the phases, the discriminators and the validation metrics by epoch.

    Parameters
    ----------
    history : sequence of mapping, or a sequence of those
        One mapping per epoch, as in ``metrics.jsonl``: ``epoch`` and any names with a number, or with a list of numbers, one
        per replica. A value may be missing, None or not finite in some epochs; what is not a number is left out. Of several
        seeds one such sequence each.
    keys : sequence of str, optional
        Which names to draw, in this order; all by default, in order of appearance.
    title : str, optional
        Above all.
    cols : int
        Panels side by side.
    pairs : mapping of str to str
        Which names of training rows share a panel with which names of validation rows; by default ``x`` with
        ``validation_x``, and the reconstruction.
    headings : mapping of str to str, optional
        What names are called above their panels.

    Returns
    -------
    Figure
        One panel per name, or pair of names. Of several seeds or replicas the line is the mean, and a band goes from the lowest
        to the highest. What spans more than a factor of fifty has a logarithmic axis, and accuracies of discriminators a line
        at one half, where they cannot distinguish codes from the prior.

    Raises
    ------
    InputError
        If there is nothing to draw, or a name in `keys` has no numbers.
    """
    records = _merged(history)
    found = list(dict.fromkeys(key for record in records for key in record if key != "epoch"))
    series = {key: values for key in (keys or found) if (values := _series(records, key)) is not None}
    missing = [key for key in keys or () if key not in series]
    if missing or not series:
        where = f" for {missing[0]!r}" if missing else ""
        raise InputError(f"history: found no numbers{where} in {len(records)} epochs, expected at least one")
    epochs = np.array([record.get("epoch", place + 1) for place, record in enumerate(records)], dtype=np.float64)
    partner = {key: pairs.get(key, f"validation_{key}") for key in series}
    partner = {key: name for key, name in partner.items() if name in series and name != key}
    panels_of = {key: partner.get(key) for key in series if key not in partner.values()}

    cols = min(cols, len(panels_of))
    lines = math.ceil(len(panels_of) / cols)
    figure = Figure(figsize=(2.6 * cols, 1.75 * lines + (0.5 if title else 0)), dpi=DPI, layout="constrained")
    figure.set_facecolor("white")
    panels = figure.subplots(lines, cols, squeeze=False, sharex=True).ravel()
    for place, (panel, key) in enumerate(zip(panels, panels_of, strict=False)):
        other = panels_of[key]
        both = {"training": series[key]} if other is None else {"training": series[key], "validation": series[other]}
        _plot(
            panel,
            (headings or {}).get(key) or _heading(key),
            "discriminator" in key and "accuracy" in key,
            epochs,
            both,
        )
        if place + cols >= len(panels_of):
            panel.set_xlabel("epoch", size=LABEL_SIZE, color=INK)
            panel.tick_params(labelbottom=True)
    for panel in panels[len(panels_of) :]:
        panel.remove()
    headline(figure, title)
    return figure


def learning_curve(
    history: History | Sequence[History],
    key: str,
    points: Mapping[int, float],
    heading: str | None = None,
    title: str | None = None,
    point_name: str = "paper",
) -> Figure:
    """Plot one name by epoch with the numbers of somebody else on it, both axes logarithmic.

    Parameters
    ----------
    history
        As for `training_curves`; values and epochs are larger than 0.
    key : str
        The name to draw.
    points : mapping of int to float
        From epoch, counted from 1, to a number larger than 0.
    heading, title : str, optional
        What the name is called, and a line above all.
    point_name : str
        Whose numbers the points are.

    Returns
    -------
    Figure
        Of several seeds the line is the mean, and a band goes from the lowest to the highest.

    Raises
    ------
    InputError
        If there is nothing to draw.
    """
    records = _merged(history)
    values = _series(records, key)
    if values is None or not points:
        raise InputError(
            f"history: found no numbers for {key!r} in {len(records)} epochs and {len(points)} points, expected both"
        )
    epochs = np.array([record.get("epoch", place + 1) for place, record in enumerate(records)], dtype=np.float64)
    figure = Figure(figsize=(4.4, 3.2), dpi=DPI, layout="constrained", facecolor="white")
    panel = figure.subplots()
    _plot(panel, heading or _heading(key), False, epochs, {"ours": values})
    panel.plot(list(points), list(points.values()), "o", color=PALETTE[3], markersize=5, label=point_name)
    for epoch, value in points.items():
        panel.annotate(
            f"{value:g}",
            (epoch, value),
            (0, 6),
            textcoords="offset points",
            ha="center",
            size=LABEL_SIZE - 1,
            color=INK,
        )
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    panel.yaxis.set_major_formatter(ScalarFormatter())
    panel.xaxis.set_major_formatter(ScalarFormatter())
    panel.minorticks_off()
    panel.margins(0.08, 0.12)
    panel.set_xlabel("epoch", size=LABEL_SIZE, color=INK)
    panel.legend(frameon=False, fontsize=LABEL_SIZE, labelcolor=INK)
    headline(figure, title)
    return figure


def _merged(history: History | Sequence[History]) -> list[Mapping[str, Any]]:
    """Bring the records of several seeds together, by epoch, each name with a list of numbers."""
    histories: list[list[Mapping[str, Any]]] = [list(some) for some in history if not isinstance(some, Mapping)]
    if not histories:
        return [record for record in history if isinstance(record, Mapping)]
    merged: dict[Any, dict[str, list[Any]]] = {}
    for place, some in enumerate(histories):
        for number, record in enumerate(some):
            at = merged.setdefault(record.get("epoch", number + 1), {})
            for key, value in record.items():
                if key != "epoch" and isinstance(value, int | float) and not isinstance(value, bool):
                    at.setdefault(key, [math.nan] * len(histories))[place] = value
    return [{"epoch": epoch, **merged[epoch]} for epoch in sorted(merged)]


def _heading(key: str) -> str:
    return key.replace("_", " ").replace("/", " · ")


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


def _plot(panel: Axes, heading: str, is_accuracy: bool, epochs: Array, series: Mapping[str, Array]) -> None:
    finite = np.concatenate([values[np.isfinite(values)] for values in series.values()])
    if is_accuracy:
        half = 50.0 if finite.max() > 1 else 0.5
        panel.axhline(half, color=FAINT, linewidth=0.7, linestyle=(0, (4, 3)))
        panel.set_ylim(0, 2.04 * half)
    elif finite.min() == finite.max():  # a constant, with room around it
        room = max(1.0, abs(finite.max()) / 2)
        panel.set_ylim(finite.min() - room * (finite.min() != 0), finite.max() + room)
        if float(finite.max()).is_integer():
            panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    elif finite.min() > 0 and finite.max() > 50 * finite.min():
        panel.set_yscale("log")
        panel.minorticks_off()
    for (name, values), colour in zip(series.items(), PALETTE, strict=False):
        known = np.isfinite(values)
        seen = known.any(axis=1)
        some = np.where(known, values, np.nan)[seen]
        if values.shape[1] > 1:
            low, high = np.nanmin(some, axis=1), np.nanmax(some, axis=1)
            panel.fill_between(epochs[seen], low, high, color=colour, alpha=0.25, linewidth=0)
        mean = np.nanmean(some, axis=1)
        marker = "o" if seen.sum() == 1 else None
        panel.plot(epochs[seen], mean, color=colour, linewidth=1.3, marker=marker, markersize=3, label=name)
    if len(series) > 1:
        panel.legend(frameon=False, fontsize=LABEL_SIZE - 1, labelcolor=INK, handlelength=1.2)
    panel.set_title(plain("\n".join(textwrap.wrap(heading, LETTERS))), size=LABEL_SIZE + 1, color=INK, loc="left")
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.6)
    panel.tick_params(which="both", length=2.5, width=0.6, color=FAINT, labelsize=LABEL_SIZE - 1, labelcolor=INK)
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True) if len(epochs) > 1 else FixedLocator(epochs.tolist()))
