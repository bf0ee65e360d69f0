"""Measured numbers: JSON files, one per recipe, length and hardware."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aae import recipes
from aae._version import __version__
from aae.data import NAMES
from aae.device import describe_device
from aae.errors import InputError
from aae.evaluation.parzen import ParzenEstimate
from aae.files import expand, read_object, write_json
from aae.runs.evaluate import Report
from aae.runs.recipe import command
from aae.runs.run import Run
from aae.training.acceleration.distributed import Distributed
from aae.training.settings import Count, validation_message

Summary = dict[str, dict[str, Any]]
Number = Annotated[float, Field(allow_inf_nan=False)]
SEEDS = " --seeds "


class _Metric(BaseModel):
    """A metric over seeds."""

    values: Annotated[list[Number], Field(min_length=1)]
    mean: Number
    sd: Number


class _Common(BaseModel):
    """What every result file has."""

    model_config = ConfigDict(extra="allow", strict=True)

    recipe: str
    title: str
    epochs: Count
    data: str
    device: str
    command: str


class Result(_Common):
    """What a result file has to hold."""

    seeds: Annotated[list[int], Field(min_length=1)]
    metrics: dict[str, _Metric]
    paper: dict[str, Number]
    wall_seconds: list[Number]
    cpu_seconds: list[Number | None] | None = None


class ParzenResult(_Common):
    """What the result file of a Parzen window has to hold."""

    seed: int
    samples: Count
    log_likelihood_nats: Number
    standard_error_nats: Number
    sigma: Number
    fine_log_likelihood_nats: Number | None
    folds: list[dict[str, Any]] | None = None
    seconds: Number | None


def summarize(reports: Sequence[dict[str, float]]) -> Summary:
    """Collect metrics over seeds: ``values`` by seed, ``mean`` and ``sd`` (n - 1; 0 for a single seed).

    Metrics that not every seed has are left out.
    """
    found: Summary = {}
    for name in reports[0]:
        if all(name in report for report in reports):
            found[name] = over_seeds([report[name] for report in reports])
    return found


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Summarize one metric over seeds, as `summarize` does."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"values": list(values), "mean": float(np.mean(values)), "sd": sd}


def with_std(summary: Mapping[str, Any], digits: int | None) -> str:
    """Write the summary of a metric as ``mean ± std``; of a single seed the mean alone."""
    mean = f"{summary['mean']:#.4g}" if digits is None else f"{summary['mean']:.{digits}f}"
    how = ".4g" if "e" in mean else f".{len(mean.partition('.')[2])}f"  # as many places as the mean has
    return f"{mean.rstrip('.')} ± {summary['sd']:{how}}" if len(summary["values"]) > 1 else mean.rstrip(".")


def result_path(runs: Sequence[Run], folder: str | Path) -> Path:
    """Return the file that `record` writes, having checked that it may, before anything is measured.

    Raises
    ------
    InputError
        If the runs differ in recipe, epochs, device or precision, their seeds are not in a row, or the result of a recipe with
        other settings is in the place of theirs.
    """
    first = runs[0]
    for seed, run in enumerate(runs, first.recipe.training.seed):
        for key, found, expected in (
            ("recipe", run.recipe.name, first.recipe.name),
            ("epochs", run.metadata["epochs"], first.metadata["epochs"]),
            ("device", run.metadata["device"], first.metadata["device"]),
            ("precision", _precision(run), _precision(first)),
        ):
            if found != expected:
                raise InputError(f"{run.folder.path}: {key} is {found}; the first run has {expected}")
        if run.recipe.training.seed != seed:
            raise InputError(f"{run.folder.path}: seed is {run.recipe.training.seed}; expected {seed}, seeds in a row")
    path = _place(Path(folder), first, f"{first.metadata['epochs']}ep.{hardware(first.metadata['device'])}")
    if path.exists():
        trained = [_read(path, Result)["command"], _origin(first)["command"]]
        before, now = (words.partition(SEEDS)[0] for words in trained)
        if before != now:
            raise InputError(f"{path}: is the result of '{before}'; found '{now}', expected another folder for it")
    return path


def record(runs: Sequence[Run], reports: Sequence[Report], folder: str | Path) -> Path:
    """Write the result of one recipe, measured over seeds, as ``RECIPE.EPOCHSep.HARDWARE.json``.

    On data other than the recipe's own the name of the data follows that of the recipe.

    Parameters
    ----------
    runs : sequence of Run
        The same recipe with different seeds.
    reports : sequence of dict
        What `aae.runs.evaluate.evaluate` returned for each.
    folder : str or Path
        Created if needed; an earlier result of the same recipe is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If they were not measured on the test split, or as `result_path`.
    """
    first = runs[0]
    for _, report in zip(runs, reports, strict=True):
        check_split(report["split"])
    path = result_path(runs, folder)
    result = {
        "recipe": first.recipe.name,
        "title": first.recipe.title,
        "epochs": first.metadata["epochs"],
        "seeds": [run.recipe.training.seed for run in runs],
        "split": reports[0]["split"],
        "metrics": summarize([report["metrics"] for report in reports]),
        "paper": first.recipe.paper,
        **_origin(first, f"{SEEDS}{len(runs)}" if len(runs) > 1 else ""),
        **{key: first.metadata[key] for key in ("device", "version", "torch")},
        "precision": _precision(first),
        "wall_seconds": [run.metadata["seconds"] for run in runs],
        "cpu_seconds": [run.metadata.get("cpu_seconds") for run in runs],
        "date": datetime.now(UTC).date().isoformat(),
    }
    return _write(path, result)


def _precision(run: Run) -> str:
    """Return what a run was trained in; an early version did not note it."""
    return str(run.metadata.get("precision", run.recipe.training.precision))


def _place(folder: Path, run: Run, rest: str) -> Path:
    """Name the result file of a run: by its recipe and, on other data than the recipe's own, that data."""
    recipe = run.recipe
    own = recipe.name in recipes.names() and recipes.read(recipe.name).data.source == recipe.data.source
    data = "" if own else f".{Path(recipe.data.source).stem}"
    return expand(folder) / f"{recipe.name}{data}.{rest}.json"


