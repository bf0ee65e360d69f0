"""What a sweep found: a row for each setting with the mean over its seeds, and which of the keys mattered."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from aae.evaluation.metrics import describe
from aae.figures.canvas import save
from aae.figures.sweep import plot_settings
from aae.files import write_text
from aae.recipes import Recipe, dump
from aae.runs.recipe import command
from aae.sweeps.definition import BEST, FIGURE, TABLE, Definition
from aae.sweeps.space import Settings, as_number, overrides
from aae.sweeps.trials import Trial, folder_of

SEVERAL = 50.0  # times the least number of a key is the largest, from which on they have a logarithmic axis


@dataclass(frozen=True)
class Row:
    """What was found with one setting.

    Attributes
    ----------
    recipe : str
        Name of the recipe.
    settings : dict
        From key to value in TOML notation.
    values : list of float
        The metric of every finished seed.
    folder : Path
        Of its runs.
    failed : list of str
        Why seeds failed, or why a search did not train the setting to the end.
    """

    recipe: str
    settings: Settings
    values: list[float]
    folder: Path
    failed: list[str]

    @classmethod
    def of(cls, trial: Trial, metric: str, reason: str = "") -> Row:
        """Read it from the runs of a trial."""
        failed = trial.failures(metric) or ([reason] if reason else [])
        return cls(trial.recipe.name, trial.settings, trial.values(metric), trial.folder, failed)

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None without any."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """Standard deviation over seeds; None for fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True, repr=False)
class SweepResult:
    """The outcome of a sweep.

    Attributes
    ----------
    definition : Definition
        What was asked.
    folder : Path
        Of the sweep.
    rows : list of Row
        The best first; settings that failed or were pruned, and those with fewer seeds than the sweep has, come last.
    importance : dict
        From key to the fraction of the variance of the means that it explains, the largest first; empty if nothing is known.
    """

    definition: Definition
    folder: Path
    rows: list[Row]
    importance: dict[str, float]

    def __repr__(self) -> str:
        best = self.best
        found = (
            "none finished"
            if best is None
            else f"best {best.mean:.4g} with {' '.join(overrides(best.settings)) or best.recipe}"
        )
        return f"SweepResult({str(self.folder)!r}, {len(self.rows)} settings, {self.definition.metric}: {found})"

    @property
    def best(self) -> Row | None:
        """The best setting of which all seeds are finished; None if there is none."""
        first = self.rows[0] if self.rows else None
        return first if first is not None and _is_whole(first, self.definition) else None

    def best_recipe(self) -> Recipe | None:
        """Return the recipe with the best setting and its first seed."""
        if self.best is None:
            return None
        base = next(recipe for recipe in self.definition.recipes if recipe.name == self.best.recipe)
        return self.definition.trial(base, self.best.settings, self.folder).recipe

    def command(self) -> str | None:
        """Write the command that trains the best setting."""
        recipe = self.best_recipe()
        return None if recipe is None else command(recipe, str(self.folder / BEST))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        best = self.best
        return {
            "metric": self.definition.metric,
            "direction": "higher" if self.definition.maximize else "lower",
            "best": None if best is None else self._record(best),
            "settings": [self._record(row) for row in self.rows],
            "importance": self.importance,
        }

    def _record(self, row: Row) -> dict[str, Any]:
        return {
            "recipe": row.recipe,
            "settings": row.settings,
            "mean": row.mean,
            "std": row.std,
            "values": row.values,
            "failed": row.failed,
            "folder": str(row.folder),
        }

    def plot(self) -> Figure | None:
        """Plot the metric by each key; None where nothing varies or nothing is finished."""
        finished = [row for row in self.rows if _is_whole(row, self.definition)]
        keys = self.definition.keys
        if not finished or not keys:
            return None
        columns = {key: [_value(row, key) for row in finished] for key in keys}
        numeric = {key for key, values in columns.items() if all(as_number(value) is not None for value in values)}
        logarithmic = {key for key, one in self.definition.ranges.items() if one.log}
        logarithmic |= {key for key in numeric if key in self.definition.choices and _is_geometric(columns[key])}
        return plot_settings(
            {key: [as_number(v) for v in values] if key in numeric else values for key, values in columns.items()},
            [row.mean for row in finished if row.mean is not None],
            describe(self.definition.metric).heading,
            self.importance,
            logarithmic,
            title=self._title(len(finished)),
            orders=self.definition.choices,
        )

    def _title(self, settings: int) -> str:
        """Return what was trained on what, how often."""
        recipes, seeds = self.definition.recipes, self.definition.seeds
        names = " and ".join(recipe.name for recipe in recipes)
        given = [json.loads(text) for text in self.definition.choices.get("data.source", ())]
        sources = " and ".join(dict.fromkeys(Path(one).name for one in given or [r.data.source for r in recipes]))
        times = f", {seeds} seeds each" if seeds > 1 else ""
        return f"{names}: trained on {sources}, {settings} setting{'s' * (settings > 1)}{times}"

    def write(self) -> list[Path]:
        """Write table, figure and best recipe into the folder; returns the files."""
        paths = [self.folder / TABLE]
        write_text(paths[0], self._csv())
        figure = self.plot()
        if figure is not None:
            paths.append(save(figure, self.folder / FIGURE))
        recipe = self.best_recipe()
        if recipe is not None:
            paths.append(self.folder / BEST)
            write_text(paths[-1], dump(recipe))
        return paths

    def _csv(self) -> str:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        keys = [*self.definition.choices, *self.definition.ranges]
        table.writerow(["recipe", *keys, f"{self.definition.metric}_mean", "std", "seeds", "failed", "folder"])
        for row in self.rows:
            settings = [row.settings.get(key, "") for key in keys]
            numbers = ["" if value is None else f"{value:.10g}" for value in (row.mean, row.std)]
            where = row.folder.relative_to(self.folder)
            table.writerow([row.recipe, *settings, *numbers, len(row.values), "; ".join(row.failed), where])
        return text.getvalue()


