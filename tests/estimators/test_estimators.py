import ast
import io
import pickle
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

import aae
from aae.errors import InputError, TrainingError
from aae.evaluation import energy_distance, knn_accuracy_percent
from aae.noise import Noise
from aae.priors import FromSampler, GaussianMixture, Uniform

TINY = {"hidden_layer_sizes": (32,), "discriminator_layer_sizes": (16,), "batch_size": 25, "learning_rate": 0.01}
MAKERS = {
    "AAE": lambda **options: aae.AAE(**{"latent_dim": 2, "epochs": 20, **TINY, **options}),
    "SupervisedAAE": lambda **options: aae.SupervisedAAE(**{"latent_dim": 2, "epochs": 20, **TINY, **options}),
    "SemiSupervisedAAE": lambda **options: aae.SemiSupervisedAAE(**{"latent_dim": 2, "epochs": 20, **TINY, **options}),
    "AAEClusterer": lambda **options: aae.AAEClusterer(**{"latent_dim": 1, "epochs": 40, **TINY, **options}),
    "AAEEmbedding": lambda **options: aae.AAEEmbedding(**{"n_clusters": 3, "epochs": 20, **TINY, **options}),
}
ALL = list(MAKERS)


CHECKED = {
    **MAKERS,
    "AAEClusterer": lambda: MAKERS["AAEClusterer"](n_clusters=4, epochs=10),
}  # what is checked has four classes


@pytest.mark.filterwarnings("ignore:labels are -1 and 1 alone:aae.errors.InputWarning")
@parametrize_with_checks([make() for make in CHECKED.values()])
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def factors(n=300, seed=0):
    """Rows in six dimensions that come from two, in units of their own."""
    generator = np.random.default_rng(seed)
    hidden = generator.normal(size=(n, 2))
    mix = np.array([[1.0, 0.5, 0.0, -1.0, 2.0, 0.3], [0.0, 1.0, -1.5, 0.5, 1.0, -0.7]])
    return 100 + np.array([1, 2, 5, 10, 0.1, 1]) * (hidden @ mix + 0.05 * generator.normal(size=(n, 6)))


def blobs(n=240, seed=0, **options):
    return make_blobs(n, n_features=6, centers=4, cluster_std=1.0, random_state=seed, **options)


def fitted(name, rows, labels=None, **options):
    return MAKERS[name](random_state=0, **options).fit(rows, labels)


def outputs(estimator, rows):
    """What an estimator says about rows, as one array."""
    names = ("transform", "predict_proba", "score_samples")
    return np.column_stack([getattr(estimator, name)(rows) for name in names if hasattr(estimator, name)])


@pytest.fixture(scope="module")
def digits():
    """Training and held-out digits in [0, 1], with their labels."""
    rows, labels = load_digits(return_X_y=True)
    return train_test_split(rows / 16, labels, test_size=597, random_state=0, stratify=labels)


# The basic model


def corner(n):
    return torch.rand(n, 2) ** 2


def test_codes_have_the_prior_and_rows_come_back_from_them():
    rows, fresh = factors(600), factors(300, seed=1)
    model = fitted("AAE", rows, epochs=60, learning_rate=0.003)
    prior = np.random.default_rng(0).normal(size=(300, 2))
    assert energy_distance(model.transform(fresh), prior) < 0.15
    assert energy_distance(PCA(2).fit(rows).transform(fresh), prior) > 0.5  # a code in two dimensions without the prior
    unexplained = np.square(model.inverse_transform(model.transform(fresh)) - fresh).mean(0) / fresh.var(0)
    assert unexplained.max() < 0.2


def test_samples_look_like_rows():
    rows = factors(600)
    model = fitted("AAE", rows, epochs=60, learning_rate=0.003)
    scaler = StandardScaler().fit(rows)
    shuffled = np.random.default_rng(0).permuted(rows, axis=0)  # each column right, their relations lost
    distance = energy_distance(scaler.transform(model.sample(600, random_state=0)), scaler.transform(factors(600, 1)))
    assert distance < 0.2 * energy_distance(scaler.transform(shuffled), scaler.transform(factors(600, 1)))


