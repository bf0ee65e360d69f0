"""Taking up a run again: what has to be as it was, what may differ, and when there is nothing left to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aae import recipes
from aae.data import NAMES, Dataset
from aae.errors import InputError, reason
from aae.recipes import Recipe
from aae.recipes.build_data import fingerprint, load_data
from aae.recipes.files import is_schedule
from aae.training.checkpoints import Place, checkpoint_places, latest_checkpoint
from aae.training.run_directory import Record, RunDirectory
from aae.training.trainer import Trainer

START: Place = (0, 0)
FREE = {"training.epochs", "training.min_steps", "training.validate_every", "training.checkpoint_every"}
# Learning rates of phases, and how long to wait for an improvement where training waits at all, may change, which is noted.
CHANGEABLE = re.compile(r"training\.(\w+\.learning_rate|patience|tolerance)")
# "auto" until the data and the device are there to find them by.
FOUND = {
    *("model.label.probabilities", "model.output", "model.style.dim"),
    *("training.precision", "training.start_partition"),
}
WHERE = ("data.source", "data.labels_file")  # data can lie elsewhere; its fingerprint says whether it is the same


def is_finished(folder: RunDirectory, recipe: Recipe, dataset: Dataset | None = None) -> bool:
    """Check whether a recipe's run in a folder needs no more training; whoever asks is to leave it as it is.

    A `dataset` given in place of that which the recipe names is compared with that of the run.

    Raises
    ------
    InputError
        If the folder holds the run of another recipe, a longer one, or one that is to be longer and has no checkpoint.
    """
    done, asked = folder.finished_epochs(), recipe.training.epochs
    if not done:
        return False
    changed = check_same_recipe(folder, recipe, complete=False)
    if asked == done and changed:
        key, (before, now) = next(iter(changed.items()))
        raise InputError(
            f"{folder.path}: finished after {done} epochs with {key} {before!r}; {now!r} expects more epochs to go on with"
        )
    if asked == folder.read_metadata().get("ended_before") and not changed:
        done = asked  # it ended early, and has nothing left to do
    if asked < done:
        raise InputError(f"training.epochs is {asked}; {folder.path} has {done} epochs already")
    if asked > done and not checkpoint_places(folder.checkpoints):
        raise InputError(
            f"{folder.path}: finished after {done} epochs and without a checkpoint; training.epochs {asked} expects one "
            "to go on from"
        )
    if asked == done:
        _check_data_at_hand(folder, recipe, dataset)
    return asked == done


def _check_data_at_hand(folder: RunDirectory, recipe: Recipe, dataset: Dataset | None) -> None:
    """Check that a data set or a file of it, where there is one, is what a finished run was trained on."""
    if dataset is not None:
        check_same_data(folder, {"data": fingerprint(dataset)})
    elif recipe.data.source not in NAMES and Path(recipe.data.source).exists():
        check_same_data(folder, {"data": fingerprint(load_data(recipe))})


def common_place(folders: Sequence[RunDirectory]) -> Place | None:
    """Find the place from which seeds that train together go on together; None: each from its own newest checkpoint.

    Seeds that were stopped between their first checkpoints, when some had one and others none, start anew.
    """
    started = [folder for folder in folders if not folder.is_new() and not folder.finished_epochs()]
    places = [checkpoint_places(folder.checkpoints) for folder in started]
    if places and not all(places):
        return START
    return max(set[Place].intersection(*places), default=None) if places else None


def restore(trainer: Trainer, folder: RunDirectory, place: Place | None) -> tuple[float, float]:
    """Bring a trainer to a checkpoint of its run; returns the seconds spent until then, on the clock and of processors.

    Raises
    ------
    InputError
        If the checkpoint is damaged or does not fit, or the run has more epochs already.
    """
    found = None if place == START else latest_checkpoint(folder.checkpoints, place)
    if found is None:
        return 0.0, 0.0
    try:
        trainer.load_state(*found)
        times = float(found[1]["seconds"]), float(found[1]["cpu_seconds"])
    except InputError as error:
        raise InputError(f"{folder.path}: {error}") from None
    except (KeyError, RuntimeError, TypeError, ValueError) as error:  # digest and all: made by another version
        raise InputError(f"{folder.checkpoints}: the checkpoint does not fit this program ({reason(error)})") from None
    if (trainer.epoch, trainer.step) > (trainer.settings.epochs, 0):
        steps = f" and {trainer.step} steps" if trainer.step else ""
        raise InputError(
            f"training.epochs is {trainer.settings.epochs}; {folder.path} has {trainer.epoch} epochs{steps} already"
        )
    return times


def check_same_recipe(folder: RunDirectory, recipe: Recipe, *, complete: bool = True) -> dict[str, tuple[Any, Any]]:
    """Check that a recipe is that of a run folder; `complete` says whether it has the optimizer of every phase, as that has.

    Returns
    -------
    dict of str to (before, now)
        What has changed and may, by key.

    Raises
    ------
    InputError
        Naming the first key that differs.
    """
    folder.require()
    before, now = shaping(recipes.read(folder.recipe)), shaping(recipe)
    if not complete:
        given = {
            f"training.{phase}.{key}"
            for phase, optimizer in recipe.training.named_optimizers.items()
            for key in optimizer.model_fields_set
        }
        tables = [key for key in (*before, *now) if key.startswith("training.") and key.count(".") == 2]
        hidden = set(tables) - given
        before, now = ({key: value for key, value in one.items() if key not in hidden} for one in (before, now))
    changed: dict[str, tuple[Any, Any]] = {}
    for key in sorted(before.keys() | now.keys(), key=lambda key: (key != "data.source", key)):
        moved = key in WHERE and not {before.get(key), now.get(key)} & set(NAMES)
        if before.get(key) == now.get(key) or key in FREE or moved or (key in FOUND and now.get(key) == "auto"):
            continue
        changed[key] = before.get(key), now.get(key)
        if not CHANGEABLE.fullmatch(key) or None in changed[key]:
            raise InputError(
                f"{folder.path}: cannot resume with another recipe; {key} is {now.get(key)!r}, the run has {before.get(key)!r}"
            )
    return changed


def check_same_data(folder: RunDirectory, metadata: Record) -> None:
    """Check that the data of `metadata` is that of a run folder.

    Raises
    ------
    InputError
        With both fingerprints.
    """
    before = folder.read_metadata()["data"]
    if before != metadata["data"]:
        raise InputError(
            f"{folder.path}: cannot resume on other data; its fingerprint is {metadata['data']}, the run has {before}"
        )


def shaping(recipe: Recipe) -> dict[str, Any]:
    """List what a recipe says of a run, by ``section.key``, and not where it comes from; an empty section stands for itself."""

    def flatten(table: dict[str, Any], prefix: str) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for key, value in table.items():
            nested = isinstance(value, dict) and value and not is_schedule(value)
            flat |= flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
        return flat

    around = {"title", "reference", "cost", "seeds", "short", "paper"}
    return flatten(recipe.model_dump(mode="json", exclude_none=True, exclude=around), "")
