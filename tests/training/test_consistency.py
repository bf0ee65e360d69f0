"""Consistency, information and the joint update: their arithmetic, and that they run as every phase does."""

import copy
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from helpers import outcome
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import nn

from aae import AAEClusterer, losses
from aae.errors import InputError, InputWarning
from aae.latents import Latent
from aae.model import AdversarialAutoencoder
from aae.networks import MLP, batch_norms, frozen_statistics, initialize
from aae.noise import Noise
from aae.posteriors import ClusteredSoftmax, Deterministic, Softmax
from aae.priors import Categorical, Gaussian
from aae.runs.recipe import read_recipe
from aae.runs.run import Run
from aae.runs.train import train
from aae.scaling import Scaling
from aae.training.batched_seeds import BatchedSeeds
from aae.training.clusters import assign_clusters, merge_clusters
from aae.training.data import TrainingData
from aae.training.phases import Batch, adversarial_phases
from aae.training.phases.consistency import consistency_term
from aae.training.radii import neighbour_radii
from aae.training.run_directory import RunDirectory
from aae.training.settings import ConsistencySettings, LossSettings, OptimizerSettings, TrainingSettings, weight_at
from aae.training.trainer import Trainer

CPU = torch.device("cpu")
ROWS, INPUTS, LABELS = 60, 6, 3


def blobs(n=ROWS, seed=0):
    """Make three well separated blobs, and their labels."""
    labels = torch.arange(n) % LABELS
    centres = 3 * Noise(7).normal(LABELS, INPUTS)
    return centres[labels] + 0.3 * Noise(seed).normal(n, INPUTS), labels


def build(seed=0, head=None, categories=LABELS, batch_norm="hidden"):
    head = head or Softmax(16, categories)
    latents = {
        "label": Latent(Categorical(head.dim), head, MLP(head.dim, [8], 1)),
        "style": Latent(Gaussian(2), Deterministic(16, 2), MLP(2, [8], 1)),
    }
    model = AdversarialAutoencoder(MLP(INPUTS, [16], batch_norm=batch_norm), latents, MLP(head.dim + 2, [16], INPUTS))
    initialize(model, Noise(seed), "he")
    return model


def trained(losses_settings, *, epochs=3, seed=0, model=None, labels=True, precision="fp32", **options):
    model = model or build(seed)
    rows, known = blobs()
    adam = {name: {"optimizer": "adam", "learning_rate": 0.001} for name in ("reconstruction", "discriminator")}
    settings = TrainingSettings(
        epochs=epochs, batch_size=20, seed=seed, precision=precision, losses=losses_settings, **adam, **options
    )
    radii = neighbour_radii(rows, Scaling.identity(), 3) if settings.losses.neighbours else None
    data = TrainingData(rows, Scaling.identity(), known, torch.arange(12) if labels else None, radii)
    phases = adversarial_phases(model, classify=labels, losses=settings.losses)
    return Trainer(model, phases, data, settings, CPU)


JOINT = {
    "joint": True,
    "generator": {"label": {0: 1.0, 2: 0.2}, "style": 0.1},
    "consistency": {"radius": 0.5, "neighbours": 3, "covariance": 0.3},
    "information": {"weight": 0.1},
}
APART = {name: value for name, value in JOINT.items() if name != "joint"}


# --- arithmetic --------------------------------------------------------------------------------------------------------


