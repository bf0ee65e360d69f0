"""Memory and time of the radii of all of SVHN, for the consistency of ``neighbours``.

    python benchmarks/radii.py FOLDER --output results/benchmarks/radii.json

Writes an array of the shape of SVHN with its extra images (604,388 rows, 1.9 GB) into FOLDER, crops of SVHN again and again with
a little noise, or noise alone, computes the radii of all rows from the memory map, and removes the file. The memory is what
the process owns beyond the libraries (`RssAnon`), watched 50 times a second.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from svhn_memory import ROWS, SHAPE, Peak

from aae import data as datasets
from aae.device import describe_device
from aae.errors import InputError
from aae.scaling import Scaling
from aae.training.radii import neighbour_radii

BLOCK = 10_000  # rows written together


def write(file: Path, rows: int) -> str:
    """Write the rows, and return what they are."""
    random = np.random.default_rng(0)
    try:
        images, what = np.asarray(datasets.load("svhn-10k").train.rows), "svhn-10k, repeated with noise"
    except InputError:
        images, what = random.integers(0, 256, (BLOCK, *SHAPE), np.uint8), "noise"
    written = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(rows, *SHAPE))
    for start in range(0, rows, BLOCK):
        block = images[random.integers(len(images), size=min(BLOCK, rows - start))].reshape(-1, *SHAPE)
        written[start : start + BLOCK] = np.clip(block + random.integers(-20, 21, block.shape), 0, 255)
    written.flush()
    return what


def main() -> None:
    """Write the file, compute, remove the file, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--neighbours", type=int, default=10)
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "svhn.npy"
    try:
        what = write(file, options.rows)
        rows = torch.from_numpy(np.lib.format.open_memmap(file, mode="c"))
        peak = Peak()
        peak.start()
        wall, processor = time.perf_counter(), time.process_time()
        radii = neighbour_radii(rows, Scaling(torch.tensor(0.0), torch.tensor(1 / 255)), options.neighbours)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    finally:
        file.unlink(missing_ok=True)
    assert len(radii) == options.rows
    report = {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "device": describe_device(torch.device("cpu")),
        "torch": torch.__version__,
        "rows": options.rows,
        "data": what,
        "neighbours": options.neighbours,
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(processor, 1),
        "own_mb": round(peak.largest["RssAnon"] - peak.before["RssAnon"]),
    }
    print(json.dumps(report, indent=1))
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
