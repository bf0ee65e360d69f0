"""Networks and label-informed priors of a user's own in estimators."""

import pickle
import re

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import nn

import aae
from aae.errors import InputError
from aae.noise import Noise
from aae.priors import GaussianMixture

DIGITS, NAMES = load_digits(return_X_y=True)
DIGITS, NAMES = DIGITS[:200], NAMES[:200]
TINY = {"epochs": 1, "hidden_layer_sizes": (16,), "discriminator_layer_sizes": (8,), "random_state": 0}


@pytest.mark.parametrize(
    "maker", [aae.AAE, aae.AAEClusterer, aae.AAEEmbedding, aae.SemiSupervisedAAE, aae.SupervisedAAE]
)
def test_convolutions_see_images(maker):
    model = clone(maker(encoder="conv", decoder="conv", image_shape=(8, 8), **TINY)).fit(DIGITS, NAMES)
    kinds = [type(network).__name__ for network in (model.model_.encoder, model.model_.decoder)]
    assert kinds == ["ConvolutionalEncoder", "ConvolutionalDecoder"]
    assert model.sample(2).shape == (2, 64)


def test_modules_are_copied_trained_and_kept(tmp_path):
    encoder = nn.Sequential(nn.Linear(64, 20), nn.Tanh())
    decoder = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), nn.Linear(20, 64))
    discriminator = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    before = encoder[0].weight.clone()
    model = aae.AAE(3, encoder=encoder, decoder=decoder, discriminator=discriminator, **TINY)
    model.fit(DIGITS)
    assert torch.equal(encoder[0].weight, before)
    moved = (model.model_.encoder[0].weight - before).abs().max()
    assert 0 < moved < 0.5  # they start with the weights they have
    assert isinstance(model.model_.latent("style").discriminator[1], nn.Tanh)
    again = pickle.loads(pickle.dumps(model)).set_params(warm_start=True).fit(DIGITS)
    assert len(again.history_) == 2
    model.set_params(callbacks=[print]).save(tmp_path / "saved")
    loaded = aae.AAE.load(tmp_path / "saved", encoder=encoder, decoder=decoder, discriminator=discriminator)
    np.testing.assert_array_equal(loaded.transform(DIGITS), model.transform(DIGITS))
    model.set_params(callbacks=None)
    np.testing.assert_array_equal(clone(model).fit(DIGITS).transform(DIGITS), model.transform(DIGITS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": nn.Linear(63, 5)}, "encoder fails on a batch of shape (2, 64)"),
        (
            {"encoder": nn.Unflatten(1, (8, 8))},
            "encoder returned shape (2, 8, 8) for a batch of shape (2, 64); expected",
        ),
        (
            {"decoder": nn.Linear(8, 63)},
            "decoder returned shape (2, 63) for a batch of shape (2, 8); expected shape (2, 64)",
        ),
        (
            {"discriminator": nn.Linear(8, 2)},
            "discriminator returned shape (2, 2) for a batch of shape (2, 8); expected",
        ),
        ({"encoder": "conv"}, "encoder is 'conv' and image_shape is not set; expected (height, width) or more"),
        ({"decoder": "conv", "image_shape": (8, 9)}, "image_shape is (8, 9); expected (height, width) or"),
    ],
)
def test_networks_that_do_not_fit_get_one_line(options, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        aae.AAE(8, **options, **TINY).fit(DIGITS)


def test_each_class_gets_its_part_of_the_prior():
    rows, labels = DIGITS[NAMES < 2], NAMES[NAMES < 2]
    prior = GaussianMixture(2, distance=3.0)
    centres = [prior.sample(100, torch.full((100,), k), Noise(0, 0)).mean(0).numpy() for k in (0, 1)]
    options = {
        **TINY,
        "epochs": 200,
        "learning_rate": 0.002,
        "discriminator_layer_sizes": (32,),
        "label_informed": True,
    }
    model = aae.SupervisedAAE(2, prior=prior, **options).fit(rows, labels)
    assert model.model_.latent("style").label_informed
    codes = model.transform(rows)
    nearest = np.linalg.norm(codes[:, None] - np.stack(centres), axis=2).argmin(1)
    assert (nearest == labels).mean() > 0.9
    assert model.sample(3, label=1).shape == (3, 64)
    semi = aae.SemiSupervisedAAE(2, **{**options, "epochs": 1}).fit(
        rows, np.where(np.arange(len(labels)) < 9, labels, -1)
    )
    assert semi.model_.latent("style").prior.num_labels == 2
    assert semi.sample(3).shape == (3, 64)
    with pytest.raises(
        InputError, match=r"^label_informed is set and the prior has num_labels None; expected 2, the number"
    ):
        aae.SupervisedAAE(2, prior=aae.priors.Uniform(2), **options).fit(rows, labels)


def test_unlabelled_rows_of_the_basic_model_find_the_part_of_their_class_too():
    rows, labels = load_digits(n_class=2, return_X_y=True)
    few = np.where(np.arange(len(labels)) % 3 == 0, labels.astype(float), np.nan)
    prior = GaussianMixture(2, distance=3.0)
    options = {**TINY, "epochs": 60, "discriminator_layer_sizes": (32,), "label_informed": True}
    model = aae.AAE(2, prior=prior, **options).fit(rows, few)
    centres = [prior.sample(100, torch.full((100,), k), Noise(0, 0)).mean(0).numpy() for k in (0, 1)]
    unlabelled = np.isnan(few)
    nearest = np.linalg.norm(model.transform(rows)[:, None] - np.stack(centres), axis=2).argmin(1)
    assert (nearest == labels)[unlabelled].mean() > 0.9
    codes = model.transform(model.sample(50, label=1, random_state=0))
    assert np.linalg.norm(codes - centres[1], axis=1).mean() < np.linalg.norm(codes - centres[0], axis=1).mean()
    assert model.classes_.tolist() == [0, 1]
    assert model.sample(2).shape == (2, 64)


def test_label_informed_maps_and_detectors():
    rows, labels = DIGITS[:60], NAMES[:60]
    few = np.where(np.arange(60) % 3 < 2, labels, -1)
    options = {**TINY, "epochs": 1, "label_informed": True}
    latent = aae.AAEEmbedding(2, **options).fit(rows, few).model_.latent("style")
    assert (latent.label_informed, latent.prior.num_labels) == (True, 10)
    verdicts = aae.AAE(2, contamination=0.1, **options).fit_predict(rows, few)
    assert (verdicts == -1).sum() == 6
    chunks = aae.AAE(2, **options).partial_fit(rows[:20], few[:20], classes=range(10)).partial_fit(rows[20:], few[20:])
    assert chunks.classes_.tolist() == list(range(10))


@pytest.mark.parametrize("make", [aae.AAE, aae.AAEEmbedding])
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "label_informed is set and y is None; expected labels, -1 where there is none"),
        ([None] * 20, "label_informed is set and all 20 rows are unlabelled; expected labels for some"),
    ],
)
def test_label_informed_without_labels_gets_one_line(make, y, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        make(2, label_informed=True, **TINY).fit(DIGITS[:20], y)


def test_a_sample_of_a_label_needs_a_prior_with_labels():
    model = aae.AAE(2, **{**TINY, "epochs": 1}).fit(DIGITS[:20])
    with pytest.raises(InputError, match=r"^label is 1; expected none, as the model knows no labels$"):
        model.sample(2, label=1)