def test_consistency_is_the_divergence_by_hand_and_moves_the_perturbed_side_alone():
    logits, perturbed = torch.randn(5, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    p, q = torch.softmax(logits, 1), torch.softmax(perturbed, 1)
    loss = losses.consistency_loss(p, perturbed)
    torch.testing.assert_close(loss, (p * (p / q).log()).sum(1).mean())
    assert losses.consistency_loss(p, logits).abs() < 1e-6
    moved, still = torch.autograd.grad(loss, (perturbed, logits), allow_unused=True)
    assert still is None
    closer = losses.consistency_loss(p, (perturbed - moved).detach())
    assert closer < loss  # towards agreement, not towards confidence


def test_the_direction_is_the_one_in_which_a_linear_classifier_changes_most():
    weight = torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]])  # the border is normal to (3, 0, 4)
    rows = torch.zeros(2, 3)
    found = losses.virtual_adversarial_direction(
        lambda x: x @ weight.T, rows, torch.full((2, 2), 0.5), torch.randn(2, 3), xi=0.1, power_iterations=3
    )
    torch.testing.assert_close(found.abs(), torch.tensor([[0.6, 0.0, 0.8]]).repeat(2, 1), atol=1e-3, rtol=0)
    constant = losses.virtual_adversarial_direction(
        lambda x: torch.zeros(len(x), 2), rows, torch.full((2, 2), 0.5), torch.randn(2, 3)
    )
    assert torch.equal(constant, torch.zeros(2, 3))


def test_a_direction_along_the_covariance_is_the_gradient_times_it_by_hand():
    rows = torch.randn(500, 3) * torch.tensor([5.0, 3.0, 0.1]) @ torch.linalg.qr(torch.randn(3, 3))[0] + 7
    gradient = torch.randn(1, 3)
    covariance = torch.cov(rows.T, correction=0)
    several = float(covariance.trace() ** 2 / covariance.square().sum()) - 1
    certain = (1 - 10 * ledoit_wolf_shrinkage(rows.numpy())) * several
    assert 0.4 < several < 0.8
    assert 0.3 < certain < several
    for share in (0.0, 0.3, 1.0):
        along = gradient @ covariance * 3 / covariance.trace()
        expected = torch.lerp(gradient, along, share * certain)
        torch.testing.assert_close(losses.along_covariance(gradient, rows, share), expected, rtol=1e-4, atol=1e-5)
    found = losses.virtual_adversarial_direction(
        lambda x: torch.cat([x @ gradient.T, torch.zeros(len(x), 1)], 1),
        rows,
        torch.full((500, 2), 0.5),
        torch.randn(500, 3),
        0.01,
        2,
        partial(losses.along_covariance, sample=rows, share=1.0),
    )
    along = torch.nn.functional.normalize(torch.lerp(gradient, along, certain))
    torch.testing.assert_close((found @ along.T).abs(), torch.ones(500, 1), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "rows",
    [torch.randn(20, 50), torch.ones(4, 3), torch.randn(1, 3), torch.randn(50, 1) * torch.tensor([3.0, 2.0, 1.0])],
    ids=["round", "equal", "one", "one direction"],
)
def test_a_covariance_that_says_nothing_or_a_single_thing_is_not_followed(rows):
    gradient = torch.randn(2, rows.shape[1])
    torch.testing.assert_close(losses.along_covariance(gradient, rows, 1.0), gradient)


def test_consistency_follows_the_covariance_of_rows_as_far_as_it_is_told():
    rows = torch.randn(400, INPUTS) * torch.logspace(1, -1, INPUTS)
    model = build().eval()
    probabilities = torch.softmax(model.label_logits(rows), 1)

    def moved(share):
        seen = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(losses, "consistency_loss", lambda p, logits: seen.append(logits) or logits.sum())
            patch.setattr(model, "label_logits", lambda x: x)
            consistency_term(model, ConsistencySettings(radius=2.0, covariance=share))(
                Batch(rows, Noise(0)), probabilities
            )
        return seen[-1] - rows

    spread = rows.var(0)
    lengths, parts = zip(
        *[(moved(c).norm(dim=1), (moved(c).square() @ spread).mean()) for c in (0.0, 0.5, 1.0)], strict=True
    )
    torch.testing.assert_close(torch.stack(lengths), torch.full((3, 400), 2.0))  # the radius is the radius
    assert parts[0] < parts[1] < parts[2]


