"""Training by two processes of one thread each beside training by one process of two threads, on a CPU.

    python benchmarks/processes.py --rounds 5 --output processes.json

Both take turns, on made-up rows in the size of the recipe's data; the ratio is the median over the rounds. Every step averages
the gradients of all weights over the processes, whatever the size of the mini-batch, so that larger ones (``--batch-size``) pay
less for it. Steps are not compiled: those that processes share cannot be.

Beside the steps as they are, two others show what could be gained, in the same processes one after the other: with gradients that
travel as bf16, half of the bytes; and with gradients that are not averaged at all: what remains for each process to do,
however well the journey is hidden or shortened. The journey itself is timed alone, too.
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
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from aae import recipes
from aae.bench.step import make_trainer, run_steps
from aae.device import describe_device
from aae.training.acceleration.distributed import Distributed, join, synchronize
from aae.training.trainer import Trainer

WARM_UP = 5
JOURNEY, MEGABYTES = "milliseconds of the journey", "megabytes of a step"


class Alone(Distributed):
    """Processes whose gradients stay where they are: the bound for all that hides or shortens their journey."""

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return them as they are."""
        return list(tensors)


class AsBf16(Distributed):
    """Processes whose gradients travel as bf16."""

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Average them over the processes, rounded to bf16 before."""
        parts = torch.cat([tensor.reshape(-1) for tensor in tensors]).to(torch.bfloat16)
        dist.all_reduce(parts)
        sums = parts.float().div_(self.world_size).split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor) for part, tensor in zip(sums, tensors, strict=True)]


WAYS: dict[str, type[Distributed]] = {"as they are": Distributed, "as bf16": AsBf16, "not at all": Alone}


def samples_per_second(recipe: str, changes: list[str], steps: int) -> dict[str, float]:
    """Train in this process, together with those that ``torchrun`` started beside it, with gradients averaged in each way."""
    join()
    joined = Distributed.joined()
    torch.set_num_threads(2 // joined.world_size)
    if joined.world_size > 1:
        os.sched_setaffinity(0, {joined.rank})
    found = {}
    for name, way in WAYS.items() if joined.world_size > 1 else [("one process", Distributed)]:
        distributed = way(joined.rank, joined.world_size)
        alone = make_trainer(recipes.read(recipe, changes), torch.device("cpu"))
        synchronize(alone.module, distributed)
        trainer = Trainer(alone.module, alone.phases, alone.data, alone.settings, alone.device, distributed)
        run_steps(trainer, WARM_UP)
        found[name] = trainer.batch_size / run_steps(trainer, steps)
    if joined.world_size > 1:
        gradients = [torch.zeros_like(weight) for phase in trainer.phases for weight in phase.parameters]
        for _ in range(3):
            joined.average(gradients)
        joined.wait()
        start = time.perf_counter()
        for _ in range(10):
            joined.average(gradients)
        found[JOURNEY] = (time.perf_counter() - start) * 100
        found[MEGABYTES] = sum(4 * gradient.numel() for gradient in gradients) / 1e6
    return found


def measure(count: int, options: argparse.Namespace) -> dict[str, float]:
    """Start `count` processes and read what the first of them found."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "--"]
    words = [__file__, "--one", "--recipe", options.recipe, "--steps", str(options.steps)]
    words += ["--precision", options.precision, "--batch-size", str(options.batch_size)]
    done = subprocess.run([*start, *words], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


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
            print(json.dumps(found))
        return
    found_by_name: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for count in (1, 2):
            for name, value in measure(count, options).items():
                found_by_name.setdefault(name, []).append(value)
    one = found_by_name.pop("one process")
    journey, megabytes = (found_by_name.pop(name) for name in (JOURNEY, MEGABYTES))
    ratios = {
        name: statistics.median(two / alone for alone, two in zip(one, values, strict=True))
        for name, values in found_by_name.items()
    }
    print(f"{options.recipe}, {options.precision}, batches of {options.batch_size}:")
    print(f"  one process {statistics.median(one):.0f} samples/s")
    for name, values in found_by_name.items():
        print(f"  two processes, gradients averaged {name}: {statistics.median(values):.0f}, {ratios[name]:.2f} times")
    milliseconds = statistics.median(journey)
    print(f"  the journey of {megabytes[0]:.1f} MB of gradients alone: {milliseconds:.1f} ms a step")
    if options.output:
        asked = {name: getattr(options, name) for name in ("recipe", "precision", "batch_size", "steps")}
        report = {
            "command": shlex.join(["python", *sys.argv]),
            "date": datetime.now(UTC).date().isoformat(),
            "device": describe_device(torch.device("cpu")),
            "torch": torch.__version__,
            **asked,
            "ratio": ratios["as they are"],
            "ratios": ratios,
            "journey_milliseconds": milliseconds,
            "journey_megabytes": megabytes[0],
            "samples_per_second": {"one process": one, **found_by_name},
        }
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
