"""What comes as a data frame or an AnnData object: names, index, covariates and gaps, in estimators and in what they export."""

from decimal import Decimal
from fractions import Fraction

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.datasets import load_iris

import aae
from aae.errors import InputError

X, Y = load_iris(return_X_y=True)
G = np.random.default_rng(0)
TINY = {"epochs": 1, "hidden_layer_sizes": (8,), "discriminator_layer_sizes": (4,), "random_state": 0}
K = np.array(["a", "b"], dtype=object)[np.arange(150) % 2]
TABLE = pd.DataFrame(
    {"x": X[:, 0], "z": X[:, 1], "cell": np.array(["T", "B", "N"], dtype=object)[Y], "batch": K},
    index=[f"row {k}" for k in range(150)],
)
GAPPY = np.where(X > 6.5, np.nan, X)
HALF = np.where(np.arange(150) % 2, Y, -1)


def cells(rows=X):
    """Rows as an AnnData object with labels and a covariate."""
    obs = pd.DataFrame({"batch": K, "t": np.array(["T", "B", "N"])[Y]}, index=[f"cell {k}" for k in range(150)])
    return anndata.AnnData(rows.copy(), obs=obs, var=pd.DataFrame(index=["g1", "g2", "g3", "g4"]))


@pytest.fixture(scope="module")
def table_model():
    return aae.AAE(2, **TINY).fit(TABLE, covariates="batch")


@pytest.fixture(scope="module")
def cell_model():
    return aae.AAE(2, **TINY).fit(cells(), covariates="batch")


def test_variables_of_anndata_have_names_as_columns_of_a_data_frame_have(cell_model):
    for model in (cell_model, aae.AAE(2, **TINY).fit(cells())):
        assert model.feature_names_in_.tolist() == ["g1", "g2", "g3", "g4"]
        with pytest.raises(InputError, match=r"^X: var_names: found 4 in another order") as error:
            model.transform(cells()[:, ::-1].copy())
        assert "\n" not in str(error.value)
        assert model.transform(cells()[:, ::-1][:, model.feature_names_in_]).shape == (150, 2)
        other = cells()
        other.var_names = ["h1", "h2", "h3", "h4"]
        with pytest.raises(InputError, match=r"^X: var_names: found no 'g1' among them; expected the 4 of fit"):
            model.predict(other)


def test_covariates_and_labels_come_from_obs(cell_model):
    ad = cells()
    np.testing.assert_array_equal(cell_model.score_samples(ad), cell_model.score_samples(ad, covariates="batch"))
    values = cell_model.reconstruct(ad, covariates=ad.obs["batch"])
    np.testing.assert_array_equal(cell_model.reconstruct(ad), values)
    assert not np.array_equal(values, cell_model.reconstruct(ad, covariates="a"))
    assert set(cell_model.predict(ad)) <= {-1, 1}
    assert cell_model.interpolate(ad[:1], ad[1:2], 3).shape == (1, 3, 4)
    new = cells()
    new.obs["batch"] = "of no kind"
    assert cell_model.transform(new).shape == (150, 2)  # which the encoder does not see
    del new.obs["batch"]
    with pytest.raises(InputError, match=r"^covariates is None; the decoder of this model sees batch"):
        cell_model.reconstruct(new)
    labelled = aae.SemiSupervisedAAE(**TINY).fit(ad, "t", validation_data=(ad, "t"))
    assert labelled.score(ad, "t") == labelled.score(ad, ad.obs["t"].to_numpy())
    assert labelled.plot_map(ad, "t") is not None
    supervised = aae.SupervisedAAE(**TINY).fit(ad, "t")
    np.testing.assert_array_equal(supervised.reconstruct(ad, "t"), supervised.reconstruct(ad, ad.obs["t"].to_numpy()))
    with pytest.raises(ValueError, match="requires y to be passed"):
        aae.SupervisedAAE(**TINY).fit(ad, None)
    going_on = aae.AAE(2, validation_fraction=None, **TINY).fit(ad, covariates="batch", validation_data=ad)
    assert "validation_reconstruction" in going_on.history_[0]


