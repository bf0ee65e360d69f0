"""Several processes train what one process trains."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import metrics_of, outcome
from torch import nn

from aae import recipes
from aae.cli import run as command
from aae.errors import InputError, InterruptedTrainingError
from aae.files import read_tensors
from aae.noise import Noise, SharedNoise
from aae.recipes import Recipe
from aae.reproduction import reproduce
from aae.runs.run import Run
from aae.runs.train import train
from aae.training import loop
from aae.training.acceleration.distributed import Distributed, SynchronizedBatchNorm, join, synchronize
from aae.training.run_directory import RunDirectory
from aae.training.settings import MatchingSettings, OptimizerSettings

NAMES = [
    "table2-svhn-1000",  # semi-supervised, batch norm everywhere, dropout, images that are moved
    "table2-svhn-1000-conv",  # batch norm per channel
    "figure2a",  # here with a sliced Wasserstein distance, whose directions all processes draw together
    "figure2a-universal",  # noise beside the row
    "figure4a",  # labels in the prior and the discriminator
    "table3-16",  # cluster heads
    "table1-mnist-vae",
    "table1-mnist-gan",
    "table1-mnist-gmmn-ae",  # a cost that is no mean over rows
    "table2-nn-1000",
    "table2-ladder-100",  # normalization of its own
    "map",  # pairs of all rows of a mini-batch
    "table2-mnist-100-consistent",  # a joint update, and a perturbation that follows the covariance of all rows of a mini-batch
]


def short(name: str, **changes) -> Recipe:
    """Ten steps or so on digits, in sizes that two processes can share."""
    recipe, _ = reproduce.plan(name, "smoke")
    labelled = None if recipe.model.method == "network" else 60
    training = {
        "batch_size": 100,
        "labelled_batch_size": labelled,
        "moment_matching_epochs": int(name == "figure4a"),
        "shift": int(name == "table2-svhn-1000"),
        **changes,
    }
    # Adam would scale up the rounding in the gradient of a bias that batch norm takes away.
    if name == "table1-mnist-gan":
        training["generator"] = OptimizerSettings(learning_rate=0.1)
    if name == "table2-mnist-100-consistent":
        losses = recipe.training.losses
        consistency = losses.consistency.model_copy(update={"covariance": 0.5})
        training["losses"] = losses.model_copy(update={"consistency": consistency})
        training["batch_size"] = 300  # enough for a covariance that is more than noise
    if name == "figure2a":
        matching = MatchingSettings(objective="sliced-wasserstein", directions=7)
        training["losses"] = recipe.training.losses.model_copy(update={"matching": matching})
    if name in ("table2-mnist-100-consistent", "map"):
        training["joint"] = OptimizerSettings(optimizer="sgd", learning_rate=0.001)
    if name == "table2-svhn-1000-conv":
        descent = recipes.read("table2-svhn-1000").training
        phases = ("reconstruction", "discriminator", "generator", "classification")
        training |= {phase: getattr(descent, phase) for phase in phases}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=training)})


def train_all(folder: str) -> None:
    """Be one of the processes."""
    torch.set_num_threads(1)
    join()
    for name in NAMES:
        train(short(name), run=Path(folder) / name, device="cpu")
    steps = iter(range(100))

    def step(progress):
        if Distributed.joined().is_main_process and next(steps) == 3:  # Ctrl-C reaches one of them only
            signal.raise_signal(signal.SIGINT)

    stopped = Path(folder) / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Progress, "step", step)
        with pytest.raises(InterruptedTrainingError, match="after 4 steps"):
            train(short(NAMES[0]), run=stopped, device="cpu")
    train(short(NAMES[0]), run=stopped, device="cpu", resume=True)
    words = ["train", "figure2a", "--data", "digits", "--set", "training.batch_size=25", "--device", "cpu"]
    Path(folder, f"trained-{Distributed.joined().rank}").touch()
    torch.distributed.barrier()
    sys.exit(command([*words, "--run", str(Path(folder) / "refused")]))


def torchrun(*words: str, count: int = 2) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", *words]
    folder = Path(__file__).parent
    path = os.pathsep.join([str(folder.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])  # for the helpers
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    done = torchrun(__file__, str(folder))
    assert all((folder / f"trained-{rank}").exists() for rank in range(2)), done.stderr
    assert done.returncode != 0  # of the command that is refused at the end
    (folder / "stderr").write_text(done.stderr)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_train_what_one_trains(name, together, tmp_path):
    alone = train(short(name), run=tmp_path / "run", device="cpu")
    here, there = RunDirectory(tmp_path / "run"), RunDirectory(together / name)
    expected, found = read_tensors(here.weights), read_tensors(there.weights)
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, rtol=1e-3, atol=2e-5, msg=lambda text, key=key: f"{key}: {text}")
    for before, after in zip(metrics_of(here), metrics_of(there), strict=True):
        assert after == pytest.approx(before, rel=1e-3, abs=1e-4)
    assert there.read_metadata()["device"].endswith(", 2 processes")
    assert Run.load(together / name, "cpu").recipe == alone.recipe


def test_a_run_of_two_processes_resumes_exactly(together):
    whole, stopped = RunDirectory(together / NAMES[0]), RunDirectory(together / "stopped")
    assert stopped.weights.read_bytes() == whole.weights.read_bytes()
    assert metrics_of(stopped) == metrics_of(whole)


def test_a_mini_batch_that_cannot_be_shared_is_one_line(together):
    lines = [line for line in (together / "stderr").read_text().splitlines() if line.startswith("aae: ")]
    assert lines == ["aae: training.batch_size is 25; 2 processes expect a multiple of 2"]
    assert not (together / "refused").exists()


def test_two_agents_meet_at_a_rendezvous_and_train_together(together, tmp_path):
    """As on two machines: an agent of torchrun on each, which find each other at an address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-id=7"]
    agent += [
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={address}",
        "-m",
        "--",
        "aae",
        "train",
        str(tmp_path / "one.toml"),
    ]
    (tmp_path / "one.toml").write_text(recipes.dump(short(NAMES[0])), encoding="utf-8")
    words = [*agent, "--run", str(tmp_path / "run"), "--device", "cpu"]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "env": os.environ | {"OMP_NUM_THREADS": "1"}}
    agents = [subprocess.Popen(words, text=True, **pipes) for _ in range(2)]  # as many threads as with one agent
    said = [one.communicate(timeout=300)[1] for one in agents]
    assert [one.returncode for one in agents] == [0, 0], said
    assert outcome(tmp_path / "run") == outcome(together / NAMES[0])


