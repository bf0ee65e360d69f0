"""What each phase sees and moves; regression tests for mistakes found in public implementations."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from aae import losses, recipes
from aae.baselines import SupervisedNetwork, supervised_phases, variational_phases
from aae.data import Dataset, Split
from aae.errors import InputError
from aae.latents import Latent
from aae.model import AdversarialAutoencoder
from aae.networks import MLP, Corruption, initialize
from aae.noise import Noise
from aae.posteriors import Deterministic, GaussianPosterior, Softmax
from aae.priors import Categorical, FromSampler, Gaussian, GaussianMixture
from aae.recipes.build_data import labelled_rows
from aae.recipes.build_model import build_model, build_phases
from aae.runs.train import train
from aae.scaling import Scaling
from aae.training.phases import Batch, Phase, adversarial_phases
from aae.training.settings import OptimizerSettings, TrainingSettings
from aae.training.trainer import Trainer, TrainingData

CPU = torch.device("cpu")
IDENTITY = Scaling(torch.tensor(0.0), torch.tensor(1.0))


def semi_supervised(label_informed=False, prior=None, seed=0):
    prior = prior or GaussianMixture(3)
    extra = 4 if label_informed else 0
    latents = {
        "label": Latent(Categorical(3), Softmax(16, 3), MLP(3, [8], 1)),
        "style": Latent(prior, Deterministic(16, 2), MLP(2 + extra, [8], 1), label_informed=label_informed),
    }
    model = AdversarialAutoencoder(MLP(4, [16]), latents, MLP(5, [16], 4), corruption=Corruption(0.1))
    initialize(model, Noise(seed, 77), "he")
    return model


def some_data(n=60, labelled=None, seed=0):
    noise = Noise(seed, 99)
    labels = noise.integers(3, n)
    labelled = torch.arange(n) if labelled is None else labelled
    return TrainingData(noise.uniform(n, 4), IDENTITY, labels, labelled)


def record_phases(rows, batch_size, labelled=None, labelled_batch_size=None, epochs=1):
    """Run a phase that only looks on numbered rows; returns per epoch the rows and the labelled rows of every step."""
    module = nn.Linear(1, 1)
    seen: list[list[torch.Tensor]] = []
    labelled_seen: list[list[torch.Tensor]] = []

    def loss(batch):
        seen[-1].append(batch.rows.flatten().long())
        if batch.labelled_rows is not None:
            labelled_seen[-1].append(batch.labelled_rows.flatten().long())
            assert torch.equal(batch.labelled_labels, batch.labelled_rows.flatten().long() % 7)
        assert torch.equal(batch.labels, batch.rows.flatten().long() % 7)
        return module(batch.rows).mean()

    numbered = torch.arange(rows).float()[:, None]
    data = TrainingData(numbered, IDENTITY, torch.arange(rows) % 7, labelled)
    settings = TrainingSettings(epochs=epochs, batch_size=batch_size, labelled_batch_size=labelled_batch_size)
    phase = Phase("classification", list(module.parameters()), loss, needs_labels=labelled is not None)
    trainer = Trainer(module, [phase], data, settings, CPU)
    for _ in range(epochs):
        seen.append([])
        labelled_seen.append([])
        trainer.run_epoch()
    return seen, labelled_seen


def parts(model):
    """Name the parameters of the encoder, each head, the decoder and each discriminator."""
    owners = {"encoder": model.encoder, "decoder": model.decoder}
    for name in model.latents:
        owners[f"{name} head"] = model.latent(name).posterior
        owners[f"{name} discriminator"] = model.latent(name).discriminator
    return owners


def moved_by_phase(model, phases, data):
    """Run one step; returns for each phase the parts of which every tensor moved, checking that no part moved half."""
    trainer = Trainer(model, phases, data, TrainingSettings(epochs=1, batch_size=30), CPU)
    moved = {}

    def spy_on(name, update):
        def snapshot():
            return {part: [p.detach().clone() for p in owner.parameters()] for part, owner in parts(model).items()}

        def step(*given):
            before = snapshot()
            type(update).step(update, *given)
            after = snapshot()
            moved[name] = set()
            for part in before:
                differs = [not torch.equal(a, b) for a, b in zip(before[part], after[part], strict=True)]
                assert all(differs) or not any(differs), (name, part)
                if all(differs):
                    moved[name].add(part)

        update.step = step

    for name, update in trainer.optimizers.items():
        spy_on(name, update)
    trainer.run_epoch(lambda: True)
    return moved


@pytest.mark.parametrize("label_informed", [False, True])
def test_every_phase_moves_its_own_weights_and_no_others(label_informed):
    model = semi_supervised(label_informed)
    assert moved_by_phase(model, adversarial_phases(model, classify=True), some_data()) == {
        "reconstruction": {"encoder", "label head", "style head", "decoder"},
        "discriminator": {"label discriminator", "style discriminator"},
        "generator": {"encoder", "label head", "style head"},
        "classification": {"encoder", "label head"},
    }


def test_phases_stand_in_the_papers_order():
    model = semi_supervised()
    order = ["reconstruction", "discriminator", "generator"]
    assert [phase.name for phase in adversarial_phases(model)] == order
    assert [phase.name for phase in adversarial_phases(model, classify=True)] == [*order, "classification"]


def test_a_model_that_infers_no_label_has_no_classification_phase():
    latent = Latent(GaussianMixture(3), Deterministic(16, 2), MLP(2 + 4, [8], 1), label_informed=True)
    model = AdversarialAutoencoder(MLP(4, [16]), {"style": latent}, MLP(2, [16], 4))
    phases = adversarial_phases(model, classify=True)
    assert [phase.name for phase in phases] == ["reconstruction", "discriminator", "generator"]


def test_a_latent_without_a_discriminator_is_named():
    model = AdversarialAutoencoder(MLP(4, [6]), {"style": Latent(Gaussian(2), Deterministic(6, 2))}, MLP(2, [6], 4))
    with pytest.raises(InputError, match="latent 'style' has no discriminator"):
        adversarial_phases(model)


def test_two_phases_on_the_same_weights_keep_their_own_momentum():
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.zero_()
    slopes = {"reconstruction": 2.0, "generator": -3.0}
    rates, momenta = {"reconstruction": 0.01, "generator": 0.1}, {"reconstruction": 0.9, "generator": 0.1}
    phases = [
        Phase(name, [module.weight], lambda batch, slope=slope: slope * module.weight.sum())
        for name, slope in slopes.items()
    ]
    optimizers = {name: OptimizerSettings(learning_rate=rates[name], momentum=momenta[name]) for name in slopes}
    settings = TrainingSettings(epochs=1, batch_size=1, **optimizers)
    steps = 6
    Trainer(module, phases, TrainingData(torch.zeros(steps, 1), IDENTITY), settings, CPU).run_epoch()
    # constant slope g: the velocity after t steps is g (1 - m^t) / (1 - m)
    expected = 0.0
    for name, slope in slopes.items():
        m = momenta[name]
        expected -= rates[name] * slope * sum((1 - m**t) / (1 - m) for t in range(1, steps + 1))
    assert module.weight.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("rows", "batch_size"), [(100, 10), (103, 10), (7, 20), (20, 20)])
def test_an_epoch_visits_every_full_batch_exactly_once(rows, batch_size):
    seen, _ = record_phases(rows, batch_size, epochs=12)
    size = min(rows, batch_size)
    for batches in seen:
        assert [len(batch) for batch in batches] == (rows // size) * [size]
        assert len(torch.cat(batches).unique()) == rows // size * size
    assert not torch.equal(torch.cat(seen[0]), torch.cat(seen[1]))
    assert len(torch.cat([torch.cat(batches) for batches in seen]).unique()) == rows  # the ragged rest changes


@pytest.mark.parametrize(("labelled", "size"), [(7, None), (20, None), (43, None), (200, None), (43, 5), (9, 300)])
def test_labelled_batches_never_cut_an_epoch_and_use_all_labelled_rows_alike(labelled, size):
    chosen = Noise(5).permutation(200)[:labelled]
    seen, labelled_seen = record_phases(200, 20, chosen, size, epochs=2)
    for batches, labelled_batches in zip(seen, labelled_seen, strict=True):
        assert len(batches) == len(labelled_batches) == 10
        assert len(torch.cat(batches).unique()) == 200
        assert {len(batch) for batch in labelled_batches} == {min(size or 20, labelled)}
        counts = torch.bincount(torch.cat(labelled_batches), minlength=200)
        assert counts[chosen].max() - counts[chosen].min() <= 1
        assert counts.sum() == counts[chosen].sum()
    assert not torch.equal(torch.cat(labelled_seen[0]), torch.cat(labelled_seen[1]))


def test_training_on_labels_needs_a_label():
    model = semi_supervised()
    data = replace(some_data(), labelled=torch.zeros(0, dtype=torch.int64))
    with pytest.raises(InputError, match="no row is labelled"):
        Trainer(model, adversarial_phases(model, classify=True), data, TrainingSettings(epochs=1), CPU)


def recipe(seed=0, epochs=1, data=None, style=None, **model):
    small = {"hidden": [16]}
    model = {"init": "he", "output": "linear", "encoder": small, "decoder": small, "discriminator": small, **model}
    style = {"dim": 2, "prior": {"kind": "gaussian"}, **(style or {})}
    table = {"data": {"source": "own", **(data or {})}, "model": {**model, "style": style}}
    table["training"] = {"epochs": epochs, "batch_size": 20, "seed": seed}
    return recipes.Recipe.model_validate({"name": "own", "title": "own", **table})


def own_dataset(keep=None, n=120):
    generator = np.random.default_rng(0)
    labels = np.arange(n) % 3
    rows = (generator.random((n, 5)) + labels[:, None]).astype(np.float32)
    if keep is not None:
        labels = np.where(np.isin(np.arange(n), keep), labels, -1)
    return Dataset("own", Split(rows, labels), None, None, (5,), ("a", "b", "c"))


def discriminator_inputs(model, latent, batch):
    """Run the regularization phases; returns what the discriminator of a latent sees in each."""
    inputs = []
    hook = model.latent(latent).discriminator.register_forward_hook(lambda module, args, out: inputs.append(args[0]))
    phases = {phase.name: phase for phase in adversarial_phases(model)}
    phases["discriminator"].loss(batch)
    phases["generator"].loss(batch)
    hook.remove()
    return inputs


@pytest.mark.parametrize("std", [1.0, 5.0, 10.0])
def test_discriminator_sees_the_prior_of_the_recipe(std):
    one = recipe(style={"dim": 8, "prior": {"kind": "gaussian", "std": std}})
    model = build_model(one.model, (5,), 0, Noise(0))
    assert [phase.name for phase in build_phases(one, model)] == ["reconstruction", "discriminator", "generator"]
    both, fakes = discriminator_inputs(model, "style", Batch(torch.rand(5000, 5), Noise(1)))
    positives = both[:5000]
    torch.testing.assert_close(positives.std(0), torch.full((8,), std), atol=0.05 * std, rtol=0)
    torch.testing.assert_close(positives.mean(0), torch.zeros(8), atol=0.06 * std, rtol=0)
    assert torch.equal(both[5000:], fakes)  # the encoder stands still between discriminator and generator


def test_label_discriminator_sees_one_hot_positives_and_the_softmax_itself():
    model = semi_supervised()
    rows = torch.rand(300, 4)
    model.eval()
    both, fakes = discriminator_inputs(model, "label", Batch(rows, Noise(1)))
    assert torch.equal(both[:300].sort(1).values, torch.eye(3)[[2] * 300])
    torch.testing.assert_close(fakes, torch.softmax(model.label_logits(rows), 1))


def test_classification_phase_applies_the_softmax_once():
    model, rows, labels = semi_supervised(), torch.rand(9, 4), torch.arange(9) % 3
    model.eval()
    batch = Batch(torch.full((5, 4), math.nan), Noise(0), None, rows, labels)
    loss = adversarial_phases(model, classify=True)[-1].loss(batch)
    torch.testing.assert_close(loss, -model.encode(rows)["label"][torch.arange(9), labels].log().mean())


def test_discriminator_phase_labels_prior_samples_1_and_codes_0_and_the_generator_phase_turns_that_round():
    latent = Latent(FromSampler(lambda n: torch.full((n, 1), 2.0), 1), Deterministic(4, 1), nn.Linear(1, 1))
    model = AdversarialAutoencoder(nn.Identity(), {"style": latent}, MLP(1, [], 4))
    rows = torch.rand(6, 4)
    p = torch.sigmoid(latent.discriminator(torch.tensor([[2.0]])))
    q = torch.sigmoid(latent.discriminator(model.encode(rows)["style"]))
    batch = Batch(rows, Noise(0))
    _, discriminator, generator = adversarial_phases(model)
    torch.testing.assert_close(discriminator.loss(batch), -p.log().mean() - (1 - q).log().mean())
    torch.testing.assert_close(generator.loss(batch), -q.log().mean())


def test_positives_carry_the_labels_of_the_negatives():
    prior = GaussianMixture(3, distance=10.0, radial_std=0.1, tangential_std=0.1)
    model = semi_supervised(label_informed=True, prior=prior)
    labels = torch.tensor([0, 1, 2, -1]).repeat(30)
    both, fakes = discriminator_inputs(model, "style", Batch(torch.rand(120, 4), Noise(1), labels))
    one_hot = torch.eye(4)[labels]  # -1 picks the last
    assert torch.equal(both[:, 2:], one_hot.repeat(2, 1))
    assert torch.equal(fakes[:, 2:], one_hot)
    centres = prior.place(torch.arange(3), torch.zeros(3, 2))
    components = torch.cdist(both[:120, :2], centres).argmin(1)
    assert torch.equal(components[labels >= 0], labels[labels >= 0])
    assert set(components[labels < 0].tolist()) == {0, 1, 2}


def test_labels_outside_the_labelled_subset_never_reach_training(tmp_path):
    one = recipe(epochs=3, data={"labels": 9}, label={}, style={"label_informed": True})
    train(one, run=tmp_path / "full", device="cpu", data=own_dataset())
    kept = labelled_rows(one, own_dataset())
    assert np.bincount(kept % 3).tolist() == [3, 3, 3]
    train(one, run=tmp_path / "hidden", device="cpu", data=own_dataset(keep=kept))
    full, hidden = ((tmp_path / run / "model.safetensors").read_bytes() for run in ("full", "hidden"))
    assert full == hidden


def test_seeds_decide_everything(tmp_path):
    weights = []
    for run, seed in enumerate((0, 0, 1)):
        one = recipe(seed, data={"labels": 9}, label={})
        train(one, run=tmp_path / str(run), device="cpu", data=own_dataset())
        weights.append((tmp_path / str(run) / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]
    subsets = [labelled_rows(recipe(s, data={"labels": 9}, label={}), own_dataset()).tolist() for s in (0, 0, 1)]
    assert subsets[0] == subsets[1] != subsets[2]


def test_dropout_of_the_discriminator_is_active_in_training():
    def losses(dropout):
        one = recipe(discriminator={"hidden": [16], "dropout": dropout})
        model = build_model(one.model, (5,), 0, Noise(0))
        batch = Batch(torch.ones(20, 5), Noise(1))
        return [phase.loss(batch).item() for phase in build_phases(one, model)[1:]]

    without, with_dropout = losses(0.0), losses(0.5)
    assert without[0] != with_dropout[0]
    assert without[1] != with_dropout[1]


def test_reconstruction_starts_from_corrupted_rows_but_aims_at_clean_ones():
    latent = Latent(FromSampler(lambda n: torch.zeros(n, 4), 4), Deterministic(4, 4), MLP(4, [], 1))
    model = AdversarialAutoencoder(nn.Identity(), {"style": latent}, nn.Identity(), corruption=Corruption(0.3))
    with torch.no_grad():
        latent.posterior.layer.linear.weight.copy_(torch.eye(4))
        latent.posterior.layer.linear.bias.zero_()
    loss = adversarial_phases(model)[0].loss(Batch(torch.rand(20_000, 4), Noise(0)))
    # the model is the identity, so the cost is that of the noise: 0.5 * 4 * 0.3^2
    assert loss.item() == pytest.approx(0.5 * 4 * 0.09, rel=0.02)


def vae(prior, output="sigmoid", posterior=GaussianPosterior):
    style = Latent(prior, posterior(6, prior.dim))
    return AdversarialAutoencoder(MLP(4, [6]), {"style": style}, MLP(prior.dim, [6], 4), output=output)


@pytest.mark.parametrize("prior", [Gaussian(3, 2.0), GaussianMixture(5)])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_vae_loss_is_the_negative_evidence_lower_bound(prior, likelihood):
    model, rows = vae(prior), torch.rand(50, 4)
    (phase,) = variational_phases(model, likelihood)
    assert phase.name == "elbo"
    assert {id(p) for p in phase.parameters} == {id(p) for p in model.parameters()}
    batch = Batch(rows, Noise(3))
    loss = phase.loss(batch)
    mean, log_std = model.latent("style").posterior.moments(model.features(rows))
    codes = mean + log_std.exp() * Noise(3).normal(50, prior.dim)
    x_hat = model.decode({"style": codes})
    if likelihood == "bernoulli":
        reconstruction = -(rows * x_hat.log() + (1 - rows) * (1 - x_hat).log()).sum(1).mean()
    else:
        reconstruction = 0.5 * (rows - x_hat).square().sum(1).mean()
    if isinstance(prior, Gaussian):
        kl = torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, log_std.exp()), torch.distributions.Normal(0.0, prior.std)
        )
        kl = kl.sum(1).mean()
    else:
        entropy = torch.distributions.Normal(mean, log_std.exp()).entropy().sum(1)
        kl = (-entropy - prior.log_prob(codes)).mean()
    torch.testing.assert_close(loss, reconstruction + kl)
    torch.testing.assert_close(batch.metrics["kl"], kl)


@pytest.mark.parametrize(
    ("model", "likelihood", "message"),
    [
        (vae(Gaussian(2), posterior=Deterministic), "bernoulli", "needs a Gaussian posterior; found Deterministic"),
        (vae(FromSampler(lambda n: torch.zeros(n, 2), 2)), "bernoulli", "found FromSampler"),
        (vae(Gaussian(2), output="linear"), "bernoulli", "needs a sigmoid output; found linear"),
        (semi_supervised(), "gaussian", "one latent, 'style'; found label, style"),
    ],
)
def test_a_model_that_is_no_vae_is_named(model, likelihood, message):
    with pytest.raises(InputError, match=message):
        variational_phases(model, likelihood)


def test_supervised_network_learns_from_the_labelled_batch_alone():
    model = SupervisedNetwork(MLP(4, [6]), Softmax(6, 3))
    (phase,) = supervised_phases(model)
    rows, labels = torch.rand(8, 4), torch.arange(8) % 3
    batch = Batch(torch.full((5, 4), math.nan), Noise(0), None, rows, labels)
    expected = losses.classification_loss(model.label_logits(rows), labels)
    assert torch.equal(phase.loss(batch), expected)
    assert {id(p) for p in phase.parameters} == {id(p) for p in model.parameters()}
    assert phase.needs_labels


def test_own_encoder_without_noise_fits_the_supervised_network():
    model = SupervisedNetwork(nn.Linear(4, 6), Softmax(6, 3))
    assert model.label_logits(torch.rand(2, 4), Noise(0)).shape == (2, 3)
