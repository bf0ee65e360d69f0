"""A sweep that goes on after its folder or its data has changed: one line says so, nothing is mixed, the others are trained."""

import errno
import json
import shutil
import threading
import time

import numpy as np
import optuna
import pytest
from helpers import small_networks

import aae
from aae.cli import run as command
from aae.errors import InputError, InterruptedTrainingError
from aae.figures.sweep import plot_settings
from aae.sweeps import Execution
from aae.sweeps.queue import LOCK_SECONDS
from aae.sweeps.search import EPOCHS, is_behind
from aae.training.run_directory import RunDirectory

TINY = [*small_networks(), "training.epochs=1", "data.validation=20", "data.labels=12"]
GRID = "training.batch_size=10,20"


def write_rows(path, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 60)
    np.savez(path, x=rng.normal(size=(60, 5)) + labels[:, None], y=labels)
    return path


def words(data, *more, settings=TINY):
    return ["sweep", "demo", "--data", str(data), *(word for one in settings for word in ("--set", one)), *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with rows and a sweep, to be copied."""
    folder = tmp_path_factory.mktemp("sweep")
    rows = write_rows(folder / "d.npz")
    aae.sweep("demo", folder / "s", data=rows, settings=TINY, grid=GRID)
    return folder


@pytest.fixture
def sweep(trained, tmp_path):
    shutil.copytree(trained / "s", tmp_path / "s")
    return tmp_path / "s"


def seeds_of(sweep):
    return sorted(sweep.glob("demo/*/seed-*/"))


DAMAGE = [
    ("run.json", "x", "run.json: not valid JSON; expected what a training has left there, or nothing"),
    ("metrics.jsonl", "x", "metrics.jsonl: line 1 is no record of an epoch, a JSON object; expected what a training"),
    ("metrics.jsonl", None, "metrics.jsonl: has no validation_error_percent of epoch 1"),
    (
        "../seed-0.failed.json",
        "[]",
        "seed-0.failed.json: found a list, expected a JSON object; expected what a training",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), DAMAGE, ids=[message for *_, message in DAMAGE])
def test_a_damaged_run_is_a_reason_of_its_setting_and_the_others_are_trained(
    name, content, message, sweep, trained, capsys
):
    damaged, missing = seeds_of(sweep)
    shutil.rmtree(missing)
    if name.startswith(".."):
        (damaged / "model.safetensors").unlink()
    if content is None:
        (damaged / name).unlink()
    else:
        (damaged / name).write_text(content)
    assert command(words(trained / "d.npz", "--grid", GRID, "--run", str(sweep), "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["best"]["folder"] == str(missing.parent)
    assert message in found["settings"][1]["failed"][0]


def test_what_was_trained_to_the_end_has_not_failed(sweep):
    for seed in seeds_of(sweep):
        seed.with_name("seed-0.failed.json").write_text('{"reason": "its process was killed"}')
    assert [row.failed for row in aae.sweep(run=sweep).rows] == [[], []]


STORED = [
    ({"seeds": -3}, "seeds: Input should be greater than or equal to 1"),
    ({"seeds": "2"}, "seeds: Input should be a valid integer"),
    ({"recipes": {}}, "recipes: Dictionary should have at least 1 item"),
    ({"choices": {"training.batch_size": []}}, "choices.training.batch_size: List should have at least 1 item"),
    ({"choices": {"training.batch_size": [10]}}, "choices.training.batch_size.0: Input should be a valid string"),
    ({"metric": None}, "metric: Input should be a valid string"),
    ({"trials": 0}, "trials: Input should be greater than or equal to 1"),
]


@pytest.mark.parametrize(("changed", "message"), STORED, ids=[str(changed) for changed, _ in STORED])
def test_what_a_sweep_is_was_changed_by_hand(changed, message, sweep, trained, capsys):
    path = sweep / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    for more in (["sweep"], words(trained / "d.npz", "--grid", GRID)):
        assert command([*more, "--run", str(sweep)]) == 2
        said = capsys.readouterr().err
        assert f"sweep.json: not the file of a sweep ({message}" in said
        assert said.count("\n") == 1


def test_data_that_has_changed_or_is_gone_is_neither_mixed_with_what_was_trained_nor_a_failure(tmp_path, capsys):
    rows, folder = write_rows(tmp_path / "d.npz"), tmp_path / "s"

    def again():
        return aae.sweep("demo", folder, data=rows, settings=TINY, grid=GRID)

    first = again()
    write_rows(rows, seed=1)
    with pytest.raises(
        InputError, match=r"s: trained on data that has changed since .*; expected the same data, or ano"
    ):
        again()
    other = aae.sweep("demo", tmp_path / "t", data=rows, settings=TINY)  # what was read before is not kept
    assert other.definition.data != first.definition.data
    assert aae.sweep(run=folder).as_json() == first.as_json()  # nothing is trained
    shutil.rmtree(seeds_of(folder)[0])
    with pytest.raises(InputError, match="s: trained on data that has changed since"):
        aae.sweep(run=folder)
    rows.unlink()
    with pytest.raises(InputError, match=r"unknown data set '.*d\.npz'"):
        aae.sweep(run=folder)
    assert not [*folder.glob("demo/*/*.failed.json")]
    write_rows(rows)
    assert aae.sweep(run=folder).as_json() == first.as_json()


def test_seeds_and_results_are_those_of_the_folder_where_they_are_not_given(tmp_path, trained):
    def sweep(**more):
        return aae.sweep("demo", tmp_path / "s", data=trained / "d.npz", settings=TINY, **more)

    assert len(sweep(seeds=np.int64(2)).best.values) == 2
    again = sweep()
    assert len(again.best.values) == 2
    assert repr(again).startswith(f"SweepResult('{tmp_path / 's'}', 1 settings, validation_error_percent: best ")
    assert again.importance == {}


def test_paths_that_are_the_same_file_are_refused(trained, monkeypatch, tmp_path):
    monkeypatch.chdir(trained)
    with pytest.raises(InputError, match=r"grid: data.source has the value .*d.npz.* twice; expected each once"):
        aae.sweep("demo", tmp_path / "s", settings=TINY, grid={"data.source": ["d.npz", trained / "d.npz"]})


def test_trials_whose_values_do_not_fit_together_or_were_tried_before_are_listed(tmp_path, trained, capsys):
    choices = ["model.style.prior.kind=gaussian,swiss-roll", "model.style.dim=2,4"]
    found = aae.sweep("demo", tmp_path / "s", data=trained / "d.npz", settings=TINY, grid=choices, search=6)
    unfitting = [row for row in found.rows if row.failed]
    assert [row.failed for row in unfitting] == [["recipe demo: model.style.dim is 4; a swiss-roll prior expects 2"]]
    said = capsys.readouterr().err
    assert "failed: recipe demo: model.style.dim is 4; a swiss-roll prior expects 2" in said
    assert "as another trial before; its result counts for both" in said
    assert "a swiss-roll prior expects 2" in (found.folder / "settings.csv").read_text()
    with pytest.raises(InputError, match="s: holds another sweep; seeds is 2, that one has 1; expected another folder"):
        aae.sweep(run=found.folder, seeds=2)  # of a search only the trials can grow
    with pytest.raises(InputError, match=r"model\.style\.dim is 6; a swiss-roll prior expects 2"):
        aae.sweep(
            "demo",
            tmp_path / "t",
            data=trained / "d.npz",
            settings=TINY,
            search=2,
            grid=["model.style.prior.kind=gaussian,swiss-roll"],
        )


def test_trials_of_other_lengths_are_compared_by_the_same_epochs():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    for epochs in (2, 4, 6, 8, 10):
        trial = study.ask()
        trial.set_user_attr(EPOCHS, epochs)
        for seed in range(2):
            for epoch in range(1, epochs + 1):
                trial.report(10 - epoch + 0.1 * seed, seed * epochs + epoch)
        study.tell(trial, 10 - epochs)
    late = study.ask()
    late.set_user_attr(EPOCHS, 3)
    for seed in range(2):
        late.report(9.05 + 0.1 * seed, seed * 3 + 1)  # as the others after their first epoch
    assert not is_behind(study, late.number, 3, 1, 1, maximize=False)
    late.report(9.05, 2)
    assert not is_behind(study, late.number, 3, 0, 3, maximize=False)  # four others alone have that epoch


def test_there_are_no_more_workers_than_there_is_work(monkeypatch):
    monkeypatch.setattr("joblib.effective_n_jobs", lambda jobs: 4)  # cores
    assert Execution(jobs=10**6).at_most(3) == Execution(jobs=3)
    assert Execution(jobs=10**6, slurm={}).at_most(0) == Execution(jobs=1, slurm={})
    assert Execution(jobs=-1).at_most(1) == Execution(jobs=1)
    assert Execution(jobs=2).at_most(3) == Execution(jobs=2)
    assert Execution().at_most(3) == Execution()


def test_commands_that_begin_at_once_wait_for_each_other(tmp_path, monkeypatch):
    holder = RunDirectory(tmp_path / "s/.definition").lock()
    holder.__enter__()
    release = threading.Timer(0.2, holder.__exit__, (None, None, None))
    began = time.monotonic()
    release.start()
    with RunDirectory(tmp_path / "s/.definition").lock(LOCK_SECONDS):
        assert time.monotonic() - began >= 0.2
    release.join()
    monkeypatch.setattr("aae.sweeps.queue.LOCK_SECONDS", 0)
    with RunDirectory(tmp_path / "s/.definition").lock(), pytest.raises(InputError, match="in use by process"):
        aae.sweep("demo", tmp_path / "s", settings=TINY)


def test_ctrl_c_while_others_work_says_how_to_go_on(sweep, trained, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    shutil.rmtree(seeds_of(sweep)[0])
    monkeypatch.setattr(Execution, "run", interrupted)
    with pytest.raises(InterruptedTrainingError, match="s: stopped; the same command goes on with it") as raised:
        aae.sweep(run=sweep)
    assert raised.value.status == 130


@pytest.mark.parametrize("writer", ["aae.training.run_directory.write_json", "aae.runs.seeds.run_to_end"])
@pytest.mark.parametrize("search", [None, 2])
def test_a_full_disk_stops_the_sweep_and_no_setting_has_failed(writer, search, trained, tmp_path, monkeypatch):
    def sweep():
        return aae.sweep(
            "demo", tmp_path / "s", data=trained / "d.npz", settings=TINY, grid="training.batch_size=20", search=search
        )

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "file")

    monkeypatch.setattr(writer, full)
    with pytest.raises((OSError, InputError), match="No space left on device"):
        sweep()
    assert not [*tmp_path.glob("s/demo/*/*.failed.json")]
    monkeypatch.undo()
    assert sweep().best is not None


def test_no_trial_is_pruned_after_its_last_epoch(tmp_path, trained, monkeypatch):
    monkeypatch.setattr("aae.sweeps.search.BEFORE_PRUNING", 1)
    found = aae.sweep(
        "demo",
        tmp_path / "s",
        data=trained / "d.npz",
        settings=TINY,
        ranges="training.classification.learning_rate=1e-5:1e-1:log",
        search=4,
        metric="validation_reconstruction",
    )
    assert [row.failed for row in found.rows] == [[]] * len(found.rows)


def test_the_figure_of_a_sweep_has_values_in_their_order_that_do_not_overlap(tmp_path, trained):
    choices = {
        "model.style.prior": [{"kind": "uniform"}, {"kind": "gaussian", "std": 1.0}],
        "training.reconstruction.learning_rate": [1e-4, 1e-2],
    }
    found = aae.sweep("demo", tmp_path / "s", data=trained / "d.npz", settings=TINY, grid=choices)
    panels = {panel.get_title(loc="left").splitlines()[0].split(":")[0]: panel for panel in found.plot().axes}
    assert panels["reconstruction.learning_rate"].get_xscale() == "log"
    texts = [label.get_text() for label in panels["style.prior"].get_xticklabels()]
    assert texts == ["kind = uniform", "kind = gaussian,\nstd = 1.0"]
    figure = plot_settings({"data.source": [f'"/long/path/to/rows-{k}.csv"' for k in range(8)]}, range(8), "error")
    assert figure.axes[0].get_xticklabels()[0].get_text() == "…ath/to/rows-0.csv"
    assert figure.axes[0].get_xticklabels()[0].get_rotation() == 90
