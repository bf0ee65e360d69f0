"""One seed and several at once on a GPU: milliseconds per step, and the time of the paper's 5000 epochs.

    python benchmarks/gpu_seeds.py --seeds 10 --output gpu.json

The data are made up in the size of MNIST, so nothing is downloaded. One seed and all of them take turns; times are medians over
the rounds. On a CPU the script runs too, with fewer steps, and shows that seeds trained together take as long as in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch

from aae import recipes
from aae.bench.step import make_trainer, run_steps
from aae.device import choose_device, describe_device
from aae.training.batched_seeds import BatchedSeeds

EPOCHS = 5000  # A.2.1


def compare(name: str, seeds: int, precision: str, device: str, steps: int, rounds: int) -> dict[str, Any]:
    """Train one seed and several in turn."""
    place = choose_device(device)

    def trainer(seed: int) -> Any:
        return make_trainer(recipes.read(name, [f"training.precision={precision}", f"training.seed={seed}"]), place)

    one = trainer(0)
    several = BatchedSeeds([trainer(seed) for seed in range(seeds)])
    run_steps(one, 5)
    run_steps(several, 5)
    times: dict[str, list[float]] = {"one": [], "several": []}
    for _ in range(rounds):
        times["one"].append(run_steps(one, steps))
        times["several"].append(run_steps(several, steps))
    step = {key: statistics.median(values) for key, values in times.items()}
    minutes = {key: value * one.steps_per_epoch * EPOCHS / 60 for key, value in step.items()}
    return {
        "recipe": name,
        "device": describe_device(place),
        "torch": torch.__version__,
        "precision": precision,
        "seeds": seeds,
        "steps": steps,
        "rounds": rounds,
        "step_ms": {key: 1e3 * value for key, value in step.items()},
        "steps_per_epoch": one.steps_per_epoch,
        "minutes_for_5000_epochs": minutes,
        "time_of_all_over_one": statistics.median(b / a for a, b in zip(times["one"], times["several"], strict=True)),
        "all_step_ms": {key: [1e3 * value for value in values] for key, values in times.items()},
    }


def main() -> None:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="table2-mnist-100")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--precision", nargs="+", default=["fp32", "tf32", "bf16"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    found = []
    for precision in options.precision:
        each = compare(options.recipe, options.seeds, precision, options.device, options.steps, options.rounds)
        found.append(each)
        step, minutes = each["step_ms"], each["minutes_for_5000_epochs"]
        print(
            f"{each['device']}, {precision}: one seed {step['one']:.2f} ms a step, {minutes['one']:.1f} min for 5000 epochs"
        )
        print(f"  {options.seeds} seeds {step['several']:.2f} ms, {each['time_of_all_over_one']:.2f} times one seed")
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
