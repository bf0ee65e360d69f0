"""Networks: fully connected blocks, batch-norm placement, weight init, input corruption."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
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
        if noise is None or not self.training:
            return x
        if self.noise_std > 0:
            x = x + self.noise_std * noise.normal(*x.shape)
        corrupted: Tensor = self.dropout(x, noise) if self.dropout.rate > 0 else x
        return corrupted


def batch_norms(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """List the layers of batch normalization in `module`, each once."""
    return [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]


@contextmanager
def frozen_statistics(layers: Sequence[nn.modules.batchnorm._BatchNorm]) -> Iterator[None]:
    """Let layers of batch normalization use the mini-batch at hand, and leave their running statistics alone."""
    tracked = [layer for layer in layers if layer.training and layer.track_running_stats]
    for layer in tracked:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in tracked:
            layer.track_running_stats = True


class SpectralLinear(nn.Linear):
    """A linear layer whose weights are divided by their largest singular value (Miyato et al. 2018).

    The singular value is estimated by the power method, one step in each forward pass in training mode.

    Attributes
    ----------
    direction : Tensor, (outputs,)
        The left singular vector that belongs to it, as far as it is known.
    """

    direction: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, dtype=torch.float32)
        self.register_buffer("direction", torch.full((outputs,), outputs**-0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (batch, inputs) to (batch, outputs)."""
        with torch.autocast(x.device.type, enabled=False):
            weight = self.weight
            with torch.no_grad():
                right = F.normalize(weight.T @ self.direction, dim=0)
                left = F.normalize(weight @ right, dim=0)
                if self.training:
                    self.direction.copy_(left)
            weight = weight / (left @ (weight @ right)).clamp(min=torch.finfo(weight.dtype).tiny)
        return F.linear(x, weight, self.bias)


class Dense(nn.Module):
    """One fully connected layer: linear, optional batch norm, activation, Gaussian noise and dropout."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        activation: str | None = None,
        batch_norm: bool = False,
        dropout: float = 0,
        noise_std: float = 0,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        linear = SpectralLinear(inputs, outputs) if spectral_norm else nn.Linear(inputs, outputs, dtype=torch.float32)
        self.linear = linear
        self.norm = nn.BatchNorm1d(outputs, dtype=torch.float32) if batch_norm else None
        self.activation = None if activation is None else ACTIVATIONS[activation]()
        self.corruption = Corruption(noise_std, dropout)

    @property
    def dropout(self) -> Dropout:
        """Dropout of the outputs."""
        return self.corruption.dropout

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Map `x` (batch, inputs) to (batch, outputs); noise and dropout are active only with `noise`, in training mode."""
        x = self.linear(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        out: Tensor = self.corruption(x, noise)
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
    hidden_noise : float
        Standard deviation of Gaussian noise on the units of each hidden layer in training, 0 or larger.
    spectral_norm : bool
        Whether the weights of every layer are divided by their largest singular value.

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
        hidden_noise: float = 0.0,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        widths = [inputs, *hidden]
        layers = [
            Dense(
                *units,
                activation=activation,
                batch_norm=batch_norm != "none",
                dropout=dropout,
                noise_std=hidden_noise,
                spectral_norm=spectral_norm,
            )
            for units in pairwise(widths)
        ]
        if outputs is not None:
            layers.append(Dense(widths[-1], outputs, batch_norm=batch_norm == "all", spectral_norm=spectral_norm))
        self.layers = nn.ModuleList(layers)
        self.out_features = widths[-1] if outputs is None else outputs

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Map `x` (batch, inputs) to (batch, out_features); noise and dropout only with `noise`, in training mode."""
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
        # Arithmetic on the meta device loads a compiler.
        if isinstance(layer, layers) and layer not in kept and not layer.weight.is_meta:
            fan_in = layer.weight[0].numel()
            scale = std if init == "normal" else math.sqrt(2 / fan_in)
            with torch.no_grad():
                layer.weight.copy_(scale * noise.normal(*layer.weight.shape))
                if layer.bias is not None:
                    layer.bias.zero_()


def takes_noise(module: nn.Module) -> bool:
    """Check whether the module's ``forward`` has a parameter named `noise`."""
    return "noise" in inspect.signature(module.forward).parameters
