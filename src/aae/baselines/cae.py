"""Stacked contractive autoencoder and its walk (Rifai, Bengio, Dauphin and Vincent 2012), the Stacked CAE of Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from aae import losses
from aae.baselines.chain import Chained, MarkovChain, State, chain_arguments, layer_phases
from aae.errors import InputError
from aae.losses import Reduction
from aae.model import Model
from aae.noise import Noise
from aae.training.phases import Batch, Phase
from aae.training.settings import OptimizerSettings

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.schema import Recipe

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.001)  # our choice


class StackedContractiveAutoencoder(MarkovChain):
    """Autoencoders on top of each other, of sigmoid units with tied weights.

    Parameters
    ----------
    widths : sequence of int
        Units from the row to the uppermost layer.
    walk_noise : float
        Standard deviation of the noise of a step of the walk, 0 or larger.
    **chain : int
        As for `MarkovChain`.
    """

    description = "stacked contractive autoencoder"

    def __init__(self, widths: Sequence[int], *, walk_noise: float = 1.0, **chain: int) -> None:
        super().__init__(widths, **chain)
        if not walk_noise >= 0:
            raise InputError(f"walk_noise is {walk_noise}; expected a standard deviation of 0 or larger")
        self.walk_noise = walk_noise

    def layers(self, rows: Tensor, count: int | None = None) -> list[Tensor]:
        """Map rows (batch, inputs) to the units of the first `count` layers, from the row up; of all by default."""
        units = [rows]
        for k in range(len(self.up) if count is None else count):
            units.append(torch.sigmoid(self.upward(k, units[-1])))
        return units

    def decode(self, codes: Tensor) -> Tensor:
        """Map units of the uppermost layer (batch, units) to rows (batch, inputs)."""
        for k in reversed(range(len(self.up))):
            codes = torch.sigmoid(self.downward(k, codes))
        return codes

    def project(self, units: Sequence[Tensor], directions: Tensor) -> Tensor:
        """Multiply directions (batch, codes) with J J^T, where J is the Jacobian of the uppermost layer by the row.

        What comes out are changes of codes that changes of the row can make, larger along those to which the codes answer.
        """
        slopes = [h * (1 - h) for h in units[1:]]
        for slope, k in reversed(list(zip(slopes, range(len(slopes)), strict=True))):
            directions = (slope * directions) @ self.linear(k).weight
        for slope, k in zip(slopes, range(len(slopes)), strict=True):
            directions = slope * (directions @ self.linear(k).weight.T)
        return directions

    def begin(self, rows: Tensor, noise: Noise) -> State:
        """Begin at rows."""
        return (rows,)

    def advance(self, state: State, noise: Noise) -> State:
        """Encode rows, move the codes at random along the manifold, and decode them."""
        units = self.layers(state[0])
        moved = units[-1] + self.project(units, self.walk_noise * noise.normal(*units[-1].shape))
        return (self.decode(moved),)

    def rows(self, state: State) -> Tensor:
        """Return the rows."""
        return state[0]


def contraction(units: Tensor, weight: Tensor) -> Tensor:
    """Compute the squared Frobenius norm of the Jacobian of sigmoid units (batch, units) by their inputs, mean over the batch.

    Parameters
    ----------
    units : Tensor, (batch, units)
        Between 0 and 1.
    weight : Tensor, (units, inputs)
        Of the layer.
    """
    slopes = (units * (1 - units)).square()
    return (slopes @ weight.float().square().sum(1)).mean()


def contractive_phases(
    model: StackedContractiveAutoencoder, penalty: float, pretraining: int, epochs: int, reduction: Reduction = "sum"
) -> list[Phase]:
    """Create the phases of the autoencoders, one after the other: each reconstructs the units of the one below.

    Parameters
    ----------
    model : StackedContractiveAutoencoder
        What is trained.
    penalty : float
        Weight of the squared norm of a layer's Jacobian beside the cross-entropy of what it stands on, 0 or larger.
    pretraining : int
        Epochs of every layer but the uppermost, which has the rest; 1 or more.
    epochs : int
        Of all layers.
    reduction : {"sum", "mean"}
        Of the cross-entropy over the dimensions.

    Returns
    -------
    list of Phase
        ``layer1``, ``layer2`` and so on, each of which logs its reconstruction error and its contraction.

    Raises
    ------
    InputError
        If an argument is out of range.
    """
    if not penalty >= 0:
        raise InputError(f"penalty is {penalty}; expected a weight of 0 or larger")

    def loss(k: int, batch: Batch) -> Tensor:
        with torch.no_grad():
            below = model.layers(batch.rows, k)[-1]
        units = torch.sigmoid(model.upward(k, below))
        error = losses.bernoulli_error(model.downward(k, units), below, reduction)
        squared = contraction(units, model.linear(k).weight)
        batch.metrics[f"reconstruction{k + 1}"] = error.detach()
        batch.metrics[f"contraction{k + 1}"] = squared.detach()
        return error + penalty * squared

    return layer_phases(model, loss, OPTIMIZER, pretraining, epochs)


class CAE(Chained):
    """The stacked contractive autoencoder as a recipe's method."""

    name = "cae"
    pretrains = True
    takes = Chained.takes | {"contraction", "walk_noise"}

    def build(self, networks: Networks) -> StackedContractiveAutoencoder:
        """Create the layers with the widths of the encoder's hidden layers."""
        settings = networks.settings
        return StackedContractiveAutoencoder(
            [networks.inputs, *settings.encoder.hidden],
            walk_noise=settings.walk_noise,
            **chain_arguments(settings.chain),
        )

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create one phase for each layer."""
        return contractive_phases(
            cast(StackedContractiveAutoencoder, model),
            recipe.model.contraction,
            recipe.training.pretraining,
            recipe.training.epochs,
            recipe.training.reduction,
        )
