"""Runs on tables as they are, from Python and on the command line."""

import anndata
import numpy as np
import pandas as pd
import pytest

import aae
from aae.cli import main
from aae.errors import InputError, InputWarning
from aae.recipes.methods import METHODS
from aae.runs.plot import figures

G = np.random.default_rng(0)
N = 80
SMALL = {
    "epochs": 2,
    "model__encoder__hidden": [8],
    "model__decoder__hidden": [8],
    "model__discriminator__hidden": [8],
}
FRAME = pd.DataFrame(
    {
        "age": np.where(np.arange(N) % 7, G.normal(40, 9, N), np.nan),
        "cell": np.array(["a", "b", None], dtype=object)[np.arange(N) % 3],
        "reads": G.negative_binomial(2, 0.1, N),
        "batch": np.array(["x", "y"], dtype=object)[np.arange(N) % 2],
        "label": np.array(["old", "young"], dtype=object)[np.arange(N) // 40],
    }
)
TOLD = {
    "data__columns": {"reads": "count", "cell": "categorical"},
    "data__covariates": ["batch"],
    "data__missing": "mask",
}


def test_a_run_keeps_what_columns_are(tmp_path, capsys):
    run = aae.train("classify", FRAME, run=tmp_path / "run", **TOLD, **SMALL)
    assert (
        "note: columns: 1 numerical; 1 categorical: cell (2); 1 count: reads; covariates: batch"
        in capsys.readouterr().err
    )
    assert set(run.predict(FRAME)) <= {"old", "young"}
    made = run.reconstruct(FRAME)
    assert list(made.columns) == ["age", "cell", "reads", "batch"]
    assert made.notna().all(axis=None)
    assert run.reconstruct(FRAME[10:14]).index.tolist() == [10, 11, 12, 13]
    walk = run.interpolate(FRAME[:2], FRAME[2:4], 3)
    assert walk.batch.tolist() == ["x"] * 3 + ["y"] * 3
    pd.testing.assert_frame_equal(run.interpolate(FRAME.iloc[0], FRAME.iloc[2], 3), walk[:3])
    drawn = run.sample(4, "old", covariates={"batch": "y"})
    assert set(drawn.batch) == {"y"}
    assert set(run.reconstruct(FRAME, covariates={"batch": "x"}).batch) == {"x"}
    metrics = run.evaluate(FRAME)["metrics"]
    assert np.isfinite(metrics["test_reconstruction"])
    assert [axes.get_title(loc="left") for axes in run.plot_samples(FRAME).axes] == ["age", "cell", "reads"]
    cell = run.plot_reconstructions(FRAME).axes[1]
    assert [text.get_text() for text in cell.get_yticklabels()] == ["a", "b"]
    assert run.plot_interpolation(FRAME).axes[3].get_yticklabels()[0].get_text() in {"x", "y"}  # one of the rows
    assert "samples" in figures([run])
    with pytest.raises(InputError, match="the decoder sees batch; expected rows to take it from"):
        aae.load(run.folder.path).plot_samples()
    with pytest.warns(InputWarning, match="its rows were given from Python"):
        assert list(figures([aae.load(run.folder.path)])) == ["curves"]
    shared = aae.load(run.save(tmp_path / "shared"), "cpu")
    pd.testing.assert_frame_equal(shared.reconstruct(FRAME), made)
    with pytest.raises(InputError, match="covariates: found none; the decoder of this run sees batch"):
        run.sample(1)
    with pytest.raises(InputError, match=r"covariates: column 'batch': found 'z'"):
        run.sample(1, covariates={"batch": "z"})
    with pytest.raises(InputError, match="rows: column 'reads': found -1, expected a count"):
        run.encode(FRAME.assign(reads=-1))
    with pytest.raises(InputError, match="the explorer shows images and numbers"):
        run.explore(FRAME)
    with pytest.raises(InputError, match="method 'vae' takes numbers alone"):
        METHODS["vae"].check_table()


def _ends(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    return ended.value.code


def test_the_command_line_takes_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    FRAME.drop(columns="label").to_csv("t.csv", index=False)
    settings = ["data.columns={reads='count',cell='categorical'}", "data.covariates='batch'", "data.missing='mask'"]
    settings += ["training.epochs=2", "model.encoder.hidden=[8]", "model.decoder.hidden=[8]"]
    assert (
        _ends("train", "anomalies", "--data", "t.csv", "--run", "r", *(w for s in settings for w in ("--set", s))) == 0
    )
    assert _ends("score", "r", "t.csv", "-o", "s.csv") == 0
    assert np.isfinite(pd.read_csv("s.csv").score).all()
    assert _ends("reconstruct", "r", "t.csv", "-o", "rec.csv", "--covariate", "batch=x") == 0
    made = pd.read_csv("rec.csv")
    assert set(made.batch) == {"x"}
    assert set(made.cell) <= {"a", "b"}
    assert _ends("figure", "r") == 0
    assert "r/figures/samples.png" in capsys.readouterr().out
    assert _ends("sample", "r", "-n", "3", "--covariate", "batch=y", "-o", "new.parquet") == 0
    assert set(pd.read_parquet("new.parquet").batch) == {"y"}
    assert _ends("sample", "r", "-n", "3", "--covariate", "batch=z", "-o", "no.csv") == 2
    assert "covariates: column 'batch': found 'z'" in capsys.readouterr().err


def test_anndata_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    obs = FRAME[["batch", "label"]].set_index(np.array([f"c{k}" for k in range(N)]))
    cells = anndata.AnnData(G.negative_binomial(2, 0.2, (N, 6)).astype(np.float32), obs=obs)
    cells.write_h5ad("cells.h5ad")
    settings = ["data.covariates='batch'", "data.label_column='label'", "training.epochs=1"]
    command = ["train", "classify", "--data", "cells.h5ad", "--run", "r", *(w for s in settings for w in ("--set", s))]
    assert _ends(*command) == 0
    run = aae.load("r", "cpu")
    assert set(run.table.inner.kinds) == {"count"}
    assert run.predict(cells).tolist() == run.predict(run.read("cells.h5ad", labels=False).rows).tolist()
    assert _ends("encode", "r", "cells.h5ad", "-o", "none/coded.h5ad") == 2
    assert _ends("encode", "r", "cells.h5ad", "-o", "coded.h5ad") == 0
    assert anndata.read_h5ad("coded.h5ad").obsm["X_aae_style"].shape[0] == N
    again = aae.train("classify", cells, run="again", data__covariates="batch", data__label_column="label", **SMALL)
    assert again.table == run.table
    with pytest.raises(InputError, match="unknown column of obs 'donor'"):
        aae.train("map", cells, run="no", data__covariates="donor", **SMALL)
    cells.var_names = ["g", "g", *cells.var_names[2:]]
    for refused in (lambda: aae.train("map", cells, run="no", **SMALL), lambda: run.encode(cells)):
        with pytest.raises(InputError, match="found 2 variables called 'g', expected each name once"):
            refused()


def test_text_is_read_as_categories_with_a_note(tmp_path):
    with pytest.warns(InputWarning, match=r"read as categories: 'cell' \(2\)"):
        run = aae.train(
            "map", FRAME.assign(age=1.0 * np.arange(N)).dropna()[["age", "cell"]], run=tmp_path / "r", **SMALL
        )
    assert run.table.kinds == ("numerical", "categorical")


def test_settings_of_a_table_are_compared(tmp_path):
    FRAME.drop(columns="label").to_csv(tmp_path / "t.csv", index=False)
    settings = {**SMALL, **TOLD, "data__validation": 0.2, "model__style__dim": "auto", "epochs": 1}
    settings = {key.replace("epochs", "training__epochs"): value for key, value in settings.items()}
    grid = {"training__batch_size": [16, 32]}
    found = aae.sweep("anomalies", tmp_path / "s", data=tmp_path / "t.csv", settings=settings, grid=grid)
    assert [one.failed for one in found.rows] == [[], []]
    assert all(np.isfinite(one.values).all() for one in found.rows)


def cells(n=N, genes=6, *, counts=False):
    values = np.random.default_rng(1).poisson(3, (n, genes)).astype(np.float32)
    obs = pd.DataFrame({"batch": pd.Categorical(np.arange(n) % 3)}, index=[f"c{k}" for k in range(n)])
    var = pd.DataFrame(index=[f"g{k}" for k in range(genes)])
    return anndata.AnnData(values if counts else np.log1p(values), obs=obs, var=var)


def test_numbered_batches_of_anndata_are_categories_as_in_data_frames(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells().write_h5ad("cells.h5ad")
    for name, data in (("file", "cells.h5ad"), ("object", cells())):
        run = aae.train("anomalies", data, run=name, data__covariates="batch", **SMALL)
        assert [(column.kind, column.categories) for column in run.table.outer.columns] == [("categorical", (0, 1, 2))]
        with pytest.raises(InputError, match=r"'batch': found 57 in row 0 .*, expected 0, 1, 2"):
            run.sample(1, covariates={"batch": 57})


def test_a_run_on_plain_anndata_takes_anndata(tmp_path):
    run = aae.train("map", cells(), run=tmp_path / "run", **SMALL)
    codes = run.transform(cells())
    np.testing.assert_allclose(codes, run.transform(cells()[:, ::-1]), rtol=1e-5)  # variables are known by name
    np.testing.assert_allclose(codes, run.transform(cells().to_df()), rtol=1e-5)
    assert run.interpolate(cells()[:2], cells()[2:4], 3).shape == (2, 3, 6)


def test_an_array_has_the_columns_of_the_frame_in_their_order(tmp_path):
    frame = pd.DataFrame(np.random.default_rng(2).normal([0, 100, 5], [1, 30, 2], (N, 3)), columns=["a", "batch", "c"])
    run = aae.train("anomalies", frame, run=tmp_path / "run", data__covariates="batch", **SMALL)
    np.testing.assert_array_equal(run.encode(frame)["style"], run.encode(frame.to_numpy())["style"])
    np.testing.assert_array_equal(run.encode(frame)["style"], run.encode(frame[["c", "batch", "a"]])["style"])
    made = run.reconstruct(frame)
    assert list(made.columns) == ["a", "batch", "c"]
    np.testing.assert_allclose(made.batch, frame.batch, rtol=1e-5)


def test_an_unknown_covariate_is_no_gap(tmp_path):
    frame = FRAME.assign(batch=FRAME.batch.where(np.arange(N) > 4, None))
    with pytest.raises(InputError, match=r"'batch': found a missing value in row 0 .*covariates are to be known"):
        aae.train("classify", frame, run=tmp_path / "run", **TOLD, **SMALL)
