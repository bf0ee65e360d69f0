"""Deep generative stochastic network (Bengio, Thibodeau-Laufer, Alain and Yosinski 2014), the Deep GSN of Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from aae import losses
from aae.baselines.chain import Chained, MarkovChain, State, binary, chain_arguments
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


class GenerativeStochasticNetwork(MarkovChain):
    """A chain over rows and noisy layers of units, each of which sees the layers below and above it.

    Parameters
    ----------
    widths : sequence of int
        Units from the row to the uppermost layer.
    salt_and_pepper : float
        Share of the values of a row that become 0 or 1, at even odds, before every step; in [0, 1].
    hidden_noise : float
        Standard deviation of the Gaussian noise on the units of the second layer and those above, before and after their tanh;
        0 or larger. The first layer has none, as in the authors' code.
    **chain : int
        As for `MarkovChain`.
    """

    description = "generative stochastic network"

    def __init__(
        self, widths: Sequence[int], *, salt_and_pepper: float = 0.4, hidden_noise: float = 2.0, **chain: int
    ) -> None:
        super().__init__(widths, **chain)
        if not 0 <= salt_and_pepper <= 1 or not hidden_noise >= 0:
            raise InputError(
                f"salt_and_pepper and hidden_noise are {salt_and_pepper} and {hidden_noise}; expected a share in [0, 1] and a "
                "standard deviation of 0 or larger"
            )
        self.down = nn.ParameterList(list(self.down)[:1])  # every layer above the row has one bias, for both directions
        self.salt_and_pepper, self.hidden_noise = salt_and_pepper, hidden_noise

    def corrupt(self, rows: Tensor, noise: Noise) -> Tensor:
        """Set some of the values of rows (batch, inputs) to 0 or 1."""
        drawn = noise.uniform(*rows.shape)
        salt = (drawn < self.salt_and_pepper / 2).to(rows.dtype)
        return torch.where(drawn < self.salt_and_pepper, salt, rows)

    def walk(self, rows: Tensor, hidden: Sequence[Tensor], noise: Noise) -> tuple[Tensor, list[Tensor]]:
        """Update the odd layers given the even ones, then the even ones given the odd.

        Parameters
        ----------
        rows : Tensor, (batch, inputs)
            Layer 0, corrupted.
        hidden : sequence of Tensor, each (batch, units)
            The layers above.
        noise : Noise
            Source of randomness.

        Returns
        -------
        Tensor, (batch, inputs)
            Logits of the rows.
        list of Tensor, each (batch, units)
            The layers above.
        """
        units = [rows, *hidden]
        for first in (1, 2):
            for k in range(first, len(units), 2):
                units[k] = self._activate(k, units, noise)
        return self.downward(0, units[1]), units[1:]

    def begin(self, rows: Tensor, noise: Noise) -> State:
        """Begin at rows, with the layers above them at 0."""
        return (rows, *self.silence(len(rows), rows))

    def advance(self, state: State, noise: Noise) -> State:
        """Draw rows, corrupt them, and update the layers; the state holds expected values of the rows, then the layers."""
        rows, *hidden = state
        logits, hidden = self.walk(self.corrupt(binary(rows, noise), noise), hidden, noise)
        return (torch.sigmoid(logits), *hidden)

    def rows(self, state: State) -> Tensor:
        """Return the expected values of the rows."""
        return state[0]

    def silence(self, n: int, like: Tensor) -> list[Tensor]:
        """Create `n` rows of units at 0 for each layer above the row."""
        return [like.new_zeros(n, units) for units in self.widths[1:]]

    def _activate(self, k: int, units: Sequence[Tensor], noise: Noise) -> Tensor:
        inputs = self.upward(k - 1, units[k - 1])
        if k + 1 < len(units):
            inputs = inputs + (units[k + 1] @ self.linear(k).weight).float()
        if k == 1 or not self.hidden_noise:
            return torch.tanh(inputs)
        before, after = noise.normal(*inputs.shape), noise.normal(*inputs.shape)
        return torch.tanh(inputs + self.hidden_noise * before) + self.hidden_noise * after


def walkback_phases(
    model: GenerativeStochasticNetwork, walkbacks: int = 4, reduction: Reduction = "sum"
) -> list[Phase]:
    """Create the one phase of a generative stochastic network: the chain that leaves a row has to find it again at every step.

    Parameters
    ----------
    model : GenerativeStochasticNetwork
        What is trained.
    walkbacks : int
        Steps of the chain, 1 or more. At each one rows are drawn from what the last one says, corrupted, and decoded; the loss is
        the mean over steps of the cross-entropy of the row that the chain began with.
    reduction : {"sum", "mean"}
        Of the cross-entropy over the dimensions of a row.

    Returns
    -------
    list of Phase
        One phase named ``walkback``.

    Raises
    ------
    InputError
        If `walkbacks` is smaller than 1.
    """
    if walkbacks < 1:
        raise InputError(f"walkbacks is {walkbacks}; expected 1 or more steps")

    def loss(batch: Batch) -> Tensor:
        rows, hidden, found = batch.rows, model.silence(len(batch.rows), batch.rows), []
        for step in range(walkbacks):
            logits, hidden = model.walk(model.corrupt(rows, batch.noise), hidden, batch.noise)
            found.append(losses.bernoulli_error(logits, batch.rows, reduction))
            if step + 1 < walkbacks:
                rows = binary(torch.sigmoid(logits.detach()), batch.noise)
        return torch.stack(found).mean()

    return [Phase("walkback", list(model.parameters()), loss, OPTIMIZER, begin=model.keep_starts)]


class GSN(Chained):
    """The generative stochastic network as a recipe's method."""

    name = "gsn"
    takes = Chained.takes | {"salt_and_pepper", "walkbacks"}

    def build(self, networks: Networks) -> GenerativeStochasticNetwork:
        """Create the layers with the widths and the noise of the encoder's hidden layers."""
        settings = networks.settings
        return GenerativeStochasticNetwork(
            [networks.inputs, *settings.encoder.hidden],
            salt_and_pepper=settings.salt_and_pepper,
            hidden_noise=settings.encoder.hidden_noise,
            **chain_arguments(settings.chain),
        )

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the one phase."""
        return walkback_phases(
            cast(GenerativeStochasticNetwork, model), recipe.model.walkbacks, recipe.training.reduction
        )