@pytest.mark.parametrize("unseen", [0, 2, 6])
def test_a_digit_that_was_not_trained_on_scores_low(digits, unseen):
    train, test, labels, truth = digits
    model = aae.AAE(hidden_layer_sizes=(100, 100), discriminator_layer_sizes=(50,), epochs=40, random_state=0)
    scores = model.fit(train[labels != unseen]).score_samples(test)
    assert roc_auc_score(truth != unseen, scores) > 0.85


@pytest.mark.parametrize("prior", [Uniform(2, 3, 5), FromSampler(corner, 2), corner])
def test_codes_take_the_prior_they_are_given(prior):
    rows = factors(600)
    samples = corner(600) if prior is corner else prior.sample(600, noise=Noise(0))
    codes = fitted("AAE", rows, prior=prior, epochs=60, learning_rate=0.003).transform(rows)
    assert energy_distance(codes, samples) < 0.1
    assert energy_distance(torch.randn(600, 2), samples) > 0.3  # what the usual prior would score


# Labels


def test_score_leaves_rows_without_a_label_out_whatever_the_labels_are():
    rows, numbers = make_blobs(60, centers=[[0, 0], [9, 9]], random_state=0)
    names = np.array(["no", "yes"], object)[numbers]
    for labels in (numbers, names):
        model = aae.SemiSupervisedAAE(epochs=30, random_state=0).fit(rows, labels)
        half = np.where(np.arange(60) < 30, labels, -1)
        predicted = model.predict(rows)
        assert model.score(rows, labels) == (predicted == labels).mean() > 0.9
        assert model.score(rows, half) == (predicted == labels)[:30].mean()
        assert model.score(rows, half, np.arange(60) < 30) == (predicted == labels)[:30].mean()


def test_semi_supervised_learns_from_unlabelled_rows(digits):
    train, test, labels, truth = digits
    some = np.concatenate([np.flatnonzero(labels == k)[:5] for k in range(10)])
    few = np.full(len(labels), -1)
    few[some] = labels[some]
    model = aae.SemiSupervisedAAE(hidden_layer_sizes=(100, 100), discriminator_layer_sizes=(100,), epochs=50)
    model.set_params(random_state=0).fit(train, few)
    alone = SVC().fit(train[some], labels[some]).score(test, truth)
    assert model.score(test, truth) > alone + 0.02
    judge = SVC().fit(train, labels)
    assert (
        judge.score(model.sample(200, label=np.repeat(np.arange(10), 20), random_state=0), np.repeat(np.arange(10), 20))
        > 0.8
    )


def test_known_shares_of_uneven_classes_are_kept():
    rows, labels = make_blobs([360, 40], n_features=4, centers=[[0] * 4, [1.5] * 4], cluster_std=1.0, random_state=0)
    few = np.full(len(labels), -1)
    for k in (0, 1):
        few[np.flatnonzero(labels == k)[:5]] = k
    found = {}
    for shares in (None, [0.9, 0.1]):
        model = fitted("SemiSupervisedAAE", rows, few, class_prior=shares, epochs=40)
        found[shares is None] = (model.predict(rows) == 1).mean(), model.score(rows, labels)
    assert found[False][0] < 0.2 < found[True][0]
    assert found[False][1] > found[True][1] + 0.05


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([0.5, 0.5], r"^class_prior is \[0\.5, 0\.5\]: probabilities are 2; expected 4, one for each category$"),
        ("even", "^class_prior is 'even': "),
        (0.5, "^class_prior is 0.5: "),
    ],
)
def test_bad_shares_of_classes_are_one_clear_error(shares, message):
    rows, labels = blobs()
    with pytest.raises(InputError, match=message):
        fitted("SemiSupervisedAAE", rows, labels, class_prior=shares)


