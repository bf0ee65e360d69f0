"""What a sweep is: its recipes, what varies, how many seeds, the metric; checked before it starts, and kept in its folder."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aae.errors import InputError
from aae.evaluation.metrics import describe
from aae.files import read_object, write_json
from aae.recipes import Recipe
from aae.recipes.build_data import fingerprint
from aae.recipes.reader import check, flatten, given
from aae.runs.seeds import with_seeds
from aae.runs.validation_metric import choose_metric, metrics_of
from aae.sweeps.execution import JOBS
from aae.sweeps.space import SEED, Choices, Range, Settings, grid
from aae.sweeps.trials import Trial, load
from aae.training.settings import MAX_SEEDS, Count, validation_message

FILE, JOURNAL = "sweep.json", "search.journal"
TABLE, FIGURE, BEST = "settings.csv", "settings.png", "best.toml"
TRIALS = "trials"
OWN = (FILE, JOURNAL, TABLE, FIGURE, BEST, TRIALS, JOBS)  # what a sweep has in its folder beside its recipes
MAX_TRIALS = 100_000
MAX_COMBINATIONS = 1000  # of the ends of other keys, among which one is looked for that fits a value


class Stored(BaseModel):
    """What the file of a sweep holds."""

    model_config = ConfigDict(strict=True)

    recipes: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    choices: dict[str, Annotated[list[str], Field(min_length=1)]]
    ranges: dict[str, str]
    seeds: Annotated[Count, Field(le=MAX_SEEDS)]
    metric: str
    trials: Count | None = None
    data: list[str] = []


@dataclass(frozen=True)
class Definition:
    """A sweep.

    Attributes
    ----------
    recipes : tuple of Recipe
        Each is trained with every setting; their names differ.
    choices : dict
        From key to the values it can have.
    ranges : dict
        From key to where its values are drawn from; for a search alone.
    seeds : int
        Trainings of each setting, from ``training.seed`` of its recipe on.
    metric : str
        Of the validation split, after the last epoch.
    trials : int, optional
        How many settings a search tries; None: all combinations are trained.
    data : tuple of str
        Fingerprints of the data, which is to stay as it is; empty: not known.
    """

    recipes: tuple[Recipe, ...]
    choices: Choices
    ranges: dict[str, Range]
    seeds: int
    metric: str
    trials: int | None = None
    data: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """What varies."""
        return [*(["recipe"] if len(self.recipes) > 1 else []), *self.choices, *self.ranges]

    @property
    def maximize(self) -> bool:
        """Whether more of the metric is better."""
        return describe(self.metric).direction == "higher"

    def trial(self, recipe: Recipe, settings: Settings, folder: Path) -> Trial:
        """Create the trial of a setting; raises as `Trial.create`."""
        return Trial.create(recipe, settings, folder, self.seeds)

    def grid(self, folder: Path) -> list[Trial]:
        """List all trials of a sweep that is no search; raises as `Trial.create`."""
        return [self.trial(recipe, settings, folder) for recipe in self.recipes for settings in grid(self.choices)]

    def check(self) -> None:
        """Check that every setting is one of its recipe, and that the recipes have the metric.

        Raises
        ------
        InputError
            Naming the recipe and the key.
        """
        names = [recipe.name for recipe in self.recipes]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"two recipes have the name {name!r}; expected names that differ")
            if name.lower() in OWN:
                raise InputError(f"a recipe has the name {name!r}, as a file of the sweep has; expected another name")
        if self.trials is None and self.ranges:
            raise InputError(
                f"range {next(iter(self.ranges))}: a grid has values; expected a search, or a list of values"
            )
        if self.trials is not None and not self.keys:
            raise InputError("a search without anything to vary; expected choices or ranges")
        both = next((key for key in self.choices if key in self.ranges), None)
        if both is not None:
            raise InputError(f"{both} has both values and a range; expected one of them")
        size = len(names)
        for values in self.choices.values():
            size *= len(values)
        if self.trials is None and size > MAX_TRIALS:
            raise InputError(f"the grid has {size} settings; expected at most {MAX_TRIALS}, or a search")
        nowhere = Path("sweep")
        for recipe in self.recipes:
            with_seeds(recipe, self.seeds)
            if self.trials is None:
                _check_distinct(recipe, (self.trial(recipe, settings, nowhere) for settings in grid(self.choices)))
                continue
            for key, values in self._ends.items():  # which of them fit together shows when they are tried
                _check_distinct(recipe, (self._fitting(recipe, key, value) for value in values))
            for key, one in self.ranges.items():
                self._fitting(recipe, key, one.middle)

    def _fitting(self, recipe: Recipe, key: str, value: str) -> Trial:
        """Create the trial that differs in one key, or in others too if the value does not fit without; raises as `check`."""
        nowhere = Path("sweep")
        try:
            return self.trial(recipe, {key: value}, nowhere)
        except InputError as refusal:
            others = grid({other: values for other, values in self._ends.items() if other != key})
            for settings in itertools.islice(others, MAX_COMBINATIONS):
                try:
                    return self.trial(recipe, settings | {key: value}, nowhere)
                except InputError:
                    continue
            raise refusal from None

    @property
    def _ends(self) -> Choices:
        """All values of keys, and both ends of ranges."""
        return self.choices | {key: one.ends for key, one in self.ranges.items()}

    def check_data(self, wanted: str | None) -> Definition:
        """Load the data of every setting, check that the labels asked for are there, and choose the metric.

        Parameters
        ----------
        wanted : str, optional
            The metric, in place of the default.

        Returns
        -------
        Definition
            With the metric, and the fingerprints of the data.

        Raises
        ------
        InputError
            As `load_data`, `labelled_rows` and `choose_metric`. In a search some values need not fit together.
        """
        of_data = {key: values for key, values in self._ends.items() if key.startswith("data.")}
        others = {key: values[0] for key, values in self.choices.items() if key not in of_data}
        fitting: list[tuple[Recipe, Settings]] = []
        known: list[set[str]] = []
        data: dict[str, None] = {}
        wrong: list[tuple[str, Settings, InputError]] = []
        for base in self.recipes:
            for settings in grid(of_data):
                try:
                    try:
                        recipe, metrics, found = self._measure(base, settings)
                    except InputError:  # which may be what other keys mend
                        if not others or self.trials is not None:
                            raise
                        recipe, metrics, found = self._measure(base, others | settings)
                except InputError as error:
                    if self.trials is None:
                        raise
                    wrong.append((base.name, settings, error))
                    continue
                fitting.append((recipe, settings))
                known.append(metrics)
                data[found] = None
        for name, settings, refusal in wrong:
            used = [one for recipe, one in fitting if recipe.name == name]
            if not settings or any(all(one[key] != value for one in used) for key, value in settings.items()):
                raise refusal
        return replace(self, metric=choose_metric([recipe for recipe, _ in fitting], wanted, known), data=tuple(data))

    def _measure(self, base: Recipe, settings: Settings) -> tuple[Recipe, set[str], str]:
        recipe = self.trial(base, settings, Path("sweep")).recipe
        dataset = load(recipe)
        return recipe, metrics_of(recipe, dataset), fingerprint(dataset)

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the folder."""
        return {
            "recipes": {recipe.name: given(recipe) for recipe in self.recipes},
            "choices": self.choices,
            "ranges": {key: str(value) for key, value in self.ranges.items()},
            "seeds": self.seeds,
            "metric": self.metric,
            "trials": self.trials,
            "data": list(self.data),
        }

    def write(self, folder: Path) -> dict[str, Any] | None:
        """Write it into its folder; returns what was there before, and raises as `check_folder`."""
        before = self.check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, self.as_json())
        return before

    def check_folder(self, folder: Path) -> dict[str, Any] | None:
        """Check that a folder is new or holds this sweep; it may have more seeds, or a search more trials, than that one.

        Returns
        -------
        dict or None
            What is there.

        Raises
        ------
        InputError
            If the folder holds another sweep, or something else.
        """
        path = folder / FILE
        if not path.exists():
            if folder.exists() and (
                not folder.is_dir() or any(not entry.name.startswith(".") for entry in folder.iterdir())
            ):
                raise InputError(
                    f"{folder}: already exists and holds no sweep; expected a new folder, or that of this sweep"
                )
            return None
        now, before = self.as_json(), _read(path).model_dump()
        here, there = _by_key(json.loads(json.dumps(now))), _by_key(before)
        for key in [*here, *(key for key in there if key not in here)]:
            value, found = here.get(key), there.get(key)
            grows = key == ("seeds" if self.trials is None else "trials")
            if value == found or (grows and isinstance(found, int) and isinstance(value, int) and value > found):
                continue
            what, other = ("not set" if one is None else _shown(one) for one in (value, found))
            raise InputError(
                f"{folder}: holds another sweep; {key} is {what}, that one has {other}; expected another folder"
            )
        if before["data"] and before["data"] != now["data"]:
            raise InputError(
                f"{folder}: trained on data that has changed since (fingerprint {_shown(before['data'])}, found "
                f"{_shown(now['data'])}); expected the same data, or another folder"
            )
        return before

    @staticmethod
    def withdraw(folder: Path, before: dict[str, Any] | None) -> None:
        """Put back what `write` found, since no worker began; the folder is free again if nothing was there and nothing came."""
        if before is not None:
            write_json(folder / FILE, before)
            return
        if not any(entry.name not in (FILE, JOURNAL) and not entry.name.startswith(".") for entry in folder.iterdir()):
            for name in (FILE, JOURNAL):
                (folder / name).unlink(missing_ok=True)

    @classmethod
    def read(cls, folder: Path) -> Definition:
        """Read what `write` wrote.

        Raises
        ------
        InputError
            If there is none, or it is damaged.
        """
        path = folder / FILE
        if not path.exists():
            raise InputError(f"{folder}: no sweep to go on with (it has no {FILE}); expected recipes for a new one")
        found = _read(path)
        recipes = tuple(check(table, f"{path}: recipe {name}") for name, table in found.recipes.items())
        for name, recipe in zip(found.recipes, recipes, strict=True):
            if name != recipe.name:
                raise InputError(f"{path}: found recipe {recipe.name!r} as {name!r}; expected it under its name")
        ranges = {key: Range.parse(key, value) for key, value in found.ranges.items()}
        return cls(recipes, found.choices, ranges, found.seeds, found.metric, found.trials, tuple(found.data))


