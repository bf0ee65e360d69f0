"""The recipes of the package: they read, they say what they are, they hold the paper's constants, and each one runs."""

import json
import math
import re
from pathlib import Path

import pytest
from PIL import Image

from aae import recipes
from aae.data import load
from aae.errors import InputError, InputWarning
from aae.recipes.methods import METHODS
from aae.reproduction.reproduce import plan
from aae.runs.evaluate import evaluate
from aae.runs.plot import plot
from aae.runs.recipe import read_recipe
from aae.runs.train import train

NAMES = recipes.names()


# --- reading -----------------------------------------------------------------------------------------------------------


def test_keys_of_version_0_1_are_read_and_what_they_are_called_now_is_said(tmp_path):
    changes = ["training.generator.rate={0=0.1,5=0.01}", "training.warm_start=3", "model.style.prior.sd=2"]
    with pytest.warns(InputWarning, match="read with the names that keys have now") as warned:
        recipe = recipes.read("demo", changes)
    told = str(warned[0].message)
    assert recipe.training.moment_matching_epochs == 3
    assert recipe.model.style.prior.std == 2
    assert recipe.training.model_extra["generator"].learning_rate == {0: 0.1, 5: 0.01}
    for said in ("training.generator.rate is learning_rate", "model.style.prior.sd is std", "training.warm_start is"):
        assert said in told
    (tmp_path / "kept.toml").write_text(recipes.dump(recipe))
    assert recipes.read(tmp_path / "kept.toml") == recipe  # without a warning
    with pytest.raises(InputError, match=r"training\.generator\.learning_rate is -1"), pytest.warns(InputWarning):
        recipes.read("demo", ["training.generator.rate=-1"])
    with pytest.raises(InputError, match=r"unknown key 'training\.rate'"):
        recipes.read("demo", ["training.rate=0.1"])


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is_and_survives_writing(name, tmp_path):
    recipe = recipes.read(name)
    assert recipe.name == name
    assert recipe.title
    assert recipe.cost
    assert re.search(r"[Ff]igure|Table|section", recipe.reference)
    path = tmp_path / f"{name}.toml"
    path.write_text(recipes.dump(recipe))
    assert recipes.read(path) == recipe
    assert recipes.dump(recipes.read(path)) == recipes.dump(recipe)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_opens_with_the_command_that_runs_it(name):
    text = Path(recipes.__file__).with_name(f"{name}.toml").read_text()
    first = text.splitlines()[0]
    assert first.startswith((f"# aae train {name}", "# aae demo"))


def test_titles_tell_recipes_apart():
    titles = [recipes.read(name).title for name in NAMES]
    assert len(set(titles)) == len(titles)


def test_names_other_things_rely_on():
    figures = {"figure2a", "figure2b", "figure2c", "figure2d", "figure4a", "figure4c", "figure7a", "figure7b"}
    tables = {f"table2-{kind}-{labels}" for kind in ("mnist", "nn") for labels in ("100", "1000", "all")}
    svhn = {f"table2-svhn-{kind}" for kind in ("1000", "1000-conv", "nn-1000", "nn-1000-conv")}
    assert {"demo"} | figures | tables | svhn <= set(NAMES)


# --- overriding and extending ------------------------------------------------------------------------------------------


def test_another_kind_replaces_the_keys_of_the_first():
    prior = recipes.read("figure2a", ["model.style.prior.kind=uniform", "model.style.prior.low=-3"]).model.style.prior
    assert prior.model_dump() == {"kind": "uniform", "low": -3.0, "high": 1.0}
    prior = recipes.read("figure2a", ["model.style.prior.kind=gaussian"]).model.style.prior
    assert (prior.kind, prior.std) == ("gaussian", 5.0)  # the same kind keeps them
    for override in (
        "training.generator.optimizer=adam",
        'training.generator={ optimizer = "adam", learning_rate = 0.1 }',
    ):
        generator = recipes.read("figure2a", [override]).training.generator
        assert (generator.optimizer, generator.learning_rate_at(0, 0, 1), generator.momentum) == ("adam", 0.1, 0.0)
    assert recipes.read("figure11a").training.generator.momentum == 0  # momentum 0.1 below belongs to another optimizer


