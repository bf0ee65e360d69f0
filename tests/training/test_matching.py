"""Ways of matching codes to the prior beside the paper's: objectives, penalties, distances, several updates, spectral norm."""

import pytest
import torch

from aae import losses
from aae.errors import InputError
from aae.evaluation import energy_distance
from aae.latents import Latent
from aae.model import AdversarialAutoencoder
from aae.networks import MLP, SpectralLinear, initialize
from aae.noise import Noise
from aae.posteriors import Deterministic
from aae.priors import Gaussian
from aae.recipes import read
from aae.recipes.build_model import build_model, build_phases
from aae.scaling import Scaling
from aae.training.batched_seeds import BatchedSeeds
from aae.training.phases import Batch, adversarial_phases, configured_phases, discriminator_phase
from aae.training.settings import LossSettings, MatchingSettings, OptimizerSettings, TrainingSettings
from aae.training.trainer import Trainer, TrainingData

ADAM = OptimizerSettings(optimizer="adam", learning_rate=0.003, betas=(0.5, 0.9))
P, C = torch.tensor([2.0, 0.5, -3.0]), torch.tensor([-1.5, 0.25])


def test_objectives_are_those_of_their_publications():
    softplus = torch.nn.functional.softplus
    expected = {
        "adversarial": (softplus(-P).mean() + softplus(C).mean(), softplus(-C).mean()),
        "least-squares": (0.5 * ((P - 1) ** 2).mean() + 0.5 * (C**2).mean(), 0.5 * ((C - 1) ** 2).mean()),
        "hinge": (torch.tensor([0, 0.5, 4]).mean() + torch.tensor([0, 1.25]).mean(), -C.mean()),
        "wasserstein": (C.mean() - P.mean(), -C.mean()),
    }
    for objective, (discriminator, generator) in expected.items():
        torch.testing.assert_close(losses.discriminator_objective(P, C, objective), discriminator)
        torch.testing.assert_close(losses.generator_objective(C, objective), generator)
    assert losses.discriminator_accuracy(P, C).item() == pytest.approx(0.5 * (2 / 3 + 1 / 2))
    assert losses.discriminator_accuracy(P, C, "least-squares").item() == pytest.approx(0.5 * (1 / 3 + 1))
    assert losses.discriminator_accuracy(P - 9, C - 9, "wasserstein").item() == pytest.approx(0.5 * (2 / 3 + 1 / 2))


def test_the_discrepancy_is_unbiased_and_that_of_its_kernel():
    x, y = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 1.0], [0.0, 2.0]])
    scale, expected = 1.0, 0.0  # of the one pair of y
    for c in (0.1, 0.2, 0.5, 1, 2, 5, 10):
        c *= scale
        cross = [c / (c + d) for d in (1.0, 4.0, 18.0, 13.0)]
        expected += c / (c + 25) + c / (c + 1) - 2 * sum(cross) / 4
    assert losses.inverse_multiquadratic_mmd(x, y).item() == pytest.approx(expected, rel=1e-5)
    noise = Noise(0)
    same = [losses.inverse_multiquadratic_mmd(noise.normal(50, 2), noise.normal(50, 2)) for _ in range(200)]
    far = losses.inverse_multiquadratic_mmd(noise.normal(50, 2) + 2, noise.normal(50, 2))
    assert abs(torch.stack(same).mean().item()) < 0.02 < 0.5 < far.item()


def test_sliced_wasserstein_of_a_shift_is_its_projected_square():
    x = torch.randn(40, 3)
    shift, directions = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([[2.0, 0, 0], [0, 0.1, 0]])
    found = losses.sliced_wasserstein_loss(x.flip(0) + shift, x, directions)
    assert found.item() == pytest.approx((1 + 4) / 2, rel=1e-5)


def model(seed=0, spectral_norm=False):
    discriminator = MLP(2, [32], 1, activation="leaky_relu", spectral_norm=spectral_norm)
    latents = {"style": Latent(Gaussian(2, 2.0), Deterministic(32, 2), discriminator)}
    made = AdversarialAutoencoder(MLP(3, [32]), latents, MLP(2, [32], 3))
    initialize(made, Noise(seed, 1), "he")
    return made


def trainer(matching, epochs=16, seed=0, **more):
    made = model(seed, **more)
    rows = 3 * Noise(5).uniform(1000, 3)
    optimizers = dict.fromkeys(("reconstruction", "generator", "discriminator"), ADAM)
    if not matching.discriminates:
        del optimizers["discriminator"]
    settings = TrainingSettings(epochs=epochs, seed=seed, **optimizers)
    phases = adversarial_phases(made, losses=LossSettings(matching=matching))
    return Trainer(made, phases, TrainingData(rows, Scaling.identity()), settings, torch.device("cpu"))


