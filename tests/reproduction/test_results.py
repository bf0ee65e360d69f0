import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from aae import recipes
from aae.errors import InputError
from aae.evaluation.parzen import ParzenEstimate
from aae.reproduction import results
from aae.runs.evaluate import evaluate
from aae.runs.recipe import command, read_recipe
from aae.runs.train import train

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "results").glob("*.json"))
KEYS = {
    "recipe",
    "title",
    "epochs",
    "seeds",
    "split",
    "metrics",
    "paper",
    "data",
    "device",
    "precision",
    "wall_seconds",
    "command",
    "version",
    "torch",
    "date",
}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_result_says_how_it_was_made(path):
    result = json.loads(path.read_text())
    assert set(result) - {"cpu_seconds"} == KEYS  # older ones have no such measurement
    name = result["recipe"]
    if name in recipes.names() and recipes.read(name).data.source != result["data"]:
        name += f".{result['data']}"
    assert path.name == f"{name}.{result['epochs']}ep.{results.hardware(result['device'])}.json"
    for metric in result["metrics"].values():
        assert set(metric) == {"values", "mean", "sd"}
        assert len(metric["values"]) == len(result["seeds"]) == len(result["wall_seconds"])
        assert metric == results.summarize([{"x": value} for value in metric["values"]])["x"]


def test_summary_has_the_mean_and_the_sample_deviation_of_what_every_seed_has():
    summary = results.summarize([{"a": 1.0, "b": 5.0}, {"a": 3.0}])
    assert summary == {"a": {"values": [1.0, 3.0], "mean": 2.0, "sd": pytest.approx(2**0.5)}}
    assert results.summarize([{"a": 4.0}])["a"]["sd"] == 0


@pytest.mark.parametrize(
    ("device", "short"),
    [
        ("AMD EPYC, 2 threads", "cpu2"),
        ("x86_64, 1 threads", "cpu1"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("Intel Xeon 8481C, 1 threads, 2 processes", "cpu1x2"),
        ("NVIDIA H100 80GB HBM3, 2 processes", "h100x2"),
    ],
)
def test_hardware_has_a_short_name(device, short):
    assert results.hardware(device) == short


def test_the_result_of_other_settings_is_not_replaced(tmp_path):
    def trained(*changes):
        recipe = read_recipe("demo", ["training.epochs=1", "model.encoder.hidden=[8]", *changes])
        run = train(recipe, run=tmp_path / str(len(list(tmp_path.iterdir()))), device="cpu")
        return [run], [evaluate(run)]

    wide = trained()
    path = results.record(*wide, tmp_path / "results")
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"demo\.1ep.*: is the result of 'aae train .*'; found '.*dim=3 .*', expected another"
    ):
        results.record(*trained("model.style.dim=3"), tmp_path / "results")
    assert path.read_bytes() == before
    assert results.record(*wide, tmp_path / "results") == path
    ((other,), reports) = trained("training.seed=1")
    other.metadata["device"] = "NVIDIA H100 80GB HBM3"
    with pytest.raises(InputError, match=r"device is NVIDIA H100 80GB HBM3; the first run has .* threads"):
        results.record([*wide[0], other], [*wide[1], *reports], tmp_path / "results")


def estimate(**changes):
    numbers = dict.fromkeys([field.name for field in dataclasses.fields(ParzenEstimate)], 1.0)
    return ParzenEstimate(**{**numbers, "samples": 10, "grid": (1.0,), **changes})


def test_the_likelihood_of_another_run_is_not_replaced(tmp_path):
    runs = []
    for number, changes in enumerate(([], ["training.epochs=2"], ["training.seed=1"])):
        recipe = read_recipe("demo", ["training.epochs=1", "model.encoder.hidden=[8]", *changes])
        runs.append(train(recipe, run=tmp_path / str(number), device="cpu"))
    path = results.record_parzen(runs[0], estimate(), "test", 1.0, tmp_path / "results")
    before = path.read_bytes()
    for other in runs[1:]:
        with pytest.raises(
            InputError, match=r"parzen/demo\.10\..*json: is a result with .*, expected another folder for it"
        ):
            results.record_parzen(other, estimate(), "test", 1.0, tmp_path / "results")
    assert path.read_bytes() == before
    assert results.record_parzen(runs[0], estimate(), "test", 1.0, tmp_path / "results") == path
    (found,) = results.read(tmp_path / "results/parzen", results.ParzenResult)
    assert found["log_likelihood_nats"] == 1


def test_results_tell_the_name_of_a_persons_data_and_not_where_it_is(tmp_path):
    (tmp_path / "my data").mkdir()
    rows = np.random.default_rng(0).random((60, 4), dtype=np.float32)
    np.savez(tmp_path / "my data/own.npz", X=rows, y=np.arange(60) % 2)
    recipe = read_recipe("demo", ["training.epochs=1", "model.encoder.hidden=[8]"], str(tmp_path / "my data/own.npz"))
    run = train(recipe, run=tmp_path / "run", device="cpu")
    path = results.record([run], [evaluate(run)], tmp_path / "results")
    assert path.name.startswith("demo.own.1ep.")
    assert str(tmp_path) not in path.read_text()
    (found,) = results.read(tmp_path / "results")
    assert found["data"] == "own.npz"
    assert "--data own.npz" in found["command"]


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"recipe": 1}', "[" * 10**5])
def test_a_damaged_result_file_is_named(tmp_path, damage):
    (tmp_path / "demo.1ep.cpu1.json").write_text(damage)
    with pytest.raises(InputError, match=r"demo\.1ep\.cpu1\.json: "):
        results.read(tmp_path)


def test_a_file_with_the_name_of_a_recipe_is_not_taken_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = recipes.dump(recipes.read("demo"))
    assert "labels = 50" in text
    Path("demo.toml").write_text(text.replace("labels = 50\n", ""))
    assert command(read_recipe("demo.toml")) == "aae train recipe.toml"


def test_the_command_of_a_recipe_trains_that_recipe():
    given = [
        "training.seed=3",
        "training.reconstruction.learning_rate={ 0 = 0.02 }",
        "data.labels=1000",
        "model.style.dim=4",
    ]
    recipe = read_recipe("table2-mnist-100", given)
    program, verb, name, *words = shlex.split(command(recipe))
    assert (program, verb, name) == ("aae", "train", "table2-mnist-100")
    assert words[::2] == ["--set"] * 4
    assert read_recipe(name, words[1::2]) == recipe