def test_names_of_classes_change_nothing_but_the_names():
    rows, labels = blobs()
    few = np.where(np.arange(len(labels)) % 5 == 0, labels, -1)
    names = np.array(["d", "a", "c", "b"])
    named = np.array([names[label] if label >= 0 else -1 for label in few], dtype=object)
    order = np.argsort(names)  # classes are sorted by name
    renumbered = np.where(few >= 0, np.argsort(order)[few], -1)
    model, other = fitted("SemiSupervisedAAE", rows, named), fitted("SemiSupervisedAAE", rows, renumbered)
    assert model.classes_.tolist() == ["a", "b", "c", "d"]
    assert np.array_equal(model.predict_proba(rows), other.predict_proba(rows))
    assert model.predict(rows).tolist() == model.classes_[other.predict(rows)].tolist()
    assert np.array_equal(model.sample(5, "b", random_state=0), other.sample(5, 1, random_state=0))
    assert (model.predict(rows) == names[labels]).mean() > 0.9


def test_the_style_of_the_supervised_model_leaves_the_label_to_the_label(digits):
    train, test, labels, truth = digits
    options = {"latent_dim": 2, "hidden_layer_sizes": (100, 100), "discriminator_layer_sizes": (50,), "epochs": 25}
    model = aae.SupervisedAAE(**options, random_state=0).fit(train, labels)
    plain = aae.AAE(**options, random_state=0).fit(train)

    def readable(autoencoder):
        probe = KNeighborsClassifier(10).fit(autoencoder.transform(train), labels)
        return probe.score(autoencoder.transform(test), truth)

    assert readable(model) < readable(plain) - 0.15
    judge, wanted = SVC().fit(train, labels), np.repeat(np.arange(10), 20)
    assert judge.score(model.sample(200, label=wanted, random_state=0), wanted) > 0.8
    styles = np.repeat(model.transform(test[:20]), 10, axis=0)
    assert judge.score(model.decode(styles, np.tile(np.arange(10), 20)), np.tile(np.arange(10), 20)) > 0.8


@pytest.mark.filterwarnings("ignore::aae.errors.CollapseWarning")  # such small ones are far from the prior
def test_decoding_the_own_label_and_style_gives_the_row_back():
    rows, labels = blobs()
    for name in ("SupervisedAAE", "SemiSupervisedAAE"):
        model = fitted(name, rows, labels, epochs=60)
        own = model.decode(model.transform(rows), labels)
        other = model.decode(model.transform(rows), (labels + 1) % 4)
        assert np.square(own - rows).mean() < 0.5 * rows.var()
        assert np.square(own - rows).mean() < 0.5 * np.square(other - rows).mean()


# Clusters


def test_clusters_are_found_and_shown():
    rows, labels = blobs(400)
    model = fitted("AAEClusterer", rows, n_clusters=4, epochs=60)
    assert adjusted_rand_score(labels, model.labels_) > 0.8
    assert np.array_equal(model.labels_, model.predict(rows))
    assert np.array_equal(model.predict(model.cluster_heads_), np.arange(4))
    chosen = np.repeat(np.arange(4), 25)
    assert (model.predict(model.sample(100, label=chosen, random_state=0)) == chosen).mean() > 0.9


def test_one_cluster_is_the_basic_model():
    rows, _ = blobs(60)
    clusterer = fitted("AAEClusterer", rows, n_clusters=1)
    assert not clusterer.predict(rows).any()
    assert clusterer.cluster_heads_.shape == (1, 6)
    assert clusterer.sample(3, label=0).shape == (3, 6)
    embedding = fitted("AAEEmbedding", rows, n_clusters=1)
    assert np.array_equal(embedding.cluster_heads_, np.zeros((1, 2)))
    assert embedding.inverse_transform(embedding.transform(rows)).shape == rows.shape


