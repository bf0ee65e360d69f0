"""Seconds and scores of the estimators with their defaults, as they are and as they were in another checkout.

    git worktree add ../before COMMIT
    python benchmarks/estimator_speed.py --before ../before --output results/benchmarks/estimator-speed.json

Both versions work in one sitting, each in a process of its own with one thread, and fit the same rows in turn. Of every data set
six tenths are fitted, at most 2,000 rows; half of the others are to choose by (``--validation``), half are measured.
Seconds are CPU seconds of ``fit`` alone: what is imported, read and scored is not counted. Scores by estimator, more is better:

- AAE: area under the ROC curve of the anomaly score when a class is left out of the fit; mean of the first three classes
- SupervisedAAE: percentage right of the 5 nearest neighbours among rows that it drew, as many of each class as it was fitted to
- SemiSupervisedAAE: percentage right, 5 labels of each class given
- AAEClusterer: 100 NMI of as many clusters as there are classes
- AAEEmbedding: percentage right of the 5 nearest neighbours in two dimensions
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS = 2000
PER_CLASS = 5
LEFT_OUT = 3  # classes, one at a time
Array = NDArray[Any]
Task = Callable[["Rows", int], tuple[float, float]]


class Rows:
    """A data set in three parts: to fit, to choose by, and to measure."""

    def __init__(self, name: str, *, on_validation: bool) -> None:
        if name == "digits":
            from sklearn.datasets import load_digits

            rows, labels = load_digits(return_X_y=True)
        else:
            with np.load(name) as arrays:
                rows, labels = arrays["X"], arrays["y"]
        order = np.random.default_rng(0).permutation(len(rows))
        fitted = order[: min(ROWS, len(rows) * 6 // 10)]
        rest = order[len(fitted) :]
        chosen, measured = rest[: min(ROWS, len(rest) // 2)], rest[-min(ROWS, len(rest) // 2) :]
        held = chosen if on_validation else measured
        self.rows, self.labels = rows[fitted].astype(np.float32), labels[fitted]
        self.held, self.truth = rows[held].astype(np.float32), labels[held]
        self.classes = np.unique(labels)

    def few(self, seed: int) -> Array:
        """Hide all labels but five of each class."""
        shown, draw = np.full(len(self.labels), -1), np.random.default_rng(seed)
        for label in self.classes:
            known = draw.permutation(np.flatnonzero(self.labels == label))[:PER_CLASS]
            shown[known] = label
        return shown


def timed(fit: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    """Fit, and count the CPU seconds that it takes."""
    start = time.process_time()
    model = fit(*given)
    return model, time.process_time() - start


def anomalies(data: Rows, seed: int) -> tuple[float, float]:
    """Find rows of a class that was left out."""
    from sklearn.metrics import roc_auc_score

    import aae

    seconds, areas = 0.0, []
    for label in data.classes[:LEFT_OUT]:
        model, took = timed(aae.AAE(random_state=seed).fit, data.rows[data.labels != label])
        seconds += took
        areas.append(100 * roc_auc_score(data.truth != label, model.score_samples(data.held)))
    return seconds / LEFT_OUT, float(np.mean(areas))


def supervised(data: Rows, seed: int) -> tuple[float, float]:
    """Draw rows of every class, and classify rows that were measured by their nearest neighbours among them."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler

    import aae

    model, seconds = timed(aae.SupervisedAAE(random_state=seed).fit, data.rows, data.labels)
    drawn = model.sample(len(data.rows), data.labels, random_state=seed)
    scaler = StandardScaler().fit(data.rows)
    nearest = KNeighborsClassifier(5).fit(scaler.transform(drawn), data.labels)
    return seconds, float(100 * nearest.score(scaler.transform(data.held), data.truth))


def semi_supervised(data: Rows, seed: int) -> tuple[float, float]:
    """Classify with a few labels."""
    import aae

    model, seconds = timed(aae.SemiSupervisedAAE(random_state=seed).fit, data.rows, data.few(seed))
    return seconds, float(100 * np.mean(model.predict(data.held) == data.truth))


