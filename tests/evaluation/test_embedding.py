"""Quality of maps whose quality is known."""

import numpy as np
import pytest
import torch

from aae.errors import InputError
from aae.evaluation import continuity, knn_accuracy_percent, trustworthiness


def test_knn_accuracy_on_two_far_groups():
    train, labels = [[0.0], [1.0], [10.0], [11.0], [0.1]], [0, 0, 1, 1, -1]
    assert knn_accuracy_percent(train, labels, torch.tensor([[0.5], [9.0], [12.0], [2.0]]), [0, 1, 1, 1], k=2) == 75
    assert knn_accuracy_percent(train, labels, [[0.1], [5.0]], [0, -1], k=1) == 100


def test_a_similarity_map_is_perfect_and_a_random_one_is_not():
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((200, 3, 2))
    turned = 5 * rows.reshape(200, 6) @ np.linalg.qr(generator.standard_normal((6, 6)))[0]
    assert trustworthiness(rows, turned) == pytest.approx(1)
    assert continuity(rows, turned) == pytest.approx(1)
    noise = generator.standard_normal((200, 2))
    assert 0.4 < trustworthiness(rows, noise) < 0.6
    assert 0.4 < continuity(rows, noise) < 0.6


def test_folding_costs_trust_and_tearing_costs_continuity():
    line = np.linspace(-1, 1, 201)[:, None]
    folded = np.abs(line) + 1e-4 * line
    assert continuity(line, folded, k=6) > 0.97 > trustworthiness(line, folded, k=6)
    torn = np.where(np.arange(201)[:, None] % 2, line, line + 100)
    assert trustworthiness(line, torn, k=6) > 0.97 > continuity(line, torn, k=6)


def test_the_subsample_is_seeded_and_bounded():
    generator = np.random.default_rng(1)
    rows, codes = generator.standard_normal((300, 4)), generator.standard_normal((300, 2))
    first = trustworthiness(rows, codes, limit=80)
    assert first == trustworthiness(rows, codes, limit=80) != trustworthiness(rows, codes, limit=80, seed=1)
    with pytest.raises(InputError, match="20 rows"):
        trustworthiness(rows, codes, k=10, limit=20)


def test_wrong_input_is_an_input_error():
    with pytest.raises(InputError, match="rows 3, codes 2"):
        continuity(np.zeros((3, 2)), np.zeros((2, 2)), k=1)
    with pytest.raises(InputError, match="expected 1 to 2"):
        knn_accuracy_percent([[0.0], [1.0]], [0, 1], [[0.0]], [0])
