"""From a recipe to what a run trains on: the data set, its labelled subset, the scaling, and all of it for the trainer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from aae import data as datasets
from aae.data import Dataset, Split
from aae.data.columns import Columns
from aae.data.memory import SOURCE
from aae.errors import InputError
from aae.model import Model, Output
from aae.noise import INIT, SUBSET, Noise
from aae.recipes.build_model import build_model, chosen_output
from aae.recipes.dimension import chosen_rows, principal_dimension
from aae.recipes.methods import METHODS
from aae.recipes.model_settings import LabelSettings
from aae.recipes.schema import Recipe
from aae.scaling import Scaling, choose_column_scaling, choose_scaling
from aae.training.data import TrainingData
from aae.training.radii import neighbour_links, neighbour_radii

if TYPE_CHECKING:  # it needs scikit-learn
    from aae.training.partitions import StartPartition

SHARED = (  # settings that rows from Python have as files do
    *("validation", "test", "label_column", "id_column", "ignore_columns", "unlabelled"),
    *("covariates", "missing", "handle_unknown", "layer"),
)
OF_FILES = ("header", "image_size", "fold", "colour")  # settings of files and folders alone
OF_DATASETS = (  # settings that a Dataset leaves open, and how files are read that the run is used on
    *("labels", "scaling", "missing"),
    *("label_column", "id_column", "ignore_columns", "header", "layer"),
)
PSEUDO_ROWS = 10  # of each class, beside the labelled ones, where these say how frequent the classes are
Source: TypeAlias = str | Path | Dataset | tuple[Any, Any] | Any
"""A name, a path, rows, (rows, labels), or a data set."""


def load_data(recipe: Recipe, source: Source | None = None) -> Dataset:
    """Load the data of a recipe with its splits; from `source` if it is another.

    Parameters
    ----------
    recipe : Recipe
        Says with ``[data]`` how to read and split it.
    source : str, Path, array-like, (array-like, array-like) or Dataset, optional
        A named data set or path, beside which its file of labels may lie; rows, or rows and labels (see `aae.data.from_arrays`);
        or a Dataset, which is taken as it is.

    Raises
    ------
    InputError
        As `aae.data.load` and `aae.data.from_arrays`; also where the recipe's rows were given from Python, and are not given now.
    """
    if isinstance(source, Dataset):
        return source
    d = recipe.data
    shared = {name: getattr(d, name) for name in SHARED} | {"kinds": d.columns}
    if source is None and d.source == SOURCE:
        raise InputError(
            f"data.source is {SOURCE!r}: the rows were given from Python; expected them again, data=(rows, labels), or a file "
            "with the same rows"
        )
    if source is not None and not isinstance(source, str | Path):
        rows, labels = source, None
        if isinstance(source, tuple):
            if len(source) != 2:
                raise InputError(f"data: found a tuple of {len(source)}, expected (rows, labels)")
            rows, labels = source
        if d.labels_file is not None:
            raise InputError(f"data.labels_file is {d.labels_file!r}; rows from Python expect data=(rows, labels)")
        for name in OF_FILES:
            if getattr(d, name) != type(d).model_fields[name].default:
                raise InputError(
                    f"data.{name} is {getattr(d, name)!r}; rows from Python are taken as they are, expected none"
                )
        return datasets.from_arrays(rows, labels, **shared)
    labels_file = d.labels_file
    if source is not None and labels_file is not None and not Path(labels_file).exists():
        labels_file = str(Path(source).parent / Path(labels_file).name)
    return datasets.load(
        d.source if source is None else str(source),
        labels=labels_file,
        header=d.header,
        image_size=d.image_size,
        fold=d.fold,
        colour=d.colour,
        **shared,
    )


def fingerprint(dataset: Dataset) -> str:
    """Hash sizes, types and a thousand rows, enough to notice that the data of a run was exchanged."""
    rows = dataset.train.rows
    digest = hashlib.sha256(repr((rows.shape, str(rows.dtype), dataset.class_names)).encode())
    digest.update(np.ascontiguousarray(rows[:: max(1, len(rows) // 1000)]).tobytes())
    if dataset.train.labels is not None:
        digest.update(dataset.train.labels.tobytes())
    return digest.hexdigest()[:16]


def labelled_rows(recipe: Recipe, dataset: Dataset) -> NDArray[np.int64] | None:
    """Choose the labelled subset, or None where the recipe trains without labels.

    Raises
    ------
    InputError
        If the recipe or its model needs labels that the data has not, or has fewer categories than the data has classes.
    """
    if recipe.data.labels is None:
        method = METHODS[recipe.model.method]
        if method.labelled_only or method.needs_labels or recipe.model.decoder_sees_label or label_informed(recipe):
            raise InputError("data.labels is not set; this model needs labels, expected a number or 'all'")
        return None
    labels, classes = dataset.train.labels, len(dataset.class_names)
    if labels is None or not (labels >= 0).any():
        raise InputError(f"{dataset.name}: no row has a label; data.labels {recipe.data.labels!r} expects some")
    if classes < 2:
        marked = dataset.class_names == ("1",) and (labels < 0).any()
        hint = " (-1 is read as no label: of two classes -1 and 1, give -1 another name)" if marked else ""
        raise InputError(
            f"{dataset.name}: all labels are {dataset.class_names[0]!r}; expected two classes or more{hint}"
        )
    categories = recipe.model.label.categories if recipe.model.label else None
    if categories is not None and categories < classes:
        raise InputError(
            f"model.label.categories is {categories}; the data has {classes} classes, expected at least as many"
        )
    missing = [dataset.class_names[k] for k in range(classes) if not (labels == k).any()]
    if missing:
        held = [split.labels for split in (dataset.validation, dataset.test) if split is not None]
        number = dataset.class_names.index(missing[0])
        rows = sum(int((one == number).sum()) for one in held if one is not None)
        hint = f" ({rows} that have it are held out by data.test and data.validation)" if rows else ""
        raise InputError(
            f"{dataset.name}: no training row has the label {missing[0]!r}; expected some of every class{hint}"
        )
    if recipe.model.decoder_sees_label and recipe.data.labels != "all":
        raise InputError(
            f"data.labels is {recipe.data.labels}; a decoder that sees the label (section 4) expects 'all'"
        )
    if recipe.model.decoder_sees_label and (labels < 0).any():
        raise InputError(
            f"{dataset.name}: {int((labels < 0).sum())} training rows have no label; "
            "a decoder that sees the label (section 4) expects a label for every row"
        )
    if recipe.data.labels == "all":
        return np.flatnonzero(labels >= 0)
    seed = int(np.random.SeedSequence([recipe.training.seed, SUBSET]).generate_state(1)[0])
    try:
        return datasets.labelled_subset(labels, recipe.data.labels, num_classes=classes, seed=seed)
    except InputError as error:
        raise InputError(f"data.labels: {str(error).removeprefix('labelled rows: ')}") from None


def label_informed(recipe: Recipe) -> bool:
    """Check whether the discriminator of the style sees the label (section 2.3)."""
    return recipe.model.style is not None and recipe.model.style.label_informed


def find_start(recipe: Recipe, split: Split, scaling: Scaling, table: Columns | None = None) -> StartPartition | None:
    """Find the partition of rows that training starts from, or None where there is to be none.

    Raises
    ------
    InputError
        If there are fewer rows than clusters.
    """
    label = recipe.model.label
    if not recipe.training.start_partition or label is None or label.categories is None:
        return None
    if len(split) < label.categories:
        raise InputError(
            f"model.label.categories is {label.categories}; found {len(split)} rows, expected no more clusters than rows"
        )
    from aae.training.partitions import fit_to_shares, start_partition

    rows = _tensor(split.rows)
    if table is not None:
        rows, scaling = _inner(_scaled(split, scaling), table), Scaling.identity()
    start = start_partition(rows, scaling, label.categories, recipe.training.seed)
    return start if label.shares is None else replace(start, labels=fit_to_shares(start.labels, label.shares))


def with_learnt_part(recipe: Recipe, start: StartPartition) -> Recipe:
    """Copy a recipe so that clusters that are set apart are learnt over all epochs if ``training.start_partition`` is "auto"."""
    if recipe.training.start_partition != "auto" or not start.apart:
        return recipe
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"start_partition": 1.0})})


def class_counts(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Compute how many rows of each class to count for p(y): ten more than are labelled, so that few say little."""
    found: NDArray[np.float64] = counts + float(PSEUDO_ROWS)
    return found


