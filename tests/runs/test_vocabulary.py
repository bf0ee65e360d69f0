"""A run from Python: trained on arrays, with settings by keyword, and used by the names that estimators have."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm
from sklearn.datasets import load_iris
from sklearn.metrics import roc_auc_score

import aae
from aae.anomaly_score import AnomalyScore
from aae.cli import main
from aae.errors import InputError, InputWarning
from aae.priors import Gaussian, GaussianMixture
from aae.runs.likelihood import parzen
from aae.runs.plot import plot
from aae.runs.run import Run

SMALL = {f"model__{network}__hidden": [8] for network in ("encoder", "decoder", "discriminator")}
SPECIES = np.array(["setosa", "versicolor", "virginica"])


@pytest.fixture(scope="module")
def iris():
    frame = pd.DataFrame(load_iris().data, columns=["a", "b", "c", "d"])
    labels = SPECIES[load_iris().target].astype(object)
    labels[::2] = None
    return frame, labels


@pytest.fixture(scope="module")
def run(iris, tmp_path_factory):
    """Flowers, half of them without a name."""
    folder = tmp_path_factory.mktemp("vocabulary") / "iris"
    options = {"training__batch_size": np.int64(20), "evaluation__contamination": 0.1, **SMALL}
    return aae.train("demo", iris, run=folder, epochs=2, device="cpu", **options)


def test_a_recipe_is_trained_on_arrays_with_settings_by_keyword(run, iris):
    assert isinstance(run, Run)
    assert (run.class_names, run.metadata["columns"]) == (tuple(SPECIES), ["a", "b", "c", "d"])
    assert (run.recipe.training.batch_size, run.recipe.training.epochs, run.recipe.data.labels) == (20, 2, "all")
    assert run.recipe.data.source == "<arrays>"
    assert json.loads(run.folder.metadata.read_text())["training_rows"] == 102
    assert run.load_data(iris).class_names == run.class_names


def test_rows_that_were_given_have_to_be_given_again(run, iris):
    with pytest.raises(
        InputError, match=r"iris: data\.source is '<arrays>': the rows were given from Python; expected"
    ):
        aae.load(run.folder.path).load_data()
    assert run.load_data().name == "<arrays>"  # the very object that was trained has them still
    with pytest.raises(InputError, match="not the data of"):
        run.load_data((iris[0][::-1], iris[1]))
    with pytest.raises(InputError, match="the rows were given from Python"):
        aae.train(run.folder.recipe, run=run.folder.path, resume=True, epochs=3)
    with pytest.raises(InputError, match="cannot resume on other data"):
        aae.train(run.folder.recipe, iris[0], run=run.folder.path, resume=True)
    same = aae.train(run.folder.recipe, iris, run=run.folder.path, resume=True, device="cpu")
    assert same.metadata == run.metadata


def test_samples_need_no_rows(run, iris, tmp_path):
    loaded = aae.load(run.folder.path)
    figure = loaded.plot_samples(n=20)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["samples"]
    assert len(run.plot_samples().legends[0].get_texts()) == 2
    with pytest.warns(InputWarning, match="its rows were given from Python; figures that show rows are left out"):
        paths = plot(loaded, tmp_path)
    assert [path.name for path in paths] == ["curves.png", "samples.png"]


@pytest.mark.parametrize("kind", [">f8", ">i4", "g", "u2", "u8", "f2"])
def test_rows_of_any_type_are_the_same_rows(run, iris, kind):
    rows = np.rint(iris[0].to_numpy())
    assert np.array_equal(run.transform(rows.astype(kind)), run.transform(rows))


def test_rows_of_a_data_frame_are_walked_between_as_rows_of_an_array(run, iris):
    rows = iris[0]
    found = run.interpolate(rows.iloc[0], rows.iloc[1], 3)
    assert np.array_equal(found, run.interpolate(rows.to_numpy()[0], rows.to_numpy()[1], 3))
    assert run.interpolate(rows.iloc[:1], rows.iloc[1:2], 3).shape == (1, 3, 4)


def test_images_in_other_units_than_those_of_the_training_are_refused(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 5), np.uint8)
    shades = aae.train("figure2a", data=images, run=tmp_path / "bytes", epochs=1, device="cpu", **SMALL)
    assert np.array_equal(shades.encode(images)["style"], shades.encode(images.astype(float))["style"])
    for wrong, found in ((images / 255, "0 to 1"), (images > 9, "0 to 1"), (images - 300.0, "-300 to -45")):
        with pytest.raises(InputError, match=f"^rows: found values from {found}; the run expects .* from 0 to 255"):
            shades.encode(wrong)
    shares = aae.train("figure2a", data=images / 255, run=tmp_path / "shares", epochs=1, device="cpu", **SMALL)
    for wrong in (images, images.astype(float), images.astype(np.int64)):
        with pytest.raises(InputError, match=r"^rows: found values from 0 to 255; the run expects .* from 0 to 1$"):
            shares.encode(wrong)
    numbers = aae.train("figure2a", data=images * 1.0, run=tmp_path / "numbers", epochs=1, device="cpu", **SMALL)
    for wrong, found in ((images / 255, "0 to 1"), (images / 127.5 - 1, "-1 to 1")):
        with pytest.raises(InputError, match=f"^rows: found values from {found}; the run expects .* from 0 to 255$"):
            numbers.encode(wrong)


def test_images_with_unusual_values_are_taken_with_a_note(tmp_path):
    images = np.random.default_rng(0).integers(0, 17, (40, 4, 5)) / 16
    run = aae.train("figure2a", data=images, run=tmp_path / "shares", epochs=1, device="cpu", **SMALL)
    unusual = {"-1 to 1": 2 * images - 1, "0 to 8": images * 8, "0 to 0.0625": images / 16}
    for found, rows in unusual.items():
        with pytest.warns(
            InputWarning, match=f"^rows: found values from {found}, .* with values from 0 to 1; expected"
        ):
            run.encode(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for usual in (images[:1], images * 0, images + 0.1, images * 0.5):
            run.encode(usual)


def test_masks_of_8_bits_are_those_of_any_other_type(tmp_path):
    masks = np.random.default_rng(0).integers(0, 2, (40, 4, 5), np.uint8)
    run = aae.train("figure2a", data=masks, run=tmp_path / "masks", epochs=1, device="cpu", **SMALL)
    codes = run.encode(masks)["style"]
    for kind in (bool, float, np.int64):
        assert np.array_equal(run.encode(masks.astype(kind))["style"], codes)
    with pytest.raises(InputError, match=r"^rows: found values from 0 to 255; the run expects .* from 0 to 1$"):
        run.encode(masks * 255)
    assert run.images(masks).max() == 1


@pytest.mark.parametrize("labels", [lambda y: y, lambda y: y.astype(object), lambda y: pd.Series(y, dtype="boolean")])
def test_true_and_false_are_classes_1_and_0_however_they_are_given(iris, tmp_path, labels):
    truth = np.arange(150) % 3 > 0
    run = aae.train("demo", (iris[0], labels(truth)), run=tmp_path, epochs=1, device="cpu", **SMALL)
    assert run.class_names == ("0", "1")
    assert set(run.predict(iris[0]).tolist()) <= {True, False}
    assert len(run.sample(2, label=True, random_state=0)) == 2


def test_true_false_and_none_are_labels_and_none(iris):
    given = np.array([True, False, None] * 50, object)
    data = aae.data.from_arrays(iris[0], given, test=0)
    assert data.class_names == ("0", "1")
    assert data.train.labels.tolist() == [1, 0, -1] * 50


def test_settings_that_would_read_or_split_a_data_set_anew_are_refused(iris, tmp_path):
    data = aae.data.from_arrays(*iris, validation=0.2)
    changes = {
        "test": 0.5,
        "validation": 0.4,
        "unlabelled": "setosa",
        "image_size": 4,
        "covariates": ["petal width (cm)"],
    }
    for key, value in changes.items():
        with pytest.raises(
            InputError, match=rf"^data\.{key} is .*; a Dataset is read and split already, expected no such"
        ):
            aae.train("demo", data, run=tmp_path, **{f"data__{key}": value})
    assert not list(tmp_path.iterdir())


def test_one_value_everywhere_is_told(tmp_path, capsys):
    aae.train("figure2a", data=np.ones((40, 4, 5)), run=tmp_path, epochs=1, device="cpu", **SMALL)
    assert "warning: <arrays>: all values are the same; there is nothing to learn" in capsys.readouterr().err


def test_what_is_drawn_is_checked(run, iris):
    for draw, message in {
        (lambda: run.sample(True)): "^n is True; expected 1 or more rows",
        (lambda: run.sample_prior(-1)): "^n is -1; expected 1 or more rows",
        (lambda: run.sample(1, random_state=-1)): "^random_state is -1; expected a whole number from 0",
        (lambda: run.encode(iris[0], seed=-1)): "^seed is -1; expected a whole number from 0",
        (lambda: run.encode(iris[0], seed=True)): "^seed is True; expected a whole number from 0",
    }.items():
        with pytest.raises(InputError, match=message):
            draw()


def test_several_seeds_are_a_list(iris, tmp_path):
    runs = aae.train("demo", iris, run=tmp_path, epochs=1, seeds=2, device="cpu", **SMALL)
    assert [one.folder.path.name for one in runs] == ["seed-0", "seed-1"]


BAD = {
    "a key": ({"training__batch_sise": 3}, "unknown key 'training.batch_sise'; did you mean 'batch_size'?"),
    "a key of a section": ({"batch_size": 3}, r"'training\.batch_size'\? As a keyword: training__batch_size"),
    "a section": ({"training__batch_size__x": 3}, r"training\.batch_size\.x"),
    "a value": ({"model__encoder__hidden": "wide"}, r"model\.encoder\.hidden is 'wide'; expected"),
    "epochs": ({"epochs": 0}, r"training\.epochs is 0; expected"),
    "seeds": ({"seeds": 0}, "seeds is 0; expected a whole number from 1"),
    "a tuple": ({"data": (1, 2, 3)}, r"found a tuple of 3, expected \(rows, labels\)"),
    "masked rows": ({"data": np.ma.masked_greater(load_iris().data, 7)}, "rows: found 12 masked values, expected none"),
    "dates as labels": (
        {"data": (load_iris().data, np.full(150, np.datetime64("2020-01-01")))},
        r"labels: found values of type datetime64\[D\], expected whole numbers or text",
    ),
    "the size of images": ({"data__image_size": 4}, r"data\.image_size is 4; rows from Python are taken as they are"),
    "colours": ({"data__colour": True}, r"data\.colour is True; rows from Python are taken as they are"),
    "no header": ({"data__header": False}, r"data\.header is False; rows from Python are taken as they are"),
    "a fold": ({"data__fold": 2}, r"data\.fold is 2; rows from Python are taken as they are"),
    "no labels": ({"data__labels": None}, r"data\.labels is not set; training\.classification needs labels"),
    "labels from a file": ({"data__labels_file": "y.npy"}, r"data\.labels_file is 'y\.npy'; rows from Python expect"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_one_line_and_leave_nothing(case, iris, tmp_path):
    changes, message = BAD[case]
    with pytest.raises(InputError, match=message):
        aae.train("demo", **{"data": iris, "run": tmp_path / "run", **changes})
    assert not (tmp_path / "run").exists()


def test_a_run_is_used_by_the_names_of_estimators(run, iris, tmp_path):
    rows = iris[0]
    np.testing.assert_array_equal(run.predict(rows), SPECIES[run.predict_proba(rows).argmax(1)])
    np.testing.assert_array_equal(run.transform(rows), run.encode(rows)["style"])
    assert [record["epoch"] for record in run.history] == [1, 2]
    first, last = rows.to_numpy()[0], rows.to_numpy()[99]
    path = run.interpolate(first, last, 5)
    np.testing.assert_allclose(path[[0, -1]], run.reconstruct([first, last]), rtol=1e-5)
    codes = {name: (code[:1] + code[1:]) / 2 for name, code in run.encode([first, last]).items()}
    np.testing.assert_allclose(path[2:3], run.decode(codes), rtol=1e-5)
    assert run.interpolate(rows[:3], rows[3:6], 4).shape == (3, 4, 4)
    np.testing.assert_array_equal(run.sample(4, "virginica", random_state=2), run.sample(4, 2, random_state=2))
    assert run.sample(2, ["virginica", "setosa"]).shape == (2, 4)
    again = aae.load(run.save(tmp_path / "shared"), "cpu")
    np.testing.assert_array_equal(again.score_samples(rows), run.score_samples(rows))
    assert Run.load(tmp_path / "shared", "cpu").class_names == run.class_names
    report = run.evaluate(iris, "validation")
    assert (report["split"], report["rows"]) == ("validation", 18)


def test_what_a_run_cannot_draw_or_plot_gets_one_line(run, iris):
    with pytest.raises(InputError, match=r"^n is 1\.5; expected 1 or more rows$"):
        run.sample(1.5)
    with pytest.raises(InputError, match=r"^scores have shape \(2,\); expected \(150,\), one for each row$"):
        run.plot_roc(*iris, scores=[1, 2])


def test_labels_are_names_of_classes_where_these_are_numbers(iris, tmp_path):
    rows, species = iris[0].to_numpy(), load_iris().target + 1
    run = aae.train("figure7a", (rows, species), run=tmp_path / "run", epochs=1, model__output="linear", **SMALL)
    assert run.class_names == ("1", "2", "3")
    named = run.reconstruct(rows[:3], ["1", "2", "3"])
    for labels in ([1, 2, 3], np.array([1.0, 2.0, 3.0]), np.array([1, 2, 3], dtype=object), torch.tensor([1, 2, 3])):
        np.testing.assert_array_equal(run.reconstruct(rows[:3], labels), named)
    np.testing.assert_array_equal(run.decode(run.transform(rows[:3]), [1, 2, 3]), named)
    assert not np.array_equal(run.decode(run.transform(rows[:3]), [2, 2, 3]), named)
    with pytest.raises(InputError, match=r"^labels: found 0 in row 1 \(counted from 0\); expected 1, 2, 3, -1 where"):
        run.reconstruct(rows[:2], [1, 0])
    for label in (1.5, "4", (1,), np.inf):
        labels = np.empty(2, object)
        labels[:] = [1, label]
        with pytest.raises(InputError, match=r"labels: found .* in row 1"):
            run.reconstruct(rows[:2], labels)
    assert run.interpolate(rows[0], rows[1], 3, label=2).shape == (3, 4)


@pytest.mark.parametrize("missing", [None, np.nan, -1, "", pd.NA])
def test_rows_without_a_label_are_plotted(run, iris, missing):
    labels = SPECIES[load_iris().target].astype(object)
    labels[:4] = missing
    assert run._label_numbers(labels, 150)[:5].tolist() == [-1, -1, -1, -1, 0]
    assert run._label_numbers(pd.Series(labels), 150)[149] == 2
    assert run._label_numbers(np.where(np.arange(150) < 4, -1, 2), 150)[[0, 149]].tolist() == [-1, 2]


def test_log_densities_of_rows_and_codes(run, iris):
    rows = iris[0]
    scaled = run.scaling(torch.tensor(rows.to_numpy())).numpy()
    decoded = run.scaling(torch.from_numpy(run.reconstruct(rows))).numpy()
    variance = run.metadata["noise_variance"]
    training = run.load_data(iris).train.rows
    again = run.scaling(torch.from_numpy(run.reconstruct(training))) - run.scaling(torch.tensor(training))
    assert variance == pytest.approx(float(again.square().mean()), rel=1e-4)
    expected = norm(decoded, variance**0.5).logpdf(scaled).sum(1) + norm.logpdf(run.encode(rows)["style"]).sum(1)
    np.testing.assert_allclose(run.log_joint(rows), expected, rtol=1e-3)


def test_scores_mean_the_same_in_a_run_and_in_an_estimator(run, iris):
    rows, training = iris[0].to_numpy(), run.load_data(iris).train.rows
    model = aae.AAE(2, epochs=1, contamination=0.1, random_state=0).fit(training, np.ones(len(training)))
    model.model_, model.scaler_ = run.model, run.scaling  # the one score of the same model on the same rows
    model._compare_with(run.scaling(torch.tensor(training)), at_once=True)
    np.testing.assert_allclose(run.score_samples(rows), model.score_samples(rows), rtol=1e-6)
    np.testing.assert_allclose(run.decision_function(rows), model.decision_function(rows), rtol=1e-6, atol=1e-9)
    assert (run.decision_function(training) < 0).mean() == pytest.approx(0.1, abs=0.01)
    odd = iris[0].assign(b=30.0)
    assert (run.score_samples(odd) < run.score_samples(rows).min()).all()


def test_whatever_has_an_autoencoder_scores_by_its_training_rows(iris, tmp_path):
    other = aae.train("demo", iris, run=tmp_path / "other", epochs=1, device="cpu", **SMALL)
    training = other.load_data().train.rows
    score = AnomalyScore.of(other.model, other.scaling(torch.tensor(training)), "auto")
    rows = iris[0].to_numpy()
    np.testing.assert_allclose(other.score_samples(rows), score.scores(other.scaling(torch.tensor(rows))), rtol=1e-6)
    with pytest.raises(InputError, match=r"a score takes the training rows, unless evaluation\.contamination"):
        aae.load(other.folder.path).score_samples(iris[0])
    loaded = aae.load(other.folder.path, "cpu")
    with pytest.raises(InputError, match="not the data of"):
        loaded.score_samples(rows, data=iris[0])
    np.testing.assert_allclose(loaded.score_samples(rows, data=iris), other.score_samples(rows), rtol=1e-6)
    np.testing.assert_array_equal(loaded.decision_function(rows) < 0, other.decision_function(rows) < 0)
    assert loaded.load_data().class_names == other.class_names
    with pytest.raises(InputError, match=r"evaluation\.contamination does not fit the model; expected method aae or"):
        aae.train("table2-nn-100", iris, run=tmp_path / "seen", evaluation__contamination="auto", device="cpu")
    assert not (tmp_path / "seen").exists()


@pytest.fixture(scope="module")
def detector(iris, tmp_path_factory):
    """Flowers without names."""
    rows, folder = iris[0].to_numpy(), tmp_path_factory.mktemp("vocabulary") / "detector"
    return aae.train("anomalies", rows, run=folder, epochs=1, device="cpu", **SMALL)


def test_a_run_with_a_threshold_predicts_anomalies(detector, iris, tmp_path):
    rows = iris[0].to_numpy() + np.where(np.arange(150) < 2, 30, 0)[:, None]
    verdicts = detector.predict(rows)
    np.testing.assert_array_equal(verdicts, np.where(detector.decision_function(rows) < 0, -1, 1))
    assert verdicts[:2].tolist() == [-1, -1]
    np.save(tmp_path / "rows.npy", rows)
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(detector.folder.path), str(tmp_path / "rows.npy"), "-o", str(tmp_path / "out.csv")])
    assert ended.value.code == 0
    written = pd.read_csv(tmp_path / "out.csv")
    assert (list(written.columns), written.label.tolist()) == (["label", "score"], verdicts.tolist())


def test_labels_are_shown_by_a_run_that_knows_none(detector, iris):
    rows, species = iris[0].to_numpy(), SPECIES[load_iris().target]
    odd, scores = load_iris().target == 2, -detector.score_samples(rows)
    for labels in (odd.astype(int), odd):
        (text,) = detector.plot_roc(rows, labels, scores=scores).axes[0].get_legend().get_texts()
        assert text.get_text() == f"anomalies (all but 0): {roc_auc_score(odd, scores):.3f}"
    assert detector.plot_precision_recall(rows, odd, scores=scores).axes[0].lines
    for labels in (species, iris[1]):
        drawn = detector.plot_map(rows, labels).axes[0].get_legend().get_texts()
        assert {text.get_text() for text in drawn} >= set(SPECIES)


def test_codes_are_decoded_and_rows_drawn_as_by_an_estimator(detector, run, iris):
    rows = iris[0].to_numpy()[:3]
    np.testing.assert_allclose(detector.decode(detector.transform(rows)), detector.reconstruct(rows), rtol=1e-5)
    np.testing.assert_allclose(
        detector.decode(detector.transform(rows).tolist()), detector.reconstruct(rows), rtol=1e-5
    )
    with pytest.raises(InputError, match="codes are of style; the run expects"):
        run.decode(run.transform(rows))
    assert detector.sample().shape == (1, 4)
    np.testing.assert_array_equal(detector.sample(2, random_state=3), detector.sample(2, random_state=3))
    assert (detector.sample() != detector.sample()).all()
    state = np.random.RandomState(0)
    assert (detector.sample(random_state=state) != detector.sample(random_state=state)).all()


def test_a_number_of_dimensions_is_found_from_the_training_rows(tmp_path):
    rows = np.random.default_rng(0).normal(size=(80, 3)) @ np.random.default_rng(1).normal(size=(3, 6))
    auto = {"model__style__dim": "auto", "device": "cpu", **SMALL}
    run = aae.train("anomalies", rows, run=tmp_path / "run", epochs=1, **auto)
    training = run.load_data().train.rows
    model = aae.AAE("auto", epochs=1, hidden_layer_sizes=(8,), random_state=0).fit(training)
    assert run.transform(rows).shape[1] == model.latent_dim_ <= 3
    assert f"dim = {model.latent_dim_}\n" in run.folder.recipe.read_text()
    assert f"model.style.dim={model.latent_dim_}" in run.metadata["command"]
    assert aae.load(run.folder.path).recipe == run.recipe
    longer = aae.train("anomalies", rows, run=tmp_path / "run", resume=True, epochs=2, **auto)
    assert (longer.metadata["epochs"], longer.recipe.model) == (2, run.recipe.model)
    with pytest.raises(InputError, match=r"model\.style\.dim is 'wide'; expected 'auto' or a valid integer"):
        aae.train("anomalies", rows, run=tmp_path / "no", model__style__dim="wide")


def test_estimators_are_loaded_too(tmp_path, capsys):
    rows = load_iris().data
    model = aae.AAE(2, epochs=1, hidden_layer_sizes=(8,), random_state=0).fit(rows)
    again = aae.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.transform(rows), model.transform(rows))
    with pytest.raises(InputError, match="holds an estimator, which is put on the CPU; found device 'cuda'"):
        aae.load(tmp_path / "model", "cuda")
    with pytest.raises(SystemExit):
        main(["encode", str(tmp_path / "model"), "rows.npy", "-o", "codes.npy"])
    assert "not a run folder (it has no recipe.toml), but an estimator, which aae.load" in capsys.readouterr().err
    record = tmp_path / "model" / "estimator.json"
    record.write_text(record.read_text().replace('"AAE"', '"LabelledKFold"'))
    with pytest.raises(InputError, match=r"estimator\.json: unknown estimator 'LabelledKFold'; expected one of: AAE,"):
        aae.load(tmp_path / "model")


def test_runs_and_priors_say_what_they_are(run):
    expected = "recipe demo, data <arrays>, rows 102 of float32 (4,), classes 3: setosa, versicolor, virginica, epochs 2, seed 0"
    assert expected in repr(run)
    assert "<td>demo</td>" in run._repr_html_()
    assert "&lt;arrays&gt;" in run._repr_html_()
    assert repr(Gaussian(2, std=5)) == "Gaussian(dim=2, std=5.0, slices=True)"
    assert repr(GaussianMixture(3)).startswith("GaussianMixture(components=3, distance=1.4")
    assert Gaussian(1)._repr_html_().count("<circle") == 300


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda run, rows: run.sample(3, 7), "label is 7; expected one of: setosa, versicolor, virginica, or 0 to 2"),
        (lambda run, rows: run.sample(3, "rose"), "label is 'rose'; expected one of: setosa"),
        (lambda run, rows: run.sample(3, [0, 1]), r"labels have shape \(2,\); expected one label, or 3 of them"),
        (lambda run, rows: run.interpolate(rows[:1], rows[1:2], 1), "steps is 1; expected a whole number, 2 or larger"),
        (lambda run, rows: run.interpolate(rows[:2], rows[:3]), "found 2 first and 3 last rows"),
    ],
)
def test_bad_uses_are_one_line(run, iris, use, message):
    with pytest.raises(InputError, match=message):
        use(run, iris[0])


def test_numbers_that_are_names_of_classes_are_no_places(iris, tmp_path):
    numbers = load_iris().target + 1
    run = aae.train("demo", (iris[0], numbers), run=tmp_path / "run", epochs=1, device="cpu", **SMALL)
    assert set(run.predict(iris[0])) <= {1, 2, 3}
    np.testing.assert_array_equal(run.sample(3, 1, random_state=0), run.sample(3, "1", random_state=0))
    with pytest.raises(InputError, match="label is '0'; expected one of: 1, 2, 3"):
        run.sample(3, 0)


@pytest.mark.parametrize("use", ["reconstruct", "interpolate"])
def test_labels_that_the_decoder_does_not_see_are_refused(run, iris, use):
    rows = iris[0].to_numpy()
    given = {"reconstruct": (rows, ["setosa"] * 150), "interpolate": (rows[0], rows[1], 3, "setosa")}[use]
    with pytest.raises(
        InputError, match=r"^labels: found some; the decoder of this run sees codes alone, expected none$"
    ):
        getattr(run, use)(*given)


def test_tensors_of_bfloat16_are_rows(run, iris):
    rows = torch.from_numpy(iris[0].to_numpy()).bfloat16()
    assert np.array_equal(run.transform(rows), run.transform(rows.float().numpy()))


def test_a_parzen_window_is_for_rows_of_numbers(iris, tmp_path):
    table, kinds = iris[0].assign(colour=["red", "blue", "green"] * 50), {"data__columns": {"colour": "categorical"}}
    with pytest.raises(InputError, match=r"^evaluation\.parzen_samples is 50; a Parzen window is for rows of numbers"):
        aae.train("generate", table, run=tmp_path / "no", evaluation__parzen_samples=50, epochs=1, **kinds, **SMALL)
    assert not (tmp_path / "no").exists()
    trained = aae.train("generate", table, run=tmp_path / "kinds", epochs=1, **kinds, **SMALL)
    with pytest.raises(
        InputError, match=r"kinds: found columns of other kinds .*; a Parzen window is for rows of numbers"
    ):
        parzen(trained, trained.load_data(), trained.load_data().test, 50)


def test_settings_of_labels_that_no_loss_sees_are_told(tmp_path, capsys):
    rows, classes = load_iris(return_X_y=True)
    settings = {"data__labels": 30, "training__labelled_batch_size": 7, "training__losses__classification": 5}
    aae.train("generate", (rows, classes), run=tmp_path / "some", epochs=1, **settings, **SMALL)
    told = capsys.readouterr().err
    for key in settings:
        assert f"note: {key.replace('__', '.')} is not used: no loss of this model sees labels" in told
    aae.train("classify", (rows, classes), run=tmp_path / "all", epochs=1, **settings, **SMALL)
    assert "is not used" not in capsys.readouterr().err


def test_places_and_styles_are_decoded_as_by_estimators(run, iris, tmp_path):
    styles, codes = run.transform(iris[0]), run.encode(iris[0])
    codes["label"] = np.eye(3, dtype=np.float32)[np.full(len(styles), 1)]
    for labels in ("versicolor", 1, 1.0, np.full((len(styles)), "versicolor")):
        np.testing.assert_array_equal(run.decode(styles, labels), run.decode(codes))
    with pytest.raises(InputError, match="codes are of style; the run expects label, style"):
        run.decode(styles)
    places = aae.train("map", iris[0], run=tmp_path / "map", epochs=1, **SMALL)
    np.testing.assert_allclose(
        places.decode(places.transform(iris[0])), places.reconstruct(iris[0]), rtol=1e-4, atol=1e-4
    )


def test_gaps_are_filled_as_by_estimators(run, iris, tmp_path):
    frame = iris[0].assign(kind=np.array(["u", "v"])[np.arange(150) % 2])
    frame.loc[::5, "a"], frame.loc[1::5, "kind"] = np.nan, None
    with pytest.warns(InputWarning, match="read as categories: 'kind'"):
        made = aae.train("generate", frame, run=tmp_path / "gaps", epochs=60, data__missing="mask")
    filled = made.impute(frame)
    assert list(filled.columns) == list(frame.columns)
    assert not filled.isna().any().any()
    pd.testing.assert_frame_equal(filled.where(frame.notna()), frame.where(frame.notna()), check_dtype=False)
    assert np.abs(filled.a[::5] - iris[0].a[::5]).mean() < np.abs(iris[0].a.median() - iris[0].a[::5]).mean()
    with pytest.raises(
        InputError, match=r"was trained with data\.missing=error; expected data\.missing=mask to impute"
    ):
        run.impute(iris[0])
    with pytest.raises(InputError, match=r"^rounds is 0; expected 1 or more"):
        made.impute(frame, rounds=0)
