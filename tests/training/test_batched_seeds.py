"""Seeds trained together are the seeds trained alone, up to rounding."""

import signal
from dataclasses import replace

import pytest
import torch
from helpers import metrics_of, small_networks
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from aae.cli import run as command
from aae.errors import InputError, InterruptedTrainingError
from aae.files import read_tensors
from aae.networks import ACTIVATIONS
from aae.noise import Noise
from aae.reproduction import reproduce
from aae.runs.prepare import prepare
from aae.runs.recipe import read_recipe
from aae.runs.seeds import train_seeds, train_together
from aae.runs.train import train
from aae.training import loop
from aae.training.acceleration.distributed import Distributed
from aae.training.batched_seeds import BatchedNoise, BatchedSeeds
from aae.training.checkpoints import checkpoint_places
from aae.training.radii import neighbour_radii
from aae.training.run_directory import RunDirectory

CPU = torch.device("cpu")
NAMES = [
    "table2-svhn-1000",  # semi-supervised, batch norm everywhere, dropout
    "table2-svhn-1000-conv",
    "figure2a-universal",
    "figure4a",  # labels in the prior and the discriminator
    "table3-16",  # cluster heads that repel each other
    "table1-mnist-vae",
    "table1-mnist-gan",
    "table1-mnist-gmmn-ae",
    "table1-mnist-dbn",
    "table1-mnist-gsn",
    "table2-nn-1000",  # own rows for every seed
]


def short(name, seed=0, **changes):
    """A recipe with small networks, on digits."""
    recipe, _ = reproduce.plan(name, "smoke")
    training = recipe.training.model_copy(update={"seed": seed, "batch_size": 28, "average_from": 1, **changes})
    data = recipe.data
    if data.labels is not None and name != "figure4a":
        data = data.model_copy(update={"labels": 300})  # another subset for every seed
    return recipe.model_copy(update={"training": training, "data": data})


def trainers(name, seeds, folder, **changes):
    return [prepare(short(name, seed, **changes), RunDirectory(folder / f"{seed}"), CPU).job.trainer for seed in seeds]


