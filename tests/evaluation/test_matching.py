"""The measures of how q(z) matches p(z), against closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm, wasserstein_distance

from aae.errors import InputError
from aae.evaluation import energy_distance, holes, match_report, matching, sliced_wasserstein


def gaussian(n, seed, dim=2, std=1.0):
    return std * torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def without_disc(n, radius, seed):
    z = gaussian(4 * n, seed)
    return z[z.norm(dim=1) > radius][:n]


def folded_mean(mu, std):
    """E|X| for X ~ N(mu, sd^2)."""
    return std * math.sqrt(2 / math.pi) * math.exp(-(mu**2) / (2 * std**2)) + mu * (1 - 2 * norm.cdf(-mu / std))


def test_energy_distance_by_hand():
    # between: (3 + 5 + 2 + 4) / 4 = 3.5; within a: 1; within b: 2
    assert energy_distance([[0.0], [1.0]], [[3.0], [5.0]]) == pytest.approx(2 * 3.5 - 1 - 2)


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_energy_distance_of_shifted_gaussians(shift):
    expected = 2 * folded_mean(shift, math.sqrt(2)) - 2 * folded_mean(0, math.sqrt(2))
    found = energy_distance(gaussian(4000, 1, dim=1), gaussian(3000, 2, dim=1) + shift)
    assert found == pytest.approx(expected, abs=0.03)


def test_energy_distance_is_unbiased():
    found = [energy_distance(gaussian(20, 2 * seed), gaussian(20, 2 * seed + 1)) for seed in range(200)]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(200)
    assert min(found) < 0  # a biased estimate (V-statistic) is never negative


def test_blocks_do_not_change_the_measures(monkeypatch):
    a, b = gaussian(70, 0), gaussian(90, 1) * 1.5
    whole = energy_distance(a, b), sliced_wasserstein(a, b), holes(a, b)
    monkeypatch.setattr(matching, "PAIRS_AT_ONCE", 1000)
    assert (energy_distance(a, b), sliced_wasserstein(a, b), holes(a, b)) == pytest.approx(whole, rel=1e-12)


def test_energy_distance_scales_with_the_codes():
    a, b = gaussian(50, 0), gaussian(60, 1) + 1
    assert energy_distance(3 * a, 3 * b) == pytest.approx(3 * energy_distance(a, b))


def test_sliced_wasserstein_of_a_shift_is_the_mean_projection():
    a = gaussian(500, 0)
    found = sliced_wasserstein(a, a + torch.tensor([3.0, 4.0]), projections=4000)
    assert found == pytest.approx(5 * 2 / math.pi, rel=0.03)  # E|cos| = 2 / pi in the plane
    assert sliced_wasserstein(a, a) == 0


def test_sliced_wasserstein_of_gaussians_in_one_dimension():
    a, b = gaussian(20_000, 0, dim=1), 0.5 + 2 * gaussian(20_000, 1, dim=1)
    assert sliced_wasserstein(a, b, projections=2) == pytest.approx(math.hypot(0.5, 2 - 1), abs=0.04)


def test_sliced_wasserstein_of_unequal_sizes_is_exact():
    # {0, 1} against {0, 0.5, 1}: gaps of 0.5 on the quantiles 1/3..1/2 and 1/2..2/3
    assert sliced_wasserstein([[0.0], [1.0]], [[0.0], [0.5], [1.0]]) == pytest.approx(math.sqrt(0.25 / 3))
    a, b = gaussian(7, 0, dim=1), gaussian(12, 1, dim=1) + 50  # far margin: W1 is the difference of the means
    assert wasserstein_distance(a[:, 0], b[:, 0]) <= sliced_wasserstein(a, b)
    repeated = sliced_wasserstein(a.repeat(12, 1), b.repeat(7, 1))
    assert sliced_wasserstein(a, b) == pytest.approx(repeated)


@pytest.mark.parametrize("dim", [2, 8])
def test_holes_of_the_prior_itself_do_not_depend_on_the_prior(dim):
    found = np.mean([holes(gaussian(400, i, dim), gaussian(400, 100 + i, dim), neighbours=3) for i in range(10)])
    assert found == pytest.approx(2**-3, abs=0.03)


def test_holes_finds_the_mass_of_a_removed_disc():
    radius = 0.7
    mass = 1 - math.exp(-(radius**2) / 2)  # 21.7 %
    found = holes(without_disc(3000, radius, 0), gaussian(3000, 1))
    assert 0.75 * mass < found < mass
    shrunk = 1 - math.exp(-((radius - 0.1) ** 2) / 2)  # a ball with 10 of 3000 samples has a radius of about 0.1
    assert found == pytest.approx(shrunk, abs=0.03)


def test_holes_finds_a_missing_component_of_a_mixture_of_unequal_densities():
    generator = torch.Generator().manual_seed(0)
    which = torch.randint(5, (2000,), generator=generator)
    scale = torch.tensor([0.01, 0.1, 1.0, 3.0, 0.3], dtype=torch.float64)
    z = 20 * which[:, None] + scale[which, None] * gaussian(2000, 1)
    codes, prior = z[:1000], z[1000:]
    for missing in range(5):
        expected = float((which[1000:] == missing).double().mean())
        assert holes(codes[which[:1000] != missing], prior) == pytest.approx(expected, abs=0.01)


def test_holes_of_a_collapsed_code_is_nearly_everything():
    assert holes(0.01 * gaussian(500, 0), gaussian(500, 1)) > 0.95


def test_holes_stay_calibrated_when_there_are_more_samples_than_codes():
    assert holes(gaussian(200, 0), gaussian(2000, 1)) < 0.005


def test_match_report_tells_a_match_from_a_mismatch_and_repeats():
    def draw(n, seed):
        return gaussian(n, seed).float()

    good, bad = match_report(gaussian(1000, 7), draw), match_report(without_disc(1000, 1.0, 7).numpy(), draw)
    assert list(good) == [
        "energy_distance",
        "sliced_wasserstein",
        "holes_percent",
        "energy_distance_baseline",
        "sliced_wasserstein_baseline",
        "holes_percent_baseline",
    ]
    assert abs(good["energy_distance"]) < 0.01 < bad["energy_distance"]
    assert good["sliced_wasserstein"] < 2 * good["sliced_wasserstein_baseline"] < bad["sliced_wasserstein"]
    assert good["holes_percent"] < 1
    assert 20 < bad["holes_percent"] < 39.4
    assert bad["holes_percent_baseline"] == good["holes_percent_baseline"] < 1
    assert match_report(gaussian(1000, 7), draw) == good
    # the limit draws a subsample, and with it only as many prior samples
    asked = []
    match_report(gaussian(100, 7), lambda n, seed: asked.append(n) or draw(n, seed), limit=50)
    assert asked == [50, 50]


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([[0.0, 1.0], [1.0, 0.0]], [[0.0], [1.0]], "2 and 1 columns"),
        ([[0.0]], [[0.0], [1.0]], "n at least 2"),
        ([0.0, 1.0], [[0.0], [1.0]], r"shape \(2,\)"),
        ([[0.0], [math.nan]], [[0.0], [1.0]], "not finite"),
    ],
)
def test_wrong_points_are_input_errors(a, b, message):
    with pytest.raises(InputError, match=message):
        energy_distance(a, b)


def test_holes_needs_more_samples_than_neighbours():
    with pytest.raises(InputError, match="expected from 1 to 9"):
        holes(gaussian(10, 0), gaussian(10, 1))