def test_rows_keep_their_index(table_model):
    numbers = TABLE[["x", "z"]].mask(TABLE[["x", "z"]] > 6)
    imputer = aae.AAE(2, missing="mask", **TINY).fit(numbers)
    assert numbers.fillna(imputer.impute(numbers)).notna().all(axis=None)
    codes = imputer.set_output(transform="pandas").transform(numbers)
    for made in (
        imputer.inverse_transform(codes),
        imputer.decode(codes),
        table_model.reconstruct(TABLE),
        aae.AAEEmbedding(**TINY).fit(numbers.fillna(0)).inverse_transform(codes),
    ):
        assert made.index.equals(TABLE.index)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        assert imputer.reconstruct(np.asarray(numbers)).index.equals(pd.RangeIndex(150))


def test_rows_of_a_frame_are_walked_between_at_their_own_covariates(table_model):
    walk = table_model.interpolate(TABLE[:2], TABLE[2:4], 3)
    assert walk.batch.tolist() == ["a"] * 3 + ["b"] * 3
    pd.testing.assert_frame_equal(table_model.interpolate(TABLE.iloc[0], TABLE.iloc[2], 3), walk[:3])
    ends = table_model.reconstruct(TABLE[:2])
    np.testing.assert_allclose(walk.x[[0, 3]], ends.x, rtol=1e-5)
    assert set(table_model.interpolate(TABLE[:2], TABLE[2:4], 3, covariates="b").batch) == {"b"}
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        np.testing.assert_array_equal(table_model.transform(TABLE.to_numpy()), table_model.transform(TABLE))
    frame = TABLE[["x", "z"]]
    numbers = aae.AAE(2, **TINY).fit(frame)
    assert numbers.interpolate(frame.iloc[0], frame.iloc[1], 3).shape == (3, 2)


def test_given_covariates_stand_in_for_those_of_the_rows(table_model):
    moved = TABLE.assign(batch="b")
    np.testing.assert_array_equal(table_model.score_samples(TABLE, covariates="b"), table_model.score_samples(moved))
    pd.testing.assert_frame_equal(table_model.reconstruct(TABLE, covariates="b"), table_model.reconstruct(moved))


def test_a_column_that_is_not_there_is_named(table_model):
    unnamed = TABLE.set_axis(range(TABLE.shape[1]), axis=1)
    for use in (table_model.transform, table_model.reconstruct, table_model.score_samples):
        with (
            pytest.raises(InputError, match=r"^X: found no column 'x'; expected those of fit, x, "),
            pytest.warns(UserWarning, match="X does not have valid feature names"),
        ):
            use(unnamed)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            TABLE.iloc[0],
            r"^X has shape \(\d,\); expected \(n_samples, n_features\): one row is a table too, X.iloc\[:1\]$",
        ),
        (None, r"^X is None; expected a data frame or an array, \(n_samples, n_features\)$"),
        ("rows.csv", r"^X is 'rows.csv'; expected a data frame or an array, \(n_samples, n_features\)$"),
    ],
    ids=["a row", "nothing", "a path"],
)
def test_what_is_no_table_is_said_to_be_none(table_model, rows, message):
    for use in (table_model.transform, table_model.score_samples):
        with pytest.raises(InputError, match=message):
            use(rows)


def test_training_goes_on_with_the_same_covariates():
    beside = aae.AAE(2, warm_start=True, **TINY).fit(X, covariates=K)
    for go_on in (beside.fit, beside.partial_fit):
        with pytest.raises(InputError, match=r"^covariates is None; the decoder of this model sees covariate 0"):
            go_on(X)
    with pytest.raises(InputError, match=r"^AAE was fitted without covariates; expected none"):
        aae.AAE(2, warm_start=True, **TINY).fit(X).fit(X, covariates=K)
    inside = aae.AAEClusterer(2, init="random", warm_start=True, **TINY).fit(TABLE, covariates="batch")
    assert inside.fit(TABLE).fit(TABLE, covariates=["batch"]).n_iter_ == 3
    with pytest.raises(
        InputError, match=r"^covariates: found cell; the first fit had the columns batch, expected those"
    ):
        inside.fit(TABLE, covariates="cell")
    assert aae.AAE(2, warm_start=True, **TINY).fit(cells(), covariates="batch").fit(cells()).n_iter_ == 2


