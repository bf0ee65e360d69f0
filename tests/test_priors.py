"""Priors: moments, densities and per-label sampling, against closed forms and torch.distributions."""

import math

import pytest
import torch
from torch import distributions as D

from aae.errors import InputError
from aae.noise import Noise
from aae.priors import Categorical, FromSampler, Gaussian, GaussianMixture, SwissRoll, Uniform

N = 100_000


def mixture_in_torch(prior):
    """Write the ring of components down as rotated covariance matrices."""
    k = torch.arange(prior.num_labels)
    angle = 2 * math.pi * k / prior.num_labels
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    variances = torch.diag(torch.tensor([prior.radial_std**2, prior.tangential_std**2]))
    means = prior.distance * rotation[:, :, 0]
    covariances = rotation @ variances @ rotation.transpose(1, 2)
    components = D.MultivariateNormal(means, covariances)
    return D.MixtureSameFamily(D.Categorical(torch.ones(len(k))), components)


def even_labels(num_labels, n=N):
    return torch.arange(n) % num_labels


def quantiles(values):
    return values.quantile(torch.linspace(0.12, 0.88, 9), dim=0)


@pytest.mark.parametrize("std", [1.0, 5.0, 10.0])
def test_gaussian_has_the_given_standard_deviation_in_every_dimension(std):
    codes = Gaussian(8, std).sample(N, noise=Noise(0))
    assert codes.shape == (N, 8)
    assert codes.dtype == torch.float32
    torch.testing.assert_close(codes.mean(0) / std, torch.zeros(8), atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(codes.T) / std**2, torch.eye(8), atol=0.02, rtol=0)


def test_gaussian_without_slices_is_the_same_for_every_label():
    whole, part = Gaussian(3, 2.0, 4, slices=False), Gaussian(3, 2.0, 4)
    for label in (-1, 0, 3):
        codes = whole.sample(N, torch.full((N,), label), Noise(0))
        assert torch.equal(codes, whole.sample(N, noise=Noise(0)))
        assert codes.std(0).tolist() == pytest.approx([2.0] * 3, rel=0.02)
    assert part.sample(N, torch.zeros(N, dtype=torch.int64), Noise(0))[:, 0].max() < 2 * -0.67
    assert (whole.has_parts, part.has_parts) == (False, True)


def test_gaussian_slices_are_quantile_slices_of_the_first_coordinate():
    prior, labels = Gaussian(3, 2.0, num_labels=10), even_labels(10)
    codes = prior.sample(N, labels, Noise(1))
    edges = D.Normal(0.0, 2.0).icdf(torch.arange(11) / 10)
    assert (codes[:, 0] >= edges[labels] - 1e-4).all()
    assert (codes[:, 0] <= edges[labels + 1] + 1e-4).all()
    # the slice of one label is left alone in the other coordinates
    torch.testing.assert_close(codes[labels == 3][:, 1:].std(0), torch.full((2,), 2.0), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    "prior",
    [
        Gaussian(2, 1.5, num_labels=10),
        GaussianMixture(10),
        SwissRoll(num_labels=10),
        Uniform(2, -1, 1, num_labels=10),
        Uniform(1, 0, 3, num_labels=10),
        Categorical(10),
    ],
)
def test_even_labels_add_up_to_the_whole_prior(prior):
    parts = prior.sample(N, even_labels(10), Noise(2))
    whole = prior.sample(N, None, Noise(3))
    torch.testing.assert_close(parts.mean(0), whole.mean(0), atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(parts.T), torch.cov(whole.T), atol=0.05, rtol=0)
    torch.testing.assert_close(quantiles(parts), quantiles(whole), atol=0.06, rtol=0)


@pytest.mark.parametrize(
    "prior",
    [Gaussian(2, 5.0, 10), GaussianMixture(10), SwissRoll(num_labels=10), Uniform(2, 0, 1, 10), Categorical(10)],
)
def test_label_minus_one_draws_from_the_whole_prior(prior):
    unlabelled = prior.sample(20_000, torch.full((20_000,), -1), Noise(4))
    whole = prior.sample(20_000, None, Noise(4))
    if not isinstance(prior, Gaussian):  # a labelled Gaussian draws its first coordinate through the quantiles
        assert torch.equal(unlabelled, whole)
    torch.testing.assert_close(quantiles(unlabelled), quantiles(whole), atol=0.1 * float(whole.std()) + 0.02, rtol=0)
    mixed = prior.sample(2000, torch.cat([torch.full((1000,), -1), torch.full((1000,), 7)]), Noise(5))
    spread = prior.sample(1000, torch.full((1000,), 7), Noise(6)).std(0).sum()
    assert mixed[1000:].std(0).sum() == pytest.approx(float(spread), rel=0.1, abs=1e-6)
    assert mixed[:1000].std(0).sum() > 1.3 * spread


