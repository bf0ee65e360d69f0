"""ONNX files of runs of every kind give what torch gives, for any number of rows."""

import json
import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import aae
from aae.cli import run as command
from aae.runs.onnx import export
from aae.runs.recipe import read_recipe
from aae.runs.train import train

SMALL = [
    "training.epochs=1",
    "training.batch_size=25",
    "model.encoder.hidden=[8]",
    "model.decoder.hidden=[8]",
    "model.discriminator.hidden=[8]",
]
ALL, CODER, CLASSIFIER = ["encoder", "decoder", "classifier", "score"], ["encoder", "decoder"], ["classifier"]
RUNS = {
    "demo": ("demo", "columns.npz", ['model.style.posterior="gaussian"', "evaluation.contamination=0.1"], ALL),
    "seen": (  # images of bytes, through convolutions
        "figure7a",
        "images",
        ["data.colour=true", "model.encoder.channels=[4]", 'model.encoder.batch_norm="hidden"'],
        CODER,
    ),
    "network": ("table2-nn-100", "digits", [], CLASSIFIER),
    "clusters": ("table3-16-digits", None, ['model.style.posterior="universal"'], ALL[:3]),
    "heads": ("figure11a-digits", None, ['evaluation.contamination="auto"'], ALL),
    "gan": ("table1-mnist-gan", "digits", [], []),
}
SINGLE = {  # of operators that ONNX Runtime does not have in float64
    "elu": ("columns.npz", ['model.encoder.activation="elu"', 'model.decoder.activation="leaky_relu"']),
    "gelu": ("columns.npz", ['model.encoder.activation="gelu"']),
    "counts": ("counts.npz", ["data.columns=count"]),
    "pictures": ("images", ["data.colour=true", "model.encoder.channels=[4]"]),
}
TOLERANCE = 1e-5  # in what the networks see


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run of each kind, as `name`, and its ONNX files, as `name-onnx`."""
    folder, before = tmp_path_factory.mktemp("export"), Path.cwd()
    os.chdir(folder)
    try:
        rng = np.random.default_rng(0)
        for number in range(40):
            file = Path("images", "dark" if number % 2 else "light", f"{number}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 128 * (1 + number % 2), (5, 6, 3), np.uint8)).save(file)
        np.savez("columns.npz", X=rng.normal(300, [1, 20, 500], (60, 3)), y=np.arange(60) % 3)
        np.savez("counts.npz", X=rng.poisson([1, 20, 500], (60, 3)))
        for name, (recipe, data, settings, files) in RUNS.items():
            run = train(read_recipe(recipe, [*SMALL, *settings], data), run=name, device="cpu")
            if files:
                run.model.train()  # of no consequence
                export(run, f"{name}-onnx")
                assert run.model.training
        for name, (data, settings) in SINGLE.items():
            run = train(read_recipe("anomalies", [*SMALL, *settings], data), run=name, device="cpu")
            export(run, f"{name}-onnx")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(autouse=True)
def _there(place, monkeypatch):
    monkeypatch.chdir(place)


def infer(file, **inputs):
    """Run an ONNX file; gives its outputs by name."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def rows_for(run, n):
    """Make rows that look like those of a run."""
    if run.recipe.data.columns == "count":
        return np.random.default_rng(n).poisson([1, 20, 500], (n, 3)).astype(np.float32)
    noise = np.random.default_rng(n).random((n, *run.shape), np.float32)
    return noise if run.shape == (8, 8) else (300 * noise - 20 if run.shape == (3,) else (255 * noise).astype(np.uint8))


