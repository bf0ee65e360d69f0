"""Convolutional networks for images, in place of the fully connected encoder and decoder.

The paper does not say which networks it uses on SVHN (A.2.2). Rows stay flat, (batch, height * width * colours) with the
colours of a pixel side by side, so that model, phases and scaling are the same for both kinds of networks; only in here they
are (batch, colours, height, width).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae.errors import InputError
from aae.networks import ACTIVATIONS, MLP, BatchNormPlacement, Corruption
from aae.noise import Noise


def image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Read the shape of a stored row as height, width and colours.

    Parameters
    ----------
    shape : sequence of int
        (height, width) of a grayscale image or (height, width, colours).

    Raises
    ------
    InputError
        If it is neither.
    """
    if len(shape) not in (2, 3):
        raise InputError(
            f"rows have shape {tuple(shape)}; model.encoder.channels and model.decoder.channels expect images, "
            "(height, width) or (height, width, colours)"
        )
    return shape[0], shape[1], shape[2] if len(shape) == 3 else 1


class Convolution(nn.Module):
    """One convolutional layer: 3x3 convolution, optional batch norm, activation, Gaussian noise and dropout.

    Before the convolution the image may be enlarged to a given size; after it, with stride 2, height and width are halved
    and rounded up, so that images of any size fit any number of layers.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        stride: Literal[1, 2] = 1,
        enlarge: tuple[int, int] | None = None,
        activation: str | None = None,
        batch_norm: bool = False,
        dropout: float = 0,
        noise_std: float = 0,
    ) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, dtype=torch.float32)
        self.norm = nn.BatchNorm2d(outputs, dtype=torch.float32) if batch_norm else None
        self.activation = None if activation is None else ACTIVATIONS[activation]()
        self.corruption = Corruption(noise_std, dropout)

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Map `x` (batch, inputs, height, width) to (batch, outputs, ...)."""
        if self.enlarge is not None:
            x = F.interpolate(x, size=self.enlarge, mode="nearest")
        x = self.convolution(x.to(self.convolution.weight.dtype))  # autocast does not, for several seeds at once
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        out: Tensor = self.corruption(x, noise)
        return out


class ConvolutionalEncoder(nn.Module):
    """Convolutions, some of them of stride 2, then fully connected layers.

    Parameters
    ----------
    shape : sequence of int
        (height, width) or (height, width, colours) of a row.
    channels : sequence of int
        Channels of each convolutional layer, at least one.
    hidden : sequence of int
        Units of the fully connected layers behind them; may be empty.
    repeats : int
        Convolutional layers of each number of channels, at least one: the first of them halves height and width, the others
        keep them.
    activation, batch_norm, dropout, hidden_noise
        As for `MLP`: every layer is a hidden one. A convolution is normalized per channel.

    Attributes
    ----------
    out_features : int
        Number of features of the output.

    Raises
    ------
    InputError
        If rows are no images.
    """

    def __init__(
        self,
        shape: Sequence[int],
        channels: Sequence[int],
        hidden: Sequence[int],
        *,
        repeats: int = 1,
        activation: str = "relu",
        batch_norm: BatchNormPlacement = "none",
        dropout: float = 0.0,
        hidden_noise: float = 0.0,
    ) -> None:
        super().__init__()
        self.shape = image_shape(shape)
        *_, (height, width) = _sizes(self.shape, len(channels))
        self.layers = nn.ModuleList(
            Convolution(
                inputs if first else outputs,
                outputs,
                stride=2 if first else 1,
                activation=activation,
                batch_norm=batch_norm != "none",
                dropout=dropout,
                noise_std=hidden_noise,
            )
            for inputs, outputs in pairwise([self.shape[2], *channels])
            for first in [True] + [False] * (repeats - 1)
        )
        flat = channels[-1] * height * width
        self.dense = MLP(
            flat, hidden, activation=activation, batch_norm=batch_norm, dropout=dropout, hidden_noise=hidden_noise
        )
        self.out_features = self.dense.out_features

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Map flat rows `x` (batch, height * width * colours) to features (batch, out_features)."""
        x = x.reshape(-1, *self.shape).permute(0, 3, 1, 2)
        for layer in self.layers:
            x = layer(x, noise)
        features: Tensor = self.dense(x.flatten(1), noise)
        return features


class ConvolutionalDecoder(nn.Module):
    """The encoder in reverse: fully connected layers, then convolutions, each on an image enlarged to twice its size.

    Enlarging repeats the nearest pixel and meets the sizes that the encoder went through, odd ones too. A transposed
    convolution would need another padding for each of them, and 3x3 at stride 2 overlaps unevenly, which shows as a
    checkerboard (Odena et al. 2016).

    Parameters
    ----------
    inputs : int
        Number of input features.
    hidden : sequence of int
        Units of the fully connected layers; may be empty. Another one follows, of the size of the smallest image.
    channels : sequence of int
        Channels of each convolutional layer's input, at least one: the encoder's in reverse.
    shape : sequence of int
        (height, width) or (height, width, colours) of a row.
    activation, batch_norm, dropout, hidden_noise
        As for `MLP`: the last convolution, which makes the row, is the last linear layer. It is normalized per colour.

    Raises
    ------
    InputError
        If rows are no images.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        channels: Sequence[int],
        shape: Sequence[int],
        *,
        activation: str = "relu",
        batch_norm: BatchNormPlacement = "none",
        dropout: float = 0.0,
        hidden_noise: float = 0.0,
    ) -> None:
        super().__init__()
        height, width, colours = image_shape(shape)
        *larger, (top, left) = _sizes((height, width, colours), len(channels))
        flat = channels[0] * top * left
        self.smallest = (channels[0], top, left)
        self.dense = MLP(
            inputs,
            [*hidden, flat],
            activation=activation,
            batch_norm=batch_norm,
            dropout=dropout,
            hidden_noise=hidden_noise,
        )
        *between, last = zip(pairwise([*channels, colours]), reversed(larger), strict=True)
        layers = [
            Convolution(
                *units,
                enlarge=size,
                activation=activation,
                batch_norm=batch_norm != "none",
                dropout=dropout,
                noise_std=hidden_noise,
            )
            for units, size in between
        ]
        (a, b), size = last
        layers.append(Convolution(a, b, enlarge=size, batch_norm=batch_norm == "all"))
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, noise: Noise | None = None) -> Tensor:
        """Map `x` (batch, inputs) to flat rows (batch, height * width * colours)."""
        x = self.dense(x, noise).unflatten(1, self.smallest)
        for layer in self.layers:
            x = layer(x, noise)
        return x.permute(0, 2, 3, 1).flatten(1)


def _sizes(shape: tuple[int, int, int], halvings: int) -> list[tuple[int, int]]:
    """List height and width before and after each convolution of stride 2."""
    height, width, _ = shape
    sizes = [(height, width)]
    for _ in range(halvings):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes
