import math
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn.datasets import load_digits

from aae.errors import InputError
from aae.evaluation import gaussian_sums
from aae.evaluation.parzen import GRID, parzen_log_density, parzen_log_likelihood, reference_scores

rng = np.random.default_rng(0)


def direct(samples, rows, sigmas):
    """The definition, in float64 and without a shortcut for the distances."""
    samples, rows = np.asarray(samples, np.float64), np.asarray(rows, np.float64)
    squares, (count, dim) = cdist(rows, samples, "sqeuclidean"), samples.shape
    return np.array(
        [
            logsumexp(-squares / (2 * sigma**2), axis=1)
            - math.log(count)
            - dim * math.log(sigma * math.sqrt(2 * math.pi))
            for sigma in sigmas
        ]
    )


def images(count, dim=784, seed=0):
    """Pixels in [0, 1] near a surface of few dimensions, so that some samples are much nearer than others."""
    draw, shared = np.random.default_rng([seed, 1]), np.random.default_rng(7)
    plan = shared.normal(size=(8, dim))
    return np.clip(0.5 + 0.2 * draw.normal(size=(count, 8)) @ plan / 2 + 0.05 * draw.normal(size=(count, dim)), 0, 1)


def sampler(start, stop):
    return images(stop - start, 6, seed=start)


# The definition


def test_one_sample_is_a_normal_density():
    rows = rng.normal(size=(5, 3))
    found = parzen_log_density([[1.0, 2.0, 3.0]], rows, [0.7, 1.3])
    expected = [norm.logpdf(rows, [1.0, 2.0, 3.0], sigma).sum(axis=1) for sigma in (0.7, 1.3)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_large_normal_cloud_is_its_convolution_with_the_window():
    cloud = rng.normal(size=(200_000, 2)) * [1.0, 0.5] + [3.0, -1.0]
    rows = rng.normal(size=(200, 2)) * [1.0, 0.5] + [3.0, -1.0]
    expected = multivariate_normal([3.0, -1.0], np.diag([1.0 + 0.09, 0.25 + 0.09])).logpdf(rows)
    found = parzen_log_density(cloud, rows, [0.3])[0]
    assert abs(found - expected).max() < 0.1
    assert abs((found - expected).mean()) < 0.003


# Accuracy

SIGMAS = [0.1, 0.25, 0.5, 1.0]
SPREAD = rng.normal(size=(2, 800, 784))
SCALES = 10.0 ** rng.uniform(-2, 2, size=784)
CASES = {
    "pixels": lambda: (images(800), images(40, seed=1)),
    "pixels float32": lambda: (images(800).astype(np.float32), images(40, seed=1).astype(np.float32)),
    "pixels up to 255": lambda: (np.round(255 * images(800)), np.round(255 * images(40, seed=1))),
    "offset of a million": lambda: (images(800) + 1e6, images(40, seed=1) + 1e6),
    "offset in float32": lambda: ((SPREAD[0] + 1e4).astype(np.float32), (SPREAD[1, :40] + 1e4).astype(np.float32)),
    "standardized": lambda: (SPREAD[0], SPREAD[1, :40]),
    "uneven columns": lambda: (SPREAD[0] * SCALES, SPREAD[1, :40] * SCALES),
    "near copies, far from the rest": lambda: (
        np.repeat(1e4 * SPREAD[1, :40], 20, axis=0) + 0.01 * SPREAD[0],
        1e4 * SPREAD[1, :40],
    ),
    "two tight clusters": lambda: (
        0.02 * SPREAD[0] + np.where(np.arange(800) % 2, 30, -30)[:, None],
        0.02 * SPREAD[1, :40] + np.where(np.arange(40) % 2, 30, -30)[:, None],
    ),
    "two very tight clusters": lambda: (
        1e-3 * SPREAD[0] + np.where(np.arange(800) % 2, 1e6, -1e6)[:, None],
        1e-3 * SPREAD[1, :40] + np.where(np.arange(40) % 2, 1e6, -1e6)[:, None],
    ),
    "one sample is an outlier": lambda: (np.vstack([images(799), np.full(784, 1e8)]), images(40, seed=1)),
    "one row is an outlier": lambda: (images(800), np.vstack([images(39, seed=1), np.full(784, 1e5)])),
    "beyond float32": lambda: (1e25 * SPREAD[0], 1e25 * SPREAD[1, :40]),
    "two columns": lambda: (SPREAD[0, :, :2], SPREAD[1, :40, :2]),
    "one column": lambda: (SPREAD[0, :, :1], SPREAD[1, :40, :1]),
}


@pytest.mark.parametrize("case", CASES)
def test_every_row_is_within_1e_4_nats_of_the_float64_sum(case):
    samples, rows = CASES[case]()
    expected = direct(samples, rows, SIGMAS)
    together = parzen_log_density(samples, rows, SIGMAS, block=500)
    np.testing.assert_allclose(together, expected, rtol=1e-13, atol=1e-4)
    for sigma, row in zip(SIGMAS, expected, strict=True):  # another sigma, another choice of pairs to measure again
        np.testing.assert_allclose(parzen_log_density(samples, rows, [sigma])[0], row, rtol=1e-13, atol=1e-4)


def test_low_precision_settings_of_the_caller_do_not_reach_the_sums(monkeypatch):
    samples, rows = images(600).astype(np.float32), images(40, seed=1).astype(np.float32)
    expected = parzen_log_density(samples, rows, SIGMAS)
    product, seen = torch.addmm, set()

    def spy(*arguments, **keywords):
        seen.add(torch.get_float32_matmul_precision())
        return product(*arguments, **keywords)

    monkeypatch.setattr(torch, "addmm", spy)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = parzen_log_density(samples, rows, SIGMAS)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == {"highest"}
    np.testing.assert_array_equal(found, expected)


def test_blocks_do_not_matter(monkeypatch):
    samples, rows = images(300, 50), images(40, 50, seed=1)
    expected = parzen_log_density(samples, rows, SIGMAS)
    monkeypatch.setitem(gaussian_sums.ROWS_AT_ONCE, "cpu", 7)
    monkeypatch.setattr(gaussian_sums, "PAIR_NUMBERS", 100)
    for block in (3, 64, 299, 10_000):
        np.testing.assert_allclose(parzen_log_density(samples, rows, SIGMAS, block=block), expected, rtol=0, atol=2e-5)


def test_kinds_of_arrays_do_not_matter(tmp_path):
    samples, rows = (
        np.round(255 * images(30, 6)).astype(np.uint8),
        np.round(255 * images(4, 6, seed=1)).astype(np.uint8),
    )
    expected = direct(samples, rows, [20.0])
    np.save(tmp_path / "samples.npy", samples)
    for some, asked in (
        (samples, rows),
        (samples.tolist(), rows.tolist()),
        (torch.from_numpy(samples), torch.from_numpy(rows).half()),
        (np.load(tmp_path / "samples.npy", mmap_mode="r"), rows.reshape(4, 2, 3)),
        (samples.reshape(30, 1, 2, 3), torch.from_numpy(rows).float().requires_grad_()),
        (lambda start, stop: torch.from_numpy(samples[start:stop]), rows),
    ):
        np.testing.assert_allclose(parzen_log_density(some, asked, [20.0], n_samples=30, block=8), expected, atol=1e-5)


def test_one_block_at_a_time_is_asked_for():
    asked = []

    def samples(start, stop):
        asked.append((start, stop))
        return images(stop - start, 6)

    parzen_log_density(samples, images(3, 6), [0.2], n_samples=100, block=32)
    assert asked == [(0, 32), (32, 64), (64, 96), (96, 100)]


# The protocol


def test_sigma_is_chosen_on_validation_rows_and_scored_on_test_rows():
    samples, validation = images(400, 20), images(80, 20, seed=1)
    test = images(90, 20, seed=2) + 0.3 * rng.normal(size=(90, 20))  # would choose a larger sigma
    found = parzen_log_likelihood(samples, validation, test)
    curve = direct(samples, validation, GRID).mean(axis=1)
    scores = direct(samples, test, [GRID[curve.argmax()]])[0]
    assert found.sigma == GRID[curve.argmax()] < GRID[direct(samples, test, GRID).mean(axis=1).argmax()]
    np.testing.assert_allclose(found.grid_validation_log_likelihoods_nats, curve, atol=1e-4)
    assert found.validation_log_likelihood_nats == max(found.grid_validation_log_likelihoods_nats)
    assert found.log_likelihood_nats == pytest.approx(scores.mean(), abs=1e-4)
    assert found.standard_error_nats == pytest.approx(scores.std() / math.sqrt(90), abs=1e-4)
    assert (found.samples, found.validation_rows, found.test_rows, found.dim) == (400, 80, 90, 20)


@pytest.mark.parametrize(
    ("scale", "grid"),
    [(1, GRID), (1, (0.01, 3.0)), (1, (1.0, 0.13, 0.02)), (1, (0.3,)), (0.5, GRID), (6, GRID)],
    ids=["the paper's", "two ends", "unsorted", "one", "best below", "best above"],
)
def test_the_fine_search_finds_the_best_sigma_of_its_interval(scale, grid):
    samples, validation, test = (scale * images(n, 20, seed=n) for n in (400, 80, 90))
    found = parzen_log_likelihood(samples, validation, test, sigmas=grid)
    known = np.log(np.sort(grid))
    step = np.diff(known) if len(grid) > 1 else [math.log(10) / 9]
    known = [known[0] - step[0], *known, known[-1] + step[-1]]
    here = int(np.argmin(abs(np.array(known) - math.log(found.sigma))))
    best = minimize_scalar(
        lambda log_sigma: -direct(samples, validation, [math.exp(log_sigma)]).mean(),
        bounds=(known[here - 1], known[here + 1]),
        method="bounded",
        options={"xatol": 1e-7},
    )
    assert math.log(found.fine_sigma) == pytest.approx(best.x, abs=2e-4)
    assert found.fine_validation_log_likelihood_nats == pytest.approx(-best.fun, abs=1e-4)
    scores = direct(samples, test, [found.fine_sigma])[0]
    assert found.fine_log_likelihood_nats == pytest.approx(scores.mean(), abs=1e-4)
    assert found.fine_standard_error_nats == pytest.approx(scores.std() / math.sqrt(90), abs=1e-4)
    assert found.sigma_at_end_of_grid == (found.sigma in (min(grid), max(grid)))


def test_without_the_fine_search_the_grid_is_the_same():
    sets = images(300, 20), images(50, 20, seed=1), images(60, 20, seed=2)
    both, grid = parzen_log_likelihood(*sets), parzen_log_likelihood(*sets, fine=False)
    assert grid.fine_sigma is grid.fine_log_likelihood_nats is grid.fine_validation_log_likelihood_nats is None
    assert grid.log_likelihood_nats == pytest.approx(both.log_likelihood_nats, abs=1e-5)


def test_centroids_of_digits_score_above_the_digits_themselves():
    rows = load_digits().data / 16
    train, validation, test = rows[:800], rows[800:1400], rows[1400:]
    scores = reference_scores(train, validation, test, n=300, seed=3, passes=5)
    assert (
        scores["centroids"].log_likelihood_nats > scores["training_rows"].log_likelihood_nats + 2
    )  # Theis et al. (2015)
    assert {score.samples for score in scores.values()} == {300}
    chosen = parzen_log_likelihood(train, validation, test)
    everything = reference_scores(train, validation, test, n=800, passes=1)["training_rows"]
    assert everything.log_likelihood_nats == pytest.approx(chosen.log_likelihood_nats, abs=1e-5)


@pytest.mark.skipif(
    not (Path(os.environ.get("AAE_DATA", "missing")) / "mnist").is_dir(),
    reason="needs the environment variable AAE_DATA with a folder mnist",
)
def test_training_rows_of_mnist_score_as_reported():
    from aae import data

    mnist = data.load("mnist")
    parts = mnist.train.rows[:10_000], mnist.train.rows[50_000:51_000], mnist.test.rows[::5]
    found = parzen_log_likelihood(*(part / np.float32(255) for part in parts), fine=False)
    assert found.sigma == pytest.approx(0.1668, abs=1e-4)
    # Theis et al. (2015), on all test rows; all of them give 241.2 here, these 2,000 give 234.5 +/- 4.8.
    assert abs(found.log_likelihood_nats - 243) < 2.5 * found.standard_error_nats


# Interrupted, and in several processes


def test_an_interrupted_estimate_goes_on_and_ends_with_the_same_bits(tmp_path):
    validation, test = images(20, 6, seed=1), images(30, 6, seed=2)
    options = {"n_samples": 330, "block": 64, "save_seconds": 0, "progress": False}
    whole = parzen_log_likelihood(sampler, validation, test, **options)
    calls = 0

    def interrupted(start, stop):
        nonlocal calls
        calls += 1
        if calls in (5, 12, 20):
            raise KeyboardInterrupt
        return sampler(start, stop)

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            parzen_log_likelihood(interrupted, validation, test, folder=tmp_path, **options)
    before = calls
    assert parzen_log_likelihood(interrupted, validation, test, folder=tmp_path, **options) == whole
    assert calls - before < 3 * 6  # not all six blocks of all three passes
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "test-0.safetensors", "validation-fine-1-0.safetensors", "validation-grid-0.safetensors",
    ]  # fmt: skip
    calls = 100
    assert parzen_log_likelihood(interrupted, validation, test, folder=tmp_path, **options) == whole
    assert calls == 103  # the first block of each pass, to know the samples again


@pytest.mark.parametrize(
    "change",
    [
        {"samples": lambda start, stop: sampler(start, stop) + 1},
        {"rows": images(4, 6, seed=9)},
        {"sigmas": [0.2, 0.3]},
        {"n_samples": 129},
        {"block": 63},
    ],
    ids=["samples", "rows", "sigmas", "n_samples", "block"],
)
def test_state_of_another_computation_is_refused(tmp_path, change):
    call = {
        "samples": sampler,
        "rows": images(4, 6),
        "sigmas": [0.2],
        "n_samples": 128,
        "block": 64,
        "folder": tmp_path,
    }
    parzen_log_density(**call)
    with pytest.raises(
        InputError, match=r"rows-0\.safetensors: found the sums of another computation, expected those of"
    ):
        parzen_log_density(**{**call, **change})


def estimate_as(rank, store, device_rows=30):
    """Be one of two processes."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=timedelta(seconds=120)
    )
    try:
        return parzen_log_likelihood(
            sampler, images(20, 6, seed=1), images(device_rows, 6, seed=2), n_samples=330, block=64, progress=False
        )
    finally:
        torch.distributed.destroy_process_group()


def test_two_processes_find_what_one_finds(tmp_path):
    code = f"import test_parzen as t; print(repr(t.estimate_as(1, {str(tmp_path / 'store')!r})))"
    other = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    here = estimate_as(0, tmp_path / "store")
    printed, errors = other.communicate(timeout=120)
    assert other.returncode == 0, errors
    assert printed.strip() == repr(here)
    alone = parzen_log_likelihood(
        sampler, images(20, 6, seed=1), images(30, 6, seed=2), n_samples=330, block=64, progress=False
    )
    assert here.sigma == alone.sigma
    assert here.log_likelihood_nats == pytest.approx(alone.log_likelihood_nats, abs=1e-5)
    assert here.fine_sigma == pytest.approx(alone.fine_sigma, rel=1e-6)
    assert here.fine_log_likelihood_nats == pytest.approx(alone.fine_log_likelihood_nats, abs=1e-5)


# Bad input

GOOD = images(10, 6)
HOLED = np.where(np.arange(60).reshape(10, 6) == 33, np.nan, GOOD)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"samples": GOOD[:, :5]},
            "samples 0 to 9: found 10 rows of 5 columns, expected 10 rows of 6 as in the rows to be",
        ),
        ({"samples": GOOD[:0]}, r"samples: found shape \(0, 6\), expected \(n, columns\) with at least one row"),
        ({"samples": GOOD[0]}, r"samples: found shape \(6,\), expected \(n, columns\)"),
        ({"samples": HOLED}, "samples 0 to 9: found values that are not finite, expected finite numbers"),
        ({"samples": sampler}, "n_samples: found none, expected a number"),
        ({"samples": sampler, "n_samples": 0}, "n_samples: found 0, expected 1 or larger"),
        (
            {"samples": lambda start, stop: GOOD[:3], "n_samples": 8},
            "samples 0 to 7: found 3 rows of 6 columns, expected 8",
        ),
        ({"n_samples": 11}, "n_samples: found 11, expected 1 to 10, the number of samples"),
        ({"validation": GOOD[:, :5]}, "validation: found 5 columns, expected 6 as in test"),
        ({"validation": GOOD[0]}, r"validation: found shape \(6,\), expected \(n, columns\)"),
        ({"validation": HOLED}, "validation: found values that are not finite"),
        ({"test": HOLED + np.inf}, "test: found values that are not finite, expected finite numbers"),
        ({"test": GOOD[:0]}, r"test: found shape \(0, 6\)"),
        ({"test": [["a", "b"]]}, "test: found values of type <U1, expected real numbers"),
        ({"test": [[1, 2], [3]]}, "test: found rows of different lengths"),
        (
            {"test": torch.ones(2, 6, dtype=torch.complex64)},
            "test: found values of type torch.complex64, expected real",
        ),
        ({"sigmas": []}, r"sigmas: found \[\], expected at least one number, all finite and larger than 0"),
        ({"sigmas": [0.1, 0.0]}, r"sigmas: found \[0.1, 0.0\], expected .* larger than 0"),
        ({"sigmas": [-0.1]}, r"sigmas: found \[-0.1\], expected .* larger than 0"),
        ({"sigmas": [math.nan]}, r"sigmas: found \[nan\], expected"),
        ({"block": 0}, "block: found 0, expected 1 or larger"),
        ({"device": "abacus"}, "device: found 'abacus', expected a name such as cpu or cuda"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(InputError, match=message) as caught:
        parzen_log_likelihood(**{"samples": GOOD, "validation": GOOD, "test": GOOD, **change})
    assert "\n" not in str(caught.value)


def test_bad_input_of_the_references():
    for change, message in (
        ({"n": 11}, "n: found 11, expected 1 to 10, the number of training rows"),
        ({"n": 0}, "n: found 0, expected 1 to 10"),
        ({"n": 2, "passes": 0}, "passes: found 0, expected 1 or larger"),
    ):
        with pytest.raises(InputError, match=message):
            reference_scores(GOOD, GOOD, GOOD, **change)


# Speed


def test_bench_agrees_with_scikit_learn_and_adds_up():
    from aae.bench.parzen import bench_parzen

    found = bench_parzen(n_samples=600, n_test=300, dim=64, device="cpu", rounds=1, peer_rows=20)
    assert found["largest_difference_nats"] < 1e-4
    assert found["gflop"] == pytest.approx(2 * 600 * 300 * 64 / 1e9)
    assert found["fraction_of_roofline"] == pytest.approx(found["gflop_per_second"] / found["matmul_gflop_per_second"])
    assert found["speed_up"] == pytest.approx(found["kernel_density_seconds"] / found["seconds"])
    with pytest.raises(InputError, match="rounds: found 0, expected 1 or larger"):
        bench_parzen(rounds=0)
