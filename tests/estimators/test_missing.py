"""Missing values: left out of the loss, and imputed by the decoder."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as ss
import torch

import aae
from aae.errors import InputError
from aae.losses import half_squared_error

TINY = {"hidden_layer_sizes": (32,), "discriminator_layer_sizes": (16,), "random_state": 0, "missing": "mask"}
G = np.random.default_rng(0)
ROWS = G.normal(size=(300, 2)) @ G.normal(size=(2, 8)) + 0.05 * G.normal(size=(300, 8)) + 5
HOLES = G.uniform(size=ROWS.shape) < 0.15
GAPPY = np.where(HOLES, np.nan, ROWS)
LABELS = (ROWS[:, 0] > 5).astype(int)


def test_what_is_missing_adds_nothing_to_the_loss():
    rows, guess = torch.zeros(2, 3), torch.tensor([[1.0, 100.0, 1.0], [2.0, 0.0, 0.0]])
    observed = torch.tensor([[True, False, True], [True, True, True]])
    assert half_squared_error(guess, rows, observed=observed) == 0.5 * 6 / 2
    assert half_squared_error(guess, rows, "mean", observed) == pytest.approx(0.5 * 6 / 5)
    whole = torch.ones(2, 3, dtype=torch.bool)
    for reduction in ("sum", "mean"):
        torch.testing.assert_close(*(half_squared_error(guess, rows, reduction, known) for known in (whole, None)))


def test_the_decoder_imputes_better_than_the_median():
    model = aae.AAE(2, epochs=80, learning_rate=0.003, **TINY).fit(GAPPY)
    found = model.impute(GAPPY)
    np.testing.assert_array_equal(found[~HOLES], ROWS[~HOLES])
    medians = np.broadcast_to(model.missing_fill_, ROWS.shape)
    error, usual = (np.sqrt(np.square(guess - ROWS)[HOLES].mean()) for guess in (found, medians))
    assert error < 0.6 * usual
    assert np.isfinite(model.transform(GAPPY)).all()


@pytest.mark.parametrize("maker", [aae.AAEClusterer, aae.AAEEmbedding, aae.SemiSupervisedAAE, aae.SupervisedAAE])
def test_all_estimators_take_missing_values(maker):
    model = maker(epochs=2, **TINY).fit(GAPPY, LABELS)
    labels = LABELS if maker is aae.SupervisedAAE else None
    assert np.isfinite(model.impute(GAPPY, labels)).all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            np.where(np.arange(8) == 3, np.nan, ROWS),
            "column 3 (counted from 0) has no value in 300 rows; expected some",
        ),
        (
            pd.DataFrame(np.where(np.arange(8) == 3, np.nan, ROWS), columns=list("abcdefgh")),
            "column 'd' has no value in 300 rows; expected some",
        ),
        (ss.csr_matrix(ROWS), "missing is 'mask' and rows are sparse; expected dense rows"),
    ],
)
def test_rows_that_cannot_be_filled_get_one_line(rows, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        aae.AAE(2, epochs=1, **TINY).fit(rows)


def test_without_the_option_missing_values_are_errors():
    usual = {**TINY, "missing": "error"}
    with pytest.raises(
        ValueError, match=r"^X: column \d: found NaN in row \d+ \(both counted from 0\), expected none \("
    ):
        aae.AAE(2, epochs=1, **usual).fit(GAPPY)
    with pytest.raises(InputError, match=r"^AAE was fitted with missing='error'; expected missing='mask' to impute"):
        aae.AAE(2, epochs=1, **usual).fit(ROWS).impute(GAPPY)