def with_label_shares(
    recipe: Recipe,
    dataset: Dataset,
    labelled: NDArray[np.int64] | None,
    partition: NDArray[np.int64] | None,
) -> Recipe:
    """Copy a recipe with the numbers that ``model.label.probabilities = "auto"`` stands for: none where all are alike.

    Parameters
    ----------
    recipe : Recipe
        Returned as it is where it says p(y) itself.
    dataset : Dataset
        Its rows.
    labelled : array of int64, (l,), or None
        Indices of the labelled subset.
    partition : array of int64, (n,), or None
        Cluster of each row, -1 where that is open.
    """
    label = recipe.model.label
    if label is None or label.probabilities != "auto":
        return recipe
    shares: Sequence[float] | None = None
    if partition is not None:
        from aae.training.partitions import partition_shares

        assert label.categories is not None
        shares = partition_shares(partition, label.categories)
    elif labelled is not None and label.categories in (None, len(dataset.class_names)):
        assert dataset.train.labels is not None
        counts = class_counts(np.bincount(dataset.train.labels[labelled], minlength=len(dataset.class_names)))
        shares = (counts / counts.sum()).tolist()
    even = shares is None or len(set(shares)) == 1
    known = LabelSettings(**{**label.model_dump(exclude_unset=True), "probabilities": None if even else shares})
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"label": known})})


