"""Blocks: weight init, batch-norm placement, corruption, dropout, scaling; and the noise that feeds them."""

import math

import pytest
import torch
from torch import nn

from aae.errors import InputError
from aae.networks import MLP, Corruption, Dense, Dropout, initialize
from aae.noise import Noise
from aae.scaling import Scaling


def test_normal_init_has_standard_deviation_one_hundredth_and_zero_biases():
    network = MLP(784, [1000, 1000], 10)
    initialize(network, Noise(0))
    for layer in network.layers:
        weight = layer.linear.weight
        assert weight.std().item() == pytest.approx(0.01, rel=0.03)
        assert abs(weight.mean().item()) < 4 * 0.01 / math.sqrt(weight.numel())
        assert torch.equal(layer.linear.bias, torch.zeros_like(layer.linear.bias))
    # normal, not uniform: 4.6 % of the weights lie beyond two standard deviations
    assert (network.layers[0].linear.weight.abs() > 0.02).float().mean().item() == pytest.approx(0.0455, abs=0.002)


def test_he_init_keeps_the_variance_of_activations():
    network = nn.Sequential(nn.Linear(400, 600), nn.Conv2d(8, 32, 3), nn.Linear(5, 7, bias=False))
    initialize(network, Noise(0), "he")
    assert network[0].weight.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.03)
    assert network[1].weight.std().item() == pytest.approx(math.sqrt(2 / 72), rel=0.05)
    assert torch.equal(network[0].bias, torch.zeros(600))


def test_init_is_a_function_of_the_noise():
    def weights(seed):
        network = MLP(3, [4], 2)
        initialize(network, Noise(seed))
        return torch.cat([p.flatten() for p in network.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize(
    ("placement", "expected"),
    [("none", [False, False, False]), ("hidden", [True, True, False]), ("all", [True, True, True])],
)
def test_batch_norm_placement(placement, expected):
    network = MLP(5, [6, 7], 3, batch_norm=placement)
    assert [isinstance(layer.norm, nn.BatchNorm1d) for layer in network.layers] == expected
    out = network(torch.randn(200, 5) * 3 + 2)
    assert out.shape == (200, 3)
    normalized = torch.allclose(out.mean(0), torch.zeros(3), atol=1e-5)
    assert normalized == (placement == "all")


def test_batch_norm_sits_between_linear_layer_and_activation():
    layer = Dense(4, 6, activation="relu", batch_norm=True)
    x = torch.randn(50, 4)
    linear = layer.linear(x)
    expected = ((linear - linear.mean(0)) / (linear.var(0, unbiased=False) + 1e-5).sqrt()).relu()
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_mlp_is_the_composition_of_its_layers_and_ends_linear():
    network = MLP(4, [8], 3)
    x = torch.randn(10, 4)
    first, last = (layer.linear for layer in network.layers)
    torch.testing.assert_close(network(x), last(first(x).relu()))
    headless = MLP(4, [8, 9])
    assert headless.out_features == 9
    assert headless(x).min() == 0  # ends with the activation of its last hidden layer


def test_corruption_needs_training_mode_and_noise():
    corruption, x = Corruption(0.3, 0.2), torch.randn(20, 5)
    assert torch.equal(corruption(x), x)
    assert not torch.equal(corruption(x, Noise(0)), x)
    corruption.eval()
    assert torch.equal(corruption(x, Noise(0)), x)


def test_gaussian_corruption_has_the_given_standard_deviation():
    x = torch.full((1000, 100), 0.5)
    added = Corruption(0.3)(x, Noise(0)) - x
    assert added.mean().item() == pytest.approx(0, abs=0.005)
    assert added.std().item() == pytest.approx(0.3, rel=0.01)


def test_dropout_zeroes_its_share_and_scales_the_rest():
    dropped = Dropout(0.2)(torch.ones(1000, 100), Noise(0))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.2, abs=0.005)
    torch.testing.assert_close(dropped[dropped > 0], torch.full_like(dropped[dropped > 0], 1.25))
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)


def test_hidden_dropout_is_active_only_in_training_mode_with_noise():
    network, x = MLP(4, [50], dropout=0.5), torch.randn(30, 4)
    assert torch.equal(network(x), network(x))
    assert not torch.equal(network(x, Noise(0)), network(x))
    assert torch.equal(network(x, Noise(0)), network(x, Noise(0)))
    network.eval()
    assert torch.equal(network(x, Noise(0)), network(x))


def test_scaling_flattens_scales_and_inverts():
    images = torch.arange(2 * 3 * 4, dtype=torch.uint8).view(2, 3, 4)
    scaling = Scaling(torch.tensor(0.0), torch.tensor(1 / 255))
    scaled = scaling(images)
    torch.testing.assert_close(scaled, images.flatten(1) / 255)
    assert scaled.dtype == torch.float32
    columns = Scaling(torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.5, 4.0]))
    rows = torch.tensor([[3.0, -1.0], [0.0, 0.0]])
    torch.testing.assert_close(columns(rows), torch.tensor([[1.0, 4.0], [-0.5, 8.0]]))
    torch.testing.assert_close(columns.inverse(columns(rows)), rows.double())


def test_the_streams_of_runs_are_what_they_were():
    streams = [(3, 0), (3, 2, 0), (3, 4), (3, 3, 7)]
    found = [1538514028846840677, 3264774863701641945, 887171055240379790, 156104292307307144]
    assert [Noise(*stream).seed() for stream in streams] == found


def test_noise_streams_are_separate_and_repeatable():
    draws = {
        key: tuple(Noise(*key).normal(3).tolist())
        for key in [(0,), (0, 0), (0, 1), (0, 2), (1,), (1, 0), (1, 1), (0, 1, 1), (0, 1, 2), (2**32,), (2**32, 0)]
    }
    assert len(set(draws.values())) == 11
    assert tuple(Noise(0, 1).normal(3).tolist()) == draws[0, 1]
    noise = Noise(0)
    assert sorted(noise.permutation(10).tolist()) == list(range(10))
    assert set(noise.integers(3, 100).tolist()) == {0, 1, 2}
    assert 0 <= noise.uniform(1000).min() < noise.uniform(1000).max() < 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dropout(1.0), "dropout rate is 1.0"),
        (lambda: Dropout(-0.1), "dropout rate is -0.1"),
        (lambda: Corruption(-0.3), "input noise is -0.3"),
        (lambda: Corruption(math.nan), "input noise is nan"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
