"""The paper's tables and figures in one command."""

import json

import joblib
import pytest

from aae import recipes
from aae.cli import run as command
from aae.errors import InputError, InterruptedTrainingError, TrainingError
from aae.reproduction import reproduce, results
from aae.runs.run import Run
from aae.sweeps import Execution


@pytest.fixture(autouse=True)
def _few_images(monkeypatch):
    monkeypatch.setattr("aae.runs.plot.GRID", 3)
    monkeypatch.setattr("aae.runs.plot.PANEL", 3)
    for module in ("curves", "figure2"):
        monkeypatch.setattr(f"aae.figures.{module}.DPI", 40)


def test_every_number_of_the_paper_has_a_target():
    listed = set(reproduce.names("all"))
    assert {name for name in recipes.names() if recipes.read(name).paper} == {
        name for name in listed if recipes.read(name).paper
    }
    assert listed <= set(recipes.names())


def test_profiles_differ_in_length_alone():
    own = recipes.read("table2-mnist-100")
    full, seeds = reproduce.plan("table2-mnist-100", "full")
    assert (full, seeds) == (own, 10)
    short, seeds = reproduce.plan("table2-mnist-100", "short")
    assert seeds == own.short.seeds
    assert short == own.model_copy(update={"training": own.training.model_copy(update={"epochs": own.short.epochs})})
    assert own.short.epochs < own.training.epochs
    assert reproduce.plan("table2-mnist-100", "short", seeds=7)[1] == 7


@pytest.mark.parametrize("name", reproduce.names("all"))
def test_smoke_runs_are_small_and_on_digits(name):
    recipe, seeds = reproduce.plan(name, "smoke")
    assert (recipe.data.source, recipe.training.epochs, seeds) == ("digits", 2, 1)


def test_smoke_of_table_3_compares_with_the_paper_and_a_second_call_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["reproduce", "table3", "--profile", "smoke", "--run", "runs", "--json", "--record", "results"]
    assert command(words) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["recipe"], row["metric"], row["paper"]) for row in rows] == [
        ("table3-16", "clustering_error_percent", "9.55"),
        ("table3-30", "clustering_error_percent", "4.10"),
        ("table3-30-tuned", "clustering_error_percent", "4.10"),
        ("table3-catgan-20", "clustering_error_percent", "9.70"),
    ]
    assert all(0 <= float(row["ours"]) <= 100 and row["epochs"] == 2 for row in rows)
    assert (tmp_path / "runs/smoke/table3-16/seed-0/figures/clusters.png").exists()
    assert {result["recipe"] for result in results.read("results")} == set(reproduce.names("table3"))
    weights = tmp_path / "runs/smoke/table3-16/seed-0/model.safetensors"
    before = weights.read_bytes()

    def again(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr(reproduce, "evaluate", again)
    assert command(words) == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert weights.read_bytes() == before
    assert "epoch 2/2" not in capsys.readouterr().err


def test_seeds_are_resumed_where_they_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("aae.runs.reference_classifier.STEPS", 20)
    reproduce.reproduce("figure7", "smoke", tmp_path, seeds=2, note=lambda _: None)
    place = tmp_path / "smoke/figure7a"
    (place / "seed-1/model.safetensors").unlink()
    kept = (place / "seed-0/model.safetensors").read_bytes()
    outcome, *_ = reproduce.reproduce("figure7", "smoke", tmp_path, seeds=2, note=lambda _: None)
    assert (place / "seed-0/model.safetensors").read_bytes() == kept
    assert Run.load(place / "seed-1").metadata["epochs"] == 2
    assert len(outcome.metrics["conditional_generation_accuracy_percent"]["values"]) == 2


def test_seeds_can_be_added_and_left_out(tmp_path):
    def trained(seeds):
        outcome, *_ = reproduce.reproduce("figure9", "smoke", tmp_path, seeds=seeds, note=lambda _: None)
        return outcome.metrics["clustering_error_percent"]["values"]

    one = trained(1)
    three = trained(3)
    assert three[:1] == one
    assert trained(2) == three[:2]
    assert trained(1) == one


def test_what_was_measured_on_validation_rows_is_measured_on_test_rows(tmp_path):
    place = tmp_path / "smoke/table3-16"
    run = reproduce.train_seeds(reproduce.plan("table3-16", "smoke")[0], 1, run=place)[0]
    reproduce.evaluate(run, "validation")
    assert reproduce._measured(run) is None
    found = reproduce.evaluate(run)
    assert reproduce._measured(run) == found
    run.folder.evaluation.write_text("{")
    assert reproduce._measured(run) is None


def test_what_has_no_data_is_skipped_and_said(tmp_path, monkeypatch):
    def missing(recipe):
        raise InputError(f"{recipe.data.source}: not here")

    noted = []
    monkeypatch.setattr("aae.reproduction.reproduce.load_data", missing)
    with pytest.raises(InputError, match="mnist: not here"):
        reproduce.reproduce("figure7", "short", tmp_path, note=noted.append)
    assert noted == [
        "figure7a: skipped, mnist: not here",
        "figure7a-independent: skipped, mnist: not here",
        "figure7b: skipped, svhn-extra: not here",
    ]
    rows = reproduce.comparison([reproduce.Outcome(recipes.read("table3-30"), 1, {}, "mnist: not here")])
    assert rows == [("table3-30", "clustering_error_percent", "4.10", "skipped: mnist: not here", 1500, 1)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table4"], "unknown target 'table4'; did you mean 'table"),
        (["table2", "--profile", "long"], "Invalid value for '--profile'"),
        (["table2", "--seeds", "0"], "Invalid value for '--seeds'"),
    ],
)
def test_bad_words(words, message, capsys):
    assert command(["reproduce", *words]) == 2
    assert message in capsys.readouterr().err


def test_workers_train_what_a_target_needs_and_say_what_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "TARGETS", {"two": ("figure2a", "figure4a")})
    dask_like = Execution(jobs=2)
    with joblib.parallel_config("threading"):
        outcomes = reproduce.reproduce("two", "smoke", tmp_path, execution=dask_like, note=lambda _: None)
    assert [outcome.recipe.name for outcome in outcomes] == ["figure2a", "figure4a"]
    assert (tmp_path / "smoke/figure2a/seed-0.log").exists()  # of a worker
    (tmp_path / "smoke/figure2a/seed-0/model.safetensors").unlink()
    (tmp_path / "smoke/figure2a/seed-0/run.json").write_text("{}")
    with (
        joblib.parallel_config("threading"),
        pytest.raises(TrainingError, match=r"figure2a: .*run.json: "),
    ):
        reproduce.reproduce("two", "smoke", tmp_path, execution=dask_like, note=lambda _: None)


def test_a_stop_says_how_to_go_on_in_the_words_of_the_command(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise InterruptedTrainingError("stopped; --resume goes on", 143)

    monkeypatch.setattr(reproduce, "train", stop)
    with pytest.raises(InterruptedTrainingError, match=r"runs: stopped; the same command goes on with it$") as raised:
        reproduce.reproduce("figure9", "smoke", tmp_path / "runs", seeds=1, note=lambda _: None)
    assert raised.value.status == 143
