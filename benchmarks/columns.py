"""Columns by their kinds against the same columns as numbers, on rows that were not trained on.

Cells are simulated: counts of 100 genes of six types in three batches, negative binomial, with total counts that vary by a factor
of about three from cell to cell; half of the cells are trained on. "negative binomial" is ``columns="count"``, "Gaussian" half
the squared error of log1p of the counts, "Gaussian, normalized" of log1p of the counts per cell times the median total. "with
batch" gives the decoder the batch as a covariate. Mixed tables are public ones, half of whose columns are cut into four
categories, in the order of a random permutation, and one into yes and no; "as numbers" treats the numbers of the categories as
numbers.

    python benchmarks/columns.py --seeds 3 --output results/benchmarks/columns.json

The file of results is written after each task.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

import aae
from aae.device import describe_device

GENES, TYPES, BATCHES, CELLS, LABELS = 100, 6, 3, 1200, 5
STEPS = {"batch_size": 100, "epochs": 120}  # of the basic model, whose default is 3000 mini-batches of 50
MISSING = 0.15


def cells(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw counts (cells, genes), types and batches."""
    random = np.random.default_rng(seed)
    base = random.normal(0, 1.2, GENES)
    types = base + 0.7 * random.normal(size=(TYPES, GENES)) * (random.uniform(size=(TYPES, GENES)) < 0.15)
    batches = 0.3 * random.normal(size=(BATCHES, GENES))
    kind, batch = random.integers(TYPES, size=CELLS), random.integers(BATCHES, size=CELLS)
    log_mean = types[kind] + batches[batch] + 0.15 * random.normal(size=(CELLS, GENES))
    mean = np.exp(log_mean + random.normal(-0.3, 0.6, (CELLS, 1)))
    return random.negative_binomial(2, 2 / (2 + mean)), kind, batch


def log_likelihood(model: aae.AAE, name: str, test: np.ndarray, factor: np.ndarray, covariates: Any) -> float:
    """Compute log p(x|z) at the code of each cell, in nats for each gene; of a Gaussian that of the counts it rounds to."""
    if name.startswith("negative"):
        rows = model._rows(test, covariates)
        inner, outer = model.model_.split(rows)
        with torch.no_grad():
            logits = model.model_.decoder_logits(model.model_.encode(rows), None, None, outer)
            found = model.model_.likelihood.log_prob(logits, inner, model.model_.log_totals(inner))
        return float(found.mean())
    given = np.log1p(test * factor)
    mean = model.reconstruct(given, covariates=covariates)
    std = np.maximum(np.sqrt(np.square(given - mean).mean(0)), 1e-3)  # the best that a variance for each gene can do
    low, high = (np.log1p(np.maximum(test + half, -0.999) * factor) for half in (-0.5, 0.5))
    low = np.where(test == 0, -np.inf, low)
    chance = norm.cdf((high - mean) / std) - norm.cdf((low - mean) / std)
    return float(np.log(np.maximum(chance, 1e-12)).mean())


def on_cells(seed: int, quick: bool) -> dict[str, dict[str, float]]:
    """Measure codes, clusters and classes of cells by method."""
    counts, kind, batch = cells(seed)
    train = np.arange(CELLS) < CELLS // 2
    total = counts.sum(1, keepdims=True)
    factor = np.median(total[train]) / np.maximum(total, 1)
    short: dict[str, Any] = {"epochs": 1} if quick else {}
    few = np.full(CELLS, -1)
    for k in range(TYPES):
        few[np.flatnonzero(train & (kind == k))[:LABELS]] = k
    found = {}
    for name in (
        "negative binomial",
        "negative binomial, with batch",
        "Gaussian",
        "Gaussian, normalized",
        "Gaussian, normalized, with batch",
    ):
        begun, counted = time.process_time(), name.startswith("negative")
        own = factor if "normalized" in name else np.ones_like(factor)
        rows = counts if counted else np.log1p(counts * own)
        options = {**short, "random_state": seed, "columns": "count" if counted else "auto"}
        beside = batch.astype(str) if "batch" in name else None
        outer = {} if beside is None else {"covariates": beside[train]}
        codes = aae.AAE(8, **{**STEPS, **options}).fit(rows[train], **outer)
        neighbours = KNeighborsClassifier(15)
        z = [codes.transform(rows[part]) for part in (train, ~train)]
        clusters = aae.AAEClusterer(TYPES, **options).fit(rows[train], **outer)
        classes = aae.SemiSupervisedAAE(**options).fit(rows[train], few[train], **outer)
        held = None if beside is None else beside[~train]
        found[name] = {
            "log_likelihood": log_likelihood(codes, name, counts[~train], own[~train], held),
            "knn_type_percent": 100 * neighbours.fit(z[0], kind[train]).score(z[1], kind[~train]),
            "knn_batch_percent": 100 * neighbours.fit(z[0], batch[train]).score(z[1], batch[~train]),
            "clusters_ari": adjusted_rand_score(kind[~train], clusters.predict(rows[~train])),
            "accuracy_percent": 100 * float((classes.predict(rows[~train]) == kind[~train]).mean()),
            "seconds": time.process_time() - begun,
        }
    return found


def tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the tables whose columns are cut."""
    found = {"wine": load_wine(return_X_y=True), "breast cancer": load_breast_cancer(return_X_y=True)}
    folder = Path(os.environ.get("AAE_DATA", ".")) / "tables"
    for name in ("dermatology", "segment"):
        if (folder / f"{name}.npz").exists():
            with np.load(folder / f"{name}.npz") as file:
                found[name] = file["X"].astype(float), file["y"]
    return found


def mixed(rows: np.ndarray, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut every other column into categories, the first into yes and no: the table, and the same as numbers."""
    random = np.random.default_rng(seed)
    values: dict[str, Any] = {}
    numbers: dict[str, Any] = {}
    for k in range(rows.shape[1]):
        column = rows[:, k]
        edges = np.unique(np.quantile(column, [0.25, 0.5, 0.75]))
        if k % 2 == 0 and len(edges):
            if k == 0:
                numbers[f"c{k}"] = (column > np.median(column)).astype(float)
                values[f"c{k}"] = column > np.median(column)
                continue
            codes = random.permutation(len(edges) + 1)[np.searchsorted(edges, column, side="right")]
            values[f"c{k}"] = np.array(list("abcd"))[codes].astype(object)
            numbers[f"c{k}"] = codes.astype(float)
        else:
            values[f"c{k}"] = numbers[f"c{k}"] = column
    return pd.DataFrame(values), pd.DataFrame(numbers)


def on_mixed(rows: np.ndarray, labels: np.ndarray, seed: int, quick: bool) -> dict[str, dict[str, float]]:
    """Measure classes from few labels, and imputed categories and numbers, by method."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(rows))[:1200]
    rows, labels = rows[order], labels[order]
    train = np.arange(len(rows)) < len(rows) // 2
    by_kind, as_numbers = mixed(rows, seed)
    few = np.full(len(rows), -1)
    for k in np.unique(labels):
        few[np.flatnonzero(train & (labels == k))[:LABELS]] = k
    holes = random.uniform(size=rows.shape) < MISSING
    short: dict[str, Any] = {"epochs": 1} if quick else {}
    told = [name for name in by_kind if by_kind[name].dtype.kind not in "f"]
    plain = [name for name in by_kind if name not in told]
    spread = as_numbers[plain].std() + 1e-9
    found = {}
    for name, table in (("by kind", by_kind), ("as numbers", as_numbers)):
        begun = time.process_time()
        classes = aae.SemiSupervisedAAE(random_state=seed, **short).fit(table[train], few[train])
        gaps = table.astype(object).where(~holes, None) if name == "by kind" else table.where(~holes)
        for column in plain:
            gaps[column] = gaps[column].astype(float)
        imputer = aae.AAE(4, missing="mask", random_state=seed, **{**STEPS, **short}).fit(gaps[train])
        made = imputer.impute(gaps[~train])
        right = known = 0
        for column in told:
            where = holes[~train, list(by_kind).index(column)]
            if name == "by kind":
                same = np.asarray(made[column])[where] == np.asarray(table[column][~train])[where]
            else:
                levels = table[column].max()
                same = (
                    np.clip(np.rint(made[column]), 0, levels).to_numpy()[where]
                    == table[column][~train].to_numpy()[where]
                )
            right, known = right + int(same.sum()), known + int(where.sum())
        gap = holes[~train][:, [list(by_kind).index(column) for column in plain]]
        off = ((made[plain].to_numpy(float) - as_numbers[plain][~train].to_numpy()) / spread.to_numpy())[gap]
        found[name] = {
            "accuracy_percent": 100 * float((classes.predict(table[~train]) == labels[~train]).mean()),
            "imputed_categories_percent": 100 * right / max(1, known),
            "imputed_numbers_rmse": float(np.sqrt(np.square(off).mean())),
            "seconds": time.process_time() - begun,
        }
    return found


def gather(of_seeds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, list[float]]]:
    """Put the numbers of all seeds together, by method and measure."""
    return {
        method: {measure: [one[method][measure] for one in of_seeds] for measure in measures}
        for method, measures in of_seeds[0].items()
    }


def main() -> None:
    """Run the benchmark and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--quick", action="store_true", help="one epoch each, to see that it runs")
    parser.add_argument("--tasks", nargs="*", help="cells, or names of tables; all by default")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    seeds = list(range(options.first, options.first + options.seeds))
    tasks: dict[str, Any] = {"cells": lambda seed: on_cells(seed, options.quick)}
    for name, (rows, labels) in tables().items():
        tasks[name] = lambda seed, rows=rows, labels=labels: on_mixed(rows, labels, seed, options.quick)
    report = {
        "command": shlex.join(["python", "benchmarks/columns.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "device": describe_device(torch.device("cpu")),
        "versions": {package: version(package) for package in ("torch", "scikit-learn")} | {"aae": aae.__version__},
        "seeds": seeds,
        "results": {},
    }
    if options.output.exists():
        before = json.loads(options.output.read_text(encoding="utf-8"))
        if all(before[key] == report[key] for key in ("versions", "seeds")):
            report["results"] = before["results"]
    for name, run in tasks.items():
        if name in report["results"] or (options.tasks and name not in options.tasks):
            continue
        report["results"][name] = gather([run(seed) for seed in seeds])
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        for method, measures in report["results"][name].items():
            print(name, method, {key: round(float(np.mean(values)), 3) for key, values in measures.items()}, flush=True)


if __name__ == "__main__":
    main()
