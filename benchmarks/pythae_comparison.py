"""Training speed of the basic adversarial autoencoder beside that of `pythae`, on the same networks, rows and mini-batches.

    pip install pythae
    python benchmarks/pythae_comparison.py --output pythae.json

One process trains with each in turn, so that other load on the machine spoils both alike; an epoch is what is timed, without
validation, checkpoints and copies of the best model. The networks and the mini-batch are those of the recipe `table1-mnist`;
pythae runs its `AdversarialTrainer` as it comes, `aae` compiled steps, and both use the same optimizers. The two steps are not
the same arithmetic: `aae` encodes a mini-batch for the reconstruction and, as in the paper, again for the regularization, after
the weights have moved; pythae encodes it once, and one update of the encoder follows both costs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ["TQDM_DISABLE"] = "1"  # pythae would draw a bar for every epoch

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import Adversarial_AE, Adversarial_AE_Config
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder
from pythae.trainers import AdversarialTrainer, AdversarialTrainerConfig
from torch import Tensor, nn

from aae import recipes
from aae.device import describe_device
from aae.networks import MLP
from aae.noise import Noise
from aae.recipes.build_model import build_model, build_phases
from aae.scaling import Scaling
from aae.training.trainer import Trainer, TrainingData

RECIPE, INPUTS = "table1-mnist", (28, 28)
CPU = torch.device("cpu")


class Encoder(BaseEncoder):  # type: ignore[misc]
    """The encoder of the recipe with a deterministic head, for pythae."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(MLP(784, [1000, 1000]), nn.Linear(1000, dim))
        self.dim = dim

    def forward(self, x: Tensor) -> ModelOutput:
        """Return the code, and a log-variance that a deterministic posterior does not use."""
        code = self.layers(x)
        return ModelOutput(embedding=code, log_covariance=torch.zeros_like(code))


class Decoder(BaseDecoder):  # type: ignore[misc]
    """The decoder of the recipe, for pythae."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = MLP(dim, [1000, 1000], 784)

    def forward(self, z: Tensor) -> ModelOutput:
        """Return pixels in (0, 1)."""
        return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))


class Discriminator(BaseDiscriminator):  # type: ignore[misc]
    """The discriminator of the recipe, for pythae."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = MLP(dim, [1000, 1000], 1)

    def forward(self, z: Tensor) -> ModelOutput:
        """Return the probability of a prior sample."""
        return ModelOutput(embedding=torch.sigmoid(self.layers(z)))


def theirs(rows: Tensor, dim: int, optimizer: str, folder: str) -> Callable[[], object]:
    """Set up pythae; returns what trains one epoch."""
    name, momentum = ("SGD", {"momentum": 0.9}) if optimizer == "sgd" else ("Adam", None)
    settings = AdversarialTrainerConfig(
        output_dir=folder,
        num_epochs=1,
        per_device_train_batch_size=100,
        no_cuda=True,
        autoencoder_optimizer_cls=name,
        autoencoder_optimizer_params=momentum,
        autoencoder_learning_rate=0.001,
        discriminator_optimizer_cls=name,
        discriminator_optimizer_params=None if momentum is None else {"momentum": 0.1},
        discriminator_learning_rate=0.001,
    )
    config = Adversarial_AE_Config(input_dim=(784,), latent_dim=dim, deterministic_posterior=True)
    model = Adversarial_AE(config, Encoder(dim), Decoder(dim), Discriminator(dim))
    data = BaseDataset(rows, torch.zeros(len(rows)))
    trainer = AdversarialTrainer(model, data, training_config=settings, callbacks=[])
    trainer.prepare_training()
    return lambda: trainer.train_step(1)


def ours(rows: Tensor, optimizer: str, precision: str) -> Callable[[], object]:
    """Set up aae; returns what trains one epoch."""
    phases = ("reconstruction", "discriminator", "generator")
    changes = [f"training.{phase}={{ optimizer = 'adam', learning_rate = 0.001 }}" for phase in phases]
    recipe = recipes.read(
        RECIPE,
        [
            f"training.precision={precision}",
            "training.compile=true",
            "training.epochs=1000000",
            *(changes if optimizer == "adam" else []),
        ],
    )
    model = build_model(recipe.model, INPUTS, 10, Noise(0))
    data = TrainingData(rows, Scaling(torch.tensor(0.0), torch.tensor(1.0)))
    return Trainer(model, build_phases(recipe, model), data, recipe.training, CPU).run_epoch


def compare(steps: int, rounds: int, optimizer: str) -> dict[str, Any]:
    """Train in turn, and report samples per second and the ratios within each round."""
    dim = recipes.read(RECIPE).model.style.dim  # type: ignore[union-attr]
    rows = Noise(0).uniform(100 * steps, 784)
    with tempfile.TemporaryDirectory() as folder:
        epochs = {
            "pythae": theirs(rows, dim, optimizer, folder),
            "aae fp32": ours(rows, optimizer, "fp32"),
            "aae bf16": ours(rows, optimizer, "bf16"),
        }
        rates: dict[str, list[float]] = {name: [] for name in epochs}
        for k in range(rounds + 1):
            for name, epoch in epochs.items():
                started = time.perf_counter()
                epoch()
                if k:  # the first warms up
                    rates[name].append(len(rows) / (time.perf_counter() - started))
    ratios = {
        name: statistics.median(own / other for own, other in zip(rates[name], rates["pythae"], strict=True))
        for name in ("aae fp32", "aae bf16")
    }
    return {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "device": describe_device(CPU),
        "torch": torch.__version__,
        "optimizer": optimizer,
        "batch_size": 100,
        "steps": steps,
        "rounds": rounds,
        "samples_per_second": {name: statistics.median(values) for name, values in rates.items()},
        "ratio_to_pythae": ratios,
        "all_samples_per_second": rates,
    }


def main() -> None:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60, help="mini-batches in an epoch")
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each that are timed")
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    found = compare(options.steps, options.rounds, options.optimizer)
    for name, rate in found["samples_per_second"].items():
        ratio = found["ratio_to_pythae"].get(name)
        print(f"{name:10} {rate:8.0f} samples/s" + (f"   {ratio:.2f} times pythae" if ratio else ""))
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