def test_an_own_recipe_extends_one_of_the_package_or_a_neighbour(tmp_path):
    (tmp_path / "base.toml").write_bytes(
        b'\xef\xbb\xbfextends = "table2-mnist-100"\ntraining.epochs = 7\n'
    )  # as Notepad does
    (tmp_path / "mine.toml").write_text(
        'extends = "base.toml"\ntitle = "mine"\n[training.generator]\nlearning_rate = 0.5\n'
    )
    recipe = recipes.read(tmp_path / "mine.toml")
    base = recipes.read("table2-mnist-100")
    assert (recipe.name, recipe.title, recipe.training.epochs, recipe.paper) == ("mine", "mine", 7, {})
    assert (recipe.training.generator.learning_rate, recipe.training.generator.momentum) == (0.5, 0.1)
    assert recipe.model == base.model
    assert recipe.training.reconstruction == base.training.reconstruction


def test_data_that_lie_beside_a_recipe_file_are_meant_before_those_of_the_working_folder(tmp_path, monkeypatch):
    there, here = tmp_path / "there", tmp_path / "here"
    for folder in (there, here):
        folder.mkdir()
        (folder / "both.csv").touch()
    (there / "labels.csv").touch()
    (there / "digits").mkdir()  # a named data set stays one
    (here / "mine.csv").touch()
    monkeypatch.chdir(here)

    def read(data, extends="demo"):
        (there / "mine.toml").write_text(f'extends = "{extends}"\n[data]\n{data}\n')
        return recipes.read("../there/mine.toml").data

    both = read('source = "both.csv"\nlabels_file = "labels.csv"')
    assert Path(both.source).samefile(there / "both.csv")
    assert Path(both.labels_file).samefile(there / "labels.csv")
    assert read('source = "mine.csv"').source == "mine.csv"
    assert read('source = "digits"').source == "digits"
    assert read(f'source = "{here / "both.csv"}"').source == str(here / "both.csv")
    (there / "base.toml").write_text('extends = "demo"\ndata.source = "both.csv"\n')
    assert Path(read("validation = 0.2", "base.toml").source).samefile(there / "both.csv")


def test_another_weight_of_a_loss_keeps_the_optimizers_and_another_set_of_phases_does_not(tmp_path):
    def read(base, losses):
        (tmp_path / "mine.toml").write_text(f'extends = "{base}"\n[training]\nlosses = {losses}\n')
        return recipes.read(tmp_path / "mine.toml").training

    base = recipes.read("table2-mnist-100-consistent").training
    kept = read("table2-mnist-100-consistent", "{ consistency.weight = 0.5 }")
    assert (kept.joint, kept.discriminator) == (base.joint, base.discriminator)
    assert kept.losses.consistency.weight == 0.5
    assert "generator" in read("table2-mnist-100", "{ classification = 2.0 }").model_extra
    assert "generator" not in read("table2-mnist-100", "{ consistency = {} }").model_extra
    with pytest.raises(InputError, match=r"training\.losses is 3"):
        read("table2-mnist-100", "3")


def test_other_data_keeps_the_settings_and_drops_what_is_true_of_its_own_alone():
    own, moved = recipes.read("table2-mnist-100"), read_recipe("table2-mnist-100", [], "rows 🌸.csv")
    assert (moved.data.source, moved.data.validation, moved.paper) == ("rows 🌸.csv", 0.15, {})
    assert moved.title == "rows 🌸.csv, as in: Semi-supervised MNIST, 100 labels"
    overridden = read_recipe("table2-mnist-100", ["data.source=digits"])
    assert own.paper_curves
    assert (moved.paper_curves, overridden.paper_curves) == ({}, {})
    assert (overridden.paper, overridden.title) == ({}, "digits, as in: Semi-supervised MNIST, 100 labels")
    assert (moved.model, moved.training) == (own.model, own.training)
    assert read_recipe("table2-mnist-100", [], "mnist") == own
    assert read_recipe("figure2a", ["data.validation=3"], "rows.csv").data.validation == 3


@pytest.mark.parametrize("name", ["figure2a", "table2-mnist-100", "table2-nn-100"])
def test_bad_overrides_never_reach_training(name):
    with pytest.raises(InputError, match=r"training\.epochs is -1; expected a value greater than or equal to 1"):
        recipes.read(name, ["training.epochs=-1"])


