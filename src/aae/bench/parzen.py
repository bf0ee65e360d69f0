"""Speed of the Parzen-window estimate against the machine's matrix products alone, and against scikit-learn."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from sklearn.neighbors import KernelDensity
from torch import Tensor

from aae.device import choose_device, describe_device
from aae.errors import InputError
from aae.evaluation.gaussian_sums import ROWS_AT_ONCE, full_float32
from aae.evaluation.parzen import BLOCK, parzen_log_density
from aae.noise import Noise

CODES = 16  # dimensions of the surface that the made-up rows lie on


def bench_parzen(
    n_samples: int = 10_000,
    n_test: int = 10_000,
    dim: int = 784,
    device: str = "auto",
    rounds: int = 3,
    sigma: float = 0.2,
    peer_rows: int = 100,
) -> dict[str, Any]:
    """Measure the log-density of test rows under a Parzen window with one sigma, the costly pass of the protocol.

    The rows are made up: pixels in (0, 1) on a curved surface, with distances like those of digits. The roofline is the
    float32 matrix products of the same blocks, alone and back to back. Estimate and matmuls take turns, so that other load
    on the machine spoils both alike; times are medians over the rounds.

    Parameters
    ----------
    n_samples, n_test, dim : int
        N samples and m rows of D columns, each 1 or larger.
    device : {"auto", "cpu", "cuda"}
        Where to measure.
    rounds : int
        1 or larger.
    sigma : float
        Width of the window, positive.
    peer_rows : int
        How many of the test rows scikit-learn's `KernelDensity` (exact, one CPU core) scores; its time is scaled to all rows.

    Returns
    -------
    dict
        Plain numbers and strings, fit for JSON: ``device``, ``torch``, ``n_samples``, ``n_test``, ``dim``, ``sigma``,
        ``rounds``; ``seconds``, ``gflop`` (2 N m D), ``gflop_per_second``, ``matmul_seconds``, ``matmul_gflop_per_second``
        and ``fraction_of_roofline``, matmul_seconds / seconds; ``peak_memory_mb``, what the estimate needs beyond its
        inputs; ``kernel_density_rows``, ``kernel_density_seconds`` (scaled to n_test rows), ``speed_up`` over it, and
        ``largest_difference_nats`` between the two. Prefixes are decimal.

    Raises
    ------
    InputError
        If a number is out of range.

    Notes
    -----
    On the CPU the peak is the growth of the largest size that the process ever had, so it is too low in a process that
    was larger before.
    """
    sizes = {"n_samples": n_samples, "n_test": n_test, "dim": dim, "rounds": rounds, "peer_rows": peer_rows}
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{name}: found {value}, expected 1 or larger")
    torch_device = choose_device(device)
    samples, rows = _make_up(n_samples, n_test, dim, torch_device)

    def estimate() -> Any:
        return parzen_log_density(samples, rows, [sigma], progress=False)

    before = _peak_bytes(torch_device)
    scores = estimate()[0]
    memory = _peak_bytes(torch_device) - before
    matmuls = _matmuls(samples, rows)
    matmuls()
    times, matmul_times = [], []
    for _ in range(rounds):
        times.append(_seconds(estimate, torch_device))
        matmul_times.append(_seconds(matmuls, torch_device))
    seconds, matmul_seconds = statistics.median(times), statistics.median(matmul_times)

    peer_rows = min(peer_rows, n_test)
    # One leaf: exact, and faster in many dimensions than the walk down a tree, which was seen to be off by hundreds of nats.
    peer = KernelDensity(bandwidth=sigma, leaf_size=n_samples).fit(samples.double().cpu().numpy())
    queries = rows[:peer_rows].double().cpu().numpy()
    started = time.perf_counter()
    expected = peer.score_samples(queries)
    peer_seconds = (time.perf_counter() - started) * n_test / peer_rows

    gflop = 2 * n_samples * n_test * dim / 1e9
    return {
        "device": describe_device(torch_device),
        "torch": torch.__version__,
        "n_samples": n_samples,
        "n_test": n_test,
        "dim": dim,
        "sigma": sigma,
        "rounds": rounds,
        "seconds": seconds,
        "gflop": gflop,
        "gflop_per_second": gflop / seconds,
        "matmul_seconds": matmul_seconds,
        "matmul_gflop_per_second": gflop / matmul_seconds,
        "fraction_of_roofline": matmul_seconds / seconds,
        "peak_memory_mb": memory / 1e6,
        "kernel_density_rows": peer_rows,
        "kernel_density_seconds": peer_seconds,
        "speed_up": peer_seconds / seconds,
        "largest_difference_nats": float(abs(expected - scores[:peer_rows]).max()),
    }


def _make_up(n_samples: int, n_test: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Draw pixels in (0, 1) from a random network with one hidden layer and normal codes."""
    noise = Noise(0, device=device)
    hidden, visible = noise.normal(CODES, 100), noise.normal(100, dim) / 4

    def draw(count: int) -> Tensor:
        return torch.sigmoid(torch.tanh(noise.normal(count, CODES) @ hidden / 4) @ visible - 1)

    return draw(n_samples), draw(n_test)


def _matmuls(samples: Tensor, rows: Tensor) -> Callable[[], None]:
    """Create a call that runs the matmuls of the estimate, block by block, into a buffer made before."""
    step = ROWS_AT_ONCE.get(rows.device.type, ROWS_AT_ONCE["cuda"])
    buffer = rows.new_empty(step * BLOCK)

    def run() -> None:
        with torch.no_grad(), full_float32():
            for block in torch.split(samples, BLOCK):
                for part in torch.split(rows, step):
                    out = buffer[: len(part) * len(block)].view(len(part), len(block))
                    torch.mm(part, block.T, out=out)

    return run


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