@pytest.mark.parametrize("labelled", [True, False])
def test_the_map_keeps_groups_together_and_heads_apart(labelled):
    rows, labels = blobs(400)
    few = np.where(np.arange(400) % 10 == 0, labels, -1) if labelled else None
    model = fitted(
        "AAEEmbedding",
        rows[:300],
        None if few is None else few[:300],
        n_clusters=4,
        epochs=60,
        learning_rate=0.003,
        scaling="standardize",
        losses="paper",
        batch_norm="all",
        input_noise=0.1,
        discriminator_noise=0.0,
    )
    places = model.transform(rows[300:])
    assert knn_accuracy_percent(model.embedding_, labels[:300], places, labels[300:]) > 90
    assert len(model.classes_) == (4 if labelled else 0)
    distances = np.linalg.norm(model.cluster_heads_[:, None] - model.cluster_heads_, axis=2)[np.triu_indices(4, 1)]
    assert distances.min() > 4
    back = model.inverse_transform(places)
    assert np.square(back - rows[300:]).mean() < 0.5 * rows.var()
    if labelled:  # the head of a class is where its rows are
        nearest = np.linalg.norm(places[:, None] - model.cluster_heads_, axis=2).argmin(1)
        assert (model.classes_[nearest] == labels[300:]).mean() > 0.9


def test_labels_that_are_all_missing_are_no_labels():
    rows, _ = blobs(100)
    with_none = fitted("AAEEmbedding", rows)
    assert np.array_equal(fitted("AAEEmbedding", rows, np.full(100, -1)).embedding_, with_none.embedding_)


def test_a_map_without_labels_keeps_neighbours_and_can_be_decoded():
    rows, labels = blobs(300)
    model = fitted("AAEEmbedding", rows[:200], n_clusters=10, epochs=25)
    assert knn_accuracy_percent(model.embedding_, labels[:200], model.transform(rows[200:]), labels[200:]) > 95
    assert np.square(model.inverse_transform(model.transform(rows[200:])) - rows[200:]).mean() < 0.5 * rows.var()
    assert {"neighbour_graph_loss", "reconstruction_loss", "generator_loss"} <= set(model.history_[-1])
    assert "neighbour_graph_loss" not in fitted("AAEEmbedding", rows, epochs=1, losses="paper").history_[-1]


# Training that goes on


@pytest.mark.parametrize("name", ["AAE", "SupervisedAAE", "SemiSupervisedAAE", "AAEClusterer"])
def test_training_in_parts_gives_the_same_bits(name):
    rows, labels = blobs(100)
    joint = name in ("SemiSupervisedAAE", "AAEClusterer")  # a joint update averages weights and lets rates fall
    options = {"losses": "paper"} if joint else {"learning_rate_decay": "none"}
    whole = fitted(name, rows, labels, epochs=3, **options)
    parts = MAKERS[name](random_state=0, **options)
    for _ in range(3):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(rows, labels)))
    warm = MAKERS[name](random_state=0, epochs=2, warm_start=True, **options).fit(rows, labels).set_params(epochs=1)
    warm.fit(rows, labels)
    for other in (parts, warm):
        kinds = -1 if other is parts else None  # a score knows the rows of every chunk
        assert np.array_equal(outputs(whole, rows)[:, :kinds], outputs(other, rows)[:, :kinds])
        assert other.history_ == whole.history_
    assert [record["epoch"] for record in whole.history_] == [1, 2, 3]


def test_an_embedding_that_goes_on_without_classes_refuses_labels():
    rows, labels = blobs(100)
    model = fitted("AAEEmbedding", rows, warm_start=True, epochs=1)
    with pytest.raises(InputError, match="a warm start goes on without classes; expected -1 for every row"):
        model.fit(rows, labels)


def test_without_warm_start_training_begins_anew():
    rows, _ = blobs(100)
    model = fitted("AAE", rows, epochs=2)
    first = model.transform(rows)
    assert np.array_equal(model.fit(rows).transform(rows), first)
    assert len(model.history_) == 2


def test_declared_classes_may_come_later():
    rows, labels = blobs(200)
    model = MAKERS["SemiSupervisedAAE"](random_state=0)
    model.partial_fit(rows, np.where(labels == 0, 0, -1), classes=[0, 1, 2, 3])
    assert model.classes_.tolist() == [0, 1, 2, 3]
    model.partial_fit(rows, np.full(200, -1))  # no label at all: the unsupervised phases
    for _ in range(30):
        model.partial_fit(rows, labels)
    assert model.score(rows, labels) > 0.95
    with pytest.raises(InputError, match=r"classes are \[0, 1\]; the first call had \[0, 1, 2, 3\]"):
        model.partial_fit(rows, labels, classes=[0, 1])
    with pytest.raises(InputError, match="label is 7; expected one of: 0, 1, 2, 3"):
        model.partial_fit(rows, np.full(200, 7))