def clusters(data: Rows, seed: int) -> tuple[float, float]:
    """Find clusters without labels."""
    from sklearn.metrics import normalized_mutual_info_score

    import aae

    model, seconds = timed(aae.AAEClusterer(n_clusters=len(data.classes), random_state=seed).fit, data.rows)
    return seconds, float(100 * normalized_mutual_info_score(data.truth, model.predict(data.held)))


def embedding(data: Rows, seed: int) -> tuple[float, float]:
    """Draw a map without labels."""
    from sklearn.neighbors import KNeighborsClassifier

    import aae

    model, seconds = timed(aae.AAEEmbedding(random_state=seed).fit, data.rows)
    nearest = KNeighborsClassifier(5).fit(model.transform(data.rows), data.labels)
    return seconds, float(100 * nearest.score(model.transform(data.held), data.truth))


TASKS: dict[str, Task] = {
    "AAE": anomalies,
    "SupervisedAAE": supervised,
    "SemiSupervisedAAE": semi_supervised,
    "AAEClusterer": clusters,
    "AAEEmbedding": embedding,
}


def work(data_sets: list[str], on_validation: bool) -> None:
    """Answer requests, one a line, until there are none: ``[estimator, data set, seed]`` by ``[seconds, score]``."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = {name: Rows(name, on_validation=on_validation) for name in data_sets}
    for line in sys.stdin:
        task, name, seed = json.loads(line)
        print(json.dumps(TASKS[task](rows[name], seed)), flush=True)


class Version:
    """A checkout at work in a process of its own."""

    def __init__(self, source: Path, options: argparse.Namespace) -> None:
        words = [sys.executable, __file__, "--worker", "--data", *options.data, *["--validation"] * options.validation]
        environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, *request: Any) -> tuple[float, float]:
        """Have it fit, and return seconds and score."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        seconds, score = json.loads(self.process.stdout.readline())
        return seconds, score


def commit(source: Path) -> str:
    """Read which commit a checkout has."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=source, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def main() -> None:
    """Measure in turn, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="the other checkout; without it these sources alone are measured")
    parser.add_argument("--data", nargs="+", default=["digits"], help="digits, and .npz files with X and y")
    parser.add_argument("--estimators", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--validation", action="store_true", help="measure on rows to choose by")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.data, options.validation)
        return
    sources = {"after": Path(__file__).resolve().parents[1] / "src"}
    if options.before is not None:
        sources = {"before": options.before.resolve() / "src", **sources}
    versions = {name: Version(source, options) for name, source in sources.items()}
    results = []
    for task in options.estimators:
        for name in options.data:
            found: dict[str, list[tuple[float, float]]] = {version: [] for version in versions}
            for seed in range(options.seeds):
                for version, worker in versions.items():
                    found[version].append(worker.ask(task, name, seed))
            one: dict[str, Any] = {"estimator": task, "data": Path(name).stem}
            for version, pairs in found.items():
                seconds, scores = zip(*pairs, strict=True)
                one[version] = {"seconds": seconds, "scores": scores}
            if len(versions) > 1:
                before, after = (statistics.median(one[version]["seconds"]) for version in versions)
                one["times_faster"] = before / after
            results.append(one)
            shown = "  ".join(
                f"{version} {statistics.median(one[version]['seconds']):6.2f} s, {statistics.fmean(one[version]['scores']):6.2f}"
                for version in versions
            )
            print(f"{task:18} {one['data']:12} {shown}  {one.get('times_faster', 1.0):.1f} times", flush=True)
    if options.output is not None:
        import torch

        from aae.device import describe_device

        report = {
            "command": shlex.join(["python", *sys.argv]),
            "date": datetime.now(UTC).date().isoformat(),
            "device": describe_device(torch.device("cpu")),
            "torch": torch.__version__,
            **{version: commit(source) for version, source in sources.items()},
            "seeds": options.seeds,
            "split": "validation" if options.validation else "test",
            "results": results,
        }
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
