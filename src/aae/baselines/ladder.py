"""Ladder network (Rasmus et al. 2015; Valpola 2015), the Ladder Networks of Table 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae import losses
from aae.baselines.method import Baseline
from aae.errors import InputError
from aae.model import Model
from aae.networks import ACTIVATIONS
from aae.noise import Noise
from aae.training.phases import Batch, Phase
from aae.training.settings import OptimizerSettings

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.model_settings import ModelSettings
    from aae.recipes.schema import Recipe

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.002)  # of the authors
MOMENTUM = 0.02
"""Of the running statistics: an average over about a hundred mini-batches, for the authors' average over all training rows."""


class Combinator(nn.Module):
    """The denoising function g(z, u) of one layer: linear in the noisy units z, with offset and slope from above.

    Parameters
    ----------
    units : int
        Units of the layer, each with ten numbers of its own.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        start = torch.zeros(10, units)
        start[1] = start[6] = 1.0  # sigmoid(u)
        start[9] = 1.0  # of the slope: the noisy units themselves at first
        self.weight = nn.Parameter(start)

    def forward(self, noisy: Tensor, above: Tensor) -> Tensor:
        """Denoise the units (batch, units) with what comes from the layer above (batch, units)."""
        a = self.weight
        mean = a[0] * torch.sigmoid(a[1] * above + a[2]) + a[3] * above + a[4]
        slope = a[5] * torch.sigmoid(a[6] * above + a[7]) + a[8] * above + a[9]
        return (noisy - mean) * slope + mean


class LadderNetwork(Model):
    """A classifier whose every layer is denoised from above.

    Parameters
    ----------
    widths : sequence of int
        Units from the row to the classes.
    noise_std : float
        Standard deviation of the Gaussian noise on the row and on the normalized units of every layer, 0 or larger.
    activation : str
        Of the hidden layers, one of ``ACTIVATIONS``.
    """

    description = "ladder network"
    classifies = True

    def __init__(self, widths: Sequence[int], noise_std: float = 0.3, activation: str = "relu") -> None:
        super().__init__()
        if not noise_std >= 0:
            raise InputError(f"noise_std is {noise_std}; expected a standard deviation of 0 or larger")
        self.noise_std = noise_std
        self.up = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(units, momentum=MOMENTUM, affine=False) for units in widths[1:])
        self.normalize = nn.ModuleList(  # by the mini-batch alone
            nn.BatchNorm1d(units, affine=False, track_running_stats=False) for units in widths
        )
        self.shifts = nn.ParameterList(torch.zeros(units) for units in widths[1:])
        self.scale = nn.Parameter(torch.ones(widths[-1]))
        self.activation = ACTIVATIONS[activation]()
        self.down = nn.ModuleList(nn.Linear(b, a, bias=False) for a, b in pairwise(widths))
        self.combinators = nn.ModuleList(Combinator(units) for units in widths)

    def label_logits(self, rows: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute the logits (batch, classes) of p(y|x) for rows (batch, inputs); with `noise` those of the noisy path."""
        return (self.clean(rows)[0] if noise is None else self.noisy(rows, noise)[0]).float()

    def clean(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map rows (batch, inputs) to logits and to the units of every layer before they are normalized, from the row up.

        Running statistics follow what passes here in training mode.
        """
        h, layers = rows, [rows]
        for k, (linear, norm) in enumerate(zip(self.up, self.norms, strict=True)):
            layers.append(linear(h).float())
            h = self._activate(k, norm(layers[-1]))
        return h, layers

    def noisy(self, rows: Tensor, noise: Noise) -> tuple[Tensor, list[Tensor]]:
        """Map rows (batch, inputs) to logits and to the noisy units of every layer, normalized by the mini-batch."""
        h = rows + self.noise_std * noise.normal(*rows.shape)
        layers = [h]
        for k, linear in enumerate(self.up):
            units = self.normalize[k + 1](linear(h).float())
            layers.append(units + self.noise_std * noise.normal(*units.shape))
            h = self._activate(k, layers[-1])
        return h, layers

    def denoise(self, logits: Tensor, noisy: Sequence[Tensor]) -> list[Tensor]:
        """Denoise the units of every layer from the top down; returns them from the row up."""
        above = self.normalize[-1](torch.softmax(logits.float(), 1))
        denoised: list[Tensor] = []
        for k in reversed(range(len(noisy))):
            denoised.append(self.combinators[k](noisy[k], above))
            if k > 0:
                above = self.normalize[k - 1](self.down[k - 1](denoised[-1]).float())
        return denoised[::-1]

    def _activate(self, k: int, units: Tensor) -> Tensor:
        shifted: Tensor = units + self.shifts[k]
        if k + 1 == len(self.up):
            return self.scale * shifted
        activated: Tensor = self.activation(shifted)
        return activated


def denoising_losses(
    clean: Sequence[Tensor], denoised: Sequence[Tensor], gather: Callable[[Tensor], Tensor] = lambda rows: rows
) -> list[Tensor]:
    """Compute the denoising loss of every layer from the row up: the mean squared error of its normalized units.

    Parameters
    ----------
    clean : sequence of Tensor, each (batch, units)
        Units before normalization; the first are the rows, which are compared as they are.
    denoised : sequence of Tensor, each (batch, units)
        What the decoder makes of the noisy ones; they are normalized with mean and variance of the clean ones.
    gather : callable
        As of `Batch`.
    """
    found = [F.mse_loss(denoised[0], clean[0])]
    for z, z_hat in zip(clean[1:], denoised[1:], strict=True):
        variance, mean = torch.var_mean(gather(z), 0, correction=0)
        std = torch.sqrt(variance + 1e-5)
        found.append(F.mse_loss((z_hat - mean) / std, (z - mean) / std))
    return found


def ladder_phases(model: LadderNetwork, weights: Sequence[float]) -> list[Phase]:
    """Create the one phase of a ladder network: cross-entropy of noisy labelled rows, denoising of all rows.

    Parameters
    ----------
    model : LadderNetwork
        What is trained.
    weights : sequence of float
        Weight of the denoising loss of every layer, from the row up; each is a mean over units and rows. The last weight is that
        of all further layers.

    Returns
    -------
    list of Phase
        One phase named ``joint``, which logs ``classification_loss`` and ``denoising_loss``.

    Raises
    ------
    InputError
        If there is no weight, or more than layers.
    """
    count = len(model.combinators)
    if not 1 <= len(weights) <= count:
        raise InputError(f"denoising weights are {len(weights)}; expected 1 to {count}, for the row and every layer")
    weights = [*weights, *[weights[-1]] * (count - len(weights))]

    def loss(batch: Batch) -> Tensor:
        assert batch.labelled_rows is not None
        assert batch.labelled_labels is not None
        with batch.noise.drawing_for(len(batch.labelled_rows)):
            labelled, _ = model.noisy(batch.labelled_rows, batch.noise)
        classification = losses.classification_loss(labelled.float(), batch.labelled_labels)
        logits, noisy = model.noisy(batch.rows, batch.noise)
        _, clean = model.clean(batch.rows)
        layers = denoising_losses(clean, model.denoise(logits, noisy), batch.gather)
        denoising = torch.stack([weight * layer for weight, layer in zip(weights, layers, strict=True)]).sum()
        batch.metrics["classification_loss"] = classification.detach()
        batch.metrics["denoising_loss"] = denoising.detach()
        return classification + denoising

    return [Phase("joint", list(model.parameters()), loss, OPTIMIZER, needs_labels=True)]


class Ladder(Baseline):
    """The ladder network as a recipe's method."""

    name = "ladder"
    convolutions = frozenset({"encoder"})  # of which `check` says more
    takes = frozenset({"denoising_weights"})
    needs_labels = True
    makes_rows = False

    def check(self, settings: ModelSettings) -> None:
        """Check that the label is the only latent, and that the encoder is fully connected."""
        super().check(settings)
        self.require_label_alone(settings)
        if settings.encoder.channels or settings.encoder.module is not None:
            raise ValueError(
                "method 'ladder' makes its own fully connected network; expected model.encoder.hidden alone"
            )
        layers, found = len(settings.encoder.hidden) + 2, len(settings.denoising_weights)
        if not 1 <= found <= layers:
            raise ValueError(
                f"model.denoising_weights are {found}; method 'ladder' expects 1 to {layers}, for the row, each hidden layer and "
                "the classes"
            )

    def build(self, networks: Networks) -> LadderNetwork:
        """Create the network with the widths of the encoder and its input noise in every layer."""
        encoder = networks.settings.encoder
        widths = [networks.inputs, *encoder.hidden, networks.categories]
        return LadderNetwork(widths, encoder.input_noise, encoder.activation)

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the one phase."""
        return ladder_phases(cast(LadderNetwork, model), recipe.model.denoising_weights)
