"""How objects show themselves in a notebook: a table of what they are, a cloud of points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

SIZE = 160  # pixels


def html_table(title: str, entries: Mapping[str, str], image: str = "") -> str:
    """Create a table (HTML) of entries by name under a title, with an image before it."""
    lines = "".join(f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in entries.items())
    return f"<div><strong>{escape(title)}</strong><br>{image}<table>{lines}</table></div>"


def svg_points(points: Iterable[Sequence[float]]) -> str:
    """Create an image (SVG) of points in the plane, each (x, y), both axes with one scale."""
    places = [(float(x), float(y)) for x, y in points]
    reach = max((max(abs(x), abs(y)) for x, y in places), default=1.0) or 1.0
    half = SIZE / 2
    dots = "".join(
        f'<circle cx="{half + x / reach * 0.95 * half:.1f}" cy="{half - y / reach * 0.95 * half:.1f}" r="1.5"/>'
        for x, y in places
    )
    return f'<svg width="{SIZE}" height="{SIZE}" fill="steelblue" fill-opacity="0.6">{dots}</svg>'


def some(names: Sequence[str], total: int = 5) -> str:
    """Write a few of some names."""
    return ", ".join(names[:total]) + (", ..." if len(names) > total else "")
