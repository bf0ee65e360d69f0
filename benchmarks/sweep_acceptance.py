"""One sweep by three roads: killed twice and finished from another folder, as jobs of submitit, on workers of Dask.

    python benchmarks/sweep_acceptance.py --output results/benchmarks/sweeps.json

12 settings with 3 seeds on 8x8 digits. The first sweep is killed (SIGKILL to all of its processes) when a third of the trainings
are finished, and again after two thirds; the command with the folder alone finishes it from elsewhere. The others go undisturbed.
Written down are the trainings that were finished at each kill, and whether any of them was touched afterwards; the seconds of
each road; and whether all three found the same best setting, and the same mean of every other.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import aae
from aae.device import describe_device
from aae.sweeps import Execution
from aae.training.run_directory import RunDirectory

GRID = [
    "training.classification.learning_rate=0.0003,0.003,0.03",
    "model.encoder.input_noise=0.1,0.4",
    "training.batch_size=50,100",
]
SEEDS = 3
SETTINGS = [
    "training.epochs=12",
    "training.checkpoint_every=4",
    "model.encoder.hidden=[64, 64]",
    "model.decoder.hidden=[64, 64]",
    "model.discriminator.hidden=[32, 32]",
]


def finished(folder: Path) -> dict[Path, int]:
    """List finished trainings with the time when their weights were written."""
    runs = [RunDirectory(path) for path in folder.glob("demo/*/seed-*") if path.is_dir()]
    return {run.path: run.weights.stat().st_mtime_ns for run in runs if run.finished_epochs()}


def kill_when(words: list[str], place: Path, folder: Path, count: int) -> dict[Path, int]:
    """Start a sweep, kill all of its processes when so many trainings are finished, and return those."""
    process = subprocess.Popen(words, cwd=place, stderr=subprocess.DEVNULL, start_new_session=True)
    while len(finished(folder)) < count:
        if process.poll() is not None:
            raise SystemExit(f"the sweep ended by itself with status {process.returncode}")
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return finished(folder)


def killed_twice(place: Path, jobs: int) -> dict[str, Any]:
    """Run a sweep that is killed twice and finished by a second command from another folder."""
    first, other = place / "here", place / "elsewhere"
    first.mkdir()
    other.mkdir()
    start = [sys.executable, "-m", "aae", "sweep"]
    asked = [word for one in GRID for word in ("--grid", one)] + [word for one in SETTINGS for word in ("--set", one)]
    words = [*start, "demo", "--run", "sweep", "--seeds", str(SEEDS), "--jobs", str(jobs), *asked]
    kills = [kill_when(words, first, first / "sweep", count) for count in (12, 24)]
    done = subprocess.run([*start, "--run", "../here/sweep", "--json"], cwd=other, stdout=subprocess.PIPE, check=True)
    at_end = finished(first / "sweep")
    return {
        "finished_at_kills": [len(kill) for kill in kills],
        "finished_at_end": len(at_end),
        "trained_again": sum(at_end[path] != when for kill in kills for path, when in kill.items()),
        "found": json.loads(done.stdout),
    }


def by_submitit(place: Path, jobs: int) -> dict[str, Any]:
    """Run it as jobs of submitit's local executor."""
    execution = Execution(jobs=jobs, slurm={}, cluster="local")
    result = aae.sweep("demo", place / "submitit", grid=GRID, seeds=SEEDS, settings=SETTINGS, execution=execution)
    return {"found": result.as_json()}


def by_dask(place: Path, jobs: int) -> dict[str, Any]:
    """Run it on a cluster of Dask."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None) as cluster:
        execution = Execution(dask=cluster.scheduler_address)
        result = aae.sweep("demo", place / "dask", grid=GRID, seeds=SEEDS, settings=SETTINGS, execution=execution)
    return {"found": result.as_json()}


ROADS = {"killed twice": killed_twice, "submitit, local executor": by_submitit, "Dask, LocalCluster": by_dask}


def main() -> None:
    """Run them, compare, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="workers of each (default: 2)")
    parser.add_argument(
        "--roads", nargs="+", choices=ROADS, default=list(ROADS), help="others stay as the file has them"
    )
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    if options.output is not None and options.output.exists():
        results = json.loads(options.output.read_text(encoding="utf-8"))["results"]
    with TemporaryDirectory() as folder:
        for name in options.roads:
            start = time.perf_counter()
            one = ROADS[name](Path(folder), options.jobs)
            found = one.pop("found")
            best = found["best"]
            results[name] = {
                "command": shlex.join(["python", *sys.argv]),  # others may stay from another one
                "date": datetime.now(UTC).date().isoformat(),
                **one,
                "trainings": sum(len(row["values"]) for row in found["settings"]),
                "wall_seconds": round(time.perf_counter() - start, 1),
                "best": {key: best[key] for key in ("settings", "mean", "std")},
                "means": sorted(row["mean"] for row in found["settings"]),
            }
            print(f"{name}: {json.dumps(results[name])}", flush=True)
    results = {name: results[name] for name in ROADS if name in results}
    first = next(iter(results.values()))
    same = {key: all(one[key] == first[key] for one in results.values()) for key in ("best", "means")}
    print(f"the same best setting: {same['best']}; the same means of all settings: {same['means']}")
    if options.output is not None:
        report = {
            "command": shlex.join(["python", *sys.argv]),
            "date": datetime.now(UTC).date().isoformat(),
            "device": describe_device(torch.device("cpu")),
            "torch": torch.__version__,
            "recipe": "demo",
            "grid": GRID,
            "set": SETTINGS,
            "seeds": SEEDS,
            "workers": options.jobs,
            "same_best": same["best"],
            "same_means": same["means"],
            "results": results,
        }
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
