import json
import shlex
from pathlib import Path

import pytest

from aae import recipes
from aae.errors import InputError
from aae.reproduction import results
from aae.runs.evaluate import evaluate
from aae.runs.train import command, read_recipe, train

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
    assert set(result) == KEYS
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
