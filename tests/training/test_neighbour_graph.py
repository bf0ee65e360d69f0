"""The graph of neighbours on the map: its links, its loss, and that it runs as every loss of the joint update does."""

import copy

import numpy as np
import pytest
import torch

from aae import losses
from aae.errors import InputError
from aae.latents import ClusterHeads, Latent
from aae.model import AdversarialAutoencoder
from aae.networks import MLP, initialize
from aae.noise import Noise
from aae.posteriors import Deterministic, Softmax
from aae.priors import Categorical, Gaussian
from aae.recipes.build_data import load_data, training_data
from aae.runs.recipe import read_recipe
from aae.scaling import Scaling
from aae.training.batched_seeds import BatchedSeeds
from aae.training.data import TrainingData
from aae.training.fit import fit
from aae.training.phases import adversarial_phases
from aae.training.radii import neighbour_links
from aae.training.settings import LossSettings, TrainingSettings
from aae.training.trainer import Trainer

CPU = torch.device("cpu")
ROWS, INPUTS = 60, 6
GRAPH = {"joint": True, "reconstruction": 0.1, "neighbour_graph": {"neighbours": 5}}


def blobs(n=ROWS):
    """Make three well separated blobs, and their labels."""
    labels = torch.arange(n) % 3
    return 3 * Noise(7).normal(3, INPUTS)[labels] + 0.3 * Noise(0).normal(n, INPUTS), labels


def build(seed=0, heads=True):
    latents = {
        "label": Latent(Categorical(4), Softmax(16, 4), MLP(4, [8], 1)),
        "style": Latent(Gaussian(2), Deterministic(16, 2), MLP(2, [8], 1)),
    }
    weights = ClusterHeads(Noise(seed, 1).normal(4, 2)) if heads else None
    decoder = MLP(2 if heads else 6, [16], INPUTS)
    model = AdversarialAutoencoder(MLP(INPUTS, [16], batch_norm="hidden"), latents, decoder, cluster_heads=weights)
    initialize(model, Noise(seed), "he")
    return model


def trained(seed=0, model=None):
    model, rows = model or build(seed), blobs()[0]
    adam = {name: {"optimizer": "adam", "learning_rate": 0.001} for name in ("discriminator", "joint")}
    settings = TrainingSettings(epochs=3, batch_size=20, seed=seed, losses=LossSettings(**GRAPH), **adam)
    links = neighbour_links(rows, Scaling.identity(), 5)
    data = TrainingData(rows, Scaling.identity(), links=links)
    return Trainer(model, adversarial_phases(model, losses=settings.losses), data, settings, CPU)


def test_links_are_drawn_by_their_weight(monkeypatch):
    rows = torch.tensor([0.0, 1.0, 3.0, 7.0, 15.0])[:, None]
    links = neighbour_links(rows, Scaling.identity(), 3)
    assert links.shape == (5, 12)
    counts = torch.nn.functional.one_hot(links, 5).sum(1)
    assert not counts.diagonal().any()  # no row is linked with itself
    assert counts[0].tolist()[1:] == sorted(counts[0].tolist()[1:], reverse=True)
    beyond = np.array([0.0, 2.0, 6.0])  # of the first row; the weights have the sum log2(3)
    scale = min(np.linspace(0.1, 20, 20000), key=lambda s: abs(np.exp(-beyond / s).sum() - np.log2(3)))
    weights = np.exp(-beyond / scale) / np.log2(3)
    np.testing.assert_allclose(counts[0, 1:4] / 12, weights, atol=1 / 12)
    rows, labels = blobs()
    assert (labels[neighbour_links(rows, Scaling.identity(), 5)] == labels[:, None]).all()
    monkeypatch.setattr("aae.training.radii.REFERENCES", 30)
    few = neighbour_links(rows, Scaling.identity(), 5)
    assert len(few.unique()) <= 30
    assert not (few == torch.arange(ROWS)[:, None]).any()
    equal = neighbour_links(torch.zeros(9, 2), Scaling.identity(), 3)
    assert equal.shape == (9, 12)
    with pytest.raises(InputError, match=r"neighbour_graph\.neighbours is 9; found 9 rows, expected more rows"):
        neighbour_links(torch.zeros(9, 2), Scaling.identity(), 9)


def test_the_loss_is_the_cross_entropy_by_hand():
    places, neighbours = torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([[0.0, 1.0], [3.0, 2.0]])
    link = lambda d: 1 / (1 + 2.0 * d ** (2 * 0.5))  # noqa: E731
    near = -(np.log(link(1.0)) + np.log(link(2.0))) / 2
    far = -(np.log(1 - link(13**0.5)) + np.log(1 - link(10**0.5))) / 2
    found = losses.neighbour_graph_loss(places, neighbours, 2.0, 0.5, 5.0)
    assert float(found) == pytest.approx(near + 5 * far, rel=1e-3)
    same = torch.zeros(3, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(losses.neighbour_graph_loss(same, torch.zeros(3, 2), 1.5, 0.9, 5.0), same)
    assert torch.isfinite(slope).all()


def test_neighbours_come_together_on_the_map():
    model, (rows, labels) = build(), blobs()
    history = fit(model, rows.numpy(), epochs=150, batch_size=20, losses=GRAPH, device="cpu")
    assert history[-1]["neighbour_graph_loss"] < 0.6 * history[0]["neighbour_graph_loss"]
    with torch.no_grad():
        places = model.representation(model.encode(rows))
    distances = torch.cdist(places, places).fill_diagonal_(torch.inf)
    assert (labels[distances.argmin(1)] == labels).float().mean() > 0.95


def test_batched_seeds_are_the_single_runs():
    each = [trained(seed) for seed in (3, 4)]
    together = [trained(seed, copy.deepcopy(trainer.module)) for seed, trainer in zip((3, 4), each, strict=True)]
    batched = BatchedSeeds(together)
    for _ in range(2):
        alone = [trainer.run_epoch() for trainer in each]
        for one, other in zip(alone, batched.run_epoch(), strict=True):
            assert one == pytest.approx(other, rel=1e-3, abs=1e-4)


def test_a_resumed_trainer_ends_with_the_same_bits():
    whole, first = trained(), trained()
    for _ in range(3):
        whole.run_epoch()
    first.run_epoch(lambda: first.step == 2)
    again = trained(model=build(9))
    again.load_state(*first.state())
    for _ in range(3):
        again.run_epoch()
    for name, tensor in whole.module.state_dict().items():
        assert torch.equal(tensor, again.module.state_dict()[name]), name


def test_a_code_side_by_side_is_no_map():
    with pytest.raises(InputError, match=r"neighbour_graph is about a map; .* label and style side by side, expected"):
        adversarial_phases(build(heads=False), losses=LossSettings(**GRAPH))
    with pytest.raises(InputError, match=r"neighbour_graph needs training\.losses\.joint"):
        read_recipe("figure11c-digits", ["training.losses.neighbour_graph={}"])


def test_a_recipe_links_its_rows():
    changes = ["training.losses={joint = true, neighbour_graph = {neighbours = 5}}"]
    recipe = read_recipe("figure11c-digits", changes)
    dataset = load_data(recipe)
    data = training_data(recipe, dataset.train, Scaling.identity(), None)
    assert data.links.shape == (len(dataset.train), 20)
