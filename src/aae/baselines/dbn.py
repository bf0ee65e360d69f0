"""Deep belief network (Hinton, Osindero and Teh 2006), the DBN of Table 1: restricted Boltzmann machines, trained one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from aae.baselines.chain import Chained, MarkovChain, State, binary, chain_arguments, layer_phases
from aae.errors import InputError
from aae.model import Model
from aae.noise import Noise
from aae.training.phases import Batch, Phase
from aae.training.settings import OptimizerSettings

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.schema import Recipe

OPTIMIZER = OptimizerSettings(optimizer="sgd", learning_rate=0.1, momentum=0.5, weight_decay=0.0002)
"""Of Hinton and Salakhutdinov (2006); of each machine."""


class DeepBeliefNetwork(MarkovChain):
    """The two uppermost layers are a restricted Boltzmann machine, and the units of each layer below follow from those above.

    Parameters
    ----------
    widths : sequence of int
        Units from the row to the uppermost layer.
    **chain : int
        As for `MarkovChain`.
    """

    description = "deep belief network"

    def infer(self, rows: Tensor, count: int) -> Tensor:
        """Map rows (batch, inputs) to the probabilities of the units of layer `count`, those of the row itself for 0."""
        for k in range(count):
            rows = torch.sigmoid(self.upward(k, rows))
        return rows

    def free_energy(self, k: int, visible: Tensor) -> Tensor:
        """Compute -log of the sum of exp(-energy) over the hidden units of machine k: (batch,) for visible (batch, units)."""
        energy: Tensor = -visible.float() @ self.down[k] - F.softplus(self.upward(k, visible)).sum(1)
        return energy

    def gibbs(self, k: int, visible: Tensor, noise: Noise) -> Tensor:
        """Draw the hidden units of machine k for its visible ones (batch, units), and compute the probabilities of these anew."""
        return torch.sigmoid(self.downward(k, binary(torch.sigmoid(self.upward(k, visible)), noise)))

    def begin(self, rows: Tensor, noise: Noise) -> State:
        """Begin with the units on which the uppermost machine stands, as rows cause them."""
        return (self.infer(rows, len(self.up) - 1),)

    def advance(self, state: State, noise: Noise) -> State:
        """Make one step of Gibbs sampling in the uppermost machine."""
        return (self.gibbs(len(self.up) - 1, state[0], noise),)

    def rows(self, state: State) -> Tensor:
        """Go down from the uppermost machine with the expected value of every unit."""
        units = state[0]
        for k in reversed(range(len(self.up) - 1)):
            units = torch.sigmoid(self.downward(k, units))
        return units


def contrastive_phases(model: DeepBeliefNetwork, pretraining: int, epochs: int, gibbs_steps: int = 1) -> list[Phase]:
    """Create the phases of the machines, one after the other, each trained by contrastive divergence.

    Parameters
    ----------
    model : DeepBeliefNetwork
        What is trained.
    pretraining : int
        Epochs of every machine but the uppermost, which has the rest; 1 or more.
    epochs : int
        Of all machines.
    gibbs_steps : int
        Steps from the data to what the uppermost machine is to find less likely, 1 or more; the others take one.

    Returns
    -------
    list of Phase
        ``layer1``, ``layer2`` and so on. The gradient of the loss, the free energy of the data above that of what Gibbs sampling
        makes of it, is that of contrastive divergence; each also logs the squared error of a reconstruction.

    Raises
    ------
    InputError
        If an argument is out of range.
    """
    if gibbs_steps < 1:
        raise InputError(f"gibbs_steps is {gibbs_steps}; expected 1 or more")
    top = len(model.up) - 1

    def loss(k: int, batch: Batch) -> Tensor:
        with torch.no_grad():
            data = model.infer(batch.rows, k)
            found = model.gibbs(k, data, batch.noise)
            batch.metrics[f"reconstruction{k + 1}"] = (found - data).square().sum(1).mean()
            for _ in range(gibbs_steps - 1 if k == top else 0):
                found = model.gibbs(k, found, batch.noise)
        return (model.free_energy(k, data) - model.free_energy(k, found)).mean()

    return layer_phases(model, loss, OPTIMIZER, pretraining, epochs)


class DBN(Chained):
    """The deep belief network as a recipe's method."""

    name = "dbn"
    pretrains = True
    takes = Chained.takes | {"gibbs_steps"}

    def build(self, networks: Networks) -> DeepBeliefNetwork:
        """Create the machines with the widths of the encoder's hidden layers."""
        settings = networks.settings
        return DeepBeliefNetwork([networks.inputs, *settings.encoder.hidden], **chain_arguments(settings.chain))

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create one phase for each machine."""
        return contrastive_phases(
            cast(DeepBeliefNetwork, model),
            recipe.training.pretraining,
            recipe.training.epochs,
            recipe.model.gibbs_steps,
        )