def test_bare_words_between_commas_are_a_list_where_there_can_be_one():
    words = ["data.ignore_columns=id, species", "model.encoder.hidden=20,10", "data.source=my,file.csv"]
    recipe = recipes.read("figure2a", [*words, 'data.covariates="a,b"'])
    assert recipe.data.ignore_columns == ["id", "species"]
    assert recipe.model.encoder.hidden == [20, 10]
    assert (recipe.data.source, recipe.data.covariates) == ("my,file.csv", "a,b")
    with pytest.raises(InputError, match=r"unknown key 'kind'"):
        recipes.read("figure2a", ["kind=3"])


# --- the paper's constants ---------------------------------------------------------------------------------------------


def test_constants_of_semi_supervised_mnist():
    recipe = recipes.read("table2-mnist-100")
    model, training = recipe.model, recipe.training
    # A.2.1: "The encoder, decoder and discriminator each have two layers of 1000 hidden units with ReLU"
    for network in (model.encoder, model.decoder, model.discriminator):
        assert (network.hidden, network.activation) == ([1000, 1000], "relu")
        assert network.batch_norm == "none"  # "Batch-normalization did not help in the case of the MNIST dataset"
        assert network.dropout == 0  # "No dropout, l2 weight decay or other Gaussian noise regularization"
    assert model.output in ("linear", "sigmoid")  # "can have a linear or sigmoid activation"
    # "The dimensionality of both the style and label representation is 10." The label's follows the ten classes.
    assert model.style.dim == 10
    assert model.label.categories is None
    assert (model.style.prior.kind, model.style.prior.std) == ("gaussian", 1.0)  # "standard deviation of 1"
    # "We add a Gaussian noise with standard deviation of 0.3 only to the input layer"
    assert (model.encoder.input_noise, model.encoder.input_dropout) == (0.3, 0)
    assert (model.init, model.init_std) == ("normal", 0.01)  # A.1: "initialized with ... standard deviation of 0.01"
    assert training.epochs == 5000  # "We train the network for 5000 epochs"
    assert training.batch_size == 100  # A.1: "The mini-batch size is 100"
    assert training.reduction == "sum"  # "half the Euclidean error"
    # "gradient descent with momentum for optimizing all the cost functions"; "fixed to 0.9 ... fixed to 0.1"
    momentum = {"reconstruction": 0.9, "classification": 0.9, "generator": 0.1, "discriminator": 0.1}
    for phase, value in momentum.items():
        settings = getattr(training, phase)
        assert (settings.optimizer, settings.momentum) == ("sgd", value)
    # "initial learning rate of 0.01, after 50 epochs reduce it to 0.001 and after 1000 epochs reduce it to 0.0001"
    assert training.reconstruction.learning_rate == {0: 0.01, 50: 0.001, 1000: 0.0001}
    # "0.1, after 50 epochs reduce it to 0.01 and after 1000 epochs reduce it to 0.001", for the three others
    for phase in ("classification", "generator", "discriminator"):
        assert getattr(training, phase).learning_rate == {0: 0.1, 50: 0.01, 1000: 0.001}
    assert (recipe.data.source, recipe.data.labels) == ("mnist", 100)
    assert recipe.paper == {"test_error_percent": 1.90}  # Table 2, 1.90 (0.10)


@pytest.mark.parametrize(("suffix", "labels", "error"), [("1000", 1000, 1.60), ("all", "all", 0.85)])
def test_the_rows_of_table_2_differ_in_their_labels_alone(suffix, labels, error):
    first, other = recipes.read("table2-mnist-100"), recipes.read(f"table2-mnist-{suffix}")
    assert (other.data.labels, other.paper) == (labels, {"test_error_percent": error})
    differences = {"name": other.name, "title": other.title, "paper": other.paper, "paper_curves": {}}
    data = first.data.model_copy(update={"labels": labels})
    assert other == first.model_copy(update={**differences, "data": data})


