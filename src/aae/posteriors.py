"""Posteriors q(z|x): the heads on top of the encoder's features (section 2).

A head maps features (batch, features) to codes (batch, dim). With `noise` it draws a code; without, it gives the code that
stands for x: the mean of a Gaussian posterior, f(x, 0) for the universal approximator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aae.errors import InputError
from aae.networks import Dense
from aae.noise import Noise


class Posterior(nn.Module):
    """Base of all heads.

    Parameters
    ----------
    features : int
        Number of encoder features.
    dim : int
        Number of code dimensions.
    batch_norm : bool
        Whether the head's linear layer is followed by batch normalization (A.2.2, A.3).
    """

    noise_inputs = 0
    """Number of extra noise features the encoder must take beside x."""

    def __init__(self, features: int, dim: int, *, outputs: int | None = None, batch_norm: bool = False) -> None:
        super().__init__()
        self.dim = dim
        self.layer = Dense(features, dim if outputs is None else outputs, batch_norm=batch_norm)

    def forward(self, features: Tensor, noise: Noise | None = None) -> Tensor:
        """Map features (batch, features) to codes (batch, dim), float32."""
        codes: Tensor = self.layer(features)
        return codes.float()


class Deterministic(Posterior):
    """q(z|x) is a point: the code is a linear function of the features."""


class GaussianPosterior(Posterior):
    """q(z|x) = N(mu(x), sigma(x)^2), drawn by the reparametrization trick z = mu + sigma * epsilon."""

    def __init__(self, features: int, dim: int, *, batch_norm: bool = False) -> None:
        super().__init__(features, dim, outputs=2 * dim, batch_norm=batch_norm)

    def moments(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Compute mean and log standard deviation, each (batch, dim), float32."""
        mean, log_std = self.layer(features).float().chunk(2, dim=1)
        return mean, log_std

    def forward(self, features: Tensor, noise: Noise | None = None) -> Tensor:
        """Draw one code per row (batch, dim), or give the mean without `noise`."""
        mean, log_std = self.moments(features)
        return mean if noise is None else mean + torch.exp(log_std) * noise.normal(*mean.shape)


class UniversalApproximator(Posterior):
    """q(z|x) of any shape: z = f(x, eta) with Gaussian noise eta that enters the encoder beside x.

    Parameters
    ----------
    features, dim, batch_norm
        As for every head.
    noise_inputs : int
        Number of dimensions of eta, 1 or larger.
    """

    def __init__(self, features: int, dim: int, *, noise_inputs: int = 10, batch_norm: bool = False) -> None:
        super().__init__(features, dim, batch_norm=batch_norm)
        if noise_inputs < 1:
            raise InputError(f"noise_inputs is {noise_inputs}; expected 1 or larger")
        self.noise_inputs = noise_inputs


class Softmax(Posterior):
    """q(y|x): a softmax over the categories; the output itself, not a sample, is the code."""

    def logits(self, features: Tensor) -> Tensor:
        """Compute the unnormalized log-probabilities (batch, dim), float32."""
        return super().forward(features)

    def forward(self, features: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute the probabilities (batch, dim)."""
        return torch.softmax(self.logits(features), dim=1)
