r"""Sums of Gaussian kernels between fixed rows and a stream of samples: fast as float32, accurate as float64.

For every row x and width sigma this keeps log sum_i exp(-\|x - mu_i\|^2 / (2 sigma^2)) over all samples mu_i seen so far
(section 3), in memory that does not grow with their number.

Distances come from one matrix product, \|x - mu\|^2 = \|x\|^2 + \|mu\|^2 - 2 x mu, with x and mu centred by the mean of
the rows. In float32 it errs by some 1e-5 for 784 pixels in [0, 1], which is 1e-3 nats at sigma = 0.1. So the pairs that
carry a row's sum, those with a term within a factor of about 1e-6 of the largest, are found in float32 and measured again
in float64: one pair in a thousand for images of digits. Where they are many, the whole block is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

ROWS_AT_ONCE = {"cpu": 1024, "cuda": 8192}  # tall enough for full speed, low enough to stay near the cache
PAIR_NUMBERS = 2**20  # float64 numbers in one batch of differences
DENSE_FRACTION = 0.02  # above this fraction of a block, one float64 product is faster than measuring pair by pair
TOLERANCE = 5e-5  # nats that rounding may cost in any one term
NEGLECTED = 1e-5  # nats that all terms left in float32 may cost together
LARGEST = 1e30  # squares beyond this are near the end of float32

Gaps = tuple[Tensor, Tensor]


class GaussianSums:
    """Running log-sum-exp of Gaussian kernels, for all rows and several widths at once.

    Attributes
    ----------
    reference : Tensor (n,)
        About the largest -||x - mu_i||^2 / 2 so far: float64, the same for all widths.
    sums : Tensor (len(sigmas), n)
        sum_i exp((-||x - mu_i||^2 / 2 - reference) / sigma^2), float64.

    Parameters
    ----------
    rows : Tensor (n, dim)
        float64, on the device to compute on.
    sigmas : sequence of float
        Positive.
    expected : int
        How many samples will come; decides which terms are negligible.

    Notes
    -----
    A row's result is within 1e-4 of the exact one, or within 1e-14 of its own size if that is more.
    """

    def __init__(self, rows: Tensor, sigmas: Sequence[float], expected: int) -> None:
        self.sigmas, self.expected = tuple(sigmas), expected
        self.reference = rows.new_full((len(rows),), -math.inf)
        self.sums = rows.new_zeros(len(self.sigmas), len(rows))
        self._centre = rows.mean(dim=0)
        self._exact = rows - self._centre
        self._single = self._exact.float()
        self._half_norms = _half_norms(self._exact)
        self._buffers: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, samples: Tensor) -> None:
        """Take in some samples.

        Parameters
        ----------
        samples : Tensor (count, dim)
            float32 or float64, finite, on the device of the rows.
        """
        exact = self._buffer("exact", samples.shape, torch.float64).copy_(samples).sub_(self._centre)
        single = self._buffer("single", samples.shape, torch.float32).copy_(exact)
        half_norms = _half_norms(exact)
        longest = float(half_norms.max())
        step = ROWS_AT_ONCE.get(samples.device.type, ROWS_AT_ONCE["cuda"])
        with full_float32():
            for start in range(0, len(self._exact), step):
                part = slice(start, start + step)
                largest = 2 * max(longest, math.sqrt(longest * float(self._half_norms[part].max())))
                gaps = self._float32_gaps(part, single, exact, half_norms, largest) if largest < LARGEST else None
                if gaps is None:
                    gaps = self._float64_gaps(part, exact, half_norms, largest)
                self._accumulate(part, *gaps)

    def log_sums(self) -> Tensor:
        """Return log sum_i exp(-||x - mu_i||^2 / (2 sigma^2)) over the samples so far: (len(sigmas), n), float64."""
        return self.sums.log() + self.reference * self._inverse_variances()

    def merge(self, references: Tensor, sums: Tensor) -> None:
        """Replace the running values by those of several subsets of the samples together.

        Parameters
        ----------
        references : Tensor (subsets, n)
            `reference` of each.
        sums : Tensor (subsets, len(sigmas), n)
            `sums` of each.
        """
        self.reference = references.amax(dim=0)
        scale = ((references - self.reference)[:, None] * self._inverse_variances()).exp()
        self.sums = (sums * scale).sum(dim=0)

    def _inverse_variances(self) -> Tensor:
        return self.reference.new_tensor(self.sigmas).pow(-2)[:, None]

    def _float32_gaps(
        self, part: slice, single: Tensor, exact: Tensor, half_norms: Tensor, largest: float
    ) -> Gaps | None:
        """Compute -||x - mu||^2 / 2 - reference in float32, and again in float64 where it counts; None if too often."""
        rows, base = self._exact[part], self._half_norms[part]
        shape = torch.Size((len(rows), len(single)))
        gaps = self._buffer("gaps", shape, torch.float32)
        torch.addmm(-half_norms.float(), self._single[part], single.T, out=gaps)  # short of ||x||^2 / 2, the base
        level = torch.maximum((self.reference[part] + base).float(), gaps.amax(dim=1))
        window = self._window(_rounding(torch.float32, rows.shape[1], largest))
        if window is None:
            return gaps.sub_(level[:, None]), level - base
        close = _positions(gaps > (level - window)[:, None])
        if len(close) > DENSE_FRACTION * gaps.numel():
            return None
        row, sample = close // len(single), close % len(single)
        some = max(1, PAIR_NUMBERS // rows.shape[1])
        pairs = zip(torch.split(row, some), torch.split(sample, some), strict=True)
        again = torch.cat([-_half_norms(rows[i].sub_(exact[j])) for i, j in pairs])
        # From here on the reference is an exact maximum, so the gaps that count are small and float32 can hold them.
        reference = self.reference[part].scatter_reduce(0, row, again, "amax")
        gaps.sub_((reference + base).float()[:, None]).view(-1)[close] = (again - reference[row]).float()
        return gaps, reference

    def _window(self, error: float) -> float | None:
        """Say how far below the reference a pair must lie for its error not to matter; None if no pair's matters."""
        widths = [
            variance * max(0.0, math.log(self.expected * min(1.0, error / variance) / NEGLECTED))
            for variance in (sigma**2 for sigma in self.sigmas)
            if error / variance > TOLERANCE
        ]
        return max(widths) + 4 * error if widths else None

    def _float64_gaps(self, part: slice, exact: Tensor, half_norms: Tensor, largest: float) -> Gaps:
        """Compute -||x - mu||^2 / 2 - reference in float64; small as they are, float32 can hold the ones that count."""
        rows = self._exact[part]
        shape = torch.Size((len(rows), len(exact)))
        gaps = self._buffer("float64 gaps", shape, torch.float64)
        if _rounding(torch.float64, rows.shape[1], largest) / min(self.sigmas) ** 2 < TOLERANCE:
            torch.addmm(-half_norms, rows, exact.T, out=gaps).sub_(self._half_norms[part, None])
        else:  # sigma is less than a millionth of the spread of the data: slow, one difference at a time
            gaps = torch.cdist(rows, exact, compute_mode="donot_use_mm_for_euclid_dist").square_().div_(-2)
        reference = torch.maximum(self.reference[part], gaps.amax(dim=1))
        return self._buffer("gaps", shape, torch.float32).copy_(gaps.sub_(reference[:, None])), reference

    def _accumulate(self, part: slice, gaps: Tensor, reference: Tensor) -> None:
        shift = self.reference[part] - reference
        terms = self._buffer("terms", gaps.shape, torch.float32)
        for total, sigma in zip(self.sums, self.sigmas, strict=True):
            # exp2 is several times faster than exp on a CPU, also where it underflows to zero.
            torch.mul(gaps, math.log2(math.e) / sigma**2, out=terms).exp2_()
            total[part] = total[part] * (shift / sigma**2).exp() + terms.sum(dim=1)
        self.reference[part] = reference

    def _buffer(self, name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Return memory that is used again for every block: fresh memory of this size costs as much as a pass over it."""
        if name not in self._buffers or self._buffers[name].numel() < shape.numel():
            self._buffers[name] = self.reference.new_empty(shape.numel(), dtype=dtype)
        return self._buffers[name][: shape.numel()].view(shape)


def _half_norms(rows: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms.square_().div_(2)


def _positions(mask: Tensor) -> Tensor:
    """Return the flat positions where `mask` is true; on a CPU numpy finds them several times faster than torch."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero().squeeze(1)


def _rounding(dtype: torch.dtype, dim: int, largest: float) -> float:
    """Bound the rounding error of a half squared distance by matrix product, `largest` being the largest product of norms.

    An estimate for random rounding, not a worst case: the largest errors seen, on many kinds of data, were at most six
    tenths of it.
    """
    return torch.finfo(dtype).eps / 2 * (4 + math.sqrt(dim) / 2) * largest


@contextmanager
def full_float32() -> Iterator[None]:
    """Keep float32 products from being run in TF32 or bfloat16, whatever the caller's settings are.

    Autocast needs no such care: it leaves alone what has an `out` argument or is float64.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
