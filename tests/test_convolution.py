"""Convolutional encoder and decoder: pixel order, sizes, batch-norm placement, and batch norm outside training."""

import numpy as np
import pytest
import torch
from helpers import small_networks
from scipy.signal import correlate2d
from torch import nn

from aae import recipes
from aae.convolution import Convolution, ConvolutionalDecoder, ConvolutionalEncoder
from aae.data import Dataset, Split
from aae.errors import InputError
from aae.losses import half_squared_error
from aae.networks import Dropout, initialize
from aae.noise import Noise
from aae.recipes import Recipe
from aae.recipes.build_data import with_scaling
from aae.recipes.build_model import build_model, build_phases
from aae.runs.train import train
from aae.training.trainer import Trainer, TrainingData


def images(n: int, *shape: int) -> np.ndarray:
    """Stored images (n, height, width, colours) of two classes: lighter on the left half (0) or on the right one (1)."""
    rng = np.random.default_rng(0)
    base = rng.integers(40, 160, size=(n, 1, 1, 1)) + rng.normal(0, 10, (n, *shape))
    base[: n // 2, :, : shape[1] // 2] += 80
    base[n // 2 :, :, shape[1] // 2 :] += 80
    return np.clip(base, 0, 255).astype(np.uint8)


def recipe(*overrides: str) -> Recipe:
    channels = ["model.encoder.channels=[6, 8]", "model.decoder.channels=[8, 6]"]
    hidden = small_networks(32)
    return recipes.read(
        "table2-svhn-1000",
        [
            *channels,
            *hidden,
            "model.init=he",
            "training.precision=fp32",
            "data.labels=all",
            "data.validation=0",
            *overrides,
        ],
    )


# --- order of pixels and sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 8, 3), (5, 7)])
def test_encoder_sees_rows_as_images_with_the_colours_last(shape):
    encoder = ConvolutionalEncoder(shape, [2], [])
    initialize(encoder, Noise(0), "he")
    stored = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    features = encoder(torch.from_numpy(stored).flatten(1)).detach().numpy()
    weight = encoder.layers[0].convolution.weight.detach().numpy()  # (channels, colours, 3, 3)
    planes = stored.reshape(*stored.shape[:3], -1)
    expected = np.stack(
        [
            [
                sum(
                    correlate2d(planes[i, :, :, c], weight[k, c], mode="same")[::2, ::2] for c in range(planes.shape[3])
                )
                for k in range(2)
            ]
            for i in range(3)
        ]
    )
    np.testing.assert_allclose(features, np.maximum(expected, 0).reshape(3, -1), atol=1e-5)


def test_decoder_writes_rows_with_the_colours_last():
    decoder = ConvolutionalDecoder(4, [], [2], (4, 6, 3))
    (layer,) = decoder.layers
    with torch.no_grad():  # of the first channel the middle is passed on, to blue alone; red is 1 everywhere
        layer.convolution.weight.zero_()
        layer.convolution.weight[2, 0, 1, 1] = 1
        layer.convolution.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    x = torch.randn(5, 4)
    rows = decoder(x).view(5, 4, 6, 3)
    small = decoder.dense(x).view(5, 2, 2, 3)[:, 0]
    assert torch.equal(rows[..., 0], torch.ones(5, 4, 6))
    assert torch.equal(rows[..., 1], torch.zeros(5, 4, 6))
    assert torch.equal(rows[..., 2], small.repeat_interleave(2, 1).repeat_interleave(2, 2))


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (32, 32, 3), (7, 9, 1), (1, 5, 2)])
@pytest.mark.parametrize("layers", [1, 3])
def test_images_of_any_size_pass_and_come_back(shape, layers):
    encoder = ConvolutionalEncoder(shape, [3] * layers, [10])
    decoder = ConvolutionalDecoder(encoder.out_features, [5], [3] * layers, shape)
    sizes = []
    for module in (encoder, decoder):
        for layer in module.layers:
            layer.register_forward_hook(lambda module, args, out: sizes.append(tuple(out.shape[2:])))
    rows = torch.randn(2, int(np.prod(shape)))
    assert decoder(encoder(rows)).shape == rows.shape
    down, up = sizes[:layers], sizes[layers:]
    assert down == [(-(-shape[0] // 2**i), -(-shape[1] // 2**i)) for i in range(1, layers + 1)]
    assert up == [*reversed(down[:-1]), tuple(shape[:2])]  # through the encoder's sizes


def test_convolutions_are_repeated_where_there_are_some():
    with pytest.raises(
        InputError, match=r"model\.encoder.*repeats is 2; an encoder without channels has no convolutions"
    ):
        recipe("model.encoder.channels=[]", "model.encoder.repeats=2")


def test_repeated_convolutions_keep_the_size_that_the_first_of_them_halves():
    encoder = ConvolutionalEncoder((7, 9), [3, 4], [], repeats=3)
    seen = []
    for layer in encoder.layers:
        layer.register_forward_hook(lambda module, args, out: seen.append((args[0].shape[1], *out.shape[1:])))
    assert encoder(torch.randn(2, 63)).shape == (2, encoder.out_features)
    assert seen == [(1, 3, 4, 5), (3, 3, 4, 5), (3, 3, 4, 5), (3, 4, 2, 3), (4, 4, 2, 3), (4, 4, 2, 3)]
    model = build_model(recipe("model.encoder.repeats=2").model, (8, 8, 3), 2, Noise(0))
    assert len(model.encoder.layers) == 2 * len(recipe().model.encoder.channels)


def test_gradients_reach_every_weight():
    encoder, decoder = ConvolutionalEncoder((7, 9), [3, 4], [5]), ConvolutionalDecoder(5, [6], [4, 3], (7, 9))
    for module in (encoder, decoder):
        initialize(module, Noise(0), "he")
    decoder(encoder(torch.randn(20, 63))).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for module in (encoder, decoder) for p in module.parameters())


# --- layers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("placement", "hidden", "last"), [("none", False, False), ("hidden", True, False), ("all", True, True)]
)
def test_batch_norm_stands_where_it_stands_in_fully_connected_networks(placement, hidden, last):
    encoder = ConvolutionalEncoder((8, 8, 3), [4, 5], [6], batch_norm=placement)
    decoder = ConvolutionalDecoder(6, [6], [5, 4], (8, 8, 3), batch_norm=placement)
    normalized = [layer.norm is not None for layer in (*encoder.layers, *encoder.dense.layers)]
    assert normalized == [hidden] * 3
    assert [layer.norm is not None for layer in (*decoder.dense.layers, *decoder.layers)] == [hidden] * 3 + [last]
    rows = decoder(3 * torch.randn(50, 6) + 1)
    assert torch.allclose(rows.view(-1, 3).mean(0), torch.zeros(3), atol=1e-5) == last  # per colour
    assert (rows < 0).any()  # the last layer is linear


def test_batch_norm_sits_between_convolution_and_activation():
    layer = Convolution(2, 3, stride=2, activation="relu", batch_norm=True)
    x = torch.randn(9, 2, 6, 6)
    linear = layer.convolution(x)
    mean, variance = linear.mean((0, 2, 3), keepdim=True), linear.var((0, 2, 3), unbiased=False, keepdim=True)
    torch.testing.assert_close(layer(x), ((linear - mean) / (variance + 1e-5).sqrt()).relu(), atol=1e-5, rtol=1e-5)


def test_dropout_follows_every_hidden_layer_and_needs_noise():
    encoder = ConvolutionalEncoder((8, 8), [4], [50], dropout=0.5)
    decoder = ConvolutionalDecoder(50, [50], [4], (8, 8), dropout=0.5)
    for network, x, expected in (
        (encoder, torch.randn(6, 64), [True, True]),
        (decoder, torch.randn(6, 50), [True, True, False]),  # not after the last layer
    ):
        assert torch.equal(network(x), network(x))
        assert not torch.equal(network(x, Noise(0)), network(x))
        assert torch.equal(network(x, Noise(0)), network(x, Noise(0)))
        rates = [module.rate > 0 for module in network.modules() if isinstance(module, Dropout)]
        assert rates == expected


# --- batch norm in evaluation ------------------------------------------------------------------------------------------


def trained(epochs: int) -> tuple[nn.Module, torch.Tensor, Trainer]:
    """A small convolutional run of all phases with batch norm everywhere, on 400 images; scaled rows."""
    one, stored = (
        recipe(f"training.epochs={epochs}", "training.classification.learning_rate=0.01"),
        images(400, 8, 8, 3),
    )
    labels = torch.arange(400) // 200
    model = build_model(one.model, (8, 8, 3), 2, Noise(0))
    scaling = with_scaling(one, stored)[1]
    data = TrainingData(torch.from_numpy(stored), scaling, labels, torch.arange(400))
    trainer = Trainer(model, build_phases(one, model), data, one.training, torch.device("cpu"))
    while trainer.epoch < epochs:
        trainer.run_epoch()
    return model, scaling(torch.from_numpy(stored)), trainer


@pytest.mark.parametrize("kind", ["convolutional", "fully connected"])
def test_in_evaluation_a_row_is_encoded_by_itself(kind):
    one = recipe(*([] if kind == "convolutional" else ["model.encoder.channels=[]", "model.decoder.channels=[]"]))
    model, rows = build_model(one.model, (8, 8, 3), 2, Noise(0)), torch.randn(40, 192)
    model.encode(rows)  # running statistics of their own
    alone, beside = rows[:1], torch.cat([rows[:1], 5 + 3 * rows[1:]])
    assert not torch.allclose(model.encode(rows[:2])["style"][0], model.encode(beside)["style"][0])
    model.eval()
    for latent in ("label", "style"):
        torch.testing.assert_close(model.encode(alone)[latent][0], model.encode(beside)[latent][0])
    torch.testing.assert_close(model.reconstruct(alone)[0], model.reconstruct(beside)[0])


def test_running_statistics_after_training_are_those_of_the_training_set():
    model, rows, _ = trained(epochs=25)
    with torch.no_grad():
        model.eval()
        evaluated = half_squared_error(model.reconstruct(rows), rows)
        label_error = (model.label_logits(rows).argmax(1) != torch.arange(400) // 200).float().mean()
        model.train()
        in_training = half_squared_error(model.reconstruct(rows), rows)  # without noise: nothing is dropped
    at_zero = half_squared_error(torch.zeros_like(rows), rows)
    assert evaluated < 0.5 * at_zero
    assert evaluated.item() == pytest.approx(in_training.item(), rel=0.15)
    assert label_error < 0.02


def test_running_statistics_follow_every_run_of_the_encoder():
    model, _, trainer = trained(epochs=1)
    norm = model.encoder.layers[0].norm
    # reconstruction, discriminator (whose codes the generator shares) and classification: three runs in each of four steps
    assert norm.num_batches_tracked.item() == 3 * trainer.steps_per_epoch == 12
    assert model.decoder.layers[0].norm.num_batches_tracked.item() == 4


# --- recipes -----------------------------------------------------------------------------------------------------------


def test_a_convolutional_run_of_colour_images_is_saved_and_used(tmp_path):
    stored = images(120, 7, 9, 3)
    labels = np.arange(120) // 60
    order = np.random.default_rng(0).permutation(120)
    split = Split(stored[order], labels[order])
    data = Dataset("halves", split, None, split, (7, 9, 3), ("left", "right"))
    run = train(recipe("training.epochs=1"), data, run=tmp_path / "run", device="cpu")
    assert run.reconstruct(split.rows[:4]).shape == (4, 7, 9, 3)
    assert run.sample(2).dtype == np.uint8


@pytest.mark.parametrize("part", ["encoder", "decoder"])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5)])
def test_rows_that_are_no_images_are_named(part, shape):
    one = recipes.read("figure2a", [f"model.{part}.channels=[4]"])
    with pytest.raises(InputError, match=r"rows have shape \(.*channels expect images"):
        build_model(one.model, shape, 0, Noise(0))


def test_channels_that_do_not_fit_are_named():
    with pytest.raises(InputError, match=r"model\.encoder\.channels is \[4\]; a 'universal' posterior"):
        recipes.read("figure2a-universal", ["model.encoder.channels=[4]"])
    assert recipes.read("figure2a-universal", ["model.decoder.channels=[4]"]).model.decoder.channels == [4]
    with pytest.raises(InputError, match=r"model\.discriminator\.channels"):
        recipes.read("figure2a", ["model.discriminator.channels=[4]"])