# Randomness


@pytest.mark.parametrize("name", ALL)
def test_the_random_state_decides_everything(name):
    rows, labels = blobs(60)
    torch.manual_seed(1)
    first = fitted(name, rows, labels, prior=noisy_prior(name), epochs=2)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = fitted(name, rows, labels, prior=noisy_prior(name), epochs=2)
    assert np.array_equal(first.sample(5, random_state=3), again.sample(5, random_state=3))
    assert torch.equal(before, torch.get_rng_state())  # nothing outside is touched
    other = clone(first).set_params(random_state=np.random.RandomState(1)).fit(rows, labels)
    assert not np.array_equal(first.sample(5, random_state=3), other.sample(5, random_state=3))
    assert not np.array_equal(first.sample(5, random_state=3), first.sample(5, random_state=4))


def noisy_prior(name):
    """A sampler that draws from torch's own generator."""
    return lambda n: torch.randn(n, 1 if name == "AAEClusterer" else 2)


# Input and output


def test_columns_in_any_unit_give_the_same_codes():
    rows = factors(200)
    plain = fitted("AAE", rows, epochs=2)
    moved = fitted("AAE", 1.7e9 + 3 * rows, epochs=2)  # seconds since 1970: more digits than float32 has
    np.testing.assert_allclose(moved.transform(1.7e9 + 3 * rows), plain.transform(rows), atol=1e-3)


