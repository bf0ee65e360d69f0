"""What each loss of a ``-consistent`` recipe is worth: the same networks, epochs, labels and seeds without some of them.

    python benchmarks/ablation.py demo-consistent --seeds 5 --output results/benchmarks/ablation.json

Measured on validation rows. Without clusters first, all losses are those of the recipe's second part from the beginning; without
the adversarial losses the discriminators still learn, and the encoder takes no notice.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from aae.device import describe_device
from aae.recipes.schema import Recipe
from aae.runs.recipe import read_recipe
from aae.runs.train import train

LATENTS = ("label", "style")  # whose adversarial loss is left out
VARIANTS: dict[str, tuple[Sequence[str], bool]] = {  # what is left out, and whether clusters are found first
    "all losses, clusters first": ((), True),
    "without information": (("information",), True),
    "without adversarial losses": (("generator",), True),
    "all losses, labels at once": ((), False),
    "paper's losses and consistency": (("information",), False),
    "paper's losses and information": (("consistency",), False),
    "paper's losses": (("consistency", "information"), False),
    "consistency and information, no adversarial losses": (("generator",), False),
    "consistency, no adversarial losses": (("generator", "information"), False),
    "classification and reconstruction": (("generator", "consistency", "information"), False),
}


def variant(recipe: Recipe, left_out: Sequence[str], clusters_first: bool, seed: int) -> Recipe:
    """Create the recipe without some losses."""
    settings = recipe.model_dump(exclude_unset=True)
    training = settings["training"] | {"seed": seed}
    losses = training["losses"]
    if not clusters_first:
        del losses["clustering"], training["clustering"], settings["model"]["label"]["clusters"]
    for part in (losses, losses["clustering"]) if clusters_first else (losses,):
        for name in left_out:
            if name == "generator":
                part[name] = dict.fromkeys(LATENTS, 0.0)
            else:
                del part[name]
    return Recipe.model_validate(settings | {"training": training})


def main() -> None:
    """Train all variants, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE, of the recipe")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--metric", default="validation_error_percent")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    recipe = read_recipe(options.recipe, options.set)
    found: dict[str, dict[str, list[float]]] = {}
    for name, (left_out, clusters_first) in VARIANTS.items():
        found[name] = {options.metric: [], "cpu_seconds": []}
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                run = train(variant(recipe, left_out, clusters_first, seed), run=Path(folder) / "run")
                last: dict[str, Any] = run.folder.read_metrics()[-1]
                found[name][options.metric].append(last[options.metric])
                found[name]["cpu_seconds"].append(run.metadata["cpu_seconds"])
        values = found[name][options.metric]
        print(f"{name:52}{statistics.mean(values):7.2f}   {values}", flush=True)
    if options.output:
        report = {
            "command": shlex.join(["python", *sys.argv]),
            "date": datetime.now(UTC).date().isoformat(),
            "device": describe_device(torch.device("cpu")),
            "torch": torch.__version__,
            "recipe": options.recipe,
            "metric": options.metric,
            "epochs": recipe.training.epochs,
            "seeds": list(range(options.seeds)),
            "data": recipe.data.source,
            "results": found,
        }
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
