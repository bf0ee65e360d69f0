"""Training of one or several seeds of a recipe, in turn or as one batched program, each into its run folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import torch

from aae import recipes
from aae.data import Dataset
from aae.device import choose_device, usual_state
from aae.errors import RESUME, InputError, InterruptedTrainingError
from aae.noise import seeded, set_torch_state
from aae.recipes import Recipe
from aae.recipes.build_data import load_data
from aae.runs.prepare import PreparedRun, prepare
from aae.runs.resume import WHERE, check_same_recipe, common_place, is_finished, shaping
from aae.runs.run import Run
from aae.training.acceleration.distributed import Distributed
from aae.training.batched_seeds import BatchedSeeds
from aae.training.callbacks import AnyCallback
from aae.training.data import TrainingData
from aae.training.loop import run_to_end
from aae.training.run_directory import RunDirectory
from aae.training.settings import MAX_SEED
from aae.training.signals import Interruption

MAY_DIFFER = {  # in seeds of a run
    *("training.seed", "training.validate_every", "training.checkpoint_every"),
    # what "auto" found: clusters that are set apart for some of them, shares of the rows that each has labels of
    *("training.start_partition", "model.label.probabilities"),
}


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

    Raises
    ------
    InputError, TrainingError, InterruptedTrainingError
        As for `train`.
    """
    if batched and Distributed.joined().world_size > 1:
        raise InputError("seeds are trained together by one process; expected no other processes, or seeds in turn")
    folder = Path(run or Path("runs") / recipe.name)
    if recipe.training.min_steps:
        dataset = dataset or load_data(recipe)
        recipe = with_least_steps(recipe, len(dataset.train))
    if seeds == 1:
        return [_train_one(recipe, RunDirectory(folder), device, resume, dataset, callbacks)]
    new = RunDirectory(folder).is_new()
    if not resume:
        RunDirectory(folder).require_new()
    elif not new and not any(folder.glob("seed-*")):
        raise InputError(f"{folder}: no run of several seeds to go on with; expected folders seed-0, seed-1, ... in it")
    ones = with_seeds(recipe, seeds)
    paths = {one.training.seed: folder / f"seed-{one.training.seed}" for one in ones}
    for path in sorted({path for path in folder.glob("seed-*") if path.is_dir()} - {*paths.values()}):
        if not RunDirectory(path).is_new():  # another seed, which is to be one of the same run
            seed = recipes.read(RunDirectory(path).recipe).training.seed
            check_same_recipe(RunDirectory(path), with_seed(recipe, seed), complete=False)
    unfinished = [
        one for one in ones if not (resume and is_finished(RunDirectory(paths[one.training.seed]), one, dataset))
    ]
    if unfinished:
        alone = Distributed.joined().world_size == 1
        on_gpu = choose_device(device).type == "cuda"
        together = batched if batched is not None else on_gpu and alone
        dataset = dataset or load_data(recipe)
        turns = [unfinished] if together else [[one] for one in unfinished]
        data: TrainingData | None = None
        for turn in turns:
            targets = [(one, RunDirectory(paths[one.training.seed])) for one in turn]
            more = turn is not turns[-1]
            data = _train(targets, choose_device(device), resume, dataset, more=more, callbacks=callbacks, like=data)
    return [Run.load(path, device, trust_modules=True) for path in paths.values()]


def with_least_steps(recipe: Recipe, rows: int) -> Recipe:
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
    return [with_seed(recipe, seed) for seed in range(first, first + seeds)]


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """Copy a recipe with another seed."""
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": seed})})


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


def _train(
    targets: Sequence[tuple[Recipe, RunDirectory]],
    device: torch.device,
    resume: bool,
    dataset: Dataset | None,
    *,
    more: bool = False,
    callbacks: Sequence[AnyCallback] = (),
    like: TrainingData | None = None,
) -> TrainingData | None:
    """Train a run, or several together, each under the lock on its folder; `more` says whether others are to follow.

    `like` is what another seed was trained on; returns what the last one was, if any was trained.
    """
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
            prepared.append(prepare(recipe, folder, device, resume, dataset, place, like))
            like = prepared[-1].job.trainer.data
            BatchedSeeds.share_rows([one.job.trainer for one in prepared])
        interruption = train_together(prepared, callbacks)
        if interruption.is_set and more:
            raise _stopped(targets[-1][1], interruption)
    return like


