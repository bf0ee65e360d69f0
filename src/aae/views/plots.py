"""Plots of a view: a trained model and rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from aae.arrays import Array
from aae.errors import InputError
from aae.figures.columns import cluster_sizes, column_histograms, column_scatter, column_walk
from aae.figures.confusion import confusion
from aae.figures.figure2 import code_line, code_scatter, image_grid
from aae.figures.figure9 import cluster_rows
from aae.figures.roc import precision_recall, roc
from aae.views.view import View

SHOWN = 10  # rows of a sheet of images, and images in each
STEPS = 11  # of an interpolation


def map_figure(view: View) -> Figure:
    """Plot where the rows of a view lie.

    A code of one dimension is a line; more than two are seen along their principal axes. Where a label is a part of the code,
    each label has a place on a circle, and a row lies at y W_C + z, as in section 7.
    """
    model = view.require_style()
    _require_rows(view)
    points, heads, prior = view.points.astype(np.float64), view.heads, view.prior
    head_name = "cluster head"
    names = ("$z_1$", "$z_2$") if heads is None else ("dimension 1", "dimension 2")
    if model.classifies and model.cluster_heads is None and view.predicted is not None:
        probabilities = view.codes()["label"].cpu().numpy()
        points, heads = _on_circle(points, probabilities, view)
        prior, names = None, ("place of the label + style, across", "place of the label + style, up")
        head_name = f"place of a {'cluster' if view.clusters else 'label'}"
        if view.clusters:
            names = (names[0].replace("label", "cluster"), names[1].replace("label", "cluster"))
    elif points.shape[1] > 2:
        mean = points.mean(axis=0)
        plane, part = _principal_axes(points)
        points = (points - mean) @ plane
        heads, prior = (None if some is None else (some - mean) @ plane for some in (heads, prior))
        names = tuple(f"principal axis {k + 1} ({part[k]:.0%} of the variance)" for k in range(2))  # type: ignore[assignment]
    labels, classes = _groups(view)
    if points.shape[1] == 1:
        return code_line(points, labels, prior, view.title, classes)
    return code_scatter(points, labels, prior, view.title, classes, heads, names, head_name)


def _require_rows(view: View) -> None:
    """Check that there are rows to show."""
    if not len(view.rows):
        raise InputError(f"{view.title}: found no rows; expected at least one to show")


def _principal_axes(points: Array) -> tuple[Array, Array]:
    """Return the two principal axes of points (n, dim), as columns (dim, 2), and which part of the variance each has."""
    spread, axes = np.linalg.eigh(np.atleast_2d(np.cov(points.T, bias=True)))
    return axes[:, ::-1][:, :2], spread[::-1][:2] / max(spread.sum(), 1e-12)


def _groups(view: View) -> tuple[Array | None, Sequence[str] | None]:
    """Choose what the rows are coloured by: labels, or else what was predicted."""
    if view.labelled:
        return view.labels, view.class_names or None
    return view.predicted, view.category_names or None


def _on_circle(points: Array, probabilities: Array, view: View) -> tuple[Array, Array]:
    """Place rows at y W_C + z in the plane, with the heads of the labels on a circle and z along its principal axes."""
    codes = view.label_codes()
    assert codes is not None
    labels = len(codes)
    members = codes.cpu().numpy()
    if labels < probabilities.shape[1]:  # several clusters have one label
        members = view.autoencoder.label_head.label_probabilities(torch.eye(probabilities.shape[1])).T.numpy()
    centred = points - points.mean(axis=0)
    if centred.shape[1] > 2:
        centred = centred @ _principal_axes(points)[0]
    elif centred.shape[1] == 1:
        centred = np.concatenate([centred, np.zeros_like(centred)], axis=1)
    radius = max(3.0, 2.2 / math.sin(math.pi / max(labels, 2))) * float(centred.std() or 1)
    angles = 2 * np.pi * np.arange(labels) / labels
    heads = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return probabilities @ members.T @ heads + centred, heads


def confusion_figure(view: View) -> Figure:
    """Plot true classes beside what was predicted; InputError where the model infers no label or no row has one."""
    if view.predicted is None:
        raise InputError(f"{view.title}: the model infers no label; expected one with a label latent")
    if not view.labelled:
        raise InputError(f"{view.title}: no row has a label; expected some to compare with")
    assert view.labels is not None
    return confusion(
        view.labels, view.predicted, view.class_names, view.category_names, view.title, clusters=view.clusters
    )


def clusters_figure(view: View) -> Figure:
    """Plot what is in each cluster: images beside its head (figure 9), or the number of rows by class of a table."""
    if view.predicted is None:
        raise InputError(f"{view.title}: the model infers no label; expected one that finds clusters or classes")
    kind = "cluster" if view.clusters else "predicted class"
    if not view.image_shape:
        labels = view.labels if view.labelled else None
        return cluster_sizes(view.predicted, labels, view.category_names, view.class_names, view.title, kind)
    model, codes = view.autoencoder, view.label_codes()
    assert codes is not None
    both = {"label": codes}
    if view.has_style:
        both["style"] = codes.new_zeros(len(codes), model.latent("style").prior.dim)
    heads = view.images(view.decode({name: both[name] for name in model.latents}))
    names = view.category_names
    return cluster_rows(heads, view.images(view.rows), view.predicted, names=names, title=view.title, kind=kind)


def samples_figure(view: View, samples: Array) -> Figure:
    """Plot samples of the model: images, or how the columns of a table are spread in them, and in rows where there are some."""
    title = f"samples of {view.title}"
    if view.image_shape:
        cols = math.ceil(math.sqrt(len(samples)))
        return image_grid(view.images(samples), math.ceil(len(samples) / cols), cols, title)
    drawn = _made(view, samples)
    rows = _made(view, view.known_rows) if len(view.rows) else None
    return column_histograms(rows, drawn, *_columns(view, drawn.shape[1], title))


def reconstructions_figure(view: View, count: int = SHOWN) -> Figure:
    """Plot rows and their reconstructions: images, spread over the classes, or the columns of a table."""
    _require_rows(view)
    if count < 1:
        raise InputError(f"n is {count}; expected 1 or more")
    title = f"reconstructions, {view.title}"
    if not view.image_shape:
        rows, made = _made(view, view.known_rows), _made(view, view.reconstruct())
        return column_scatter(rows, made, *_columns(view, made.shape[1], title))
    some = view.take(view.spread(count))
    both = np.concatenate([view.images(some.rows), view.images(some.reconstruct())])
    names = _names(some)
    return image_grid(both, 2, len(some.rows), title, names, ("row", "reconstruction"))


def _made(view: View, rows: Array) -> Array:
    """Return rows of a table flat, (n, columns), without covariates, which a model is given and does not make."""
    flat = rows.reshape(len(rows), -1)
    return flat[:, : flat.shape[1] - (view.table.covariates if view.table is not None else 0)]


def _columns(view: View, count: int, title: str) -> tuple[Sequence[str], str, Sequence[Sequence[str]]]:
    """Return the names of the first columns of a view, the title of a plot of them, and their categories."""
    return view.columns[:count], title, view.categories[:count]


def interpolation_figure(view: View, pairs: Sequence[tuple[int, int]] | None = None, steps: int = STEPS) -> Figure:
    """Plot what the decoder makes on straight ways between the codes of rows; by default of rows of different classes.

    Parameters
    ----------
    view : View
        With at least two rows.
    pairs : sequence of (int, int), optional
        Numbers of the rows that the ways go between; a table shows the first.
    steps : int
        Decoded codes on each way, both ends included, 2 or more.

    Raises
    ------
    InputError
        If there is no such row or there are too few steps.
    """
    if pairs is not None and any(len(pair) != 2 for pair in pairs):
        raise InputError(f"pairs of rows are {list(pairs)}; expected two numbers in each")
    if steps < 2:
        raise InputError(f"steps is {steps}; expected 2 or more")
    if len(view.rows) < 2:
        raise InputError(
            f"found {len(view.rows)} row{'s' * (len(view.rows) != 1)}; expected at least two to go between"
        )
    if pairs is None:
        chosen = view.spread(max(2, min(SHOWN, len(view.rows))))
        half = len(chosen) // 2
        pairs = [(int(chosen[k]), int(chosen[k + half])) for k in range(half)]
    flat = np.array([row for pair in pairs for row in pair])
    if not len(flat) or flat.min() < 0 or flat.max() >= len(view.rows):
        raise InputError(f"pairs of rows are {list(pairs)}; expected numbers from 0 to {len(view.rows) - 1}")
    ends = view.take(flat)
    codes, weight = ends.codes(), torch.linspace(0, 1, steps, device=next(view.model.parameters()).device)[:, None]
    way = {
        name: torch.cat([(1 - weight) * code[k] + weight * code[k + 1] for k in range(0, len(flat), 2)])
        for name, code in codes.items()
    }
    labels, outer = ends.decoder_labels(), ends.covariates()  # those of row A all the way
    made = view.decode(
        way,
        None if labels is None else np.repeat(labels[::2], steps),
        None if outer is None else outer[::2].repeat_interleave(steps, 0),
    )
    groups, names = _groups(ends)
    called = [] if groups is None else [_name(group, names) for group in groups]
    ways = [f"{a} to {b}" for a, b in zip(called[::2], called[1::2], strict=True)]
    title = f"from row A to row B, {view.title}"
    if labels is not None:
        title = f"from row A to row B, with the label of row A, {view.title}"
    if not view.image_shape:
        if called:
            title = title.replace("row A to row B", f"row A ({called[0]}) to row B ({called[1]})", 1)
        return column_walk(made[:steps].reshape(steps, -1), view.columns, title, view.categories)
    across = ["A", *[""] * (steps - 2), "B"]
    return image_grid(
        view.images(made), len(pairs), steps, title, across, ways if max(map(len, ways), default=99) < 30 else ()
    )


def roc_figure(view: View, scores: Array | None = None) -> Figure:
    """Plot how well q(y|x) tells each class from the others, or how well `scores` (n,) find the rows whose label is not 0.

    Raises
    ------
    InputError
        If rows have no labels, or the model neither finds classes nor scores rows.
    """
    return roc(_rankings(view, scores), view.title)


def precision_recall_figure(view: View, scores: Array | None = None) -> Figure:
    """Plot precision beside recall of q(y|x) for each class, or of `scores` (n,); errors as of `roc_figure`."""
    return precision_recall(_rankings(view, scores), view.title)


def _rankings(view: View, scores: Array | None) -> dict[str, tuple[Array, Array]]:
    if not view.labelled:
        raise InputError(f"{view.title}: no row has a label; expected some to compare with")
    assert view.labels is not None
    known = view.labels >= 0
    if scores is not None:
        if scores.shape != known.shape:
            raise InputError(f"scores have shape {scores.shape}; expected {known.shape}, one for each row")
        if len(np.unique(view.labels[known] > 0)) < 2:
            raise InputError(
                f"{view.title}: all labelled rows are of one class; expected two or more to tell apart, and -1 for no label alone"
            )
        which = f" (all but {view.class_names[0]})" if view.class_names else ""
        return {f"anomalies{which}": (view.labels[known] > 0, scores[known])}
    if view.predicted is None or view.clusters:
        raise InputError(f"{view.title}: the model finds no classes; expected scores, larger for anomalies")
    probabilities, true = view.probabilities()[known], view.labels[known]
    seen = [k for k in range(len(view.class_names)) if 0 < (true == k).sum() < len(true)]
    if not seen:
        raise InputError(f"{view.title}: all labelled rows are of one class; expected two or more to tell apart")
    return {view.class_names[k]: (true == k, probabilities[:, k]) for k in seen}


def _names(view: View) -> list[str]:
    groups, names = _groups(view)
    if groups is None or names is None or max(map(len, names)) > 6:
        return []
    return [_name(group, names) for group in groups]


def _name(group: int, names: Sequence[str] | None) -> str:
    return "no label" if group < 0 else names[group] if names else str(group)
