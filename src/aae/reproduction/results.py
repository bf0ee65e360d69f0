"""Measured numbers: JSON files, one per recipe, length and hardware."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aae import recipes
from aae._version import __version__
from aae.device import describe_device
from aae.errors import InputError
from aae.evaluation.parzen import ParzenEstimate
from aae.files import write_json
from aae.runs.evaluate import Report
from aae.runs.run import Run
from aae.runs.train import command
from aae.training.acceleration.distributed import Distributed

Summary = dict[str, dict[str, Any]]
SEEDS = " --seeds "


def summarize(reports: Sequence[dict[str, float]]) -> Summary:
    """Collect metrics over seeds: ``values`` by seed, ``mean`` and ``std`` (n - 1; 0 for a single seed).

    Metrics that not every seed has are left out.
    """
    summary: Summary = {}
    for name in reports[0]:
        if all(name in report for report in reports):
            values = [report[name] for report in reports]
            sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            summary[name] = {"values": values, "mean": float(np.mean(values)), "sd": sd}
    return summary


def with_std(summary: Mapping[str, Any], digits: int | None) -> str:
    """Write the summary of a metric as ``mean ± std``; of a single seed the mean alone."""
    how = ".4g" if digits is None else f".{digits}f"
    std = f" ± {summary['sd']:{how}}" if len(summary["values"]) > 1 else ""
    return f"{summary['mean']:{how}}{std}"


def record(runs: Sequence[Run], reports: Sequence[Report], folder: str | Path) -> Path:
    """Write the result of one recipe, measured over seeds, as ``RECIPE.EPOCHSep.HARDWARE.json``.

    On data other than the recipe's own the name of the data follows that of the recipe.

    Parameters
    ----------
    runs : sequence of Run
        The same recipe with different seeds.
    reports : sequence of dict
        What `measure.evaluate` gave for each.
    folder : str or Path
        Created if needed; an earlier result of the same recipe is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If they were not measured on the test split, the runs differ in recipe or epochs, their seeds are not in a row, or the
        result of a recipe with other settings is in the place of theirs.
    """
    first = runs[0]
    check_split(reports[0]["split"])
    for seed, (run, report) in enumerate(zip(runs, reports, strict=True), first.recipe.training.seed):
        if run.recipe.training.seed != seed:
            raise InputError(f"{run.folder.path}: seed is {run.recipe.training.seed}; expected {seed}, seeds in a row")
        for key in ("recipe", "epochs", "split"):
            if report[key] != reports[0][key]:
                raise InputError(f"{run.folder.path}: {key} is {report[key]}; the first run has {reports[0][key]}")
    result = {
        "recipe": first.recipe.name,
        "title": first.recipe.title,
        "epochs": first.metadata["epochs"],
        "seeds": [run.recipe.training.seed for run in runs],
        "split": reports[0]["split"],
        "metrics": summarize([report["metrics"] for report in reports]),
        "paper": first.recipe.paper,
        "data": first.recipe.data.source,
        **{key: first.metadata[key] for key in ("device", "version", "torch")},
        "precision": first.recipe.training.precision,
        "wall_seconds": [run.metadata["seconds"] for run in runs],
        "command": command(first.recipe) + (f"{SEEDS}{len(runs)}" if len(runs) > 1 else ""),
        "date": datetime.now(UTC).date().isoformat(),
    }
    own_data = first.recipe.name in recipes.names() and recipes.read(first.recipe.name).data.source == result["data"]
    data = "" if own_data else f".{Path(result['data']).stem}"
    path = Path(folder) / f"{first.recipe.name}{data}.{result['epochs']}ep.{hardware(first.metadata['device'])}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        trained = [json.loads(path.read_text(encoding="utf-8"))["command"], result["command"]]
        before, now = (words.partition(SEEDS)[0] for words in trained)
        if before != now:
            raise InputError(f"{path}: is the result of '{before}'; found '{now}', expected another folder for it")
    write_json(path, result)
    return path


def record_parzen(run: Run, estimate: ParzenEstimate, split: str, seconds: float | None, folder: str | Path) -> Path:
    """Write the likelihood of one run under so many samples as ``parzen/RECIPE.SAMPLES.HARDWARE.json``.

    Parameters
    ----------
    run : Run
        The run.
    estimate : ParzenEstimate
        What `likelihood.parzen` gave for it.
    split : str
        The split it was measured on.
    seconds : float or None
        What that took; None if it went on with what was done before.
    folder : str or Path
        Created if needed; an earlier estimate of the same recipe and number of samples is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If it was not measured on the test split.
    """
    check_split(split)
    device = describe_device(run.device, Distributed.joined().world_size)
    result = {
        "recipe": run.recipe.name,
        "title": run.recipe.title,
        "epochs": run.metadata["epochs"],
        "seed": run.recipe.training.seed,
        "split": split,
        "data": run.recipe.data.source,
        **asdict(estimate),
        "device": device,
        "version": __version__,
        "torch": torch.__version__,
        "seconds": seconds,
        "command": f"{command(run.recipe)} && aae parzen RUN -n {estimate.samples}",
        "date": datetime.now(UTC).date().isoformat(),
    }
    path = Path(folder) / "parzen" / f"{run.recipe.name}.{estimate.samples}.{hardware(device)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    return path


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


def read(folder: str | Path) -> list[dict[str, Any]]:
    """Read all result files of a folder, by recipe and epochs."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in Path(folder).glob("*.json")]
    return sorted(found, key=lambda result: (result["recipe"], result["epochs"]))
