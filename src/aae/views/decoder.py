"""A decoder as a list of layers that a few lines of JavaScript compute: dense ones and 3x3 convolutions on enlarged images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aae.convolution import Convolution, ConvolutionalDecoder
from aae.networks import ACTIVATIONS, MLP, Dense

HALF_MAX = 60_000.0  # what half precision holds
_NAMES: Mapping[str, str] = {type(make()).__name__: name for name, make in ACTIVATIONS.items()}


@dataclass(frozen=True)
class Layer:
    """One layer; batch normalization is part of the weights.

    Attributes
    ----------
    weight : array of float16, (inputs, outputs)
        Of a convolution the inputs are (row, column, channel) of the 3x3 window.
    bias : array of float32, (outputs,)
        Added behind the weights.
    activation : str
        One of ``aae.networks.ACTIVATIONS``, or empty.
    image : tuple of int
        (height, width, channels) before and (height, width) after a convolution enlarged it; empty for a dense layer.
    """

    weight: NDArray[np.float16]
    bias: NDArray[np.float32]
    activation: str = ""
    image: tuple[int, ...] = ()


def decoder_layers(decoder: nn.Module) -> list[Layer] | None:
    """Return the layers of a decoder, or None where it is made of something else, as custom modules are.

    Images are laid out (height, width, channels) between all layers, as rows are; the last dense layer before a convolution is
    reordered for it.
    """
    if type(decoder) is MLP:
        layers = [_dense(layer) for layer in decoder.layers]
    elif type(decoder) is ConvolutionalDecoder:
        channels, height, width = decoder.smallest
        order = torch.arange(channels * height * width).view(channels, height, width).permute(1, 2, 0).flatten()
        layers = [_dense(layer) for layer in decoder.dense.layers]
        last = layers[-1]
        layers[-1] = Layer(last.weight[:, order.numpy()], last.bias[order.numpy()], last.activation)
        size = (height, width)
        for layer in decoder.layers:
            assert isinstance(layer, Convolution)
            assert layer.enlarge is not None
            layers.append(_convolution(layer, size))
            size = layer.enlarge
    else:
        return None
    if any(np.abs(layer.weight).max() > HALF_MAX or not np.isfinite(layer.weight).all() for layer in layers):
        return None
    return layers


def _dense(layer: nn.Module) -> Layer:
    assert isinstance(layer, Dense)
    weight, bias = _folded(layer.linear.weight, layer.linear.bias, layer.norm)
    return Layer(_half(weight.T), bias.numpy(), _activation(layer.activation))


def _convolution(layer: Convolution, size: tuple[int, int]) -> Layer:
    weight, bias = _folded(layer.convolution.weight, layer.convolution.bias, layer.norm)
    outputs, inputs = weight.shape[:2]
    flat = weight.permute(2, 3, 1, 0).reshape(9 * inputs, outputs)
    assert layer.enlarge is not None
    return Layer(_half(flat), bias.numpy(), _activation(layer.activation), (*size, inputs, *layer.enlarge))


def _folded(weight: Tensor, bias: Tensor | None, norm: nn.Module | None) -> tuple[Tensor, Tensor]:
    """Return weight (outputs, ...) and bias (outputs,) with the batch normalization of evaluation mode in them."""
    weight = weight.detach().cpu().double()
    shift = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.detach().cpu().double()
    if norm is not None:
        assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = norm.weight.detach().cpu().double() / (norm.running_var.cpu().double() + norm.eps).sqrt()
        weight = weight * gain.view(-1, *[1] * (weight.ndim - 1))
        shift = (shift - norm.running_mean.cpu().double()) * gain + norm.bias.detach().cpu().double()
    return weight, shift.float()


def _half(weight: Tensor) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):  # which is looked for afterwards
        return np.ascontiguousarray(weight.numpy().astype(np.float16))


def _activation(module: nn.Module | None) -> str:
    return "" if module is None else _NAMES[type(module).__name__]
