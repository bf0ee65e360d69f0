"""A transductive support vector machine on the codes of a variational autoencoder, the VAE (M1) + TSVM of Table 2.

No well-kept library has such a machine. This one is that of Chapelle and Zien (2005), which gradient descent trains, so that it
is a phase like any other: what an exact solver would find is not claimed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae.baselines.method import Baseline
from aae.baselines.vae import Likelihood, variational_phases
from aae.losses import Reduction
from aae.model import AdversarialAutoencoder, Model
from aae.networks import batch_norms, frozen_statistics
from aae.noise import Noise
from aae.training.phases import Batch, Phase
from aae.training.settings import OptimizerSettings, Weight

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.model_settings import ModelSettings
    from aae.recipes.schema import Recipe

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.01)  # our choice
FEATURES = 500  # our choice
DECAY = 1e-3  # our choice: of half the squared length of the weights


class KernelMachine(nn.Module):
    """One function a class, linear in random features whose products are about a Gaussian kernel (Rahimi and Recht 2007).

    Parameters
    ----------
    dim : int
        Dimensions of a code.
    classes : int
        Number of classes, each against the others.
    noise : Noise
        Source of the features, which are buffers: training does not move them.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, dim: int, classes: int, noise: Noise) -> None:
        super().__init__()
        self.register_buffer(
            "frequencies", noise.normal(dim, FEATURES) / math.sqrt(dim)
        )  # the kernel's width: sqrt(dim)
        self.register_buffer("phases", 2 * math.pi * noise.uniform(FEATURES))
        self.linear = nn.Linear(FEATURES, classes)

    def forward(self, codes: Tensor) -> Tensor:
        """Compute the outputs (batch, classes) for codes (batch, dim); the largest is that of the class."""
        features = torch.cos(codes @ self.frequencies + self.phases) * math.sqrt(2 / FEATURES)
        outputs: Tensor = self.linear(features)
        return outputs.float()


class CodesWithMachine(Model):
    """A variational autoencoder (M1) and a transductive support vector machine on its codes.

    Parameters
    ----------
    first : AdversarialAutoencoder
        M1, with the latent ``style`` and a Gaussian posterior.
    machine : KernelMachine
        Tells the classes of its codes apart.
    """

    description = "variational autoencoder with a support vector machine"
    classifies = True
    samples = True

    def __init__(self, first: AdversarialAutoencoder, machine: KernelMachine) -> None:
        super().__init__()
        self.first = first
        self.machine = machine

    def label_logits(self, rows: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute the outputs (batch, classes) of the machine for rows (batch, inputs), from the means of their codes."""
        return self.machine(self.first.encode(rows)["style"])  # type: ignore[no-any-return]

    def sample(self, n: int, labels: Tensor | None = None, noise: Noise | None = None) -> Tensor:
        """Draw `n` rows (n, inputs) from M1; InputError if `labels` are given, which it does not know."""
        return self.first.sample(n, labels, noise)


def transductive_loss(known: Tensor, labels: Tensor, unknown: Tensor, unlabelled: float | Tensor = 1.0) -> Tensor:
    """Compute what every function lowers, one class against the others, summed over classes (Chapelle and Zien 2005).

    For a row of its class y = 1, for others -1. Labelled rows cost max(0, 1 - y f)^2; rows without labels, which should lie on
    either side, exp(-3 f^2); and the mean of f over these is to be that of y.

    Parameters
    ----------
    known : Tensor, (labelled, classes)
        Outputs for labelled rows.
    labels : Tensor of int64, (labelled,)
        Their labels.
    unknown : Tensor, (n, classes)
        Outputs for rows without labels.
    unlabelled : float or Tensor
        Weight of rows without labels.
    """
    y = 2.0 * F.one_hot(labels, known.shape[1]) - 1
    hinge = F.relu(1 - y * known).square().mean(0)
    gap = torch.exp(-3 * unknown.square()).mean(0)
    balance = (unknown.mean(0) - y.mean(0)).square()
    return (hinge + unlabelled * (gap + balance)).sum()


def transductive_phases(
    model: CodesWithMachine,
    pretraining: int,
    epochs: int,
    likelihood: Likelihood = "bernoulli",
    reduction: Reduction = "sum",
) -> list[Phase]:
    """Create the phases of the autoencoder and of the machine, one after the other.

    Parameters
    ----------
    model : CodesWithMachine
        What is trained.
    pretraining : int
        Epochs of M1, 1 or more; it stands still afterwards.
    epochs : int
        Of both, larger than `pretraining`. The weight of rows without labels grows from 0 to 1 by half of those of the machine.
    likelihood, reduction
        Of M1, as for `variational_phases`.

    Returns
    -------
    list of Phase
        ``elbo`` of M1 and ``machine``.
    """
    (first,) = variational_phases(model.first, likelihood, reduction)
    norms = batch_norms(model.first)

    def loss(batch: Batch) -> Tensor:
        assert batch.labelled_rows is not None
        assert batch.labelled_labels is not None
        with frozen_statistics(norms), torch.no_grad():
            rows = torch.cat([batch.labelled_rows, batch.rows])
            codes = model.first.encode(rows)["style"]
        outputs, n = model.machine(codes), len(batch.labelled_rows)
        total = transductive_loss(outputs[:n], batch.labelled_labels, outputs[n:], batch.weights["unlabelled"])
        return total + 0.5 * DECAY * model.machine.linear.weight.square().sum()

    grown = pretraining + max(1, (epochs - pretraining) // 2)
    weights: dict[str, Weight] = {"unlabelled": {pretraining: 0.0, grown: 1.0}}
    parameters = list(model.machine.parameters())
    machine = Phase("machine", parameters, loss, OPTIMIZER, needs_labels=True, start=pretraining, weights=weights)
    return [Phase(first.name, first.parameters, first.loss, first.optimizer, stop=pretraining), machine]


class M1TSVM(Baseline):
    """M1+TSVM as a recipe's method."""

    name = "m1-tsvm"
    needs_labels = True
    pretrains = True

    def check(self, settings: ModelSettings) -> None:
        """Check that there are a label and a Gaussian style."""
        super().check(settings)
        self.require_label_and_style(settings)
        self.require_gaussian_style(settings)

    def build(self, networks: Networks) -> CodesWithMachine:
        """Create M1 of the encoder and decoder, and the machine."""
        assert networks.settings.style is not None
        first = networks.autoencoder(discriminators=False, label=False)
        return CodesWithMachine(first, KernelMachine(networks.settings.style.size, networks.categories, networks.noise))

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the phases of both."""
        return transductive_phases(
            cast(CodesWithMachine, model),
            recipe.training.pretraining,
            recipe.training.epochs,
            recipe.model.likelihood,
            recipe.training.reduction,
        )
