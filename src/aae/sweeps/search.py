"""Search for a good setting with Optuna: its journal lies in the folder of the sweep, where workers on any machine find it."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import statistics
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aae.errors import InputError, InUseError, needs_extra
from aae.files import write_json
from aae.recipes import Recipe
from aae.sweeps.definition import FILE, JOURNAL, TRIALS, Definition
from aae.sweeps.space import Settings, overrides
from aae.sweeps.trials import PrunedError, Trial, describe, is_open_elsewhere, most_epochs, note
from aae.training.callbacks import AnyCallback, Training
from aae.training.run_directory import RunDirectory

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

SEARCH = "search"  # attribute of a study: digest of what is searched for
SETTINGS, RECIPE = "settings", "recipe"  # attributes of a trial: what is trained
REASON = "reason"  # why it was given up
EPOCHS = "epochs"  # that its trainings have
AGAIN = "again"  # number of the failed trial that it replaces
STARTUP = 10  # trials drawn at random before the sampler has an opinion
BEFORE_PRUNING = 5  # trials that are trained to the end before any is pruned
DOUBT = 2.0  # standard errors by which a trial has to be behind


def require_optuna() -> Any:
    """Import Optuna.

    Raises
    ------
    InputError
        Naming the extra, if it is not installed.
    """
    try:
        found = importlib.import_module("optuna")
    except ImportError:
        raise needs_extra("a search", "search") from None
    found.logging.set_verbosity(found.logging.WARNING)
    return found


def open_study(definition: Definition, folder: Path) -> optuna.Study:
    """Open the search in a folder, or begin it.

    Raises
    ------
    InputError
        If what is stored there belongs to another search, or is no journal.
    """
    library = require_optuna()
    journal = importlib.import_module("optuna.storages.journal")
    path = str(folder / JOURNAL)
    direction = "maximize" if definition.maximize else "minimize"
    lock = journal.JournalFileOpenLock(path)
    _drop_cut_line(Path(path), lock)
    try:
        storage = library.storages.JournalStorage(journal.JournalFileBackend(path, lock_obj=lock))
        study: optuna.Study = library.create_study(
            storage=storage,
            study_name="aae",
            direction=direction,
            load_if_exists=True,
            pruner=library.pruners.NopPruner(),
        )
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
        raise InputError(f"{path}: not the journal of a search, or damaged; expected a folder without it") from None
    asked = {key: value for key, value in definition.as_json().items() if key not in ("trials", "data")}
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    if not study.user_attrs and not study.get_trials(deepcopy=False):
        study.set_user_attr(SEARCH, digest)
    elif study.user_attrs.get(SEARCH) != digest:
        raise InputError(f"{path}: storage of another search; expected a folder without one")
    return study


def _drop_cut_line(path: Path, lock: Any) -> None:
    """Drop a last line of the journal that a full disk or a power failure cut short: the next one would be joined to it."""
    if not path.exists():
        return
    lock.acquire()
    try:
        content = path.read_bytes()
        if not content.endswith(b"\n") and b"\n" in content:
            with path.open("rb+") as file:
                file.truncate(content.rindex(b"\n") + 1)
            note(f"{path}: the last line was cut short, and is dropped")
    finally:
        lock.release()


def _states() -> Any:
    return require_optuna().trial.TrialState


class Search:
    """The search of a sweep: its trials are in a journal in the folder, which workers on any machine share.

    Parameters
    ----------
    definition : Definition
        Of the sweep.
    folder : Path
        Its folder.

    Attributes
    ----------
    study : optuna.Study
        The trials.

    Raises
    ------
    InputError
        As `open_study`.
    """

    def __init__(self, definition: Definition, folder: Path) -> None:
        self.definition, self.folder = definition, folder
        self.study = open_study(definition, folder)

    def run(self, device: str, *, prune: bool = True) -> None:
        """Try settings until the search has as many as it is to have; any number of workers may do so at once.

        A trial whose worker is gone is taken up first, and so is one whose setting another worker has trained by now. Draws
        depend on the seed of the first recipe, on the number of the trial, and on the trials before it.

        Raises
        ------
        InterruptedTrainingError
            After a signal; the trial is taken up by the next worker that comes.
        """
        while True:
            for number in self.running():
                self.take_up(number, device, prune=prune)
            if len(self._counted()) >= (self.definition.trials or 0):
                return
            self.take_up(self.study.ask().number, device, prune=prune)

    def running(self) -> list[int]:
        """List the numbers of the trials that have come to no end: somebody trains them, or did."""
        return [one.number for one in self.study.get_trials(deepcopy=False, states=(_states().RUNNING,))]

    def _counted(self) -> list[FrozenTrial]:
        """List the trials that the search has: without those that were one too many, and those that were begun again."""
        trials = self.study.get_trials(deepcopy=False)
        again = {one.user_attrs.get(AGAIN) for one in trials}
        failed = _states().FAIL
        return [one for one in trials if one.number not in again and (one.state != failed or REASON in one.user_attrs)]

    @property
    def is_open(self) -> bool:
        """Whether there are trials left to do."""
        return len(self._counted()) < (self.definition.trials or 0) or bool(self.running())

    @property
    def most_workers(self) -> int:
        """The number of trials that are left, for which there can be a worker each."""
        return (self.definition.trials or 0) - len(self._counted()) + len(self.running())

    def is_held(self, number: int) -> bool:
        """Check whether another process trains a trial, or another one with its setting."""
        try:
            with RunDirectory(self.folder / TRIALS / f"{number}").lock():
                pass
        except InUseError:
            return True
        trial = self._trial_of(self.study.get_trials(deepcopy=False)[number])
        return trial is not None and any(is_open_elsewhere(trial, recipe) for recipe in trial.open_seeds())

    def retry_failed(self) -> None:
        """Begin again what failed: each such trial is replaced by a new one with the same setting."""
        optuna = require_optuna()
        for one in self._counted():
            trial = self._trial_of(one)
            if one.state != _states().FAIL or trial is None:
                continue
            for recipe in trial.each:
                trial.failure(recipe).unlink(missing_ok=True)
            begun = optuna.trial.create_trial(
                state=_states().RUNNING,
                params=one.params,
                distributions=one.distributions,
                user_attrs={AGAIN: one.number},
            )
            self.study.add_trial(begun)

    def give_up(self, number: int, why: str) -> None:
        """Write down that a trial failed, and why."""
        frozen = self.study.get_trials(deepcopy=False)[number]
        trial = self._trial_of(frozen)
        if trial is not None and (seeds := trial.open_seeds()):
            write_json(trial.failure(seeds[0]), {"reason": why})
            note(f"trial {number}: {describe(trial, seeds[0], self.definition.metric)}")
        self._fail(require_optuna().trial.Trial(self.study, frozen._trial_id), why)

    def take_up(self, number: int, device: str, *, prune: bool) -> None:
        """Train a trial under a lock of its number, unless another worker does."""
        lock = RunDirectory(self.folder / TRIALS / f"{number}")
        with suppress(InUseError), lock.lock():
            if self.study.get_trials(deepcopy=False)[number].state != _states().RUNNING:
                return
            before = [one for one in self._counted() if one.number < number]
            if len(before) >= (self.definition.trials or 0):  # several workers asked at once
                self.study.tell(number, state=_states().FAIL)
                return
            self._run(number, device, prune)

    def _run(self, number: int, device: str, prune: bool) -> None:
        optuna = require_optuna()
        first = self.definition.recipes[0].training.seed
        self.study.sampler = optuna.samplers.TPESampler(
            seed=(first * 1_000_003 + number) % 2**32, n_startup_trials=STARTUP, constant_liar=True
        )
        active = optuna.trial.Trial(self.study, self.study.get_trials(deepcopy=False)[number]._trial_id)
        recipe, settings = self._suggest(active)
        words = " ".join([f"trial {number}:", recipe.name, *overrides(settings)])
        is_new = SETTINGS not in active.user_attrs
        active.set_user_attr(SETTINGS, settings)
        active.set_user_attr(RECIPE, recipe.name)
        try:
            trial = self.definition.trial(recipe, settings, self.folder)
        except InputError as error:  # values that do not fit together
            self._fail(active, str(error))
            note(f"{words}: failed: {error}")
            return
        epochs = most_epochs(trial.recipe)
        active.set_user_attr(EPOCHS, epochs)
        seeds = [one.training.seed for one in trial.each]

        def watch(seed: Recipe) -> AnyCallback:
            place = seeds.index(seed.training.seed)
            known = self.study.get_trials(deepcopy=False)[number].intermediate_values

            def report(training: Training) -> None:
                epoch = training.epoch
                value, step = training.metrics.get(self.definition.metric), place * epochs + epoch
                if value is None:
                    return
                if step not in known:
                    active.report(value, step)
                is_last = place == len(seeds) - 1 and epoch == epochs  # where there is nothing left to save
                maximize = self.definition.maximize
                if prune and not is_last and is_behind(self.study, number, epochs, place, epoch, maximize=maximize):
                    raise PrunedError(f"behind the median after epoch {epoch} of seed {seed.training.seed}")

            return report

        if is_new and trial.each[0].training.seed not in [one.training.seed for one in trial.open_seeds()]:
            note(f"{words}: as another trial before; its result counts for both")
        for one in trial.open_seeds():
            try:
                busy = trial.train([one], device, watch)
            except PrunedError as error:
                active.set_user_attr(REASON, str(error))
                self.study.tell(active, state=optuna.trial.TrialState.PRUNED)
                note(f"trial {number}: {describe(trial, one, self.definition.metric)}: pruned, {error}")
                return
            if busy:  # the same setting in another trial, whose result this one will have
                if is_new:
                    note(f"{words}: another process trains this setting; its result counts for both")
                return
            note(f"trial {number}: {describe(trial, one, self.definition.metric)}")
            if trial.failed(one) is not None:
                break
        failures = trial.failures(self.definition.metric)
        if failures:
            self._fail(active, failures[0])
            return
        self.study.tell(active, statistics.fmean(trial.values(self.definition.metric)))

    def _fail(self, active: optuna.Trial, why: str) -> None:
        active.set_user_attr(REASON, why)
        self.study.tell(active, state=_states().FAIL)

    def _suggest(self, active: optuna.Trial) -> tuple[Recipe, Settings]:
        recipes = {recipe.name: recipe for recipe in self.definition.recipes}
        name = active.suggest_categorical("recipe", list(recipes)) if len(recipes) > 1 else next(iter(recipes))
        settings: Settings = {}
        for key, values in self.definition.choices.items():
            settings[key] = active.suggest_categorical(key, values)
        for key, one in self.definition.ranges.items():
            if one.is_whole:
                settings[key] = repr(active.suggest_int(key, int(one.low), int(one.high), log=one.log))
            else:
                settings[key] = repr(active.suggest_float(key, float(one.low), float(one.high), log=one.log))
        return recipes[name], settings

    def _trial_of(self, frozen: FrozenTrial) -> Trial | None:
        """Create the trial of a setting that was drawn; None if it is not known yet, or none of the recipe."""
        if SETTINGS not in frozen.user_attrs:
            return None
        recipe = next(recipe for recipe in self.definition.recipes if recipe.name == frozen.user_attrs[RECIPE])
        with suppress(InputError):  # values that do not fit together
            return self.definition.trial(recipe, dict(frozen.user_attrs[SETTINGS]), self.folder)
        return None

    def trials(self) -> list[tuple[Trial, str]]:
        """List what was tried, with the reason why it came to no end, empty if it did."""
        found: dict[Path, tuple[Trial, str]] = {}
        for one in self._counted():
            trial = self._trial_of(one)
            if trial is None:
                continue
            state = "pruned: " if one.state == _states().PRUNED else ""
            found.setdefault(trial.folder, (trial, state + one.user_attrs.get(REASON, "")))
        return list(found.values())

    def unfitting(self) -> list[tuple[str, Settings, str]]:
        """List the recipe and the setting of trials whose values do not fit together, and why."""
        return [
            (one.user_attrs[RECIPE], dict(one.user_attrs[SETTINGS]), one.user_attrs[REASON])
            for one in self._counted()
            if SETTINGS in one.user_attrs and REASON in one.user_attrs and self._trial_of(one) is None
        ]

    def importances(self) -> dict[str, float]:
        """Return which fraction of the variance of the results each key explains, by a functional ANOVA of random forests.

        Empty where the results are all alike, or fewer than two keys varied: one alone explains everything.
        """
        optuna = require_optuna()
        complete = self.study.get_trials(deepcopy=False, states=(_states().COMPLETE,))
        varied = [
            key
            for key in (complete[0].params if complete else ())
            if len({str(one.params[key]) for one in complete}) > 1
        ]
        if len({one.value for one in complete}) < 2 or len(varied) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        try:
            found = optuna.importance.get_param_importances(self.study, evaluator=evaluator, params=varied)
        except (RuntimeError, ValueError):  # too few trials
            return {}
        return {str(key): float(value) for key, value in found.items()}


def is_behind(study: optuna.Study, number: int, epochs: int, seed: int, epoch: int, *, maximize: bool) -> bool:
    """Check whether a trial is worse than the median of the others by more than chance of seeds explains.

    Trials are compared at the same epoch over the same first seeds, whose initial weights and mini-batches they share. Half of
    the seeds and more are compared by mean; the doubt is the standard error that the spread of values over the seeds of
    finished trials leaves of a mean over so many seeds, as long as that is known.

    Parameters
    ----------
    study : optuna.Study
        Its trials report the value of seed k after epoch e (from 1) as step ``k * epochs + e``, each with its own `epochs`.
    number : int
        The trial.
    epochs : int
        Of a training.
    seed : int
        Place of the seed that is being trained, from 0.
    epoch : int
        That it has finished.
    maximize : bool
        Whether more is better.
    """
    sign = -1.0 if maximize else 1.0
    trials = study.get_trials(deepcopy=False)
    complete = [one for one in trials if one.state == _states().COMPLETE and one.number != number]
    own = _values_at(trials[number], epochs, epoch, seed + 1)
    others = [found for one in complete if len(found := _values_at(one, epochs, epoch, seed + 1)) == seed + 1]
    if len(own) <= seed or len(others) < BEFORE_PRUNING:
        return False
    variances = [statistics.variance(each) for one in complete if len(each := _values_at(one, epochs, epoch)) > 1]
    doubt = DOUBT * math.sqrt(statistics.fmean(variances) / (seed + 1)) if variances else 0.0
    return sign * statistics.fmean(own) > sign * statistics.median(map(statistics.fmean, others)) + doubt


def _values_at(trial: FrozenTrial, epochs: int, epoch: int, seeds: int | None = None) -> list[float]:
    """List what the first seeds of a trial, or all, reported after an epoch; it has `epochs` of them if it does not say so."""
    epochs = trial.user_attrs.get(EPOCHS, epochs)
    values = trial.intermediate_values
    most = max(values, default=0) // epochs + 1 if seeds is None else seeds
    steps = [k * epochs + epoch for k in range(most)] if epoch <= epochs else []
    return [values[step] for step in steps if step in values]


def check_stored(folder: Path) -> None:
    """Check that a journal in the folder belongs to the sweep that is written down there.

    Raises
    ------
    InputError
        If there is a journal and nothing that says of what.
    """
    if (folder / JOURNAL).exists() and not (folder / FILE).exists():
        raise InputError(f"{folder / JOURNAL}: storage of another search; expected a folder without one")
