"""Estimators on tables as they are: kinds of columns, covariates, data frames, AnnData."""

import re
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as ss
from sklearn.base import clone

import aae
from aae.errors import InputError
from aae.estimators.rows import scaled
from aae.estimators.validation import Validation, measure

TINY = {"hidden_layer_sizes": (24,), "discriminator_layer_sizes": (8,), "random_state": 0}
G = np.random.default_rng(0)
N = 150
CELL = np.array(["a", "b", "c"], dtype=object)[np.arange(N) % 3]
MEANS = np.array([2.0, 20.0, 80.0])[np.arange(N) % 3]
FRAME = pd.DataFrame(
    {
        "age": G.normal(40, 9, N),
        "smoker": G.uniform(size=N) < 0.3,
        "cell": CELL,
        "reads": G.negative_binomial(5, 5 / (5 + MEANS)),
        "batch": np.array(["x", "y"], dtype=object)[np.arange(N) % 2],
    }
)
COUNTS = {"reads": "count"}


@pytest.fixture(scope="module")
def model():
    """A model of all kinds with a covariate."""
    return aae.AAE(2, columns=COUNTS, epochs=40, learning_rate=0.003, **TINY).fit(FRAME, covariates="batch")


def test_rows_come_back_as_they_were_given(model):
    assert model.columns_.kinds == ("numerical", "boolean", "categorical", "count", "categorical")
    made = model.reconstruct(FRAME)
    assert list(made.columns) == list(FRAME.columns)
    assert made.batch.tolist() == FRAME.batch.tolist()
    assert (made.cell == FRAME.cell).mean() > 0.8
    assert made.smoker.dtype == bool
    by_cell = made.groupby("cell").reads.mean()
    assert by_cell["a"] < by_cell["b"] < by_cell["c"]
    drawn = model.sample(50, covariates={"batch": "y"}, random_state=0)
    assert set(drawn.batch) == {"y"}
    assert (drawn.reads == drawn.reads.round()).all()
    assert set(drawn.cell) <= {"a", "b", "c"}
    assert len(model.interpolate(FRAME.head(2), FRAME.tail(2), 3, covariates="x")) == 6


def test_the_code_is_the_same_whatever_the_covariate(model):
    np.testing.assert_array_equal(model.transform(FRAME), model.transform(FRAME.assign(batch="x")))
    moved = model.reconstruct(FRAME, covariates={"batch": "x"})
    assert set(moved.batch) == {"x"}
    assert moved.reads[0] == model.reconstruct(FRAME).reads[0]


def test_scores_go_by_the_likelihood(model):
    odd = FRAME.assign(reads=np.where(np.arange(N) < 5, 4000, FRAME.reads))
    assert (model.score_samples(odd)[:5] < model.score_samples(FRAME)[:5] - 0.5).all()


def test_saved_loaded_and_exported(model, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    again = aae.AAE.load(model.save(tmp_path / "saved"))
    pd.testing.assert_frame_equal(*(one.sample(3, covariates="x", random_state=1) for one in (again, model)))
    model.export(tmp_path / "onnx")
    rows = model.columns_.encode(FRAME)
    encoder = ort.InferenceSession(tmp_path / "onnx" / "encoder.onnx")
    (codes,) = encoder.run(None, {"rows": rows})
    np.testing.assert_allclose(codes, model.transform(FRAME), atol=1e-4)
    decoder = ort.InferenceSession(tmp_path / "onnx" / "decoder.onnx")
    (made,) = decoder.run(None, {"style": codes, "covariates": rows[:, -1:]})
    np.testing.assert_allclose(made[:, 3], model.reconstruct(FRAME).reads, rtol=1e-2, atol=1e-2)
    np.testing.assert_array_equal(made[:, -1], rows[:, -1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.sample(2), "covariates is None; the decoder of this model sees batch"),
        (lambda m: m.sample(2, covariates="z"), r"covariates: column 'batch': found 'z' in row 0"),
        (lambda m: m.transform(FRAME.assign(cell="z")), r"X: column 'cell': found 'z' in row 0"),
        (lambda m: m.transform(FRAME.assign(reads=-3)), "X: column 'reads': found -3, expected a count"),
        (lambda m: m.transform(FRAME.assign(batch="z")), r"X: column 'batch': found 'z' in row 0"),
        (lambda m: clone(m).set_params(output="sigmoid").fit(FRAME), "output is 'sigmoid'; columns by kind have"),
        (lambda m: clone(m).fit(FRAME, covariates="donor"), "covariates: unknown column 'donor'"),
        (
            lambda m: aae.AAE(2, epochs=1, **TINY).fit(np.eye(4)).sample(1, covariates="x"),
            "AAE was fitted without",
        ),
    ],
)
def test_what_does_not_fit_gets_one_line(model, call, message):
    with pytest.raises(InputError, match=f"^{message}") as error:
        call(model)
    assert "\n" not in str(error.value)