def training_data(
    recipe: Recipe,
    split: Split,
    scaling: Scaling,
    labelled: NDArray[np.int64] | None,
    radii: torch.Tensor | None = None,
    links: torch.Tensor | None = None,
    table: Columns | None = None,
) -> TrainingData:
    """Collect what a run trains on: labels outside the labelled subset are hidden from it.

    Where consistency takes its radii from neighbours these are computed, unless given as `radii` (n,); so are the links of rows,
    unless given as `links`, where the graph of neighbours is one of the losses, and labels that training starts from, where it
    does. Covariates are no part of what makes rows neighbours.
    """
    stored, losses = split.rows, recipe.training.losses
    if labelled is not None and METHODS[recipe.model.method].labelled_only:
        # An epoch is one pass over the labelled rows.
        assert split.labels is not None
        known = torch.from_numpy(split.labels[labelled])
        return TrainingData(_tensor(stored[labelled]), scaling, known, torch.arange(len(labelled)))
    read, observed = None, None
    if table is None:
        rows = inner = _tensor(stored)
        read = partial(stored.take, axis=0) if isinstance(stored, np.memmap) and stored.flags.writeable else None
    else:  # it is scaled once
        rows = _scaled(split, scaling)
        inner, scaling = _inner(rows, table), Scaling.identity()
        if recipe.data.missing == "mask":
            observed = torch.from_numpy(~np.isnan(np.asarray(stored)))
    if radii is None and losses.neighbours is not None:
        radii = neighbour_radii(inner, scaling, losses.neighbours, later=losses.later_neighbours)
    if links is None and losses.linked is not None:
        links = neighbour_links(inner, scaling, losses.linked)
    data = TrainingData(rows, scaling, radii=radii, links=links, observed=observed, read=read)
    if labelled is None:
        return data
    assert split.labels is not None
    labels = np.full(len(stored), -1, dtype=np.int64)
    labels[labelled] = split.labels[labelled]
    data = replace(data, labels=torch.from_numpy(labels), labelled=torch.from_numpy(labelled))
    if not recipe.training.start_labels:
        return data
    from aae.training.start_labels import start_labels  # which needs scikit-learn

    start = start_labels(inner, scaling, labels, recipe.training.seed)
    return data if start is None else replace(data, start=torch.from_numpy(start))


