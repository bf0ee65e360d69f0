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


@pytest.mark.parametrize("form", ["pandas", "nullable", "arrow", "polars", "objects"])
def test_imputing_leaves_what_is_known_as_it_was_type_and_all(form):
    n = 40
    large = np.arange(n, dtype=np.int64) + 2**53 + 1  # which float64 cannot tell apart
    known = pd.DataFrame(
        {
            "large": large,
            "small": np.arange(n, dtype=np.int8),
            "float": np.linspace(0, 1, n, dtype=np.float32),
            "kind": pd.Categorical(["a", "b"] * (n // 2), ["a", "b", "c"]),
            "text": ["x", "y"] * (n // 2),
            "flag": [True, False] * (n // 2),
        }
    )
    if form == "nullable":
        known = known.convert_dtypes()
    frame = known.copy()
    for k, name in enumerate(("float", "kind", "text")):
        frame.loc[frame.index[3 * k : 3 * k + 4], name] = None
    if form == "polars":
        known, frame = (pytest.importorskip("polars").from_pandas(one) for one in (known, frame))
    elif form == "arrow":
        known, frame = (one.convert_dtypes(dtype_backend="pyarrow") for one in (known, frame))
    elif form == "objects":
        known, frame = (one.to_numpy(dtype=object) for one in (known, frame))
    columns = {3: "categorical"} if form == "objects" else "auto"
    model = aae.AAE(2, columns=columns, missing="mask", epochs=1, random_state=0).fit(frame)
    made = model.impute(frame)
    assert type(made) is type(frame)
    if form == "objects":
        assert not pd.isna(pd.DataFrame(made)).any(axis=None)
        assert (made[:, [0, 1, 5]] == known[:, [0, 1, 5]]).all()
        assert (made[12:] == known[12:]).all()
        return
    assert list(made.columns) == list(frame.columns)
    assert [str(type_) for type_ in made.dtypes] == [str(type_) for type_ in frame.dtypes]
    rows = pd.DataFrame({name: made[name].to_list() for name in made.columns})
    expected = pd.DataFrame({name: known[name].to_list() for name in known.columns})
    assert rows.notna().all(axis=None)
    pd.testing.assert_frame_equal(rows[["large", "small", "flag"]], expected[["large", "small", "flag"]])
    pd.testing.assert_frame_equal(rows[12:], expected[12:])


def test_imputing_leaves_a_category_that_training_did_not_have():
    frame = pd.DataFrame({"a": np.linspace(0, 1, 40), "c": ["x", "y"] * 20, "whole": pd.array(range(40), "Int64")})
    model = aae.AAE(2, missing="mask", handle_unknown="unknown", epochs=1, random_state=0).fit(frame)
    new = frame.head(4).assign(c=["new", None, "x", "y"], a=[0.5, None, 1.0, 1.5])
    new.loc[1, "whole"] = pd.NA
    made = model.impute(new)
    assert made.c.to_list()[0] == "new"
    assert made.c.to_list()[1] in ("x", "y")
    assert made.a.to_list()[2:] == [1.0, 1.5]
    assert made.whole.dtype == "float64"  # a mean is no whole number
    assert made.whole.to_list()[2:] == [2, 3]
    floats = np.array([[1e-30, np.nan], [2.0, 3.0]], np.float32)
    filled = aae.AAE(2, missing="mask", epochs=1, random_state=0).fit(np.ones((20, 2)) * np.arange(20)[:, None])
    assert filled.impute(floats).dtype == np.float32
    assert (filled.impute(floats)[[0, 1, 1], [0, 0, 1]] == floats[[0, 1, 1], [0, 0, 1]]).all()
