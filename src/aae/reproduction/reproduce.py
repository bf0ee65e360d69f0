"""The paper's tables and figures in one go: train what is missing, resume what was interrupted, evaluate, plot, compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aae import recipes
from aae.errors import InputError, TrainingError, unknown
from aae.evaluation.metrics import describe
from aae.files import expand
from aae.recipes import Recipe
from aae.recipes.build_data import load_data
from aae.reproduction import results
from aae.runs.evaluate import Report, evaluate, read_report
from aae.runs.plot import plot
from aae.runs.recipe import read_recipe
from aae.runs.resume import is_finished
from aae.runs.run import Run
from aae.runs.seeds import train_seeds, with_seeds
from aae.runs.train import train
from aae.sweeps.execution import Execution
from aae.sweeps.queue import train_all
from aae.sweeps.trials import Trial
from aae.training.run_directory import RunDirectory
from aae.training.signals import taken_up_again

Profile = Literal["smoke", "short", "full"]

TARGETS: dict[str, tuple[str, ...]] = {
    "table1": (
        *("table1-mnist", "table1-mnist-tuned", "table1-tfd"),
        *("table1-mnist-gan", "table1-mnist-gmmn-ae", "table1-mnist-vae"),
        *("table1-mnist-dbn", "table1-mnist-cae", "table1-mnist-gsn"),
    ),
    "table2": (
        *("table2-mnist-100", "table2-mnist-1000", "table2-mnist-all"),
        *("table2-nn-100", "table2-nn-1000", "table2-nn-all"),
        *("table2-vat-100", "table2-vat-1000", "table2-vat-all"),
        *(
            "table2-ladder-100",
            "table2-catgan-100",
            "table2-m1-tsvm-100",
            "table2-m2-100",
            "table2-m1m2-100",
            "table2-adgm-100",
        ),
        *("table2-svhn-1000", "table2-svhn-1000-conv", "table2-svhn-nn-1000", "table2-svhn-nn-1000-conv"),
    ),
    "table3": ("table3-16", "table3-30", "table3-30-tuned", "table3-catgan-20"),
    "posteriors": ("table1-mnist-gaussian", "table1-mnist-universal", "table1-mnist-1000-dim"),
    "figure2": ("figure2a", "figure2b", "figure2c", "figure2d"),
    "figure4": ("figure4a", "figure4c"),
    "figure5": ("table1-mnist-tuned", "table1-tfd"),
    "figure7": ("figure7a", "figure7a-independent", "figure7b"),
    "figure9": ("table3-16",),
    "figure11": ("figure11a", "figure11b", "figure11c", "figure11d", "figure11-autoencoder", "figure11-tsne"),
    "consistent": (  # the same rows with losses that the paper does not have
        *("table2-mnist-100-consistent", "table2-mnist-1000-consistent", "table2-mnist-all-consistent"),
        "table2-mnist-100-clusters",
        *("table3-10-consistent", "table3-16-consistent", "table3-30-consistent"),
        *("figure11a-consistent", "figure11b-consistent", "figure11c-consistent", "figure11d-consistent"),
    ),
}

# Smoke runs show that everything fits together, in seconds; their numbers mean nothing.
SMOKE = (
    "training.epochs=2",
    "training.validate_every=2",
    "training.checkpoint_every=2",
    "training.precision=fp32",
    "training.compile=false",
    "model.encoder.hidden=[32]",
    "model.decoder.hidden=[32]",
    "model.discriminator.hidden=[32]",
    "evaluation.prior_samples=500",
)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one recipe.

    Attributes
    ----------
    recipe : Recipe
        As it was trained.
    seeds : int
        Number of seeds.
    metrics : dict
        From metric to ``values``, ``mean`` and ``sd``; empty if it was skipped.
    skipped : str
        Why it could not be trained: its data is not at hand. Empty if it was.
    """

    recipe: Recipe
    seeds: int
    metrics: results.Summary
    skipped: str = ""


def names(target: str) -> tuple[str, ...]:
    """List the recipes of a table or figure, or of all of them.

    Raises
    ------
    InputError
        If there is no such target.
    """
    if target == "all":
        return tuple(dict.fromkeys(name for group in TARGETS.values() for name in group))
    if target not in TARGETS:
        raise unknown("target", target, ["all", *TARGETS])
    return TARGETS[target]


def plan(name: str, profile: Profile, seeds: int | None = None) -> tuple[Recipe, int]:
    """Read a recipe as a profile trains it, and return with how many seeds.

    Parameters
    ----------
    name : str
        Name of a recipe.
    profile : {"smoke", "short", "full"}
        ``full``: the recipe as it stands and the number of seeds in it; ``short``: the epochs and seeds of its ``[short]``
        section; ``smoke``: two epochs of small networks on `digits`.
    seeds : int, optional
        In place of the profile's number.
    """
    recipe = recipes.read(name)
    if profile == "full":
        return recipe, seeds or recipe.seeds
    if profile == "short":
        short = recipe.short
        changes = [f"training.epochs={short.epochs}"] if short.epochs is not None else []
        return recipes.read(name, changes), seeds or short.seeds
    fewer = ['data.labels="all"'] if isinstance(recipe.data.labels, int) and recipe.data.labels > 100 else []
    for part, network in (("encoder", recipe.model.encoder), ("decoder", recipe.model.decoder)):
        fewer.append(f"model.{part}.channels={[4] * len(network.channels)}")
    if recipe.training.pretraining:
        fewer.append("training.pretraining=1")
    if recipe.training.losses.clustering is not None:
        fewer.append("training.losses.clustering.epochs=1")
    if recipe.evaluation.parzen_samples:
        fewer.append("evaluation.parzen_samples=500")
    return read_recipe(name, [*SMOKE, *fewer], "digits"), seeds or 1


