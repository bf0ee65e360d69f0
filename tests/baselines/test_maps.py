"""Rivals of section 7: the plain autoencoder and parametric t-SNE, and how torn their maps are."""

import math

import numpy as np
import pytest
import torch
from sklearn.manifold import _t_sne

from aae.baselines.tsne import affinities, neighbour_loss
from aae.errors import InputError
from aae.evaluation import fracture
from aae.runs.evaluate import evaluate
from aae.runs.recipe import read_recipe
from aae.runs.train import train
from aae.runs.view import view

TINY = ["training.precision=fp32", "model.decoder.hidden=[64]", "training.validate_every=100"]


def test_affinities_are_those_of_scikit_learn():
    rows = np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32) * [1, 2, 3, 1, 1]
    rows[0] += 40  # far from all others
    squared = ((rows[:, None] - rows) ** 2).sum(2).astype(np.float32)
    expected = _t_sne.squareform(_t_sne._joint_probabilities(squared, 12.0, verbose=0))
    found = affinities(torch.from_numpy(rows), 12.0).numpy()
    assert found.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    with pytest.raises(InputError, match="perplexity is 79; expected between 1 and 79 for 80 rows"):
        affinities(torch.from_numpy(rows), 79)


def test_the_divergence_is_that_of_student_t_pairs_and_pulls_neighbours_together():
    codes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], requires_grad=True)
    kernel = torch.tensor([1 / 2, 1 / 5, 1 / 6])  # 1 / (1 + distance^2) of the pairs 01, 02, 12
    q = kernel / (2 * kernel.sum())
    p = torch.tensor([0.1, 0.3, 0.1])
    pairs = torch.zeros(3, 3)
    for (i, j), value in zip([(0, 1), (0, 2), (1, 2)], p, strict=True):
        pairs[i, j] = pairs[j, i] = value
    found = neighbour_loss(pairs, codes)
    torch.testing.assert_close(found, 2 * (p * (p / q).log()).sum())
    (gradient,) = torch.autograd.grad(found, codes)
    assert gradient[2, 1] > 0  # 2 is a neighbour of 0: down to it
    assert gradient[1, 0] < 0  # 1 is not: away


def test_fracture_of_a_class_in_one_piece_and_in_two():
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(1000, 2)) @ [[2.0, 1.0], [0.0, 0.3]] + 5
    halves = rng.normal(size=(1000, 2)) + np.repeat([[0, 0], [12, 0]], 500, axis=0)
    assert fracture(whole, np.zeros(1000)) < 0.01
    assert fracture(halves, np.zeros(1000)) > 0.5
    both = fracture(np.concatenate([whole, halves]), np.repeat([0, 1], 1000))
    assert both == pytest.approx((fracture(whole, np.zeros(1000)) + fracture(halves, np.zeros(1000))) / 2, abs=0.05)
    assert math.isnan(fracture(whole, np.full(1000, -1)))
    with pytest.raises(InputError, match="rows do not pair up: found codes 1000, labels 500"):
        fracture(whole, np.zeros(500))


def test_tsne_keeps_neighbours_that_an_autoencoder_tears_apart(tmp_path):
    found = {}
    for name, changes in (
        ("figure11-autoencoder", ["training.epochs=20"]),
        ("figure11-tsne", ["training.batch_size=150", "training.epochs=40", "model.perplexity=10"]),
    ):
        changes += ["training.neighbours.learning_rate=0.005"] if "tsne" in name else []
        recipe = read_recipe(name, [*TINY, *changes, "model.encoder.hidden=[200]"], "digits")
        run = train(recipe, run=tmp_path / name, device="cpu")
        found[name] = evaluate(run)["metrics"]
        assert view(run).prior is None  # nothing matches the codes to it
    tsne, autoencoder = found["figure11-tsne"], found["figure11-autoencoder"]
    assert tsne.keys() == autoencoder.keys()
    assert "energy_distance" not in tsne  # to a prior that nothing matches it to
    assert tsne["knn_accuracy_percent"] > 75 > 65 > autoencoder["knn_accuracy_percent"]  # 84 and 52
    assert tsne["trustworthiness"] > autoencoder["trustworthiness"] + 0.08  # 0.92 and 0.78
    assert tsne["continuity"] > autoencoder["continuity"] + 0.04  # 0.96 and 0.88
    assert max(tsne["test_reconstruction"], autoencoder["test_reconstruction"]) < 2.0  # the mean image has 2.3
