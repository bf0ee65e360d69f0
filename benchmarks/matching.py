"""Which way of matching codes to the prior helps: each option of ``training.losses.matching`` beside the paper's discriminator.

    python benchmarks/matching.py --seeds 5 --output results/benchmarks/matching.json

Figures 2a and 4a in small: the first 2000 training images of MNIST, networks of 200 units, Adam, for all with the same learning
rates.
Measured on codes of the validation images. What the output file has already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from aae.data import Dataset, load
from aae.device import describe_device
from aae.reproduction.results import summarize
from aae.runs.evaluate import evaluate
from aae.runs.recipe import read_recipe
from aae.runs.seeds import train_seeds

MATCHING = "training.losses.matching."
OPTIONS: dict[str, Sequence[str]] = {
    "the paper's": (),
    "least squares": (MATCHING + 'objective="least-squares"',),
    "hinge": (MATCHING + 'objective="hinge"',),
    "Wasserstein, gradient penalty 10": (MATCHING + 'objective="wasserstein"', MATCHING + "gradient_penalty=10"),
    "Wasserstein, spectral normalization": (
        MATCHING + 'objective="wasserstein"',
        "model.discriminator.spectral_norm=true",
    ),
    "R1, 1": (MATCHING + "r1=1",),
    "gradient penalty 1": (MATCHING + "gradient_penalty=1",),
    "spectral normalization": ("model.discriminator.spectral_norm=true",),
    "noise on the discriminator's input, 0.3": ("model.discriminator.input_noise=0.3",),
    "three discriminator steps": (MATCHING + "discriminator_steps=3",),
    "maximum mean discrepancy": (MATCHING + 'objective="mmd"',),
    "sliced Wasserstein": (MATCHING + 'objective="sliced-wasserstein"',),
}
WITHOUT_DISCRIMINATOR = ("maximum mean discrepancy", "sliced Wasserstein")  # which no label informs
ROWS, HELD_OUT, EPOCHS = 2000, 2000, 20
ADAM = '{{ optimizer = "adam", learning_rate = {{ 0 = 0.001, 14 = 0.0002 }}, betas = [{}, 0.999] }}'
COMMON = (
    *(f"model.{part}.hidden=[200, 200]" for part in ("encoder", "decoder", "discriminator")),
    'model.init="he"',
    f"training.epochs={EPOCHS}",
    "training.precision=fp32",
    f"evaluation.prior_samples={HELD_OUT}",
    f"training.validate_every={EPOCHS}",
    f"training.checkpoint_every={EPOCHS}",
    f"training.reconstruction={ADAM.format(0.9)}",
    f"training.generator={ADAM.format(0.5)}",
)
DISCRIMINATOR = (f"training.discriminator={ADAM.format(0.5)}",)
TASKS: dict[str, tuple[str, Sequence[str]]] = {
    "2-D Gaussian (figure 2a)": ("figure2a", ('model.style.prior={ kind = "gaussian", std = 1.0 }',)),
    "mixture, one component per digit (figure 4a)": ("figure4a", ("data.labels=400",)),
}
MEASURES = ("energy_distance", "holes_percent", "validation_reconstruction", "label_placement_percent", "cpu_seconds")


def measure(recipe: str, settings: Sequence[str], seeds: int, dataset: Dataset) -> dict[str, Any]:
    """Train with several seeds, and measure the codes of the validation rows."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for run in train_seeds(
            read_recipe(recipe, settings), seeds, run=Path(folder) / "run", device="cpu", dataset=dataset
        ):
            metrics = evaluate(run, "validation", dataset)["metrics"] | {"cpu_seconds": run.metadata["cpu_seconds"]}
            found.append({name: metrics[name] for name in MEASURES if name in metrics})
    return summarize(found)


def main() -> None:
    """Train everything that the output file does not have yet, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    options = parser.parse_args()
    whole = load("mnist", validation=10_000)
    assert whole.validation is not None
    dataset = Dataset(
        whole.name,
        whole.train.take(slice(ROWS)),
        whole.validation.take(slice(HELD_OUT)),
        None,
        whole.shape,
        whole.class_names,
    )
    report: dict[str, Any] = {
        "data": f"mnist, {ROWS} training rows",
        "split": "validation",
        "seeds": list(range(options.seeds)),
        "epochs": EPOCHS,
        "device": describe_device(torch.device("cpu")),
        "versions": {"torch": torch.__version__},
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "results": {},
    }
    if options.output.exists():
        report["results"] = json.loads(options.output.read_text(encoding="utf-8"))["results"]
    for task, (recipe, of_task) in TASKS.items():
        done = report["results"].setdefault(task, {})
        for option, of_option in OPTIONS.items():
            discriminates = option not in WITHOUT_DISCRIMINATOR
            if option in done or (recipe == "figure4a" and not discriminates):
                continue
            settings = [*COMMON, *of_task, *of_option, *(DISCRIMINATOR if discriminates else ())]
            done[option] = measure(recipe, settings, options.seeds, dataset)
            print(task, option, {name: round(found["mean"], 3) for name, found in done[option].items()}, flush=True)
            options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
