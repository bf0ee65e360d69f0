import errno
from dataclasses import replace

import numpy as np
import pytest
import torch

from aae.data.dataset import Split
from aae.errors import InputError, InputWarning
from aae.evaluation import trustworthiness
from aae.noise import Noise
from aae.priors import GaussianMixture, SwissRoll
from aae.recipes.build_data import load_data
from aae.runs.evaluate import _label_metrics, _label_placement, evaluate, validate
from aae.runs.plot import plot
from aae.runs.recipe import read_recipe
from aae.runs.train import train
from aae.training.diagnostics import diagnose

SMALL = ["model.encoder.hidden=[20]", "model.decoder.hidden=[20]", "training.epochs=1", "training.compile=false"]


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    recipe = read_recipe("figure2c-digits", SMALL)
    return train(recipe, run=tmp_path_factory.mktemp("vae") / "run", device="cpu")


def test_codes_are_drawn_independently_of_the_prior_samples_they_are_compared_with(vae):
    rows = load_data(vae.recipe).test.rows
    noise = vae.encode(rows, seed=0)["style"] - vae.encode(rows)["style"]
    prior = vae.sample_prior(len(rows), seed=0)
    assert noise.std() > 0.5  # one epoch leaves the posterior wide
    assert abs(np.corrcoef(noise.ravel(), prior.ravel())[0, 1]) < 0.15


def test_a_run_is_measured_on_its_own_data_only(vae):
    dataset = load_data(vae.recipe)
    other = replace(dataset, train=dataset.train.take(slice(0, 100)))
    with pytest.raises(InputError, match="not the data of"):
        evaluate(vae, data=other)
    assert "energy_distance" in evaluate(vae, data=dataset)["metrics"]


def test_what_cannot_be_kept_is_measured_and_said(vae, monkeypatch):
    def refuse(path, report):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("aae.runs.evaluate.write_json", refuse)
    with pytest.warns(InputWarning, match=r"evaluation\.json: Permission denied; the numbers are not kept"):
        assert "energy_distance" in evaluate(vae)["metrics"]


@pytest.mark.parametrize("prior", [GaussianMixture(5), SwissRoll(num_labels=5)])
def test_codes_are_placed_right_when_they_come_from_the_part_of_their_label(prior):
    labels = np.arange(500) % 5
    codes = prior.sample(500, torch.from_numpy(labels), Noise(1)).numpy()
    assert _label_placement(prior, codes, labels) > 90
    assert _label_placement(prior, codes, (labels + 1) % 5) < 10
    assert _label_placement(prior, codes, np.where(labels == 0, 0, -1)) > 85  # rows without a label do not count


def test_neighbourhoods_are_those_of_the_rows_as_the_model_sees_them(tmp_path):
    rows = np.random.default_rng(0).normal(size=(300, 4))
    rows[:, 3] *= 1e6  # in units of its own
    np.savez(tmp_path / "units.npz", X=rows.astype(np.float32), y=(rows[:, 0] > 0).astype(int))
    recipe = read_recipe(
        "figure11a", [*SMALL, "data.scaling=standardize", "model.output=linear"], str(tmp_path / "units.npz")
    )
    run = train(recipe, run=tmp_path / "run", device="cpu")
    found = evaluate(run)["metrics"]
    test = load_data(recipe).test
    seen = run.scaling(torch.from_numpy(test.rows)).numpy()
    assert found["trustworthiness"] == pytest.approx(trustworthiness(seen, run.embed(test.rows), 12))
    assert found["trustworthiness"] != pytest.approx(trustworthiness(test.rows, run.embed(test.rows), 12))


def test_a_validation_split_of_one_row_is_measured_as_far_as_it_goes(tmp_path):
    recipe = read_recipe("figure2a-digits", [*SMALL, "data.validation=1"])
    run = train(recipe, run=tmp_path / "run", device="cpu")
    (metrics,) = run.folder.read_metrics()
    assert "validation_reconstruction" in metrics
    assert "validation_energy_distance" not in metrics


@pytest.mark.parametrize(
    ("recipe", "categories", "names"),
    [
        ("table3-16", 3, ("0", "1", "2")),  # as many clusters as classes, and still not the classes
        ("demo", 5, ("5", "6", "7", "extra 1", "extra 2")),
        ("demo", 3, ("5", "6", "7")),
    ],
)
def test_categories_have_the_names_of_classes_only_where_labels_were_used(tmp_path, recipe, categories, names):
    rows = np.random.default_rng(0).random((90, 4), dtype=np.float32)
    np.savez(tmp_path / "three.npz", X=rows, y=np.arange(90) % 3 + 5)
    settings = [*SMALL, f"model.label.categories={categories}", "training.batch_size=20"]
    recipe = read_recipe(recipe, settings, str(tmp_path / "three.npz"))
    run = train(recipe, run=tmp_path / "run", device="cpu")
    assert run.label_names == names
    assert [run.label_index(name) for name in names] == list(range(categories))