def _write(path: Path, result: dict[str, Any]) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, result)
    except OSError as error:
        where, why = error.filename or path, error.strerror or error
        raise InputError(f"{where}: {why}; expected a folder that can be written") from None
    return path


def _origin(run: Run, more: str = "") -> dict[str, str]:
    """Say of what data a run is and by which command, without where its files are on this machine."""
    data = run.recipe.data
    words = shlex.split(command(run.recipe))
    for path in (data.source, data.labels_file):
        if path is not None and path not in NAMES:
            words = [word.replace(path, Path(path).name) for word in words]
    source = data.source if data.source in NAMES else Path(data.source).name
    return {"data": source, "command": shlex.join(words) + more}


def parzen_path(run: Run, samples: int, folder: str | Path, *, all_folds: bool) -> Path:
    """Return the file that `record_parzen` writes, having checked that it may, before anything is measured.

    Raises
    ------
    InputError
        If the result of a run of another recipe, length or seed is in its place.
    """
    kind = f"{samples}{'.folds' if all_folds else ''}"
    path = _place(Path(folder) / "parzen", run, f"{kind}.{hardware(_parzen_device(run))}")
    if path.exists():
        before = _read(path, ParzenResult)
        for key, now in _parzen_origin(run, samples, all_folds=all_folds).items():
            if before.get(key) != now:
                raise InputError(
                    f"{path}: is a result with {key} {before.get(key)!r}; found {now!r}, expected another folder for it"
                )
    return path


def _parzen_device(run: Run) -> str:
    return describe_device(run.device, Distributed.joined().world_size)


def _parzen_origin(run: Run, samples: int, *, all_folds: bool) -> dict[str, Any]:
    """Say of what run an estimate is."""
    return {
        "epochs": run.metadata["epochs"],
        "seed": run.recipe.training.seed,
        **_origin(run, f" && aae parzen RUN -n {samples}" + (" --all-folds" if all_folds else "")),
    }


def record_parzen(
    run: Run,
    estimate: ParzenEstimate,
    split: str,
    seconds: float | None,
    folder: str | Path,
    folds: Sequence[ParzenEstimate] = (),
) -> Path:
    """Write the likelihood of one run under so many samples as ``parzen/RECIPE.SAMPLES.HARDWARE.json``.

    Parameters
    ----------
    run : Run
        The run.
    estimate : ParzenEstimate
        What `aae.runs.likelihood.parzen` returned for it.
    split : str
        The split it was measured on.
    seconds : float or None
        What that took; None if it went on with what was done before.
    folder : str or Path
        Created if needed; an earlier estimate of the same recipe and number of samples is replaced.
    folds : sequence of ParzenEstimate
        Of each fold, where `estimate` is the mean over folds.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If it was not measured on the test split, or as `parzen_path`.
    """
    check_split(split)
    path = parzen_path(run, estimate.samples, folder, all_folds=bool(folds))
    result = {
        "recipe": run.recipe.name,
        "title": run.recipe.title,
        "split": split,
        **_parzen_origin(run, estimate.samples, all_folds=bool(folds)),
        **asdict(estimate),
        **({"folds": [asdict(fold) for fold in folds]} if folds else {}),
        "device": _parzen_device(run),
        "version": __version__,
        "torch": torch.__version__,
        "seconds": seconds,
        "date": datetime.now(UTC).date().isoformat(),
    }
    return _write(path, result)


def check_split(split: str) -> None:
    """Refuse results of anything but test rows.

    Raises
    ------
    InputError
        For another split.
    """
    if split != "test":
        raise InputError(f"results are measured on the test split; found {split}")


def hardware(device: str) -> str:
    """Shorten the description of a device for a file name: ``h100``, ``cpu2``, of two processes ``h100x2``, ``cpu2x2``."""
    together = re.search(r", (\d+) processes$", device)
    several = f"x{together[1]}" if together else ""
    device = device[: together.start()] if together else device
    threads = re.search(r"(\d+) threads?$", device)
    if threads:
        return f"cpu{threads[1]}{several}"
    words = [word for word in re.split(r"[^A-Za-z0-9]+", device) if any(c.isdigit() for c in word)]
    return (words[0] if words else re.sub(r"[^A-Za-z0-9]+", "-", device)).lower() + several


def read(folder: str | Path, kind: type[_Common] = Result) -> list[dict[str, Any]]:
    """Read all result files of a folder, by recipe and epochs.

    Raises
    ------
    InputError
        Naming the first file that is none of this `kind`.
    """
    found = [_read(path, kind) for path in sorted(Path(folder).glob("*.json"))]
    return sorted(found, key=lambda result: (result["recipe"], result["epochs"]))


def _read(path: Path, kind: type[_Common]) -> dict[str, Any]:
    result = read_object(path)
    try:
        kind.model_validate(result)
    except ValidationError as error:
        raise InputError(f"{path}: not a result file; {validation_message(error)}") from None
    return result