@pytest.mark.parametrize(
    ("suffix", "labels", "error"), [("100", 100, 25.80), ("1000", 1000, 8.73), ("all", "all", 1.25)]
)
def test_the_baseline_of_table_2_has_the_same_layers_labels_and_splits(suffix, labels, error):
    network, ours = recipes.read(f"table2-nn-{suffix}"), recipes.read(f"table2-mnist-{suffix}")
    assert (network.model.method, network.paper) == ("network", {"test_error_percent": error})
    assert network.data == ours.data  # and so, seed by seed, the same labelled subset
    assert network.data.labels == labels
    assert network.model.encoder.hidden == ours.model.encoder.hidden
    assert network.model.encoder.dropout > 0  # "a dropout supervised neural network with the same architecture"


def test_constants_of_semi_supervised_svhn():
    recipe = recipes.read("table2-svhn-1000")
    model, training = recipe.model, recipe.training
    # A.2.2: "about 530K training points"; "subtracted by the mean and divided by the standard deviation along each input"
    assert (recipe.data.source, recipe.data.scaling) == ("svhn-extra", "standardize")
    assert recipe.data.labels == 1000  # "SVHN with 1000 labels"
    # "The dimensionality of the label representation is 10 and for the style representation we use 20 dimensions"
    assert (model.style.dim, model.label.categories) == (20, None)
    assert (model.style.prior.kind, model.style.prior.std) == ("gaussian", 1.0)
    # "the momentum value for the autoencoder reconstruction cost and the semi-supervised cost is fixed to 0.9"; "0.1"
    momentum = {"reconstruction": 0.9, "classification": 0.9, "generator": 0.1, "discriminator": 0.1}
    # "0.0001 and after 250 epochs reduce it to 0.00001"; "0.1 ... 0.01"; "0.01 ... 0.001"
    rates = {
        "reconstruction": {0: 0.0001, 250: 0.00001},
        "classification": {0: 0.1, 250: 0.01},
        "generator": {0: 0.01, 250: 0.001},
        "discriminator": {0: 0.01, 250: 0.001},
    }
    for phase, value in momentum.items():
        settings = getattr(training, phase)
        assert (settings.optimizer, settings.momentum, settings.learning_rate) == ("sgd", value, rates[phase])
    assert training.epochs == 1000  # "We train the network for 1000 epochs"
    # "dropout at the input layer with the dropout rate of 20%. No other dropout, l2 weight decay or Gaussian noise"
    assert (model.encoder.input_dropout, model.encoder.input_noise) == (0.2, 0)
    for network in (model.encoder, model.decoder, model.discriminator):
        assert network.dropout == 0
    assert (model.discriminator.input_noise, model.discriminator.add_log_prior, training.moment_matching_epochs) == (
        0,
        False,
        0,
    )
    # "in all the autoencoder layers including the softmax layer of q(y|x), the linear layer of q(z|x) as well as the linear
    # output layer of the autoencoder"
    assert (model.encoder.batch_norm, model.decoder.batch_norm, model.output) == ("all", "all", "linear")
    assert model.discriminator.batch_norm == "none"
    assert recipe.paper == {"test_error_percent": 17.70}  # Table 2, 17.70 (0.30)


def test_the_recipes_of_svhn_differ_where_they_say():
    kinds = ("1000", "1000-conv", "nn-1000", "nn-1000-conv")
    ours, conv, network, conv_network = (recipes.read(f"table2-svhn-{kind}") for kind in kinds)
    assert (conv.data, conv.model.style, conv.paper) == (ours.data, ours.model.style, {})
    assert conv.model.encoder.channels
    assert conv.model.decoder.channels
    assert (conv.model.encoder.batch_norm, conv.model.decoder.batch_norm) == ("all", "all")
    assert (conv_network.model.encoder, conv_network.model.method) == (conv.model.encoder, "network")
    assert network.data == conv_network.data == ours.data  # and so, seed by seed, the same labelled subset
    assert network.model.encoder == ours.model.encoder.model_copy(update={"dropout": network.model.encoder.dropout})
    assert (network.model.method, network.paper) == ("network", {"test_error_percent": 47.50})
    moved, consistent = (recipes.read(f"table2-svhn-{kind}") for kind in ("nn-1000-conv-shift", "1000-conv-consistent"))
    assert (moved.model.encoder, moved.training.shift) == (consistent.model.encoder, consistent.training.shift)
    figure7a, figure7b = recipes.read("figure7a"), recipes.read("figure7b")
    assert figure7b.model.style == figure7a.model.style  # figure 7: "(15-D Gaussian) on MNIST and SVHN"
    assert (figure7b.data.labels, figure7b.model.decoder_sees_label) == ("all", True)  # section 4
    assert (figure7b.data.scaling, figure7b.model.output) == ("standardize", "linear")


