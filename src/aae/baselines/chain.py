"""What the models of Table 1 have in common that are sampled by a Markov chain instead of a generator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from aae.baselines.method import Baseline
from aae.errors import InputError
from aae.model import Model
from aae.noise import Noise
from aae.training.data import TrainingData
from aae.training.phases import Batch, Phase
from aae.training.settings import OptimizerSettings

if TYPE_CHECKING:
    from aae.recipes.model_settings import ChainSettings, ModelSettings

State = tuple[Tensor, ...]
"""Where chains are, each tensor (chains, ...)."""
STARTS = 100  # training rows where chains can begin


class MarkovChain(Model):
    """A stack of layers whose weights serve both upwards and downwards, sampled by chains that begin at training rows.

    Parameters
    ----------
    widths : sequence of int
        Units from the row to the uppermost layer.
    chains : int
        How many chains run side by side at most, 1 or more.
    burn_in : int
        Steps of each before its first sample, 0 or more.
    thinning : int
        Steps between one sample and the next of the same chain, 1 or more.

    Attributes
    ----------
    widths : tuple of int
        As given.
    starts : Tensor, (100, inputs)
        Training rows, scaled, with which chains begin in turn; all 0 before training.
    """

    samples = True
    starts: Tensor

    def __init__(self, widths: Sequence[int], *, chains: int = 500, burn_in: int = 100, thinning: int = 5) -> None:
        super().__init__()
        if chains < 1 or burn_in < 0 or thinning < 1:
            raise InputError(
                f"chains, burn_in and thinning are {chains}, {burn_in} and {thinning}; expected at least 1, 0 and 1"
            )
        self.chains, self.burn_in, self.thinning = chains, burn_in, thinning
        self.widths = tuple(widths)
        self.up = nn.ModuleList(nn.Linear(a, b, dtype=torch.float32) for a, b in pairwise(widths))
        self.down = nn.ParameterList(
            torch.zeros(a, dtype=torch.float32) for a in widths[:-1]
        )  # biases of the units below
        self.register_buffer("starts", torch.zeros(STARTS, widths[0], dtype=torch.float32))

    def upward(self, k: int, below: Tensor) -> Tensor:
        """Map what layer k stands on (batch, units) to the inputs of its units, before their activation; k from 0."""
        above: Tensor = self.up[k](below)
        return above.float()

    def downward(self, k: int, above: Tensor) -> Tensor:
        """Map the units of layer k (batch, units) to the inputs of those that it stands on."""
        inputs: Tensor = (above @ self.linear(k).weight).float() + self.down[k]
        return inputs

    def linear(self, k: int) -> nn.Linear:
        """Return the weights and biases of the units of layer k."""
        layer = self.up[k]
        assert isinstance(layer, nn.Linear)
        return layer

    @abstractmethod
    def begin(self, rows: Tensor, noise: Noise) -> State:
        """Begin a chain at each of the rows (chains, inputs)."""

    @abstractmethod
    def advance(self, state: State, noise: Noise) -> State:
        """Make one step of every chain."""

    @abstractmethod
    def rows(self, state: State) -> Tensor:
        """Compute the samples (chains, inputs) that belong to a state."""

    def keep_starts(self, data: TrainingData) -> None:
        """Keep some training rows, evenly over their order, for chains to begin with."""
        chosen = torch.linspace(0, len(data.rows) - 1, STARTS).round().long()
        self.starts.copy_(data.scaling(data.rows[chosen.to(data.rows.device)].to(self.starts.device)))

    def sample(self, n: int, labels: Tensor | None = None, noise: Noise | None = None) -> Tensor:
        """Draw `n` rows from the model.

        Parameters
        ----------
        n : int
            Number of rows. As many chains run side by side, but at most `chains`: then each gives several.
        labels : Tensor, optional
            Not known to this model; here so that all models are sampled alike.
        noise : Noise, optional
            Source of randomness.

        Returns
        -------
        Tensor, (n, inputs)
            Rows: expected values of pixels, which the publications score too.

        Raises
        ------
        InputError
            If labels are given.
        """
        if labels is not None:
            raise InputError("the model knows no labels, so it cannot sample a given label")
        noise = noise or Noise(int(torch.randint(2**31, ()).item()), device=self.starts.device)
        chains = min(n, self.chains)
        state = self.begin(self.starts[torch.arange(chains, device=self.starts.device) % len(self.starts)], noise)
        for _ in range(self.burn_in):
            state = self.advance(state, noise)
        found = [self.rows(state)]
        while len(found) * chains < n:
            for _ in range(self.thinning):
                state = self.advance(state, noise)
            found.append(self.rows(state))
        return torch.cat(found)[:n]


class Chained(Baseline):
    """Base of the methods whose model is a `MarkovChain`: no latents, layers of their own, pixels in [0, 1]."""

    has_latents = False
    convolutions = frozenset({"encoder"})  # of which `check` says more
    takes = frozenset({"chain"})

    def check(self, settings: ModelSettings) -> None:
        """Check that there is nothing but the widths of layers, and a sigmoid output."""
        super().check(settings)
        if settings.style is not None or settings.label is not None:
            raise ValueError(f"method {self.name!r} has no latents; expected neither [model.style] nor [model.label]")
        if settings.encoder.channels or settings.encoder.module is not None or not settings.encoder.hidden:
            raise ValueError(
                f"method {self.name!r} makes its own fully connected layers; expected model.encoder.hidden alone, 1 or more"
            )
        if settings.output != "sigmoid":
            raise ValueError(f"model.output is {settings.output!r}; method {self.name!r} expects 'sigmoid'")


def layer_phases(
    model: MarkovChain,
    loss: Callable[[int, Batch], Tensor],
    optimizer: OptimizerSettings,
    pretraining: int,
    epochs: int,
) -> list[Phase]:
    """Create the phases ``layer1``, ``layer2`` and so on, one after the other; `loss` takes the layer, from 0, and a batch.

    Parameters and errors are those of `layer_epochs`. The first phase keeps the rows at which chains begin.
    """
    return [
        Phase(
            f"layer{k + 1}",
            [*model.linear(k).parameters(), model.down[k]],
            partial(loss, k),
            optimizer,
            start=start,
            stop=stop,
            begin=model.keep_starts if k == 0 else None,
        )
        for k, (start, stop) in enumerate(layer_epochs(len(model.up), pretraining, epochs))
    ]


def layer_epochs(layers: int, pretraining: int, epochs: int) -> list[tuple[int, int | None]]:
    """List the first epoch of each layer, and the first one after it, where layers are trained one after the other from below.

    Parameters
    ----------
    layers : int
        How many there are.
    pretraining : int
        Epochs of every layer but the uppermost, which has the rest; 1 or more.
    epochs : int
        Of all.

    Raises
    ------
    InputError
        If there is no epoch for each.
    """
    if pretraining < 1 or epochs <= (layers - 1) * pretraining:
        raise InputError(
            f"epochs are {epochs}, pretraining (of each layer but the last) is {pretraining}; expected 1 or more, and more than "
            f"{max(1, (layers - 1) * pretraining)} epochs for {layers} layers"
        )
    starts = [k * pretraining for k in range(layers)]
    return list(zip(starts, [*starts[1:], None], strict=True))


def chain_arguments(settings: ChainSettings) -> dict[str, int]:
    """Select what a `MarkovChain` takes."""
    return {"chains": settings.chains, "burn_in": settings.burn_in, "thinning": settings.thinning}


def binary(probabilities: Tensor, noise: Noise) -> Tensor:
    """Draw 0 or 1 for each probability."""
    return (noise.uniform(*probabilities.shape) < probabilities).to(probabilities.dtype)