def assert_close(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def having(*names):
    return pytest.mark.parametrize("name", [run for run, (*_, files) in RUNS.items() if {*names} <= {*files}])


# --- the same as torch -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7])
@having("encoder")
def test_the_encoder(name, n):
    run = aae.load(name, "cpu")
    rows = rows_for(run, n)
    codes = infer(f"{name}-onnx/encoder.onnx", rows=rows)
    if name == "heads":
        assert_close(codes.pop("embedding"), run.embed(rows))
    expected = run.encode(rows)
    assert codes.keys() == expected.keys()
    for latent in expected:
        assert_close(codes[latent], expected[latent])


@pytest.mark.parametrize("n", [1, 7])
@having("decoder")
def test_the_decoder(name, n):
    run = aae.load(name, "cpu")
    codes = {latent: run.sample_prior(n, n, latent) for latent in run.autoencoder.latents}
    labels = np.arange(n) % 2 if name == "seen" else None
    given = codes if labels is None else {**codes, "true_label": labels}
    rows, expected = infer(f"{name}-onnx/decoder.onnx", **given)["rows"], run.decode(codes, labels)
    if name == "seen":
        assert rows.dtype == np.uint8
        assert rows.shape == (n, 5, 6, 3)
        off = np.abs(rows.astype(int) - expected)  # where rounding meets a half
        assert off.max() <= 1
        assert off.mean() < 0.01
        return
    factor = run.scaling.factor.numpy()
    assert_close(rows * factor, expected * factor)


@pytest.mark.parametrize("n", [1, 7])
@having("classifier")
def test_the_classifier(name, n):
    run = aae.load(name, "cpu")
    rows = rows_for(run, n)
    found = infer(f"{name}-onnx/classifier.onnx", rows=rows)
    assert found.keys() == {"probabilities", "logits"}
    assert_close(found["probabilities"], run.predict_proba(rows))
    assert_close(found["logits"], run.label_logits(rows))


def test_what_the_encoder_and_decoder_do_together_is_what_reconstruct_does():
    run = aae.load("demo", "cpu")
    rows = rows_for(run, 7)
    found = infer("demo-onnx/decoder.onnx", **infer("demo-onnx/encoder.onnx", rows=rows))["rows"]
    np.testing.assert_allclose(found, run.reconstruct(rows), rtol=1e-4)


@having("score")
def test_the_score(name):
    run = aae.load(name, "cpu")
    rows = rows_for(run, 7)
    found = infer(f"{name}-onnx/score.onnx", rows=rows)
    np.testing.assert_allclose(found["score"], run.score_samples(rows), rtol=1e-6)
    np.testing.assert_allclose(found["decision"], run.decision_function(rows), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", SINGLE)
def test_the_score_where_an_operator_is_there_in_float32_alone(name):
    run = aae.load(name, "cpu")
    rows = rows_for(run, 7)
    found = infer(f"{name}-onnx/score.onnx", rows=rows)
    assert found["score"].dtype == np.float64
    np.testing.assert_allclose(found["score"], run.score_samples(rows), rtol=1e-3, atol=1e-4)


def test_a_detector_is_served_with_scaling_and_threshold(tmp_path):
    rows = np.random.default_rng(0).normal(300, [1, 20, 500], (60, 3))
    model = aae.AAE(2, epochs=2, hidden_layer_sizes=(8,), contamination=0.1, random_state=0).fit(rows)
    files = model.export(tmp_path / "onnx")
    assert [file.name for file in files] == ["encoder.onnx", "decoder.onnx", "score.onnx"]
    for some in (rows[:1], rows, rows + np.array([0, 50, 0])):  # training rows and others
        found = infer(files[2], rows=some)
        np.testing.assert_allclose(found["score"], model.score_samples(some), rtol=1e-6)
        np.testing.assert_array_equal(found["decision"] < 0, model.predict(some) == -1)
    program = "import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program, str(files[2])], check=True)


def test_an_estimator_takes_and_gives_rows_in_their_units(tmp_path):
    rows = np.random.default_rng(0).normal(300, [1, 20, 500], (60, 3))
    model = aae.SemiSupervisedAAE(epochs=1, hidden_layer_sizes=(8,), random_state=0).fit(rows, np.arange(60) % 3)
    files = model.export(tmp_path / "onnx")
    assert [file.name for file in files] == ["encoder.onnx", "decoder.onnx", "score.onnx", "classifier.onnx"]
    codes = infer(files[0], rows=rows)
    np.testing.assert_allclose(codes["style"], model.transform(rows), atol=TOLERANCE)
    np.testing.assert_allclose(infer(files[1], **codes)["rows"], model.reconstruct(rows), rtol=1e-4)
    np.testing.assert_allclose(infer(files[3], rows=rows)["probabilities"], model.predict_proba(rows), atol=TOLERANCE)
    score = infer(files[2], rows=rows)
    assert list(score) == ["score"]  # it has no threshold
    np.testing.assert_allclose(score["score"], model.score_samples(rows), atol=1e-6)


# --- the files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [run for run in RUNS if run != "gan"])
def test_only_what_the_run_has_is_written(name):
    assert {file.name for file in Path(f"{name}-onnx").iterdir()} == {f"{part}.onnx" for part in RUNS[name][3]}


CLASSES = {
    "clusters/classifier": [str(k) for k in range(16)],
    "seen/decoder": ["dark", "light"],
    "demo/encoder": ["0", "1", "2"],
}


@pytest.mark.parametrize(("file", "classes"), CLASSES.items(), ids=CLASSES)
def test_a_file_names_its_classes_and_nothing_of_the_machine_that_wrote_it(file, classes):
    path = Path(f"{file.replace('/', '-onnx/')}.onnx")
    meta = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert json.loads(meta.pop("class_names")) == classes
    assert meta == {"recipe": RUNS[path.parts[0].removesuffix("-onnx")][0]}
    assert str(Path(aae.__file__).parent).encode() not in path.read_bytes()


def test_the_command(capfd, tmp_path):
    assert command(["export", "network", "-o", str(tmp_path / "deep/er")]) == 0
    out, err = capfd.readouterr()
    assert out == f"{tmp_path / 'deep/er/classifier.onnx'}\n"
    assert err == ""
    rows = rows_for(aae.load("network", "cpu"), 3)
    first, again = (infer(f"{folder}/classifier.onnx", rows=rows) for folder in ("network-onnx", tmp_path / "deep/er"))
    assert np.array_equal(first["logits"], again["logits"])


# --- bad input ---------------------------------------------------------------------------------------------------------

BAD = {
    "no run": ("export nothing -o new", r"nothing: no such run folder"),
    "no file to write": (
        "export gan -o new",
        r"gan: a GAN has no encoder, decoder or classifier; expected another run",
    ),
    "no target": ("export demo", r"Missing option '-o' / '--output'; see aae export --help"),
    "target exists": ("export demo -o seen", r"seen: already exists; expected a new or an empty folder"),
    "target is a file": ("export demo -o columns.npz", r"columns\.npz: cannot write the folder \(Not a directory\)"),
    "target below a file": (
        "export demo -o columns.npz/new",
        r"new: cannot write the folder \((Not a directory|File exists)\)",
    ),
}


def refused(place, capfd, words, expected):
    """Check that a command ends with status 2 and one line, and writes nothing."""
    before = sorted(place.rglob("*"))
    capfd.readouterr()
    assert command(words.split()) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert re.search(expected, err), err
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(("words", "expected"), BAD.values(), ids=BAD)
def test_bad_input(place, capfd, words, expected):
    refused(place, capfd, words, expected)


@pytest.mark.parametrize("missing", ["onnxscript", "onnx_ir"])
def test_without_the_extra(place, capfd, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    expected = r"new: ONNX needs the extra 'export'; expected: pip install 'adversarial-autoencoder\[export\]'$"
    refused(place, capfd, "export demo -o new", expected)


def test_all_files_or_none_and_the_process_is_left_as_it_was(tmp_path):
    run = aae.load("seen", "cpu")
    run.autoencoder.decoder = aae.MLP(99, [], 1)  # of another width than the codes
    filters, level = list(warnings.filters), logging.getLogger("torch.onnx").level
    with pytest.raises(Exception, match="same reduction dim"):
        export(run, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    assert warnings.filters == filters
    assert logging.getLogger("torch.onnx").level == level
