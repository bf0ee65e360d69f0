"""Sweep over settings, seeds and recipes: run folders are the queue, from which any number of workers and commands take."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aae.data.reading import as_text
from aae.device import choose_device
from aae.errors import InputError, TrainingError
from aae.files import expand, write_json
from aae.recipes import Recipe
from aae.recipes.reader import read_value
from aae.runs.recipe import full_path, read_recipe
from aae.sweeps.definition import FILE, Definition
from aae.sweeps.execution import Execution, NotStartedError, WorkerKilledError, wait_a_moment
from aae.sweeps.report import SweepResult, summarize
from aae.sweeps.search import Search, check_stored, require_optuna
from aae.sweeps.space import (
    Choices,
    Range,
    check_each_once,
    choices_from,
    key_of,
    listed,
    overrides,
    ranges_from,
    value_text,
)
from aae.sweeps.trials import Trial, data_is_kept, describe, is_open_elsewhere, note
from aae.training.run_directory import RunDirectory
from aae.training.settings import MAX_COUNT, MAX_SEEDS
from aae.training.signals import taken_up_again

LOCK_SECONDS = 30.0  # for which a command waits for others that begin a sweep in the same folder
PATHS = ("data.source", "data.labels_file")
KILLED = "its process was killed, as systems do when memory runs out"


@data_is_kept()
def sweep(
    recipes: str | Path | Recipe | Sequence[str | Path | Recipe] = (),
    run: str | Path = "runs/sweep",
    *,
    grid: Mapping[str, Iterable[Any]] | str | Iterable[str] = (),
    ranges: Mapping[str, str | Range] | str | Iterable[str] = (),
    search: int | None = None,
    prune: bool = True,
    seeds: int | None = None,
    settings: Mapping[str, Any] | str | Iterable[str] = (),
    data: str | Path | None = None,
    metric: str | None = None,
    device: str = "auto",
    execution: Execution | None = None,
    retry: bool = False,
) -> SweepResult:
    """Train recipes with many settings and seeds, and compare them by a metric of the validation rows.

    What is finished in the folder is not done again, what was interrupted goes on, and several calls share the work, on any
    machines that see the folder. A training that fails is written down with its reason and does not stop the others.

    Parameters
    ----------
    recipes : str, Path, Recipe, or a sequence of them
        Names, ``.toml`` files, or recipes already read. None: the sweep that the folder holds goes on as it is.
    run : str or Path
        Folder of the sweep. The runs of a setting are in ``<recipe>/<hash of the setting>/seed-0`` and so on.
    grid : mapping, str or iterable of str
        From key to its values, with dots or, as in `aae.train`, two underscores; or ``KEY=VALUE,VALUE,...``. All combinations are
        trained, or a search chooses among them.
    ranges : mapping, str or iterable of str
        For a search: from key to ``LOW:HIGH`` or ``LOW:HIGH:log``, or ``KEY=LOW:HIGH``; whole numbers if both ends are.
    search : int, optional
        Number of settings to try with Optuna, in place of all combinations; a search that the folder holds may be given more.
    prune : bool
        Whether a search gives up settings that are behind by more than the spread over seeds explains.
    seeds : int, optional
        Trainings of each setting, from ``training.seed`` on, over which results are averaged; by default one, or as many as the
        sweep in the folder has. With more than that only the new ones of a grid are trained.
    settings : mapping, str or iterable of str
        What is different from the recipes everywhere: from key to value, or ``KEY=VALUE``.
    data : str or Path, optional
        Named data set or path, in place of the recipes' own.
    metric : str
        By default ``validation_error_percent``, without labels ``validation_reconstruction``.
    device : {"auto", "cpu", "cuda"}
        Where to train. On a GPU the seeds of a setting of a grid are one batched program; a search trains them in turn.
    execution : Execution, optional
        How many workers, and where; by default one, in this process.
    retry : bool
        Whether what failed is trained again.

    Returns
    -------
    SweepResult
        Its table, figure and best recipe also are in the folder: ``settings.csv``, ``settings.png`` and ``best.toml``.

    Raises
    ------
    InputError
        A setting that does not exist or does not parse, an empty grid, a metric that a recipe does not have, a folder that holds
        another sweep or something else, a scheduler that takes no work; all before anything is trained.
    InterruptedTrainingError
        After a signal; the same call goes on.
    """
    seeds, search = _count("seeds", seeds, MAX_SEEDS), _count("search", search, MAX_COUNT)
    one_recipe = (str, Path, Recipe)
    nothing = type(None)
    _check_type("metric", metric, (str, nothing), "the name of a metric")
    _check_type("data", data, (str, Path, nothing), "a name or a path, from which all workers can read")
    _check_type("run", run, (str, Path), "a path")
    _check_type("execution", execution, (Execution, nothing), "an aae.sweeps.Execution")
    _check_type("recipes", recipes, (*one_recipe, Iterable), "names, paths or recipes")
    folder, execution = expand(run), execution or Execution()
    execution.check()
    choose_device(device)
    given = [recipes] if isinstance(recipes, one_recipe) else list(recipes)
    for one in given:
        _check_type("a recipe", one, one_recipe, "a name, a path or a recipe")
    choices, spans, fixed = _with_full_paths(choices_from(grid)), ranges_from(ranges), _settings(settings)
    twice = sorted({one.partition("=")[0].strip() for one in fixed} & {*choices, *spans})
    if twice:
        raise InputError(f"{twice[0]} is both set and varied; expected one or the other")
    if not given and (choices or spans or fixed or metric is not None or data is not None):
        raise InputError("settings without a recipe; expected recipes, or the folder of a sweep alone")
    before = Definition.read(folder) if not given or (folder / FILE).exists() else None
    if before is None or given:
        found = tuple(_read(one, fixed, None if data is None else str(data)) for one in given)
        seeds = seeds or (before.seeds if before else 1)
        definition = Definition(found, choices, spans, seeds, metric or "", search)
        definition.check()
        check_stored(folder)
        definition = definition.check_data(metric)
        definition.check_folder(folder)
    else:
        definition = replace(before, seeds=seeds or before.seeds, trials=search or before.trials)
        definition.check()
        definition.check_folder(folder)
        if _is_open(definition, folder, retry):  # for what is finished no data is needed
            definition = definition.check_data(before.metric)
    if definition.trials is not None:
        require_optuna()
    # Under this lock alone is written what the sweep is; it is gone afterwards.
    lock = RunDirectory(folder / ".definition").lock
    with lock(LOCK_SECONDS):
        replaced = definition.write(folder)
    try:
        with taken_up_again(folder):
            if definition.trials is not None:
                return _search(definition, folder, device, execution, prune, retry)
            return _all(definition, folder, device, execution, retry)
    except NotStartedError:
        with lock(LOCK_SECONDS):
            definition.withdraw(folder, replaced)
        with suppress(OSError):  # as it is where something else is in it
            folder.rmdir()
        raise


def _check_type(name: str, value: Any, kinds: tuple[type, ...], expected: str) -> None:
    if not isinstance(value, kinds):
        found = repr(value)
        raise InputError(f"{name} is {found if len(found) < 80 else f'a {type(value).__name__}'}; expected {expected}")


def _count(name: str, value: Any, most: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
        raise InputError(f"{name} is {value!r}; expected a whole number, at least 1 and at most {most}")
    return int(value)


def _is_open(definition: Definition, folder: Path, retry: bool) -> bool:
    """Check whether there is something to train."""
    if retry:
        return True
    if definition.trials is None:
        return any(trial.open_seeds() for trial in definition.grid(folder))
    return Search(definition, folder).is_open


def _with_full_paths(choices: Choices) -> Choices:
    """Make paths of data absolute where they exist: a sweep goes on from other folders too."""

    def full(text: str) -> str:
        value = read_value(text)
        return value_text(full_path(value)) if isinstance(value, str) else text

    found = {key: [full(one) for one in values] if key in PATHS else values for key, values in choices.items()}
    for key, values in found.items():
        check_each_once(key, values)
    return found


def _settings(given: Mapping[str, Any] | str | Iterable[str]) -> list[str]:
    given = listed(given, "settings", "KEY=VALUE")
    if isinstance(given, Mapping):
        return overrides({key_of(key): value_text(value, f"settings: {key}") for key, value in given.items()})
    return [as_text(text) for text in given]


def _read(recipe: str | Path | Recipe, fixed: Sequence[str], data: str | None) -> Recipe:
    if not isinstance(recipe, Recipe):
        return read_recipe(recipe, fixed, data)
    if data is not None:
        raise InputError(
            f"data is {data!r}; a recipe already read has its data, expected read_recipe(..., data={data!r})"
        )
    return read_recipe(recipe, fixed)


def _all(definition: Definition, folder: Path, device: str, execution: Execution, retry: bool) -> SweepResult:
    trials = definition.grid(folder)
    if retry:
        for trial in trials:
            for recipe in trial.each:
                trial.failure(recipe).unlink(missing_ok=True)
    train_all(trials, definition.metric, folder, device, execution)
    result = summarize(definition, folder, [(trial, "") for trial in trials])
    result.write()
    return result


def train_all(trials: Sequence[Trial], metric: str, folder: Path, device: str, execution: Execution) -> None:
    """Train all that is open in trials, here and wherever else somebody works on them.

    Raises
    ------
    InterruptedTrainingError
        After a signal.
    """
    waited = False
    tried = False
    while open_ones := [(trial, recipe) for trial in trials for recipe in trial.open_seeds()]:
        if tried and all(is_open_elsewhere(trial, recipe) for trial, recipe in open_ones):
            if not waited:
                note(f"{len(open_ones)} training(s) are left to other processes; waiting for them")
            waited = True
            wait_a_moment()
            continue
        workers = execution.at_most(len(open_ones))
        try:
            workers.run(Drain(tuple(trials), metric, device, workers.jobs or 1), folder)
        except WorkerKilledError:
            _find_killed(open_ones, metric, device, workers)
        tried = True


def _find_killed(open_ones: Sequence[tuple[Trial, Recipe]], metric: str, device: str, execution: Execution) -> None:
    """Train what had been begun when a worker was killed, each alone; that which is killed again has failed."""
    for trial, recipe in open_ones:
        if not trial.is_open(recipe) or not trial.is_begun(recipe) or is_open_elsewhere(trial, recipe):
            continue
        try:
            execution.run_apart(Drain((trial,), metric, device, 1, recipe.training.seed))
        except WorkerKilledError:
            write_json(trial.failure(recipe), {"reason": KILLED})
            note(describe(trial, recipe, metric))


@dataclass(frozen=True)
class Drain:
    """What a worker of a sweep without a search does: train whatever is open, setting by setting.

    Attributes
    ----------
    trials : tuple of Trial
        All of the sweep.
    metric : str
        Shown with each that is finished.
    device : str
        Where to train.
    workers : int
        How many there are; each begins at another place.
    seed : int, optional
        The one seed to train; by default all.
    """

    trials: tuple[Trial, ...]
    metric: str
    device: str
    workers: int
    seed: int | None = None

    @data_is_kept()
    def __call__(self, number: int) -> None:
        """Train until nothing is open."""
        together = choose_device(self.device).type == "cuda"
        turns = [
            (trial, seeds)
            for trial in self.trials
            for seeds in ([trial.each] if together else [[one] for one in trial.each])
            if self.seed is None or seeds[0].training.seed == self.seed
        ]
        start = number * len(turns) // max(1, self.workers)
        for trial, seeds in turns[start:] + turns[:start]:
            wanted = [one for one in seeds if trial.is_open(one)]
            busy = trial.train(wanted, self.device)
            for one in wanted:
                if one not in busy:
                    note(describe(trial, one, self.metric))


@dataclass(frozen=True)
class Seek:
    """What a worker of a search does; with `trial` it takes up that one alone."""

    definition: Definition
    folder: Path
    device: str
    prune: bool
    trial: int | None = None

    @data_is_kept()
    def __call__(self, number: int) -> None:
        """Try settings until there are enough."""
        search = Search(self.definition, self.folder)
        if self.trial is None:
            search.run(self.device, prune=self.prune)
        else:
            search.take_up(self.trial, self.device, prune=self.prune)


def _search(
    definition: Definition, folder: Path, device: str, execution: Execution, prune: bool, retry: bool
) -> SweepResult:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="optuna")
        search = Search(definition, folder)  # which says what is wrong before anything is trained
        if retry:
            search.retry_failed()
        try_all(Seek(definition, folder, device, prune), search, execution)
        result = summarize(definition, folder, search.trials(), search.importances(), search.unfitting())
    result.write()
    return result


def try_all(seek: Seek, search: Search, execution: Execution) -> None:
    """Try settings, here and wherever else somebody works on the search, until none is open.

    Raises
    ------
    InterruptedTrainingError
        After a signal.
    TrainingError
        If a worker is killed before it has begun anything.
    """
    waited = False
    while True:
        try:
            execution.at_most(search.most_workers).run(seek, search.folder)
        except WorkerKilledError:
            _find_killed_trial(seek, search, execution)
            continue
        left = search.running()
        while left and all(search.is_held(number) for number in left):
            if not waited:
                note(f"{len(left)} trial(s) are left to other processes; waiting for them")
            waited = True
            wait_a_moment()
            left = search.running()
        if not left:
            return


def _find_killed_trial(seek: Seek, search: Search, execution: Execution) -> None:
    """Train what had been begun when a worker was killed, each alone; that which is killed again has failed."""
    begun = search.running()
    if not begun:
        raise TrainingError(f"{search.folder}: a worker was killed before it had begun a trial")
    for number in begun:
        if search.is_held(number):
            continue
        try:
            execution.run_apart(replace(seek, trial=number))
        except WorkerKilledError:
            search.give_up(number, KILLED)
