"""What plots and explorers show of a run: its held-out rows, and what was trained on what."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np

from aae import recipes
from aae.data import Dataset, Split
from aae.errors import InputError
from aae.recipes.methods import METHODS
from aae.runs.run import Run
from aae.views.view import View

NAMED = 2  # settings that differ from the recipe's, in a title
LETTERS = 40  # of the value of one, at most
PRIOR = 2000  # samples of p(z) under the codes
SplitChoice = Literal["auto", "train", "validation", "test", "all"]


def title(run: Run) -> str:
    """Return what was trained on what, in one line."""
    recipe, metadata, changed = run.recipe, run.metadata, recipes.differences(run.recipe)
    # A title speaks of the recipe's data.
    name = f"{recipe.name}, {kind(run)}" if "data.source" in changed else recipe.title
    others = [
        f"{key.removeprefix('model.')} = {_short(here)}"
        for key, (here, there) in changed.items()
        if key.startswith("model.") and there != "auto"  # of which this is what it came to
    ]
    if others:
        name += (
            f", with {' and '.join(others) if len(others) <= NAMED else f'{len(others)} other settings of the model'}"
        )
    labels = recipe.data.labels
    known = "" if labels is None else f", {labels} labels"
    rows, epochs = metadata.get("training_rows"), metadata.get("epochs")
    parts = [f"trained on {Path(recipe.data.source).name}"]
    parts += [f"{rows:,} rows{known}"] if rows else []
    parts += [f"{epochs} epoch{'s' * (epochs != 1)}"] if epochs else []
    return f"{name}: {', '.join(parts)}"


def kind(run: Run) -> str:
    """Return what kind of model a run trained, in the paper's words."""
    model = run.model
    if run.recipe.model.method != "aae" or not model.encodes:
        return model.description if model.description != "autoencoder" else run.recipe.model.method.upper()
    autoencoder = run.autoencoder
    if autoencoder.cluster_heads is not None:
        what = "dimensionality reduction with an"
    elif model.classifies:
        what = "clustering" if run.recipe.data.labels is None else "semi-supervised"
    elif autoencoder.decoder_classes is not None:
        what = "supervised"
    else:
        what = "label-informed" if any(one.label_informed for one in autoencoder.latents.values()) else ""
    return f"{what} adversarial autoencoder".strip()


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"


def held_out(run: Run, dataset: Dataset, split: str = "auto") -> Split:
    """Return the rows to look at: by default test rows, or validation rows where there are none.

    Raises
    ------
    InputError
        If the data has no such rows.
    """
    if split == "all":
        parts = [part for part in (dataset.train, dataset.validation, dataset.test) if part is not None]
        labels, ids = [part.labels for part in parts], [part.ids for part in parts]
        return Split(
            np.concatenate([part.rows for part in parts]),
            None if any(values is None for values in labels) else np.concatenate(labels),  # type: ignore[arg-type]
            None if any(values is None for values in ids) else np.concatenate(ids),  # type: ignore[arg-type]
            parts[0].id_column,
        )
    if split not in get_args(SplitChoice):
        raise InputError(f"split is {split!r}; expected one of: {', '.join(get_args(SplitChoice))}")
    found = dataset.test or dataset.validation if split == "auto" else getattr(dataset, split)
    if found is None or not len(found):
        kind = "held-out" if split == "auto" else split
        raise InputError(f"{dataset.name}: has no {kind} rows; expected some, or split 'train'")
    rows: Split = found
    return rows


def view(
    run: Run,
    split: str = "auto",
    data: Dataset | str | Path | None = None,
    rows: Split | None = None,
    needs_codes: bool = True,
) -> View:
    """Create the view of a run: its held-out rows, or given ones, with their codes.

    Parameters
    ----------
    run : Run
        A finished run.
    split : {"auto", "train", "validation", "test", "all"}
        Which rows of the run's data.
    data : Dataset, str or Path, optional
        The run's data, if already loaded, or where it is by now.
    rows : Split, optional
        Other rows, in place of those of the run's data.
    needs_codes : bool
        Whether what is to be shown needs a continuous code.

    Raises
    ------
    InputError
        If the run has no continuous code where one is needed, or the data has no such rows.
    """
    if needs_codes and "style" not in run.autoencoder.latents:
        raise InputError(f"{run.folder.path}: the code is a label alone; expected a run with a style to look at")
    model = run.model
    has_style = model.encodes and "style" in run.autoencoder.latents
    split_rows = rows if rows is not None else held_out(run, run.load_data(data), split)
    clusters = run.recipe.data.labels is None
    cluster_heads = run.autoencoder.cluster_heads if has_style else None
    matched = has_style and cluster_heads is None and not METHODS[run.recipe.model.method].maps
    heads = None if cluster_heads is None else cluster_heads.weight.detach().cpu().numpy()
    images = len(run.shape) >= 2
    return View(
        title=title(run),
        model=model,
        scaling=run.scaling,
        rows=split_rows.rows,
        points=run.embed(split_rows.rows) if has_style else np.zeros((len(split_rows), 0), np.float32),
        labels=split_rows.labels,
        class_names=run.class_names,
        predicted=run.label_logits(split_rows.rows).argmax(1) if model.classifies else None,
        category_names=run.label_names if model.classifies else (),
        clusters=clusters,
        prior=run.sample_prior(PRIOR) if matched else None,  # that the codes are to have
        heads=heads,
        image_shape=run.shape if images else (),
        image_range=run.image_range,
        columns=tuple(run.metadata.get("columns", ())),
        table=run.table,
        ids=split_rows.ids,
    )


def view_without_rows(run: Run) -> View:
    """Create the view of a run and no rows, which is enough for samples."""
    return view(run, rows=Split(np.empty((0, *run.shape), run.metadata["rows"])), needs_codes=False)