def test_information_is_least_where_rows_are_sure_and_labels_used_as_often_as_expected():
    sure_even = torch.eye(3).repeat(4, 1)
    assert losses.information_loss(sure_even, 2.0).abs() < 1e-6
    assert losses.information_loss(sure_even[[0] * 12], 2.0) > 1  # one label for everything
    unsure = torch.full((12, 3), 1 / 3)
    assert losses.information_loss(unsure, 2.0).item() == pytest.approx(np.log(3))
    q = torch.softmax(torch.randn(12, 3), 1)
    mean = q.mean(0)
    by_hand = 2 * (mean * (mean * 3).log()).sum() - (q * q.log()).sum(1).mean()
    torch.testing.assert_close(losses.information_loss(q, 2.0), by_hand)
    uneven = torch.eye(2)[[0, 0, 0, 1]]
    assert losses.information_loss(uneven, 2.0, (0.75, 0.25)).abs() < 1e-6


def test_weights_of_losses_are_linear_between_their_epochs_and_constant_beyond():
    assert [weight_at({2: 3.0, 6: 1.0}, epoch) for epoch in (0, 2, 3, 6, 9)] == [3.0, 3.0, 2.5, 1.0, 1.0]
    assert weight_at(0.3, 5) == 0.3


@pytest.mark.parametrize(("decay", "halfway"), [("linear", 0.55), ("cosine", 0.55), ("none", 1.0)])
def test_learning_rates_fall_from_an_epoch_to_the_end_of_their_phase(decay, halfway):
    settings = OptimizerSettings(learning_rate=1.0, decay=decay, decay_from=4, decay_to=0.1)
    assert settings.learning_rate_at(3, 0, 8) == 1
    assert settings.learning_rate_at(6, 0, 8) == pytest.approx(halfway)
    assert settings.learning_rate_at(8, 6, 10) == pytest.approx(halfway)  # a phase that begins later
    assert settings.learning_rate_at(8, 0, 8) == pytest.approx(1.0 if decay == "none" else 0.1)


def test_perturbed_passes_leave_running_statistics_alone():
    model, rows = build().train(), blobs()[0]
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm1d))
    before = copy.deepcopy(norm.state_dict())
    with frozen_statistics(batch_norms(model)):
        inside = model.label_logits(rows)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    torch.testing.assert_close(model.label_logits(rows), inside)  # by the statistics of the batch in both
    assert not torch.equal(norm.running_mean, before["running_mean"])


# --- radii -------------------------------------------------------------------------------------------------------------


def test_radii_are_distances_to_the_kth_neighbour(monkeypatch):
    rows = Noise(3).normal(200, 4)
    scaling = Scaling(torch.tensor(0.0), torch.tensor(2.0))
    exact = np.sort(cdist(2 * rows, 2 * rows), axis=1)[:, 5]
    median = np.sort(exact)[99]
    limited = exact.clip(0.3 * median, 3 * median)
    np.testing.assert_allclose(neighbour_radii(rows, scaling, 5), limited, rtol=1e-4)
    doubled = rows.index_copy(0, torch.arange(20), rows[:1].repeat(20, 1))
    assert neighbour_radii(doubled, scaling, 5)[:20].min() > 0.2 * median
    monkeypatch.setattr("aae.training.radii.REFERENCES", 100)
    near = neighbour_radii(rows, scaling, 10).numpy()  # the fifth of a hundred drawn ones stands for the tenth
    assert abs(np.log(near / np.sort(cdist(2 * rows, 2 * rows), axis=1)[:, 10]).mean()) < 0.1


def test_long_rows_are_compared_with_fewer(monkeypatch):
    monkeypatch.setattr("aae.training.radii.NUMBERS", 12_000)
    rows = Noise(3).normal(1300, 10)
    near = neighbour_radii(rows, Scaling.identity(), 13).numpy()  # the twelfth of 1200
    assert abs(np.log(near / np.sort(cdist(rows, rows), axis=1)[:, 13]).mean()) < 0.02
    assert not np.allclose(near, np.sort(cdist(rows, rows), axis=1)[:, 13])


@pytest.mark.parametrize(
    ("k", "rows", "message"),
    [
        (60, blobs()[0], r"neighbours is 60; found 60 rows, expected more rows"),
        (2, torch.zeros(9, 2), r"neighbours is 2; 9 of 9 rows have so many equal rows that their radius is 0"),
    ],
)
def test_radii_that_cannot_be_had(k, rows, message):
    with pytest.raises(InputError, match=message):
        neighbour_radii(rows, Scaling.identity(), k)


