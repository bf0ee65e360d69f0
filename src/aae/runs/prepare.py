"""What a run needs before its first step or to go on: model, scaling, rows, trainer, and the files that define it."""

from __future__ import annotations

import copy
import hashlib
import sys
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae import recipes
from aae._version import __version__
from aae.data import Dataset
from aae.data.checks import are_images
from aae.device import describe_device
from aae.errors import InputError
from aae.files import pack_tensors, read_bytes, unpack_tensors, write_bytes, write_json, write_tensors
from aae.model import Model
from aae.noise import INIT, Noise, seeded, torch_state
from aae.recipes import Recipe
from aae.recipes.build_data import (
    find_start,
    fingerprint,
    label_informed,
    labelled_rows,
    load_data,
    training_data,
    with_label_shares,
    with_learnt_part,
    with_scaling,
)
from aae.recipes.build_model import build_model, build_phases
from aae.recipes.methods import METHODS
from aae.runs.evaluate import anomaly_score, noise_variance, validate
from aae.runs.recipe import command
from aae.runs.resume import check_same_data, check_same_recipe, restore
from aae.scaling import Scaling, value_range
from aae.training.acceleration.distributed import Distributed, synchronize
from aae.training.checkpoints import Place, remove_older_checkpoints
from aae.training.data import TrainingData
from aae.training.loop import TrainingJob
from aae.training.run_directory import RunDirectory
from aae.training.trainer import Trainer
from aae.training.weights import load_module


@dataclass
class PreparedRun:
    """A run with everything ready to go on: `run_to_end` trains it, and then it can be finished."""

    recipe: Recipe
    job: TrainingJob
    scaling: Scaling
    rows: NDArray[Any]
    """To train on, as stored."""
    metadata: dict[str, Any]
    torch_state: dict[str, Tensor]
    """Of torch's global generators, from which custom modules may draw."""

    def finish(self) -> None:
        """Write the weights of the trained run."""
        trainer, folder = self.job.trainer, self.job.folder
        if trainer.distributed.is_main_process:
            tensors = {f"model.{name}": tensor for name, tensor in trainer.result().items()}
            tensors |= {f"scaling.{name}": tensor for name, tensor in self.scaling.state_dict().items()}
            model = cast(Model, trainer.trained)
            if trainer.best.epoch:
                model = copy.deepcopy(model)
                load_module(model, trainer.result())
            variance = noise_variance(model, self.scaling, self.rows)
            if variance is not None:
                self.metadata["noise_variance"] = variance
            contamination = self.recipe.evaluation.contamination
            if contamination is not None:
                score = anomaly_score(model, self.scaling, self.rows, contamination)
                write_tensors(folder.anomaly_score, score.state())
            write_tensors(folder.weights, tensors)
            times = {"seconds": round(self.job.seconds, 1), "cpu_seconds": round(self.job.cpu_seconds, 1)}
            found: dict[str, Any] = {"epochs": trainer.epoch, **times}
            if trainer.epoch < trainer.settings.epochs:
                found["ended_before"] = trainer.settings.epochs
            if trainer.best.epoch:
                found["best_epoch"] = trainer.best.epoch
            write_json(folder.metadata, {**self.metadata, **found})
        trainer.distributed.wait()


