"""Training of a recipe: its data, model and trainer, and the run directory."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae import recipes
from aae._version import __version__
from aae.data import NAMES, Dataset
from aae.data.checks import are_images
from aae.data.memory import SOURCE
from aae.data.reading import as_text, local_path
from aae.device import choose_device, describe_device, usual_state
from aae.errors import InputError, InterruptedTrainingError
from aae.files import pack_tensors, read_bytes, unpack_tensors, write_bytes, write_json, write_tensors
from aae.model import Model
from aae.networks import Scaling
from aae.noise import Noise, seeded, set_torch_state, torch_state
from aae.recipes import Recipe, reader
from aae.recipes.build_data import Source, fingerprint, labelled_rows, load_data, make_scaling, training_data
from aae.recipes.build_model import build_model, build_phases
from aae.runs.evaluate import noise_variance, validate
from aae.runs.hub import load
from aae.runs.resume import check_same_data, check_same_recipe, common_place, is_finished, restore, shaping
from aae.runs.run import Run
from aae.scaling import value_range
from aae.training.acceleration.distributed import Distributed, synchronize
from aae.training.batched_seeds import BatchedSeeds
from aae.training.callbacks import AnyCallback, check_callbacks
from aae.training.checkpoints import Place, remove_older_checkpoints
from aae.training.loop import Interruption, TrainingJob, run_to_end
from aae.training.run_directory import RunDirectory
from aae.training.settings import MAX_SEED, MAX_SEEDS
from aae.training.trainer import INIT, Trainer


def read_recipe(
    recipe: str | Path | Recipe, overrides: Sequence[str | tuple[str, Any]] = (), data: str | None = None
) -> Recipe:
    """Read a recipe, optionally pointed at other data.

    Parameters
    ----------
    recipe : str, Path or Recipe
        Name of a recipe, a ``.toml`` file, or a recipe that was read, of which a changed copy is made.
    overrides : sequence of str, or of (str, value)
        ``section.key=value``, or the key with its value; they win over everything else.
    data : str, optional
        Named data set or path. What fits the recipe's own data alone is replaced, unless the recipe was read already: the
        validation split becomes 15 %, and a number of labels becomes all that the rows of a path have.

    Returns
    -------
    Recipe
        Complete and checked. On other data than its own its title says so, and is without the paper's numbers.

    Raises
    ------
    InputError
        As `recipes.read`.
    """
    data = data and as_text(data)
    overrides = [as_text(one) if isinstance(one, str) else one for one in overrides]
    own = recipe if isinstance(recipe, Recipe) else recipes.read(recipe)
    fitted: list[str | tuple[str, Any]] = []
    if data is not None and data != own.data.source:
        fitted = [("data.source", data), *([] if isinstance(recipe, Recipe) else _fitted(own, data))]
    changes = [*fitted, *overrides]
    keys = {one.partition("=")[0].strip() if isinstance(one, str) else one[0] for one in overrides}
    if "training.epochs" in keys and "training.min_steps" not in keys and own.training.min_steps:
        changes.append(("training.min_steps", 0))  # so many epochs are meant
    found = reader.change(recipe, changes) if isinstance(recipe, Recipe) else recipes.read(recipe, changes)
    if found.data.source != own.data.source:
        name = "rows from Python" if found.data.source == SOURCE else Path(found.data.source).name
        found = found.model_copy(update={"title": f"{name}, as in: {own.title}", "paper": {}})
    return _with_full_paths(found)


def _fitted(own: Recipe, data: str) -> list[tuple[str, Any]]:
    """List what has to change in a recipe for other data, beside their source."""
    labels = [] if data in NAMES or own.data.labels is None else [("data.labels", "all")]
    return [("data.validation", 0.15 if own.data.validation else 0), *labels]


def _with_full_paths(recipe: Recipe) -> Recipe:
    """Make the paths of a recipe absolute where they exist: a run is used from other folders too."""
    given = {"source": recipe.data.source, "labels_file": recipe.data.labels_file}
    full = {
        key: as_text(str(path.absolute()))
        for key, value in given.items()
        if value is not None and value not in NAMES and (path := local_path(value)).exists()
    }
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=full)})


@usual_state()
def train_seeds(
    recipe: Recipe,
    seeds: int,
    *,
    run: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    batched: bool | None = None,
    dataset: Dataset | None = None,
    callbacks: Sequence[AnyCallback] = (),
) -> list[Run]:
    """Train a recipe with several seeds, from ``training.seed`` on.

    Parameters
    ----------
    recipe : Recipe
        What to train.
    seeds : int
        How many. One trains into the run folder itself, several into ``seed-<seed>`` folders inside it.
    run, device, resume
        As for `train`.
    batched : bool, optional
        Whether the seeds are trained together as one batched program, or one after another. Each finds the same up to
        rounding. By default together on a GPU, which one seed alone does not fill, and one after another on a CPU.
    dataset : Dataset, optional
        In place of that which the recipe names.
    callbacks
        As for `train`.

    Returns
    -------
    list of Run
        The finished runs, by seed.
    """
    if batched and Distributed.joined().world_size > 1:
        raise InputError("seeds are trained together by one process; expected no other processes, or seeds in turn")
    folder = Path(run or Path("runs") / recipe.name)
    if recipe.training.min_steps:
        dataset = dataset or load_data(recipe)
        recipe = _with_least_steps(recipe, len(dataset.train))
    if seeds == 1:
        return [_train_one(recipe, RunDirectory(folder), device, resume, dataset, callbacks)]
    new = RunDirectory(folder).is_new()
    if not resume:
        RunDirectory(folder).require_new()
    elif not new and not any(folder.glob("seed-*")):
        raise InputError(f"{folder}: no run of several seeds to go on with; expected folders seed-0, seed-1, ... in it")
    ones = with_seeds(recipe, seeds)
    paths = {one.training.seed: folder / f"seed-{one.training.seed}" for one in ones}
    unfinished = [
        one for one in ones if not (resume and is_finished(RunDirectory(paths[one.training.seed]), one, dataset))
    ]
    if unfinished:
        alone = Distributed.joined().world_size == 1
        on_gpu = choose_device(device).type == "cuda"
        together = batched if batched is not None else on_gpu and alone
        dataset = dataset or load_data(recipe)
        turns = [unfinished] if together else [[one] for one in unfinished]
        for turn in turns:
            targets = [(one, RunDirectory(paths[one.training.seed])) for one in turn]
            more = turn is not turns[-1]
            _train(targets, choose_device(device), resume, dataset, more=more, callbacks=callbacks)
    return [Run.load(path, device, trust_modules=True) for path in paths.values()]


def _with_least_steps(recipe: Recipe, rows: int) -> Recipe:
    """Copy a recipe with as many epochs over `rows` rows as it takes for ``training.min_steps`` mini-batches."""
    training = recipe.training
    steps = rows // min(training.batch_size, rows)
    epochs = max(training.epochs, -(-training.min_steps // steps))
    return recipe.model_copy(update={"training": training.model_copy(update={"epochs": epochs, "min_steps": 0})})


def with_seeds(recipe: Recipe, seeds: int) -> list[Recipe]:
    """Copy a recipe with several seeds, from ``training.seed`` on.

    Raises
    ------
    InputError
        If a seed would be too large.
    """
    first = recipe.training.seed
    if first + seeds - 1 > MAX_SEED:
        raise InputError(f"seeds are {first} to {first + seeds - 1}; expected none beyond {MAX_SEED}")
    return [
        recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": seed})})
        for seed in range(first, first + seeds)
    ]


def _train(
    targets: Sequence[tuple[Recipe, RunDirectory]],
    device: torch.device,
    resume: bool,
    dataset: Dataset | None,
    *,
    more: bool = False,
    callbacks: Sequence[AnyCallback] = (),
) -> None:
    """Train a run, or several together, each under the lock on its folder; `more` says whether others are to follow."""
    for recipe, folder in targets:  # before there is a lock in a folder that is none of ours
        if resume and not folder.is_new():
            check_same_recipe(folder, recipe, complete=False)
        else:
            folder.require_new()
    Distributed.joined().wait()  # all have seen the folders as they were
    with ExitStack() as stack:
        stack.enter_context(seeded(targets[0][0].training.seed, device))  # torch's generators are as before at the end
        for _, folder in targets:
            if Distributed.joined().is_main_process:
                stack.enter_context(folder.lock())
                folder.remove_leftovers()
        if resume:  # others may have been here before the lock was ours
            targets = [(recipe, folder) for recipe, folder in targets if not is_finished(folder, recipe)]
        place = common_place([folder for _, folder in targets]) if resume and len(targets) > 1 else None
        prepared: list[PreparedRun] = []
        for recipe, folder in targets:
            prepared.append(prepare(recipe, folder, device, resume, dataset, place))
            BatchedSeeds.share_rows([one.job.trainer for one in prepared])
        interruption = train_together(prepared, callbacks)
        if interruption.is_set and more:
            where = targets[-1][1].path
            raise InterruptedTrainingError(
                f"stopped when {where.name} was finished; {where.parent} goes on with --resume", interruption.status
            )


def train_together(prepared: Sequence[PreparedRun], callbacks: Sequence[AnyCallback] = ()) -> Interruption:
    """Train runs of one recipe with different seeds to the end: as one batched program those that are equally far.

    Returns
    -------
    Interruption
        Whether a signal came when there was nothing to stop any more.
    """
    interruption = Interruption()
    places: dict[tuple[int, int], list[PreparedRun]] = {}
    for one in prepared:
        trainer = one.job.trainer
        places.setdefault((trainer.epoch, trainer.step), []).append(one)
    for (epoch, _), group in places.items():
        name = group[0].recipe.name
        jobs = [one.job for one in group]
        settings = group[0].recipe.training
        several = len(group) > 1 and epoch < settings.epochs
        several = several and settings.patience_epochs is None  # each seed ends where it is best
        try:
            replicas = BatchedSeeds([job.trainer for job in jobs]) if several else None
        except (RuntimeError, NotImplementedError) as error:
            reason = str(error).strip().partition("\n")[0]
            print(f"note: {name}: the seeds are trained one after another, not together: {reason}", file=sys.stderr)
            replicas = None
        if replicas is not None:
            interruption = run_to_end(jobs, f"{name}, {len(group)} seeds", replicas.run_epoch, callbacks)
        for one in group:
            if replicas is None:
                seed = one.recipe.training.seed
                set_torch_state(one.torch_state, one.job.trainer.device)
                interruption = run_to_end([one.job], f"{name} seed {seed}", callbacks=callbacks)
            one.finish()
    return interruption


def load_runs(folder: str | Path, device: str = "auto", *, trust_modules: bool = False) -> list[Run]:
    """Load a run, or every seed of one that was trained with several, by seed; `trust_modules` as for `Run.load`."""
    paths = [path for path in Path(folder).glob("seed-*") if path.is_dir()]
    runs = [load(path, device, trust_modules=trust_modules) for path in paths or [Path(folder)]]
    return sorted(runs, key=lambda run: run.recipe.training.seed)


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
        Python are split, scaled and labelled as those of files (`aae.data.from_arrays`), and are not kept in the run.
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
    if seeds is not None and (isinstance(seeds, bool) or not isinstance(seeds, int) or not 1 <= seeds <= MAX_SEEDS):
        raise InputError(f"seeds is {seeds!r}; expected a whole number from 1 to {MAX_SEEDS}")
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
    return runs if seeds is not None else runs[0]


def _plain(value: Any) -> Any:
    """Bring numbers and arrays of NumPy, and paths, to what a recipe can hold."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return str(value) if isinstance(value, Path) else value


