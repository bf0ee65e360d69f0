"""The `aae` command, from training to using, on digits and on data of one's own."""

import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import pytest
from helpers import metrics_of, outcome, small_networks
from PIL import Image
from safetensors.numpy import load_file
from sklearn.datasets import load_iris
from typer.main import get_command

import aae
from aae import data, recipes
from aae.cli import app, run
from aae.cli.output import _file_names
from aae.cli.use import _row_names
from aae.evaluation.metrics import describe
from aae.figures.canvas import mosaic
from aae.runs.recipe import command as command_of
from aae.runs.recipe import read_recipe
from aae.runs.run import Run

SETTINGS = [
    "training.epochs=2",
    "training.checkpoint_every=1",
    *small_networks(),
]
SMALL = ["--device", "cpu", *(word for setting in SETTINGS for word in ("--set", setting))]
RUNS = {
    "demo": ["demo"],
    "plain": ["figure2a-digits"],
    "seen": ["figure7a", "--data", "digits"],
    "informed": ["figure4a", "--data", "digits", "--set", "data.labels=200"],
    "network": ["demo-supervised"],
    "iris": [
        "demo",
        "--data",
        "fleurs 🌸/iris.csv",
        "--set",
        "data.label_column=species",
        "--set",
        "data.labels=all",
        "--set",
        "evaluation.contamination=auto",
    ],
    "shapes": ["demo", "--data", "shapes", "--set", "data.labels=9", "--set", "training.batch_size=10"],
}
SPECIES = ("setosa", "versicolor", "virginica")
SHAPES = ("bar", "cross", "dot")