def test_constants_of_clustering():
    recipe = recipes.read("table3-30")
    model, training = recipe.model, recipe.training
    # A.3: "two layers of 3000 hidden units with ReLU"; "sigmoid"; "5 and 30 (number of clusters)"
    for network in (model.encoder, model.decoder, model.discriminator):
        assert (network.hidden, network.activation, network.dropout) == ([3000, 3000], "relu", 0)
    assert (model.output, model.style.dim, model.label.categories) == ("sigmoid", 5, 30)
    assert (model.style.prior.kind, model.style.prior.std) == ("gaussian", 1.0)
    # "dropout at the input layer with the dropout rate of 20%"; no "Gaussian noise regularization"
    assert (model.encoder.input_dropout, model.encoder.input_noise) == (0.2, 0)
    # "only in the encoder layers of the autoencoder including the last layer of q(y|x) and q(z|x)"
    assert (model.encoder.batch_norm, model.decoder.batch_norm, model.discriminator.batch_norm) == (
        "all",
        "none",
        "none",
    )
    assert (model.discriminator.input_noise, model.discriminator.add_log_prior, training.moment_matching_epochs) == (
        0,
        False,
        0,
    )
    momentum = {"reconstruction": 0.9, "generator": 0.1, "discriminator": 0.1}
    rates = {
        "reconstruction": {0: 0.01, 50: 0.001},
        "generator": {0: 0.1, 50: 0.01},
        "discriminator": {0: 0.1, 50: 0.01},
    }
    for phase, value in momentum.items():
        settings = getattr(training, phase)
        assert (settings.optimizer, settings.momentum, settings.learning_rate) == ("sgd", value, rates[phase])
    assert (training.epochs, training.reduction) == (1500, "sum")
    assert (recipe.data.source, recipe.data.labels) == ("mnist", None)
    assert recipe.paper == {"clustering_error_percent": 4.10}  # Table 3
    other = recipes.read("table3-16")
    assert other.model == model.model_copy(update={"label": other.model.label})
    assert (other.model.label.categories, other.training, other.data) == (16, training, recipe.data)
    assert other.paper == {"clustering_error_percent": 9.55}
    tuned = recipes.read("table3-30-tuned")  # what is not named in it stays as in the paper
    assert (tuned.data, tuned.model.label, tuned.model.style) == (recipe.data, recipe.model.label, recipe.model.style)
    assert tuned.model.encoder == recipe.model.encoder.model_copy(update={"hidden": [1000, 1000]})


def test_tuned_likelihood_keeps_data_and_model_of_the_paper_but_for_dropout():
    recipe, tuned = recipes.read("table1-mnist"), recipes.read("table1-mnist-tuned")
    encoder = recipe.model.encoder.model_copy(update={"dropout": 0.6})
    assert tuned.model == recipe.model.model_copy(update={"init": "he", "encoder": encoder})
    assert (tuned.data, tuned.evaluation, tuned.paper) == (recipe.data, recipe.evaluation, recipe.paper)


def test_constants_of_dimensionality_reduction():
    for name, labels, error in (("figure11a", 1000, 4.20), ("figure11b", 100, 6.08), ("figure11c", None, None)):
        recipe = recipes.read(name)
        assert (recipe.data.labels, recipe.paper.get("test_error_percent")) == (labels, error)
        assert (recipe.model.style.dim, recipe.model.cluster_heads.fixed) == (2, None)  # "in n = 2 dimensions"
    assert recipe.model.label.categories == 20  # "have chosen to be m = 20"
    recipe = recipes.read("figure11d")
    # "n = 10 dimensions with 100 labels", "W_C = 10 I", "a 10D Gaussian distribution with the standard deviation of 1"
    assert (recipe.data.labels, recipe.model.style.dim, recipe.model.cluster_heads.fixed) == (100, 10, 10.0)
    assert (recipe.model.style.prior.kind, recipe.model.style.prior.std) == ("gaussian", 1.0)
    assert recipe.paper == {"test_error_percent": 3.90}