# --- phases ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [JOINT, APART], ids=["joint", "apart"])
@pytest.mark.parametrize("labels", [True, False])
def test_the_losses_are_logged_and_fall(settings, labels):
    trainer = trained(LossSettings(**settings), epochs=60, labels=labels)
    history = [trainer.run_epoch() for _ in range(60)]
    sums = [epoch["consistency_loss"] + 0.1 * epoch["information_loss"] for epoch in history]
    if settings is JOINT:  # apart, the adversarial update may raise them
        assert sums[-1] < 0.7 * sums[0]
    if labels:
        assert history[-1]["classification_loss"] < 0.5 * history[0]["classification_loss"]


def test_a_joint_update_encodes_a_mini_batch_once():
    trainer = trained(LossSettings(**JOINT), labels=False)
    calls = []
    trainer.module.encoder.register_forward_hook(lambda *_: calls.append(1))
    trainer.open_epoch()
    trainer._run_step(torch.arange(20), None)
    assert len(calls) == 4  # reconstruction; clean rows; one power iteration; perturbed rows


def test_batched_seeds_find_what_each_seed_finds_alone():
    settings = LossSettings(**JOINT)
    alone, together = (  # without batch normalization, which leaves biases to rounding
        [trained(settings, seed=seed, model=build(seed, batch_norm="none"), ema_decay=0.9) for seed in (0, 1)]
        for _ in range(2)
    )
    batched = BatchedSeeds(together)
    for _ in range(2):
        batched.run_epoch()
        for trainer in alone:
            trainer.run_epoch()
    for one, other in zip(alone, together, strict=True):
        for (name, a), b in zip(one.trained.state_dict().items(), other.trained.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, atol=2e-4, rtol=2e-3, msg=name)


def test_batched_seeds_have_gradients_through_batch_normalization_in_bf16():
    alone, together = (
        [trained(LossSettings(**JOINT), seed=seed, model=build(seed), epochs=1, precision="bf16") for seed in (0, 1)]
        for _ in range(2)
    )
    found = BatchedSeeds(together).run_epoch()
    for one, other in zip(alone, found, strict=True):
        assert other == pytest.approx(one.run_epoch(), rel=0.02, abs=0.02)


def test_compiled_steps_find_the_same():
    plain, compiled = (
        trained(LossSettings(**JOINT), epochs=2, precision="bf16", compile=compile, labels=False)
        for compile in (False, True)
    )
    found = [[trainer.run_epoch() for _ in range(2)][-1] for trainer in (plain, compiled)]
    assert compiled.captured.compiling
    for name, value in found[0].items():
        assert found[1][name] == pytest.approx(value, rel=0.02, abs=0.01), name


def test_the_moving_average_follows_the_weights():
    trainer = trained(LossSettings(), epochs=1, ema_decay=0.5)
    trainer.open_epoch()
    expected = {name: value.clone() for name, value in trainer.module.state_dict().items()}
    for step in range(3):
        trainer._run_step(torch.arange(20), torch.arange(12))
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in trainer.module.state_dict().items():
            old = expected[name]
            expected[name] = old + (1 - decay) * (value - old) if value.is_floating_point() else value.clone()
        trainer.step += 1
    for name, value in trainer.trained.state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_what_does_not_fit_is_one_line():
    latents = {"style": Latent(Gaussian(2), Deterministic(16, 2), MLP(2, [8], 1))}
    model = AdversarialAutoencoder(MLP(INPUTS, [16]), latents, MLP(2, [16], INPUTS))
    with pytest.raises(InputError, match=r"consistency is about q\(y\|x\); the model has no categorical latent"):
        adversarial_phases(model, losses=LossSettings(consistency={}))
    with pytest.raises(
        InputError, match=r"unknown latent in training\.losses\.generator 'lable'; did you mean 'label'"
    ):
        adversarial_phases(build(), losses=LossSettings(generator={"lable": 1.0}))
    with pytest.raises(InputError, match=r"expected model\.label\.clusters"):
        adversarial_phases(build(), losses=LossSettings(joint=True, clustering={"epochs": 1}))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.losses.consistency={radius = -1}", "radius is -1; expected a value greater than 0"),
        ("training.losses.consistency={radius = inf}", "radius is inf; expected a finite number"),
        (
            "training.losses.consistency={covariance = 1.5}",
            "covariance is 1.5; expected a value less than or equal to 1",
        ),
        ("training.losses.consistency={covariance = nan}", "covariance is nan; expected"),
        ("training.losses.consistency={weight = -0.1}", "weight is -0.1; expected"),
        ("training.losses.consistency={radius = 1, neighbours = 0}", "neighbours is 0; expected"),
        ("training.losses.information={marginal = nan}", "marginal is nan; expected"),
        ("training.losses.consistancy={}", "unknown key 'training.losses.consistancy'; did you mean 'consistency'"),
        ("model.label.clusters=20", "belong together"),
        ("training.losses.clustering={epochs = 3}", "needs training.losses.joint"),
        ("training.ema_decay=1.0", "ema_decay is 1.0; expected"),
    ],
)
def test_settings_out_of_range_are_one_line(setting, message):
    with pytest.raises(InputError, match=message):
        read_recipe("demo", [setting])


