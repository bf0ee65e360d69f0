"""A search: the same at once and in parts, by one worker or many; what fails, is killed, pruned or trained elsewhere."""

import json

import optuna
import pytest
from helpers import small_networks

import aae
from aae.errors import InputError, InterruptedTrainingError
from aae.runs import seeds
from aae.sweeps import Execution
from aae.sweeps import queue as sweeps
from aae.sweeps.execution import WorkerKilledError
from aae.sweeps.search import is_behind, open_study
from aae.sweeps.trials import Trial
from aae.training.run_directory import RunDirectory

TINY = [*small_networks(), "training.epochs=1"]


def test_a_search_is_the_same_at_once_and_in_parts_and_by_several_commands(tmp_path, capsys):
    def look(folder, trials):
        return aae.sweep(
            "demo",
            tmp_path / folder,
            grid={"training.batch_size": [50, 100]},
            ranges={"training.classification.learning_rate": "1e-4:1e-1:log"},
            search=trials,
            settings=TINY,
        )

    whole = look("whole", 5)
    assert len(whole.rows) == 5
    with pytest.raises(InputError, match="holds another sweep; trials is 4"):
        look("whole", 4)
    rates = [float(row.settings["training.classification.learning_rate"]) for row in whole.rows]
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    look("parts", 2)
    parts = look("parts", 5)
    assert [(row.settings, row.values) for row in parts.rows] == [(row.settings, row.values) for row in whole.rows]
    journal = tmp_path / "parts/search.journal"
    text = journal.read_text()
    journal.write_text(text + '{"op_code": 8, "wor')  # what a full disk leaves
    assert len(aae.sweep(run=tmp_path / "parts").rows) == 5
    assert [json.loads(line) for line in journal.read_text().splitlines()]  # nothing was joined to it
    assert "the last line was cut short, and is dropped" in capsys.readouterr().err
    journal.write_text(text.replace("\n", "\n?", 1))
    with pytest.raises(
        InputError, match=r"search\.journal: not the journal of a search, or damaged; expected a folder"
    ):
        aae.sweep(run=tmp_path / "parts")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/sweep.json").write_text(
        (tmp_path / "parts/sweep.json").read_text().replace("0.0001:", "0.0002:")
    )
    (tmp_path / "other/search.journal").write_text(text)
    with pytest.raises(InputError, match=r"search\.journal: storage of another search; expected a folder without one"):
        aae.sweep(run=tmp_path / "other")


def test_a_search_takes_up_the_trial_of_a_worker_that_is_gone_and_waits_for_one_that_is_not(
    tmp_path, monkeypatch, capsys
):
    def stopped(*_, **__):
        raise InterruptedTrainingError("stopped", 143)

    def look():
        return aae.sweep("demo", tmp_path / "s", ranges={"training__batch_size": "50:100"}, search=2, settings=TINY)

    monkeypatch.setattr(seeds, "run_to_end", stopped)
    with pytest.raises(InterruptedTrainingError, match="the same command goes on") as raised:
        look()
    assert raised.value.status == 143
    monkeypatch.undo()
    waited = held_until_waited_for(tmp_path / "s/trials/0", monkeypatch)
    found = look()
    assert waited == [True]
    assert "1 trial(s) are left to other processes; waiting for them" in capsys.readouterr().err
    assert [len(row.values) for row in found.rows] == [1, 1]


def held_until_waited_for(folder, monkeypatch):
    """Hold the lock of a folder, as another process would, until a sweep waits for it."""
    lock, waited = RunDirectory(folder).lock(), []

    def release(*_):
        waited.append(True)
        lock.__exit__(None, None, None)

    lock.__enter__()
    monkeypatch.setattr(sweeps, "wait_a_moment", release)
    return waited


def test_a_setting_that_another_process_trains_counts_for_every_trial_that_has_it(tmp_path, monkeypatch, capsys):
    def look(trials):
        return aae.sweep("demo", tmp_path / "s", grid={"training.batch_size": [200]}, search=trials, settings=TINY)

    folder = look(1).best.folder / "seed-0"
    (folder / "model.safetensors").unlink()
    waited = held_until_waited_for(folder, monkeypatch)
    found = look(3)
    assert waited == [True]
    said = capsys.readouterr().err
    assert "trial 1: demo training.batch_size=200: another process trains this setting; its result counts" in said
    values = [trial.value for trial in open_study(found.definition, found.folder).get_trials()]
    assert values == found.best.values * 3


def test_what_failed_in_a_search_is_tried_again_if_asked(tmp_path, monkeypatch):
    def hungry(*_, **__):
        raise MemoryError("none is left")

    def look(**more):
        return aae.sweep(
            "demo", tmp_path / "s", ranges={"training.batch_size": "50:100"}, search=2, settings=TINY, **more
        )

    monkeypatch.setattr(seeds, "run_to_end", hungry)
    failed = look()
    assert [row.failed for row in failed.rows] == [["out of memory (none is left)"]] * 2
    monkeypatch.undo()
    assert look().best is None
    again = look(retry=True)
    assert [row.failed for row in again.rows] == [[], []]
    assert {row.folder for row in again.rows} == {row.folder for row in failed.rows}
    assert len(look(retry=True).rows) == 2  # nothing is left to be tried again


def test_a_trial_whose_process_is_killed_twice_has_failed(tmp_path, monkeypatch):
    def killed(*_, **__):
        raise WorkerKilledError

    monkeypatch.setattr(Trial, "train", killed)
    monkeypatch.setattr(Execution, "run_apart", lambda self, work: work(0))
    found = aae.sweep("demo", tmp_path / "s", ranges={"training.batch_size": "50:100"}, search=2, settings=TINY)
    assert [row.failed for row in found.rows] == [[sweeps.KILLED]] * 2


@pytest.mark.parametrize(("spread", "pruned"), [(0.1, True), (20.0, False)])
def test_pruning_doubts_what_the_spread_over_seeds_explains(spread, pruned):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    for _ in range(5):
        trial = study.ask()
        for seed in range(3):
            trial.report(10 + spread * (seed - 1), seed * 4 + 1)
        study.tell(trial, 10)
    late = study.ask()
    late.report(15 - spread, 1)
    assert is_behind(study, late.number, 4, 0, 1, maximize=False) is pruned
    assert not is_behind(study, late.number, 4, 0, 1, maximize=True)
    assert not is_behind(study, late.number, 4, 0, 2, maximize=False)  # nobody has reported that epoch


def test_a_search_prunes_what_is_clearly_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("aae.sweeps.search.BEFORE_PRUNING", 1)
    found = aae.sweep(
        "demo",
        tmp_path / "s",
        ranges={"training.classification.learning_rate": "1e-5:1e-1:log"},
        search=5,
        settings=[*TINY, "training.epochs=3"],
    )
    given_up = [row for row in found.rows if row.failed]
    assert given_up
    assert all(why.startswith("pruned: behind the median after epoch") for row in given_up for why in row.failed)
    assert not found.rows[0].failed
