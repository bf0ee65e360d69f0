"""The likelihood of section 3 from a finished run."""

import json
import math

import numpy as np
import pytest
import scipy.io
import torch
from helpers import small_networks

from aae.cli import run as command
from aae.data import load
from aae.evaluation.parzen import parzen_log_density
from aae.reproduction import reproduce, results
from aae.reproduction.tables import many_samples
from aae.runs import likelihood
from aae.runs.evaluate import evaluate
from aae.runs.recipe import read_recipe
from aae.runs.train import train

DIGITS = load("digits", validation=200)


@pytest.fixture(scope="module", params=["table1-mnist", "table1-mnist-gan", "table1-mnist-gmmn-ae"])
def trained(request, tmp_path_factory):
    recipe, _ = reproduce.plan(request.param, "smoke")
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"validation": 200})})
    return train(recipe, DIGITS, run=tmp_path_factory.mktemp("runs") / request.param, device="cpu")


def test_samples_are_the_same_whenever_they_are_asked_for(trained):
    draw = likelihood.sampler(trained)
    assert torch.equal(draw(100, 150), draw(100, 150))
    assert not torch.equal(draw(0, 50), draw(100, 150))
    assert draw(0, 50).shape == (50, 64)


def test_rows_are_scored_on_the_scale_of_the_samples(trained):
    """Against the plain formula, with the samples that `parzen` draws and the sigma it chose."""
    found = likelihood.parzen(trained, DIGITS, DIGITS.test, 300)
    samples = likelihood.sampler(trained)(0, 300).double().numpy()
    test = DIGITS.test.rows.reshape(len(DIGITS.test), -1).astype(np.float64)
    squares = ((test[:, None] - samples[None]) ** 2).sum(2) / (2 * found.sigma**2)
    direct = np.log(np.exp(-squares).mean(1)) - 64 * math.log(found.sigma * math.sqrt(2 * math.pi))
    assert found.log_likelihood_nats == pytest.approx(direct.mean(), abs=1e-3)


def test_a_standardization_is_undone_first(tmp_path):
    recipe, _ = reproduce.plan("table1-tfd", "smoke")
    run = train(recipe, DIGITS, run=tmp_path / "run", device="cpu")
    assert run.scaling.offset.numel() == 64
    samples = likelihood.sampler(run)(0, 200)
    assert samples.mean().item() == pytest.approx(DIGITS.train.rows.mean(), abs=0.1)  # not 0 as in the network


def test_pixels_of_8_bits_count_from_0_to_1(trained, monkeypatch):
    monkeypatch.setitem(trained.metadata, "rows", "uint8")
    assert likelihood.unit_rows(trained, np.full((2, 8, 8), 255, np.uint8)).max() == 1
    bf16_copies = likelihood.sampler(trained)(0, 5)
    monkeypatch.setitem(trained.metadata, "rows", "float32")
    torch.testing.assert_close(bf16_copies * 255, likelihood.sampler(trained)(0, 5))


def test_a_run_is_reported_with_what_its_number_is_to_be_compared_with(trained, monkeypatch):
    monkeypatch.setattr("aae.runs.reference_classifier.STEPS", 30)
    metrics = evaluate(trained, data=DIGITS)["metrics"]
    assert metrics["parzen_training_rows_nats"] > metrics["parzen_log_likelihood_nats"]  # after two epochs
    assert metrics["parzen_centroids_nats"] > metrics["parzen_log_likelihood_nats"]
    assert {"parzen_sigma", "parzen_fine_sigma", "parzen_standard_error_nats", "frechet_distance"} <= metrics.keys()
    assert 0 <= metrics["recall_percent"] <= 100


def test_rows_that_choose_sigma_are_none_of_the_references(trained, monkeypatch):
    monkeypatch.setattr("aae.runs.reference_classifier.STEPS", 30)
    monkeypatch.setattr(likelihood, "VALIDATION_ROWS", 200)
    rows = load("digits")
    with_split = likelihood.likelihood(trained, load("digits", validation=200), rows.test, 200)
    without = likelihood.likelihood(trained, rows, rows.test, 200)
    # other rows of the same kind, and so nearly the same score; with distances of 0 sigma would be the smallest there is
    assert without["parzen_training_rows_nats"] == pytest.approx(with_split["parzen_training_rows_nats"], abs=3)