# --- clusters first ----------------------------------------------------------------------------------------------------


def test_clusters_take_the_label_of_their_rows_in_balance():
    q = torch.eye(4)[[0, 0, 1, 2]] * 0.97 + 0.01
    labels = torch.tensor([0, 0, 1, 2])
    sizes = torch.tensor([0.2, 0.3, 0.3, 0.2])
    given = assign_clusters(q, labels, sizes, None, 3)
    assert given[:3].tolist() == [0, 1, 2]
    assert given[3] == 0  # no labelled row is in it: it goes where rows are missing
    assert sorted(set(assign_clusters(q[:2], labels[:2], sizes, None, 3).tolist())) == [0, 1, 2]  # every label has one


def test_clusters_that_overlap_are_merged():
    q = torch.zeros(60, 4)
    q[:15, 0], q[:15, 2] = 0.6, 0.4  # 0 and 2 share rows, 1 and 3 share some
    q[15:30, 0], q[15:30, 2] = 0.3, 0.7
    q[30:55, 1], q[30:55, 3] = 0.8, 0.2
    q[55:, 3] = 1
    assert merge_clusters(q, 2).tolist() == [0, 1, 0, 1]
    assert merge_clusters(q, 4).tolist() == [0, 1, 2, 3]
    assert merge_clusters(q, 1).tolist() == [0, 0, 0, 0]


def test_a_sum_over_clusters_adds_up_and_survives_saving():
    head = ClusteredSoftmax(5, 4, 2)
    features = torch.randn(7, 5)
    assert head.num_labels == 4
    head.assign(torch.tensor([0, 1, 1, 0]), torch.tensor([0.4, 0.1, 0.2, 0.3]))
    q = head(features)
    by_hand = torch.stack([q[:, 0] + q[:, 3], q[:, 1] + q[:, 2]], 1)
    torch.testing.assert_close(head.label_probabilities(q), by_hand)
    torch.testing.assert_close(head.label_logits(features).exp(), by_hand)
    again = ClusteredSoftmax(5, 4, 2)
    again.load_state_dict(head.state_dict())
    assert again.assigned
    torch.testing.assert_close(again.label_logits(features), head.label_logits(features))
    assert head.label_codes(torch.tensor([0, 1])).argmax(1).tolist() == [0, 2]  # the largest
    drawn = head.label_codes(torch.zeros(400, dtype=torch.int64), Noise(0)).sum(0)
    assert drawn[1] == drawn[2] == 0
    assert drawn[0] / 400 == pytest.approx(4 / 7, abs=0.08)
    with pytest.raises(InputError, match="clusters are 1; expected at least one for each of 2 labels"):
        ClusteredSoftmax(5, 1, 2)


CLUSTERED = {
    "joint": True,
    "consistency": {"radius": 1.0},
    "information": {"weight": 0.1},
    "clustering": {
        "epochs": 40,
        "consistency": {"radius": 0.5, "neighbours": 3},
        "information": {"weight": 0.3},
    },
}


