"""p(x|z) of columns by their kinds, against SciPy, and the scaling that goes with it."""

import numpy as np
import pytest
import scipy.stats
import torch

from aae.likelihoods import ColumnLikelihood
from aae.scaling import choose_column_scaling

G = np.random.default_rng(0)
KINDS, LEVELS = ("count", "numerical", "categorical", "boolean", "count"), (0, 0, 3, 0, 0)
STORED = np.column_stack(
    [
        G.negative_binomial(2, 0.1, 60),
        G.normal(5, 2, 60),
        np.arange(60) % 3,
        np.arange(60) % 2,
        G.poisson(3, 60),
    ]
).astype(float)


@pytest.fixture(scope="module")
def parts():
    scaling = choose_column_scaling(STORED, KINDS, LEVELS)
    rows = torch.from_numpy(scaling.transform(STORED))
    likelihood = ColumnLikelihood(KINDS, [max(1, n) for n in LEVELS])
    likelihood.measure(scaling, [rows])
    with torch.no_grad():
        likelihood.log_variance.fill_(np.log(0.5))
        likelihood.log_dispersion.copy_(torch.tensor([0.3, 1.0]))
    logits = torch.from_numpy(G.normal(size=rows.shape).astype(np.float32))
    return scaling, rows, likelihood, logits


def test_scaling_is_one_hot_and_has_an_inverse(parts):
    scaling, rows, _, _ = parts
    assert rows.shape == (60, 7)
    assert rows[:3, 2:5].tolist() == torch.eye(3).tolist()
    np.testing.assert_allclose(scaling.inverse_transform(rows.numpy()), STORED, atol=1e-4)
    np.testing.assert_allclose(rows[:, [0, 6]].mean(0), 0, atol=1e-5)
    unseen = STORED[:1].copy()
    unseen[0, 2] = -1
    assert scaling.transform(unseen)[0, 2:5].tolist() == [0, 0, 0]


def test_each_column_has_its_distribution(parts):
    scaling, rows, likelihood, logits = parts
    with torch.no_grad():
        found = likelihood.log_prob(logits, rows).numpy()
        means = scaling.inverse_transform(likelihood.mean(logits).numpy())
    for column, theta in ((0, np.exp(0.3)), (4, np.exp(1.0))):
        mean = STORED[:, column].mean() * np.exp(logits[:, 0 if column == 0 else 6].numpy())
        expected = scipy.stats.nbinom.logpmf(STORED[:, column], theta, theta / (theta + mean))
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-3, atol=2e-3)
        np.testing.assert_allclose(means[:, column], mean, rtol=1e-3)
    np.testing.assert_allclose(found[:, 1], scipy.stats.norm.logpdf(rows[:, 1], logits[:, 1], np.sqrt(0.5)), rtol=1e-4)
    probabilities = torch.softmax(logits[:, 2:5], 1).numpy()
    np.testing.assert_allclose(found[:, 2], np.log(probabilities[np.arange(60), np.arange(60) % 3]), rtol=1e-4)
    truth = torch.sigmoid(logits[:, 5]).numpy()
    np.testing.assert_allclose(found[:, 3], scipy.stats.bernoulli.logpmf(STORED[:, 3], truth), rtol=1e-4)


def test_what_is_missing_or_unknown_adds_nothing(parts):
    _, rows, likelihood, logits = parts
    observed = torch.ones(60, 5, dtype=torch.bool)
    observed[:, 1:] = False
    with torch.no_grad():
        of_all = likelihood.log_prob(logits, rows)
        torch.testing.assert_close(likelihood.loss(logits, rows, "sum", observed), -of_all[:, 0].mean())
        torch.testing.assert_close(likelihood.loss(logits, rows, "mean"), -of_all.mean())
        blank = rows.clone()
        blank[:, 2:5] = 0
        assert (likelihood.log_prob(logits, blank)[:, 2] == 0).all()


