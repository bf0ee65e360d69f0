"""Figure 2: the code space of hold-out rows, and images generated from a grid of Gaussian percentiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.stats import norm

from aae.arrays import UNLABELLED, Array, ArrayLike, as_labels, as_matrix, same_length
from aae.errors import InputError
from aae.figures.canvas import (
    CLOUD,
    DPI,
    FAINT,
    INK,
    LABEL_SIZE,
    PALETTE,
    TITLE_SIZE,
    Figure,
    all_shortened,
    as_images,
    cell_scale,
    centres,
    corner,
    fit,
    legend,
    mosaic,
    plain,
    sheet,
)

MARKERS = "o^sDv"  # each goes through the palette once, from light to dark shades
SHADES = (1.0, 0.7, 0.5, 0.85, 0.35)
SIDE = 4.2  # inches
LINE_SIZE = 4.6, 2.4  # inches
STRAY = 1.5  # how far beyond the rest the outermost 0.1 % of the codes may lie and still be shown


def code_scatter(
    codes: ArrayLike,
    labels: ArrayLike | None = None,
    prior_samples: ArrayLike | None = None,
    title: str | None = None,
    class_names: Sequence[str] | None = None,
    heads: ArrayLike | None = None,
    axis_names: tuple[str, str] = ("$z_1$", "$z_2$"),
    head_name: str = "cluster head",
) -> Figure:
    """Plot the 2-D codes of hold-out rows, coloured by label (Figures 2a to 2d, 4a, 4c and 11).

    Parameters
    ----------
    codes : array or tensor (n, 2)
        The hidden codes z.
    labels : array or tensor (n,), optional
        At least 0, or -1 for rows without a label, which are drawn in grayscale.
    prior_samples : array or tensor (m, 2), optional
        Samples of p(z), drawn as a pale cloud behind the codes.
    title : str, optional
        Above the plot.
    class_names : sequence of str, optional
        What label k is called in the legend; its number by default.
    heads : array or tensor (k, 2), optional
        Cluster heads (section 7), drawn as crosses.
    axis_names : pair of str
        Below and beside the plot.
    head_name : str
        What the crosses are called in the legend.

    Returns
    -------
    Figure
        Both axes have the same scale and are symmetric around zero. They show all of the prior and the
        codes, but for at most 0.1 % of the codes that lie far outside, which are counted in a corner.

    Raises
    ------
    InputError
        If codes or prior samples are not finite points of the plane, or labels do not fit.
    """
    points = _plane(codes, "codes")
    prior = _plane(prior_samples, "prior_samples") if prior_samples is not None else None
    names = as_labels(labels, "labels") if labels is not None else np.zeros(len(points), dtype=np.int64)
    same_length(codes=points, labels=names)
    if names.min() < UNLABELLED:
        raise InputError(f"labels: found {names.min()}, expected -1 or more")
    if class_names is not None and names.max() >= len(class_names):
        raise InputError(f"class_names: found {len(class_names)} names, expected at least {names.max() + 1}")

    figure = Figure(dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), aspect="equal")
    far = np.abs(points).max(axis=1)
    reach = float(np.quantile(far, 0.999, method="lower"))
    size = float(np.clip(12_000 / len(points), 1.2, 14))
    keys: list[Artist] = []
    if prior is not None:
        reach = max(reach, float(np.abs(prior).max()))
        axes.scatter(prior[:, 0], prior[:, 1], s=5, color=CLOUD, linewidths=0, zorder=1)
        keys.append(_key(CLOUD, "o", "prior"))

    # Rows of one marker are plotted at once and in random order: no class hides the others.
    order = np.random.default_rng(0).permutation(len(points))
    styles = {int(label): label_style(int(label)) for label in np.unique(names)}
    for marker in dict.fromkeys(marker for _, marker in styles.values()):
        some = order[np.isin(names[order], [label for label, style in styles.items() if style[1] == marker])]
        colours = [styles[int(label)][0] for label in names[some]]
        axes.scatter(points[some, 0], points[some, 1], s=size, c=colours, marker=marker, linewidths=0, zorder=2)
    if labels is not None:
        shown = all_shortened(class_names or ())
        for label, (colour, marker) in sorted(styles.items(), key=lambda item: (item[0] == UNLABELLED, item[0])):
            name = "no label" if label == UNLABELLED else shown[label] if shown else str(label)
            keys.append(_key(colour, marker, name))

    if heads is not None:
        crosses = _plane(heads, "heads")
        reach = max(reach, float(np.abs(crosses).max()))
        axes.scatter(crosses[:, 0], crosses[:, 1], s=22, c=INK, marker="x", linewidths=0.9, zorder=3)
        keys.append(_key(INK, "x", head_name))

    limit = 1.06 * (max(far.max(), reach) if far.max() < STRAY * reach else reach) or 1.0
    outside = int((far > limit).sum())
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
    axes.set_xlabel(axis_names[0], size=TITLE_SIZE, color=INK)
    axes.set_ylabel(axis_names[1], size=TITLE_SIZE, color=INK)
    axes.locator_params(nbins=7)
    axes.tick_params(length=3, width=0.6, color=FAINT, labelsize=LABEL_SIZE, labelcolor=INK)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    if outside:
        corner(axes, f"{outside} code{'s' if outside > 1 else ''} outside")
    if keys:
        legend(axes, keys)
    fit(figure, axes, SIDE, SIDE, title)
    return figure


def code_line(
    codes: ArrayLike,
    labels: ArrayLike | None = None,
    prior_samples: ArrayLike | None = None,
    title: str | None = None,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Plot codes of one dimension: how many rows of each label lie where.

    Parameters
    ----------
    codes : array or tensor (n, 1)
        The hidden codes z.
    labels : array or tensor (n,), optional
        At least 0, or -1 for rows without a label.
    prior_samples : array or tensor (m, 1), optional
        Samples of p(z), drawn as a pale line.
    title : str, optional
        Above the plot.
    class_names : sequence of str, optional
        What label k is called in the legend; its number by default.

    Returns
    -------
    Figure
        It shows all of the prior and the codes, but for the outermost 0.1 % of each.

    Raises
    ------
    InputError
        If codes have more than one dimension or labels do not fit.
    """
    points = as_matrix(codes, "codes")
    if points.shape[1] != 1:
        raise InputError(f"codes: found {points.shape[1]} dimensions, expected 1")
    names = as_labels(labels, "labels") if labels is not None else np.zeros(len(points), dtype=np.int64)
    same_length(codes=points, labels=names)
    figure = Figure(dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    drawn = None if prior_samples is None else as_matrix(prior_samples, "prior_samples")[:, 0]
    ends = [np.quantile(some, [0.0005, 0.9995]) for some in (points, drawn) if some is not None]
    low, high = np.min(ends), np.max(ends)
    bins = int(np.clip(2 * np.sqrt(len(points)), 20, 80))
    edges = np.linspace(low, high if high > low else low + 1, bins + 1).tolist()
    kinds = sorted(np.unique(names).tolist(), key=lambda label: (label == UNLABELLED, label))
    colours = [label_style(k)[0] for k in kinds]
    axes.hist([points[names == k, 0] for k in kinds], edges, stacked=True, color=colours)
    keys: list[Artist] = []
    if labels is not None:
        called = ["no label" if k == UNLABELLED else class_names[k] if class_names else str(k) for k in kinds]
        keys += [Patch(color=colour, label=name) for colour, name in zip(colours, all_shortened(called), strict=True)]
    if drawn is not None:
        weights = np.full(len(drawn), len(points) / len(drawn))
        axes.hist(drawn, edges, weights=weights, histtype="step", color=FAINT)
        keys.append(Patch(fill=False, edgecolor=FAINT, label="prior"))
    axes.set_xlabel("$z$", size=TITLE_SIZE, color=INK)
    axes.set_ylabel("rows", size=LABEL_SIZE, color=INK)
    axes.tick_params(length=3, width=0.6, color=FAINT, labelsize=LABEL_SIZE, labelcolor=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.6)
    if keys:
        legend(axes, keys)
    fit(figure, axes, *LINE_SIZE, title)
    return figure


def image_grid(
    images: ArrayLike,
    rows: int,
    cols: int,
    title: str | None = None,
    across: Sequence[str] = (),
    down: Sequence[str] = (),
    axis_names: tuple[str, str] = ("", ""),
) -> Figure:
    """Plot images in a grid, row by row (Figure 2e with the codes of `gaussian_percentile_grid`).

    Parameters
    ----------
    images : array or tensor (n, h, w) or (n, h, w, 3)
        Values in [0, 1], at most `rows` times `cols` of them; places that are left over stay empty.
    rows, cols : int
        Size of the grid.
    title : str, optional
        Above the grid.
    across, down : sequence of str
        What stands above each column and beside each row, or nothing.
    axis_names : pair of str
        What those stand for.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If the rows are not images, or there are none or too many of them, or names do not fit the grid.
    """
    for name, texts, expected in (("across", across, cols), ("down", down, rows)):
        if texts and len(texts) != expected:
            raise InputError(f"{name}: found {len(texts)} names, expected {expected}")
    longest = max((len(text) for text in down), default=0)
    figure, (panel,) = sheet(
        [mosaic(images, rows, cols)],
        title=title,
        left=0.08 + 0.062 * longest if down else 0.0,
        top=0.2 if across else 0.0,
        across=axis_names[0],
        down=axis_names[1],
    )
    height, width = (side * cell_scale(as_images(images)) for side in as_images(images).shape[1:3])
    if across:
        panel.set_xticks(centres(cols, width), [plain(text) for text in across])
    if down:
        panel.set_yticks(centres(rows, height), [plain(text) for text in down])
    return figure


def gaussian_percentile_grid(
    n: int,
    std: float | tuple[float, float] = 1.0,
    mean: tuple[float, float] = (0.0, 0.0),
    axes: ArrayLike = ((1.0, 0.0), (0.0, 1.0)),
) -> Array:
    """Create codes that sample the percentiles of a 2-D Gaussian uniformly along each of its axes (Figures 2e and 4b).

    Parameters
    ----------
    n : int
        Codes along each axis, at the percentiles (i + 1/2) / n.
    std : float or pair of float
        Standard deviation, of both axes or of each.
    mean : pair of float
        Centre.
    axes : array (2, 2)
        One unit vector per row: the directions of the axes, by default those of the plane.

    Returns
    -------
    array (n * n, 2)
        In the order of `image_grid`, row by row from the top: the first axis grows to the right and the second
        upwards, as in `code_scatter`.

    Raises
    ------
    InputError
        If `n` or a standard deviation is not positive.
    """
    if n < 1 or min(np.atleast_1d(std)) <= 0:
        raise InputError(f"grid: found n = {n} and std = {std}, expected positive numbers")
    steps = norm.ppf((np.arange(n) + 0.5) / n)
    right, up = np.meshgrid(steps, steps[::-1])
    along = np.stack([right.ravel(), up.ravel()], axis=1) * np.asarray(std, dtype=np.float64)
    codes: Array = np.asarray(mean, dtype=np.float64) + along @ as_matrix(axes, "axes")
    return codes


def _plane(points: ArrayLike, name: str) -> Array:
    array = as_matrix(points, name)
    if array.shape[1] != 2:
        raise InputError(f"{name}: found {array.shape[1]} dimensions, expected 2")
    return array


def label_style(label: int) -> tuple[str, str]:
    """Choose colour and marker of a label: beyond the palette the shade and the marker change too."""
    if label == UNLABELLED:
        return "#b0b0b0", "o"
    turn = label // len(PALETTE) % len(MARKERS)
    red, green, blue = to_rgb(PALETTE[label % len(PALETTE)])
    shade = SHADES[turn]
    return to_hex((shade * red, shade * green, shade * blue)), MARKERS[turn]


def _key(colour: str, marker: str, name: str) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="",
        marker=marker,
        markersize=5,
        color=colour,
        markeredgewidth=marker == "x",
        label=name,
    )