def distance(trained):
    trained.module.eval()
    with torch.no_grad():
        codes = trained.module.encode(3 * Noise(6).uniform(1000, 3))["style"]
    return energy_distance(codes, Gaussian(2, 2.0).sample(1000, None, Noise(7)))


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "least-squares"},
        {"objective": "hinge", "discriminator_steps": 2},
        {"objective": "wasserstein", "gradient_penalty": 1.0, "discriminator_steps": 3},
        {"r1": 0.1},
        {"objective": "mmd"},
        {"objective": "sliced-wasserstein"},
    ],
)
def test_every_option_matches_codes_to_the_prior(options):
    run = trainer(MatchingSettings(**options))
    before = distance(run)
    while run.epoch < 16:
        run.run_epoch()
    after = distance(run)
    assert before > 0.5
    assert after < 0.2, after


def test_penalties_are_those_of_a_linear_discriminator():
    made, rows = model(), torch.rand(20, 3)
    made.latent("style").discriminator = MLP(2, [], 1)
    weight = made.latent("style").discriminator.layers[0].linear.weight
    weight.data = torch.tensor([[3.0, 4.0]])
    plain, r1, wgan = (
        discriminator_phase(made, settings=MatchingSettings(**given)).loss(Batch(rows, Noise(1)))
        for given in ({}, {"r1": 0.1}, {"gradient_penalty": 0.5})
    )
    assert (r1 - plain).item() == pytest.approx(0.5 * 0.1 * 5**2, rel=1e-4)
    assert (wgan - plain).item() == pytest.approx(0.5 * (5 - 1) ** 2, rel=1e-4)
    (slope,) = torch.autograd.grad(r1 - plain, weight)  # it is differentiated through
    torch.testing.assert_close(slope, 0.1 * weight.data, rtol=1e-3, atol=1e-5)


def test_spectral_norm_bounds_the_slope_and_keeps_what_it_found():
    layer = SpectralLinear(6, 4)
    layer.weight.data = 5 * torch.randn(4, 6)
    before = layer.direction.clone()
    x = torch.randn(1, 6)
    for _ in range(50):
        layer(x)
    assert not torch.equal(layer.direction, before)
    found = torch.autograd.functional.jacobian(lambda row: layer.eval()(row[None])[0], x[0])
    assert torch.linalg.matrix_norm(found, 2).item() == pytest.approx(1, abs=1e-3)
    frozen = layer.direction.clone()
    layer(x)
    assert torch.equal(layer.direction, frozen)


def test_the_discriminators_move_as_often_as_they_are_told():
    seen = []
    run = trainer(MatchingSettings(discriminator_steps=3), epochs=1)
    for name, update in run.optimizers.items():
        update.step = lambda *_, name=name: seen.append(name)
    run.run_epoch(lambda: True)
    assert seen == ["reconstruction", "discriminator", "discriminator", "discriminator", "generator"]


@pytest.mark.parametrize(
    ("options", "spectral_norm"),
    [
        ({"r1": 0.1, "gradient_penalty": 1.0, "discriminator_steps": 2}, False),
        ({}, True),
        ({"objective": "mmd"}, False),
    ],
)
def test_seeds_train_together_as_alone(options, spectral_norm):
    def both():
        return [trainer(MatchingSettings(**options), 1, seed, spectral_norm=spectral_norm) for seed in range(2)]

    alone, together = both(), BatchedSeeds(both())
    for run in alone:
        run.run_epoch()
    together.run_epoch()
    for run, other in zip(alone, together.trainers, strict=True):
        for own, batched in zip(run.module.state_dict().values(), other.module.state_dict().values(), strict=True):
            torch.testing.assert_close(own, batched, rtol=1e-3, atol=1e-4)


def test_a_recipe_takes_an_objective_without_discriminators(capsys):
    recipe = read(
        "figure2a-digits", ["training.losses.matching.objective=mmd", "training.discriminator.learning_rate=0.1"]
    )
    phases = build_phases(recipe, build_model(recipe.model, (8, 8), 10, Noise(0)))
    found = configured_phases(phases, recipe.training)
    assert [phase.name for phase in found] == ["reconstruction", "generator"]
    assert "training.discriminator is not used: objective 'mmd' has none" in capsys.readouterr().err


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"r1 is 1\.0; objective 'mmd' uses no discriminator"):
        MatchingSettings(objective="mmd", r1=1.0)
    with pytest.raises(ValueError, match="matching does not fit"):
        LossSettings(joint=True, matching=MatchingSettings(r1=1.0))
    with pytest.raises(InputError, match="spectral_norm does not fit penalties"):
        discriminator_phase(model(spectral_norm=True), settings=MatchingSettings(r1=1.0))
    recipe = read("figure4a", ["training.losses.matching.objective=mmd"])
    informed = build_model(recipe.model, (28, 28), 10, Noise(0))
    with pytest.raises(InputError, match="label_informed needs a discriminator; objective 'mmd' uses none"):
        build_phases(recipe, informed)