def test_missing_values_of_every_kind_are_imputed_and_not_counted():
    gaps = FRAME.drop(columns="batch").astype(object).where(G.uniform(size=(N, 4)) > 0.2, None)
    gaps["age"] = gaps["age"].astype(float)
    options = {"columns": COUNTS, "missing": "mask", **TINY}
    model = aae.AAE(2, epochs=20, **options).fit(gaps, validation_data=gaps)
    made = model.impute(gaps)
    assert made.notna().all(axis=None)
    known = gaps.cell.notna()
    assert (made.cell[known] == gaps.cell[known]).all()
    # What is filled into gaps of validation rows does not count: where nothing is known there is nothing to lose.
    rows, observed = model._filled(gaps)
    held = Validation(scaled(model.scaler_, rows), None, observed)
    found = measure(model.model_, held, scores_labels=False)["validation_reconstruction"]
    assert found == pytest.approx(model.history_[-1]["validation_reconstruction"], rel=1e-4)
    nothing = Validation(held.rows, None, np.zeros_like(observed))
    assert measure(model.model_, nothing, scores_labels=False)["validation_reconstruction"] == 0


@pytest.mark.parametrize("maker", [aae.AAEClusterer, aae.AAEEmbedding, aae.SemiSupervisedAAE, aae.SupervisedAAE])
def test_all_estimators_take_tables(maker):
    labels = (FRAME.age > 40).astype(int)
    model = maker(columns=COUNTS, epochs=2, **TINY).fit(FRAME, labels, covariates=["batch"])
    assert list(model.sample(2, covariates={"batch": "x"}).columns) == list(FRAME.columns)
    y = labels if maker is aae.SupervisedAAE else None
    assert model.reconstruct(FRAME, y).shape == FRAME.shape


def test_unknown_categories_can_be_taken_as_none():
    model = aae.AAE(2, columns=COUNTS, handle_unknown="unknown", epochs=1, **TINY).fit(FRAME)
    assert np.isfinite(model.transform(FRAME.assign(cell="z"))).all()


def test_counts_in_arrays_sparse_matrices_and_anndata_with_covariates_beside():
    counts = G.negative_binomial(2, 0.2, (N, 12))
    batch = FRAME["batch"]
    model = aae.AAE(2, columns="count", epochs=2, **TINY).fit(counts, covariates=batch)
    sparse = aae.AAE(2, columns="count", epochs=2, **TINY).fit(ss.csr_matrix(counts), covariates=batch)
    np.testing.assert_allclose(sparse.transform(counts), model.transform(counts), atol=0.2)  # other order of rows
    assert model.sample(3, covariates="x").shape == (3, 12)
    made = model.reconstruct(counts, covariates=batch)
    np.testing.assert_allclose(made.sum(1), counts.sum(1), rtol=1e-3)  # all are counts: the total is known
    with pytest.raises(InputError, match="covariates is None"):
        model.reconstruct(counts)
    obs = FRAME[["cell", "batch"]].set_index(np.array([f"c{k}" for k in range(N)]))
    cells = anndata.AnnData(ss.csr_matrix(counts).astype(np.float32), obs=obs, layers={"more": counts + 1.0})
    model = aae.SemiSupervisedAAE(epochs=2, **TINY).fit(cells, "cell", covariates=["batch"])
    assert set(model.columns_.inner.kinds) == {"count"}
    assert set(model.predict(cells)) <= {"a", "b", "c"}
    cells.obsm["X_aae"] = model.transform(cells)
    other = aae.SemiSupervisedAAE(epochs=1, layer="more", **TINY).fit(cells, "cell")
    assert other.transform(cells).shape == (N, 2)
    with pytest.raises(InputError, match="unknown layer of X 'less'; expected one of: more"):
        aae.AAE(2, epochs=1, layer="less", **TINY).fit(cells)
    cells.var_names = ["g", "g", *cells.var_names[2:]]
    with pytest.raises(InputError, match=r"^X: found 2 variables called 'g', expected each name once"):
        aae.AAE(2, epochs=1, **TINY).fit(cells)