@pytest.mark.parametrize(
    ("rows", "options", "scaler", "output"),
    [
        (np.random.default_rng(0).integers(0, 200, (40, 5)).astype(np.uint8), {}, "common", "linear"),
        (np.random.default_rng(0).uniform(size=(40, 5)), {}, "common", "linear"),
        (np.random.default_rng(0).normal(size=(40, 5)) * [1, 10, 100, 1, 1], {}, "standardize", "linear"),
        (np.random.default_rng(0).normal(size=(40, 5)), {"output": "sigmoid"}, "common minmax", "sigmoid"),
        (np.random.default_rng(0).normal(size=(40, 5)), {"scaling": "minmax"}, "minmax", "sigmoid"),
        (np.random.default_rng(0).normal(size=(40, 5)), {"scaling": "none"}, "none", "linear"),
        (np.random.default_rng(0).uniform(size=(40, 5)), {"scaling": "none"}, "none", "sigmoid"),
        (np.random.default_rng(0).uniform(size=(40, 5)), {"scaling": "standardize"}, "standardize", "linear"),
    ],
)
def test_scaling_and_output_follow_the_rows(rows, options, scaler, output):
    model = fitted("AAE", rows, epochs=1, **options)
    assert model.scaler_.kind == scaler
    assert model.model_.output == output
    assert np.isfinite(model.inverse_transform(model.transform(rows))).all()


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_written_and_progress_goes_to_stderr(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows, labels = blobs(60)
    out, progress = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(progress):
        fitted(name, rows, labels, epochs=2)
        assert not progress.getvalue()
        fitted(name, rows, labels, epochs=2, verbose=1)
    assert f"{name} epoch 2/2" in progress.getvalue()
    assert not out.getvalue()
    assert not list(tmp_path.iterdir())


def test_pipelines_searches_and_cross_validation():
    rows, labels = blobs(150)
    pipeline = make_pipeline(StandardScaler(), MAKERS["SemiSupervisedAAE"](random_state=0))
    grid = {"semisupervisedaae__latent_dim": np.arange(1, 3), "semisupervisedaae__epochs": [np.int64(15)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(rows, labels)
    assert search.best_score_ > 0.9
    features = make_pipeline(MAKERS["AAE"](latent_dim=3, random_state=0), LogisticRegression())
    assert cross_val_score(features, rows, labels, cv=2).mean() > 0.6
    dims = GridSearchCV(MAKERS["AAE"](random_state=0), {"latent_dim": [1, 4]}, cv=2).fit(rows)  # by its own score
    assert np.isfinite(dims.best_score_)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_in_frames_out(library):
    frames = pytest.importorskip(library)
    rows, _ = blobs(40)
    frame = frames.DataFrame({f"column {k}": rows[:, k] for k in range(6)})
    model = MAKERS["AAE"](epochs=1).set_output(transform=library).fit(frame)
    assert model.feature_names_in_.tolist() == list(frame.columns)
    codes = model.transform(frame)
    assert isinstance(codes, frames.DataFrame)
    assert list(codes.columns) == ["aae0", "aae1"]


def test_names_of_the_codes():
    rows, labels = blobs(40)
    for name in ("AAE", "SupervisedAAE", "SemiSupervisedAAE", "AAEEmbedding"):
        prefix = name.lower()
        assert fitted(name, rows, labels, epochs=1).get_feature_names_out().tolist() == [f"{prefix}0", f"{prefix}1"]


@pytest.mark.parametrize(
    ("name", "options", "labels", "message"),
    [
        ("AAE", {"epochs": 0}, None, "'epochs' parameter of AAE must be"),
        (
            "AAE",
            {"hidden_layer_sizes": (32, 0)},
            None,
            r"hidden_layer_sizes is \(32, 0\); expected a sequence of whole",
        ),
        ("AAE", {"optimizers": {"generater": {}}}, None, "'generater'; did you mean 'generator'"),
        ("AAE", {"optimizers": {"generator": {"learning_rate": -1}}}, None, "optimizers: generator.learning_rate"),
        ("AAE", {"optimizers": {"generator": 0.1}}, None, r"optimizers\['generator'\] is 0.1; expected a dictionary"),
        ("AAE", {"prior": GaussianMixture(3), "latent_dim": 5}, None, "the prior has 2 dimensions and the code 5"),
        ("AAE", {"scaling": "none", "output": "sigmoid"}, None, "expected scaling 'minmax' or output 'linear'"),
        ("SemiSupervisedAAE", {}, np.full(20, -1), r"all 20 rows are unlabelled \(-1\)"),
        ("SemiSupervisedAAE", {}, np.where(np.arange(20) < 3, 4, -1), "y has 1 class, 4; expected at least 2"),
        ("SupervisedAAE", {}, pd.Categorical(["a", None] * 10), r"10 of 20 rows are unlabelled \(-1\)"),
        (
            "SemiSupervisedAAE",
            {},
            np.array(["a", 1] * 10, object),
            "labels are of the types int, str; expected numbers, or",
        ),
        ("SupervisedAAE", {}, np.array([0, -1] * 10), r"10 of 20 rows are unlabelled \(-1\).* SemiSupervisedAAE takes"),
        ("AAEClusterer", {"n_clusters": 21}, None, "n_samples=20 should be >= n_clusters=21"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(name, options, labels, message):
    rows, _ = blobs(20)
    with pytest.raises(ValueError, match=message):
        fitted(name, rows, labels, **options)


def test_images_are_to_be_flattened_and_codes_have_the_right_width():
    with pytest.raises(InputError, match=r"X has shape \(4, 8, 8\); expected .* flatten each row"):
        fitted("AAE", np.zeros((4, 8, 8)))
    model = fitted("AAE", blobs(20)[0], epochs=1)
    with pytest.raises(InputError, match="codes have 3 columns; expected 2"):
        model.inverse_transform(np.zeros((4, 3)))
    with pytest.raises(InputError, match="flatten"):
        model.transform(np.zeros((4, 2, 3)))
    with pytest.raises(InputError, match=r"row 1, column 3 \(counted from 0\) is 1e\+300, too far from the rows of"):
        model.transform(np.where(np.arange(12).reshape(2, 6) == 9, 1e300, 0.0))


def test_a_label_that_was_not_there_cannot_be_sampled():
    rows, labels = blobs(40)
    model = fitted("SemiSupervisedAAE", rows, labels, epochs=1)
    for label, message in ((9, "label is 9; expected one of: 0, 1, 2, 3"), ("a", "label is 'a'"), (-1, "label is -1")):
        with pytest.raises(InputError, match=message):
            model.sample(2, label=label)
    with pytest.raises(InputError, match=r"labels have shape \(3,\); expected one label, or 2 of them"):
        model.sample(2, label=[0, 1, 2])
    with pytest.raises(ValueError, match="n == 0, must be >= 1"):
        model.sample(0)


def test_optimizers_can_be_changed_phase_by_phase():
    rows, _ = blobs(60)
    slow = {"optimizer": "sgd", "learning_rate": 1e-12}
    start = fitted("AAE", rows, epochs=1, learning_rate=1e-12).model_
    model = fitted("AAE", rows, epochs=1, optimizers={"reconstruction": slow}).model_
    for name, moved in (
        ("decoder", False),
        ("encoder", True),
    ):  # the decoder is moved by the reconstruction phase alone
        before, after = start.get_submodule(name).state_dict(), model.get_submodule(name).state_dict()
        assert all(torch.allclose(after[key], before[key], atol=1e-6) for key in before) is not moved


# The rooms


def test_the_core_knows_nothing_of_the_estimators():
    package = Path(aae.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent.name == "estimators" or path == package / "__init__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert not [name for name in names if name.startswith("aae.estimators")], path


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_trained_on_an_accelerator_is_pickled_for_the_cpu():
    rows, labels = blobs(100)
    model = fitted("SemiSupervisedAAE", rows, labels, device="cuda")
    assert next(model.model_.parameters()).is_cuda
    loaded = pickle.loads(pickle.dumps(model))
    assert not next(loaded.model_.parameters()).is_cuda
    np.testing.assert_allclose(loaded.predict_proba(rows), model.predict_proba(rows), atol=1e-4)


@pytest.mark.filterwarnings("ignore::aae.errors.InputWarning", "ignore::aae.errors.CollapseWarning")
@pytest.mark.parametrize("name", ["AAE", "SemiSupervisedAAE", "AAEEmbedding"])
@pytest.mark.parametrize("way", ["diverges", "is stopped", "is a new fit that diverges"])
@pytest.mark.filterwarnings("ignore::aae.errors.InputWarning")
def test_an_estimator_whose_fitting_fails_is_as_before(monkeypatch, name, way):
    rows, labels = blobs(40)
    model = fitted(name, rows, labels, batch_norm="all", warm_start=True, epochs=2)
    parameters = model.get_params()
    before = model.transform(rows)
    history = list(model.history_)
    if way == "is stopped":

        def stop(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("aae.training.trainer.Trainer.close_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            model.fit(rows, labels)
        monkeypatch.undo()
    elif way == "diverges":
        with pytest.raises(TrainingError, match=r"Try a lower learning rate for that phase$|Try lower learning rates$"):
            model.fit(rows * 1e25, labels)
    else:
        with pytest.raises(TrainingError):
            model.set_params(warm_start=False, scaling="none", output="linear").fit(rows[:, :3] * 1e25, labels)
    assert np.array_equal(model.transform(rows), before)
    assert np.abs(model.transform(rows)[:5] - model.transform(rows[:5])).max() < 1e-5  # a row by itself
    assert model.history_ == history
    model.set_params(**parameters).fit(rows, labels)
    assert np.isfinite(model.transform(rows)).all()


def test_rows_that_cannot_be_written_to_are_taken_without_a_warning(recwarn):
    rows, _ = blobs(40)
    fixed = rows.astype(np.float32)
    fixed.flags.writeable = False
    model = aae.AAE(epochs=1, scaling="none", output="linear", random_state=0).fit(fixed)
    codes = model.transform(fixed)
    codes.flags.writeable = False
    model.inverse_transform(codes)
    assert not [w for w in recwarn if "writable" in str(w.message)]
