"""`aae.train`: a recipe, data from anywhere, and settings as keywords."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from aae import recipes
from aae.data import Dataset
from aae.data.memory import SOURCE
from aae.device import usual_state
from aae.errors import InputError
from aae.recipes import Recipe
from aae.recipes.build_data import OF_DATASETS, Source, load_data
from aae.runs.recipe import read_recipe
from aae.runs.run import Run
from aae.runs.seeds import train_seeds
from aae.training.callbacks import AnyCallback, check_callbacks
from aae.training.settings import MAX_SEEDS


@overload
def train(
    recipe: str | Path | Recipe,
    data: Source | None = ...,
    *,
    run: str | Path | None = ...,
    device: str = ...,
    resume: bool = ...,
    epochs: int | None = ...,
    seeds: None = ...,
    batched: bool | None = ...,
    callbacks: Sequence[AnyCallback] | None = ...,
    **settings: Any,
) -> Run: ...
@overload
def train(
    recipe: str | Path | Recipe,
    data: Source | None = ...,
    *,
    run: str | Path | None = ...,
    device: str = ...,
    resume: bool = ...,
    epochs: int | None = ...,
    seeds: int,
    batched: bool | None = ...,
    callbacks: Sequence[AnyCallback] | None = ...,
    **settings: Any,
) -> list[Run]: ...
@usual_state()
def train(
    recipe: str | Path | Recipe,
    data: Source | None = None,
    *,
    run: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    epochs: int | None = None,
    seeds: int | None = None,
    batched: bool | None = None,
    callbacks: Sequence[AnyCallback] | None = None,
    **settings: Any,
) -> Run | list[Run]:
    """Train a recipe into a run directory. Custom modules that the recipe names are imported.

    Parameters
    ----------
    recipe : str, Path or Recipe
        Name of a recipe, a ``.toml`` file, or a recipe already read.
    data : str, Path, array-like, (array-like, array-like) or Dataset, optional
        In place of the recipe's: a named data set or path (see `read_recipe`); rows (n, columns) or images (n, height, width) in
        an array, a tensor, a sparse matrix or a data frame; such rows with their labels (n,), ``(X, y)``; or a Dataset. Rows from
        Python are split, scaled and labelled as those of files (`aae.data.from_arrays`), and are not kept in the run folder.
    run : str or Path, optional
        The run directory, by default ``runs/<recipe name>``.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    resume : bool
        Go on with the run in that directory; it ends with the same bits as one that was never interrupted.
    epochs : int, optional
        In place of the recipe's ``training.epochs``.
    seeds : int, optional
        How many seeds to train, from ``training.seed`` on, into folders ``seed-<seed>`` where they are several.
    batched : bool, optional
        Whether several seeds are trained together or in turn; see `train_seeds`.
    callbacks : sequence of Callback or callable, optional
        See `aae.callbacks`: objects with `on_train_begin`, `on_epoch_end` and `on_train_end`, or functions that are called after
        every epoch, all with the `Training` that they can read, stop and save.
    **settings
        Any other key of the recipe, with two underscores for each dot: ``training__batch_size=100``,
        ``model__encoder__hidden=[200, 200]``, ``data__label_column="species"``.

    Returns
    -------
    Run, or list of Run
        The finished run, ready to use; with `seeds` a list of them, by seed.

    Raises
    ------
    InputError
        Bad recipe, setting, data or run directory, all before any training.
    TrainingError
        A loss was not finite.
    InterruptedTrainingError
        Ctrl-C; a checkpoint was written.

    Examples
    --------
    >>> import aae
    >>> from sklearn.datasets import load_iris
    >>> small = {"epochs": 2, "model__encoder__hidden": [8], "model__decoder__hidden": [8]}
    >>> run = aae.train("demo", load_iris(return_X_y=True), run="runs/iris", **small)
    >>> run.predict(load_iris().data).shape
    (150,)
    """
    whole = isinstance(seeds, int | np.integer) and not isinstance(seeds, bool)
    if seeds is not None and not (whole and 1 <= seeds <= MAX_SEEDS):
        raise InputError(f"seeds is {seeds!r}; expected a whole number from 1 to {MAX_SEEDS}")
    seeds = None if seeds is None else int(seeds)
    changes = [(key.replace("__", "."), _plain(value)) for key, value in settings.items()]
    if epochs is not None:
        changes.append(("training.epochs", epochs))
    source = str(data) if isinstance(data, Path) else data
    dataset = None
    if source is None or isinstance(source, str):
        checked = read_recipe(recipe, changes, source)
    else:
        # A data set that the recipe itself names, or one given with a recipe that was read for it, changes nothing.
        known = isinstance(source, Dataset) and (
            isinstance(recipe, Recipe) or recipes.read(recipe).data.source == source.name
        )
        if isinstance(source, Dataset):
            for key, value in changes:
                if key.startswith("data.") and value and key.split(".")[1] not in OF_DATASETS:
                    raise InputError(
                        f"{key} is {value!r}; a Dataset is read and split already, expected no such setting"
                    )
        checked = read_recipe(recipe, changes, None if known else SOURCE)
        dataset = load_data(checked, source)
    runs = train_seeds(
        checked,
        seeds or 1,
        run=run,
        device=device,
        resume=resume,
        batched=batched,
        dataset=dataset,
        callbacks=check_callbacks(callbacks),
    )
    for one in runs:
        one.given = dataset
    return runs if seeds is not None else runs[0]


def _plain(value: Any) -> Any:
    """Bring numbers and arrays of NumPy, and paths, to what a recipe can hold."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return str(value) if isinstance(value, Path) else value
