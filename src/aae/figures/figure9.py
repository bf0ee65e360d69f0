"""Figure 9: what is in the clusters; one row per cluster, its head first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from aae.arrays import ArrayLike, as_labels, same_length
from aae.errors import InputError
from aae.figures.canvas import GAP, as_images, cell_scale, centres, mosaic, plain, sheet


def cluster_rows(
    heads: ArrayLike,
    rows: ArrayLike,
    clusters: ArrayLike,
    per_row: int = 16,
    names: Sequence[str] | None = None,
    title: str | None = None,
    seed: int = 0,
    kind: str = "cluster",
) -> Figure:
    """Plot each cluster: the head, set apart, then random test images assigned to it (Figure 9).

    Parameters
    ----------
    heads : array or tensor (k, h, w) or (k, h, w, 3)
        Decoded with the style at zero and each one-hot label in turn; values in [0, 1].
    rows : array or tensor (n, h, w) or (n, h, w, 3)
        Test images.
    clusters : array or tensor (n,)
        The cluster of each, in [0, k).
    per_row : int
        Test images per cluster; places stay empty where a cluster has fewer.
    names : sequence of str, optional
        One per cluster, on the left; their numbers by default.
    title : str, optional
        Above all.
    seed : int
        Of the choice of test images.
    kind : str
        What the rows of the figure are, on the left.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        If rows are not images, or shapes, clusters or names do not fit.
    """
    first, images, assigned = as_images(heads, "heads"), as_images(rows, "rows"), as_labels(clusters, "clusters")
    same_length(rows=images, clusters=assigned)
    count = len(first)
    if first.shape[1:] != images.shape[1:]:
        raise InputError(f"heads: found images of shape {first.shape[1:]}, expected {images.shape[1:]} as in rows")
    if len(assigned) and not 0 <= assigned.min() <= assigned.max() < count:
        raise InputError(f"clusters: found {assigned.min()} to {assigned.max()}, expected 0 to {count - 1}")
    labels = list(names) if names is not None else [str(cluster) for cluster in range(count)]
    if len(labels) != count:
        raise InputError(f"names: found {len(labels)}, expected {count}, one per cluster")

    generator = np.random.default_rng(seed)
    cells, places = [first], [np.arange(count) * (1 + per_row)]
    for cluster in range(count):
        members = generator.permutation(np.flatnonzero(assigned == cluster))[:per_row]
        cells.append(images[members])
        places.append(cluster * (1 + per_row) + 1 + np.arange(len(members)))
    lead = 5 * GAP
    grid = mosaic(np.concatenate(cells), count, 1 + per_row, lead, np.concatenate(places))
    left = 0.1 + 0.055 * max(len(label) for label in labels)
    figure, (panel,) = sheet([grid], title=title, left=left, top=0.2, down=kind)
    height, width = (side * cell_scale(first) for side in first.shape[1:3])
    panel.set_yticks(centres(count, height), [plain(label) for label in labels])
    columns = centres(1 + per_row, width, lead)
    panel.set_xticks([columns[0], columns[1:].mean()], ["head", "rows"])
    return figure
