"""Experiments: recipe -> data -> model -> engine -> run directory."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from aae import recipes
from aae._version import __version__
from aae.data import NAMES, Dataset
from aae.device import choose_device, describe_device, usual_arithmetic
from aae.errors import InputError
from aae.files import write_json, write_tensors
from aae.model import Model
from aae.networks import Scaling
from aae.noise import Noise, seeded, set_torch_state, torch_state
from aae.recipes import Recipe
from aae.recipes.build_data import fingerprint, labelled_rows, load_data, make_scaling, training_data
from aae.recipes.build_model import build_model, build_phases
from aae.runs.evaluate import validate
from aae.runs.hub import load
from aae.runs.run import Run
from aae.scaling import value_range
from aae.training.acceleration.distributed import Distributed, synchronize
from aae.training.batched_seeds import BatchedSeeds
from aae.training.checkpoints import checkpoint_names, latest_checkpoint
from aae.training.loop import TrainingJob, run_to_end
from aae.training.run_directory import RunDirectory
from aae.training.trainer import INIT, Trainer


def read_recipe(recipe: str | Path, overrides: Sequence[str] = (), data: str | None = None) -> Recipe:
    """Read a recipe, optionally pointed at other data.

    Parameters
    ----------
    recipe : str or Path
        Name of a recipe or a ``.toml`` file.
    overrides : sequence of str
        ``section.key=value``; they win over everything else.
    data : str, optional
        Named data set or path. What fits the recipe's own data alone is replaced: the validation split becomes 15 %, and a
        number of labels becomes all that the rows of a path have.

    Returns
    -------
    Recipe
        Complete and checked. On other data than its own it says so in its title, and is without the paper's numbers.

    Raises
    ------
    InputError
        As `recipes.read`.
    """
    own = recipes.read(recipe)
    fitted = [] if data is None or data == own.data.source else _fitted(own, data)
    found = recipes.read(recipe, [*fitted, *overrides])
    if found.data.source != own.data.source:
        title = f"{Path(found.data.source).name}, as in: {own.title}"
        found = found.model_copy(update={"title": title, "paper": {}})
    return _with_full_paths(found)


def _fitted(own: Recipe, data: str) -> list[str]:
    """List what has to change in a recipe for other data."""
    labels = []
    if data not in NAMES and Path(data).expanduser().exists():
        labels = [] if own.data.labels is None else ['data.labels="all"']
    return [
        f"data.source={json.dumps(data, ensure_ascii=False)}",
        f"data.validation={0.15 if own.data.validation else 0}",
        *labels,
    ]


def _with_full_paths(recipe: Recipe) -> Recipe:
    """Create paths absolute that lead somewhere: a run is used from other folders too."""
    given = {"source": recipe.data.source, "labels_file": recipe.data.labels_file}
    full = {
        key: str(path.absolute())
        for key, value in given.items()
        if value is not None and value not in NAMES and (path := Path(value).expanduser()).exists()
    }
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=full)})


def train_seeds(
    recipe: Recipe,
    seeds: int,
    *,
    run: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    batched: bool | None = None,
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

    Returns
    -------
    list of Run
        The finished runs, by seed.
    """
    if batched and Distributed.joined().world_size > 1:
        raise InputError("seeds are trained together by one process; expected no other processes, or seeds in turn")
    if seeds == 1:
        return [train(recipe, run=run, device=device, resume=resume)]
    folder = Path(run or Path("runs") / recipe.name)
    if not resume:
        RunDirectory(folder).require_new()
    elif not any(folder.glob("seed-*")):
        raise InputError(f"{folder}: no run of several seeds to go on with; expected folders seed-0, seed-1, ... in it")
    torch_device, dataset = choose_device(device), load_data(recipe)
    first = recipe.training.seed
    ones = [
        recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": seed})})
        for seed in range(first, first + seeds)
    ]
    paths = {one.training.seed: folder / f"seed-{one.training.seed}" for one in ones}
    alone = Distributed.joined().world_size == 1
    if batched if batched is not None else torch_device.type == "cuda" and alone:
        names = [checkpoint_names(RunDirectory(path).checkpoints) for path in paths.values()]
        common = max(set.intersection(*names), default=None) if resume else None
        prepared = []
        with usual_arithmetic(gradients=True), seeded(first, torch_device):
            for one in ones:
                path = paths[one.training.seed]
                prepared.append(prepare(one, path, torch_device, resume and path.exists(), dataset, common))
                BatchedSeeds.share_rows([p.job.trainer for p in prepared])
            train_together(prepared)
        return [Run.load(path, device, trust_modules=True) for path in paths.values()]
    return [
        train(one, dataset, run=path, device=device, resume=resume and path.exists())
        for one, path in zip(ones, paths.values(), strict=True)
    ]


