"""The estimators with their defaults beside what a user would pick, on tables: five labels a class, and clusters.

Labels, rows and seeds are the same for all methods. With five labels a class the accuracy is that on the rows without a label; of
clusters it is the Hungarian one, with as many clusters as classes. Of a table with more rows, so many are drawn. Methods that see
distances get standardized columns; ours scale by themselves.

    python benchmarks/tables.py digits usps pendigits --seeds 3 --output results/benchmarks/tables.json

A name is a file ``NAME.npz`` with X and y in the folder ``tables`` of AAE_DATA, or ``digits``.
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
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC

import aae
from aae.device import describe_device

ROWS, LABELS = 2000, 5
NAMES = ("digits", "dermatology", "pendigits", "segment", "usps", "wdbc")
Method = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read rows (n, columns) and classes (n,), numbered from 0."""
    if name == "digits":
        rows, classes = load_digits(return_X_y=True)
    else:
        with np.load(Path(os.environ["AAE_DATA"]) / "tables" / f"{name}.npz") as file:
            rows, classes = file["X"], file["y"]
    return rows, np.unique(classes, return_inverse=True)[1]


def supervised(make: Callable[[int], Any]) -> Method:
    """Create a method that learns from the labelled rows alone."""

    def predict(rows: np.ndarray, few: np.ndarray, seed: int) -> np.ndarray:
        rows = StandardScaler().fit_transform(rows)
        return make(seed).fit(rows[few >= 0], few[few >= 0]).predict(rows)

    return predict


def semi_supervised(make: Callable[[int], Any]) -> Method:
    """Create a method that is given all rows, -1 where there is no label."""

    def predict(rows: np.ndarray, few: np.ndarray, seed: int) -> np.ndarray:
        rows = StandardScaler().fit_transform(rows)
        return make(seed).fit(rows, few).predict(rows)

    return predict


def self_training(seed: int) -> SelfTrainingClassifier:
    """Create a support vector machine that labels the rows it is sure of."""
    return SelfTrainingClassifier(CalibratedClassifierCV(SVC(random_state=seed), ensemble=False, cv=3))


CLASSIFIERS: dict[str, Method] = {
    "SemiSupervisedAAE": lambda rows, few, seed: aae.SemiSupervisedAAE(random_state=seed).fit(rows, few).predict(rows),
    "LabelSpreading": semi_supervised(lambda seed: LabelSpreading(kernel="knn", n_neighbors=7)),
    "SelfTrainingClassifier(SVC)": semi_supervised(self_training),
    "SVC": supervised(lambda seed: SVC(random_state=seed)),
    "RandomForestClassifier": supervised(lambda seed: RandomForestClassifier(200, random_state=seed)),
}


def clusters(make: Callable[[int, int], Any]) -> Method:
    """Create a method that finds so many clusters in standardized rows."""

    def predict(rows: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
        found = make(len(np.unique(classes)), seed)
        return np.asarray(found.fit_predict(StandardScaler().fit_transform(rows)))

    return predict


def own_clusters(rows: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
    """Find as many clusters as there are classes."""
    return np.asarray(aae.AAEClusterer(len(np.unique(classes)), random_state=seed).fit(rows).labels_)


CLUSTERERS: dict[str, Method] = {
    "AAEClusterer": own_clusters,
    "KMeans": clusters(lambda k, seed: KMeans(k, n_init=10, random_state=seed)),
    "GaussianMixture": clusters(lambda k, seed: GaussianMixture(k, reg_covar=1e-2, random_state=seed)),
    "HDBSCAN": clusters(lambda k, seed: HDBSCAN(min_cluster_size=10)),
}


def hungarian(found: np.ndarray, classes: np.ndarray) -> float:
    """Compute the fraction of rows whose cluster is that of their class, by the best pairing of the two."""
    counts = np.zeros((found.max() + 2, classes.max() + 1))
    np.add.at(counts, (found, classes), 1)  # the last line has the rows without a cluster, -1
    return float(counts[linear_sum_assignment(-counts)].sum() / len(classes))


def draw(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw rows, their classes, and labels of five rows of each class, -1 elsewhere."""
    rows, classes = read(name)
    random = np.random.RandomState(seed)
    some = random.permutation(len(rows))[:ROWS]
    rows, classes = rows[some], classes[some]
    few = np.full(len(classes), -1)
    for k in np.unique(classes):
        few[random.permutation(np.flatnonzero(classes == k))[:LABELS]] = k
    return rows, classes, few


def measure(names: list[str], seeds: int, task: str) -> dict[str, dict[str, list[float]]]:
    """Run all methods of a task; returns percent by table and method, and seconds of our own by table."""
    methods = CLASSIFIERS if task == "classify" else CLUSTERERS
    found: dict[str, dict[str, list[float]]] = {}
    for name in names:
        found[name] = {method: [] for method in methods} | {"seconds": []}
        for seed in range(seeds):
            rows, classes, few = draw(name, seed)
            for method, predict in methods.items():
                begun = time.process_time()
                if task == "classify":
                    unlabelled = few < 0
                    percent = 100 * float((predict(rows, few, seed)[unlabelled] == classes[unlabelled]).mean())
                else:
                    percent = 100 * hungarian(predict(rows, classes, seed), classes)
                found[name][method].append(percent)
                if method.endswith(("AAE", "AAEClusterer")):
                    found[name]["seconds"].append(time.process_time() - begun)
        print(
            task, name, {key: round(float(np.mean(values)), 1) for key, values in found[name].items()}, file=sys.stderr
        )
    return found


def mean_ranks(found: dict[str, dict[str, list[float]]]) -> dict[str, float]:
    """Compute the mean over tables of the rank of each method, 1 for the best."""
    methods = [method for method in next(iter(found.values())) if method != "seconds"]
    means = np.array([[np.mean(table[method]) for method in methods] for table in found.values()])
    ranks = 1 + (means[:, None, :] > means[:, :, None]).sum(axis=2)
    return dict(zip(methods, ranks.mean(axis=0).tolist(), strict=True))


def main() -> None:
    """Run the benchmark and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES), help="tables")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--tasks", nargs="+", default=["classify", "cluster"], choices=["classify", "cluster"])
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    tasks = {task: measure(options.names, options.seeds, task) for task in options.tasks}
    report = {
        "command": shlex.join(["python", "benchmarks/tables.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "device": describe_device(torch.device("cpu")),
        "versions": {package: version(package) for package in ("torch", "scikit-learn")} | {"aae": aae.__version__},
        "seeds": list(range(options.seeds)),
        "rows": ROWS,
        "tasks": tasks,
        "mean_ranks": {task: mean_ranks(found) for task, found in tasks.items()},
    }
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report["mean_ranks"], indent=1))


if __name__ == "__main__":
    main()