def write_data():
    """Write flowers with half of their names missing, and images of three shapes, into the current folder."""
    iris = load_iris()
    names = [SPECIES[k] if number % 2 else "" for number, k in enumerate(iris.target)]
    Path("fleurs 🌸").mkdir()
    columns = {f"c{k}": column for k, column in enumerate(iris.data.T)}
    pa_csv.write_csv(pa.table({**columns, "species": names}), "fleurs 🌸/iris.csv")
    rng = np.random.default_rng(0)
    for k, name in enumerate(SHAPES):
        Path("shapes", name).mkdir(parents=True)
        for number in range(20):
            image = rng.integers(0, 60, (6, 7), dtype=np.uint8)
            image[2 * k : 2 * k + 2] += 150
            Image.fromarray(image).save(f"shapes/{name}/{number:02d}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data, and a small run of each kind in `runs`."""
    folder, before = tmp_path_factory.mktemp("cli"), Path.cwd()
    os.chdir(folder)
    try:
        write_data()
        for name, words in RUNS.items():
            assert run(["train", *words, *SMALL, "--run", f"runs/{name}"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def place(trained, monkeypatch):
    monkeypatch.chdir(trained)
    monkeypatch.setattr("aae.runs.reference_classifier.STEPS", 30)
    monkeypatch.setattr("aae.runs.plot.GRID", 5)
    monkeypatch.setattr("aae.runs.plot.PANEL", 3)
    for room in ("curves", "figure2"):
        monkeypatch.setattr(f"aae.figures.{room}.DPI", 60)
    return trained


@pytest.fixture
def command(capfd):
    """Run a command that is expected to succeed; gives what it wrote on stdout."""

    def call(*words):
        capfd.readouterr()
        status = run([str(word) for word in words])
        out, err = capfd.readouterr()
        assert status == 0, err
        return out

    return call


def digits_to_test():
    return data.load("digits").test


def cells(line):
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


# --- help, recipes, data -----------------------------------------------------------------------------------------------


def leaves(group, path=()):
    for name, entry in group.commands.items():
        yield from leaves(entry, (*path, name)) if hasattr(entry, "commands") else [(*path, name)]


@pytest.mark.parametrize("path", list(leaves(get_command(app))), ids=" ".join)
def test_every_command_explains_itself(command, path):
    out = command(*path, "--help")
    assert f"Example: aae {' '.join(path)}" in out
    assert "Usage: aae" in out


def test_help_lists_every_command_and_is_what_an_empty_line_gets(command):
    out = command("--help")
    assert all(f" {name} " in out for name in get_command(app).commands)
    assert run([]) == 0


def test_help_does_not_wait_for_torch():
    code = (
        "import sys, aae.cli; statuses = [aae.cli.run(words) for words in (['--help'], ['train', '--help'])]; "
        "sys.exit(statuses != [0, 0] or 'torch' in sys.modules or 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("words", "status"), [(["--help"], 0), (["trian"], 2)])
def test_the_package_is_the_command(words, status):
    done = subprocess.run([sys.executable, "-m", "aae", *words], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert ("Usage: aae" in done.stdout) == (status == 0)
    assert done.stderr.startswith("aae: No such command 'trian'") == (status == 2)


def test_recipes_are_listed(command):
    lines = command("recipes").splitlines()
    assert [name for name in recipes.names() if not any(line.startswith(f"{name} ") for line in lines)] == []
    listed = json.loads(command("recipes", "--json"))
    assert [entry["name"] for entry in listed] == recipes.names()
    assert all(set(entry) == {"name", "title", "reference", "source", "cost", "paper"} for entry in listed)
    assert {e["name"]: e["paper"] for e in listed}["table2-mnist-100"] == {"test_error_percent": 1.9}


def test_the_list_is_what_the_recipes_say():
    for entry in recipes.overview():
        recipe = recipes.read(entry["name"])
        expected = recipe.model_dump(mode="json", include={"name", "title", "reference", "cost", "paper"})
        assert entry == expected | {"source": recipe.data.source}


@pytest.mark.parametrize("name", ["demo", "generate"])
def test_a_recipe_is_printed_in_full(command, tmp_path, name):
    (tmp_path / "printed.toml").write_text(command("recipes", name))
    assert recipes.read(tmp_path / "printed.toml") == recipes.read(name)
    assert json.loads(command("recipes", name, "--json"))["name"] == name
    assert run(["recipes", "dmeo"]) == 2


def test_the_version_is_printed(command):
    assert command("--version") == f"aae {aae.__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_recipes(shell):
    def complete(line):
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1), "_TYPER_COMPLETE_ARGS": line}
        given = {**os.environ, **words, "_AAE_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        program = [sys.executable, "-c", "from aae.cli import main; main()"]
        return subprocess.run(program, env=given, capture_output=True, text=True, check=False).stdout

    assert "evaluate" in complete("aae eval")
    assert "train" not in complete("aae eval")
    assert "table2-mnist-100" in complete("aae train table2-m")


def test_an_interruption_while_libraries_load_is_one_line():
    program = (
        "import builtins, sys; load = builtins.__import__\n"
        "def interrupted(name, *more):\n    if name == 'typer': raise KeyboardInterrupt\n    return load(name, *more)\n"
        "builtins.__import__ = interrupted; import aae.cli"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "aae: interrupted\n")


def test_data_is_listed_and_described(place, command):
    listed = json.loads(command("data", "list", "--json"))
    svhn = ["svhn", "svhn-extra", "svhn-train", "svhn-10k"]
    assert [entry["name"] for entry in listed] == ["digits", "mnist", "fashion-mnist", *svhn, "tfd", "faces"]
    assert Path(listed[0]["path"]).is_dir()
    assert "handwritten digits, 8x8 grayscale" in command("data", "list")
    facts = json.loads(command("data", "info", "digits", "--json"))
    assert facts["train"] == {"rows": 1438, "labelled": 1438, "type": "float32", "range": [0.0, 1.0]}
    assert (facts["shape"], facts["test"]["rows"], len(facts["classes"])) == ([8, 8], 359, 10)
    facts = json.loads(command("data", "info", "shapes", "--json"))
    assert (facts["shape"], facts["classes"], facts["train"]["type"]) == ([6, 7], list(SHAPES), "uint8")
    assert "rows 60, labelled 60" in command("data", "info", "shapes")
    assert Path(command("data", "fetch", "digits").strip()).is_dir()


# --- train, evaluate, figure -------------------------------------------------------------------------------------------


def test_training_reports_the_last_epoch(place, command):
    out = command("train", *RUNS["plain"], *SMALL, "--run", "fresh/plain")
    *table, path = out.splitlines()
    assert path == "fresh/plain"
    last = [json.loads(line) for line in Path("fresh/plain/metrics.jsonl").read_text().splitlines()][-1]
    assert last["epoch"] == 2
    shown = dict(cells(line) for line in table[1:])
    logged = {name: value for name, value in last.items() if name not in ("epoch", "seconds")}
    assert shown == {describe(name).heading: describe(name).number(value) for name, value in logged.items()}
    same = (Path(folder, "plain/model.safetensors").read_bytes() for folder in ("runs", "fresh"))
    assert len(set(same)) == 1  # equal seeds, equal bits


def test_runs_go_into_a_folder_of_the_recipes_name(place, command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert command("train", "figure2a-digits", *SMALL).splitlines()[-1] == "runs/figure2a-digits"
    assert Run.load("runs/figure2a-digits").recipe.training.epochs == 2


MATCH = {"energy_distance", "sliced_wasserstein", "holes_percent"}
MATCH |= {f"{name}_baseline" for name in MATCH}
CLASSIFIED = {"test_error_percent", "test_nll", "test_ece_percent", "validation_error_percent_epoch_1"}
STYLE = {"knn_accuracy_percent", "test_reconstruction", *MATCH}
METRICS = {
    "demo": STYLE | CLASSIFIED,
    "plain": STYLE,
    "seen": STYLE
    | {
        "style_linear_probe_accuracy_percent",
        "style_linear_probe_chance_percent",
        "conditional_generation_accuracy_percent",
        "reference_classifier_accuracy_percent",
    },
    "informed": STYLE | {"label_placement_percent"},
    "network": CLASSIFIED,
    "iris": STYLE | CLASSIFIED,
    "shapes": STYLE | CLASSIFIED,
}


@pytest.mark.parametrize("name", RUNS)
def test_evaluation_is_one_json_object(place, command, name):
    report = json.loads(command("evaluate", f"runs/{name}", "--json"))
    assert json.loads(Path(f"runs/{name}/evaluation.json").read_text()) == report
    assert (report["epochs"], report["seed"], report["split"]) == (2, 0, "test")
    assert set(report["metrics"]) == METRICS[name]
    assert all(math.isfinite(value) for value in report["metrics"].values())
    printed = command("evaluate", f"runs/{name}").split("\n\n")[0]  # a confusion matrix may follow
    shown = dict(cells(line)[:2] for line in printed.splitlines()[1:])
    assert shown == {describe(key).heading: describe(key).number(value) for key, value in report["metrics"].items()}


def test_the_validation_split_can_be_measured(place, command):
    report = json.loads(command("evaluate", "runs/demo", "--split", "validation", "--json"))
    assert (report["rows"], report["split"]) == (200, "validation")
    last = json.loads(Path("runs/demo/metrics.jsonl").read_text().splitlines()[-1])
    assert report["metrics"]["validation_error_percent"] == pytest.approx(last["validation_error_percent"])


FIGURES = {
    "demo": {"curves", "samples", "style-and-content", "map", "confusion"},
    "plain": {"curves", "codes", "samples", "grid"},
    "seen": {"curves", "samples", "style-and-content", "map"},
    "informed": {"curves", "codes", "samples", "manifold"},
    "network": {"curves", "confusion"},
    "iris": {"curves", "map", "confusion", "samples", "reconstructions"},
    "shapes": {"curves", "samples", "style-and-content", "map", "confusion"},
}


@pytest.mark.parametrize("name", RUNS)
def test_figures_are_images(place, command, name):
    paths = [Path(line) for line in command("figure", f"runs/{name}").splitlines()]
    assert set(paths) == set(Path(f"runs/{name}/figures").iterdir())
    assert {path.name for path in paths} == {f"{figure}.png" for figure in FIGURES[name]}
    for path in paths:
        with Image.open(path) as image:
            assert min(image.size) > 100
            assert len(np.unique(np.asarray(image.convert("L")))) > 10  # something is drawn


def test_figures_go_where_they_are_asked_to(place, command):
    out = command("figure", "runs/network", "-o", "drawn/here")
    assert out == "drawn/here/curves.png\ndrawn/here/confusion.png\n"
    with Image.open("drawn/here/curves.png") as image:
        image.verify()


def test_chosen_plots_are_made(place, command):
    out = command("figure", "runs/demo", "--plot", "interpolation", "--plot", "roc", "-o", "chosen")
    assert out.splitlines() == ["chosen/interpolation.png", "chosen/roc.png"]


def test_a_run_without_its_metrics_is_plotted_without_curves(place, command):
    shutil.copytree("runs/plain", "copies/plain")
    Path("copies/plain/metrics.jsonl").unlink()
    drawn = command("figure", "copies/plain").splitlines()
    assert {Path(line).stem for line in drawn} == FIGURES["plain"] - {"curves"}


@pytest.mark.parametrize("name", RUNS)
def test_the_command_of_a_run_is_its_recipe(place, name):
    facts = json.loads(Path(f"runs/{name}/run.json").read_text())
    assert reread(facts["command"]) == recipes.read(f"runs/{name}/recipe.toml")


def reread(command):
    """Read the recipe that a training command names, with its options."""
    program, verb, name, *words = shlex.split(command)
    assert (program, verb) == ("aae", "train")
    options = list(zip(words[::2], words[1::2], strict=True))
    assert {option for option, _ in options} <= {"--set", "--data", "--seeds"}
    source = next((value for option, value in options if option == "--data"), None)
    return read_recipe(name, [value for option, value in options if option == "--set"], source)


@pytest.mark.parametrize(
    ("name", "settings", "source"),
    [
        ("table2-mnist-100", [], "digits"),
        ("table2-mnist-100", ["data.validation=7"], 'a b/é🌸 "x".csv'),
        ("table2-nn-all", ["data.source=digits"], None),
        ("figure2a", ["model.style.prior.kind=uniform", "model.style.prior.low=-2"], None),
        ("figure2b", ['model.style.prior={kind="gaussian",std=3}'], None),
        ("figure2a", ["model.label={}", "training.generator.learning_rate={0=1e-5,7=0.1}"], None),
        ("figure2c", ["training.elbo.betas=[0.5,0.6]", "model.encoder.hidden=[]", "data.colour=true"], "x.png"),
    ],
)
def test_the_command_of_any_recipe_is_that_recipe(name, settings, source):
    recipe = read_recipe(name, settings, source)
    assert reread(command_of(recipe)) == recipe


# --- using a run -------------------------------------------------------------------------------------------------------


def write_input(path, rows):
    """Write digits in the format of the path's suffix."""
    flat = {f"p{k}": column for k, column in enumerate(rows.reshape(len(rows), -1).T)}
    if path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".npz":
        np.savez(path, X=rows)
    elif path.suffix == ".csv":
        pa_csv.write_csv(pa.table(flat), path)
    else:
        pa_parquet.write_table(pa.table(flat), path)


def read_output(path, name):
    """Read what the command wrote under a name: (n, ...) of an array, (n, columns) of a table."""
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return arrays[name]
    table = pa_csv.read_csv(path) if path.suffix == ".csv" else pa_parquet.read_table(path)
    columns = [c for c in table.column_names if c == name or c.startswith(f"{name}_")]
    values = np.stack([table[c].to_numpy() for c in columns], 1)
    return values[:, 0] if columns == [name] else values


SUFFIXES = [".npy", ".npz", ".csv", ".parquet"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_codes_are_those_of_the_python_api(place, tmp_path, command, suffix):
    rows = digits_to_test().rows[:30]
    write_input(tmp_path / f"rows{suffix}", rows)
    for name in ("plain", "demo"):
        expected = aae.load(f"runs/{name}").encode(rows)
        out = tmp_path / f"{name}{suffix if len(expected) == 1 or suffix != '.npy' else '.npz'}"
        assert command("encode", f"runs/{name}", tmp_path / f"rows{suffix}", "-o", out) == f"{out}\n"
        for latent, codes in expected.items():
            np.testing.assert_allclose(read_output(out, latent), codes, rtol=1e-6, atol=1e-7)
    assert list(expected) == ["label", "style"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_reconstructions_are_those_of_the_python_api(place, tmp_path, command, suffix):
    rows = digits_to_test().rows[:30]
    write_input(tmp_path / f"rows{suffix}", rows)
    command("reconstruct", "runs/plain", tmp_path / f"rows{suffix}", "-o", tmp_path / f"out{suffix}")
    expected = aae.load("runs/plain").reconstruct(rows)
    assert expected.shape == rows.shape
    found = read_output(tmp_path / f"out{suffix}", "rows")
    np.testing.assert_allclose(found.reshape(rows.shape), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("suffix", SUFFIXES[1:])
@pytest.mark.parametrize("name", ["demo", "network"])
def test_predictions_are_class_names_and_probabilities(place, tmp_path, command, suffix, name):
    test = digits_to_test()
    write_input(tmp_path / f"rows{suffix}", test.rows)
    out = tmp_path / f"labels{suffix}"
    command("predict", f"runs/{name}", tmp_path / f"rows{suffix}", "-o", out)
    labels = read_output(out, "label").astype(str)
    assert set(labels) <= set("0123456789")
    probabilities = np.stack([read_output(out, f"probability_{digit}") for digit in "0123456789"], 1)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert "".join(labels) == "".join("0123456789"[k] for k in probabilities.argmax(1))
    np.testing.assert_allclose(probabilities, aae.load(f"runs/{name}").predict_proba(test.rows), rtol=1e-5)
    report = json.loads(command("evaluate", f"runs/{name}", "--json"))
    wrong = 100 * np.mean(labels.astype(int) != test.labels)
    assert report["metrics"]["test_error_percent"] == pytest.approx(wrong)


def test_a_decoder_that_sees_the_label_reconstructs_labelled_rows(place, tmp_path, command):
    test = digits_to_test()
    rows, labels = test.rows[:30], test.labels[:30]
    np.savez(tmp_path / "rows.npz", X=rows, y=labels)
    command("reconstruct", "runs/seen", tmp_path / "rows.npz", "-o", tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), aae.load("runs/seen").reconstruct(rows, labels))


def test_images_in_and_images_out(place, tmp_path, command):
    files = sorted(Path("shapes").rglob("*.png"))
    rows = np.stack([np.asarray(Image.open(file)) for file in files])
    finished = aae.load("runs/shapes")
    command("encode", "runs/shapes", "shapes", "-o", tmp_path / "codes.npz")
    np.testing.assert_array_equal(read_output(tmp_path / "codes.npz", "style"), finished.encode(rows)["style"])
    command("reconstruct", "runs/shapes", "shapes", "-o", tmp_path / "rows.npy")
    reconstructed = np.load(tmp_path / "rows.npy")
    assert (reconstructed.dtype, reconstructed.shape) == (np.uint8, (60, 6, 7))
    np.testing.assert_array_equal(reconstructed, finished.reconstruct(rows))
    command("predict", "runs/shapes", files[0], "-o", tmp_path / "one.csv")
    assert read_output(tmp_path / "one.csv", "label")[0] in SHAPES
    for words in (["reconstruct", "runs/shapes", "shapes"], ["sample", "runs/plain", "-n", "5"]):
        assert command(*words, "-o", tmp_path / "sheet.png") == f"{tmp_path / 'sheet.png'}\n"
        with Image.open(tmp_path / "sheet.png") as sheet:
            assert len(np.unique(np.asarray(sheet.convert("L")))) > 10


def test_images_go_to_a_sheet_beside_their_originals_or_keep_their_names(place, tmp_path, command):
    finished, names = (
        aae.load("runs/shapes"),
        sorted(str(p.relative_to("shapes")) for p in Path("shapes").rglob("*.png")),
    )
    split = finished.read("shapes")
    command("reconstruct", "runs/shapes", "shapes", "-o", tmp_path / "images")
    assert sorted(str(p.relative_to(tmp_path / "images")) for p in (tmp_path / "images").rglob("*.png")) == names
    with Image.open(tmp_path / "images" / str(split.ids[7])) as image:
        np.testing.assert_array_equal(np.asarray(image), finished.reconstruct(split.rows[7:8])[0])
    command(
        "interpolate", "runs/shapes", "shapes/bar", "--to", "shapes/dot", "--steps", 3, "-o", tmp_path / "between.npy"
    )
    between = np.load(tmp_path / "between.npy").reshape(20, 3, 6, 7)
    bars, dots = (finished.read(f"shapes/{name}").rows for name in ("bar", "dot"))
    np.testing.assert_array_equal(
        between[:, [0, 2]], np.stack([finished.reconstruct(bars), finished.reconstruct(dots)], 1)
    )
    command("interpolate", "runs/shapes", "shapes/bar", "-o", tmp_path / "steps")
    assert len(list((tmp_path / "steps").iterdir())) == 19 * 8
    command("interpolate", "runs/shapes", "shapes/bar", "-o", tmp_path / "sheet.png")
    for name in ("walk.gif", "walk.webp"):
        command(
            *("interpolate", "runs/shapes", "shapes/bar", "--to", "shapes/dot", "--steps", 3, "-o", tmp_path / name)
        )
        with Image.open(tmp_path / name) as film:
            assert (film.n_frames, film.info["loop"]) == (4, 0)  # there and back
            for frame, step in enumerate((0, 1, 2, 1)):
                film.seek(frame)
                found = np.asarray(film.convert("RGB"), float)
                wanted = 255 * mosaic(finished.images(between[:, step]), 4, 5)
                opaque = wanted[..., 3] > 0
                assert abs(found - wanted[..., :3])[opaque].mean() < 6
    assert run(["interpolate", "runs/iris", "fleurs 🌸/iris.csv", "-o", str(tmp_path / "walk.gif")]) == 2
    command("sample", "runs/shapes", "-n", 12, "-o", tmp_path / "drawn")
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir())[0] == "00.png"
    assert run(["sample", "runs/shapes", "-o", str(tmp_path / "drawn")]) == 2
    assert run(["sample", "runs/iris", "-o", str(tmp_path / "drawn")]) == 2


def test_rows_are_scored(place, tmp_path, command):
    command("score", "runs/iris", "fleurs 🌸/iris.csv", "-o", tmp_path / "scores.csv")
    finished = aae.load("runs/iris")
    rows = finished.read("fleurs 🌸/iris.csv", labels=False).rows
    np.testing.assert_allclose(read_output(tmp_path / "scores.csv", "score"), finished.score_samples(rows), rtol=1e-5)
    flagged = np.char.lower(read_output(tmp_path / "scores.csv", "anomaly").astype(str)) == "true"
    np.testing.assert_array_equal(flagged, finished.decision_function(rows) < 0)
    command("score", "runs/iris", "fleurs 🌸/iris.csv", "-o", tmp_path / "scores.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), finished.score_samples(rows))
    command("score", "runs/iris", "fleurs 🌸/iris.csv", "--data", "fleurs 🌸/iris.csv", "-o", tmp_path / "scores.npy")
    assert (
        run(["score", "runs/iris", "fleurs 🌸/iris.csv", "--data", "digits", "-o", str(tmp_path / "scores.npy")]) == 2
    )


@pytest.mark.parametrize(("name", "label"), [("demo", "3"), ("seen", "3"), ("informed", "3"), ("shapes", "dot")])
def test_samples_of_one_class(place, tmp_path, command, name, label):
    def draw(file, *words):
        command("sample", f"runs/{name}", "-n", "7", *words, "-o", tmp_path / file)
        return np.load(tmp_path / file)

    finished = aae.load(f"runs/{name}")
    rows = draw("a.npy", "--label", label, "--seed", "5")
    assert (rows.shape, str(rows.dtype)) == ((7, *finished.shape), finished.metadata["rows"])
    np.testing.assert_array_equal(rows, finished.sample(7, finished.class_names.index(label), random_state=5))
    draw("b.npy", "--label", label, "--seed", "5")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    others = [("--label", label, "--seed", "6"), ("--label", finished.class_names[0], "--seed", "5"), ("--seed", "5")]
    assert all((draw("c.npy", *words) != rows).any() for words in others)


def test_samples_of_plain_columns_are_in_the_units_of_the_data(place, tmp_path, command):
    command("sample", "runs/iris", "-n", "50", "--label", "setosa", "-o", tmp_path / "rows.csv")
    table = pa_csv.read_csv(tmp_path / "rows.csv")
    assert table.column_names == list(Run.load("runs/iris").metadata["columns"])
    rows = np.stack([column.to_numpy() for column in table.columns], axis=1)
    low, high = load_iris().data.min(0), load_iris().data.max(0)
    assert rows.shape == (50, 4)
    assert (np.abs(rows - (low + high) / 2) < 2 * (high - low)).all()  # scaled back


# --- own data ----------------------------------------------------------------------------------------------------------


def test_layers_follow_the_data(place):
    shapes = {name: tensor.shape for name, tensor in load_file("runs/iris/model.safetensors").items()}
    assert shapes["model.encoder.layers.0.linear.weight"] == (8, 4)
    assert shapes["model.decoder.layers.0.linear.weight"] == (8, 3 + 6)
    assert shapes["model.decoder.layers.1.linear.weight"] == (4, 8)
    assert shapes["model.latents.label.discriminator.layers.0.linear.weight"] == (8, 3)
    assert shapes["model.latents.style.discriminator.layers.0.linear.weight"] == (8, 6)
    assert aae.load("runs/iris").class_names == SPECIES


def test_names_of_classes_partly_missing(place, tmp_path, command):
    command("predict", "runs/iris", "fleurs 🌸/iris.csv", "-o", tmp_path / "labels.csv")
    table = pa_csv.read_csv(tmp_path / "labels.csv")
    assert table.column_names == ["label", *(f"probability_{name}" for name in SPECIES)]
    assert table.num_rows == 150
    assert set(table["label"].to_pylist()) <= set(SPECIES)


def test_semi_supervised_flowers_are_learnt(place, tmp_path, command):
    words = RUNS["iris"][1:]
    settings = [
        "training.epochs=50",
        "training.checkpoint_every=50",
        "training.batch_size=20",
        "model.encoder.hidden=[50]",
    ]
    settings += [
        "model.encoder.input_noise=0",
        "training.classification.learning_rate=0.01",
        "model.decoder.hidden=[50]",
    ]
    settings += ["model.discriminator.hidden=[20]"]
    command("train", "demo", *words, *(w for s in settings for w in ("--set", s)), "--run", tmp_path / "iris")
    command("predict", tmp_path / "iris", "fleurs 🌸/iris.csv", "-o", tmp_path / "labels.csv")
    found = np.array(pa_csv.read_csv(tmp_path / "labels.csv")["label"].to_pylist())
    truth = np.array(SPECIES)[load_iris().target]
    unlabelled = np.arange(150) % 2 == 0
    assert (found[unlabelled] == truth[unlabelled]).mean() > 0.85


def test_a_handful_of_rows(tmp_path, command):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).random((12, 3), dtype=np.float32))
    folder = tmp_path / "run"
    command("train", "figure2a", "--data", tmp_path / "rows.npy", *SMALL, "--run", folder)
    report = json.loads(command("evaluate", folder, "--json"))
    assert report["rows"] == 2
    assert set(report["metrics"]) == {"test_reconstruction"}  # too few codes to compare with the prior
    plotted = {Path(line).stem for line in command("figure", folder).splitlines()}
    assert plotted == {"curves", "codes", "samples", "reconstructions"}


TASKS = ("classify", "cluster", "map", "anomalies", "generate")


@pytest.mark.parametrize("task", TASKS)
def test_tasks_take_tables_and_images(place, tmp_path, command, task):
    table = ["--data", "fleurs 🌸/iris.csv", "--set", "data.label_column=species"]
    for name, words in {"table": table, "images": ["--data", "shapes"]}.items():
        command("train", task, *words, *SMALL, "--run", tmp_path / name)
        finished = aae.load(tmp_path / name)
        rows = finished.read(words[1], labels=False).rows
        uses = {"classify": "predict", "cluster": "predict", "map": "transform", "anomalies": "score_samples"}
        found = getattr(finished, uses.get(task, "reconstruct"))(rows)
        assert len(found) == len(rows)
        report = json.loads(command("evaluate", tmp_path / name, "--json"))
        assert report["paper"] == {}
        assert "paper" not in command("evaluate", tmp_path / name).splitlines()[0]


def test_few_rows_are_seen_more_often(place, tmp_path, command):
    words = ["train", "anomalies", "--data", "shapes", "--set", "training.min_steps=25", "--run", tmp_path / "run"]
    command(*words)
    assert Run.load(tmp_path / "run").recipe.training.epochs == 25  # 48 rows are one mini-batch
    assert len(metrics_of(tmp_path / "run")) == 25
    before = outcome(tmp_path / "run")
    command(*words, "--resume")
    assert outcome(tmp_path / "run") == before
    assert reread(json.loads((tmp_path / "run/run.json").read_text())["command"]).training.epochs == 25


# --- seeds, records, resume --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeds(trained):
    """Two seeds of the demo in `runs/seeds`, and the second one alone in `alone`."""
    words = [*RUNS["demo"], *SMALL]
    assert run(["train", *words, "--seeds", "2", "--run", str(trained / "seeds")]) == 0
    assert run(["train", *words, "--set", "training.seed=1", "--run", str(trained / "alone")]) == 0
    return trained / "seeds"


def test_each_seed_is_the_run_with_that_seed(place, seeds):
    for folder, single in (("seed-0", "runs/demo"), ("seed-1", "alone")):
        assert (seeds / folder / "model.safetensors").read_bytes() == Path(single, "model.safetensors").read_bytes()
        assert (seeds / folder / "recipe.toml").read_bytes() == Path(single, "recipe.toml").read_bytes()
    both = [(seeds / folder / "model.safetensors").read_bytes() for folder in ("seed-0", "seed-1")]
    assert both[0] != both[1]


def test_a_seed_without_some_of_its_metrics_is_named_beside_the_curves(place, seeds, capfd):
    shutil.copytree(seeds, "copies/seeds")
    metrics = Path("copies/seeds/seed-1/metrics.jsonl")
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(lines[:-1]))
    assert run(["figure", "copies/seeds", "--plot", "history", "-o", "copies"]) == 0
    told = f"seed-1/metrics.jsonl: found {len(lines) - 1} of {len(lines)} epochs; curves are made of what is there"
    assert told in capfd.readouterr().err


def test_training_several_seeds_reports_mean_and_deviation(place, command):
    out = command("train", *RUNS["plain"], *SMALL, "--seeds", "2", "--set", "training.seed=4", "--run", "fresh/seeds")
    header, *table, first, second = out.splitlines()
    assert header.split()[-2:] == ["mean", "std"]
    assert (first, second) == ("fresh/seeds/seed-4", "fresh/seeds/seed-5")
    last = [json.loads(Path(p, "metrics.jsonl").read_text().splitlines()[-1]) for p in (first, second)]
    _, mean, std = cells(next(line for line in table if line.startswith("reconstruction loss")))
    values = [record["reconstruction_loss"] for record in last]
    assert float(mean) == pytest.approx(np.mean(values), rel=1e-3)
    assert float(std) == pytest.approx(np.std(values, ddof=1), rel=0.06)


def test_seeds_are_measured_together_and_recorded(place, seeds, command, tmp_path):
    report = json.loads(command("evaluate", seeds, "--json", "--record", tmp_path / "results"))
    (path,) = (tmp_path / "results").iterdir()
    result = json.loads(path.read_text())
    assert path.name.startswith("demo.2ep.")
    assert result["metrics"] == report["metrics"]
    keys = {"recipe", "epochs", "seeds", "metrics", "paper", "device", "precision", "wall_seconds"}
    assert keys | {"command", "version", "date"} <= set(result)
    assert (result["recipe"], result["epochs"], result["seeds"]) == ("demo", 2, [0, 1])
    assert (result["version"], result["precision"]) == (aae.__version__, "fp32")
    assert len(result["wall_seconds"]) == 2
    assert all(seconds > 0 for seconds in result["cpu_seconds"])
    for name, metric in result["metrics"].items():
        values = [one["metrics"][name] for one in report["seeds"]]
        assert metric == {
            "values": values,
            "mean": pytest.approx(np.mean(values)),
            "sd": pytest.approx(np.std(values, ddof=1)),
        }
    for folder, one in zip(("seed-0", "seed-1"), report["seeds"], strict=True):
        assert json.loads((seeds / folder / "evaluation.json").read_text()) == one
    assert result["command"].endswith(" --seeds 2")
    assert reread(result["command"]) == recipes.read(seeds / "seed-0" / "recipe.toml")
    shown = command("evaluate", seeds).splitlines()
    assert cells(shown[0])[0] == "demo, 2 seed(s), 2 epochs"
    error = next(cells(line) for line in shown if line.startswith("test error, %"))
    assert error[1] == f"{result['metrics']['test_error_percent']['mean']:.2f}"


def test_a_shorter_run_resumed_equals_the_longer_one(place, command, tmp_path):
    words = ["train", *RUNS["demo"], *SMALL, "--run", tmp_path / "run"]
    command(*words, "--set", "training.epochs=1")
    assert len(metrics_of(tmp_path / "run")) == 1
    command(*words, "--resume")
    assert metrics_of(tmp_path / "run") == metrics_of("runs/demo")
    weights = [Path(folder, "model.safetensors").read_bytes() for folder in (tmp_path / "run", "runs/demo")]
    assert weights[0] == weights[1]
    command(*words, "--resume")  # nothing left to do
    assert Path(tmp_path, "run/model.safetensors").read_bytes() == weights[0]


def test_several_seeds_are_resumed(place, seeds, command, tmp_path):
    shutil.copytree(seeds, tmp_path / "seeds")
    Path(tmp_path, "seeds/seed-0/model.safetensors").unlink()  # stopped just before its end
    shutil.rmtree(tmp_path / "seeds/seed-1")  # and not begun
    command("train", *RUNS["demo"], *SMALL, "--seeds", "2", "--resume", "--run", tmp_path / "seeds")
    for folder in ("seed-0", "seed-1"):
        same = [(parent / folder / "model.safetensors").read_bytes() for parent in (seeds, tmp_path / "seeds")]
        assert same[0] == same[1]


def test_training_says_once_how_a_table_is_scaled_and_warns_where_it_is_not(tmp_path, capfd):
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal([0.001, 1e5, 3.0], [1e-4, 1e4, 1.0], (60, 3)), np.ones(60)])
    lines = [f"{','.join(map(repr, row.tolist()))},k{k % 3}" for k, row in enumerate(rows)]
    (tmp_path / "t.csv").write_text("\n".join(["mass,height,flow,version,kind", *lines]), encoding="utf-8")

    def said(*changes, run_folder="run"):
        settings = ["data.label_column=kind", "data.labels=all", "training.batch_size=15", *changes]
        words = ["train", "demo", "--data", tmp_path / "t.csv", *SMALL, "--run", tmp_path / run_folder]
        words += [word for setting in settings for word in ("--set", setting)]
        status = run([str(word) for word in (*words, "--set", "training.labelled_batch_size=15", "--resume")])
        lines = capfd.readouterr().err.splitlines()
        return status, [line for line in lines if line.startswith(("note: scaling", "warning: t.csv: ", "aae: "))]

    whole = "note: scaling: each column to the range 0 to 1; 1 constant in training: version"
    assert said("training.epochs=1") == (0, [whole])
    assert said("training.epochs=2") == (0, [])  # it goes on, and has said so
    status, (note, warning) = said("data.scaling=none", "model.output=linear", run_folder="raw")
    assert (status, note) == (0, "note: scaling: rows are taken as they are; 1 constant in training: version")
    assert re.fullmatch(r"warning: t.csv: scaling 'none' leaves rows that spread by \S+ .*; expected about 1", warning)


def test_a_loss_that_is_not_finite_is_one_line_and_status_1(place, capfd, tmp_path):
    rate = [
        "--set",
        "training.reconstruction.optimizer=sgd",
        "--set",
        "training.reconstruction.learning_rate=1e30",
    ]
    status = run(["train", "figure2a-digits", *SMALL, *rate, "--run", str(tmp_path / "run")])
    out, err = capfd.readouterr()
    assert (status, out) == (1, "")
    assert err.startswith("aae: ")
    assert err.count("\n") == 1
    assert "epoch 1, step" in err


# --- demo --------------------------------------------------------------------------------------------------------------


def test_demo_compares_and_draws_and_replaces_an_earlier_one(command, monkeypatch, tmp_path):
    monkeypatch.setattr("aae.reproduction.demo.read_recipe", lambda name: read_recipe(name, SETTINGS))
    out = command("demo", "--device", "cpu", "--run", tmp_path / "demo")
    assert command("demo", "--device", "cpu", "--run", tmp_path / "demo") == out
    for name, learnt_from in {
        "demo": "50 labels and 1,188 unlabelled rows",
        "demo-supervised": "50 labels alone",
    }.items():
        error = json.loads((tmp_path / "demo" / name / "evaluation.json").read_text())["metrics"]["test_error_percent"]
        line = next(line for line in out.splitlines() if line.startswith(learnt_from))
        assert float(cells(line)[1]) == pytest.approx(error, abs=0.05)
    figures = [line for line in out.splitlines() if line.endswith(".png")]
    assert {Path(path).stem for path in figures} == FIGURES["demo"]
    assert all(Path(path).is_file() for path in figures)


def test_demo_leaves_other_runs_alone(tmp_path, capfd):
    assert run(["train", "demo", *SMALL, "--run", str(tmp_path / "demo")]) == 0
    before = outcome(tmp_path / "demo")
    assert run(["demo", "--run", str(tmp_path)]) == 2
    assert "demo: already exists; expected a new run folder" in capfd.readouterr().err
    assert outcome(tmp_path / "demo") == before


def test_output_that_is_closed_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert run(["data", "info", "digits"]) == 0
    assert run(["data", "info", "mnits"]) == 2


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_in_any_command_is_told_and_leaves_nothing_half_written(
    tmp_path, place, capfd, monkeypatch, name, status
):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    monkeypatch.setattr("aae.files._flush", lambda path: signal.raise_signal(number))
    out = tmp_path / "rows"
    out.mkdir()
    assert run(["sample", "runs/demo", "-n", "2", "-o", str(out / "new.csv")]) == status
    assert capfd.readouterr() == ("", "aae: interrupted\n")
    assert list(out.iterdir()) == []
    assert signal.getsignal(number) is before


def test_a_process_that_leaves_it_to_the_first_is_stopped_at_once(place, capfd, monkeypatch):
    handlers = []
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("aae.cli.program.time.sleep", lambda _: handlers.append(signal.getsignal(signal.SIGTERM)))
    assert run(["evaluate", "runs/none"]) == 2
    assert handlers == [signal.SIG_DFL]  # while it waits, `torchrun` may end it
    monkeypatch.setattr("aae.runs.evaluate.evaluate", lambda *_: signal.raise_signal(signal.SIGTERM))
    capfd.readouterr()
    assert run(["evaluate", "runs/demo"]) == 143
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_recorded_is_not_measured(place, capfd, monkeypatch):
    monkeypatch.setattr("aae.runs.evaluate.evaluate", None)
    monkeypatch.setattr("aae.runs.likelihood.parzen", None)
    for words in (["evaluate", "runs/demo"], ["parzen", "runs/demo"]):
        assert run([*words, "--split", "validation", "--record", "results"]) == 2
        assert capfd.readouterr().err == "aae: results are measured on the test split; found validation\n"
    shutil.copytree("runs/demo", "apart/seed-0")
    shutil.copytree("runs/demo", "apart/seed-2")
    recipe = Path("apart/seed-2/recipe.toml")
    recipe.write_text(recipe.read_text().replace("\nseed = 0", "\nseed = 2"))
    assert run(["evaluate", "apart", "--record", "results"]) == 2
    assert "seed is 2; expected 1, seeds in a row" in capfd.readouterr().err


def test_columns_keep_their_names_and_labels_that_are_not_needed_do_no_harm(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = [f"{rng.normal():.3f},{rng.normal():.3f},{'mn'[k % 2]}" for k in range(80)]
    Path("rows.csv").write_text("a,b,species\n" + "\n".join(lines))
    column = ["--set", "data.label_column=species"]
    command("train", "demo", "--data", "rows.csv", *column, *SMALL, "--run", "run")
    facts = json.loads(command("data", "info", "rows.csv", "--label-column", "species", "--json"))
    assert facts["classes"] == ["m", "n"]
    kinds = json.loads(command("data", "info", "rows.csv", "--json"))  # where the text is no label
    assert (kinds["columns"], kinds["scaling"]) == (
        "2 numerical; 1 categorical: species (2)",
        "each column by its kind",
    )
    for file in ("new.csv", "new.parquet"):
        command("sample", "run", "-n", 3, "-o", file)
        assert pa_csv.read_csv("new.csv").column_names == ["a", "b"]
        command("predict", "run", file, "-o", "labels.csv")
    Path("unknown.csv").write_text("a,b,species\n1,2,?\n3,4,\n")
    command("predict", "run", "unknown.csv", "-o", "labels.csv")
    command("encode", "run", "unknown.csv", "-o", "codes.csv")
    command("reconstruct", "run", "unknown.csv", "-o", "back.csv")
    assert pa_csv.read_csv("back.csv").num_rows == 2


def test_walks_are_named_by_what_identifies_their_ends(place, tmp_path, command):
    rows = load_iris().data[:3]
    (tmp_path / "new.csv").write_text(
        "name,"
        + ",".join(Run.load("runs/iris").metadata["columns"])
        + "\n"
        + "".join(
            f"{name}," + ",".join(map(str, row)) + "\n" for name, row in zip(["p.0", "A/1", "B/1"], rows, strict=True)
        )
    )
    recipe = Path("runs/iris/recipe.toml")
    kept = recipe.read_text()
    recipe.write_text(kept.replace("[data]\n", '[data]\nid_column = "name"\n'))
    try:
        command("interpolate", "runs/iris", tmp_path / "new.csv", "--steps", 2, "-o", tmp_path / "walk.csv")
    finally:
        recipe.write_text(kept)
    assert pa_csv.read_csv(tmp_path / "walk.csv")["step"].to_pylist() == [
        "p.0-A/1-0",
        "p.0-A/1-1",
        "A/1-B/1-0",
        "A/1-B/1-1",
    ]


def test_image_files_of_walks_are_named_by_their_ends(tmp_path):
    (tmp_path / "c").mkdir()
    for k in range(3):
        Image.fromarray(np.full((8, 8), 40 * k, np.uint8)).save(tmp_path / "c" / f"im.{k}.png")
    found = _file_names(data.Split(np.zeros((2, 8, 8)), None, np.array(["im.0-im.1-0", "im.0-im.1-1"]), "step"), 2)
    assert found == ["im.0-im.1-0.png", "im.0-im.1-1.png"]
    assert _row_names(data.read_rows(tmp_path)) == ["c-im.0", "c-im.1", "c-im.2"]
