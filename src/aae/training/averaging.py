"""Averages of a module's weights over training steps."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class MovingAverage:
    """An exponential moving average of a module's weights and buffers over steps.

    Parameters
    ----------
    module : torch.nn.Module
        What is averaged.
    decay : float
        How much of the average stays in every step, in (0, 1); less in the first steps, (1 + step) / (10 + step) at most, so
        that the initial weights are soon forgotten.

    Attributes
    ----------
    module : torch.nn.Module
        Has the averages; in evaluation mode.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = copy.deepcopy(module).eval().requires_grad_(False), decay
        self._averaged: list[tuple[Tensor, Tensor]] = []
        self._copied: list[tuple[Tensor, Tensor]] = []

    def follow(self, module: nn.Module, full: Mapping[nn.Parameter, Tensor]) -> None:
        """Set the module to follow; `full` has the weights of parameters that hold copies of them while they are trained."""
        pairs = zip(self.module.parameters(), module.parameters(), strict=True)
        parameters = [(mean.data, full.get(parameter, parameter.data)) for mean, parameter in pairs]
        buffers = list(zip(self.module.buffers(), module.buffers(), strict=True))
        self._averaged = parameters + [pair for pair in buffers if pair[0].is_floating_point()]
        self._copied = [pair for pair in buffers if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` (counted from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_([mean for mean, _ in self._averaged], [value for _, value in self._averaged], 1 - decay)
        for mean, value in self._copied:
            mean.copy_(value)

    @torch.no_grad()
    def give_back(self) -> None:
        """Let the module that is followed have the averages."""
        for mean, value in self._averaged:
            value.copy_(mean)


def running_mean(mean: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
    """Take one more value into a mean of `count`; of whole numbers, such as counts of steps, the latest is kept."""
    return mean + (value - mean) / (count + 1) if mean.is_floating_point() else value
