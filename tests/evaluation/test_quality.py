"""Fréchet distance, precision and recall, and nearest rows, against closed forms and brute force."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from aae.errors import InputError
from aae.evaluation import neighbours, quality
from aae.evaluation.neighbours import nearest_rows
from aae.evaluation.quality import frechet_distance, precision_recall


def standard(n, dim, seed=0):
    """A sample whose mean is exactly 0 and whose covariance is exactly the identity."""
    x = np.random.default_rng(seed).standard_normal((n, dim))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T).reshape(dim, dim))).T


def cloud(n, dim=2, seed=0):
    return np.random.default_rng(seed).uniform(size=(n, dim))


@pytest.mark.parametrize(("shift", "sds"), [(0.0, [1, 1, 1]), (3.0, [1, 1, 1]), (0.5, [0.1, 2, 30]), (0.0, [0, 1, 2])])
def test_frechet_distance_of_axis_aligned_gaussians(shift, sds):
    # independent dimensions: |shift|^2 + sum of (sd_a - sd_b)^2
    b = shift + standard(300, 3, seed=1) * np.array(sds)
    expected = 3 * shift**2 + np.sum((np.array(sds) - 1.0) ** 2)
    assert frechet_distance(standard(500, 3), b) == pytest.approx(expected, abs=1e-9)


def test_frechet_distance_with_a_matrix_root():
    a, b = cloud(60, 4) @ cloud(4, 4, 1), cloud(50, 4, 2) @ cloud(4, 4, 3)
    root = sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert frechet_distance(a, torch.tensor(b)) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_fewer_rows_than_dimensions_keeps_its_accuracy():
    a = cloud(20, 300) + 100
    assert frechet_distance(a, a[::-1]) == pytest.approx(0, abs=1e-9)
    assert all(frechet_distance(x, x[::-1]) >= 0 for x in (cloud(40, 30, seed) for seed in range(20)))
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((300, 300)))[0]
    b = cloud(30, 300, 1)
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-9)
    line = np.linspace(-1, 1, 11)[:, None]  # two covariances of rank 1, along different axes: nothing overlaps
    x, y = line * np.eye(300)[0], 2 * line * np.eye(300)[1]
    assert frechet_distance(x, y) == pytest.approx(5 * line.var(ddof=1), rel=1e-12)


def test_frechet_distance_says_what_is_wrong():
    with pytest.raises(InputError, match="found 2 and 3 columns"):
        frechet_distance(cloud(5), cloud(5, 3))
    with pytest.raises(InputError, match="b: found 1 row, expected at least 2"):
        frechet_distance(cloud(5), cloud(1))
    with pytest.raises(InputError, match="not finite"):
        frechet_distance([[0.0, np.nan]] * 3, cloud(5))


def test_equal_clouds_are_all_inside_and_far_clouds_are_all_outside():
    a = cloud(200, 5)
    assert precision_recall(a, a[::-1]) == (1, 1)
    assert precision_recall(a, a + 100) == (0, 0)
    repeated = 1e4 + np.repeat(a[:40], 5, axis=0)  # radii of 0, and norms that leave rounding in the distances
    assert precision_recall(repeated, repeated) == (1, 1)


def test_a_cloud_on_a_part_of_the_data_is_precise_but_recalls_only_that_part():
    left = cloud(300)
    real = np.concatenate([left, 10 + cloud(300, seed=1)])
    assert precision_recall(real, left) == (1, 0.5)
    assert precision_recall(left, real) == (0.5, 1)
    collapsed = np.repeat(left[:1], 100, axis=0)
    assert precision_recall(real, collapsed) == (1, 1 / 600)


def test_precision_and_recall_by_hand():
    real, generated = [[0.0], [1.0], [3.0]], [[0.5], [4.5], [9.0]]
    # k = 1: radii of the real points 1, 1, 2, so their manifold is [-1, 2] and [1, 5];
    # radii of the generated points 4, 4, 4.5, so theirs is [-3.5, 4.5], [0.5, 8.5] and [4.5, 13.5]
    assert precision_recall(real, generated, k=1) == pytest.approx((2 / 3, 1))
    # k = 2: radii 3, 2, 3: [-3, 3], [-1, 3] and [0, 6]
    assert precision_recall(real, [[6.1], [5.9], [-2.9], [-3.1]], k=2) == (0.5, 1)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_precision_and_recall_against_all_distances(k, monkeypatch):
    monkeypatch.setattr(quality, "WORKING_MEMORY", 0.01)
    real, generated = cloud(150, 3), 0.3 + cloud(120, 3, 1)

    def share(points, sample):
        within = np.sort(np.linalg.norm(sample[:, None] - sample, axis=2), axis=1)[:, k]
        return (np.linalg.norm(points[:, None] - sample, axis=2) <= within).any(axis=1).mean()

    found = precision_recall(real, torch.tensor(generated), k)
    assert found == (share(generated, real), share(real, generated))
    assert 0.1 < min(found) < max(found) < 1
    assert precision_recall(1e6 + real, 1e6 + generated, k) == found


def test_precision_and_recall_need_more_rows_than_neighbours():
    with pytest.raises(InputError, match="k: found 3, expected 1 to 2"):
        precision_recall(cloud(10), cloud(3))
    with pytest.raises(InputError, match="real and generated: found 2 and 3 columns"):
        precision_recall(cloud(10), cloud(10, 3))


@pytest.mark.parametrize("at_once", [1, 70, 4_000_000])
def test_nearest_rows_against_brute_force(at_once, monkeypatch, tmp_path):
    monkeypatch.setattr(neighbours, "VALUES_AT_ONCE", at_once)
    generator = np.random.default_rng(0)
    rows = np.memmap(tmp_path / "rows", np.uint8, "w+", shape=(101, 4, 5))
    rows[:] = generator.integers(0, 256, rows.shape)
    queries = generator.uniform(0, 255, (12, 20))
    queries[3] = rows[77].ravel()
    distances = np.linalg.norm(queries[:, None] - rows.reshape(101, 20).astype(float), axis=2)
    indices, found = nearest_rows(queries, rows)
    assert indices.tolist() == distances.argmin(axis=1).tolist()
    np.testing.assert_allclose(found, distances.min(axis=1), rtol=1e-12)
    assert (indices[3], found[3]) == (77, 0)
    tensors = nearest_rows(torch.tensor(queries), torch.from_numpy(np.array(rows)))
    assert np.array_equal(tensors, (indices, found))


def test_nearest_rows_keep_small_distances_between_large_rows():
    rows = 1e4 + cloud(50, 30)
    indices, distances = nearest_rows(rows + 1e-5, rows)
    assert indices.tolist() == list(range(50))
    np.testing.assert_allclose(distances, 1e-5 * np.sqrt(30), rtol=1e-5)


def test_nearest_rows_need_rows_of_the_same_size():
    with pytest.raises(InputError, match=r"rows: found shape \(5, 3\), expected at least one row of 2 values"):
        nearest_rows(cloud(4), cloud(5, 3))
    with pytest.raises(InputError, match=r"rows: found shape \(0, 2\)"):
        nearest_rows(cloud(4), np.zeros((0, 2)))
    with pytest.raises(InputError, match="rows: found values that are not finite"):
        nearest_rows(cloud(4), [[0.0, 1.0], [np.inf, 0.0]])