def prepare(
    recipe: Recipe,
    folder: RunDirectory,
    device: torch.device,
    resume: bool = False,
    dataset: Dataset | None = None,
    place: Place | None = None,
    like: TrainingData | None = None,
) -> PreparedRun:
    """Create what a run needs, or what it needs to go on, and write what defines it into its folder.

    Parameters
    ----------
    recipe, resume, dataset
        As for `train`.
    folder : RunDirectory
        Locked.
    device : torch.device
        Where to train.
    place : Place, optional
        Of the checkpoint to go on from, by default the newest.
    like : TrainingData, optional
        Of another seed: what is known there of neighbours is not sought again.

    Returns
    -------
    PreparedRun
        At the epoch and step to go on from.

    Raises
    ------
    InputError
        As for `train`.
    """
    distributed = Distributed.joined()
    resume = resume and not folder.is_new()  # a run killed before its first file was complete starts afresh
    if not resume:
        folder.require_new()
    dataset = dataset or load_data(recipe)
    if recipe.training.keeps_best and dataset.validation is None:
        key = next(key for key in ("patience", "early_stopping", "keep_best") if getattr(recipe.training, key))
        raise InputError(f"training.{key} is set and there are no validation rows; expected data.validation above 0")
    seed = recipe.training.seed
    if distributed.world_size > 1 and recipe.training.reduction == "mean" and recipe.data.missing == "mask":
        raise InputError(
            "training.reduction is 'mean' over known values, of which each process has others; expected 'sum', or one process"
        )
    labelled = labelled_rows(recipe, dataset)
    table, split = dataset.table, dataset.train
    if recipe.evaluation.parzen_samples and table is not None:
        raise InputError(
            f"evaluation.parzen_samples is {recipe.evaluation.parzen_samples}; a Parzen window is for rows of numbers, expected "
            "0 where columns are of other kinds, covariates, or with missing values"
        )
    low, high = value_range(split.rows) if table is None else (0.0, 1.0)
    recipe, scaling = with_scaling(recipe, split.rows, table)
    start = find_start(recipe, split, scaling, table)
    recipe = with_label_shares(recipe, dataset, labelled, None if start is None else start.labels)
    if start is not None:  # it is learnt as labels are
        recipe = with_learnt_part(recipe, start)
        split, labelled = replace(split, labels=start.labels), np.flatnonzero(start.labels >= 0)
    model = build_model(recipe.model, dataset.shape, len(dataset.class_names), Noise(seed, INIT), table=table)
    model.to(device)
    synchronize(model, distributed)
    torch.manual_seed(seed)  # for modules and samplers of the user that draw from torch itself
    kept = _read_radii(folder) if resume and folder.radii.exists() else None
    radii, links = (kept, None) if like is None else (like.radii if kept is None else kept, like.links)
    on_device = training_data(recipe, split, scaling, labelled, radii, links, table).to(device)
    model.measure(scaling, [on_device.rows])
    settings = recipe.training
    if resume and settings.precision == "auto":  # as it was begun, wherever it goes on
        begun = folder.read_metadata().get("precision", recipes.read(folder.recipe).training.precision)
        settings = settings.model_copy(update={"precision": begun})
    trainer = Trainer(model, build_phases(recipe, model), on_device, settings, device, distributed)
    complete = _with_optimizers(recipe, trainer)
    changed = check_same_recipe(folder, complete) if resume else {}

    metadata: dict[str, Any] = {
        "recipe": recipe.name,
        "shape": list(dataset.shape),
        "class_names": list(dataset.class_names),
        "columns": list(dataset.columns),
        "named": dataset.named,
        "rows": "uint8" if are_images(dataset.train.rows) else "float64" if scaling.needs_float64 else "float32",
        "scaling": scaling.record(),
        **({} if table is None else {"table": table.record()}),
        "row_range": (low, high),
        "data": fingerprint(dataset),
        "training_rows": len(dataset.train),
        "device": describe_device(device, distributed.world_size),
        "precision": trainer.precision,
        "version": __version__,
        "torch": torch.__version__,
        "command": command(recipe),
    }
    times = 0.0, 0.0
    if resume:
        check_same_data(folder, metadata)
        times = restore(trainer, folder, place)
        last = folder.read_metadata()
        before = last["device"]
        changes = [{"epoch": trainer.epoch, "key": key, "from": old, "to": new} for key, (old, new) in changed.items()]
        if changes or "changes" in last:
            metadata["changes"] = [*last.get("changes", []), *changes]
        if distributed.is_main_process:
            for one in changes:
                print(
                    f"note: {folder.path}: {one['key']} is {one['to']} from epoch {trainer.epoch + 1} on, {one['from']} before",
                    file=sys.stderr,
                )
        if before != metadata["device"] and distributed.is_main_process:
            print(
                f"note: {folder.path}: was begun on {before} and goes on on {metadata['device']}, where numbers are rounded "
                "in another way: it ends with other bits",
                file=sys.stderr,
            )
    distributed.wait()  # all have seen the folder as it was
    if distributed.is_main_process:
        folder.keep_metrics(trainer.epoch)
        if folder.checkpoints.exists():  # a kill may have come before they were removed
            remove_older_checkpoints(folder.checkpoints, (trainer.epoch, trainer.step))
        if resume and trainer.epoch < recipe.training.epochs:
            shown = [path.name for path in (folder.figures, folder.report, folder.explorer) if path.exists()]
            if shown and folder.weights.exists():
                print(f"note: {folder.path}: {', '.join(shown)} still show the run before it went on", file=sys.stderr)
            for result in (folder.weights, folder.evaluation):  # the run is not finished (any more)
                result.unlink(missing_ok=True)
        if on_device.radii is not None:
            packed = pack_tensors({"radii": on_device.radii})
            metadata["radii"] = hashlib.sha256(packed).hexdigest()
        folder.start(recipes.dump(complete), metadata)
        if on_device.radii is not None and kept is None:
            write_bytes(folder.radii, packed)

    def measure() -> dict[str, float]:
        # Custom modules may draw from torch itself; training goes on as if nothing had been measured.
        with seeded(0, device):
            return validate(cast(Model, trainer.trained), scaling, dataset.validation, recipe)

    job = TrainingJob(trainer, folder, measure, *times)
    if distributed.is_main_process and not resume:
        _report_scaling(recipe, scaling, dataset, constant=table is None and low == high)
        _report_labels(recipe, trainer)
    return PreparedRun(recipe, job, scaling, dataset.train.rows, metadata, torch_state(device))