def test_anndata_that_stays_in_its_file_is_read(tmp_path):
    counts = ss.csr_matrix(G.negative_binomial(2, 0.2, (N, 4)).astype(np.float32))
    cells = anndata.AnnData(counts, layers={"more": counts * 2})
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    for layer in (None, "more"):
        model = aae.AAE(2, epochs=1, layer=layer, **TINY).fit(backed)
        np.testing.assert_array_equal(model.transform(backed[:9]), model.transform(cells[:9]))


def test_other_libraries_get_their_own_frames_back():
    frame = pl.from_pandas(FRAME)
    model = aae.AAE(2, epochs=1, **TINY).fit(frame)
    assert isinstance(model.sample(2), pl.DataFrame)
    numbers = aae.AAE(2, epochs=1, **TINY).fit(FRAME[["age", "reads"]])
    assert list(numbers.sample(2).columns) == ["age", "reads"]


def test_the_examples_of_the_guide_run():
    page = (Path(__file__).parents[2] / "docs" / "guide" / "tables.md").read_text(encoding="utf-8")
    first, second = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[:2]
    names = {}
    exec(first.replace("random_state=0", "random_state=0, epochs=5"), names)
    assert names["new"].columns.tolist() == names["frame"].columns.tolist()
    assert f"# {names['model'].columns_.describe()}\n" in first
    exec(second, names)
    assert names["right"].mean() > 0.8


def test_sparse_columns_of_categories_are_coded_as_dense_ones():
    draw = np.random.default_rng(5)
    dense = np.column_stack([draw.choice([1.0, 2.0, 5.0], 60), draw.choice([0.0, 2.0], 60), draw.normal(size=60)])
    kinds = {0: "categorical", 1: "boolean"}
    model = aae.AAE(2, columns=kinds, epochs=1, random_state=0).fit(dense)
    sparse = ss.csr_matrix(dense)
    np.testing.assert_allclose(model.transform(sparse), model.transform(dense), atol=1e-6)
    fitted = aae.AAE(2, columns=kinds, epochs=1, random_state=0).fit(sparse, covariates="0")
    np.testing.assert_array_equal(fitted.reconstruct(sparse)[:, 0], dense[:, 0])  # a covariate stays


def test_covariates_are_categories_in_whatever_they_are_given():
    rows, batch = np.random.default_rng(6).normal(size=(60, 3)), pd.Series(pd.Categorical(np.arange(60) % 3))
    for covariates in (batch, {"batch": batch}, {"batch": batch.values}, batch.rename("batch").to_frame()):
        outer = aae.AAE(2, epochs=1).fit(rows, covariates=covariates).columns_.outer
        assert [(column.kind, column.categories) for column in outer.columns] == [("categorical", (0, 1, 2))]
    model = aae.AAE(2, epochs=1).fit(rows, covariates=batch)  # which has no name
    assert model.columns_.outer.names == ("covariate 0",)
    assert model.reconstruct(rows, covariates=batch).shape == (60, 3)
    frame = pd.DataFrame(rows, columns=list("abc")).assign(b=7.0, dose=1.0)
    model = aae.AAE(2, epochs=1).fit(frame, covariates="dose")
    made = model.reconstruct(frame, covariates={"dose": 5.0})  # which never varied in training
    np.testing.assert_allclose(made[["b", "dose"]], np.tile([7, 5], (60, 1)), rtol=1e-6)


def test_variables_of_anndata_have_kinds_by_name_and_gaps_filled():
    counts = anndata.AnnData(np.random.default_rng(7).poisson(3, (60, 4)).astype(np.float32))
    counts.var_names = [f"g{k}" for k in range(4)]
    for columns in ({"g0": "numerical"}, {0: "numerical"}):
        found = aae.AAE(2, epochs=1, columns=columns).fit(counts).columns_
        assert found.kinds == ("numerical", "count", "count", "count")
    with pytest.raises(InputError, match=r"columns: unknown variable 'g9'; .*'g"):
        aae.AAE(2, epochs=1, columns={"g9": "numerical"}).fit(counts)
    gaps = counts.copy()
    gaps.X = np.log1p(gaps.X)
    gaps.X[::5, 1] = np.nan
    made = aae.AAE(2, epochs=1, missing="mask", random_state=0).fit(gaps).impute(gaps)
    known = ~np.isnan(gaps.X)
    np.testing.assert_array_equal(made[known], gaps.X[known])
    assert np.isfinite(made).all()