def train_together(prepared: Sequence[PreparedRun], callbacks: Sequence[AnyCallback] = ()) -> Interruption:
    """Train runs of one recipe with different seeds to the end: batched those that are equally far, with the same p(y) and start.

    Returns
    -------
    Interruption
        Whether a signal came when there was nothing to stop any more.

    Raises
    ------
    InterruptedTrainingError
        If it came when some were finished and others were not.
    """
    interruption = Interruption()
    left = len(prepared)
    places: dict[tuple[int, int, object, object], list[PreparedRun]] = {}
    for one in prepared:
        trainer, label = one.job.trainer, one.recipe.model.label
        shares = None if label is None else label.probabilities  # p(y), which is no part of the weights
        start = one.recipe.training.start_partition  # the weights of losses by epoch, which those of a batch share
        places.setdefault((trainer.epoch, trainer.step, shares, start), []).append(one)
    for (epoch, *_), group in places.items():
        name = group[0].recipe.name
        jobs = [one.job for one in group]
        settings = group[0].recipe.training
        several = len(group) > 1 and epoch < settings.epochs
        reason = "each ends where it is best (training.patience)" if settings.patience_epochs is not None else ""
        replicas = None
        try:
            replicas = BatchedSeeds([job.trainer for job in jobs]) if several and not reason else None
        except (RuntimeError, NotImplementedError) as error:
            reason = str(error).strip().partition("\n")[0]
        if several and reason:
            print(f"note: {name}: the seeds are trained one after another, not together: {reason}", file=sys.stderr)
        if replicas is not None:
            interruption = run_to_end(jobs, f"{name}, {len(group)} seeds", replicas.run_epoch, callbacks)
        for one in group:
            if replicas is None:
                seed = one.recipe.training.seed
                set_torch_state(one.torch_state, one.job.trainer.device)
                interruption = run_to_end([one.job], f"{name} seed {seed}", callbacks=callbacks)
            one.finish()
            left -= 1
            finished = replicas is None or one is group[-1]  # what was trained together is finished together
            if interruption.is_set and left and finished:
                raise _stopped(one.job.folder, interruption)
    return interruption


def _stopped(last: RunDirectory, interruption: Interruption) -> InterruptedTrainingError:
    """Create the error of a stop between two seeds, the first of which is finished."""
    where = last.path
    return InterruptedTrainingError(
        f"stopped when {where.name} was finished; {where.parent} goes on with {RESUME}", interruption.status
    )


def load_runs(folder: str | Path, device: str = "auto", *, trust_modules: bool = False) -> list[Run]:
    """Load a run, or every seed of one that was trained with several, by seed; `trust_modules` as for `Run.load`.

    Raises
    ------
    InputError
        If runs in folders of seeds have the same seed, or differ in more.
    """
    paths = [path for path in Path(folder).glob("seed-*") if path.is_dir()]
    runs = [Run.load(path, device, trust_modules=trust_modules) for path in paths or [Path(folder)]]
    runs.sort(key=lambda run: run.recipe.training.seed)
    for one, other in pairwise(runs):
        names = f"{folder}: {one.folder.path.name} and {other.folder.path.name}"
        seed = one.recipe.training.seed
        if other.recipe.training.seed == seed:
            raise InputError(f"{names} have the same training.seed, {seed}; expected one run of each seed")
        here, there = (_shared(run) for run in (one, other))
        for key in sorted({*here, *there}):
            if here.get(key) != there.get(key):
                raise InputError(
                    f"{names} differ in {key}, {here.get(key)!r} and {there.get(key)!r}; expected seeds of one run"
                )
    return runs


def _shared(run: Run) -> dict[str, object]:
    """List what the seeds of a run have in common: what their recipes say but for where data lies, and the data."""
    kept = {key: value for key, value in shaping(run.recipe).items() if key not in MAY_DIFFER and key not in WHERE}
    return kept | {"the data's fingerprint": run.metadata["data"]}