@pytest.mark.parametrize("rows", [GAPPY, TABLE[["x", "z", "cell"]].mask(G.uniform(size=(150, 3)) < 0.2)])
@pytest.mark.parametrize("maker", [aae.AAE, aae.SemiSupervisedAAE])
def test_what_is_exported_fills_gaps_as_the_estimator_does(maker, rows, monkeypatch):
    model = maker(missing="mask", **TINY).fit(rows, HALF)
    monkeypatch.setattr("aae.onnx.write_onnx", lambda exported, folder: exported)
    stored = rows if model.columns_ is None else model.columns_.encode(rows, missing=True)
    found = model.export("unused").scaling(torch.from_numpy(stored))
    torch.testing.assert_close(found, model._rows(rows))
    assert model.scaler_.fill is None


@pytest.mark.parametrize("form", [np.asarray, pd.DataFrame])
def test_numbers_that_are_none_are_named_by_column_and_row(form):
    rows = form(X.copy())
    rows = rows.rename(columns="column {}".format) if form is pd.DataFrame else rows
    name, counted = ("'column 2'", "counted") if form is pd.DataFrame else (2, "both counted")
    for value, what in ((np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "-inf")):
        broken = rows.copy()
        if form is pd.DataFrame:
            broken.iloc[5, 2] = value
        else:
            broken[5, 2] = value
        with pytest.raises(InputError) as error:
            aae.AAE(2, **TINY).fit(broken)
        assert str(error.value).startswith(f"X: column {name}: found {what} in row 5 ({counted} from 0), expected ")
        assert ("missing='mask'" in str(error.value)) == bool(np.isnan(value))


def test_clusters_have_the_words_of_the_other_estimators(table_model):
    model = aae.AAEClusterer(2, latent_dim=3, init="random", **TINY).fit(TABLE, covariates="batch")
    assert set(model.predict(model.sample(20, label=1, covariates="a", random_state=0))) <= {0, 1}
    assert model.transform(TABLE).shape == (150, 3)
    assert model.get_feature_names_out().tolist() == ["aaeclusterer0", "aaeclusterer1", "aaeclusterer2"]
    assert not hasattr(model, "cluster_heads_")
    with pytest.raises(AttributeError, match=r"^cluster_heads_ depend on covariates, batch; expected decode"):
        _ = model.cluster_heads_


def test_a_map_names_classes_and_numbers_clusters():
    labelled = aae.AAEEmbedding(**TINY).fit(X, np.array(["T", "B", "N"])[Y])
    assert labelled.predict_proba(X).shape == (150, 3)
    assert set(labelled.predict(X)) <= {"T", "B", "N"}
    assert set(aae.AAEEmbedding(n_clusters=4, **TINY).fit(X).predict(X)) <= {0, 1, 2, 3}
    assert set(aae.AAEEmbedding(n_clusters=1, **TINY).fit(X).predict(X)) == {0}


def test_samples_are_plotted_without_rows(table_model):
    images = aae.AAE(2, image_shape=(2, 2), scaling="minmax", **TINY).fit(X)
    (image,) = images.plot_samples(n=4).axes[0].images
    shown = np.asarray(image.get_array(), float)
    assert shown.max() - shown.min() > 0.1
    assert len(table_model.plot_samples(TABLE, n=5).axes) == 3  # the covariate is given
    assert aae.AAE(2, **TINY).fit(X).plot_samples(n=5) is not None
    with pytest.raises(InputError, match=r"the decoder sees batch; expected rows to take it from"):
        table_model.plot_samples()
    with pytest.raises(InputError, match=r"^found 1 row; expected at least two to go between"):
        images.plot_interpolation(X[:1])


def test_what_is_missing_of_covariates_is_named():
    model = aae.AAE(2, **TINY).fit(TABLE[["x", "z"]], covariates={"q": K, "n": K})
    with pytest.raises(InputError, match=r"^covariates: found q and no n; expected q, n$"):
        model.sample(2, covariates={"q": "a"})
    with pytest.raises(InputError, match=r"^covariates: unknown covariate 'm'"):
        model.sample(2, covariates={"q": "a", "n": "a", "m": "a"})
    assert model.plot_map(TABLE[["x", "z"]]) is not None
    for plot in (model.plot_reconstructions, model.plot_interpolation):
        with pytest.raises(InputError, match=r"^the decoder sees q, n, and the rows have none; expected rows with"):
            plot(TABLE[["x", "z"]])