def train_together(prepared: Sequence[PreparedRun]) -> None:
    """Train runs of one recipe with different seeds to the end: as one batched program those that are equally far."""
    places: dict[tuple[int, int], list[PreparedRun]] = {}
    for one in prepared:
        trainer = one.job.trainer
        places.setdefault((trainer.epoch, trainer.step), []).append(one)
    for (epoch, _), group in places.items():
        name = group[0].recipe.name
        jobs = [one.job for one in group]
        several = len(group) > 1 and epoch < group[0].recipe.training.epochs
        try:
            replicas = BatchedSeeds([job.trainer for job in jobs]) if several else None
        except (RuntimeError, NotImplementedError) as error:
            reason = str(error).strip().partition("\n")[0]
            print(f"note: {name}: the seeds are trained one after another, not together: {reason}", file=sys.stderr)
            replicas = None
        if replicas is not None:
            run_to_end(jobs, f"{name}, {len(group)} seeds", replicas.run_epoch)
        for one in group:
            if replicas is None:
                seed = one.recipe.training.seed
                set_torch_state(one.torch_state, one.job.trainer.device)
                run_to_end([one.job], f"{name} seed {seed}")
            one.finish()


def load_runs(folder: str | Path, device: str = "auto", *, trust_modules: bool = False) -> list[Run]:
    """Load a run, or every seed of one that was trained with several, by seed; `trust_modules` as for `Run.load`."""
    paths = [path for path in Path(folder).glob("seed-*") if path.is_dir()]
    runs = [load(path, device, trust_modules=trust_modules) for path in paths or [Path(folder)]]
    return sorted(runs, key=lambda run: run.recipe.training.seed)


def train(
    recipe: str | Path | Recipe,
    data: str | Path | Dataset | None = None,
    *,
    run: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
) -> Run:
    """Train a recipe into a run directory. Custom modules that the recipe names are imported.

    Parameters
    ----------
    recipe : str, Path or Recipe
        Name of a recipe, a ``.toml`` file, or a recipe already read.
    data : str, Path or Dataset, optional
        In place of the recipe's: a named data set or path (see `read_recipe`), or data already loaded.
    run : str or Path, optional
        The run directory, by default ``runs/<recipe name>``.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    resume : bool
        Go on with the run in that directory; it ends with the same bits as one that was never interrupted.

    Returns
    -------
    Run
        The finished run, ready to use.

    Raises
    ------
    InputError
        Bad recipe, data or run directory, all before any training.
    TrainingError
        A loss was not finite.
    InterruptedTrainingError
        Ctrl-C; a checkpoint was written.
    """
    if isinstance(data, Path):
        data = str(data)
    if not isinstance(data, str | Dataset | None):
        raise InputError(
            f"data is of type {type(data).__name__}; expected a name or path, or a Dataset (for arrays: aae.fit)"
        )
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(recipe, data=data if isinstance(data, str) else None)
    elif isinstance(data, str):
        raise InputError(
            f"data is {data!r}; a recipe already read expects a Dataset, or read_recipe(..., data={data!r})"
        )
    dataset = data if isinstance(data, Dataset) else None
    torch_device = choose_device(device)
    with usual_arithmetic(gradients=True), seeded(recipe.training.seed, torch_device):
        prepared = prepare(recipe, run or Path("runs") / recipe.name, torch_device, resume, dataset)
        run_to_end([prepared.job], f"{recipe.name} seed {recipe.training.seed}")
        prepared.finish()
    return Run.load(prepared.job.folder.path, device, trust_modules=True)  # those of the very recipe that was trained