def test_squared_residuals_are_the_deviance(parts):
    _, rows, likelihood, logits = parts
    with torch.no_grad():
        residuals = likelihood.residuals(logits, rows).square()
        log_prob = likelihood.log_prob(logits, rows)
    torch.testing.assert_close(residuals[:, 2:5].sum(1), -2 * log_prob[:, 2], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(residuals[:, 5], -2 * log_prob[:, 3], rtol=1e-3, atol=1e-4)
    counts = residuals[:, 0] + 2 * log_prob[:, 0]  # twice what the best mean for each count has
    for count in np.unique(STORED[:, 0]):
        same = counts[torch.from_numpy(STORED[:, 0] == count)]
        torch.testing.assert_close(same, same[:1].expand_as(same), rtol=1e-2, atol=1e-2)


def test_draws_have_the_mean_and_the_spread(parts):
    scaling, _, likelihood, logits = parts
    many = logits[:1].expand(20_000, -1)
    with torch.no_grad():
        drawn = scaling.inverse_transform(likelihood.draw(many, None, 0).numpy())
        mean = scaling.inverse_transform(likelihood.mean(logits[:1]).numpy())[0]
    theta = np.exp(1.0)
    assert drawn[:, 4].mean() == pytest.approx(mean[4], rel=0.05)
    assert drawn[:, 4].var() == pytest.approx(mean[4] + mean[4] ** 2 / theta, rel=0.1)
    chances = torch.softmax(logits[0, 2:5], 0).numpy()
    np.testing.assert_allclose(np.bincount(drawn[:, 2].astype(int), minlength=3) / 20_000, chances, atol=0.02)


def test_means_of_counts_alone_add_up_to_the_total_of_the_row():
    counts = G.negative_binomial(2, 0.2, (30, 4)).astype(float)
    scaling = choose_column_scaling(counts, ["count"] * 4, [0] * 4)
    rows = torch.from_numpy(scaling.transform(counts))
    likelihood = ColumnLikelihood(["count"] * 4, [1] * 4)
    likelihood.measure(scaling, [rows])
    totals = likelihood.totals(rows)
    np.testing.assert_allclose(totals[:, 0].exp(), counts.sum(1), rtol=1e-4)
    with torch.no_grad():
        made = scaling.inverse_transform(likelihood.mean(torch.randn(30, 4), totals).numpy())
    np.testing.assert_allclose(made.sum(1), counts.sum(1), rtol=1e-3)
    twice = torch.from_numpy(scaling.transform(7 * counts))
    torch.testing.assert_close(likelihood.relative(twice), likelihood.relative(rows), rtol=1e-3, atol=1e-3)


def test_many_columns_of_categories_are_computed_together(monkeypatch):
    """Each column by itself has a gradient as wide as all of them, so that time grows with the square of their number."""
    calls = []
    log_softmax = torch.log_softmax
    monkeypatch.setattr(torch, "log_softmax", lambda logits, dim: calls.append(1) or log_softmax(logits, dim))
    levels = [2, 5, 1, 3, 2, 5] * 50
    kinds = ["numerical" if level == 1 else "categorical" for level in levels]
    likelihood = ColumnLikelihood(kinds, levels)
    logits = torch.randn(4, sum(levels))
    blocks = logits.split(levels, 1)
    rows = torch.cat(
        [block if level == 1 else one_hot_of(block) for block, level in zip(blocks, levels, strict=True)], 1
    )
    found = likelihood.log_prob(logits, rows)
    assert len(calls) == 3  # numbers of categories, not columns
    for k, (block, level) in enumerate(zip(blocks, levels, strict=True)):
        if level > 1:
            torch.testing.assert_close(found[:, k], log_softmax(block, 1).amax(1))
    means = likelihood.mean(logits).split(levels, 1)
    for block, mean, level in zip(blocks, means, levels, strict=True):
        torch.testing.assert_close(mean, block if level == 1 else torch.softmax(block, 1))


def one_hot_of(logits):
    return torch.nn.functional.one_hot(logits.argmax(1), logits.shape[1]).float()