def reproduce(
    target: str,
    profile: Profile,
    folder: str | Path,
    *,
    seeds: int | None = None,
    record: str | Path | None = None,
    device: str = "auto",
    note: Callable[[str], None] = print,
    execution: Execution | None = None,
) -> list[Outcome]:
    """Train, evaluate and plot every recipe of a target.

    Finished runs in the folder are used again with what was measured of them, interrupted ones are resumed.

    Parameters
    ----------
    target : str
        A table or figure of the paper, or ``all``.
    profile : {"smoke", "short", "full"}
        Lengths and seeds, see `plan`.
    folder : str or Path
        Runs are in ``folder/profile/recipe/seed-0`` and so on.
    seeds : int, optional
        In place of the profile's number.
    record : str or Path, optional
        Folder for result files.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    note : callable
        Called with one line for each recipe that is trained or skipped.
    execution : Execution, optional
        Where what is missing is trained: by several workers, or as jobs of a cluster. By default in this process, one after
        another.

    Returns
    -------
    list of Outcome
        One per recipe.

    Raises
    ------
    InputError
        If there is no such target, or the data of none of its recipes is at hand.
    TrainingError
        Of workers, when all else is trained.
    """
    with taken_up_again(expand(folder)):
        if execution is not None and execution != Execution():
            _train_missing(target, profile, Path(folder), seeds, device, execution)
        outcomes = [
            _reproduce(name, *plan(name, profile, seeds), Path(folder) / profile / name, record, device, note)
            for name in names(target)
        ]
    if all(outcome.skipped for outcome in outcomes):
        raise InputError(outcomes[0].skipped)
    return outcomes


def _reproduce(
    name: str,
    recipe: Recipe,
    count: int,
    place: Path,
    record: str | Path | None,
    device: str,
    note: Callable[[str], None],
) -> Outcome:
    """Train, evaluate and plot what is missing of one recipe."""
    runs = _finished(recipe, count, place, device)
    reports = [_measured(run) for run in runs]
    dataset = None
    if not runs or None in reports or not runs[0].folder.figures.exists():  # what is done needs no data
        try:
            dataset = load_data(recipe)
        except InputError as error:
            note(f"{name}: skipped, {error}")
            return Outcome(recipe, count, {}, str(error))
    note(f"{name}: {recipe.training.epochs} epochs, {count} seed{'s' if count > 1 else ''}")
    if not runs and count == 1:
        one = place / f"seed-{recipe.training.seed}"
        runs = [train(recipe, dataset, run=one, device=device, resume=True)]
    elif not runs:
        runs = train_seeds(recipe, count, run=place, device=device, resume=True)
    if dataset is not None:
        plot(runs[0], data=dataset)
    done = [_measured(run) or evaluate(run, data=dataset) for run in runs]
    if record is not None:
        results.record(runs, done, record)
    return Outcome(recipe, count, results.summarize([report["metrics"] for report in done]))


def _train_missing(
    target: str, profile: Profile, folder: Path, seeds: int | None, device: str, execution: Execution
) -> None:
    """Train by workers what is not finished and has its data at hand."""
    execution.check()
    trials = []
    for name in names(target):
        recipe, count = plan(name, profile, seeds)
        place = expand(folder / profile / name)
        trial = Trial(recipe, {}, place, count)
        if _finished(recipe, count, place, device):
            continue
        try:
            load_data(recipe)
        except InputError:
            continue
        for one in trial.each:  # of an earlier call
            trial.failure(one).unlink(missing_ok=True)
        trials.append(trial)
    train_all(trials, "", folder, device, execution)
    for trial in trials:
        for why in trial.failures():
            raise TrainingError(f"{trial.recipe.name}: {why}")


def _finished(recipe: Recipe, seeds: int, place: Path, device: str) -> list[Run]:
    """Load the runs of all seeds if they are finished; an empty list otherwise."""
    ones = {one.training.seed: one for one in with_seeds(recipe, seeds)}
    folders = {seed: RunDirectory(place / f"seed-{seed}") for seed in ones}
    if not all(is_finished(folder, ones[seed]) for seed, folder in folders.items()):
        return []
    return [Run.load(folder.path, device, trust_modules=True) for folder in folders.values()]


def _measured(run: Run) -> Report | None:
    """Read what an earlier call measured of this run on test rows, if it did."""
    try:
        report = read_report(run.folder.evaluation)
    except InputError:
        return None
    seed, epochs = run.recipe.training.seed, run.metadata["epochs"]
    finished = report["split"] == "test" and report["epochs"] == epochs and report.get("seed") == seed
    return report if finished else None


def comparison(outcomes: Sequence[Outcome]) -> list[tuple[str, str, str, str, int, int]]:
    """List the paper's numbers beside ours: recipe, metric, paper, ours, epochs, seeds; one row per number of the paper.

    A recipe for which the paper has no number is listed by a metric that is a headline, or else by its first one.
    """
    rows = []
    for outcome in outcomes:
        recipe = outcome.recipe
        paper = recipes.read(recipe.name).paper
        headlines = sorted(outcome.metrics, key=lambda metric: not describe(metric).headline)
        for metric in paper or headlines[:1]:
            found = outcome.metrics.get(metric)
            ours = results.with_std(found, 2) if found else f"skipped: {outcome.skipped}"
            number = f"{paper[metric]:.2f}" if metric in paper else ""
            rows.append((recipe.name, metric, number, ours, recipe.training.epochs, outcome.seeds))
    return rows
