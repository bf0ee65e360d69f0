"""Taking up a run again: what is finished stays as it is, and nobody else is in the folder meanwhile."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from helpers import outcome

from aae import files, recipes
from aae.cli import run as command
from aae.errors import InputError, InterruptedTrainingError
from aae.reproduction import reproduce
from aae.runs.recipe import read_recipe
from aae.runs.run import Run
from aae.runs.seeds import train_seeds
from aae.runs.train import train
from aae.training import loop
from aae.training.acceleration import compiled
from aae.training.checkpoints import latest_checkpoint
from aae.training.run_directory import RunDirectory
from aae.training.signals import interrupts

SMALL = [
    *("training.epochs=2", "model.encoder.hidden=[8]", "model.decoder.hidden=[8]"),
    "model.discriminator.hidden=[8]",
]


def small(*changes):
    return read_recipe("demo", [*SMALL, *changes])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "run"
    train(small(), run=run, device="cpu")
    return run


def contents(folder):
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def words(run, *more):
    sets = [word for change in SMALL for word in ("--set", change)]
    return ["train", "demo", *sets, "--run", str(run), "--device", "cpu", *more]


# --- a finished run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_checkpoints", [True, False])
def test_a_finished_run_is_left_as_it_is(finished, tmp_path, with_checkpoints):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    metadata = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**metadata, "device": "NVIDIA H100 80GB HBM3"}))  # of another machine
    if not with_checkpoints:
        shutil.rmtree(run / "checkpoints")
    before = contents(run)
    assert command(words(run, "--resume")) == 0
    assert contents(run) == before


def test_a_finished_run_without_checkpoints_is_not_made_longer_by_training_anew(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "checkpoints")
    before = contents(run)
    with pytest.raises(
        InputError, match=r"finished after 2 epochs and without a checkpoint; training\.epochs 5 expects one"
    ):
        train(small("training.epochs=5"), run=run, device="cpu", resume=True)
    with pytest.raises(InputError, match=r"training\.epochs is 1; .* has 2 epochs already"):
        train(small("training.epochs=1"), run=run, device="cpu", resume=True)
    with pytest.raises(
        InputError, match=r"finished after 2 epochs with training\.generator\.learning_rate 0\.001; 0\.5 expects more"
    ):
        train(small("training.generator.learning_rate=0.5"), run=run, device="cpu", resume=True)
    assert contents(run) == before


def test_a_run_goes_on_with_another_learning_rate_and_says_so(finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    lower = small("training.epochs=3", "training.generator.learning_rate=0.0001")
    train(lower, run=run, device="cpu", resume=True)
    assert "note: " in (said := capsys.readouterr().err)
    assert "training.generator.learning_rate is 0.0001 from epoch 3 on, 0.001 before" in said
    change = {"epoch": 2, "key": "training.generator.learning_rate", "from": 0.001, "to": 0.0001}
    assert json.loads((run / "run.json").read_text())["changes"] == [change]
    assert recipes.read(run / "recipe.toml").training.named_optimizers["generator"].learning_rate == 0.0001
    usual = tmp_path / "usual"
    shutil.copytree(finished, usual)
    train(small("training.epochs=3"), run=usual, device="cpu", resume=True)
    assert outcome(usual) != outcome(run)


def test_a_table_of_finished_and_measured_runs_needs_neither_their_device_nor_their_data(tmp_path, monkeypatch):
    first = reproduce.reproduce("figure9", "smoke", tmp_path, note=lambda _: None)
    run = tmp_path / "smoke/table3-16/seed-0"
    metadata = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**metadata, "device": "NVIDIA H100 80GB HBM3"}))
    shutil.rmtree(run / "checkpoints")

    def gone(recipe, source=None):
        raise InputError("the data is not here")

    monkeypatch.setattr("aae.reproduction.reproduce.load_data", gone)
    monkeypatch.setattr("aae.runs.prepare.load_data", gone)
    assert reproduce.reproduce("figure9", "smoke", tmp_path, note=lambda _: None) == first


@pytest.mark.parametrize("as_given", [True, False], ids=["recipe says auto", "recipe says bf16"])
def test_a_run_goes_on_in_the_precision_in_which_it_was_begun(tmp_path, monkeypatch, as_given):
    """On a device that would choose another; runs of before `auto` have the precision in their recipe."""

    def processor(bf16):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": bf16}, raising=False)

    automatic = small("training.precision=auto")
    processor(True)
    train(automatic if as_given else small("training.precision=bf16"), run=tmp_path / "run", device="cpu")
    whole = train(small("training.precision=bf16", "training.epochs=3"), run=tmp_path / "whole", device="cpu")
    processor(False)
    longer = read_recipe(automatic, ["training.epochs=3"])
    run = train(longer, run=tmp_path / "run", device="cpu", resume=True)
    assert run.metadata["precision"] == whole.metadata["precision"] == "bf16"
    assert run.recipe.training.precision == "auto"
    assert "bf16" not in run.metadata["command"]
    assert outcome(run.folder) == outcome(whole.folder)
    assert train(automatic, run=tmp_path / "other", device="cpu").metadata["precision"] == "fp32"


def test_resuming_what_is_not_there_starts_it(tmp_path, finished):
    assert command(words(tmp_path / "new", "--resume")) == 0
    assert (tmp_path / "new/model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()
    assert command(words(tmp_path / "several", "--resume", "--seeds", "2")) == 0
    assert (tmp_path / "several/seed-0/model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()


def test_files_of_the_user_stay_in_the_folder(tmp_path, finished):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "checkpoints/best.json").write_text("mine")
    (run / "checkpoints/best.safetensors").write_text("mine")
    train(small("training.epochs=3"), run=run, device="cpu", resume=True)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "best.json",
        "best.safetensors",
        "epoch-000003-step-000000.json",
        "epoch-000003-step-000000.safetensors",
    ]


def test_data_may_lie_elsewhere_but_be_no_other(tmp_path, capsys):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "here/rows.npz", X=rng.random((60, 4), dtype=np.float32), y=np.arange(60) % 3)
    here, there, run = tmp_path / "here/rows.npz", tmp_path / "there/rows.npz", tmp_path / "run"
    assert command(words(run, "--data", str(here))) == 0
    here.rename(there)
    for call in (["evaluate", str(run)], ["figure", str(run)]):
        assert command([*call, "--data", str(there)]) == 0
        assert command(call) == 2 or call[0] == "figure"
    longer = ["--resume", "--set", "training.epochs=3", "--data"]
    capsys.readouterr()
    assert command(words(run, *longer, str(here))) == 2
    assert "here/rows.npz" in capsys.readouterr().err
    assert command(words(run, *longer, str(there))) == 0
    assert recipes.read(run / "recipe.toml").data.source == str(there)
    np.savez(there, X=rng.random((60, 4), dtype=np.float32), y=np.arange(60) % 3)
    assert command(words(run, *longer, str(there))) == 2
    assert "cannot resume on other data" in capsys.readouterr().err
    assert command(["evaluate", str(run), "--data", str(there)]) == 2
    assert "not the data of" in capsys.readouterr().err


def test_a_relative_folder_is_the_same_after_a_change_of_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    original = loop.save_checkpoint

    def elsewhere(*args, **kwargs):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        os.chdir(tmp_path / "elsewhere")
        original(*args, **kwargs)

    monkeypatch.setattr(loop, "save_checkpoint", elsewhere)
    run = train(small(), run="run", device="cpu")
    assert run.folder.path == tmp_path / "run"
    assert (tmp_path / "run/model.safetensors").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


# --- locks -------------------------------------------------------------------------------------------------------------


def test_a_folder_in_use_is_refused_by_process_and_host(tmp_path, finished, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    script = (
        "import sys, time; from aae.training.run_directory import RunDirectory\n"
        "with RunDirectory(sys.argv[1]).lock():\n    print('locked', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(run)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "locked\n"
        assert command(words(run, "--resume", "--set", "training.epochs=3")) == 2
        assert f"in use by process {holder.pid} on {os.uname().nodename}" in capsys.readouterr().err
        assert command(words(run, "--resume")) == 0  # which is finished, and only read
    finally:
        holder.kill()
        holder.communicate()
    assert command(words(run, "--resume", "--set", "training.epochs=3")) == 0  # a kill frees it


def test_a_lock_leaves_nothing_where_nothing_came_of_it(tmp_path):
    folder = RunDirectory(tmp_path / "new")
    with folder.lock(), pytest.raises(InputError, match="in use by process"), RunDirectory(tmp_path / "new").lock():
        pass
    assert not (tmp_path / "new").exists()


def test_a_folder_that_another_process_removes_meanwhile_is_made_again(tmp_path, monkeypatch):
    acquire, vanished = FileLock.acquire, []

    def late(self, *more, **others):
        if len(vanished) < 2:
            vanished.append(True)
            (tmp_path / "new").rmdir()
        return acquire(self, *more, **others)

    monkeypatch.setattr("filelock.FileLock.acquire", late)
    with RunDirectory(tmp_path / "new").lock():
        (tmp_path / "new" / "file").touch()
    (tmp_path / "plain").touch()
    with pytest.raises(InputError, match="plain: cannot write the run folder"), RunDirectory(tmp_path / "plain").lock():
        pass


def test_a_file_system_without_locks_is_said_and_used(tmp_path, monkeypatch, capsys):
    def unsupported(self):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("filelock.FileLock.acquire", unsupported)
    with RunDirectory(tmp_path / "new").lock():
        (tmp_path / "new" / "file").touch()
    assert "this file system has no locks (Function not implemented)" in capsys.readouterr().err


# --- signals -----------------------------------------------------------------------------------------------------------


def at_step(monkeypatch, number, step):
    steps = iter(range(10**6))
    monkeypatch.setattr(
        loop.Progress, "step", lambda self: signal.raise_signal(number) if next(steps) == step else None
    )


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGUSR1", 75)])
def test_a_signal_leaves_a_checkpoint_and_a_status_of_its_own(tmp_path, monkeypatch, finished, name, status, capsys):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        at_step(patch, number, 15)
        assert command(words(tmp_path / "run")) == status
    assert signal.getsignal(number) is before
    assert "goes on with --resume" in capsys.readouterr().err
    assert latest_checkpoint(tmp_path / "run/checkpoints")[1]["step"] > 0
    assert command(words(tmp_path / "run", "--resume")) == 0
    assert (tmp_path / "run/model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()


def test_nothing_is_lost_where_checkpoints_cannot_be_looked_into(tmp_path, monkeypatch, finished, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(loop.Progress, "epoch", lambda self, metrics: signal.raise_signal(signal.SIGTERM))
        assert command(words(tmp_path / "run")) == 143
    before = (tmp_path / "run/metrics.jsonl").read_bytes()
    assert before
    look = Path.iterdir

    def refuse(path):
        if path.name == "checkpoints":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", refuse)
        patch.setattr(Path, "glob", lambda path, pattern: iter(()))  # which is silent then
        assert command(words(tmp_path / "run", "--resume")) == 2
    assert "checkpoints: Permission denied" in capsys.readouterr().err
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == before
    assert command(words(tmp_path / "run", "--resume")) == 0


def test_what_is_shown_of_a_run_that_goes_on_is_said_to_be_of_before(tmp_path, capsys):
    assert command(words(tmp_path / "run")) == 0
    (tmp_path / "run/figures").mkdir()
    (tmp_path / "run/report.html").write_text("of before")
    capsys.readouterr()
    assert command([*words(tmp_path / "run", "--resume"), "--set", "training.epochs=6"]) == 0
    assert "run: figures, report.html still show the run before it went on" in capsys.readouterr().err


def test_a_signal_while_steps_are_compiled_leaves_a_checkpoint_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compiled, "BACKEND", lambda graph, inputs: signal.raise_signal(signal.SIGUSR1))
    assert command(words(tmp_path / "run", "--set", "training.compile=true")) == 75
    assert "after 0 steps; the checkpoint in" in capsys.readouterr().err
    assert latest_checkpoint(tmp_path / "run/checkpoints")[1]["step"] == 0


def test_a_signal_in_the_last_step_of_a_seed_keeps_the_next_from_starting(tmp_path, monkeypatch):
    recipe = small("training.epochs=1")
    with monkeypatch.context() as patch:
        last = []
        patch.setattr(
            loop.Progress, "epoch", lambda self, metrics: last or last.append(signal.raise_signal(signal.SIGTERM))
        )
        with pytest.raises(
            InterruptedTrainingError, match=r"stopped when seed-0 was finished; .* goes on with --resume"
        ) as raised:
            train_seeds(recipe, 2, run=tmp_path / "runs", device="cpu", batched=False)
    assert raised.value.status == 143
    assert (tmp_path / "runs/seed-0/model.safetensors").exists()
    assert not (tmp_path / "runs/seed-1").exists()


def test_ignored_signals_stay_ignored_and_a_programs_own_handlers_stay(monkeypatch):
    def mine(number, frame):
        pass

    before = [signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.signal(signal.SIGTERM, mine)]
    try:
        with interrupts() as interruption:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is mine
            signal.raise_signal(signal.SIGUSR1)
            assert (interruption.is_set, interruption.status) == (True, 75)
    finally:
        signal.signal(signal.SIGHUP, before[0])
        signal.signal(signal.SIGTERM, before[1])


# --- batched seeds, metrics, compilers -----------------------------------------------------------------------------------


def test_batched_seeds_stopped_between_two_first_checkpoints_start_anew_together(tmp_path, monkeypatch):
    recipe, original, saved = small(), loop.save_checkpoint, []

    def crashing(*args, **kwargs):
        if saved:
            raise KeyboardInterrupt
        saved.append(original(*args, **kwargs))

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", crashing)
        with pytest.raises(KeyboardInterrupt):
            train_seeds(recipe, 2, run=tmp_path / "runs", device="cpu", batched=True)
    found = train_seeds(recipe, 2, run=tmp_path / "runs", device="cpu", batched=True, resume=True)
    expected = train_seeds(recipe, 2, run=tmp_path / "whole", device="cpu", batched=True)
    for one, other in zip(found, expected, strict=True):
        assert one.folder.weights.read_bytes() == other.folder.weights.read_bytes()


def test_metrics_are_chosen_by_their_epoch_and_missing_ones_are_said(tmp_path):
    folder = RunDirectory(tmp_path)
    lines = [json.dumps({"epoch": epoch, "loss": 1.0}) for epoch in (1, 2, 3)]
    folder.metrics.write_text("\n".join(lines) + '\n{"epoch": 4, "lo')
    folder.keep_metrics(2)
    assert [record["epoch"] for record in folder.read_metrics()] == [1, 2]
    for damaged in (
        lines[:1],
        lines[1:],
        [lines[0], lines[2]],
        [lines[0], "x", lines[2]],
        [lines[0], lines[0], lines[1]],
    ):
        folder.metrics.write_text("\n".join(damaged) + "\n")
        if damaged == lines[1:]:  # begun anew after epoch 1, when the file was removed
            folder.keep_metrics(3)
            continue
        with pytest.raises(InputError, match=r"metrics\.jsonl: (found the epochs|line 2 is no record)"):
            folder.keep_metrics(3)
    folder.metrics.write_text('{"epoch": 1, "loss": Infinity}\n')
    with pytest.raises(InputError, match="line 1 is no record of an epoch"):
        folder.read_metrics()


def test_a_compiled_run_does_not_go_on_uncompiled(tmp_path, monkeypatch):
    from aae.training.acceleration import compiled

    recipe = small("training.compile=true")
    monkeypatch.setattr(compiled, "BACKEND", "eager")  # traced, and no compiler waited for
    train(recipe, run=tmp_path / "run", device="cpu")
    assert latest_checkpoint(tmp_path / "run/checkpoints")[1]["compiled"] is True
    longer = small("training.compile=true", "training.epochs=3")

    def gone(*args, **kwargs):
        raise RuntimeError("no compiler found")

    monkeypatch.setattr(torch, "compile", gone)
    with pytest.raises(InputError, match="steps were compiled until now and cannot be any more: no compiler found"):
        train(longer, run=tmp_path / "run", device="cpu", resume=True)


def test_a_name_is_one_name(tmp_path):
    text = recipes.dump(small())
    for bad in ("../out", "a/b", "", "..", ".hidden", "a\\\\b", "a\\u0000b", "x" * 101):
        (tmp_path / "mine.toml").write_text(text.replace('name = "demo"', f'name = "{bad}"'))
        with pytest.raises(InputError, match="expected a name of one file"):
            recipes.read(tmp_path / "mine.toml")


# --- what a file declares ------------------------------------------------------------------------------------------------


def test_declared_sizes_are_compared_with_the_weights_before_memory_is_taken(finished, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    text = (run / "recipe.toml").read_text()
    assert "hidden = [\n    8,\n]" in text
    (run / "recipe.toml").write_text(text.replace("hidden = [\n    8,\n]", "hidden = [\n    100000000,\n]"))
    monkeypatch.setattr("aae.runs.run.read_tensors", lambda path: pytest.fail("read"))
    started = time.monotonic()
    with pytest.raises(InputError, match=r"model\.safetensors: weights do not fit the model: .* is \(8"):
        Run.load(run, "cpu")
    assert time.monotonic() - started < 2


def test_numbers_that_are_not_finite_neither_come_in_nor_go_out(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    loaded = Run.load(run, "cpu")
    loaded.metadata["row_range"] = (0, 3e38)
    with pytest.raises(InputError, match=r"row 2: .* is not finite, in 1 of 3 rows"):
        loaded.predict_proba(np.array([[0.0] * 64, [3e38] * 64, [1.0] * 64], np.float32).reshape(3, 8, 8))
    tensors = files.read_tensors(run / "model.safetensors")
    tensors["model.encoder.layers.0.linear.weight"][0, 0] = torch.nan
    files.write_tensors(run / "model.safetensors", tensors)
    with pytest.raises(
        InputError, match=r"model\.safetensors: model\.encoder\..*weight holds numbers that are not finite"
    ):
        Run.load(run, "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [8, -8]}, "shape"),
        ({"shape": []}, "shape"),
        ({"shape": [10**12]}, "shape"),
        ({"class_names": 10}, "class_names"),
        ({"epochs": "many"}, "epochs"),
        ({"epochs": 0}, "epochs"),
        ({"rows": "float16"}, "rows"),
        ({"seconds": -1}, "seconds"),
        ({"cpu_seconds": "few"}, "cpu_seconds"),
    ],
)
def test_damaged_metadata_is_named(finished, tmp_path, change, message):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    metadata = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**metadata, **change}))
    with pytest.raises(InputError, match=rf"run\.json: {message}"):
        Run.load(run, "cpu")


def test_the_command_says_in_one_line_that_memory_is_out_and_a_recipe_is_too_large(tmp_path, capsys):
    huge = ["--set", "model.encoder.hidden=[2000000000]", "--set", "model.encoder.batch_norm=none"]
    assert command(words(tmp_path / "run", *huge)) in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith("aae: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()
    for change in ("training.seed=99999999999999999999", "training.epochs=1000000000000", "data.labels=1e400"):
        assert command(words(tmp_path / "run", "--set", change)) == 2
        assert change.split("=")[0] in capsys.readouterr().err
