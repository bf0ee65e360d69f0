"""One pass of a long stream of samples over fixed rows: in blocks, over several processes, and resumable."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, distributed
from tqdm import tqdm  # type: ignore[import-untyped]

from aae.arrays import ArrayLike
from aae.errors import InputError
from aae.evaluation.gaussian_sums import GaussianSums
from aae.files import read_tensors, write_tensors

Sampler: TypeAlias = Callable[[int, int], ArrayLike]


def as_rows(values: ArrayLike, name: str, device: torch.device) -> Tensor:
    """Bring `values` to finite rows (n, columns) on `device`, float32 if they were and float64 otherwise.

    Raises
    ------
    InputError
        If they are no numbers, there are no rows or columns, or a value is not finite.
    """
    if isinstance(values, Tensor):
        rows = values.detach().to(device)
    else:
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise InputError(f"{name}: found rows of different lengths ({error}), expected (n, columns)") from None
        if array.dtype.kind not in "fiub":
            raise InputError(f"{name}: found values of type {array.dtype}, expected real numbers")
        rows = torch.from_numpy(np.array(array, np.float32 if array.dtype == np.float32 else np.float64)).to(device)
    if rows.ndim < 2 or rows.numel() == 0:
        raise InputError(f"{name}: found shape {tuple(rows.shape)}, expected (n, columns) with at least one of each")
    if rows.is_complex():
        raise InputError(f"{name}: found values of type {rows.dtype}, expected real numbers")
    rows = rows.flatten(1)
    rows = rows if rows.dtype == torch.float32 else rows.double()
    if not bool(rows.isfinite().all()):
        raise InputError(f"{name}: found values that are not finite, expected finite numbers")
    return rows


class SampleStream:
    """Samples in blocks of a fixed size, from an array or made on the fly.

    Attributes
    ----------
    count : int
        How many samples there are.
    blocks : int
        How many blocks.

    Parameters
    ----------
    samples : array or tensor (count, ...), or callable (start, stop) -> array or tensor (stop - start, ...)
        A callable must make the same samples whenever it gets the same numbers.
    count : int, optional
        Needed with a callable; of an array, the first `count` samples are taken.
    block : int
        Samples in a block; the last may have fewer.

    Raises
    ------
    InputError
        If a number is out of range, or there is no sample.
    """

    def __init__(self, samples: ArrayLike | Sampler, count: int | None, block: int) -> None:
        if callable(samples):
            if count is None:
                raise InputError("n_samples: found none, expected a number, since the samples are made by a callable")
            self._read: Sampler = samples
            available = count
        else:
            array = samples if isinstance(samples, Tensor | np.ndarray) else np.asarray(samples)
            if array.ndim < 2 or array.shape[0] == 0:
                raise InputError(
                    f"samples: found shape {tuple(array.shape)}, expected (n, columns) with at least one row"
                )
            self._read = lambda start, stop: array[start:stop]
            available = len(array)
        self.count = available if count is None else count
        if not 1 <= self.count <= available:
            expected = "1 or larger" if callable(samples) else f"1 to {available}, the number of samples"
            raise InputError(f"n_samples: found {self.count}, expected {expected}")
        if block < 1:
            raise InputError(f"block: found {block}, expected 1 or larger")
        self._block = block
        self.blocks = math.ceil(self.count / block)

    def read(self, k: int, dim: int, device: torch.device) -> Tensor:
        """Return the samples of block `k`, (block, dim), on `device`.

        Raises
        ------
        InputError
            If they do not have the right shape, or a value is not finite.
        """
        start = k * self._block
        stop = min(start + self._block, self.count)
        samples = as_rows(self._read(start, stop), f"samples {start} to {stop - 1}", device)
        if samples.shape != (stop - start, dim):
            raise InputError(
                f"samples {start} to {stop - 1}: found {samples.shape[0]} rows of {samples.shape[1]} columns, "
                f"expected {stop - start} rows of {dim} as in the rows to be scored"
            )
        return samples


def sum_kernels(
    stream: SampleStream,
    sums: GaussianSums,
    rows: Tensor,
    *,
    folder: Path | None,
    name: str,
    save_seconds: float,
    progress: bool,
) -> None:
    """Add all samples to `sums`, resuming what `folder` holds; under ``torchrun``, with all processes together.

    Process r of P takes the blocks r, r + P, r + 2 P and so on and keeps a state of its own; at the end all of them hold the
    sums over all samples. The state is one file, written whole or not at all: sums, blocks done, and a fingerprint of what
    they belong to.

    Parameters
    ----------
    stream : SampleStream
        Where the samples come from.
    sums : GaussianSums
        Without samples yet.
    rows : Tensor (n, dim)
        The rows of `sums`, for the fingerprint.
    folder : Path or None
        Of the states; created if needed.
    name : str
        Of the pass.
    save_seconds : float
        Between two writes.
    progress : bool
        Whether to show a bar on stderr once it takes longer than two seconds.

    Raises
    ------
    InputError
        If samples are bad, or the state belongs to another computation.
    """
    rank, processes = _rank()
    mine = range(rank, stream.blocks, processes)
    done, path, fingerprint = 0, None, torch.empty(0)
    if folder is not None:
        path = folder / f"{name}-{rank}.safetensors"
        settings = [sums.sigmas, stream.count, stream.blocks, rank, processes]
        first = stream.read(mine[0], rows.shape[1], rows.device) if mine else rows[:0]
        fingerprint = _fingerprint(settings, rows, first)
        done = _load(path, sums, fingerprint)
    bar = tqdm(
        desc=f"Parzen window, {name}",
        total=len(mine),
        initial=done,
        unit="block",
        delay=2,
        mininterval=0.1 if sys.stderr.isatty() else 30,
        disable=not progress or rank > 0,
        file=sys.stderr,
    )
    saved = time.monotonic()
    with bar, torch.no_grad():
        for turn in range(done, len(mine)):
            sums.add(stream.read(mine[turn], rows.shape[1], rows.device))
            bar.update()
            if path and (turn + 1 == len(mine) or time.monotonic() - saved >= save_seconds):
                _save(path, sums, fingerprint, turn + 1)
                saved = time.monotonic()
    if processes > 1:
        _combine(sums, processes)


def _rank() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _combine(sums: GaussianSums, processes: int) -> None:
    """Return every process the sums of all, added in the order of their ranks."""
    own = torch.cat([sums.reference[None], sums.sums])
    device = own.device
    if "nccl" not in distributed.get_backend():
        own = own.cpu()
    parts = [torch.empty_like(own) for _ in range(processes)]
    distributed.all_gather(parts, own)
    everything = torch.stack(parts).to(device)
    sums.merge(everything[:, 0], everything[:, 1:])


def _fingerprint(settings: list[Any], *tensors: Tensor) -> Tensor:
    digest = hashlib.sha256(json.dumps(settings).encode())
    for tensor in tensors:
        digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def _save(path: Path, sums: GaussianSums, fingerprint: Tensor, done: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"reference": sums.reference, "sums": sums.sums, "done": torch.tensor(done), "fingerprint": fingerprint}
    write_tensors(path, {**state, "digest": _fingerprint([], *state.values())})


def _load(path: Path, sums: GaussianSums, fingerprint: Tensor) -> int:
    """Fill `sums` from `path` and return how many blocks are in it; 0 if there is no such file."""
    if not path.exists():
        return 0
    state = read_tensors(path)
    parts = ("reference", "sums", "done", "fingerprint")
    whole = state.keys() == {*parts, "digest"}
    if not whole or not torch.equal(_fingerprint([], *(state[part] for part in parts)), state["digest"]):
        raise InputError(f"{path}: damaged; expected the sums of a Parzen window, remove it to start again")
    if not torch.equal(state["fingerprint"], fingerprint):
        raise InputError(
            f"{path}: found the sums of another computation, expected those of the same samples, rows, sigmas, "
            "block size and number of processes; remove the folder to start again"
        )
    sums.reference.copy_(state["reference"])
    sums.sums.copy_(state["sums"])
    return int(state["done"])