def test_gaussian_density():
    codes = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 4
    expected = D.Independent(D.Normal(torch.zeros(4), torch.full((4,), 3.0)), 1).log_prob(codes)
    torch.testing.assert_close(Gaussian(4, 3.0).log_prob(codes), expected)


@pytest.mark.parametrize("prior", [GaussianMixture(10), GaussianMixture(3, 2.0, 0.3, 0.7), GaussianMixture(1)])
def test_mixture_density_is_that_of_torch(prior):
    codes = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) * 2
    torch.testing.assert_close(prior.log_prob(codes), mixture_in_torch(prior).log_prob(codes), atol=1e-3, rtol=1e-5)


def test_mixture_density_integrates_to_one():
    axis = torch.linspace(-5, 5, 401)
    grid = torch.cartesian_prod(axis, axis)
    mass = GaussianMixture(10).log_prob(grid).double().exp().sum() * 0.025**2
    assert float(mass) == pytest.approx(1, abs=1e-5)


def test_mixture_samples_have_the_moments_of_each_component():
    prior, labels = GaussianMixture(10, 1.4, 0.5, 0.1), even_labels(10)
    codes = prior.sample(N, labels, Noise(7))
    components = mixture_in_torch(prior).component_distribution
    for k in range(10):
        component = codes[labels == k]
        torch.testing.assert_close(component.mean(0), components.mean[k], atol=0.02, rtol=0)
        torch.testing.assert_close(torch.cov(component.T), components.covariance_matrix[k], atol=0.01, rtol=0)


def test_mixture_places_the_centre_of_every_component_on_the_ring():
    centres = GaussianMixture(4, distance=2.0).place(torch.arange(4), torch.zeros(4, 2))
    expected = torch.tensor([[2.0, 0], [0, 2], [-2, 0], [0, -2]])
    torch.testing.assert_close(centres, expected, atol=1e-6, rtol=0)


def test_swiss_roll_label_owns_its_tenth_of_the_roll():
    prior, labels = SwissRoll(3.0, 2.0, std=0.0, num_labels=10), even_labels(10, 2000)
    codes = prior.sample(2000, labels, Noise(8))
    u = (codes.norm(dim=1) / 3) ** 2  # radius = 3 sqrt(u)
    assert (u >= labels / 10 - 1e-5).all()
    assert (u <= (labels + 1) / 10 + 1e-5).all()
    angle = torch.atan2(codes[:, 1], codes[:, 0])
    off = (angle - 4 * math.pi * u.sqrt()) / (2 * math.pi)
    torch.testing.assert_close(off, off.round(), atol=1e-3, rtol=0)


def test_swiss_roll_noise_and_spread():
    # u is uniform, so E|z|^2 = radius^2 E[u] + 2 sd^2
    codes = SwissRoll(3.0, 2.0, 0.5).sample(N, noise=Noise(9))
    assert codes.square().sum(1).mean() == pytest.approx(9 / 2 + 2 * 0.25, rel=0.01)
    ends = SwissRoll(3.0, 2.0).spiral(torch.tensor([0.0, 0.25, 1.0]))
    torch.testing.assert_close(ends, torch.tensor([[0.0, 0], [1.5, 0], [3, 0]]), atol=1e-5, rtol=0)


def test_uniform_moments_slabs_and_density():
    prior, labels = Uniform(2, -1.0, 3.0, num_labels=4), even_labels(4)
    codes = prior.sample(N, labels, Noise(10))
    assert (codes[:, 0] >= -1.0 + labels).all()
    assert (codes[:, 0] <= labels).all()
    torch.testing.assert_close(codes.mean(0), torch.ones(2), atol=0.02, rtol=0)
    torch.testing.assert_close(codes.var(0), torch.full((2,), 16 / 12), atol=0.02, rtol=0)
    points = torch.tensor([[0.0, 0], [-1, 2.9], [3, 0], [0, -1.1]])
    density = prior.log_prob(points)
    torch.testing.assert_close(density, torch.tensor([-math.log(16), -math.log(16), -math.inf, -math.inf]))


def test_categorical_draws_even_one_hot_vectors():
    prior = Categorical(5)
    codes = prior.sample(N, noise=Noise(11))
    assert torch.equal(codes.unique(), torch.tensor([0.0, 1.0]))
    assert torch.equal(codes.sum(1), torch.ones(N))
    torch.testing.assert_close(codes.mean(0), torch.full((5,), 0.2), atol=0.01, rtol=0)
    labels = torch.tensor([0, 4, 2])
    assert torch.equal(prior.sample(3, labels, Noise(0)), torch.eye(5)[labels])


