"""Plots as methods of runs and estimators."""

from shutil import copytree

import numpy as np
import pandas as pd
import pytest
from helpers import small_networks
from scipy.sparse import csr_array
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import average_precision_score, roc_auc_score

from aae import load
from aae.errors import InputError, InputWarning
from aae.estimators import AAE, AAEClusterer, AAEEmbedding, SemiSupervisedAAE, SupervisedAAE
from aae.runs.plot import chosen, figures, plot
from aae.runs.recipe import read_recipe
from aae.runs.train import train
from aae.runs.view import title

SMALL = {"hidden_layer_sizes": (8,), "discriminator_layer_sizes": (8,), "epochs": 1, "random_state": 0}
IRIS = load_iris()
NAMES = IRIS.target_names[IRIS.target]


def texts(figure) -> list[str]:
    legend = figure.axes[0].get_legend()
    return [text.get_text() for text in legend.get_texts()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = read_recipe("demo", [*small_networks(), "training.epochs=2"], None)
    return train(recipe, run=tmp_path_factory.mktemp("runs") / "demo")


def test_a_run_plots_its_held_out_rows(run):
    figure = run.plot_map()
    assert texts(figure) == [*"0123456789", "place of a label"]
    assert sum(len(some.get_offsets()) for some in figure.axes[0].collections[:-1]) == 359
    title = figure.axes[0].get_title().replace("\n", " ")
    assert title == (
        "Handwritten digits, five labels per class, with 3 other settings of the model: "
        "trained on digits, 1,238 rows, 50 labels, 2 epochs"
    )
    assert run.plot_confusion().axes[0].images[0].get_array().shape == (10, 10)
    assert run.plot_clusters().axes[0].get_xticklabels()[0].get_text() == "head"
    assert len(run.plot_history().axes) > 5
    sources = run.plot_reconstructions(n=10).axes[0]
    assert [text.get_text() for text in sources.get_xticklabels()] == list("0123456789")
    assert run.plot_interpolation(steps=5).axes[0].images
    assert run.plot_samples(n=9).axes[0].images


def test_a_run_plots_rows_that_it_is_given(run):
    rows = load_digits().images[:30].astype(np.float32) / 16
    dataset = run.load_data()
    some = dataset.test.rows[:30]
    assert texts(run.plot_map(some, ["3"] * 30)) == ["3", "place of a label"]
    assert run.plot_interpolation(some, pairs=[(0, 4)], steps=3).axes[0].images
    with pytest.raises(InputError, match=r"labels: found 'eleven' in row 0 \(counted from 0\); expected 0, 1"):
        run.plot_map(some, ["eleven"] * 30)
    with pytest.raises(InputError, match=r"pairs of rows are \[\(0, 30\)\]; expected numbers from 0 to 29"):
        run.plot_interpolation(some, pairs=[(0, 30)])
    with pytest.raises(InputError, match="steps is 1; expected 2 or more"):
        run.plot_interpolation(rows.astype(some.dtype), steps=1)


def test_a_table_gets_a_map_a_confusion_matrix_and_columns():
    model = SemiSupervisedAAE(**SMALL).fit(IRIS.data, np.where(np.arange(150) % 5, "", NAMES))
    assert texts(model.plot_map(IRIS.data, NAMES)) == ["setosa", "versicolor", "virginica", "place of a label"]
    axes = model.plot_confusion(IRIS.data, NAMES).axes[0]
    np.testing.assert_allclose(np.sum(axes.images[0].get_array(), axis=1), 1)
    assert len(model.plot_reconstructions(IRIS.data).axes) == 4
    assert len(model.plot_samples(IRIS.data).axes) == 4
    assert len(model.plot_interpolation(IRIS.data, steps=4).axes[0].lines[0].get_xdata()) == 4
    assert len(model.plot_history().axes) > 3
    assert model.plot_history()._repr_html_().startswith('<img alt="figure"')  # in a notebook
    page = model.explore(IRIS.data, NAMES, rows=20)
    assert page.rows == 20
    assert "SemiSupervisedAAE on 4 columns, 1 epoch" in page.html


def test_an_estimator_plots_categories():
    frame = pd.DataFrame({"width": IRIS.data[:, 0], "species": NAMES})
    model = AAE(2, columns={"species": "categorical"}, **SMALL).fit(frame)
    for figure in (model.plot_samples(frame), model.plot_reconstructions(frame), model.plot_interpolation(frame)):
        names = {text.get_text() for text in figure.axes[1].get_yticklabels()}
        assert names <= set(NAMES)


def test_figures_of_several_seeds_say_which_is_shown(run, tmp_path):
    names = [path.name for path in plot([run, run], tmp_path, names=["precision-recall"], dark=True)]
    assert names == ["precision-recall.png", "precision-recall-dark.png"]
    seen = chosen([run, run], ["history", "confusion"])
    titles = [seen["history"].get_suptitle(), seen["confusion"].axes[0].get_title()]
    assert [title.replace("\n", " ").rpartition(", ")[2] for title in titles] == ["2 seeds", "seed 0 of 2 seeds"]
    with pytest.raises(InputError, match="plot 'rok'"):
        plot(run, tmp_path, names=["rok"])


def test_a_network_without_codes_has_a_confusion_matrix(tmp_path):
    small = ["data.source=digits", "data.validation=200", "model.encoder.hidden=[8]", "training.epochs=1"]
    recipe = read_recipe("table2-nn-100", small, None)
    network = train(recipe, run=tmp_path / "network")
    assert list(figures([network])) == ["curves", "confusion"]
    title = network.plot_confusion().axes[0].get_title()
    assert title.replace("\n", " ").startswith(
        "table2-nn-100, supervised network, with encoder.hidden = [8]: trained on digits"
    )
    assert len(network.plot_roc().axes[0].lines) == 11
    with pytest.raises(InputError, match="a supervised network has no codes; expected an autoencoder"):
        network.plot_map()
    with pytest.raises(InputError, match="a supervised network has no codes; expected an autoencoder"):
        network.explore()


def test_roc_of_classes_and_of_anomalies():
    model = SemiSupervisedAAE(**SMALL).fit(IRIS.data, np.where(np.arange(150) % 5, "", NAMES))
    axes = model.plot_roc(IRIS.data, NAMES).axes[0]
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    expected = [
        roc_auc_score(name == NAMES, model.predict_proba(IRIS.data)[:, k]) for k, name in enumerate(model.classes_)
    ]
    assert shown == [f"{name}: {area:.3f}" for name, area in zip(model.classes_, expected, strict=True)]
    scorer = AAE(2, **SMALL).fit(IRIS.data[:50])
    scores, strange = -scorer.score_samples(IRIS.data), IRIS.target > 0
    (text,) = scorer.plot_roc(IRIS.data, strange, scores=scores).axes[0].get_legend().get_texts()
    assert text.get_text() == f"anomalies (all but False): {roc_auc_score(strange, scores):.3f}"
    axes = scorer.plot_precision_recall(IRIS.data, strange, scores=scores).axes[0]
    (text,) = axes.get_legend().get_texts()
    assert text.get_text() == f"anomalies (all but False): {average_precision_score(strange, scores):.3f}"
    assert axes.lines[0].get_ydata()[0] == pytest.approx(100 / 150)  # the fraction of anomalies
    with pytest.raises(InputError, match="the model finds no classes; expected scores, larger for anomalies"):
        scorer.plot_roc(IRIS.data, strange)
    with pytest.raises(
        InputError, match="all labelled rows are of one class; expected two or more to tell apart, and -1"
    ):
        scorer.plot_roc(IRIS.data[50:], np.ones(100), scores=scores[50:])


def test_clusters_of_a_table_are_counted():
    model = AAEClusterer(n_clusters=4, **SMALL).fit(IRIS.data)
    axes = model.plot_clusters(IRIS.data, NAMES).axes[0]
    assert sum(bar.get_width() for bars in axes.containers for bar in bars) == 150
    assert model.plot_confusion(IRIS.data, NAMES).axes[0].get_xlabel() == "cluster"


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_maps_of_codes_of_any_dimension(dims):
    axes = AAE(dims, **SMALL).fit(IRIS.data).plot_map(IRIS.data, IRIS.target).axes[0]
    expected = {1: "$z$", 2: "$z_1$", 3: "principal axis 1"}[dims]
    assert axes.get_xlabel().startswith(expected)


def test_embeddings_show_their_heads_and_images_are_told_by_their_shape():
    digits = load_digits()
    model = AAEEmbedding(n_clusters=3, **SMALL).fit(digits.data[:60])
    assert "cluster head" in texts(model.plot_map(digits.data[:60], digits.target[:60]))
    assert model.plot_clusters(digits.data[:60], image_shape=(8, 8)).axes[0].images
    assert len(model.explore(csr_array(digits.data[:60]), image_shape=(8, 8)).html) > 1000  # sparse rows
    with pytest.raises(InputError, match=r"image_shape is \(8, 9\); expected .* with 64 values"):
        model.plot_reconstructions(digits.data[:60], image_shape=(8, 9))


def test_what_cannot_be_plotted_is_said():
    model = SupervisedAAE(**SMALL).fit(IRIS.data, NAMES)
    assert len(model.plot_reconstructions(IRIS.data, NAMES).axes) == 4
    with pytest.raises(InputError, match=r"the decoder sees the label \(section 4\); expected a label for every row"):
        model.plot_reconstructions(IRIS.data)
    with pytest.raises(InputError, match="the model infers no label"):
        model.plot_confusion(IRIS.data, NAMES)
    with pytest.raises(InputError, match="X is None; expected rows, of which SupervisedAAE keeps none"):
        model.plot_map()
    with pytest.raises(InputError, match=r"y has shape \(3,\); expected \(150,\)"):
        model.plot_map(IRIS.data, NAMES[:3])


def test_settings_that_were_chosen_by_the_data_are_in_no_title(tmp_path):
    pd.DataFrame(IRIS.data).assign(species=NAMES).to_csv(tmp_path / "iris.csv", index=False)
    small = [*small_networks(), "training.epochs=1", "data.label_column=species"]
    trained = train(read_recipe("classify", small, str(tmp_path / "iris.csv")), run=tmp_path / "run")
    assert "auto" not in (trained.recipe.model.output, trained.recipe.model.label.probabilities)
    assert "output" not in title(trained)
    assert "probabilities" not in title(trained)


def test_a_walk_between_rows_names_both_whatever_they_are_called():
    names = np.where(IRIS.target == 0, "way to school", "way to work")
    model = SemiSupervisedAAE(**SMALL).fit(IRIS.data, names)
    shown = model.plot_interpolation(IRIS.data, names).get_suptitle().replace("\n", " ")
    assert shown.startswith("from row A (way to school) to row B (way to work), ")
    supervised = SupervisedAAE(**SMALL).fit(IRIS.data, names)
    shown = supervised.plot_interpolation(IRIS.data, names).get_suptitle().replace("\n", " ")
    assert "with the label of row A" in shown


def test_covariates_are_not_shown_as_if_they_were_made():
    frame = pd.DataFrame({"width": IRIS.data[:, 0], "length": IRIS.data[:, 2], "age": IRIS.data[:, 1]})
    model = AAE(2, columns={"age": "numerical"}, **SMALL).fit(frame, covariates="age")
    for figure in (model.plot_samples(frame), model.plot_reconstructions(frame)):
        assert [axes.get_title("left") for axes in figure.axes] == ["width", "length"]
    walk = model.plot_interpolation(frame).axes  # which shows the covariate that it was made at
    assert [axes.get_title("left") for axes in walk] == ["width", "length", "age"]


def test_one_row_has_a_map_and_none_is_said(run):
    model = AAE(3, **SMALL).fit(IRIS.data)
    assert len(model.plot_map(IRIS.data[:1]).axes[0].collections) == 2
    for draw in (run.plot_map, run.plot_reconstructions):
        with pytest.raises(InputError, match="found no rows; expected at least one to show"):
            draw(run.load_data().test.rows[:0])
    with pytest.raises(InputError, match="n is 0; expected 1 or more"):
        model.plot_reconstructions(IRIS.data, n=0)
    with pytest.raises(InputError, match=r"pairs of rows are \[\(0, 1, 2\)\]; expected two numbers in each"):
        model.plot_interpolation(IRIS.data, pairs=[(0, 1, 2)])


def test_of_large_images_fewer_are_shown(tmp_path):
    np.save(tmp_path / "large.npy", np.random.default_rng(0).integers(0, 256, (12, 700, 600), np.uint8))
    small = [*small_networks(), "training.epochs=1", "data.test=0.3", "data.validation=0", "model.encoder.hidden=[4]"]
    trained = train(read_recipe("figure2a", small, str(tmp_path / "large.npy")), run=tmp_path / "run")
    made = figures([trained])
    for name in ("samples", "grid"):
        assert 2**24 < np.prod(made[name].axes[0].images[0].get_array().shape[:2]) <= 2**25


def test_curves_are_made_of_the_seeds_that_have_some(run, tmp_path, recwarn):
    copytree(run.folder.path, tmp_path / "bare")
    (tmp_path / "bare" / "metrics.jsonl").unlink()
    assert "curves" in figures([load(tmp_path / "bare"), run])
    assert "found 0 of 2 epochs; curves are made of what is there" in str(recwarn[0].message)


def test_a_figure_is_no_folder(run, tmp_path):
    with pytest.raises(InputError, match=r"one\.png: found a file, expected a folder"):
        plot(run, tmp_path / "one.png")


def test_training_rows_are_shown_where_there_are_no_others_and_it_is_said(tmp_path):
    np.savetxt(tmp_path / "rows.csv", IRIS.data, delimiter=",", header="a,b,c,d", comments="")
    alone = [*small_networks(), "training.epochs=1", "data.test=0.0", "data.validation=0", "model.output=linear"]
    trained = train(read_recipe("figure2a", alone, str(tmp_path / "rows.csv")), run=tmp_path / "run")
    with pytest.warns(InputWarning, match="has no held-out rows; figures show training rows"):
        shown = figures([trained])["codes"]
    assert len(shown.axes[0].collections[1].get_offsets()) == len(IRIS.data)


def test_missing_values_are_not_plotted_as_if_they_were_known():
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": np.array(list("xyz"))[draw.integers(0, 3, 200)], "a": draw.normal(size=200)})
    gaps = frame.mask(draw.random((200, 2)) < 0.3)
    model = AAE(2, missing="mask", epochs=1, random_state=0).fit(gaps)
    samples, scatter = model.plot_samples(gaps), model.plot_reconstructions(gaps)
    bars = [bar.get_width() for bar in samples.axes[0].patches[:3]]
    np.testing.assert_allclose(bars, gaps.kind.value_counts(normalize=True).sort_index(), atol=1e-6)
    (points,) = scatter.axes[1].collections
    assert len(points.get_offsets()) == gaps.a.notna().sum()
