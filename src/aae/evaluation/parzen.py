r"""The paper's log-likelihood: a Gaussian Parzen window on samples of a model (section 3; A.1; Table 1).

log p(x) = log (1/N) sum_i exp(-\|x - mu_i\|^2 / (2 sigma^2)) - D log(sigma sqrt(2 pi)), in nats, where mu_1 .. mu_N are the
samples, D is the number of columns and sigma is the one of a grid that is best on validation rows.

The number ranks models badly: on MNIST and with 10,000 samples, k-means centroids score higher than true images of digits
(Theis et al., 2015). `reference_scores` measures both, to be printed beside a model's number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from numpy.polynomial import Chebyshev
from numpy.polynomial.chebyshev import chebpts1
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from aae.arrays import ArrayLike
from aae.errors import InputError
from aae.evaluation.gaussian_sums import GaussianSums
from aae.evaluation.sample_stream import Sampler, SampleStream, as_rows, sum_kernels

Floats: TypeAlias = npt.NDArray[np.float64]

GRID = tuple(float(sigma) for sigma in np.logspace(-1, 0, 10))  # of the evaluation code behind Table 1
BLOCK = 4096  # samples at a time
NODES = 9  # sigmas of the fine search, in one pass over the samples
NARROW = 0.6  # of log sigma: on this width the curve through the nodes is exact to 1e-6 nats


@dataclass(frozen=True)
class ParzenEstimate:
    """What `parzen_log_likelihood` found; all log-likelihoods are means over rows, in nats.

    Attributes
    ----------
    log_likelihood_nats : float
        Of the test rows, with `sigma`: the number of Table 1.
    standard_error_nats : float
        Its standard error over test rows (standard deviation / sqrt(rows)), the "+/-" of Table 1. It does not say how much
        runs with other seeds differ.
    sigma : float
        The best of the grid on the validation rows.
    validation_log_likelihood_nats : float
        Of the validation rows, with `sigma`.
    fine_sigma, fine_log_likelihood_nats, fine_standard_error_nats, fine_validation_log_likelihood_nats : float or None
        The same for the best sigma in between, also on the validation rows; None without the fine search.
    grid : tuple of float
        The sigmas tried.
    grid_validation_log_likelihoods_nats : tuple of float
        Of the validation rows, with each of them.
    samples, validation_rows, test_rows, dim : int
        N, the numbers of rows, and D.
    """

    log_likelihood_nats: float
    standard_error_nats: float
    sigma: float
    validation_log_likelihood_nats: float
    fine_sigma: float | None
    fine_log_likelihood_nats: float | None
    fine_standard_error_nats: float | None
    fine_validation_log_likelihood_nats: float | None
    grid: tuple[float, ...]
    grid_validation_log_likelihoods_nats: tuple[float, ...]
    samples: int
    validation_rows: int
    test_rows: int
    dim: int

    @property
    def sigma_at_end_of_grid(self) -> bool:
        """Whether the best sigma is the smallest or largest tried, so that a wider grid may score higher."""
        return self.sigma in (min(self.grid), max(self.grid))


def parzen_log_likelihood(
    samples: ArrayLike | Sampler,
    validation: ArrayLike,
    test: ArrayLike,
    *,
    n_samples: int | None = None,
    sigmas: Sequence[float] = GRID,
    fine: bool = True,
    device: str | torch.device | None = None,
    block: int = BLOCK,
    folder: str | Path | None = None,
    save_seconds: float = 60.0,
    progress: bool = True,
) -> ParzenEstimate:
    """Estimate the log-likelihood of test rows under a model by a Parzen window on its samples (section 3; A.1).

    Test rows are looked at once, after sigma is chosen. The samples are gone through once for the grid, once for the fine
    search and once for the test rows; memory does not grow with their number.

    Under ``torchrun``, call it in every process after ``torch.distributed.init_process_group()``, with a device of its own:
    process r of P takes the blocks r, r + P, r + 2 P and so on of the samples, and all return the same estimate.

    Parameters
    ----------
    samples : array or tensor (N, ...), or callable (start, stop) -> array or tensor (stop - start, ...)
        Model samples, on the scale of the rows (the paper: pixels in [0, 1]). An array may be memory-mapped. A callable
        makes samples `start` to `stop` and must make the same ones whenever it is called with the same numbers, for example
        by seeding with `start`: they are drawn in several passes, from several processes and after an interruption.
    validation : array or tensor (n, ...)
        Rows that choose sigma; the paper's are the first 1,000 of the validation split.
    test : array or tensor (m, ...)
        Rows to be scored.
    n_samples : int, optional
        N; needed with a callable. Of an array, the first N rows are taken.
    sigmas : sequence of float
        The grid; the paper's is ``logspace(-1, 0, 10)``, meant for pixels in [0, 1].
    fine : bool
        Whether to search between the points of the grid as well.
    device : str or torch.device, optional
        Where to compute; where `test` is, if not given. MPS has no float64, so the CPU takes its place.
    block : int
        Samples at a time. A callable draws blocks of this size (the last may be smaller).
    folder : path, optional
        Where the running sums are kept, written whole or not at all. The same call with the same folder goes on where an
        interrupted one stopped, and ends with the same bits as one that was not interrupted.
    save_seconds : float
        Time between two writes.
    progress : bool
        Whether to show a bar on stderr once a pass takes longer than two seconds.

    Returns
    -------
    ParzenEstimate
        Mean log-likelihood, standard error and sigma; by the grid and by the fine search.

    Raises
    ------
    InputError
        If shapes do not fit, values are not finite, a set is empty, a number is out of range, or `folder` holds the state
        of another computation.

    Notes
    -----
    Every row's log-likelihood is within 1e-4 nats of a float64 sum over all samples (or within 1e-14 of its own size), for
    any scale and offset of the data: see `aae.evaluation.gaussian_sums`. Cost: 2 N D m FLOP in float32 for the test rows,
    1.6e11 for N = m = 10,000 and D = 784, and 4 N D n for the validation rows.
    """
    torch_device = _device(test, device)
    held, queries = as_rows(validation, "validation", torch_device), as_rows(test, "test", torch_device)
    if held.shape[1] != queries.shape[1]:
        raise InputError(f"validation: found {held.shape[1]} columns, expected {queries.shape[1]} as in test")
    grid = _widths(sigmas)

    def densities(rows: Tensor, widths: Sequence[float], name: str) -> Floats:
        return parzen_log_density(
            samples,
            rows,
            widths,
            n_samples=n_samples,
            device=torch_device,
            block=block,
            folder=folder,
            name=name,
            save_seconds=save_seconds,
            progress=progress,
        )

    curve = densities(held, grid, "validation-grid").mean(axis=1)
    best = int(curve.argmax())
    chosen = [grid[best]]
    fine_value = None
    if fine:
        fine_sigma, fine_value = _fine_search(grid, best, lambda some, k: densities(held, some, f"validation-fine-{k}"))
        chosen.append(fine_sigma)
    scores = densities(queries, chosen, "test")
    means, errors = scores.mean(axis=1), scores.std(axis=1) / math.sqrt(len(queries))
    return ParzenEstimate(
        log_likelihood_nats=float(means[0]),
        standard_error_nats=float(errors[0]),
        sigma=grid[best],
        validation_log_likelihood_nats=float(curve[best]),
        fine_sigma=chosen[1] if fine else None,
        fine_log_likelihood_nats=float(means[1]) if fine else None,
        fine_standard_error_nats=float(errors[1]) if fine else None,
        fine_validation_log_likelihood_nats=fine_value,
        grid=grid,
        grid_validation_log_likelihoods_nats=tuple(map(float, curve)),
        samples=SampleStream(samples, n_samples, block).count,
        validation_rows=len(held),
        test_rows=len(queries),
        dim=queries.shape[1],
    )


def parzen_log_density(
    samples: ArrayLike | Sampler,
    rows: ArrayLike,
    sigmas: Sequence[float],
    *,
    n_samples: int | None = None,
    device: str | torch.device | None = None,
    block: int = BLOCK,
    folder: str | Path | None = None,
    name: str = "rows",
    save_seconds: float = 60.0,
    progress: bool = True,
) -> Floats:
    """Compute the log-density of every row under a Parzen window, for several sigmas in one pass over the samples.

    Parameters
    ----------
    samples, n_samples, device, block, folder, save_seconds, progress
        As for `parzen_log_likelihood`.
    rows : array or tensor (n, ...)
        Rows to be scored.
    sigmas : sequence of float
        Widths of the window, positive.
    name : str
        Name of the pass: of its files in `folder` and on the progress bar.

    Returns
    -------
    array (len(sigmas), n)
        In nats.

    Raises
    ------
    InputError
        As for `parzen_log_likelihood`.
    """
    torch_device = _device(rows, device)
    queries, widths = as_rows(rows, "rows", torch_device), _widths(sigmas)
    stream = SampleStream(samples, n_samples, block)
    sums = GaussianSums(queries.double(), widths, stream.count)
    where = None if folder is None else Path(folder)
    sum_kernels(stream, sums, queries, folder=where, name=name, save_seconds=save_seconds, progress=progress)
    scores: Floats = sums.log_sums().cpu().numpy()
    constants = math.log(stream.count) + queries.shape[1] * np.log(np.array(widths) * math.sqrt(2 * math.pi))
    scores -= constants[:, None]
    return scores


def reference_scores(
    train: ArrayLike,
    validation: ArrayLike,
    test: ArrayLike,
    *,
    n: int = 10_000,
    seed: int = 0,
    passes: int = 10,
    sigmas: Sequence[float] = GRID,
    device: str | torch.device | None = None,
) -> dict[str, ParzenEstimate]:
    """Score two "models" that are none under the same protocol: training rows, and their k-means centroids.

    On MNIST with n = 10,000, Theis et al. (2015) report 243 nats for true data and 313 for centroids: a model that scores
    between or above them has not been shown to be good.

    Parameters
    ----------
    train : array or tensor (N, ...)
        Training rows.
    validation, test, sigmas, device
        As for `parzen_log_likelihood`.
    n : int
        How many training rows, chosen at random, and how many centroids; 1 to N.
    seed : int
        Of the choice of rows and of k-means.
    passes : int
        Of mini-batch k-means over the training rows, which starts from n of them. It costs about 2 N n D FLOP per pass, 8e11
        for MNIST: ten seconds on one CPU core. There, 1, 3 and 10 passes gave centroids of 311, 323 and 327 nats.

    Returns
    -------
    dict
        ``training_rows`` and ``centroids``.

    Raises
    ------
    InputError
        As for `parzen_log_likelihood`, or if `n` or `passes` is out of range.
    """
    known = as_rows(train, "train", torch.device("cpu")).numpy()
    if not 1 <= n <= len(known):
        raise InputError(f"n: found {n}, expected 1 to {len(known)}, the number of training rows")
    if passes < 1:
        raise InputError(f"passes: found {passes}, expected 1 or larger")
    chosen = known[np.random.default_rng(seed).choice(len(known), n, replace=False)]
    kmeans = MiniBatchKMeans(
        n,
        init="random",
        n_init=1,
        init_size=n,
        batch_size=n,
        max_iter=passes,
        max_no_improvement=None,
        reassignment_ratio=0,
        random_state=seed,
    ).fit(known)
    return {
        name: parzen_log_likelihood(reference, validation, test, sigmas=sigmas, device=device)
        for name, reference in {"training_rows": chosen, "centroids": kmeans.cluster_centers_}.items()
    }


def _device(values: ArrayLike, device: str | torch.device | None) -> torch.device:
    """Say where to compute: on `device`, or where `values` are."""
    if device is None:
        torch_device = values.device if isinstance(values, Tensor) else torch.device("cpu")
    else:
        try:
            torch_device = torch.device(device)
        except RuntimeError:
            raise InputError(f"device: found {device!r}, expected a name such as cpu or cuda") from None
    if torch_device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device: found {torch_device}, but this machine has no CUDA device; expected cpu")
    return torch.device("cpu") if torch_device.type == "mps" else torch_device


def _widths(sigmas: Sequence[float]) -> tuple[float, ...]:
    widths = tuple(float(sigma) for sigma in np.asarray(sigmas, dtype=np.float64).ravel())
    if not widths or not all(0 < width < math.inf for width in widths):
        raise InputError(f"sigmas: found {list(widths)}, expected at least one number, all finite and larger than 0")
    return widths


def _fine_search(
    grid: Sequence[float], best: int, densities: Callable[[Sequence[float], int], Floats]
) -> tuple[float, float]:
    """Find the best sigma between the neighbours of the best of the grid, and the mean log-density there.

    The mean log-density is a smooth function of log sigma: one pass gives it at Chebyshev nodes, and the polynomial through
    them has its maximum where the function has it. A wide interval is first narrowed to the neighbours of the best node.
    """
    ordered = sorted(set(grid))
    known, here = np.log(ordered), ordered.index(grid[best])
    step = math.log(GRID[1] / GRID[0]) if len(known) == 1 else float(np.diff(known)[max(0, here - 1)])
    low = known[here - 1] if here > 0 else known[here] - step
    high = known[here + 1] if here + 1 < len(known) else known[here] + step
    k = 0
    while True:
        k += 1
        nodes = (low + high) / 2 + chebpts1(NODES) * (high - low) / 2
        values = densities(np.exp(nodes).tolist(), k).mean(axis=1)
        if high - low <= NARROW:
            break
        top, ends = int(values.argmax()), (low, *nodes, high)
        low, high = ends[top], ends[top + 2]
    curve = Chebyshev.fit(nodes, values, NODES - 1, domain=[low, high])
    slopes = curve.deriv().roots()
    inside = slopes.real[(abs(slopes.imag) < 1e-9) & (slopes.real > low) & (slopes.real < high)]
    candidates = np.array([low, *inside, high])
    peak = candidates[curve(candidates).argmax()]
    return math.exp(peak), float(curve(peak))