def test_categorical_draws_with_its_probabilities():
    shares = torch.tensor([0.5, 0.0, 0.1, 0.4])
    prior = Categorical(4, shares.tolist())
    codes = prior.sample(N, noise=Noise(11))
    assert torch.equal(codes.sum(1), torch.ones(N))
    torch.testing.assert_close(codes.mean(0), shares, atol=0.01, rtol=0)
    assert codes[:, 1].sum() == 0
    labels = torch.tensor([-1, 1]).repeat(N // 2)
    mixed = prior.sample(len(labels), labels, Noise(12))
    torch.testing.assert_close(mixed[0::2].mean(0), shares, atol=0.02, rtol=0)
    assert torch.equal(mixed[1::2].mean(0), torch.eye(4)[1])
    torch.testing.assert_close(prior.log_prob(torch.eye(4)), shares.log())


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([0.5, 0.5], "probabilities are 2; expected 3, one for each category"),
        ([0.6, 0.6, -0.2], "probabilities are 0.6, 0.6, -0.2, with sum 1; expected 0 or larger, with sum 1"),
        ([0.3, 0.3, 0.3], "probabilities are 0.3, 0.3, 0.3, with sum 0.9; expected 0 or larger, with sum 1"),
        ([0.5, math.nan, 0.5], "probabilities are 0.5, nan, 0.5, with sum nan; expected 0 or larger, with sum 1"),
    ],
)
def test_probabilities_that_are_none_are_one_clear_error(probabilities, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        Categorical(3, probabilities)


def test_categorical_mass_is_minus_inf_off_the_vertices():
    points = torch.tensor([[0.0, 1, 0], [0.2, 0.8, 0], [1, 1, 0], [0, 0, 0], [2, -1, 0]])
    expected = torch.tensor([-math.log(3)] + 4 * [-math.inf])
    torch.testing.assert_close(Categorical(3).log_prob(points), expected)


def test_samples_are_a_function_of_the_noise():
    prior = GaussianMixture()
    assert torch.equal(prior.sample(5, noise=Noise(3)), prior.sample(5, noise=Noise(3)))
    assert not torch.equal(prior.sample(5, noise=Noise(3)), prior.sample(5, noise=Noise(4)))
    assert not torch.equal(prior.sample(5), prior.sample(5))
    torch.manual_seed(1)
    first = prior.sample(5)
    torch.manual_seed(1)
    assert torch.equal(prior.sample(5), first)


def test_own_sampler_without_labels_or_noise():
    prior = FromSampler(lambda n: torch.full((n, 3), 2.0, dtype=torch.float64), 3)
    codes = prior.sample(4)
    assert torch.equal(codes, torch.full((4, 3), 2.0))
    assert codes.dtype == torch.float32
    assert not prior.has_density
    with pytest.raises(InputError, match="no known density"):
        prior.log_prob(codes)
    with pytest.raises(InputError, match="without num_labels"):
        prior.sample(4, torch.zeros(4, dtype=torch.int64))


def test_own_sampler_with_labels_and_noise():
    def sampler(n, labels, noise):
        centres = torch.zeros(n) if labels is None else labels.float()
        return torch.stack([centres, noise.uniform(n)], 1)

    prior = FromSampler(sampler, 2, num_labels=3)
    codes = prior.sample(4, torch.tensor([2, 0, -1, 1]), Noise(5))
    assert codes[:, 0].tolist() == [2, 0, -1, 1]
    assert torch.equal(codes[:, 1], Noise(5).uniform(4))
    assert prior.sample(2, None, Noise(5))[:, 0].tolist() == [0, 0]


def test_own_sampler_of_the_wrong_shape_is_named():
    with pytest.raises(InputError, match=r"returned shape \(4, 2\); expected \(4, 3\)"):
        FromSampler(lambda n: torch.zeros(n, 2), 3).sample(4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(0), "dimension is 0"),
        (lambda: Gaussian(2, 0), "std is 0"),
        (lambda: Gaussian(2, math.nan), "std is nan"),
        (lambda: Gaussian(2, 1, num_labels=0), "num_labels is 0"),
        (lambda: GaussianMixture(0), "num_labels is 0"),
        (lambda: GaussianMixture(3, radial_std=-1), "radial_std -1"),
        (lambda: SwissRoll(turns=0), "turns 0"),
        (lambda: SwissRoll(std=-0.1), "std -0.1"),
        (lambda: Uniform(2, 1, 1), "low 1 and high 1"),
        (lambda: Categorical(0), "dimension is 0"),
        (lambda: FromSampler(lambda n: torch.zeros(n, 2), 2, num_labels=3), "no parameter 'labels'"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_per_label_sampling_needs_num_labels():
    with pytest.raises(InputError, match="Gaussian prior was made without num_labels"):
        Gaussian(2).sample(3, torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("prior", [Gaussian(2, 1, 3), GaussianMixture(3), SwissRoll(num_labels=3), Categorical(3)])
def test_there_must_be_one_label_per_code(prior):
    with pytest.raises(InputError, match=r"labels have shape \(1,\); expected \(3,\)"):
        prior.sample(3, torch.zeros(1, dtype=torch.int64))