def _report_scaling(recipe: Recipe, scaling: Scaling, dataset: Dataset, *, constant: bool) -> None:
    """Say on stderr how a table is scaled, and where nothing can be learnt from it like that."""
    if dataset.table is not None:
        print(f"note: columns: {dataset.table.describe()}", file=sys.stderr)
    if scaling.spread is not None:
        print(f"note: scaling: {scaling.describe(dataset.columns)}", file=sys.stderr)
    concern = scaling.concern(recipe.model.encoder.input_noise)
    if constant and concern is None:
        concern = "all values are the same; there is nothing to learn"
    if concern is not None:
        print(f"warning: {dataset.name}: {concern}", file=sys.stderr)


def _report_labels(recipe: Recipe, trainer: Trainer) -> None:
    """Say on stderr which settings of labels are without effect, where no loss sees any."""
    conditioned = recipe.model.decoder_sees_label or label_informed(recipe)
    if conditioned or METHODS[recipe.model.method].labelled_only or any(phase.needs_labels for phase in trainer.phases):
        return
    losses = recipe.training.losses
    unused = {
        "data.labels": recipe.data.labels is not None,
        "training.labelled_batch_size": recipe.training.labelled_batch_size is not None,
        "training.losses.classification": losses.classification != type(losses).model_fields["classification"].default,
    }
    for key in (key for key, given in unused.items() if given):
        print(f"note: {key} is not used: no loss of this model sees labels", file=sys.stderr)


def _read_radii(folder: RunDirectory) -> Tensor:
    """Read the radii of the rows of a run; other ones would train another model."""
    content = read_bytes(folder.radii)
    if hashlib.sha256(content).hexdigest() != folder.read_metadata().get("radii"):
        raise InputError(f"{folder.radii}: damaged; remove it to have them computed again")
    return unpack_tensors(content, folder.radii)["radii"]


def _with_optimizers(recipe: Recipe, trainer: Trainer) -> Recipe:
    """Complete a recipe with the optimizer of every phase that runs."""
    optimizers = {phase.name: phase.optimizer for phase in trainer.phases}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=optimizers)})