def test_the_command_goes_on_where_it_stopped_and_says_what_the_number_is_worth(trained, tmp_path, capsys):
    words = ["parzen", str(trained.folder.path), "-n", "5000", "--json", "--folder", str(tmp_path / "state")]
    assert command(words) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["samples"], first["test_rows"], first["validation_rows"]) == (5000, 359, 200)
    assert "k-means" in first["caveat"] or "centroids" in first["caveat"]
    files = sorted((tmp_path / "state").iterdir())
    assert files
    assert command([*words, "--record", str(tmp_path / "results")]) == 0
    capsys.readouterr()
    (recorded,) = results.read(tmp_path / "results" / "parzen", results.ParzenResult)
    assert {key: recorded[key] for key in ("log_likelihood_nats", "samples")}.items() <= first.items()
    assert recorded["seconds"] is None  # it went on with what was done
    assert f"| `{trained.recipe.name}` | 5,000 | {first['log_likelihood_nats']:.1f} |" in many_samples([recorded])
    assert command(words) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert command([*words[:3], "6000", *words[4:]]) == 2
    assert "the sums of another computation" in capsys.readouterr().err


def test_more_samples_of_the_training_rows_score_higher():
    """Closed against the estimator itself: more of the true data can only help on average."""
    flat = DIGITS.train.rows.reshape(len(DIGITS.train), -1)
    test = DIGITS.test.rows.reshape(len(DIGITS.test), -1)
    few, many = (parzen_log_density(flat[:n], test, [0.2], progress=False).mean() for n in (100, 1000))
    assert many > few


def test_folds_of_faces_are_scored_by_one_command(tmp_path, capsys):
    """Each as a run on that fold would be scored, by the same samples."""
    images = np.random.default_rng(6).integers(0, 256, (60, 48, 48), dtype=np.uint8)
    folds = np.zeros((60, 5), np.uint8)
    for fold in range(5):
        folds[20:, fold] = np.roll(np.repeat([1, 2, 3], [28, 4, 8]), 8 * fold)
    path = tmp_path / "TFD_48x48.mat"
    scipy.io.savemat(path, {"images": images, "folds": folds, "labs_ex": np.ones((60, 1), np.int16)})
    settings = [*small_networks(), "training.epochs=1", "training.batch_size=10", "training.precision=fp32"]
    run = train(read_recipe("table1-tfd", settings, str(path)), run=tmp_path / "run", device="cpu")
    words = ["parzen", str(run.folder.path), "-n", "50", "--all-folds"]
    assert command([*words, "--json", "--record", str(tmp_path / "results")]) == 0
    found = json.loads(capsys.readouterr().out)
    scores = [fold["log_likelihood_nats"] for fold in found["folds"]]
    assert len(set(scores)) == 5
    assert found["log_likelihood_nats"] == pytest.approx(np.mean(scores))
    assert found["standard_error_nats"] == pytest.approx(np.std(scores, ddof=1) / math.sqrt(5))
    third = load(str(path), fold=2)
    assert scores[2] == likelihood.parzen(run, third, third.test, 50).log_likelihood_nats
    (recorded,) = results.read(tmp_path / "results" / "parzen", results.ParzenResult)
    assert [fold["log_likelihood_nats"] for fold in recorded["folds"]] == scores
    assert recorded["command"].endswith("-n 50 --all-folds")
    assert command(words) == 0
    assert "fold 4" in capsys.readouterr().out
    folds[0, 3] = 1  # which that fold then takes from the images that no fold uses
    scipy.io.savemat(path, {"images": images, "folds": folds, "labs_ex": np.ones((60, 1), np.int16)})
    assert command([*words, "--folder", str(tmp_path / "again")]) == 2
    assert "fold 3 has other training rows" in capsys.readouterr().err
