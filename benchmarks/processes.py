"""Training by two processes of one thread each beside training by one process of two threads, on a CPU.

    python benchmarks/processes.py --rounds 5 --output processes.json

Both take turns, on made-up rows in the size of the recipe's data; the ratio is the median over the rounds. Every step averages
the gradients of all weights over the processes, whatever the size of the mini-batch, so that larger ones (``--batch-size``) pay
less for it. Steps are not compiled: those that processes share cannot be.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

from aae import recipes
from aae.bench.step import make_trainer, run_steps
from aae.device import describe_device
from aae.training.acceleration.distributed import Distributed, join, synchronize
from aae.training.trainer import Trainer

WARM_UP = 5


def samples_per_second(recipe: str, changes: list[str], steps: int) -> float:
    """Train in this process, together with those that ``torchrun`` started beside it."""
    join()
    distributed = Distributed.joined()
    torch.set_num_threads(2 // distributed.world_size)
    alone = make_trainer(recipes.read(recipe, changes), torch.device("cpu"))
    synchronize(alone.module, distributed)
    trainer = Trainer(alone.module, alone.phases, alone.data, alone.settings, alone.device, distributed)
    run_steps(trainer, WARM_UP)
    return trainer.batch_size / run_steps(trainer, steps)


def measure(count: int, options: argparse.Namespace) -> float:
    """Start `count` processes and read what the first of them found."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "--"]
    words = [__file__, "--one", "--recipe", options.recipe, "--steps", str(options.steps)]
    words += ["--precision", options.precision, "--batch-size", str(options.batch_size)]
    done = subprocess.run([*start, *words], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="table2-mnist-100")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSON file")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        changes = [
            f"training.precision={options.precision}",
            f"training.batch_size={options.batch_size}",
            "training.compile=false",
        ]
        found = samples_per_second(options.recipe, changes, options.steps)
        if Distributed.joined().is_main_process:
            print(found)
        return
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.rounds):
        for count, values in rates.items():
            values.append(measure(count, options))
    ratio = statistics.median(two / one for one, two in zip(rates[1], rates[2], strict=True))
    one, two = (statistics.median(values) for values in rates.values())
    print(f"{options.recipe}, {options.precision}, batches of {options.batch_size}:")
    print(f"  one process {one:.0f} samples/s, two processes {two:.0f} samples/s, {ratio:.2f} times")
    if options.output:
        asked = {name: getattr(options, name) for name in ("recipe", "precision", "batch_size", "steps")}
        report = {
            "command": shlex.join(["python", *sys.argv]),
            "date": datetime.now(UTC).date().isoformat(),
            "device": describe_device(torch.device("cpu")),
            "torch": torch.__version__,
            **asked,
            "ratio": ratio,
            "samples_per_second": rates,
        }
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