@pytest.fixture
def _double(monkeypatch):
    """Compute in 64 bits: training amplifies rounding, and what is left of it after a hundred steps is still small."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_double")
def test_replicas_move_images_and_their_neighbours_as_single_runs_do(tmp_path):
    def made(folder):
        found = trainers("table2-svhn-1000", (3, 4), folder, shift=2)
        for trainer in found:
            links = torch.arange(len(trainer.data.rows)).roll(1)[:, None]
            trainer.data = replace(trainer.data, links=links.repeat(1, 3))
        return found

    alone, together = made(tmp_path / "alone"), BatchedSeeds(made(tmp_path / "together"))
    indices = torch.stack([torch.arange(28), torch.arange(28) + 5])
    labelled = torch.stack([trainer.data.labelled[:7] for trainer in alone])
    both = together._batch(indices, labelled, BatchedNoise([trainer.noise for trainer in together.trainers]))
    for k, trainer in enumerate(alone):
        one = trainer.mini_batch(indices[k], labelled[k], trainer.noise)
        for part in ("rows", "neighbour_rows", "labelled_rows"):
            torch.testing.assert_close(getattr(both, part)[k], getattr(one, part).flatten(1))
        still = trainer.data.scaling(trainer.data.rows[indices[k]]).flatten(1)
        assert not torch.equal(one.rows.flatten(1), still)


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("name", NAMES)
def test_a_replica_is_the_single_run_over_a_hundred_steps(name, tmp_path):
    alone = trainers(name, (3, 4), tmp_path / "alone")
    together = BatchedSeeds(trainers(name, (3, 4), tmp_path / "together"))
    done = 0
    while done < 100:
        expected = [trainer.run_epoch() for trainer in alone]
        for found, single in zip(together.run_epoch(), expected, strict=True):
            assert found == pytest.approx(single, rel=1e-7)
        done += alone[0].steps_per_epoch
    for single, replica in zip(alone, together.trainers, strict=True):
        expected, metadata = single.state()
        found, found_facts = replica.state()
        assert found_facts == metadata
        assert found.keys() == expected.keys()
        for key, tensor in expected.items():
            torch.testing.assert_close(
                found[key], tensor, rtol=1e-4, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}"
            )
        assert torch.equal(found["noise"], expected["noise"])
    differ = [not torch.equal(a, b) for a, b in zip(*(t.module.parameters() for t in together.trainers), strict=True)]
    assert all(differ)


def test_a_replica_in_bf16_keeps_its_weights_in_full(tmp_path):
    alone = trainers("figure4a", (3, 4), tmp_path / "alone", precision="bf16")
    together = BatchedSeeds(trainers("figure4a", (3, 4), tmp_path / "together", precision="bf16"))
    for found, trainer in zip(together.run_epoch(), alone, strict=True):
        assert found == pytest.approx(trainer.run_epoch(), rel=0.03, abs=0.03)
    assert {p.dtype for trainer in together.trainers for p in trainer.module.parameters()} == {torch.float32}


def test_missing_values_are_left_out_by_every_replica(tmp_path):
    alone, others = (trainers("figure2a", (3, 4), tmp_path / where) for where in ("alone", "together"))
    for trainer in (*alone, *others):
        observed = Noise(trainer.settings.seed, 0).uniform(len(trainer.data.rows), 64) < 0.5
        trainer.data = replace(trainer.data, observed=observed)
    for found, trainer in zip(BatchedSeeds(others).run_epoch(), alone, strict=True):
        assert found == pytest.approx(trainer.run_epoch(), rel=1e-3)


def test_every_replica_draws_from_its_own_stream():
    noise = BatchedNoise([Noise(seed, 2) for seed in range(3)])
    singles = [Noise(seed, 2) for seed in range(3)]

    def draw(replica):
        noise.replica = replica
        return noise.normal(4, 2), noise.uniform(3), noise.integers(9, 5), noise.permutation(7)

    normal, uniform, integers, orders = torch.func.vmap(draw, randomness="same")(torch.arange(3))
    assert torch.equal(normal, torch.stack([single.normal(4, 2) for single in singles]))
    assert torch.equal(uniform, torch.stack([single.uniform(3) for single in singles]))
    assert torch.equal(integers, torch.stack([single.integers(9, 5) for single in singles]))
    assert torch.equal(orders, torch.stack([single.permutation(7) for single in singles]))


def outcomes(folder, seeds):
    runs = [RunDirectory(folder / f"seed-{seed}") for seed in seeds]
    metrics = [metrics_of(run) for run in runs]
    return [run.weights.read_bytes() for run in runs], metrics


@pytest.fixture(scope="module")
def recipe():
    return short("table2-svhn-1000", batch_size=400, epochs=3, checkpoint_every=1)


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "runs"
    train_seeds(recipe, 2, run=folder, device="cpu", batched=True)
    return folder


def test_every_seed_has_a_folder_as_if_trained_alone(recipe, whole, tmp_path):
    runs = train_seeds(recipe, 2, run=tmp_path / "runs", device="cpu", batched=False)
    for run, seed in zip(runs, (0, 1), strict=True):
        alone, together = run.folder, RunDirectory(whole / f"seed-{seed}")
        assert sorted(path.name for path in alone.path.iterdir()) == sorted(p.name for p in together.path.iterdir())
        assert together.recipe.read_bytes() == alone.recipe.read_bytes()
        for found, expected in zip(together.read_metrics(), alone.read_metrics(), strict=True):
            assert found.keys() == expected.keys()
            assert found["reconstruction_loss"] == pytest.approx(expected["reconstruction_loss"], rel=1e-4)
        expected = read_tensors(alone.weights)
        for key, tensor in read_tensors(together.weights).items():
            torch.testing.assert_close(tensor, expected[key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("step", [1, 4])
def test_interrupted_seeds_resume_together_exactly(recipe, whole, tmp_path, monkeypatch, step):
    steps = iter(range(100))
    with monkeypatch.context() as patch:
        interrupt = lambda self: signal.raise_signal(signal.SIGINT) if next(steps) == step else None  # noqa: E731
        patch.setattr(loop.Progress, "step", interrupt)
        with pytest.raises(InterruptedTrainingError, match=f"the checkpoint in {tmp_path / 'runs'} goes on"):
            train_seeds(recipe, 2, run=tmp_path / "runs", device="cpu", batched=True)
    train_seeds(recipe, 2, run=tmp_path / "runs", device="cpu", batched=True, resume=True)
    assert outcomes(tmp_path / "runs", (0, 1)) == outcomes(whole, (0, 1))


def test_a_signal_between_seeds_that_cannot_train_together_stops_them(recipe, tmp_path):
    def press(told):
        if told.epoch == recipe.training.epochs:
            signal.raise_signal(signal.SIGINT)

    training = recipe.training.model_copy(update={"patience": 50})
    alone = recipe.model_copy(update={"training": training, "data": recipe.data.model_copy(update={"validation": 0.2})})
    with pytest.raises(InterruptedTrainingError, match=r"stopped when seed-0 was finished; .*runs goes on with"):
        train_seeds(alone, 3, run=tmp_path / "runs", device="cpu", batched=True, callbacks=[press])
    assert not (tmp_path / "runs/seed-1/model.safetensors").exists()


def test_seeds_whose_checkpoints_a_crash_parted_meet_again(recipe, whole, tmp_path, monkeypatch):
    """A checkpoint is removed only when all seeds have the next one."""
    saved = iter(range(100))

    def crashing(*args, **kwargs):
        if next(saved) == 3:  # the second seed's checkpoint after the second epoch
            raise KeyboardInterrupt
        original(*args, **kwargs)

    original = loop.save_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", crashing)
        with pytest.raises(KeyboardInterrupt):
            train_seeds(recipe, 2, run=tmp_path / "runs", device="cpu", batched=True)
    names = [checkpoint_places(tmp_path / "runs" / f"seed-{seed}" / "checkpoints") for seed in (0, 1)]
    assert [len(found) for found in names] == [2, 1]
    train_seeds(recipe, 2, run=tmp_path / "runs", device="cpu", batched=True, resume=True)
    assert outcomes(tmp_path / "runs", (0, 1)) == outcomes(whole, (0, 1))


def test_seeds_that_end_where_each_is_best_are_trained_in_turn_which_is_said(recipe, tmp_path, capsys):
    patient = recipe.model_copy(update={"training": recipe.training.model_copy(update={"patience": 3})})
    train_seeds(patient, 2, run=tmp_path / "runs", device="cpu", batched=True)
    assert "one after another, not together: each ends where it is best (training.patience)" in capsys.readouterr().err


class Unbatchable(nn.Module):
    """Looks at a number, which cannot be done for all replicas at once."""

    def forward(self, x):
        return x if x.sum() > 0 else 2 * x


def test_what_cannot_be_batched_is_trained_in_turn_and_said_in_one_line(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(ACTIVATIONS, "relu", Unbatchable)
    runs = train_seeds(recipe, 2, run=tmp_path / "runs", device="cpu", batched=True)
    assert [len(run.folder.read_metrics()) for run in runs] == [3, 3]
    notes = [line for line in capsys.readouterr().err.splitlines() if "not together" in line]
    assert len(notes) == 1
    assert "the seeds are trained one after another, not together: vmap: " in notes[0]
    torch.manual_seed(99)
    alone = train(recipe, run=tmp_path / "alone", device="cpu")
    assert alone.folder.weights.read_bytes() == runs[0].folder.weights.read_bytes()


class Forgetful(nn.Module):
    """RecordedNoise from torch itself, which has one stream for everything."""

    def forward(self, x):
        return torch.relu(nn.functional.dropout(x, 0.3, self.training))


def test_seeds_that_draw_from_torch_itself_share_no_random_numbers(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(ACTIVATIONS, "relu", Forgetful)
    train_seeds(recipe, 2, run=tmp_path / "together", device="cpu", batched=True)
    assert "a module of the model draws from torch itself" in capsys.readouterr().err
    train_seeds(recipe, 2, run=tmp_path / "turn", device="cpu", batched=False)
    assert outcomes(tmp_path / "together", (0, 1)) == outcomes(tmp_path / "turn", (0, 1))
    fewer = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": 1})})
    train_seeds(fewer, 2, run=tmp_path / "resumed", device="cpu", batched=True)
    train_seeds(recipe, 2, run=tmp_path / "resumed", device="cpu", batched=True, resume=True)
    assert outcomes(tmp_path / "resumed", (0, 1))[0] == outcomes(tmp_path / "turn", (0, 1))[0]


def test_a_part_that_asks_for_the_generator_itself_is_not_batched():
    noise = BatchedNoise([Noise(seed) for seed in range(2)])
    with pytest.raises(NotImplementedError, match="draws from the generator itself"):
        torch.randn(3, generator=noise.generator)


def test_a_cpu_trains_seeds_in_turn_unless_told_otherwise(tmp_path, monkeypatch):
    calls = []
    together = train_together
    monkeypatch.setattr(
        "aae.runs.seeds.train_together", lambda runs, *rest: calls.append(len(runs)) or together(runs, *rest)
    )
    words = ["train", "figure2a", "--data", "digits", "--seeds", "2", "--device", "cpu", "--set", "training.epochs=1"]
    words += [word for change in small_networks() for word in ("--set", change)]
    assert command([*words, "--run", str(tmp_path / "turn")]) == 0
    assert calls == [1, 1]
    assert command([*words, "--run", str(tmp_path / "together"), "--batched"]) == 0
    assert calls == [1, 1, 2]


def test_replicas_and_processes_do_not_mix(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(Distributed, "joined", lambda: Distributed(0, 2))
    with pytest.raises(InputError, match="seeds are trained together by one process; expected no other processes"):
        train_seeds(recipe, 2, run=tmp_path / "runs", device="cpu", batched=True)


@pytest.mark.parametrize("name", ["table2-svhn-1000-conv", "table2-svhn-1000-conv-consistent"])
def test_convolutions_of_several_seeds_are_computed_in_bf16(name, tmp_path):
    changes = {"average_from": None, "precision": "bf16", "epochs": 1}
    alone = trainers(name, (3, 4), tmp_path / "alone", **changes)
    together = BatchedSeeds(trainers(name, (3, 4), tmp_path / "together", **changes))
    for single, found in zip(alone, together.run_epoch(), strict=True):
        assert found == pytest.approx(single.run_epoch(), rel=0.05, abs=0.05)


class Made(TorchDispatchMode):
    """Counts the tensors that are made of numbers in Python, each of which a GPU would have to fetch."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten.lift_fresh.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "name", [*NAMES, "table2-mnist-100-clusters", "table2-svhn-1000-consistent", "table2-catgan-100"]
)
def test_a_step_makes_no_tensor_of_numbers_in_python(name, tmp_path):
    (trainer,) = trainers(name, (0,), tmp_path, average_from=None)
    order, labelled = trainer.open_epoch()
    with Made() as made:
        trainer._compute(order[0], None if labelled is None else labelled[0])
    assert made.count == 0


@pytest.mark.parametrize("batched", [True, False])
def test_neighbours_are_sought_once_for_all_seeds(batched, tmp_path, monkeypatch):
    calls = []

    def counted(*arguments, **options):
        calls.append(arguments)
        return neighbour_radii(*arguments, **options)

    monkeypatch.setattr("aae.recipes.build_data.neighbour_radii", counted)
    changes = ["training.epochs=2", "training.losses.clustering.epochs=1", "model.encoder.hidden=[16]"]
    runs = train_seeds(read_recipe("demo-consistent", changes), 2, run=tmp_path / "run", device="cpu", batched=batched)
    assert len(calls) == 1
    assert len({run.metadata["radii"] for run in runs}) == 1
