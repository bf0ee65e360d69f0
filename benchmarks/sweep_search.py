"""A search on a table beside the defaults, on rows that were set aside before it.

    python benchmarks/sweep_search.py segment.npz --output results/benchmarks/search.json

Three tenths of the rows are set aside. The search sees the others, of which the recipe keeps some for validation, and chooses
by those. Then the best setting and the defaults are trained with seeds that the search did not have, and the rows that were set
aside are read, once.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import aae
from aae.device import describe_device
from aae.evaluation import error_percent
from aae.recipes import Recipe
from aae.reproduction.results import summarize
from aae.runs.recipe import read_recipe
from aae.runs.seeds import train_seeds

RANGES = [
    "training.reconstruction.learning_rate=1e-4:1e-2:log",
    "training.generator.learning_rate=1e-4:1e-2:log",
    "training.discriminator.learning_rate=1e-4:1e-2:log",
    "training.classification.learning_rate=3e-4:3e-2:log",
    "model.encoder.input_noise=0.0:0.5",
    "model.style.dim=2:12",
]
GRID = ["training.batch_size=25,50,100"]
FIRST_SEED = 100  # of the comparison


def main() -> None:
    """Search, compare, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help=".npz file with X and y")
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--labels", type=int, default=210, help="labelled training rows (default: 210)")
    parser.add_argument("--epochs", type=int, default=40, help="of every training (default: 40)")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--search-seeds", type=int, default=2, help="trainings of each setting (default: 2)")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each setting in the comparison (default: 5)")
    parser.add_argument("--run", type=Path, help="folder to keep; a search that was stopped there goes on")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    start = time.perf_counter()
    with np.load(options.data) as arrays:
        rows, labels = arrays["X"], arrays["y"]
    apart = np.random.default_rng(0).permutation(len(rows)) < len(rows) * 3 // 10
    with TemporaryDirectory() as temporary:
        folder = options.run or Path(temporary)
        folder.mkdir(exist_ok=True)
        table = folder / "rows.npz"
        if not table.exists():
            np.savez(table, X=rows[~apart], y=labels[~apart])
        settings = [f"data.labels={options.labels}", f"training.epochs={options.epochs}"]
        found = aae.sweep(
            options.recipe,
            folder / "search",
            grid=GRID,
            ranges=RANGES,
            search=options.trials,
            seeds=options.search_seeds,
            settings=settings,
            data=table,
        )
        best = found.best_recipe()
        assert best is not None
        assert found.best is not None
        recipes = {"defaults": read_recipe(options.recipe, settings, str(table)), "search": best}
        errors: dict[str, list[dict[str, float]]] = {}
        for name, recipe in recipes.items():
            for run in train_seeds(fresh(recipe), options.seeds, run=folder / "compared" / name, resume=True):
                predicted = np.asarray(run.predict(rows[apart])).astype(labels.dtype)
                errors.setdefault(name, []).append({"error_percent": error_percent(labels[apart], predicted)})
    results = {name: summarize(each)["error_percent"] for name, each in errors.items()}
    pruned = sum(any(why.startswith("pruned") for why in row.failed) for row in found.rows)
    print(f"{options.trials} trials, {pruned} of them pruned; best: {json.dumps(found.best.settings)}")
    print(f"  {found.definition.metric} of the best {found.best.mean:.2f}")
    for name, numbers in results.items():
        print(f"  error on the {apart.sum()} rows apart, {name}: {numbers['mean']:.2f} ± {numbers['sd']:.2f} %")
    if options.output is not None:
        report: dict[str, Any] = {
            "command": shlex.join(["python", *sys.argv]),
            "date": datetime.now(UTC).date().isoformat(),
            "device": describe_device(torch.device("cpu")),
            "torch": torch.__version__,
            "data": options.data.stem,
            "recipe": options.recipe,
            "epochs": options.epochs,
            "labels": options.labels,
            "ranges": RANGES,
            "grid": GRID,
            "trials": options.trials,
            "pruned": pruned,
            "search_seeds": options.search_seeds,
            "seeds": [FIRST_SEED + k for k in range(options.seeds)],
            "rows_apart": int(apart.sum()),
            "best": found.best.settings,
            "best_validation": found.best.mean,
            "importance": found.importance,
            "results": results,
            "wall_seconds": round(time.perf_counter() - start, 1),
        }
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def fresh(recipe: Recipe) -> Recipe:
    """Copy a recipe with seeds that the search did not have."""
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": FIRST_SEED})})


if __name__ == "__main__":
    main()