def test_shared_noise_is_cut_from_the_stream_of_the_whole_mini_batch():
    whole = Noise(5, 1)
    shared = [SharedNoise(rank, 3, 5, 1) for rank in range(3)]
    for noise in shared:
        noise.rows = 4
    codes = [noise.normal(4, 2) for noise in shared]
    assert torch.equal(torch.cat(codes), whole.normal(12, 2))
    both = [noise.uniform(8, 2).view(2, 4, 2) for noise in shared]  # prior samples above codes
    assert torch.equal(torch.cat(both, dim=1).view(24, 2), whole.uniform(24, 2))
    for noise in shared:
        noise.rows = 2
    assert torch.equal(torch.cat([noise.integers(9, 2) for noise in shared]), whole.integers(9, 6))
    assert shared[0].uniform(2, 0).shape == (2, 0)


def test_one_process_shares_nothing():
    alone = Distributed.joined()
    assert alone == Distributed(0, 1)
    tensors = [torch.ones(2)]
    assert alone.average(tensors)[0] is tensors[0]
    assert alone.gather(tensors[0]) is tensors[0]
    assert alone.any(True)
    assert not alone.any(False)
    model = nn.Sequential(nn.BatchNorm1d(3))
    synchronize(model, alone)
    assert type(model[0]) is nn.BatchNorm1d


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_synchronized_batch_norm_of_one_process_is_batch_norm(kind):
    noise = Noise(0)
    x = 3 + noise.normal(6, 4, *([5, 5] if kind is nn.BatchNorm2d else []))
    plain = kind(4)
    nn.init.uniform_(plain.weight, 1, 2)
    model = nn.Sequential(plain)
    expected = plain(x)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plain.reset_running_stats()
    same = SynchronizedBatchNorm.of(plain, Distributed())
    torch.testing.assert_close(same(x), expected)
    torch.testing.assert_close({f"0.{name}": tensor for name, tensor in same.state_dict().items()}, state)
    assert same.weight is plain.weight
    torch.testing.assert_close(same.eval()(x), plain.eval()(x))
    assert same(x.bfloat16()).dtype == torch.bfloat16


def test_slices_are_even():
    batches = torch.arange(12).view(2, 6)
    parts = [Distributed(rank, 3).slice(batches, "batch_size") for rank in range(3)]
    assert np.array_equal(parts[1].numpy(), [[2, 3], [8, 9]])
    with pytest.raises(InputError, match="batch_size is 6; 4 processes expect a multiple of 4"):
        Distributed(0, 4).slice(batches, "batch_size")


if __name__ == "__main__":
    train_all(sys.argv[1])
