"""Anomaly detectors with their defaults on tables whose anomalies are known: area under the ROC curve.

Of each table 30 % of the rows are set aside, with the same fraction of anomalies as the rest. All methods train on the normal
rows of the rest, at most 10,000 of them, and score the rows set aside. Methods other than ours get standardized columns. PCA
scores by the squared error of reconstruction from as many components as hold nine tenths of the variance.

    python benchmarks/anomalies.py --seeds 3 --output results/benchmarks/tables-anomalies.json

A name is a file ``NAME.npz`` with X and y (1 for an anomaly) in the folder ``anomalies`` of AAE_DATA. The file of results is
written after each table, and a table that stands in it is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler
from tables import mean_ranks

import aae
from aae.device import describe_device

ROWS = 10_000
Scores = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def principal_components(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Compute minus the squared error of reconstruction."""
    model = PCA(0.9, svd_solver="full").fit(train)
    return -np.square(test - model.inverse_transform(model.transform(test))).sum(axis=1)


METHODS: dict[str, Scores] = {
    "AAE": lambda train, test, seed: aae.AAE(random_state=seed).fit(train).score_samples(test),
    "LocalOutlierFactor": lambda train, test, seed: LocalOutlierFactor(novelty=True).fit(train).score_samples(test),
    "IsolationForest": lambda train, test, seed: IsolationForest(random_state=seed).fit(train).score_samples(test),
    "PCA": principal_components,
}


def measure(path: Path, seeds: int) -> dict[str, list[float]]:
    """Run all methods on a table; returns percent by method, and seconds of our own."""
    with np.load(path) as file:
        rows, anomalous = file["X"].astype(np.float64), file["y"] == 1
    found: dict[str, list[float]] = {method: [] for method in METHODS} | {"seconds": []}
    for seed in range(seeds):
        train, test, unused, truth = train_test_split(
            rows, anomalous, test_size=0.3, stratify=anomalous, random_state=seed
        )
        train = train[~unused]
        train = train[np.random.RandomState(seed).permutation(len(train))[:ROWS]]
        scaler = StandardScaler().fit(train)
        for method, scores in METHODS.items():
            begun = time.process_time()
            own = method == "AAE"
            given = (train, test) if own else (scaler.transform(train), scaler.transform(test))
            found[method].append(100 * float(roc_auc_score(~truth, scores(*given, seed))))
            if own:
                found["seconds"].append(time.process_time() - begun)
    return found


def means(found: dict[str, dict[str, list[float]]]) -> dict[str, float]:
    """Compute the mean of each method over data sets, of its mean over seeds."""
    return {method: float(np.mean([np.mean(table[method]) for table in found.values()])) for method in METHODS}


def main() -> None:
    """Run the benchmark and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="tables; all by default")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    paths = sorted((Path(os.environ["AAE_DATA"]) / "anomalies").glob("*.npz"), key=lambda path: path.stem.lower())
    report = {
        "command": shlex.join(["python", "benchmarks/anomalies.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "device": describe_device(torch.device("cpu")),
        "versions": {package: version(package) for package in ("torch", "scikit-learn")} | {"aae": aae.__version__},
        "seeds": list(range(options.seeds)),
        "rows": ROWS,
    }
    found: dict[str, dict[str, list[float]]] = {}
    if options.output.exists():
        before = json.loads(options.output.read_text(encoding="utf-8"))
        if all(before[key] == report[key] for key in ("versions", "seeds", "rows")):
            found = before["tasks"]["anomalies"]  # other sets are added
    for path in paths:
        if path.stem in found or (options.names and path.stem not in options.names):
            continue
        found[path.stem] = measure(path, options.seeds)
        report |= {
            "tasks": {"anomalies": found},
            "means": {"anomalies": means(found)},
            "mean_ranks": {"anomalies": mean_ranks(found, METHODS)},
        }
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(
            path.stem, {key: round(float(np.mean(values)), 1) for key, values in found[path.stem].items()}, flush=True
        )
    print({method: round(mean, 2) for method, mean in means(found).items()}, mean_ranks(found, METHODS))


if __name__ == "__main__":
    main()
