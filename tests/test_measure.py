from dataclasses import replace

import numpy as np
import pytest
import torch

from aae import experiment, measure
from aae.building import load_data
from aae.errors import InputError
from aae.measure import _label_placement
from aae.noise import Noise
from aae.priors import GaussianMixture, SwissRoll

SMALL = ["model.encoder.hidden=[20]", "model.decoder.hidden=[20]", "training.epochs=1"]


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    recipe = experiment.read_recipe("figure2c-digits", SMALL)
    return experiment.train(recipe, run=tmp_path_factory.mktemp("vae") / "run", device="cpu")


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
        measure.evaluate(vae, dataset=other)
    assert "energy_distance" in measure.evaluate(vae, dataset=dataset)["metrics"]


@pytest.mark.parametrize("prior", [GaussianMixture(5), SwissRoll(num_labels=5)])
def test_codes_are_placed_right_when_they_come_from_the_part_of_their_label(prior):
    labels = np.arange(500) % 5
    codes = prior.sample(500, torch.from_numpy(labels), Noise(1)).numpy()
    assert _label_placement(prior, codes, labels) > 90
    assert _label_placement(prior, codes, (labels + 1) % 5) < 10
    assert _label_placement(prior, codes, np.where(labels == 0, 0, -1)) > 85  # rows without a label do not count