def test_a_classifier_scores_rows():
    model = aae.SemiSupervisedAAE(**{**TINY, "epochs": 20}).fit(X, HALF)
    far = np.vstack([X, X + 20 * X.std(0)])
    scores = model.score_samples(far)
    assert scores[150:].max() < scores[:150].min()
    model.partial_fit(X[:50], HALF[:50])
    assert model.score_samples(X).shape == (150,)


def test_a_network_that_ignores_the_size_of_a_batch_is_refused_before_training():
    class Fixed(torch.nn.Module):
        def forward(self, rows):
            return torch.zeros(2, 3)

    with pytest.raises(
        InputError, match=r"returned shape \(2, 3\) for a batch of shape \(3, 4\); expected shape \(3, 3\)"
    ):
        aae.AAE(2, encoder=Fixed(), **TINY).fit(X)


def test_objects_that_are_numbers_of_numpy_are_numbers_and_lists_are_refused():
    objects = pd.Series([np.float64(value) for value in X[:, 0]], dtype=object, index=TABLE.index)
    assert aae.AAE(2, **TINY).fit(TABLE[["z"]].assign(x=objects)).columns_ is None
    message = r"^X: column 'x': found values of type list, expected numbers, true and false, or text$"
    with pytest.raises(InputError, match=message):
        aae.AAE(2, **TINY).fit(TABLE.assign(x=[[1, 2]] * 150))


def test_decimals_and_fractions_are_numbers():
    table = pd.DataFrame({"x": [Decimal("1.5"), None] * 75, "y": [Fraction(k, 3) for k in range(150)], "cell": K})
    columns = aae.AAE(2, missing="mask", **TINY).fit(table).columns_
    assert columns.kinds == ("numerical", "numerical", "categorical")


@pytest.mark.parametrize(
    "names", [[900.5, 901.0, 901.5, 902.0], range(4), pd.MultiIndex.from_product([["a", "b"], [1, 2]])]
)
def test_columns_whose_names_are_no_text_are_not_taken_by_place(names):
    table = pd.DataFrame(X, columns=names)
    model = aae.AAE(2, **TINY).fit(table)
    with pytest.raises(InputError, match=r"^X: found the columns .*; expected those of fit in their order, "):
        model.transform(table[table.columns[::-1]])
    assert np.array_equal(model.transform(table), model.transform(pd.DataFrame(X)))  # without names by place


def test_tables_of_arrow_and_records_have_columns_by_name(table_model):
    expected = table_model.transform(TABLE)
    for rows in (pa.Table.from_pandas(TABLE), TABLE.to_records(index=False)):
        assert np.array_equal(table_model.transform(rows), expected)
        again = aae.AAE(2, **TINY).fit(rows, covariates="batch")
        assert np.array_equal(again.transform(rows), expected)


def test_tensors_with_gradients_are_rows_too():
    rows = torch.tensor(X, requires_grad=True)
    model = aae.AAE(2, **TINY).fit(rows)
    np.testing.assert_array_equal(model.transform(rows), model.transform(X))


@pytest.mark.parametrize("covariates", [pd.Index(["a"]), np.array(["a"]), [3], {"q": 1}])
def test_one_covariate_for_all_rows_is_refused_in_training(covariates):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 4)), columns=list("abcd"))
    with pytest.raises(
        InputError, match=r"^covariates: '.*' has 1 values; expected 20, one for each row, or a list of names"
    ):
        aae.AAE(2, epochs=1).fit(frame, covariates=covariates)


def test_frames_of_dask_are_refused_as_they_are_not_computed():
    import dask.dataframe

    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 4)), columns=list("abcd"))
    lazy = dask.dataframe.from_pandas(frame, npartitions=2)
    for use in (aae.AAE(2, epochs=1).fit, aae.AAE(2, epochs=1).fit(frame).transform):
        with pytest.raises(InputError, match=r"^X: found a DataFrame of Dask, expected rows: compute\(\) makes them"):
            use(lazy)
    with pytest.raises(InputError, match=r"rows: found a DataFrame of Dask"):
        aae.train("anomalies", data=lazy)


