"""Sweeps over all settings, by one worker or many, stopped and taken up again, here or on a cluster."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import small_networks

import aae
from aae.cli import run as command
from aae.errors import InputError
from aae.runs import seeds
from aae.sweeps import Execution
from aae.sweeps import queue as sweeps
from aae.sweeps.search import open_study
from aae.sweeps.space import Range, choices_from, grid
from aae.training.checkpoints import checkpoint_places
from aae.training.run_directory import LOCK, RunDirectory

TINY = [*small_networks(), "training.epochs=1"]
GRID = ["training.batch_size=50,200", "training.classification.learning_rate=0.001,0.1"]


def words(*more):
    return ["sweep", "demo", *(word for one in TINY for word in ("--set", one)), *more]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "sweep"
    return aae.sweep("demo", folder, grid=GRID, seeds=2, settings=TINY)


def test_a_grid_trains_all_settings_with_all_seeds_and_the_best_comes_first(finished):
    assert finished.definition.metric == "validation_error_percent"
    assert len(finished.rows) == 4
    assert all(len(row.values) == 2 and not row.failed for row in finished.rows)
    means = [row.mean for row in finished.rows]
    assert means == sorted(means)
    assert finished.best.settings["training.classification.learning_rate"] == "0.1"
    assert finished.importance["training.classification.learning_rate"] > 0.3
    assert sum(finished.importance.values()) <= 1 + 1e-9


def test_the_runs_of_a_sweep_are_those_of_their_recipe(finished, tmp_path):
    recipe = finished.best_recipe()
    one = aae.train(recipe, run=tmp_path / "alone")
    assert [one.folder.read_metrics()[-1]["validation_error_percent"]] == finished.best.values[:1]
    assert aae.recipes.read(finished.folder / "best.toml") == recipe
    assert finished.command().startswith("aae train demo --set ")


def test_the_best_setting_of_a_recipe_of_ones_own_is_trained_from_its_file(tmp_path):
    (tmp_path / "own.toml").write_text('extends = "demo"\ntitle = "mine"\n')
    found = aae.sweep(tmp_path / "own.toml", tmp_path / "sweep", grid=["training.batch_size=50"], settings=TINY)
    assert found.command() == f"aae train {tmp_path / 'sweep' / 'best.toml'}"
    assert aae.recipes.read(tmp_path / "sweep" / "best.toml") == found.best_recipe()


def test_a_sweep_leaves_a_table_and_a_figure(finished):
    table = (finished.folder / "settings.csv").read_text().splitlines()
    assert len(table) == 5
    assert table[0].startswith(
        "recipe,training.batch_size,training.classification.learning_rate,validation_error_percent"
    )
    assert (finished.folder / "settings.png").stat().st_size > 5000
    assert len(finished.plot().axes) == 2


def test_a_second_call_trains_nothing_and_more_seeds_train_those_alone(finished, monkeypatch, tmp_path):
    trained = []
    before = seeds.run_to_end

    def noted(jobs, title, *more, **others):
        trained.append(title)
        return before(jobs, title, *more, **others)

    monkeypatch.setattr(seeds, "run_to_end", noted)
    monkeypatch.chdir(tmp_path)
    again = aae.sweep(run=finished.folder)
    assert again.as_json() == finished.as_json()
    assert trained == []
    assert len(aae.sweep(run=finished.folder, seeds=3).best.values) == 3
    assert trained == ["demo seed 2"] * 4
    assert aae.sweep("demo", finished.folder, grid=GRID, seeds=3, settings=TINY).definition.seeds == 3
    with pytest.raises(InputError, match="holds another sweep; seeds is 1, that one has 3"):
        aae.sweep(run=finished.folder, seeds=1)
    assert trained == ["demo seed 2"] * 4


def test_the_command_prints_the_table_and_json(finished, capsys, monkeypatch):
    monkeypatch.chdir(finished.folder.parent)
    assert command(["sweep", "--run", "sweep"]) == 0
    printed = capsys.readouterr().out
    assert "what mattered" in printed
    assert "best: sweep/demo/" in printed
    assert command(["sweep", "--run", "sweep", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"]["settings"] == finished.best.settings


def test_several_recipes_are_compared(tmp_path):
    found = aae.sweep(["demo", "figure2a"], tmp_path / "s", settings=[*TINY, "data.validation=100"], data="digits")
    assert found.definition.keys == ["recipe"]
    assert found.definition.metric == "validation_reconstruction"  # which both have
    assert {row.recipe for row in found.rows} == {"demo", "figure2a"}


def test_what_fails_is_written_down_and_the_others_go_on(tmp_path, capsys):
    more = [
        "--grid",
        "training.reconstruction.learning_rate=0.001,1e30",
        "--set",
        "training.epochs=2",
        "--run",
        str(tmp_path / "s"),
    ]
    assert command(words(*more, "--json")) == 0
    good, bad = json.loads(capsys.readouterr().out)["settings"]
    assert good["failed"] == []
    assert bad["values"] == []
    assert "not finite" in bad["failed"][0] or "is inf" in bad["failed"][0] or "is nan" in bad["failed"][0]
    assert command(words("--set", "training.reconstruction.learning_rate=1e30", "--run", str(tmp_path / "t"))) == 1
    assert "no setting was trained to the end; " in capsys.readouterr().err


def test_trainings_that_validation_rows_end_and_those_that_go_by_steps_are_finished(tmp_path):
    early = [*TINY, "training.epochs=9", "training.patience=1", "training.tolerance=1000"]
    found = aae.sweep("demo", tmp_path / "early", settings=early)
    run = RunDirectory(found.best.folder / "seed-0")
    best = run.read_metadata()["best_epoch"]
    assert len(run.read_metrics()) < 9
    assert found.best.values == [run.read_metrics()[best - 1]["validation_error_percent"]]
    by_steps = [*TINY, "training.min_steps=60"]
    found = aae.sweep(
        "demo", tmp_path / "steps", grid={"training.batch_size": [50]}, search=1, seeds=2, settings=by_steps
    )
    assert len(found.best.values) == 2
    (trial,) = open_study(found.definition, found.folder).get_trials()
    assert list(trial.intermediate_values) == [1, 2, 3, 4, 5, 6]  # three epochs of 24 steps, for each seed


def test_lack_of_memory_is_a_reason_too(tmp_path, monkeypatch):
    def hungry(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(seeds, "run_to_end", hungry)
    found = aae.sweep("demo", tmp_path / "s", settings=TINY)
    assert found.best is None
    assert found.rows[0].failed[0].startswith("out of memory (")
    monkeypatch.undo()
    assert aae.sweep("demo", tmp_path / "s", settings=TINY).best is None
    assert aae.sweep("demo", tmp_path / "s", settings=TINY, retry=True).best is not None


BAD = [
    (["--grid", "training.batchsize=1,2"], "recipe demo: unknown key 'training.batchsize'; did you mean 'batch_size'?"),
    (["--grid", "training.batch_size=5,many"], "recipe demo: training.batch_size is 'many'; expected a valid integer"),
    (["--grid", "training.batch_size="], "grid: training.batch_size has no value; expected at least one"),
    (["--grid", "training.batch_size"], "grid 'training.batch_size': expected section.key=..."),
    (["--grid", "training.batch_size=5,5"], "grid: training.batch_size has the value 5 twice; expected each once"),
    (["--grid", "training.batch_size=50,,100"], "training.batch_size=50,,100: found nothing between two commas"),
    (
        ["--grid", "training.batch_size=50\ntraining.epochs=5"],
        "batch_size is '50\\ntraining.epochs=5'; expected a valid",
    ),
    (["--grid", "name=a,b"], "name cannot be varied: it changes no training; expected a key of data, model, training"),
    (
        ["--set", "name=Best.toml"],
        "a recipe has the name 'Best.toml', as a file of the sweep has; expected another name",
    ),
    (["--set", "name=a/b"], "recipe demo: name is 'a/b'; expected a name of one file"),
    (
        ["--search", "2", "--range", "training.batch_size=5.0:10"],
        "training.batch_size is 7.5; expected a valid integer",
    ),
    (["--grid", "training.seed=1,2"], "training.seed cannot be varied; expected a number of seeds"),
    (["--metric", "validation_nmi"], "unknown metric of demo 'validation_nmi'; "),
    (
        ["--metric", "test_error_percent"],
        "unknown metric of demo 'test_error_percent'; did you mean 'validation_error_percent'?",
    ),
    (
        ["--set", "data.validation=0"],
        "recipe demo: has no metrics of validation rows; expected data.validation larger than 0",
    ),
    (["--range", "training.batch_size=5:50"], "range training.batch_size: a grid has values; expected a search"),
    (["--search", "3"], "a search without anything to vary; expected choices or ranges"),
    (["--search", "3", "--range", "training.batch_size=50:5"], "range training.batch_size=50:5: expected LOW:HIGH"),
    (
        ["--search", "3", "--range", "model.style.dim=0:5"],
        "recipe demo: model.style.dim is 0; expected 'auto' or a value greater",
    ),
    (["--search", "3", "--range", "model.encoder.dropout=0:.5:log"], "a logarithmic scale expects more than 0"),
    (
        ["--grid", "training.batch_size=50,50.0"],
        "training.batch_size=50 and training.batch_size=50.0 make the same recipe",
    ),
    (["--grid", "data.source=digits,/nope/x.csv"], "unknown data set '/nope/x.csv'"),
    (["--search", "2", "--grid", "data.source=digits,/nope/x.csv"], "unknown data set '/nope/x.csv'"),
    (["--grid", "data.labels=50,1000000"], "data.labels: found 1000000"),
    (
        ["--set", "training.batch_size=9", "--grid", "training.batch_size=50,99"],
        "training.batch_size is both set and varied; expected one or the other",
    ),
    (["--data", ""], "--data is ''; expected a value, as of a variable that is set"),
    (["--jobs", "0"], "jobs is 0; expected 1 or more, or -1"),
    (["--slurm"], "slurm: Could not detect"),
    (["--slurm-set", "timeout_min=5"], "--slurm-set timeout_min: nothing is sent to Slurm; expected --slurm too"),
    (["--dask", "tcp://127.0.0.1:9", "--slurm"], "found both a Dask scheduler and Slurm; expected one of them"),
]


@pytest.mark.parametrize(("more", "message"), BAD, ids=[" ".join(more) for more, _ in BAD])
def test_bad_input_is_one_line_before_anything_is_trained(more, message, tmp_path, capsys):
    assert command(words("--run", str(tmp_path / "s"), *more)) == 2
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1
    assert message in printed[0]
    assert not (tmp_path / "s").exists()


def test_a_folder_belongs_to_one_sweep(finished, tmp_path, capsys):
    assert command(words("--run", str(finished.folder), "--grid", "training.batch_size=50")) == 2
    assert "grid training.batch_size is 50, that one has 50,200; expected another folder" in capsys.readouterr().err
    assert command(words("--run", str(finished.folder), "--set", "training.epochs=2", "--grid", GRID[0])) == 2
    assert "holds another sweep; training.epochs of demo is 2, that one has 1; expected" in capsys.readouterr().err
    assert command(["sweep", "--run", str(tmp_path / "none")]) == 2
    assert "no sweep to go on with" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    assert command(words("--run", str(tmp_path / "full"))) == 2
    assert "already exists and holds no sweep" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert command(words("--run", str(tmp_path / "file"))) == 2
    assert "file: already exists and holds no sweep; expected a new folder" in capsys.readouterr().err
    (tmp_path / "full/notes.txt").rename(tmp_path / "full/search.journal")
    assert command(words("--run", str(tmp_path / "full"))) == 2
    assert "storage of another search" in capsys.readouterr().err


@pytest.mark.parametrize("search", [[], ["--search", "2"]])
def test_a_cluster_that_refuses_the_jobs_leaves_the_folder_as_it_was(search, tmp_path, monkeypatch, capsys):
    refusing = tmp_path / "sbatch"
    refusing.write_text('#!/bin/sh\necho "sbatch: error: invalid partition specified: gpuu" >&2\nexit 1\n')
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    for program in (refusing, tmp_path / "srun"):
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "s"
    more = ["--run", str(folder), *search, "--slurm", "--slurm-set", "slurm_partition=gpuu"]
    assert command(words(*more, "--grid", "training.batch_size=50,200")) == 2
    assert capsys.readouterr().err == (
        "aae: slurm: sbatch: error: invalid partition specified: gpuu; expected a queue that takes the jobs\n"
    )
    assert not folder.exists()
    if not search:  # more seeds than the folder had before
        choices = "--grid", "training.batch_size=200"
        assert command(words("--run", str(folder), *choices)) == 0
        before = (folder / "sweep.json").read_bytes()
        assert command(words(*more, *choices, "--seeds", "2")) == 2
        assert (folder / "sweep.json").read_bytes() == before
        assert not (folder / "jobs").exists()


def test_without_an_extra_a_line_names_it(tmp_path, monkeypatch, capsys):
    for module in ("optuna", "submitit", "distributed"):
        monkeypatch.setitem(sys.modules, module, None)
    for more, extra in (
        (["--search", "2", "--grid", "training.batch_size=50,100"], "search"),
        (["--slurm"], "slurm"),
        (["--dask", "tcp://127.0.0.1:9"], "dask"),
    ):
        assert command(words("--run", str(tmp_path / "s"), *more)) == 2
        assert f"expected: pip install 'adversarial-autoencoder[{extra}]'" in capsys.readouterr().err


def test_values_are_read_as_in_toml_and_bare_words_as_texts():
    assert choices_from(["a.b=1,2.5", "c.d=adam,sgd", "e.f=[10, 20],[30]", "g.h={ 0 = 0.1, 5 = 0.01 },0.1"]) == {
        "a.b": ["1", "2.5"],
        "c.d": ['"adam"', '"sgd"'],
        "e.f": ["[10, 20]", "[30]"],
        "g.h": ['{ "0" = 0.1, "5" = 0.01 }', "0.1"],
    }
    assert choices_from(["a.b=[1, 2],auto,", 'c.d="x,y",d.npz', "e.f=it's,[that"]) == {
        "a.b": ["[1, 2]", '"auto"'],
        "c.d": ['"x,y"', '"d.npz"'],
        "e.f": ['"it\'s"', '"[that"'],
    }
    assert choices_from({"a.b": {"x", "y", "z"}}) == {"a.b": ['"x"', '"y"', '"z"']}  # in any process
    assert choices_from({"data.source": [Path("d.npz")]}) == {"data.source": ['"d.npz"']}
    assert choices_from({"a.b": np.logspace(-2, 0, 2)}) == {"a.b": ["0.01", "1.0"]}
    assert choices_from("a.b=1,2") == {"a.b": ["1", "2"]}
    assert choices_from({"a.b": [1, True, None.__class__.__name__]}) == {"a.b": ["1", "true", '"NoneType"']}
    assert [*grid({"a": ["1", "2"], "b": ["3"]})] == [{"a": "1", "b": "3"}, {"a": "2", "b": "3"}]
    assert Range.parse("a", "1e-3:0.1:log") == Range(0.001, 0.1, log=True)
    assert Range.parse("a", "1:8").is_whole


# Stopped, killed, shared


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_sweep_killed_and_stopped_is_finished_from_another_folder(finished, tmp_path, monkeypatch):
    folder = tmp_path / "sweep"
    more = ["--run", "sweep", "--seeds", "2", *(word for one in GRID for word in ("--grid", one))]

    def runs():
        return len(list(folder.glob("demo/*/seed-*/model.safetensors")))

    killed = subprocess.Popen([sys.executable, "-m", "aae", *words(*more)], cwd=tmp_path, stderr=subprocess.DEVNULL)
    wait_for(lambda: runs() >= 2)
    killed.kill()
    killed.wait(60)
    before = runs()
    assert 2 <= before < 8

    def stop(text):
        if runs() > before:
            os.kill(os.getpid(), signal.SIGUSR1)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweeps, "note", stop)
    assert command(words(*more)) == 75
    assert before < runs() < 8
    monkeypatch.undo()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    last = aae.sweep(run="../sweep")
    assert [row.settings for row in last.rows] == [row.settings for row in finished.rows]
    assert [row.values[:2] for row in last.rows] == [row.values[:2] for row in finished.rows]


def test_runs_that_another_process_trains_are_waited_for(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "s"
    waited = []

    def release(*_):
        waited.append(True)
        lock.__exit__(None, None, None)

    definition_of = aae.sweep("demo", folder, settings=TINY)
    seed = definition_of.rows[0].folder / "seed-0"
    (seed / "model.safetensors").unlink()
    lock = RunDirectory(seed).lock()
    lock.__enter__()
    monkeypatch.setattr(sweeps, "wait_a_moment", release)
    assert aae.sweep(run=folder).best is not None
    assert waited == [True]
    assert "1 training(s) are left to other processes" in capsys.readouterr().err


def test_processes_share_the_work_and_one_that_is_killed_is_written_down(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    settings = [*TINY, "training.epochs=2"]
    choices = {"model.encoder.module": ["deadly:gentle", "deadly:deadly"]}
    settings = [one for one in settings if "encoder" not in one]
    found = aae.sweep("demo", tmp_path / "s", grid=choices, settings=settings, execution=Execution(jobs=2))
    assert found.best.settings["model.encoder.module"] == '"deadly:gentle"'
    assert found.rows[1].failed == ["its process was killed, as systems do when memory runs out"]


def test_dask_and_submitit_find_the_same(finished, tmp_path):
    import joblib
    from distributed import Client, LocalCluster

    def best(execution=None):
        found = aae.sweep(
            "demo", tmp_path / str(execution is None), grid=GRID, seeds=2, settings=TINY, execution=execution
        )
        return found.best.settings, [row.values for row in found.rows]

    before = finished.best.settings, [row.values[:2] for row in finished.rows]
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config("dask"),
    ):
        assert best() == before
    assert best(Execution(slurm={}, cluster="local")) == before


def test_a_job_that_has_to_make_way_writes_a_checkpoint_and_goes_on_from_it_when_it_is_its_turn_again(tmp_path):
    settings = [*TINY, "training.epochs=12", "training.checkpoint_every=1000"]
    signalled = []

    def preempt():
        seed = next(iter(tmp_path.glob("s/demo/*/seed-0")), None)
        if signalled or seed is None or not (seed / "metrics.jsonl").exists():
            return bool(signalled) and bool(checkpoint_places(seed / "checkpoints"))
        holder = int((seed / LOCK).read_text().split()[1])
        assert not checkpoint_places(seed / "checkpoints")
        os.kill(holder, signal.SIGUSR2)  # as Slurm does for submitit
        signalled.append(holder)
        return False

    def watch():
        wait_for(preempt)
        metrics = next(iter(tmp_path.glob("s/demo/*/seed-0/metrics.jsonl")))
        first, *others = metrics.read_text().splitlines()
        (tmp_path / "marked").write_text("\n".join([first.replace("{", '{"mark": 1, ', 1), *others]) + "\n")
        (tmp_path / "marked").replace(metrics)

    watching = threading.Thread(target=watch)
    watching.start()
    found = aae.sweep("demo", tmp_path / "s", settings=settings, execution=Execution(slurm={}, cluster="local"))
    watching.join()
    log = next((tmp_path / "s/jobs").glob("*_log.err")).read_text()
    assert "this job is preempted" in log
    assert log.count("seed 0: validation_error_percent") == 1
    records = RunDirectory(found.best.folder / "seed-0").read_metrics()
    assert [record["epoch"] for record in records] == [*range(1, 13)]
    assert [record.get("mark") for record in records] == [1] + 11 * [None]  # the first epoch was trained once
    alone = aae.train(found.best_recipe(), run=tmp_path / "alone")
    assert (tmp_path / "alone/model.safetensors").read_bytes() == (
        found.best.folder / "seed-0/model.safetensors"
    ).read_bytes()
    assert len(alone.history) == 12


def test_paths_of_a_grid_are_those_of_the_folder_where_it_was_given_and_data_is_checked_with_its_keys(
    tmp_path, monkeypatch
):
    rng = np.random.default_rng(0)
    lines = ["a,b,k", *(f"{a:.3f},{b:.3f},{int(a > 0)}" for a, b in rng.normal(size=(60, 2)))]
    (tmp_path / "d1.csv").write_text("\n".join(lines))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    table = [
        *TINY,
        "data.label_column=k",
        "data.labels=20",
        "data.validation=0.2",
        "training.batch_size=20",
    ]
    found = aae.sweep("demo", "s", grid={"data.source": ["d1.csv"]}, settings=table)
    (seed,) = found.best.folder.glob("seed-0")
    (seed / "model.safetensors").unlink()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = aae.sweep(run="../s")
    assert again.best.settings == {"data.source": f'"{tmp_path / "d1.csv"}"'}
    assert "d1.csv" in again.best_recipe().title


def test_a_scheduler_that_does_not_answer_leaves_no_sweep(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("refused")

    monkeypatch.setattr("distributed.Client", refuse)
    with pytest.raises(InputError, match=r"dask: 127\.0\.0\.1:1: refused; expected the address of a scheduler"):
        aae.sweep("demo", tmp_path / "s", settings=TINY, execution=Execution(dask="127.0.0.1:1"))
    assert not (tmp_path / "s").exists()


BAD_ARGUMENTS = [
    ({"grid": {"training__batch_size": 50}}, "grid: training__batch_size is 50; expected a list of values"),
    ({"grid": {"training__batch_size": "50,100"}}, "grid: training__batch_size is '50,100'; expected a list of values"),
    ({"grid": {3: [1]}}, "found the key 3; expected a text"),
    ({"grid": 3}, "grid: found 3; expected a mapping, or texts KEY=VALUE,VALUE,..."),
    (
        {"grid": {"training__batch_size": np.array(50)}},
        "grid: training__batch_size is array(50); expected a list of values",
    ),
    (
        {"grid": {"data__label_column": [None, "k"]}},
        "grid: data__label_column: found None; expected what TOML can hold",
    ),
    ({"settings": {"data__labels": None}}, "settings: data__labels: found None; expected what TOML can hold"),
    ({"settings": 3}, "settings: found 3; expected a mapping, or texts KEY=VALUE"),
    ({"seeds": "a"}, "seeds is 'a'; expected a whole number, at least 1"),
    ({"seeds": 10**7}, "seeds is 10000000; expected a whole number, at least 1 and at most 100000"),
    ({"seeds": -1}, "seeds is -1; expected a whole number, at least 1"),
    ({"search": "2"}, "search is '2'; expected a whole number, at least 1"),
    ({"ranges": {"model.style.dim": (2, 4)}, "search": 1}, "range model.style.dim is (2, 4); expected a text LOW:HIGH"),
    ({"metric": 3}, "metric is 3; expected the name of a metric"),
    ({"execution": "x"}, "execution is 'x'; expected an aae.sweeps.Execution"),
    ({"ranges": {"model.style.dim": Range(4, 2)}, "search": 1}, "range model.style.dim=4:2: expected LOW:HIGH"),
    ({"execution": Execution(slurm=[1])}, "slurm is [1]; expected a mapping of parameters of submitit"),
    ({"execution": Execution(dask=3)}, "dask is 3; expected the address of a scheduler"),
    ({"execution": Execution(jobs=True)}, "jobs is True; expected 1 or more"),
    ({"execution": Execution(jobs="x")}, "jobs is 'x'; expected 1 or more"),
    ({"data": 3}, "data is 3; expected a name or a path"),
    (
        {"data": (np.zeros((60, 5)), None)},
        "data is a tuple; expected a name or a path, from which all workers can read",
    ),
    ({"run": 3}, "run is 3; expected a path"),
    ({"run": None}, "run is None; expected a path"),
    ({"recipes": None}, "recipes is None; expected names, paths or recipes"),
    ({"recipes": [None]}, "a recipe is None; expected a name, a path or a recipe"),
    ({"recipes": 3}, "recipes is 3; expected names, paths or recipes"),
    ({"recipes": [3]}, "a recipe is 3; expected a name, a path or a recipe"),
    ({"recipes": (), "grid": {"training.batch_size": [1]}}, "settings without a recipe"),
]


@pytest.mark.parametrize(("given", "message"), BAD_ARGUMENTS, ids=[str(given) for given, _ in BAD_ARGUMENTS])
def test_bad_arguments_in_python(given, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        aae.sweep(**{"recipes": "demo", "run": tmp_path / "s"} | given)
    assert not (tmp_path / "s").exists()