def summarize(
    definition: Definition,
    folder: Path,
    trials: Sequence[tuple[Trial, str]],
    importance: Mapping[str, float] | None = None,
    unfitting: Sequence[tuple[str, Settings, str]] = (),
) -> SweepResult:
    """Collect what trials found.

    Parameters
    ----------
    definition, folder
        Of the sweep.
    trials : sequence of tuple of Trial and str
        With the reason why one was given up, or an empty text.
    importance : mapping, optional
        By default the fraction of the variance between the values of each key, which fits a grid.
    unfitting : sequence of tuple of str, dict and str
        Recipe and setting of trials whose values do not fit together, and why.
    """
    rows = [Row.of(trial, definition.metric, reason) for trial, reason in trials]
    rows += [
        Row(recipe, settings, [], folder_of(recipe, settings, folder), [reason])
        for recipe, settings, reason in {str(one[:2]): one for one in unfitting}.values()
    ]
    sign = -1.0 if definition.maximize else 1.0

    def order(row: Row) -> tuple[bool, bool, float]:
        return not _is_whole(row, definition), row.mean is None, sign * (row.mean or 0.0)

    rows.sort(key=order)
    found = main_effects(definition, rows) if importance is None else importance
    return SweepResult(definition, folder, rows, dict(sorted(found.items(), key=lambda item: -item[1])))


def main_effects(definition: Definition, rows: Sequence[Row]) -> dict[str, float]:
    """Compute for each key the fraction of the variance of the means over seeds that lies between its values (eta squared).

    In a full grid the fractions of all keys add up to at most 1; what is left are interactions, and chance. Empty where the means
    are all alike, or fewer than two keys varied: one alone explains everything.
    """
    finished = [row for row in rows if _is_whole(row, definition)]
    means = np.array([row.mean for row in finished], dtype=np.float64)
    if len(means) < 2 or not means.var() > 0:
        return {}
    found = {}
    for key in definition.keys:
        values = [_value(row, key) for row in finished]
        counts = Counter(values)
        if len(counts) < 2:
            continue
        which = np.array(values)
        between = sum(n * (means[which == value].mean() - means.mean()) ** 2 for value, n in counts.items())
        found[key] = float(between / (len(means) * means.var()))
    return found if len(found) > 1 else {}


def _is_whole(row: Row, definition: Definition) -> bool:
    return len(row.values) == definition.seeds and not row.failed


def _is_geometric(values: Sequence[str]) -> bool:
    """Check whether numbers, which somebody chose, are positive and of several orders of magnitude."""
    numbers = [number for value in values if (number := as_number(value)) is not None]
    return min(numbers) > 0 and max(numbers) / min(numbers) >= SEVERAL


def _value(row: Row, key: str) -> str:
    return row.recipe if key == "recipe" else row.settings[key]