@dataclass
class PreparedRun:
    """A run with everything ready to go on: `run_to_end` trains it, and then it can be finished."""

    recipe: Recipe
    job: TrainingJob
    scaling: Scaling
    metadata: dict[str, Any]
    torch_state: dict[str, Tensor]
    """Of torch's global generators, from which custom modules may draw."""

    def finish(self) -> None:
        """Write the weights of the trained run."""
        trainer, folder = self.job.trainer, self.job.folder
        if trainer.distributed.is_main_process:
            tensors = {f"model.{name}": tensor for name, tensor in trainer.trained.state_dict().items()}
            tensors |= {f"scaling.{name}": tensor for name, tensor in self.scaling.state_dict().items()}
            write_tensors(folder.weights, tensors)
            write_json(
                folder.metadata, {**self.metadata, "epochs": trainer.epoch, "seconds": round(self.job.seconds, 1)}
            )
        trainer.distributed.wait()


def prepare(
    recipe: Recipe,
    run: str | Path,
    device: torch.device,
    resume: bool = False,
    dataset: Dataset | None = None,
    checkpoint: str | None = None,
) -> PreparedRun:
    """Create what a run needs, or what it needs to go on, and write what defines it into its folder.

    Parameters
    ----------
    recipe, run, resume, dataset
        As for `train`.
    device : torch.device
        Where to train.
    checkpoint : str, optional
        Name of the checkpoint to go on from, by default the newest.

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
    folder = RunDirectory(run)
    resume = resume and not folder.is_new()  # a run killed before its first file was complete starts afresh
    if resume:
        _check_same_recipe(folder, recipe, optimizers=False)
    else:
        folder.require_new()
    dataset = dataset or load_data(recipe)
    seed = recipe.training.seed
    labelled = labelled_rows(recipe, dataset)
    model = build_model(recipe.model, dataset.shape, len(dataset.class_names), Noise(seed, INIT))
    model.to(device)
    synchronize(model, distributed)
    torch.manual_seed(seed)  # for modules and samplers of the user that draw from torch itself
    low, high = value_range(dataset.train.rows)
    scaling = make_scaling(recipe.data, recipe.model, dataset.train.rows)
    if distributed.is_main_process:
        _report_scaling(recipe, scaling, dataset)
    on_device = training_data(recipe, dataset.train, scaling, labelled).to(device)
    trainer = Trainer(model, build_phases(recipe, model), on_device, recipe.training, device, distributed)
    complete = _with_optimizers(recipe, trainer)
    if resume:
        _check_same_recipe(folder, complete)

    metadata = {
        "recipe": recipe.name,
        "shape": list(dataset.shape),
        "class_names": list(dataset.class_names),
        "columns": list(dataset.columns),
        "rows": str(dataset.train.rows.dtype),
        "scaling": scaling.record(),
        "row_range": (low, high) if low < 0 or high > 1 else (0.0, 1.0),
        "data": fingerprint(dataset),
        "training_rows": len(dataset.train),
        "device": describe_device(device, distributed.world_size),
        "version": __version__,
        "torch": torch.__version__,
        "command": command(recipe),
    }
    seconds = 0.0
    if resume:
        _check_same_data(folder, metadata)
        found = latest_checkpoint(folder.checkpoints, checkpoint)
        if found is not None:
            trainer.load_state(*found)
            seconds = found[1]["seconds"]
    if trainer.epoch > recipe.training.epochs:
        raise InputError(
            f"training.epochs is {recipe.training.epochs}; {folder.path} has {trainer.epoch} epochs already"
        )
    distributed.wait()  # all have seen the folder as it was
    if distributed.is_main_process:
        folder.keep_metrics(trainer.epoch)
        if resume and trainer.epoch < recipe.training.epochs:
            for result in (folder.weights, folder.evaluation):  # the run is not finished (any more)
                result.unlink(missing_ok=True)
        folder.start(recipes.dump(complete), metadata)

    def measure() -> dict[str, float]:
        with seeded(
            0, device
        ):  # custom modules may draw from torch itself; training goes on as if nothing had been measured
            return validate(cast(Model, trainer.trained), scaling, dataset.validation, recipe)

    job = TrainingJob(trainer, folder, measure, seconds)
    return PreparedRun(recipe, job, scaling, metadata, torch_state(device))


def _report_scaling(recipe: Recipe, scaling: Scaling, dataset: Dataset) -> None:
    """Say on stderr how a table is scaled, and where nothing can be learnt from it like that."""
    if scaling.spread is not None:
        print(f"note: scaling: {scaling.describe(dataset.columns)}", file=sys.stderr)
    concern = scaling.concern(recipe.model.encoder.input_noise)
    if concern is not None:
        print(f"warning: {dataset.name}: {concern}", file=sys.stderr)


def command(recipe: Recipe) -> str:
    """Write the command that trains this very recipe."""
    if recipe.name not in recipes.names():
        return "aae train recipe.toml"  # the run folder's own copy
    source = recipe.data.source
    base = read_recipe(recipe.name, data=source)
    before, now = _shaping(base), _shaping(recipe)
    changed = [f"{key}={_inline(value)}" for key, value in now.items() if value != before.get(key)]
    if _shaping(read_recipe(recipe.name, changed, source)) != now:  # a file of one's own that has the same name
        return "aae train recipe.toml"
    data = ["--data", source] if source != recipes.read(recipe.name).data.source else []
    return shlex.join(["aae", "train", recipe.name, *data, *(word for change in changed for word in ("--set", change))])


def _inline(value: Any) -> str:
    """Write a value as TOML on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(v)}" for key, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def _with_optimizers(recipe: Recipe, trainer: Trainer) -> Recipe:
    """Complete a recipe with the optimizer of every phase that runs."""
    optimizers = {phase.name: phase.optimizer for phase in trainer.phases}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=optimizers)})