@pytest.mark.parametrize("labels", [True, False])
def test_clusters_are_found_first_and_then_assigned(labels):
    model = build(head=ClusteredSoftmax(16, 6, LABELS))
    trainer = trained(LossSettings(**CLUSTERED), epochs=60, model=model, labels=labels, ema_decay=0.9)
    history = [trainer.run_epoch() for _ in range(60)]
    assert "clustering_loss" in history[39]
    assert "joint_loss" in history[40]
    assert ("classification_loss" in history[40]) == labels
    rows, known = blobs(seed=5)
    found = trainer.trained.eval().label_logits(rows).argmax(1)
    assert trainer.trained.label_head.num_labels == LABELS
    if labels:
        assert (found == known).float().mean() > 0.95
    else:
        assert len(torch.unique(found)) == LABELS


def test_a_clustered_run_is_resumed_with_the_same_bits_used_and_sampled(tmp_path):
    small = [
        "training.epochs=4",
        "training.batch_size=100",
        "training.losses.clustering.epochs=2",
        "training.ema_decay=0.9",
        "model.encoder.hidden=[32]",
        "model.decoder.hidden=[32]",
        "model.discriminator.hidden=[16]",
    ]
    recipe = read_recipe("demo-consistent", small)

    def copy(told):  # the last checkpoint is that of the epoch before
        shutil.copytree(tmp_path / "whole", tmp_path / f"{told.epoch - 1}")

    whole = train(recipe, run=tmp_path / "whole", device="cpu", callbacks=[copy])
    for epochs in (1, 2, 3):  # killed before, when and after the clusters are assigned
        train(recipe, run=tmp_path / f"{epochs}", device="cpu", resume=True)
        assert outcome(RunDirectory(tmp_path / f"{epochs}")) == outcome(whole.folder)
    run = Run.load(tmp_path / "whole", "cpu")
    assert run.label_names == tuple("0123456789")
    rows = Noise(0).uniform(5, 8, 8).numpy()
    assert run.predict_proba(rows).shape == (5, 10)
    assert run.sample(3, label=7).shape == (3, 8, 8)
    assert whole.recipe == run.recipe


def test_a_later_neighbour_is_taken_where_most_rows_have_equals():
    rows = torch.arange(4).repeat_interleave(6)[:, None].float()  # the sixth neighbour is the first unlike a row
    with pytest.raises(InputError, match="so many equal rows that their radius is 0"):
        neighbour_radii(rows, Scaling.identity(), 2)
    torch.testing.assert_close(neighbour_radii(rows, Scaling.identity(), 2, later=True), torch.ones(24))
    torch.testing.assert_close(neighbour_radii(torch.zeros(5, 1), Scaling.identity(), 2, later=True), torch.ones(5))


def test_a_task_trains_on_rows_with_many_equals_as_its_estimator_does(tmp_path):
    draw = np.random.default_rng(0)
    lines = [f"{a},{b}" for a, b in zip(draw.choice(list("abcd"), 120), draw.choice(["red", "blue"], 120), strict=True)]
    (tmp_path / "t.csv").write_text("city,colour\n" + "\n".join(lines) + "\n")
    with pytest.warns(InputWarning, match="read as categories"):
        run = train("cluster", tmp_path / "t.csv", run=tmp_path / "run", epochs=1)
    assert run.recipe.training.losses.consistency.neighbours == 10


def test_an_estimator_takes_a_later_neighbour_unless_told_otherwise():
    rows = np.repeat(np.arange(4.0), 6)[:, None]
    chosen = {"joint": True, "reconstruction": 0.2, "consistency": {"neighbours": 2}}
    AAEClusterer(2, epochs=1, random_state=0, losses=chosen, init="random").fit(rows)
    chosen["consistency"] = {"neighbours": 2, "equal_rows": "error"}
    with pytest.raises(InputError, match="so many equal rows that their radius is 0"):
        AAEClusterer(2, epochs=1, random_state=0, losses=chosen, init="random").fit(rows)
