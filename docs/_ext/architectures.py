"""The directive ``architecture``: the networks of figures 1, 3, 6, 8 and 10 of the paper, in the page's colours.

```{architecture} 8
```
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

UNIT = 10  # pixels of a step in the drawings below


@dataclass
class Drawing:
    """Parts of a drawing, placed in steps of ten pixels."""

    width: int
    height: int
    label: str
    parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, kind: str = "") -> None:
        """Write words; a letter between underscores is italic, and one behind a tilde is lowered."""
        marked = re.sub(r"_(\w)_", r'<tspan class="i">\1</tspan>', html.escape(words, quote=False))
        marked = re.sub(r"~(\w)", r'<tspan dy="3" font-size="10">\1</tspan>', marked)
        self.parts.append(f'<text x="{UNIT * x:g}" y="{UNIT * y:g}" class="{kind}">{marked}</text>')

    def box(self, x: float, y: float, w: float, h: float, words: Iterable[str], kind: str = "code") -> None:
        """Draw a rectangle around its middle, with lines of words in it."""
        left, top = UNIT * (x - w / 2), UNIT * (y - h / 2)
        self.parts.append(
            f'<rect x="{left:g}" y="{top:g}" width="{UNIT * w:g}" height="{UNIT * h:g}" rx="4" class="{kind}"/>'
        )
        self._lines(x, y, list(words))

    def net(self, x: float, y: float, w: float, wide: float, narrow: float, words: Iterable[str]) -> None:
        """Draw a network from its wide side to its narrow one; a negative width narrows to the left."""
        left, right = (wide, narrow) if w > 0 else (narrow, wide)
        half = abs(w) / 2
        corners = [
            (x - half, y - left / 2),
            (x + half, y - right / 2),
            (x + half, y + right / 2),
            (x - half, y + left / 2),
        ]
        points = " ".join(f"{UNIT * a:g},{UNIT * b:g}" for a, b in corners)
        self.parts.append(f'<polygon points="{points}" class="net"/>')
        self._lines(x, y, list(words))

    def arrow(self, *points: tuple[float, float]) -> None:
        """Draw a line through points with a tip at its end."""
        way = " L".join(f"{UNIT * x:g},{UNIT * y:g}" for x, y in points)
        (x0, y0), (x1, y1) = points[-2:]
        length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-9)
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        back, side = 0.9, 0.4
        tip = [
            (x1, y1),
            (x1 - back * dx - side * dy, y1 - back * dy + side * dx),
            (x1 - back * dx + side * dy, y1 - back * dy - side * dx),
        ]
        shape = " L".join(f"{UNIT * x:g},{UNIT * y:g}" for x, y in tip)
        self.parts.append(f'<path class="arrow" d="M{way}"/><path class="tip" d="M{shape} Z"/>')

    def _lines(self, x: float, y: float, words: list[str]) -> None:
        for k, line in enumerate(words):
            self.text(x, y + 1.7 * (k - (len(words) - 1) / 2), line)

    def svg(self) -> str:
        """Return the drawing."""
        size = f'viewBox="0 0 {UNIT * self.width} {UNIT * self.height}" width="{UNIT * self.width}"'
        label = html.escape(self.label)
        return f'<svg class="architecture" {size} role="img" aria-label="{label}">{"".join(self.parts)}</svg>'


def autoencoder(drawing: Drawing, y: float) -> None:
    """Draw an image, the encoder, and the decoder with the reconstruction; what lies between is left out."""
    drawing.box(4.5, y, 6, 6, ["_x_"])
    drawing.arrow((7.5, y), (11, y))
    drawing.net(15.5, y, 9, 12, 7, ["encoder", "_q_(_z_|_x_)"])
    drawing.net(41.5, y, -9, 12, 7, ["decoder"])
    drawing.arrow((46, y), (49.5, y))
    drawing.box(52.5, y, 6, 6, ["_x_̂"])


def critic(drawing: Drawing, y: float, prior: list[str], code: tuple[float, float], what: str, positive: float) -> None:
    """Draw samples of a prior, and the discriminator that tells them from codes."""
    drawing.box(16.5, positive, 13, 5, prior, "prior")
    drawing.text(4.8, positive, "draw samples", "small")
    drawing.net(41.5, y, 11, 9, 6.4, ["discriminator", "_D_"])
    drawing.arrow((23, positive), (34, positive), (36, y + (1.6 if positive > y else -1.6)))
    drawing.arrow(code, (code[0], y), (36, y))
    drawing.arrow((47, y), (49.5, y))
    drawing.box(56.2, y, 13, 5, ["prior (+)", f"or {what} (−)"], "judge")


def figure1() -> Drawing:
    """An adversarial autoencoder."""
    d = Drawing(
        64, 30, "Figure 1: image, encoder, code, decoder; below, the discriminator tells samples of p(z) from codes"
    )
    autoencoder(d, 7)
    d.box(27.5, 7, 5, 8, ["_z_"])
    d.text(27.5, 1.6, "_z_ ~ _q_(_z_)", "small")
    d.arrow((20, 7), (25, 7))
    d.arrow((30, 7), (37, 7))
    critic(d, 20, ["_p_(_z_)"], (27.5, 11), "code", 25)
    return d


def figure3() -> Drawing:
    """Label information in the discriminator."""
    d = Drawing(
        64, 36, "Figure 3: as figure 1, with a one-hot vector of the label as a further input of the discriminator"
    )
    autoencoder(d, 7)
    d.box(27.5, 7, 5, 8, ["_z_"])
    d.text(27.5, 1.6, "_z_ ~ _q_(_z_)", "small")
    d.arrow((20, 7), (25, 7))
    d.arrow((30, 7), (37, 7))
    critic(d, 20, ["_p_(_z_|_y_)"], (27.5, 11), "code", 25)
    d.box(16.5, 32, 19, 5, ["one-hot label _y_", "with a class for “unknown”"])
    d.arrow((26, 32), (41.5, 32), (41.5, 23.9))
    return d


def figure6() -> Drawing:
    """Label given to the decoder."""
    d = Drawing(64, 36, "Figure 6: as figure 1, with a one-hot vector of the label as a further input of the decoder")
    autoencoder(d, 13)
    d.box(27.5, 13, 5, 8, ["_z_", "style"])
    d.arrow((20, 13), (25, 13))
    d.arrow((30, 13), (37, 13))
    d.box(27.5, 3, 15, 4, ["one-hot label _y_"])
    d.arrow((35, 3), (41.5, 3), (41.5, 8.2))
    critic(d, 26, ["_p_(_z_)"], (27.5, 17), "style", 31)
    return d


def two_latents(d: Drawing) -> None:
    """Draw the encoder of label and style."""
    d.box(4.5, 24, 6, 6, ["_x_"])
    d.arrow((7.5, 24), (11, 24))
    d.net(15.5, 24, 9, 16, 11, ["encoder", "_q_(_z_, _y_|_x_)"])
    d.box(27.5, 20, 6, 5.5, ["_y_", "softmax"])
    d.box(27.5, 28, 6, 5.5, ["_z_", "linear"])
    d.arrow((20, 21.5), (24.5, 20))
    d.arrow((20, 26.5), (24.5, 28))


def figure8() -> Drawing:
    """Semi-supervised."""
    d = Drawing(
        64, 49, "Figure 8: the encoder infers label and style, each has a discriminator, and the decoder sees both"
    )
    two_latents(d)
    d.arrow((30.5, 20), (37, 22.3))
    d.arrow((30.5, 28), (37, 25.7))
    d.net(41.5, 24, -9, 14, 9, ["decoder"])
    d.arrow((46, 24), (49.5, 24))
    d.box(52.5, 24, 6, 6, ["_x_̂"])
    critic(d, 10, ["Cat(_y_)"], (27.5, 17.2), "label", 5)
    critic(d, 38, ["𝒩(_z_ | 0, I)"], (27.5, 30.8), "style", 43)
    return d


def figure10() -> Drawing:
    """Dimensionality reduction."""
    d = Drawing(
        78, 49, "Figure 10: as figure 8, but the decoder sees the sum of the cluster head y W_C and the style z"
    )
    two_latents(d)
    d.net(36.5, 20, 7, 5.5, 4, ["× _W_~C"])
    d.arrow((30.5, 20), (33, 20))
    d.box(45, 24, 3.6, 3.6, ["+"])
    d.arrow((40, 20), (45, 20), (45, 22.2))
    d.arrow((30.5, 28), (45, 28), (45, 25.8))
    d.text(45.6, 18.4, "cluster head", "small")
    d.text(39.5, 29.6, "_n_-dimensional style", "small")
    d.arrow((46.8, 24), (51, 24))
    d.text(49, 21.8, "code", "small")
    d.net(55.5, 24, -9, 14, 9, ["decoder"])
    d.arrow((60, 24), (63.5, 24))
    d.box(66.5, 24, 6, 6, ["_x_̂"])
    critic(d, 10, ["Cat(_y_)"], (27.5, 17.2), "label", 5)
    critic(d, 38, ["𝒩(_z_ | 0, I)"], (27.5, 30.8), "style", 43)
    return d


FIGURES = {"1": figure1, "3": figure3, "6": figure6, "8": figure8, "10": figure10}


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    class Architecture(SphinxDirective):
        required_arguments = 1

        def run(self) -> list[nodes.Node]:
            drawing = FIGURES[self.arguments[0]]()
            return [nodes.raw("", f'<div class="architecture-frame">{drawing.svg()}</div>', format="html")]

    app.add_directive("architecture", Architecture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