def _check_same_recipe(folder: RunDirectory, recipe: Recipe, *, optimizers: bool = True) -> None:
    """Check that a recipe is that of a run folder, which is complete; `optimizers` says whether this one is too."""
    folder.require()
    before, now = _shaping(recipes.read(folder.recipe)), _shaping(recipe)
    if not optimizers:
        tables = [key for key in (*before, *now) if key.startswith("training.") and key.count(".") == 2]
        before, now = ({key: value for key, value in one.items() if key not in tables} for one in (before, now))
    free = {"training.epochs", "training.validate_every", "training.checkpoint_every"}
    for key in sorted(before.keys() | now.keys(), key=lambda key: (key != "data.source", key)):
        if before.get(key) != now.get(key) and key not in free:
            raise InputError(
                f"{folder.path}: cannot resume with another recipe; {key} is {now.get(key)!r}, the run has {before.get(key)!r}"
            )


def _shaping(recipe: Recipe) -> dict[str, Any]:
    """List what a recipe says of a run, by ``section.key``, and not where it comes from; an empty section stands for itself."""

    def flatten(table: dict[str, Any], prefix: str) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for key, value in table.items():
            nested = isinstance(value, dict) and value and key != "learning_rate"
            flat |= flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
        return flat

    around = {"title", "reference", "cost", "seeds", "short", "paper"}
    return flatten(recipe.model_dump(mode="json", exclude_none=True, exclude=around), "")


def _check_same_data(folder: RunDirectory, metadata: dict[str, Any]) -> None:
    before = folder.read_metadata()
    if before.get("data") != metadata["data"]:
        raise InputError(
            f"{folder.path}: cannot resume on other data; its fingerprint is {metadata['data']}, the run has {before.get('data')}"
        )
