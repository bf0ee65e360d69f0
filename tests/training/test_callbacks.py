"""Callbacks, validation rows and early stopping, for estimators, `fit` and `train` alike."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_iris

import aae
from aae.callbacks import Callback, Checkpoint, MLflow, TensorBoardImages, WandB
from aae.errors import CallbackError, InputError, InputWarning
from aae.estimators.validation import Validation, measure
from aae.training.settings import TrainingSettings
from aae.training.stopping import BestEpoch

ROWS, SPECIES = load_iris(return_X_y=True)
TINY = {"hidden_layer_sizes": (8,), "discriminator_layer_sizes": (8,), "random_state": 0}
SMALL = [f"model.{part}.hidden=[8]" for part in ("encoder", "decoder", "discriminator")]


def semi(**options):
    return aae.SemiSupervisedAAE(**{"epochs": 6, **TINY, **options})


def recipe(*overrides):
    return aae.recipes.read("demo", ["training.epochs=4", *SMALL, *overrides])


class Recorder(Callback):
    """Notes what happens; stops or fails when told to."""

    def __init__(self, stop=None, fail=None):
        self.stop, self.fail, self.seen = stop, fail, []

    def on_train_begin(self, training):
        self.seen.append("begin")

    def on_epoch_end(self, training):
        self.seen.append(training.epoch)
        training.metrics = {**training.metrics, "mine": 2.0 * training.epoch}
        if training.epoch == self.fail:
            raise RuntimeError("no more disk")
        if training.epoch == self.stop:
            training.stop()

    def on_train_end(self, training):
        self.seen.append("end")


def test_estimators_call_back_log_and_stop():
    recorder, shown = Recorder(stop=3), []
    model = semi(callbacks=[recorder, lambda training: shown.append(repr(training))]).fit(ROWS, SPECIES)
    assert recorder.seen == ["begin", 1, 2, 3, "end"]
    assert [epoch["mine"] for epoch in model.history_] == [2.0, 4.0, 6.0]
    assert re.match(r"SemiSupervisedAAE epoch 1/6: discriminator loss [\d.]+, .*mine 2", shown[0])


def test_an_estimator_keeps_what_it_learnt_when_a_callback_fails():
    model = semi(callbacks=[Recorder(fail=2)])
    kept = "the estimator keeps what was learnt in 2 epochs"
    message = f"callback Recorder failed in on_epoch_end: RuntimeError: no more disk; {kept}"
    with pytest.raises(CallbackError, match=f"^{message}$") as raised:
        model.fit(ROWS, SPECIES)
    assert isinstance(raised.value.__cause__, RuntimeError)
    assert model.predict(ROWS).shape == (150,)
    assert len(model.history_) == 2


@pytest.mark.parametrize("callbacks", [[3], [Recorder], "abc"])
def test_what_is_no_callback_is_refused(callbacks):
    with pytest.raises(
        ValueError, match=r"^(callbacks has .*; expected functions, or objects with one of|The 'callbacks')"
    ):
        semi(callbacks=callbacks).fit(ROWS, SPECIES)


@pytest.mark.parametrize("value", [None, "x"])
def test_a_metric_that_is_no_number_is_named(value, tmp_path):
    adds = lambda training: training.metrics.update(auc=value)  # noqa: E731
    with pytest.raises(CallbackError, match=rf"metrics\['auc'\] is {value!r}; expected a number"):
        semi(callbacks=[adds]).fit(ROWS, SPECIES)
    with pytest.raises(CallbackError, match="auc"):
        aae.train(recipe(), run=tmp_path / "run", callbacks=[adds])
    assert list((tmp_path / "run" / "checkpoints").iterdir())


def test_a_metric_that_is_not_finite_is_left_out_and_said(tmp_path):
    values = {1: 0.5, 2: float("nan"), 3: torch.tensor(0.25)}

    def adds(training):
        training.metrics["auc"] = values[training.epoch]

    with pytest.warns(InputWarning, match=r"callback adds: metrics\['auc'\] is nan in epoch 2, and is not recorded"):
        model = semi(callbacks=[adds], epochs=3).fit(ROWS, SPECIES)
    with pytest.warns(InputWarning, match="is not recorded"):
        made = aae.train(recipe("training.epochs=3"), run=tmp_path / "run", callbacks=[adds])
    for history in (model.history_, made.history):
        assert [epoch.get("auc") for epoch in history] == [0.5, None, 0.25]


def test_the_epochs_of_a_training_that_goes_on():
    seen = []
    watch = lambda training: seen.append((training.epoch, training.epochs, training.settings["epochs"]))  # noqa: E731
    semi(epochs=2, warm_start=True, callbacks=[watch]).fit(ROWS, SPECIES).fit(ROWS, SPECIES)
    assert seen == [(1, 2, 2), (2, 2, 2), (3, 4, 4), (4, 4, 4)]


def test_validation_rows_count_by_their_weights():
    rows, labels = np.concatenate([ROWS[:100]] * 2), np.concatenate([SPECIES[:100], 1 - SPECIES[:100]])
    weights = np.repeat([1.9, 0.1], 100)
    model = semi(epochs=30, validation_fraction=0.5).fit(rows, labels, sample_weight=weights)
    assert model.history_[-1]["validation_error_percent"] == pytest.approx(5, abs=3)  # 50 if they all counted the same
    same = [
        aae.AAE(2, validation_fraction=0.5, epochs=1, **TINY).fit(ROWS, sample_weight=w) for w in (None, np.ones(150))
    ]
    for name, found in same[0].history_[-1].items():
        assert found == pytest.approx(same[1].history_[-1][name], rel=1e-5), name


def test_fit_calls_back():
    style = aae.Latent(aae.priors.Gaussian(2), aae.posteriors.Deterministic(8, 2), aae.MLP(2, [8], 1))
    model = aae.AdversarialAutoencoder(aae.MLP(4, [8]), {"style": style}, aae.MLP(2, [8], 4))
    recorder = Recorder(stop=2)
    history = aae.fit(model, ROWS, epochs=4, callbacks=[recorder], reconstruction={"learning_rate": 1e-3})
    assert recorder.seen == ["begin", 1, 2, "end"]
    assert history[1]["mine"] == 4.0
    with pytest.raises(CallbackError, match="no more disk; the model keeps what was learnt in 1 epochs"):
        aae.fit(model, ROWS, epochs=4, callbacks=[Recorder(fail=1)], reconstruction={"learning_rate": 1e-3})


def test_a_run_stops_with_a_checkpoint_when_a_callback_fails_and_goes_on(tmp_path):
    with pytest.raises(
        CallbackError,
        match=r"no more disk; stopped after epoch 2, the checkpoint in .*run goes on with --resume \(resume=True",
    ):
        aae.train(recipe(), run=tmp_path / "run", callbacks=[Recorder(fail=2)])
    recorder = Recorder()
    run = aae.train(recipe(), run=tmp_path / "run", resume=True, callbacks=[recorder])
    assert recorder.seen == ["begin", 3, 4, "end"]
    whole = aae.train(recipe(), run=tmp_path / "whole")
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], tensor, rtol=0, atol=0)
    assert json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])["mine"] == 8.0


def test_a_run_that_was_stopped_is_finished(tmp_path):
    aae.train(recipe(), run=tmp_path / "run", callbacks=[lambda training: training.epoch < 2 or training.stop()])
    about = json.loads((tmp_path / "run/run.json").read_text())
    assert (about["epochs"], about["ended_before"]) == (2, 4)
    before = (tmp_path / "run/model.safetensors").stat().st_mtime_ns
    aae.train(recipe(), run=tmp_path / "run", resume=True)
    assert (tmp_path / "run/model.safetensors").stat().st_mtime_ns == before


def test_a_run_ends_early_with_its_best_weights(tmp_path):
    saved = tmp_path / "new/weights/{epoch}.safetensors"
    stopping = recipe("training.epochs=40", "training.patience=1", "training.tolerance=100")
    run = aae.train(stopping, run=tmp_path / "run", callbacks=[Checkpoint(saved)])
    about = json.loads((tmp_path / "run/run.json").read_text())
    records = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    errors = [record["validation_error_percent"] for record in records]
    assert about["epochs"] == len(errors) == 2
    assert about["best_epoch"] == 1 + max(np.flatnonzero(np.array(errors) == min(errors)))
    best = load_file(tmp_path / f"new/weights/{about['best_epoch']}.safetensors")
    assert all(torch.equal(best[name], tensor) for name, tensor in run.model.state_dict().items())


def test_a_run_that_ended_early_says_so_and_goes_on_with_more_patience(tmp_path, capsys):
    def train(*changes, **options):
        stopping = recipe("training.epochs=5", "training.tolerance=100", *changes)
        return aae.train(stopping, run=tmp_path / "run", **options).metadata

    ended = "note: demo seed 0: ended after 2 of {} epochs, 1 epoch without improvement (training.patience); the weights are"
    assert train("training.patience=1")["epochs"] == 2
    assert ended.format(5) in capsys.readouterr().err
    assert train("training.patience=1", "training.epochs=6", resume=True)["epochs"] == 2
    assert ended.format(6) in capsys.readouterr().err
    about = train("training.patience=9", "training.epochs=6", resume=True)
    assert (about["epochs"], "ended_before" in about) == (6, False)
    assert about["changes"] == [{"epoch": 2, "key": "training.patience", "from": 1, "to": 9}]
    with pytest.raises(
        InputError, match=r"cannot resume with another recipe; training\.patience is None, the run has 9"
    ):
        train("training.epochs=7", resume=True)


def test_early_stopping_expects_validation_rows(tmp_path):
    with pytest.raises(
        InputError, match=r"^training.patience is set and there are no validation rows; expected data.val"
    ):
        aae.train(recipe("training.patience=1", "data.validation=0"), run=tmp_path / "run")


def test_the_best_epoch_is_the_last_of_equals_and_patience_counts_improvements():
    best = BestEpoch(TrainingSettings(epochs=9, patience=2, tolerance=0.5))
    model = torch.nn.Linear(1, 1)
    for epoch, value in enumerate([5.0, 3.0, 3.0, 2.9], 1):
        assert not best.gives_up
        torch.nn.init.constant_(model.weight, epoch)
        best.update(epoch, {"validation_reconstruction": value}, model)
    assert best.gives_up
    assert (best.epoch, best.value, best.weights["weight"].item()) == (4, 2.9, 4.0)
    other = BestEpoch(best.settings)
    other.load(*best.state())
    assert (other.epoch, other.gives_up) == (4, True)
    most = BestEpoch(TrainingSettings(epochs=9, patience=2, monitor="nmi"))
    for epoch, value in enumerate([0.0, 0.5, 0.4, 0.5], 1):
        assert not most.gives_up
        most.update(epoch, {"nmi": value}, model)
    assert (most.epoch, most.value, most.gives_up) == (4, 0.5, True)  # more is better
    with pytest.raises(InputError, match=r"'validation_clusters_in_use', of which neither less nor more is better"):
        BestEpoch(TrainingSettings(epochs=1, keep_best=True, monitor="validation_clusters_in_use")).update(
            1, {"validation_clusters_in_use": 1.0}, model
        )
    with pytest.raises(InputError, match=r"training.monitor is 'nothing'; expected one of the metrics: a"):
        BestEpoch(TrainingSettings(epochs=1, keep_best=True, monitor="nothing")).update(1, {"a": 1.0}, model)


def test_estimators_bring_the_best_weights_back_and_go_on():
    model = semi(epochs=30, early_stopping=True, n_iter_no_change=3, tol=50, validation_fraction=0.3)
    model.fit(ROWS, SPECIES)
    errors = [epoch["validation_error_percent"] for epoch in model.history_]
    assert len(errors) <= 8
    assert errors[model.best_epoch_ - 1] == min(errors)
    rows = Validation(torch.from_numpy(model.scaler_.transform(ROWS)), SPECIES)
    measured = measure(model.model_, rows, scores_labels=True)
    assert measured["validation_error_percent"] < 60
    model.set_params(warm_start=True, early_stopping=False, validation_fraction=None, epochs=2).fit(ROWS, SPECIES)
    assert len(model.history_) == len(errors) + 2


@pytest.mark.parametrize("maker", [aae.AAE, aae.AAEClusterer, aae.AAEEmbedding])
def test_unlabelled_rows_are_measured_by_their_reconstruction(maker):
    model = maker(epochs=3, early_stopping=True, **TINY).fit(ROWS)
    assert all("validation_reconstruction" in epoch for epoch in model.history_)
    given = maker(epochs=1, **TINY).fit(ROWS[:100], validation_data=ROWS[100:])
    assert given.history_[0]["validation_reconstruction"] > 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            (ROWS[:, :3], SPECIES),
            "validation_data: X has 3 features, but SemiSupervisedAAE is expecting 4 features as input",
        ),
        ((ROWS, SPECIES + 1), "validation_data: label is 3; expected one of: 0, 1, 2"),
        (ROWS, "validation_data: expected a pair of rows and labels"),
    ],
)
def test_validation_rows_have_the_columns_and_classes_of_the_others(data, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        semi().fit(ROWS, SPECIES, validation_data=data)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_learning_rates_fall(kind):
    rates = []

    def note(training):
        rates.append(training._trainer.optimizers["reconstruction"].learning_rate)

    aae.AAE(2, epochs=4, learning_rate_decay=kind, callbacks=[note], **TINY).fit(ROWS)
    expected = {"linear": [1, 0.75, 0.5, 0.25], "cosine": [1, 0.8536, 0.5, 0.1464]}[kind]
    np.testing.assert_allclose(np.array(rates) / 0.002, expected, atol=1e-4)


def test_tensorboard_gets_images(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    images = TensorBoardImages(tmp_path, (2, 2), n=4, every=2)
    aae.AAE(2, epochs=4, callbacks=[images], **TINY).fit(ROWS)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [image.step for image in events.Images("samples")] == [2, 4]
    with pytest.raises(
        CallbackError, match=r"InputError: shape is \(3, 3\), of 9 values; expected one of 4, as rows have"
    ):
        aae.AAE(2, epochs=1, callbacks=[TensorBoardImages(tmp_path, (3, 3))], **TINY).fit(ROWS)


def test_mlflow_gets_metrics_and_settings(tmp_path):
    client = pytest.importorskip("mlflow").MlflowClient
    aae.AAE(2, epochs=2, callbacks=[MLflow(f"file:{tmp_path}")], **TINY).fit(ROWS)
    found = client(f"file:{tmp_path}")
    run = found.search_runs([found.get_experiment_by_name("aae").experiment_id])[0]
    assert run.info.status == "FINISHED"
    assert run.data.params["epochs"] == "2"
    assert len(found.get_metric_history(run.info.run_id, "reconstruction_loss")) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wandb_writes_files_offline(tmp_path):
    pytest.importorskip("wandb")
    logger = WandB(project="tests", mode="offline", dir=str(tmp_path))
    aae.AAE(2, epochs=2, callbacks=[logger], **TINY).fit(ROWS)
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


@pytest.mark.filterwarnings("ignore::tqdm.TqdmWarning")  # without widgets it is a bar of text
def test_a_notebook_shows_one_bar(monkeypatch, capsys):
    monkeypatch.setattr("aae.training.progress.in_notebook", lambda: True)
    aae.AAE(2, epochs=3, verbose=True, **TINY).fit(ROWS)
    shown = capsys.readouterr().err
    assert "AAE epoch 3/3: 100%" in shown
    assert "reconstruction loss" in shown