def _train_one(
    recipe: Recipe,
    folder: RunDirectory,
    device: str,
    resume: bool,
    dataset: Dataset | None,
    callbacks: Sequence[AnyCallback],
) -> Run:
    """Train a run, unless it is finished and to be resumed."""
    if not (resume and is_finished(folder, recipe, dataset)):
        _train([(recipe, folder)], choose_device(device), resume, dataset, callbacks=callbacks)
    return Run.load(folder.path, device, trust_modules=True)  # those of the very recipe that was trained


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
            write_tensors(folder.weights, tensors)
            variance = noise_variance(cast(Model, trainer.trained), self.scaling, self.rows)
            if variance is not None:
                self.metadata["noise_variance"] = variance
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
    labelled = labelled_rows(recipe, dataset)
    model = build_model(recipe.model, dataset.shape, len(dataset.class_names), Noise(seed, INIT))
    model.to(device)
    synchronize(model, distributed)
    torch.manual_seed(seed)  # for modules and samplers of the user that draw from torch itself
    low, high = value_range(dataset.train.rows)
    scaling = make_scaling(recipe.data, recipe.model, dataset.train.rows)
    radii = _read_radii(folder) if resume and folder.radii.exists() else None
    on_device = training_data(recipe, dataset.train, scaling, labelled, radii).to(device)
    trainer = Trainer(model, build_phases(recipe, model), on_device, recipe.training, device, distributed)
    complete = _with_optimizers(recipe, trainer)
    changed = check_same_recipe(folder, complete) if resume else {}

    metadata: dict[str, Any] = {
        "recipe": recipe.name,
        "shape": list(dataset.shape),
        "class_names": list(dataset.class_names),
        "columns": list(dataset.columns),
        "rows": "uint8" if are_images(dataset.train.rows) else "float64" if scaling.needs_float64 else "float32",
        "scaling": scaling.record(),
        "row_range": (low, high) if low < 0 or high > 1 else (0.0, 1.0),
        "data": fingerprint(dataset),
        "training_rows": len(dataset.train),
        "device": describe_device(device, distributed.world_size),
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
            for result in (folder.weights, folder.evaluation):  # the run is not finished (any more)
                result.unlink(missing_ok=True)
        if on_device.radii is not None:
            packed = pack_tensors({"radii": on_device.radii})
            metadata["radii"] = hashlib.sha256(packed).hexdigest()
        folder.start(recipes.dump(complete), metadata)
        if on_device.radii is not None and radii is None:
            write_bytes(folder.radii, packed)

    def measure() -> dict[str, float]:
        with seeded(
            0, device
        ):  # custom modules may draw from torch itself; training goes on as if nothing had been measured
            return validate(cast(Model, trainer.trained), scaling, dataset.validation, recipe)

    job = TrainingJob(trainer, folder, measure, *times)
    if distributed.is_main_process and not resume:
        _report_scaling(recipe, scaling, dataset)
    return PreparedRun(recipe, job, scaling, dataset.train.rows, metadata, torch_state(device))


def _report_scaling(recipe: Recipe, scaling: Scaling, dataset: Dataset) -> None:
    """Say on stderr how a table is scaled, and where nothing can be learnt from it like that."""
    if scaling.spread is not None:
        print(f"note: scaling: {scaling.describe(dataset.columns)}", file=sys.stderr)
    concern = scaling.concern(recipe.model.encoder.input_noise)
    if concern is not None:
        print(f"warning: {dataset.name}: {concern}", file=sys.stderr)


def _read_radii(folder: RunDirectory) -> Tensor:
    """Read the radii of the rows of a run; other ones would train another model."""
    content = read_bytes(folder.radii)
    if hashlib.sha256(content).hexdigest() != folder.read_metadata().get("radii"):
        raise InputError(f"{folder.radii}: damaged; remove it to have them computed again")
    return unpack_tensors(content, folder.radii)["radii"]


def command(recipe: Recipe) -> str:
    """Write the command that trains this very recipe."""
    if recipe.name not in recipes.names():
        return "aae train recipe.toml"  # the run folder's own copy
    source = recipe.data.source
    base = read_recipe(recipe.name, data=source)
    before, now = shaping(base), shaping(recipe)
    changed = [f"{key}={_inline(value)}" for key, value in now.items() if value != before.get(key)]
    if shaping(read_recipe(recipe.name, changed, source)) != now:  # a file of one's own that has the same name
        return "aae train recipe.toml"
    data = ["--data", source] if source != recipes.read(recipe.name).data.source else []
    return shlex.join(["aae", "train", recipe.name, *data, *(word for change in changed for word in ("--set", change))])


def _inline(value: Any) -> str:
    """Write a value as TOML on one line."""
    if isinstance(value, dict):
        keys = {key: key if re.fullmatch(r"[A-Za-z0-9_-]+", str(key)) else json.dumps(key) for key in value}
        return "{ " + ", ".join(f"{keys[key]} = {_inline(v)}" for key, v in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _with_optimizers(recipe: Recipe, trainer: Trainer) -> Recipe:
    """Complete a recipe with the optimizer of every phase that runs."""
    optimizers = {phase.name: phase.optimizer for phase in trainer.phases}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=optimizers)})
