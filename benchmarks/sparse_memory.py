"""Memory that training on many sparse rows takes beyond the libraries, and beyond the rows themselves.

One million rows of 2000 columns, of which one in a hundred is filled, as CSR; one epoch, from start to end. Memory is what is
resident in the process at most, by the kernel (VmHWM), less what it was when the libraries had been imported and had trained on a
handful of rows.

    python benchmarks/sparse_memory.py --output results/benchmarks/sparse-memory.json
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scipy.sparse
import torch

import aae
from aae.device import describe_device

TINY = {"hidden_layer_sizes": (16,), "discriminator_layer_sizes": (16,), "epochs": 1, "random_state": 0}


def resident(which: str) -> float:
    """Read how many GiB of this process are in memory now (``VmRSS``) or were at most (``VmHWM``)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 2**20


def make_rows(n: int, columns: int, fraction: float) -> scipy.sparse.csr_array:
    """Create counts, as many in each row, without a dense copy."""
    generator, filled = np.random.default_rng(0), round(fraction * columns)
    indices = np.empty((n, filled), np.int32)
    for start in range(0, n, 10_000):
        part = indices[start : start + 10_000]
        part[:] = np.sort(generator.integers(0, columns - filled + 1, part.shape, np.int32), axis=1) + np.arange(
            filled, dtype=np.int32
        )  # distinct within a row
    counts = generator.integers(1, 5, indices.size, np.int8).astype(np.float32)
    return scipy.sparse.csr_array((counts, indices.ravel(), np.arange(n + 1) * filled), shape=(n, columns))


def main() -> None:
    """Run the benchmark and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=2000)
    parser.add_argument("--filled", type=float, default=0.01, help="fraction of the values that are not 0")
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    aae.AAE(2, **TINY).fit(make_rows(100, 50, 0.1)).score_samples(make_rows(10, 50, 0.1))
    libraries = resident("VmHWM")
    rows = make_rows(options.rows, options.columns, options.filled)
    held = resident("VmRSS")
    begun, cpu = time.perf_counter(), time.process_time()
    model = aae.AAE(8, epochs=1, batch_size=options.batch_size, random_state=0).fit(rows)
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
    peak = resident("VmHWM")
    report = {
        "command": shlex.join(["python", "benchmarks/sparse_memory.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "device": describe_device(torch.device("cpu")),
        "versions": {package: version(package) for package in ("torch", "scipy", "scikit-learn")}
        | {"aae": aae.__version__},
        "rows": options.rows,
        "columns": options.columns,
        "filled": options.filled,
        "batch_size": options.batch_size,
        "epochs": model.n_iter_,
        "libraries_gib": round(libraries, 3),
        "given_rows_gib": round(held - libraries, 3),
        "peak_beyond_libraries_gib": round(peak - libraries, 3),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
    }
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(report)


if __name__ == "__main__":
    main()
