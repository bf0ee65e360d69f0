"""Figures for dark pages: the same figure with its grays turned round and dark colours lightened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axis import Axis, Tick
from matplotlib.collections import Collection
from matplotlib.colors import LinearSegmentedColormap, to_rgba, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

GROUND = 0.1  # of 1: how light the dark ground is
RANGE = 0.9  # from white, which becomes the ground, to black, which becomes the lightest
COLOURLESS = 0.08  # red, green and blue of a gray differ by less
DIM = 0.33  # luminance below which colours are lightened
LIGHTER = 0.4  # of the way to white


def on_dark(colour: Any) -> tuple[float, float, float, float]:
    """Return the colour that stands on a dark ground for one that stands on a light one."""
    red, green, blue, alpha = to_rgba(colour)
    rgb = np.array([red, green, blue])
    if np.ptp(rgb) < COLOURLESS:
        rgb = np.full(3, GROUND + RANGE * (1 - rgb.mean()))
    elif rgb @ (0.3, 0.59, 0.11) < DIM:
        rgb += LIGHTER * (1 - rgb)
    return float(rgb[0]), float(rgb[1]), float(rgb[2]), alpha


@contextmanager
def darkened(figure: Figure) -> Iterator[None]:
    """Recolour a figure for a dark page, as long as the context lasts; images stay as they are."""
    figure.draw_without_rendering()  # which makes what is made late, such as ticks
    ticks = {part for axis in figure.findobj(Axis) for tick in _ticks(axis) for part in tick.get_children()}
    found = [both for artist in figure.findobj() if artist not in ticks for both in _colours(artist)]
    before = [(setter, getter()) for getter, setter in found]
    for setter, old in before:
        setter(_turned(old))
    try:
        yield
    finally:
        for setter, old in before:
            setter(old)


def _ticks(axis: Axis) -> list[Tick]:
    return [*axis.get_major_ticks(), *axis.get_minor_ticks()]


def _colours(artist: Artist) -> Iterator[tuple[Callable[[], Any], Callable[[Any], object]]]:
    """List how the colours of an artist are read and set."""
    if isinstance(artist, Text):
        yield artist.get_color, artist.set_color
    elif isinstance(artist, Line2D):
        yield artist.get_color, artist.set_color
        yield artist.get_markerfacecolor, artist.set_markerfacecolor
        yield artist.get_markeredgecolor, artist.set_markeredgecolor
    elif isinstance(artist, AxesImage):
        values = artist.get_array()
        if values is not None and values.ndim == 2:
            yield artist.get_cmap, artist.set_cmap
    elif isinstance(artist, Axis):
        for tick in _ticks(artist)[:1]:  # all are alike, those that are made later too
            yield tick.label1.get_color, lambda colour: artist.set_tick_params(which="both", labelcolor=colour)
            yield tick.tick1line.get_color, lambda colour: artist.set_tick_params(which="both", color=colour)
    elif isinstance(artist, Patch) or (isinstance(artist, Collection) and artist.get_array() is None):
        yield artist.get_facecolor, artist.set_facecolor
        yield artist.get_edgecolor, artist.set_edgecolor


def _turned(old: Any) -> Any:
    if isinstance(old, np.ndarray):
        return np.array([on_dark(colour) for colour in to_rgba_array(old)]).reshape(-1, 4)
    if callable(old):  # a map from numbers to colours
        last = on_dark(old(1.0)) if np.ptp(old(1.0)[:3]) < COLOURLESS else old(0.55)
        return LinearSegmentedColormap.from_list(f"{old.name} on dark", [on_dark(old(0.0)), last])
    return old if isinstance(old, str) and old in ("none", "auto") else on_dark(old)