def test_images_of_any_range_are_plotted_from_black_to_white(tmp_path):
    rows = np.random.default_rng(0).uniform(-3, 16, (80, 8, 8)).astype(np.float32)
    np.save(tmp_path / "wide.npy", rows)
    recipe = read_recipe("figure2a", [*SMALL, "training.batch_size=20"], str(tmp_path / "wide.npy"))
    run = train(recipe, run=tmp_path / "run", device="cpu")
    rows = load_data(recipe).train.rows
    drawn = run.images(rows)
    assert (drawn.min(), drawn.max()) == (0, 1)
    np.testing.assert_allclose(drawn, (rows - rows.min()) / (rows.max() - rows.min()), atol=1e-6)


def test_nothing_is_plotted_or_evaluated_of_other_data(vae, tmp_path):
    dataset = load_data(vae.recipe)
    other = replace(dataset, train=dataset.train.take(slice(0, 100)))
    for call in (lambda: plot(vae, tmp_path, other), lambda: evaluate(vae, data=other)):
        with pytest.raises(InputError, match=r"not the data of .* its fingerprint is"):
            call()
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_decoded_is_one_clear_error(vae, tmp_path):
    codes = np.zeros((3, 2), np.float32)
    assert vae.decode({"style": codes}).shape == (3, 8, 8)
    assert vae.encode(np.zeros((0, 8, 8), np.uint8))["style"].shape == (0, 2)
    for given, message in (
        ({}, "codes are of nothing; the run expects style"),
        ({"style": codes, "label": codes}, "codes are of style, label; the run expects style"),
        ({"style": codes[:, :1]}, r"codes of style have shape \(3, 1\); expected \(3, 2\)"),
    ):
        with pytest.raises(InputError, match=message):
            vae.decode(given)
    with pytest.raises(InputError, match="n is 0; expected 1 or more rows"):
        vae.sample(0)
    recipe = read_recipe("figure7a", SMALL, "digits")
    run = train(recipe, run=tmp_path / "run", device="cpu")
    styles = {"style": np.zeros((2, 15), np.float32)}
    assert run.decode(styles, [1, 9]).shape == (2, 8, 8)
    for labels, message in (
        ([1, 10], r"labels: found 10 in row 1 \(counted from 0\); expected 0, 1, .*, 9, -1 where there is none"),
        ([1], r"labels: found \(1,\) labels; expected \(2,\)"),
        (None, "2 of 2 rows have no label"),
    ):
        with pytest.raises(InputError, match=message):
            run.decode(styles, labels)


def never(logits, labels):
    split = Split(np.zeros((len(labels), 1), np.float32), np.array(labels))
    found = _label_metrics(torch.tensor(logits), split, True)
    return found["validation_classes_never_predicted"], found["validation_error_percent"]


def test_classes_that_no_validation_row_gets_are_counted():
    zero, two = [9.0, 0.0, 0.0], [0.0, 0.0, 9.0]
    assert never([zero, two, zero, two], [0, 1, 1, 2]) == (1, 50)
    assert never([zero, two, zero], [0, 2, -1]) == (0, 0)  # class 1 has no row there, and unlabelled rows have none
    assert never([zero, zero], [1, 2]) == (2, 100)


def test_codes_off_the_prior_and_lost_classes_are_measured_while_training(tmp_path, capsys):
    """Codes squeezed into a point are far from the prior; what is measured in training is what `evaluate` finds."""
    settings = [*SMALL, "model.style.dim=2", "data.validation=200", "training.validate_every=1"]
    run = train(read_recipe("demo", settings), run=tmp_path / "run", device="cpu")
    with torch.no_grad():
        for parameter in run.model.encoder.parameters():
            parameter.zero_()
    data = load_data(run.recipe)
    found = validate(run.model, run.scaling, data.validation, run.recipe)
    assert found["validation_code_mismatch"] > 0.2
    assert found["validation_classes_never_predicted"] == len(np.unique(data.validation.labels)) - 1
    logged = run.folder.read_metrics()[-1]
    assert 0 <= logged["validation_code_mismatch"] <= 1
    assert logged["validation_classes_never_predicted"] in range(11)
    capsys.readouterr()


@pytest.mark.parametrize("name", ["validation_code_mismatch", "validation_classes_never_predicted"])
def test_a_sign_of_collapse_on_validation_rows_is_one_line_after_the_last_epoch(name):
    assert not list(diagnose({name: 0.9}))
    ((key, line),) = diagnose({name: 0.9}, final=True)
    assert key == name
    assert "\n" not in line
    assert not list(diagnose({name: 0.0}, final=True))
