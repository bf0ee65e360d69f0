"""Plots of a finished run: the paper's figures that fit it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from aae.data import Dataset, Split
from aae.data.memory import SOURCE
from aae.device import usual_state
from aae.errors import InputError, note, unknown
from aae.evaluation.metrics import describe
from aae.evaluation.neighbours import nearest_rows
from aae.figures.canvas import GAP, MOST_PIXELS, all_shortened, save
from aae.figures.curves import PAIRS, learning_curve, training_curves
from aae.figures.figure2 import code_scatter, gaussian_percentile_grid, image_grid
from aae.figures.figure4 import axis_walk, manifold_panels
from aae.figures.figure5 import samples_and_neighbours
from aae.figures.figure7 import style_and_content
from aae.files import expand
from aae.model import AdversarialAutoencoder
from aae.priors import Gaussian, GaussianMixture, SwissRoll
from aae.recipes.methods import METHODS
from aae.runs.run import Run
from aae.runs.view import title, view, view_without_rows
from aae.views.plots import (
    clusters_figure,
    confusion_figure,
    interpolation_figure,
    map_figure,
    precision_recall_figure,
    reconstructions_figure,
    roc_figure,
    samples_figure,
)
from aae.views.view import View

GRID = 20  # images along each side of a code grid
PANEL = 12  # the same for one component of a mixture
SAMPLES = 10  # rows of the samples, and images in each
COLUMN_SAMPLES = 2000  # of the model of a table
CODE_AXES = ("z₁", "z₂")
STYLES = 10  # rows of the style/content figure
SHORT = 14  # letters of the name of a component, at most


@usual_state()
def plot(
    runs: Run | Sequence[Run],
    folder: str | Path | None = None,
    data: Dataset | str | Path | None = None,
    names: Sequence[str] = (),
    dark: bool = False,
) -> list[Path]:
    """Plot a run, or several seeds of one: every figure that fits, or chosen plots.

    Parameters
    ----------
    runs : Run or sequence of Run
        Finished runs that differ in their seed, at least one. Curves show all of them, other figures the first, and say so.
    folder : str or Path, optional
        Where the PNG files go, by default ``figures/`` of a single run, or in the folder that holds the seeds.
    data : Dataset, str or Path, optional
        The run's data, if already loaded, or where it is by now.
    names : sequence of str
        Which of `PLOTS`, each as the method ``plot_NAME`` of a run does it; by default all figures that fit.
    dark : bool
        Whether each is also written for dark pages, as ``NAME-dark.png``.

    Returns
    -------
    list of Path
        The files, at least one: ``curves`` (losses and metrics by epoch); ``learning-curve`` with the paper's numbers on it
        (A.2) where the recipe has some; for a 2-D code ``codes`` (figures 2a to 2d, 4a,
        4c), and ``grid`` (2e), ``manifold`` (4b) or ``walk`` (4d) by its prior; ``embedding`` (11) with cluster heads;
        ``clusters`` (9) where labels were found without labels; ``style-and-content`` (7) where the decoder sees a label;
        ``samples`` (5). Images are shown only where rows are images.

    Raises
    ------
    InputError
        If no figure fits the run, there is no such plot or it does not fit, or there is no writing to the folder.
    """
    seeds = [runs] if isinstance(runs, Run) else list(runs)
    for name in names:
        if name not in PLOTS and name != "history":
            raise unknown("plot", name, ["history", *PLOTS])
    out = expand(folder) if folder is not None else _folder(seeds)
    if out.suffix.lower() == ".png" and not out.is_dir():
        raise InputError(f"{out}: found a file, expected a folder: each figure is a file in it")
    _make(out)
    return _save(chosen(seeds, names, data) if names else figures(seeds, data), out, dark)


@usual_state()
def figures(runs: Sequence[Run], data: Dataset | str | Path | None = None) -> dict[str, Figure]:
    """Create every figure that fits the first of several seeds, by name as for `plot`; the curves are those of all seeds."""
    run = runs[0]
    histories = _histories(runs)
    made: dict[str, Figure] = {"curves": _curves(runs, histories)} if any(histories) else {}
    made |= _learning_curves(runs, histories)
    if not run.model.samples and not run.model.classifies:
        return made
    if data is None and run.given is None and run.recipe.data.source == SOURCE:  # which only a program can give again
        note(f"{run.folder.path}: its rows were given from Python; figures that show rows are left out")
        if run.model.samples and not (run.table is not None and run.table.covariates):
            made["samples"] = PLOTS["samples"](run, _of_seed(runs, view_without_rows(run)))
        return made
    dataset = run.load_data(data)
    held_out = dataset.test or dataset.validation
    if held_out is None or not len(held_out):
        note(f"{dataset.name}: has no held-out rows; figures show training rows")
        held_out = dataset.train
    seen = _of_seed(runs, view(run, rows=held_out, needs_codes=False))
    follows_prior = not METHODS[run.recipe.model.method].maps  # of a map alone it is not known where codes lie
    if run.model.samples and seen.image_shape and follows_prior:
        made["samples"] = _samples(run, dataset.train, seen.title)
    if seen.has_style:
        model = run.autoencoder
        if model.cluster_heads is not None:
            made["embedding"] = _embedding(model, seen)
        elif model.latent("style").prior.dim == 2:
            made["codes"] = _codes(run, seen)
        if model.cluster_heads is None and (model.classifies or model.latent("style").prior.dim != 2):
            made["map"] = map_figure(seen)
        if not seen.image_shape:
            made |= _columns(run, seen)
    if seen.labelled and seen.predicted is not None:
        made["confusion"] = confusion_figure(seen)
    if run.model.encodes and seen.image_shape and follows_prior:
        made |= _images(run, run.autoencoder, seen)
    return made


@usual_state()
def chosen(runs: Sequence[Run], names: Sequence[str], data: Dataset | str | Path | None = None) -> dict[str, Figure]:
    """Create chosen plots of the first of several seeds; the history is that of all seeds."""
    seen = _of_seed(runs, view(runs[0], data=data, needs_codes=False)) if set(names) - {"history"} else None
    return {
        name: _curves(runs, _histories(runs)) if seen is None or name == "history" else PLOTS[name](runs[0], seen)
        for name in names
    }


def _of_seed(runs: Sequence[Run], seen: View) -> View:
    """Say in the title which of several seeds is shown."""
    if len(runs) == 1:
        return seen
    return replace(seen, title=f"{seen.title}, seed {runs[0].recipe.training.seed} of {len(runs)} seeds")


PLOTS: dict[str, Callable[[Run, View], Figure]] = {
    "map": lambda _, seen: map_figure(seen),
    "confusion": lambda _, seen: confusion_figure(seen),
    "roc": lambda _, seen: roc_figure(seen),
    "precision-recall": lambda _, seen: precision_recall_figure(seen),
    "clusters": lambda _, seen: clusters_figure(seen),
    "samples": lambda _, seen: samples_figure(seen, seen.sample(100 if seen.image_shape else COLUMN_SAMPLES)),
    "reconstructions": lambda _, seen: reconstructions_figure(seen),
    "interpolation": lambda _, seen: interpolation_figure(seen),
}


def _folder(runs: Sequence[Run]) -> Path:
    return runs[0].folder.figures if len(runs) == 1 else runs[0].folder.path.parent / "figures"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot make the folder ({error.strerror})") from None


def _save(figures: dict[str, Figure], folder: Path, dark: bool) -> list[Path]:
    if not figures:
        raise InputError(
            f"{folder}: no figure fits this run, whose rows are no images and which has no metrics and no 2-D code"
        )
    paths = []
    for name, figure in figures.items():
        paths.append(save(figure, folder / f"{name}.png"))
        if dark:
            paths.append(save(figure, folder / f"{name}-dark.png", dark=True))
    return paths


def _histories(runs: Sequence[Run]) -> list[list[dict[str, Any]]]:
    """Read the metrics of each seed, and say where some are missing."""
    histories = []
    for run in runs:
        histories.append(run.folder.read_metrics())
        epochs = run.folder.finished_epochs()
        if len(histories[-1]) < epochs:
            note(
                f"{run.folder.metrics}: found {len(histories[-1])} of {epochs} epochs; curves are made of what is there"
            )
    return histories


def _curves(runs: Sequence[Run], histories: Sequence[list[dict[str, Any]]]) -> Figure:
    """Plot losses and metrics of a run by epoch, of several seeds as a band."""
    keys = dict.fromkeys(key for history in histories for record in history for key in record)
    shown = [key for key in keys if key not in ("epoch", "seconds")]
    first = runs[0]
    pairs = PAIRS if first.recipe.training.reduction == "sum" else {}  # otherwise they are in other units
    headings = {key: describe(key).heading for key in shown}
    return training_curves(histories, shown, _of_all(runs), pairs=pairs, headings=headings)


def _of_all(runs: Sequence[Run]) -> str:
    """Return the title of what shows all seeds."""
    return title(runs[0]) + (f", {len(runs)} seeds" if len(runs) > 1 else "")


def _learning_curves(runs: Sequence[Run], histories: Sequence[list[dict[str, Any]]]) -> dict[str, Figure]:
    """Plot the error on validation rows by epoch, with what the paper says of test rows (A.2)."""
    first, heading = runs[0], _of_all(runs)
    measured = {"test_error_percent": "validation_error_percent"}
    found: dict[str, Figure] = {}
    for name, points in first.recipe.paper_curves.items():
        key = measured.get(name, name)
        if any(key in record for history in histories for record in history):
            found["learning-curve"] = learning_curve(
                histories, key, points, describe(key).heading, heading, f"paper, {describe(name).heading}"
            )
    return found


def _codes(run: Run, seen: View) -> Figure:
    codes = run.encode(seen.rows, seed=0)["style"]
    return code_scatter(codes, seen.labels, seen.prior, seen.title, seen.class_names or None)


def _embedding(model: AdversarialAutoencoder, seen: View) -> Figure:
    """Plot the embedding; more than two dimensions are mapped to the plane so that the heads come to lie on a circle."""
    heads, points = seen.heads, seen.points
    assert heads is not None
    names = ("dimension 1", "dimension 2")
    if heads.shape[1] != 2:
        angles = 2 * np.pi * np.arange(len(heads)) / len(heads)
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        plane = np.linalg.lstsq(heads, np.linalg.norm(heads, axis=1).mean() * circle, rcond=None)[0]
        names = tuple(f"{name} of a plane through {heads.shape[1]}" for name in names)  # type: ignore[assignment]
        heads, points = heads @ plane, points @ plane
    return code_scatter(points, seen.labels, None, seen.title, seen.class_names or None, heads, names)


def _samples(run: Run, train: Split, name: str) -> Figure:
    """Plot samples, and beside the last of each row the training image nearest to it (figure 5)."""
    count = _fitting(SAMPLES, run, 1)
    samples = run.sample(count * count, random_state=0)
    nearest, _ = nearest_rows(samples[count - 1 :: count], train.rows)
    return samples_and_neighbours(run.images(samples), run.images(train.rows[nearest]), count, count, name)


def _fitting(side: int, run: Run, further: int = 0) -> int:
    """Return how many images fit along each side of a sheet, with `further` ones in each row: `side`, or fewer large ones."""
    height, width = run.shape[:2]
    while side > 1 and side * (side + further) * (height + GAP) * (width + GAP) > MOST_PIXELS:
        side -= 1
    return side


def _images(run: Run, model: AdversarialAutoencoder, seen: View) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    if list(model.latents) == ["style"] and model.decoder_classes is None:
        prior = model.latent("style").prior
        if isinstance(prior, Gaussian) and prior.dim == 2:
            side = _fitting(GRID, run)
            codes = gaussian_percentile_grid(side, prior.std)
            across = [f"{value:.1f}".replace("-", "−") if k % 2 else "" for k, value in enumerate(codes[:side, 0])]
            down = [f"{value:.1f}".replace("-", "−") if k % 2 == 0 else "" for k, value in enumerate(codes[::side, 1])]
            figures["grid"] = image_grid(_decode(run, codes), side, side, seen.title, across, down, CODE_AXES)
        elif isinstance(prior, GaussianMixture):
            figures["manifold"] = _manifold(run, prior, seen)
        elif isinstance(prior, SwissRoll):
            steps = prior.spiral((torch.arange(100) + 0.5) / 100).numpy()
            figures["walk"] = axis_walk(_decode(run, steps), title=seen.title)
    if seen.clusters and seen.predicted is not None:
        figures["clusters"] = clusters_figure(seen)
    if seen.has_style and (model.classifies or model.decoder_classes is not None):
        figures["style-and-content"] = _style_and_content(run, model, seen)
    return figures


def _columns(run: Run, seen: View) -> dict[str, Figure]:
    """Plot the columns of a table: how samples are spread, rows beside reconstructions, and what is in the clusters."""
    figures = {"samples": samples_figure(seen, seen.sample(COLUMN_SAMPLES))}
    if run.autoencoder.decoder_classes is None:
        figures["reconstructions"] = reconstructions_figure(seen)
    if seen.clusters and seen.predicted is not None:
        figures["clusters"] = clusters_figure(seen)
    return figures


def _manifold(run: Run, prior: GaussianMixture, seen: View) -> Figure:
    """Plot the first three components over their own percentiles (figure 4b)."""
    assert prior.num_labels is not None
    side = _fitting(PANEL, run)
    local = torch.from_numpy(np.asarray(gaussian_percentile_grid(side), np.float32))
    components = range(min(3, prior.num_labels))
    panels = [_decode(run, prior.place(torch.full((len(local),), k), local).numpy()) for k in components]
    percentiles = [f"{100 * (k + 0.5) / side:.0f} %" if k % 3 == 1 else "" for k in range(side)]
    names = [f"component {k + 1}" for k in components]
    if run.autoencoder.latent("style").label_informed:
        names = [f"component of {name}" for name in all_shortened([seen.class_names[k] for k in components], SHORT)]
    axes = ("percentile along its first axis", "percentile along its second axis")
    return manifold_panels(panels, names, seen.title, percentiles, percentiles[::-1], axes)


def _style_and_content(run: Run, model: AdversarialAutoencoder, seen: View) -> Figure:
    """Plot every label (columns) in the styles of ten held-out images (rows)."""
    labels = model.decoder_classes or model.label_head.num_labels
    sources = seen.rows[seen.spread(_fitting(STYLES, run, max(0, 1 + labels - STYLES)))]
    styles = np.repeat(run.encode(sources)["style"], labels, axis=0)
    wanted = np.tile(np.arange(labels), len(sources))
    codes = {"style": styles}
    if model.classifies:
        device = next(model.parameters()).device
        codes["label"] = model.label_head.label_codes(torch.from_numpy(wanted).to(device)).cpu().numpy()
    images = run.images(run.decode(codes, run.named(wanted) if model.decoder_classes else None))
    names = seen.class_names if model.decoder_classes else seen.category_names
    return style_and_content(
        images.reshape(len(sources), labels, *images.shape[1:]),
        run.images(sources),
        names,
        seen.title,
        "cluster" if seen.clusters else "label",
    )


def _decode(run: Run, codes: np.ndarray) -> np.ndarray:
    return run.images(run.decode({"style": np.asarray(codes, np.float32)}))