def test_constants_of_the_figures():
    figure2a = recipes.read("figure2a")
    # A.1: "two layers of 1000 hidden units", "standard deviation of 0.01", "mini-batch size is 100", sigmoid on MNIST
    assert all(network.hidden == [1000, 1000] for network in (figure2a.model.encoder, figure2a.model.decoder))
    assert (figure2a.model.init_std, figure2a.training.batch_size, figure2a.model.output) == (0.01, 100, "sigmoid")
    assert (figure2a.model.style.dim, figure2a.model.style.prior.kind) == (2, "gaussian")  # "a 2-D Gaussian"
    assert recipes.read("figure2b").model.style.prior.kind == "gaussian-mixture"  # "a mixture of 10 2-D Gaussians"
    for name in ("figure2c", "figure2d"):  # "Same for variational autoencoder"
        vae, ours = recipes.read(name), recipes.read({"figure2c": "figure2a", "figure2d": "figure2b"}[name])
        assert (vae.model.method, vae.model.style.posterior) == ("vae", "gaussian")
        assert (vae.model.style.prior, vae.model.encoder, vae.data) == (
            ours.model.style.prior,
            ours.model.encoder,
            ours.data,
        )
    for name, kind in (("figure4a", "gaussian-mixture"), ("figure4c", "swiss-roll")):
        recipe = recipes.read(name)
        # section 2.3: "trained on 10K labeled MNIST examples and 40K unlabeled MNIST examples"
        assert (recipe.data.labels, recipe.data.validation) == (10_000, 60_000 - 10_000 - 40_000)
        assert (recipe.model.style.prior.kind, recipe.model.style.label_informed) == (kind, True)
    figure7a = recipes.read("figure7a")
    assert (figure7a.data.labels, figure7a.model.decoder_sees_label) == ("all", True)  # section 4
    assert figure7a.model.style.dim == 15  # figure 7: "15-D Gaussian"


# --- one tiny run of each ----------------------------------------------------------------------------------------------


def looks(name):
    """What decides which figures a recipe has and how they are drawn."""
    model, data = recipes.read(name).model, recipes.read(name).data
    style = model.style and (model.style.prior.kind, model.style.dim == 2, model.style.label_informed)
    return (
        model.method,
        style,
        model.label is None,
        model.cluster_heads is None,
        model.decoder_sees_label,
        data.labels is None,
    )


DRAWN = set({looks(name): name for name in reversed(NAMES)}.values())  # the first of each


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_trains_and_is_evaluated_and_plotted(name, tmp_path, monkeypatch):
    monkeypatch.setattr("aae.runs.reference_classifier.STEPS", 30)
    monkeypatch.setattr("aae.runs.plot.GRID", 3)
    monkeypatch.setattr("aae.runs.plot.PANEL", 3)
    for module in ("curves", "figure2"):
        monkeypatch.setattr(f"aae.figures.{module}.DPI", 40)
    recipe, _ = plan(name, "smoke")
    dataset = load("digits", validation=recipe.data.validation)
    run = train(recipe, dataset, run=tmp_path / "run", device="cpu")
    split = "validation" if dataset.validation else "test"
    report = evaluate(run, split, dataset)
    assert report["rows"] == len(getattr(dataset, split))
    assert all(math.isfinite(value) for value in report["metrics"].values())
    record = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()][-1]
    assert all(math.isfinite(value) for value in record.values())
    measured_alike = {key for key in record if key.startswith("validation_") and key in report["metrics"]}
    for metric in measured_alike - {"validation_reconstruction"}:
        assert report["metrics"][metric] == pytest.approx(record[metric])  # in training and afterwards
    assert report["metrics"].keys() >= recipes.read(name).paper.keys() or split == "validation"
    if name not in DRAWN:
        return
    figures = plot(run, data=dataset)
    assert "curves" in {path.stem for path in figures}
    drawn, model = {path.stem for path in figures}, recipe.model
    assert ("embedding" in drawn) == (model.cluster_heads is not None)
    assert ("codes" in drawn) == (model.style is not None and model.style.dim == 2 and model.cluster_heads is None)
    assert ("samples" in drawn) == (run.model.samples and not METHODS[model.method].maps)
    assert ("clusters" in drawn) == (model.label is not None and model.method == "aae" and recipe.data.labels is None)
    for path in figures:
        with Image.open(path) as image:
            image.verify()
