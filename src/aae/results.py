"""Measured numbers as JSON: one file per recipe, length and hardware."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from aae.errors import InputError
from aae.measure import Report
from aae.run import Run
from aae.training.checkpoints import write_json

Summary = dict[str, dict[str, Any]]


def summarize(reports: Sequence[dict[str, float]]) -> Summary:
    """Collect metrics over seeds: ``values`` by seed, ``mean`` and ``sd`` (n - 1; 0 for a single seed).

    Metrics that not every seed has are left out.
    """
    summary: Summary = {}
    for name in reports[0]:
        if all(name in report for report in reports):
            values = [report[name] for report in reports]
            sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            summary[name] = {"values": values, "mean": float(np.mean(values)), "sd": sd}
    return summary


def record(runs: Sequence[Run], reports: Sequence[Report], folder: str | Path) -> Path:
    """Write the result of one recipe, measured over seeds, as ``RECIPE.EPOCHSep.HARDWARE.json``.

    Parameters
    ----------
    runs : sequence of Run
        The same recipe with different seeds.
    reports : sequence of dict
        What `measure.evaluate` gave for each.
    folder : str or Path
        Created if needed; a file of the same name is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the runs differ in recipe, epochs or split.
    """
    first = runs[0]
    for run, report in zip(runs, reports, strict=True):
        for key in ("recipe", "epochs", "split"):
            if report[key] != reports[0][key]:
                raise InputError(f"{run.folder.path}: {key} is {report[key]}; the first run has {reports[0][key]}")
    result = {
        "recipe": first.recipe.name,
        "epochs": first.facts["epochs"],
        "seeds": [run.recipe.training.seed for run in runs],
        "split": reports[0]["split"],
        "metrics": summarize([report["metrics"] for report in reports]),
        "paper": first.recipe.paper,
        "data": first.recipe.data.source,
        **{key: first.facts[key] for key in ("device", "version", "torch")},
        "precision": first.recipe.training.precision,
        "wall_seconds": [run.facts["seconds"] for run in runs],
        "command": first.facts["command"],
        "date": datetime.now(UTC).date().isoformat(),
    }
    path = Path(folder) / f"{first.recipe.name}.{result['epochs']}ep.{hardware(first.facts['device'])}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    return path


def hardware(device: str) -> str:
    """Shorten the description of a device for a file name: ``h100``, ``cpu2``."""
    threads = re.search(r"(\d+) threads?$", device)
    if threads:
        return f"cpu{threads[1]}"
    words = [word for word in re.split(r"[^A-Za-z0-9]+", device) if any(c.isdigit() for c in word)]
    return (words[0] if words else re.sub(r"[^A-Za-z0-9]+", "-", device)).lower()
