"""Sparse rows, made dense part by part."""

import numpy as np
import pytest
import scipy.sparse as ss

import aae
from aae.errors import InputError
from aae.estimators.rows import scaled
from aae.estimators.sparse import SparseTable, as_table
from aae.estimators.weights import row_order
from aae.scaling import Scaling, choose_scaling

TINY = {"epochs": 2, "hidden_layer_sizes": (16,), "discriminator_layer_sizes": (8,), "random_state": 0}
COUNTS = np.random.default_rng(0).poisson(0.3, (120, 30)).astype(np.float64)
LABELS = np.arange(120) % 2
MAKERS = [aae.AAE, aae.AAEClusterer, aae.AAEEmbedding, aae.SemiSupervisedAAE, aae.SupervisedAAE]


@pytest.mark.parametrize("kind", [ss.csr_matrix, ss.csc_array, ss.coo_matrix])
@pytest.mark.parametrize("maker", MAKERS)
def test_sparse_rows_are_used_as_dense_ones(maker, kind):
    model = maker(**TINY).fit(kind(COUNTS), LABELS)
    method = model.predict_proba if hasattr(model, "predict_proba") else model.transform
    np.testing.assert_allclose(method(kind(COUNTS)), method(COUNTS), atol=1e-5)
    dense = maker(**TINY).fit(COUNTS, LABELS)
    np.testing.assert_allclose(model.scaler_.factor, dense.scaler_.factor, rtol=1e-12)
    np.testing.assert_allclose(model.transform(COUNTS), dense.transform(COUNTS), atol=1e-3)
    assert model.history_[-1].keys() == dense.history_[-1].keys()


def test_sparse_rows_come_in_the_order_of_dense_ones():
    g = np.random.default_rng(0)
    rows = g.choice([-2.5, -1.0, 0.0, 0.0, 0.0, 1e-300, 3.0], (300, 4))
    matrix = ss.csr_matrix(np.where(rows == 0, 9.0, rows))
    matrix.data[matrix.data == 9.0] = g.choice([0.0, -0.0], (matrix.data == 9.0).sum())  # entries of 0
    matrix.data[matrix.data == 1e-300] = 0
    rows[rows == 1e-300] = 0
    labels = g.integers(0, 2, 300)
    which = g.permutation(300)[:200]
    table = SparseTable(matrix).take(which)
    assert row_order(table, labels[which]).tolist() == row_order(rows[which], labels[which]).tolist()


def test_nothing_but_parts_becomes_dense(monkeypatch):
    read = []
    original = SparseTable.__getitem__

    def counted(self, which):
        found = original(self, which)
        read.append(len(np.atleast_2d(found)))
        return found

    monkeypatch.setattr(SparseTable, "__getitem__", counted)
    monkeypatch.setattr("aae.estimators.rows.BATCH", 50)
    monkeypatch.setattr("aae.scaling.map.BLOCK", 1000)
    monkeypatch.setattr("aae.scaling.choice.SAMPLED_ROWS", 40)
    aae.AAE(2, batch_size=20, **TINY).fit(ss.csr_matrix(COUNTS)).partial_fit(ss.csr_matrix(COUNTS))
    assert max(read[:-1]) <= 120
    assert sum(size > 50 for size in read) <= 3  # the samples that `noise_variance_` and the score are measured on
    assert len(read) > 20


def test_repeated_entries_are_added_and_the_given_matrix_is_left_alone():
    twice = ss.csr_matrix((np.ones(4), [0, 0, 1, 1], [0, 2, 4]), shape=(2, 3))
    table = as_table(twice)
    assert table[:].tolist() == [[2, 0, 0], [0, 2, 0]]
    assert twice.nnz == 4
    assert table.take(np.array([1, 1]))[0].tolist() == [0, 2, 0]


def test_the_order_of_sparse_rows_is_that_of_their_values():
    order = np.random.default_rng(1).permutation(120)
    one, other = SparseTable(ss.csr_matrix(COUNTS)), SparseTable(ss.csr_matrix(COUNTS[order]))
    np.testing.assert_array_equal(COUNTS[row_order(one, None)], COUNTS[order][row_order(other, None)])
    np.testing.assert_allclose(choose_scaling(one).factor, choose_scaling(COUNTS).factor)


def test_sparse_validation_rows_and_wrong_ones():
    matrix = ss.csr_matrix(COUNTS)
    model = aae.SemiSupervisedAAE(**TINY).fit(matrix, LABELS, validation_data=(matrix[:10], LABELS[:10]))
    assert "validation_error_percent" in model.history_[0]
    assert aae.AAE(2, early_stopping=True, **TINY).fit(matrix).best_epoch_ > 0
    with pytest.raises(InputError, match=r"^validation_data: X has 29 features"):
        aae.AAE(2, **TINY).fit(matrix, validation_data=matrix[:, 1:])


def test_one_scaled_row_is_read_as_a_row():
    rows = scaled(Scaling.identity(), as_table(ss.csr_matrix(COUNTS)))
    np.testing.assert_array_equal(rows[3].numpy(), COUNTS[3])
    np.testing.assert_array_equal(rows[[3, 3]].numpy(), COUNTS[[3, 3]])
