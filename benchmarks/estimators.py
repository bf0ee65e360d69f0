"""The estimators with their defaults beside other methods for the same tasks, on 8x8 digits.

    pip install umap-learn openTSNE
    python benchmarks/estimators.py --seeds 3 --output results/benchmarks/estimators.json

Everything is fitted on 1238 training rows and measured on 359 test rows, or on 200 validation rows with ``--validation``,
which is where the defaults were chosen. The others may do better than with their own defaults: each classifier and embedding
comes in several settings, of which the one with the best validation rows is measured (by 200 labels, more than any of them was
trained with), and each mixture in several, of which the one with the highest validation likelihood is.

UMAP and openTSNE are left out, with a note, where they are not installed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import IsolationForest
from sklearn.manifold import Isomap
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC, OneClassSVM

import aae
from aae import data
from aae.device import describe_device
from aae.evaluation import clustering_report, error_percent, knn_accuracy_percent, trustworthiness
from aae.files import write_json
from aae.reproduction.results import summarize

LABELS_PER_CLASS = 5
Array = NDArray[Any]
Measured = tuple[str, str, dict[str, float]]
"""Task, method, and its measures for one seed."""


class Digits:
    """Flat rows in [0, 1] and labels: for training, for choosing and for measuring."""

    def __init__(self, *, measure_on_validation: bool) -> None:
        digits = data.load("digits", validation=200)
        assert digits.validation is not None
        measured = digits.validation if measure_on_validation else digits.test
        (self.train, self.labels), (self.chosen, self.chosen_labels), (self.rows, self.truth) = (
            (split.rows.reshape(len(split.rows), -1), split.labels)
            for split in (digits.train, digits.validation, measured)
        )

    def few(self, seed: int) -> Array:
        """Hide all labels but five of each class."""
        known = data.labelled_subset(self.labels, 10 * LABELS_PER_CLASS, num_classes=10, seed=seed)
        labels = np.full(len(self.labels), -1)
        labels[known] = self.labels[known]
        return labels


def best(candidates: list[Any], score: Callable[[Any], float]) -> Any:
    """Choose the fitted candidate with the highest score."""
    return max(candidates, key=score)


def classification(digits: Digits, seed: int) -> Iterator[Measured]:
    """Error on rows that were not seen, with five labels per class."""
    few = digits.few(seed)
    known = few >= 0
    supports = [SVC(C=c, gamma=g, random_state=seed) for c in (1, 10) for g in ("scale", 0.02, 0.05)]
    widths, penalties = [(100,), (200, 200)], [1e-4, 1e-2, 1]

    def calibrated(machine: SVC) -> CalibratedClassifierCV:
        return CalibratedClassifierCV(machine, ensemble=False)  # self-training needs probabilities

    methods: dict[str, list[Any]] = {
        "SemiSupervisedAAE": [aae.SemiSupervisedAAE(random_state=seed).fit(digits.train, few)],
        "SelfTrainingClassifier(SVC)": [
            SelfTrainingClassifier(calibrated(m), threshold=t).fit(digits.train, few)
            for m in supports
            for t in (0.6, 0.75)
        ],
        "LabelSpreading": [
            *(LabelSpreading(kernel="knn", n_neighbors=k).fit(digits.train, few) for k in (5, 7, 10)),
            *(LabelSpreading(kernel="rbf", gamma=g).fit(digits.train, few) for g in (1, 3, 10)),
        ],
        "SVC, labelled rows only": [machine.fit(digits.train[known], few[known]) for machine in supports],
        "MLPClassifier, labelled rows only": [
            MLPClassifier(w, alpha=a, max_iter=1000, random_state=seed).fit(digits.train[known], few[known])
            for w in widths
            for a in penalties
        ],
    }
    for method, candidates in methods.items():
        model = best(candidates, lambda m: m.score(digits.chosen, digits.chosen_labels))
        yield "5 labels per class", method, {"error_percent": error_percent(digits.truth, model.predict(digits.rows))}


def clustering(digits: Digits, seed: int) -> Iterator[Measured]:
    """How well clusters found without labels fit the labels."""
    for clusters in (10, 16):
        ours = aae.AAEClusterer(n_clusters=clusters, random_state=seed).fit(digits.train)
        means = KMeans(clusters, n_init=10, random_state=seed).fit(digits.train)
        mixture = best(
            [
                GaussianMixture(clusters, covariance_type=kind, reg_covar=r, n_init=3, random_state=seed).fit(
                    digits.train
                )
                for kind in ("diag", "tied", "full")
                for r in (1e-3, 1e-2)
            ],
            lambda m: m.score(digits.chosen),
        )
        logits: dict[str, Callable[[Array], Array]] = {
            "AAEClusterer": lambda rows, model=ours: np.log(np.maximum(model.predict_proba(rows), 1e-30)),
            "KMeans": lambda rows, model=means: -np.square(model.transform(rows)),
            "GaussianMixture": lambda rows, model=mixture: np.log(np.maximum(model.predict_proba(rows), 1e-30)),
        }
        for method, give in logits.items():
            report = clustering_report(give(digits.chosen), digits.chosen_labels, give(digits.rows), digits.truth)
            names = ["nmi", "ari", "clustering_error_percent", "clusters_in_use"]
            if clusters == 10:
                names.append("clustering_accuracy_hungarian_percent")
            yield f"{clusters} clusters", method, {name: report[name] for name in names}


class Tsne:
    """t-SNE by openTSNE, in the habits of scikit-learn."""

    def __init__(self, perplexity: float, seed: int) -> None:
        self.perplexity, self.seed = perplexity, seed

    def fit(self, X: Array) -> Tsne:
        """Create the map of the training rows."""
        from openTSNE import TSNE

        self.train = X
        self.map = TSNE(perplexity=self.perplexity, random_state=self.seed, n_jobs=1).fit(X)
        return self

    def transform(self, X: Array) -> Array:
        """Return the places of the training rows, or put others among them."""
        return np.asarray(self.map if X is self.train else self.map.transform(X))


def neighbour_maps(digits: Digits, few: Array, seed: int) -> dict[str, list[Any]]:
    """Fit the peers that have to be installed."""
    found: dict[str, list[Any]] = {}
    if importlib.util.find_spec("umap"):
        from umap import UMAP

        def umaps(labels: Array | None) -> list[Any]:
            sizes = (5, 15, 30)
            return [UMAP(n_neighbors=k, random_state=seed, n_jobs=1).fit(digits.train, labels) for k in sizes]

        found = {"UMAP": umaps(None), "UMAP, 5 labels per class": umaps(few)}
    if importlib.util.find_spec("openTSNE"):
        found["openTSNE"] = [Tsne(perplexity, seed).fit(digits.train) for perplexity in (10, 30)]
    return found


def embedding(digits: Digits, seed: int) -> Iterator[Measured]:
    """How faithful a map in two dimensions is, for rows that were not seen."""
    few = digits.few(seed)
    known = few >= 0

    def neighbours(model: Any, rows: Array, truth: Array) -> float:
        return knn_accuracy_percent(model.transform(digits.train), digits.labels, model.transform(rows), truth)

    methods: dict[str, list[Any]] = {
        "AAEEmbedding": [aae.AAEEmbedding(random_state=seed).fit(digits.train)],
        "AAEEmbedding, 5 labels per class": [aae.AAEEmbedding(random_state=seed).fit(digits.train, few)],
        **neighbour_maps(digits, few, seed),
        "PCA": [PCA(2).fit(digits.train)],
        "Isomap": [Isomap(n_neighbors=k).fit(digits.train) for k in (5, 10, 20)],
        "LinearDiscriminantAnalysis, 5 labels per class": [
            LinearDiscriminantAnalysis(solver="eigen", shrinkage=s, n_components=2).fit(digits.train[known], few[known])
            for s in ("auto", 0.3, 0.6)
        ],
    }
    for method, candidates in methods.items():
        model = best(candidates, lambda m: neighbours(m, digits.chosen, digits.chosen_labels))
        measures = {
            "knn_accuracy_percent": neighbours(model, digits.rows, digits.truth),
            "trustworthiness": trustworthiness(digits.rows, model.transform(digits.rows)),
        }
        yield "2-D map", method, measures


class Reconstruction(PCA):
    """Anomalies by the error of the reconstruction from principal components."""

    def score_samples(self, X: Array) -> Array:
        """Negative squared error of each row."""
        errors: Array = np.square(X - self.inverse_transform(self.transform(X))).sum(axis=1)
        return -errors


def anomalies(digits: Digits, seed: int) -> Iterator[Measured]:
    """Area under the ROC curve when one digit is left out of training, mean and minimum over the ten digits."""
    makers: dict[str, Callable[[], Any]] = {
        "AAE": lambda: aae.AAE(random_state=seed),
        "PCA, reconstruction error": lambda: Reconstruction(20),
        "LocalOutlierFactor": lambda: LocalOutlierFactor(novelty=True),
        "OneClassSVM": lambda: OneClassSVM(),
        "IsolationForest": lambda: IsolationForest(random_state=seed),
    }
    for method, make in makers.items():
        areas = []
        for digit in range(10):
            model = make().fit(digits.train[digits.labels != digit])
            areas.append(roc_auc_score(digits.truth != digit, model.score_samples(digits.rows)))
        yield "unseen digit", method, {"auroc_mean": float(np.mean(areas)), "auroc_min": float(np.min(areas))}


PEERS = {"umap-learn": "umap", "openTSNE": "openTSNE"}
"""Packages to be installed, and what they are imported as."""

TASKS = {
    "classification": classification,
    "clustering": clustering,
    "embedding": embedding,
    "anomalies": anomalies,
}


def main() -> None:
    """Measure, print one table, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument(
        "--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="tasks to measure (default: all)"
    )
    parser.add_argument("--validation", action="store_true", help="measure on validation rows, not on test rows")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()

    absent = [name for name in PEERS if not importlib.util.find_spec(PEERS[name])]
    if absent:
        print(f"left out, because not installed: {', '.join(absent)}", file=sys.stderr)
    warnings.filterwarnings("ignore", module="umap|sklearn")  # one thread with a seed; the layout of a small graph
    digits = Digits(measure_on_validation=options.validation)
    started = time.perf_counter()
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for seed in range(options.seeds):
        for task in options.tasks:
            for name, method, measures in TASKS[task](digits, seed):
                found.setdefault((name, method), []).append(measures)

    split = "validation" if options.validation else "test"
    table = Table("task", "method", "measure", f"{split} rows, mean ± sd", title=f"8x8 digits, {options.seeds} seeds")
    results: dict[str, dict[str, Any]] = {}
    for (name, method), reports in found.items():
        summary = summarize(reports)
        results.setdefault(name, {})[method] = summary
        for measure, numbers in summary.items():
            table.add_row(name, method, measure, f"{numbers['mean']:.3f} ± {numbers['sd']:.3f}")
    Console().print(table)
    if options.output is not None:
        packages = ["torch", "scikit-learn", *(name for name in PEERS if name not in absent)]
        facts = {
            "data": "digits",
            "split": split,
            "seeds": list(range(options.seeds)),
            "device": describe_device(torch.device("cpu")),
            "version": aae.__version__,
            "versions": {name: importlib.metadata.version(name) for name in packages},
            "wall_seconds": round(time.perf_counter() - started, 1),
            "command": shlex.join(["python", *sys.argv]),
            "date": datetime.now(UTC).date().isoformat(),
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.output, {**facts, "results": results})


if __name__ == "__main__":
    main()
