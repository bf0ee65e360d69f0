"""The model: what the decoder and the discriminators see, the posteriors, sampling, own modules."""

import pytest
import torch
from torch import nn

from aae.errors import InputError
from aae.latents import Latent
from aae.model import AdversarialAutoencoder
from aae.networks import MLP, Corruption
from aae.noise import Noise
from aae.posteriors import Deterministic, GaussianPosterior, Softmax, UniversalApproximator
from aae.priors import Categorical, Gaussian, GaussianMixture


class Spy(nn.Module):
    """Linear map that remembers its input."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.seen = None

    def forward(self, x):
        self.seen = x
        return self.linear(x)


class NoisySpy(Spy):
    """The same, with a parameter `noise`."""

    def forward(self, x, noise=None):
        self.noise = noise
        return super().forward(x)


def semi_supervised(encoder=None, decoder=None, **options):
    latents = {
        "label": Latent(Categorical(3), Softmax(8, 3), MLP(3, [5], 1)),
        "style": Latent(Gaussian(2), Deterministic(8, 2), MLP(2, [5], 1)),
    }
    return AdversarialAutoencoder(encoder or MLP(6, [8]), latents, decoder or Spy(5, 6), **options)


def basic(posterior, inputs=6, decoder=None, **options):
    latent = Latent(Gaussian(posterior.dim), posterior, MLP(posterior.dim, [5], 1))
    encoder = MLP(inputs, [8])
    return AdversarialAutoencoder(encoder, {"style": latent}, decoder or Spy(posterior.dim, 6), **options)


@pytest.fixture
def rows():
    return torch.rand(10, 6, generator=torch.Generator().manual_seed(0))


def test_decoder_sees_label_then_style(rows):
    model = semi_supervised()
    codes = model.encode(rows)
    assert list(codes) == ["label", "style"]
    model.decode(dict(reversed(codes.items())))  # the order of the latents counts, not that of the codes
    assert torch.equal(model.decoder.seen, torch.cat([codes["label"], codes["style"]], 1))
    torch.testing.assert_close(codes["label"], torch.softmax(model.label_logits(rows), 1))


def test_supervised_decoder_sees_the_true_label_then_style(rows):
    model = basic(Deterministic(8, 2), decoder=Spy(4 + 2, 6), decoder_classes=4)
    labels = torch.arange(10) % 4
    model.reconstruct(rows, labels)
    assert torch.equal(model.decoder.seen, torch.cat([torch.eye(4)[labels], model.encode(rows)["style"]], 1))
    with pytest.raises(InputError, match="sees the true label; expected labels"):
        model.reconstruct(rows)


def test_output_activation(rows):
    linear, sigmoid = (semi_supervised(output=output) for output in ("linear", "sigmoid"))
    sigmoid.load_state_dict(linear.state_dict())
    codes = linear.encode(rows)
    torch.testing.assert_close(sigmoid.decode(codes), torch.sigmoid(linear.decode(codes)))
    torch.testing.assert_close(sigmoid.decoder_logits(codes), linear.decode(codes))


def test_deterministic_posterior_repeats(rows):
    model = basic(Deterministic(8, 2))
    first, second = (model.encode(rows, Noise(seed))["style"] for seed in (0, 1))
    assert torch.equal(first, second)
    assert torch.equal(first, model.encode(rows)["style"])


def test_gaussian_posterior_has_the_predicted_moments():
    posterior = GaussianPosterior(8, 2)
    feature = torch.randn(1, 8)
    mean, log_std = posterior.moments(feature)
    draws = posterior(feature.expand(50_000, 8), Noise(0))
    torch.testing.assert_close(draws.mean(0), mean[0], atol=0.03, rtol=0.03)
    torch.testing.assert_close(draws.std(0), log_std[0].exp(), atol=0.01, rtol=0.03)
    assert torch.equal(posterior(feature), mean)


def test_gaussian_posterior_is_reparametrized():
    posterior = GaussianPosterior(3, 2)
    posterior(torch.randn(4, 3), Noise(0)).sum().backward()
    weight = posterior.layer.linear.weight.grad
    assert (weight[:2] != 0).all()  # mean
    assert (weight[2:] != 0).all()  # log standard deviation, through epsilon


def test_universal_approximator_depends_on_eta(rows):
    posterior = UniversalApproximator(8, 2, noise_inputs=4)
    model = basic(posterior, inputs=6 + 4)
    first, second = (model.encode(rows, Noise(seed))["style"] for seed in (0, 1))
    assert ((first - second).abs() > 1e-6).all()
    assert torch.equal(first, model.encode(rows, Noise(0))["style"])
    at_zero = posterior(model.encoder(torch.cat([rows, torch.zeros(10, 4)], 1)))
    assert torch.equal(model.encode(rows)["style"], at_zero)


def test_eta_is_standard_normal():
    style = Latent(Gaussian(1), UniversalApproximator(8, 1, noise_inputs=3))
    model = AdversarialAutoencoder(Spy(2 + 3, 8), {"style": style}, Spy(1, 2))
    model.encode(torch.full((20_000, 2), 7.0), Noise(0))
    eta = model.encoder.seen[:, 2:]
    assert (model.encoder.seen[:, :2] == 7).all()
    torch.testing.assert_close(eta.mean(0), torch.zeros(3), atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(eta.T), torch.eye(3), atol=0.04, rtol=0)


def test_universal_approximator_can_leave_the_gaussians():
    # z = f(x, eta) = |eta|: one-sided for one and the same x, which no Gaussian posterior can be
    encoder, posterior = MLP(1 + 1, [2]), UniversalApproximator(2, 1, noise_inputs=1)
    with torch.no_grad():
        encoder.layers[0].linear.weight.copy_(torch.tensor([[0.0, 1], [0, -1]]))
        encoder.layers[0].linear.bias.zero_()
        posterior.layer.linear.weight.fill_(1)
        posterior.layer.linear.bias.zero_()
    model = AdversarialAutoencoder(encoder, {"style": Latent(Gaussian(1), posterior)}, MLP(1, [], 1))
    codes = model.encode(torch.zeros(20_000, 1), Noise(0))["style"]
    assert codes.min() >= 0
    assert codes.mean().item() == pytest.approx((2 / torch.pi) ** 0.5, abs=0.02)


def test_corruption_reaches_encoder_but_only_in_training_mode():
    model = semi_supervised(encoder=Spy(6, 8), corruption=Corruption(0.3))
    rows = torch.full((4000, 6), 0.5)
    model.encode(rows, Noise(0))
    assert (model.encoder.seen - rows).std().item() == pytest.approx(0.3, rel=0.03)
    model.encode(rows)
    assert torch.equal(model.encoder.seen, rows)
    model.eval()
    model.encode(rows, Noise(0))
    assert torch.equal(model.encoder.seen, rows)


def test_label_informed_discriminator_sees_one_hot_with_unlabelled_last():
    spy = Spy(2 + 4, 1)
    latent = Latent(GaussianMixture(3), Deterministic(8, 2), spy, label_informed=True)
    codes, labels = torch.randn(4, 2), torch.tensor([0, 2, -1, 1])
    logits = latent.discriminate(codes, labels)
    assert logits.shape == (4,)
    expected = torch.eye(4)[[0, 2, 3, 1]]
    assert torch.equal(spy.seen, torch.cat([codes, expected], 1))


def test_other_discriminators_see_the_code_alone():
    spy = Spy(2, 1)
    latent = Latent(Gaussian(2), Deterministic(8, 2), spy)
    codes = torch.randn(4, 2)
    assert torch.equal(latent.discriminate(codes, torch.zeros(4, dtype=torch.int64)), spy.linear(codes).squeeze(1))
    assert torch.equal(spy.seen, codes)


def test_shapes(rows):
    model = semi_supervised()
    codes = model.encode(rows)
    assert {name: tuple(code.shape) for name, code in codes.items()} == {"label": (10, 3), "style": (10, 2)}
    assert model.decode(codes).shape == model.reconstruct(rows).shape == (10, 6)
    assert model.label_logits(rows).shape == (10, 3)
    assert model.sample(7).shape == (7, 6)


def test_sampling_a_label_fixes_y_and_leaves_style_free():
    model = semi_supervised()
    labels = torch.tensor([2, 0, 1, 2])
    codes = model.sample_codes(4, labels, Noise(0))
    assert torch.equal(codes["label"], torch.eye(3)[labels])
    assert len(codes["style"].unique()) == 8
    assert torch.equal(model.sample(4, labels, Noise(0)), model.decode(codes))
    free = model.sample_codes(3000, None, Noise(0))["label"]
    torch.testing.assert_close(free.mean(0), torch.full((3,), 1 / 3), atol=0.03, rtol=0)


def test_sampling_a_label_of_a_supervised_model():
    model = basic(Deterministic(8, 2), decoder=Spy(4 + 2, 6), decoder_classes=4)
    labels = torch.tensor([3, 1])
    model.sample(2, labels, Noise(0))
    assert torch.equal(model.decoder.seen[:, :4], torch.eye(4)[labels])
    model.sample(4000)
    torch.testing.assert_close(model.decoder.seen[:, :4].mean(0), torch.full((4,), 0.25), atol=0.03, rtol=0)


def test_sampling_a_label_of_a_label_informed_model_draws_its_component():
    prior = GaussianMixture(4, distance=10.0)
    latent = Latent(prior, Deterministic(8, 2), Spy(2 + 5, 1), label_informed=True)
    model = AdversarialAutoencoder(MLP(6, [8]), {"style": latent}, Spy(2, 6))
    codes = model.sample_codes(100, torch.full((100,), 1), Noise(0))["style"]
    torch.testing.assert_close(codes.mean(0), torch.tensor([0.0, 10.0]), atol=0.3, rtol=0)


def test_labels_that_are_drawn_too_are_those_of_the_style():
    style = Latent(GaussianMixture(3, distance=10.0), Deterministic(8, 2), Spy(2 + 4, 1), label_informed=True)
    label = Latent(Categorical(3), Softmax(8, 3), Spy(3, 1))
    model = AdversarialAutoencoder(MLP(6, [8]), {"label": label, "style": style}, Spy(5, 6))
    codes = model.sample_codes(300, None, Noise(0))
    means = torch.stack([codes["style"][codes["label"].argmax(1) == k].mean(0) for k in range(3)])
    torch.testing.assert_close(means.norm(dim=1), torch.full((3,), 10.0), atol=0.5, rtol=0)  # each of one component


def test_sampling_a_label_needs_a_model_that_knows_labels():
    with pytest.raises(InputError, match="knows no labels"):
        basic(Deterministic(8, 2)).sample(3, torch.zeros(3, dtype=torch.int64))


def test_own_modules_without_a_noise_parameter(rows):
    model = semi_supervised(encoder=Spy(6, 8), decoder=Spy(5, 6))
    assert model.reconstruct(rows).shape == (10, 6)
    assert model.encode(rows, Noise(0))["label"].shape == (10, 3)


def test_own_modules_with_a_noise_parameter_are_given_it(rows):
    model = semi_supervised(encoder=NoisySpy(6, 8), decoder=NoisySpy(5, 6))
    noise = Noise(0)
    model.decoder_logits(model.encode(rows, noise), None, noise)
    assert model.encoder.noise is noise
    assert model.decoder.noise is noise
    model.reconstruct(rows)
    assert model.encoder.noise is None
    assert model.decoder.noise is None


def test_own_discriminator_with_a_noise_parameter_is_given_it():
    latent = Latent(Gaussian(2), Deterministic(8, 2), NoisySpy(2, 1))
    noise = Noise(0)
    latent.discriminate(torch.zeros(3, 2), None, noise)
    assert latent.discriminator.noise is noise


def test_generator_and_discriminators_share_no_parameter():
    model = semi_supervised()
    generator = {id(p) for p in model.encoder_parameters()}
    discriminators = {id(p) for p in model.discriminator_parameters()}
    decoder = {id(p) for p in model.decoder.parameters()}
    assert len(generator | discriminators | decoder) == len(generator) + len(discriminators) + len(decoder)
    assert generator | discriminators | decoder == {id(p) for p in model.parameters()}


def test_dimensions_must_agree():
    with pytest.raises(InputError, match="prior has 3 dimensions and posterior 2"):
        Latent(Gaussian(3), Deterministic(8, 2))


def test_label_informed_needs_a_prior_with_labels():
    with pytest.raises(InputError, match="num_labels"):
        Latent(Gaussian(2), Deterministic(8, 2), label_informed=True)


def test_other_errors(rows):
    with pytest.raises(InputError, match="latents is empty"):
        AdversarialAutoencoder(MLP(6, [8]), {}, Spy(2, 6))
    with pytest.raises(InputError, match="no latent named 'label'"):
        basic(Deterministic(8, 2)).label_logits(rows)
    with pytest.raises(InputError, match="no discriminator"):
        Latent(Gaussian(2), Deterministic(8, 2)).discriminate(torch.zeros(3, 2))


def test_label_informed_discriminator_without_labels_is_a_named_error():
    latent = Latent(GaussianMixture(3), Deterministic(8, 2), Spy(2 + 4, 1), label_informed=True)
    with pytest.raises(InputError, match="label-informed"):
        latent.discriminate(torch.zeros(3, 2))
