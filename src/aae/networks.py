"""Networks: fully connected blocks, batch-norm placement, weight init, input corruption."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from aae.errors import InputError
from aae.noise import Noise

BatchNormPlacement = Literal["none", "hidden", "all"]
Initialization = Literal["normal", "he"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),  # of a layer's own output: one pass over memory less
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}


class Scaling(nn.Module):
    """Affine map from stored rows to what the network sees, and back: ``(row - offset) * factor``.

    Parameters
    ----------
    offset, factor : Tensor, () or (inputs,)
        One number for all dimensions or one per dimension; factors are not 0.
    """

    offset: Tensor
    factor: Tensor

    def __init__(self, offset: Tensor, factor: Tensor) -> None:
        super().__init__()
        self.register_buffer("offset", offset.float())
        self.register_buffer("factor", factor.float())

    @classmethod
    def identity(cls) -> Scaling:
        """Create one that leaves every number as it is."""
        return cls(torch.tensor(0.0), torch.tensor(1.0))

    def forward(self, rows: Tensor) -> Tensor:
        """Flatten rows (batch, ...) of any dtype and scale them: (batch, inputs), float32."""
        return (rows.flatten(1).float() - self.offset) * self.factor

    def inverse(self, rows: Tensor) -> Tensor:
        """Undo the scaling of flat rows (batch, inputs)."""
        return rows / self.factor + self.offset


class Dropout(nn.Module):
    """Dropout that draws its mask from the run's own `Noise`; identity without noise and outside training mode."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise InputError(f"dropout rate is {rate}; expected a number in [0, 1)")
        self.rate = rate

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Zero each element of `x` with probability `rate` and scale the rest by 1 / (1 - rate)."""
        if noise is None or not self.training or self.rate == 0:
            return x
        return x * (noise.uniform(*x.shape) >= self.rate) / (1 - self.rate)


class Corruption(nn.Module):
    """Corruption of the encoder's input, at training time only (A.2.1: Gaussian noise 0.3; A.2.2, A.3: dropout 20 %).

    Parameters
    ----------
    noise_std : float
        Standard deviation of additive Gaussian noise, 0 or larger.
    dropout : float
        Share of inputs set to zero, in [0, 1).
    """

    def __init__(self, noise_std: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        if not noise_std >= 0:
            raise InputError(f"input noise is {noise_std}; expected a standard deviation of 0 or larger")
        self.noise_std = noise_std
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Corrupt `x` (batch, ...); without `noise` and outside training mode it passes unchanged."""
        if noise is not None and self.training and self.noise_std > 0:
            x = x + self.noise_std * noise.normal(*x.shape)
        corrupted: Tensor = self.dropout(x, noise)
        return corrupted


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch normalization in `module` use the mini-batch at hand, and leave its running statistics alone."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    tracked = [layer for layer in layers if layer.training and layer.track_running_stats]
    for layer in tracked:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in tracked:
            layer.track_running_stats = True


class Dense(nn.Module):
    """One fully connected layer: linear, optional batch norm, optional activation, optional dropout."""

    def __init__(
        self, inputs: int, outputs: int, *, activation: str | None = None, batch_norm: bool = False, dropout: float = 0
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs) if batch_norm else None
        self.activation = None if activation is None else ACTIVATIONS[activation]()
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Map `x` (batch, inputs) to (batch, outputs)."""
        x = self.linear(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        out: Tensor = self.dropout(x, noise)
        return out


class MLP(nn.Module):
    """Fully connected network.

    Parameters
    ----------
    inputs : int
        Number of input features.
    hidden : sequence of int
        Units of each hidden layer; the paper uses two layers of 1000 or 3000.
    outputs : int, optional
        Units of a last, linear layer; without it the last hidden layer is the output.
    activation : str
        Activation of the hidden layers, one of ``ACTIVATIONS``.
    batch_norm : {"none", "hidden", "all"}
        Which layers are followed by batch normalization: none, the hidden ones, or also the last linear one (A.2.2).
    dropout : float
        Dropout rate after each hidden layer, in [0, 1).

    Attributes
    ----------
    out_features : int
        Number of features of the output.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int | None = None,
        *,
        activation: str = "relu",
        batch_norm: BatchNormPlacement = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [inputs, *hidden]
        layers = [
            Dense(a, b, activation=activation, batch_norm=batch_norm != "none", dropout=dropout)
            for a, b in pairwise(widths)
        ]
        if outputs is not None:
            layers.append(Dense(widths[-1], outputs, batch_norm=batch_norm == "all"))
        self.layers = nn.ModuleList(layers)
        self.out_features = widths[-1] if outputs is None else outputs

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Map `x` (batch, inputs) to (batch, out_features); hidden dropout is active only with `noise`, in training mode."""
        for layer in self.layers:
            x = layer(x, noise)
        return x


def initialize(
    module: nn.Module,
    noise: Noise,
    init: Initialization = "normal",
    std: float = 0.01,
    keep: Sequence[nn.Module] = (),
) -> None:
    """Draw the weights of every linear and convolutional layer in `module`; biases become zero.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place.
    noise : Noise
        Source of randomness, on the module's device.
    init : {"normal", "he"}
        N(0, std^2) as in A.1, or He's N(0, 2 / fan_in).
    std : float
        Standard deviation for ``"normal"``, larger than 0.
    keep : sequence of torch.nn.Module
        Submodules of `module` that stay as they are.
    """
    kept = {layer for part in keep for layer in part.modules()}
    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
    for layer in module.modules():
        if isinstance(layer, layers) and layer not in kept:
            fan_in = layer.weight[0].numel()
            scale = std if init == "normal" else math.sqrt(2 / fan_in)
            with torch.no_grad():
                layer.weight.copy_(scale * noise.normal(*layer.weight.shape))
                if layer.bias is not None:
                    layer.bias.zero_()