def _scaled(split: Split, scaling: Scaling) -> torch.Tensor:
    return torch.from_numpy(scaling.transform(np.asarray(split.rows)))


def _inner(rows: torch.Tensor, table: Columns) -> torch.Tensor:
    """Leave the covariates out of scaled rows: they are no part of what makes rows neighbours."""
    return rows[:, : rows.shape[1] - table.outer.width]


def _tensor(rows: NDArray[Any]) -> torch.Tensor:
    """Create a tensor of rows; it shares a copy-on-write memory map, so that rows are read batch by batch."""
    return torch.from_numpy(rows if rows.flags.writeable else np.array(rows))


def with_scaling(recipe: Recipe, rows: NDArray[Any], table: Columns | None = None) -> tuple[Recipe, Scaling]:
    """Find the scaling from the training rows alone, as `data.scaling` says, and with it what "auto" stands for in the model.

    Parameters
    ----------
    recipe : Recipe
        Copied with its ``model.output`` and ``model.style.dim``, where these are "auto".
    rows : array, (n, *shape)
        Training rows as stored.
    table : Columns, optional
        What the columns are, where not all of them are numbers.

    Raises
    ------
    InputError
        If the output is a sigmoid and the scaled rows are not inside [0, 1].
    """
    settings, model = recipe.data, recipe.model
    output: Output = "linear"
    if table is not None:  # each kind has an activation of its own
        fill = settings.missing == "mask"
        given = np.asarray(rows), table.kinds, table.levels, settings.scaling
        scaling = choose_column_scaling(*given, fill=fill, covariates=table.covariates)
    else:
        makes_rows = METHODS[model.method].makes_rows
        scaling = choose_scaling(rows, settings.scaling, bounded=makes_rows and model.output == "sigmoid")
        inside = not makes_rows or scaling.ends_inside(0, 1)
        keys = "data.scaling", "model.output"
        output = chosen_output(model.output, settings.scaling, inside=inside, keys=keys)
    found: dict[str, Any] = {"output": output} if model.output == "auto" else {}
    if model.style is not None and model.style.dim == "auto":
        dim = model.style.prior.fixed_dim or _principal_dimension(rows, scaling, table)
        found["style"] = model.style.model_copy(update={"dim": dim})
    return (recipe.model_copy(update={"model": model.model_copy(update=found)}) if found else recipe), scaling


def untrained_model(recipe: Recipe, dataset: Dataset) -> tuple[Recipe, Model, Scaling]:
    """Create the model of a recipe for the rows of its data, with its initial weights, on the CPU; raises as `build_model`.

    Returns
    -------
    tuple of Recipe, Model and Scaling
        The recipe and the scaling as `with_scaling` returns them.
    """
    recipe, scaling = with_scaling(recipe, dataset.train.rows, dataset.table)
    noise, classes = Noise(recipe.training.seed, INIT), len(dataset.class_names)
    return recipe, build_model(recipe.model, dataset.shape, classes, noise, table=dataset.table), scaling


def _principal_dimension(rows: NDArray[Any], scaling: Scaling, table: Columns | None) -> int:
    some = chosen_rows(len(rows), int(np.prod(rows.shape[1:]))).numpy()
    scaled = scaling(torch.from_numpy(np.array(rows[some])))
    return principal_dimension(scaled if table is None else _inner(scaled, table))
