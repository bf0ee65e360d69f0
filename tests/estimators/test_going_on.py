"""Training that goes on: chunks, warm starts, and parameters that change in between."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs

import aae
from aae.errors import CollapseWarning, InputError, InputWarning
from aae.priors import Uniform
from aae.training.trainer import Trainer

ROWS, GROUPS = make_blobs(203, n_features=6, centers=4, random_state=0)
SMALL = {"hidden_layer_sizes": (16, 8), "discriminator_layer_sizes": (16,), "random_state": 0, "epochs": 1}


def counted(monkeypatch):
    """Count how often each row is seen in training."""
    seen = []
    batch = Trainer.mini_batch

    def note(self, indices, labelled, noise):
        seen.append(self.data.rows[indices])
        return batch(self, indices, labelled, noise)

    monkeypatch.setattr(Trainer, "mini_batch", note)
    return seen


@pytest.mark.parametrize("size", [20, 50, 99, 203])
def test_partial_fit_sees_every_row_of_a_chunk(monkeypatch, size):
    seen = counted(monkeypatch)
    model = aae.AAE(2, **SMALL)
    for start in range(0, len(ROWS) - 1, size):
        seen.clear()
        chunk = ROWS[start : start + size]
        if len(chunk) < 2:
            continue
        model.partial_fit(chunk)
        rows = torch.cat(seen).numpy()
        assert {row.tobytes() for row in rows} == {row.tobytes() for row in model.scaler_.transform(chunk)}
        assert len(rows) < len(chunk) + 50


def test_noise_variance_is_that_of_all_chunks():
    model = aae.AAE(2, **SMALL)
    easy, hard = ROWS[:100] * 0.01 + ROWS.mean(0), ROWS[100:]
    model.fit(ROWS)
    for _ in range(3):
        model.partial_fit(hard).partial_fit(easy)
    rows = np.concatenate([ROWS] + 3 * [hard, easy])
    scaled = model.scaler_.transform(rows)
    errors = np.square(scaled - model.scaler_.transform(model.inverse_transform(model.transform(rows)))).mean()
    assert model.noise_variance_.mean() == pytest.approx(errors, rel=0.1)


def test_scaling_of_an_earlier_fit_is_kept_and_far_chunks_are_told():
    model = aae.AAE(2, **SMALL).fit(ROWS)
    scaler = model.scaler_
    model.partial_fit(ROWS[:50] * 0.1)
    assert model.scaler_ is scaler
    other = aae.AAE(2, **{**SMALL, "scaling": scaler}).partial_fit(ROWS[:50] * 0.1)
    np.testing.assert_array_equal(other.scaler_.transform(ROWS), scaler.transform(ROWS))
    far = ROWS[:50] + np.array([0, 0, 1e4, 0, 0, 0])
    with pytest.warns(InputWarning, match=r"1 of 6 columns lie far outside .*, the first of them is 2, 100% of it"):
        model.partial_fit(far)
    with pytest.raises(InputError, match="scaling is for 6 columns; expected one for the 2 columns of X"):
        other.set_params(warm_start=False).fit(ROWS[:, :2])


REFUSED = [
    ("AAE", {"latent_dim": 3}),
    ("AAE", {"hidden_layer_sizes": (7,)}),
    ("AAE", {"discriminator_layer_sizes": np.array([7])}),
    ("AAE", {"batch_norm": "all"}),
    ("AAE", {"posterior": "gaussian"}),
    ("AAE", {"scaling": "minmax"}),
    ("AAE", {"output": "sigmoid"}),
    ("AAE", {"random_state": 1}),
    ("AAEClusterer", {"n_clusters": 5}),
    ("AAEEmbedding", {"n_components": 3}),
    ("AAEEmbedding", {"n_clusters": 3}),
    ("AAEEmbedding", {"head_distance": 20.0}),
    ("AAEClusterer", {"init": "random"}),
]


@pytest.mark.parametrize(("name", "change"), REFUSED)
def test_what_a_model_is_made_of_cannot_change(name, change):
    model = getattr(aae, name)(**SMALL).fit(ROWS)
    before = copy.deepcopy(model.model_.state_dict())
    (parameter,) = change
    model.set_params(warm_start=True, **change)
    with pytest.raises(
        InputError, match=rf"^{parameter} is .*, and the model that training goes on with has .*; expected the same"
    ):
        model.fit(ROWS)
    assert all(torch.equal(before[key], value) for key, value in model.model_.state_dict().items())
    model.set_params(warm_start=False).fit(ROWS)


def test_a_scaling_of_ones_own_cannot_change_and_chunks_hold_no_rows_out():
    scalings = [aae.AAE(2, **SMALL).fit(rows).scaler_ for rows in (ROWS, ROWS * 10 + 5)]
    model = aae.AAE(2, **{**SMALL, "scaling": scalings[0]}, warm_start=True).fit(ROWS).fit(ROWS)
    with pytest.raises(InputError, match=r"^scaling is another one than the model that training goes on with has"):
        model.set_params(scaling=scalings[1]).fit(ROWS)
    turned = aae.AAE(2, **SMALL).fit(ROWS[:, ::-1]).scaler_  # the same numbers for other columns
    with pytest.raises(InputError, match=r"^scaling is another one than the model that training goes on with has"):
        model.set_params(scaling=turned).fit(ROWS)
    for options in ({"early_stopping": True}, {"validation_fraction": 0.2}):
        with pytest.raises(InputError, match=rf"^{min(options)} is .*; partial_fit measures no rows, and expects none"):
            aae.AAE(2, **SMALL, **options).partial_fit(ROWS)
    model = aae.AAE(2, **SMALL, early_stopping=True).fit(ROWS)
    assert not hasattr(model.set_params(early_stopping=False).fit(ROWS), "best_epoch_")


def test_the_same_in_other_words_is_no_change():
    model = aae.AAE(2, **SMALL, warm_start=True).fit(ROWS)
    model.set_params(hidden_layer_sizes=[16, 8], discriminator_layer_sizes=np.array([16]), latent_dim=np.int64(2)).fit(
        ROWS
    )


TAKEN = [
    ("AAE", {"learning_rate": 1e-12}),
    ("AAE", {"optimizers": {"reconstruction": {"optimizer": "sgd", "learning_rate": 1e-12}}}),
    ("AAE", {"batch_size": 7}),
    ("AAE", {"input_noise": 3.0}),
    ("AAE", {"discriminator_noise": 3.0}),
    ("AAE", {"precision": "bf16"}),
    ("AAE", {"prior": Uniform(8)}),
    ("SemiSupervisedAAE", {"class_prior": [0.7, 0.1, 0.1, 0.1]}),
    ("AAEClusterer", {"cluster_prior": [0.7, 0.1, 0.1, 0.1], "n_clusters": 4}),
    ("AAEEmbedding", {"cluster_prior": [0.7, 0.1, 0.1, 0.1], "n_clusters": 4}),
]


@pytest.mark.parametrize(("name", "change"), TAKEN)
def test_the_rest_takes_effect(name, change):
    def trained(change):
        start = {key: change[key] for key in change if key == "n_clusters"}
        model = getattr(aae, name)(**{**SMALL, **start}).fit(ROWS, GROUPS if name == "SemiSupervisedAAE" else None)
        model.set_params(warm_start=True, **change).fit(ROWS, GROUPS if name == "SemiSupervisedAAE" else None)
        return model

    changed, plain = trained(change), trained({key: change[key] for key in change if key == "n_clusters"})
    weights = zip(changed.model_.parameters(), plain.model_.parameters(), strict=True)
    assert any(not torch.equal(own, other) for own, other in weights)
    if "prior" in change:
        assert changed.sample(50, random_state=0).shape == (50, 6)
        assert isinstance(changed.model_.latent("style").prior, Uniform)


def test_momentum_with_adam_is_refused():
    for change, message in (
        ({"momentum": 0.9}, "reconstruction.momentum is 0.9; optimizer 'adam' takes none, 'sgd' does"),
        ({"optimizer": "adam", "momentum": 0.9}, "reconstruction.momentum is 0.9; optimizer 'adam' takes none"),
        (
            {"optimizer": "sgd", "betas": (0.5, 0.9)},
            r"reconstruction.betas is \(0.5, 0.9\); optimizer 'sgd' takes none",
        ),
    ):
        with pytest.raises(InputError, match=message):
            aae.AAE(2, **SMALL, optimizers={"reconstruction": change}).fit(ROWS)
    aae.AAE(2, **SMALL, optimizers={"generator": {"betas": (0.6, 0.99)}}).fit(ROWS)
    aae.AAE(2, **SMALL, optimizers={"generator": {"optimizer": "sgd", "momentum": 0.5}}).fit(ROWS)


def test_a_call_without_labels_takes_the_optimizer_of_the_classification():
    few = np.where(np.arange(203) < 60, GROUPS, -1)
    model = aae.SemiSupervisedAAE(2, **SMALL, losses="paper", optimizers={"classification": {"learning_rate": 0.002}})
    model.partial_fit(ROWS, few).partial_fit(ROWS, np.full(203, -1)).partial_fit(ROWS, few)
    assert "classification_loss" in model.history_[2]


def test_the_decoder_mirrors_the_encoder():
    model = aae.AAE(2, **SMALL).fit(ROWS).model_
    assert [layer.linear.out_features for layer in model.encoder.layers] == [16, 8]
    assert [layer.linear.out_features for layer in model.decoder.layers] == [8, 16, 6]


@pytest.mark.filterwarnings("ignore::aae.errors.CollapseWarning")
def test_shares_of_clusters_are_those_of_the_prior():
    rows, _ = make_blobs([900, 50, 50], 8, random_state=4)
    found = {}
    for shares in (None, [0.9, 0.05, 0.05]):
        model = aae.AAEClusterer(3, latent_dim=2, random_state=2, epochs=60, cluster_prior=shares, losses="paper")
        model.fit(rows)
        found[shares is None] = np.bincount(model.labels_, minlength=3)[0] / 1000
        drawn = np.bincount(model.predict(model.sample(1000, random_state=0)), minlength=3) / 1000
        assert shares is None or drawn[0] == pytest.approx(0.9, abs=0.1)
    assert found[False] > found[True] + 0.2
    with pytest.raises(InputError, match=r"cluster_prior is \[0.5, 0.5\]: probabilities are 2; expected 3"):
        model.set_params(cluster_prior=[0.5, 0.5]).fit(rows)


def test_samples_and_rows_are_decoded_part_by_part(monkeypatch):
    model = aae.AAE(2, **SMALL).fit(ROWS)
    whole, back = model.sample(1000, random_state=0), model.inverse_transform(model.transform(ROWS))
    largest = []
    decode = model.model_.decode
    monkeypatch.setattr(
        model.model_,
        "decode",
        lambda codes, *rest: largest.append(len(codes["style"])) or decode(codes, *rest),
    )
    monkeypatch.setattr("aae.estimators.use.BATCH", 64)
    np.testing.assert_allclose(model.sample(1000, random_state=0), whole, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.inverse_transform(model.transform(ROWS)), back, rtol=1e-4, atol=1e-4)
    assert max(largest) == 64


def test_rows_with_many_digits_come_back_with_them():
    rows = np.column_stack([1.7e9 + np.arange(200.0), np.arange(200.0) % 7])
    model = aae.AAE(2, **SMALL).fit(rows)
    assert model.inverse_transform(model.transform(rows)).dtype == np.float64
    assert aae.AAE(2, **SMALL).fit(rows.astype(np.float32)[:, 1:]).sample(2).dtype == np.float32


FACTORS = [1, 1e-17, 1e-9, 1e9, "one-hot", "length one", "counts"]


@pytest.mark.parametrize("form", FACTORS)
@pytest.mark.filterwarnings(f"ignore::{CollapseWarning.__module__}.CollapseWarning")
def test_rows_in_any_form_can_be_learnt(form):
    rows, digits = load_digits(return_X_y=True)
    rows, digits = rows[:500], digits[:500]
    if form == "one-hot":
        rows = np.concatenate([rows > 4, rows > 10], axis=1).astype(np.uint8)
    elif form == "length one":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    elif form == "counts":
        rows = np.random.default_rng(0).poisson(rows / 2)
    else:
        rows = rows * form
    few = np.where(np.arange(500) % 4 == 0, digits, -1)
    model = aae.SemiSupervisedAAE(random_state=0, epochs=40).fit(rows, few)
    assert model.score(rows, digits) > 0.8
