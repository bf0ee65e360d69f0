"""What identifies a row goes from the input to every output, and a run knows columns by name: the command line, end to end."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_iris

import aae
from aae.cli import run
from aae.errors import InputError

SMALL = (
    "--set training.epochs=1 --set model.encoder.hidden=[8] --set model.decoder.hidden=[8] "
    "--set model.discriminator.hidden=[8] --device cpu"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a table, images, and a run on each."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    frame = load_iris(as_frame=True).frame.rename(columns={"target": "species"})
    frame.insert(1, "plant", [f"{k:03d}" for k in range(150)])
    frame["note"] = "x"
    frame.to_csv(folder / "iris.csv", index=False)
    for k in range(12):
        (folder / "images" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(folder / f"images/{'ab'[k % 2]}/{k}.png")
    before = Path.cwd()
    os.chdir(folder)
    try:
        columns = "--set data.label_column=species --set data.id_column=plant --set data.ignore_columns=note"
        for words in (
            f"train demo --data iris.csv --run runs/iris {columns} {SMALL}",
            f"train demo --data images --run runs/images {SMALL}",
        ):
            assert run(shlex.split(words)) == 0
    finally:
        os.chdir(before)
    return folder


def read(path):
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype=str, sep="\t" if path.suffix == ".tsv" else ",")


@pytest.mark.parametrize("command", ["predict", "encode", "reconstruct"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "npz"])
@pytest.mark.parametrize("kind", ["iris", "images"])
def test_outputs_carry_what_identifies_rows(place, monkeypatch, tmp_path, command, suffix, kind):
    monkeypatch.chdir(place)
    source = "iris.csv" if kind == "iris" else "images"
    output = tmp_path / f"out.{suffix}"
    assert run([command, f"runs/{kind}", source, "-o", str(output), "--device", "cpu"]) == 0
    ids = sorted(f"{'ab'[k % 2]}/{k}.png" for k in range(12)) if kind == "images" else [f"{k:03d}" for k in range(150)]
    name = "file" if kind == "images" else "plant"
    if suffix == "npz":
        with np.load(output) as arrays:
            assert arrays.files[0] == name
            assert arrays[name].tolist() == ids
    else:
        found = read(output)
        assert found.columns[0] == name
        assert found[name].tolist() == ids


def test_an_array_cannot_hold_names_and_it_is_said(place, monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(place)
    assert run(["reconstruct", "runs/images", "images", "-o", str(tmp_path / "x.npy"), "--device", "cpu"]) == 0
    assert "cannot hold what identifies its rows (file); they are in the order of the input" in capfd.readouterr().err


def test_new_rows_in_another_order_without_labels(place, monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(place)
    frame = pd.read_csv("iris.csv", dtype={"plant": str})
    new = frame.drop(columns=["species", "note"])[frame.columns[[4, 3, 2, 1, 0]]].iloc[:5]
    new.to_csv(tmp_path / "new.csv", index=False)
    assert run(["predict", "runs/iris", "iris.csv", "-o", str(tmp_path / "a.csv"), "--device", "cpu"]) == 0
    assert (
        run(["predict", "runs/iris", str(tmp_path / "new.csv"), "-o", str(tmp_path / "b.csv"), "--device", "cpu"]) == 0
    )
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a.csv").iloc[:5], pd.read_csv(tmp_path / "b.csv"))
    assert capfd.readouterr().err == ""


def test_a_run_takes_a_frame_by_name(place):
    trained = aae.load(place / "runs/iris", "cpu")
    frame = pd.read_csv(place / "iris.csv", dtype={"plant": str})
    columns = list(trained.metadata["columns"])
    expected = trained.predict_proba(frame[columns].to_numpy())
    for given in (frame, frame[frame.columns[::-1]], frame[columns].to_numpy().tolist()):
        np.testing.assert_allclose(trained.predict_proba(given), expected, atol=1e-6)
        np.testing.assert_allclose(trained.encode(given)["style"], trained.encode(frame)["style"], atol=1e-6)
        assert trained.reconstruct(given).shape == (150, 4)
    with pytest.raises(InputError, match="found no column 'petal width"):
        trained.predict_proba(frame.drop(columns=columns[-1]))
    with pytest.raises(InputError, match=r"row 3, column 'petal width.*found nan"):
        trained.predict_proba(frame.assign(**{columns[-1]: [1.0] * 3 + [np.nan] * 147}))
    with pytest.raises(InputError, match=r"rows have shape \(4,\); the run expects \('n', 4\)"):
        trained.predict_proba(frame[columns].to_numpy()[0])


def test_a_description_says_what_identifies_rows_and_escapes_names(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("k,a,label\n1,2,[red]x\x1b[31m\n2,3,y\n")
    words = ["data", "info", "t.csv", "--id-column", "k", "--unlabelled", "y", "--ignore-column"]
    assert run([*words, "a"]) == 2
    capfd.readouterr()
    assert run(words[:-1]) == 0
    assert "['[red]x\\x1b[31m']" in capfd.readouterr().out
    assert run([*words[:-1], "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["identifiers"], found["classes"], found["train"]["labelled"]) == ("k", ["[red]x\x1b[31m"], 1)


def test_the_first_line_by_option(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("1,2\n3,4\n5,6\n")
    for option, rows in (("--header", 2), ("--no-header", 3)):
        assert run(["data", "info", "t.csv", option, "--json"]) == 0
        out, err = capfd.readouterr()
        assert (json.loads(out)["train"]["rows"], err) == (rows, "")
    assert run(["data", "info", "t.csv", "--json"]) == 0
    out, err = capfd.readouterr()
    assert err.startswith("aae: t.csv: the first line, 1, 2, is read as a row")
    assert err.count("\n") == 1
    assert json.loads(out)["train"]["rows"] == 3


ENVIRONMENTS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "POSIX": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_names_of_any_script_in_any_locale(tmp_path, monkeypatch, environment):
    text = "länge,breite,art\n" + "".join(f"{k % 7},{k % 5},{['äpfel', '苹果'][k % 2]}\n" for k in range(40))
    (tmp_path / "größe.csv").write_text(text, encoding="utf-8")
    train = f"train demo --data größe.csv --set data.label_column=art --set data.id_column=länge --run läufe/r {SMALL}"
    predict = "predict läufe/r größe.csv -o ä.csv --device cpu"
    if environment == "POSIX":  # file names, beside output
        outside = [train, predict]
    else:
        monkeypatch.chdir(tmp_path)
        assert run(train.split()) == 0
        outside = [predict]
    for line in outside:
        done = subprocess.run(
            [sys.executable, "-m", "aae", *line.split()],
            cwd=tmp_path,
            env={**os.environ, **ENVIRONMENTS[environment]},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
    found = (tmp_path / "ä.csv").read_text(encoding="utf-8").splitlines()
    assert found[0].startswith('"länge","label"')
    assert {line.split(",")[1] for line in found[1:]} <= {'"äpfel"', '"苹果"'}


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_identifiers_called_as_a_column_of_the_codes_are_kept_beside_it(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    frame = load_iris(as_frame=True).frame.rename(columns={"target": "species"})
    frame.insert(0, "style_0", [f"{k:03d}" for k in range(150)])
    frame.to_csv("rows.csv", index=False)
    words = f"train demo --data rows.csv --set data.label_column=species --set data.id_column=style_0 --run r {SMALL}"
    assert run(shlex.split(words)) == 0
    assert run(shlex.split(f"encode r rows.csv -o codes.{suffix} --device cpu")) == 0
    found = dict(np.load("codes.npz")) if suffix == "npz" else read(Path(f"codes.{suffix}"))
    assert list(found["id_style_0"]) == list(frame["style_0"])
    if suffix != "npz":
        assert found["style_0"].astype(float).nunique() > 100  # the code
