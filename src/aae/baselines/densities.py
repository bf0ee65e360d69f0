"""Densities in the bounds of the deep generative models, each of a batch of rows, in nats."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Likelihood = Callable[[Tensor, Tensor], Tensor]
"""-log p(x|y, z) of each row (batch,) from the decoder's output before its activation and the rows (batch, inputs)."""

BOUND = 4.0  # our choice


def bernoulli(logits: Tensor, rows: Tensor) -> Tensor:
    """Compute -log p(x|y, z) of pixels in [0, 1] in nats, (batch,)."""
    return F.binary_cross_entropy_with_logits(logits, rows, reduction="none").sum(1)


def unit_gaussian(logits: Tensor, rows: Tensor) -> Tensor:
    """Compute -log p(x|y, z) of a Gaussian of variance 1 in nats, without its constant, (batch,)."""
    return 0.5 * (logits - rows).square().sum(1)


def gaussian(moments: Tensor, rows: Tensor) -> Tensor:
    """Compute -log p(x|y, z) of a Gaussian in nats, (batch,), from means beside log standard deviations (batch, 2 inputs)."""
    return -log_density(rows, *split_moments(moments))


def split_moments(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Split a network's output (batch, 2 dim) into means and bounded log standard deviations, both (batch, dim)."""
    mean, log_std = moments.chunk(2, 1)
    return bounded(mean, log_std)


def bounded(mean: Tensor, log_std: Tensor) -> tuple[Tensor, Tensor]:
    """Keep a log standard deviation inside (-BOUND, BOUND): a learned density may otherwise find one code infinitely likely."""
    return mean, BOUND * torch.tanh(log_std / BOUND)


def log_density(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Compute log N(x; mean, exp(log_std)^2) in nats of each row (batch,)."""
    return (-0.5 * ((x - mean) / log_std.exp()).square() - log_std - 0.5 * math.log(2 * math.pi)).sum(1)


def kl_to_standard(mean: Tensor, log_std: Tensor) -> Tensor:
    """Compute KL(N(mean, exp(log_std)^2) || N(0, 1)) in nats of each row (batch,), from moments (batch, dim)."""
    return 0.5 * ((2 * log_std).exp() + mean.square() - 1 - 2 * log_std).sum(1)