def test_labels_are_no_text():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 4)), columns=list("abcd"))
    with pytest.raises(InputError, match=r"^y is the text 'a'; expected the labels of the rows"):
        aae.SemiSupervisedAAE(epochs=1).fit(frame, "a")


def test_wide_frames_of_polars_are_looked_at_once(monkeypatch):
    """Polars makes the names of all columns anew at each look at them."""
    looks = []
    names = pl.DataFrame.columns
    frame = pl.DataFrame(np.random.default_rng(0).normal(size=(10, 300)))
    monkeypatch.setattr(pl.DataFrame, "columns", property(lambda self: looks.append(1) or names.fget(self)))
    aae.AAE(2, epochs=1, hidden_layer_sizes=(4,), discriminator_layer_sizes=(4,)).fit(frame)
    assert len(looks) < 60


@pytest.mark.parametrize("library", ["pandas", "arrow"])
def test_a_column_that_occurs_twice_is_named(library):
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = aae.AAE(2, **TINY).fit(frame)
    twice = frame.set_axis(list("aacd"), axis=1)
    given = twice if library == "pandas" else pa.table(list(map(pa.array, X.T)), names=list("aacd"))
    for use in (model.transform, model.score_samples, aae.AAE(2, **TINY).fit):
        with pytest.raises(InputError, match=r"^X: found 2 columns called 'a', expected each name once$"):
            use(given)


MIXED = [[float(a), "ab"[k % 2], float(b)] for k, (a, b) in enumerate(X[:, :2])]


@pytest.mark.parametrize("maker", [aae.AAE, aae.SemiSupervisedAAE, aae.AAEClusterer])
def test_lists_of_rows_with_text_have_the_columns_of_an_array_of_objects(maker):
    labels = [HALF] if maker is aae.SemiSupervisedAAE else []
    kinds = {"columns": {1: "categorical"}}
    fitted = [maker(**kinds, **TINY).fit(rows, *labels) for rows in (MIXED, np.array(MIXED, object))]
    assert [column.kind for column in fitted[0].columns_.columns] == ["numerical", "categorical", "numerical"]
    assert np.array_equal(*(model.encode(MIXED)["style"] for model in fitted))


def test_a_gap_in_a_list_of_rows_is_a_gap():
    model = aae.AAE(2, columns={1: "categorical"}, missing="mask", **TINY).fit(MIXED)
    gappy = [[1.0, float("nan"), 2.0], [float("nan"), "a", 1.0]]
    assert np.isfinite(model.transform(gappy)).all()


def test_tensors_of_bfloat16_are_rows():
    rows = torch.from_numpy(X).bfloat16()
    model = aae.AAE(2, **TINY).fit(rows)
    assert np.array_equal(model.transform(rows), model.transform(rows.float().numpy()))


@pytest.mark.parametrize("use", ["reconstruct", "decode", "interpolate"])
def test_labels_that_the_decoder_does_not_see_are_refused(use):
    model = aae.SemiSupervisedAAE(**TINY).fit(X, HALF)
    given = {"reconstruct": (X, Y), "decode": (model.encode(X), Y), "interpolate": (X[0], X[1], 3, 1)}[use]
    with pytest.raises(
        InputError, match=r"^y: found labels; the decoder of this model sees codes alone, expected none$"
    ):
        getattr(model, use)(*given)


@pytest.mark.parametrize("kind", ["datetime64[D]", "timedelta64[h]", "complex128"])
def test_dates_and_complex_numbers_are_no_rows(kind):
    rows = np.arange(40).reshape(10, 4).astype(kind)
    model = aae.AAE(2, **TINY).fit(X)
    for use in (aae.AAE(2, **TINY).fit, model.transform):
        with pytest.raises(InputError, match=r"X has values of type .*; expected real numbers$"):
            use(rows)
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = aae.AAE(2, **TINY).fit(frame)
    with pytest.raises(InputError, match=r"^X: column 'b' has values of type .*; expected real numbers$"):
        model.transform(frame.assign(b=rows.astype("datetime64[s]" if kind == "datetime64[D]" else kind)[0, 0]))