def _read(path: Path) -> Stored:
    try:
        return Stored.model_validate(read_object(path))
    except ValidationError as error:
        raise InputError(
            f"{path}: not the file of a sweep ({validation_message(error)}); expected one that this program wrote"
        ) from None


def _check_distinct(base: Recipe, trials: Iterable[Trial]) -> None:
    """Check that no two settings make the same recipe, however their values are written, and that none has seeds of its own."""
    seen: dict[str, Settings] = {}
    for trial in trials:
        if trial.recipe.training.seed != base.training.seed:
            raise InputError(f"{SEED} cannot be varied; expected a number of seeds, over which results are averaged")
        before = seen.setdefault(trial.recipe.model_dump_json(), trial.settings)
        if before is trial.settings:
            continue
        keys = [key for key, value in trial.settings.items() if before[key] != value]
        one, other = (" ".join(f"{key}={settings[key]}" for key in keys) for settings in (before, trial.settings))
        raise InputError(f"grid: {one} and {other} make the same recipe; expected each once")


def _by_key(definition: Mapping[str, Any]) -> dict[str, Any]:
    """List what a sweep is by keys as a person gives them: first the names of its recipes."""
    recipes, choices, ranges = (dict(definition.get(name) or {}) for name in ("recipes", "choices", "ranges"))
    found: dict[str, Any] = {"recipe": ", ".join(recipes)}
    for name, table in recipes.items():
        found |= {f"{key} of {name}": value for key, value in flatten(table).items()}
    found |= {f"grid {key}": values for key, values in choices.items()}
    found |= {f"range {key}": value for key, value in ranges.items()}
    return found | {key: definition.get(key) for key in ("seeds", "metric", "trials")}


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
