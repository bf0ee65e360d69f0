"""GAN and GMMN+AE, and the two discrepancies they and the warm start are trained by."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from aae import losses
from aae.baselines.gan import GenerativeAdversarialNetwork, generative_adversarial_phases
from aae.baselines.gmmn import GeneratedPrior, SigmoidCode, moment_matching_phases
from aae.baselines.vae import importance_weighted_bound, variational_phases
from aae.errors import InputError, TrainingError
from aae.evaluation import energy_distance
from aae.latents import Latent
from aae.model import AdversarialAutoencoder
from aae.networks import MLP, Corruption, initialize
from aae.noise import Noise
from aae.posteriors import Deterministic, GaussianPosterior
from aae.priors import FromSampler, Gaussian, Uniform
from aae.runs.recipe import read_recipe
from aae.runs.train import train
from aae.scaling import Scaling
from aae.training.phases import Batch
from aae.training.settings import OptimizerSettings, TrainingSettings
from aae.training.trainer import Trainer, TrainingData

CPU = torch.device("cpu")
IDENTITY = Scaling(torch.tensor(0.0), torch.tensor(1.0))


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def quantiles(n):
    """A standard normal sample that is as even as can be, (n, 1)."""
    return torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)[:, None]


def moved(trainer, model):
    """Run one step; returns for each phase the names of the parameters that it moved."""
    seen = {}

    def spy_on(name, update):
        def step(*given):
            before = {key: p.detach().clone() for key, p in model.named_parameters()}
            type(update).step(update, *given)
            seen[name] = {key for key, p in model.named_parameters() if not torch.equal(p, before[key])}

        update.step = step

    for name, update in trainer.optimizers.items():
        spy_on(name, update)
    trainer.run_epoch(lambda: True)
    return seen


def named(model, *prefixes):
    return {name for name, _ in model.named_parameters() if name.startswith(prefixes)}


# --- the discrepancies ---


def test_mmd_of_two_points():
    x, y = torch.zeros(1, 1), torch.tensor([[3.0]])
    expected = 2 * (1 - math.exp(-9 / 4)) + 2 * (1 - math.exp(-9 / 20))  # exp(-|x - y|^2 / (2 s)), s = 2 and 10
    assert float(losses.maximum_mean_discrepancy(x, y, [2.0, 10.0])) == pytest.approx(math.sqrt(expected))
    far = losses.maximum_mean_discrepancy(x, 1e6 + y, [2.0, 10.0])
    assert float(far) == pytest.approx(math.sqrt(2 * 2))  # as large as it gets


@pytest.mark.parametrize("shift", [0.5, 2.0])
def test_mmd_of_shifted_gaussians(shift):
    # E k(x, y) = sqrt(s / (s + 2)) exp(-shift^2 / (2 (s + 2))) for unit variances
    expected = sum(2 * math.sqrt(s / (s + 2)) * (1 - math.exp(-(shift**2) / (2 * (s + 2)))) for s in (1.0, 4.0))
    found = losses.maximum_mean_discrepancy(quantiles(600), quantiles(500) + shift, [1.0, 4.0])
    assert float(found) == pytest.approx(math.sqrt(expected), rel=0.01)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_mmd_of_equal_samples_is_zero_and_so_is_its_gradient(offset):
    x = (offset + numbers(50, 8).float()).requires_grad_()
    mmd = losses.maximum_mean_discrepancy(x, x.detach().flip(0), [0.5, 5.0])
    mmd.backward()
    assert mmd.item() == 0
    assert torch.equal(x.grad, torch.zeros(50, 8))


def test_mmd_has_the_right_gradient_and_ignores_where_the_origin_is():
    x, y = numbers(6, 3).requires_grad_(), numbers(4, 3, seed=1) + 1
    assert torch.autograd.gradcheck(lambda x: losses.maximum_mean_discrepancy(x, y, [1.0, 3.0]), x)
    here = losses.maximum_mean_discrepancy(x.detach().float(), y.float(), [1.0, 3.0])
    there = losses.maximum_mean_discrepancy(x.detach().float() + 300, y.float() + 300, [1.0, 3.0])
    assert float(there) == pytest.approx(float(here), rel=1e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(losses.maximum_mean_discrepancy(x.detach().float(), y.float(), [1.0, 3.0]), here)


def test_moment_matching_compares_mean_and_covariance():
    z = numbers(40, 3)
    assert float(losses.moment_matching_loss(z, z.flip(0))) == pytest.approx(0, abs=1e-20)
    assert float(losses.moment_matching_loss(z + 2, z)) == pytest.approx(3 * 2**2)
    centred = z - z.mean(0)
    doubled = losses.moment_matching_loss(2 * centred, centred)
    torch.testing.assert_close(doubled, (3 * z.T.cov()).square().sum())
    turned = centred @ torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    off_diagonal = losses.moment_matching_loss(turned, centred)
    torch.testing.assert_close(off_diagonal, (turned.T.cov() - z.T.cov()).square().sum())


# --- generative adversarial network ---


def gan(output="linear"):
    model = GenerativeAdversarialNetwork(MLP(4, [32, 32], 2), MLP(2, [32, 32], 1), Gaussian(4), output=output)
    initialize(model, Noise(0, 1), "he")
    return model


def blobs(n, seed):
    """Two blobs of standard deviation 0.3 around (2.5, 1.5) and (-0.5, 2.5)."""
    noise = Noise(seed, 5)
    side = 2 * noise.integers(2, n)[:, None].float() - 1
    return torch.tensor([1.0, 2.0]) + side * torch.tensor([1.5, -0.5]) + 0.3 * noise.normal(n, 2)


def test_gan_learns_two_blobs():
    model = gan()
    adam = OptimizerSettings(optimizer="adam", learning_rate=0.002, betas=(0.5, 0.9))
    settings = TrainingSettings(epochs=20, batch_size=100, discriminator=adam, generator=adam)
    trainer = Trainer(
        model, generative_adversarial_phases(model), TrainingData(blobs(3000, 0), IDENTITY), settings, CPU
    )
    held_out = blobs(1000, 1)

    def distance():
        with torch.no_grad():
            return energy_distance(model.sample(1000, noise=Noise(2)), held_out)

    assert distance() > 2
    while trainer.epoch < settings.epochs:
        metrics = trainer.run_epoch()
    # all samples at the mean of the data: 1.34, in one blob: 1.50, on the line between the blobs: 0.29
    assert distance() < 0.2
    assert metrics["discriminator_accuracy"] == pytest.approx(0.5, abs=0.15)


def test_gan_phases_move_their_own_network_and_no_other():
    model = gan()
    phases = generative_adversarial_phases(model)
    trainer = Trainer(
        model, phases, TrainingData(blobs(50, 0), IDENTITY), TrainingSettings(epochs=1, batch_size=50), CPU
    )
    assert moved(trainer, model) == {
        "discriminator": named(model, "discriminator"),
        "generator": named(model, "generator"),
    }


def test_gan_discriminator_labels_rows_1_and_generated_rows_0_and_the_generator_turns_that_round():
    prior = FromSampler(lambda n: torch.full((n, 1), 2.0), 1)
    model = GenerativeAdversarialNetwork(nn.Linear(1, 3), nn.Linear(3, 1), prior)
    rows = torch.rand(6, 3)
    p = torch.sigmoid(model.discriminator(rows))
    q = torch.sigmoid(model.discriminator(model.generator(torch.tensor([[2.0]]))))
    batch = Batch(rows, Noise(0))
    discriminator, generator = generative_adversarial_phases(model)
    torch.testing.assert_close(discriminator.loss(batch), -p.log().mean() - (1 - q).log().mean())
    torch.testing.assert_close(generator.loss(batch), -q.log().mean())


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_gan_networks_drop_out_in_training_alone(network):
    model, rows = gan(), torch.ones(20, 2)
    getattr(model, network).layers[0].dropout.rate = 0.5
    losses = [phase.loss(Batch(rows, Noise(0))).item() for phase in generative_adversarial_phases(model)]
    without = [phase.loss(Batch(rows, Noise(0))).item() for phase in generative_adversarial_phases(gan())]
    assert all(a != b for a, b in zip(losses, without, strict=True))
    assert torch.equal(model.sample(20, noise=Noise(0)), gan().sample(20, noise=Noise(0)))


def test_gan_samples_are_activated_and_know_no_labels():
    logits, rows = gan().sample(7, noise=Noise(3)), gan(output="sigmoid").sample(7, noise=Noise(3))
    torch.testing.assert_close(rows, torch.sigmoid(logits))
    with pytest.raises(InputError, match="knows no labels"):
        gan().sample(2, labels=torch.tensor([0, 1]))


# --- generative moment matching network with an autoencoder ---


def gmmn(seed=0, inputs=64, dropout=0.2):
    style = Latent(GeneratedPrior(MLP(6, [64, 64], 8), 6, 8), SigmoidCode(128, 8))
    encoder, decoder = MLP(inputs, [128], dropout=dropout), MLP(8, [128], inputs)
    corruption = Corruption(dropout=dropout)
    model = AdversarialAutoencoder(encoder, {"style": style}, decoder, output="sigmoid", corruption=corruption)
    initialize(model, Noise(seed, 1), "he")
    return model


def digits():
    rows = torch.from_numpy(load_digits().data / 16).float()
    rows = rows[Noise(0).permutation(len(rows))]
    return rows[:1200], rows[1200:]


def test_gmmn_learns_the_codes_of_a_trained_autoencoder():
    model = gmmn()
    train, held_out = digits()
    adam = OptimizerSettings(optimizer="adam", learning_rate=0.003)
    settings = TrainingSettings(epochs=40, batch_size=200, reconstruction=adam, moment_matching=adam)
    phases = moment_matching_phases(model, [0.05, 0.2, 1.0], pretraining=20)
    trainer = Trainer(model, phases, TrainingData(train, IDENTITY), settings, CPU)
    prior = model.latent("style").prior

    def distances():
        model.eval()
        with torch.no_grad():
            codes = model.encode(held_out)["style"]
            generated = prior.sample(len(codes), None, Noise(2))
            samples = model.sample(len(codes), noise=Noise(2))
            error = 2 * losses.half_squared_error(model.reconstruct(held_out), held_out)
        return energy_distance(samples, held_out), energy_distance(generated, codes), float(error)

    while trainer.epoch < 20:
        metrics = trainer.run_epoch()
    assert set(metrics) == {"reconstruction_loss"}
    _, codes_before, error = distances()
    assert error < 3  # the mean image has 4.7
    assert codes_before > 0.2
    while trainer.epoch < settings.epochs:
        metrics = trainer.run_epoch()
    assert set(metrics) == {"moment_matching_loss"}
    samples, codes, error_after = distances()
    assert error_after == error  # the autoencoder stands still
    assert codes < 0.05
    assert samples < 0.35  # the mean image has 1.3


def test_gmmn_phases_move_their_own_networks_and_no_others():
    model = gmmn(inputs=4)
    data = TrainingData(torch.rand(20, 4), IDENTITY)
    phases = moment_matching_phases(model, [1.0], pretraining=1)
    trainer = Trainer(model, phases, data, TrainingSettings(epochs=2, batch_size=10), CPU)
    autoencoder = named(model, "encoder", "decoder", "latents.style.posterior")
    assert moved(trainer, model) == {"reconstruction": autoencoder}
    trainer = Trainer(model, phases, data, TrainingSettings(epochs=2, batch_size=10), CPU)
    trainer.epoch = 1
    assert moved(trainer, model) == {"moment_matching": named(model, "latents.style.prior")}
    assert autoencoder | named(model, "latents.style.prior") == {name for name, _ in model.named_parameters()}


def test_gmmn_costs_are_those_of_li_et_al():
    model, rows = gmmn(inputs=4), torch.rand(30, 4)
    phases = {phase.name: phase for phase in moment_matching_phases(model, [0.1, 1.0], pretraining=1)}
    corrupted = phases["reconstruction"].loss(Batch(rows, Noise(0)))
    x_hat = model.decode(model.encode(rows, Noise(0)))
    cross_entropy = -(rows * x_hat.log() + (1 - rows) * (1 - x_hat).log())
    torch.testing.assert_close(corrupted, cross_entropy.sum(1).mean())
    mean = moment_matching_phases(model, [1.0], 1, reduction="mean")[0].loss(Batch(rows, Noise(0)))
    torch.testing.assert_close(mean, cross_entropy.mean())
    half = moment_matching_phases(model, [1.0], 1, "gaussian", "mean")[0].loss(Batch(rows, Noise(0)))
    torch.testing.assert_close(half, 0.5 * (rows - x_hat).square().mean())
    matched = phases["moment_matching"].loss(Batch(rows, Noise(0)))
    codes = torch.sigmoid(model.latent("style").posterior.layer(model.encoder(rows)))  # without dropout
    noise = Uniform(6, -1, 1).sample(30, None, Noise(0))
    generated = torch.sigmoid(model.latent("style").prior.generator(noise))
    torch.testing.assert_close(matched, losses.maximum_mean_discrepancy(generated, codes, [0.1, 1.0]))


def test_gmmn_samples_go_from_noise_over_codes_to_rows_and_are_saved_with_the_model():
    model, other = gmmn(seed=0), gmmn(seed=1)
    codes = model.sample_codes(9, noise=Noise(4))
    assert ((codes["style"] > 0) & (codes["style"] < 1)).all()
    rows = model.sample(9, noise=Noise(4))
    assert torch.equal(rows, model.decode(codes))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.sample(9, noise=Noise(4)), rows)


def test_what_is_no_gmmn_is_named():
    plain = Latent(Gaussian(2), Deterministic(6, 2))
    other = AdversarialAutoencoder(MLP(4, [6]), {"style": plain}, MLP(2, [6], 4))
    with pytest.raises(InputError, match="found Deterministic and Gaussian"):
        moment_matching_phases(other, [1.0], 1)
    with pytest.raises(InputError, match="one latent, 'style'; found z"):
        moment_matching_phases(AdversarialAutoencoder(MLP(4, [6]), {"z": plain}, MLP(2, [6], 4)), [1.0], 1)
    for bandwidths in ([], [1.0, 0.0]):
        with pytest.raises(InputError, match="expected at least one, each larger than 0"):
            moment_matching_phases(gmmn(), bandwidths, 1)
    with pytest.raises(InputError, match="pretraining is 0"):
        moment_matching_phases(gmmn(), [1.0], 0)
    linear = gmmn()
    linear.output = "linear"
    with pytest.raises(InputError, match="needs a sigmoid output; found linear"):
        moment_matching_phases(linear, [1.0], 1)


@pytest.mark.parametrize(
    ("name", "phase", "message"),
    [
        ("table1-mnist-gan", "generator", r"generator\..* is not finite after the generator phase of epoch 1, step"),
        ("table1-mnist-gan", "discriminator", r"generator loss is nan in epoch 1, step 1"),
        ("table1-mnist-vae", "elbo", r"elbo loss is nan in epoch 1, step 2"),
        (
            "table1-mnist-gmmn-ae",
            "moment_matching",
            r"validation finds: .* after epoch 2\. Try lower .* for .*moment_matching",
        ),
        ("demo-supervised", "classification", r"classification loss is nan in epoch 2, step 1"),
    ],
)
def test_divergence_of_every_method_names_phase_and_epoch(tmp_path, name, phase, message):
    changes = ["training.epochs=3", "training.compile=false", "training.precision=fp32"]
    changes += [f"model.{part}.hidden=[16]" for part in ("encoder", "decoder", "discriminator")]
    changes += ["training.pretraining=1"] if "gmmn" in name else []
    recipe = read_recipe(name, [*changes, f"training.{phase}.learning_rate=1e30"], "digits")
    with pytest.raises(TrainingError, match=message):
        train(recipe, run=tmp_path / "run", device="cpu")


# --- bounds of the VAE ---


def linear_vae():
    """A VAE with linear networks, a standard normal prior and unit variance, of which log p(x) is known."""
    encoder, decoder = MLP(3, [], 3), MLP(2, [], 3)
    style = Latent(Gaussian(2, 1.0), GaussianPosterior(3, 2))
    model = AdversarialAutoencoder(encoder, {"style": style}, decoder, output="linear")
    initialize(model, Noise(5), "normal", 0.4)
    with torch.no_grad():
        style.posterior.layer.linear.weight *= 0.2  # near the prior, and so wider than the posterior of the decoder
    return model.eval()


def test_importance_weights_bring_the_bound_to_the_likelihood():
    model, rows = linear_vae(), numbers(6, 3).float()
    weights = model.decoder.layers[0].linear.weight
    exact = torch.distributions.MultivariateNormal(torch.zeros(3), weights @ weights.T + torch.eye(3)).log_prob(rows)
    found = {k: importance_weighted_bound(model, rows, k, "gaussian", Noise(1, 1)) for k in (1, 400, 4000)}
    torch.testing.assert_close(found[1][0], found[1][1])  # one code: the bound of Eq. 2
    evidence, tight = found[4000]
    assert (evidence < exact).all()
    torch.testing.assert_close(tight.float(), exact, atol=0.03, rtol=0)
    assert evidence.mean() < found[400][1].mean() < exact.mean() + 0.03


def test_a_bernoulli_bound_is_what_a_vae_lowers():
    model, rows = linear_vae(), numbers(50, 3).sigmoid().float()
    model.output = "sigmoid"
    [phase] = variational_phases(model)
    batch = Batch(rows, Noise(3, 3))
    evidence, _ = importance_weighted_bound(model, rows, 2000, "bernoulli", Noise(3, 4))
    with torch.no_grad():
        losses_seen = [float(phase.loss(batch)) for _ in range(400)]
    assert -float(evidence.mean()) == pytest.approx(sum(losses_seen) / 400, rel=0.01)


def test_a_bound_is_asked_of_methods_that_have_one():
    with pytest.raises(InputError, match=r"importance_samples is 9; method 'aae' has no bound"):
        read_recipe("figure2a", ["evaluation.importance_samples=9"])
    with pytest.raises(InputError, match="samples is 0; expected 1"):
        importance_weighted_bound(linear_vae(), torch.zeros(1, 3), 0, "gaussian", Noise(0))
