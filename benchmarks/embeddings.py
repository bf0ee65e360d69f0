"""Maps of the same held-out rows by UMAP and openTSNE, measured like ours (section 7).

    pip install umap-learn openTSNE
    python benchmarks/embeddings.py mnist --seeds 3 --record results

Each peer is fitted to the training rows, maps the test rows with its own `transform`, and is measured by the functions that
`aae evaluate` uses, on the same rows: k-NN accuracy of the test rows among 10,000 training rows, trustworthiness and
continuity of the test rows. Peers run with their default settings.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shlex
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import aae
from aae import data, evaluation
from aae.device import describe_device
from aae.files import write_json
from aae.reproduction.results import hardware, summarize
from aae.runs.evaluate import NEIGHBOURHOOD, REFERENCE_ROWS

NEIGHBOURS = 10  # k of the k-NN accuracy, as in the recipes
EPOCHS = {
    "umap": 200,
    "opentsne": 500,
}  # their defaults for more than 10,000 rows; openTSNE adds 250 of early exaggeration
THREADS = len(os.sched_getaffinity(0))


def umap(train: np.ndarray, test: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit UMAP and map the test rows."""
    from umap import UMAP

    mapper = UMAP(n_epochs=EPOCHS["umap"], random_state=seed, n_jobs=1)  # a seeded UMAP runs on one thread
    return mapper.fit_transform(train), mapper.transform(test)


def opentsne(train: np.ndarray, test: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit t-SNE and map the test rows."""
    from openTSNE import TSNE

    embedding = TSNE(n_iter=EPOCHS["opentsne"], random_state=seed, n_jobs=THREADS).fit(train)
    return np.asarray(embedding), np.asarray(embedding.transform(test))


PEERS: dict[str, tuple[str, Callable[..., tuple[np.ndarray, np.ndarray]]]] = {
    "umap": ("umap-learn", umap),
    "opentsne": ("openTSNE", opentsne),
}


def measure(dataset: data.Dataset, peer: Callable[..., Any], seed: int) -> tuple[dict[str, float], float]:
    """Fit a peer and measure its map of the test rows; returns the metrics and the seconds it took."""
    train, test = dataset.train, dataset.test
    assert test is not None
    flat, held_out = (split.rows.reshape(len(split), -1).astype(np.float32) / 255 for split in (train, test))
    started = time.monotonic()
    train_map, test_map = peer(flat, held_out, seed)
    seconds = time.monotonic() - started
    some = np.sort(np.random.default_rng(0).permutation(len(train))[:REFERENCE_ROWS])
    metrics = {
        "knn_accuracy_percent": evaluation.knn_accuracy_percent(
            train_map[some], train.labels[some], test_map, test.labels, k=NEIGHBOURS
        ),
        "trustworthiness": evaluation.trustworthiness(held_out, test_map, NEIGHBOURHOOD),
        "continuity": evaluation.continuity(held_out, test_map, NEIGHBOURHOOD),
    }
    return metrics, seconds


def main() -> None:
    """Measure the peers and print or record what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", default="mnist", help="a named data set of images")
    parser.add_argument("--validation", type=int, default=10000, help="training rows to leave out, as the recipes do")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="write a result file per peer")
    options = parser.parse_args()
    dataset = data.load(options.source, validation=options.validation)
    for name in options.peers:
        package, peer = PEERS[name]
        measured = [measure(dataset, peer, seed) for seed in range(options.seeds)]
        result = {
            "recipe": name,
            "title": f"{package} {importlib.metadata.version(package)}, default settings",
            "epochs": EPOCHS[name],
            "seeds": list(range(options.seeds)),
            "split": "test",
            "metrics": summarize([metrics for metrics, _ in measured]),
            "paper": {},
            "data": options.source,
            "device": describe_device(torch.device("cpu")),
            "version": aae.__version__,
            "torch": torch.__version__,
            "precision": "fp32",
            "wall_seconds": [seconds for _, seconds in measured],
            "command": shlex.join(["python", *sys.argv]),
            "date": datetime.now(UTC).date().isoformat(),
        }
        print(name, {key: round(value["mean"], 4) for key, value in result["metrics"].items()}, result["wall_seconds"])
        if options.record:
            write_json(options.record / f"{name}.{EPOCHS[name]}ep.{hardware(result['device'])}.json", result)


if __name__ == "__main__":
    main()
