"""Memory and speed of training on all of SVHN from a memory map, against rows in memory.

    python benchmarks/svhn_memory.py FOLDER

Writes an array of the shape of SVHN with its extra images (604,388 rows, 1.9 GB) into FOLDER, as the conversion of
`aae.data.svhn` does, and removes it afterwards. The file is sparse: blank images that take no room on the disk, but the
same room in memory once they are read. Two processes train `table2-svhn-1000` on it and on a smaller set in memory, from
the scaling of all rows to a number of steps.

Printed for each: memory beyond that of the libraries, split into what is the process's own (`RssAnon`) and the pages of the
file (`RssFile`), which the system takes back when it needs them; and the time of a step, the median of several rounds.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch

from aae import recipes
from aae.data import Dataset, Split
from aae.noise import INIT, Noise
from aae.recipes.build_data import labelled_rows, training_data, with_scaling
from aae.recipes.build_model import build_model, build_phases
from aae.training.trainer import Trainer

ROWS, SMALL = 604_388, 20_000
SHAPE = (32, 32, 3)


def resident() -> dict[str, float]:
    """Read the resident memory of this process in MB."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return {key: int(kilobytes) / 1e3 for key, kilobytes in re.findall(r"(RssAnon|RssFile):\s+(\d+)", text)}


class Peak(threading.Thread):
    """Watches the resident memory of this process, 50 times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.largest = self.before = resident()

    def run(self) -> None:
        """Keep the largest value of each kind."""
        while True:
            self.largest = {key: max(value, self.largest[key]) for key, value in resident().items()}
            time.sleep(0.02)


def measure(file: Path | None, steps: int, rounds: int) -> dict[str, float]:
    """Train on the rows of a file, or on rows in memory; the rows are blank in both cases."""
    peak = Peak()
    peak.start()
    rows = np.lib.format.open_memmap(file, mode="c") if file else np.zeros((SMALL, *SHAPE), np.uint8)
    labels = np.arange(len(rows)) % 10
    dataset = Dataset("blank", Split(rows, labels), None, None, SHAPE, tuple("0123456789"))
    recipe = recipes.read("table2-svhn-1000")
    labelled = labelled_rows(recipe, dataset)
    model = build_model(recipe.model, SHAPE, 10, Noise(0, INIT))
    scaling = with_scaling(recipe, rows)[1]
    data = training_data(recipe, dataset.train, scaling, labelled)
    trainer = Trainer(model, build_phases(recipe, model), data, recipe.training, torch.device("cpu"))
    times: list[float] = []

    def on_step() -> bool:
        times.append(time.process_time())
        return len(times) % steps == 0

    while len(times) < (rounds + 1) * steps:
        trainer.run_epoch(on_step)
    each = np.diff(times[steps:])  # the first round warms up
    return {
        "rows": len(rows),
        "own_mb": peak.largest["RssAnon"] - peak.before["RssAnon"],
        "file_mb": peak.largest["RssFile"] - peak.before["RssFile"],
        "step_ms": 1e3 * statistics.median(each.tolist()),
    }


def main() -> None:
    """Create the file, measure in two processes, remove the file, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", choices=["mapped", "memory"], help="one of the two processes")
    options = parser.parse_args()
    file = options.folder / "svhn-blank.npy"
    if options.measure:
        found = measure(file if options.measure == "mapped" else None, options.steps, options.rounds)
        print(json.dumps(found))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    results = {}
    try:
        np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(ROWS, *SHAPE)).flush()
        for kind in ("mapped", "memory"):
            command = [sys.executable, __file__, *sys.argv[1:], "--measure", kind]
            results[kind] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    finally:
        file.unlink(missing_ok=True)
    for kind, found in results.items():
        print(
            f"{kind}: {found['rows']:,} rows, {found['own_mb']:,.0f} MB own, {found['file_mb']:,.0f} MB of the file, "
            f"{found['step_ms']:.1f} ms per step (processor time)"
        )
    print(f"step from the map / step in memory: {results['mapped']['step_ms'] / results['memory']['step_ms']:.3f}")


if __name__ == "__main__":
    main()
