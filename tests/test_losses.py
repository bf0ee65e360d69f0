"""The paper's costs against hand computations and torch.distributions."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import distributions as D

from aae import losses
from aae.priors import Gaussian, GaussianMixture


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_half_squared_error_is_caffes_euclidean_loss():
    x, x_hat = torch.tensor([[0.0, 1], [2, 3]]), torch.tensor([[1.0, 1], [2, 0]])
    # Caffe: 1 / (2 N) sum_n |x_n - x_hat_n|^2 = (1 + 9) / (2 * 2)
    assert float(losses.half_squared_error(x_hat, x)) == 2.5
    assert float(losses.half_squared_error(x_hat, x, "mean")) == 1.25


def test_half_squared_error_pulls_each_row_by_its_own_residual():
    x, x_hat = numbers(5, 7), numbers(5, 7, seed=1).requires_grad_()
    losses.half_squared_error(x_hat, x).backward()
    torch.testing.assert_close(x_hat.grad, (x_hat.detach() - x) / 5)


def test_bernoulli_error_is_the_negative_log_likelihood():
    logits, x = numbers(6, 4), torch.rand(6, 4, generator=torch.Generator().manual_seed(1))
    p = torch.sigmoid(logits)
    expected = -(x * p.log() + (1 - x) * (1 - p).log()).sum(1).mean()
    torch.testing.assert_close(losses.bernoulli_error(logits, x), expected)
    torch.testing.assert_close(losses.bernoulli_error(logits, x, "mean"), expected / 4)
    bits = x.round()
    expected = -D.Independent(D.Bernoulli(logits=logits), 1).log_prob(bits).mean()
    torch.testing.assert_close(losses.bernoulli_error(logits, bits), expected)


def test_discriminator_labels_prior_samples_1_and_codes_0():
    prior, codes = 3 * numbers(9), 3 * numbers(9, seed=1)
    expected = F.binary_cross_entropy_with_logits(prior, torch.ones(9))
    expected += F.binary_cross_entropy_with_logits(codes, torch.zeros(9))
    torch.testing.assert_close(losses.discriminator_loss(prior, codes), expected)
    assert float(losses.discriminator_loss(torch.zeros(3), torch.zeros(3))) == pytest.approx(2 * math.log(2))
    assert losses.discriminator_loss(torch.full((2,), 20.0), torch.full((2,), -20.0)) < 1e-6


def test_generator_wants_codes_labelled_1_and_does_not_saturate():
    codes = (3 * numbers(9)).requires_grad_()
    expected = F.binary_cross_entropy_with_logits(codes, torch.ones(9))
    torch.testing.assert_close(losses.generator_loss(codes), expected)
    rejected = torch.tensor([-30.0], requires_grad=True)
    losses.generator_loss(rejected).backward()
    assert float(rejected.grad) == pytest.approx(-1)  # log(1 - D) would give a gradient of 0 here


def test_discriminator_accuracy_counts_both_kinds():
    accuracy = losses.discriminator_accuracy(torch.tensor([1.0, 2, -1, 3]), torch.tensor([-1.0, 0.5, 1, 2]))
    assert float(accuracy) == 0.5 * (0.75 + 0.25)
    assert float(losses.discriminator_accuracy(torch.zeros(4), torch.zeros(4))) == 0.5


def test_classification_loss_applies_the_softmax_once():
    logits, labels = torch.tensor([[2.0, 0, -1], [0, 5, 0]]), torch.tensor([0, 2])
    probabilities = torch.softmax(logits, 1)
    expected = -probabilities[[0, 1], labels].log().mean()
    torch.testing.assert_close(losses.classification_loss(logits, labels), expected)
    # a sure and right answer costs nothing; with a second softmax it could not fall below log(1 + 2 / e)
    assert losses.classification_loss(torch.tensor([[50.0, 0, 0]]), torch.tensor([0])) < 1e-6
    assert losses.classification_loss(probabilities, labels) != pytest.approx(float(expected), abs=0.01)


@pytest.mark.parametrize("prior_std", [1.0, 5.0, 0.3])
def test_gaussian_kl_is_that_of_torch(prior_std):
    mean, log_std = 2 * numbers(7, 3), numbers(7, 3, seed=1)
    expected = D.kl_divergence(D.Normal(mean, log_std.exp()), D.Normal(0.0, prior_std)).sum(1).mean()
    torch.testing.assert_close(losses.gaussian_kl(mean, log_std, prior_std), expected)


def test_gaussian_kl_is_zero_at_the_prior():
    kl = losses.gaussian_kl(torch.zeros(4, 2), torch.full((4, 2), math.log(3.0)), 3.0)
    assert float(kl) == pytest.approx(0, abs=1e-6)


def test_monte_carlo_kl_is_unbiased():
    draws, prior = 200_000, Gaussian(3, 2.0)
    mean, log_std = numbers(1, 3), 0.5 * numbers(1, 3, seed=1)
    codes = mean + log_std.exp() * numbers(draws, 3, seed=2)
    estimate = losses.monte_carlo_kl(log_std.expand(draws, 3), prior.log_prob(codes))
    assert float(estimate) == pytest.approx(float(losses.gaussian_kl(mean, log_std, 2.0)), abs=0.01)


def test_monte_carlo_kl_with_a_mixture_against_torch():
    draws, prior = 50_000, GaussianMixture(4)
    mean, log_std = torch.tensor([[0.5, -1.0]]), torch.tensor([[-0.7, -1.2]])
    codes = mean + log_std.exp() * numbers(draws, 2, seed=3)
    posterior = D.Independent(D.Normal(mean, log_std.exp()), 1)
    expected = (posterior.log_prob(codes) - prior.log_prob(codes)).mean()
    estimate = losses.monte_carlo_kl(log_std.expand(draws, 2), prior.log_prob(codes))
    assert float(estimate) == pytest.approx(float(expected), abs=0.02)


def test_entropy_is_that_of_the_distribution():
    p = torch.softmax(3 * numbers(5, 2, 4), 2)
    torch.testing.assert_close(losses.entropy(p), D.Categorical(p).entropy())
    assert losses.entropy(torch.eye(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "loss",
    [
        lambda p: losses.entropy(p).sum(),
        losses.information_loss,
        lambda p: losses.information_loss(p, prior=[0.5, 0.5, 0.0]),
        losses.normalized_marginal_entropy,
    ],
)
def test_gradients_are_finite_where_a_probability_vanishes(loss):
    logits = torch.tensor([[300.0, 0.0, 0.0], [250.0, 1.0, -300.0]], requires_grad=True)
    probabilities = torch.softmax(logits, 1)
    assert float(probabilities.detach()[:, 1:].max()) == 0
    (gradient,) = torch.autograd.grad(loss(probabilities), logits)
    assert torch.isfinite(gradient).all()
